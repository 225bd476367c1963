package kernel

import (
	"encoding/binary"
	"sync"

	"megabinary.dev/vkernel/linux"
)

// maxAIO bounds the events that all contexts of a process may hold
// (fs.aio-max-nr).
const maxAIO = 65536

// minAIO is how many events a context holds at least: Linux makes its ring larger
// than what was asked for, too.
const minAIO = 32

// aioContexts are the contexts of io_setup(2) of a process, by id.
type aioContexts struct {
	mu    sync.Mutex
	byID  map[uint64]*AIOContext
	total int
}

// AIOEvent is struct io_event: what became of one request.
type AIOEvent struct{ Data, Object, Result, Result2 uint64 }

// Marshal appends the event's bytes to b.
func (e AIOEvent) Marshal(b []byte) []byte {
	for _, v := range []uint64{e.Data, e.Object, e.Result, e.Result2} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// AIOContext holds what was completed and not asked for yet.
type AIOContext struct {
	asked, room int

	mu      sync.Mutex
	events  []AIOEvent
	changed chan struct{} // closed at the next change; nil: nobody waits
	gone    bool
}

// AIOSetup makes a context for n requests, whose id is the address that at
// returns.
func (tg *ThreadGroup) AIOSetup(n int, at func() (uint64, error)) (uint64, error) {
	a := &tg.aio
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > maxAIO-a.total {
		return 0, linux.EAGAIN
	}
	id, err := at()
	if err != nil {
		return 0, err
	}
	if a.byID == nil {
		a.byID = map[uint64]*AIOContext{}
	}
	a.byID[id] = &AIOContext{room: max(2*n, minAIO), asked: n}
	a.total += n
	return id, nil
}

// AIOContext returns a context, EINVAL if there is none.
func (tg *ThreadGroup) AIOContext(id uint64) (*AIOContext, error) {
	tg.aio.mu.Lock()
	defer tg.aio.mu.Unlock()
	if c := tg.aio.byID[id]; c != nil {
		return c, nil
	}
	return nil, linux.EINVAL
}

// AIODestroy forgets a context; who waits for it gets EINVAL.
func (tg *ThreadGroup) AIODestroy(id uint64) error {
	a := &tg.aio
	a.mu.Lock()
	c := a.byID[id]
	if c == nil {
		a.mu.Unlock()
		return linux.EINVAL
	}
	delete(a.byID, id)
	a.total -= c.asked
	a.mu.Unlock()
	c.mu.Lock()
	c.gone = true
	c.announce()
	c.mu.Unlock()
	return nil
}

// forExec drops all contexts.
func (a *aioContexts) forExec() {
	a.mu.Lock()
	a.byID, a.total = nil, 0
	a.mu.Unlock()
}

func (c *AIOContext) announce() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Room returns how many requests can still be taken.
func (c *AIOContext) Room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.room - len(c.events)
}

// Complete adds an event.
func (c *AIOContext) Complete(e AIOEvent) {
	c.mu.Lock()
	c.events = append(c.events, e)
	c.announce()
	c.mu.Unlock()
}

// Take takes up to most events if there are least of them; otherwise it returns
// a channel that is closed when that may have changed.
func (c *AIOContext) Take(least, most int) ([]AIOEvent, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, nil, linux.EINVAL
	}
	if len(c.events) < least {
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		return nil, c.changed, nil
	}
	n := min(most, len(c.events))
	taken := c.events[:n:n]
	c.events = c.events[n:]
	return taken, nil, nil
}
