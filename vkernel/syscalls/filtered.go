package syscalls

import (
	"fmt"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/policy"
)

// maxErrno is MAX_ERRNO: a filter's errno is at most that.
const maxErrno = 4095

// filtered applies the policy to a system call that it does not let pass
// unseen. If the call is done, ret is what rax holds after it.
func (d *Dispatcher) filtered(f *policy.Filter, t *kernel.Task, nr uint64, a kernel.Args) (ret uint64, done bool) {
	if r := t.Recorder(); r != nil {
		tg := t.ThreadGroup()
		r.Syscall(tg.ExePath(), tg.ExeDigest(), nr)
		return 0, false
	}
	v, rule := f.Eval(nr, (*[6]uint64)(&a))
	if v == policy.Allow {
		return 0, false
	}
	name := d.nameOf(nr)
	rec := audit.Record{Event: "syscall", Path: name, Args: make([]string, len(a)), Rule: rule, Reason: v.String(), Verdict: "deny"}
	for i := range a {
		rec.Args[i] = fmt.Sprintf("%#x", a[i])
	}
	if v.Action() == policy.Log {
		rec.Verdict = "allow"
		t.Record(rec)
		return 0, false
	}
	t.Record(rec)
	if d.trace.Print != nil && (len(d.trace.Set) == 0 || d.trace.Set[name]) {
		d.trace.Print(fmt.Sprintf("[%d] %s(%#x, %#x, %#x, %#x, %#x, %#x) = %s by policy %s", t.TID(), name,
			a[0], a[1], a[2], a[3], a[4], a[5], v, rule))
	}
	switch v.Action() {
	case policy.Errno:
		return linux.Errno(min(v.Data(), maxErrno)).Result(), true
	case policy.Trap:
		t.TrapSyscall(nr, v.Data())
		return nr, true
	case policy.Trace: // there is no tracer
		return linux.ENOSYS.Result(), true
	case policy.KillThread:
		t.KillBySyscall(false)
	default:
		t.KillBySyscall(true)
	}
	return 0, true
}

func (d *Dispatcher) nameOf(nr uint64) string {
	if nr < MaxNumber && d.table[nr].Name != "" {
		return d.table[nr].Name
	}
	return fmt.Sprintf("syscall_%d", nr)
}
