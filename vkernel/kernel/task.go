package kernel

import (
	"context"
	"sync/atomic"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/vfs"
)

// Args are the six arguments of a syscall as the guest's registers held them.
type Args [6]uint64

// Int returns argument i as a C int.
func (a Args) Int(i int) int32 { return int32(uint32(a[i])) }

// Uint returns argument i as a C unsigned int.
func (a Args) Uint(i int) uint32 { return uint32(a[i]) }

// Int64 returns argument i as a C long.
func (a Args) Int64(i int) int64 { return int64(a[i]) }

// Addr returns argument i as a guest address.
func (a Args) Addr(i int) uint64 { return a[i] }

// Task is one thread of a guest program: a goroutine, a machine and what Linux
// calls a task_struct. Fields without a comment on locking belong to the task's
// own goroutine.
type Task struct {
	k    *Kernel
	c    *Container
	tg   *ThreadGroup // never changes
	tid  atomic.Int64 // changes if a thread that is not the leader calls execve
	comm atomic.Pointer[string]
	// affinity is sched_setaffinity's mask; nil: all CPUs.
	affinity atomic.Pointer[[]byte]

	machine machine.Machine
	mm      atomic.Pointer[mm.AddressSpace]
	units   *unitTable // of the address space
	files   atomic.Pointer[vfs.FDTable]
	fs      atomic.Pointer[vfs.FSContext]
	creds   atomic.Pointer[vfs.Creds]
	filter  *policy.Filter // of the program; nil: every system call is allowed

	// wake holds at most one token; whoever gives the task something to look
	// at (a signal, an exit, a continue) sets work, then sends.
	wake chan struct{}
	// work is set if the task must look at its signals before it runs guest
	// code again. Set and cleared with Container.mu held.
	work atomic.Bool

	sig taskSignals // guarded by Container.mu

	// What a syscall handler leaves for the syscall's exit to do.
	next     guestabi.PC // behind the syscall that executes
	redirect redirect
	restart  func(*Task) (uint64, error) // goes with ERESTART_RESTARTBLOCK
	fatal    bool                        // the task ends now

	exception exception
	stack     mm.VMA // in which the stack pointer was last seen

	clearChildTID uint64 // set_tid_address(2)
	robustList    uint64
	vforkDone     chan struct{} // closed at exec or exit, if the parent waits
	pdeathSignal  int
	startTime     time.Time
	timerSlack    uint64
	noNewPrivs    bool
	code          *codeWatch // what its interpreter reads as code; nil: it is none
	keepCaps      bool

	cpuTime  atomic.Int64 // nanoseconds that the task ran, without blocking
	runStart atomic.Int64 // when it last began to, nanoseconds since boot; 0: it blocks
	sleeping atomic.Bool  // in a wait
}

// Kernel returns the kernel that all containers of this process share.
func (t *Task) Kernel() *Kernel { return t.k }

// Container returns the container that the task belongs to.
func (t *Task) Container() *Container { return t.c }

// TID returns the thread's id in its container.
func (t *Task) TID() int { return int(t.tid.Load()) }

// TGID returns the process id: the id of the thread group.
func (t *Task) TGID() int { return t.tg.id }

// ThreadGroup returns the process of the task.
func (t *Task) ThreadGroup() *ThreadGroup { return t.tg }

// Files returns the table of file descriptors.
func (t *Task) Files() *vfs.FDTable { return t.files.Load() }

// FS returns root, working directory and umask.
func (t *Task) FS() *vfs.FSContext { return t.fs.Load() }

// Creds returns the credentials, which are never changed in place.
func (t *Task) Creds() *vfs.Creds { return t.creds.Load() }

// SetCreds replaces the credentials, and notes in the audit trail what that
// changes.
func (t *Task) SetCreds(c *vfs.Creds) {
	t.recordPrivilege(t.Creds(), c)
	t.creds.Store(c)
}

// MM returns the address space.
func (t *Task) MM() *mm.AddressSpace { return t.mm.Load() }

// Context is done when the container is torn down. Handlers that call into the
// host with it need not care about signals.
func (t *Task) Context() context.Context { return t.c.ctx }

// Comm returns the name of the thread, as in /proc/PID/comm.
func (t *Task) Comm() string {
	if p := t.comm.Load(); p != nil {
		return *p
	}
	return ""
}

// SetComm sets the name of the thread, cut to 15 bytes as on Linux.
func (t *Task) SetComm(name string) {
	if len(name) > 15 {
		name = name[:15]
	}
	t.comm.Store(&name)
}

// CopyIn copies guest memory at addr into dst. The only error is EFAULT.
func (t *Task) CopyIn(addr uint64, dst []byte) error {
	return t.mm.Load().CopyIn(addr, dst)
}

// CopyOut copies src to guest memory at addr. The only error is EFAULT.
func (t *Task) CopyOut(addr uint64, src []byte) error {
	return t.mm.Load().CopyOut(addr, src)
}

// CopyInString returns the NUL-terminated string at addr. It fails with EFAULT,
// or with ENAMETOOLONG if there is no NUL within max bytes.
func (t *Task) CopyInString(addr uint64, max int) (string, error) {
	return t.mm.Load().CopyInString(addr, max)
}

// Slice returns guest memory itself, for I/O without a copy. It must not be kept
// past the syscall. The only error is EFAULT.
func (t *Task) Slice(addr, n uint64, write bool) ([]byte, error) {
	return t.mm.Load().Slice(addr, n, write)
}

// Block waits until ch is readable or closed (nil), the deadline passes
// (ETIMEDOUT; a zero deadline never passes) or a signal wants to be handled
// (ERESTARTSYS, which the handler returns as it is or turns into EINTR, or into
// a shorter result). ch may be nil.
func (t *Task) Block(ch <-chan struct{}, deadline time.Time) error {
	select {
	case <-ch:
		return nil
	default:
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		d := time.Until(deadline)
		if d <= 0 {
			if t.Interrupted() {
				return linux.ERESTARTSYS
			}
			return linux.ETIMEDOUT
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		expired = timer.C
	}
	t.pauseCPU()
	defer t.resumeCPU()
	for {
		if t.Interrupted() {
			return linux.ERESTARTSYS
		}
		select {
		case <-ch:
			return nil
		case <-t.wake: // look again
		case <-expired:
			return linux.ETIMEDOUT
		}
	}
}
