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
	UnameRelease = "6.12.0-megabinary"
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

// unshare refuses to make namespaces.
func unshare(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = linux.CLONE_THREAD | linux.CLONE_FS | linux.CLONE_NEWNS | linux.CLONE_SIGHAND | linux.CLONE_VM | linux.CLONE_FILES |
		linux.CLONE_SYSVSEM | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWUSER |
		linux.CLONE_NEWPID | linux.CLONE_NEWCGROUP | 0x80 // CLONE_NEWTIME
	switch flags := a[0]; {
	case flags&^known != 0:
		return 0, linux.EINVAL
	case flags == 0:
		return 0, nil
	}
	return 0, linux.EPERM
}

// setns refuses to enter namespaces.
func setns(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if _, err := pidfdOf(t, a.Int(0)); err != nil {
		return 0, linux.EINVAL
	}
	return 0, linux.EPERM
}

// notPermitted implements calls that no container may make.
func notPermitted(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.EPERM }

// notImplemented implements calls that programs probe for and do without.
func notImplemented(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.ENOSYS }
