// Package syscalls holds THE table of syscalls, and one handler for each row.
// To add a syscall: one row here, one handler in sys_<area>.go, one test beside
// it; docs/adding-a-syscall.md shows how.
package syscalls

import (
	"sync"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/strace"
)

// Handler executes a syscall. Its error is a bare linux.Errno.
type Handler func(t *kernel.Task, a kernel.Args) (uint64, error)

// Level says how much of a syscall is there.
type Level string

// The levels.
const (
	Full    Level = "full"
	Partial Level = "partial"
	Stub    Level = "stub"
)

// Row is all that is known of one syscall.
type Row struct {
	Number  int
	Name    string
	Handler Handler
	Args    []strace.Kind
	Level   Level
	Note    string // what is missing; never empty unless Level is Full
}

func full(name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Full}
}

func partial(note, name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Partial, Note: note}
}

func stub(note, name string, h Handler, args ...strace.Kind) Row {
	return Row{Name: name, Handler: h, Args: args, Level: Stub, Note: note}
}

// MaxNumber bounds the numbers of syscalls in the table.
const MaxNumber = 512

// Table returns the table, indexed by number; a row without a handler is a
// syscall that is not implemented. The caller must not change it.
var Table = sync.OnceValue(func() *[MaxNumber]Row {
	var t [MaxNumber]Row
	for nr, r := range rows() {
		r.Number = nr
		t[nr] = r
	}
	return &t
})
