package mem

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// testBase is /{dir/{a,b},file}, with 100,000 bytes of x in file.
type testBase map[uint64]*BaseNode

func (b testBase) Node(ino uint64) *BaseNode { return b[ino] }
func (b testBase) MaxIno() uint64            { return 10 }

func newTestBase() testBase {
	reg := func(ino uint64, s string, nlink uint32) *BaseNode {
		return &BaseNode{Ino: ino, Mode: linux.S_IFREG | 0o644, Nlink: nlink, Size: int64(len(s)), Content: strings.NewReader(s)}
	}
	return testBase{
		1: {Ino: 1, Mode: linux.S_IFDIR | 0o755, Nlink: 3, Parent: 1, Entries: []BaseEntry{{"dir", 2, linux.DT_DIR}, {"file", 3, linux.DT_REG}}},
		2: {Ino: 2, Mode: linux.S_IFDIR | 0o755, Nlink: 2, Parent: 1, Name: "dir", Entries: []BaseEntry{{"a", 4, linux.DT_REG}, {"b", 4, linux.DT_REG}}},
		3: reg(3, strings.Repeat("x", 100_000), 1),
		4: reg(4, "linked", 2),
	}
}

func root(t *testing.T, fs *FS) *vfs.Caller {
	t.Helper()
	ns := vfs.NewMountNamespace(fs, vfs.MountOptions{}, nil)
	return &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root(), Umask: 0o022}
}

func open(t *testing.T, c *vfs.Caller, path string, flags uint32) *vfs.FileDescription {
	t.Helper()
	d, err := c.Open(vfs.Path{}, path, flags, 0o644)
	if err != nil {
		t.Fatalf("opening %s: %v", path, err)
	}
	t.Cleanup(d.DecRef)
	return d
}

func read(t *testing.T, c *vfs.Caller, path string) string {
	t.Helper()
	d := open(t, c, path, linux.O_RDONLY)
	var b bytes.Buffer
	buf := make([]byte, 10_000)
	for {
		n, err := d.Read(buf)
		if err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
		if n == 0 {
			return b.String()
		}
		b.Write(buf[:n])
	}
}

func write(t *testing.T, c *vfs.Caller, path, s string, flags uint32) {
	t.Helper()
	d := open(t, c, path, flags|linux.O_WRONLY)
	if n, err := d.Write([]byte(s), 0); n != len(s) || err != nil {
		t.Fatalf("writing %s: %d, %v", path, n, err)
	}
}

