package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/x86"
)

// sseConvertRows convert between integers and floats. What does not fit in an
// integer gives the smallest one, the integer indefinite.
func sseConvertRows() Table {
	return Table{
		x86asm.CVTSI2SS:  {Lift: onXMM(fromInteger(&f32Ops, ir.F32ConvertI32S, ir.F32ConvertI64S))},
		x86asm.CVTSI2SD:  {Lift: onXMM(fromInteger(&f64Ops, ir.F64ConvertI32S, ir.F64ConvertI64S))},
		x86asm.CVTSS2SI:  {Lift: onXMM(toInteger(&f32Ops, true))},
		x86asm.CVTSD2SI:  {Lift: onXMM(toInteger(&f64Ops, true))},
		x86asm.CVTTSS2SI: {Lift: onXMM(toInteger(&f32Ops, false))},
		x86asm.CVTTSD2SI: {Lift: onXMM(toInteger(&f64Ops, false))},
		x86asm.CVTSS2SD: {Lift: onXMM(func(l *Lifter, in x86.Inst) {
			l.setScalar(&f64Ops, in.Args[0], l.b.Op(ir.F64PromoteF32, l.scalar(&f32Ops, in.Args[1])))
		})},
		x86asm.CVTSD2SS: {Lift: onXMM(func(l *Lifter, in x86.Inst) {
			l.setScalar(&f32Ops, in.Args[0], l.b.Op(ir.F32DemoteF64, l.scalar(&f64Ops, in.Args[1])))
		})},
		x86asm.CVTPS2PD:  vecUnaryOp(8, ir.F64x2PromoteLowF32x4),
		x86asm.CVTPD2PS:  vecUnaryOp(16, ir.F32x4DemoteF64x2Zero),
		x86asm.CVTDQ2PS:  vecUnaryOp(16, ir.F32x4ConvertI32x4S),
		x86asm.CVTDQ2PD:  vecUnaryOp(8, ir.F64x2ConvertLowI32x4S),
		x86asm.CVTPS2DQ:  vecUnary(16, func(l *Lifter, v ir.Value) ir.Value { return l.packedToInt32(l.b.Op(ir.F32x4Nearest, v)) }),
		x86asm.CVTTPS2DQ: vecUnary(16, (*Lifter).packedToInt32),
		x86asm.CVTPD2DQ:  vecUnary(16, func(l *Lifter, v ir.Value) ir.Value { return l.packedDoubleToInt32(l.b.Op(ir.F64x2Nearest, v)) }),
		x86asm.CVTTPD2DQ: vecUnary(16, (*Lifter).packedDoubleToInt32),
	}
}

func fromInteger(t *floatType, op32, op64 ir.Op) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		op := op32
		if l.width(in.Args[1]) == 64 {
			op = op64
		}
		l.setScalar(t, in.Args[0], l.b.Op(op, l.get(in.Args[1])))
	}
}

// Bits of 2^31 and 2^63, above which a conversion does not fit. Below the
// smallest integer the saturating conversion gives the right result by itself.
const (
	f32Pow31 = 0x4f00_0000
	f32Pow63 = 0x5f00_0000
	f64Pow31 = 0x41e0_0000_0000_0000
	f64Pow63 = 0x43e0_0000_0000_0000
)

func toInteger(t *floatType, rounds bool) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		v := l.scalar(t, in.Args[1])
		if rounds {
			v = l.b.Op(t.nearest, v)
		}
		wide := l.width(in.Args[0]) == 64
		var op ir.Op
		var limit ir.Value
		switch {
		case t == &f32Ops && wide:
			op, limit = ir.I64TruncSatF32S, l.b.F32Bits(f32Pow63)
		case t == &f32Ops:
			op, limit = ir.I32TruncSatF32S, l.b.F32Bits(f32Pow31)
		case wide:
			op, limit = ir.I64TruncSatF64S, l.b.F64Bits(f64Pow63)
		default:
			op, limit = ir.I32TruncSatF64S, l.b.F64Bits(f64Pow31)
		}
		r := l.b.Op(op, v)
		indefinite := l.constLike(r, -1<<31)
		if wide {
			indefinite = l.constLike(r, -1<<63)
		}
		l.set(in.Args[0], l.b.Select(r, indefinite, l.b.Op(t.lt, v, limit)))
	}
}

// packedToInt32 truncates four f32.
func (l *Lifter) packedToInt32(v ir.Value) ir.Value {
	fits := l.b.Op(ir.F32x4Lt, v, l.splat64(f32Pow31|f32Pow31<<32))
	return l.b.Op(ir.V128Bitselect, l.b.Op(ir.I32x4TruncSatF32x4S, v), l.splat64(0x8000_0000_8000_0000), fits)
}

// packedDoubleToInt32 truncates two f64 to the low half of the result.
func (l *Lifter) packedDoubleToInt32(v ir.Value) ir.Value {
	fits := l.b.Op(ir.F64x2Lt, v, l.splat64(f64Pow31))
	// The low halves of the masks, and the rest from the zero vector.
	fits = l.b.Shuffle(fits, l.zeroVec(), [16]byte{0, 1, 2, 3, 8, 9, 10, 11, 16, 16, 16, 16, 16, 16, 16, 16})
	return l.b.Op(ir.V128Bitselect, l.b.Op(ir.I32x4TruncSatF64x2SZero, v), l.b.V128(0x8000_0000_8000_0000, 0), fits)
}
