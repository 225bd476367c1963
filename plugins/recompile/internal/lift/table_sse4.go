package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// sse4Rows are what SSE4.1 adds to the families of the other files. The string
// comparisons of SSE4.2 are in table_sse_string.go.
func sse4Rows() Table {
	return Table{
		x86asm.PMOVSXBW: vecUnaryOp(8, ir.I16x8ExtendLowI8x16S),
		x86asm.PMOVSXBD: vecUnaryOp(4, ir.I16x8ExtendLowI8x16S, ir.I32x4ExtendLowI16x8S),
		x86asm.PMOVSXBQ: vecUnaryOp(2, ir.I16x8ExtendLowI8x16S, ir.I32x4ExtendLowI16x8S, ir.I64x2ExtendLowI32x4S),
		x86asm.PMOVSXWD: vecUnaryOp(8, ir.I32x4ExtendLowI16x8S),
		x86asm.PMOVSXWQ: vecUnaryOp(4, ir.I32x4ExtendLowI16x8S, ir.I64x2ExtendLowI32x4S),
		x86asm.PMOVSXDQ: vecUnaryOp(8, ir.I64x2ExtendLowI32x4S),
		x86asm.PMOVZXBW: vecUnaryOp(8, ir.I16x8ExtendLowI8x16U),
		x86asm.PMOVZXBD: vecUnaryOp(4, ir.I16x8ExtendLowI8x16U, ir.I32x4ExtendLowI16x8U),
		x86asm.PMOVZXBQ: vecUnaryOp(2, ir.I16x8ExtendLowI8x16U, ir.I32x4ExtendLowI16x8U, ir.I64x2ExtendLowI32x4U),
		x86asm.PMOVZXWD: vecUnaryOp(8, ir.I32x4ExtendLowI16x8U),
		x86asm.PMOVZXWQ: vecUnaryOp(4, ir.I32x4ExtendLowI16x8U, ir.I64x2ExtendLowI32x4U),
		x86asm.PMOVZXDQ: vecUnaryOp(8, ir.I64x2ExtendLowI32x4U),

		x86asm.BLENDPS: blend(4), x86asm.BLENDPD: blend(8), x86asm.PBLENDW: blend(2),
		x86asm.BLENDVPS: blendV(ir.I32x4ShrS, 31), x86asm.BLENDVPD: blendV(ir.I64x2ShrS, 63), x86asm.PBLENDVB: blendV(ir.I8x16ShrS, 7),

		x86asm.ROUNDPS: {Lift: onXMM(func(l *Lifter, in x86.Inst) {
			l.setXMM(in.Args[0], l.b.Op(rounding(in, f32Ops.vnearest, f32Ops.vfloor, f32Ops.vceil, f32Ops.vtr), l.vec(in.Args[1])))
		})},
		x86asm.ROUNDPD: {Lift: onXMM(func(l *Lifter, in x86.Inst) {
			l.setXMM(in.Args[0], l.b.Op(rounding(in, f64Ops.vnearest, f64Ops.vfloor, f64Ops.vceil, f64Ops.vtr), l.vec(in.Args[1])))
		})},
		x86asm.ROUNDSS: {Lift: onXMM(roundScalar(&f32Ops))}, x86asm.ROUNDSD: {Lift: onXMM(roundScalar(&f64Ops))},

		x86asm.PTEST:      {Lift: onXMM(liftPtest), Writes: arith},
		x86asm.PHMINPOSUW: vecUnary(16, (*Lifter).minPosition),
		x86asm.MPSADBW:    {Lift: onXMM(liftMpsadbw)},
		x86asm.DPPS:       {Lift: onXMM(dotProduct(ir.F32x4Mul, ir.F32x4Add, 4))},
		x86asm.DPPD:       {Lift: onXMM(dotProduct(ir.F64x2Mul, ir.F64x2Add, 8))},

		x86asm.PINSRB:    {Lift: onXMM(insert(ir.I8x16ReplaceLane, ir.I32Load8U, 15))},
		x86asm.PINSRD:    {Lift: onXMM(insert(ir.I32x4ReplaceLane, ir.I32Load, 3))},
		x86asm.PINSRQ:    {Lift: onXMM(insert(ir.I64x2ReplaceLane, ir.I64Load, 1))},
		x86asm.PEXTRB:    {Lift: onXMM(extractTo(ir.I8x16ExtractLaneU, ir.I32Store8, 15))},
		x86asm.PEXTRD:    {Lift: onXMM(extractTo(ir.I32x4ExtractLane, ir.I32Store, 3))},
		x86asm.PEXTRQ:    {Lift: onXMM(extractTo(ir.I64x2ExtractLane, ir.I64Store, 1))},
		x86asm.EXTRACTPS: {Lift: onXMM(extractTo(ir.I32x4ExtractLane, ir.I32Store, 3))},
		x86asm.INSERTPS:  {Lift: onXMM(liftInsertps)},
	}
}

// blend chooses elements of size bytes by the bits of the immediate.
func blend(size int) Row {
	return permuteImm(size, false, func(imm int) []int {
		n := 16 / size
		elems := make([]int, n)
		for i := range elems {
			elems[i] = i + n*(imm>>i&1)
		}
		return elems
	})
}

// blendV chooses elements by the signs of those of xmm0.
func blendV(shr ir.Op, top int32) Row {
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
		mask := l.b.Op(shr, l.getReg(guestabi.XMM0), l.b.I32(top))
		return l.b.Op(ir.V128Bitselect, src, dst, mask)
	})
}

