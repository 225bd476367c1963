package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"megabinary.dev/vkernel/audit"
)

// usage is what this process holds.
type usage struct {
	pss        int64 // bytes
	goroutines int
	fds        int
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MB", u.goroutines, u.fds, float64(u.pss)/1e6)
}

// measure returns what this process holds; -1 is what cannot be read.
func measure() usage {
	for range 2 { // what finalizers free goes the second time
		debug.FreeOSMemory()
	}
	u := usage{goroutines: runtime.NumGoroutine(), fds: -1, pss: -1}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.fds = len(fds)
	}
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(rollup)) {
		rest, ok := strings.CutPrefix(line, "Pss:")
		if !ok {
			continue
		}
		if kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err == nil {
			u.pss = kb << 10
		}
	}
	return u
}

// trail verifies an audit trail while it is written.
type trail struct {
	w    *io.PipeWriter
	done chan error
}

func newTrail() *trail {
	r, w := io.Pipe()
	t := &trail{w, make(chan error, 1)}
	go func() {
		_, err := audit.Verify(r)
		_, _ = io.Copy(io.Discard, r) // a writer must not wait for a reader that has failed
		t.done <- err
	}()
	return t
}

// Write implements io.Writer.
func (t *trail) Write(p []byte) (int, error) { return t.w.Write(p) }

// verify ends the trail.
func (t *trail) verify() error {
	if err := t.w.Close(); err != nil {
		return fmt.Errorf("closing the audit trail: %w", err)
	}
	if err := <-t.done; err != nil {
		return fmt.Errorf("the audit trail: %w", err)
	}
	return nil
}
