package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/x86"
)

// floatType is what scalar rows need to know of f32 and f64.
type floatType struct {
	extract, replace, load       ir.Op
	eq, ne, lt, gt, le, ge       ir.Op
	veq, vne, vlt, vle           ir.Op
	nearest, floor, ceil, trunc  ir.Op
	vnearest, vfloor, vceil, vtr ir.Op
}

var (
	f32Ops = floatType{
		ir.F32x4ExtractLane, ir.F32x4ReplaceLane, ir.F32Load,
		ir.F32Eq, ir.F32Ne, ir.F32Lt, ir.F32Gt, ir.F32Le, ir.F32Ge,
		ir.F32x4Eq, ir.F32x4Ne, ir.F32x4Lt, ir.F32x4Le,
		ir.F32Nearest, ir.F32Floor, ir.F32Ceil, ir.F32Trunc,
		ir.F32x4Nearest, ir.F32x4Floor, ir.F32x4Ceil, ir.F32x4Trunc,
	}
	f64Ops = floatType{
		ir.F64x2ExtractLane, ir.F64x2ReplaceLane, ir.F64Load,
		ir.F64Eq, ir.F64Ne, ir.F64Lt, ir.F64Gt, ir.F64Le, ir.F64Ge,
		ir.F64x2Eq, ir.F64x2Ne, ir.F64x2Lt, ir.F64x2Le,
		ir.F64Nearest, ir.F64Floor, ir.F64Ceil, ir.F64Trunc,
		ir.F64x2Nearest, ir.F64x2Floor, ir.F64x2Ceil, ir.F64x2Trunc,
	}
)

// scalar returns lane 0 of an xmm register, or memory, as a float.
func (l *Lifter) scalar(t *floatType, a x86asm.Arg) ir.Value {
	if m, ok := a.(x86asm.Mem); ok {
		return l.loadMem(t.load, m)
	}
	return l.b.OpImm(t.extract, 0, l.getXMM(a))
}

// setScalar replaces lane 0 of an xmm register.
func (l *Lifter) setScalar(t *floatType, a x86asm.Arg, v ir.Value) {
	l.setXMM(a, l.b.OpImm(t.replace, 0, l.getXMM(a), v))
}

// scalarBinary makes a row for lane 0 of dst = f(dst, src).
func scalarBinary(t *floatType, f func(l *Lifter, x, y ir.Value) ir.Value) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		y := l.scalar(t, in.Args[1])
		l.setScalar(t, in.Args[0], f(l, l.scalar(t, in.Args[0]), y))
	})}
}

func scalarOp(t *floatType, op ir.Op) Row {
	return scalarBinary(t, func(l *Lifter, x, y ir.Value) ir.Value { return l.b.Op(op, x, y) })
}

// scalarUnary makes a row for lane 0 of dst = f(src).
func scalarUnary(t *floatType, f func(l *Lifter, y ir.Value) ir.Value) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		l.setScalar(t, in.Args[0], f(l, l.scalar(t, in.Args[1])))
	})}
}

// scalarChoice is minsd and its like: the first operand if the comparison
// holds, else the second, also if one of them is a NaN or both are zeros.
func scalarChoice(t *floatType, cmp ir.Op) Row {
	return scalarBinary(t, func(l *Lifter, x, y ir.Value) ir.Value { return l.b.Select(x, y, l.b.Op(cmp, x, y)) })
}

