package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/x86"
)

// lanesOf turns indices of elements of size bytes into those of bytes.
func lanesOf(size int, elems ...int) (lanes [16]byte) {
	for i := range lanes {
		lanes[i] = byte(elems[i/size]*size + i%size)
	}
	return lanes
}

// permute makes a row that shuffles elements of dst (numbered from 0) and src
// (numbered from 16/size).
func permute(size int, elems ...int) Row {
	lanes := lanesOf(size, elems...)
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value { return l.b.Shuffle(dst, src, lanes) })
}

// permuteImm is permute with elements chosen by the immediate; whole says that
// dst is not an operand.
func permuteImm(size int, whole bool, choose func(imm int) []int) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		lanes := lanesOf(size, choose(int(imm8(in)))...)
		src := l.vec(in.Args[1])
		dst := src
		if !whole {
			dst = l.getXMM(in.Args[0])
		}
		l.setXMM(in.Args[0], l.b.Shuffle(dst, src, lanes))
	})}
}

// duplicate makes a row that shuffles src alone, of which memory has bytes.
func duplicate(bytes, size int, elems ...int) Row {
	lanes := lanesOf(size, elems...)
	return vecUnary(bytes, func(l *Lifter, v ir.Value) ir.Value { return l.b.Shuffle(v, v, lanes) })
}

// horizontal makes phaddw and its like: op on the even and the odd elements of
// dst and src.
func horizontal(size int, op ir.Op) Row {
	n := 16 / size
	var even, odd []int
	for i := range n {
		even = append(even, 2*i)
		odd = append(odd, 2*i+1)
	}
	e, o := lanesOf(size, even...), lanesOf(size, odd...)
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
		return l.b.Op(op, l.b.Shuffle(dst, src, e), l.b.Shuffle(dst, src, o))
	})
}

// alternate makes addsubps and its like: sub in the even lanes, add in the odd.
func alternate(size int, sub, add ir.Op, elems ...int) Row {
	lanes := lanesOf(size, elems...)
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
		return l.b.Shuffle(l.b.Op(sub, dst, src), l.b.Op(add, dst, src), lanes)
	})
}

