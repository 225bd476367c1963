package kernel

import (
	"strconv"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
)

// CloneArgs are the arguments of clone(2) and clone3(2).
type CloneArgs struct {
	Flags      uint64
	ExitSignal int
	Stack      uint64 // 0: the parent's
	TLS        uint64
	ParentTID  uint64
	ChildTID   uint64
	PIDFD      uint64
}

// check applies the rules of copy_process.
func (a *CloneArgs) check() error {
	f := a.Flags
	switch {
	case f&linux.CLONE_SIGHAND != 0 && f&linux.CLONE_VM == 0,
		f&linux.CLONE_THREAD != 0 && f&linux.CLONE_SIGHAND == 0,
		f&(linux.CLONE_NEWNS|linux.CLONE_FS) == linux.CLONE_NEWNS|linux.CLONE_FS,
		a.ExitSignal < 0 || a.ExitSignal > linux.NSIG:
		return linux.EINVAL
	case f&(linux.CLONE_NEWNS|linux.CLONE_NEWCGROUP|linux.CLONE_NEWUTS|linux.CLONE_NEWIPC|linux.CLONE_NEWUSER|
		linux.CLONE_NEWPID|linux.CLONE_NEWNET) != 0:
		return linux.EPERM // a container makes no namespaces
	case f&linux.CLONE_PIDFD != 0:
		return linux.EINVAL
	}
	return nil
}

// Clone implements fork, vfork, clone and clone3. Both go on behind the syscall.
func (t *Task) Clone(a CloneArgs) (int, error) {
	next := t.next
	if err := a.check(); err != nil {
		return 0, err
	}
	if a.Flags&linux.CLONE_THREAD == 0 {
		t.logCode()
	}
	child, err := t.newChild(&a)
	if err != nil {
		return 0, err
	}
	if err := t.fillChild(child, &a, next); err != nil {
		child.abandon()
		return 0, err
	}
	tid := child.TID()
	if a.Flags&linux.CLONE_PARENT_SETTID != 0 {
		_ = t.CopyOut(a.ParentTID, le.AppendUint32(nil, uint32(tid))) // as Linux, put_user's result is not looked at
	}
	if a.Flags&linux.CLONE_CHILD_SETTID != 0 {
		_ = child.CopyOut(a.ChildTID, le.AppendUint32(nil, uint32(tid)))
	}
	var done chan struct{}
	if a.Flags&linux.CLONE_VFORK != 0 {
		done = make(chan struct{})
		child.vforkDone = done
	}
	if a.Flags&linux.CLONE_THREAD == 0 {
		t.Record(audit.Record{Event: "fork", Args: []string{strconv.Itoa(tid)}})
	}
	child.start(next)
	if done != nil {
		t.waitVfork(done)
	}
	return tid, nil
}

// waitVfork waits until the child has called execve or ended. Only death
// interrupts it, as on Linux.
func (t *Task) waitVfork(done <-chan struct{}) {
	t.pauseCPU()
	defer t.resumeCPU()
	for {
		select {
		case <-done:
			return
		case <-t.wake:
			if t.ending() {
				return
			}
		}
	}
}

func (t *Task) releaseVfork() {
	if t.vforkDone != nil {
		close(t.vforkDone)
		t.vforkDone = nil
	}
}

// newChild makes the task and, but for a thread, its process, and enters both
// in the container's tables.
func (t *Task) newChild(a *CloneArgs) (*Task, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.mustExit() {
		return nil, linux.ERESTARTNOINTR
	}
	if t.overProcessLimit() {
		return nil, linux.EAGAIN
	}
	tid, err := t.c.allocPID()
	if err != nil {
		return nil, err
	}
	tg := t.tg
	if a.Flags&linux.CLONE_THREAD == 0 {
		tg = t.newProcess(a, tid)
	}
	child := newTask(t.c, tg, tid)
	child.comm.Store(t.comm.Load())
	child.affinity.Store(t.affinity.Load())
	child.sig.blocked = t.sig.blocked
	if t.sig.haveSaved {
		child.sig.blocked = t.sig.saved
	}
	if a.Flags&linux.CLONE_VM == 0 || a.Flags&linux.CLONE_VFORK != 0 {
		child.sig.altStack = t.sig.altStack
	}
	child.timerSlack, child.noNewPrivs, child.filter, child.code = t.timerSlack, t.noNewPrivs, t.filter, t.code
	t.c.addTask(child)
	return child, nil
}

