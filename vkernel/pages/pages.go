// Package pages keeps bytes that never change in a form that many guest memories
// can show: a process that loads a program maps its pages and gets a copy only
// of those that it writes.
package pages

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// Content is bytes that never change.
type Content struct {
	bytes []byte

	once sync.Once
	file hostFile
	err  error
}

// Of wraps b, which nobody may change from now on.
func Of(b []byte) *Content { return &Content{bytes: b} }

// Bytes returns the bytes; nobody may change them.
func (c *Content) Bytes() []byte { return c.bytes }

// ErrUnsupported is the answer of hosts that cannot map pages over memory.
var ErrUnsupported = errors.New("not supported on this host")

// Map replaces the host pages under dst by those of c at off, zeros behind its
// end. Writes to them stay in dst. dst begins and ends at a host page's border,
// and so does off.
func (c *Content) Map(dst []byte, off int64) error {
	c.once.Do(func() {
		if c.file, c.err = newHostFile(c.bytes); c.err == nil {
			runtime.AddCleanup(c, hostFile.close, c.file)
		}
	})
	if c.err != nil {
		return c.err
	}
	if err := c.file.mapTo(dst, off); err != nil {
		return fmt.Errorf("mapping pages of a file: %w", err)
	}
	runtime.KeepAlive(c)
	return nil
}
