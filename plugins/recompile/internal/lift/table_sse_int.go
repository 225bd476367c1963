package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/x86"
)

// sseIntRows are arithmetic, comparison, logic and shifts on packed integers.
func sseIntRows() Table {
	t := Table{
		x86asm.PANDN: vecReversed(ir.V128AndNot), x86asm.PXOR: vecXor(),
		x86asm.PMULHW:    vecBinary(mulHigh(ir.I32x4ExtendLowI16x8S, ir.I32x4ExtendHighI16x8S)),
		x86asm.PMULHUW:   vecBinary(mulHigh(ir.I32x4ExtendLowI16x8U, ir.I32x4ExtendHighI16x8U)),
		x86asm.PMULUDQ:   vecBinary(mulEven(ir.I64x2ExtMulLowI32x4U)),
		x86asm.PMULDQ:    vecBinary(mulEven(ir.I64x2ExtMulLowI32x4S)),
		x86asm.PSADBW:    vecBinary((*Lifter).sumOfDifferences),
		x86asm.PMADDUBSW: vecBinary((*Lifter).mulAddBytes),
		x86asm.PMULHRSW:  vecBinary((*Lifter).mulRound),

		x86asm.PSLLW: shift(ir.I16x8Shl, 16, false), x86asm.PSLLD: shift(ir.I32x4Shl, 32, false), x86asm.PSLLQ: shift(ir.I64x2Shl, 64, false),
		x86asm.PSRLW: shift(ir.I16x8ShrU, 16, false), x86asm.PSRLD: shift(ir.I32x4ShrU, 32, false), x86asm.PSRLQ: shift(ir.I64x2ShrU, 64, false),
		x86asm.PSRAW: shift(ir.I16x8ShrS, 16, true), x86asm.PSRAD: shift(ir.I32x4ShrS, 32, true),
		x86asm.PSLLDQ: {Lift: onXMM(func(l *Lifter, in x86.Inst) { l.shiftBytes(in, -int(imm8(in))) })},
		x86asm.PSRLDQ: {Lift: onXMM(func(l *Lifter, in x86.Inst) { l.shiftBytes(in, int(imm8(in))) })},

		x86asm.PABSB: vecUnaryOp(16, ir.I8x16Abs), x86asm.PABSW: vecUnaryOp(16, ir.I16x8Abs), x86asm.PABSD: vecUnaryOp(16, ir.I32x4Abs),
		x86asm.PSIGNB: sign(ir.I8x16ShrS, ir.I8x16Sub, ir.I8x16Eq, 7),
		x86asm.PSIGNW: sign(ir.I16x8ShrS, ir.I16x8Sub, ir.I16x8Eq, 15),
		x86asm.PSIGND: sign(ir.I32x4ShrS, ir.I32x4Sub, ir.I32x4Eq, 31),
	}
	for op, irOp := range map[x86asm.Op]ir.Op{
		x86asm.PADDB: ir.I8x16Add, x86asm.PADDW: ir.I16x8Add, x86asm.PADDD: ir.I32x4Add, x86asm.PADDQ: ir.I64x2Add,
		x86asm.PADDSB: ir.I8x16AddSatS, x86asm.PADDSW: ir.I16x8AddSatS, x86asm.PADDUSB: ir.I8x16AddSatU, x86asm.PADDUSW: ir.I16x8AddSatU,
		x86asm.PSUBB: ir.I8x16Sub, x86asm.PSUBW: ir.I16x8Sub, x86asm.PSUBD: ir.I32x4Sub, x86asm.PSUBQ: ir.I64x2Sub,
		x86asm.PSUBSB: ir.I8x16SubSatS, x86asm.PSUBSW: ir.I16x8SubSatS, x86asm.PSUBUSB: ir.I8x16SubSatU, x86asm.PSUBUSW: ir.I16x8SubSatU,
		x86asm.PMULLW: ir.I16x8Mul, x86asm.PMULLD: ir.I32x4Mul, x86asm.PMADDWD: ir.I32x4DotI16x8S,
		x86asm.PAVGB: ir.I8x16AvgrU, x86asm.PAVGW: ir.I16x8AvgrU,
		x86asm.PMINUB: ir.I8x16MinU, x86asm.PMINSB: ir.I8x16MinS, x86asm.PMINUW: ir.I16x8MinU, x86asm.PMINSW: ir.I16x8MinS,
		x86asm.PMINUD: ir.I32x4MinU, x86asm.PMINSD: ir.I32x4MinS,
		x86asm.PMAXUB: ir.I8x16MaxU, x86asm.PMAXSB: ir.I8x16MaxS, x86asm.PMAXUW: ir.I16x8MaxU, x86asm.PMAXSW: ir.I16x8MaxS,
		x86asm.PMAXUD: ir.I32x4MaxU, x86asm.PMAXSD: ir.I32x4MaxS,
		x86asm.PCMPEQB: ir.I8x16Eq, x86asm.PCMPEQW: ir.I16x8Eq, x86asm.PCMPEQD: ir.I32x4Eq, x86asm.PCMPEQQ: ir.I64x2Eq,
		x86asm.PCMPGTB: ir.I8x16GtS, x86asm.PCMPGTW: ir.I16x8GtS, x86asm.PCMPGTD: ir.I32x4GtS, x86asm.PCMPGTQ: ir.I64x2GtS,
		x86asm.PACKSSWB: ir.I8x16NarrowI16x8S, x86asm.PACKUSWB: ir.I8x16NarrowI16x8U,
		x86asm.PACKSSDW: ir.I16x8NarrowI32x4S, x86asm.PACKUSDW: ir.I16x8NarrowI32x4U,
		x86asm.PAND: ir.V128And, x86asm.POR: ir.V128Or,
	} {
		t[op] = vecOp(irOp)
	}
	return t
}

