package kernel

import (
	"errors"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
)

// exception is what a signal frame tells of the last exception of the processor
// (struct sigcontext): its vector, its error code, and the address of the last
// page fault.
type exception struct {
	vector, code, cr2 uint64
}

// Vectors of exceptions, and bits of the error code of a page fault (Intel SDM
// volume 3, sections 6.15 and 4.7).
const (
	vectorDE = 0
	vectorBP = 3
	vectorOF = 4
	vectorUD = 6
	vectorGP = 13
	vectorPF = 14
	vectorMF = 16
	vectorXM = 19

	pfWrite = 1 << 1
	pfUser  = 1 << 2
	pfFetch = 1 << 4
)

// trapped handles a wasm trap and returns where the guest goes on.
func (t *Task) trapped(err error) guestabi.PC {
	var trap *machine.Trap
	if !errors.As(err, &trap) {
		t.panicked(err)
		return machine.Unwind
	}
	var info linux.Siginfo
	info.SetAddr(uint64(trap.PC))
	switch trap.Kind {
	case machine.TrapStackOverflow:
		return t.unwound(trap)
	case machine.TrapMemory:
		info = t.memoryFault(trap)
	case machine.TrapDivide:
		info.Signo, info.Code = linux.SIGFPE, linux.FPE_INTDIV
		t.exception.vector, t.exception.code = vectorDE, 0
	case machine.TrapFloat:
		info.Signo, info.Code = linux.SIGFPE, floatCode(uint32(t.machine.X87().Unmasked()))
		t.exception.vector, t.exception.code = vectorMF, 0
	default:
		t.panicked(err)
		return machine.Unwind
	}
	if trap.Place != nil {
		t.k.log.Debug("a handler will see an inexact PC", "pid", t.TGID(), "why", trap.Place)
	}
	pc := t.raise(info, trap.PC)
	if pc == machine.Unwind && t.redirect.kind == redirectContext {
		pc = guestabi.PC(t.redirect.ctx.PC)
		t.redirect.kind = redirectNone
	}
	return pc
}

// unwound goes on after the wasm stack overflowed. That is only a predictor: all
// guest state is in registers and memory, so the guest goes on with an empty one.
func (t *Task) unwound(trap *machine.Trap) guestabi.PC {
	pc := trap.PC
	switch sp := t.machine.StackPointer(); {
	case !t.checkStack(sp):
		pc = t.raise(t.overflow(sp), pc)
	case trap.Host == guestabi.FuncSyscall:
		// There was no room to call the host.
		var c guestabi.Context
		t.machine.SaveContext(&c)
		c.PC = uint64(pc - syscallSize)
		pc = t.resumeContext(c)
	}
	if pc == machine.Unwind && t.redirect.kind == redirectContext {
		pc = guestabi.PC(t.redirect.ctx.PC)
		t.redirect.kind = redirectNone
	}
	return pc
}

// memoryFault returns the signal for an access outside of guest memory. The
// address is computed from the instruction. If the registers that it is made of
// are not exact (see machine.Trap), they are taken for 0, because most faults
// are those of null pointers.
func (t *Task) memoryFault(trap *machine.Trap) linux.Siginfo {
	var info linux.Siginfo
	info.Signo, info.Code = linux.SIGSEGV, linux.SEGV_MAPERR
	t.exception = exception{vector: vectorPF, code: pfUser}
	if trap.Place != nil {
		return info
	}
	a, ok := t.faultingAccess(trap)
	switch {
	case !ok:
	case a.Addr+1<<47 >= 1<<48: // not canonical: a #GP
		info.Code = linux.SI_KERNEL
		t.exception = exception{vector: vectorGP}
	default:
		info.SetAddr(a.Addr)
		t.exception.cr2 = a.Addr
		if a.Write {
			t.exception.code |= pfWrite
		}
	}
	return info
}

// checkStack reports whether the stack pointer is in a mapping that can be
// accessed. Translated code does not notice that a stack overflows, so this is
// asked at safepoints: endless recursion ends there, before it has come far. What
// lies below the main stack is free for that reason.
func (t *Task) checkStack(sp uint64) bool {
	v, ok := t.MM().Around(sp - 1)
	if !ok || v.Prot == linux.PROT_NONE {
		return false
	}
	t.stack = v
	return true
}

