package oracle

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/plugins/recompile/internal/pass"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/vkernel/machine"
)

const caseDir = "../lift/testdata"

// meanings are what must agree with the CPU.
func meanings(t *testing.T) []Meaning {
	t.Helper()
	return []Meaning{
		Interp{},
		&wasmMachine{name: "compiled wasm"},
		&wasmMachine{name: "interpreted wasm (no passes)", options: pass.Options{RequiredOnly: true}, wazero: machine.WazeroOptions{Interpreter: true}},
	}
}

// startCPU returns the CPU, or nil on a host that is not linux/amd64.
func startCPU(t *testing.T) *CPU {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil
	}
	cpu, err := StartCPU(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cpu.Close() })
	return cpu
}

// TestCases runs each line of the case files on the CPU and under each meaning.
// With UPDATE=1 the CPU rewrites the last column. ORACLE_FILES is a pattern of
// the files, all by default.
func TestCases(t *testing.T) {
	pattern := os.Getenv("ORACLE_FILES")
	if pattern == "" {
		pattern = "*"
	}
	files, err := filepath.Glob(filepath.Join(caseDir, pattern+".txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files in %s: %v", caseDir, err)
	}
	cpu := startCPU(t)
	update := os.Getenv("UPDATE") == "1"
	if update && cpu == nil {
		t.Fatal("UPDATE=1 needs linux/amd64")
	}
	var all []Line // of all files: the meanings are fastest in bulk
	for _, path := range files {
		lines, err := ReadCases(path)
		if err != nil {
			t.Fatal(err)
		}
		if cpu != nil {
			checkCPU(t, cpu, lines, update)
		}
		if update {
			if err := WriteCases(path, lines); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, lines...)
	}
	for _, m := range meanings(t) {
		t.Run(m.Name(), func(t *testing.T) { checkMeaning(t, m, all) })
	}
}

func checkCPU(t *testing.T, cpu *CPU, lines []Line, update bool) {
	t.Helper()
	var cases []Case
	var at []int
	for i, l := range lines {
		if l.Case != nil && !slices.ContainsFunc(opsOf(l.Case.Code), beyondHost) {
			cases = append(cases, *l.Case)
			at = append(at, i)
		}
	}
	outcomes, err := cpu.Run(cases)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		l := &lines[at[i]]
		undef, names := Undefined(l.Case.Code)
		got := FormatChanges(l.Case.State, o, len(l.Case.Code), undef)
		if update {
			l.Out = got
		} else if got != l.Out {
			t.Errorf("%s (%s: %s): the CPU gives %q, the case says %q", l.Bytes, strings.Join(names, "; "), l.Note, got, l.Out)
		}
	}
}

// opsOf returns the instructions of code.
func opsOf(code []byte) []x86asm.Op {
	var ops []x86asm.Op
	for len(code) > 0 {
		in, err := x86.Decode(code, CodeAt)
		if err != nil {
			break
		}
		ops = append(ops, in.Op)
		code = code[in.Len:]
	}
	return ops
}

func checkMeaning(t *testing.T, m Meaning, lines []Line) {
	t.Helper()
	var of []Line
	var cases []Case
	for _, l := range lines {
		if l.Case != nil {
			of = append(of, l)
			cases = append(cases, *l.Case)
		}
	}
	for i, r := range m.Run(cases) {
		l := of[i]
		undef, names := Undefined(l.Case.Code)
		if r.Err != nil {
			t.Errorf("%s (%s: %s): %v", l.Bytes, strings.Join(names, "; "), l.Note, r.Err)
			continue
		}
		if r.Signal != 0 {
			r.PC = 0
		}
		if _, wasm := m.(*wasmMachine); wasm && strings.Contains(l.Out, "signal=SEGV") {
			continue // its memory is larger than that of the case
		}
		if got := FormatChanges(l.Case.State, r.Outcome, len(l.Case.Code), undef); got != l.Out {
			t.Errorf("%s (%s: %s): the %s gives\n\t%q, the case says\n\t%q", l.Bytes, strings.Join(names, "; "), l.Note, m.Name(), got, l.Out)
		}
	}
}

// TestEveryRowHasACase wants a case whose first instruction is the row's.
func TestEveryRowHasACase(t *testing.T) {
	have := casesOf(t)
	for _, f := range lift.Families() {
		for op := range f.Rows {
			if row, _ := lift.Find(op); f.Rows[op].Absent && !row.Absent {
				continue // a later processor has it
			}
			if !have[op.String()] && !noCase[op] && !foreign(op) && !approximate[op] {
				t.Errorf("%s (table_%s.go) has no case in %s", op, f.Name, caseDir)
			}
		}
	}
}
