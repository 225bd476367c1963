// Package waiter lets a task wait until something is ready: a pipe for reading,
// a terminal for writing. What can be waited for never blocks by itself; whoever
// wants to wait registers an entry, looks again, and sleeps on its channel.
package waiter

import "sync"

// EventMask is a set of poll events, with the bits of poll(2).
type EventMask uint32

// The events.
const (
	EventIn     EventMask = 0x0001
	EventPri    EventMask = 0x0002
	EventOut    EventMask = 0x0004
	EventErr    EventMask = 0x0008
	EventHUp    EventMask = 0x0010
	EventNVal   EventMask = 0x0020
	EventRdNorm EventMask = 0x0040
	EventRdBand EventMask = 0x0080
	EventWrNorm EventMask = 0x0100
	EventWrBand EventMask = 0x0200
	EventRdHUp  EventMask = 0x2000

	ReadableEvents = EventIn | EventRdNorm
	WritableEvents = EventOut | EventWrNorm
	// AlwaysEvents are reported whether they were asked for or not.
	AlwaysEvents = EventErr | EventHUp
)

// Waitable is something whose readiness changes.
type Waitable interface {
	// Readiness returns the events of mask that hold now. It never blocks.
	Readiness(mask EventMask) EventMask
	// EventRegister makes e hear of events from now on. It may hear of events
	// that have passed when it looks, so it must look at Readiness again.
	EventRegister(e *Entry)
	EventUnregister(e *Entry)
}

// Entry is one registration. It may be in several queues.
type Entry struct {
	mask      EventMask
	exclusive bool
	notify    func(EventMask) bool // whether somebody was woken
}

// NewEntry makes an entry that calls notify, which must not block nor call the
// queue, for events of mask and AlwaysEvents.
func NewEntry(mask EventMask, notify func(EventMask)) *Entry {
	return NewExclusiveEntry(mask, false, func(m EventMask) bool {
		notify(m)
		return true
	})
}

// NewExclusiveEntry is NewEntry; if exclusive, an event that another exclusive
// entry of the queue has woken somebody for is not told to it. notify returns
// whether it has woken anybody.
func NewExclusiveEntry(mask EventMask, exclusive bool, notify func(EventMask) bool) *Entry {
	return &Entry{mask | AlwaysEvents, exclusive, notify}
}

// NewChannelEntry makes an entry that puts a token in the channel, if it holds
// none.
func NewChannelEntry(mask EventMask) (*Entry, chan struct{}) {
	ch := make(chan struct{}, 1)
	return NewEntry(mask, func(EventMask) {
		select {
		case ch <- struct{}{}:
		default:
		}
	}), ch
}

// Queue holds the entries that wait for one thing. The zero Queue is empty.
type Queue struct {
	mu      sync.Mutex
	entries []*Entry // in order of registration
}

// EventRegister adds e.
func (q *Queue) EventRegister(e *Entry) {
	q.mu.Lock()
	q.entries = append(q.entries, e)
	q.mu.Unlock()
}

// EventUnregister removes e, if it is there.
func (q *Queue) EventUnregister(e *Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, have := range q.entries {
		if have == e {
			q.entries = append(q.entries[:i], q.entries[i+1:]...)
			return
		}
	}
}

// Notify tells every entry that waits for an event of mask, and returns whether
// anybody was woken.
func (q *Queue) Notify(mask EventMask) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	woken, taken := false, -1 // taken is the exclusive entry that has had the event
	for i, e := range q.entries {
		if e.mask&mask == 0 || e.exclusive && taken >= 0 {
			continue
		}
		if !e.notify(mask & e.mask) {
			continue
		}
		woken = true
		if e.exclusive {
			taken = i
		}
	}
	if taken >= 0 { // the others get their turn first
		e := q.entries[taken]
		q.entries = append(append(q.entries[:taken:taken], q.entries[taken+1:]...), e)
	}
	return woken
}
