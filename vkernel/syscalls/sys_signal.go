package syscalls

import (
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
)

// sigsetSize is the only size of a signal set that the kernel takes, in bytes.
const sigsetSize = 8

func copyOutSiginfo(t *kernel.Task, addr uint64, i *linux.Siginfo) error {
	var b [linux.SiginfoSize]byte
	i.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

func copyInSet(t *kernel.Task, addr, size uint64) (linux.SignalSet, error) {
	if size != sigsetSize {
		return 0, linux.EINVAL
	}
	var b [sigsetSize]byte
	err := t.CopyIn(addr, b[:])
	return linux.SignalSet(le.Uint64(b[:])), err
}

// rtSigaction implements rt_sigaction(2).
func rtSigaction(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a[3] != sigsetSize {
		return 0, linux.EINVAL
	}
	var b [linux.SigactionSize]byte
	var set *linux.Sigaction
	if a.Addr(1) != 0 {
		if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
			return 0, err
		}
		set = new(linux.Sigaction)
		set.Unmarshal(b[:])
	}
	old, err := t.SignalAction(int(a.Int(0)), set)
	if err != nil || a.Addr(2) == 0 {
		return 0, err
	}
	old.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(2), b[:])
}

// rtSigprocmask implements rt_sigprocmask(2).
func rtSigprocmask(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a[3] != sigsetSize {
		return 0, linux.EINVAL
	}
	old := t.SignalMask()
	if a.Addr(1) != 0 {
		set, err := copyInSet(t, a.Addr(1), a[3])
		if err != nil {
			return 0, err
		}
		switch a.Int(0) {
		case linux.SIG_BLOCK:
			set |= old
		case linux.SIG_UNBLOCK:
			set = old &^ set
		case linux.SIG_SETMASK:
		default:
			return 0, linux.EINVAL
		}
		t.SetSignalMask(set)
	}
	if a.Addr(2) == 0 {
		return 0, nil
	}
	return 0, t.CopyOut(a.Addr(2), le.AppendUint64(nil, uint64(old)))
}

// rtSigreturn implements rt_sigreturn(2).
func rtSigreturn(t *kernel.Task, _ kernel.Args) (uint64, error) { return t.SigReturn() }

// rtSigpending implements rt_sigpending(2).
func rtSigpending(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a[1] > sigsetSize {
		return 0, linux.EINVAL
	}
	return 0, t.CopyOut(a.Addr(0), le.AppendUint64(nil, uint64(t.PendingSignals()))[:a[1]])
}

// rtSigsuspend implements rt_sigsuspend(2).
func rtSigsuspend(t *kernel.Task, a kernel.Args) (uint64, error) {
	set, err := copyInSet(t, a.Addr(0), a[1])
	if err != nil {
		return 0, err
	}
	t.SetTemporaryMask(set)
	_ = t.Block(nil, time.Time{}) // returns for a signal only
	return 0, linux.ERESTARTNOHAND
}

// pause implements pause(2).
func pause(t *kernel.Task, _ kernel.Args) (uint64, error) {
	_ = t.Block(nil, time.Time{}) // returns for a signal only
	return 0, linux.ERESTARTNOHAND
}

// rtSigtimedwait implements rt_sigtimedwait(2).
func rtSigtimedwait(t *kernel.Task, a kernel.Args) (uint64, error) {
	set, err := copyInSet(t, a.Addr(0), a[3])
	if err != nil {
		return 0, err
	}
	var deadline time.Time
	if a.Addr(2) != 0 {
		d, err := copyInDuration(t, a.Addr(2))
		if err != nil {
			return 0, err
		}
		deadline = deadlineIn(d)
	}
	info, err := t.WaitSignal(set, deadline)
	if err != nil {
		return 0, err
	}
	if a.Addr(1) != 0 {
		if err := copyOutSiginfo(t, a.Addr(1), &info); err != nil {
			return 0, err
		}
	}
	return uint64(info.Signo), nil
}

// copyInQueueInfo reads the siginfo of rt_sigqueueinfo(2).
func copyInQueueInfo(t *kernel.Task, addr uint64, sig, pid int) (linux.Siginfo, error) {
	var b [linux.SiginfoSize]byte
	var i linux.Siginfo
	if err := t.CopyIn(addr, b[:]); err != nil {
		return i, err
	}
	i.Unmarshal(b[:])
	i.Signo = int32(sig)
	if (i.Code >= 0 || i.Code == linux.SI_TKILL) && pid != t.TGID() {
		return i, linux.EPERM // only the kernel may say that it is the sender
	}
	return i, nil
}

// rtSigqueueinfo implements rt_sigqueueinfo(2).
func rtSigqueueinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	i, err := copyInQueueInfo(t, a.Addr(2), int(a.Int(1)), int(a.Int(0)))
	if err != nil {
		return 0, err
	}
	if a.Int(0) <= 0 {
		return 0, linux.ESRCH
	}
	return 0, t.KillInfo(int(a.Int(0)), i)
}

// rtTgsigqueueinfo implements rt_tgsigqueueinfo(2).
func rtTgsigqueueinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) <= 0 || a.Int(1) <= 0 {
		return 0, linux.EINVAL
	}
	i, err := copyInQueueInfo(t, a.Addr(3), int(a.Int(2)), int(a.Int(0)))
	if err != nil {
		return 0, err
	}
	return 0, t.KillThread(int(a.Int(0)), int(a.Int(1)), i)
}

// sigaltstack implements sigaltstack(2).
func sigaltstack(t *kernel.Task, a kernel.Args) (uint64, error) {
	var b [linux.StackSize]byte
	var set *linux.Stack
	if a.Addr(0) != 0 {
		if err := t.CopyIn(a.Addr(0), b[:]); err != nil {
			return 0, err
		}
		set = new(linux.Stack)
		set.Unmarshal(b[:])
	}
	old, err := t.AltStack(set)
	if err != nil || a.Addr(1) == 0 {
		return 0, err
	}
	old.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(1), b[:])
}

// kill implements kill(2).
func kill(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.Kill(int(a.Int(0)), int(a.Int(1)))
}

// tkill implements tkill(2).
func tkill(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.KillThread(-1, int(a.Int(0)), t.UserInfo(int(a.Int(1)), linux.SI_TKILL))
}

// tgkill implements tgkill(2).
func tgkill(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) <= 0 {
		return 0, linux.EINVAL
	}
	return 0, t.KillThread(int(a.Int(0)), int(a.Int(1)), t.UserInfo(int(a.Int(2)), linux.SI_TKILL))
}

// restartSyscall implements restart_syscall(2).
func restartSyscall(t *kernel.Task, _ kernel.Args) (uint64, error) { return t.RestartSyscall() }
