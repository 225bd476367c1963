// Package pipe implements pipes and FIFOs (pipe(7)).
package pipe

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Capacities in bytes.
const (
	DefaultCapacity = 64 << 10
	MinCapacity     = 4 << 10
	MaxCapacity     = 1 << 20 // fs.pipe-max-size
)

// Pipe is the buffer between two ends. Its ends never block.
type Pipe struct {
	queue waiter.Queue // hears of every change, of both ends

	held *atomic.Int64 // counts the bytes of buf; nil: nobody does

	mu       sync.Mutex
	buf      []byte // ring; grows up to capacity as needed
	start    int    // of the data in buf
	used     int    // bytes
	capacity int
	readers  int
	writers  int
	// How often an end was opened, for those that wait in open(2).
	readerOpens, writerOpens int
}

// New makes a pipe without ends, for a FIFO.
func New() *Pipe { return &Pipe{capacity: DefaultCapacity} }

// softLimit is how many bytes the pipes of a container may hold before new ones
// get the least capacity (Linux: fs.pipe-user-pages-soft).
const softLimit = 64 << 20

// NewPair makes the two ends of pipe(2). st is what fstat(2) says of both. held,
// if it is not nil, counts the bytes of memory that pipes hold.
func NewPair(st linux.Stat, held *atomic.Int64) (r, w *End) {
	p := New()
	p.held = held
	if held != nil && held.Load() > softLimit {
		p.capacity = MinCapacity
	}
	st.Mode = linux.S_IFIFO | 0o600
	st.Nlink, st.Blksize = 1, 4096
	label := fmt.Sprintf("pipe:[%d]", st.Ino)
	r = &End{p: p, read: true, stat: &st, label: label}
	w = &End{p: p, write: true, stat: &st, label: label}
	p.readers, p.writers, p.readerOpens, p.writerOpens = 1, 1, 1, 1
	return r, w
}

// Open opens a FIFO with the flags of open(2).
func (p *Pipe) Open(flags uint32) (*End, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &End{p: p}
	switch flags & linux.O_ACCMODE {
	case linux.O_RDONLY:
		e.read = true
	case linux.O_WRONLY:
		if flags&linux.O_NONBLOCK != 0 && p.readers == 0 {
			return nil, linux.ENXIO
		}
		e.write = true
	default:
		e.read, e.write = true, true
	}
	e.seenReaders, e.seenWriters = p.readerOpens, p.writerOpens
	if e.read {
		p.readers++
		p.readerOpens++
	}
	if e.write {
		p.writers++
		p.writerOpens++
	}
	p.queue.Notify(waiter.EventIn | waiter.EventOut)
	return e, nil
}

// End is one end of a pipe, or both for a FIFO that was opened O_RDWR.
type End struct {
	p           *Pipe
	read, write bool
	stat        *linux.Stat // nil for a FIFO, whose inode knows
	label       string

	// How often ends had been opened when this one was: a reader of a FIFO
	// sees no hangup before it has seen a writer.
	seenReaders, seenWriters int
}

var (
	_ vfs.File       = (*End)(nil)
	_ vfs.OpenWaiter = (*End)(nil)
	_ vfs.Ioctler    = (*End)(nil)
	_ vfs.Described  = (*End)(nil)
)

// ReadAt implements vfs.File; EAGAIN if there is nothing to read yet.
func (e *End) ReadAt(dst []byte, _ int64) (int, error) {
	p := e.p
	p.mu.Lock()
	n := p.copyOut(dst)
	writers := p.writers
	p.mu.Unlock()
	if n > 0 {
		p.queue.Notify(waiter.WritableEvents)
		return n, nil
	}
	if writers == 0 || len(dst) == 0 {
		return 0, nil
	}
	return 0, linux.EAGAIN
}

// copyOut needs mu.
func (p *Pipe) copyOut(dst []byte) int {
	n := p.peek(dst)
	p.start += n
	p.used -= n
	if p.used == 0 {
		p.start = 0
	} else if p.start >= len(p.buf) {
		p.start -= len(p.buf)
	}
	return n
}

// peek copies without consuming; it needs mu.
func (p *Pipe) peek(dst []byte) int {
	n := min(len(dst), p.used)
	first := copy(dst[:n], p.buf[p.start:])
	copy(dst[first:n], p.buf)
	return n
}

// WriteAt implements vfs.File: what fits, but all or nothing up to PIPE_BUF.
// EPIPE if nobody reads; the caller sends SIGPIPE.
func (e *End) WriteAt(src []byte, _ int64) (int, error) {
	p := e.p
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		return 0, linux.EPIPE
	}
	free := p.capacity - p.used
	if len(src) == 0 || free == 0 || len(src) <= linux.PIPE_BUF && free < len(src) {
		p.mu.Unlock()
		if len(src) == 0 {
			return 0, nil
		}
		return 0, linux.EAGAIN
	}
	n := min(free, len(src))
	p.grow(p.used + n)
	end := p.start + p.used
	if end >= len(p.buf) {
		end -= len(p.buf)
	}
	first := copy(p.buf[end:], src[:n])
	copy(p.buf, src[first:n])
	p.used += n
	p.mu.Unlock()
	p.queue.Notify(waiter.ReadableEvents)
	return n, nil
}

