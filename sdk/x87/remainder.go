package x87

import "math/bits"

// fprem and fprem1.

func fprem(s *State, _ int) uint64  { return s.remainder(false) }
func fprem1(s *State, _ int) uint64 { return s.remainder(true) }

func (s *State) remainder(nearest bool) uint64 {
	if s.empty(0) || s.empty(1) {
		s.stackUnderflow(0)
		s.status &^= swC2
		return 0
	}
	u := s.unit()
	r, q, kind := u.remainder(s.reg(0), s.reg(1), nearest)
	s.raise(u.flags)
	s.status &^= swC1 | swC2
	if kind != noQuotient {
		s.status &^= swC0 | swC3
	}
	if kind == partialQuotient {
		s.status |= swC2
	}
	if q&4 != 0 {
		s.status |= swC0
	}
	if q&2 != 0 {
		s.status |= swC3
	}
	if q&1 != 0 {
		s.status |= swC1
	}
	s.setReg(0, r)
	return 0
}

// quotientKind says what a remainder tells of the quotient.
type quotientKind uint8

const (
	noQuotient quotientKind = iota // the operation was invalid or on NaNs
	partialQuotient
	fullQuotient
)

// remainder returns a - b*q, q being a/b truncated or rounded to nearest even,
// and the low bits of q. If the exponents are 64 or more apart the reduction is
// partial, by the multiple of b that leaves an exponent 32 to 63 lower (Intel
// SDM volume 2, FPREM).
func (u *unit) remainder(a, b Float80, nearest bool) (r Float80, q uint64, kind quotientKind) {
	if r, ok := u.special(a, b); ok {
		return r, 0, noQuotient
	}
	ca, cb := a.class(), b.class()
	if ca == clInf || cb == clZero {
		return u.invalid(), 0, noQuotient
	}
	u.denormal(a)
	u.denormal(b)
	if ca == clZero || cb == clInf {
		return u.exact(a), 0, fullQuotient
	}
	ea, ma := a.finite()
	eb, mb := b.finite()
	diff := ea - eb
	if diff < 0 {
		if !nearest || diff < -1 {
			return u.exact(a), 0, fullQuotient
		}
		// a < b but perhaps a > b/2: 2a is compared with b.
		if ma <= mb {
			return u.exact(a), 0, fullQuotient
		}
		// b is mb<<1 in the units of a; the difference fits, since b < 2a.
		return u.renormalize(!a.sign(), ea, mb<<1-ma), 1, fullQuotient
	}
	n, partial := diff, diff >= 64
	if partial {
		n = diff&31 | 32
	}
	// ma * 2^n divided by mb, bit by bit.
	var quotient uint64
	rest := ma
	over := false // rest has a 65th bit
	for i := int32(0); ; i++ {
		quotient <<= 1
		if over || rest >= mb {
			rest -= mb
			quotient |= 1
		}
		if i == n {
			break
		}
		over = rest>>63 != 0
		rest <<= 1
	}
	sign, e := a.sign(), ea-n
	if partial {
		return u.renormalize(sign, e, rest), 0, partialQuotient
	}
	if nearest && (rest > mb-rest || rest == mb-rest && quotient&1 != 0) {
		rest = mb - rest
		sign = !sign
		quotient++
	}
	if rest == 0 {
		return zero(a.sign()), quotient, fullQuotient
	}
	return u.renormalize(sign, e, rest), quotient, fullQuotient
}

// exact returns a finite value as it is; a pseudo-denormal becomes normal.
func (u *unit) exact(a Float80) Float80 {
	if a.class() == clZero {
		return a
	}
	e, m := a.finite()
	return u.roundTo(a.sign(), e, m, 0, 64)
}

func (u *unit) renormalize(sign bool, exp int32, mant uint64) Float80 {
	if mant == 0 {
		return zero(sign)
	}
	n := bits.LeadingZeros64(mant)
	return u.roundTo(sign, exp-int32(n), mant<<n, 0, 64)
}
