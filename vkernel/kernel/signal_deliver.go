package kernel

import (
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
)

// syscallState is a syscall on its way out.
type syscallState struct {
	nr   uint64
	args [6]uint64
	ret  uint64
	err  error
	next guestabi.PC // behind the syscall instruction
}

// syscallSize is the length of the syscall instruction in bytes.
const syscallSize = 2

// syscallExit ends a syscall that is not done when its handler returns: it has
// replaced the registers, was interrupted, or signals are pending.
func (t *Task) syscallExit(st syscallState) (rax uint64, pc guestabi.PC) {
	for {
		if t.fatal || t.redirect.kind == redirectMachine {
			// A new program has no handlers: signals wait for its first safepoint.
			return 0, machine.Unwind
		}
		if t.redirect.kind == redirectContext {
			t.redirect.kind = redirectNone
			return 0, t.resumeContext(t.redirect.ctx)
		}
		errno := linux.ErrnoOf(st.err)
		d := t.nextSignal()
		switch d.kind {
		case deliverExit:
			t.fatal = true
			return 0, machine.Unwind
		case deliverHandler:
			var c guestabi.Context
			t.machine.SaveContext(&c)
			c.GPR[guestabi.RAX], c.PC = result(st.ret, errno), uint64(st.next)
			if restarts(errno, d.action.Flags&linux.SA_RESTART != 0) {
				c.GPR[guestabi.RAX], c.PC = st.nr, uint64(st.next-syscallSize)
			}
			return 0, t.enterHandlers(&c, d, st.next)
		}
		if errno < linux.ERESTARTSYS {
			t.restoreMask()
			if t.work.Load() && t.Interrupted() {
				continue // a signal that the temporary mask blocked
			}
			return result(st.ret, errno), st.next
		}
		// Interrupted by something that ran no handler: do the call again, with
		// the mask that it waits with.
		if errno == linux.ERESTART_RESTARTBLOCK && t.restart != nil {
			st.ret, st.err = t.restart(t)
		} else {
			t.restoreMask()
			st.ret, st.err = t.k.dispatcher.Call(t, st.nr, st.args)
		}
	}
}

// result is what rax holds after a syscall. Restart errors become EINTR.
func result(ret uint64, errno linux.Errno) uint64 {
	switch {
	case errno == 0:
		return ret
	case errno >= linux.ERESTARTSYS:
		return ^uint64(linux.EINTR) + 1
	}
	return -uint64(errno)
}

// restarts reports whether a syscall is done again after a handler.
func restarts(errno linux.Errno, saRestart bool) bool {
	return errno == linux.ERESTARTNOINTR || errno == linux.ERESTARTSYS && saRestart
}

// enterHandlers puts frames for d, and for every further signal that is not
// blocked, on the guest's stack and loads the registers of the last one. It
// returns the PC to go on at, given that the guest waits for avoid.
func (t *Task) enterHandlers(c *guestabi.Context, d delivery, avoid guestabi.PC) guestabi.PC {
	for {
		if err := t.pushFrame(c, &d); err != nil {
			// No room for the frame: SIGSEGV, and the end if it was that.
			if int(d.info.Signo) == linux.SIGSEGV {
				t.dieBySignal(linux.SIGSEGV)
				return machine.Unwind
			}
			t.force(kernelInfo(linux.SIGSEGV))
		}
		d = t.nextSignal()
		switch d.kind {
		case deliverExit:
			t.fatal = true
			return machine.Unwind
		case deliverNone:
			return t.load(c, avoid)
		}
	}
}

// load replaces the guest's registers and returns the PC to go on at. A Kernel
// method must not return the PC that it was given, avoid, after that: it
// unwinds then, and the run loop enters the guest anew.
func (t *Task) load(c *guestabi.Context, avoid guestabi.PC) guestabi.PC {
	t.machine.LoadContext(c)
	if pc := guestabi.PC(c.PC); pc != avoid && pc != machine.Unwind {
		return pc
	}
	t.redirect.kind, t.redirect.ctx.PC = redirectContext, c.PC
	return machine.Unwind
}

// noPC is a PC that no frame waits for.
const noPC = ^guestabi.PC(0)

// resumeContext goes on where rt_sigreturn leads. If that is a syscall
// instruction, one that a handler interrupted, the call is made here, so that
// recompilers need not make every syscall an entry.
func (t *Task) resumeContext(c guestabi.Context) guestabi.PC {
	t.machine.LoadContext(&c)
	if d := t.nextSignal(); d.kind != deliverNone {
		if d.kind == deliverExit {
			t.fatal = true
			return machine.Unwind
		}
		return t.enterHandlers(&c, d, noPC)
	}
	if !t.atSyscall(guestabi.PC(c.PC)) {
		return t.load(&c, noPC)
	}
	nr := c.GPR[guestabi.RAX]
	args := [6]uint64{c.GPR[guestabi.RDI], c.GPR[guestabi.RSI], c.GPR[guestabi.RDX],
		c.GPR[guestabi.R10], c.GPR[guestabi.R8], c.GPR[guestabi.R9]}
	rax, pc := t.Syscall(nr, args, guestabi.PC(c.PC)+syscallSize)
	if pc != guestabi.PC(c.PC)+syscallSize {
		return pc
	}
	// The call may have changed registers itself (arch_prctl).
	t.machine.SaveContext(&c)
	c.GPR[guestabi.RAX], c.PC = rax, uint64(pc)
	return t.load(&c, noPC)
}

// atSyscall reports whether pc, in code of an admitted unit, holds a syscall
// instruction.
func (t *Task) atSyscall(pc guestabi.PC) bool {
	if _, ok := t.units.find(pc); !ok {
		return false
	}
	var insn [syscallSize]byte
	return t.CopyIn(uint64(pc), insn[:]) == nil && insn == [2]byte{0x0f, 0x05}
}

// interrupt handles signals outside of a syscall; the guest would go on at pc.
func (t *Task) interrupt(pc guestabi.PC) guestabi.PC {
	d := t.nextSignal()
	switch d.kind {
	case deliverNone:
		return pc
	case deliverExit:
		t.fatal = true
		return machine.Unwind
	}
	var c guestabi.Context
	t.machine.SaveContext(&c)
	c.PC = uint64(pc)
	return t.enterHandlers(&c, d, pc)
}

// raise delivers the signal of a fault at pc.
func (t *Task) raise(info linux.Siginfo, pc guestabi.PC) guestabi.PC {
	t.force(info)
	d := t.nextSignal()
	if d.kind == deliverExit {
		t.fatal = true
		return machine.Unwind
	}
	var c guestabi.Context
	t.machine.SaveContext(&c)
	c.PC = uint64(pc)
	if d.kind == deliverNone { // another thread took it, which forced signals exclude
		return t.load(&c, pc)
	}
	return t.enterHandlers(&c, d, noPC)
}
