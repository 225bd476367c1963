//go:build linux && amd64

package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
