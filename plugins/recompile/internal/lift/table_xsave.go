package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// opFninit is the opcode of fninit as FuncX87 takes it.
const opFninit = (0xdb-0xd8)<<8 | 0xe3

// xsaveRows are the instructions on the extended state, x87, SSE and AVX, in
// the standard format. The compacted one and XSAVEOPT are not advertised.
func xsaveRows() Table {
	save, restore := Row{Lift: liftXSave}, Row{Lift: liftXRstor}
	return Table{
		x86asm.XGETBV: {Lift: liftXGetBV},
		x86asm.XSAVE:  save, x86asm.XSAVE64: save, x86asm.XRSTOR: restore, x86asm.XRSTOR64: restore,
	}
}

// liftXGetBV knows register 0, and faults for the others as for what is
// privileged.
func liftXGetBV(l *Lifter, _ x86.Inst) error {
	l.faultIf(l.opImm(ir.I32Ne, l.wrap(l.getReg(guestabi.RCX)), 0), guestabi.FaultPrivileged)
	l.setReg(guestabi.RAX, l.b.I64(guestabi.XCR0))
	l.setReg(guestabi.RDX, l.b.I64(0))
	return nil
}

// component returns a value that is not zero if the mask in eax names one of
// the components of bits.
func (l *Lifter) component(bits int64) ir.Value {
	return l.opImm(ir.I32And, l.wrap(l.getReg(guestabi.RAX)), bits)
}

// when runs do in a block of its own if cond is not zero.
func (l *Lifter) when(cond ir.Value, do func()) {
	then, next := l.newBlock(), l.newBlock()
	l.branch(cond, then, next)
	l.startBlock(then)
	do()
	l.jump(next)
	l.startBlock(next)
}

// liftXSave writes the components that the mask names, and says in the header
// that they are there. The others keep their bits.
func liftXSave(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operand")
	}
	addr := l.flatAddr(m)
	present := l.load(ir.I64Load, addr, guestabi.XSaveHeader)
	l.store(ir.I64Store, addr, guestabi.XSaveHeader, l.b.Op(ir.I64Or, present, l.extendU(l.component(guestabi.XCR0))))
	l.when(l.component(guestabi.XCR0AVX), func() {
		addr := l.flatAddr(m)
		for i := range int32(guestabi.NumXMM) {
			l.store(ir.V128Store, addr, guestabi.XSaveYMMH+16*i, l.getReg(guestabi.YMMH0+ir.Reg(i)))
		}
	})
	l.when(l.component(guestabi.XCR0SSE), func() {
		addr := l.flatAddr(m)
		for i := range int32(guestabi.NumXMM) {
			l.store(ir.V128Store, addr, fxXMM+16*i, l.getReg(guestabi.XMM0+ir.Reg(i)))
		}
	})
	l.when(l.component(guestabi.XCR0SSE|guestabi.XCR0AVX), func() {
		addr := l.flatAddr(m)
		l.store(ir.I32Store, addr, fxMXCSR, l.getReg(guestabi.MXCSR))
		l.store(ir.I32Store, addr, fxMXCSR+4, l.b.I32(0xffff))
	})
	l.when(l.component(guestabi.XCR0X87), func() {
		addr := l.flatAddr(m)
		mxcsr := l.load(ir.I32Load, addr, fxMXCSR) // the helper writes MXCSR, too
		l.b.Helper(guestabi.FuncFXSave, addr, mxcsr)
	})
	return nil
}

// liftXRstor loads the components that the mask names, those that the header
// says are not there with their initial values.
func liftXRstor(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operand")
	}
	present := func(bits int64) ir.Value {
		return l.opImm(ir.I32And, l.load(ir.I32Load, l.flatAddr(m), guestabi.XSaveHeader), bits)
	}
	vectors := func(bit int64, first ir.Reg, offset int32) {
		l.when(l.component(bit), func() {
			addr, have := l.flatAddr(m), present(bit)
			var v [guestabi.NumXMM]ir.Value
			for i := range v {
				v[i] = l.b.Select(l.load(ir.V128Load, addr, offset+int32(16*i)), l.zeroVec(), have)
			}
			for i := range v {
				l.setReg(first+ir.Reg(i), v[i])
			}
		})
	}
	l.when(l.op(ir.I32And, l.component(guestabi.XCR0X87), present(guestabi.XCR0X87)), func() {
		l.b.Helper(guestabi.FuncFXRstor, l.flatAddr(m))
	})
	absent := l.opImm(ir.I32Xor, present(guestabi.XCR0X87), guestabi.XCR0X87)
	l.when(l.op(ir.I32And, l.component(guestabi.XCR0X87), absent), func() {
		l.b.Helper(guestabi.FuncX87, l.b.I32(opFninit), l.b.I32(0))
	})
	vectors(guestabi.XCR0SSE, guestabi.XMM0, fxXMM)
	vectors(guestabi.XCR0AVX, guestabi.YMMH0, guestabi.XSaveYMMH)
	mxcsr := l.b.Select(l.load(ir.I32Load, l.flatAddr(m), fxMXCSR), l.mxcsr(), l.component(guestabi.XCR0SSE|guestabi.XCR0AVX))
	mxcsr = l.opImm(ir.I32And, mxcsr, mxcsrBits)
	l.setMXCSR(mxcsr, l.b.Op(ir.I32Ne, l.mxcsr(), mxcsr)) // as fxrstor
	return nil
}
