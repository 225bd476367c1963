package x87

import "math/bits"

// Arithmetic on 80-bit values. A unit collects the exceptions of one operation
// and what rounding did; an operation reads the rounding mode and the precision
// from it.

type unit struct {
	rc      uint16 // rounding control, bits 10 and 11 of the control word, shifted down
	prec    uint   // bits of the significand: 24, 53 or 64
	flags   uint16 // exceptions raised
	up      bool   // the last rounding went away from zero
	inexact bool
	odd     bool // round to odd: the last bit says that the result is not exact
	// adjusts holds OE and UE where they are not masked: results that are out of
	// range have another exponent then.
	adjusts uint16
}

// Rounding controls.
const (
	rcNearest = 0
	rcDown    = 1
	rcUp      = 2
	rcZero    = 3
)

const (
	expMax  = 0x7fff
	expBias = 0x3fff
	intBit  = 1 << 63
	quiet   = 1 << 62
)

// indefinite is the NaN that invalid operations give.
var indefinite = Float80{Mant: intBit | quiet, SE: 0xffff}

type class uint8

const (
	clZero class = iota
	clDenormal
	clNormal
	clInf
	clNaN // quiet or signalling
	clUnsupported
)

func (f Float80) sign() bool { return f.SE>>15 != 0 }
func (f Float80) exp() int32 { return int32(f.SE & expMax) }

func (f Float80) class() class {
	switch e := f.exp(); {
	case e == 0 && f.Mant == 0:
		return clZero
	case e == 0:
		return clDenormal
	case f.Mant&intBit == 0:
		return clUnsupported
	case e == expMax && f.Mant == intBit:
		return clInf
	case e == expMax:
		return clNaN
	default:
		return clNormal
	}
}

func (f Float80) signaling() bool { return f.class() == clNaN && f.Mant&quiet == 0 }

func (f Float80) quieted() Float80 { return Float80{f.Mant | quiet, f.SE} }

// finite takes a zero, denormal or normal apart, normalised: its value is
// mant * 2^(exp-expBias-63). Zero has mant 0.
func (f Float80) finite() (exp int32, mant uint64) {
	exp, mant = f.exp(), f.Mant
	if exp == 0 && mant != 0 {
		n := bits.LeadingZeros64(mant)
		exp, mant = 1-int32(n), mant<<n
	}
	return exp, mant
}

func pack(sign bool, exp int32, mant uint64) Float80 {
	se := uint16(exp)
	if sign {
		se |= 0x8000
	}
	return Float80{mant, se}
}

func inf(sign bool) Float80  { return pack(sign, expMax, intBit) }
func zero(sign bool) Float80 { return pack(sign, 0, 0) }

// denormal raises DE if f is one.
func (u *unit) denormal(f Float80) {
	if f.class() == clDenormal {
		u.flags |= swDE
	}
}

// nan is the result of an operation of which at least one operand is a NaN
// (Intel SDM volume 1, table 4-7): the NaN with the larger significand, but a
// quiet one goes before a signalling one.
func (u *unit) nan(a, b Float80) Float80 {
	if a.signaling() || b.signaling() {
		u.flags |= swIE
	}
	switch {
	case b.class() != clNaN:
		return a.quieted()
	case a.class() != clNaN:
		return b.quieted()
	case a.signaling() != b.signaling():
		if a.signaling() {
			return b
		}
		return a
	case a.Mant > b.Mant || a.Mant == b.Mant && !a.sign():
		return a.quieted()
	default:
		return b.quieted()
	}
}

func (u *unit) invalid() Float80 {
	u.flags |= swIE
	return indefinite
}

// special handles NaNs and unsupported operands of two-operand operations.
func (u *unit) special(a, b Float80) (Float80, bool) {
	ca, cb := a.class(), b.class()
	if ca == clUnsupported || cb == clUnsupported {
		return u.invalid(), true
	}
	if ca == clNaN || cb == clNaN {
		return u.nan(a, b), true
	}
	return Float80{}, false
}

