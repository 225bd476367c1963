package machine

import (
	"errors"
	"fmt"
	"sync"
)

// Pool keeps the mappings of memories that were closed, and their pages, for
// the memories that follow: that a host makes a page costs ten times what
// copying one does, and taking pages away interrupts every processor. What a
// process has left in a mapping is overwritten or wiped before anyone else sees
// it. A pool serves one container; a nil one keeps nothing.
type Pool struct {
	mu     sync.Mutex
	idle   []idleMapping // in the order in which they came
	size   uint64        // bytes in their pages
	closed bool

	mappings *Mappings
	touched  *touchMap // its file closes when nothing refers to it: memories may outlive the pool
}

// idleMapping is a mapping that nobody uses.
type idleMapping struct {
	bytes []byte
	unmap func([]byte) error
	stale []Range // what a process has left there; zeros elsewhere
	size  uint64  // bytes in stale
}

const (
	maxIdle     = 4
	maxIdleSize = 32 << 20 // bytes in the pages of all idle mappings
	// wipeNew and wipeFork are how many bytes of a mapping are wiped by writing
	// zeros; the host takes the pages back of what is above. What a new memory
	// has at low addresses is about to become the program, the pages of a fork
	// beside those of its parent serve nobody.
	wipeNew  = 2 << 20
	wipeFork = 128 << 10
)

// NewPool returns an empty pool whose memories are cut into what mappings allows.
func NewPool(mappings *Mappings) *Pool {
	p := &Pool{mappings: mappings}
	if mappings != nil {
		p.touched = mappings.touchMap()
	} else {
		p.touched = newTouchMap()
	}
	return p
}

// NewMemory is NewMemory for a memory whose mapping goes to p in the end, and
// so do those of its forks.
func (p *Pool) NewMemory(limit int64) (*Memory, error) {
	pages := max((limit+pageSize-1)/pageSize, 2)
	if idle, ok := p.idleOf(pages * pageSize); ok {
		return p.reuse(idle, nil, nil, wipeNew)
	}
	return reserveMemory(limit, p)
}

// take returns a memory of n bytes that shows what show says, and in which source
// is about to be written: it may hold anything there, and holds zeros elsewhere.
func (p *Pool) take(n int, source []Range, show []shown) (*Memory, error) {
	if idle, ok := p.idleOf(int64(n)); ok {
		return p.reuse(idle, source, show, wipeFork)
	}
	m, err := reserveMemory(int64(n), p)
	if err != nil {
		return nil, err
	}
	m.showAll(show)
	m.populate(source, nil)
	return m, nil
}

// idleOf takes the mapping of n bytes that was in use last.
func (p *Pool) idleOf(n int64) (idleMapping, bool) {
	if p == nil {
		return idleMapping{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if m := p.idle[i]; int64(len(m.bytes)) == n {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.size -= m.size
			return m, true
		}
	}
	return idleMapping{}, false
}

// reuse makes a memory of an idle mapping, see take. It writes at most budget
// zeros.
func (p *Pool) reuse(idle idleMapping, source []Range, show []shown, budget uint64) (*Memory, error) {
	m := wrapMemory(idle.bytes, idle.unmap, p)
	m.showAll(show)
	var err error
	stale := idle.stale
	if len(show) > 0 { // new pages lie there
		stale = nil
		subtract(idle.stale, rangesOf(show), func(r Range) { stale = append(stale, r) })
	}
	subtract(stale, source, func(r Range) {
		n := min(r.Size, budget)
		budget -= n
		clear(m.bytes[r.Start : r.Start+n])
		if n < r.Size {
			err = errors.Join(err, m.Zero(Range{r.Start + n, r.Size - n}))
		}
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wiping the memory of an earlier process: %w", err), m.unmap(m.bytes))
	}
	m.populate(source, stale)
	return m, nil
}

// put keeps a mapping, unless it cannot be told what to wipe, or that is too
// much.
func (p *Pool) put(b []byte, unmap func([]byte) error) bool {
	if p == nil {
		return false
	}
	stale, ok := p.touchMap().all(b)
	if !ok {
		return false
	}
	m := idleMapping{bytes: b, unmap: unmap, stale: stale}
	for _, r := range stale {
		m.size += r.Size
	}
	if m.size > maxIdleSize {
		return false
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.idle = append(p.idle, m)
	p.size += m.size
	drop := 0
	for len(p.idle)-drop > maxIdle || p.size > maxIdleSize {
		p.size -= p.idle[drop].size
		drop++
	}
	dropped := append([]idleMapping(nil), p.idle[:drop]...)
	p.idle = append(p.idle[:0], p.idle[drop:]...)
	p.mu.Unlock()
	_ = unmapAll(dropped) // one that stays is lost, but nobody's
	return true
}

// Close gives all idle mappings back to the host. Memories that are in use stay
// and are given back when they are closed.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.size, p.closed = nil, 0, true
	p.mu.Unlock()
	if err := unmapAll(idle); err != nil {
		return fmt.Errorf("releasing idle guest memory: %w", err)
	}
	return nil
}

func unmapAll(list []idleMapping) error {
	var err error
	for _, m := range list {
		err = errors.Join(err, m.unmap(m.bytes))
	}
	return err
}

// touchMap returns a map that the caller closes.
func (p *Pool) touchMap() *touchMap {
	if p == nil {
		return newTouchMap()
	}
	return p.touched.share()
}

// subtract calls visit with the parts of a that no range of b covers. Both are
// in order, and the ranges of each are apart.
func subtract(a, b []Range, visit func(Range)) {
	for _, r := range a {
		at, end := r.Start, r.Start+r.Size
		for len(b) > 0 && b[0].Start+b[0].Size <= at {
			b = b[1:]
		}
		for _, s := range b {
			if s.Start >= end {
				break
			}
			if s.Start > at {
				visit(Range{at, s.Start - at})
			}
			at = max(at, min(end, s.Start+s.Size))
		}
		if at < end {
			visit(Range{at, end - at})
		}
	}
}
