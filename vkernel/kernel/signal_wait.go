package kernel

import (
	"time"

	"megabinary.dev/vkernel/linux"
)

// WaitSignal implements rt_sigtimedwait(2): it takes a signal of set, waiting
// until the deadline (zero: for ever; one in the past: not at all).
func (t *Task) WaitSignal(set linux.SignalSet, deadline time.Time) (linux.Siginfo, error) {
	set &^= unblockable
	take := func() (linux.Siginfo, bool) {
		t.c.mu.Lock()
		defer t.c.mu.Unlock()
		return t.dequeue(set)
	}
	if info, ok := take(); ok {
		return info, nil
	}
	// While t waits, the signals count as not blocked, so that they wake it.
	t.c.mu.Lock()
	old := t.sig.blocked
	t.sig.blocked &^= set
	t.c.mu.Unlock()
	err := t.Block(nil, deadline)
	t.c.mu.Lock()
	t.sig.blocked = old
	info, ok := t.dequeue(set)
	t.work.Store(true)
	t.c.mu.Unlock()
	switch {
	case ok:
		return info, nil
	case err == linux.ETIMEDOUT:
		return info, linux.EAGAIN
	default:
		return info, linux.EINTR
	}
}

// mayKill applies check_kill_permission of Linux.
func (t *Task) mayKill(tg *ThreadGroup, sig int) bool {
	if tg == t.tg || tg.leader == nil {
		return true
	}
	c, o := t.Creds(), tg.leader.Creds()
	if c.EUID == o.SUID || c.EUID == o.UID || c.UID == o.SUID || c.UID == o.UID || c.HasCap(linux.CAP_KILL) {
		return true
	}
	return sig == linux.SIGCONT && tg.session == t.tg.session
}

// Kill implements kill(2).
func (t *Task) Kill(pid, sig int) error { return t.KillInfo(pid, t.UserInfo(sig, linux.SI_USER)) }

// KillInfo implements kill(2) and rt_sigqueueinfo(2).
func (t *Task) KillInfo(pid int, info linux.Siginfo) error {
	sig := int(info.Signo)
	if sig < 0 || sig > linux.NSIG {
		return linux.EINVAL
	}
	if pid == -1<<31 {
		return linux.ESRCH
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if pid > 0 {
		tg := t.c.groups[pid]
		if tg == nil {
			other := t.c.tasks[pid] // kill takes thread ids, too
			if other == nil {
				return linux.ESRCH
			}
			tg = other.tg
		}
		return t.killOne(tg, sig, info)
	}
	pgid := -pid
	if pid == 0 {
		pgid = t.tg.pgid
	}
	found, ok := false, false
	err := error(linux.ESRCH)
	for _, id := range sortedKeys(t.c.groups) {
		tg := t.c.groups[id]
		if pid == -1 && (tg == t.c.init || tg == t.tg) || pid != -1 && tg.pgid != pgid {
			continue
		}
		found = true
		if e := t.killOne(tg, sig, info); e == nil {
			ok = true
		} else {
			err = e
		}
	}
	if ok || found && err == nil {
		return nil
	}
	return err
}

func (t *Task) killOne(tg *ThreadGroup, sig int, info linux.Siginfo) error {
	if !t.mayKill(tg, sig) {
		return linux.EPERM
	}
	if sig == 0 {
		return nil
	}
	return tg.send(sig, info)
}

// KillThread implements tgkill(2) and, with tgid -1, tkill(2).
func (t *Task) KillThread(tgid, tid int, info linux.Siginfo) error {
	sig := int(info.Signo)
	if sig < 0 || sig > linux.NSIG || tid <= 0 || tgid <= 0 && tgid != -1 {
		return linux.EINVAL
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	other := t.c.tasks[tid]
	if other == nil || tgid != -1 && other.tg.id != tgid {
		return linux.ESRCH
	}
	if !t.mayKill(other.tg, sig) {
		return linux.EPERM
	}
	if sig == 0 {
		return nil
	}
	return other.send(sig, info)
}

// SendSelf sends a signal of the kernel to the thread itself, such as SIGPIPE.
func (t *Task) SendSelf(sig int) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	_ = t.send(sig, t.UserInfo(sig, linux.SI_USER)) // standard signals always fit
}

// Signal generates a signal for the process on the kernel's behalf. A queue that
// is full loses it.
func (tg *ThreadGroup) Signal(info linux.Siginfo) {
	tg.c.mu.Lock()
	defer tg.c.mu.Unlock()
	_ = tg.send(int(info.Signo), info)
}
