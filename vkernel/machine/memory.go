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

	refs  atomic.Int64
	slots atomic.Uint64 // bit i: scratch slot i is taken

	cas sync.Mutex // makes cas128 atomic against itself
	one sync.Mutex // see wazeroMachine.one
}

// pageSize is the size of a wasm page, in bytes.
const pageSize = 1 << 16

// NewMemory reserves limit bytes, rounded up to wasm pages: between 2 pages and
// guestabi.MaxPages.
func NewMemory(limit int64) (*Memory, error) {
	pages := max((limit+pageSize-1)/pageSize, 2)
	if limit < 0 || pages > guestabi.MaxPages {
		return nil, fmt.Errorf("reserving guest memory: %d bytes are not between 0 and %d", limit, guestabi.MaxPages*pageSize)
	}
	b, unmap, err := reserve(int(pages) * pageSize)
	if err != nil {
		return nil, fmt.Errorf("reserving %d bytes of guest memory: %w", pages*pageSize, err)
	}
	m := &Memory{bytes: b, unmap: unmap}
	m.refs.Store(1)
	return m, nil
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
	m.bytes = nil
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
	if err := discard(b[head : head+whole]); err != nil {
		return fmt.Errorf("zeroing linear memory [%#x, +%#x): %w", r.Start, r.Size, err)
	}
	return nil
}

// Fork makes a memory of the same size that holds what m holds in ranges, and
// zeros elsewhere. The threads over m must stand still.
func (m *Memory) Fork(ranges []Range) (*Memory, error) {
	child, err := NewMemory(int64(len(m.bytes)))
	if err != nil {
		return nil, fmt.Errorf("forking guest memory: %w", err)
	}
	if _, err := m.CopyTo(child, ranges); err != nil {
		return nil, errors.Join(fmt.Errorf("forking guest memory: %w", err), child.Close())
	}
	return child, nil
}

// CopyTo copies ranges to the same places of child, where nothing was written
// before, and returns how many bytes it copied: it leaves out what was never
// touched in m.
func (m *Memory) CopyTo(child *Memory, ranges []Range) (uint64, error) {
	for _, r := range ranges {
		if err := errors.Join(m.check(r), child.check(r)); err != nil {
			return 0, fmt.Errorf("copying guest memory: %w", err)
		}
	}
	touched := newTouchMap()
	defer touched.close()
	copied := uint64(0)
	for _, r := range ranges {
		touched.each(m.bytes, r, func(r Range) {
			to := child.bytes[r.Start : r.Start+r.Size]
			populate(to)
			copy(to, m.bytes[r.Start:r.Start+r.Size])
			copied += r.Size
		})
	}
	return copied, nil
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
