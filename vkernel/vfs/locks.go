package vfs

import (
	"slices"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// FileLocks are the locks on one inode: flock(2)'s, owned by a file
// description, and POSIX ones (fcntl(2)), owned by an FDTable or, for open file
// description locks, by a description. The zero FileLocks holds none.
type FileLocks struct {
	queue waiter.Queue

	mu    sync.Mutex
	flock []heldFlock
	posix []heldRange // sorted by start; those of one owner never overlap
}

type heldFlock struct {
	owner     any
	exclusive bool
}

type heldRange struct {
	owner      any
	pid        int32
	start, end int64 // end is exclusive; maxOffset for the end of the file
	exclusive  bool
}

const maxOffset = 1<<63 - 1

// LockWaits says who waits for whose POSIX lock, so that a circle is noticed. The
// zero LockWaits is empty.
type LockWaits struct {
	mu    sync.Mutex
	waits map[any]any // by owner
}

// Begin notes that owner waits for blocker; EDEADLK if blocker waits, perhaps
// through others, for owner.
func (w *LockWaits) Begin(owner, blocker any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, n := blocker, 0; at != nil && n <= len(w.waits); at, n = w.waits[at], n+1 {
		if at == owner {
			return linux.EDEADLK
		}
	}
	if w.waits == nil {
		w.waits = map[any]any{}
	}
	w.waits[owner] = blocker
	return nil
}

// End notes that owner does not wait any more.
func (w *LockWaits) End(owner any) {
	w.mu.Lock()
	delete(w.waits, owner)
	w.mu.Unlock()
}

// Blocker returns the owner of a POSIX lock that keeps owner from locking
// [start, end), nil if there is none.
func (l *FileLocks) Blocker(owner any, start, end int64, exclusive bool) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.posix {
		if h.owner != owner && h.start < end && start < h.end && (exclusive || h.exclusive) {
			return h.owner
		}
	}
	return nil
}

// Wait registers e for every release of a lock.
func (l *FileLocks) Wait(e *waiter.Entry) { l.queue.EventRegister(e) }

// StopWait ends Wait.
func (l *FileLocks) StopWait(e *waiter.Entry) { l.queue.EventUnregister(e) }

// Flock takes or changes owner's whole-file lock; EAGAIN if another owner has
// one that conflicts.
func (l *FileLocks) Flock(owner any, exclusive bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := -1
	for i, h := range l.flock {
		if h.owner == owner {
			mine = i
		} else if exclusive || h.exclusive {
			return linux.EAGAIN
		}
	}
	if mine >= 0 {
		l.flock[mine].exclusive = exclusive
		l.queue.Notify(waiter.EventIn)
	} else {
		l.flock = append(l.flock, heldFlock{owner, exclusive})
	}
	return nil
}

// Unflock drops owner's whole-file lock.
func (l *FileLocks) Unflock(owner any) {
	l.mu.Lock()
	l.flock = slices.DeleteFunc(l.flock, func(h heldFlock) bool { return h.owner == owner })
	l.mu.Unlock()
	l.queue.Notify(waiter.EventIn)
}

// Conflict returns a lock that keeps owner from locking [start, end).
func (l *FileLocks) Conflict(owner any, start, end int64, exclusive bool) (linux.Flock, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conflict(owner, start, end, exclusive)
}

func (l *FileLocks) conflict(owner any, start, end int64, exclusive bool) (linux.Flock, bool) {
	for _, h := range l.posix {
		if h.owner != owner && h.start < end && start < h.end && (exclusive || h.exclusive) {
			f := linux.Flock{Type: linux.F_RDLCK, Whence: linux.SEEK_SET, Start: h.start, Len: h.end - h.start, PID: h.pid}
			if h.exclusive {
				f.Type = linux.F_WRLCK
			}
			if h.end == maxOffset {
				f.Len = 0
			}
			return f, true
		}
	}
	return linux.Flock{}, false
}

// Lock takes a POSIX lock on [start, end), replacing what owner has there;
// EAGAIN if another owner has one that conflicts.
func (l *FileLocks) Lock(owner any, pid int32, start, end int64, exclusive bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, busy := l.conflict(owner, start, end, exclusive); busy {
		return linux.EAGAIN
	}
	l.cut(owner, start, end)
	l.posix = append(l.posix, heldRange{owner, pid, start, end, exclusive})
	l.sort()
	l.queue.Notify(waiter.EventIn) // a write lock may have become a read lock
	return nil
}

// Unlock drops what owner has of [start, end).
func (l *FileLocks) Unlock(owner any, start, end int64) {
	l.mu.Lock()
	l.cut(owner, start, end)
	l.sort()
	l.mu.Unlock()
	l.queue.Notify(waiter.EventIn)
}

// cut needs mu. It splits ranges that reach over both ends.
func (l *FileLocks) cut(owner any, start, end int64) {
	var kept []heldRange
	for _, h := range l.posix {
		if h.owner != owner || h.end <= start || h.start >= end {
			kept = append(kept, h)
			continue
		}
		if h.start < start {
			left := h
			left.end = start
			kept = append(kept, left)
		}
		if h.end > end {
			right := h
			right.start = end
			kept = append(kept, right)
		}
	}
	l.posix = kept
}

// sort needs mu. It also joins neighbours, so that F_GETLK reports them as one.
func (l *FileLocks) sort() {
	slices.SortStableFunc(l.posix, func(a, b heldRange) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return 0
	})
	for i := 0; i+1 < len(l.posix); {
		a, b := &l.posix[i], l.posix[i+1]
		if a.owner == b.owner && a.exclusive == b.exclusive && a.end == b.start {
			a.end = b.end
			l.posix = slices.Delete(l.posix, i+1, i+2)
			continue
		}
		i++
	}
}

// releaseOwner drops all that owner holds.
func (l *FileLocks) releaseOwner(owner any) {
	l.mu.Lock()
	before := len(l.flock) + len(l.posix)
	l.flock = slices.DeleteFunc(l.flock, func(h heldFlock) bool { return h.owner == owner })
	l.posix = slices.DeleteFunc(l.posix, func(h heldRange) bool { return h.owner == owner })
	changed := before != len(l.flock)+len(l.posix)
	l.mu.Unlock()
	if changed {
		l.queue.Notify(waiter.EventIn)
	}
}
