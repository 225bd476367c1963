package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be its own confined process.
func TestMain(m *testing.M) {
	if spec := os.Getenv("CONFINE_TEST"); spec != "" {
		confined(spec)
		return
	}
	os.Exit(m.Run())
}

// attempt is something that a confined process may or may not do.
type attempt struct {
	name string
	do   func() error
}

func attempts(dir string) []attempt {
	call := func(nr uintptr, args ...uintptr) func() error {
		var a [6]uintptr
		copy(a[:], args)
		return func() error {
			if _, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
				return e
			}
			return nil
		}
	}
	mapped := func(prot int) func() error {
		return func() error {
			b, err := unix.Mmap(-1, 0, 4096, prot, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err == nil {
				err = unix.Munmap(b)
			}
			return err
		}
	}
	read := func(name string) func() error {
		return func() error { _, err := os.ReadFile(name); return err }
	}
	return []attempt{
		{"read inside", read(filepath.Join(dir, "ro", "f"))},
		{"write inside", func() error { return os.WriteFile(filepath.Join(dir, "rw", "new"), nil, 0o600) }},
		{"rename inside", func() error {
			return os.Rename(filepath.Join(dir, "rw", "new"), filepath.Join(dir, "rw", "sub", "new"))
		}},
		{"thread", func() error {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { runtime.LockOSThread() })
			}
			wg.Wait()
			return nil
		}},
		{"read-write memory", mapped(unix.PROT_READ | unix.PROT_WRITE)},
		{"executable memory", mapped(unix.PROT_READ | unix.PROT_EXEC)},
		{"executable file", func() error {
			f, err := os.Open(filepath.Join(dir, "ro", "f"))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
			return err
		}},
		{"memory that becomes executable", func() error {
			b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				return err
			}
			return unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
		}},
		{"socket", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}},
		{"listen", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err == nil {
				err = l.Close()
			}
			return err
		}},
		// never
		{"read outside", read("/etc/passwd")},
		{"write read-only", func() error { return os.WriteFile(filepath.Join(dir, "ro", "f"), nil, 0o600) }},
		{"list the root", func() error { _, err := os.ReadDir("/"); return err }},
		{"memory of itself", read("/proc/self/mem")},
		{"run", func() error { return exec.Command("/bin/true").Run() }},
		{"fork", call(unix.SYS_CLONE, uintptr(unix.SIGCHLD))},
		{"fork as a new call", call(unix.SYS_CLONE3, 0, 0)},
		{"ptrace", call(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
		{"bpf", call(unix.SYS_BPF, 0, 0, 0)},
		{"namespace", call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
		{"io_uring", call(unix.SYS_IO_URING_SETUP, 1, 0)},
		{"chroot", func() error { return unix.Chroot(dir) }},
		{"setuid", call(unix.SYS_SETUID, 0)},
		{"packet socket", func() error { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return err }},
		{"MPTCP socket", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); return err }},
		{"writable and executable memory", mapped(unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC)},
		{"signal another process", func() error { return unix.Kill(os.Getppid(), 0) }},
	}
}

// confined is the child: it prints a JSON object with the error of each attempt.
func confined(spec string) {
	var o Options
	if err := json.Unmarshal([]byte(spec), &o); err != nil {
		panic(err)
	}
	report, err := Process(o)
	if err != nil {
		panic(err)
	}
	out := map[string]string{"report": strings.Join(report.Done, "\n") + "\n-\n" + strings.Join(report.Missing, "\n")}
	for _, a := range attempts(os.Getenv("CONFINE_DIR")) {
		out[a.name] = fmt.Sprint(a.do())
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		panic(err)
	}
}

func inChild(t *testing.T, o Options, dir string) map[string]string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CONFINE_TEST="+string(b), "CONFINE_DIR="+dir)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// TestConfinedProcess tries in a confined process what it may do and what not.
func TestConfinedProcess(t *testing.T) {
	if v := abi(); v < abiScope {
		t.Fatalf("the kernel has Landlock %d: the tests need %d, of Linux 6.12", v, abiScope)
	}
	dir := t.TempDir()
	for _, d := range []string{"ro", "rw/sub"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ro", "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := []string{"executable memory", "executable file", "memory that becomes executable"}
	always := []string{"read inside", "write inside", "rename inside", "thread", "read-write memory"}
	for _, c := range []struct {
		name string
		o    Options
		may  []string
	}{
		{"interpreter without a network", Options{}, nil},
		{"compiler without a network", Options{Code: CodeMade}, made},
		{"compiler that connects", Options{Code: CodeMade, Connect: true}, append([]string{"socket"}, made...)},
		{"native code", Options{Code: CodeFiles}, []string{"executable file"}},
		{"interpreter that listens", Options{Listen: []uint16{0}}, []string{"socket", "listen"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.ReadDirs, c.o.WriteDirs = []string{filepath.Join(dir, "ro"), filepath.Join(dir, "none")}, []string{filepath.Join(dir, "rw")}
			got := inChild(t, c.o, dir)
			may := map[string]bool{}
			for _, name := range append(c.may, always...) {
				may[name] = true
			}
			for _, a := range attempts(dir) {
				if may[a.name] != (got[a.name] == "<nil>") {
					t.Errorf("%s: %s, may it: %v", a.name, got[a.name], may[a.name])
				}
			}
			if t.Failed() {
				t.Log(got["report"])
			}
		})
	}
}