func stat(t *testing.T, c *vfs.Caller, path string) linux.Stat {
	t.Helper()
	l, err := c.Walk(vfs.Path{}, path, false)
	if err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	st, err := l.Inode.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestCopyOnWriteKeepsIdentity(t *testing.T) {
	c := root(t, New(Options{Base: newTestBase()}))
	before := stat(t, c, "/file")
	reader := open(t, c, "/file", linux.O_RDONLY)
	_, _, v0, _ := vfs.ContentIdentity(reader.Inode())
	d := open(t, c, "/file", linux.O_RDWR)
	if _, err := d.PWrite([]byte("Y"), 70_000, 0); err != nil {
		t.Fatal(err)
	}
	after := stat(t, c, "/file")
	if before.Ino != after.Ino || before.Dev != after.Dev || after.Size != 100_000 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	got := make([]byte, 3)
	if _, err := reader.PRead(got, 69_999); err != nil || string(got) != "xYx" {
		t.Errorf("an older description reads %q, %v", got, err)
	}
	if _, _, v1, ok := vfs.ContentIdentity(reader.Inode()); !ok || v0 == v1 {
		t.Errorf("version %d before, %d after a write", v0, v1)
	}
	if s := read(t, c, "/file"); len(s) != 100_000 || s[70_000] != 'Y' || s[0] != 'x' || s[99_999] != 'x' {
		t.Error("content is not the base's with one byte changed")
	}
}

func TestContentIdentity(t *testing.T) {
	type identity struct{ space, ino, version uint64 }
	of := func(fs *FS, path string) identity {
		l, err := root(t, fs).Walk(vfs.Path{}, path, true)
		if err != nil {
			t.Fatal(err)
		}
		s, i, v, ok := vfs.ContentIdentity(l.Inode)
		if !ok {
			t.Fatalf("%s has no identity", path)
		}
		return identity{s, i, v}
	}
	a, b := New(Options{Dev: 1, Base: newTestBase()}), New(Options{Dev: 1, Base: newTestBase()})
	if of(a, "/file") == of(b, "/file") {
		t.Error("files of two trees, on the same device number, have the same identity")
	}
	c := a.Clone()
	if of(a, "/file") != of(c, "/file") {
		t.Error("a clone's file has another identity before a change")
	}
	write(t, root(t, a), "/file", "A", 0)
	write(t, root(t, c), "/file", "C", 0)
	if of(a, "/file") == of(c, "/file") {
		t.Error("files of two clones, changed differently, have the same identity")
	}
}

func TestHardLinksOfBase(t *testing.T) {
	c := root(t, New(Options{Base: newTestBase()}))
	write(t, c, "/dir/a", "LINK", 0)
	if got := read(t, c, "/dir/b"); got != "LINKed" {
		t.Errorf("other name reads %q", got)
	}
	if err := c.Unlink(vfs.Path{}, "/dir/a"); err != nil {
		t.Fatal(err)
	}
	if st := stat(t, c, "/dir/b"); st.Nlink != 1 {
		t.Errorf("nlink %d", st.Nlink)
	}
	if _, err := c.Walk(vfs.Path{}, "/dir/a", true); err != linux.ENOENT {
		t.Errorf("removed name: %v", err)
	}
}

func TestCloneIsolates(t *testing.T) {
	a := New(Options{Base: newTestBase()})
	ca := root(t, a)
	write(t, ca, "/before", strings.Repeat("b", 100_000), linux.O_CREAT)
	b := a.Clone()
	cb := root(t, b)
	write(t, ca, "/before", "AAAA", 0)
	write(t, cb, "/before", "BB", 0)
	write(t, cb, "/only-b", "x", linux.O_CREAT)
	if err := ca.Unlink(vfs.Path{}, "/file"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, ca, "/before"); got[:5] != "AAAAb" {
		t.Errorf("a reads %q", got[:5])
	}
	if got := read(t, cb, "/before"); got[:5] != "BBbbb" || len(got) != 100_000 {
		t.Errorf("b reads %q", got[:5])
	}
	if _, err := ca.Walk(vfs.Path{}, "/only-b", true); err != linux.ENOENT {
		t.Errorf("a sees b's file: %v", err)
	}
	if got := read(t, cb, "/file"); len(got) != 100_000 {
		t.Errorf("b lost what a removed: %d bytes", len(got))
	}
}

func TestManyClones(t *testing.T) {
	fs := New(Options{})
	for i := range 40 {
		write(t, root(t, fs), fmt.Sprintf("/f%d", i), "x", linux.O_CREAT)
		fs = fs.Clone()
	}
	c := root(t, fs)
	for i := range 40 {
		if got := read(t, c, fmt.Sprintf("/f%d", i)); got != "x" {
			t.Fatalf("f%d: %q", i, got)
		}
	}
	if len(fs.frozen) > maxFrozen+1 {
		t.Errorf("%d frozen layers", len(fs.frozen))
	}
}

func TestUnlinkedFileLivesAndIsCounted(t *testing.T) {
	fs := New(Options{})
	c := root(t, fs)
	start := fs.Used()
	d, err := c.Open(vfs.Path{}, "/x", linux.O_RDWR|linux.O_CREAT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	d.Write(make([]byte, 200_000), 0)
	if err := c.Unlink(vfs.Path{}, "/x"); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if n, _ := d.PRead(make([]byte, 300_000), 0); n != 200_000 {
		t.Errorf("unlinked file reads %d bytes", n)
	}
	if st, _ := d.Stat(); st.Nlink != 0 {
		t.Errorf("nlink %d", st.Nlink)
	}
	d.DecRef()
	if fs.Used() != start {
		t.Errorf("%d bytes in use after the last close, %d before", fs.Used(), start)
	}
}

func TestENOSPC(t *testing.T) {
	fs := New(Options{MaxBytes: 300_000})
	c := root(t, fs)
	d := open(t, c, "/x", linux.O_WRONLY|linux.O_CREAT)
	total := 0
	for {
		n, err := d.Write(make([]byte, 100_000), 0)
		total += n
		if err == linux.ENOSPC {
			break
		}
		if err != nil || total > 300_000 {
			t.Fatalf("%d bytes written, %v", total, err)
		}
	}
	if total < 200_000 {
		t.Errorf("full after %d bytes", total)
	}
}

func TestRename(t *testing.T) {
	c := root(t, New(Options{Base: newTestBase()}))
	p := vfs.Path{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Mkdir(p, "/new", 0o755))
	must(c.Rename(p, "/dir", p, "/new/sub", 0))
	if got := read(t, c, "/new/sub/a"); got != "linked" {
		t.Errorf("moved file reads %q", got)
	}
	l, err := c.Walk(p, "/new/sub", true)
	must(err)
	if got, _ := vfs.PathOfDir(l.Path, c.Root); got != "/new/sub" {
		t.Errorf("moved directory is at %s", got)
	}
	for _, tc := range []struct {
		from, to string
		flags    uint32
		want     error
	}{
		{"/new", "/new/sub/x", 0, linux.EINVAL},
		{"/file", "/new", 0, linux.EISDIR},
		{"/new", "/file", 0, linux.ENOTDIR},
		{"/absent", "/x", 0, linux.ENOENT},
		{"/file", "/new/sub", linux.RENAME_NOREPLACE, linux.EEXIST},
		{"/file", "/absent", linux.RENAME_EXCHANGE, linux.ENOENT},
		{"/new/sub/a", "/new/sub/b", 0, nil}, // the same inode: nothing happens
		{"/", "/x", 0, linux.EBUSY},
		{"/file/", "/x", 0, linux.ENOTDIR},
	} {
		if err := c.Rename(p, tc.from, p, tc.to, tc.flags); err != tc.want {
			t.Errorf("rename %s %s: %v, want %v", tc.from, tc.to, err, tc.want)
		}
	}
	must(c.Rename(p, "/file", p, "/new/sub", linux.RENAME_EXCHANGE))
	if st := stat(t, c, "/file"); st.Mode&linux.S_IFMT != linux.S_IFDIR {
		t.Error("exchange did not swap")
	}
	if st := stat(t, c, "/"); st.Nlink != 4 {
		t.Errorf("root has %d links, want 4", st.Nlink)
	}
	if st := stat(t, c, "/new"); st.Nlink != 2 {
		t.Errorf("/new has %d links, want 2", st.Nlink)
	}
	must(c.Mkdir(p, "/empty", 0o755))
	if err := c.Rename(p, "/empty", p, "/file", 0); err != linux.ENOTEMPTY {
		t.Errorf("onto a full directory: %v", err)
	}
	must(c.Rename(p, "/file", p, "/empty", 0))
}

func TestReadDirIsStableWhileRemoving(t *testing.T) {
	c := root(t, New(Options{}))
	for i := range 1000 {
		write(t, c, fmt.Sprintf("/f%04d", i), "x", linux.O_CREAT)
	}
	d := open(t, c, "/", linux.O_RDONLY|linux.O_DIRECTORY)
	seen := 0
	for {
		var batch []string
		err := d.ReadDir(func(e linux.Dirent) bool {
			if e.Name != "." && e.Name != ".." {
				batch = append(batch, e.Name)
			}
			return len(batch) < 17
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			break
		}
		// The last one was refused, and comes again.
		if len(batch) == 17 {
			batch = batch[:16]
		}
		for _, name := range batch {
			seen++
			if err := c.Unlink(vfs.Path{}, "/"+name); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if seen != 1000 {
		t.Errorf("saw %d entries of 1000", seen)
	}
}

func TestHoles(t *testing.T) {
	c := root(t, New(Options{}))
	d := open(t, c, "/s", linux.O_RDWR|linux.O_CREAT)
	if _, err := d.PWrite([]byte("end"), 10*chunkSize, 0); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		off    int64
		whence int
		want   int64
		err    error
	}{
		{0, linux.SEEK_DATA, 10 * chunkSize, nil},
		{0, linux.SEEK_HOLE, 0, nil},
		{10 * chunkSize, linux.SEEK_HOLE, 10*chunkSize + 3, nil},
		{10*chunkSize + 3, linux.SEEK_DATA, 0, linux.ENXIO},
	} {
		if got, err := d.Seek(tc.off, tc.whence); err != tc.err || err == nil && got != tc.want {
			t.Errorf("seek %d whence %d: %d, %v; want %d, %v", tc.off, tc.whence, got, err, tc.want, tc.err)
		}
	}
}

// TestContentAgainstModel does random operations on a file and on a byte slice.
func TestContentAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := New(Options{Base: newTestBase()})
		c := root(t, fs)
		d := open(t, c, "/file", linux.O_RDWR)
		model := bytes.Repeat([]byte("x"), 100_000)
		for range 60 {
			off := rng.Int64N(250_000)
			switch rng.IntN(5) {
			case 0, 1:
				p := bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(90_000))
				d.PWrite(p, off, 0)
				if need := int(off) + len(p); need > len(model) && len(p) > 0 {
					model = append(model, make([]byte, need-len(model))...)
				}
				copy(model[min(int(off), len(model)):], p)
			case 2:
				d.Truncate(off)
				if int(off) <= len(model) {
					model = model[:off:off]
				} else {
					model = append(model, make([]byte, int(off)-len(model))...)
				}
			case 3:
				n := rng.Int64N(150_000) + 1
				d.File().(vfs.Allocator).Allocate(linux.FALLOC_FL_PUNCH_HOLE|linux.FALLOC_FL_KEEP_SIZE, off, n)
				if int(off) < len(model) {
					clear(model[off:min(int(off+n), len(model))])
				}
			case 4:
				fs.Clone()
			}
			got := make([]byte, len(model)+10)
			n, err := d.PRead(got, 0)
			if err != nil || !bytes.Equal(got[:n], model) {
				t.Fatalf("seed %d: file has %d bytes, model %d, or they differ (%v)", seed, n, len(model), err)
			}
		}
	}
}

func TestTmpfileGetsAName(t *testing.T) {
	c := root(t, New(Options{}))
	d := open(t, c, "/", linux.O_TMPFILE|linux.O_RDWR)
	d.Write([]byte("hi"), 0)
	if err := c.Link(d.Location(), vfs.Path{}, "/named"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c, "/named"); got != "hi" {
		t.Errorf("reads %q", got)
	}
}

func TestXattrs(t *testing.T) {
	c := root(t, New(Options{Base: newTestBase()}))
	l, _ := c.Walk(vfs.Path{}, "/file", true)
	if err := c.SetXattr(l, "user.k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.SetXattr(l, "user.k", nil, linux.XATTR_CREATE); err != linux.EEXIST {
		t.Errorf("creating twice: %v", err)
	}
	if v, err := c.GetXattr(l.Path, "user.k"); string(v) != "v" || err != nil {
		t.Errorf("get: %q, %v", v, err)
	}
	if _, err := c.GetXattr(l.Path, "user.none"); err != linux.ENODATA {
		t.Errorf("absent: %v", err)
	}
	if _, err := c.GetXattr(l.Path, "odd.name"); err != linux.EOPNOTSUPP {
		t.Errorf("unknown namespace: %v", err)
	}
}
