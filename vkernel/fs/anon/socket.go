package anon

import (
	"fmt"
	"sync"

	"megabinary.dev/vkernel/fs/pipe"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Socket is one end of a connected pair of AF_UNIX stream sockets: two pipes.
type Socket struct {
	base
	in, out *pipe.End

	mu         sync.Mutex
	inClosed   bool // shut down for reading
	outClosed  bool // shut down for writing
	inReleased bool
}

var (
	_ vfs.File        = (*Socket)(nil)
	_ waiter.Waitable = (*Socket)(nil)
	_ vfs.Ioctler     = (*Socket)(nil)
)

// NewSocketPair makes two connected sockets with the attributes a and b.
func NewSocketPair(a, b linux.Stat) (*Socket, *Socket) {
	r1, w1 := pipe.NewPair(a)
	r2, w2 := pipe.NewPair(b)
	return &Socket{base: base{a, fmt.Sprintf("socket:[%d]", a.Ino)}, in: r1, out: w2},
		&Socket{base: base{b, fmt.Sprintf("socket:[%d]", b.Ino)}, in: r2, out: w1}
}

// ReadAt implements vfs.File.
func (s *Socket) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	closed := s.inClosed
	s.mu.Unlock()
	n, err := s.in.ReadAt(p, off)
	if closed && err == linux.EAGAIN {
		return 0, nil
	}
	return n, err
}

// Peek is a read that consumes nothing (MSG_PEEK).
func (s *Socket) Peek(p []byte) (int, error) {
	if n := s.in.Peek(p); n > 0 {
		return n, nil
	}
	return s.ReadAt(p[:0], 0)
}

// WriteAt implements vfs.File.
func (s *Socket) WriteAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	closed := s.outClosed
	s.mu.Unlock()
	if closed {
		return 0, linux.EPIPE
	}
	return s.out.WriteAt(p, off)
}

// Shutdown implements shutdown(2).
func (s *Socket) Shutdown(read, write bool) {
	s.mu.Lock()
	closeIn, closeOut := read && !s.inReleased, write && !s.outClosed
	s.inClosed = s.inClosed || read
	s.inReleased = s.inReleased || read
	s.outClosed = s.outClosed || write
	s.mu.Unlock()
	if closeIn {
		s.in.Release()
	}
	if closeOut {
		s.out.Release()
	}
}

// Release implements vfs.File.
func (s *Socket) Release() { s.Shutdown(true, true) }

// Readiness implements waiter.Waitable.
func (s *Socket) Readiness(mask waiter.EventMask) waiter.EventMask {
	s.mu.Lock()
	inClosed, outClosed := s.inClosed, s.outClosed
	s.mu.Unlock()
	all := mask | waiter.ReadableEvents | waiter.WritableEvents | waiter.AlwaysEvents
	in, out := s.in.Readiness(all), s.out.Readiness(all)
	ready := in & waiter.ReadableEvents
	peerWrites, peerReads := in&waiter.EventHUp == 0, out&waiter.EventErr == 0
	if !peerWrites || inClosed {
		ready |= waiter.ReadableEvents | waiter.EventRdHUp
	}
	if out&waiter.WritableEvents != 0 || outClosed || !peerReads {
		ready |= waiter.WritableEvents
	}
	if !peerWrites && (outClosed || !peerReads) {
		ready |= waiter.EventHUp
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (s *Socket) EventRegister(w *waiter.Entry) {
	s.in.EventRegister(w)
	s.out.EventRegister(w)
}

// EventUnregister implements waiter.Waitable.
func (s *Socket) EventUnregister(w *waiter.Entry) {
	s.in.EventUnregister(w)
	s.out.EventUnregister(w)
}

// Ioctl implements vfs.Ioctler.
func (s *Socket) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	return s.in.Ioctl(t, req, arg)
}
