package analyzeelf

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/x86"
)

// bounder walks back from the load of a jump table to the comparison that
// bounds its index, following copies of the index through registers and one
// stack slot.
type bounder struct {
	index   family
	slot    x86asm.Mem // the index was loaded from here, if inSlot
	inSlot  bool
	jump    x86asm.Op // the last conditional jump passed, 0: none
	taken   bool      // it was jumped
	limits  []limit   // of other registers, nearest first
	implied uint64    // bound by the width of the index, or 0
}

type limit struct {
	f family
	n uint64
}

// bound returns how many values the register f has before index i: exactly, if a
// comparison or a mask shows it, and at most, by its width. 0 is unknown.
func (a *analysis) bound(i uint32, f family) (exact, most uint64) {
	b := bounder{index: f}
	for range maxWalk {
		p, jumped, ok := a.prev(i)
		if !ok {
			break
		}
		in, err := a.redecode(p)
		if err != nil {
			break
		}
		if n, done := b.step(in, jumped); done {
			if n > maxBounded {
				n = 0
			}
			return n, b.implied
		}
		i = p
	}
	return 0, b.implied
}

// step looks at one instruction. It returns true when there is no more to see.
func (b *bounder) step(in *x86.Inst, jumped bool) (uint64, bool) {
	switch {
	case in.IsCondJump():
		b.jump, b.taken = in.Op, jumped
		return 0, false
	case in.IsJump():
		return 0, false
	case in.Op == x86asm.CMP:
		return b.compare(in)
	}
	if !b.inSlot && writes(in, b.index) {
		return b.follow(in)
	}
	if m, ok := in.Mem(0); ok && b.inSlot && m == b.slot && in.Op != x86asm.TEST && in.Op != x86asm.PUSH {
		return 0, true // the slot is written
	}
	switch in.Op {
	case x86asm.MOV, x86asm.LEA, x86asm.MOVZX, x86asm.MOVSX, x86asm.MOVSXD, x86asm.NOP, x86asm.CDQE, x86asm.PUSH, x86asm.POP:
	default:
		b.jump = 0 // it may set the flags that the jump tests
	}
	return 0, false
}

func (b *bounder) compare(in *x86.Inst) (uint64, bool) {
	jump := b.jump
	b.jump = 0
	imm, ok := in.Args[1].(x86asm.Imm)
	if !ok || imm < 0 || imm >= maxBounded {
		return 0, false
	}
	n := uint64(imm)
	switch {
	case !b.taken && (jump == x86asm.JA || jump == x86asm.JG), b.taken && (jump == x86asm.JBE || jump == x86asm.JLE):
		n++
	case !b.taken && (jump == x86asm.JAE || jump == x86asm.JGE), b.taken && (jump == x86asm.JB || jump == x86asm.JL):
	default:
		return 0, false
	}
	if m, ok := in.Mem(0); ok {
		return n, b.inSlot && m == b.slot
	}
	f := familyOf(in.Args[0])
	if !b.inSlot && f == b.index {
		return n, true
	}
	if f != noReg {
		b.limits = append(b.limits, limit{f, n})
	}
	return 0, false
}

// follow takes an instruction that writes the index.
func (b *bounder) follow(in *x86.Inst) (uint64, bool) {
	switch in.Op {
	case x86asm.AND:
		if imm, ok := in.Args[1].(x86asm.Imm); ok && imm >= 0 {
			return uint64(imm) + 1, true
		}
		return 0, true
	case x86asm.SHR:
		if imm, ok := in.Args[1].(x86asm.Imm); ok {
			if bits := in.ArgSize(0)*8 - int(imm); bits > 0 && bits <= 16 {
				return 1 << bits, true
			}
		}
		return 0, true
	case x86asm.SHL, x86asm.CDQE:
		return 0, false
	case x86asm.LEA: // scaling
		m, _ := in.Mem(1)
		if m.Disp != 0 || m.Base != 0 && m.Index != 0 {
			return 0, true
		}
		if m.Index != 0 {
			return b.copied(familyOf(m.Index))
		}
		return b.copied(familyOf(m.Base))
	case x86asm.MOVZX:
		if size := in.ArgSize(1); size <= 2 && b.implied == 0 {
			b.implied = 1 << (8 * size)
		}
	case x86asm.MOV, x86asm.MOVSXD, x86asm.MOVSX:
	default:
		return 0, true
	}
	if m, ok := in.Mem(1); ok {
		b.slot, b.inSlot = m, true
		return 0, false
	}
	return b.copied(familyOf(in.Args[1]))
}

// copied goes on with the register that the index was copied from.
func (b *bounder) copied(f family) (uint64, bool) {
	if f == noReg {
		return 0, true
	}
	b.index = f
	for _, l := range b.limits {
		if l.f == f {
			return l.n, true
		}
	}
	return 0, false
}
