package x87

// The transcendental instructions. The results for zeros, infinities and NaNs
// are those of the tables in Intel SDM volume 2.

var (
	f2xm1   = unary((*unit).exp2m1)
	fyl2x   = binary2(func(_ *State, u *unit, x, y Float80) Float80 { return u.yLog2(x, y) }, true)
	fyl2xp1 = binary2(func(_ *State, u *unit, x, y Float80) Float80 { return u.yLog2p1(x, y) }, true)
	fpatan  = binary2(func(_ *State, u *unit, x, y Float80) Float80 { return u.atan2(y, x) }, true)
	fsin    = trig(func(u *unit, v Float80) Float80 { s, _ := u.sinCos(v); return s })
	fcos    = trig(func(u *unit, v Float80) Float80 { _, c := u.sinCos(v); return c })
)

var one80 = Float80{intBit, expBias}

// rangeExp is the exponent of 2^63, from which on fsin and its like give up.
const rangeExp = expBias + 63

// outOfRange reports whether v is a finite operand that is too large.
func outOfRange(v Float80) bool { return v.class() == clNormal && v.exp() >= rangeExp }

// trig makes fsin and fcos: C2 says that the operand is out of range.
func trig(f func(u *unit, v Float80) Float80) one {
	apply := unary(f)
	return func(s *State, i int) uint64 {
		s.status &^= swC2
		if !s.empty(0) && outOfRange(s.reg(0)) {
			s.status = s.status&^swC1 | swC2
			return 0
		}
		return apply(s, i)
	}
}

// sinCos rounds sine and cosine. u has the flags of both; the caller of one of
// them gets those of rounding the other, too, which are the same.
func (u *unit) sinCos(v Float80) (sin, cos Float80) {
	switch v.class() {
	case clUnsupported, clInf:
		r := u.invalid()
		return r, r
	case clNaN:
		r := u.nan(v, v)
		return r, r
	case clZero:
		return v, one80
	}
	u.denormal(v)
	s, c := sinCos(toBig(v, reducePrec))
	cu := *u
	cos = cu.fromBig(c)
	sin = u.fromBig(s)
	return sin, cos
}

// pushes makes fsincos and fptan: ST(0) is replaced and another value pushed.
func pushes(f func(u *unit, v Float80) (first, second Float80)) one {
	return func(s *State, _ int) uint64 {
		s.status &^= swC1 | swC2
		switch {
		case s.empty(0):
			s.underflow()
		case !s.full():
			if outOfRange(s.reg(0)) {
				s.status |= swC2
				return 0
			}
			u := s.unit()
			first, second := f(&u, s.reg(0))
			s.finish(&u)
			s.setReg(0, first)
			s.setTop(s.top() - 1)
			s.setReg(0, second)
			return 0
		default:
			s.raise(swIE | swSF)
			s.status |= swC1
		}
		s.setReg(0, indefinite)
		s.setTop(s.top() - 1)
		s.setReg(0, indefinite)
		return 0
	}
}

var (
	fsincos = pushes((*unit).sinCos)
	fptan   = pushes(func(u *unit, v Float80) (Float80, Float80) {
		switch v.class() {
		case clUnsupported, clInf, clNaN:
			r, _ := u.sinCos(v)
			return r, r
		case clZero:
			return v, one80
		}
		u.denormal(v)
		x := toBig(v, reducePrec)
		if x.MantExp(nil) < tiny {
			return u.fromBig(x), one80 // and a little more
		}
		s, c := sinCos(x)
		return u.fromBig(s.Quo(s, c)), one80
	})
)

func (u *unit) exp2m1(v Float80) Float80 {
	switch v.class() {
	case clUnsupported:
		return u.invalid()
	case clNaN:
		return u.nan(v, v)
	case clZero:
		return v
	case clInf:
		if v.sign() {
			return Float80{intBit, 0x8000 | expBias}
		}
		return v
	}
	u.denormal(v)
	switch {
	case v.exp() > expBias || v.exp() == expBias && v.Mant != intBit:
		return v // undefined outside of [-1, 1]
	case v.exp() == expBias && v.sign():
		return Float80{intBit, 0x8000 | (expBias - 1)}
	case v.exp() == expBias:
		return v
	}
	return u.fromBig(exp2m1(toBig(v, workPrec)))
}

