package bind

import (
	"os"
	"path/filepath"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

func setup(t *testing.T, readOnly bool) (*vfs.Caller, string) {
	t.Helper()
	host := t.TempDir()
	fs, err := New(host, 9, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	ns := vfs.NewMountNamespace(fs, vfs.MountOptions{ReadOnly: readOnly}, nil)
	return &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root(), Umask: 0o022}, host
}

func TestReadWrite(t *testing.T) {
	c, host := setup(t, false)
	p := vfs.Path{}
	if err := c.Mkdir(p, "/d", 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := c.Open(p, "/d/f", linux.O_CREAT|linux.O_RDWR, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	d.Write([]byte("hello"), 0)
	d.DecRef()
	if b, err := os.ReadFile(filepath.Join(host, "d/f")); string(b) != "hello" {
		t.Errorf("host sees %q, %v", b, err)
	}
	if fi, _ := os.Stat(filepath.Join(host, "d/f")); fi.Mode().Perm() != 0o640 {
		t.Errorf("host sees mode %v", fi.Mode())
	}
	if d, err = c.Open(p, "/d/f", linux.O_WRONLY|linux.O_APPEND, 0); err != nil {
		t.Fatal(err)
	}
	d.Write([]byte("!"), 0)
	d.DecRef()
	if err := c.Rename(p, "/d/f", p, "/g", 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Symlink("g", p, "/s"); err != nil {
		t.Fatal(err)
	}
	if d, err = c.Open(p, "/s", linux.O_RDONLY, 0); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, err := d.Read(buf); string(buf[:n]) != "hello!" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	d.DecRef()
	if err := c.Rmdir(p, "/d"); err != nil {
		t.Error(err)
	}
	if err := c.Unlink(p, "/absent"); err != linux.ENOENT {
		t.Errorf("removing nothing: %v", err)
	}
	if _, _, _, ok := vfs.ContentIdentity(d.Inode()); ok {
		t.Error("a host file claims to show its changes")
	}
}

func TestReadOnly(t *testing.T) {
	c, host := setup(t, true)
	os.WriteFile(filepath.Join(host, "f"), []byte("x"), 0o666)
	p := vfs.Path{}
	for name, err := range map[string]error{
		"create": func() error { _, err := c.Open(p, "/new", linux.O_CREAT|linux.O_WRONLY, 0o600); return err }(),
		"write":  func() error { _, err := c.Open(p, "/f", linux.O_WRONLY, 0); return err }(),
		"mkdir":  c.Mkdir(p, "/d", 0o700),
		"unlink": c.Unlink(p, "/f"),
		"rename": c.Rename(p, "/f", p, "/g", 0),
	} {
		if err != linux.EROFS {
			t.Errorf("%s: %v, want EROFS", name, err)
		}
	}
}

func TestSymlinksStayInTheGuest(t *testing.T) {
	c, host := setup(t, false)
	outside := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(outside, []byte("secret"), 0o600)
	os.Symlink(outside, filepath.Join(host, "abs"))
	os.Symlink("../../../../../../../.."+outside, filepath.Join(host, "rel"))
	for _, name := range []string{"/abs", "/rel"} {
		if _, err := c.Open(vfs.Path{}, name, linux.O_RDONLY, 0); err != linux.ENOENT {
			t.Errorf("%s: %v, want ENOENT: the guest has no such file", name, err)
		}
	}
	// A file that becomes a symlink between lookup and open.
	os.WriteFile(filepath.Join(host, "race"), nil, 0o600)
	in, err := c.Root.Inode.(vfs.Dir).Lookup("race")
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(host, "race"))
	os.Symlink(outside, filepath.Join(host, "race"))
	if _, err := in.Open(vfs.OpenRequest{Flags: linux.O_RDONLY}); err == nil {
		t.Error("a race with a symlink led out of the directory")
	}
}

func TestReadDir(t *testing.T) {
	c, host := setup(t, false)
	for _, n := range []string{"b", "a", "c"} {
		os.WriteFile(filepath.Join(host, n), nil, 0o600)
	}
	d, err := c.Open(vfs.Path{}, "/", linux.O_RDONLY|linux.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.DecRef()
	got := ""
	for range 6 { // one entry a call
		n := 0
		d.ReadDir(func(e linux.Dirent) bool {
			if n++; n == 2 {
				return false
			}
			got += e.Name + " "
			return true
		})
	}
	if got != ". .. a b c " {
		t.Errorf("listed %q", got)
	}
}