func (t *Task) overProcessLimit() bool {
	l := t.tg.limits[linux.RLIMIT_NPROC].Cur
	if l == linux.RLIM_INFINITY || t.Creds().UID == 0 {
		return false
	}
	n := uint64(0)
	for _, other := range t.c.tasks {
		if c := other.creds.Load(); c != nil && c.UID == t.Creds().UID {
			n++
		}
	}
	return n >= l
}

// newProcess makes the thread group of a child. c.mu is held.
func (t *Task) newProcess(a *CloneArgs, pid int) *ThreadGroup {
	tg := newThreadGroup(t.c, pid)
	parent := t.tg
	if a.Flags&linux.CLONE_PARENT != 0 && parent.parent != nil {
		parent = parent.parent
	}
	tg.parent = parent
	parent.children[pid] = tg
	tg.session, tg.pgid, tg.noTTY = t.tg.session, t.tg.pgid, t.tg.noTTY
	tg.exitSignal = a.ExitSignal
	tg.limits, tg.lastProg, tg.dumpable = t.tg.limits, t.tg.lastProg, t.tg.dumpable
	tg.nice = t.tg.nice
	tg.oomAdj.Store(t.tg.oomAdj.Load())
	tg.persona.Store(t.tg.persona.Load())
	tg.limitsChanged()
	if a.Flags&linux.CLONE_SIGHAND != 0 {
		tg.actions = t.tg.actions
	} else {
		actions := *t.tg.actions
		tg.actions = &actions
	}
	return tg
}

// fillChild gives the child memory, files, registers and a machine.
func (t *Task) fillChild(child *Task, a *CloneArgs, next guestabi.PC) error {
	child.creds.Store(t.Creds())
	if a.Flags&linux.CLONE_FS != 0 {
		child.fs.Store(t.FS())
	} else {
		child.fs.Store(t.FS().Fork())
	}
	if a.Flags&linux.CLONE_FILES != 0 {
		t.Files().IncRef()
		child.files.Store(t.Files())
	} else {
		child.files.Store(t.Files().Fork())
	}
	as, err := t.childMemory(a.Flags&linux.CLONE_VM != 0)
	if err != nil {
		return err
	}
	child.mm.Store(as)
	if as == t.MM() {
		child.units = t.units
	} else {
		child.units = t.units.clone()
	}
	m, err := t.c.cfg.Engine.NewMachine(as.Memory(), child)
	if err != nil {
		t.k.log.Error("making a machine for a child", "err", err)
		return linux.ENOMEM
	}
	child.machine = m
	if err := child.units.bindAll(m); err != nil {
		t.k.log.Error("binding units for a child", "err", err)
		return linux.ENOMEM
	}
	var c guestabi.Context
	t.machine.SaveContext(&c)
	c.GPR[guestabi.RAX], c.PC = 0, uint64(next)
	if a.Stack != 0 {
		c.GPR[guestabi.RSP] = a.Stack
	}
	if a.Flags&linux.CLONE_SETTLS != 0 {
		c.FSBase = a.TLS
	}
	m.LoadContext(&c)
	var fx [fxSize]byte
	t.machine.X87().MarshalFXSave(fx[:])
	m.X87().UnmarshalFXSave(fx[:])
	if a.Flags&linux.CLONE_CHILD_CLEARTID != 0 {
		child.clearChildTID = a.ChildTID
	}
	return nil
}

func (t *Task) childMemory(share bool) (*mm.AddressSpace, error) {
	if share {
		t.MM().Acquire()
		return t.MM(), nil
	}
	as, _, err := t.MM().Fork()
	if err != nil {
		t.k.log.Error("copying memory for a child", "err", err)
		return nil, linux.ENOMEM
	}
	return as, nil
}

// abandon takes back a task that never ran.
func (t *Task) abandon() {
	if t.machine != nil {
		_ = t.machine.Close() // nothing ran on it
	}
	if as := t.mm.Load(); as != nil {
		as.Release()
	}
	if f := t.Files(); f != nil {
		f.DecRef()
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tid := t.TID()
	delete(t.c.tasks, tid)
	delete(t.tg.threads, tid)
	if len(t.tg.threads) == 0 {
		t.tg.dead, t.tg.leader = true, nil
		t.tg.forget()
	}
	t.c.wg.Done()
}

// StartTime is when the task was made.
func (t *Task) StartTime() time.Time { return t.startTime }
