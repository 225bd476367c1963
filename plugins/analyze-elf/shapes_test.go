package analyzeelf

import (
	"bufio"
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// TestShapes analyzes a program with one function for each shape of code that is
// hard to find, without its symbols, and holds the labels of the program against
// the blocks.
func TestShapes(t *testing.T) {
	for _, flags := range [][]string{{"-static"}, {"-static-pie"}, {"-static-pie", "-Wl,-z,pack-relative-relocs"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			program := build(t, "shapes.S", "gcc", "gcc", append(flags, "-nostdlib")...)
			f, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			labels, err := f.Symbols()
			if err != nil {
				t.Fatal(err)
			}
			stripped := filepath.Join(t.TempDir(), "stripped")
			if out, err := exec.Command(needTool(t, "strip", "binutils"), "-o", stripped, program).CombinedOutput(); err != nil {
				t.Fatalf("strip: %v\n%s", err, out)
			}
			p, data := analyzeFile(t, stripped)
			checkInvariants(t, p, data)
			checkLabels(t, newModel(p, data), labels)
			if p.Coverage.DataBytes < 100 || p.Coverage.UnreachedBytes > 2 {
				t.Errorf("data %d bytes, unreached %d", p.Coverage.DataBytes, p.Coverage.UnreachedBytes)
			}
			for _, u := range p.Unresolved {
				t.Errorf("jump at %#x: %s", u.Address, u.Reason)
			}
		})
	}
}

// checkLabels wants a block at each label code_..., and none over a label data_....
func checkLabels(t *testing.T, m *model, labels []elf.Symbol) {
	t.Helper()
	seen := 0
	for _, l := range labels {
		switch {
		case strings.HasPrefix(l.Name, "code_"):
			seen++
			if m.blocks[l.Value] == nil {
				t.Errorf("no block at %s (%#x)", l.Name, l.Value)
			}
		case strings.HasPrefix(l.Name, "data_"):
			seen++
			if _, _, err := m.last(l.Value); err == nil {
				t.Errorf("%s (%#x) is taken for code", l.Name, l.Value)
			}
		}
	}
	if seen < 24 {
		t.Errorf("only %d labels", seen)
	}
}

// TestRealFiles holds the analysis of files of a distribution to a share of text
// that is found, and its instructions to the boundaries that objdump finds.
func TestRealFiles(t *testing.T) {
	const lib = "/lib/x86_64-linux-gnu/"
	for _, c := range []struct {
		path, debian string
		unresolved   int // jumps that are no tail calls, at most
		apart        int // instructions that are not at boundaries of objdump's, at most: behind LOCK prefixes
	}{
		{lib + "ld-linux-x86-64.so.2", "libc6", 4, 8},
		{lib + "libc.so.6", "libc6", 6, 8},
		{lib + "libm.so.6", "libc6", 0, 0},
		{lib + "libstdc++.so.6", "libstdc++6", 0, 0},
		{lib + "libgmp.so.10", "libgmp10", 0, 0},
		{lib + "libcrypto.so.3", "libssl3", 3, 40},
		{"/bin/busybox", "busybox-static", 20, 30},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			if _, err := os.Stat(c.path); err != nil {
				t.Fatalf("%v (install the Debian package %s)", err, c.debian)
			}
			p, data := analyzeFile(t, c.path)
			cov := p.Coverage
			if covered := Covered(cov); covered < 0.999 {
				t.Errorf("%.3f %% of the text is covered, want 99.9 %%", covered*100)
			}
			if sum := cov.FunctionBytes + cov.UnknownBytes + cov.PaddingBytes + cov.DataBytes + cov.UnreachedBytes; sum != cov.TextBytes {
				t.Errorf("the classes add up to %d of %d bytes", sum, cov.TextBytes)
			}
			unresolved := 0
			for _, u := range p.Unresolved {
				if !u.TailCall {
					unresolved++
				}
			}
			if unresolved > c.unresolved {
				t.Errorf("%d jumps are unresolved, want at most %d: %v", unresolved, c.unresolved, p.Unresolved)
			}
			total, apart := compareBoundaries(t, c.path, p, data)
			t.Logf("%d instructions, %d apart from objdump's; %v", total, apart, cov)
			if apart > c.apart {
				t.Errorf("%d of %d instructions are apart from objdump's, want at most %d", apart, total, c.apart)
			}
		})
	}
}

// compareBoundaries counts the instructions of the program's blocks, and those
// that do not begin where one of objdump's does.
func compareBoundaries(t *testing.T, path string, p *pb.Program, data []byte) (total, apart int) {
	t.Helper()
	starts := objdumpStarts(t, path)
	m := newModel(p, data)
	for _, f := range p.Functions {
		for _, b := range f.Blocks {
			for at, end := b.Start, b.Start+uint64(b.Size); at < end; {
				in, err := x86.Decode(m.bytes(at, end-at), at)
				if err != nil {
					t.Fatal(err)
				}
				total++
				// objdump joins FWAIT and the x87 instruction after it.
				if !starts[at] && !(starts[at-1] && m.bytes(at-1, 1)[0] == 0x9b) {
					apart++
				}
				at = in.Next()
			}
		}
	}
	return total, apart
}

func objdumpStarts(t *testing.T, path string) map[uint64]bool {
	t.Helper()
	cmd := exec.Command(needTool(t, "objdump", "binutils"), "-d", "-w", "--no-show-raw-insn", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	starts := map[uint64]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		addr, _, ok := bytes.Cut(bytes.TrimLeft(lines.Bytes(), " "), []byte(":\t"))
		if pc, err := strconv.ParseUint(string(addr), 16, 64); ok && err == nil {
			starts[pc] = true
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return starts
}
