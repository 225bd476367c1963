// Package confined tests from inside of guests, and from outside of the process
// that runs them, what docs/SECURITY.md promises of memory, policies, audit trails
// and the host process. It has tests only.
package confined

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"megabinary.dev/test/images"
)

type built struct{ dir, megabin, image string }

// programs are compiled with these commands, less file and -o.
var programs = map[string]string{
	"noexec":    "gcc -static-pie -O1 -Wall -Werror",
	"execstack": "gcc -static-pie -O1 -Wall -Werror -z execstack",
	"hostile":   "musl-gcc -static -O1 -Wall -Werror",
	"filtered":  "gcc -static -O1 -Wall -Werror -pthread",
}

var build = sync.OnceValues(func() (*built, error) {
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(megabin); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	dir, err := os.MkdirTemp("", "megabin-confined")
	if err != nil {
		return nil, err
	}
	b := &built{dir: dir, megabin: megabin, image: "oci:" + dir + "/mega:latest"}
	files := map[string]string{"/bin/busybox": "/bin/busybox"}
	for name, command := range programs {
		exe := filepath.Join(dir, name)
		argv := append(strings.Fields(command), "-o", exe, filepath.Join("testdata", name+".c"))
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%q: %w: %s", argv, err, out)
		}
		files["/bin/"+name] = exe
	}
	img, err := images.Programs(files)
	if err != nil {
		return nil, err
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		return nil, err
	}
	out, err := exec.Command(megabin, "build", "--plain", "oci:"+dir+"/src:latest", "-o", b.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("building the image: %w: %s", err, out)
	}
	return b, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := build(); err == nil {
		os.RemoveAll(b.dir)
	}
	os.Exit(code)
}

