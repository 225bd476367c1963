package oracle

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"megabinary.dev/plugins/recompile/internal/lift"
)

const caseDir = "../lift/testdata"

// meanings are what must agree with the CPU.
func meanings(t *testing.T) []Meaning {
	t.Helper()
	return []Meaning{Interp{}}
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
// With UPDATE=1 the CPU rewrites the last column.
func TestCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(caseDir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files in %s: %v", caseDir, err)
	}
	cpu, ms := startCPU(t), meanings(t)
	update := os.Getenv("UPDATE") == "1"
	if update && cpu == nil {
		t.Fatal("UPDATE=1 needs linux/amd64")
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
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
			for _, l := range lines {
				if l.Case != nil {
					checkMeanings(t, ms, l)
				}
			}
		})
	}
}

func checkCPU(t *testing.T, cpu *CPU, lines []Line, update bool) {
	t.Helper()
	var cases []Case
	var at []int
	for i, l := range lines {
		if l.Case != nil {
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

func checkMeanings(t *testing.T, ms []Meaning, l Line) {
	t.Helper()
	undef, names := Undefined(l.Case.Code)
	f, err := lift.Bytes(l.Case.Code, CodeAt)
	if err != nil {
		t.Errorf("%s (%s): %v", l.Bytes, strings.Join(names, "; "), err)
		return
	}
	for _, m := range ms {
		o, err := Evaluate(m, f, *l.Case)
		if err != nil {
			t.Errorf("%s (%s): %v", l.Bytes, strings.Join(names, "; "), err)
			continue
		}
		if o.Signal != 0 {
			o.PC = 0
		}
		if got := FormatChanges(l.Case.State, o, len(l.Case.Code), undef); got != l.Out {
			t.Errorf("%s (%s: %s): the %s gives\n\t%q, the case says\n\t%q", l.Bytes, strings.Join(names, "; "), l.Note, m.Name(), got, l.Out)
		}
	}
}

// TestEveryRowHasACase wants a case whose first instruction is the row's.
func TestEveryRowHasACase(t *testing.T) {
	have := casesOf(t)
	for _, f := range lift.Families() {
		for op := range f.Rows {
			if !have[op.String()] && !noCase[op] && !foreign[op] && !approximate[op] {
				t.Errorf("%s (table_%s.go) has no case in %s", op, f.Name, caseDir)
			}
		}
	}
}
