package proc

import (
	"fmt"
	"strconv"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Cgroup is what a container is held to and uses, as cgroup v2's files show it.
// A limit of 0 is none.
type Cgroup struct {
	MemoryMax, Memory uint64 // bytes
	OOMKills          int
	CPUs              float64 // seconds of CPU in a second
	CPU               time.Duration
	TasksMax, Tasks   int
	PIDs              []int // processes, in order
}

// NewCgroup makes the file system of cgroup v2 that shows one group, which has
// no children and cannot be changed (Linux: Documentation/admin-guide/cgroup-v2.rst).
func NewCgroup(read func() Cgroup, dev uint64) *FS {
	fs := &FS{dev: dev, kind: "cgroup2", magic: linux.CGROUP2_SUPER_MAGIC, started: linux.TimespecOf(time.Now().UnixNano())}
	max := func(n uint64) string {
		if n == 0 {
			return "max\n"
		}
		return strconv.FormatUint(n, 10) + "\n"
	}
	text := func(format func(g Cgroup) string) func(uint64) vfs.Inode {
		return fs.text(func() string { return format(read()) })
	}
	files := table{
		"cgroup.controllers": fs.fixed("cpu memory pids\n"),
		"cgroup.type":        fs.fixed("domain\n"),
		"cgroup.procs": text(func(g Cgroup) string {
			s := ""
			for _, pid := range g.PIDs {
				s += strconv.Itoa(pid) + "\n"
			}
			return s
		}),
		"cpu.max": text(func(g Cgroup) string {
			if g.CPUs == 0 {
				return "max 100000\n"
			}
			return fmt.Sprintf("%.0f 100000\n", g.CPUs*100000)
		}),
		"cpu.stat": text(func(g Cgroup) string {
			return fmt.Sprintf("usage_usec %d\nuser_usec %[1]d\nsystem_usec 0\n", g.CPU.Microseconds())
		}),
		"memory.current": text(func(g Cgroup) string { return strconv.FormatUint(g.Memory, 10) + "\n" }),
		"memory.events": text(func(g Cgroup) string {
			return fmt.Sprintf("low 0\nhigh 0\nmax %d\noom %[1]d\noom_kill %[1]d\n", g.OOMKills)
		}),
		"memory.max":       text(func(g Cgroup) string { return max(g.MemoryMax) }),
		"memory.high":      fs.fixed("max\n"),
		"memory.swap.max":  fs.fixed("0\n"),
		"memory.swap.peak": fs.fixed("0\n"),
		"pids.current":     text(func(g Cgroup) string { return strconv.Itoa(g.Tasks) + "\n" }),
		"pids.max":         text(func(g Cgroup) string { return max(uint64(g.TasksMax)) }),
	}
	fs.root = &dir{node: node{fs: fs, ino: 1, mode: linux.S_IFDIR | 0o555}}
	fs.root.list = func() []entry { return files.entries(inoRoot) }
	fs.root.lookup = func(name string) (vfs.Inode, error) {
		if in, ok := files.find(inoRoot, name); ok {
			return in, nil
		}
		return nil, linux.ENOENT
	}
	return fs
}
