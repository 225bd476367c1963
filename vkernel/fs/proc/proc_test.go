package proc

import (
	"strings"
	"testing"
	"time"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/fs/pipe"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

type fakeKernel struct {
	hostname string
	procs    map[int]*Process
}

func (k *fakeKernel) PIDs() []int              { return []int{1, 7} }
func (k *fakeKernel) Process(tid int) *Process { return k.procs[tid] }
func (k *fakeKernel) NetFiles() map[string]func() string {
	return map[string]func() string{"tcp": func() string { return "no sockets\n" }}
}
func (k *fakeKernel) SetHostname(name string) { k.hostname = name }
func (k *fakeKernel) System() System {
	return System{Hostname: k.hostname, Release: "5.15.0-x", Version: "#1", Boot: time.Now().Add(-time.Minute), CPUs: 2, TotalMemory: 1 << 30}
}

func setup(t *testing.T) (*vfs.Caller, *fakeKernel) {
	t.Helper()
	root := mem.New(mem.Options{Dev: 1})
	ns := vfs.NewMountNamespace(root, vfs.MountOptions{}, nil)
	c := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root(), PID: 7, TID: 7}
	if err := c.Mkdir(vfs.Path{}, "/proc", 0o555); err != nil {
		t.Fatal(err)
	}
	files := vfs.NewFDTable()
	r, _ := pipe.NewPair(linux.Stat{Ino: 42}, nil)
	files.Add(vfs.NewFileDescription(r, vfs.Location{}, linux.O_RDONLY), 0, false, 10)
	d, err := c.Open(vfs.Path{}, "/a file", linux.O_CREAT|linux.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	files.Add(d, 0, false, 10)
	k := &fakeKernel{hostname: "box", procs: map[int]*Process{
		1: {PID: 1, State: 'Z', Comm: "dead", Start: time.Now(), TTYGroup: -1, Creds: vfs.NewCreds(0, 0)},
		7: {PID: 7, PPID: 1, PGID: 7, SID: 1, State: 'R', Comm: "x) y", Threads: []int{7, 8}, Start: time.Now(), TTYGroup: -1,
			Creds: vfs.NewCreds(0, 0), Files: files, FS: vfs.NewFSContext(ns.Root(), ns.Root()), Exe: "/bin/sh",
			Cmdline: func() []byte { return []byte("sh\x00-c\x00") },
			Limit:   func(int) linux.Rlimit { return linux.Rlimit{Cur: 5, Max: linux.RLIM_INFINITY} },
			Maps:    func() []Mapping { return []Mapping{{0x400000, 0x401000, 0, 5, false, "/bin/sh"}} }},
	}}
	k.procs[8] = k.procs[7]
	at, err := c.WalkDir(vfs.Path{}, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Mount(at, New(k, 2), vfs.MountOptions{Source: "proc"}); err != nil {
		t.Fatal(err)
	}
	return c, k
}

func cat(t *testing.T, c *vfs.Caller, path string) string {
	t.Helper()
	d, err := c.Open(vfs.Path{}, path, linux.O_RDONLY, 0)
	if err != nil {
		t.Fatalf("opening %s: %v", path, err)
	}
	defer d.DecRef()
	var out []byte
	p := make([]byte, 100)
	for {
		n, err := d.Read(p)
		if err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
		if n == 0 {
			return string(out)
		}
		out = append(out, p[:n]...)
	}
}

func TestFiles(t *testing.T) {
	c, _ := setup(t)
	for _, tc := range []struct{ path, want string }{
		{"/proc/self/stat", "7 (x) y) R 1 7 1 0 -1 "},
		{"/proc/7/status", "\nPPid:\t1\n"},
		{"/proc/1/status", "State:\tZ (zombie)\n"},
		{"/proc/self/cmdline", "sh\x00-c\x00"},
		{"/proc/self/comm", "x) y\n"},
		{"/proc/self/maps", "00400000-00401000 r-xp 00000000 00:00 0"},
		{"/proc/self/smaps", "\nPrivate_Dirty:         4 kB\n"},
		{"/proc/vmstat", "nr_free_pages "},
		{"/proc/self/limits", "Max open files            5                    unlimited            files"},
		{"/proc/mounts", "proc /proc proc rw,noatime 0 0\n"},
		{"/proc/self/mountinfo", " / /proc rw,noatime - proc proc"},
		{"/proc/thread-self/comm", "x) y\n"},
		{"/proc/self/task/8/comm", "x) y\n"},
		{"/proc/sys/kernel/hostname", "box\n"},
		{"/proc/sys/kernel/pid_max", "4194304\n"},
		{"/proc/meminfo", "MemTotal:        1048576 kB\n"},
		{"/proc/uptime", "60."},
		{"/proc/version", "Linux version 5.15.0-x "},
	} {
		if got := cat(t, c, tc.path); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q does not hold %q", tc.path, got, tc.want)
		}
	}
	if n := len(strings.Fields(strings.Replace(cat(t, c, "/proc/self/stat"), "x) y", "xy", 1))); n != 52 {
		t.Errorf("stat has %d fields, want 52", n)
	}
}

func TestLinks(t *testing.T) {
	c, _ := setup(t)
	for _, tc := range []struct{ path, want string }{
		{"/proc/self", "7"}, {"/proc/self/exe", "/bin/sh"}, {"/proc/self/cwd", "/"},
		{"/proc/self/fd/0", "pipe:[42]"}, {"/proc/self/fd/1", "/a file"}, {"/proc/thread-self", "7/task/7"},
	} {
		l, err := c.Walk(vfs.Path{}, tc.path, false)
		if err != nil {
			t.Errorf("%s: %v", tc.path, err)
			continue
		}
		if got, err := c.Readlink(l.Path); got != tc.want || err != nil {
			t.Errorf("%s -> %q, %v; want %q", tc.path, got, err, tc.want)
		}
	}
	if err := c.Unlink(vfs.Path{}, "/a file"); err != nil {
		t.Fatal(err)
	}
	l, _ := c.Walk(vfs.Path{}, "/proc/self/fd/1", false)
	if got, _ := c.Readlink(l.Path); got != "/a file (deleted)" {
		t.Errorf("removed file is %q", got)
	}
	// It can still be opened through the link, and so can the pipe.
	for _, path := range []string{"/proc/self/fd/1", "/proc/self/fd/0"} {
		d, err := c.Open(vfs.Path{}, path, linux.O_RDONLY, 0)
		if err != nil {
			t.Errorf("opening %s: %v", path, err)
			continue
		}
		d.DecRef()
	}
	if _, err := c.Walk(vfs.Path{}, "/proc/self/fd/9", true); err != linux.ENOENT {
		t.Errorf("fd 9: %v", err)
	}
	other := *c
	other.PID, other.Creds = 99, vfs.NewCreds(1000, 1000)
	if _, err := other.Walk(vfs.Path{}, "/proc/7/fd/1", true); err != linux.EACCES {
		t.Errorf("another user's descriptors: %v", err)
	}
}

func TestListsAndInodes(t *testing.T) {
	c, k := setup(t)
	seen := map[uint64]string{}
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		d, err := c.Open(vfs.Path{}, path, linux.O_RDONLY|linux.O_DIRECTORY, 0)
		if err != nil {
			t.Fatalf("opening %s: %v", path, err)
		}
		defer d.DecRef()
		var list []linux.Dirent
		if err := d.ReadDir(func(e linux.Dirent) bool { list = append(list, e); return true }); err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Name == "." || e.Name == ".." {
				continue
			}
			full := path + "/" + e.Name
			if old, twice := seen[e.Ino]; twice && !strings.Contains(full, "/fd") {
				t.Errorf("%s and %s have inode %d", full, old, e.Ino)
			}
			seen[e.Ino] = full
			l, err := c.Walk(vfs.Path{}, full, false)
			if err != nil {
				t.Errorf("%s: %v", full, err)
				continue
			}
			st, _ := l.Inode.Stat()
			if st.Ino != e.Ino || linux.DirentType(st.Mode) != e.Type {
				t.Errorf("%s: listed as inode %d type %d, is %d type %d", full, e.Ino, e.Type, st.Ino, linux.DirentType(st.Mode))
			}
			if e.Type == linux.DT_DIR && depth < 6 {
				walk(full, depth+1)
			}
		}
	}
	walk("/proc", 0)
	if len(seen) < 100 {
		t.Errorf("only %d files", len(seen))
	}
	d, err := c.Open(vfs.Path{}, "/proc/sys/kernel/hostname", linux.O_WRONLY|linux.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.DecRef()
	if _, err := d.Write([]byte("new\n"), 0); err != nil || k.hostname != "new" {
		t.Errorf("host name %q, %v", k.hostname, err)
	}
	if l, err := c.WalkDir(vfs.Path{}, "/proc/sys/kernel"); err != nil {
		t.Error(err)
	} else if p, _ := vfs.PathOfDir(l, c.Root); p != "/proc/sys/kernel" {
		t.Errorf("it is at %s", p)
	}
}
