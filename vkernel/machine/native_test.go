//go:build linux && amd64

package machine

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	compilenative "megabinary.dev/plugins/compile-native"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// compiledUnits holds the objects of the test's units, by name of the unit:
// compiling them takes a second.
var compiledUnits = struct {
	sync.Mutex
	objects map[string][]byte
}{objects: map[string][]byte{}}

// compileUnit compiles a unit and returns the object's path.
func compileUnit(t testing.TB, name string, unit *wasm.Module) string {
	t.Helper()
	compiledUnits.Lock()
	defer compiledUnits.Unlock()
	object, ok := compiledUnits.objects[name]
	if !ok {
		tools, err := compilenative.FindTools()
		if err != nil {
			t.Fatal(err)
		}
		path, err := compilenative.Compile(context.Background(), unitBytes(t, unit), t.TempDir(), compilenative.Options{Platform: "linux/amd64", Tools: tools})
		if err != nil {
			t.Fatal(err)
		}
		if object, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		compiledUnits.objects[name] = object
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, object, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unitBytes writes a unit with the sections that a recompiler's has.
func unitBytes(t testing.TB, unit *wasm.Module) []byte {
	t.Helper()
	report, err := json.Marshal(artifact.UnitReport{ABI: guestabi.Version})
	if err != nil {
		t.Fatal(err)
	}
	var maps []byte
	for _, f := range unit.Funcs {
		note := f.Note
		if note == nil {
			note = guestabi.AppendCodeMap(nil, nil, 0)
		}
		maps = append(maps, note...)
	}
	unit.Customs = []wasm.Custom{{Name: artifact.SectionUnit, Bytes: report}, {Name: artifact.SectionCodeMap, Bytes: maps}}
	return unit.Encode()
}

// newNativeWorld is newWorldWith on native objects.
func newNativeWorld(t testing.TB, more int) *world {
	t.Helper()
	objects := map[string]string{"unit0.enter": compileUnit(t, "test", testUnit().finish())}
	for i := 1; i <= more; i++ {
		objects[guestabi.UnitModule(i)+".enter"] = compileUnit(t, fmt.Sprint("hop", i), hopUnit(i))
	}
	return newWorldOn(t, more, func(megabinary []byte) (Engine, error) {
		return NewNative(megabinary, NativeOptions{Open: func(u *artifact.UnitEntry) (*os.File, error) { return os.Open(objects[u.ExportEnter]) }})
	})
}

// onNative runs a test on native objects.
func onNative(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("native", func(t *testing.T) { f(t, newNativeWorld(t, 0)) })
	t.Run("native, shared", func(t *testing.T) { f(t, newNativeWorld(t, 1)) })
}

// TestNativeRefuses: an object that is more than position-independent code of a
// unit is not mapped.
func TestNativeRefuses(t *testing.T) {
	tools, err := compilenative.FindTools()
	if err != nil {
		t.Fatal(err)
	}
	const unit = `unsigned unit_index __attribute__((aligned(4096))) = 1; unsigned megabinary_enter(void *c, unsigned pc) { return pc; }`
	shared := []string{"-shared"}
	for _, c := range []struct {
		name, code string
		link       []string
		want       string
	}{
		{"import", unit + ` extern int other(void); int *p(void) { return (int *)other; }`, []string{"-shared", "--allow-shlib-undefined"}, "DT_"},
		{"pointer", unit + ` void *where = &where;`, shared, "DT_RELA"},
		{"symbol", unit + ` int more(void) { return 1; }`, shared, `symbol "more"`},
		{"constructor", unit + ` __attribute__((constructor)) static void first(void) { *(volatile unsigned *)&unit_index += 2; }`, shared, "DT_"},
		{"no code", `unsigned unit_index __attribute__((aligned(4096))) = 1;`, shared, "it lacks megabinary_enter"},
		{"no number", `unsigned megabinary_enter(void *c, unsigned pc) { return pc; }`, shared, "it lacks megabinary_enter or unit_index"},
		{"code that can be written", `__attribute__((section(".text"))) unsigned unit_index = 1; unsigned megabinary_enter(void *c, unsigned pc) { return pc; }`, shared, "permissions"},
		{"program", unit + ` int main(void) { return 0; }`, []string{"-static", "-e", "main"}, "not a shared object"},
		{"thread-local", unit + ` __thread int local; int more(void) { return local++; }`, shared, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "o.c"), []byte(c.code), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, argv := range [][]string{
				{tools.Clang, "--target=x86_64-linux-gnu", "-O1", "-fPIC", "-ffreestanding", "-w", "-c", "o.c", "-o", "o.o"},
				append([]string{tools.LLD, "-nostdlib", "-o", "o.so", "o.o"}, c.link...),
			} {
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", argv, err, out)
				}
			}
			f, err := os.Open(filepath.Join(dir, "o.so"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if o, err := loadNative(f, 0); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", o, err, c.want)
			}
		})
	}
}

// FuzzCheckNative: whatever the bytes, they are refused with an error or may be
// mapped.
func FuzzCheckNative(f *testing.F) {
	object, err := os.ReadFile(compileUnit(f, "test", testUnit().finish()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Add(object[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		enter, cell, err := checkNative(file)
		if err == nil && (enter >= maxNativeObject || cell >= maxNativeObject) {
			t.Errorf("accepted enter %#x, number at %#x", enter, cell)
		}
	})
}
