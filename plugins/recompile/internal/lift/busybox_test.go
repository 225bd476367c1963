package lift_test

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"testing"

	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
)

// codeOf returns the executable bytes of an ELF file by address.
func codeOf(t *testing.T, data []byte) lift.CodeFunc {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return func(addr uint64, n int) []byte {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
				at := p.Off + addr - p.Vaddr
				return data[at:min(at+uint64(n), p.Off+p.Filesz)]
			}
		}
		return nil
	}
}

// isVector reports a mnemonic of AVX and what came with it, which our CPUID
// denies, or bytes that are no instruction.
func isVector(name string) bool {
	return strings.HasPrefix(name, "V") || strings.HasPrefix(name, "K") || name == "(bad)"
}

// vexOnly are the instructions on general registers that our CPUID denies too.
var vexOnly = map[string]bool{
	"ANDN": true, "BEXTR": true, "BLSI": true, "BLSMSK": true, "BLSR": true, "BZHI": true, "MULX": true,
	"PDEP": true, "PEXT": true, "RORX": true, "SARX": true, "SHLX": true, "SHRX": true,
}

// TestBusybox lifts every function of Debian's busybox and wants each
// instruction but the vector ones to be known.
func TestBusybox(t *testing.T) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("no busybox: install the Debian package busybox-static")
	}
	liftAll(t, path)
}

func liftAll(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := analyzeelf.Analyze(context.Background(), bytes.NewReader(data), int64(len(data)), analyzeelf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code := codeOf(t, data)
	missing, example := map[string]int{}, map[string]error{}
	insts, values, blocks := 0, 0, 0
	for _, fn := range p.GetFunctions() {
		f, report, err := lift.Func(p, fn, code, lift.Options{})
		if err != nil {
			t.Fatal(err)
		}
		insts += report.Instructions
		blocks += len(f.Blocks)
		if err := ir.Verify(f); err != nil {
			t.Fatal(err)
		}
		for _, b := range f.Blocks {
			values += len(b.Insts)
		}
		for _, e := range report.Errors {
			missing[e.Name]++
			example[e.Name] = e
		}
	}
	t.Logf("%d functions, %d instructions, %d IR blocks, %d IR instructions", len(p.GetFunctions()), insts, blocks, values)
	var names []string
	for name := range missing {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return missing[names[i]] > missing[names[j]] || missing[names[i]] == missing[names[j]] && names[i] < names[j]
	})
	for _, name := range names {
		text := fmt.Sprintf("%6d %s: %v", missing[name], name, example[name])
		if isVector(name) || vexOnly[name] {
			t.Log(text)
		} else {
			t.Error(text)
		}
	}
}
