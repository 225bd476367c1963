package kernel

import (
	"math/bits"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// sigActions are the handlers of a process; guarded by Container.mu.
type sigActions struct {
	actions [linux.NSIG + 1]linux.Sigaction
}

func (s *sigActions) get(sig int) *linux.Sigaction { return &s.actions[sig] }

// forExec resets handlers as execve does: what is ignored stays ignored.
func (s *sigActions) forExec() *sigActions {
	n := new(sigActions)
	for sig := range s.actions {
		if s.actions[sig].Handler == linux.SIG_IGN {
			n.actions[sig].Handler = linux.SIG_IGN
		}
	}
	return n
}

// taskSignals is a task's share of signal state; guarded by Container.mu.
type taskSignals struct {
	pending  sigQueue
	blocked  linux.SignalSet
	saved    linux.SignalSet // mask to restore, if haveSaved
	altStack linux.Stack

	haveSaved bool // sigsuspend, ppoll and pselect wait with another mask
}

// sigQueue holds signals that were generated and not yet handled. Standard
// signals are kept once, real-time signals queue.
type sigQueue struct {
	set   linux.SignalSet
	infos map[int][]linux.Siginfo
	n     int
}

// maxQueued bounds a queue (RLIMIT_SIGPENDING is reported, this is enforced).
const maxQueued = 1024

// realTime is the first signal that queues.
const realTime = linux.SIGRTMIN

// add needs the process's RLIMIT_SIGPENDING for limit.
func (q *sigQueue) add(info linux.Siginfo, limit uint64) error {
	sig := int(info.Signo)
	if sig < realTime && q.set.Has(sig) {
		return nil
	}
	if uint64(q.n) >= min(maxQueued, limit) && sig >= realTime {
		return linux.EAGAIN
	}
	if q.infos == nil {
		q.infos = make(map[int][]linux.Siginfo)
	}
	q.infos[sig] = append(q.infos[sig], info)
	q.set |= linux.SignalMask(sig)
	q.n++
	return nil
}

// discard drops the signals in set.
func (q *sigQueue) discard(set linux.SignalSet) {
	for sig := 1; sig <= linux.NSIG; sig++ {
		if set.Has(sig) && q.set.Has(sig) {
			q.n -= len(q.infos[sig])
			delete(q.infos, sig)
		}
	}
	q.set &^= set
}

func (q *sigQueue) take(sig int) linux.Siginfo {
	list := q.infos[sig]
	info := list[0]
	q.n--
	if len(list) == 1 {
		delete(q.infos, sig)
		q.set &^= linux.SignalMask(sig)
	} else {
		q.infos[sig] = list[1:]
	}
	return info
}

const (
	maskKill = linux.SignalSet(1) << (linux.SIGKILL - 1)
	maskStop = linux.SignalSet(1) << (linux.SIGSTOP - 1)
	// unblockable signals can neither be blocked nor caught.
	unblockable = maskKill | maskStop
	maskCont    = linux.SignalSet(1) << (linux.SIGCONT - 1)
	stopSignals = maskStop | linux.SignalSet(1)<<(linux.SIGTSTP-1) | linux.SignalSet(1)<<(linux.SIGTTIN-1) |
		linux.SignalSet(1)<<(linux.SIGTTOU-1)
	defaultIgnored = maskCont | linux.SignalSet(1)<<(linux.SIGCHLD-1) | linux.SignalSet(1)<<(linux.SIGURG-1) |
		linux.SignalSet(1)<<(linux.SIGWINCH-1)
	synchronous = linux.SignalSet(1)<<(linux.SIGSEGV-1) | linux.SignalSet(1)<<(linux.SIGBUS-1) |
		linux.SignalSet(1)<<(linux.SIGILL-1) | linux.SignalSet(1)<<(linux.SIGTRAP-1) |
		linux.SignalSet(1)<<(linux.SIGFPE-1) | linux.SignalSet(1)<<(linux.SIGSYS-1)
)

// kernelInfo is the siginfo of a signal that no process sent.
func kernelInfo(sig int) linux.Siginfo {
	return linux.Siginfo{Signo: int32(sig), Code: linux.SI_KERNEL}
}

// UserInfo is the siginfo of a signal that t sends by kill(2) (code SI_USER) or
// tgkill(2) (code SI_TKILL).
func (t *Task) UserInfo(sig, code int) linux.Siginfo {
	i := linux.Siginfo{Signo: int32(sig), Code: int32(code)}
	i.SetPID(int32(t.TGID()))
	i.SetUID(t.Creds().UID)
	return i
}

// ignored reports whether a signal with the current action has no effect.
func (tg *ThreadGroup) ignored(sig int) bool {
	switch tg.actions.get(sig).Handler {
	case linux.SIG_IGN:
		return true
	case linux.SIG_DFL:
		return defaultIgnored.Has(sig)
	}
	return false
}

// prepare does what a signal does when it is generated, whether it is blocked
// or not: SIGCONT and the stop signals cancel one another. c.mu is held.
func (tg *ThreadGroup) prepare(sig int) {
	switch {
	case sig == linux.SIGCONT:
		tg.discard(stopSignals)
		if tg.stopped {
			tg.cont()
		}
	case stopSignals.Has(sig):
		tg.discard(maskCont)
	case sig == linux.SIGKILL && tg.stopped:
		tg.stopped = false
		close(tg.resumed)
	}
}

func (tg *ThreadGroup) discard(set linux.SignalSet) {
	tg.pending.discard(set)
	for _, t := range tg.threads {
		t.sig.pending.discard(set)
	}
}

// cont ends a group stop.
func (tg *ThreadGroup) cont() {
	tg.stopped, tg.stopEvent, tg.contEvent = false, false, true
	close(tg.resumed)
	tg.notifyParentStop(linux.CLD_CONTINUED, linux.SIGCONT)
}

// send generates a signal for the process. c.mu is held.
func (tg *ThreadGroup) send(sig int, info linux.Siginfo) error {
	if tg.dead {
		return nil // a zombie: the signal has no effect
	}
	tg.prepare(sig)
	target := tg.receiver(sig)
	if tg.ignored(sig) && (target == nil || !target.sig.blocked.Has(sig)) {
		return nil
	}
	if err := tg.pending.add(info, tg.limits[linux.RLIMIT_SIGPENDING].Cur); err != nil {
		return err
	}
	tg.signals.Notify(waiter.ReadableEvents)
	if sig == linux.SIGKILL {
		tg.groupExit(linux.SIGKILL)
		return nil
	}
	if target != nil && !target.sig.blocked.Has(sig) {
		target.kick()
	}
	return nil
}

// receiver returns the thread that handles a signal of the process: the main
// thread if it does not block it, else any that does not, else the main thread.
func (tg *ThreadGroup) receiver(sig int) *Task {
	if tg.leader != nil && !tg.leader.exiting() && !tg.leader.sig.blocked.Has(sig) {
		return tg.leader
	}
	for _, tid := range sortedKeys(tg.threads) {
		if t := tg.threads[tid]; !t.exiting() && !t.sig.blocked.Has(sig) {
			return t
		}
	}
	return tg.leader
}

// send generates a signal for one thread. c.mu is held.
func (t *Task) send(sig int, info linux.Siginfo) error {
	if t.tg.dead {
		return nil
	}
	t.tg.prepare(sig)
	if t.tg.ignored(sig) && !t.sig.blocked.Has(sig) {
		return nil
	}
	if err := t.sig.pending.add(info, t.tg.limits[linux.RLIMIT_SIGPENDING].Cur); err != nil {
		return err
	}
	t.tg.signals.Notify(waiter.ReadableEvents)
	if sig == linux.SIGKILL {
		t.tg.groupExit(linux.SIGKILL)
		return nil
	}
	if !t.sig.blocked.Has(sig) {
		t.kick()
	}
	return nil
}

// kick makes t look at its signals. c.mu is held.
func (t *Task) kick() {
	t.work.Store(true)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// exiting reports whether t is past the point of handling signals.
func (t *Task) exiting() bool { return t.c.tasks[t.TID()] != t }

// mustExit reports whether t has to end. c.mu is held.
func (t *Task) mustExit() bool {
	return t.tg.exiting || t.tg.execing != nil && t.tg.execing != t
}

// hasWork reports whether there is anything to handle before guest code runs;
// it clears work if not, unless the syscall's exit has a mask to restore. c.mu
// is held.
func (t *Task) hasWork() bool {
	if t.mustExit() || t.tg.stopped || (t.sig.pending.set|t.tg.pending.set)&^t.sig.blocked != 0 {
		return true
	}
	t.work.Store(t.sig.haveSaved)
	return false
}

// Interrupted reports whether a blocking syscall must stop waiting.
func (t *Task) Interrupted() bool {
	if !t.work.Load() {
		return false
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.hasWork()
}

// dequeue takes the next signal that is in allow: synchronous ones first, then
// by number, the thread's own before the process's. c.mu is held.
func (t *Task) dequeue(allow linux.SignalSet) (linux.Siginfo, bool) {
	own, all := t.sig.pending.set&allow, (t.sig.pending.set|t.tg.pending.set)&allow
	if all == 0 {
		return linux.Siginfo{}, false
	}
	pick := all
	if s := own & synchronous; s != 0 {
		pick = s
	} else if s := all & synchronous; s != 0 {
		pick = s
	}
	sig := bits.TrailingZeros64(uint64(pick)) + 1
	if t.sig.pending.set.Has(sig) {
		return t.sig.pending.take(sig), true
	}
	return t.tg.pending.take(sig), true
}

// deliveryKind says what comes of a signal.
type deliveryKind uint8

const (
	deliverNone    deliveryKind = iota // nothing is pending
	deliverHandler                     // run a handler
	deliverExit                        // the task ends
)

type delivery struct {
	kind   deliveryKind
	info   linux.Siginfo
	action linux.Sigaction
	mask   linux.SignalSet // blocked before the handler runs, to be restored after
}

// nextSignal takes signals off the queues until one has a handler. It stops
// while the process is stopped.
func (t *Task) nextSignal() delivery {
	for {
		d, resumed := t.dequeueAction()
		if resumed == nil {
			return d
		}
		t.pauseCPU()
		<-resumed
		t.resumeCPU()
	}
}

// dequeueAction decides on the next signal. If the process is stopped it
// returns the channel to wait on.
func (t *Task) dequeueAction() (delivery, <-chan struct{}) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for {
		if t.mustExit() {
			return delivery{kind: deliverExit}, nil
		}
		if t.tg.stopped {
			return delivery{}, t.tg.resumed
		}
		info, ok := t.dequeue(^t.sig.blocked)
		if !ok {
			t.work.Store(false)
			return delivery{kind: deliverNone}, nil
		}
		sig := int(info.Signo)
		act := t.tg.actions.get(sig)
		switch {
		case act.Handler == linux.SIG_IGN:
		case act.Handler != linux.SIG_DFL:
			return t.enterHandler(info, act), nil
		case defaultIgnored.Has(sig):
		case stopSignals.Has(sig):
			// An orphaned process group is not stopped by the terminal.
			if sig == linux.SIGSTOP || !t.c.orphaned(t.tg.pgid) {
				t.tg.stop(sig)
			}
		default:
			t.tg.groupExit(t.tg.deathStatus(sig))
			return delivery{kind: deliverExit}, nil
		}
	}
}

// enterHandler blocks what a handler blocks and says how to call it.
func (t *Task) enterHandler(info linux.Siginfo, act *linux.Sigaction) delivery {
	d := delivery{kind: deliverHandler, info: info, action: *act, mask: t.sig.blocked}
	if t.sig.haveSaved {
		d.mask, t.sig.haveSaved = t.sig.saved, false
	}
	t.sig.blocked |= act.Mask
	if act.Flags&linux.SA_NODEFER == 0 {
		t.sig.blocked |= linux.SignalMask(int(info.Signo))
	}
	t.sig.blocked &^= unblockable
	if act.Flags&linux.SA_RESETHAND != 0 {
		act.Handler = linux.SIG_DFL
	}
	return d
}

// stop stops all threads of the process. c.mu is held.
func (tg *ThreadGroup) stop(sig int) {
	if tg.stopped || tg.exiting {
		return
	}
	tg.stopped, tg.stopSig, tg.stopEvent, tg.contEvent = true, sig, true, false
	tg.resumed = make(chan struct{})
	for _, t := range tg.threads {
		t.kick()
	}
	tg.notifyParentStop(linux.CLD_STOPPED, sig)
}

// notifyParentStop tells the parent of a stop or a continuation.
func (tg *ThreadGroup) notifyParentStop(code, status int) {
	p := tg.parent
	if p == nil {
		return
	}
	p.notify()
	if p.actions.get(linux.SIGCHLD).Flags&linux.SA_NOCLDSTOP != 0 {
		return
	}
	i := linux.Siginfo{Signo: linux.SIGCHLD, Code: int32(code)}
	i.SetPID(int32(tg.id))
	i.SetStatus(int32(status))
	if tg.leader != nil {
		i.SetUID(tg.leader.Creds().UID)
	}
	_ = p.send(linux.SIGCHLD, i) // a standard signal always fits
}

// force generates a signal that cannot be ignored or blocked: a fault.
func (t *Task) force(info linux.Siginfo) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	sig := int(info.Signo)
	act := t.tg.actions.get(sig)
	if t.sig.blocked.Has(sig) || act.Handler == linux.SIG_IGN {
		act.Handler = linux.SIG_DFL
		t.sig.blocked &^= linux.SignalMask(sig)
	}
	_ = t.sig.pending.add(info, maxQueued) // a standard signal always fits
	t.work.Store(true)
}

// dieBySignal ends the process as the default action of sig does.
func (t *Task) dieBySignal(sig int) {
	t.fatal = true
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.tg.groupExit(t.tg.deathStatus(sig))
}

// deathStatus returns the wait status of a death by a signal. If its action is a
// core dump and RLIMIT_CORE allows one, the status says that it was written, as
// when kernel.core_pattern pipes it to a program: nothing keeps it. c.mu is held.
func (tg *ThreadGroup) deathStatus(sig int) int {
	const coreDumped = 0x80
	if coreSignals.Has(sig) && tg.limits[linux.RLIMIT_CORE].Cur > 0 && tg.dumpable == 1 {
		return sig | coreDumped
	}
	return sig
}

// coreSignals are the signals whose default action dumps core.
const coreSignals = linux.SignalSet(1<<(linux.SIGQUIT-1) | 1<<(linux.SIGILL-1) | 1<<(linux.SIGTRAP-1) | 1<<(linux.SIGABRT-1) |
	1<<(linux.SIGBUS-1) | 1<<(linux.SIGFPE-1) | 1<<(linux.SIGSEGV-1) | 1<<(linux.SIGXCPU-1) | 1<<(linux.SIGXFSZ-1) | 1<<(linux.SIGSYS-1))

// SetTemporaryMask blocks mask until the syscall ends: for rt_sigsuspend, ppoll,
// pselect6 and epoll_pwait. If a handler runs, it runs with mask in force and
// the old mask comes back when it returns.
func (t *Task) SetTemporaryMask(mask linux.SignalSet) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if !t.sig.haveSaved {
		t.sig.saved, t.sig.haveSaved = t.sig.blocked, true
	}
	t.sig.blocked = mask &^ unblockable
	t.work.Store(true) // the syscall's exit must look, if only to restore
}

