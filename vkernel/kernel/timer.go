package kernel

import (
	"time"

	"megabinary.dev/vkernel/linux"
)

// timers are the interval and POSIX timers of a process; guarded by
// Container.mu.
type timers struct {
	interval [3]timer // by ITIMER_
	posix    map[int]*posixTimer
	nextID   int
}

// timer fires once, or again and again. Its zero value is disarmed.
type timer struct {
	host   *time.Timer
	due    time.Duration // on the timer's clock
	period time.Duration
	gen    int // tells a late callback that it is not wanted any more
	armed  bool
}

// posixTimer is a timer of timer_create(2).
type posixTimer struct {
	timer
	clock   int
	info    linux.Siginfo
	target  *Task // SIGEV_THREAD_ID
	none    bool  // SIGEV_NONE
	overrun int
}

// clockFunc returns a clock's reading.
type clockFunc func() time.Duration

// sinceBoot is the monotonic clock.
func (k *Kernel) sinceBoot() time.Duration { return time.Since(k.boot) }

// intervalClock returns the clock of an interval timer. c.mu is held when it is
// read.
func (tg *ThreadGroup) intervalClock(which int) clockFunc {
	if which == linux.ITIMER_REAL {
		return tg.c.k.sinceBoot
	}
	return tg.cpu
}

// minCPUWait is how soon a timer on a CPU clock looks again, whose clock is
// slower than the host's.
const minCPUWait = time.Millisecond

// arm sets the timer; value 0 disarms it. fire runs with c.mu held.
func (tm *timer) arm(c *Container, clock clockFunc, value, period time.Duration, fire func()) {
	tm.gen++
	tm.armed = value > 0
	if tm.host != nil {
		tm.host.Stop()
	}
	if !tm.armed {
		return
	}
	tm.due, tm.period = clock()+value, period
	tm.schedule(c, clock, value, fire)
}

func (tm *timer) schedule(c *Container, clock clockFunc, wait time.Duration, fire func()) {
	gen := tm.gen
	tm.host = time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if tm.gen != gen || !tm.armed {
			return
		}
		if left := tm.due - clock(); left > 0 {
			tm.schedule(c, clock, max(left, minCPUWait), fire)
			return
		}
		fire()
		if tm.period == 0 {
			tm.armed = false
			return
		}
		now := clock()
		tm.due += tm.period
		if behind := now - tm.due; behind > 0 {
			tm.due += behind / tm.period * tm.period // ticks that were missed are not made up for
		}
		tm.schedule(c, clock, max(tm.due-now, 0), fire)
	})
}

// left returns how long until the timer fires, 0 if it is disarmed.
func (tm *timer) left(clock clockFunc) time.Duration {
	if !tm.armed {
		return 0
	}
	return max(tm.due-clock(), time.Microsecond)
}

// IntervalTimer implements getitimer(2) and, if set, setitimer(2).
func (t *Task) IntervalTimer(which int, set bool, value, period time.Duration) (oldValue, oldPeriod time.Duration, err error) {
	if which < 0 || which > linux.ITIMER_PROF {
		return 0, 0, linux.EINVAL
	}
	sig := [...]int{linux.SIGALRM, linux.SIGVTALRM, linux.SIGPROF}[which]
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	tg := t.tg
	tm, clock := &tg.timers.interval[which], tg.intervalClock(which)
	oldValue, oldPeriod = tm.left(clock), tm.period
	if oldValue == 0 {
		oldPeriod = 0
	}
	if set {
		tm.arm(t.c, clock, value, period, func() {
			_ = tg.send(sig, kernelInfo(sig)) // standard signals always fit
		})
	}
	return oldValue, oldPeriod, nil
}

// stop disarms all timers. c.mu is held.
func (ts *timers) stop() {
	for i := range ts.interval {
		ts.interval[i].disarm()
	}
	for _, p := range ts.posix {
		p.disarm()
	}
}