// shiftJam shifts hi:lo right by n, keeping a one in the last bit if any one was
// shifted out.
func shiftJam(hi, lo uint64, n uint) (uint64, uint64) {
	switch {
	case n == 0:
		return hi, lo
	case n < 64:
		lost := lo << (64 - n)
		lo = hi<<(64-n) | lo>>n
		return hi >> n, lo | b2u(lost != 0)
	case n == 64:
		return 0, hi | b2u(lo != 0)
	case n < 128:
		lost := hi<<(128-n) | lo
		return 0, hi>>(n-64) | b2u(lost != 0)
	default:
		return 0, b2u(hi|lo != 0)
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// increments says whether rounding adds one unit in the last place: half and
// sticky are what lies below it, odd its last bit.
func (u *unit) increments(sign, odd, half, sticky bool) bool {
	switch u.rc {
	case rcNearest:
		return half && (sticky || odd)
	case rcDown:
		return sign && (half || sticky)
	case rcUp:
		return !sign && (half || sticky)
	default:
		return false
	}
}

// roundAt rounds hi:lo to the upper prec bits of hi. carry says that the result
// is 2^64.
func (u *unit) roundAt(sign bool, hi, lo uint64, prec uint) (mant uint64, carry, inexact, up bool) {
	drop := 64 - prec
	var half, sticky bool
	if drop == 0 {
		half, sticky = lo>>63 != 0, lo<<1 != 0
	} else {
		half = hi>>(drop-1)&1 != 0
		sticky = hi&(1<<(drop-1)-1) != 0 || lo != 0
	}
	mant = hi &^ (1<<drop - 1)
	inexact = half || sticky
	if u.odd {
		return mant | b2u(inexact)<<drop, false, inexact, false
	}
	if u.increments(sign, hi>>drop&1 != 0, half, sticky) {
		mant += 1 << drop
		return mant, mant == 0, inexact, true
	}
	return mant, false, inexact, false
}

// round makes a value of hi:lo * 2^(exp-expBias-127), hi being normalised (its
// top bit set) and the last bit of lo sticky. exp may be out of range.
func (u *unit) round(sign bool, exp int32, hi, lo uint64) Float80 {
	return u.roundTo(sign, exp, hi, lo, u.prec)
}

func (u *unit) roundTo(sign bool, exp int32, hi, lo uint64, prec uint) Float80 {
	mant, carry, inexact, up := u.roundAt(sign, hi, lo, prec)
	tiny := exp <= 0 && !(exp == 0 && carry)
	if tiny && u.adjusts&swUE == 0 {
		return u.roundTiny(sign, exp, hi, lo, prec)
	}
	if carry {
		mant, exp = intBit, exp+1
	}
	switch {
	case tiny && exp+biasAdjust <= 0: // only fscale comes this far
		u.flags |= swUE
		u.note(true, false)
		return zero(sign)
	case tiny:
		u.flags |= swUE
		exp += biasAdjust
	case exp >= expMax && u.adjusts&swOE == 0:
		return u.overflow(sign, prec)
	case exp-biasAdjust >= expMax:
		u.flags |= swOE
		u.note(true, true)
		return inf(sign)
	case exp >= expMax:
		u.flags |= swOE
		exp -= biasAdjust
	}
	u.note(inexact, up)
	return pack(sign, exp, mant)
}

// roundTiny rounds a value that lies below the normal range even when rounded
// with an unbounded exponent.
func (u *unit) roundTiny(sign bool, exp int32, hi, lo uint64, prec uint) Float80 {
	hi, lo = shiftJam(hi, lo, uint(1-exp))
	mant, _, inexact, up := u.roundAt(sign, hi, lo, prec)
	if inexact {
		u.flags |= swUE
	}
	u.note(inexact, up)
	return pack(sign, int32(mant>>63), mant)
}

func (u *unit) overflow(sign bool, prec uint) Float80 {
	u.flags |= swOE
	if u.increments(sign, true, true, true) {
		u.note(true, true)
		return inf(sign)
	}
	u.note(true, false)
	return pack(sign, expMax-1, ^uint64(0)<<(64-prec))
}

func (u *unit) note(inexact, up bool) {
	u.up = up
	if inexact {
		u.flags |= swPE
		u.inexact = true
	}
}

// add returns a+b, or a-b if minus.
func (u *unit) add(a, b Float80, minus bool) Float80 {
	if r, ok := u.special(a, b); ok {
		return r
	}
	u.denormal(a)
	u.denormal(b)
	sa, sb := a.sign(), b.sign() != minus
	ca, cb := a.class(), b.class()
	switch {
	case ca == clInf && cb == clInf && sa != sb:
		u.flags &^= swDE
		return u.invalid()
	case ca == clInf:
		return a
	case cb == clInf:
		return inf(sb)
	case ca == clZero && cb == clZero:
		if sa == sb {
			return zero(sa)
		}
		return zero(u.rc == rcDown)
	}
	ea, ma := a.finite()
	eb, mb := b.finite()
	if ma == 0 {
		return u.round(sb, eb, mb, 0)
	}
	if mb == 0 {
		return u.round(sa, ea, ma, 0)
	}
	if ea < eb || ea == eb && ma < mb {
		ea, ma, eb, mb, sa, sb = eb, mb, ea, ma, sb, sa
	}
	hb, lb := shiftJam(mb, 0, uint(min(ea-eb, 200)))
	if sa == sb {
		hi, carry := bits.Add64(ma, hb, 0)
		lo := lb
		if carry != 0 {
			hi, lo = shiftJam(hi, lo, 1)
			hi |= intBit
			ea++
		}
		return u.round(sa, ea, hi, lo)
	}
	lo, borrow := bits.Sub64(0, lb, 0)
	hi, _ := bits.Sub64(ma, hb, borrow)
	return u.normalize(sa, ea, hi, lo)
}

// normalize rounds hi:lo * 2^(exp-expBias-127), which may have leading zeros.
func (u *unit) normalize(sign bool, exp int32, hi, lo uint64) Float80 {
	if hi|lo == 0 {
		return zero(u.rc == rcDown)
	}
	if hi == 0 {
		hi, lo, exp = lo, 0, exp-64
	}
	if n := uint(bits.LeadingZeros64(hi)); n > 0 {
		hi, lo, exp = hi<<n|lo>>(64-n), lo<<n, exp-int32(n)
	}
	return u.round(sign, exp, hi, lo)
}

func (u *unit) mul(a, b Float80) Float80 {
	if r, ok := u.special(a, b); ok {
		return r
	}
	sign := a.sign() != b.sign()
	ca, cb := a.class(), b.class()
	if ca == clInf && cb == clZero || ca == clZero && cb == clInf {
		return u.invalid()
	}
	u.denormal(a)
	u.denormal(b)
	switch {
	case ca == clInf || cb == clInf:
		return inf(sign)
	case ca == clZero || cb == clZero:
		return zero(sign)
	}
	ea, ma := a.finite()
	eb, mb := b.finite()
	hi, lo := bits.Mul64(ma, mb)
	exp := ea + eb - expBias + 1
	if hi&intBit == 0 {
		hi, lo, exp = hi<<1|lo>>63, lo<<1, exp-1
	}
	return u.round(sign, exp, hi, lo)
}

func (u *unit) div(a, b Float80) Float80 {
	if r, ok := u.special(a, b); ok {
		return r
	}
	sign := a.sign() != b.sign()
	ca, cb := a.class(), b.class()
	switch {
	case ca == clInf && cb == clInf, ca == clZero && cb == clZero:
		return u.invalid()
	case ca == clInf:
		u.denormal(b)
		return inf(sign)
	case cb == clInf:
		u.denormal(a)
		return zero(sign)
	case cb == clZero:
		u.flags |= swZE
		return inf(sign)
	}
	u.denormal(a)
	u.denormal(b)
	if ca == clZero {
		return zero(sign)
	}
	ea, ma := a.finite()
	eb, mb := b.finite()
	exp := ea - eb + expBias - 1
	hi, lo := ma, uint64(0)
	if ma >= mb {
		hi, lo, exp = ma>>1, ma<<63, exp+1
	}
	q, r := bits.Div64(hi, lo, mb)
	q2, r := bits.Div64(r, 0, mb)
	return u.round(sign, exp, q, q2|b2u(r != 0))
}

func (u *unit) sqrt(a Float80) Float80 {
	switch a.class() {
	case clUnsupported:
		return u.invalid()
	case clNaN:
		return u.nan(a, a)
	case clZero:
		return a
	}
	if a.sign() {
		return u.invalid()
	}
	if a.class() == clInf {
		return a
	}
	u.denormal(a)
	exp, m := a.finite()
	e := exp - expBias
	hi, lo := m>>1, m<<63 // m * 2^63
	if e&1 != 0 {
		hi, lo, e = m, 0, e-1
	}
	root, above, exact := sqrt128(hi, lo)
	rest := uint64(0)
	switch {
	case above:
		rest = 1<<63 | 1
	case !exact:
		rest = 1
	}
	return u.round(false, e/2+expBias, root, rest)
}

// sqrt128 returns the integer square root of hi:lo, which is at least 2^126;
// above says that the rest is more than one half.
func sqrt128(hi, lo uint64) (root uint64, above, exact bool) {
	var rhi, rlo uint64 // remainder
	for range 64 {
		// Bring down two bits.
		rhi = rhi<<2 | rlo>>62
		rlo = rlo<<2 | hi>>62
		hi, lo = hi<<2|lo>>62, lo<<2
		// Try root*4+1.
		thi, tlo := root>>62, root<<2|1
		root <<= 1
		if d, borrow := bits.Sub64(rlo, tlo, 0); rhi > thi || rhi == thi && borrow == 0 {
			rhi, _ = bits.Sub64(rhi, thi, borrow)
			rlo = d
			root |= 1
		}
	}
	return root, rhi != 0 || rlo > root, rhi|rlo == 0
}

// order is the result of a comparison.
type order uint8

const (
	less order = iota
	equal
	greater
	unordered
)

// compare compares a with b; NaNs raise IE, quiet ones only if signals.
func (u *unit) compare(a, b Float80, signals bool) order {
	ca, cb := a.class(), b.class()
	if ca == clUnsupported || cb == clUnsupported {
		u.flags |= swIE
		return unordered
	}
	if ca == clNaN || cb == clNaN {
		if signals || a.signaling() || b.signaling() {
			u.flags |= swIE
		}
		return unordered
	}
	u.denormal(a)
	u.denormal(b)
	switch {
	case ca == clZero && cb == clZero:
		return equal
	case a.sign() != b.sign():
		if a.sign() {
			return less
		}
		return greater
	}
	ea, ma := magnitude(a)
	eb, mb := magnitude(b)
	switch {
	case ea == eb && ma == mb:
		return equal
	case (ea < eb || ea == eb && ma < mb) != a.sign():
		return less
	default:
		return greater
	}
}

func magnitude(f Float80) (int32, uint64) {
	e, m := f.finite()
	if m == 0 {
		e = -1 << 20
	}
	return e, m
}
