package syscalls

import (
	"crypto/rand"
	"runtime"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
)

// What uname(2) reports of the kernel: a release that libraries take for a
// kernel with the calls that we have.
const (
	UnameRelease = "5.15.0-megabinary"
	UnameVersion = "#1 SMP Megabinary vkernel"
)

// uname implements uname(2).
func uname(t *kernel.Task, a kernel.Args) (uint64, error) {
	uts := t.Container().UTS()
	u := linux.Utsname{Sysname: "Linux", Nodename: uts.Hostname, Release: UnameRelease, Version: UnameVersion,
		Machine: "x86_64", Domainname: uts.Domainname}
	var b [linux.UtsnameSize]byte
	u.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(0), b[:])
}

// setUTS reads a name of a[1] bytes at a[0] and stores it.
func setUTS(t *kernel.Task, a kernel.Args, set func(*kernel.UTSName, string)) error {
	if !t.Creds().HasCap(linux.CAP_SYS_ADMIN) {
		return linux.EPERM
	}
	if a[1] > 64 {
		return linux.EINVAL
	}
	b := make([]byte, a[1])
	if err := t.CopyIn(a.Addr(0), b); err != nil {
		return err
	}
	u := t.Container().UTS()
	set(&u, cString(b))
	t.Container().SetUTS(u)
	return nil
}

// sethostname implements sethostname(2).
func sethostname(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, setUTS(t, a, func(u *kernel.UTSName, s string) { u.Hostname = s })
}

// setdomainname implements setdomainname(2).
func setdomainname(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, setUTS(t, a, func(u *kernel.UTSName, s string) { u.Domainname = s })
}

// sysinfo implements sysinfo(2): the container's memory is all that there is.
func sysinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Container()
	total := c.TotalMemory()
	s := linux.Sysinfo{
		Uptime: int64(t.Kernel().Uptime().Seconds()), Totalram: total, Freeram: total - min(total, c.Usage().Memory),
		Procs: uint16(len(t.Container().ThreadGroups())), Unit: 1,
	}
	var b [linux.SysinfoSize]byte
	s.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(0), b[:])
}

// maxRandom bounds what getrandom returns at once, as Linux's INT_MAX & PAGE_MASK
// does.
const maxRandom = 1<<31 - mm.PageSize

// getrandom implements getrandom(2).
func getrandom(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(2)
	if flags&^(linux.GRND_NONBLOCK|linux.GRND_RANDOM|linux.GRND_INSECURE) != 0 ||
		flags&(linux.GRND_RANDOM|linux.GRND_INSECURE) == linux.GRND_RANDOM|linux.GRND_INSECURE {
		return 0, linux.EINVAL
	}
	n := min(a[1], maxRandom)
	b, err := t.Slice(a.Addr(0), n, true)
	if err != nil {
		return 0, err
	}
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return n, nil
}

