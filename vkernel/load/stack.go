package load

import (
	"crypto/rand"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
)

// Limits of execve's strings in bytes (MAX_ARG_STRLEN and _STK_LIM/4*3 of
// Linux).
const (
	MaxArgString = 128 << 10
	MaxArgs      = 6 << 20
	minArgs      = 128 << 10 // ARG_MAX, allowed whatever the stack limit is
)

// ArgsFit reports whether argv and envp fit in a quarter of the stack.
func ArgsFit(args, env []string, stackLimit uint64) bool {
	limit := min(max(stackLimit/4, minArgs), MaxArgs)
	n := uint64(0)
	for _, list := range [2][]string{args, env} {
		for _, s := range list {
			if len(s)+1 > MaxArgString {
				return false
			}
			n += uint64(len(s)) + 1 + 8
		}
	}
	return n <= limit
}

// StackArgs is what the initial stack holds.
type StackArgs struct {
	Args, Env []string
	ExecFn    string
	Main      Mapped
	Phnum     uint64
	InterpAt  uint64 // AT_BASE, 0 without interpreter
	Entry     uint64 // AT_ENTRY: the program's, not the interpreter's

	UID, EUID, GID, EGID uint32
	Secure               bool
	HWCap                uint32 // CPUID(1).edx
	MinSigStack          uint64 // AT_MINSIGSTKSZ; 0: none, which means 2048

	// Random is the 16 bytes of AT_RANDOM; nil: from the host.
	Random []byte
}

// Stack is the stack that was made.
type Stack struct {
	SP               uint64
	ArgStart, ArgEnd uint64
	EnvStart, EnvEnd uint64
	AuxStart, AuxEnd uint64
}

// Phnum returns the number of program headers.
func (img *Image) Phnum() uint64 { return img.phnum }

// clockTicks is AT_CLKTCK: USER_HZ.
const clockTicks = 100

// BuildStack writes the initial stack (System V ABI, 3.4.1) below top, which
// must be mapped for writing far enough down.
func BuildStack(as *mm.AddressSpace, top uint64, a StackArgs) (Stack, error) {
	var st Stack
	random := a.Random
	if random == nil {
		random = make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return st, err
		}
	}
	at := top - 8 // the last word is zero
	push := func(b []byte) (uint64, error) {
		at -= uint64(len(b))
		return at, as.CopyOut(at, b)
	}
	pushString := func(s string) (uint64, error) { return push(append([]byte(s), 0)) }

	execFn, err := pushString(a.ExecFn)
	if err != nil {
		return st, err
	}
	// Strings lie in ascending order: arguments, then environment.
	strings := func(list []string) ([]uint64, error) {
		addrs := make([]uint64, len(list))
		for i := len(list) - 1; i >= 0; i-- {
			if addrs[i], err = pushString(list[i]); err != nil {
				return nil, err
			}
		}
		return addrs, nil
	}
	st.EnvEnd = at
	env, err := strings(a.Env)
	if err != nil {
		return st, err
	}
	st.EnvStart, st.ArgEnd = at, at
	args, err := strings(a.Args)
	if err != nil {
		return st, err
	}
	st.ArgStart = at
	platform, err := pushString("x86_64")
	if err != nil {
		return st, err
	}
	randomAt, err := push(random)
	if err != nil {
		return st, err
	}

	words := []uint64{uint64(len(args))}
	words = append(words, args...)
	words = append(words, 0)
	words = append(words, env...)
	words = append(words, 0)
	aux := len(words)
	words = append(words, a.auxv(execFn, platform, randomAt)...)
	st.SP = (at - uint64(8*len(words))) &^ 15
	st.AuxStart, st.AuxEnd = st.SP+uint64(8*aux), st.SP+uint64(8*len(words))
	b := make([]byte, 0, 8*len(words))
	for _, w := range words {
		b = le.AppendUint64(b, w)
	}
	return st, as.CopyOut(st.SP, b)
}

// auxv returns the auxiliary vector in Linux's order. There is no vDSO, hence no
// AT_SYSINFO_EHDR: its code would be foreign to the exec map.
func (a *StackArgs) auxv(execFn, platform, random uint64) []uint64 {
	secure := uint64(0)
	if a.Secure {
		secure = 1
	}
	var more []uint64
	if a.MinSigStack != 0 {
		more = []uint64{linux.AT_MINSIGSTKSZ, a.MinSigStack}
	}
	return append(more,
		linux.AT_HWCAP, uint64(a.HWCap),
		linux.AT_PAGESZ, mm.PageSize,
		linux.AT_CLKTCK, clockTicks,
		linux.AT_PHDR, a.Main.Phdr,
		linux.AT_PHENT, phdrSize,
		linux.AT_PHNUM, a.Phnum,
		linux.AT_BASE, a.InterpAt,
		linux.AT_FLAGS, 0,
		linux.AT_ENTRY, a.Entry,
		linux.AT_UID, uint64(a.UID),
		linux.AT_EUID, uint64(a.EUID),
		linux.AT_GID, uint64(a.GID),
		linux.AT_EGID, uint64(a.EGID),
		linux.AT_SECURE, secure,
		linux.AT_RANDOM, random,
		linux.AT_HWCAP2, 0,
		linux.AT_EXECFN, execFn,
		linux.AT_PLATFORM, platform,
		linux.AT_NULL, 0,
	)
}
