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
		}
	})
}

func hasSymbols(f *File) bool {
	n := 0
	f.Symbols(func(Symbol) bool { n++; return true })
	return n > 0
}
