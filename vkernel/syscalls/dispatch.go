package syscalls

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/strace"
)

// TraceOptions say which syscalls are printed. The zero value prints none.
type TraceOptions struct {
	// Print gets one line, without a newline. It may be called from many
	// goroutines at once.
	Print func(line string)
	Set   map[string]bool // names; empty: all
	Size  int             // bytes of a buffer to print; 0: strace.DefaultSize
}

// Dispatcher implements kernel.Dispatcher over the table.
type Dispatcher struct {
	table *[MaxNumber]Row
	trace TraceOptions

	mu      sync.Mutex
	unknown map[uint64]bool // numbers that were logged
}

// NewDispatcher makes a dispatcher.
func NewDispatcher(o TraceOptions) *Dispatcher {
	if o.Size == 0 {
		o.Size = strace.DefaultSize
	}
	return &Dispatcher{table: Table(), trace: o, unknown: map[uint64]bool{}}
}

// ParseTraceSet reads a comma-separated list of syscall names.
func ParseTraceSet(s string) (map[string]bool, error) {
	if s == "" || s == "all" {
		return nil, nil
	}
	known := map[string]bool{}
	for i := range Table() {
		known[Table()[i].Name] = true
	}
	set := map[string]bool{}
	for _, name := range strings.Split(s, ",") {
		if name == "" || !known[name] {
			return nil, fmt.Errorf("tracing syscall %q: there is none of this name", name)
		}
		set[name] = true
	}
	return set, nil
}

// Call executes a syscall.
func (d *Dispatcher) Call(t *kernel.Task, nr uint64, a kernel.Args) (uint64, error) {
	if f := t.Filter(); f != nil && !f.Passes(nr) {
		if ret, done := d.filtered(f, t, nr, a); done {
			return ret, nil
		}
	}
	if nr >= MaxNumber || d.table[nr].Handler == nil {
		return d.notImplemented(t, nr, a)
	}
	row := &d.table[nr]
	if d.trace.Print == nil || len(d.trace.Set) > 0 && !d.trace.Set[row.Name] {
		return row.Handler(t, a)
	}
	return d.traced(row, t, a)
}

func (d *Dispatcher) traced(row *Row, t *kernel.Task, a kernel.Args) (uint64, error) {
	call := strace.Call{Mem: t, Args: a, Size: d.trace.Size}
	args := call.Begin(row.Args)
	tid := t.TID()
	if row.noReturn {
		d.trace.Print(strace.NoReturn(tid, row.Name, args))
		return row.Handler(t, a)
	}
	call.Ret, call.Err = row.Handler(t, a)
	call.Mem = t
	d.trace.Print(call.End(tid, row.Name, row.Args, args, errName))
	return call.Ret, call.Err
}

func errName(err error) string { return linux.ErrnoOf(err).Name() }

func (d *Dispatcher) notImplemented(t *kernel.Task, nr uint64, a kernel.Args) (uint64, error) {
	d.mu.Lock()
	first := !d.unknown[nr] && len(d.unknown) < MaxNumber
	if first {
		d.unknown[nr] = true
	}
	d.mu.Unlock()
	if first {
		t.Kernel().Log().Warn("a syscall is not implemented: the guest gets ENOSYS", "number", nr, "pid", t.TGID())
	}
	if d.trace.Print != nil && len(d.trace.Set) == 0 {
		d.trace.Print(fmt.Sprintf("[%d] syscall_%d(%#x, %#x, %#x, %#x, %#x, %#x) = -1 ENOSYS", t.TID(), nr,
			a[0], a[1], a[2], a[3], a[4], a[5]))
	}
	return 0, linux.ENOSYS
}

// isErrno reports whether err is errno e.
func isErrno(err error, e linux.Errno) bool { return errors.Is(err, e) }
