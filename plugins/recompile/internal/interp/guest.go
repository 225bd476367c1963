package interp

import (
	"math/bits"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// guestHelper runs a function of module guest.
func guestHelper(m *machine, in *ir.Inst) ([]Val, bool) {
	arg := func(i int) Val { return m.vals[in.HelperArg(i)] }
	switch in.Helper().Name {
	case guestabi.FuncFMAF64x2:
		x, y, z := arg(0), arg(1), arg(2)
		return []Val{{guestabi.FMA64(x.Lo, y.Lo, z.Lo), guestabi.FMA64(x.Hi, y.Hi, z.Hi)}}, true
	case guestabi.FuncFMAF32x4:
		x, y, z := arg(0), arg(1), arg(2)
		return []Val{{fma32x2(x.Lo, y.Lo, z.Lo), fma32x2(x.Hi, y.Hi, z.Hi)}}, true
	case guestabi.FuncFMAF32x2:
		return []Val{{Lo: fma32x2(arg(0).Lo, arg(1).Lo, arg(2).Lo)}}, true
	case guestabi.FuncPDEP:
		return []Val{{Lo: pdep(arg(0).Lo, arg(1).Lo)}}, true
	case guestabi.FuncPEXT:
		return []Val{{Lo: pext(arg(0).Lo, arg(1).Lo)}}, true
	case guestabi.FuncF32ToF16:
		return []Val{{Lo: uint64(f32ToF16(uint32(arg(0).Lo), uint32(arg(1).Lo)))}}, true
	}
	return nil, false
}

func fma32x2(x, y, z uint64) uint64 {
	return uint64(guestabi.FMA32(uint32(x), uint32(y), uint32(z))) |
		uint64(guestabi.FMA32(uint32(x>>32), uint32(y>>32), uint32(z>>32)))<<32
}

func pdep(src, mask uint64) (r uint64) {
	for ; mask != 0; mask &= mask - 1 {
		r |= mask & -mask * (src & 1)
		src >>= 1
	}
	return r
}

func pext(src, mask uint64) (r uint64) {
	for i := 0; mask != 0; mask &= mask - 1 {
		r |= src >> bits.TrailingZeros64(mask) & 1 << i
		i++
	}
	return r
}

// f32ToF16 rounds the bits of an f32 to those of a half; rc is coded as in
// MXCSR.
func f32ToF16(x, rc uint32) uint32 {
	sign, a := x>>16&0x8000, x&^(1<<31)
	if a >= 0x7f80_0000 {
		if a > 0x7f80_0000 {
			return sign | 0x7e00 | a>>13&0x3ff
		}
		return sign | 0x7c00
	}
	// a is m * 2^-(bits), in units of the smallest half, 2^-24.
	m, drop := uint64(a&0x7f_ffff|0x80_0000), 126-int(a>>23)
	if a>>23 == 0 {
		m, drop = uint64(a), 125
	}
	if a>>23 >= 113 { // normal: the exponent is part of the integer
		m, drop = uint64(a-112<<23), 13
	}
	drop = min(drop, 60)
	q, rem, half := m>>drop, m&(1<<drop-1), uint64(1)<<(drop-1)
	away := rc == 1 && sign != 0 || rc == 2 && sign == 0
	if rc == 0 && (rem > half || rem == half && q&1 == 1) || away && rem != 0 {
		q++
	}
	if q >= 0x7c00 {
		q = 0x7bff
		if rc == 0 || away {
			q = 0x7c00
		}
	}
	return sign | uint32(q)
}
