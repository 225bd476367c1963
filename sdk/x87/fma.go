package x87

import (
	"math/bits"

	"megabinary.dev/sdk/guestabi"
)

// fma returns x*y+z, to which rounding and exceptions of MXCSR apply once.
func (e *sse) fma(a, b, c uint64) uint64 {
	x, d1 := e.operand(a)
	y, d2 := e.operand(b)
	z, d3 := e.operand(c)
	product := x.class() == clInf && y.class() == clZero || x.class() == clZero && y.class() == clInf
	sign := x.sign() != y.sign()
	switch {
	case x.class() == clNaN || y.class() == clNaN || z.class() == clNaN:
		if x.signaling() || y.signaling() || z.signaling() {
			e.flags |= swIE
		}
		return e.fmaNaN(a, b, c)
	case product, (x.class() == clInf || y.class() == clInf) && z.class() == clInf && sign != z.sign():
		e.flags |= swIE
		return e.round(e.f, indefinite)
	}
	if d1 || d2 || d3 {
		e.flags |= swDE
	}
	switch {
	case x.class() == clInf || y.class() == clInf:
		return e.round(e.f, inf(sign))
	case z.class() == clInf:
		return e.round(e.f, z)
	}
	u := unit{rc: e.rc(), prec: 64, odd: true}
	return e.round(e.f, u.fma(x, y, z))
}

// fmaNaN gives one of the NaNs among the operands.
func (e *sse) fmaNaN(a, b, c uint64) uint64 {
	if e.f == double {
		return guestabi.FMA64(a, b, c)
	}
	return uint64(guestabi.FMA32(uint32(a), uint32(b), uint32(c)))
}

// fma rounds x*y+z, all finite and of few enough bits for the product to be
// exact in 128.
func (u *unit) fma(x, y, z Float80) Float80 {
	ex, mx := x.finite()
	ey, my := y.finite()
	ez, mz := z.finite()
	sp, sz := x.sign() != y.sign(), z.sign()
	if mx == 0 || my == 0 {
		if mz == 0 {
			return u.add(zero(sp), zero(sz), false)
		}
		return u.round(sz, ez, mz, 0)
	}
	hi, lo := bits.Mul64(mx, my)
	ep := ex + ey - expBias + 1
	if hi&intBit == 0 {
		hi, lo, ep = hi<<1|lo>>63, lo<<1, ep-1
	}
	if mz == 0 {
		return u.round(sp, ep, hi, lo)
	}
	zhi, zlo := mz, uint64(0)
	if ez > ep || ez == ep && (zhi > hi || zhi == hi && zlo > lo) { // the larger one first
		hi, lo, ep, zhi, zlo, ez = zhi, zlo, ez, hi, lo, ep
		sp, sz = sz, sp
	}
	zhi, zlo = shiftJam(zhi, zlo, uint(min(ep-ez, 200)))
	if sp == sz {
		var carry uint64
		lo, carry = bits.Add64(lo, zlo, 0)
		hi, carry = bits.Add64(hi, zhi, carry)
		if carry != 0 {
			hi, lo = shiftJam(hi, lo, 1)
			hi, ep = hi|intBit, ep+1
		}
		return u.round(sp, ep, hi, lo)
	}
	var borrow uint64
	lo, borrow = bits.Sub64(lo, zlo, 0)
	hi, _ = bits.Sub64(hi, zhi, borrow)
	return u.normalize(sp, ep, hi, lo)
}
