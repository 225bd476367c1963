package lift

import (
	"maps"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// The instructions on xmm registers, SSE to SSE4.2. What depends on MXCSR has a
// second meaning in table_mxcsr.go. Limits: the alignment of 16-byte operands is
// not checked; rcpps and rsqrtps give the correctly rounded
// quotient, whose error is smaller than that of any processor. Their forms on
// MMX registers are in table_mmx.go.
//
// Scalar arithmetic reads lane 0 as an f32 or f64 and replaces it, which the
// lowering recognises.

// sseRows are the instructions on xmm registers and MXCSR.
func sseRows() Table {
	t := Table{}
	for _, rows := range []Table{sseMoveRows(), sseFloatRows(), sseConvertRows(), sseIntRows(), sseShuffleRows(), sse4Rows(), sseStringRows(), sseStateRows()} {
		maps.Copy(t, rows)
	}
	for op, form := range mmxForms() {
		t[op] = form.row(t[op])
	}
	return t
}

// onXMM wraps a handler whose operands must be xmm registers, memory, general
// registers or immediates: a form on MMX registers is not supported.
func onXMM(f func(l *Lifter, in x86.Inst)) func(*Lifter, x86.Inst) error {
	return func(l *Lifter, in x86.Inst) error {
		for _, a := range in.Args {
			if r, ok := a.(x86asm.Reg); ok {
				_, isXMM := xmm(r)
				if _, _, _, isGPR := gpr(r); !isXMM && !isGPR {
					return l.unsupported("register " + r.String())
				}
			}
		}
		f(l, in)
		return nil
	}
}

// getXMM returns a whole xmm register.
func (l *Lifter) getXMM(a x86asm.Arg) ir.Value {
	r, ok := xmm(a)
	if !ok {
		panic("BUG: " + l.in.Op.String() + ": operand is no xmm register")
	}
	if l.half.active {
		return l.halfOperand(a)
	}
	return l.getReg(r)
}

// setXMM writes a whole xmm register.
func (l *Lifter) setXMM(a x86asm.Arg, v ir.Value) {
	r, ok := xmm(a)
	if !ok {
		panic("BUG: " + l.in.Op.String() + ": operand is no xmm register")
	}
	if l.half.active {
		l.half.result = v
		return
	}
	l.setReg(r, v)
}

// loadMem loads a memory operand with any load.
func (l *Lifter) loadMem(op ir.Op, m x86asm.Mem) ir.Value {
	base, disp := l.addr(m)
	return l.load(op, base, disp)
}

func (l *Lifter) storeMem(op ir.Op, m x86asm.Mem, v ir.Value) {
	base, disp := l.addr(m)
	l.store(op, base, disp, v)
}

// vec returns an xmm register or 16 bytes of memory.
func (l *Lifter) vec(a x86asm.Arg) ir.Value { return l.vecBytes(a, 16) }

// vecBytes is vec for instructions that read only the low size bytes of memory.
func (l *Lifter) vecBytes(a x86asm.Arg, size int) ir.Value {
	m, ok := a.(x86asm.Mem)
	if !ok {
		return l.getXMM(a)
	}
	switch size {
	case 16:
		return l.loadMem(ir.V128Load, m)
	case 8:
		return l.loadMem(ir.V128Load64Zero, m)
	case 4:
		return l.loadMem(ir.V128Load32Zero, m)
	default:
		return l.b.OpImm(ir.I16x8ReplaceLane, 0, l.zeroVec(), l.loadMem(ir.I32Load16U, m))
	}
}

func (l *Lifter) zeroVec() ir.Value { return l.b.V128(0, 0) }

// splat64 is a constant with x in both halves.
func (l *Lifter) splat64(x uint64) ir.Value { return l.b.V128(x, x) }

// imm8 returns the last operand, an immediate.
func imm8(in x86.Inst) uint8 {
	for i := len(in.Args) - 1; i >= 0; i-- {
		if v, ok := in.Args[i].(x86asm.Imm); ok {
			return uint8(v)
		}
	}
	return 0
}

// setInt writes an i32 to a general register of any size, zero-extended.
func (l *Lifter) setInt(a x86asm.Arg, v ir.Value) {
	if l.width(a) == 64 {
		v = l.extendU(v)
	}
	l.set(a, v)
}

// vecBinary makes a row for dst = f(dst, src).
func vecBinary(f func(l *Lifter, dst, src ir.Value) ir.Value) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		src := l.vec(in.Args[1])
		l.setXMM(in.Args[0], f(l, l.getXMM(in.Args[0]), src))
	})}
}

