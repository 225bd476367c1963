package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// The MMX registers are the significands of the x87 registers, which the host
// keeps: each access is a call of guestabi.FuncMMX. An instruction of MMX that
// SSE2 extended to xmm registers has the handler of that, which is run on
// operands that stand for the mm registers, as those of AVX are (vex.go), and
// whose result's lower half is written. Reading changes no state, so that an
// access to memory may fault after it; an instruction that writes no mm register
// says so to the host at its end (touchMM).

// mm returns the number of an mm register.
func mm(a x86asm.Arg) (int32, bool) {
	r, ok := a.(x86asm.Reg)
	if !ok || r < x86asm.M0 || r > x86asm.M7 {
		return 0, false
	}
	return int32(r - x86asm.M0), true
}

// getMM returns mm register n as an i64.
func (l *Lifter) getMM(n int32) ir.Value {
	return l.b.Helper(guestabi.FuncMMX, l.b.I32(int32(guestabi.MMXRead)|n), l.b.I64(0))[0]
}

// setMM writes an i64 to mm register n, which ends the x87 stack.
func (l *Lifter) setMM(n int32, v ir.Value) {
	l.b.Helper(guestabi.FuncMMX, l.b.I32(int32(guestabi.MMXWrite)|n), v)
}

// touchMM ends the x87 stack, as an instruction does that only reads.
func (l *Lifter) touchMM() {
	l.b.Helper(guestabi.FuncMMX, l.b.I32(int32(guestabi.MMXTouch)), l.b.I64(0))
}

// widen returns an i64 as the lower half of a vector.
func (l *Lifter) widen(v ir.Value) ir.Value {
	return l.b.OpImm(ir.I64x2ReplaceLane, 0, l.zeroVec(), v)
}

func (l *Lifter) lowerHalf(v ir.Value) ir.Value { return l.b.OpImm(ir.I64x2ExtractLane, 0, v) }

// join puts the lower halves of two vectors side by side.
func (l *Lifter) join(low, high ir.Value) ir.Value { return l.b.Shuffle(low, high, lanesOf(8, 0, 2)) }

// waitMM raises #MF, if an exception is pending, before anything else happens.
func (l *Lifter) waitMM() { l.getMM(0) }

// mmxForm says how the operands of an instruction of MMX become those of its SSE
// form.
type mmxForm struct {
	// arrange makes the vectors that SSE works on from dst and src, whose upper
	// halves are 0. Without it they stay as they are.
	arrange func(l *Lifter, dst, src ir.Value) (ir.Value, ir.Value)
	// unary: the destination is not read.
	unary bool
	// imm is the mask of the immediate's bits that count, or 0: all.
	imm x86asm.Imm
	// lift is instead of the handler of SSE.
	lift func(l *Lifter, in x86.Inst) error
}

// row makes the row for the forms of both kinds of register.
func (f mmxForm) row(sse Row) Row {
	row := sse
	row.Lift = func(l *Lifter, in x86.Inst) error {
		_, to := mm(in.Args[0])
		_, from := mm(in.Args[1])
		switch {
		case !to && !from:
			return sse.Lift(l, in)
		case f.lift != nil:
			return f.lift(l, in)
		}
		return f.apply(l, in, sse)
	}
	return row
}

// apply runs the handler of SSE on vectors that hold the mm operands.
func (f mmxForm) apply(l *Lifter, in x86.Inst, sse Row) error {
	part := in
	var values [2]ir.Value
	for i := range values {
		if _, mem := in.Args[i].(x86asm.Mem); mem && f.unary {
			l.waitMM() // #MF goes before a fault of the load
		}
		values[i] = f.operand(l, in, i)
	}
	if values[0] == ir.None && values[1] != ir.None && in.Args[0] == in.Args[1] {
		values[0] = values[1]
	}
	if f.arrange != nil {
		values[0], values[1] = f.arrange(l, values[0], values[1])
	}
	l.half = half{active: true, result: ir.None}
	defer func() { l.in, l.half = in, half{} }()
	for i, a := range in.Args {
		if imm, ok := a.(x86asm.Imm); ok && f.imm != 0 {
			part.Args[i] = imm & f.imm
		}
		if i < len(values) && values[i] != ir.None {
			part.Args[i] = l.half.register(a, 0, values[i])
		}
	}
	l.in = part
	if err := sse.Lift(l, part); err != nil {
		return err
	}
	if n, ok := mm(in.Args[0]); ok {
		l.setMM(n, l.lowerHalf(l.half.result))
	} else {
		l.touchMM()
	}
	return nil
}

