package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"megabinary.dev/sdk/guestabi"
)

// Memory is the linear memory of one process: a reserved host mapping of which
// every byte is readable and writable, and of which only touched pages cost
// anything. Linear address 0 is guest address guestabi.AddrBias. Linear page 0
// (64 KiB) belongs to the machines that share the memory: the kernel maps
// nothing there.
//
// A Memory is closed by its maker and by every machine over it; the mapping
// goes when the last of them has. Nobody may hold on to Bytes for longer.
type Memory struct {
	bytes []byte
	unmap func([]byte) error
	pool  *Pool // where the mapping goes; nil: to the host

	remapped atomic.Bool // see Remapped
	shown    []shown     // in order, apart

	refs  atomic.Int64
	slots atomic.Uint64 // bit i: scratch slot i is taken

	cas sync.Mutex // makes cas128 atomic against itself
	one sync.Mutex // see wazeroMachine.one
}

// pageSize is the size of a wasm page, in bytes.
const pageSize = 1 << 16

// NewMemory reserves limit bytes, rounded up to wasm pages: between 2 pages and
// guestabi.MaxPages.
func NewMemory(limit int64) (*Memory, error) { return reserveMemory(limit, nil) }

func reserveMemory(limit int64, pool *Pool) (*Memory, error) {
	pages := max((limit+pageSize-1)/pageSize, 2)
	if limit < 0 || pages > guestabi.MaxPages {
		return nil, fmt.Errorf("reserving guest memory: %d bytes are not between 0 and %d", limit, guestabi.MaxPages*pageSize)
	}
	b, unmap, err := reserve(int(pages) * pageSize)
	if err != nil {
		return nil, fmt.Errorf("reserving %d bytes of guest memory: %w", pages*pageSize, err)
	}
	return wrapMemory(b, unmap, pool), nil
}

func wrapMemory(b []byte, unmap func([]byte) error, pool *Pool) *Memory {
	m := &Memory{bytes: b, unmap: unmap, pool: pool}
	m.refs.Store(1)
	return m
}

// Remapped says that the host pages of r were or will be replaced by shared
// ones. No other process ever gets this mapping.
func (m *Memory) Remapped(r Range) {
	m.remapped.Store(true)
	m.hide(r)
}

// Bytes returns the whole linear memory.
func (m *Memory) Bytes() []byte { return m.bytes }

