package syscalls

import (
	"math"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
)

func copyInTimespec(t *kernel.Task, addr uint64) (linux.Timespec, error) {
	var b [linux.TimespecSize]byte
	var ts linux.Timespec
	err := t.CopyIn(addr, b[:])
	ts.Unmarshal(b[:])
	return ts, err
}

func copyOutTimespec(t *kernel.Task, addr uint64, ts linux.Timespec) error {
	var b [linux.TimespecSize]byte
	ts.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

// copyInDuration reads a relative struct timespec; EINVAL if it is not valid.
func copyInDuration(t *kernel.Task, addr uint64) (time.Duration, error) {
	ts, err := copyInTimespec(t, addr)
	if err != nil {
		return 0, err
	}
	if !ts.Valid() {
		return 0, linux.EINVAL
	}
	return time.Duration(ts.Nanos()), nil
}

// farFuture is when a deadline that does not fit is due.
const farFuture = 100 * 365 * 24 * time.Hour

// deadlineIn returns the time at which d will have passed.
func deadlineIn(d time.Duration) time.Time { return time.Now().Add(min(d, farFuture)) }

// deadlineAt returns the host time at which a guest clock reads ts.
func deadlineAt(t *kernel.Task, clock int, ts linux.Timespec) (time.Time, error) {
	now, err := readClock(t, clock)
	if err != nil {
		return time.Time{}, err
	}
	left := ts.Nanos()
	if now < 0 && left > math.MaxInt64+now {
		left = math.MaxInt64
	} else {
		left -= now
	}
	return deadlineIn(time.Duration(left)), nil
}

// readClock returns a clock in nanoseconds.
func readClock(t *kernel.Task, clock int) (int64, error) {
	switch clock {
	case linux.CLOCK_REALTIME, linux.CLOCK_REALTIME_COARSE, linux.CLOCK_REALTIME_ALARM, linux.CLOCK_TAI:
		return time.Now().UnixNano(), nil
	case linux.CLOCK_MONOTONIC, linux.CLOCK_MONOTONIC_RAW, linux.CLOCK_MONOTONIC_COARSE, linux.CLOCK_BOOTTIME,
		linux.CLOCK_BOOTTIME_ALARM:
		return int64(t.Kernel().Uptime()), nil
	case linux.CLOCK_PROCESS_CPUTIME_ID:
		return int64(t.ThreadGroup().CPUTime()), nil
	case linux.CLOCK_THREAD_CPUTIME_ID:
		return int64(t.CPUTime()), nil
	}
	if clock >= 0 {
		return 0, linux.EINVAL
	}
	// A CPU clock of a process or thread: ~id in the upper bits, then 1<<2 for a
	// thread, then the kind (posix-timers.h).
	id := int(^(int32(clock) >> 3))
	if clock&3 == 3 {
		return 0, linux.EINVAL // a clock of a descriptor
	}
	if clock&4 != 0 {
		other := t
		if id != 0 {
			other = t.Container().Task(id)
		}
		if other == nil || other.ThreadGroup() != t.ThreadGroup() {
			return 0, linux.EINVAL
		}
		return int64(other.CPUTime()), nil
	}
	tg := t.ThreadGroup()
	if id != 0 {
		tg = t.Container().ThreadGroup(id)
	}
	if tg == nil {
		return 0, linux.EINVAL
	}
	return int64(tg.CPUTime()), nil
}

// clockGettime implements clock_gettime(2).
func clockGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	ns, err := readClock(t, int(a.Int(0)))
	if err != nil {
		return 0, err
	}
	return 0, copyOutTimespec(t, a.Addr(1), linux.TimespecOf(ns))
}

// clockGetres implements clock_getres(2).
func clockGetres(t *kernel.Task, a kernel.Args) (uint64, error) {
	clock := int(a.Int(0))
	if _, err := readClock(t, clock); err != nil {
		return 0, err
	}
	res := linux.Timespec{Nsec: 1}
	if clock == linux.CLOCK_REALTIME_COARSE || clock == linux.CLOCK_MONOTONIC_COARSE {
		res.Nsec = 4_000_000
	}
	if a.Addr(1) == 0 {
		return 0, nil
	}
	return 0, copyOutTimespec(t, a.Addr(1), res)
}