// overflow returns the signal for a stack that overflowed.
func (t *Task) overflow(sp uint64) linux.Siginfo {
	var info linux.Siginfo
	info.Signo, info.Code = linux.SIGSEGV, linux.SEGV_MAPERR
	info.SetAddr(sp - 8)
	t.exception = exception{vectorPF, pfUser | pfWrite, sp - 8}
	return info
}

// maxInstruction is the length of the longest instruction in bytes.
const maxInstruction = 15

// faultingAccess returns the first access of the instruction that trapped to an
// address outside of guest memory.
func (t *Task) faultingAccess(trap *machine.Trap) (x86.Access, bool) {
	var code [maxInstruction]byte
	n := len(code)
	for ; n > 0 && t.CopyIn(uint64(trap.PC), code[:n]) != nil; n-- {
	}
	in, err := x86.Decode(code[:n], uint64(trap.PC))
	if err != nil {
		return x86.Access{}, false
	}
	var c guestabi.Context
	t.machine.SaveContext(&c)
	null := [guestabi.NumGPR]uint64{guestabi.RSP: c.GPR[guestabi.RSP]}
	for _, regs := range []*[guestabi.NumGPR]uint64{&c.GPR, &null} {
		if trap.Stale && regs != &null {
			continue
		}
		for _, a := range in.Accesses(regs, c.FSBase, c.GSBase) {
			if !t.machine.Reaches(uint32(a.Addr), max(a.Size, 1)) {
				return a, true
			}
		}
	}
	return x86.Access{}, false
}

// faultInfo returns the signal of a fault and the PC that the frame shows.
func (t *Task) faultInfo(f guestabi.Fault, pc guestabi.PC) (linux.Siginfo, guestabi.PC) {
	var i linux.Siginfo
	e := &t.exception
	e.code = 0
	switch f {
	case guestabi.FaultUndefined:
		i.Signo, i.Code = linux.SIGILL, linux.ILL_ILLOPN
		i.SetAddr(uint64(pc))
		e.vector = vectorUD
	case guestabi.FaultDivide:
		i.Signo, i.Code = linux.SIGFPE, linux.FPE_INTDIV
		i.SetAddr(uint64(pc))
		e.vector = vectorDE
	case guestabi.FaultSIMD:
		var c guestabi.Context
		t.machine.SaveContext(&c)
		i.Signo, i.Code = linux.SIGFPE, floatCode(c.MXCSR&^(c.MXCSR>>7))
		i.SetAddr(uint64(pc))
		e.vector = vectorXM
	case guestabi.FaultBreakpoint:
		i.Signo, i.Code = linux.SIGTRAP, linux.SI_KERNEL
		pc++ // a trap: the PC is behind int3
		e.vector = vectorBP
	case guestabi.FaultOverflow:
		i.Signo, i.Code = linux.SIGSEGV, linux.SI_KERNEL
		e.vector = vectorOF
	case guestabi.FaultPrivileged:
		i.Signo, i.Code = linux.SIGSEGV, linux.SI_KERNEL
		e.vector = vectorGP
	default:
		i.Signo, i.Code = linux.SIGSEGV, linux.SEGV_MAPERR
		i.SetAddr(uint64(pc))
		*e = exception{vectorPF, pfUser | pfFetch, uint64(pc)}
	}
	return i, pc
}

// floatCode is the si_code for the exception flags of MXCSR, or of the x87
// status word, that are not masked (Linux, fpu__exception_code).
func floatCode(flags uint32) int32 {
	const invalid, denormal, divide, overflow, underflow, precision = 1, 2, 4, 8, 16, 32
	switch {
	case flags&invalid != 0:
		return linux.FPE_FLTINV
	case flags&divide != 0:
		return linux.FPE_FLTDIV
	case flags&overflow != 0:
		return linux.FPE_FLTOVF
	case flags&(denormal|underflow) != 0:
		return linux.FPE_FLTUND
	case flags&precision != 0:
		return linux.FPE_FLTRES
	}
	return 0
}
