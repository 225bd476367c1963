// Package pipeline tests the way from an ELF file to its output: analyze,
// recompile, link, run.
package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	analyzeelf "megabinary.dev/plugins/analyze-elf"
	linkmegabinary "megabinary.dev/plugins/link-megabinary"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/test/bench/kernel"
	"megabinary.dev/vkernel/machine"
)

// built is a program on its way.
type built struct {
	file       []byte
	report     artifact.UnitReport
	megabinary []byte
	times      map[string]time.Duration // user CPU time
	after      func(k *tinyKernel)      // looks at what a run leaves; may be nil
}

func build(t testing.TB, file []byte, opts recompile.Options) *built {
	t.Helper()
	ctx := context.Background()
	if d := os.Getenv("PIPELINE_DISABLE"); d != "" {
		opts.DisablePasses = strings.Split(d, ",")
	}
	b := &built{file: file, times: map[string]time.Duration{}}
	start := userTime()
	lap := func(what string) {
		b.times[what] = userTime() - start
		start = userTime()
	}
	p, err := analyzeelf.Analyze(ctx, bytes.NewReader(file), int64(len(file)), analyzeelf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lap("analyze")
	unit, report, err := recompile.Recompile(ctx, bytes.NewReader(file), p, opts)
	if err != nil {
		t.Fatal(err)
	}
	b.report = report
	lap("recompile")
	linked, err := linkmegabinary.Link([][]byte{unit})
	if err != nil {
		t.Fatal(err)
	}
	if b.megabinary, err = linked.Encode(nil); err != nil {
		t.Fatal(err)
	}
	lap("link")
	if dir := os.Getenv("PIPELINE_KEEP"); dir != "" {
		os.WriteFile(filepath.Join(dir, "unit.wasm"), unit, 0o644)
		os.WriteFile(filepath.Join(dir, "megabinary.wasm"), b.megabinary, 0o644)
	}
	return b
}

// result is what a run of a program did.
type result struct {
	stdout     string
	code       int
	compile    time.Duration // user CPU time of compiling
	elapsed    time.Duration // user CPU time of running
	safepoints int
}

func (b *built) run(t testing.TB, o machine.WazeroOptions, base guestabi.PC, stdin string, args ...string) result {
	t.Helper()
	ctx := context.Background()
	before := userTime()
	e, err := machine.NewWazero(ctx, b.megabinary, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(ctx)
	r := result{compile: userTime() - before}
	mem, err := machine.NewMemory(512 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	k := &tinyKernel{t: t, mem: mem, stdin: []byte(stdin), trace: os.Getenv("PIPELINE_TRACE") != "",
		low: uint32(b.report.Low) + base, high: uint32(b.report.High) + base}
	if k.m, err = e.NewMachine(mem, k); err != nil {
		t.Fatal(err)
	}
	defer k.m.Close()
	if err := k.m.Bind(0, base); err != nil {
		t.Fatal(err)
	}
	pc, rsp := k.load(b.file, uint64(base), args)
	var c guestabi.Context
	k.m.SaveContext(&c)
	c.GPR[guestabi.RSP], c.MXCSR = rsp, guestabi.MXCSRInit
	k.m.LoadContext(&c)
	before = userTime()
	for !k.exited {
		if pc, err = k.m.Run(pc); err != nil {
			t.Fatalf("running %v: %v (near %#x)\noutput: %s", args, err, pc, k.stdout.String())
		}
		if k.anew != 0 {
			pc, k.anew = k.anew, 0
		}
		if k.fault != "" {
			t.Fatalf("running %v: %s\noutput: %s", args, k.fault, k.stdout.String())
		}
	}
	if b.after != nil {
		b.after(k)
	}
	r.elapsed, r.stdout, r.code, r.safepoints = userTime()-before, k.stdout.String(), k.code, k.safe
	return r
}

// userTime is the user CPU time that this process has taken.
func userTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano())
}

// tool returns the path of a program of a Debian package.
func tool(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	return path
}

// compile makes a program of C source and returns its path and content.
func compile(t testing.TB, compiler, pkg, source string, flags ...string) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "a.c")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "a.out")
	args := append(append([]string{}, flags...), "-o", out, src, "-lm")
	if msg, err := exec.Command(tool(t, compiler, pkg), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return out, b
}