// clockSettime refuses to set the host's clock.
func clockSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	ts, err := copyInTimespec(t, a.Addr(1))
	switch {
	case a.Int(0) != linux.CLOCK_REALTIME:
		return 0, linux.EINVAL
	case err != nil:
		return 0, err
	case !ts.Valid():
		return 0, linux.EINVAL
	}
	return 0, linux.EPERM
}

// adjtimex implements adjtimex(2).
func adjtimex(t *kernel.Task, a kernel.Args) (uint64, error) {
	return clockAdjtime(t, kernel.Args{linux.CLOCK_REALTIME, a[0]})
}

// clockAdjtime implements clock_adjtime(2): the host's clock can be asked about.
func clockAdjtime(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		size                                  = 208 // struct timex
		adjTime, adjOffsetReadonly, adjTick   = 0x8000, 0x2000, 0x4000
		statusUnsync, timeError               = 0x40, 5
		microsecondsPerTick, tolerance, limit = 10000, 32768000, 16_000_000
	)
	if a.Int(0) != linux.CLOCK_REALTIME {
		if _, err := readClock(t, int(a.Int(0))); err != nil {
			return 0, err
		}
		return 0, linux.EOPNOTSUPP
	}
	var b [size]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	modes, tick := le.Uint32(b[:]), int64(le.Uint64(b[88:]))
	privileged := t.Creds().HasCap(linux.CAP_SYS_TIME)
	switch {
	case modes&adjTime != 0 && modes&1 == 0: // ADJ_OFFSET_SINGLESHOT has it
		return 0, linux.EINVAL
	case modes == adjTime|adjOffsetReadonly|1, modes == 0:
	case !privileged:
		return 0, linux.EPERM
	case modes&adjTick != 0 && (tick < 900000/100 || tick > 1100000/100):
		return 0, linux.EINVAL
	default:
		return 0, linux.EPERM // the clock is the host's
	}
	clear(b[:])
	now := linux.TimevalOf(time.Now().UnixNano())
	le.PutUint32(b[:], modes)
	le.PutUint64(b[24:], limit) // maxerror
	le.PutUint64(b[32:], limit) // esterror
	le.PutUint32(b[40:], statusUnsync)
	le.PutUint64(b[56:], 1) // precision
	le.PutUint64(b[64:], tolerance)
	le.PutUint64(b[72:], uint64(now.Sec))
	le.PutUint64(b[80:], uint64(now.Usec))
	le.PutUint64(b[88:], microsecondsPerTick)
	return timeError, t.CopyOut(a.Addr(1), b[:])
}

// gettimeofday implements gettimeofday(2); the time zone is UTC.
func gettimeofday(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(0) != 0 {
		var b [linux.TimevalSize]byte
		tv := linux.TimevalOf(time.Now().UnixNano())
		tv.Marshal(b[:])
		if err := t.CopyOut(a.Addr(0), b[:]); err != nil {
			return 0, err
		}
	}
	if a.Addr(1) != 0 {
		return 0, t.CopyOut(a.Addr(1), make([]byte, 8))
	}
	return 0, nil
}

// settimeofday refuses to set the host's clock.
func settimeofday(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.EPERM }

// timeCall implements time(2).
func timeCall(t *kernel.Task, a kernel.Args) (uint64, error) {
	now := uint64(time.Now().Unix())
	if a.Addr(0) != 0 {
		return now, t.CopyOut(a.Addr(0), le.AppendUint64(nil, now))
	}
	return now, nil
}

