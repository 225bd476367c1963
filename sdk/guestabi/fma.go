package guestabi

import (
	"math"

	"megabinary.dev/sdk/wasm"
)

const (
	f64Sign  = 1 << 63
	f64Quiet = 1 << 51
	f32Quiet = 1 << 22
	// What an invalid operation gives on x86: a negative quiet NaN.
	f64Indefinite = 0xfff8 << 48
	f32Indefinite = 0xffc0_0000
)

// FMA64 returns x*y+z, rounded once to nearest, as x86 does: the first operand
// that is a NaN, made quiet, or the default NaN. Operands and result are the
// bits of f64.
func FMA64(x, y, z uint64) uint64 {
	for _, v := range [3]uint64{x, y, z} {
		if v&^f64Sign > 0x7ff0<<48 {
			return v | f64Quiet
		}
	}
	r := math.FMA(math.Float64frombits(x), math.Float64frombits(y), math.Float64frombits(z))
	if r != r {
		return f64Indefinite
	}
	return math.Float64bits(r)
}

// FMA32 is FMA64 for the bits of f32. The product is exact in f64; the sum is
// rounded to odd there, which rounding to f32 cannot tell from the exact one
// (Boldo and Melquiond, Emulation of a FMA and correctly rounded sums).
func FMA32(x, y, z uint32) uint32 {
	for _, v := range [3]uint32{x, y, z} {
		if v&^(1<<31) > f32Inf {
			return v | f32Quiet
		}
	}
	wide := func(v uint32) float64 { return float64(math.Float32frombits(v)) }
	p, c := wide(x)*wide(y), wide(z)
	s := p + c
	switch {
	case s != s:
		return f32Indefinite
	case math.IsInf(s, 0):
		return math.Float32bits(float32(s))
	}
	t := s - p
	e := (p - (s - t)) + (c - t)
	if bits := math.Float64bits(s); e != 0 && bits&1 == 0 {
		if e > 0 == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return math.Float32bits(float32(s))
}

// vecBody builds straight-line code on vectors: each operation leaves its
// result in a new local.
type vecBody struct{ b *wasm.Body }

func (v vecBody) let(emit func()) uint32 {
	emit()
	l := v.b.Local(V128)
	v.b.LocalSet(l)
	return l
}

func (v vecBody) op(op wasm.Opcode, args ...uint32) uint32 {
	return v.let(func() {
		for _, a := range args {
			v.b.LocalGet(a)
		}
		v.b.Op(op)
	})
}

func (v vecBody) add(x, y uint32) uint32 { return v.op(wasm.OpF64x2Add, x, y) }
func (v vecBody) sub(x, y uint32) uint32 { return v.op(wasm.OpF64x2Sub, x, y) }
func (v vecBody) mul(x, y uint32) uint32 { return v.op(wasm.OpF64x2Mul, x, y) }

// splat is a constant in both lanes.
func (v vecBody) splat(c uint64) uint32 { return v.let(func() { v.b.V128Const(c, c) }) }

// twoSum returns x+y and its rounding error (Knuth).
func (v vecBody) twoSum(x, y uint32) (sum, err uint32) {
	s := v.add(x, y)
	t := v.sub(s, x)
	return s, v.add(v.sub(x, v.sub(s, t)), v.sub(y, t))
}

// split returns x rounded to its upper 26 bits, and the rest, which has as many:
// products of two such numbers are exact.
func (v vecBody) split(x uint32) (hi, lo uint32) {
	hi = v.op(wasm.OpV128And, v.op(wasm.OpI64x2Add, x, v.splat(1<<26)), v.splat(1<<64-1<<27))
	return hi, v.sub(x, hi)
}

// toOdd returns s with the error e of its rounding put into its lowest bit: the
// neighbour on the side of e if s is even and e is not zero.
func (v vecBody) toOdd(s, e uint32) uint32 {
	zero, one := v.splat(0), v.splat(1)
	up := v.op(wasm.OpF64x2Gt, e, zero)
	step := v.op(wasm.OpV128Or, v.op(wasm.OpV128Xor, up, v.op(wasm.OpF64x2Gt, s, zero)), one) // 1 away from zero, else -1
	even := v.op(wasm.OpI64x2Sub, v.op(wasm.OpV128And, s, one), one)
	inexact := v.op(wasm.OpV128Or, up, v.op(wasm.OpF64x2Lt, e, zero))
	return v.op(wasm.OpI64x2Add, s, v.op(wasm.OpV128And, step, v.op(wasm.OpV128And, even, inexact)))
}

// buildFMAF64x2 adds with the product and the first sum as unevaluated pairs, so
// that nothing is lost but in the sum t of the small parts. That is right unless
// the result lies exactly half way between two numbers before t's own error is
// counted, as one of three things that are left to buildFMASlow.
func buildFMAF64x2(b *wasm.Body, index map[string]uint32) {
	const x, y, z = 0, 1, 2
	v := vecBody{b}
	p, zero := v.mul(x, y), v.splat(0)
	s, se := v.twoSum(p, z)
	t := v.add(se, v.productError(x, y, p))
	r := v.add(s, t)
	twice := v.sub(t, v.sub(r, s)) // the error of r
	twice = v.add(twice, twice)
	halfway := v.op(wasm.OpF64x2Eq, v.sub(v.add(r, twice), r), twice)
	halfway = v.op(wasm.OpV128Andnot, halfway, v.op(wasm.OpF64x2Eq, twice, zero))
	exact := v.op(wasm.OpV128Or, v.op(wasm.OpF64x2Gt, v.op(wasm.OpF64x2Abs, p), v.splat(tiny)),
		v.op(wasm.OpV128Or, v.op(wasm.OpF64x2Eq, x, zero), v.op(wasm.OpF64x2Eq, y, zero)))
	// Whatever is too large or no number has made r a NaN.
	good := v.op(wasm.OpV128And, exact, v.op(wasm.OpF64x2Eq, r, r))
	b.LocalGet(v.op(wasm.OpV128Andnot, good, halfway))
	b.Op(wasm.OpI64x2AllTrue)
	b.If(wasm.BlockVoid)
	// An exact zero has the sign of s.
	b.LocalGet(v.op(wasm.OpV128Or, r, v.op(wasm.OpV128And, s, v.op(wasm.OpF64x2Eq, r, zero))))
	b.Return()
	b.End()
	for _, a := range []uint32{x, y, z} {
		b.LocalGet(a)
	}
	b.ReturnCall(index[funcFMASlow])
}

// tiny is 2^-960: the error of a product that is larger can be represented.
const tiny = (1023 - 960) << 52

// productError returns the difference of x*y and its rounded value p (Dekker).
func (v vecBody) productError(x, y, p uint32) uint32 {
	xh, xl := v.split(x)
	yh, yl := v.split(y)
	return v.add(v.add(v.add(v.sub(v.mul(xh, yh), p), v.mul(xh, yl)), v.mul(xl, yh)), v.mul(xl, yl))
}

// buildFMASlow is the algorithm of Boldo and Melquiond: the parts that are too
// small to matter but for the rounding are added with rounding to odd. Where a
// part could overflow or underflow, or an operand is no number, the host is
// asked.
func buildFMASlow(b *wasm.Body, index map[string]uint32) {
	const x, y, z = 0, 1, 2
	v := vecBody{b}
	p := v.mul(x, y)
	abs := func(a uint32) uint32 { return v.op(wasm.OpF64x2Abs, a) }
	magnitude := abs(p)
	small := v.op(wasm.OpF64x2Lt, v.add(v.add(abs(x), abs(y)), v.add(abs(z), magnitude)), v.splat(math.Float64bits(0x1p990)))
	b.LocalGet(v.op(wasm.OpV128And, small, v.op(wasm.OpF64x2Gt, magnitude, v.splat(tiny))))
	b.Op(wasm.OpI64x2AllTrue)
	b.Op(wasm.OpI32Eqz)
	b.If(wasm.BlockVoid)
	b.V128Const(0, 0)
	for lane := range byte(2) {
		for _, a := range []uint32{x, y, z} {
			b.LocalGet(a)
			b.Lane(wasm.OpI64x2ExtractLane, lane)
		}
		b.Call(index[FuncFMA64])
		b.Lane(wasm.OpI64x2ReplaceLane, lane)
	}
	b.Return()
	b.End()
	t, te := v.twoSum(z, v.productError(x, y, p))
	s, se := v.twoSum(p, t)
	b.LocalGet(v.add(s, v.toOdd(v.twoSum(te, se))))
}

// buildFMAF32 does lanes/2 pairs of lanes in f64, as FMA32 does.
func buildFMAF32(lanes int) func(b *wasm.Body, index map[string]uint32) {
	return func(b *wasm.Body, index map[string]uint32) {
		const x, y, z = 0, 1, 2
		v := vecBody{b}
		high := [16]byte{8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15}
		pair := func(upper bool) uint32 {
			wide := func(a uint32) uint32 {
				if upper {
					a = v.let(func() { b.LocalGet(a); b.LocalGet(a); b.Shuffle(high) })
				}
				return v.op(wasm.OpF64x2PromoteLowF32x4, a)
			}
			s, e := v.twoSum(v.mul(wide(x), wide(y)), wide(z))
			return v.op(wasm.OpF32x4DemoteF64x2Zero, v.toOdd(s, e))
		}
		r := pair(false)
		if lanes == 4 {
			low, upper := r, pair(true)
			r = v.let(func() {
				b.LocalGet(low)
				b.LocalGet(upper)
				b.Shuffle([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23})
			})
		}
		b.LocalGet(v.op(wasm.OpF32x4Eq, r, r))
		b.Op(wasm.OpI32x4AllTrue)
		b.If(wasm.BlockVoid)
		b.LocalGet(r)
		b.Return()
		b.End()
		b.LocalGet(r)
		for lane := range byte(lanes) {
			for _, a := range []uint32{x, y, z} {
				b.LocalGet(a)
				b.Lane(wasm.OpI32x4ExtractLane, lane)
			}
			b.Call(index[FuncFMA32])
			b.Lane(wasm.OpI32x4ReplaceLane, lane)
		}
	}
}
