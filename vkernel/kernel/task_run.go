package kernel

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
)

// redirect says that a syscall replaces the guest's registers.
type redirect struct {
	kind redirectKind
	ctx  guestabi.Context // redirectContext
}

type redirectKind uint8

const (
	redirectNone    redirectKind = iota
	redirectContext              // rt_sigreturn: go on with ctx
	redirectMachine              // execve: t.machine is a new one, enter it at ctx.PC
)

// unitTable says which unit is admitted where in an address space.
type unitTable struct {
	mu    sync.RWMutex
	units []boundUnit
}

type boundUnit struct {
	unit      int
	base      guestabi.PC
	low, high uint64 // guest addresses of code, [low, high)
}

func (u *unitTable) add(b boundUnit) {
	u.mu.Lock()
	u.units = append(u.units, b)
	u.mu.Unlock()
}

// remove takes out the units that have code between two guest addresses, and
// reports whether there were any.
func (u *unitTable) remove(from, to uint64) bool {
	gone := func(b boundUnit) bool { return b.low < to && from < b.high }
	u.mu.RLock()
	any := slices.ContainsFunc(u.units, gone)
	u.mu.RUnlock()
	if !any {
		return false
	}
	u.mu.Lock()
	u.units = slices.DeleteFunc(u.units, gone)
	u.mu.Unlock()
	return true
}

func (u *unitTable) find(pc guestabi.PC) (boundUnit, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	for _, b := range u.units {
		if uint64(pc) >= b.low && uint64(pc) < b.high {
			return b, true
		}
	}
	return boundUnit{}, false
}

func (u *unitTable) clone() *unitTable {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return &unitTable{units: append([]boundUnit(nil), u.units...)}
}

// bindAll admits the address space's units to a new machine.
func (u *unitTable) bindAll(m machine.Machine) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	for _, b := range u.units {
		if err := m.Bind(b.unit, b.base); err != nil {
			return fmt.Errorf("binding unit %d: %w", b.unit, err)
		}
	}
	return nil
}

func newTask(c *Container, tg *ThreadGroup, tid int) *Task {
	t := &Task{k: c.k, c: c, tg: tg, wake: make(chan struct{}, 1), startTime: time.Now(), timerSlack: 50_000}
	t.tid.Store(int64(tid))
	t.sig.altStack.Flags = linux.SS_DISABLE
	return t
}

// addTask enters t, and its process if it is new, in the container's tables.
// c.mu is held.
func (c *Container) addTask(t *Task) {
	tid := t.TID()
	c.tasks[tid] = t
	c.groups[t.tg.id] = t.tg
	t.tg.threads[tid] = t
	if t.tg.leader == nil {
		t.tg.leader = t
	}
	c.forks.Add(1)
	c.wg.Add(1)
}

// start runs the task on a goroutine of its own.
func (t *Task) start(pc guestabi.PC) {
	go func() {
		defer t.c.wg.Done()
		t.resumeCPU()
		t.run(pc)
		t.finish()
	}()
}

// run enters the guest until the task has to end.
func (t *Task) run(pc guestabi.PC) {
	defer func() {
		if r := recover(); r != nil {
			t.panicked(r)
		}
	}()
	for !t.ending() {
		m := t.machine
		left, err := m.Run(pc)
		if t.redirect.kind == redirectMachine {
			// The old machine's frames are gone now.
			t.redirect.kind = redirectNone
			if cerr := m.Close(); cerr != nil {
				t.k.log.Warn("closing the machine of a program that called execve", "err", cerr)
			}
			pc = guestabi.PC(t.redirect.ctx.PC)
			continue
		}
		switch {
		case t.ending():
			return
		case err != nil:
			pc = t.trapped(err)
		case left == machine.Unwind:
			// A Kernel method has left the place to go on at in t.redirect.
			pc = guestabi.PC(t.redirect.ctx.PC)
			t.redirect.kind = redirectNone
		default:
			// The guest left at a PC that no frame waited for.
			pc = left
			if t.Resolve(pc) < 0 {
				pc = t.Fault(guestabi.FaultBadPC, pc)
				if pc == machine.Unwind {
					pc = guestabi.PC(t.redirect.ctx.PC)
					t.redirect.kind = redirectNone
				}
			}
		}
	}
}