// retain adds a user. It fails if the memory is gone.
func (m *Memory) retain() error {
	for {
		n := m.refs.Load()
		if n <= 0 {
			return fmt.Errorf("using guest memory: it is closed")
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// Close gives up one use of m.
func (m *Memory) Close() error {
	switch n := m.refs.Add(-1); {
	case n > 0:
		return nil
	case n < 0:
		panic("BUG: guest memory closed more often than it was used")
	}
	b := m.bytes
	hidden := m.hideAll()
	m.bytes = nil
	if hidden == nil && !m.remapped.Load() && m.pool.put(b, m.unmap) {
		return nil
	}
	if err := m.unmap(b); err != nil {
		return fmt.Errorf("releasing guest memory: %w", err)
	}
	return nil
}

// Range is a part of linear memory, in bytes.
type Range struct {
	Start, Size uint64
}

// check returns an error unless r lies in m.
func (m *Memory) check(r Range) error {
	if n := uint64(len(m.bytes)); r.Start > n || r.Size > n-r.Start {
		return fmt.Errorf("linear memory [%#x, +%#x) lies outside of %#x bytes", r.Start, r.Size, n)
	}
	return nil
}

// Zero makes r read as zero and gives whole host pages back to the host.
func (m *Memory) Zero(r Range) error {
	if err := m.check(r); err != nil {
		return fmt.Errorf("zeroing: %w", err)
	}
	b := m.bytes[r.Start : r.Start+r.Size]
	host := uint64(hostPage())
	head := min((host-r.Start%host)%host, r.Size)
	whole := (r.Size - head) / host * host
	clear(b[:head])
	clear(b[head+whole:])
	if whole == 0 {
		return nil
	}
	forget := discard
	if inner := (Range{r.Start + head, whole}); m.shows(inner) {
		defer m.hide(inner)
		forget = anonymous
	}
	if err := forget(b[head : head+whole]); err != nil {
		return fmt.Errorf("zeroing linear memory [%#x, +%#x): %w", r.Start, r.Size, err)
	}
	return nil
}

// Fork makes a memory of the same size that holds what m holds in ranges, which
// are in order and apart, and zeros elsewhere. It returns, too, how many bytes it
// copied: it leaves out what was never touched. The threads over m must stand
// still.
func (m *Memory) Fork(ranges []Range) (*Memory, uint64, error) {
	end := uint64(0)
	for _, r := range ranges {
		if err := m.check(r); err != nil {
			return nil, 0, fmt.Errorf("forking guest memory: %w", err)
		}
		if r.Start < end {
			return nil, 0, fmt.Errorf("forking guest memory: range %#x begins before %#x", r.Start, end)
		}
		end = r.Start + r.Size
	}
	touched := m.pool.touchMap()
	defer touched.close()
	var source []Range
	for _, r := range ranges {
		touched.each(m.bytes, r, func(r Range) { source = append(source, r) })
	}
	var show []shown
	for _, r := range ranges {
		m.shownIn(r, func(s shown) { show = append(show, s) })
	}
	child, err := m.pool.take(len(m.bytes), source, show)
	if err != nil {
		return nil, 0, fmt.Errorf("forking guest memory: %w", err)
	}
	copied := uint64(0)
	for _, r := range source {
		copied += uint64(copy(child.bytes[r.Start:r.Start+r.Size], m.bytes[r.Start:]))
	}
	return child, copied, nil
}

// Move copies what was touched of the n bytes at from to the zeros at to. The
// two do not overlap.
func (m *Memory) Move(to, from, n uint64) error {
	if err := errors.Join(m.check(Range{from, n}), m.check(Range{to, n})); err != nil {
		return fmt.Errorf("moving guest memory: %w", err)
	}
	var show []shown
	m.shownIn(Range{from, n}, func(s shown) {
		s.Start += to - from // wraps
		show = append(show, s)
	})
	m.showAll(show)
	return m.Touched(Range{from, n}, func(r Range) {
		copy(m.bytes[to+r.Start-from:to+n], m.bytes[r.Start:r.Start+r.Size])
	})
}

// Touched calls visit with the parts of r that may hold anything but zeros, or
// what they show, in order.
func (m *Memory) Touched(r Range, visit func(Range)) error {
	if err := m.check(r); err != nil {
		return fmt.Errorf("looking for pages: %w", err)
	}
	touched := m.pool.touchMap()
	defer touched.close()
	touched.each(m.bytes, r, visit)
	return nil
}

// Resident is Touched, with pages of files as far as they are in memory.
func (m *Memory) Resident(r Range, visit func(Range)) error {
	if err := m.check(r); err != nil {
		return fmt.Errorf("looking for pages: %w", err)
	}
	present := m.pool.touchMap()
	defer present.close()
	present.withFiles()
	present.each(m.bytes, r, visit)
	m.shownIn(r, func(s shown) { visit(s.Range) })
	return nil
}

// Write copies src, which may be large, to at.
func (m *Memory) Write(at uint64, src []byte) error {
	r := Range{at, uint64(len(src))}
	var there []Range
	if err := m.Touched(r, func(r Range) { there = append(there, r) }); err != nil {
		return fmt.Errorf("writing guest memory: %w", err)
	}
	m.populate([]Range{r}, there)
	copy(m.bytes[at:], src)
	return nil
}

// populate makes the pages of ranges but for those of there.
func (m *Memory) populate(ranges, there []Range) {
	subtract(ranges, there, func(r Range) { populate(m.bytes[r.Start : r.Start+r.Size]) })
}

// Scratch memory for register files: 64 slots of 1 KiB in linear page 0.
const (
	slotCount = 64
	slotSize  = pageSize / slotCount
)

// slot takes a free scratch slot and returns its linear address.
func (m *Memory) slot() uint32 {
	for {
		used := m.slots.Load()
		for i := range slotCount {
			if used>>i&1 == 0 {
				if m.slots.CompareAndSwap(used, used|1<<i) {
					return uint32(i * slotSize)
				}
				break
			}
		}
		if used == 1<<slotCount-1 {
			runtime.Gosched() // a slot is held for well under a microsecond
		}
	}
}

func (m *Memory) releaseSlot(addr uint32) { m.slots.And(^(uint64(1) << (addr / slotSize))) }

// guest returns the n bytes at guest address addr, nil if they are not all in
// guest memory.
func (m *Memory) guest(addr uint32, n int) []byte {
	at := uint64(addr) - guestabi.AddrBias // wraps for the NULL page
	if at > uint64(len(m.bytes)) || uint64(len(m.bytes))-at < uint64(n) {
		return nil
	}
	return m.bytes[at : at+uint64(n) : at+uint64(n)]
}

// isZero reports whether b holds nothing but zeros.
func isZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// visitNonzero calls visit with the pages of r that hold anything but zeros.
func visitNonzero(mem []byte, r Range, host uint64, visit func(Range)) {
	for at := r.Start; at < r.Start+r.Size; {
		next := min((at/host+1)*host, r.Start+r.Size)
		if !isZero(mem[at:next]) {
			visit(Range{at, next - at})
		}
		at = next
	}
}
