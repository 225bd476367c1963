// Package strace prints syscalls as strace(1) does, from the argument kinds in
// the syscall table.
package strace

import (
	"fmt"
	"strconv"
	"strings"
)

// Memory reads guest memory. Both methods fail if any byte is not mapped.
type Memory interface {
	CopyIn(addr uint64, dst []byte) error
	CopyInString(addr uint64, max int) (string, error)
}

// DefaultSize is how many bytes of a buffer are printed, as in strace(1).
const DefaultSize = 32

// Call is one syscall while it is printed.
type Call struct {
	Mem  Memory
	Args [6]uint64
	Size int // bytes of a buffer to print
	Done bool
	Ret  uint64 // valid if Done
	Err  error  // valid if Done
}

// Kind prints argument i of a call. Kinds are asked before the call runs and,
// if they answered "" (the argument is written by the call), once more after.
type Kind func(c *Call, i int) string

// Begin prints the arguments that are known before the call runs; the rest are
// left empty for [End].
func (c *Call) Begin(kinds []Kind) []string {
	args := make([]string, len(kinds))
	for i, k := range kinds {
		args[i] = k(c, i)
	}
	return args
}

// End prints the whole call: "[tid] name(args) = result".
func (c *Call) End(tid int, name string, kinds []Kind, args []string, errName func(error) string) string {
	c.Done = true
	for i, k := range kinds {
		if args[i] == "" {
			args[i] = k(c, i)
		}
	}
	var ret string
	switch {
	case c.Err != nil:
		ret = "-1 " + errName(c.Err)
		if e := errName(c.Err); strings.HasPrefix(e, "ERESTART") {
			ret = "? " + e // the guest never sees it
		}
	case int64(c.Ret) >= 0 && c.Ret < 1<<31:
		ret = strconv.FormatUint(c.Ret, 10)
	default:
		ret = fmt.Sprintf("%#x", c.Ret)
	}
	return fmt.Sprintf("[%d] %s(%s) = %s", tid, name, strings.Join(args, ", "), ret)
}

// NoReturn prints a call that does not return, such as exit_group.
func NoReturn(tid int, name string, args []string) string {
	return fmt.Sprintf("[%d] %s(%s) = ?", tid, name, strings.Join(args, ", "))
}

// Quote prints bytes as strace does: C escapes, cut to size, "..." if cut.
func Quote(b []byte, size int) string {
	var s strings.Builder
	cut := len(b) > size
	if cut {
		b = b[:size]
	}
	s.WriteByte('"')
	for i, ch := range b {
		switch ch {
		case '"', '\\':
			s.WriteByte('\\')
			s.WriteByte(ch)
		case '\n':
			s.WriteString(`\n`)
		case '\r':
			s.WriteString(`\r`)
		case '\t':
			s.WriteString(`\t`)
		default:
			if ch >= 0x20 && ch < 0x7f {
				s.WriteByte(ch)
				continue
			}
			// An octal escape may be shortened unless a digit follows.
			if i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '9' {
				fmt.Fprintf(&s, `\%03o`, ch)
			} else {
				fmt.Fprintf(&s, `\%o`, ch)
			}
		}
	}
	s.WriteByte('"')
	if cut {
		s.WriteString("...")
	}
	return s.String()
}

// Flag is one named bit, or one named value of an enumeration.
type Flag struct {
	Value uint64
	Name  string
}

// FlagSet makes a kind that prints an or of flags, the rest in hex.
func FlagSet(zero string, flags ...Flag) Kind {
	return func(c *Call, i int) string {
		v := c.Args[i]
		if v == 0 {
			return zero
		}
		var parts []string
		for _, f := range flags {
			if f.Value != 0 && v&f.Value == f.Value {
				parts = append(parts, f.Name)
				v &^= f.Value
			}
		}
		if v != 0 {
			parts = append(parts, fmt.Sprintf("%#x", v))
		}
		return strings.Join(parts, "|")
	}
}

// Enum makes a kind that prints the name of a C int, or its value.
func Enum(values ...Flag) Kind {
	return func(c *Call, i int) string {
		for _, f := range values {
			if uint32(f.Value) == uint32(c.Args[i]) {
				return f.Name
			}
		}
		return Int(c, i)
	}
}
