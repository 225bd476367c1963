package proc

import (
	"compress/gzip"
	"fmt"
	"strconv"
	"strings"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Kernel is what procfs needs of the kernel.
type Kernel interface {
	// PIDs returns the processes, zombies included, in order.
	PIDs() []int
	// Process returns a snapshot of the process that a thread id belongs to;
	// nil if there is none.
	Process(tid int) *Process
	System() System
	SetHostname(name string)
	// NetFiles returns the files of /proc/net by name.
	NetFiles() map[string]func() string
}

// System describes the whole container.
type System struct {
	Hostname, Domainname string
	Release, Version     string
	Boot                 time.Time
	TotalMemory          uint64        // bytes
	FreeMemory           func() uint64 // bytes; nil: all of it
	CPUs                 int
	CPU                  guestabi.CPU
	CPUTime              time.Duration // of all processes
	Forks                uint64
	LastPID              int
	Running              int // tasks that run now
	Tasks                int
}

func (s System) free() uint64 {
	if s.FreeMemory == nil {
		return s.TotalMemory
	}
	return s.FreeMemory()
}

// clockTicks is USER_HZ.
const clockTicks = 100

func ticks(d time.Duration) int64 { return int64(d / (time.Second / clockTicks)) }

// Base inode numbers of the fixed tables.
const (
	inoRoot = 1 << 4
	inoSys  = 1 << 12
)

// text makes a file from a function.
func (fs *FS) text(read func() string) func(uint64) vfs.Inode {
	return func(ino uint64) vfs.Inode {
		return &file{node: node{fs: fs, ino: ino, mode: linux.S_IFREG | 0o444},
			read: func(*vfs.Caller) ([]byte, error) { return []byte(read()), nil }}
	}
}

// fixed makes a file that never changes.
func (fs *FS) fixed(s string) func(uint64) vfs.Inode { return fs.text(func() string { return s }) }

func (fs *FS) symlink(read func(c *vfs.Caller) (string, error)) func(uint64) vfs.Inode {
	return func(ino uint64) vfs.Inode {
		return &link{node: node{fs: fs, ino: ino, mode: linux.S_IFLNK | 0o777}, read: read}
	}
}

func to(target string) func(*vfs.Caller) (string, error) {
	return func(*vfs.Caller) (string, error) { return target, nil }
}

// rootTable holds the files of /proc itself.
func (fs *FS) rootTable() table {
	return table{
		"cmdline":     fs.fixed("megabinary\n"),
		"cpuinfo":     fs.text(fs.cpuinfo),
		"config.gz":   fs.text(configGz),
		"devices":     fs.fixed("Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n"),
		"filesystems": fs.fixed("nodev\tproc\nnodev\ttmpfs\nnodev\toverlay\n"),
		"loadavg":     fs.text(fs.loadavg),
		"meminfo":     fs.text(fs.meminfo),
		"mounts":      fs.symlink(to("self/mounts")),
		"net":         fs.symlink(to("self/net")),
		"partitions":  fs.fixed("major minor  #blocks  name\n\n"),
		"self": fs.symlink(func(c *vfs.Caller) (string, error) {
			if c == nil || c.PID == 0 {
				return "", linux.ENOENT
			}
			return strconv.Itoa(c.PID), nil
		}),
		"stat":  fs.text(fs.stat),
		"swaps": fs.fixed("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
		"sys":   func(ino uint64) vfs.Inode { return fs.sysDir(fs.root, "sys", ino, "") },
		"thread-self": fs.symlink(func(c *vfs.Caller) (string, error) {
			if c == nil || c.PID == 0 {
				return "", linux.ENOENT
			}
			return fmt.Sprintf("%d/task/%d", c.PID, c.TID), nil
		}),
		"uptime": fs.text(func() string {
			s := fs.kernel.System()
			up := time.Since(s.Boot)
			idle := max(0, up*time.Duration(s.CPUs)-s.CPUTime)
			return fmt.Sprintf("%.2f %.2f\n", up.Seconds(), idle.Seconds())
		}),
		"version": fs.text(func() string {
			s := fs.kernel.System()
			return fmt.Sprintf("Linux version %s (megabinary) %s\n", s.Release, s.Version)
		}),
		"vmstat": fs.text(func() string {
			free := fs.kernel.System().free() >> 12
			return fmt.Sprintf("nr_free_pages %d\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n", free)
		}),
	}
}

func (fs *FS) listRoot() []entry {
	list := fs.rootTable().entries(inoRoot)
	for _, pid := range fs.kernel.PIDs() {
		list = append(list, entry{strconv.Itoa(pid), uint64(pid) << pidShift, linux.DT_DIR})
	}
	return list
}

func (fs *FS) lookupRoot(name string) (vfs.Inode, error) {
	if in, ok := fs.rootTable().find(inoRoot, name); ok {
		return in, nil
	}
	pid, ok := parseID(name)
	if !ok {
		return nil, linux.ENOENT
	}
	return fs.processDir(pid)
}

// options are what of Linux's configuration there is something like here.
const options = "64BIT AIO BLOCK BINFMT_ELF BINFMT_SCRIPT ADVISE_SYSCALLS EPOLL EVENTFD FILE_LOCKING FUTEX HIGH_RES_TIMERS " +
	"INET IPV6 MEMFD_CREATE MMU MULTIUSER NET OVERLAY_FS POSIX_MQUEUE POSIX_TIMERS PRINTK PROC_FS SHMEM SIGNALFD SMP SYSVIPC TIMERFD TMPFS UNIX X86_64"

// configGz is the kernel's configuration as /proc/config.gz has it.
func configGz() string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	for _, o := range strings.Fields(options) {
		fmt.Fprintf(z, "CONFIG_%s=y\n", o)
	}
	if err := z.Close(); err != nil {
		panic("BUG: compressing to memory failed: " + err.Error())
	}
	return b.String()
}

// parseID reads a pid or descriptor as procfs spells it.
func parseID(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 1<<30 && strconv.Itoa(n) == s
}

func (fs *FS) cpuinfo() string {
	var b strings.Builder
	leaf1, later := " cx16 sse4_1 sse4_2 popcnt", ""
	if fs.kernel.System().CPU >= guestabi.CPUv3 {
		leaf1, later = " fma cx16 sse4_1 sse4_2 movbe popcnt xsave avx f16c", " abm bmi1 avx2 bmi2"
	}
	for i := range fs.kernel.System().CPUs {
		// What CPUID says of the guest's processor.
		fmt.Fprintf(&b, "processor\t: %d\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 42\n"+
			"model name\t: Megabinary virtual CPU\nstepping\t: 1\ncpu MHz\t\t: 1000.000\ncache size\t: 4096 KB\n"+
			"physical id\t: 0\nsiblings\t: %d\ncore id\t\t: %d\ncpu cores\t: %d\nfpu\t\t: yes\nfpu_exception\t: yes\n"+
			"cpuid level\t: 7\nwp\t\t: yes\n"+
			"flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm pni ssse3%s lahf_lm%s\n"+
			"bogomips\t: 2000.00\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 32 bits physical, 32 bits virtual\n\n",
			i, fs.kernel.System().CPUs, i, fs.kernel.System().CPUs, leaf1, later)
	}
	return b.String()
}

func (fs *FS) loadavg() string {
	s := fs.kernel.System()
	return fmt.Sprintf("0.00 0.00 0.00 %d/%d %d\n", s.Running, s.Tasks, s.LastPID)
}

func (fs *FS) meminfo() string {
	s := fs.kernel.System()
	var b strings.Builder
	line := func(name string, bytes uint64) { fmt.Fprintf(&b, "%-15s %8d kB\n", name+":", bytes>>10) }
	line("MemTotal", s.TotalMemory)
	line("MemFree", s.free())
	line("MemAvailable", s.free())
	for _, name := range []string{"Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Dirty",
		"Writeback", "AnonPages", "Mapped", "Shmem", "Slab", "SReclaimable", "SUnreclaim"} {
		line(name, 0)
	}
	return b.String()
}

func (fs *FS) stat() string {
	s := fs.kernel.System()
	user := ticks(s.CPUTime)
	idle := max(0, ticks(time.Since(s.Boot))*int64(s.CPUs)-user)
	var b strings.Builder
	fmt.Fprintf(&b, "cpu  %d 0 0 %d 0 0 0 0 0 0\n", user, idle)
	for i := range s.CPUs {
		fmt.Fprintf(&b, "cpu%d %d 0 0 %d 0 0 0 0 0 0\n", i, user/int64(s.CPUs), idle/int64(s.CPUs))
	}
	fmt.Fprintf(&b, "intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked 0\nsoftirq 0\n",
		s.Boot.Unix(), s.Forks, s.Running)
	return b.String()
}

// sysFiles are the files below /proc/sys by path.
func (fs *FS) sysFiles() map[string]func(uint64) vfs.Inode {
	return map[string]func(uint64) vfs.Inode{
		"fs/aio-max-nr":                 fs.fixed("65536\n"),
		"fs/file-max":                   fs.fixed("1048576\n"),
		"fs/nr_open":                    fs.fixed("1048576\n"),
		"fs/pipe-max-size":              fs.fixed("1048576\n"),
		"fs/protected_hardlinks":        fs.fixed("0\n"),
		"fs/protected_symlinks":         fs.fixed("0\n"),
		"fs/inotify/max_queued_events":  fs.fixed("16384\n"),
		"kernel/cap_last_cap":           fs.fixed(strconv.Itoa(linux.CAP_LAST_CAP) + "\n"),
		"kernel/core_pattern":           fs.fixed("\n"),
		"kernel/domainname":             fs.text(func() string { return fs.kernel.System().Domainname + "\n" }),
		"kernel/hostname":               fs.hostname,
		"kernel/ngroups_max":            fs.fixed(strconv.Itoa(linux.NGROUPS_MAX) + "\n"),
		"kernel/osrelease":              fs.text(func() string { return fs.kernel.System().Release + "\n" }),
		"kernel/ostype":                 fs.fixed("Linux\n"),
		"kernel/overflowgid":            fs.fixed("65534\n"),
		"kernel/overflowuid":            fs.fixed("65534\n"),
		"kernel/pid_max":                fs.fixed("4194304\n"),
		"kernel/random/boot_id":         fs.fixed("00000000-0000-4000-8000-000000000000\n"),
		"kernel/random/entropy_avail":   fs.fixed("256\n"),
		"kernel/random/uuid":            fs.text(uuid),
		"kernel/randomize_va_space":     fs.fixed("0\n"),
		"kernel/tainted":                fs.fixed("0\n"),
		"kernel/threads-max":            fs.fixed("4096\n"),
		"kernel/version":                fs.text(func() string { return fs.kernel.System().Version + "\n" }),
		"kernel/yama/ptrace_scope":      fs.fixed("1\n"),
		"vm/max_map_count":              fs.fixed("65530\n"),
		"vm/mmap_min_addr":              fs.fixed("65536\n"),
		"vm/overcommit_memory":          fs.fixed("0\n"),
		"vm/swappiness":                 fs.fixed("0\n"),
		"net/core/somaxconn":            fs.fixed("4096\n"),
		"net/ipv4/ip_local_port_range":  fs.fixed("32768\t60999\n"),
		"kernel/sched_child_runs_first": fs.fixed("0\n"),
	}
}

func (fs *FS) hostname(ino uint64) vfs.Inode {
	return &file{node: node{fs: fs, ino: ino, mode: linux.S_IFREG | 0o644},
		read: func(*vfs.Caller) ([]byte, error) { return []byte(fs.kernel.System().Hostname + "\n"), nil },
		write: func(p []byte) error {
			name, _, _ := strings.Cut(string(p), "\n")
			if len(name) > 64 {
				name = name[:64]
			}
			fs.kernel.SetHostname(name)
			return nil
		}}
}

// sysDir makes the directory of /proc/sys whose files begin with prefix.
func (fs *FS) sysDir(parent *dir, name string, ino uint64, prefix string) *dir {
	d := &dir{node: node{fs: fs, ino: ino, mode: linux.S_IFDIR | 0o555}, parent: parent, name: name}
	children := func() table {
		t := table{}
		for path, mk := range fs.sysFiles() {
			rest, ok := strings.CutPrefix(path, prefix)
			if !ok {
				continue
			}
			if sub, _, deeper := strings.Cut(rest, "/"); deeper {
				t[sub] = func(ino uint64) vfs.Inode { return fs.sysDir(d, sub, ino, prefix+sub+"/") }
			} else {
				t[rest] = mk
			}
		}
		return t
	}
	base := inoSys * (1 + hash(prefix)) // far apart, so that numbers do not meet
	d.list = func() []entry { return children().entries(base) }
	d.lookup = func(name string) (vfs.Inode, error) {
		if in, ok := children().find(base, name); ok {
			return in, nil
		}
		return nil, linux.ENOENT
	}
	return d
}

// hash is FNV-1a folded to 20 bits.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return (h ^ h>>20 ^ h>>40) & (1<<20 - 1)
}
