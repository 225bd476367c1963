package lift

import (
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// Wasm rounds to nearest and keeps no exception flags, which is what MXCSR asks
// for at the start of a process. So each instruction that depends on MXCSR has
// two meanings: that of its row, and a careful one, which has the host compute
// under MXCSR. A function with such instructions is lifted both ways.
// guestabi.MXCSRCareful in MXCSR says which of the two runs, and stays set once
// it is: what loads MXCSR sets it and leaves the function and all its callers by
// a fault, for the dispatcher to enter the careful ones.

// scalarSSE and packedSSE are the codes of an operation's four forms, less the
// operation.
const (
	ss = 0
	sd = x87.SSEDouble
	ps = x87.SSEPacked
	pd = x87.SSEPacked | x87.SSEDouble
)

// carefulRows returns the careful meanings.
func carefulRows() map[x86asm.Op]handler {
	t := map[x86asm.Op]handler{
		x86asm.CMPPS: carefulPacked(x87.SSECompare | ps), x86asm.CMPPD: carefulPacked(x87.SSECompare | pd),
		x86asm.CMPSS: carefulScalar(x87.SSECompare | ss), x86asm.CMPSD_XMM: carefulScalar(x87.SSECompare | sd),
		x86asm.ROUNDPS: carefulPacked(x87.SSERound | ps), x86asm.ROUNDPD: carefulPacked(x87.SSERound | pd),
		x86asm.ROUNDSS: carefulScalar(x87.SSERound | ss), x86asm.ROUNDSD: carefulScalar(x87.SSERound | sd),
		x86asm.ADDSUBPS: carefulPacked(x87.SSEAddSub | ps), x86asm.ADDSUBPD: carefulPacked(x87.SSEAddSub | pd),
		x86asm.HADDPS: carefulPacked(x87.SSEHAdd | ps), x86asm.HADDPD: carefulPacked(x87.SSEHAdd | pd),
		x86asm.HSUBPS: carefulPacked(x87.SSEHSub | ps), x86asm.HSUBPD: carefulPacked(x87.SSEHSub | pd),
		x86asm.DPPS: carefulPacked(x87.SSEDot | ps), x86asm.DPPD: carefulPacked(x87.SSEDot | pd),
		x86asm.COMISS: carefulFlags(ss, 1), x86asm.COMISD: carefulFlags(sd, 1),
		x86asm.UCOMISS: carefulFlags(ss, 0), x86asm.UCOMISD: carefulFlags(sd, 0),
		x86asm.CVTSS2SD: carefulScalar(x87.SSEToFloat | ss), x86asm.CVTSD2SS: carefulScalar(x87.SSEToFloat | sd),
		x86asm.CVTPS2PD: carefulPacked(x87.SSEToFloat | ps), x86asm.CVTPD2PS: carefulPacked(x87.SSEToFloat | pd),
		x86asm.CVTDQ2PS: carefulPacked(x87.SSEFromInt32 | ps),
		x86asm.CVTPS2DQ: carefulPacked(x87.SSEToInt32 | ps), x86asm.CVTPD2DQ: carefulPacked(x87.SSEToInt32 | pd),
		x86asm.CVTTPS2DQ: carefulPacked(x87.SSEToInt32 | ps | 1<<x87.SSEImmShift), x86asm.CVTTPD2DQ: carefulPacked(x87.SSEToInt32 | pd | 1<<x87.SSEImmShift),
		x86asm.CVTSI2SS: carefulFromInt(ss), x86asm.CVTSI2SD: carefulFromInt(sd),
		x86asm.CVTSS2SI: carefulToInt(ss, 0), x86asm.CVTSD2SI: carefulToInt(sd, 0),
		x86asm.CVTTSS2SI: carefulToInt(ss, 1), x86asm.CVTTSD2SI: carefulToInt(sd, 1),
		x86asm.CVTPI2PS: carefulFromMM,
		x86asm.CVTPS2PI: carefulToMM(8, x87.SSEToInt32|ps), x86asm.CVTTPS2PI: carefulToMM(8, x87.SSEToInt32|ps|1<<x87.SSEImmShift),
		x86asm.CVTPD2PI: carefulToMM(16, x87.SSEToInt32|pd), x86asm.CVTTPD2PI: carefulToMM(16, x87.SSEToInt32|pd|1<<x87.SSEImmShift),
	}
	for op, mnemonics := range map[x87.SSEOp][4]x86asm.Op{
		x87.SSEAdd:  {x86asm.ADDSS, x86asm.ADDSD, x86asm.ADDPS, x86asm.ADDPD},
		x87.SSESub:  {x86asm.SUBSS, x86asm.SUBSD, x86asm.SUBPS, x86asm.SUBPD},
		x87.SSEMul:  {x86asm.MULSS, x86asm.MULSD, x86asm.MULPS, x86asm.MULPD},
		x87.SSEDiv:  {x86asm.DIVSS, x86asm.DIVSD, x86asm.DIVPS, x86asm.DIVPD},
		x87.SSEMin:  {x86asm.MINSS, x86asm.MINSD, x86asm.MINPS, x86asm.MINPD},
		x87.SSEMax:  {x86asm.MAXSS, x86asm.MAXSD, x86asm.MAXPS, x86asm.MAXPD},
		x87.SSESqrt: {x86asm.SQRTSS, x86asm.SQRTSD, x86asm.SQRTPS, x86asm.SQRTPD},
	} {
		t[mnemonics[0]], t[mnemonics[1]] = carefulScalar(op|ss), carefulScalar(op|sd)
		t[mnemonics[2]], t[mnemonics[3]] = carefulPacked(op|ps), carefulPacked(op|pd)
	}
	return t
}

// underMXCSR has the host compute and returns the result's halves. After an
// exception that is not masked the result is a, and raised is to be called when
// it has been written.
func (l *Lifter) underMXCSR(code uint32, a, b [2]ir.Value) (r [2]ir.Value, raised func()) {
	mxcsr := l.getReg(guestabi.MXCSR)
	if l.half.active {
		mxcsr = l.b.Op(ir.I32And, mxcsr, l.b.I32(^x87.MXFlags))
	}
	out := l.b.Helper(guestabi.FuncSSE, l.b.I32(int32(code)), mxcsr, a[0], a[1], b[0], b[1])
	switch {
	case !l.half.active:
		l.setReg(guestabi.MXCSR, out[2])
	case l.exceptions == ir.None:
		l.exceptions = l.b.Op(ir.I32And, out[2], l.b.I32(x87.MXFlags))
	default:
		l.exceptions = l.b.Op(ir.I32Or, l.exceptions, l.b.Op(ir.I32And, out[2], l.b.I32(x87.MXFlags)))
	}
	return [2]ir.Value{out[0], out[1]}, func() { l.raiseSIMD(out[3]) }
}

// setFlags adds the exceptions of all parts of an instruction to MXCSR. One that
// is raised before results are computed, and is not masked, hides those that come
// after, also of other parts.
func (l *Lifter) setFlags() {
	old := l.getReg(guestabi.MXCSR)
	unmasked := l.b.Op(ir.I32And, l.b.Op(ir.I32Xor, l.b.Op(ir.I32ShrU, old, l.b.I32(x87.MXMasks)), l.b.I32(-1)), l.b.I32(x87.MXPreComp))
	pre := l.b.Op(ir.I32And, l.exceptions, l.b.I32(x87.MXPreComp))
	stops := l.b.Op(ir.I32And, pre, unmasked)
	l.setReg(guestabi.MXCSR, l.b.Op(ir.I32Or, old, l.b.Select(pre, l.exceptions, stops)))
}

// raiseSIMD raises #XM if cond is not zero: at once, or, in a part of an
// instruction of AVX, at its end.
func (l *Lifter) raiseSIMD(cond ir.Value) {
	switch {
	case !l.half.active:
		l.faultIf(cond, guestabi.FaultSIMD)
	case l.raised == ir.None:
		l.raised = cond
	default:
		l.raised = l.b.Op(ir.I32Or, l.raised, cond)
	}
}

func (l *Lifter) halves(v ir.Value) [2]ir.Value {
	return [2]ir.Value{l.b.OpImm(ir.I64x2ExtractLane, 0, v), l.b.OpImm(ir.I64x2ExtractLane, 1, v)}
}

// low returns the lowest element of an xmm register, or memory, as an i64.
func (l *Lifter) low(double bool, a x86asm.Arg) [2]ir.Value {
	zero := l.b.I64(0)
	m, isMem := a.(x86asm.Mem)
	switch {
	case isMem && double:
		return [2]ir.Value{l.loadMem(ir.I64Load, m), zero}
	case isMem:
		return [2]ir.Value{l.loadMem(ir.I64Load32U, m), zero}
	case double:
		return [2]ir.Value{l.b.Op(ir.I64ReinterpretF64, l.b.OpImm(ir.F64x2ExtractLane, 0, l.getXMM(a))), zero}
	}
	return [2]ir.Value{l.extendU(l.b.Op(ir.I32ReinterpretF32, l.b.OpImm(ir.F32x4ExtractLane, 0, l.getXMM(a)))), zero}
}

// setLow replaces the lowest element of an xmm register.
func (l *Lifter) setLow(double bool, a x86asm.Arg, v ir.Value) {
	if double {
		l.setScalar(&f64Ops, a, l.b.Op(ir.F64ReinterpretI64, v))
		return
	}
	l.setScalar(&f32Ops, a, l.b.Op(ir.F32ReinterpretI32, l.wrap(v)))
}

// withImm adds the instruction's immediate, if it has one, to code.
func withImm(code x87.SSEOp, in x86.Inst) uint32 {
	imm := imm8(in)
	if code&0xff == x87.SSECompare {
		imm &= 7
	}
	return uint32(code) | uint32(imm)<<x87.SSEImmShift
}

func carefulPacked(code x87.SSEOp) handler {
	return onXMM(func(l *Lifter, in x86.Inst) {
		size := 16
		if in.Op == x86asm.CVTPS2PD {
			size = 8
		}
		b := l.halves(l.vecBytes(in.Args[1], size))
		r, raised := l.underMXCSR(withImm(code, in), l.halves(l.getXMM(in.Args[0])), b)
		l.setXMM(in.Args[0], l.b.OpImm(ir.I64x2ReplaceLane, 1, l.b.Op(ir.I64x2Splat, r[0]), r[1]))
		raised()
	})
}

func carefulScalar(code x87.SSEOp) handler {
	from := code&x87.SSEDouble != 0
	to := from != (code&0xff == x87.SSEToFloat)
	return onXMM(func(l *Lifter, in x86.Inst) {
		b := l.low(from, in.Args[1])
		r, raised := l.underMXCSR(withImm(code, in), l.low(to, in.Args[0]), b)
		l.setLow(to, in.Args[0], r[0])
		raised()
	})
}

func carefulFlags(form x87.SSEOp, signals uint32) handler {
	double := form&x87.SSEDouble != 0
	return onXMM(func(l *Lifter, in x86.Inst) {
		b := l.low(double, in.Args[1])
		r, raised := l.underMXCSR(uint32(x87.SSECompareI|form)|signals<<x87.SSEImmShift, l.low(double, in.Args[0]), b)
		v := l.wrap(r[0])
		l.clearFlags(OF | SF | AF)
		l.setFlag(ZF, l.bit(v, 0))
		l.setFlag(PF, l.bit(v, 1))
		l.setFlag(CF, l.bit(v, 2))
		raised()
	})
}

func carefulFromInt(form x87.SSEOp) handler {
	double := form&x87.SSEDouble != 0
	return onXMM(func(l *Lifter, in x86.Inst) {
		op, v := x87.SSEFromInt32, l.get(in.Args[1])
		if l.width(in.Args[1]) == 64 {
			op = x87.SSEFromInt64
		} else {
			v = l.extendU(v)
		}
		r, raised := l.underMXCSR(uint32(op|form), l.low(double, in.Args[0]), [2]ir.Value{v, l.b.I64(0)})
		l.setLow(double, in.Args[0], r[0])
		raised()
	})
}

func carefulToInt(form x87.SSEOp, truncates uint32) handler {
	return onXMM(func(l *Lifter, in x86.Inst) {
		reg, w, _, _ := gpr(in.Args[0].(x86asm.Reg))
		op := x87.SSEToInt32
		if w == 64 {
			op = x87.SSEToInt64
		}
		b := l.low(form&x87.SSEDouble != 0, in.Args[1])
		r, raised := l.underMXCSR(uint32(op|form)|truncates<<x87.SSEImmShift, [2]ir.Value{l.getReg(reg), l.b.I64(0)}, b)
		l.setReg(reg, r[0])
		raised()
	})
}

// loadsMXCSR reports whether op may set MXCSRCareful.
func loadsMXCSR(op x86asm.Op) bool {
	switch op {
	case x86asm.LDMXCSR, x86asm.VLDMXCSR, x86asm.FXRSTOR, x86asm.FXRSTOR64, x86asm.XRSTOR, x86asm.XRSTOR64:
		return true
	}
	return false
}

// setMXCSR loads MXCSR, whose bits v has, at the end of an instruction. It sets
// MXCSRCareful if change, 0 or 1, says so.
func (l *Lifter) setMXCSR(v, change ir.Value) {
	old := l.opImm(ir.I32And, l.getReg(guestabi.MXCSR), 1<<guestabi.MXCSRCareful)
	set := l.opImm(ir.I32Shl, change, guestabi.MXCSRCareful)
	becomes := l.b.Op(ir.I32GtU, set, old)
	l.setReg(guestabi.MXCSR, l.b.Op(ir.I32Or, v, l.b.Op(ir.I32Or, old, set)))
	next := l.in.Next()
	l.returnSite(next)
	leave := l.newBlock()
	leave.Term = ir.Term{Kind: ir.TermFault, Fault: guestabi.FaultCareful, PC: uint32(next)}
	l.branch(becomes, leave, l.blockAt(next))
}

// splitAtMXCSR ends blocks after what loads MXCSR.
func splitAtMXCSR(blocks []span, code CodeFunc) []span {
	var out []span
	for _, b := range blocks {
		bytes := code(b.start, int(b.size))
		for at := 0; b.size > 0; {
			i := slices.Index(bytes[at:], 0xae) // the opcode is 0f ae
			if i < 0 {
				break
			}
			at += i + 1
			for end := b.start; end < b.start+uint64(at); {
				in, err := x86.Decode(code(end, maxInstLen), end)
				if err != nil {
					break
				}
				if end = in.Next(); end == b.start+uint64(b.size) || !loadsMXCSR(in.Op) {
					continue
				}
				first := b
				first.size, first.targets = uint32(end-b.start), nil
				out = append(out, first)
				b.start, b.size, b.entry = end, b.size-first.size, false
				bytes, at = bytes[first.size:], 0
				break
			}
		}
		out = append(out, b)
	}
	return out
}
