package vfs

import (
	"slices"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
)

// FDTable maps file descriptors to file descriptions. It is counted, because
// CLONE_FILES shares it.
type FDTable struct {
	refs atomic.Int64

	mu    sync.RWMutex
	slots []fdSlot
	first int // no slot below is free
}

type fdSlot struct {
	desc    *FileDescription // nil: free
	cloexec bool
}

// NewFDTable makes an empty table with one reference.
func NewFDTable() *FDTable {
	t := &FDTable{}
	t.refs.Store(1)
	return t
}

// IncRef adds a reference (CLONE_FILES).
func (t *FDTable) IncRef() { t.refs.Add(1) }

// DecRef drops a reference; the last one closes all descriptors.
func (t *FDTable) DecRef() {
	if t.refs.Add(-1) == 0 {
		t.closeIf(func(int32, bool) bool { return true })
	}
}

// fdSlotSize is the size of a slot and of what its description takes at least,
// in bytes.
const fdSlotSize = 16 + 160

// Size estimates the bytes of memory that the table takes.
func (t *FDTable) Size() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return uint64(len(t.slots)) * fdSlotSize
}

// Shared says whether there is more than one reference.
func (t *FDTable) Shared() bool { return t.refs.Load() > 1 }

// Fork returns a copy, as fork(2) makes it.
func (t *FDTable) Fork() *FDTable {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := &FDTable{slots: slices.Clone(t.slots), first: t.first}
	n.refs.Store(1)
	for _, s := range n.slots {
		if s.desc != nil {
			s.desc.IncRef()
		}
	}
	return n
}

// Get returns the description of fd with a reference for the caller, or EBADF.
func (t *FDTable) Get(fd int32) (*FileDescription, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].desc == nil {
		return nil, linux.EBADF
	}
	d := t.slots[fd].desc
	d.IncRef()
	return d, nil
}

// Add puts d, whose reference it takes, in the lowest free slot from low on;
// EMFILE if none lies below limit (RLIMIT_NOFILE), and then the reference stays
// the caller's.
func (t *FDTable) Add(d *FileDescription, low int32, cloexec bool, limit uint64) (int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := max(int(low), t.first)
	for i < len(t.slots) && t.slots[i].desc != nil {
		i++
	}
	if uint64(i) >= limit {
		return -1, linux.EMFILE
	}
	t.put(i, fdSlot{d, cloexec})
	if int(low) <= t.first {
		t.first = i + 1
	}
	return int32(i), nil
}

// put needs mu.
func (t *FDTable) put(i int, s fdSlot) {
	for i >= len(t.slots) {
		t.slots = append(t.slots, fdSlot{})
	}
	t.slots[i] = s
}

// Set puts d, whose reference it takes, at fd and closes what was there
// (dup2).
func (t *FDTable) Set(fd int32, d *FileDescription, cloexec bool) {
	t.mu.Lock()
	var old *FileDescription
	if int(fd) < len(t.slots) {
		old = t.slots[fd].desc
	}
	t.put(int(fd), fdSlot{d, cloexec})
	t.mu.Unlock()
	if old != nil {
		t.closed(old)
	}
}

// Close frees fd.
func (t *FDTable) Close(fd int32) error {
	t.mu.Lock()
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].desc == nil {
		t.mu.Unlock()
		return linux.EBADF
	}
	d := t.slots[fd].desc
	t.slots[fd] = fdSlot{}
	t.first = min(t.first, int(fd))
	t.mu.Unlock()
	t.closed(d)
	return nil
}

// closed ends what a process loses when it closes any descriptor of a file: its
// POSIX locks.
func (t *FDTable) closed(d *FileDescription) {
	if l := d.locks(); l != nil {
		l.releaseOwner(t)
	}
	d.DecRef()
}

func (t *FDTable) closeIf(which func(fd int32, cloexec bool) bool) {
	t.mu.Lock()
	var gone []*FileDescription
	for i, s := range t.slots {
		if s.desc != nil && which(int32(i), s.cloexec) {
			gone = append(gone, s.desc)
			t.slots[i] = fdSlot{}
			t.first = min(t.first, i)
		}
	}
	t.mu.Unlock()
	for _, d := range gone {
		t.closed(d)
	}
}

// CloseOnExec closes the descriptors with FD_CLOEXEC.
func (t *FDTable) CloseOnExec() { t.closeIf(func(_ int32, cloexec bool) bool { return cloexec }) }

// CloseRange closes first to last.
func (t *FDTable) CloseRange(first, last uint32) {
	t.closeIf(func(fd int32, _ bool) bool { return uint32(fd) >= first && uint32(fd) <= last })
}

// SetCloexecRange sets FD_CLOEXEC on first to last.
func (t *FDTable) SetCloexecRange(first, last uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.slots {
		if t.slots[i].desc != nil && uint32(i) >= first && uint32(i) <= last {
			t.slots[i].cloexec = true
		}
	}
}

// Cloexec returns FD_CLOEXEC of fd.
func (t *FDTable) Cloexec(fd int32) (bool, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].desc == nil {
		return false, linux.EBADF
	}
	return t.slots[fd].cloexec, nil
}

// SetCloexec sets FD_CLOEXEC of fd.
func (t *FDTable) SetCloexec(fd int32, on bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd < 0 || int(fd) >= len(t.slots) || t.slots[fd].desc == nil {
		return linux.EBADF
	}
	t.slots[fd].cloexec = on
	return nil
}

// List returns the open descriptors in order.
func (t *FDTable) List() []int32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var fds []int32
	for i, s := range t.slots {
		if s.desc != nil {
			fds = append(fds, int32(i))
		}
	}
	return fds
}

// Capacity is the number of slots, as FDSize in /proc/PID/status: a power of
// two from 64 on.
func (t *FDTable) Capacity() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := 64
	for n < len(t.slots) {
		n *= 2
	}
	return n
}