// sseFloatRows are arithmetic, comparison and logic on floats.
func sseFloatRows() Table {
	t := Table{
		x86asm.ADDPS: vecOp(ir.F32x4Add), x86asm.ADDPD: vecOp(ir.F64x2Add), x86asm.ADDSS: scalarOp(&f32Ops, ir.F32Add), x86asm.ADDSD: scalarOp(&f64Ops, ir.F64Add),
		x86asm.SUBPS: vecOp(ir.F32x4Sub), x86asm.SUBPD: vecOp(ir.F64x2Sub), x86asm.SUBSS: scalarOp(&f32Ops, ir.F32Sub), x86asm.SUBSD: scalarOp(&f64Ops, ir.F64Sub),
		x86asm.MULPS: vecOp(ir.F32x4Mul), x86asm.MULPD: vecOp(ir.F64x2Mul), x86asm.MULSS: scalarOp(&f32Ops, ir.F32Mul), x86asm.MULSD: scalarOp(&f64Ops, ir.F64Mul),
		x86asm.DIVPS: vecOp(ir.F32x4Div), x86asm.DIVPD: vecOp(ir.F64x2Div), x86asm.DIVSS: scalarOp(&f32Ops, ir.F32Div), x86asm.DIVSD: scalarOp(&f64Ops, ir.F64Div),

		// pmin(a, b) is b < a ? b : a, which is min with its operands swapped.
		x86asm.MINPS: vecReversed(ir.F32x4PMin), x86asm.MINPD: vecReversed(ir.F64x2PMin), x86asm.MINSS: scalarChoice(&f32Ops, ir.F32Lt), x86asm.MINSD: scalarChoice(&f64Ops, ir.F64Lt),
		x86asm.MAXPS: vecReversed(ir.F32x4PMax), x86asm.MAXPD: vecReversed(ir.F64x2PMax), x86asm.MAXSS: scalarChoice(&f32Ops, ir.F32Gt), x86asm.MAXSD: scalarChoice(&f64Ops, ir.F64Gt),

		x86asm.SQRTPS: vecUnaryOp(16, ir.F32x4Sqrt), x86asm.SQRTPD: vecUnaryOp(16, ir.F64x2Sqrt),
		x86asm.SQRTSS: scalarUnary(&f32Ops, func(l *Lifter, y ir.Value) ir.Value { return l.b.Op(ir.F32Sqrt, y) }),
		x86asm.SQRTSD: scalarUnary(&f64Ops, func(l *Lifter, y ir.Value) ir.Value { return l.b.Op(ir.F64Sqrt, y) }),

		x86asm.RCPPS: vecUnary(16, func(l *Lifter, v ir.Value) ir.Value { return l.b.Op(ir.F32x4Div, l.splat64(one32x2), v) }),
		x86asm.RCPSS: scalarUnary(&f32Ops, func(l *Lifter, y ir.Value) ir.Value { return l.b.Op(ir.F32Div, l.b.F32Bits(one32), y) }),
		x86asm.RSQRTPS: vecUnary(16, func(l *Lifter, v ir.Value) ir.Value {
			return l.b.Op(ir.F32x4Div, l.splat64(one32x2), l.b.Op(ir.F32x4Sqrt, v))
		}),
		x86asm.RSQRTSS: scalarUnary(&f32Ops, func(l *Lifter, y ir.Value) ir.Value {
			return l.b.Op(ir.F32Div, l.b.F32Bits(one32), l.b.Op(ir.F32Sqrt, y))
		}),

		x86asm.CMPPS: {Lift: onXMM(comparePacked(&f32Ops))}, x86asm.CMPPD: {Lift: onXMM(comparePacked(&f64Ops))},
		x86asm.CMPSS: {Lift: onXMM(compareScalar(&f32Ops))}, x86asm.CMPSD_XMM: {Lift: onXMM(compareScalar(&f64Ops))},

		x86asm.ANDPS: vecOp(ir.V128And), x86asm.ANDPD: vecOp(ir.V128And),
		x86asm.ANDNPS: vecReversed(ir.V128AndNot), x86asm.ANDNPD: vecReversed(ir.V128AndNot),
		x86asm.ORPS: vecOp(ir.V128Or), x86asm.ORPD: vecOp(ir.V128Or),
		x86asm.XORPS: vecXor(), x86asm.XORPD: vecXor(),
	}
	for op, f := range map[x86asm.Op]*floatType{x86asm.COMISS: &f32Ops, x86asm.UCOMISS: &f32Ops, x86asm.COMISD: &f64Ops, x86asm.UCOMISD: &f64Ops} {
		t[op] = Row{Lift: onXMM(compareFlags(f)), Writes: arith}
	}
	return t
}

const (
	one32   = 0x3f80_0000
	one32x2 = one32 | one32<<32
)

