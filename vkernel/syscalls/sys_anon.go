package syscalls

import (
	"time"

	"megabinary.dev/vkernel/fs/anon"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// installAnon installs a file without a path; of flags, O_NONBLOCK and O_CLOEXEC
// count, which all the calls share.
func installAnon(t *kernel.Task, f vfs.File, flags uint32) (uint64, error) {
	d := vfs.NewFileDescription(f, vfs.Location{}, linux.O_RDWR|flags&linux.O_NONBLOCK)
	return install(t, d, flags&linux.O_CLOEXEC != 0)
}

// eventfd implements the system call of that name, which has no flags.
func eventfd(t *kernel.Task, a kernel.Args) (uint64, error) {
	return eventfd2(t, kernel.Args{a[0]})
}

// eventfd2 implements eventfd(2).
func eventfd2(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(1)
	if flags&^(linux.EFD_SEMAPHORE|linux.EFD_CLOEXEC|linux.EFD_NONBLOCK) != 0 {
		return 0, linux.EINVAL
	}
	return installAnon(t, anon.NewEventFD(uint64(a.Uint(0)), flags&linux.EFD_SEMAPHORE != 0, anonStat(t, devAnon, 0o600)), flags)
}

// timerfdCreate implements timerfd_create(2).
func timerfdCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	switch a.Uint(0) {
	case linux.CLOCK_REALTIME, linux.CLOCK_MONOTONIC, linux.CLOCK_BOOTTIME:
	default:
		return 0, linux.EINVAL
	}
	if a.Uint(1)&^(linux.TFD_CLOEXEC|linux.TFD_NONBLOCK) != 0 {
		return 0, linux.EINVAL
	}
	f := timerFD{anon.NewTimerFD(anonStat(t, devAnon, 0o600)), a.Uint(0)}
	return installAnon(t, f, a.Uint(1))
}

// timerFD is a timer with the clock that absolute times are of.
type timerFD struct {
	*anon.TimerFD
	clock uint32
}

func timerfdOf(t *kernel.Task, fd int32) (timerFD, *vfs.FileDescription, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return timerFD{}, nil, err
	}
	f, ok := d.File().(timerFD)
	if !ok {
		d.DecRef()
		return timerFD{}, nil, linux.EINVAL
	}
	return f, d, nil
}

func putItimerspec(t *kernel.Task, addr uint64, left, interval time.Duration) error {
	it := linux.Itimerspec{Interval: linux.TimespecOf(int64(interval)), Value: linux.TimespecOf(int64(left))}
	var b [linux.ItimerspecSize]byte
	it.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

// timerfdSettime implements timerfd_settime(2).
func timerfdSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(1)&^(linux.TFD_TIMER_ABSTIME|2) != 0 { // 2 is TFD_TIMER_CANCEL_ON_SET
		return 0, linux.EINVAL
	}
	var b [linux.ItimerspecSize]byte
	if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
		return 0, err
	}
	var it linux.Itimerspec
	it.Unmarshal(b[:])
	if !it.Value.Valid() || !it.Interval.Valid() {
		return 0, linux.EINVAL
	}
	f, d, err := timerfdOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	var next time.Time
	switch v := time.Duration(it.Value.Nanos()); {
	case v == 0:
	case a.Uint(1)&linux.TFD_TIMER_ABSTIME == 0:
		next = time.Now().Add(v)
	case f.clock == linux.CLOCK_REALTIME:
		next = time.Unix(it.Value.Sec, it.Value.Nsec)
	default:
		next = t.Kernel().BootTime().Add(v)
	}
	left, interval := f.Set(next, time.Duration(it.Interval.Nanos()))
	if a.Addr(3) == 0 {
		return 0, nil
	}
	return 0, putItimerspec(t, a.Addr(3), left, interval)
}

// timerfdGettime implements timerfd_gettime(2).
func timerfdGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, d, err := timerfdOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	left, interval := f.Get()
	return 0, putItimerspec(t, a.Addr(1), left, interval)
}

