package machine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/pages"
)

// Mappings bounds how many host mappings the memories of a process of the host
// are cut into: Linux allows 65,530 (vm.max_map_count), and Go ends the process
// when it finds none left for itself. A nil one does not bound.
type Mappings struct {
	used atomic.Int64

	once    sync.Once
	touched *touchMap // of all pools
}

// touchMap returns the one open map of pages; nobody closes it.
func (m *Mappings) touchMap() *touchMap {
	m.once.Do(func() { m.touched = newTouchMap() })
	return m.touched
}

// maxMappings leaves more than a third to everything else.
const maxMappings = 40_000

var errMappings = errors.New("the host's mappings are used up")

// take counts n more; it fails if they are too many.
func (m *Mappings) take(n int) error {
	m.add(n)
	if m != nil && n > 0 && m.used.Load() > maxMappings {
		m.add(-n)
		return errMappings
	}
	return nil
}

// perShown is how many mappings more it takes to have other pages in the middle
// of one.
const perShown = 2

// Cut counts n more mappings of the host that m is cut into; it fails if they are
// too many.
func (m *Memory) Cut(n int) error {
	if m.pool == nil {
		return nil
	}
	return m.pool.mappings.take(n)
}

// CutAlways is Cut for mappings that are there already, or, below zero, are gone.
func (m *Memory) CutAlways(n int) {
	if m.pool != nil {
		m.pool.mappings.add(n)
	}
}

// shown is a part of a memory whose pages are those of a content until they are
// written.
type shown struct {
	Range
	from *pages.Content
	off  int64 // of Start
}

// errNotShown means that the bytes have to be copied.
var errNotShown = errors.New("this host cannot tell written pages from shown ones")

// Show makes r, whole host pages, show c from off on. It fails without harm
// where the host cannot do it: then the bytes have to be copied. Show, Zero,
// Remapped, Move and Fork must not run at the same time.
func (m *Memory) Show(r Range, c *pages.Content, off int64) error {
	if err := m.check(r); err != nil {
		return fmt.Errorf("showing pages: %w", err)
	}
	if host := uint64(hostPage()); (r.Start|r.Size|uint64(off))%host != 0 || r.Size == 0 {
		return errNotShown
	}
	if m.pool == nil || !m.pool.touched.exact() {
		return errNotShown
	}
	if err := m.pool.mappings.take(perShown); err != nil {
		return err
	}
	if err := c.Map(m.bytes[r.Start:r.Start+r.Size], off); err != nil {
		m.pool.mappings.add(-perShown)
		return err
	}
	m.hide(r)
	i, _ := slices.BinarySearchFunc(m.shown, r.Start, func(s shown, at uint64) int { return cmpUint(s.Start, at) })
	m.shown = slices.Insert(m.shown, i, shown{r, c, off})
	return nil
}

// showAll shows what another place shows already. What cannot be shown is copied.
func (m *Memory) showAll(list []shown) {
	for _, s := range list {
		if m.Show(s.Range, s.from, s.off) == nil {
			continue
		}
		dst := m.bytes[s.Start : s.Start+s.Size]
		n := 0
		if b := s.from.Bytes(); s.off < int64(len(b)) {
			n = copy(dst, b[s.off:])
		}
		clear(dst[n:])
	}
}

func (s shown) meets(r Range) bool { return s.Start < r.Start+r.Size && r.Start < s.Start+s.Size }

// shows reports whether any page of r shows a content, or did before it was
// written.
func (m *Memory) shows(r Range) bool {
	return slices.ContainsFunc(m.shown, func(s shown) bool { return s.meets(r) })
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// hide forgets what is shown in r, whose pages something else has replaced or is
// about to.
func (m *Memory) hide(r Range) {
	if !m.shows(r) {
		return
	}
	end := r.Start + r.Size
	var rest []shown
	for _, s := range m.shown {
		if !s.meets(r) {
			rest = append(rest, s)
			continue
		}
		if s.Start < r.Start {
			rest = append(rest, shown{Range{s.Start, r.Start - s.Start}, s.from, s.off})
		}
		if last := s.Start + s.Size; last > end {
			rest = append(rest, shown{Range{end, last - end}, s.from, s.off + int64(end-s.Start)})
		}
	}
	// What is left of one that was cut in two is not refused any more.
	m.pool.mappings.add(perShown * (len(rest) - len(m.shown)))
	m.shown = rest
}

func (m *Mappings) add(n int) {
	if m != nil {
		m.used.Add(int64(n))
	}
}

// shownIn calls visit with the parts of r that show a content.
func (m *Memory) shownIn(r Range, visit func(s shown)) {
	for _, s := range m.shown {
		from, to := max(s.Start, r.Start), min(s.Start+s.Size, r.Start+r.Size)
		if from < to {
			visit(shown{Range{from, to - from}, s.from, s.off + int64(from-s.Start)})
		}
	}
}

// hideAll makes everything that is shown zero.
func (m *Memory) hideAll() error {
	for _, s := range m.shown {
		if err := anonymous(m.bytes[s.Start : s.Start+s.Size]); err != nil {
			return err
		}
	}
	if len(m.shown) > 0 {
		m.pool.mappings.add(-perShown * len(m.shown))
	}
	m.shown = nil
	return nil
}

// Reset makes r what it was before it was written: what it shows, or zero.
func (m *Memory) Reset(r Range) error {
	var err error
	at, end := r.Start, r.Start+r.Size
	m.shownIn(r, func(s shown) {
		if s.Start > at {
			err = errors.Join(err, m.Zero(Range{at, s.Start - at}))
		}
		at = s.Start + s.Size
		err = errors.Join(err, discard(m.bytes[s.Start:at]))
	})
	if at < end {
		err = errors.Join(err, m.Zero(Range{at, end - at}))
	}
	if err != nil {
		return fmt.Errorf("resetting guest memory: %w", err)
	}
	return nil
}

func rangesOf(list []shown) []Range {
	ranges := make([]Range, len(list))
	for i, s := range list {
		ranges[i] = s.Range
	}
	return ranges
}