func (tm *timer) disarm() {
	tm.gen++
	tm.armed = false
	if tm.host != nil {
		tm.host.Stop()
	}
}

// forExec deletes the POSIX timers, as execve does. c.mu is held.
func (ts *timers) forExec() {
	for _, p := range ts.posix {
		p.disarm()
	}
	ts.posix = nil
}

// TimerEvent says what timer_create(2) wants to happen.
type TimerEvent struct {
	Clock  int
	Signal int    // 0: SIGEV_NONE
	Value  uint64 // sigval
	HasVal bool   // false: the timer's id is the value
	Thread int    // SIGEV_THREAD_ID: tid; 0: the process
}

// maxPosixTimers bounds a process's timers.
const maxPosixTimers = 1024

// TimerCreate implements timer_create(2).
func (t *Task) TimerCreate(e TimerEvent) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	ts := &t.tg.timers
	if len(ts.posix) >= maxPosixTimers {
		return 0, linux.EAGAIN
	}
	p := &posixTimer{clock: e.Clock, none: e.Signal == 0}
	if e.Thread != 0 {
		p.target = t.tg.threads[e.Thread]
		if p.target == nil {
			return 0, linux.EINVAL
		}
	}
	id := ts.nextID
	ts.nextID++
	if !e.HasVal {
		e.Value = uint64(id)
	}
	p.info = linux.Siginfo{Signo: int32(e.Signal), Code: linux.SI_TIMER}
	p.info.SetTimer(int32(id), 0)
	p.info.SetValue(e.Value)
	if ts.posix == nil {
		ts.posix = make(map[int]*posixTimer)
	}
	ts.posix[id] = p
	return id, nil
}

// posixTimer returns timer id, or EINVAL. c.mu is held.
func (t *Task) posixTimer(id int) (*posixTimer, error) {
	if p := t.tg.timers.posix[id]; p != nil {
		return p, nil
	}
	return nil, linux.EINVAL
}

// posixClock returns the clock of a POSIX timer, which runs in the host's
// monotonic time: a step of the wall clock does not move CLOCK_REALTIME timers.
func (t *Task) posixClock(p *posixTimer) clockFunc {
	switch p.clock {
	case linux.CLOCK_PROCESS_CPUTIME_ID:
		return t.tg.cpu
	case linux.CLOCK_THREAD_CPUTIME_ID:
		return t.CPUTime
	}
	return t.k.sinceBoot
}

// TimerSet implements timer_gettime(2) and, if set, timer_settime(2) with a
// relative value.
func (t *Task) TimerSet(id int, set bool, value, period time.Duration) (oldValue, oldPeriod time.Duration, err error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p, err := t.posixTimer(id)
	if err != nil {
		return 0, 0, err
	}
	clock := t.posixClock(p)
	oldValue, oldPeriod = p.left(clock), p.period
	if !set {
		return oldValue, oldPeriod, nil
	}
	tg := t.tg
	p.overrun = 0
	p.arm(t.c, clock, value, period, func() {
		switch sig := int(p.info.Signo); {
		case p.none:
		case p.target != nil:
			_ = p.target.send(sig, p.info) // a full queue loses a tick, as on Linux
		case tg.pending.set.Has(sig):
			p.overrun++
		default:
			_ = tg.send(sig, p.info)
		}
	})
	return oldValue, oldPeriod, nil
}

// TimerClock returns the clock that a POSIX timer runs on.
func (t *Task) TimerClock(id int) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p, err := t.posixTimer(id)
	if err != nil {
		return 0, err
	}
	return p.clock, nil
}

// TimerOverrun implements timer_getoverrun(2).
func (t *Task) TimerOverrun(id int) (int, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p, err := t.posixTimer(id)
	if err != nil {
		return 0, err
	}
	return p.overrun, nil
}

// TimerDelete implements timer_delete(2).
func (t *Task) TimerDelete(id int) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p, err := t.posixTimer(id)
	if err != nil {
		return err
	}
	p.disarm()
	delete(t.tg.timers.posix, id)
	return nil
}