// sseShuffleRows move elements around, up to SSSE3.
func sseShuffleRows() Table {
	return Table{
		x86asm.MOVHLPS: permute(8, 3, 1), x86asm.MOVLHPS: permute(8, 0, 2),
		x86asm.UNPCKLPS: permute(4, 0, 4, 1, 5), x86asm.UNPCKHPS: permute(4, 2, 6, 3, 7),
		x86asm.UNPCKLPD: permute(8, 0, 2), x86asm.UNPCKHPD: permute(8, 1, 3),
		x86asm.PUNPCKLBW: permute(1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
		x86asm.PUNPCKHBW: permute(1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
		x86asm.PUNPCKLWD: permute(2, 0, 8, 1, 9, 2, 10, 3, 11), x86asm.PUNPCKHWD: permute(2, 4, 12, 5, 13, 6, 14, 7, 15),
		x86asm.PUNPCKLDQ: permute(4, 0, 4, 1, 5), x86asm.PUNPCKHDQ: permute(4, 2, 6, 3, 7),
		x86asm.PUNPCKLQDQ: permute(8, 0, 2), x86asm.PUNPCKHQDQ: permute(8, 1, 3),

		x86asm.SHUFPS:  permuteImm(4, false, func(i int) []int { return []int{i & 3, i >> 2 & 3, 4 + i>>4&3, 4 + i>>6&3} }),
		x86asm.SHUFPD:  permuteImm(8, false, func(i int) []int { return []int{i & 1, 2 + i>>1&1} }),
		x86asm.PSHUFD:  permuteImm(4, true, func(i int) []int { return []int{i & 3, i >> 2 & 3, i >> 4 & 3, i >> 6 & 3} }),
		x86asm.PSHUFLW: permuteImm(2, true, func(i int) []int { return []int{i & 3, i >> 2 & 3, i >> 4 & 3, i >> 6 & 3, 4, 5, 6, 7} }),
		x86asm.PSHUFHW: permuteImm(2, true, func(i int) []int {
			return []int{0, 1, 2, 3, 4 + i&3, 4 + i>>2&3, 4 + i>>4&3, 4 + i>>6&3}
		}),

		x86asm.MOVDDUP: duplicate(8, 8, 0, 0), x86asm.MOVSLDUP: duplicate(16, 4, 0, 0, 2, 2), x86asm.MOVSHDUP: duplicate(16, 4, 1, 1, 3, 3),
		x86asm.ADDSUBPS: alternate(4, ir.F32x4Sub, ir.F32x4Add, 0, 5, 2, 7),
		x86asm.ADDSUBPD: alternate(8, ir.F64x2Sub, ir.F64x2Add, 0, 3),
		x86asm.HADDPS:   horizontal(4, ir.F32x4Add), x86asm.HSUBPS: horizontal(4, ir.F32x4Sub),
		x86asm.HADDPD: horizontal(8, ir.F64x2Add), x86asm.HSUBPD: horizontal(8, ir.F64x2Sub),
		x86asm.PHADDW: horizontal(2, ir.I16x8Add), x86asm.PHADDD: horizontal(4, ir.I32x4Add), x86asm.PHADDSW: horizontal(2, ir.I16x8AddSatS),
		x86asm.PHSUBW: horizontal(2, ir.I16x8Sub), x86asm.PHSUBD: horizontal(4, ir.I32x4Sub), x86asm.PHSUBSW: horizontal(2, ir.I16x8SubSatS),

		// An index with bit 7 set gives 0; else its low four bits count. The
		// swizzle of wasm gives 0 for everything from 16 on.
		x86asm.PSHUFB: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			return l.b.Op(ir.I8x16Swizzle, dst, l.b.Op(ir.V128And, src, l.splat64(0x8f8f_8f8f_8f8f_8f8f)))
		}),
		x86asm.PALIGNR: {Lift: onXMM(liftAlign)},
		x86asm.PINSRW:  {Lift: onXMM(insert(ir.I16x8ReplaceLane, ir.I32Load16U, 7))},
		x86asm.PEXTRW:  {Lift: onXMM(extractTo(ir.I16x8ExtractLaneU, ir.I32Store16, 7))},
	}
}

// liftAlign takes 16 bytes of dst:src from the byte that the immediate names.
func liftAlign(l *Lifter, in x86.Inst) {
	src := l.vec(in.Args[1])
	n := int(imm8(in))
	low, high := src, l.getXMM(in.Args[0])
	if n >= 16 {
		low, high, n = high, l.zeroVec(), n-16
	}
	if n >= 16 {
		l.setXMM(in.Args[0], l.zeroVec())
		return
	}
	var lanes [16]byte
	for i := range lanes {
		lanes[i] = byte(n + i)
	}
	l.setXMM(in.Args[0], l.b.Shuffle(low, high, lanes))
}

// insert makes pinsrb and its like: src is a general register or memory.
func insert(replace, load ir.Op, mask uint8) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		var v ir.Value
		if m, ok := in.Args[1].(x86asm.Mem); ok {
			v = l.loadMem(load, m)
		} else {
			v = l.get64(in.Args[1].(x86asm.Reg))
			if load != ir.I64Load {
				v = l.wrap(v)
			}
		}
		l.setXMM(in.Args[0], l.b.OpImm(replace, int64(imm8(in)&mask), l.getXMM(in.Args[0]), v))
	}
}

// extractTo makes pextrb and its like: dst is a general register, cleared above
// the element, or memory.
func extractTo(extract, store ir.Op, mask uint8) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		v := l.b.OpImm(extract, int64(imm8(in)&mask), l.getXMM(in.Args[1]))
		if m, ok := in.Args[0].(x86asm.Mem); ok {
			l.storeMem(store, m, v)
			return
		}
		reg, _, _, _ := gpr(in.Args[0].(x86asm.Reg))
		if l.b.TypeOf(v) == ir.I32 {
			v = l.extendU(v)
		}
		l.setReg(reg, v)
	}
}