// sleepUntil sleeps; if a handler interrupts it, remain (unless 0) gets what is
// left.
func sleepUntil(t *kernel.Task, deadline time.Time, remain uint64) (uint64, error) {
	switch err := t.Block(nil, deadline); err {
	case linux.ETIMEDOUT:
		return 0, nil
	case linux.ERESTARTSYS:
		if remain != 0 {
			left := max(time.Until(deadline), 0)
			if err := copyOutTimespec(t, remain, linux.TimespecOf(int64(left))); err != nil {
				return 0, err
			}
		}
		t.Restart(func(t *kernel.Task) (uint64, error) { return sleepUntil(t, deadline, remain) })
		return 0, linux.ERESTART_RESTARTBLOCK
	default:
		return 0, err
	}
}

// nanosleep implements nanosleep(2).
func nanosleep(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := copyInDuration(t, a.Addr(0))
	if err != nil {
		return 0, err
	}
	return sleepUntil(t, deadlineIn(d), a.Addr(1))
}

// clockNanosleep implements clock_nanosleep(2).
func clockNanosleep(t *kernel.Task, a kernel.Args) (uint64, error) {
	clock := int(a.Int(0))
	if clock == linux.CLOCK_THREAD_CPUTIME_ID {
		return 0, linux.EINVAL
	}
	if _, err := readClock(t, clock); err != nil {
		return 0, err
	}
	ts, err := copyInTimespec(t, a.Addr(2))
	if err != nil {
		return 0, err
	}
	if !ts.Valid() {
		return 0, linux.EINVAL
	}
	if a.Uint(1)&linux.TIMER_ABSTIME == 0 {
		return sleepUntil(t, deadlineIn(time.Duration(ts.Nanos())), a.Addr(3))
	}
	deadline, err := deadlineAt(t, clock, ts)
	if err != nil {
		return 0, err
	}
	switch err := t.Block(nil, deadline); err {
	case linux.ETIMEDOUT:
		return 0, nil
	case linux.ERESTARTSYS:
		return 0, linux.ERESTARTNOHAND // absolute: done again as it is
	default:
		return 0, err
	}
}

// alarm implements alarm(2).
func alarm(t *kernel.Task, a kernel.Args) (uint64, error) {
	old, _, err := t.IntervalTimer(linux.ITIMER_REAL, true, time.Duration(a.Uint(0))*time.Second, 0)
	if err != nil {
		return 0, err
	}
	// Rounded, but never to 0 while a timer was running.
	if old > 0 && old < time.Second {
		return 1, nil
	}
	return uint64((old + time.Second/2) / time.Second), nil
}

func durationOf(tv linux.Timeval) (time.Duration, bool) {
	if tv.Sec < 0 || tv.Usec < 0 || tv.Usec >= 1e6 {
		return 0, false
	}
	ts := linux.Timespec{Sec: tv.Sec, Nsec: tv.Usec * 1000}
	return min(time.Duration(ts.Nanos()), farFuture), true
}

func copyOutItimerval(t *kernel.Task, addr uint64, value, period time.Duration) error {
	it := linux.Itimerval{Interval: linux.TimevalOf(int64(period)), Value: linux.TimevalOf(int64(value))}
	var b [linux.ItimervalSize]byte
	it.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

// getitimer implements getitimer(2).
func getitimer(t *kernel.Task, a kernel.Args) (uint64, error) {
	value, period, err := t.IntervalTimer(int(a.Int(0)), false, 0, 0)
	if err != nil {
		return 0, err
	}
	return 0, copyOutItimerval(t, a.Addr(1), value, period)
}

// setitimer implements setitimer(2).
func setitimer(t *kernel.Task, a kernel.Args) (uint64, error) {
	var it linux.Itimerval
	if a.Addr(1) != 0 {
		var b [linux.ItimervalSize]byte
		if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
			return 0, err
		}
		it.Unmarshal(b[:])
	}
	value, ok1 := durationOf(it.Value)
	period, ok2 := durationOf(it.Interval)
	if !ok1 || !ok2 {
		return 0, linux.EINVAL
	}
	value, period, err := t.IntervalTimer(int(a.Int(0)), true, value, period)
	if err != nil || a.Addr(2) == 0 {
		return 0, err
	}
	return 0, copyOutItimerval(t, a.Addr(2), value, period)
}

