package anon

import (
	"slices"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Epoll is a set of files to wait for (epoll(7)).
type Epoll struct {
	base
	queue waiter.Queue

	// mu is taken before the locks of the files in the set, never while one of
	// them is held: what they call is notified, not mu.
	mu    sync.Mutex
	items []*epollItem // in the order in which they get their turn
}

// epollItem is one file of the set. The description is not counted: when its
// last reference goes, the item goes.
type epollItem struct {
	fd     int32
	desc   *vfs.FileDescription
	events uint32
	data   uint64
	entry  *waiter.Entry

	edgeMu   sync.Mutex
	edge     bool // something has happened since it was last reported
	disabled bool // EPOLLONESHOT has been reported; guarded by Epoll.mu
}

var (
	_ vfs.File        = (*Epoll)(nil)
	_ waiter.Waitable = (*Epoll)(nil)
)

// NewEpoll makes an empty set.
func NewEpoll(st linux.Stat) *Epoll { return &Epoll{base: base{st, "anon_inode:[eventpoll]"}} }

// privateEvents are flags of the set, not events of a file.
const privateEvents = linux.EPOLLET | linux.EPOLLONESHOT | linux.EPOLLWAKEUP | linux.EPOLLEXCLUSIVE

func (e *Epoll) find(fd int32, d *vfs.FileDescription) int {
	return slices.IndexFunc(e.items, func(i *epollItem) bool { return i.fd == fd && i.desc == d })
}

// maxNests is how many sets may be in one another below a set (EP_MAX_NESTS).
const maxNests = 4

// nests returns how deep sets are in e, 0 if it holds none; more than maxNests
// if e leads to top.
func (e *Epoll) nests(top *Epoll, depth int) int {
	if e == top || depth > maxNests {
		return maxNests + 1
	}
	e.mu.Lock()
	var inner []*Epoll
	for _, i := range e.items {
		if n, ok := i.desc.File().(*Epoll); ok {
			inner = append(inner, n)
		}
	}
	e.mu.Unlock()
	deepest := 0
	for _, n := range inner {
		deepest = max(deepest, 1+n.nests(top, depth+1))
	}
	return deepest
}

// AddNested is Add for a file that may be a set itself. nesting is shared by all
// sets that can meet: it keeps two from being put into one another.
func (e *Epoll) AddNested(nesting *sync.Mutex, fd int32, d *vfs.FileDescription, ev linux.EpollEvent) error {
	other, ok := d.File().(*Epoll)
	if !ok {
		return e.Add(fd, d, ev)
	}
	nesting.Lock()
	defer nesting.Unlock()
	switch {
	case other == e:
		return linux.EINVAL
	case ev.Events&linux.EPOLLEXCLUSIVE != 0:
		return linux.EINVAL
	case other.nests(e, 0) >= maxNests:
		return linux.ELOOP
	}
	return e.Add(fd, d, ev)
}

// Add implements EPOLL_CTL_ADD.
func (e *Epoll) Add(fd int32, d *vfs.FileDescription, ev linux.EpollEvent) error {
	const exclusive = linux.POLLIN | linux.POLLOUT | linux.POLLERR | linux.POLLHUP | linux.EPOLLWAKEUP | linux.EPOLLET | linux.EPOLLEXCLUSIVE
	switch {
	case !d.Pollable():
		return linux.EPERM
	case ev.Events&linux.EPOLLEXCLUSIVE != 0 && ev.Events&^exclusive != 0:
		return linux.EINVAL
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.find(fd, d) >= 0 {
		return linux.EEXIST
	}
	item := &epollItem{fd: fd, desc: d}
	e.items = append(e.items, item)
	d.OnRelease(item, func() { e.forget(item) })
	e.watch(item, ev)
	return nil
}

// watch registers for an item's events. It needs mu.
func (e *Epoll) watch(item *epollItem, ev linux.EpollEvent) {
	item.events, item.data, item.disabled = ev.Events, ev.Data, false
	item.setEdge()
	notify := func(waiter.EventMask) bool {
		item.setEdge()
		return e.queue.Notify(waiter.ReadableEvents)
	}
	item.entry = waiter.NewExclusiveEntry(waiter.EventMask(ev.Events&^privateEvents), ev.Events&linux.EPOLLEXCLUSIVE != 0, notify)
	item.desc.EventRegister(item.entry)
	e.queue.Notify(waiter.ReadableEvents)
}

func (i *epollItem) setEdge() {
	i.edgeMu.Lock()
	i.edge = true
	i.edgeMu.Unlock()
}

// Modify implements EPOLL_CTL_MOD.
func (e *Epoll) Modify(fd int32, d *vfs.FileDescription, ev linux.EpollEvent) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.find(fd, d)
	if i < 0 {
		return linux.ENOENT
	}
	item := e.items[i]
	if (item.events|ev.Events)&linux.EPOLLEXCLUSIVE != 0 {
		return linux.EINVAL
	}
	item.desc.EventUnregister(item.entry)
	e.watch(item, ev)
	return nil
}

// Delete implements EPOLL_CTL_DEL.
func (e *Epoll) Delete(fd int32, d *vfs.FileDescription) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.find(fd, d)
	if i < 0 {
		return linux.ENOENT
	}
	item := e.items[i]
	e.items = slices.Delete(e.items, i, i+1)
	item.desc.EventUnregister(item.entry)
	item.desc.OnRelease(item, nil)
	return nil
}

