// Package anon holds files that no path leads to: eventfd, timerfd, epoll and
// pairs of sockets.
package anon

import (
	"encoding/binary"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// base is what the files share: attributes and a name for /proc/PID/fd.
type base struct {
	stat  linux.Stat
	label string
}

// Stat answers fstat(2).
func (b *base) Stat() (linux.Stat, error) { return b.stat, nil }

// Describe implements vfs.Described.
func (b *base) Describe() string { return b.label }

// EventFD is a counter (eventfd(2)).
type EventFD struct {
	base
	queue     waiter.Queue
	semaphore bool

	mu    sync.Mutex
	count uint64
}

var (
	_ vfs.File        = (*EventFD)(nil)
	_ waiter.Waitable = (*EventFD)(nil)
)

// NewEventFD makes a counter. st is what fstat(2) says of it.
func NewEventFD(count uint64, semaphore bool, st linux.Stat) *EventFD {
	return &EventFD{base: base{st, "anon_inode:[eventfd]"}, semaphore: semaphore, count: count}
}

// ReadAt implements vfs.File: it takes the count, or 1 of a semaphore.
func (e *EventFD) ReadAt(p []byte, _ int64) (int, error) {
	if len(p) < 8 {
		return 0, linux.EINVAL
	}
	e.mu.Lock()
	if e.count == 0 {
		e.mu.Unlock()
		return 0, linux.EAGAIN
	}
	v := e.count
	if e.semaphore {
		v = 1
	}
	e.count -= v
	e.mu.Unlock()
	e.queue.Notify(waiter.WritableEvents)
	binary.LittleEndian.PutUint64(p, v)
	return 8, nil
}

// maxEvents is the largest count.
const maxEvents = 1<<64 - 2

// WriteAt implements vfs.File: it adds to the count.
func (e *EventFD) WriteAt(p []byte, _ int64) (int, error) {
	if len(p) < 8 {
		return 0, linux.EINVAL
	}
	v := binary.LittleEndian.Uint64(p)
	if v > maxEvents {
		return 0, linux.EINVAL
	}
	e.mu.Lock()
	if v > maxEvents-e.count {
		e.mu.Unlock()
		return 0, linux.EAGAIN
	}
	e.count += v
	e.mu.Unlock()
	e.queue.Notify(waiter.ReadableEvents)
	return 8, nil
}

// Release implements vfs.File.
func (e *EventFD) Release() {}

// Readiness implements waiter.Waitable.
func (e *EventFD) Readiness(mask waiter.EventMask) waiter.EventMask {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ready waiter.EventMask
	if e.count > 0 {
		ready |= waiter.ReadableEvents
	}
	if e.count < maxEvents {
		ready |= waiter.WritableEvents
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (e *EventFD) EventRegister(w *waiter.Entry) { e.queue.EventRegister(w) }

// EventUnregister implements waiter.Waitable.
func (e *EventFD) EventUnregister(w *waiter.Entry) { e.queue.EventUnregister(w) }