const bare = `
static long sys(long n, long a, long b, long c) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}
void _start(void) {
	char s[32];
	unsigned x = 1, i;
	for (i = 0; i < 1000000; i++) x = x * 1664525 + 1013904223 + (i & 3 ? x >> 3 : i);
	for (i = 0; i < 8; i++) { s[7 - i] = "0123456789abcdef"[x & 15]; x >>= 4; }
	s[8] = '\n';
	sys(1, 1, (long)s, 9);
	sys(231, 7, 0, 0);
}
`

// TestBareProgram runs a program without a C library.
func TestBareProgram(t *testing.T) {
	for _, opt := range []string{"-O0", "-O1", "-O2", "-Os", "-O3"} {
		for _, noOpt := range []bool{true, false} {
			path, file := compile(t, "gcc", "gcc", bare, opt, "-static", "-nostdlib", "-fno-stack-protector", "-fcf-protection=none", "-no-pie")
			want, _ := exec.Command(path).Output()
			got := build(t, file, recompile.Options{Verify: true, NoOpt: noOpt}).run(t, machine.WazeroOptions{}, 0, "", "bare")
			if got.stdout != string(want) || got.code != 7 {
				t.Errorf("%s, passes off: %v: got %q, exit %d; natively %q", opt, noOpt, got.stdout, got.code, want)
			}
		}
	}
}