// forget drops an item whose file is being released.
func (e *Epoll) forget(item *epollItem) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.items, item); i >= 0 {
		e.items = slices.Delete(e.items, i, i+1)
		item.desc.EventUnregister(item.entry)
	}
}

// ready returns an item's events that hold and are due; consume takes an edge
// off the item, before the look at the file, so that none is lost. It needs mu.
func (i *epollItem) ready(consume bool) uint32 {
	if i.disabled {
		return 0
	}
	if i.events&linux.EPOLLET != 0 {
		i.edgeMu.Lock()
		edge := i.edge
		i.edge = edge && !consume
		i.edgeMu.Unlock()
		if !edge {
			return 0
		}
	}
	mask := waiter.EventMask(i.events&^privateEvents) | waiter.AlwaysEvents
	return uint32(i.desc.Readiness(mask))
}

// Collect returns up to n events. What was reported goes to the end of the
// line, so that every file gets its turn.
func (e *Epoll) Collect(n int) []linux.EpollEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	var events []linux.EpollEvent
	var reported, rest []*epollItem
	for _, i := range e.items {
		var got uint32
		if len(events) < n {
			got = i.ready(true)
		}
		if got == 0 {
			rest = append(rest, i)
			continue
		}
		if i.events&linux.EPOLLONESHOT != 0 {
			i.disabled = true
		}
		events = append(events, linux.EpollEvent{Events: got, Data: i.data})
		reported = append(reported, i)
	}
	e.items = append(rest, reported...)
	return events
}

// ReadAt implements vfs.File.
func (e *Epoll) ReadAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// WriteAt implements vfs.File.
func (e *Epoll) WriteAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// Release implements vfs.File.
func (e *Epoll) Release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.items {
		i.desc.EventUnregister(i.entry)
		i.desc.OnRelease(i, nil)
	}
	e.items = nil
}

// Readiness implements waiter.Waitable: a set with something to report can be
// read.
func (e *Epoll) Readiness(mask waiter.EventMask) waiter.EventMask {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.items, func(i *epollItem) bool { return i.ready(false) != 0 }) {
		return mask & waiter.ReadableEvents
	}
	return 0
}

// EventRegister implements waiter.Waitable.
func (e *Epoll) EventRegister(w *waiter.Entry) { e.queue.EventRegister(w) }

// EventUnregister implements waiter.Waitable.
func (e *Epoll) EventUnregister(w *waiter.Entry) { e.queue.EventUnregister(w) }
