package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// fma is one operation: x*y+z with some operands negated. Signs of NaNs stay.
type fma struct {
	product   bool // negate the product
	even, odd bool // negate z in the lanes with even and odd numbers
	order     int  // 132, 213 or 231
	size      int  // of an element in bytes
	scalar    bool // lane 0 only
}

// fmaRows are all instructions of FMA3.
func fmaRows() Table {
	names, t := vexNames(), Table{}
	for _, kind := range []struct {
		name               string
		product, even, odd bool
	}{
		{"FMADD", false, false, false}, {"FMSUB", false, true, true}, {"FNMADD", true, false, false}, {"FNMSUB", true, true, true},
		{"FMADDSUB", false, true, false}, {"FMSUBADD", false, false, true},
	} {
		for order, digits := range map[int]string{132: "132", 213: "213", 231: "231"} {
			for _, form := range []struct {
				name   string
				size   int
				scalar bool
			}{{"PS", 4, false}, {"PD", 8, false}, {"SS", 4, true}, {"SD", 8, true}} {
				if form.scalar && kind.even != kind.odd {
					continue // these alternate, and there is no scalar form
				}
				name := kind.name + digits + form.name
				op, ok := names[name]
				if !ok {
					panic("BUG: no instruction V" + name)
				}
				f := fma{kind.product, kind.even, kind.odd, order, form.size, form.scalar}
				t[op] = Row{Lift: onVEX(f.lift), Careful: onVEX(f.liftCareful)}
			}
		}
	}
	return t
}

// flip negates the elements of v that mask names, but for NaNs.
func (f *fma) flip(l *Lifter, v ir.Value, even, odd bool) ir.Value {
	if !even && !odd {
		return v
	}
	var mask [2]uint64
	eq := ir.F64x2Eq
	if f.size == 4 {
		eq = ir.F32x4Eq
	}
	for at := 0; at < 16; at += f.size {
		if number := at / f.size; number%2 == 0 && even || number%2 == 1 && odd {
			mask[at/8] |= 1 << (at%8*8 + f.size*8 - 1)
		}
	}
	sign := l.b.Op(ir.V128And, l.b.V128(mask[0], mask[1]), l.b.Op(eq, v, v))
	return l.b.Op(ir.V128Xor, v, sign)
}

// operands returns x, y and z of x*y+z for one half.
func (f *fma) operands(l *Lifter, a, b, c ir.Value) (x, y, z ir.Value) {
	switch f.order { // their names number the operands
	case 132:
		x, y, z = a, c, b
	case 213:
		x, y, z = b, a, c
	default:
		x, y, z = b, c, a
	}
	return f.flip(l, x, f.product, f.product), y, f.flip(l, z, f.even, f.odd)
}

// liftCareful has the host compute each element.
func (f *fma) liftCareful(l *Lifter, in x86.Inst) {
	l.raised, l.exceptions = ir.None, ir.None
	if f.scalar {
		a := l.getHalf(in.Args[0], false)
		r := f.carefulHalf(l, a, l.getHalf(in.Args[1], false), l.lowElement(in.Args[2], f.size), 1)
		l.setUnlessRaised(in.Args[0], l.mergeLow(a, r, f.size), ir.None)
		return
	}
	last := [2]ir.Value{l.vecHalf(in.Args[2], false), ir.None}
	wide := isWide(in)
	if wide {
		last[1] = l.vecHalf(in.Args[2], true)
	}
	low := f.carefulHalf(l, l.getHalf(in.Args[0], false), l.getHalf(in.Args[1], false), last[0], 16/f.size)
	high := ir.None
	if wide {
		high = f.carefulHalf(l, l.getHalf(in.Args[0], true), l.getHalf(in.Args[1], true), last[1], 16/f.size)
	}
	l.setUnlessRaised(in.Args[0], low, high)
}

// carefulHalf computes the first n elements of a half.
func (f *fma) carefulHalf(l *Lifter, a, b, c ir.Value, n int) ir.Value {
	x, y, z := f.operands(l, a, b, c)
	r := l.zeroVec()
	for i := range int64(n) {
		element := func(v ir.Value) ir.Value {
			if f.size == 8 {
				return l.b.OpImm(ir.I64x2ExtractLane, i, v)
			}
			return l.extendU(l.b.OpImm(ir.I32x4ExtractLane, i, v))
		}
		code := uint32(x87.SSEFMA)
		if f.size == 8 {
			code |= x87.SSEDouble
		}
		v := l.partUnderMXCSR(code, [2]ir.Value{element(x), element(y)}, [2]ir.Value{element(z), l.b.I64(0)})
		low := l.b.OpImm(ir.I64x2ExtractLane, 0, v)
		if f.size == 8 {
			r = l.b.OpImm(ir.I64x2ReplaceLane, i, r, low)
		} else {
			r = l.b.OpImm(ir.I32x4ReplaceLane, i, r, l.wrap(low))
		}
	}
	return r
}

// apply computes one half.
func (f *fma) apply(l *Lifter, a, b, c ir.Value) ir.Value {
	x, y, z := f.operands(l, a, b, c)
	name := guestabi.FuncFMAF64x2
	switch {
	case f.size == 4 && f.scalar:
		name = guestabi.FuncFMAF32x2
	case f.size == 4:
		name = guestabi.FuncFMAF32x4
	}
	return l.b.Helper(name, x, y, z)[0]
}

func (f *fma) lift(l *Lifter, in x86.Inst) {
	if f.scalar {
		f.liftScalar(l, in)
		return
	}
	last := [2]ir.Value{l.vecHalf(in.Args[2], false), ir.None}
	wide := isWide(in)
	if wide {
		last[1] = l.vecHalf(in.Args[2], true)
	}
	low := f.apply(l, l.getHalf(in.Args[0], false), l.getHalf(in.Args[1], false), last[0])
	high := ir.None
	if wide {
		high = f.apply(l, l.getHalf(in.Args[0], true), l.getHalf(in.Args[1], true), last[1])
	}
	l.setYMM(in.Args[0], low, high)
}

// liftScalar clears the other lanes, so that they cost nothing.
func (f *fma) liftScalar(l *Lifter, in x86.Inst) {
	only := func(v ir.Value) ir.Value {
		if f.size == 8 {
			return l.b.OpImm(ir.F64x2ReplaceLane, 0, l.zeroVec(), l.b.OpImm(ir.F64x2ExtractLane, 0, v))
		}
		return l.b.OpImm(ir.F32x4ReplaceLane, 0, l.zeroVec(), l.b.OpImm(ir.F32x4ExtractLane, 0, v))
	}
	c := l.lowElement(in.Args[2], f.size)
	if _, ok := in.Args[2].(x86asm.Mem); !ok {
		c = only(c)
	}
	a := l.getHalf(in.Args[0], false)
	r := f.apply(l, only(a), only(l.getHalf(in.Args[1], false)), c)
	if f.size == 8 {
		r = l.b.OpImm(ir.F64x2ReplaceLane, 0, a, l.b.OpImm(ir.F64x2ExtractLane, 0, r))
	} else {
		r = l.b.OpImm(ir.F32x4ReplaceLane, 0, a, l.b.OpImm(ir.F32x4ExtractLane, 0, r))
	}
	l.setYMM(in.Args[0], r, ir.None)
}