const hello = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int argc, char **argv) {
	int v[10];
	for (int i = 0; i < 10; i++) v[i] = i * 7919 % 101;
	qsort(v, 10, sizeof *v, cmp);
	for (int i = 0; i < 10; i++) printf("%d ", v[i]);
	printf("\nhello %s %d %x %5.2f %g %Lg\n", argc > 1 ? argv[1] : "world", -42, 48879, 3.14159, 1e100 / 3, 1.5L);
	char *p = malloc(100000);
	memset(p, 'x', 99999); p[99999] = 0;
	printf("%zu %s\n", strlen(p), strstr("find the needle here", "needle"));
	double d = strtod("2.718281828459045", 0);
	printf("%.15g %a\n", d, d);
	return 3;
}
`

// TestHello runs programs with a C library, position-independent or not.
func TestHello(t *testing.T) {
	for _, c := range []struct {
		name, compiler, pkg string
		flags               []string
		base                guestabi.PC
	}{
		{"musl", "musl-gcc", "musl-tools", []string{"-O2", "-static", "-no-pie"}, 0},
		{"musl-O0", "musl-gcc", "musl-tools", []string{"-O0", "-static", "-no-pie"}, 0},
		{"glibc", "gcc", "gcc", []string{"-O2", "-static", "-no-pie"}, 0},
		{"glibc-pie", "gcc", "gcc", []string{"-O2", "-static-pie"}, 0x1000_0000},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, file := compile(t, c.compiler, c.pkg, hello, c.flags...)
			want, _ := exec.Command(path, "you").Output()
			b := build(t, file, recompile.Options{Verify: true})
			got := b.run(t, machine.WazeroOptions{}, c.base, "", path, "you")
			if got.stdout != string(want) || got.code != 3 {
				t.Errorf("got %q, exit %d; natively %q; unknown %v", got.stdout, got.code, want, b.report.Unknown)
			}
		})
	}
}

// TestDeterministic recompiles with different numbers of workers.
func TestDeterministic(t *testing.T) {
	_, file := compile(t, "musl-gcc", "musl-tools", hello, "-O2", "-static")
	one := build(t, file, recompile.Options{Workers: 1})
	two := build(t, file, recompile.Options{Workers: 7})
	if !bytes.Equal(one.megabinary, two.megabinary) {
		t.Error("the megabinary depends on the number of workers")
	}
}

// TestKernels runs the kernels of test/bench at a small size against the CPU.
func TestKernels(t *testing.T) {
	sources, err := filepath.Glob("../bench/kernels/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no kernels: %v", err)
	}
	only := os.Getenv("KERNEL")
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		if only != "" && only != name {
			continue
		}
		// musl's programs are small, which keeps the test short.
		for _, c := range [][3]string{
			{"-O2", "gcc", "gcc"}, {"-O0", "musl-gcc", "musl-tools"}, {"-O1", "musl-gcc", "musl-tools"},
			{"-O3", "musl-gcc", "musl-tools"}, {"-Os", "musl-gcc", "musl-tools"},
		} {
			libraries := kernel.Libraries(name)
			if c[1] == "musl-gcc" && libraries != nil {
				continue
			}
			t.Run(name+c[0], func(t *testing.T) {
				out := filepath.Join(t.TempDir(), name)
				args := append([]string{c[0], "-static", "-no-pie", "-o", out, src}, libraries...)
				if msg, err := exec.Command(tool(t, c[1], c[2]), args...).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", c[1], err, msg)
				}
				file, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				n := os.Getenv("KERNEL_N")
				if n == "" {
					n = "2"
				}
				args = []string{out, n}
				if n == "default" {
					args = args[:1]
				}
				cmd := exec.Command(out, args[1:]...)
				want, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				native := cmd.ProcessState.UserTime()
				b := build(t, file, recompile.Options{Verify: true})
				got := b.run(t, machine.WazeroOptions{}, 0, "", args...)
				if got.stdout != string(want) {
					t.Errorf("got %q, natively %q", got.stdout, want)
				}
				line := fmt.Sprintf("native %v, megabinary %v (%.2f)", native, got.elapsed, float64(got.elapsed)/float64(native))
				if os.Getenv("KERNEL_QEMU") != "" {
					cmd := exec.Command(tool(t, "qemu-x86_64-static", "qemu-user-static"), append([]string{out}, args[1:]...)...)
					if err := cmd.Run(); err != nil {
						t.Fatal(err)
					}
					qemu := cmd.ProcessState.UserTime()
					line += fmt.Sprintf(", qemu %v (%.2f): megabinary/qemu %.2f", qemu, float64(qemu)/float64(native), float64(got.elapsed)/float64(qemu))
				}
				t.Log(line)
			})
		}
	}
}

// TestBusybox translates the largest static program at hand and runs a few of
// its applets.
func TestBusybox(t *testing.T) {
	path := tool(t, "busybox", "busybox-static")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := build(t, file, recompile.Options{})
	cache := cacheDir(t)
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "%s %d\n", []string{"line", "word", "thing"}[i%3], i*7919%1000)
	}
	input := text.String()
	t.Logf("%v; unit %d bytes; %+v", b.times, len(b.megabinary), b.report)
	for _, args := range [][]string{
		{"busybox", "echo", "hello", "world"},
		{"busybox", "expr", "12345", "*", "678"},
		{"busybox", "sha1sum"},
		{"busybox", "sha256sum"},
		{"busybox", "sha512sum"},
		{"busybox", "sha3sum"},
		{"busybox", "md5sum"},
		{"busybox", "gzip", "-c"},
		{"busybox", "bzip2", "-c"},
		{"busybox", "sort", "-n"},
		{"busybox", "sed", "s/\\([a-z]*\\) \\([0-9]*\\)/\\2:\\1/g"},
		{"busybox", "grep", "-E", "(line|word) [0-9]*7$"},
		{"busybox", "awk", "{ n += $2; w[$1]++ } END { printf \"%d %.3f %s\\n\", n, n / NR, w[\"line\"] }"},
		{"busybox", "tr", "a-z", "A-Z"},
		{"busybox", "cut", "-d", " ", "-f", "2"},
		{"busybox", "od", "-c"},
		{"busybox", "hexdump", "-C"},
		{"busybox", "base64"},
		{"busybox", "wc"},
		{"busybox", "factor", "600851475143", "1000000007"},
		{"busybox", "dc", "-e", "20k 2v p 3 7 / p"},
		{"busybox", "seq", "1", "0.5", "5"},
		{"busybox", "printf", "%08.3f %x %s %e\\n", "3.14159", "255", "str", "12345.678"},
		{"busybox", "sh", "-c", "x=0; while [ $x -lt 1000 ]; do x=$((x+1)); done; echo $x"},
		{"busybox", "sh", "-c", "for i in a b c; do case $i in b) echo two;; *) echo ${i}1;; esac; done; f() { echo $# $2; }; f 1 '2 3'"},
		{"busybox", "awk", "BEGIN { for (i = 0; i < 1000; i++) s += i * i; print s, s / 7}"},
	} {
		cmd := exec.Command(path, args[1:]...)
		cmd.Stdin = strings.NewReader(input)
		want, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: natively: %v", args, err)
			continue
		}
		got := b.run(t, machine.WazeroOptions{CacheDir: cache}, 0, input, args...)
		t.Logf("%v: compile %v, run %v", args, got.compile, got.elapsed)
		if got.stdout != string(want) {
			t.Errorf("%v: got %q, natively %q", args, got.stdout, want)
		}
	}
}

// cacheDir returns a directory for compiled code that the test's runs share.
func cacheDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("pipeline-cache-%d", os.Getpid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
