package confine

import (
	"errors"
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Process confines this process and all its threads: no new privileges, Landlock
// as far as the kernel has it, a seccomp filter. It cannot be undone. The error
// is that of a kernel which refused what it has.
func Process(o Options) (Report, error) {
	var r Report
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return r, fmt.Errorf("giving up new privileges: %w", err)
	}
	r.Done = append(r.Done, "no new privileges")
	if err := o.landlock(&r); err != nil {
		return r, err
	}
	err := o.seccomp(&r)
	return r, err
}

// abi returns the version of Landlock in the kernel, 0 without any.
func abi() int {
	const version = 1 << 0 // LANDLOCK_CREATE_RULESET_VERSION
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// Rights of landlock(7), and the versions that brought them.
const (
	filesAll      landlock.AccessFSSet  = 1<<16 - 1
	netBindTCP    landlock.AccessNetSet = 1 << 0
	netConnectTCP landlock.AccessNetSet = 1 << 1
	scopeAll      landlock.ScopedSet    = 1<<2 - 1

	abiNet   = 4
	abiScope = 6
)

// landlock makes one ruleset of all: any further one would forbid to move files
// between directories.
func (o *Options) landlock(r *Report) error {
	v := abi()
	if v == 0 {
		r.missing("Landlock", errors.New("the kernel has none"))
		return nil
	}
	rules := []landlock.Rule{
		landlock.RODirs(o.ReadDirs...).IgnoreIfMissing(),
		landlock.RWDirs(o.WriteDirs...).WithRefer().IgnoreIfMissing(),
		landlock.ROFiles(o.ReadFiles...).IgnoreIfMissing(),
		landlock.ROFiles("/proc/self/pagemap", "/dev/null", "/dev/urandom").IgnoreIfMissing(),
	}
	net := netBindTCP
	if !o.Connect {
		net |= netConnectTCP
	}
	for _, p := range o.Listen {
		rules = append(rules, landlock.BindTCP(p))
	}
	config, err := landlock.NewConfig(filesAll, net, scopeAll)
	if err != nil {
		return fmt.Errorf("preparing Landlock: %w", err)
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("restricting by Landlock: %w", err)
	}
	r.Done = append(r.Done, fmt.Sprintf("Landlock %d: files but %d directories to read and %d to write", v, len(o.ReadDirs), len(o.WriteDirs)))
	switch {
	case v < abiNet:
		r.missing("Landlock for TCP", errors.New("the kernel has none"))
	case o.Connect:
		r.Done = append(r.Done, fmt.Sprintf("Landlock %d: listening but at %d ports", v, len(o.Listen)))
	default:
		r.Done = append(r.Done, fmt.Sprintf("Landlock %d: TCP connections, listening but at %d ports", v, len(o.Listen)))
	}
	if v < abiScope {
		r.missing("Landlock for signals", errors.New("the kernel has none"))
	} else {
		r.Done = append(r.Done, fmt.Sprintf("Landlock %d: signals to other processes, abstract sockets", v))
	}
	return nil
}
