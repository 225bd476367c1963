package x87

import "math/bits"

// small describes the m32 and m64 formats.
type small struct {
	frac uint // bits of the fraction
	exp  uint // bits of the exponent
}

var (
	single = small{23, 8}
	double = small{52, 11}
)

func (s small) bias() int32   { return 1<<(s.exp-1) - 1 }
func (s small) expMax() int32 { return 1<<s.exp - 1 }

// widen converts bits of the format to 80 bits, which is exact.
func (u *unit) widen(s small, v uint64) Float80 {
	sign := v>>(s.frac+s.exp)&1 != 0
	exp := int32(v>>s.frac) & s.expMax()
	frac := v & (1<<s.frac - 1) << (63 - s.frac)
	switch {
	case exp == s.expMax() && frac != 0:
		f := pack(sign, expMax, intBit|frac)
		if f.signaling() {
			u.flags |= swIE
		}
		return f.quieted()
	case exp == s.expMax():
		return inf(sign)
	case exp == 0 && frac == 0:
		return zero(sign)
	case exp == 0:
		u.flags |= swDE
		n := bits.LeadingZeros64(frac)
		return pack(sign, expBias-s.bias()+1-int32(n), frac<<n)
	default:
		return pack(sign, exp+expBias-s.bias(), intBit|frac)
	}
}

// raw is widen without quieting NaNs or raising exceptions, for operands.
func raw(s small, v uint64) (f Float80, denormal bool) {
	var u unit
	f = u.widen(s, v)
	if u.flags&swIE != 0 {
		f.Mant &^= quiet
	}
	return f, u.flags&swDE != 0
}

// narrow rounds f to the format.
func (u *unit) narrow(s small, f Float80) uint64 {
	top := uint64(0)
	if f.sign() {
		top = 1 << (s.frac + s.exp)
	}
	infinite := top | uint64(s.expMax())<<s.frac
	switch f.class() {
	case clUnsupported:
		f = u.invalid()
		return 1<<(s.frac+s.exp) | uint64(s.expMax())<<s.frac | 1<<(s.frac-1)
	case clNaN:
		f = u.nan(f, f)
		return infinite | f.Mant&^intBit>>(63-s.frac)
	case clInf:
		return infinite
	case clZero:
		return top
	}
	prec := s.frac + 1
	exp, mant := f.finite()
	exp += s.bias() - expBias
	m, carry, inexact, up := u.roundAt(f.sign(), mant, 0, prec)
	if exp <= 0 && !(exp == 0 && carry) {
		hi, lo := shiftJam(mant, 0, uint(min(1-exp, 200)))
		m, _, inexact, up = u.roundAt(f.sign(), hi, lo, prec)
		if inexact || u.adjusts&swUE != 0 {
			u.flags |= swUE
		}
		u.note(inexact, up)
		return top | m>>(63-s.frac) // a carry into the exponent gives the smallest normal
	}
	if carry {
		m, exp = intBit, exp+1
	}
	if exp >= s.expMax() {
		u.flags |= swOE
		if u.increments(f.sign(), true, true, true) {
			u.note(true, true)
			return infinite
		}
		u.note(true, false)
		return infinite - 1
	}
	u.note(inexact, up)
	return top | uint64(exp)<<s.frac | m&^intBit>>(63-s.frac)
}

// fromInt converts an integer, which is exact.
func fromInt(v int64) Float80 {
	if v == 0 {
		return zero(false)
	}
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	n := bits.LeadingZeros64(m)
	return pack(v < 0, expBias+63-int32(n), m<<n)
}

// toInt rounds f to an integer of size bits; rc is the rounding control to use.
// What does not fit is invalid and gives the smallest integer.
func (u *unit) toInt(f Float80, size uint, rc uint16) uint64 {
	indefinite := uint64(1) << (size - 1)
	mant, ok := u.toMagnitude(f, rc)
	limit := indefinite
	if !f.sign() {
		limit--
	}
	if !ok || mant > limit {
		u.flags = u.flags&^swPE | swIE
		u.up = false
		return indefinite
	}
	if f.sign() {
		mant = -mant
	}
	return mant & (1<<size - 1)
}

// toMagnitude rounds the magnitude of f to an integer below 2^64.
func (u *unit) toMagnitude(f Float80, rc uint16) (uint64, bool) {
	switch f.class() {
	case clZero:
		return 0, true
	case clUnsupported, clNaN, clInf:
		return 0, false
	}
	exp, mant := f.finite()
	shift := expBias + 63 - exp // places of mant behind the point
	if shift < 0 {
		return 0, false
	}
	hi, lo := shiftJam(mant, 0, uint(min(shift, 200)))
	saved := u.rc
	u.rc = rc
	m, carry, inexact, up := u.roundAt(f.sign(), hi, lo, 64)
	u.rc = saved
	if carry {
		return 0, false
	}
	u.note(inexact, up)
	return m, true
}

// roundInt is frndint.
func (u *unit) roundInt(f Float80) Float80 {
	switch f.class() {
	case clUnsupported:
		return u.invalid()
	case clNaN:
		return u.nan(f, f)
	case clZero, clInf:
		return f
	}
	u.denormal(f)
	exp, mant := f.finite()
	shift := expBias + 63 - exp
	if shift <= 0 {
		return f
	}
	hi, lo := shiftJam(mant, 0, uint(min(shift, 200)))
	m, _, inexact, up := u.roundAt(f.sign(), hi, lo, 64)
	u.note(inexact, up)
	if m == 0 {
		return zero(f.sign())
	}
	n := bits.LeadingZeros64(m)
	return pack(f.sign(), expBias+63-int32(n), m<<n)
}

// fromBCD reads 18 packed decimal digits and a sign.
func fromBCD(p []byte) Float80 {
	v := int64(0)
	for i := 8; i >= 0; i-- {
		v = v*100 + int64(p[i]>>4)*10 + int64(p[i]&15)
	}
	f := fromInt(v)
	if p[9]&0x80 != 0 {
		f.SE |= 0x8000
	}
	return f
}

// toBCD is the conversion of fbstp.
func (u *unit) toBCD(f Float80) (p [10]byte) {
	m, ok := u.toMagnitude(f, u.rc)
	if !ok || m > 999_999_999_999_999_999 {
		u.flags = u.flags&^swPE | swIE
		u.up = false
		return [10]byte{7: 0xc0, 8: 0xff, 9: 0xff}
	}
	for i := range 9 {
		p[i] = byte(m%10) | byte(m/10%10)<<4
		m /= 100
	}
	if f.sign() {
		p[9] = 0x80
	}
	return p
}