// restoreMask ends SetTemporaryMask if no handler has.
func (t *Task) restoreMask() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.sig.haveSaved {
		t.sig.blocked, t.sig.haveSaved = t.sig.saved, false
		t.work.Store(true)
	}
}

// SignalMask returns the signals that t blocks.
func (t *Task) SignalMask() linux.SignalSet {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.sig.blocked
}

// SetSignalMask changes the signals that t blocks.
func (t *Task) SetSignalMask(mask linux.SignalSet) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.sig.blocked = mask &^ unblockable
	t.work.Store(true)
}

// PendingSignals returns what sigpending(2) does.
func (t *Task) PendingSignals() linux.SignalSet {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return (t.sig.pending.set | t.tg.pending.set) & t.sig.blocked
}

// SignalAction returns the action of sig and, if set is not nil, replaces it.
func (t *Task) SignalAction(sig int, set *linux.Sigaction) (linux.Sigaction, error) {
	if sig < 1 || sig > linux.NSIG || set != nil && unblockable.Has(sig) {
		return linux.Sigaction{}, linux.EINVAL
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	act := t.tg.actions.get(sig)
	old := *act
	if set != nil {
		*act = *set
		act.Mask &^= unblockable
		if t.tg.ignored(sig) {
			t.tg.discard(linux.SignalMask(sig))
		}
	}
	return old, nil
}
