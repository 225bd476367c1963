package anon

import (
	"encoding/binary"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

const (
	// MaxQueuedEvents is fs.inotify.max_queued_events.
	MaxQueuedEvents = 16384
	// inotifyEventSize is that of struct inotify_event, bytes; a name behind it
	// is padded to a multiple of it.
	inotifyEventSize = 16
)

// Inotify is a queue of file system events (inotify(7)).
type Inotify struct {
	base
	queue   waiter.Queue
	watches *vfs.Watches

	// adding keeps watches and wds in step; it comes before Watches' own lock.
	adding sync.Mutex

	mu       sync.Mutex // a leaf
	byKey    map[vfs.WatchKey]*inotifyWatch
	byWD     map[int32]*inotifyWatch
	lastWD   int32
	events   []inotifyEvent
	overflow bool // IN_Q_OVERFLOW is in events
}

type inotifyWatch struct {
	key  vfs.WatchKey
	wd   int32
	mask uint32 // IN_ALL_EVENTS, IN_EXCL_UNLINK and IN_ONESHOT
}

type inotifyEvent struct {
	wd           int32
	mask, cookie uint32
	name         string
}

// size is what the event takes in a read, bytes.
func (e *inotifyEvent) size() int {
	if e.name == "" {
		return inotifyEventSize
	}
	return inotifyEventSize + (len(e.name)+inotifyEventSize)/inotifyEventSize*inotifyEventSize
}

var (
	_ vfs.File         = (*Inotify)(nil)
	_ vfs.Ioctler      = (*Inotify)(nil)
	_ vfs.InodeWatcher = (*Inotify)(nil)
	_ waiter.Waitable  = (*Inotify)(nil)
)

// NewInotify makes a queue without watches. st is what fstat(2) says of it.
func NewInotify(watches *vfs.Watches, st linux.Stat) *Inotify {
	return &Inotify{base: base{st, "anon_inode:inotify"}, watches: watches,
		byKey: map[vfs.WatchKey]*inotifyWatch{}, byWD: map[int32]*inotifyWatch{}}
}

// AddWatch watches an inode, or changes its watch, and returns the watch
// descriptor. mask is that of inotify_add_watch(2); EEXIST with IN_MASK_CREATE.
func (i *Inotify) AddWatch(key vfs.WatchKey, mask uint32) (int32, error) {
	const kept = linux.IN_ALL_EVENTS | linux.IN_EXCL_UNLINK | linux.IN_ONESHOT
	i.adding.Lock()
	defer i.adding.Unlock()
	i.mu.Lock()
	if w := i.byKey[key]; w != nil {
		defer i.mu.Unlock()
		if mask&linux.IN_MASK_CREATE != 0 {
			return 0, linux.EEXIST
		}
		if mask&linux.IN_MASK_ADD == 0 {
			w.mask = 0
		}
		w.mask |= mask & kept
		return w.wd, nil
	}
	i.lastWD++
	w := &inotifyWatch{key, i.lastWD, mask & kept}
	i.byKey[key], i.byWD[w.wd] = w, w
	i.mu.Unlock()
	i.watches.Add(key, i)
	return w.wd, nil
}

// RemoveWatch ends a watch; EINVAL if there is no such descriptor.
func (i *Inotify) RemoveWatch(wd int32) error {
	i.mu.Lock()
	w := i.byWD[wd]
	i.mu.Unlock()
	if w == nil || !i.end(w) {
		return linux.EINVAL
	}
	return nil
}

// end removes a watch and queues IN_IGNORED; false if it is gone already.
func (i *Inotify) end(w *inotifyWatch) bool {
	i.adding.Lock()
	defer i.adding.Unlock()
	i.mu.Lock()
	if i.byWD[w.wd] != w {
		i.mu.Unlock()
		return false
	}
	delete(i.byWD, w.wd)
	delete(i.byKey, w.key)
	i.push(inotifyEvent{wd: w.wd, mask: linux.IN_IGNORED})
	i.mu.Unlock()
	i.watches.Remove(w.key, i)
	i.queue.Notify(waiter.ReadableEvents)
	return true
}

// push needs mu. An event like the one before is left out.
func (i *Inotify) push(e inotifyEvent) {
	n := len(i.events)
	switch {
	case n >= MaxQueuedEvents:
		if !i.overflow {
			i.overflow = true
			i.events = append(i.events, inotifyEvent{wd: -1, mask: linux.IN_Q_OVERFLOW})
		}
	case n > 0 && i.events[n-1] == e && e.mask&linux.IN_IGNORED == 0:
	default:
		i.events = append(i.events, e)
	}
}

// InodeEvent implements vfs.InodeWatcher.
func (i *Inotify) InodeEvent(key vfs.WatchKey, e vfs.InodeEvent) {
	i.mu.Lock()
	w := i.byKey[key]
	if w == nil {
		i.mu.Unlock()
		return
	}
	wanted := w.mask&e.Mask&linux.IN_ALL_EVENTS != 0 && !(e.Unlinked && w.mask&linux.IN_EXCL_UNLINK != 0)
	if wanted {
		i.push(inotifyEvent{w.wd, e.Mask, e.Cookie, e.Name})
	}
	last := e.Mask&linux.IN_DELETE_SELF != 0 || wanted && w.mask&linux.IN_ONESHOT != 0
	i.mu.Unlock()
	if wanted {
		i.queue.Notify(waiter.ReadableEvents)
	}
	if last {
		i.end(w)
	}
}

// ReadAt implements vfs.File: it takes as many events as fit.
func (i *Inotify) ReadAt(p []byte, _ int64) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.events) == 0 {
		return 0, linux.EAGAIN
	}
	done, taken := 0, 0
	for ; taken < len(i.events); taken++ {
		e := &i.events[taken]
		n := e.size()
		if n > len(p)-done {
			break
		}
		b := p[done : done+n]
		clear(b)
		binary.LittleEndian.PutUint32(b, uint32(e.wd))
		binary.LittleEndian.PutUint32(b[4:], e.mask)
		binary.LittleEndian.PutUint32(b[8:], e.cookie)
		binary.LittleEndian.PutUint32(b[12:], uint32(n-inotifyEventSize))
		copy(b[inotifyEventSize:], e.name)
		if e.mask == linux.IN_Q_OVERFLOW {
			i.overflow = false
		}
		done += n
	}
	if taken == 0 {
		return 0, linux.EINVAL
	}
	i.events = i.events[taken:]
	return done, nil
}

