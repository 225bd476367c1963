package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// sseMoveRows move data between xmm registers, memory and general registers.
func sseMoveRows() Table {
	whole := Row{Lift: onXMM(liftMoveWhole)}
	return Table{
		x86asm.MOVAPS: whole, x86asm.MOVAPD: whole, x86asm.MOVUPS: whole, x86asm.MOVUPD: whole,
		x86asm.MOVDQA: whole, x86asm.MOVDQU: whole, x86asm.LDDQU: whole,
		x86asm.MOVNTDQ: whole, x86asm.MOVNTPS: whole, x86asm.MOVNTPD: whole, x86asm.MOVNTDQA: whole,

		x86asm.MOVSD_XMM: {Lift: onXMM(moveScalar(ir.F64x2ExtractLane, ir.F64x2ReplaceLane, ir.V128Load64Zero, ir.F64Store))},
		x86asm.MOVSS:     {Lift: onXMM(moveScalar(ir.F32x4ExtractLane, ir.F32x4ReplaceLane, ir.V128Load32Zero, ir.F32Store))},
		x86asm.MOVD:      {Lift: onXMM(liftMovD)},
		x86asm.MOVQ:      {Lift: onXMM(liftMovD)},

		x86asm.MOVLPS: {Lift: onXMM(moveHalf(0))}, x86asm.MOVLPD: {Lift: onXMM(moveHalf(0))},
		x86asm.MOVHPS: {Lift: onXMM(moveHalf(1))}, x86asm.MOVHPD: {Lift: onXMM(moveHalf(1))},

		x86asm.MOVMSKPS:   moveMask(ir.I32x4Bitmask),
		x86asm.MOVMSKPD:   moveMask(ir.I64x2Bitmask),
		x86asm.PMOVMSKB:   moveMask(ir.I8x16Bitmask),
		x86asm.MASKMOVDQU: {Lift: onXMM(liftMaskMove)},
	}
}

func liftMoveWhole(l *Lifter, in x86.Inst) {
	if m, ok := in.Args[0].(x86asm.Mem); ok {
		l.storeMem(ir.V128Store, m, l.getXMM(in.Args[1]))
		return
	}
	l.setXMM(in.Args[0], l.vec(in.Args[1]))
}

// moveScalar is movsd and movss: a load clears the rest of the register, a move
// between registers keeps it.
func moveScalar(extract, replace, load, store ir.Op) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		if m, ok := in.Args[0].(x86asm.Mem); ok {
			l.storeMem(store, m, l.b.OpImm(extract, 0, l.getXMM(in.Args[1])))
			return
		}
		if m, ok := in.Args[1].(x86asm.Mem); ok {
			l.setXMM(in.Args[0], l.loadMem(load, m))
			return
		}
		v := l.b.OpImm(extract, 0, l.getXMM(in.Args[1]))
		l.setXMM(in.Args[0], l.b.OpImm(replace, 0, l.getXMM(in.Args[0]), v))
	}
}

// liftMovD is movd and movq in all their forms: between an xmm register and a
// general register, memory or, for movq, an xmm register.
func liftMovD(l *Lifter, in x86.Inst) {
	dst, src := in.Args[0], in.Args[1]
	if _, ok := xmm(dst); !ok { // from an xmm register
		if m, ok := dst.(x86asm.Mem); ok {
			if l.in.MemBytes == 8 {
				l.storeMem(ir.F64Store, m, l.b.OpImm(ir.F64x2ExtractLane, 0, l.getXMM(src)))
			} else {
				l.storeMem(ir.F32Store, m, l.b.OpImm(ir.F32x4ExtractLane, 0, l.getXMM(src)))
			}
			return
		}
		extract := ir.I32x4ExtractLane
		if l.width(dst) == 64 {
			extract = ir.I64x2ExtractLane
		}
		l.set(dst, l.b.OpImm(extract, 0, l.getXMM(src)))
		return
	}
	if m, ok := src.(x86asm.Mem); ok {
		load := ir.V128Load32Zero
		if l.in.MemBytes == 8 {
			load = ir.V128Load64Zero
		}
		l.setXMM(dst, l.loadMem(load, m))
		return
	}
	if _, ok := xmm(src); ok {
		low := l.b.OpImm(ir.F64x2ExtractLane, 0, l.getXMM(src))
		l.setXMM(dst, l.b.OpImm(ir.F64x2ReplaceLane, 0, l.zeroVec(), low))
		return
	}
	v := l.get(src)
	if l.width(src) != 64 {
		v = l.extendU(v)
	}
	l.setXMM(dst, l.b.OpImm(ir.I64x2ReplaceLane, 0, l.zeroVec(), v))
}

// moveHalf loads or stores one half and keeps the other.
func moveHalf(lane int64) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		if m, ok := in.Args[0].(x86asm.Mem); ok {
			l.storeMem(ir.F64Store, m, l.b.OpImm(ir.F64x2ExtractLane, lane, l.getXMM(in.Args[1])))
			return
		}
		var v ir.Value
		if m, ok := in.Args[1].(x86asm.Mem); ok {
			v = l.loadMem(ir.F64Load, m)
		} else {
			// movlps and movhps on registers are movhlps and movlhps.
			v = l.b.OpImm(ir.F64x2ExtractLane, 1-lane, l.getXMM(in.Args[1]))
		}
		l.setXMM(in.Args[0], l.b.OpImm(ir.F64x2ReplaceLane, lane, l.getXMM(in.Args[0]), v))
	}
}

func moveMask(op ir.Op) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		l.setInt(in.Args[0], l.b.Op(op, l.getXMM(in.Args[1])))
	})}
}

// liftMaskMove stores the bytes whose mask bytes are negative. It writes back
// the others, so a page that is not mapped faults even where no byte is stored.
func liftMaskMove(l *Lifter, in x86.Inst) {
	data, mask := l.getXMM(in.Args[len(maskMoveArgs(in))-2]), l.getXMM(in.Args[len(maskMoveArgs(in))-1])
	addr := l.wrap(l.getReg(guestabi.RDI))
	if seg, ok := maskMoveSegment(in); ok {
		addr = l.b.Op(ir.I32Add, addr, l.wrap(l.getReg(seg)))
	}
	old := l.load(ir.V128Load, addr, 0)
	sign := l.b.Op(ir.I8x16ShrS, mask, l.b.I32(7))
	l.store(ir.V128Store, addr, 0, l.b.Op(ir.V128Bitselect, data, old, sign))
}

// maskMoveArgs returns the operands that are there.
func maskMoveArgs(in x86.Inst) []x86asm.Arg {
	n := 0
	for n < len(in.Args) && in.Args[n] != nil {
		n++
	}
	return in.Args[:n]
}

func maskMoveSegment(in x86.Inst) (ir.Reg, bool) {
	for _, p := range in.Prefix {
		switch p & 0xff {
		case 0x64:
			return guestabi.FSBase, true
		case 0x65:
			return guestabi.GSBase, true
		}
	}
	return 0, false
}
