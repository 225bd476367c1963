// Package e2e runs the shipped program, bin/megabin, as a user would, over a
// real image: it has tests only.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"megabinary.dev/test/images"
)

// megabin returns the program under test.
func megabin(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

// built is the image of busybox, made and rebuilt once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "megabin-e2e")
	if err != nil {
		return "", err
	}
	img, err := images.Busybox()
	if err != nil {
		return "", err
	}
	src := filepath.Join(dir, "src")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	path, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		return "", err
	}
	dst := "oci:" + filepath.Join(dir, "mega") + ":latest"
	cmd := exec.Command(path, "build", "--plain", "oci:"+src+":latest", "-o", dst)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w: %s", err, out)
	}
	return dst, nil
})

func image(t testing.TB) string {
	t.Helper()
	megabin(t)
	ref, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestMain(m *testing.M) {
	code := m.Run()
	if ref, err := built(); err == nil {
		os.RemoveAll(filepath.Dir(strings.TrimSuffix(strings.TrimPrefix(ref, "oci:"), ":latest")))
	}
	os.Exit(code)
}

// timeout bounds one run of the program.
const timeout = 3 * time.Minute

// megabinRun runs `megabin run ARGS...` and returns stdout and stderr as one
// stream, in order, and the exit code.
func megabinRun(t testing.TB, stdin string, args ...string) (string, int) {
	t.Helper()
	return output(t, stdin, append([]string{megabin(t), "run"}, args...))
}

func output(t testing.TB, stdin string, argv []string) (string, int) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("%q did not end within %v:\n%s", argv, timeout, out.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", argv, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// native runs a command in a chroot of the same image on the real kernel, with
// a process namespace and /proc of its own, so that both start as process 1.
func native(t *testing.T, args ...string) (string, int) {
	t.Helper()
	img, err := images.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	tar := exec.Command("tar", "-x", "-C", root)
	flat := mutate.Extract(img)
	defer flat.Close()
	tar.Stdin = io.Reader(flat)
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("unpacking the image: %v: %s", err, out)
	}
	const script = `set -e
for d in null zero urandom; do : > "$0/dev/$d"; mount --bind /dev/$d "$0/dev/$d"; done
mount -t proc proc "$0/proc"
root=$0
exec chroot "$root" /bin/env -i PATH=/bin HOME=/root "$@"`
	argv := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child"}
	if os.Getuid() != 0 {
		argv = append(argv, "--user", "--map-root-user")
	}
	argv = append(argv, "sh", "-c", script, root)
	return output(t, "", append(argv, args...))
}

// TestScriptAgreesWithTheRealKernel is the main promise: the same script over
// the same image prints the same bytes.
func TestScriptAgreesWithTheRealKernel(t *testing.T) {
	want, wantCode := native(t, "/bin/sh", "/demo/demo.sh")
	if wantCode != 0 || !strings.HasSuffix(want, "all gone\n") {
		t.Fatalf("the script fails natively, with status %d:\n%s", wantCode, want)
	}
	for _, engine := range []string{"compiler", "interpreter"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "interpreter" && testing.Short() {
				t.Skip("most of a minute in the interpreter: left out by -short")
			}
			got, code := megabinRun(t, "", "--engine", engine, image(t), "/bin/sh", "/demo/demo.sh")
			if code != wantCode {
				t.Errorf("status %d, natively %d", code, wantCode)
			}
			if got != want {
				t.Errorf("output differs:\n%s", diff(want, got))
			}
		})
	}
}

// diff returns the lines around the first difference.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	at := func(lines []string) string {
		return strings.Join(lines[min(i, len(lines)):min(i+6, len(lines))], "\n    ")
	}
	return fmt.Sprintf("line %d\n  natively:\n    %s\n  here:\n    %s", i+1, at(w), at(g))
}