// vecXor is xor, whose common form clears a register.
func vecXor() Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		if in.Args[0] == in.Args[1] {
			l.setXMM(in.Args[0], l.zeroVec())
			return
		}
		src := l.vec(in.Args[1])
		l.setXMM(in.Args[0], l.b.Op(ir.V128Xor, l.getXMM(in.Args[0]), src))
	})}
}

// comparePacked is cmpps and cmppd. Predicates (Intel SDM volume 2, CMPPD): eq,
// lt, le, unordered, and their negations.
func comparePacked(t *floatType) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		y := l.vec(in.Args[1])
		x := l.getXMM(in.Args[0])
		var v ir.Value
		p := imm8(in) & 7
		switch p & 3 {
		case 0:
			v = l.b.Op(t.veq, x, y)
		case 1:
			v = l.b.Op(t.vlt, x, y)
		case 2:
			v = l.b.Op(t.vle, x, y)
		default:
			v = l.b.Op(ir.V128Or, l.b.Op(t.vne, x, x), l.b.Op(t.vne, y, y))
		}
		if p >= 4 {
			v = l.b.Op(ir.V128Not, v)
		}
		l.setXMM(in.Args[0], v)
	}
}

// compareScalar is cmpss and cmpsd.
func compareScalar(t *floatType) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		y := l.scalar(t, in.Args[1])
		x := l.scalar(t, in.Args[0])
		p := imm8(in) & 7
		var v ir.Value
		switch p & 3 {
		case 0:
			v = l.b.Op(t.eq, x, y)
		case 1:
			v = l.b.Op(t.lt, x, y)
		case 2:
			v = l.b.Op(t.le, x, y)
		default:
			v = l.unordered(t, x, y)
		}
		if p >= 4 {
			v = l.not(v)
		}
		mask := l.b.Op(ir.I32Sub, l.b.I32(0), v)
		if t == &f32Ops {
			l.setXMM(in.Args[0], l.b.OpImm(ir.I32x4ReplaceLane, 0, l.getXMM(in.Args[0]), mask))
			return
		}
		l.setXMM(in.Args[0], l.b.OpImm(ir.I64x2ReplaceLane, 0, l.getXMM(in.Args[0]), l.extendS(mask)))
	}
}

// unordered is 1 if x or y is a NaN.
func (l *Lifter) unordered(t *floatType, x, y ir.Value) ir.Value {
	return l.b.Op(ir.I32Or, l.b.Op(t.ne, x, x), l.b.Op(t.ne, y, y))
}

// compareFlags is comisd and its like: ZF PF CF are 111 for unordered, 000 for
// greater, 001 for less and 100 for equal.
func compareFlags(t *floatType) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		y := l.scalar(t, in.Args[1])
		x := l.scalar(t, in.Args[0])
		l.clearFlags(OF | SF | AF)
		if l.wants(ZF) {
			l.setFlag(ZF, l.not(l.b.Op(ir.I32Or, l.b.Op(t.lt, x, y), l.b.Op(t.gt, x, y))))
		}
		if l.wants(PF) {
			l.setFlag(PF, l.unordered(t, x, y))
		}
		if l.wants(CF) {
			l.setFlag(CF, l.not(l.b.Op(t.ge, x, y)))
		}
		l.flags = producer{kind: byFloat, x: x, y: y}
	}
}

// compareFloat returns condition c after compareFlags on x and y, or None if c
// looks at other flags.
func (l *Lifter) compareFloat(c condition, p producer) ir.Value {
	t := &f64Ops
	if l.b.TypeOf(p.x) == ir.F32 {
		t = &f32Ops
	}
	var v ir.Value
	switch c &^ 1 {
	case condB:
		v = l.b.Op(t.ge, p.x, p.y)
	case condBE:
		v = l.b.Op(t.gt, p.x, p.y)
	case condE:
		v = l.b.Op(ir.I32Or, l.b.Op(t.lt, p.x, p.y), l.b.Op(t.gt, p.x, p.y))
	case condP:
		if v = l.unordered(t, p.x, p.y); c == condP {
			return v
		}
		return l.not(v)
	default:
		return ir.None
	}
	if c&1 == 0 { // below, equal, below or equal: also if unordered
		return l.not(v)
	}
	return v
}
