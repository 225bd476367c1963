package x86

import "golang.org/x/arch/x86/x86asm"

// IsCall reports a near call, direct or indirect.
func (in *Inst) IsCall() bool { return in.Op == x86asm.CALL }

// IsJump reports an unconditional near jump, direct or indirect.
func (in *Inst) IsJump() bool { return in.Op == x86asm.JMP }

// IsRet reports a near return.
func (in *Inst) IsRet() bool { return in.Op == x86asm.RET }

// IsSyscall reports SYSCALL.
func (in *Inst) IsSyscall() bool { return in.Op == x86asm.SYSCALL }

// IsCondJump reports a jump that may fall through: Jcc, LOOP, JRCXZ.
func (in *Inst) IsCondJump() bool {
	switch in.Op {
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JNE,
		x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE, x86asm.JO, x86asm.JNO,
		x86asm.JP, x86asm.JNP, x86asm.JS, x86asm.JNS,
		x86asm.LOOP, x86asm.LOOPE, x86asm.LOOPNE, x86asm.JECXZ, x86asm.JRCXZ:
		return true
	}
	return false
}

// IsTrap reports an instruction that a user program never gets past without a
// signal: INT, INT3, INT1, UD0, UD1, UD2, HLT, and far transfers, whose
// selectors no process has. A signal handler may still return to after INT3.
func (in *Inst) IsTrap() bool {
	switch in.Op {
	case x86asm.INT, x86asm.ICEBP, x86asm.UD0, x86asm.UD1, x86asm.UD2, x86asm.HLT,
		x86asm.LCALL, x86asm.LJMP, x86asm.LRET, x86asm.IRET, x86asm.IRETD, x86asm.IRETQ,
		x86asm.SYSENTER, x86asm.SYSEXIT, x86asm.SYSRET:
		return true
	}
	return false
}

// EndsBlock reports an instruction after which a basic block ends.
func (in *Inst) EndsBlock() bool {
	return in.IsJump() || in.IsCondJump() || in.IsCall() || in.IsRet() || in.IsSyscall() || in.IsTrap()
}

// FallsThrough reports whether the next instruction may run after this one,
// taking it that calls return.
func (in *Inst) FallsThrough() bool {
	return !in.IsJump() && !in.IsRet() && !in.IsTrap()
}

// DirectTarget returns the target of a direct call or jump.
func (in *Inst) DirectTarget() (uint64, bool) {
	if !in.IsCall() && !in.IsJump() && !in.IsCondJump() {
		return 0, false
	}
	rel, ok := in.Args[0].(x86asm.Rel)
	return in.Next() + uint64(int64(rel)), ok
}