// epollCreate implements epoll_create(2).
func epollCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) <= 0 {
		return 0, linux.EINVAL
	}
	return epollCreate1(t, kernel.Args{})
}

// epollCreate1 implements epoll_create1(2).
func epollCreate1(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(0)&^linux.EPOLL_CLOEXEC != 0 {
		return 0, linux.EINVAL
	}
	return installAnon(t, anon.NewEpoll(anonStat(t, devAnon, 0o600)), a.Uint(0))
}

func epollOf(t *kernel.Task, fd int32) (*anon.Epoll, *vfs.FileDescription, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return nil, nil, err
	}
	e, ok := d.File().(*anon.Epoll)
	if !ok {
		d.DecRef()
		return nil, nil, linux.EINVAL
	}
	return e, d, nil
}

// epollCtl implements epoll_ctl(2).
func epollCtl(t *kernel.Task, a kernel.Args) (uint64, error) {
	op, fd := a.Int(1), a.Int(2)
	var ev linux.EpollEvent
	if op != linux.EPOLL_CTL_DEL {
		var b [linux.EpollEventSize]byte
		if err := t.CopyIn(a.Addr(3), b[:]); err != nil {
			return 0, err
		}
		ev.Unmarshal(b[:])
	}
	d, err := t.Files().Get(fd)
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.IsPath() {
		return 0, linux.EBADF
	}
	e, ed, err := epollOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer ed.DecRef()
	switch op {
	case linux.EPOLL_CTL_ADD:
		return 0, e.AddNested(t.Container().EpollNesting(), fd, d, ev)
	case linux.EPOLL_CTL_MOD:
		return 0, e.Modify(fd, d, ev)
	case linux.EPOLL_CTL_DEL:
		return 0, e.Delete(fd, d)
	}
	return 0, linux.EINVAL
}

// doEpollWait serves the waiting calls.
func doEpollWait(t *kernel.Task, fd int32, addr uint64, n int32, o timeout) (uint64, error) {
	const most = 1<<31/linux.EpollEventSize - 1
	if n <= 0 || n > most {
		return 0, linux.EINVAL
	}
	e, d, err := epollOf(t, fd)
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	events := e.Collect(int(n))
	if len(events) == 0 && !o.poll {
		entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
		e.EventRegister(entry)
		defer e.EventUnregister(entry)
		for events = e.Collect(int(n)); len(events) == 0; events = e.Collect(int(n)) {
			if err := t.Block(ready, o.deadline); err == linux.ETIMEDOUT {
				break
			} else if err == linux.ERESTARTSYS {
				return 0, linux.EINTR
			} else if err != nil {
				return 0, err
			}
		}
	}
	out := make([]byte, len(events)*linux.EpollEventSize)
	for i := range events {
		events[i].Marshal(out[i*linux.EpollEventSize:])
	}
	return uint64(len(events)), t.CopyOut(addr, out)
}

func millis(ms int32) timeout {
	if ms < 0 {
		return timeout{}
	}
	return timeoutOf(int64(ms) * 1e6)
}

// epollWait implements epoll_wait(2).
func epollWait(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doEpollWait(t, a.Int(0), a.Addr(1), a.Int(2), millis(a.Int(3)))
}

// epollPwait implements epoll_pwait(2).
func epollPwait(t *kernel.Task, a kernel.Args) (uint64, error) {
	return withMask(t, a.Addr(4), a[5], func() (uint64, error) { return epollWait(t, a) })
}

// epollPwait2 implements epoll_pwait2(2).
func epollPwait2(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := timespecTimeout(t, a.Addr(3))
	if err != nil {
		return 0, err
	}
	return withMask(t, a.Addr(4), a[5], func() (uint64, error) { return doEpollWait(t, a.Int(0), a.Addr(1), a.Int(2), o) })
}
