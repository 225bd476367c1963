package elf64

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const librarySource = `
extern int imported(int);
static int local(int x) { return x + 1; }
int (*pointers[])(int) = {local, imported, local};
static int (*const constants[])(int) = {local, local};
int exported(int i) { return pointers[i](1) + constants[i & 1](2) + imported(3); }
__attribute__((constructor)) static void begin(void) { pointers[0] = local; }
`

// buildLibrary makes a shared library with a dynamic section, unwind tables and
// relocations.
func buildLibrary(t testing.TB, flags ...string) []byte {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Fatal("gcc is missing (install the Debian package gcc)")
	}
	dir := t.TempDir()
	source, out := filepath.Join(dir, "l.c"), filepath.Join(dir, "l.so")
	if err := os.WriteFile(source, []byte(librarySource), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-shared", "-fPIC", "-O1", "-nostdlib", "-Wl,-soname,libl.so.1", "-o", out, source}, flags...)
	if b, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, b)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLibrary(t *testing.T) {
	for _, flags := range [][]string{nil, {"-Wl,-z,pack-relative-relocs"}, {"-Wl,--strip-all"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			f := open(t, buildLibrary(t, flags...))
			if !f.PositionIndependent || f.Dynamic.SOName != "libl.so.1" {
				t.Errorf("position-independent %v, soname %q", f.PositionIndependent, f.Dynamic.SOName)
			}
			var exported Symbol
			for s := range f.Symbols {
				if s.Name == "exported" {
					exported = s
				}
			}
			if !exported.Func || exported.Size == 0 {
				t.Fatalf("symbol exported: %+v", exported)
			}
			starts := map[uint64]bool{}
			for _, fr := range f.Frames() {
				starts[fr.Start] = true
			}
			if !starts[exported.Addr] || len(starts) < 3 {
				t.Errorf("unwind tables cover %v, not %#x", starts, exported.Addr)
			}
			local, imports := 0, 0
			f.Relocations(func(r Reloc) bool {
				if r.Type == RRelative && starts[r.Value] {
					local++
				}
				if r.Symbol == "imported" && r.Value == 0 {
					imports++
				}
				return true
			})
			if local < 5 || imports < 1 { // four pointers and the constructor
				t.Errorf("%d relocations to functions, %d to the import", local, imports)
			}
		})
	}
}

// TestWithoutSections finds the unwind tables through PT_GNU_EH_FRAME.
func TestWithoutSections(t *testing.T) {
	data := buildLibrary(t)
	with := open(t, data).Frames()
	le.PutUint64(data[40:], 0)
	f := open(t, data)
	if without := f.Frames(); len(f.Sections) != 0 || len(without) != len(with) || len(with) == 0 {
		t.Errorf("%d frames with sections, %d without", len(with), len(without))
	}
	if !hasSymbols(f) {
		t.Error("no dynamic symbols without sections")
	}
}

func TestGoProgram(t *testing.T) {
	self, err := os.Executable() // this test
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, data)
	funcs := f.GoFuncs()
	byName := map[string]uint64{}
	deferring := 0
	for _, g := range funcs {
		byName[g.Name] = g.Start
		if g.DeferReturn == 0 {
			continue
		}
		deferring++
		if b := f.Bytes(g.DeferReturn, 5); len(b) != 5 || b[0] != 0xe8 {
			t.Errorf("%s goes on after a recovered panic at %#x, which is no call: %x", g.Name, g.DeferReturn, b)
		}
	}
	if deferring < 20 {
		t.Errorf("%d functions defer", deferring)
	}
	for s := range f.Symbols {
		if strings.HasSuffix(s.Name, "elf64.TestGoProgram") && byName[s.Name] != s.Addr {
			t.Errorf("%s is at %#x, the line table says %#x", s.Name, s.Addr, byName[s.Name])
		}
	}
	if len(funcs) < 1000 {
		t.Errorf("%d functions", len(funcs))
	}
}

func FuzzFile(f *testing.F) {
	f.Add(buildLibrary(f))
	f.Add(buildLibrary(f, "-Wl,-z,pack-relative-relocs", "-Wl,--strip-all"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		hasSymbols(e)
		e.GoFuncs()
		n := 0
		e.Relocations(func(Reloc) bool { n++; return n < 1<<20 })
		for _, fr := range e.Frames() {
			e.LandingPads(fr)
			fr.Empty(fr.Start + (fr.End-fr.Start)/2)
		}
	})
}

