package syscalls

import (
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
)

// futex implements futex(2), but for requeueing with priority inheritance.
func futex(t *kernel.Task, a kernel.Args) (uint64, error) {
	op := a.Uint(1)
	private := op&linux.FUTEX_PRIVATE_FLAG != 0
	addr, val := a.Addr(0), a.Uint(2)
	count := func(n int, err error) (uint64, error) { return uint64(n), err }
	switch cmd := op &^ (linux.FUTEX_PRIVATE_FLAG | linux.FUTEX_CLOCK_REALTIME); cmd {
	case linux.FUTEX_WAIT, linux.FUTEX_WAIT_BITSET:
		bitset := uint32(linux.FUTEX_BITSET_MATCH_ANY)
		if cmd == linux.FUTEX_WAIT_BITSET {
			bitset = a.Uint(5)
		}
		return futexWait(t, a, private, val, bitset)
	case linux.FUTEX_WAKE:
		return count(t.FutexWake(addr, private, wakeCount(val), linux.FUTEX_BITSET_MATCH_ANY))
	case linux.FUTEX_WAKE_BITSET:
		return count(t.FutexWake(addr, private, wakeCount(val), a.Uint(5)))
	case linux.FUTEX_REQUEUE:
		return count(t.FutexRequeue(addr, a.Addr(4), private, int(a.Int(2)), int(a.Int(3)), nil))
	case linux.FUTEX_CMP_REQUEUE:
		want := a.Uint(5)
		return count(t.FutexRequeue(addr, a.Addr(4), private, int(a.Int(2)), int(a.Int(3)), &want))
	case linux.FUTEX_LOCK_PI, linux.FUTEX_LOCK_PI2, linux.FUTEX_TRYLOCK_PI:
		return futexLockPI(t, a, private, cmd)
	case linux.FUTEX_UNLOCK_PI:
		return 0, t.FutexUnlockPI(addr, private)
	case linux.FUTEX_WAKE_OP:
		return count(t.FutexWakeOp(addr, a.Addr(4), private, wakeCount(val), wakeCount(a.Uint(3)), a.Uint(5)))
	}
	return 0, linux.ENOSYS
}

// wakeCount returns how many waiters a C int asks for; Linux wakes one for 0 or
// less.
func wakeCount(v uint32) int { return max(int(int32(v)), 1) }

func futexWait(t *kernel.Task, a kernel.Args, private bool, want, bitset uint32) (uint64, error) {
	op := a.Uint(1)
	relative := op&^(linux.FUTEX_PRIVATE_FLAG|linux.FUTEX_CLOCK_REALTIME) == linux.FUTEX_WAIT
	var deadline time.Time
	if a.Addr(3) != 0 {
		ts, err := copyInTimespec(t, a.Addr(3))
		if err != nil {
			return 0, err
		}
		if !ts.Valid() {
			return 0, linux.EINVAL
		}
		clock := linux.CLOCK_MONOTONIC
		if op&linux.FUTEX_CLOCK_REALTIME != 0 {
			clock = linux.CLOCK_REALTIME
		}
		if relative {
			deadline = deadlineIn(time.Duration(ts.Nanos()))
		} else if deadline, err = deadlineAt(t, clock, ts); err != nil {
			return 0, err
		}
	}
	wait := func(t *kernel.Task) (uint64, error) {
		return 0, t.FutexWait(a.Addr(0), private, want, bitset, deadline)
	}
	ret, err := wait(t)
	if err == linux.ERESTARTSYS && !deadline.IsZero() {
		// A restarted call must not wait for the whole time again.
		t.Restart(func(t *kernel.Task) (uint64, error) {
			ret, err := wait(t)
			if err == linux.ERESTARTSYS {
				err = linux.ERESTART_RESTARTBLOCK
			}
			return ret, err
		})
		return 0, linux.ERESTART_RESTARTBLOCK
	}
	return ret, err
}

// futexLockPI implements FUTEX_LOCK_PI, whose timeout is absolute on
// CLOCK_REALTIME, FUTEX_LOCK_PI2 and FUTEX_TRYLOCK_PI.
func futexLockPI(t *kernel.Task, a kernel.Args, private bool, cmd uint32) (uint64, error) {
	var deadline time.Time
	if try := cmd == linux.FUTEX_TRYLOCK_PI; try || a.Addr(3) == 0 {
		return 0, alwaysRestarted(t.FutexLockPI(a.Addr(0), private, try, deadline))
	}
	ts, err := copyInTimespec(t, a.Addr(3))
	if err != nil {
		return 0, err
	}
	if !ts.Valid() {
		return 0, linux.EINVAL
	}
	clock := linux.CLOCK_REALTIME
	if cmd == linux.FUTEX_LOCK_PI2 && a.Uint(1)&linux.FUTEX_CLOCK_REALTIME == 0 {
		clock = linux.CLOCK_MONOTONIC
	}
	if deadline, err = deadlineAt(t, clock, ts); err != nil {
		return 0, err
	}
	return 0, alwaysRestarted(t.FutexLockPI(a.Addr(0), private, false, deadline))
}

// alwaysRestarted makes a call that a signal has interrupted begin anew.
func alwaysRestarted(err error) error {
	if err == linux.ERESTARTSYS {
		return linux.ERESTARTNOINTR
	}
	return err
}

// setRobustList implements set_robust_list(2).
func setRobustList(t *kernel.Task, a kernel.Args) (uint64, error) {
	const headSize = 24
	if a[1] != headSize {
		return 0, linux.EINVAL
	}
	t.SetRobustList(a.Addr(0))
	return 0, nil
}

// getRobustList implements get_robust_list(2) for the caller itself.
func getRobustList(t *kernel.Task, a kernel.Args) (uint64, error) {
	if pid := int(a.Int(0)); pid != 0 && pid != t.TID() {
		if t.Container().Task(pid) == nil {
			return 0, linux.ESRCH
		}
		return 0, linux.EPERM
	}
	if err := t.CopyOut(a.Addr(1), le.AppendUint64(nil, t.RobustList())); err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(2), le.AppendUint64(nil, 24))
}
