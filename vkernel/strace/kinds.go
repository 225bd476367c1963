package strace

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Int prints a C int.
func Int(c *Call, i int) string { return strconv.Itoa(int(int32(uint32(c.Args[i])))) }

// Long prints a C long.
func Long(c *Call, i int) string { return strconv.FormatInt(int64(c.Args[i]), 10) }

// Size prints a size_t.
func Size(c *Call, i int) string { return strconv.FormatUint(c.Args[i], 10) }

// Hex prints a number in hex; 0 as 0x0.
func Hex(c *Call, i int) string { return fmt.Sprintf("0x%x", c.Args[i]) }

// Octal prints a mode.
func Octal(c *Call, i int) string {
	if v := uint32(c.Args[i]); v != 0 {
		return fmt.Sprintf("0%03o", v)
	}
	return "000"
}

// Addr prints a pointer, NULL if 0.
func Addr(c *Call, i int) string {
	if c.Args[i] == 0 {
		return "NULL"
	}
	return Hex(c, i)
}

// FD prints a file descriptor.
func FD(c *Call, i int) string { return Int(c, i) }

// DirFD prints a file descriptor that may be AT_FDCWD.
func DirFD(c *Call, i int) string {
	if int32(uint32(c.Args[i])) == -100 {
		return "AT_FDCWD"
	}
	return Int(c, i)
}

// Path prints a string in full.
func Path(c *Call, i int) string {
	s, err := c.Mem.CopyInString(c.Args[i], 4096)
	if err != nil {
		return Addr(c, i)
	}
	return Quote([]byte(s), len(s))
}

// Str prints a string, cut to the size limit.
func Str(c *Call, i int) string {
	s, err := c.Mem.CopyInString(c.Args[i], 1<<16)
	if err != nil {
		return Addr(c, i)
	}
	return Quote([]byte(s), c.Size)
}

// Buf prints a buffer that the call reads, whose length is the next argument.
func Buf(c *Call, i int) string { return c.buf(c.Args[i], c.Args[i+1]) }

// OutBuf prints a buffer that the call has filled with as many bytes as it
// returned.
func OutBuf(c *Call, i int) string {
	if !c.Done {
		return ""
	}
	if c.Err != nil {
		return Addr(c, i)
	}
	return c.buf(c.Args[i], c.Ret)
}

// OutStr prints a string that the call has written.
func OutStr(c *Call, i int) string {
	if !c.Done {
		return ""
	}
	if c.Err != nil {
		return Addr(c, i)
	}
	return Str(c, i)
}

func (c *Call) buf(addr, n uint64) string {
	b := make([]byte, min(n, uint64(c.Size)+1))
	if c.Mem.CopyIn(addr, b) != nil {
		if addr == 0 {
			return "NULL"
		}
		return fmt.Sprintf("0x%x", addr)
	}
	return Quote(b, c.Size)
}

