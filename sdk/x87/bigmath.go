package x87

import (
	"math"
	"math/big"
	"sync"
)

// The elementary functions in binary arithmetic of far more than 64 bits, so
// that rounding their results gives what correct rounding gives but for cases
// closer to a boundary than 2^-60 units in the last place.

const (
	// workPrec is enough for a result of 64 bits and 60 more that decide its
	// rounding, with what the series lose.
	workPrec = 192
	// reducePrec holds an operand below 2^63 less a multiple of pi/2: the
	// integer part, as many bits that may cancel, and workPrec.
	reducePrec = 400
)

func newFloat(prec uint) *big.Float { return new(big.Float).SetPrec(prec) }

func fromInt64(v int64) *big.Float { return newFloat(workPrec).SetInt64(v) }

// toBig converts a finite value.
func toBig(f Float80, prec uint) *big.Float {
	exp, mant := f.finite()
	v := newFloat(prec).SetUint64(mant)
	v.SetMantExp(v, int(exp)-expBias-63)
	if f.sign() {
		v.Neg(v)
	}
	return v
}

// fromBig rounds v, which is not zero and not exact.
func (u *unit) fromBig(v *big.Float) Float80 {
	sign := v.Signbit()
	mant := newFloat(workPrec)
	exp := v.MantExp(mant) // in [0.5, 1)
	mant.Abs(mant)
	mant.SetMantExp(mant, 128)
	n, _ := mant.Int(nil)
	lo := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	hi := n.Rsh(n, 64).Uint64()
	return u.roundTo(sign, int32(exp)-1+expBias, hi, lo|1, 64)
}

// series sums first * (1 + c(1) + c(1)*c(2) + ...), c(n) being x times num/den,
// until the terms no longer count.
func series(first, x *big.Float, ratio func(n int64) (num, den int64)) *big.Float {
	prec := first.Prec()
	sum, term := newFloat(prec).Set(first), newFloat(prec).Set(first)
	t := newFloat(prec)
	for n := int64(1); term.Sign() != 0 && term.MantExp(nil) > sum.MantExp(nil)-int(prec); n++ {
		num, den := ratio(n)
		term.Mul(term, x)
		if num != 1 {
			term.Mul(term, t.SetInt64(num))
		}
		term.Quo(term, t.SetInt64(den))
		sum.Add(sum, term)
	}
	return sum
}

// atanSeries is z - z^3/3 + z^5/5 ..., or the same with plus signs, which is
// the inverse hyperbolic tangent.
func atanSeries(z *big.Float, hyperbolic bool) *big.Float {
	z2 := newFloat(z.Prec()).Mul(z, z)
	if !hyperbolic {
		z2.Neg(z2)
	}
	return series(z, z2, func(n int64) (int64, int64) { return 2*n - 1, 2*n + 1 })
}

// pi by Machin's formula: 16 atan(1/5) - 4 atan(1/239).
var pi = sync.OnceValue(func() *big.Float {
	atanInv := func(n int64) *big.Float {
		one := newFloat(reducePrec + 32).SetInt64(1)
		return atanSeries(one.Quo(one, newFloat(reducePrec+32).SetInt64(n)), false)
	}
	a := atanInv(5)
	a.SetMantExp(a, 4)
	b := atanInv(239)
	b.SetMantExp(b, 2)
	return a.Sub(a, b)
})

var ln2 = sync.OnceValue(func() *big.Float {
	third := fromInt64(1)
	third.Quo(third, fromInt64(3))
	v := atanSeries(third, true)
	return v.SetMantExp(v, 1)
})

// log2 of x > 0, with a small relative error near 1 too.
func log2(x *big.Float) *big.Float {
	m := newFloat(workPrec)
	e := x.MantExp(m) // m in [0.5, 1)
	if m.Cmp(big.NewFloat(math.Sqrt2/2)) < 0 {
		m.SetMantExp(m, 1)
		e--
	}
	r := log1p(m.Sub(m, fromInt64(1)))
	r.Quo(r, ln2())
	return r.Add(r, fromInt64(int64(e)))
}