func copyOutUsage(t *kernel.Task, addr uint64, u kernel.Usage) error {
	r := linux.Rusage{Utime: linux.TimevalOf(int64(u.CPU)), Maxrss: int64(u.MaxRSS >> 10)}
	var b [linux.RusageSize]byte
	r.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

// getrusage implements getrusage(2).
func getrusage(t *kernel.Task, a kernel.Args) (uint64, error) {
	var u kernel.Usage
	switch a.Int(0) {
	case linux.RUSAGE_SELF:
		u = t.ThreadGroup().Usage(false)
		u.MaxRSS = max(u.MaxRSS, t.MM().Mapped())
	case linux.RUSAGE_CHILDREN:
		u = t.ThreadGroup().Usage(true)
	case linux.RUSAGE_THREAD:
		u = kernel.Usage{CPU: t.CPUTime(), MaxRSS: t.MM().Mapped()}
	default:
		return 0, linux.EINVAL
	}
	return 0, copyOutUsage(t, a.Addr(1), u)
}

// setLimit checks and stores a resource limit of tg.
func setLimit(t *kernel.Task, tg *kernel.ThreadGroup, resource int, l linux.Rlimit) error {
	old := tg.Limit(resource)
	switch {
	case l.Cur > l.Max:
		return linux.EINVAL
	case l.Max > old.Max && !t.Creds().HasCap(linux.CAP_SYS_RESOURCE):
		return linux.EPERM
	case resource == linux.RLIMIT_NOFILE && l.Max > 1<<20: // fs.nr_open
		return linux.EPERM
	}
	tg.SetLimit(resource, l)
	if resource == linux.RLIMIT_AS && tg == t.ThreadGroup() {
		t.MM().SetLimit(l.Cur)
	}
	return nil
}

// prlimit64 implements prlimit64(2).
func prlimit64(t *kernel.Task, a kernel.Args) (uint64, error) {
	resource := int(a.Uint(1))
	if resource >= linux.RLIM_NLIMITS {
		return 0, linux.EINVAL
	}
	tg := t.ThreadGroup()
	if pid := int(a.Int(0)); pid != 0 && pid != tg.ID() {
		if tg = t.Container().ThreadGroup(pid); tg == nil {
			return 0, linux.ESRCH
		}
		if other := tg.Leader(); other != nil && other.Creds().UID != t.Creds().UID && !t.Creds().HasCap(linux.CAP_SYS_RESOURCE) {
			return 0, linux.EPERM
		}
	}
	old := tg.Limit(resource)
	var b [linux.RlimitSize]byte
	if a.Addr(2) != 0 {
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
		var l linux.Rlimit
		l.Unmarshal(b[:])
		if err := setLimit(t, tg, resource, l); err != nil {
			return 0, err
		}
	}
	if a.Addr(3) == 0 {
		return 0, nil
	}
	old.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(3), b[:])
}

// getrlimit implements getrlimit(2).
func getrlimit(t *kernel.Task, a kernel.Args) (uint64, error) {
	return prlimit64(t, kernel.Args{0, a[0], 0, a[1]})
}

// setrlimit implements setrlimit(2).
func setrlimit(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(1) == 0 {
		return 0, linux.EFAULT
	}
	return prlimit64(t, kernel.Args{0, a[0], a[1], 0})
}

// schedYield implements sched_yield(2).
func schedYield(*kernel.Task, kernel.Args) (uint64, error) {
	runtime.Gosched()
	return 0, nil
}

// taskArg returns the thread that argument i names, the caller for 0.
func taskArg(t *kernel.Task, a kernel.Args, i int) (*kernel.Task, error) {
	tid := int(a.Int(i))
	switch {
	case tid == 0:
		return t, nil
	case tid < 0:
		return nil, linux.EINVAL
	}
	if other := t.Container().Task(tid); other != nil {
		return other, nil
	}
	return nil, linux.ESRCH
}

// hostCPUs is the mask of all CPUs that guests see, in whole words as the kernel
// writes it.
func hostCPUs() []byte {
	cpus := runtime.NumCPU()
	mask := make([]byte, (cpus+63)/64*8)
	for i := range cpus {
		mask[i/8] |= 1 << (i % 8)
	}
	return mask
}

// schedGetaffinity implements sched_getaffinity(2).
func schedGetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	mask := target.Affinity()
	if mask == nil {
		mask = hostCPUs()
	}
	if uint64(a.Uint(1)) < uint64(len(mask)) || a.Uint(1)&7 != 0 {
		return 0, linux.EINVAL
	}
	return uint64(len(mask)), t.CopyOut(a.Addr(2), mask)
}

// schedSetaffinity keeps the mask; the host schedules as it likes.
func schedSetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	target, err := taskArg(t, a, 0)
	if err != nil {
		return 0, err
	}
	mask := hostCPUs()
	want := make([]byte, len(mask))
	if err := t.CopyIn(a.Addr(2), want[:min(int(min(a.Uint(1), 1024)), len(want))]); err != nil {
		return 0, err
	}
	any := byte(0)
	for i := range mask {
		mask[i] &= want[i]
		any |= mask[i]
	}
	if any == 0 {
		return 0, linux.EINVAL
	}
	target.SetAffinity(mask)
	return 0, nil
}

