package proc

import (
	"crypto/rand"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Process is a snapshot of one process. Functions may be nil, for a zombie.
type Process struct {
	PID, PPID, PGID, SID int
	TTY                  uint64 // device of the controlling terminal; 0: none
	TTYGroup             int    // its foreground group; -1: none
	State                byte   // R, S, T, Z
	Comm                 string
	Threads              []int // thread ids, in order
	CPU, ChildCPU        time.Duration
	Start                time.Time
	Nice                 int
	ExitStatus           int    // wait status of a zombie
	Memory               uint64 // mapped, bytes
	Locked               uint64 // by mlock(2), bytes
	Stack, Brk           uint64 // where the stack and the heap begin
	Creds                *vfs.Creds
	Umask                uint32
	Exe                  string // path; empty: none

	Pending, SharedPending, Blocked, Ignored, Caught linux.SignalSet

	Files   *vfs.FDTable   // nil for a zombie
	FS      *vfs.FSContext // nil for a zombie
	Cmdline func() []byte
	// Resident is the bytes that it has touched; nil for a zombie.
	Resident func() uint64
	Environ  func() []byte
	Auxv     func() []byte
	Maps     func() []Mapping
	Limit    func(resource int) linux.Rlimit
	SetComm  func(string)

	OOMScoreAdj    int
	SetOOMScoreAdj func(int)
}

func (p *Process) resident() uint64 {
	if p.Resident == nil {
		return 0
	}
	return p.Resident()
}

// Mapping is one line of /proc/PID/maps.
type Mapping struct {
	Start, End, Offset uint64
	Prot               uint32
	Shared             bool
	Name               string
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Inode numbers within a process, below those of fds and threads. The numbers of
// two threads' descriptors may meet: what leads there is a link in any case.
const (
	inoTask   = 4 << 36 // threads' directories
	inoFD     = 2 << 36
	inoFDInfo = 3 << 36
)

// processDir makes /proc/PID.
func (fs *FS) processDir(pid int) (vfs.Inode, error) {
	p := fs.kernel.Process(pid)
	if p == nil {
		return nil, linux.ENOENT
	}
	return fs.taskDir(fs.root, pid, pid, uint64(pid)<<pidShift, true), nil
}

// taskDir makes the directory of a process or of a thread.
func (fs *FS) taskDir(parent *dir, pid, tid int, ino uint64, process bool) *dir {
	d := &dir{node: fs.owned(tid, ino, linux.S_IFDIR|0o555), parent: parent, name: strconv.Itoa(tid)}
	files := func() table { return fs.taskTable(d, pid, tid, ino, process) }
	d.list = func() []entry { return files().entries(ino) }
	d.lookup = func(name string) (vfs.Inode, error) {
		if fs.kernel.Process(tid) == nil {
			return nil, linux.ENOENT
		}
		if in, ok := files().find(ino, name); ok {
			return in, nil
		}
		return nil, linux.ENOENT
	}
	return d
}

// owned makes a node that belongs to the user of a process.
func (fs *FS) owned(tid int, ino uint64, mode uint32) node {
	n := node{fs: fs, ino: ino, mode: mode}
	if p := fs.kernel.Process(tid); p != nil && p.Creds != nil {
		n.uid, n.gid = p.Creds.EUID, p.Creds.EGID
	}
	return n
}

func (fs *FS) taskTable(d *dir, pid, tid int, base uint64, process bool) table {
	text := func(mode uint32, read func(p *Process, c *vfs.Caller) string) func(uint64) vfs.Inode {
		return func(ino uint64) vfs.Inode {
			return &file{node: fs.owned(tid, ino, linux.S_IFREG|mode), read: func(c *vfs.Caller) ([]byte, error) {
				p := fs.kernel.Process(tid)
				if p == nil {
					return nil, linux.ESRCH
				}
				return []byte(read(p, c)), nil
			}}
		}
	}
	simple := func(read func(p *Process) string) func(uint64) vfs.Inode {
		return text(0o444, func(p *Process, _ *vfs.Caller) string { return read(p) })
	}
	area := func(mode uint32, get func(p *Process) func() []byte) func(uint64) vfs.Inode {
		return text(mode, func(p *Process, _ *vfs.Caller) string {
			if fn := get(p); fn != nil {
				return string(fn())
			}
			return ""
		})
	}
	place := func(find func(p *Process) (vfs.Location, bool)) func(uint64) vfs.Inode {
		return func(ino uint64) vfs.Inode { return fs.placeLink(tid, ino, find) }
	}
	t := table{
		"auxv":          area(0o400, func(p *Process) func() []byte { return p.Auxv }),
		"cgroup":        simple(func(*Process) string { return "0::/\n" }),
		"cmdline":       area(0o444, func(p *Process) func() []byte { return p.Cmdline }),
		"comm":          fs.commFile(tid),
		"cwd":           place(func(p *Process) (vfs.Location, bool) { return contextPlace(p, (*vfs.FSContext).Cwd) }),
		"environ":       area(0o400, func(p *Process) func() []byte { return p.Environ }),
		"exe":           fs.exeLink(tid),
		"fd":            func(ino uint64) vfs.Inode { return fs.fdDir(d, tid, ino, base) },
		"fdinfo":        func(ino uint64) vfs.Inode { return fs.fdInfoDir(d, tid, ino, base) },
		"io":            simple(func(*Process) string { return zeroIO }),
		"limits":        simple(limits),
		"loginuid":      simple(func(*Process) string { return "4294967295" }),
		"maps":          simple(maps),
		"mountinfo":     text(0o444, func(p *Process, c *vfs.Caller) string { return mountLines(p, mountInfoLine) }),
		"mounts":        text(0o444, func(p *Process, c *vfs.Caller) string { return mountLines(p, mountLine) }),
		"net":           func(ino uint64) vfs.Inode { return fs.netDir(d, tid, ino, base) },
		"oom_adj":       simple(func(*Process) string { return "0\n" }),
		"oom_score":     simple(func(*Process) string { return "0\n" }),
		"oom_score_adj": fs.oomFile(tid),
		"root":          place(func(p *Process) (vfs.Location, bool) { return contextPlace(p, (*vfs.FSContext).Root) }),
		"sessionid":     simple(func(*Process) string { return "4294967295" }),
		"smaps":         simple(smaps),
		"stat":          simple(func(p *Process) string { return statLine(p, tid, fs.kernel.System().Boot) }),
		"statm": simple(func(p *Process) string {
			return fmt.Sprintf("%d %d 0 0 0 %d 0\n", p.Memory>>12, p.resident()>>12, p.Memory>>12)
		}),
		"status": simple(func(p *Process) string { return status(p, tid) }),
		"wchan":  simple(func(*Process) string { return "0" }),
	}
	if process {
		t["task"] = func(ino uint64) vfs.Inode { return fs.threadsDir(d, pid, ino, base) }
	}
	return t
}

const zeroIO = "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"

func contextPlace(p *Process, get func(*vfs.FSContext) vfs.Path) (vfs.Location, bool) {
	if p.FS == nil {
		return vfs.Location{}, false
	}
	return vfs.Location{Path: get(p.FS)}, true
}

// mayInspect says whether the caller may look into a process, as
// ptrace_may_access does without ptrace.
func mayInspect(c *vfs.Caller, p *Process) bool {
	if c == nil || p.Creds == nil {
		return false
	}
	return c.PID == p.PID || c.Creds.HasCap(linux.CAP_SYS_PTRACE) ||
		c.Creds.FSUID == p.Creds.UID && c.Creds.FSUID == p.Creds.EUID && c.Creds.FSUID == p.Creds.SUID
}

// placeLink makes a magic link to a place of a process.
func (fs *FS) placeLink(tid int, ino uint64, find func(p *Process) (vfs.Location, bool)) vfs.Inode {
	follow := func(c *vfs.Caller) (vfs.Location, error) {
		p := fs.kernel.Process(tid)
		if p == nil {
			return vfs.Location{}, linux.ENOENT
		}
		if !mayInspect(c, p) {
			return vfs.Location{}, linux.EACCES
		}
		loc, ok := find(p)
		if !ok {
			return vfs.Location{}, linux.ENOENT
		}
		return loc, nil
	}
	read := func(c *vfs.Caller) (string, error) {
		loc, err := follow(c)
		if err != nil {
			return "", err
		}
		return vfs.PathOf(loc, c.Root), nil
	}
	return &magic{link{fs.owned(tid, ino, linux.S_IFLNK|0o777), read}, follow}
}

func (fs *FS) exeLink(tid int) func(uint64) vfs.Inode {
	return func(ino uint64) vfs.Inode {
		read := func(c *vfs.Caller) (string, error) {
			p := fs.kernel.Process(tid)
			if p == nil || p.Exe == "" {
				return "", linux.ENOENT
			}
			if !mayInspect(c, p) {
				return "", linux.EACCES
			}
			return p.Exe, nil
		}
		follow := func(c *vfs.Caller) (vfs.Location, error) {
			path, err := read(c)
			if err != nil {
				return vfs.Location{}, err
			}
			walk := *c // of its own: this one is under way
			walk.Resolve = 0
			return walk.Walk(vfs.Path{}, path, true)
		}
		return &magic{link{fs.owned(tid, ino, linux.S_IFLNK|0o777), read}, follow}
	}
}

func (fs *FS) commFile(tid int) func(uint64) vfs.Inode {
	return func(ino uint64) vfs.Inode {
		return &file{node: fs.owned(tid, ino, linux.S_IFREG|0o644),
			read: func(*vfs.Caller) ([]byte, error) {
				p := fs.kernel.Process(tid)
				if p == nil {
					return nil, linux.ESRCH
				}
				return []byte(p.Comm + "\n"), nil
			},
			write: func(b []byte) error {
				if p := fs.kernel.Process(tid); p != nil && p.SetComm != nil {
					p.SetComm(strings.TrimSuffix(string(b), "\n"))
				}
				return nil
			}}
	}
}

// oomFile makes /proc/PID/oom_score_adj.
func (fs *FS) oomFile(tid int) func(uint64) vfs.Inode {
	return func(ino uint64) vfs.Inode {
		return &file{node: fs.owned(tid, ino, linux.S_IFREG|0o644),
			read: func(*vfs.Caller) ([]byte, error) {
				p := fs.kernel.Process(tid)
				if p == nil {
					return nil, linux.ESRCH
				}
				return []byte(strconv.Itoa(p.OOMScoreAdj) + "\n"), nil
			},
			write: func(b []byte) error {
				n, err := strconv.Atoi(strings.TrimSpace(string(b)))
				if err != nil || n < -1000 || n > 1000 {
					return linux.EINVAL
				}
				if p := fs.kernel.Process(tid); p != nil && p.SetOOMScoreAdj != nil {
					p.SetOOMScoreAdj(n)
				}
				return nil
			}}
	}
}

// threadsDir makes /proc/PID/task.
func (fs *FS) threadsDir(parent *dir, pid int, ino, base uint64) vfs.Inode {
	d := &dir{node: fs.owned(pid, ino, linux.S_IFDIR|0o555), parent: parent, name: "task"}
	inoOf := func(tid int) uint64 { return base + inoTask + uint64(tid)<<idShift }
	d.list = func() []entry {
		var list []entry
		if p := fs.kernel.Process(pid); p != nil {
			for _, tid := range p.Threads {
				list = append(list, entry{strconv.Itoa(tid), inoOf(tid), linux.DT_DIR})
			}
		}
		return list
	}
	d.lookup = func(name string) (vfs.Inode, error) {
		tid, ok := parseID(name)
		p := fs.kernel.Process(pid)
		if !ok || p == nil {
			return nil, linux.ENOENT
		}
		if i := sort.SearchInts(p.Threads, tid); i == len(p.Threads) || p.Threads[i] != tid {
			return nil, linux.ENOENT
		}
		return fs.taskDir(d, pid, tid, inoOf(tid), false), nil
	}
	return d
}

// fdEntries lists the descriptors of a process.
func (fs *FS) fdEntries(tid int, base uint64, kind uint8) []entry {
	p := fs.kernel.Process(tid)
	if p == nil || p.Files == nil {
		return nil
	}
	var list []entry
	for _, fd := range p.Files.List() {
		list = append(list, entry{strconv.Itoa(int(fd)), base + uint64(fd)<<idShift, kind})
	}
	return list
}

// description returns a descriptor's description, counted.
func (fs *FS) description(tid int, name string) (int, *vfs.FileDescription, error) {
	fd, ok := parseID(name)
	p := fs.kernel.Process(tid)
	if !ok || p == nil || p.Files == nil {
		return 0, nil, linux.ENOENT
	}
	d, err := p.Files.Get(int32(fd))
	if err != nil {
		return 0, nil, linux.ENOENT
	}
	return fd, d, nil
}

// fdDir makes /proc/PID/fd.
func (fs *FS) fdDir(parent *dir, tid int, ino, base uint64) vfs.Inode {
	d := &dir{node: fs.owned(tid, ino, linux.S_IFDIR|0o500), parent: parent, name: "fd"}
	d.list = func() []entry { return fs.fdEntries(tid, base+inoFD, linux.DT_LNK) }
	d.lookup = func(name string) (vfs.Inode, error) {
		fd, desc, err := fs.description(tid, name)
		if err != nil {
			return nil, err
		}
		mode := uint32(linux.S_IFLNK)
		if desc.Readable() {
			mode |= 0o500
		}
		if desc.Writable() {
			mode |= 0o300
		}
		desc.DecRef()
		l := fs.placeLink(tid, base+inoFD+uint64(fd)<<idShift, func(p *Process) (vfs.Location, bool) {
			if p.Files == nil || p.FS == nil {
				return vfs.Location{}, false
			}
			desc, err := p.Files.Get(int32(fd))
			if err != nil {
				return vfs.Location{}, false
			}
			defer desc.DecRef()
			return desc.ReachableLocation(p.FS.Root()), true
		})
		if m, ok := l.(*magic); ok {
			m.mode, m.size = mode, 64 // as Linux has it, whatever the target
		}
		return l, nil
	}
	return d
}

// fdInfoDir makes /proc/PID/fdinfo.
func (fs *FS) fdInfoDir(parent *dir, tid int, ino, base uint64) vfs.Inode {
	d := &dir{node: fs.owned(tid, ino, linux.S_IFDIR|0o500), parent: parent, name: "fdinfo"}
	d.list = func() []entry { return fs.fdEntries(tid, base+inoFDInfo, linux.DT_REG) }
	d.lookup = func(name string) (vfs.Inode, error) {
		fd, desc, err := fs.description(tid, name)
		if err != nil {
			return nil, err
		}
		desc.DecRef()
		return &file{node: fs.owned(tid, base+inoFDInfo+uint64(fd)<<idShift, linux.S_IFREG|0o444),
			read: func(*vfs.Caller) ([]byte, error) {
				_, desc, err := fs.description(tid, name)
				if err != nil {
					return nil, err
				}
				defer desc.DecRef()
				pos, _ := desc.Seek(0, linux.SEEK_CUR) // what cannot seek is at 0
				id := 0
				if m := desc.Path().Mount; m != nil {
					id = m.ID
				}
				st, _ := desc.Stat()
				return fmt.Appendf(nil, "pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n", pos, desc.Flags(), id, st.Ino), nil
			}}, nil
	}
	return d
}