// grow makes room for n bytes; it needs mu.
func (p *Pipe) grow(n int) {
	if n <= len(p.buf) {
		return
	}
	size := max(MinCapacity, len(p.buf))
	for size < n {
		size *= 2
	}
	p.resize(min(size, p.capacity))
}

func (p *Pipe) resize(size int) {
	buf := make([]byte, size)
	p.peek(buf[:p.used])
	p.count(size - len(p.buf))
	p.buf, p.start = buf, 0
}

func (p *Pipe) count(n int) {
	if p.held != nil {
		p.held.Add(int64(n))
	}
}

// Capacity returns the size of the buffer (F_GETPIPE_SZ).
func (e *End) Capacity() int {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	return e.p.capacity
}

// SamePipe says whether two ends are of one pipe.
func (e *End) SamePipe(other *End) bool { return e.p == other.p }

// SetCapacity changes the size of the buffer (F_SETPIPE_SZ) to the next power
// of two and returns it.
func (e *End) SetCapacity(n int) (int, error) {
	if n < 0 {
		return 0, linux.EINVAL
	}
	if n > MaxCapacity {
		return 0, linux.EPERM
	}
	size := MinCapacity
	for size < n {
		size *= 2
	}
	p := e.p
	p.mu.Lock()
	if size > p.capacity && p.held != nil && p.held.Load() > softLimit {
		p.mu.Unlock()
		return 0, linux.EPERM
	}
	if size < p.used {
		p.mu.Unlock()
		return 0, linux.EBUSY
	}
	p.capacity = size
	if len(p.buf) > size {
		p.resize(size)
	}
	p.mu.Unlock()
	p.queue.Notify(waiter.WritableEvents)
	return size, nil
}

// Release implements vfs.File.
func (e *End) Release() {
	p := e.p
	p.mu.Lock()
	if e.read {
		p.readers--
	}
	if e.write {
		p.writers--
	}
	if p.readers == 0 && p.writers == 0 {
		p.count(-len(p.buf))
		p.buf, p.start, p.used = nil, 0, 0
	}
	p.mu.Unlock()
	p.queue.Notify(waiter.EventHUp | waiter.EventErr)
}

// OpenReady implements vfs.OpenWaiter.
func (e *End) OpenReady() bool {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	switch {
	case e.read && e.write, e.stat != nil: // nobody waits for the other end of what is no FIFO
		return true
	case e.read:
		return e.p.writers > 0 || e.p.writerOpens != e.seenWriters
	default:
		return e.p.readers > 0 || e.p.readerOpens != e.seenReaders
	}
}

// Readiness implements waiter.Waitable.
func (e *End) Readiness(mask waiter.EventMask) waiter.EventMask {
	p := e.p
	p.mu.Lock()
	defer p.mu.Unlock()
	var ready waiter.EventMask
	if e.read {
		if p.used > 0 {
			ready |= waiter.ReadableEvents
		}
		if p.writers == 0 && (e.stat != nil || p.writerOpens != e.seenWriters) {
			ready |= waiter.EventHUp
		}
	}
	if e.write {
		if p.capacity-p.used >= linux.PIPE_BUF {
			ready |= waiter.WritableEvents
		}
		if p.readers == 0 {
			ready |= waiter.EventErr
		}
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (e *End) EventRegister(w *waiter.Entry) { e.p.queue.EventRegister(w) }

// EventUnregister implements waiter.Waitable.
func (e *End) EventUnregister(w *waiter.Entry) { e.p.queue.EventUnregister(w) }

// Asynchronous implements vfs.Asynchronous.
func (e *End) Asynchronous() {}

// Stat answers fstat(2) for pipes without an inode.
func (e *End) Stat() (linux.Stat, error) {
	if e.stat == nil {
		return linux.Stat{}, linux.ENOSYS
	}
	return *e.stat, nil
}

// Reopen implements vfs.Reopener.
func (e *End) Reopen(flags uint32) (vfs.File, error) {
	n, err := e.p.Open(flags)
	if err != nil {
		return nil, err
	}
	n.stat, n.label = e.stat, e.label
	return n, nil
}

// Describe implements vfs.Described.
func (e *End) Describe() string { return e.label }

// Buffered returns the number of bytes that wait to be read.
func (e *End) Buffered() int {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	return e.p.used
}

// Peek copies bytes without consuming them (tee(2)).
func (e *End) Peek(dst []byte) int {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	return e.p.peek(dst)
}

// Ioctl implements vfs.Ioctler.
func (e *End) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	if req != linux.FIONREAD {
		return 0, linux.ENOTTY
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(e.Buffered()))
	return 0, t.CopyOut(arg, b[:])
}
