package vfs_test

import (
	"strings"
	"sync"
	"testing"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

var here = vfs.Path{} // the working directory

// newCaller returns root's view of an empty tree.
func newCaller() *vfs.Caller {
	ns := vfs.NewMountNamespace(mem.New(mem.Options{Mode: 0o755}), vfs.MountOptions{}, nil)
	return &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root(), Umask: 0o022}
}

// build makes what a list describes: dir/, file, link->target.
func build(t testing.TB, c *vfs.Caller, list ...string) {
	t.Helper()
	for _, s := range list {
		var err error
		if name, target, ok := strings.Cut(s, "->"); ok {
			err = c.Symlink(target, here, name)
		} else if strings.HasSuffix(s, "/") {
			err = c.Mkdir(here, s, 0o755)
		} else {
			var d *vfs.FileDescription
			if d, err = c.Open(here, s, linux.O_CREAT|linux.O_WRONLY, 0o644); err == nil {
				d.DecRef()
			}
		}
		if err != nil {
			t.Fatalf("making %s: %v", s, err)
		}
	}
}

func TestWalk(t *testing.T) {
	c := newCaller()
	build(t, c, "/d/", "/d/e/", "/d/f", "/l->d/f", "/dl->/d", "/up->../../d", "/loop->loop", "/gone->none", "/slash->d/")
	for _, tc := range []struct {
		path   string
		follow bool
		want   string // path found, or errno
	}{
		{"/", true, "/"}, {"//", true, "/"}, {"/..", true, "/"}, {"/d/e/..", true, "/d"}, {"d/./e//", true, "/d/e"},
		{"/l", true, "/d/f"}, {"/l", false, "/l"}, {"/l/", true, "ENOTDIR"}, {"/dl/e", false, "/d/e"}, {"/dl", false, "/dl"},
		{"/dl/", false, "/d"}, {"/up/e", true, "/d/e"}, {"/loop", true, "ELOOP"}, {"/loop", false, "/loop"}, {"/loop/x", false, "ELOOP"},
		{"/gone", true, "ENOENT"}, {"/gone", false, "/gone"}, {"/none/x", true, "ENOENT"}, {"/d/f/x", true, "ENOTDIR"},
		{"/d/f/..", true, "ENOTDIR"}, {"/d/f/.", true, "ENOTDIR"}, {"", true, "ENOENT"}, {"/slash/e", true, "/d/e"}, {"/slash", true, "/d"},
		{"/" + strings.Repeat("n", 256), true, "ENAMETOOLONG"}, {"/" + strings.Repeat("n", 255), true, "ENOENT"},
		{strings.Repeat("/", 4096), true, "ENAMETOOLONG"}, {strings.Repeat("/", 4095), true, "/"},
	} {
		loc, err := c.Walk(here, tc.path, tc.follow)
		got := linux.ErrnoOf(err).Name()
		if err == nil {
			got = vfs.PathOf(loc, c.Root)
		}
		if got != tc.want {
			t.Errorf("%.40s (follow %v): %s, want %s", tc.path, tc.follow, got, tc.want)
		}
	}
}

func TestSymlinkLimit(t *testing.T) {
	c := newCaller()
	build(t, c, "/f0")
	for i := 1; i <= 41; i++ {
		name := func(i int) string { return "f" + strings.Repeat("x", i) }
		target := name(i - 1)
		if i == 1 {
			target = "f0"
		}
		build(t, c, "/"+name(i)+"->"+target)
	}
	if _, err := c.Walk(here, "/f"+strings.Repeat("x", 40), true); err != nil {
		t.Errorf("40 links: %v", err)
	}
	if _, err := c.Walk(here, "/f"+strings.Repeat("x", 41), true); err != linux.ELOOP {
		t.Errorf("41 links: %v", err)
	}
}

func TestChrootHoldsDotDot(t *testing.T) {
	c := newCaller()
	build(t, c, "/jail/", "/jail/d/", "/secret", "/jail/out->/secret", "/jail/d/up->../../secret")
	jail, err := c.WalkDir(here, "/jail")
	if err != nil {
		t.Fatal(err)
	}
	in := &vfs.Caller{Creds: c.Creds, Root: jail, Cwd: jail}
	for _, path := range []string{"../secret", "/../secret", "/out", "d/up", "/d/../../secret"} {
		if _, err := in.Walk(here, path, true); err != linux.ENOENT {
			t.Errorf("%s: %v, want ENOENT", path, err)
		}
	}
	if p, _ := vfs.PathOfDir(jail, jail); p != "/" {
		t.Errorf("the jail is %s to itself", p)
	}
}