// TestEmptyFrames walks a function with a frame, and its call in tail position.
func TestEmptyFrames(t *testing.T) {
	source := filepath.Join(t.TempDir(), "frames.s")
	program := filepath.Join(t.TempDir(), "frames")
	code := `.globl _start
_start:	.cfi_startproc
	nop
	push %rbx
	.cfi_def_cfa_offset 16
	.cfi_offset 3, -16
	sub $512, %rsp
	.cfi_def_cfa_offset 528
	.cfi_remember_state
	add $512, %rsp
	.cfi_def_cfa_offset 16
	pop %rbx
	.cfi_def_cfa_offset 8
	jmp *%rax
	.cfi_restore_state
	nop
	.cfi_def_cfa 6, 8
	nop
	.cfi_endproc
`
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-nostdlib", "-static", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	frames := open(t, data).Frames()
	if len(frames) != 1 {
		t.Fatalf("%d frames", len(frames))
	}
	f := frames[0]
	for offset, want := range map[uint64]bool{
		0: true, 1: true, 2: false, 9: false, // nop, push, sub, add
		16: false, 17: true, 19: false, 20: false, // pop, jmp, nop, nop
		21: false, // past the end
	} {
		if got := f.Empty(f.Start + offset); got != want {
			t.Errorf("offset %d of %d: empty %v, want %v", offset, f.End-f.Start, got, want)
		}
	}
}

func FuzzCallFrames(f *testing.F) {
	f.Add([]byte{0x0c, 7, 8, 0x90, 1}, []byte{0x41, 0x0e, 16, 0x83, 2, 0x0a, 0x44, 0x0e, 8, 0x42, 0x0b}, uint64(6))
	f.Add([]byte{0x0f, 3, 0x77, 8, 6}, []byte{0x02, 200, 0x03, 1, 2, 0x04, 1, 2, 3, 4, 0x2e, 16, 0x16, 7, 1, 0}, uint64(1<<20))
	f.Fuzz(func(t *testing.T, common, rules []byte, pc uint64) {
		fr := Frame{Start: 0, End: 1 << 40, rules: rules, common: &cie{rules: common, step: 1}}
		fr.Empty(pc)
	})
}

// FuzzLandingPads reads call-site tables out of the read-only data of a file.
func FuzzLandingPads(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 1, 8, 0, 4, 0, 0, 4, 4, 20, 1})
	f.Add([]byte{0x1b, 0, 0, 0, 0, 0x9b, 12, 3, 13, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, table []byte) {
		const base = 0x400000
		e := &File{Segments: []Segment{{Addr: base, Data: table, MemSize: uint64(len(table)), Flags: 4}}}
		if pads := e.LandingPads(Frame{Start: base, End: base + 100, lsda: base}); len(pads) > len(table) {
			t.Fatalf("%d landing pads of %d bytes", len(pads), len(table))
		}
	})
}

// FuzzGoFuncs reads line tables of Go, which it finds by their magic number.
func FuzzGoFuncs(f *testing.F) {
	head := make([]byte, 72+64)
	copy(head, []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8})
	for at, v := range map[int]uint64{8: 2, 24: 0x401000, 32: 72, 64: 80} {
		le.PutUint64(head[at:], v)
	}
	copy(head[72:], "main.f\x00")
	for at, v := range map[int]uint32{80: 0, 84: 24, 88: 16, 92: 24, 96: 32} {
		le.PutUint32(head[at:], v)
	}
	f.Add(head)
	f.Fuzz(func(t *testing.T, table []byte) {
		e := &File{Segments: []Segment{{Addr: 0x500000, Data: table, MemSize: uint64(len(table)), Flags: 4}}}
		var end uint64
		for _, g := range e.GoFuncs() {
			if g.Start < end || g.End <= g.Start {
				t.Fatalf("function %#x to %#x after %#x", g.Start, g.End, end)
			}
			end = g.End
		}
	})
}

// FuzzRELR walks bitmaps of relative relocations.
func FuzzRELR(f *testing.F) {
	f.Add([]byte{0, 0, 0x50, 0, 0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, table []byte) {
		const base = 0x500000
		e := &File{Segments: []Segment{{Addr: base, Data: table, MemSize: uint64(len(table)), Flags: 4}}}
		e.Dynamic.relr, e.Dynamic.relrSize = base, uint64(len(table))
		n := 0
		e.Relocations(func(Reloc) bool { n++; return true })
		if n > len(table)*64 {
			t.Fatalf("%d relocations of %d bytes", n, len(table))
		}
	})
}

func hasSymbols(f *File) bool {
	n := 0
	f.Symbols(func(Symbol) bool { n++; return true })
	return n > 0
}