// Argv prints a NULL-terminated array of strings.
func Argv(c *Call, i int) string {
	addr := c.Args[i]
	if addr == 0 {
		return "NULL"
	}
	var parts []string
	for n := 0; ; n++ {
		p, ok := c.u64(addr + uint64(8*n))
		if !ok {
			return Addr(c, i)
		}
		if p == 0 {
			break
		}
		if n == c.Size {
			parts = append(parts, "...")
			break
		}
		s, err := c.Mem.CopyInString(p, 1<<16)
		if err != nil {
			return Addr(c, i)
		}
		parts = append(parts, Quote([]byte(s), c.Size))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Envp prints how many variables an environment has.
func Envp(c *Call, i int) string {
	for n := 0; ; n++ {
		p, ok := c.u64(c.Args[i] + uint64(8*n))
		if !ok {
			return Addr(c, i)
		}
		if p == 0 {
			return fmt.Sprintf("0x%x /* %d vars */", c.Args[i], n)
		}
	}
}

func (c *Call) u64(addr uint64) (uint64, bool) {
	var b [8]byte
	if c.Mem.CopyIn(addr, b[:]) != nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}

// Timespec prints a struct timespec that the call reads.
func Timespec(c *Call, i int) string { return c.pair(i, "tv_sec", "tv_nsec") }

// OutTimespec prints a struct timespec that the call has written.
func OutTimespec(c *Call, i int) string { return c.out(i, Timespec) }

// Timeval prints a struct timeval that the call reads.
func Timeval(c *Call, i int) string { return c.pair(i, "tv_sec", "tv_usec") }

// OutTimeval prints a struct timeval that the call has written.
func OutTimeval(c *Call, i int) string { return c.out(i, Timeval) }

func (c *Call) pair(i int, a, b string) string {
	sec, ok1 := c.u64(c.Args[i])
	sub, ok2 := c.u64(c.Args[i] + 8)
	if !ok1 || !ok2 {
		return Addr(c, i)
	}
	return fmt.Sprintf("{%s=%d, %s=%d}", a, int64(sec), b, int64(sub))
}

func (c *Call) out(i int, k Kind) string {
	if !c.Done {
		return ""
	}
	if c.Err != nil {
		return Addr(c, i)
	}
	return k(c, i)
}

// OutInt prints a pointer to a C int that the call has written.
func OutInt(c *Call, i int) string {
	return c.out(i, func(c *Call, i int) string {
		var b [4]byte
		if c.Mem.CopyIn(c.Args[i], b[:]) != nil {
			return Addr(c, i)
		}
		return fmt.Sprintf("[%d]", int32(binary.LittleEndian.Uint32(b[:])))
	})
}

// WaitStatus prints the status that wait4 has written.
func WaitStatus(c *Call, i int) string {
	return c.out(i, func(c *Call, i int) string {
		var b [4]byte
		if c.Ret == 0 || c.Mem.CopyIn(c.Args[i], b[:]) != nil {
			return Addr(c, i)
		}
		s := binary.LittleEndian.Uint32(b[:])
		switch {
		case s&0x7f == 0:
			return fmt.Sprintf("[{WIFEXITED(s) && WEXITSTATUS(s) == %d}]", s>>8&0xff)
		case s&0xff == 0x7f:
			return fmt.Sprintf("[{WIFSTOPPED(s) && WSTOPSIG(s) == %s}]", SignalName(int(s>>8&0xff)))
		case s == 0xffff:
			return "[{WIFCONTINUED(s)}]"
		default:
			return fmt.Sprintf("[{WIFSIGNALED(s) && WTERMSIG(s) == %s}]", SignalName(int(s&0x7f)))
		}
	})
}

// PipeFDs prints the two descriptors that pipe(2) has written.
func PipeFDs(c *Call, i int) string {
	return c.out(i, func(c *Call, i int) string {
		v, ok := c.u64(c.Args[i])
		if !ok {
			return Addr(c, i)
		}
		return fmt.Sprintf("[%d, %d]", int32(uint32(v)), int32(v>>32))
	})
}

// Signal prints a signal number.
func Signal(c *Call, i int) string { return SignalName(int(int32(uint32(c.Args[i])))) }

// SigSet prints a signal set that the call reads.
func SigSet(c *Call, i int) string {
	m, ok := c.u64(c.Args[i])
	if !ok {
		return Addr(c, i)
	}
	var names []string
	for s := 1; s <= 64; s++ {
		if m&(1<<(s-1)) != 0 {
			names = append(names, strings.TrimPrefix(SignalName(s), "SIG"))
		}
	}
	if m == ^uint64(0) {
		return "~[]"
	}
	return "[" + strings.Join(names, " ") + "]"
}

// OutSigSet prints a signal set that the call has written.
func OutSigSet(c *Call, i int) string { return c.out(i, SigSet) }

// SignalName returns SIGINT for 2, and so on; numbers without a name as they
// are.
func SignalName(sig int) string {
	names := [...]string{1: "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
		"USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
		"XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"}
	switch {
	case sig > 0 && sig < len(names):
		return "SIG" + names[sig]
	case sig >= 32 && sig <= 64:
		return fmt.Sprintf("SIGRT_%d", sig-32)
	default:
		return strconv.Itoa(sig)
	}
}