// rounding returns the operation for the immediate of roundps and its like: to
// nearest, down, up, to zero, or as MXCSR says, which is to nearest.
func rounding(in x86.Inst, nearest, floor, ceil, trunc ir.Op) ir.Op {
	imm := imm8(in)
	if imm&4 != 0 {
		return nearest
	}
	return [4]ir.Op{nearest, floor, ceil, trunc}[imm&3]
}

func roundScalar(t *floatType) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		op := rounding(in, t.nearest, t.floor, t.ceil, t.trunc)
		l.setScalar(t, in.Args[0], l.b.Op(op, l.scalar(t, in.Args[1])))
	}
}

func liftPtest(l *Lifter, in x86.Inst) {
	src := l.vec(in.Args[1])
	dst := l.getXMM(in.Args[0])
	l.clearFlags(OF | SF | AF | PF)
	l.setFlag(ZF, l.not(l.b.Op(ir.V128AnyTrue, l.b.Op(ir.V128And, dst, src))))
	l.setFlag(CF, l.not(l.b.Op(ir.V128AnyTrue, l.b.Op(ir.V128AndNot, src, dst))))
}

// minPosition finds the smallest word and its index: each word is put above
// its index in a doubleword, and the smallest of those is found.
func (l *Lifter) minPosition(v ir.Value) ir.Value {
	sixteen := l.b.I32(16)
	low := l.b.Op(ir.V128Or, l.b.Op(ir.I32x4Shl, l.b.Op(ir.I32x4ExtendLowI16x8U, v), sixteen), l.b.V128(0x1_0000_0000, 0x3_0000_0002))
	high := l.b.Op(ir.V128Or, l.b.Op(ir.I32x4Shl, l.b.Op(ir.I32x4ExtendHighI16x8U, v), sixteen), l.b.V128(0x5_0000_0004, 0x7_0000_0006))
	m := l.b.Op(ir.I32x4MinU, low, high)
	m = l.b.Op(ir.I32x4MinU, m, l.b.Shuffle(m, m, lanesOf(4, 2, 3, 0, 1)))
	m = l.b.Op(ir.I32x4MinU, m, l.b.Shuffle(m, m, lanesOf(4, 1, 0, 3, 2)))
	r := l.b.OpImm(ir.I32x4ExtractLane, 0, m)
	return l.b.OpImm(ir.I32x4ReplaceLane, 0, l.zeroVec(), l.b.Op(ir.I32Rotl, r, sixteen))
}

// liftMpsadbw sums the differences of four bytes of src, at the offset that bits
// 0 and 1 of the immediate choose, from eight runs of bytes of dst, the first
// of which bit 2 chooses.
func liftMpsadbw(l *Lifter, in x86.Inst) {
	src := l.vec(in.Args[1])
	dst := l.getXMM(in.Args[0])
	imm := int(imm8(in))
	sum := ir.None
	for k := range 4 {
		var window, same [16]byte
		for i := range 16 {
			window[i] = byte(min(imm>>2&1*4+k+i, 15))
			same[i] = byte(imm&3*4 + k)
		}
		d := l.absDifference(l.b.Shuffle(dst, dst, window), l.b.Shuffle(src, src, same))
		d = l.b.Op(ir.I16x8ExtendLowI8x16U, d)
		if sum == ir.None {
			sum = d
		} else {
			sum = l.b.Op(ir.I16x8Add, sum, d)
		}
	}
	l.setXMM(in.Args[0], sum)
}

// dotProduct multiplies the elements that the upper half of the immediate
// chooses, adds them up, and puts the sum where the lower half says.
func dotProduct(mul, add ir.Op, size int) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		src := l.vec(in.Args[1])
		dst := l.getXMM(in.Args[0])
		imm := int(imm8(in))
		p := l.b.Op(ir.V128And, l.b.Op(mul, dst, src), l.elementMask(size, imm>>4))
		var sum ir.Value
		if size == 8 {
			sum = l.b.Op(add, l.b.Shuffle(p, p, lanesOf(8, 0, 0)), l.b.Shuffle(p, p, lanesOf(8, 1, 1)))
		} else {
			// (p0+p1)+(p2+p3) in every lane, with the operands in this order.
			pairs := l.b.Op(add, l.b.Shuffle(p, p, lanesOf(4, 0, 2, 0, 2)), l.b.Shuffle(p, p, lanesOf(4, 1, 3, 1, 3)))
			sum = l.b.Op(add, l.b.Shuffle(pairs, pairs, lanesOf(4, 0, 0, 0, 0)), l.b.Shuffle(pairs, pairs, lanesOf(4, 1, 1, 1, 1)))
		}
		l.setXMM(in.Args[0], l.b.Op(ir.V128And, sum, l.elementMask(size, imm)))
	}
}

// elementMask has ones in the elements of size bytes whose bits are set.
func (l *Lifter) elementMask(size, bits int) ir.Value {
	var half [2]uint64
	for i := range 16 {
		if bits>>(i/size)&1 != 0 {
			half[i/8] |= 0xff << (i % 8 * 8)
		}
	}
	return l.b.V128(half[0], half[1])
}

// liftInsertps inserts an element of src, then clears those that the immediate
// names.
func liftInsertps(l *Lifter, in x86.Inst) {
	imm := int(imm8(in))
	var v ir.Value
	if m, ok := in.Args[1].(x86asm.Mem); ok {
		v = l.loadMem(ir.F32Load, m)
	} else {
		v = l.b.OpImm(ir.F32x4ExtractLane, int64(imm>>6&3), l.getXMM(in.Args[1]))
	}
	r := l.b.OpImm(ir.F32x4ReplaceLane, int64(imm>>4&3), l.getXMM(in.Args[0]), v)
	if imm&15 != 0 {
		r = l.b.Op(ir.V128And, r, l.elementMask(4, ^imm&15))
	}
	l.setXMM(in.Args[0], r)
}