// log1p is the natural logarithm of 1+d, for d in about [-0.3, 0.5].
func log1p(d *big.Float) *big.Float {
	t := newFloat(workPrec).Add(d, fromInt64(2))
	t.Quo(d, t)
	v := atanSeries(t, true)
	return v.SetMantExp(v, 1)
}

// exp2m1 is 2^x - 1 for |x| <= 1.
func exp2m1(x *big.Float) *big.Float {
	z := newFloat(workPrec).Mul(x, ln2())
	return series(z, z, func(n int64) (int64, int64) { return 1, n + 1 })
}

// halfPi66 is half of the pi of 66 bits that processors reduce operands with
// (Intel SDM volume 1, 8.3.8; AMD's do the same): far from 0 their results
// differ from the true ones, and programs see theirs.
func halfPi66() *big.Float {
	n, _ := new(big.Int).SetString("c90fdaa22168c234c", 16)
	v := newFloat(reducePrec).SetInt(n)
	return v.SetMantExp(v, -67)
}

// tiny is the exponent below which the second term of a series is too small for
// workPrec, so that only its sign counts.
const tiny = -workPrec / 2

// lessen moves v towards zero by less than any rounding to 64 bits can see but
// for its direction.
func lessen(v *big.Float) *big.Float {
	d := newFloat(workPrec)
	d.SetMantExp(v, 8-workPrec)
	return newFloat(workPrec).Sub(v, d)
}

// sinCos returns sine and cosine of x, |x| < 2^63.
func sinCos(x *big.Float) (sin, cos *big.Float) {
	if x.MantExp(nil) < tiny {
		return lessen(x), lessen(fromInt64(1))
	}
	halfPi := halfPi66()
	q := newFloat(reducePrec).Quo(x, halfPi)
	half := big.NewFloat(0.5)
	if x.Signbit() {
		half.Neg(half)
	}
	n, _ := q.Add(q, half).Int(nil)
	r := newFloat(reducePrec).SetInt(n)
	r.Sub(x, r.Mul(r, halfPi))
	z := newFloat(workPrec).Set(r)
	z2 := newFloat(workPrec).Mul(z, z)
	z2.Neg(z2)
	sin = series(z, z2, func(n int64) (int64, int64) { return 1, 2 * n * (2*n + 1) })
	cos = series(fromInt64(1), z2, func(n int64) (int64, int64) { return 1, 2 * n * (2*n - 1) })
	switch new(big.Int).And(n, big.NewInt(3)).Int64() {
	case 1:
		return cos, sin.Neg(sin)
	case 2:
		return sin.Neg(sin), cos.Neg(cos)
	case 3:
		return cos.Neg(cos), sin
	}
	return sin, cos
}

// atan2 is the angle of the point (x, y), neither of which is zero.
func atan2(y, x *big.Float) *big.Float {
	ay, ax := newFloat(workPrec).Abs(y), newFloat(workPrec).Abs(x)
	steep := ay.Cmp(ax) > 0
	z := newFloat(workPrec)
	if steep {
		z.Quo(ax, ay)
	} else {
		z.Quo(ay, ax)
	}
	v := lessen(z)
	if z.MantExp(nil) >= tiny {
		v = atan(z)
	}
	quarter := newFloat(workPrec).Set(pi())
	if steep {
		quarter.SetMantExp(quarter, -1)
		v.Sub(quarter, v)
	}
	if x.Signbit() {
		v.Sub(newFloat(workPrec).Set(pi()), v)
	}
	if y.Signbit() {
		v.Neg(v)
	}
	return v
}

// atan of z in [0, 1], halving the angle three times first.
func atan(z *big.Float) *big.Float {
	one := fromInt64(1)
	t := newFloat(workPrec)
	for range 3 {
		t.Mul(z, z)
		t.Add(t, one)
		t.Sqrt(t)
		t.Add(t, one)
		z = newFloat(workPrec).Quo(z, t)
	}
	v := atanSeries(z, false)
	return v.SetMantExp(v, 3)
}