// operand returns operand i as a vector, or None for one that the handler of SSE
// takes as it is. The register of both operands is read once.
func (f mmxForm) operand(l *Lifter, in x86.Inst, i int) ir.Value {
	if m, ok := in.Args[i].(x86asm.Mem); ok {
		switch in.MemBytes {
		case 8:
			return l.loadMem(ir.V128Load64Zero, m)
		case 4:
			return l.loadMem(ir.V128Load32Zero, m)
		}
		return ir.None
	}
	n, ok := mm(in.Args[i])
	switch {
	case !ok || i == 0 && in.Args[0] == in.Args[1]:
		return ir.None
	case i == 0 && f.unary:
		return l.zeroVec()
	}
	return l.widen(l.getMM(n))
}

// mmxForms are the instructions of SSE with a form on mm registers.
func mmxForms() map[x86asm.Op]mmxForm {
	forms := map[x86asm.Op]mmxForm{
		x86asm.MOVD: {lift: liftMoveMM}, x86asm.MOVQ: {lift: liftMoveMM},
		x86asm.PMOVMSKB: {}, x86asm.PEXTRW: {imm: 3}, x86asm.PINSRW: {imm: 3},
		// The index counts modulo 8: both halves are alike.
		x86asm.PSHUFB: {arrange: func(l *Lifter, dst, src ir.Value) (ir.Value, ir.Value) { return l.join(dst, dst), src }},
		x86asm.PALIGNR: {arrange: func(l *Lifter, dst, src ir.Value) (ir.Value, ir.Value) {
			return l.zeroVec(), l.join(src, dst)
		}},
	}
	for _, op := range []x86asm.Op{
		x86asm.PADDB, x86asm.PADDW, x86asm.PADDD, x86asm.PADDQ, x86asm.PADDSB, x86asm.PADDSW, x86asm.PADDUSB, x86asm.PADDUSW,
		x86asm.PSUBB, x86asm.PSUBW, x86asm.PSUBD, x86asm.PSUBQ, x86asm.PSUBSB, x86asm.PSUBSW, x86asm.PSUBUSB, x86asm.PSUBUSW,
		x86asm.PMULLW, x86asm.PMULHW, x86asm.PMULHUW, x86asm.PMULHRSW, x86asm.PMULUDQ, x86asm.PMADDWD, x86asm.PMADDUBSW,
		x86asm.PAVGB, x86asm.PAVGW, x86asm.PSADBW, x86asm.PMINUB, x86asm.PMINSW, x86asm.PMAXUB, x86asm.PMAXSW,
		x86asm.PCMPEQB, x86asm.PCMPEQW, x86asm.PCMPEQD, x86asm.PCMPGTB, x86asm.PCMPGTW, x86asm.PCMPGTD,
		x86asm.PAND, x86asm.PANDN, x86asm.POR, x86asm.PXOR, x86asm.PSIGNB, x86asm.PSIGNW, x86asm.PSIGND,
		x86asm.PSLLW, x86asm.PSLLD, x86asm.PSLLQ, x86asm.PSRLW, x86asm.PSRLD, x86asm.PSRLQ, x86asm.PSRAW, x86asm.PSRAD,
		x86asm.PUNPCKLBW, x86asm.PUNPCKLWD, x86asm.PUNPCKLDQ,
	} {
		forms[op] = mmxForm{}
	}
	for _, op := range []x86asm.Op{x86asm.PABSB, x86asm.PABSW, x86asm.PABSD} {
		forms[op] = mmxForm{unary: true}
	}
	// The upper half of 8 bytes goes where SSE finds that of 16.
	upper := func(l *Lifter, dst, src ir.Value) (ir.Value, ir.Value) {
		return l.bytesFrom(dst, 12), l.bytesFrom(src, 12)
	}
	for _, op := range []x86asm.Op{x86asm.PUNPCKHBW, x86asm.PUNPCKHWD, x86asm.PUNPCKHDQ} {
		forms[op] = mmxForm{arrange: upper}
	}
	// What SSE makes of its first operand is the lower half of the result.
	both := func(l *Lifter, dst, src ir.Value) (ir.Value, ir.Value) {
		v := l.join(dst, src)
		return v, v
	}
	for _, op := range []x86asm.Op{
		x86asm.PACKSSWB, x86asm.PACKSSDW, x86asm.PACKUSWB,
		x86asm.PHADDW, x86asm.PHADDD, x86asm.PHADDSW, x86asm.PHSUBW, x86asm.PHSUBD, x86asm.PHSUBSW,
	} {
		forms[op] = mmxForm{arrange: both}
	}
	return forms
}