// ending reports whether the task must not enter the guest again.
func (t *Task) ending() bool {
	if t.fatal {
		return true
	}
	if !t.work.Load() {
		return false
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.mustExit()
}

// Syscall implements machine.Kernel.
func (t *Task) Syscall(nr uint64, args [6]uint64, next guestabi.PC) (rax uint64, pc guestabi.PC) {
	defer func() {
		if r := recover(); r != nil {
			t.panicked(r)
			rax, pc = 0, machine.Unwind
		}
	}()
	if t.c.throttled.Load() != nil || t.tg.cpuLimited.Load() {
		t.overLimit()
	}
	t.next = next
	ret, err := t.k.dispatcher.Call(t, nr, args)
	if t.c.async.pending.Load() {
		t.c.sendAsync()
	}
	if !t.work.Load() && t.redirect.kind == redirectNone && !t.fatal {
		if err == nil {
			return ret, next
		}
		if errno := linux.ErrnoOf(err); errno < linux.ERESTARTSYS {
			return -uint64(errno), next
		}
	}
	return t.syscallExit(syscallState{nr: nr, args: args, ret: ret, err: err, next: next})
}

// Safepoint implements machine.Kernel.
func (t *Task) Safepoint(next guestabi.PC) (pc guestabi.PC) {
	if t.c.throttled.Load() != nil || t.tg.cpuLimited.Load() {
		t.overLimit()
	}
	sp := t.machine.StackPointer()
	inStack := sp-t.stack.Start <= t.stack.End-t.stack.Start
	if inStack && !t.work.Load() {
		return next
	}
	defer func() {
		if r := recover(); r != nil {
			t.panicked(r)
			pc = machine.Unwind
		}
	}()
	if !inStack && !t.checkStack(sp) {
		return t.raise(t.overflow(sp), next)
	}
	return t.interrupt(next)
}

// Fault implements machine.Kernel.
func (t *Task) Fault(f guestabi.Fault, pc guestabi.PC) (next guestabi.PC) {
	defer func() {
		if r := recover(); r != nil {
			t.panicked(r)
			next = machine.Unwind
		}
	}()
	switch f {
	case guestabi.FaultMiss, guestabi.FaultNotAdmitted:
		return t.missed(f, pc)
	case guestabi.FaultCareful:
		var c guestabi.Context
		t.machine.SaveContext(&c)
		c.PC = uint64(pc)
		return t.load(&c, pc)
	}
	info, at := t.faultInfo(f, pc)
	return t.raise(info, at)
}

// Resolve implements machine.Kernel. A unit that another thread has mapped is
// bound to this thread's machine here.
func (t *Task) Resolve(pc guestabi.PC) int {
	b, ok := t.units.find(pc)
	if !ok {
		return -1
	}
	if err := t.machine.Bind(b.unit, b.base); err != nil {
		t.k.log.Error("binding a unit", "unit", b.unit, "err", err)
		return -1
	}
	return b.unit
}

// place says in which file the code at pc lies, at which link-time address, and
// near which symbol, if that is known.
func (t *Task) place(pc guestabi.PC) (h artifact.Hint, symbol string) {
	address := uint64(pc)
	if b, ok := t.units.find(pc); ok {
		address = uint64(pc - b.base)
		if u := t.c.unit(b.unit); u != nil {
			h.Digest = u.Digest
		}
	}
	h.Address = fmt.Sprintf("%#x", address)
	if p := t.tg.prog(); p != nil && (p.digest == h.Digest || h.Digest == "") {
		h.Digest, h.Path, symbol = p.digest, p.path, p.symbolAt(address)
	} else if e := t.c.cfg.Controller.Lookup(h.Digest); e != nil && len(e.Paths) > 0 {
		h.Path = e.Paths[0].Path
	}
	return h, symbol
}

// missed ends the process because control reached code that has no
// translation: it must not run wrongly, and no signal handler can help.
func (t *Task) missed(f guestabi.Fault, pc guestabi.PC) guestabi.PC {
	what := "was not translated"
	if f == guestabi.FaultNotAdmitted {
		what = "belongs to a unit that was not admitted"
	}
	h, sym := t.place(pc)
	remedy := "megabin run --hints FILE keeps the hint; megabin build --hints FILE translates the code"
	if f == guestabi.FaultNotAdmitted {
		remedy = "the file has to be in the exec map: build the image again with it"
	}
	t.k.log.Error("the code at this address "+what+": the process ends", "file", h.Path, "digest", h.Digest,
		"address", h.Address, "near", sym, "pid", t.TGID(), "remedy", remedy)
	t.Record(audit.Record{Event: "miss", Path: h.Path, Object: h.Digest, Verdict: "deny", Rule: "exec.untranslated",
		Reason: fmt.Sprintf("address %s (near %s) %s", h.Address, sym, what)})
	if missed := t.c.cfg.Missed; missed != nil && f == guestabi.FaultMiss && h.Digest != "" {
		missed(h)
	}
	t.dieBySignal(linux.SIGILL)
	return machine.Unwind
}

// panicked ends the task after a fault of ours; the others go on.
func (t *Task) panicked(r any) {
	t.k.log.Error("a task ends because of a fault in the vkernel", "container", t.c.cfg.ID, "pid", t.TGID(),
		"tid", t.TID(), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	t.Record(audit.Record{Event: "panic", Reason: fmt.Sprint(r)})
	t.dieBySignal(linux.SIGKILL)
}

// Record appends to the audit trail what t does. A trail that cannot be written
// ends the container: nothing may run unrecorded.
func (t *Task) Record(r audit.Record) {
	r.PID, r.TID, r.PPID, r.UID = t.TGID(), t.TID(), t.tg.ParentID(), int(t.Creds().UID)
	if r.Subject == "" {
		r.Subject = t.tg.ExeDigest()
	}
	if err := t.c.cfg.Audit.Append(r); err != nil {
		t.k.log.Error("the audit trail cannot be written: the container ends", "container", t.c.cfg.ID, "err", err)
		t.c.Kill()
	}
}

func (c *Container) unit(i int) *artifact.UnitEntry {
	if i < 0 || i >= len(c.cfg.Units) {
		return nil
	}
	return &c.cfg.Units[i]
}

// pauseCPU and resumeCPU bracket what does not count as CPU time.
func (t *Task) pauseCPU() {
	t.sleeping.Store(true)
	if start := t.runStart.Swap(0); start != 0 {
		t.c.running.Add(-1)
		t.cpuTime.Add(int64(time.Since(t.k.boot)) - start)
	}
}

func (t *Task) resumeCPU() {
	if t.runStart.Swap(max(1, int64(time.Since(t.k.boot)))) == 0 {
		t.c.running.Add(1)
		t.c.ran.Add(1)
	}
	t.sleeping.Store(false)
}

// running reports whether t does not wait; one that has not begun yet runs.
func (t *Task) running() bool { return !t.sleeping.Load() }

// CPUTime returns how long the task has run, blocking not counted.
func (t *Task) CPUTime() time.Duration {
	d := t.cpuTime.Load()
	if start := t.runStart.Load(); start != 0 {
		d += int64(time.Since(t.k.boot)) - start
	}
	return time.Duration(d)
}

// checkCPULimit sends SIGXCPU at the soft limit, each second, and SIGKILL at
// the hard one.
func (t *Task) checkCPULimit() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	l := &t.tg.limits[linux.RLIMIT_CPU]
	used := uint64(t.tg.cpu() / time.Second)
	switch {
	case l.Max != linux.RLIM_INFINITY && used >= l.Max:
		t.tg.send(linux.SIGKILL, kernelInfo(linux.SIGKILL))
	case l.Cur != linux.RLIM_INFINITY && used >= l.Cur:
		l.Cur = used + 1
		t.tg.send(linux.SIGXCPU, kernelInfo(linux.SIGXCPU))
	}
}
