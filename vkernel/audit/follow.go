package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Follow opens a trail that is being written. Its reader waits at the end for
// more, and goes on in the next part after a rotation, until ctx is done, which is
// its io.EOF.
func Follow(ctx context.Context, name string) (*Reader, io.Closer, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the audit trail: %w", err)
	}
	t := &follower{ctx: ctx, name: name, f: f}
	return NewReader(t).FromAnywhere(), t, nil
}

type follower struct {
	ctx  context.Context
	name string
	f    *os.File
}

// followInterval is how often a trail is looked at for more.
const followInterval = 200 * time.Millisecond

// Read implements io.Reader.
func (t *follower) Read(p []byte) (int, error) {
	for {
		n, err := t.f.Read(p)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		moved, err := t.next()
		if err != nil {
			return 0, err
		}
		if moved {
			continue
		}
		select {
		case <-t.ctx.Done():
			return 0, io.EOF
		case <-time.After(followInterval):
		}
	}
}

// next opens the next part, if the file of this name is another one by now.
func (t *follower) next() (bool, error) {
	now, err := os.Stat(t.name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // in the middle of a rotation
	}
	if err != nil {
		return false, err
	}
	have, err := t.f.Stat()
	if err != nil || os.SameFile(now, have) {
		return false, err
	}
	if pos, err := t.f.Seek(0, io.SeekCurrent); err != nil || pos < have.Size() {
		return err == nil, err // there is more in this one
	}
	f, err := os.Open(t.name)
	if err != nil {
		return false, err
	}
	err = t.f.Close()
	t.f = f
	return true, err
}

// Close implements io.Closer.
func (t *follower) Close() error { return t.f.Close() }