// mmxRows are the instructions that name mm registers and have no form of SSE.
func mmxRows() Table {
	convert := sseConvertRows()
	toMM := func(size int, op x86asm.Op) Row {
		return Row{Lift: func(l *Lifter, in x86.Inst) error {
			return l.convertToMM(in, size, convert[op])
		}}
	}
	return Table{
		x86asm.EMMS: {Lift: func(l *Lifter, _ x86.Inst) error {
			l.b.Helper(guestabi.FuncMMX, l.b.I32(int32(guestabi.MMXEmpty)), l.b.I64(0))
			return nil
		}},
		x86asm.MOVNTQ:   {Lift: liftMoveMM},
		x86asm.MASKMOVQ: {Lift: liftMaskMoveMM},
		x86asm.PSHUFW:   mmxForm{unary: true}.row(sseShuffleRows()[x86asm.PSHUFLW]),
		x86asm.MOVQ2DQ: {Lift: func(l *Lifter, in x86.Inst) error {
			n, _ := mm(in.Args[1])
			l.setXMM(in.Args[0], l.widen(l.getMM(n)))
			l.touchMM()
			return nil
		}},
		x86asm.MOVDQ2Q: {Lift: func(l *Lifter, in x86.Inst) error {
			n, _ := mm(in.Args[0])
			l.setMM(n, l.lowerHalf(l.getXMM(in.Args[1])))
			return nil
		}},

		x86asm.CVTPS2PI: toMM(8, x86asm.CVTPS2DQ), x86asm.CVTTPS2PI: toMM(8, x86asm.CVTTPS2DQ),
		x86asm.CVTPD2PI: toMM(16, x86asm.CVTPD2DQ), x86asm.CVTTPD2PI: toMM(16, x86asm.CVTTPD2DQ),
		x86asm.CVTPI2PS: {Lift: func(l *Lifter, in x86.Inst) error {
			v := l.b.Op(ir.F32x4ConvertI32x4S, l.widen(l.fromMM(in.Args[1])))
			l.setXMM(in.Args[0], l.b.OpImm(ir.I64x2ReplaceLane, 0, l.getXMM(in.Args[0]), l.lowerHalf(v)))
			l.touchFrom(in.Args[1])
			return nil
		}},
		x86asm.CVTPI2PD: {Lift: func(l *Lifter, in x86.Inst) error {
			l.setXMM(in.Args[0], l.b.Op(ir.F64x2ConvertLowI32x4S, l.widen(l.fromMM(in.Args[1]))))
			l.touchFrom(in.Args[1])
			return nil
		}},
	}
}

// fromMM returns an mm register or 8 bytes of memory.
func (l *Lifter) fromMM(a x86asm.Arg) ir.Value {
	if m, ok := a.(x86asm.Mem); ok {
		return l.loadMem(ir.I64Load, m)
	}
	n, _ := mm(a)
	return l.getMM(n)
}

// touchFrom is touchMM if a is an mm register.
func (l *Lifter) touchFrom(a x86asm.Arg) {
	if _, ok := mm(a); ok {
		l.touchMM()
	}
}

