package analyzeelf

import "math/bits"

// The loops of this file look at eight bytes at a time: in a sandbox that can be
// stopped every turn of a loop costs as much as a call into the host.

const ones = 0x0101010101010101

// nextWith returns the first index from i on, below end, whose byte has a bit of
// mask, or end.
func nextWith(b []byte, i, end uint32, mask byte) uint32 {
	wide := uint64(mask) * ones
	for ; i+8 <= end; i += 8 {
		if x := le.Uint64(b[i:]) & wide; x != 0 {
			return i + uint32(bits.TrailingZeros64(x))/8
		}
	}
	for ; i < end; i++ {
		if b[i]&mask != 0 {
			return i
		}
	}
	return end
}

// nextZero returns the first index from i on, below end, whose byte is 0, or
// end. The bytes are 0 or 1.
func nextZero(b []byte, i, end uint32) uint32 {
	for ; i+8 <= end; i += 8 {
		if x := le.Uint64(b[i:]) ^ ones; x != 0 {
			return i + uint32(bits.TrailingZeros64(x))/8
		}
	}
	for ; i < end; i++ {
		if b[i] == 0 {
			return i
		}
	}
	return end
}

// nextSet returns the first index from i on, below end, whose byte is 1, or end.
// The bytes are 0 or 1.
func nextSet(b []byte, i, end uint32) uint32 { return nextWith(b, i, end, 1) }

// lastWith returns the last index up to i, from start on, whose byte has a bit
// of mask, or start.
func lastWith(b []byte, start, i uint32, mask byte) uint32 {
	wide := uint64(mask) * ones
	for ; i >= start+8; i -= 8 {
		if x := le.Uint64(b[i-7:]) & wide; x != 0 {
			return i - uint32(bits.LeadingZeros64(x))/8
		}
	}
	for ; i > start; i-- {
		if b[i]&mask != 0 {
			return i
		}
	}
	return start
}

// full is a run of ones to copy from.
func full() [4096]byte {
	var f [4096]byte
	for i := range f {
		f[i] = 1
	}
	return f
}

// fill sets the bytes of b to 1.
func fill(b []byte, ones *[4096]byte) {
	for len(b) > 0 {
		b = b[copy(b, ones[:]):]
	}
}