func TestUnknownHashIsRefused(t *testing.T) {
	trail := filepath.Join(t.TempDir(), "audit.jsonl")
	out, code := megabinRun(t, "", "--audit", trail, image(t), "/demo/refused.sh")
	if code != 0 {
		t.Errorf("status %d: %s", code, out)
	}
	for _, want := range []string{"a copy has the same hash and runs", "/tmp/busybox: Permission denied", "status 126"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "must not be printed") {
		t.Errorf("a file ran whose hash is not in the map:\n%s", out)
	}
	data, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	denied := map[string]string{}
	for line := range strings.Lines(string(data)) {
		var r struct{ Verdict, Path, Object, Rule, Reason string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if r.Verdict == "deny" {
			denied[r.Path] = r.Rule
			if !strings.HasPrefix(r.Object, "sha256:") || r.Reason == "" {
				t.Errorf("an audit line lacks what or why: %s", line)
			}
		}
	}
	for _, path := range []string{"/tmp/busybox", "/tmp/script"} {
		if denied[path] != "exec.unknown-hash" {
			t.Errorf("audit trail: %s denied by %q", path, denied[path])
		}
	}
	if out, code := output(t, "", []string{megabin(t), "audit", "verify", trail}); code != 0 {
		t.Errorf("audit verify: status %d: %s", code, out)
	}
}

func TestRunFlagsAndExitCodes(t *testing.T) {
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		stdin string
		args  []string
		out   string // exact, or a part of it after "~"
		code  int
	}{
		{"the default command reads no input without -i", "echo no\n", []string{"IMAGE"}, "", 0},
		{"-i gives input", "echo yes\n", []string{"-i", "IMAGE"}, "yes\n", 0},
		{"status", "", []string{"IMAGE", "sh", "-c", "exit 42"}, "", 42},
		{"killed by a signal", "", []string{"IMAGE", "sh", "-c", `sh -c 'kill -9 $$'; exit $?`}, "Killed\n", 137},
		{"-e", "", []string{"-e", "A=b c", "IMAGE", "sh", "-c", "echo $A"}, "b c\n", 0},
		{"-w", "", []string{"-w", "/demo", "IMAGE", "pwd"}, "/demo\n", 0},
		{"-u", "", []string{"-u", "1000", "IMAGE", "id", "-u"}, "1000\n", 0},
		{"-u binds permissions", "", []string{"-u", "1000", "IMAGE", "sh", "-c", "echo x > /etc/x"}, "~Permission denied", 1},
		{"--entrypoint", "", []string{"--entrypoint", "/bin/echo", "IMAGE", "a", "b"}, "a b\n", 0},
		{"-v", "", []string{"-v", host + ":/mnt", "IMAGE", "sh", "-c", "cat /mnt/file; echo new > /mnt/made"}, "from the host\n", 0},
		{"-v ro", "", []string{"-v", host + ":/mnt:ro", "IMAGE", "sh", "-c", "echo x > /mnt/file"}, "~Read-only file system", 1},
		{"--memory", "", []string{"--memory", "32m", "IMAGE", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1000"}, "~memory", 137},
		{"no such command", "", []string{"IMAGE", "/bin/nothing"}, "~/bin/nothing", 127},
		{"not executable", "", []string{"IMAGE", "/etc/passwd"}, "~/etc/passwd", 126},
		{"a directory", "", []string{"IMAGE", "/etc"}, "~/etc", 126},
		{"no such image", "", []string{"oci:/nowhere/at-all:latest", "true"}, "~/nowhere/at-all", 125},
		{"no such flag", "", []string{"--frobnicate", "IMAGE"}, "~frobnicate", 125},
		{"--strace", "", []string{"--strace=write", "IMAGE", "echo", "hi"}, `~write(1, "hi\n", 3) = 3`, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string(nil), tc.args...)
			for i, a := range args {
				if a == "IMAGE" {
					args[i] = image(t)
				}
			}
			out, code := megabinRun(t, tc.stdin, args...)
			if code != tc.code {
				t.Errorf("status %d, want %d; output: %s", code, tc.code, out)
			}
			if part, ok := strings.CutPrefix(tc.out, "~"); ok && !strings.Contains(out, part) || !ok && out != tc.out {
				t.Errorf("output %q, want %q", out, tc.out)
			}
		})
	}
	if data, err := os.ReadFile(filepath.Join(host, "made")); err != nil || string(data) != "new\n" {
		t.Errorf("a file written to a bind mount: %q, %v", data, err)
	}
}

func TestInterruptEndsARun(t *testing.T) {
	for _, script := range []string{"sleep 100", "while :; do :; done", "trap 'echo bye; exit 3' INT; while :; do sleep 0.1; done"} {
		cmd := exec.Command(megabin(t), "run", image(t), "sh", "-c", "echo ready; "+script)
		var out bytes.Buffer
		ready, w := io.Pipe()
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, w), &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := ready.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, ready)
		time.Sleep(300 * time.Millisecond) // the script is in its loop or about to be: both must end
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		want := 130
		if strings.Contains(script, "exit 3") {
			want = 3
		}
		if !timer.Stop() || cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s: %v, want status %d; output %q", script, cmd.ProcessState, want, out.String())
		}
	}
}

func TestProgramIsOneFile(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "megabin")
	data, err := os.ReadFile(megabin(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o755); err != nil {
		t.Fatal(err)
	}
	img, err := images.Programs(map[string]string{"/bin/busybox": "/bin/busybox"})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"build", "--plain", "--store", filepath.Join(dir, "store"), "oci:src:latest", "-o", "oci:dst:latest"},
		{"verify", "oci:dst:latest"},
		{"run", "oci:dst:latest", "/bin/busybox", "true"},
	} {
		cmd := exec.Command("./megabin", args...)
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + dir, "PATH=/nowhere"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
}

func TestFlippedByteIsFound(t *testing.T) {
	src := strings.TrimSuffix(strings.TrimPrefix(image(t), "oci:"), ":latest")
	dir := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-r", src, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) < 4 {
		t.Fatalf("%d blobs, %v", len(blobs), err)
	}
	for _, blob := range blobs {
		data, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		os.Chmod(blob, 0o644)
		if err := os.WriteFile(blob, data, 0o644); err != nil {
			t.Fatal(err)
		}
		out, code := output(t, "", []string{megabin(t), "verify", "oci:" + dir + ":latest"})
		if name := filepath.Base(blob); code == 0 || !strings.Contains(out, name) {
			t.Errorf("a flipped byte in %s: verify says status %d, %q", name, code, out)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(blob, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := output(t, "", []string{megabin(t), "verify", "oci:" + dir + ":latest"}); code != 0 {
		t.Errorf("whole again: status %d, %q", code, out)
	}
}
