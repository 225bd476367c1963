package kernel

import (
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// SignalFD takes signals that are blocked (signalfd(2)). Whoever reads takes its
// own; whether it can be read is asked of the process that made it.
type SignalFD struct {
	mask  atomic.Uint64
	owner *ThreadGroup
	stat  linux.Stat
}

var (
	_ vfs.File        = (*SignalFD)(nil)
	_ waiter.Waitable = (*SignalFD)(nil)
)

// NewSignalFD makes a file that takes the signals of mask. st is what fstat(2)
// says of it.
func (t *Task) NewSignalFD(mask linux.SignalSet, st linux.Stat) *SignalFD {
	f := &SignalFD{owner: t.tg, stat: st}
	f.SetMask(mask)
	return f
}

// SetMask changes which signals are taken; SIGKILL and SIGSTOP never are.
func (f *SignalFD) SetMask(mask linux.SignalSet) {
	f.mask.Store(uint64(mask &^ unblockable))
	f.owner.signals.Notify(waiter.ReadableEvents)
}

// ReadSignals takes as many signals as p has room for, EAGAIN if there is none.
func (f *SignalFD) ReadSignals(t *Task, p []byte) (int, error) {
	if len(p) < linux.SizeofSignalfdSiginfo {
		return 0, linux.EINVAL
	}
	n := 0
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for len(p)-n >= linux.SizeofSignalfdSiginfo {
		info, ok := t.dequeue(linux.SignalSet(f.mask.Load()))
		if !ok {
			break
		}
		info.MarshalSignalfd(p[n:])
		n += linux.SizeofSignalfdSiginfo
	}
	if n == 0 {
		return 0, linux.EAGAIN
	}
	return n, nil
}

// ReadAt implements vfs.File: read(2) calls ReadSignals.
func (f *SignalFD) ReadAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// WriteAt implements vfs.File.
func (f *SignalFD) WriteAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// Release implements vfs.File.
func (f *SignalFD) Release() {}

// Stat answers fstat(2).
func (f *SignalFD) Stat() (linux.Stat, error) { return f.stat, nil }

// Describe implements vfs.Described.
func (f *SignalFD) Describe() string { return "anon_inode:[signalfd]" }

// Readiness implements waiter.Waitable.
func (f *SignalFD) Readiness(mask waiter.EventMask) waiter.EventMask {
	f.owner.c.mu.Lock()
	defer f.owner.c.mu.Unlock()
	pending := f.owner.pending.set
	if l := f.owner.leader; l != nil {
		pending |= l.sig.pending.set
	}
	if pending&linux.SignalSet(f.mask.Load()) != 0 {
		return mask & waiter.ReadableEvents
	}
	return 0
}

// EventRegister implements waiter.Waitable.
func (f *SignalFD) EventRegister(e *waiter.Entry) { f.owner.signals.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (f *SignalFD) EventUnregister(e *waiter.Entry) { f.owner.signals.EventUnregister(e) }

// PidFD refers to a process (pidfd_open(2)).
type PidFD struct {
	tg   *ThreadGroup
	stat linux.Stat
}

var (
	_ vfs.File        = (*PidFD)(nil)
	_ waiter.Waitable = (*PidFD)(nil)
)

// OpenPid makes a file that refers to a process; ESRCH if there is none, EINVAL
// if the id is a thread's.
func (t *Task) OpenPid(pid int, st linux.Stat) (*PidFD, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tg := t.c.groups[pid]
	if tg == nil {
		if t.c.tasks[pid] != nil {
			return nil, linux.EINVAL
		}
		return nil, linux.ESRCH
	}
	return &PidFD{tg, st}, nil
}

// SendTo sends a signal to the process that f refers to.
func (t *Task) SendTo(f *PidFD, info linux.Siginfo) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.c.groups[f.tg.id] != f.tg {
		return linux.ESRCH // it has been waited for
	}
	return t.killOne(f.tg, int(info.Signo), info)
}

// PID returns the process's id.
func (f *PidFD) PID() int { return f.tg.id }

// ReadAt implements vfs.File.
func (f *PidFD) ReadAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// WriteAt implements vfs.File.
func (f *PidFD) WriteAt([]byte, int64) (int, error) { return 0, linux.EINVAL }

// Release implements vfs.File.
func (f *PidFD) Release() {}

// Stat answers fstat(2).
func (f *PidFD) Stat() (linux.Stat, error) { return f.stat, nil }

// Describe implements vfs.Described.
func (f *PidFD) Describe() string { return "anon_inode:[pidfd]" }

// Readiness implements waiter.Waitable: a process that has ended can be read.
func (f *PidFD) Readiness(mask waiter.EventMask) waiter.EventMask {
	f.tg.c.mu.Lock()
	defer f.tg.c.mu.Unlock()
	if f.tg.dead {
		return mask & waiter.ReadableEvents
	}
	return 0
}

// EventRegister implements waiter.Waitable.
func (f *PidFD) EventRegister(e *waiter.Entry) { f.tg.signals.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (f *PidFD) EventUnregister(e *waiter.Entry) { f.tg.signals.EventUnregister(e) }