// WriteAt implements vfs.File: there is nothing to write.
func (i *Inotify) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }

// Release implements vfs.File: it ends all watches.
func (i *Inotify) Release() {
	i.adding.Lock()
	defer i.adding.Unlock()
	i.mu.Lock()
	keys := i.byKey
	i.byKey, i.byWD, i.events = nil, nil, nil
	i.mu.Unlock()
	for key := range keys {
		i.watches.Remove(key, i)
	}
}

// Ioctl implements vfs.Ioctler: FIONREAD.
func (i *Inotify) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	if req != linux.FIONREAD {
		return 0, linux.ENOTTY
	}
	i.mu.Lock()
	n := 0
	for k := range i.events {
		n += i.events[k].size()
	}
	i.mu.Unlock()
	return 0, t.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

// Asynchronous implements vfs.Asynchronous.
func (i *Inotify) Asynchronous() {}

// Readiness implements waiter.Waitable.
func (i *Inotify) Readiness(mask waiter.EventMask) waiter.EventMask {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.events) == 0 {
		return 0
	}
	return mask & waiter.ReadableEvents
}

// EventRegister implements waiter.Waitable.
func (i *Inotify) EventRegister(e *waiter.Entry) { i.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (i *Inotify) EventUnregister(e *waiter.Entry) { i.queue.EventUnregister(e) }
