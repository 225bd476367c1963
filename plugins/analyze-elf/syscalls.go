package analyzeelf

import (
	"maps"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// Numbers and constants of the kernel that syscalls looks for.
const (
	sysMmap      = 9
	sysMprotect  = 10
	maxSyscall   = 1023 // above any number in use
	protExec     = 4
	mapAnonymous = 0x20
)

// syscalls returns the system call numbers that the code loads before SYSCALL,
// and whether it makes memory executable that it may have written: a sign of a
// JIT.
func (a *analysis) syscalls() (numbers []uint32, generatesCode bool) {
	seen := map[uint32]bool{}
	for _, i := range a.sites {
		switch a.kinds[i].base() {
		case kindSyscall:
			n, ok := a.constant(i, rax)
			if !ok || n > maxSyscall {
				continue
			}
			seen[uint32(n)] = true
			generatesCode = generatesCode || a.makesExecutable(i, uint32(n), r10)
		case kindCall, kindCallInd:
			if n, ok := a.imported(i); ok {
				generatesCode = generatesCode || a.makesExecutable(i, n, rcx)
			}
		}
	}
	return slices.Sorted(maps.Keys(seen)), generatesCode
}

// makesExecutable reports whether a call of mmap or mprotect at index i asks for
// executable memory with constant arguments; flags is the register of mmap's
// fourth argument.
func (a *analysis) makesExecutable(i, number uint32, flags family) bool {
	if number != sysMmap && number != sysMprotect {
		return false
	}
	if prot, ok := a.constant(i, rdx); !ok || prot&protExec == 0 {
		return false
	}
	if number == sysMprotect {
		return true
	}
	f, ok := a.constant(i, flags)
	return ok && f&mapAnonymous != 0
}

// imported returns the number of the system call if the call at index i goes to
// mmap or mprotect of another file, directly or through a PLT entry.
func (a *analysis) imported(i uint32) (uint32, bool) {
	if len(a.slots) == 0 {
		return 0, false
	}
	if a.kinds[i].base() == kindCall {
		t, ok := a.index(a.target(i))
		if !ok {
			return 0, false
		}
		for range 3 { // endbr64; bnd jmp *slot
			if !a.known(t) || a.kinds[t].base() == kindJumpInd {
				break
			}
			t += uint32(a.length[t])
		}
		if i = t; a.kinds[i].base() != kindJumpInd {
			return 0, false
		}
	}
	in, err := a.decode(i)
	if err != nil || in.Op != x86asm.CALL && in.Op != x86asm.JMP {
		return 0, false
	}
	slot, ok := in.Address(0)
	if !ok {
		return 0, false
	}
	n, ok := a.slots[slot]
	return n, ok
}