// vecOp makes a row for dst = op(dst, src).
func vecOp(op ir.Op) Row {
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value { return l.b.Op(op, dst, src) })
}

// vecReversed makes a row for dst = op(src, dst).
func vecReversed(op ir.Op) Row {
	return vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value { return l.b.Op(op, src, dst) })
}

// vecUnary makes a row for dst = f(src), of which memory has size bytes.
func vecUnary(size int, f func(l *Lifter, src ir.Value) ir.Value) Row {
	return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) {
		l.setXMM(in.Args[0], f(l, l.vecBytes(in.Args[1], size)))
	})}
}

func vecUnaryOp(size int, ops ...ir.Op) Row {
	return vecUnary(size, func(l *Lifter, v ir.Value) ir.Value {
		for _, op := range ops {
			v = l.b.Op(op, v)
		}
		return v
	})
}

// sseStateRows are the instructions on MXCSR and the FXSAVE area.
func sseStateRows() Table {
	return Table{
		x86asm.LDMXCSR: {Lift: func(l *Lifter, in x86.Inst) error {
			m, ok := in.Args[0].(x86asm.Mem)
			if !ok {
				return l.unsupported("operand")
			}
			l.faultIf(l.opImm(ir.I32And, l.loadMem(ir.I32Load, m), ^int64(mxcsrBits)), guestabi.FaultPrivileged)
			l.setMXCSR(l.loadMem(ir.I32Load, m), l.b.I32(1))
			return nil
		}},
		x86asm.STMXCSR: {Lift: func(l *Lifter, in x86.Inst) error {
			m, ok := in.Args[0].(x86asm.Mem)
			if !ok {
				return l.unsupported("operand")
			}
			l.storeMem(ir.I32Store, m, l.mxcsr())
			return nil
		}},
		x86asm.FXSAVE:    {Lift: liftFXSave},
		x86asm.FXSAVE64:  {Lift: liftFXSave},
		x86asm.FXRSTOR:   {Lift: liftFXRstor},
		x86asm.FXRSTOR64: {Lift: liftFXRstor},
	}
}

// fxXMM is the offset of xmm0 in the FXSAVE area (Intel SDM volume 1, table
// 10-2), fxMXCSR that of MXCSR.
const (
	fxMXCSR = 24
	fxXMM   = 160
)

// mxcsrBits are the bits that MXCSR has in the processor.
const mxcsrBits = 0xffff

// mxcsr returns MXCSR as the processor has it.
func (l *Lifter) mxcsr() ir.Value {
	return l.opImm(ir.I32And, l.getReg(guestabi.MXCSR), mxcsrBits)
}

func liftFXSave(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operand")
	}
	addr := l.flatAddr(m)
	for i := range int32(guestabi.NumXMM) {
		l.store(ir.V128Store, addr, fxXMM+16*i, l.getReg(guestabi.XMM0+ir.Reg(i)))
	}
	l.b.Helper(guestabi.FuncFXSave, addr, l.mxcsr())
	return nil
}

func liftFXRstor(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operand")
	}
	l.faultIf(l.opImm(ir.I32And, l.load(ir.I32Load, l.flatAddr(m), fxMXCSR), ^int64(mxcsrBits)), guestabi.FaultPrivileged)
	addr := l.flatAddr(m)
	var v [guestabi.NumXMM]ir.Value
	for i := range v {
		v[i] = l.load(ir.V128Load, addr, int32(fxXMM+16*i))
	}
	mxcsr := l.opImm(ir.I32And, l.load(ir.I32Load, addr, fxMXCSR), mxcsrBits)
	// ld.so saves and restores what it finds: that changes nothing.
	differs := l.b.Op(ir.I32Ne, l.mxcsr(), mxcsr)
	l.b.Helper(guestabi.FuncFXRstor, addr)
	for i := range v {
		l.setReg(guestabi.XMM0+ir.Reg(i), v[i])
	}
	l.setMXCSR(mxcsr, differs)
	return nil
}