// mulHigh multiplies words and keeps the upper halves of the products.
func mulHigh(extendLow, extendHigh ir.Op) func(l *Lifter, x, y ir.Value) ir.Value {
	return func(l *Lifter, x, y ir.Value) ir.Value {
		low := l.b.Op(ir.I32x4Mul, l.b.Op(extendLow, x), l.b.Op(extendLow, y))
		high := l.b.Op(ir.I32x4Mul, l.b.Op(extendHigh, x), l.b.Op(extendHigh, y))
		return l.b.Shuffle(low, high, [16]byte{2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31})
	}
}

// mulEven multiplies the doublewords 0 and 2 to 64 bits.
func mulEven(extMul ir.Op) func(l *Lifter, x, y ir.Value) ir.Value {
	even := [16]byte{0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11}
	return func(l *Lifter, x, y ir.Value) ir.Value {
		return l.b.Op(extMul, l.b.Shuffle(x, x, even), l.b.Shuffle(y, y, even))
	}
}

// absDifference returns |x-y| of unsigned bytes.
func (l *Lifter) absDifference(x, y ir.Value) ir.Value {
	return l.b.Op(ir.V128Or, l.b.Op(ir.I8x16SubSatU, x, y), l.b.Op(ir.I8x16SubSatU, y, x))
}

func (l *Lifter) sumOfDifferences(x, y ir.Value) ir.Value {
	d := l.b.Op(ir.I16x8ExtAddPairwiseI8x16U, l.absDifference(x, y))
	d = l.b.Op(ir.I32x4ExtAddPairwiseI16x8U, d)
	high := l.b.Op(ir.I64x2ShrU, d, l.b.I32(32))
	return l.b.Op(ir.I64x2Add, l.b.Op(ir.V128And, d, l.splat64(0xffff_ffff)), high)
}

// mulAddBytes multiplies unsigned bytes of x with signed ones of y and adds
// pairs with saturation. The products fit in 16 bits.
func (l *Lifter) mulAddBytes(x, y ir.Value) ir.Value {
	eight := l.b.I32(8)
	even := l.b.Op(ir.I16x8Mul, l.b.Op(ir.V128And, x, l.splat64(0x00ff_00ff_00ff_00ff)),
		l.b.Op(ir.I16x8ShrS, l.b.Op(ir.I16x8Shl, y, eight), eight))
	odd := l.b.Op(ir.I16x8Mul, l.b.Op(ir.I16x8ShrU, x, eight), l.b.Op(ir.I16x8ShrS, y, eight))
	return l.b.Op(ir.I16x8AddSatS, even, odd)
}

// mulRound is pmulhrsw. Only -1 times -1 differs from the saturating operation
// of wasm: it wraps.
func (l *Lifter) mulRound(x, y ir.Value) ir.Value {
	smallest := l.splat64(0x8000_8000_8000_8000)
	wraps := l.b.Op(ir.V128And, l.b.Op(ir.I16x8Eq, x, smallest), l.b.Op(ir.I16x8Eq, y, smallest))
	return l.b.Op(ir.V128Xor, l.b.Op(ir.I16x8Q15MulrSatS, x, y), wraps)
}

// sign makes psignb and its like: negates where src is negative, clears where
// it is zero.
func sign(shr, sub, eq ir.Op, top int32) Row {
	return vecBinary(func(l *Lifter, x, y ir.Value) ir.Value {
		negative := l.b.Op(shr, y, l.b.I32(top))
		v := l.b.Op(sub, l.b.Op(ir.V128Xor, x, negative), negative)
		return l.b.Op(ir.V128AndNot, v, l.b.Op(eq, y, l.zeroVec()))
	})
}

// shift makes psllw and its like. A count of the width or more clears the
// lanes, or fills them with the sign.
func shift(op ir.Op, width int, signed bool) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		if _, ok := in.Args[1].(x86asm.Imm); ok {
			l.shiftImm(in, op, width, signed)
			return
		}
		count := l.b.OpImm(ir.I64x2ExtractLane, 0, l.vec(in.Args[1]))
		fits := l.b.Op(ir.I64LtU, count, l.b.I64(int64(width)))
		n := l.wrap(count)
		if signed {
			n = l.b.Select(n, l.b.I32(int32(width-1)), fits)
		}
		v := l.b.Op(op, l.getXMM(in.Args[0]), n)
		if !signed {
			v = l.b.Select(v, l.zeroVec(), fits)
		}
		l.setXMM(in.Args[0], v)
	})}
}

func (l *Lifter) shiftImm(in x86.Inst, op ir.Op, width int, signed bool) {
	n := int(imm8(in))
	if n >= width {
		if !signed {
			l.setXMM(in.Args[0], l.zeroVec())
			return
		}
		n = width - 1
	}
	l.setXMM(in.Args[0], l.b.Op(op, l.getXMM(in.Args[0]), l.b.I32(int32(n))))
}

// shiftBytes shifts dst right by n bytes, or left if n is negative.
func (l *Lifter) shiftBytes(in x86.Inst, n int) {
	var lanes [16]byte
	for i := range lanes {
		lanes[i] = 16
		if from := i + n; from >= 0 && from < 16 {
			lanes[i] = byte(from)
		}
	}
	l.setXMM(in.Args[0], l.b.Shuffle(l.getXMM(in.Args[0]), l.zeroVec(), lanes))
}