// schedGetparam implements sched_getparam(2): priority 0.
func schedGetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(1) == 0 {
		return 0, linux.EINVAL
	}
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(1), make([]byte, 4))
}

// schedSetparam accepts priority 0.
func schedSetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	var b [4]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	if le.Uint32(b[:]) != 0 {
		return 0, linux.EINVAL
	}
	return 0, nil
}

// schedGetscheduler implements sched_getscheduler(2): SCHED_OTHER.
func schedGetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	if _, err := taskArg(t, a, 0); err != nil {
		return 0, err
	}
	return linux.SCHED_OTHER, nil
}

// schedSetscheduler accepts the policies without priority.
func schedSetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	switch a.Int(1) {
	case linux.SCHED_OTHER, linux.SCHED_BATCH, linux.SCHED_IDLE:
		return schedSetparam(t, kernel.Args{a[0], a[2]})
	case linux.SCHED_FIFO, linux.SCHED_RR:
		return 0, linux.EPERM
	}
	return 0, linux.EINVAL
}

// schedPriority returns a handler that answers prio for the real-time policies.
func schedPriority(prio uint64) Handler {
	return func(_ *kernel.Task, a kernel.Args) (uint64, error) {
		switch a.Int(0) {
		case linux.SCHED_FIFO, linux.SCHED_RR:
			return prio, nil
		case linux.SCHED_OTHER, linux.SCHED_BATCH, linux.SCHED_IDLE, linux.SCHED_DEADLINE:
			return 0, nil
		}
		return 0, linux.EINVAL
	}
}

// getpriority implements getpriority(2) for processes; the kernel's result is 20
// minus the nice value.
func getpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	tg, err := priorityTarget(t, a)
	if err != nil {
		return 0, err
	}
	return uint64(20 - tg.Nice()), nil
}

// setpriority implements setpriority(2); the value has no effect.
func setpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	tg, err := priorityTarget(t, a)
	if err != nil {
		return 0, err
	}
	nice := min(max(int(a.Int(2)), -20), 19)
	if nice < tg.Nice() && !t.Creds().HasCap(linux.CAP_SYS_NICE) {
		return 0, linux.EACCES
	}
	tg.SetNice(nice)
	return 0, nil
}

func priorityTarget(t *kernel.Task, a kernel.Args) (*kernel.ThreadGroup, error) {
	if a.Uint(0) > linux.PRIO_USER {
		return nil, linux.EINVAL
	}
	id := int(a.Int(1))
	if id == 0 || a.Uint(0) != linux.PRIO_PROCESS {
		return t.ThreadGroup(), nil
	}
	if tg := t.Container().ThreadGroup(id); tg != nil {
		return tg, nil
	}
	return nil, linux.ESRCH
}

// getcpu implements getcpu(2): CPU 0 of node 0.
func getcpu(t *kernel.Task, a kernel.Args) (uint64, error) {
	for i := range 2 {
		if a.Addr(i) != 0 {
			if err := t.CopyOut(a.Addr(i), make([]byte, 4)); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// personality implements personality(2): it is kept and inherited; of its flags,
// STICKY_TIMEOUTS has an effect.
func personality(t *kernel.Task, a kernel.Args) (uint64, error) {
	const query = 0xffff_ffff
	if v := a.Uint(0); v != query {
		if v&linux.READ_IMPLIES_EXEC != 0 {
			return 0, t.RefuseMemory("personality", "READ_IMPLIES_EXEC")
		}
		return uint64(t.ThreadGroup().SetPersonality(v)), nil
	}
	return uint64(t.ThreadGroup().Personality()), nil
}

// membarrier offers no commands.
func membarrier(_ *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) == linux.MEMBARRIER_CMD_QUERY && a.Uint(1) == 0 {
		return 0, nil
	}
	return 0, linux.EINVAL
}

// notPermitted implements calls that no container may make.
func notPermitted(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.EPERM }

// notImplemented implements calls that programs probe for and do without.
func notImplemented(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.ENOSYS }
