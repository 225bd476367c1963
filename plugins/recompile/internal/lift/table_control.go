package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// controlRows are the transfers of control.
func controlRows() Table {
	t := Table{
		x86asm.JMP:     {Lift: liftJmp},
		x86asm.CALL:    {Lift: liftCall},
		x86asm.RET:     {Lift: liftRet},
		x86asm.LOOP:    {Lift: loop(condP, false)},
		x86asm.LOOPE:   {Lift: loop(condE, true), Reads: ZF},
		x86asm.LOOPNE:  {Lift: loop(condNE, true), Reads: ZF},
		x86asm.JRCXZ:   {Lift: liftJrcxz},
		x86asm.JECXZ:   {Lift: liftJrcxz},
		x86asm.SYSCALL: {Lift: liftSyscall, Reads: arith},
		x86asm.INT:     {Lift: liftInt},
		x86asm.ICEBP:   {Lift: faulting(guestabi.FaultBreakpoint)},
	}
	for c, op := range jumpOps {
		t[op] = Row{Lift: jcc(condition(c)), Reads: condition(c).reads()}
	}
	for _, op := range undefinedOps {
		t[op] = Row{Lift: faulting(guestabi.FaultUndefined)}
	}
	for _, op := range absentOps {
		t[op] = Row{Lift: faulting(guestabi.FaultUndefined), Absent: true}
	}
	for _, op := range privilegedOps {
		t[op] = Row{Lift: faulting(guestabi.FaultPrivileged)}
	}
	return t
}

var jumpOps = [16]x86asm.Op{
	x86asm.JO, x86asm.JNO, x86asm.JB, x86asm.JAE, x86asm.JE, x86asm.JNE, x86asm.JBE, x86asm.JA,
	x86asm.JS, x86asm.JNS, x86asm.JP, x86asm.JNP, x86asm.JL, x86asm.JGE, x86asm.JLE, x86asm.JG,
}

// undefinedOps raise #UD in any user program.
var undefinedOps = []x86asm.Op{x86asm.UD0, x86asm.UD1, x86asm.UD2, x86asm.MONITOR, x86asm.MWAIT, x86asm.RSM}

// absentOps raise #UD on the processor that our CPUID describes: x86-64-v2
// without XSAVE, RDRAND, TSX, FSGSBASE, MOVBE, and without SYSENTER in
// 64-bit mode.
var absentOps = []x86asm.Op{
	x86asm.XGETBV, x86asm.XSETBV, x86asm.XSAVE, x86asm.XSAVE64, x86asm.XSAVEC, x86asm.XSAVEC64, x86asm.XSAVEOPT, x86asm.XSAVEOPT64,
	x86asm.XRSTOR, x86asm.XRSTOR64, x86asm.RDRAND, x86asm.XBEGIN, x86asm.XEND, x86asm.XABORT, x86asm.XTEST,
	x86asm.RDFSBASE, x86asm.RDGSBASE, x86asm.WRFSBASE, x86asm.WRGSBASE, x86asm.MOVBE, x86asm.SYSENTER,
}

// privilegedOps raise #GP in a user program. Far transfers are not among them:
// those to the selectors of Linux would work.
var privilegedOps = []x86asm.Op{
	x86asm.HLT, x86asm.IN, x86asm.OUT, x86asm.INSB, x86asm.INSW, x86asm.INSD, x86asm.OUTSB, x86asm.OUTSW, x86asm.OUTSD,
	x86asm.CLI, x86asm.STI, x86asm.CLTS, x86asm.INVD, x86asm.WBINVD, x86asm.INVLPG, x86asm.INVPCID, x86asm.LGDT, x86asm.LIDT,
	x86asm.LLDT, x86asm.LTR, x86asm.LMSW, x86asm.RDMSR, x86asm.WRMSR, x86asm.RDPMC, x86asm.SWAPGS, x86asm.SYSRET, x86asm.SYSEXIT,
}

// faulting ends the block with a fault. A signal handler may return to after
// the instruction.
func faulting(f guestabi.Fault) handler {
	return func(l *Lifter, in x86.Inst) error {
		l.returnSite(in.Next())
		l.fault(f)
		return nil
	}
}