// times implements times(2).
func times(t *kernel.Task, a kernel.Args) (uint64, error) {
	const tick = time.Second / 100
	if a.Addr(0) != 0 {
		tg := t.ThreadGroup()
		b := le.AppendUint64(nil, uint64(tg.CPUTime()/tick))
		b = le.AppendUint64(b, 0)
		b = le.AppendUint64(b, uint64(tg.ChildrenCPUTime()/tick))
		b = le.AppendUint64(b, 0)
		if err := t.CopyOut(a.Addr(0), b); err != nil {
			return 0, err
		}
	}
	return uint64(t.Kernel().Uptime() / tick), nil
}

// timerCreate implements timer_create(2).
func timerCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		sigevSize                           = 64
		sigevSignal, sigevNone, sigevThread = 0, 1, 4
		sigevLibrary                        = 2 // SIGEV_THREAD: a thread of the C library's takes the signal
	)
	e := kernel.TimerEvent{Clock: int(a.Int(0)), Signal: linux.SIGALRM}
	if _, err := readClock(t, e.Clock); err != nil {
		return 0, err
	}
	if a.Addr(1) != 0 {
		var b [sigevSize]byte
		if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
			return 0, err
		}
		e.Value, e.HasVal = le.Uint64(b[0:]), true
		e.Signal = int(int32(le.Uint32(b[8:])))
		switch notify := le.Uint32(b[12:]); notify {
		case sigevSignal, sigevLibrary:
		case sigevNone:
			e.Signal = 0
		case sigevThread:
			e.Thread = int(le.Uint32(b[16:]))
		default:
			return 0, linux.EINVAL
		}
		if e.Signal < 0 || e.Signal > linux.NSIG {
			return 0, linux.EINVAL
		}
	}
	id, err := t.TimerCreate(e)
	if err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(2), le.AppendUint32(nil, uint32(id)))
}

func copyOutItimerspec(t *kernel.Task, addr uint64, value, period time.Duration) error {
	it := linux.Itimerspec{Interval: linux.TimespecOf(int64(period)), Value: linux.TimespecOf(int64(value))}
	var b [linux.ItimerspecSize]byte
	it.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

// timerSettime implements timer_settime(2).
func timerSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	var b [linux.ItimerspecSize]byte
	if a.Addr(2) == 0 {
		return 0, linux.EINVAL
	}
	if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
		return 0, err
	}
	var it linux.Itimerspec
	it.Unmarshal(b[:])
	if !it.Value.Valid() || !it.Interval.Valid() {
		return 0, linux.EINVAL
	}
	id := int(a.Int(0))
	clock, err := t.TimerClock(id)
	if err != nil {
		return 0, err
	}
	value := it.Value.Nanos()
	if value != 0 && a.Uint(1)&linux.TIMER_ABSTIME != 0 {
		now, err := readClock(t, clock)
		if err != nil {
			return 0, err
		}
		value = max(value-now, 1)
	}
	old, oldPeriod, err := t.TimerSet(id, true, min(time.Duration(value), farFuture),
		min(time.Duration(it.Interval.Nanos()), farFuture))
	if err != nil || a.Addr(3) == 0 {
		return 0, err
	}
	return 0, copyOutItimerspec(t, a.Addr(3), old, oldPeriod)
}

// timerGettime implements timer_gettime(2).
func timerGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	value, period, err := t.TimerSet(int(a.Int(0)), false, 0, 0)
	if err != nil {
		return 0, err
	}
	return 0, copyOutItimerspec(t, a.Addr(1), value, period)
}

// timerGetoverrun implements timer_getoverrun(2).
func timerGetoverrun(t *kernel.Task, a kernel.Args) (uint64, error) {
	n, err := t.TimerOverrun(int(a.Int(0)))
	return uint64(n), err
}

// timerDelete implements timer_delete(2).
func timerDelete(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.TimerDelete(int(a.Int(0)))
}
