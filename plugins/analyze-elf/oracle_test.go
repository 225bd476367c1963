package analyzeelf

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// analyzeFile analyzes the file and returns it with its bytes.
func analyzeFile(t testing.TB, path string) (*pb.Program, []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Analyze(context.Background(), bytes.NewReader(data), int64(len(data)), Options{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p, data
}

func needTool(t testing.TB, tool, debian string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Fatalf("%s is missing (install the Debian package %s)", tool, debian)
	}
	return path
}

// build compiles a C file of testdata and returns the program's path.
func build(t testing.TB, source, compiler, debian string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	args := append([]string{"-w", "-o", out, filepath.Join("testdata", source)}, flags...)
	if b, err := exec.Command(needTool(t, compiler, debian), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", compiler, strings.Join(args, " "), err, b)
	}
	return out
}

// TestTracedPrograms runs programs under qemu and holds the analysis against
// what they did: each block that ran must be known, and each transfer must go
// where a recompiler would let it go.
func TestTracedPrograms(t *testing.T) {
	type target struct {
		compiler, debian string
		flags            []string
	}
	var targets []target
	for _, o := range []string{"-O0", "-O1", "-O2", "-O3", "-Os"} {
		targets = append(targets,
			target{"gcc", "gcc", []string{o, "-static"}},
			target{"gcc", "gcc", []string{o, "-static-pie"}},
			target{"musl-gcc", "musl-tools", []string{o, "-static"}},
			target{"musl-gcc", "musl-tools", []string{o, "-static", "-s", "-fno-asynchronous-unwind-tables"}},
		)
	}
	targets = append(targets,
		target{"gcc", "gcc", []string{"-O2", "-static", "-s"}},
		target{"gcc", "gcc", []string{"-O2", "-static-pie", "-s"}},
		target{"clang", "clang", []string{"-O0", "-static"}},
		target{"clang", "clang", []string{"-O2", "-static"}},
		target{"clang", "clang", []string{"-O2", "-static-pie"}})
	for _, c := range targets {
		t.Run(c.compiler+strings.Join(c.flags, ""), func(t *testing.T) {
			program := build(t, "flow.c", c.compiler, c.debian, c.flags...)
			p, data := analyzeFile(t, program)
			checkInvariants(t, p, data)
			if covered := Covered(p.Coverage); covered < 0.999 {
				t.Errorf("%.3f %% of the text is covered, want 99.9 %%", covered*100)
			}
			checkTrace(t, p, data, program)
		})
	}
}

func TestTracedBusybox(t *testing.T) {
	const path = "/bin/busybox"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (install the Debian package busybox-static)", err)
	}
	p, data := analyzeFile(t, path)
	checkInvariants(t, p, data)
	if covered := Covered(p.Coverage); covered < 0.995 {
		t.Errorf("%.3f %% of the text is covered, want 99.5 %%", covered*100)
	}
	for _, args := range [][]string{
		{"echo", "hello"},
		{"ls", "-la", "/"},
		{"sh", "-c", `i=0; while [ $i -lt 5 ]; do i=$((i+1)); case $i in 1) echo a;; [23]) printf '%s %d\n' b $i;; *) x=${i%5}; esac; done; f() { local y=$1; echo "$y" ; }; f "$x$$" > /dev/null; set -- a b; shift; eval echo '$1'`},
		{"awk", `BEGIN { for (i = 0; i < 3; i++) { x[i] = sprintf("%05.2f", i / 3); print x[i], length(x[i]), toupper("abc") }; if (match("foobar", /o+b/)) print substr("foobar", 2, 3); split("a b c", y); gsub(/b/, "c", y[2]); print y[2] }`},
		{"sed", "-n", `s/\(r[o]*t\).*/\1/p;2q;y/abc/xyz/`, "/etc/passwd"},
		{"sha256sum", "/etc/passwd"},
		{"md5sum", "/etc/passwd"},
		{"date", "-u", "-d", "@0"},
		{"find", "/etc", "-maxdepth", "1", "-name", "p*", "-type", "f"},
		{"grep", "-E", "ro{2}t|x+y?", "/etc/passwd"},
		{"sort", "-k2", "-t:", "-n", "/etc/passwd"},
		{"dd", "if=/etc/passwd", "of=/dev/null", "bs=7"},
		{"gzip", "-c", "/etc/passwd"},
		{"tar", "cf", "/dev/null", "/etc/passwd"},
		{"no-such-applet"},
	} {
		t.Run(args[0], func(t *testing.T) { checkTrace(t, p, data, path, args...) })
	}
}

// model is a program as a recompiler would see it.
type model struct {
	p      *pb.Program
	data   []byte
	blocks map[uint64]*pb.Block
	starts []uint64        // of blocks
	sites  map[uint64]bool // return sites
}

