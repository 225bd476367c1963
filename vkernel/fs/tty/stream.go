// Package tty connects a guest to the host's standard streams: as they are
// (Stream), or as a terminal with a line discipline of its own (TTY).
package tty

import (
	"errors"
	"io"
	"sync"
	"syscall"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Stream is a host stream as a guest's file, which the guest takes for a pipe.
// Nothing is read from the host before the guest reads or polls.
type Stream struct {
	in    io.Reader // nil: cannot be read
	out   io.Writer // nil: cannot be written
	stat  linux.Stat
	label string
	queue waiter.Queue

	mu      sync.Mutex
	buf     []byte // read ahead
	reading bool   // a goroutine is in in.Read
	err     error  // what ended the input; io.EOF at its end

	outMu sync.Mutex // serializes writes
}

var (
	_ vfs.File        = (*Stream)(nil)
	_ waiter.Waitable = (*Stream)(nil)
	_ vfs.Described   = (*Stream)(nil)
)

// readAhead is how much is read from the host at once, bytes.
const readAhead = 64 << 10

// NewStream makes a file of a host stream. Either of in and out may be nil. The
// inode number names it in /proc/PID/fd.
func NewStream(in io.Reader, out io.Writer, ino, dev uint64) *Stream {
	return &Stream{in: in, out: out, label: "pipe:[" + decimal(ino) + "]",
		stat: linux.Stat{Dev: dev, Ino: ino, Mode: linux.S_IFIFO | 0o600, Nlink: 1, Blksize: 4096}}
}

func decimal(v uint64) string {
	if v < 10 {
		return string(rune('0' + v))
	}
	return decimal(v/10) + string(rune('0'+v%10))
}

// fill starts a read of the host unless one is under way. It needs mu.
func (s *Stream) fill() {
	if s.in == nil || s.reading || s.err != nil || len(s.buf) > 0 {
		return
	}
	s.reading = true
	go func() {
		p := make([]byte, readAhead)
		n, err := s.in.Read(p)
		s.mu.Lock()
		s.buf = append(s.buf, p[:n]...)
		s.err, s.reading = err, false
		s.mu.Unlock()
		s.queue.Notify(waiter.ReadableEvents)
	}()
}

// ReadAt implements vfs.File.
func (s *Stream) ReadAt(p []byte, _ int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buf) > 0 {
		n := copy(p, s.buf)
		if s.buf = s.buf[n:]; len(s.buf) == 0 {
			s.buf = nil
		}
		return n, nil
	}
	if s.in == nil || s.err == io.EOF || len(p) == 0 {
		return 0, nil
	}
	if s.err != nil {
		return 0, hostErrno(s.err)
	}
	s.fill()
	return 0, linux.EAGAIN
}

// WriteAt implements vfs.File. It waits for the host.
func (s *Stream) WriteAt(p []byte, _ int64) (int, error) {
	if s.out == nil {
		return 0, linux.EBADF
	}
	s.outMu.Lock()
	defer s.outMu.Unlock()
	// The guest's other threads may change p meanwhile, which is their affair.
	n, err := s.out.Write(p)
	if n > 0 || err == nil {
		return n, nil
	}
	return 0, hostErrno(err)
}

// hostErrno turns a host's error into the guest's.
func hostErrno(err error) error {
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		return linux.EPIPE
	case errors.Is(err, syscall.ENOSPC):
		return linux.ENOSPC
	case errors.Is(err, syscall.EISDIR):
		return linux.EISDIR
	}
	return linux.EIO
}

// Release implements vfs.File. The host's streams stay open.
func (s *Stream) Release() {}

// Readiness implements waiter.Waitable.
func (s *Stream) Readiness(mask waiter.EventMask) waiter.EventMask {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ready waiter.EventMask
	if s.out != nil {
		ready |= waiter.WritableEvents
	}
	if s.in != nil && mask&waiter.ReadableEvents != 0 {
		switch {
		case len(s.buf) > 0:
			ready |= waiter.ReadableEvents
		case s.err != nil:
			ready |= waiter.EventHUp | waiter.ReadableEvents
		default:
			s.fill()
		}
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (s *Stream) EventRegister(e *waiter.Entry) { s.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (s *Stream) EventUnregister(e *waiter.Entry) { s.queue.EventUnregister(e) }

// Stat answers fstat(2).
func (s *Stream) Stat() (linux.Stat, error) { return s.stat, nil }

// Describe implements vfs.Described.
func (s *Stream) Describe() string { return s.label }
