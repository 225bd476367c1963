//go:build linux && amd64

package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	compilenative "megabinary.dev/plugins/compile-native"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/vkernel/machine"
)

// nativeMachine is a wasmMachine whose units are compiled to native objects.
func nativeMachine(t *testing.T) *wasmMachine {
	t.Helper()
	tools, err := compilenative.FindTools()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &wasmMachine{name: "native code", open: func(units []*wasm.Module, megabinary []byte) (machine.Engine, error) {
		objects := map[string]string{}
		for i, unit := range units {
			in, err := os.MkdirTemp(dir, "unit")
			if err != nil {
				return nil, err
			}
			o := compilenative.Options{Platform: "linux/amd64", Tools: tools, Workers: 2}
			path, err := compilenative.Compile(context.Background(), unit.Encode(), in, o)
			if err != nil {
				return nil, err
			}
			objects[guestabi.UnitModule(i)+"."+guestabi.ExportEnter] = path
		}
		return machine.NewNative(megabinary, machine.NativeOptions{Open: func(u *artifact.UnitEntry) (*os.File, error) {
			f, err := os.Open(objects[u.ExportEnter])
			return f, errors.Join(err, os.RemoveAll(filepath.Dir(objects[u.ExportEnter])))
		}})
	}}
}

// TestNativeCases runs the lines of the case files as native code: most in a few
// units, each code at an address of its own; what differs there, because it
// looks at its address, in a unit at the address that the line is for.
// NATIVE_CASES is how many codes, 512 by default, spread over all files.
func TestNativeCases(t *testing.T) {
	m := nativeMachine(t)
	files, err := filepath.Glob(filepath.Join(caseDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files in %s: %v", caseDir, err)
	}
	lines := map[string][]Line{}
	var codes []string
	for _, path := range files {
		all, err := ReadCases(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.Case == nil {
				continue
			}
			code := string(l.Case.Code)
			if lines[code] == nil {
				codes = append(codes, code)
			}
			lines[code] = append(lines[code], l)
		}
	}
	if n := fuzzNumber(t, "NATIVE_CASES", 512); n < len(codes) {
		every := len(codes) / n
		for i := range n {
			codes[i] = codes[i*every]
		}
		codes = codes[:n]
	}
	together, alone := runCodes(t, m, codes, lines)
	t.Logf("%d codes, %d lines as native code; %d of the codes at their own address", len(codes), together, alone)
	if together == 0 {
		t.Error("nothing was run")
	}
}

// runCodes returns how many lines were run, and how many codes in units of their
// own.
func runCodes(t *testing.T, m *wasmMachine, codes []string, lines map[string][]Line) (ran, alone int) {
	t.Helper()
	for len(codes) > 0 {
		n := min(sequencesPerUnit, len(codes))
		var groups [][]Case
		for _, code := range codes[:n] {
			var group []Case
			for _, l := range lines[code] {
				group = append(group, *l.Case)
			}
			groups = append(groups, group)
		}
		all, err := m.runSequences(groups)
		if err != nil {
			t.Fatal(err)
		}
		var again []string
		for i, code := range codes[:n] {
			ran += len(groups[i])
			for k, r := range all[i] {
				if differs(lines[code][k], r) != "" {
					again = append(again, code)
					break
				}
			}
		}
		alone += len(again)
		for _, code := range again {
			var of []Line
			of = append(of, lines[code]...)
			var cases []Case
			for _, l := range of {
				cases = append(cases, *l.Case)
			}
			for k, r := range m.runGroups([][]Case{cases})[0] {
				if d := differs(of[k], r); d != "" {
					t.Errorf("%s (%s): %s", of[k].Bytes, of[k].Note, d)
				}
			}
		}
		codes = codes[n:]
	}
	return ran, alone
}

// differs says how a result is not what the line says, "" if it is.
func differs(l Line, r Result) string {
	if r.Err != nil {
		return r.Err.Error()
	}
	if strings.Contains(l.Out, "signal=SEGV") {
		return "" // its memory is larger than that of the case
	}
	if r.Signal != 0 {
		r.PC = 0
	}
	undef, _ := Undefined(l.Case.Code)
	if got := FormatChanges(l.Case.State, r.Outcome, len(l.Case.Code), undef); got != l.Out {
		return fmt.Sprintf("native code gives\n\t%q, the case says\n\t%q", got, l.Out)
	}
	return ""
}