func image(t *testing.T) *built {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs megabin and returns its output and exit status.
func (b *built) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.megabin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// record is what the tests need of an audit line.
type record struct{ Event, Path, Verdict, Rule string }

func (b *built) trail(t *testing.T, file string, args ...string) []record {
	t.Helper()
	out, errs, code := b.run(t, append([]string{"audit", "query", "--json", file}, args...)...)
	if code != 0 {
		t.Fatalf("reading the trail: %s", errs)
	}
	var all []record
	for line := range strings.Lines(out) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNoExecutableMemory(t *testing.T) {
	b := image(t)
	trail := filepath.Join(t.TempDir(), "trail")
	policy := write(t, "p.yaml", "version: 1\nseccomp: {profile: unconfined}\n")
	out, errs, code := b.run(t, "run", "-w", "/tmp", "--policy", policy, "--audit", trail, b.image, "/bin/noexec")
	if code != 0 {
		t.Fatalf("status %d\n%s%s", code, out, errs)
	}
	ways := strings.Split(strings.TrimSpace(out), "\n")
	if len(ways) < 25 {
		t.Errorf("%d ways", len(ways))
	}
	for _, way := range ways {
		if !strings.HasSuffix(way, " EACCES") && way != "remap_file_pages EINVAL" { // as on Linux, but in the trail
			t.Error(way)
		}
	}
	// personality-mmap and any-at-the-end only look.
	denied := map[string]int{}
	for _, r := range b.trail(t, trail, "--verdict", "deny") {
		denied[r.Event+" "+r.Rule]++
	}
	if denied["memory exec.no-memory"]+denied["map exec.unknown-hash"]+denied["map exec.not-code"] < len(ways)-2 {
		t.Errorf("%d ways, but the trail has %v", len(ways), denied)
	}
	if out, _, _ := b.run(t, "run", b.image, "/bin/execstack"); out != "stack EACCES\n" {
		t.Errorf("a program that asks for an executable stack: %s", out)
	}
}

// TestHostilePointers runs a program that calls everything with nonsense: the
// container goes on, and nothing in the vkernel panics.
func TestHostilePointers(t *testing.T) {
	b := image(t)
	trail := filepath.Join(t.TempDir(), "trail")
	policy := write(t, "p.yaml", "version: 1\nseccomp: {profile: unconfined}\n")
	out, errs, code := b.run(t, "run", "-w", "/tmp", "-m", "64m", "--policy", policy, "--audit", trail, b.image, "/bin/hostile")
	if code != 0 || !strings.HasSuffix(out, "survived\n") {
		t.Errorf("status %d\n%s%s", code, out, errs)
	}
	t.Log(out)
	if strings.Contains(errs, "fault in the vkernel") {
		t.Error(errs[:min(len(errs), 8000)])
	}
	if p := b.trail(t, trail, "--event", "panic"); len(p) > 0 {
		t.Errorf("%d panics", len(p))
	}
}

func TestVerdictsInAGuest(t *testing.T) {
	b := image(t)
	trail := filepath.Join(t.TempDir(), "trail")
	policy := write(t, "p.yaml", `version: 1
seccomp: {profile: unconfined}
syscalls:
  rules:
    - {names: [sethostname], action: errno, errno: EXDEV}
    - {names: [setdomainname], action: trap}
    - {names: [socket], args: [{index: 0, op: eq, value: 16}], action: errno, errno: EAFNOSUPPORT}
    - {names: [getpgid], action: log}
    - {names: [getpriority], args: [{index: 0, op: eq, value: 7}], action: kill-thread}
    - {names: [setpriority], action: kill-process}
`)
	out, errs, code := b.run(t, "run", "-w", "/tmp", "--policy", policy, "--audit", trail, b.image, "/bin/filtered")
	want := `errno: -1 EXDEV
SIGSYS code 1 syscall 171 arch c000003e errno 0 rax 171
trap returns 4711
by argument: -1 EAFNOSUPPORT, allowed
logged: 0
the process lives
kill-thread of the only one: signal 31
kill-process: signal 31
`
	if out != want || code != 0 {
		t.Errorf("status %d\n%s%s", code, out, errs)
	}
	seen := map[string]bool{}
	for _, r := range b.trail(t, trail, "--event", "syscall") {
		seen[r.Path+" "+r.Verdict+" "+r.Rule] = true
	}
	for _, w := range []string{"sethostname deny syscalls.rules[0]", "setdomainname deny syscalls.rules[1]", "socket deny syscalls.rules[2]",
		"getpgid allow syscalls.rules[3]", "getpriority deny syscalls.rules[4]", "setpriority deny syscalls.rules[5]"} {
		if !seen[w] {
			t.Errorf("the trail has no %q: %v", w, seen)
		}
	}
}

func TestFilesInAGuest(t *testing.T) {
	b := image(t)
	trail := filepath.Join(t.TempDir(), "trail")
	policy := write(t, "p.yaml", `version: 1
files:
  rules:
    - {path: /data/secret, access: none}
    - {path: /data/**, access: read}
    - {path: /bin/filtered, access: none}
`)
	host := t.TempDir()
	for _, f := range []string{"secret", "open"} {
		if err := os.WriteFile(filepath.Join(host, f), []byte(f+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `b=/bin/busybox
try() { "$@" >/tmp/out 2>/dev/null && echo "yes: $*" || echo "no: $*"; }
try $b cat /data/open
try $b cat /data/secret
try $b stat /data/secret
try $b cat /data/../data/./secret
$b ln -s /data /tmp/l; try $b cat /tmp/l/secret
try $b ln /data/open /tmp/hard
try $b mv /data/open /tmp/moved
try $b touch /data/new
try $b chmod 600 /data/open
try $b rm /data/open
try $b mv /data /elsewhere
try /bin/filtered
cd /data; try $b cat secret
exec 3</data/open; try $b dd of=/proc/self/fd/3 if=/bin/busybox count=1
try $b chroot / $b cat /data/secret
try $b truncate -s 0 /data/open
try $b touch /tmp/mine
`
	out, errs, code := b.run(t, "run", "-w", "/tmp", "-v", host+":/data", "--policy", policy, "--audit", trail, b.image, "/bin/busybox", "sh", "-c", script)
	if code != 0 {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	for line := range strings.Lines(out) {
		ok := strings.Contains(line, "cat /data/open") || strings.Contains(line, "/tmp/mine")
		if ok != strings.HasPrefix(line, "yes: ") {
			t.Error(line)
		}
	}
	if n := strings.Count(out, "\n"); n != 17 {
		t.Errorf("%d lines:\n%s%s", n, out, errs)
	}
	if got, err := os.ReadFile(filepath.Join(host, "open")); err != nil || string(got) != "open\n" {
		t.Errorf("the host's file: %q, %v", got, err)
	}
	if n := len(b.trail(t, trail, "--event", "file", "--verdict", "deny")); n < 12 {
		t.Errorf("%d refusals in the trail", n)
	}
}

func TestRecordedPolicyPasses(t *testing.T) {
	b := image(t)
	dir := t.TempDir()
	policy := filepath.Join(dir, "recorded.yaml")
	command := []string{b.image, "/bin/busybox", "sh", "-c", "b=/bin/busybox; $b mkdir /tmp/d; $b ls / | $b sort; $b ps; $b id; /bin/filtered; echo $$ > /tmp/d/f; $b cat /tmp/d/f"}
	want, errs, code := b.run(t, append([]string{"policy", "record", "-w", "/tmp", "-o", policy}, command...)...)
	if code != 0 {
		t.Fatalf("status %d: %s", code, errs)
	}
	trail := filepath.Join(dir, "trail")
	got, errs, code := b.run(t, append([]string{"run", "-w", "/tmp", "--policy", policy, "--audit", trail}, command...)...)
	if code != 0 || got != want {
		t.Errorf("status %d\n%s\nwant\n%s%s", code, got, want, errs)
	}
	if d := b.trail(t, trail, "--verdict", "deny"); len(d) > 0 {
		t.Errorf("refused: %v", d)
	}
	out, _, _ := b.run(t, "run", "--policy", policy, b.image, "/bin/busybox", "cat", "/etc/passwd")
	if out != "" {
		t.Errorf("what was not recorded passes: %s", out)
	}
}

func TestWrongPolicyStartsNothing(t *testing.T) {
	b := image(t)
	policy := write(t, "p.yaml", "version: 1\nfile: {}\n")
	out, errs, code := b.run(t, "run", "--policy", policy, b.image, "/bin/busybox", "echo", "started")
	if code == 0 || out != "" || !strings.Contains(errs, policy+":2:1: unknown key") {
		t.Errorf("status %d, %s%s", code, out, errs)
	}
}

func TestFullDisk(t *testing.T) {
	b := image(t)
	out, errs, code := b.run(t, "run", "--audit", "/dev/full", b.image, "/bin/busybox", "echo", "hi")
	if code == 0 || out != "" || !strings.Contains(errs, "no space left") {
		t.Errorf("stop: status %d, %s%s", code, out, errs)
	}
	out, errs, code = b.run(t, "run", "--audit", "/dev/full", "--audit-full", "drop-and-count", b.image, "/bin/busybox", "echo", "hi")
	if code != 0 || out != "hi\n" || !strings.Contains(errs, "could not take 4 records") {
		t.Errorf("drop-and-count: status %d, %s%s", code, out, errs)
	}
}

func TestNoTerminalCommandsInTrails(t *testing.T) {
	b := image(t)
	trail := filepath.Join(t.TempDir(), "trail")
	evil := "\x1b]0;owned\x07\x1b[31m\u009b31m"
	_, errs, _ := b.run(t, "run", "-w", "/tmp", "--audit", trail, b.image, "/bin/busybox", "sh", "-c", `exec 2>/dev/null; /bin/busybox cp /dev/null "$0"; echo x >"$0"; /bin/busybox chmod 755 "$0"; "$0"`, "/tmp/"+evil)
	_, startErr, _ := b.run(t, "run", b.image, "/bin/"+evil)
	text, _, _ := b.run(t, "audit", "tail", "-n", "100", trail)
	raw, _, _ := b.run(t, "audit", "query", "--json", trail)
	ocsf, _, _ := b.run(t, "audit", "export", trail)
	for name, s := range map[string]string{"log": errs, "error": startErr, "text": text, "json": raw, "ocsf": ocsf} {
		if s == "" && name != "log" || strings.ContainsAny(s, "\x1b\x07\u009b") {
			t.Errorf("%s: %q", name, s)
		}
	}
}

// perms are the permissions of a process's mappings that are executable, by what
// is mapped there.
func executable(pid int) (map[string]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.Contains(f[1], "x") {
			continue
		}
		name := strings.Join(f[5:], " ")
		if old := found[name]; !strings.Contains(old, "w") {
			found[name] = f[1]
		}
	}
	return found, nil
}

// TestHostPages looks at the pages of the host process again and again, while it
// compiles and runs: none is writable and executable, and with the interpreter
// none is executable but the program itself and what the kernel maps.
func TestHostPages(t *testing.T) {
	b := image(t)
	for _, engine := range []string{"compiler", "interpreter"} {
		t.Run(engine, func(t *testing.T) {
			script := "i=0; while test $i -lt 200; do i=$((i+1)); done; /bin/busybox ls / >/dev/null; echo done"
			cmd := exec.Command(b.megabin, "run", "--cache-dir", t.TempDir(), "--engine", engine, b.image, "/bin/busybox", "sh", "-c", script)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			looks, anonymous := 0, 0
			for running := true; running; looks++ {
				select {
				case err := <-ended:
					if running = false; err != nil {
						t.Errorf("%v: %s", err, out.String())
					}
				case <-time.After(time.Millisecond):
				}
				maps, err := executable(cmd.Process.Pid)
				if err != nil {
					break // it has just ended
				}
				for name, perms := range maps {
					host := name == b.megabin || name == "[vdso]" || name == "[vsyscall]"
					if strings.Contains(perms, "w") {
						t.Fatalf("%s %q is writable and executable", perms, name)
					}
					if !host {
						anonymous++
					}
					if !host && engine == "interpreter" {
						t.Fatalf("%s %q is executable", perms, name)
					}
				}
			}
			t.Logf("%d looks, %d pages of compiled code seen", looks, anonymous)
			if looks < 20 || engine == "compiler" && anonymous == 0 {
				t.Error("nothing was seen of it")
			}
		})
	}
}

// TestHostProcessIsConfined looks at the process that runs a container from
// outside: no new privileges, a seccomp filter of its own. What that forbids,
// vkernel/confine tests.
func TestHostProcessIsConfined(t *testing.T) {
	b := image(t)
	cmd := exec.Command(b.megabin, "run", "--log-level", "info", b.image, "/bin/busybox", "sh", "-c", "echo up; /bin/busybox sleep 100")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("/proc/PID/status has no %q", want)
		}
	}
	if !strings.Contains(errs.String(), "the host process is confined") || !strings.Contains(errs.String(), "Landlock") {
		t.Errorf("it does not say so: %s", errs.String())
	}
}
