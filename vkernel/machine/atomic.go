package machine

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"unsafe"

	"megabinary.dev/sdk/guestabi"
)

// hostAtomic is a read-modify-write at an address that wasm's own atomics trap
// on. x86-64 locks any bytes, and so does Go's compare-and-swap there. On other
// hosts it is atomic only against itself.
func hostAtomic(c *core, s []uint64) {
	op, size := guestabi.AtomicOp(s[0]&0xff), int(s[0]>>8&0xff)
	addr := uint32(s[1])
	b := c.mem.mustGuest(addr, size)
	if runtime.GOARCH != "amd64" {
		c.mem.cas.Lock()
		defer c.mem.cas.Unlock()
		var word [8]byte
		copy(word[:], b)
		old := binary.LittleEndian.Uint64(word[:])
		binary.LittleEndian.PutUint64(word[:], op.Apply(old, s[2], s[3]))
		copy(b, word[:])
		s[0] = old
		return
	}
	if size == 8 {
		p := (*uint64)(unsafe.Pointer(unsafe.SliceData(b)))
		for {
			old := atomic.LoadUint64(p)
			if atomic.CompareAndSwapUint64(p, old, op.Apply(old, s[2], s[3])) {
				s[0] = old
				return
			}
		}
	}
	shift := 0
	if size < 4 { // within four bytes that are in memory
		if b = c.mem.guest(addr, 4); b == nil {
			b, shift = c.mem.mustGuest(addr-uint32(4-size), 4), 8*(4-size)
		}
	}
	p := (*uint32)(unsafe.Pointer(unsafe.SliceData(b)))
	mask := uint32(1<<(8*size)-1) << shift
	for {
		word := atomic.LoadUint32(p)
		old := uint64(word & mask >> shift)
		value := uint32(op.Apply(old, s[2], s[3])) << shift & mask
		if atomic.CompareAndSwapUint32(p, word, word&^mask|value) {
			s[0] = old
			return
		}
	}
}
