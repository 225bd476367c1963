package kernel

import (
	"fmt"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/vfs"
)

// Filter returns the filter of the task's system calls, nil without one.
func (t *Task) Filter() *policy.Filter { return t.filter }

// Recorder returns what notes the container's doings, nil if nothing does.
func (t *Task) Recorder() *policy.Recorder { return t.c.cfg.Recorder }

func (t *Task) filterFor(p *program) *policy.Filter {
	if t.c.cfg.Recorder != nil {
		return t.c.cfg.Recorder.Filter()
	}
	return t.c.cfg.Policy.Filter(p.path, p.digest)
}

// guard holds a path against the policy's files (see vfs.Caller.Guard).
func (t *Task) guard(path string, want uint32) error {
	need := policy.See
	switch {
	case want&vfs.MayWrite != 0:
		need = policy.Write
	case want&vfs.MayRead != 0:
		need = policy.Read
	}
	if r := t.c.cfg.Recorder; r != nil {
		r.File(path, need)
		return nil
	}
	files := t.c.cfg.Policy.Files
	has, rule := files.Access(path)
	if has >= need && (want&vfs.MayMove == 0 || files.Moves(path)) {
		return nil
	}
	t.Record(audit.Record{Event: "file", Path: path, Args: []string{need.String()}, Verdict: "deny", Rule: rule,
		Reason: "the policy gives " + has.String()})
	return linux.EACCES
}

// auditArchX8664 is AUDIT_ARCH_X86_64, sysSeccomp SYS_SECCOMP.
const (
	auditArchX8664 = 0xc000003e
	sysSeccomp     = 1
)

// TrapSyscall raises the SIGSYS of SECCOMP_RET_TRAP for the system call that the
// task is in.
func (t *Task) TrapSyscall(nr uint64, data uint16) {
	info := linux.Siginfo{Signo: linux.SIGSYS, Errno: int32(data), Code: sysSeccomp}
	info.SetSyscall(uint64(t.next), int32(nr), auditArchX8664)
	t.force(info)
}

// KillBySyscall ends the task, or with all its process, by SIGSYS. A process of
// one thread ends as a whole.
func (t *Task) KillBySyscall(all bool) {
	t.c.mu.Lock()
	alone := len(t.tg.threads) == 1
	t.c.mu.Unlock()
	if all || alone {
		t.dieBySignal(linux.SIGSYS)
		return
	}
	t.fatal = true
}

// recordPrivilege notes a change of ids and capabilities.
func (t *Task) recordPrivilege(old, now *vfs.Creds) {
	var args []string
	ids := func(what string, a, b [3]uint32) {
		if a != b {
			args = append(args, fmt.Sprintf("%s %d,%d,%d to %d,%d,%d", what, a[0], a[1], a[2], b[0], b[1], b[2]))
		}
	}
	caps := func(what string, a, b uint64) {
		if a != b {
			args = append(args, fmt.Sprintf("%s %#x to %#x", what, a, b))
		}
	}
	ids("uid", [3]uint32{old.UID, old.EUID, old.SUID}, [3]uint32{now.UID, now.EUID, now.SUID})
	ids("gid", [3]uint32{old.GID, old.EGID, old.SGID}, [3]uint32{now.GID, now.EGID, now.SGID})
	caps("permitted", old.Permitted, now.Permitted)
	caps("effective", old.Effective, now.Effective)
	caps("bounding", old.Bounding, now.Bounding)
	if len(args) > 0 {
		t.Record(audit.Record{Event: audit.EventPrivilege, Args: args})
	}
}

// RefuseMemory notes that executable memory was refused which is no file of the
// exec map, and returns what the guest gets.
func (t *Task) RefuseMemory(call, why string) error {
	t.Record(audit.Record{Event: audit.EventMemory, Path: call, Verdict: "deny", Rule: "exec.no-memory", Reason: why})
	return linux.EACCES
}
