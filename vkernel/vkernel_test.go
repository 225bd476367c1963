package vkernel

import (
	"slices"
	"strings"
	"testing"

	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// root returns a caller over a small file system.
func root(t *testing.T) *vfs.Caller {
	t.Helper()
	ns := vfs.NewMountNamespace(mem.New(mem.Options{}), vfs.MountOptions{}, nil)
	c := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: ns.Root(), Cwd: ns.Root()}
	for _, dir := range []string{"/etc", "/bin", "/usr"} {
		if err := c.Mkdir(vfs.Path{}, dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func put(t *testing.T, c *vfs.Caller, path, content string, mode uint32) {
	t.Helper()
	d, err := c.Open(vfs.Path{}, path, linux.O_CREAT|linux.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	defer d.DecRef()
	if _, err := d.Write([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
}

func TestLookupUser(t *testing.T) {
	c := root(t)
	put(t, c, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n# no account\nann:x:1000:100::/home/ann:/bin/sh\nbad:x\n", 0o644)
	put(t, c, "/etc/group", "root:x:0:\nusers:x:100:\nwheel:x:10:root,ann\n", 0o644)
	for _, tc := range []struct {
		user     string
		uid, gid uint32
		groups   []uint32
		home     string
		fails    string
	}{
		{user: "", home: "/root", groups: []uint32{10}},
		{user: "ann", uid: 1000, gid: 100, groups: []uint32{10}, home: "/home/ann"},
		{user: "1000", uid: 1000, gid: 100, groups: []uint32{10}, home: "/home/ann"},
		{user: "ann:wheel", uid: 1000, gid: 10, home: "/home/ann"},
		{user: "7:8", uid: 7, gid: 8, home: "/"},
		{user: "7", uid: 7, home: "/"},
		{user: "bob", fails: "unable to find user bob"},
		{user: "ann:none", fails: "unable to find group none"},
		{user: "-1", fails: "unable to find user -1"},
	} {
		creds, home, err := lookupUser(c, tc.user)
		if tc.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tc.fails) {
				t.Errorf("%q: %v, want %q", tc.user, err, tc.fails)
			}
			continue
		}
		if err != nil || creds.UID != tc.uid || creds.GID != tc.gid || home != tc.home || !slices.Equal(creds.Groups, tc.groups) {
			t.Errorf("%q: %+v, home %q, %v", tc.user, creds, home, err)
		}
	}
}

func TestLookPath(t *testing.T) {
	c := root(t)
	put(t, c, "/bin/tool", "x", 0o755)
	put(t, c, "/usr/data", "x", 0o644)
	c.Creds = vfs.NewCreds(5, 5)
	for _, tc := range []struct {
		name, path, want string
		err              error
	}{
		{"tool", "PATH=/usr:/bin", "/bin/tool", nil},
		{"tool", "OTHER=1", "/bin/tool", nil},
		{"./tool", "PATH=/bin", "./tool", nil},
		{"data", "PATH=/usr:/bin", "", linux.EACCES},
		{"none", "PATH=/usr:/bin", "", linux.ENOENT},
		{"bin", "PATH=/", "", linux.ENOENT}, // a directory is no program
	} {
		if got, err := lookPath(c, tc.name, []string{tc.path}); got != tc.want || err != tc.err {
			t.Errorf("%s with %s: %q, %v", tc.name, tc.path, got, err)
		}
	}
}

func TestMakeDir(t *testing.T) {
	c := root(t)
	p, err := makeDir(c, "/a/../b//c/")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := vfs.PathOfDir(p, c.Root); err != nil || got != "/b/c" {
		t.Errorf("made %q, %v", got, err)
	}
	put(t, c, "/file", "", 0o644)
	if _, err := makeDir(c, "/file/x"); linux.ErrnoOf(err) != linux.ENOTDIR {
		t.Errorf("below a file: %v", err)
	}
}

func TestEnvironmentDefaults(t *testing.T) {
	got := withDefaults([]string{"HOME=/x", "A=1"}, "/root", "host", false)
	if want := []string{"HOME=/x", "A=1", "PATH=" + defaultPath, "HOSTNAME=host"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStatus(t *testing.T) {
	for wait, want := range map[int]int{0: 0, 7 << 8: 7, 9: 137, 0x7f00: 127} {
		if got := statusOf(wait).ExitCode(); got != want {
			t.Errorf("wait status %#x is exit code %d, want %d", wait, got, want)
		}
	}
}

func TestStartErrorCodes(t *testing.T) {
	for errno, notFound := range map[linux.Errno]bool{linux.ENOENT: true, linux.ENOTDIR: true, linux.EACCES: false, linux.ENOEXEC: false} {
		if got := (&StartError{Path: "x", Err: errno}).NotFound(); got != notFound {
			t.Errorf("%v: not found is %v", errno, got)
		}
	}
}
