package analyzeelf

import (
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/x86"
)

// maxWalk bounds the instructions that one backward walk looks at.
const maxWalk = 256

// family numbers the general registers from 0 (RAX) to 15, whatever the width;
// noReg is any other register.
type family int8

const noReg family = -1

func familyOf(arg x86asm.Arg) family {
	r, ok := arg.(x86asm.Reg)
	if !ok {
		return noReg
	}
	switch {
	case x86asm.RAX <= r && r <= x86asm.R15:
		return family(r - x86asm.RAX)
	case x86asm.EAX <= r && r <= x86asm.R15L:
		return family(r - x86asm.EAX)
	case x86asm.AX <= r && r <= x86asm.R15W:
		return family(r - x86asm.AX)
	case x86asm.AL <= r && r <= x86asm.BL:
		return family(r - x86asm.AL)
	case x86asm.AH <= r && r <= x86asm.BH:
		return family(r - x86asm.AH)
	case x86asm.SPB <= r && r <= x86asm.R15B:
		return family(r-x86asm.SPB) + 4
	}
	return noReg
}

// The registers that instructions write without naming them.
const (
	rax family = 0
	rcx family = 1
	rdx family = 2
	rbx family = 3
	rbp family = 5
	rsi family = 6
	rdi family = 7
	r8  family = 8
	r10 family = 10
	r11 family = 11
)

// writes reports whether in changes register f. It may say yes too often.
func writes(in *x86.Inst, f family) bool {
	switch in.Op {
	case x86asm.CMP, x86asm.TEST, x86asm.PUSH, x86asm.NOP, x86asm.BT, x86asm.JMP, x86asm.RET:
		return false
	case x86asm.CALL: // System V ABI: rbx, rbp and r12 to r15 stay
		return f == rax || f == rcx || f == rdx || f == rsi || f == rdi || f >= r8 && f <= r11
	case x86asm.SYSCALL:
		return f == rax || f == rcx || f == r11
	case x86asm.MUL, x86asm.DIV, x86asm.IDIV:
		return f == rax || f == rdx
	case x86asm.IMUL:
		if in.Args[1] == nil {
			return f == rax || f == rdx
		}
	case x86asm.CBW, x86asm.CWDE, x86asm.CDQE:
		return f == rax
	case x86asm.CWD, x86asm.CDQ, x86asm.CQO:
		return f == rdx
	case x86asm.XCHG, x86asm.XADD:
		return f == familyOf(in.Args[0]) || f == familyOf(in.Args[1])
	case x86asm.CMPXCHG:
		return f == rax || f == familyOf(in.Args[0])
	case x86asm.CPUID, x86asm.CMPXCHG8B, x86asm.CMPXCHG16B:
		return f <= rbx
	case x86asm.RDTSC, x86asm.RDTSCP, x86asm.XGETBV, x86asm.RDPMC:
		return f <= rdx
	case x86asm.LEAVE:
		return f == rbp
	case x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSD, x86asm.MOVSQ, x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSD, x86asm.CMPSQ,
		x86asm.STOSB, x86asm.STOSW, x86asm.STOSD, x86asm.STOSQ, x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ,
		x86asm.LODSB, x86asm.LODSW, x86asm.LODSD, x86asm.LODSQ:
		return f == rcx || f == rsi || f == rdi || f == rax
	}
	return familyOf(in.Args[0]) == f
}

// prev returns the instruction that runs before the one at index i: the one
// that falls into it, or else a jump to it.
func (a *analysis) prev(i uint32) (p uint32, jumped, ok bool) {
	if p, ok = a.before(i); ok {
		return p, false, true
	}
	return a.link[i] - 1, true, a.walks >= 0 && a.link[i] != 0
}

// before returns the instruction that falls into the one at index i.
func (a *analysis) before(i uint32) (uint32, bool) {
	if a.walks--; a.walks < 0 {
		return 0, false
	}
	first := a.region(i).first
	for n := uint32(1); n <= 15 && i >= first+n; n++ {
		p := i - n
		if uint32(a.length[p]) == n && a.kinds[p].falls() {
			return p, true
		}
	}
	return 0, false
}

// definition walks back from index i to the instruction that last wrote f. At
// the head of a loop, where the way back leads to where it came from, it takes
// the other way.
func (a *analysis) definition(i uint32, f family) (x86.Inst, uint32, bool) {
	if f == noReg {
		return x86.Inst{}, 0, false
	}
	var others []uint32 // jumps to where the walk went on to the instruction before
	var seen []uint32   // of the places that have such a jump
	for range maxWalk {
		p, ok := a.before(i)
		if from := a.link[i]; from != 0 {
			if slices.Contains(seen, i) {
				ok = false
			} else {
				seen = append(seen, i)
				others = append(others, from-1)
			}
		}
		if !ok {
			if len(others) == 0 {
				break
			}
			p, others = others[len(others)-1], others[:len(others)-1]
		}
		in, err := a.redecode(p)
		if err != nil {
			break
		}
		if writes(in, f) {
			return *in, p, in.Op != x86asm.CALL && in.Op != x86asm.SYSCALL
		}
		i = p
	}
	return x86.Inst{}, 0, false
}

// constant returns the value of register f before index i if one instruction
// makes it.
func (a *analysis) constant(i uint32, f family) (uint64, bool) {
	for range 4 {
		in, at, ok := a.definition(i, f)
		if !ok {
			return 0, false
		}
		switch in.Op {
		case x86asm.LEA:
			return in.Address(1)
		case x86asm.MOV:
			if v, ok := in.Args[1].(x86asm.Imm); ok && in.ArgSize(0) >= 4 {
				if in.ArgSize(0) == 4 {
					return uint64(uint32(v)), true
				}
				return uint64(v), true
			}
			f = familyOf(in.Args[1])
			i = at
			continue
		case x86asm.XOR, x86asm.SUB:
			return 0, in.Args[0] == in.Args[1]
		}
		return 0, false
	}
	return 0, false
}