// liftMoveMM is movd, movq and movntq between an mm register and another,
// memory, or a general register.
func liftMoveMM(l *Lifter, in x86.Inst) error {
	dst, src := in.Args[0], in.Args[1]
	if n, ok := mm(dst); ok {
		if _, ok := mm(src); ok {
			l.setMM(n, l.fromMM(src))
			return nil
		}
		if _, mem := src.(x86asm.Mem); mem {
			l.waitMM()
		}
		v := l.get(src)
		if l.width(src) != 64 {
			v = l.extendU(v)
		}
		l.setMM(n, v)
		return nil
	}
	n, ok := mm(src)
	if !ok || !l.integer(dst) {
		return l.unsupported("operands")
	}
	v := l.getMM(n)
	if l.width(dst) != 64 {
		v = l.wrap(v)
	}
	l.set(dst, v)
	l.touchMM()
	return nil
}

// liftMaskMoveMM is liftMaskMove for 8 bytes. The x87 stack ends even if the
// store faults.
func liftMaskMoveMM(l *Lifter, in x86.Inst) error {
	args := maskMoveArgs(in)
	l.touchMM()
	addr := l.wrap(l.getReg(guestabi.RDI))
	if seg, ok := maskMoveSegment(in); ok {
		addr = l.b.Op(ir.I32Add, addr, l.wrap(l.getReg(seg)))
	}
	old := l.load(ir.V128Load64Zero, addr, 0)
	data, mask := l.widen(l.fromMM(args[len(args)-2])), l.widen(l.fromMM(args[len(args)-1]))
	sign := l.b.Op(ir.I8x16ShrS, mask, l.b.I32(7))
	l.store(ir.I64Store, addr, 0, l.lowerHalf(l.b.Op(ir.V128Bitselect, data, old, sign)))
	return nil
}

// convertToMM converts size bytes of an xmm register or memory with the handler
// of an instruction on xmm registers.
func (l *Lifter) convertToMM(in x86.Inst, size int, sse Row) error {
	n, _ := mm(in.Args[0])
	l.waitMM()
	src := l.vecBytes(in.Args[1], size)
	part := in
	l.half = half{active: true, result: ir.None}
	defer func() { l.in, l.half = in, half{} }()
	part.Args[0] = l.half.register(in.Args[0], 0, src)
	part.Args[1] = part.Args[0]
	l.in = part
	if err := sse.Lift(l, part); err != nil {
		return err
	}
	l.setMM(n, l.lowerHalf(l.half.result))
	return nil
}

// carefulToMM is the meaning of cvtps2pi and its like under MXCSR. After an
// exception that is not masked the register keeps its value, but the x87 stack
// has ended.
func carefulToMM(size int, code x87.SSEOp) handler {
	return func(l *Lifter, in x86.Inst) error {
		n, _ := mm(in.Args[0])
		l.waitMM()
		src := l.halves(l.vecBytes(in.Args[1], size))
		if size == 8 {
			src[1] = l.b.I64(0)
		}
		zero := l.b.I64(0)
		out := l.b.Helper(guestabi.FuncSSE, l.b.I32(int32(code)), l.getReg(guestabi.MXCSR), zero, zero, src[0], src[1])
		l.setReg(guestabi.MXCSR, out[2])
		op := l.b.Select(l.b.I32(int32(guestabi.MMXTouch)), l.b.I32(int32(guestabi.MMXWrite)|n), out[3])
		l.b.Helper(guestabi.FuncMMX, op, out[0])
		l.faultIf(out[3], guestabi.FaultSIMD)
		return nil
	}
}

// carefulFromMM is the meaning of cvtpi2ps under MXCSR.
func carefulFromMM(l *Lifter, in x86.Inst) error {
	zero := l.b.I64(0)
	dst := l.getXMM(in.Args[0])
	r, raised := l.underMXCSR(uint32(x87.SSEFromInt32|ps), l.halves(dst), [2]ir.Value{l.fromMM(in.Args[1]), zero})
	l.setXMM(in.Args[0], l.b.OpImm(ir.I64x2ReplaceLane, 0, dst, r[0]))
	l.touchFrom(in.Args[1])
	raised()
	return nil
}