func TestMounts(t *testing.T) {
	c := newCaller()
	build(t, c, "/m/", "/m/hidden")
	at, err := c.WalkDir(here, "/m")
	if err != nil {
		t.Fatal(err)
	}
	ns := c.Root.Mount.Namespace()
	if _, err := ns.Mount(at, mem.New(mem.Options{Dev: 2}), vfs.MountOptions{}); err != nil {
		t.Fatal(err)
	}
	build(t, c, "/m/in", "/m/d/", "/x")
	if _, err := c.Walk(here, "/m/hidden", true); err != linux.ENOENT {
		t.Errorf("what the mount covers: %v", err)
	}
	d, err := c.WalkDir(here, "/m/d")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := vfs.PathOfDir(d, c.Root); p != "/m/d" || err != nil {
		t.Errorf("path %s, %v", p, err)
	}
	for name, got := range map[string]error{
		"EBUSY rmdir":  c.Rmdir(here, "/m"),
		"EBUSY rename": c.Rename(here, "/m", here, "/n", 0),
		"EXDEV rename": c.Rename(here, "/m/in", here, "/in", 0),
		"EXDEV link":   func() error { l, _ := c.Walk(here, "/x", true); return c.Link(l, here, "/m/x") }(),
	} {
		if want, _, _ := strings.Cut(name, " "); linux.ErrnoOf(got).Name() != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if l, err := c.Walk(here, "/m/d/../..", true); err != nil || vfs.PathOf(l, c.Root) != "/" {
		t.Errorf("up through the mount: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	root := newCaller()
	build(t, root, "/d/", "/d/f", "/s/", "/s/theirs", "/g", "/x")
	chmod := func(path string, mode, uid, gid uint32) {
		l, err := root.Walk(here, path, true)
		if err == nil {
			err = root.Chown(l, uid, gid)
		}
		if err == nil {
			err = root.Chmod(l, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	chmod("/d", 0o711, 0, 0)
	chmod("/s", 0o1777, 0, 0)
	chmod("/g", 0o040, 0, 50)
	chmod("/x", 0o604, 7, 50) // the group may less than others
	user := *root
	user.Creds = vfs.NewCreds(7, 7, 50)
	open := func(c *vfs.Caller, path string, flags uint32) error {
		d, err := c.Open(here, path, flags, 0o600)
		if err == nil {
			d.DecRef()
		}
		return err
	}
	other := *root
	other.Creds = vfs.NewCreds(8, 8, 50)
	for _, tc := range []struct {
		what string
		got  error
		want error
	}{
		{"read by others", open(&user, "/d/f", linux.O_RDONLY), nil},
		{"write by others", open(&user, "/d/f", linux.O_WRONLY), linux.EACCES},
		{"truncate by others", open(&user, "/d/f", linux.O_RDONLY|linux.O_TRUNC), linux.EACCES},
		{"list without r", open(&user, "/d", linux.O_RDONLY), linux.EACCES},
		{"create without w", open(&user, "/d/new", linux.O_CREAT|linux.O_WRONLY), linux.EACCES},
		{"create in sticky", open(&user, "/s/mine", linux.O_CREAT|linux.O_WRONLY), nil},
		{"remove theirs from sticky", user.Unlink(here, "/s/theirs"), linux.EPERM},
		{"remove mine from sticky", user.Unlink(here, "/s/mine"), nil},
		{"by supplementary group", open(&user, "/g", linux.O_RDONLY), nil},
		{"owner", open(&user, "/x", linux.O_RDWR), nil},
		{"group shuts out what others may", open(&other, "/x", linux.O_RDONLY), linux.EACCES},
		{"root reads anything", open(root, "/x", linux.O_RDWR), nil},
		{"noatime of another's", open(&user, "/d/f", linux.O_RDONLY|linux.O_NOATIME), linux.EPERM},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", tc.what, tc.got, tc.want)
		}
	}
	l, _ := root.Walk(here, "/x", true)
	if err := root.Access(l.Path, vfs.MayExec); err != linux.EACCES {
		t.Errorf("root may execute what nobody may: %v", err)
	}
	if err := user.Chmod(l, 0o4777); err != nil {
		t.Error(err)
	}
	if err := user.Chown(l, 8, ^uint32(0)); err != linux.EPERM {
		t.Errorf("giving a file away: %v", err)
	}
	if err := user.Chown(l, ^uint32(0), 50); err != nil {
		t.Errorf("to a group of one's own: %v", err)
	}
	if st, _ := l.Inode.Stat(); st.Mode&linux.S_ISUID != 0 {
		t.Error("setuid survives a chown")
	}
}

func TestFDTable(t *testing.T) {
	c := newCaller()
	build(t, c, "/f")
	table := vfs.NewFDTable()
	open := func() *vfs.FileDescription {
		d, err := c.Open(here, "/f", linux.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for want := range int32(3) {
		if fd, err := table.Add(open(), 0, want == 1, 4); fd != want || err != nil {
			t.Fatalf("descriptor %d, %v; want %d", fd, err, want)
		}
	}
	if fd, err := table.Add(open(), 3, false, 4); fd != 3 || err != nil {
		t.Fatalf("from 3 on: %d, %v", fd, err)
	}
	extra := open()
	if _, err := table.Add(extra, 0, false, 4); err != linux.EMFILE {
		t.Errorf("a full table: %v", err)
	}
	extra.DecRef()
	table.Close(1)
	table.Close(0)
	if fd, _ := table.Add(open(), 0, true, 4); fd != 0 {
		t.Errorf("lowest free descriptor %d", fd)
	}
	child := table.Fork()
	child.CloseOnExec()
	if got := child.List(); len(got) != 2 || got[0] != 2 {
		t.Errorf("after exec: %v", got)
	}
	// The offset is shared with the child.
	d, _ := table.Get(2)
	e, _ := child.Get(2)
	d.Seek(5, linux.SEEK_SET)
	if off, _ := e.Seek(0, linux.SEEK_CUR); off != 5 {
		t.Errorf("offset in the child %d", off)
	}
	released := false
	d.OnRelease(t, func() { released = true })
	d.DecRef()
	e.DecRef()
	table.DecRef()
	if released {
		t.Error("released while the child has it")
	}
	child.DecRef()
	if !released {
		t.Error("not released")
	}
	if _, err := table.Get(0); err != linux.EBADF {
		t.Errorf("closed table: %v", err)
	}
}

func TestLocks(t *testing.T) {
	var l vfs.FileLocks
	a, b := new(int), new(int)
	if err := l.Lock(a, 1, 0, 100, true); err != nil {
		t.Fatal(err)
	}
	l.Unlock(a, 40, 60) // splits
	if err := l.Lock(b, 2, 40, 60, true); err != nil {
		t.Errorf("the hole: %v", err)
	}
	if err := l.Lock(b, 2, 59, 61, false); err != linux.EAGAIN {
		t.Errorf("over the edge: %v", err)
	}
	if f, busy := l.Conflict(b, 0, 1<<62, false); !busy || f.Start != 0 || f.Len != 40 || f.PID != 1 {
		t.Errorf("conflict %+v, %v", f, busy)
	}
	l.Unlock(b, 40, 60)
	if err := l.Lock(a, 1, 40, 60, true); err != nil {
		t.Fatal(err)
	}
	if f, _ := l.Conflict(b, 0, 1<<62, false); f.Len != 100 {
		t.Errorf("neighbours were not joined: %+v", f)
	}
	e, ch := waiter.NewChannelEntry(waiter.EventIn)
	l.Wait(e)
	l.Unlock(a, 0, 100)
	if len(ch) != 1 {
		t.Error("nobody was told of the release")
	}
	if l.Flock(a, false) != nil || l.Flock(b, false) != nil || l.Flock(a, true) != linux.EAGAIN {
		t.Error("shared locks")
	}
	l.Unflock(b)
	if err := l.Flock(a, true); err != nil {
		t.Errorf("upgrade: %v", err)
	}
}

func TestConcurrentNames(t *testing.T) {
	c := newCaller()
	build(t, c, "/d/", "/e/")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mine := *c
			for range 200 {
				if d, err := mine.Open(here, "/d/x", linux.O_CREAT|linux.O_RDWR|linux.O_APPEND, 0o644); err == nil {
					d.Write([]byte("x"), 0)
					d.DecRef()
				}
				mine.Rename(here, "/d/x", here, "/e/y", 0)
				mine.Walk(here, "/e/y", true)
				if i%2 == 0 {
					mine.Unlink(here, "/e/y")
				}
				mine.Rename(here, "/d", here, "/e/d", 0)
				mine.Rename(here, "/e/d", here, "/d", 0)
			}
		}()
	}
	wg.Wait()
}

func FuzzWalk(f *testing.F) {
	for _, s := range []string{"/d/e/../f", "l/../../x", "//d//", "loop/x", "dl/./f/"} {
		f.Add(s)
	}
	c := newCaller()
	build(f, c, "/d/", "/d/e/", "/d/f", "/l->d/f", "/dl->d", "/loop->loop", "/up->..")
	f.Fuzz(func(t *testing.T, path string) {
		loc, err := c.Walk(here, path, true)
		if err != nil {
			if e, ok := err.(linux.Errno); !ok || e == 0 {
				t.Fatalf("%q: %v is no bare errno", path, err)
			}
			return
		}
		full := vfs.PathOf(loc, c.Root)
		again, err := c.Walk(here, full, true)
		if err != nil || vfs.PathOf(again, c.Root) != full {
			t.Fatalf("%q leads to %q, which leads to %v", path, full, err)
		}
	})
}