func newModel(p *pb.Program, data []byte) *model {
	m := &model{p: p, data: data, blocks: map[uint64]*pb.Block{}, sites: map[uint64]bool{}}
	for _, f := range p.Functions {
		for _, b := range f.Blocks {
			m.blocks[b.Start] = b
			m.starts = append(m.starts, b.Start)
		}
	}
	for _, start := range m.starts {
		if _, in, err := m.last(start); err == nil && in.IsCall() {
			m.sites[in.Next()] = true
		}
	}
	return m
}

// bytes returns the n bytes at addr.
func (m *model) bytes(addr, n uint64) []byte {
	for _, s := range m.p.Segments {
		if addr >= s.Address && addr+n <= s.Address+s.FileSize {
			return m.data[addr-s.Address+s.FileOffset:][:n]
		}
	}
	return nil
}

// last returns the last instruction that runs from pc on in the block that pc
// lies in, or an error if no block has an instruction there.
func (m *model) last(pc uint64) (*pb.Block, x86.Inst, error) {
	n := sort.Search(len(m.starts), func(n int) bool { return m.starts[n] > pc })
	for back := 1; back <= 8 && n-back >= 0; back++ {
		b := m.blocks[m.starts[n-back]]
		hit := false
		var in x86.Inst
		for at := b.Start; at < b.Start+uint64(b.Size); at = in.Next() {
			hit = hit || at == pc
			var err error
			if in, err = x86.Decode(m.bytes(at, b.Start+uint64(b.Size)-at), at); err != nil {
				return nil, in, err
			}
		}
		if hit {
			return b, in, nil
		}
	}
	return nil, x86.Inst{}, errors.New("in no block")
}

// checkTrace runs the program under qemu and checks each translation block that
// it enters.
func checkTrace(t *testing.T, p *pb.Program, data []byte, program string, args ...string) {
	qemu := needTool(t, "qemu-x86_64-static", "qemu-user-static")
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(qemu, append([]string{"-cpu", "Nehalem", "-d", "exec,nochain", "-D", log, program}, args...)...)
	cmd.Stdin = strings.NewReader("x")
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	steps, faults := newModel(p, data).follow(f, func(format string, args ...any) { t.Errorf(format, args...) })
	t.Logf("%d transfers, %d wrong", steps, faults)
	if steps < 1000 {
		t.Errorf("only %d transfers seen", steps)
	}
}

// follow checks the sequence of blocks in a qemu log and reports faults.
func (m *model) follow(log io.Reader, report func(string, ...any)) (steps, faults int) {
	var before *pb.Block
	var via x86.Inst
	var base, start uint64
	seen := map[[2]uint64]bool{}
	for lines := bufio.NewScanner(log); lines.Scan() && faults < 20; {
		pc, ok := tracedPC(lines.Text())
		if !ok {
			continue
		}
		if steps++; steps == 1 {
			base = pc - m.p.Entry
		}
		pc -= base
		if before != nil && pc >= start && pc > before.Start && pc <= via.PC {
			start = pc // qemu cuts its blocks at pages and at string instructions
			continue
		}
		start = pc
		key := [2]uint64{via.PC, pc}
		if before != nil && seen[key] {
			before, via, _ = m.last(pc)
			continue
		}
		seen[key] = true
		if fault := m.transfer(before, &via, pc); fault != "" {
			faults++
			report("%#x -> %#x: %s", via.PC, pc, fault)
		}
		var err error
		if before, via, err = m.last(pc); err != nil {
			faults++
			report("%#x: %v", pc, err)
		}
	}
	return steps, faults
}

// transfer returns what is wrong with going to pc after the last instruction of
// a block, or an empty string.
func (m *model) transfer(from *pb.Block, via *x86.Inst, pc uint64) string {
	if from == nil {
		return ""
	}
	to := m.blocks[pc]
	target, direct := via.DirectTarget()
	switch {
	case direct && pc == target, via.FallsThrough() && pc == via.Next() && via.EndsBlock(), via.IsRet():
		if to == nil {
			return "no block starts there"
		}
	case via.IsCall() || via.IsJump():
		if direct {
			return "" // qemu ended its block before the jump
		}
		for _, known := range from.Targets {
			if known == pc {
				return ""
			}
		}
		if to == nil || !to.Entry && !m.sites[pc] { // longjmp goes to a return site
			return fmt.Sprintf("not an entry (%v)", via.Inst)
		}
	}
	return ""
}

// tracedPC returns the guest address of a line of -d exec, such as
// "Trace 0: 0x7f0100 [0000000000000000/0000000000401a40/0840c0b3/ff020000]".
func tracedPC(line string) (uint64, bool) {
	_, rest, ok := strings.Cut(line, "[")
	fields := strings.Split(rest, "/")
	if !ok || !strings.HasPrefix(line, "Trace ") || len(fields) < 3 {
		return 0, false
	}
	pc, err := strconv.ParseUint(fields[1], 16, 64)
	return pc, err == nil
}