// yLog2 is y * log2(x).
func (u *unit) yLog2(x, y Float80) Float80 {
	if r, ok := u.special(x, y); ok {
		return r
	}
	cx, cy := x.class(), y.class()
	switch {
	case cx == clZero && cy == clZero, x.sign() && cx != clZero:
		return u.invalid()
	case cx == clZero:
		if cy != clInf {
			u.flags |= swZE
		}
		return inf(!y.sign())
	case cx == clInf && cy == clZero:
		return u.invalid()
	case cx == clInf:
		u.denormal(y)
		return inf(y.sign())
	}
	isOne := x == one80
	below := x.exp() < expBias // log2(x) < 0
	switch {
	case cy == clInf && isOne:
		return u.invalid()
	case cy == clInf:
		u.denormal(x)
		return inf(y.sign() != below)
	case cy == clZero:
		u.denormal(x)
		return zero(y.sign() != below)
	}
	u.denormal(x)
	u.denormal(y)
	if isOne {
		return zero(y.sign())
	}
	l := log2(toBig(x, workPrec))
	if l.IsInt() {
		// A power of two: the product may be exact.
		n, _ := l.Int64()
		return u.exactProduct(y, n)
	}
	return u.fromBig(l.Mul(l, toBig(y, workPrec)))
}

func (u *unit) exactProduct(y Float80, n int64) Float80 {
	prec := u.prec
	u.prec = 64
	flags := u.flags
	r := u.mul(y, fromInt(n))
	u.flags |= flags
	u.prec = prec
	return r
}

// yLog2p1 is y * log2(1+x), for x above -1. The instruction is defined for |x|
// below 1 - sqrt(1/2).
func (u *unit) yLog2p1(x, y Float80) Float80 {
	if r, ok := u.special(x, y); ok {
		return r
	}
	cx, cy := x.class(), y.class()
	sign := x.sign() != y.sign()
	switch {
	case cx == clZero && cy == clInf, cx == clInf && (x.sign() || cy == clZero):
		return u.invalid()
	case cx == clInf:
		u.denormal(y)
		return inf(sign)
	case cy == clInf:
		u.denormal(x)
		return inf(sign)
	case cx == clZero || cy == clZero:
		u.denormal(x)
		u.denormal(y)
		return zero(sign)
	}
	u.denormal(x)
	u.denormal(y)
	if x.sign() && x.exp() >= expBias {
		return x // undefined; what AMD's processors do
	}
	d := toBig(x, workPrec)
	if x.exp() >= expBias-2 {
		l := log2(newFloat(workPrec).Add(d, fromInt64(1)))
		return u.fromBig(l.Mul(l, toBig(y, workPrec)))
	}
	l := log1p(d)
	l.Quo(l, ln2())
	return u.fromBig(l.Mul(l, toBig(y, workPrec)))
}

// atan2 is the angle of (x, y).
func (u *unit) atan2(y, x Float80) Float80 {
	if r, ok := u.special(x, y); ok {
		return r
	}
	u.denormal(x)
	u.denormal(y)
	cx, cy := x.class(), y.class()
	quarters := int64(0) // the angle is this times pi/4, if not 0
	switch {
	case cx == clInf && cy == clInf && x.sign():
		quarters = 3
	case cx == clInf && cy == clInf:
		quarters = 1
	case cy == clInf, cx == clZero && cy != clZero:
		quarters = 2
	case (cx == clInf || cy == clZero) && x.sign():
		quarters = 4
	case cx == clInf, cy == clZero:
		return zero(y.sign())
	}
	if quarters > 0 {
		v := newFloat(workPrec).Set(pi())
		v.Mul(v, fromInt64(quarters))
		v.SetMantExp(v, -2)
		if y.sign() {
			v.Neg(v)
		}
		return u.fromBig(v)
	}
	return u.fromBig(atan2(toBig(y, workPrec), toBig(x, workPrec)))
}