// liftInt: INT3 is a breakpoint. The 32-bit system calls of INT 0x80 are not
// provided: it is an undefined instruction. Linux lets user programs call no
// other vector.
func liftInt(l *Lifter, in x86.Inst) error {
	fault := guestabi.FaultPrivileged
	switch n, _ := in.Args[0].(x86asm.Imm); n & 0xff {
	case 3:
		fault = guestabi.FaultBreakpoint
	case 4:
		fault = guestabi.FaultOverflow
	case 0x80:
		fault = guestabi.FaultUndefined
	}
	return faulting(fault)(l, in)
}

// target returns the guest PC that operand a, a register or memory, names.
func (l *Lifter) target(a x86asm.Arg) (ir.Value, bool) {
	switch a := a.(type) {
	case x86asm.Reg:
		if _, w, _, ok := gpr(a); ok && w == 64 {
			return l.wrap(l.getGPR(a)), true
		}
	case x86asm.Mem:
		if l.in.MemBytes == 8 {
			base, disp := l.addr(a)
			return l.load(ir.I32Load, base, disp), true
		}
	}
	return ir.None, false
}

func liftJmp(l *Lifter, in x86.Inst) error {
	if target, ok := in.DirectTarget(); ok {
		l.goTo(target)
		return nil
	}
	target, ok := l.target(in.Args[0])
	if !ok {
		return l.unsupported("operands")
	}
	l.end(ir.Term{Kind: ir.TermIndirect, Target: target, Known: append([]ir.BlockID(nil), l.known...)})
	return nil
}

// liftCall pushes the return address. The target is read before, because it may
// be relative to rsp.
func liftCall(l *Lifter, in x86.Inst) error {
	next := in.Next()
	t := ir.Term{Kind: ir.TermCall, Target: ir.None, ReturnPC: uint32(next)}
	if target, ok := in.DirectTarget(); ok {
		if target >= 1<<32 || l.isBad(target) {
			l.push(l.b.GuestAddr(next), 64)
			l.end(l.leave(target))
			return nil
		}
		t.PC = uint32(target)
	} else if t.Target, ok = l.target(in.Args[0]); !ok {
		return l.unsupported("operands")
	}
	l.push(l.b.GuestAddr(next), 64)
	t.To = l.returnSite(next)
	l.end(t)
	return nil
}

func liftRet(l *Lifter, in x86.Inst) error {
	drop := int64(8)
	if n, ok := in.Args[0].(x86asm.Imm); ok {
		drop += int64(uint16(n))
	}
	sp := l.getReg(guestabi.RSP)
	target := l.load(ir.I32Load, l.wrap(sp), 0)
	l.setReg(guestabi.RSP, l.opImm(ir.I32Add, sp, drop))
	l.end(ir.Term{Kind: ir.TermRet, Target: target})
	return nil
}

// jumpIf ends the block with a branch to the instruction's target or the next.
func (l *Lifter) jumpIf(cond ir.Value) error {
	target, ok := l.in.DirectTarget()
	if !ok {
		return l.unsupported("operands")
	}
	l.branch(cond, l.blockAt(target), l.blockAt(l.in.Next()))
	return nil
}

func jcc(c condition) handler {
	return func(l *Lifter, _ x86.Inst) error { return l.jumpIf(l.cond(c)) }
}

// counter returns the register that a loop counts in, and its width.
func (l *Lifter) counter() (x86asm.Reg, int) {
	if l.in.AddrSize == 32 {
		return x86asm.ECX, 32
	}
	return x86asm.RCX, 64
}

// loop is LOOP, or LOOPE and LOOPNE, which look at a condition too.
func loop(c condition, conditional bool) handler {
	return func(l *Lifter, _ x86.Inst) error {
		reg, _ := l.counter()
		n := l.opImm(ir.I32Sub, l.getGPR(reg), 1)
		l.setGPR(reg, n)
		cond := l.nonzero(n)
		if conditional {
			cond = l.b.Op(ir.I32And, cond, l.cond(c))
		}
		return l.jumpIf(cond)
	}
}

func liftJrcxz(l *Lifter, _ x86.Inst) error {
	reg, _ := l.counter()
	return l.jumpIf(l.op(ir.I32Eqz, l.getGPR(reg)))
}

// liftSyscall does what the processor does; the call itself is the terminator.
func liftSyscall(l *Lifter, in x86.Inst) error {
	l.setReg(guestabi.RCX, l.b.GuestAddr(in.Next()))
	l.setReg(guestabi.R11, l.extendU(l.eflags()))
	l.end(ir.Term{Kind: ir.TermSyscall, ReturnPC: uint32(in.Next()), To: l.returnSite(in.Next())})
	return nil
}
