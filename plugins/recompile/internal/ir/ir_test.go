package ir

import (
	"strings"
	"testing"
)

const sample = `func "f" 0x401000 xmm3
b0 0x401000 entry safepoint
  v0 = Get rax
  v1 = I64Const -0x5
  ; 0x401003
  v2 = I64Add v0 v1
  Set rax v2
  v4 = I32WrapI64 v2
  v5 = I64Load v4 -8
  I64Store v4 v5 linear+16
  v7 = V128Const 0x1 0xffffffffffffffff
  v8 = I8x16ExtractLaneU v7 3
  Helper cpuid v4 v8
  v10 = Result i32 v9 1
  v11 = Select v4 v8 v10
  branch v11 b1 b2
b1 0x401010 promoted rax,lo0 dirty rax
  call 0x402000 returning 0x401015 b2
b2 0x401015 entry copy
  v0 = Get lo0
  v1 = I32Const 0x7
  indirect v1 b0 b1
`

func TestTextReadsBack(t *testing.T) {
	f, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(f.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, f)
	}
	if again.String() != f.String() {
		t.Errorf("printed, parsed and printed again:\n%s\n%s", f, again)
	}
	for _, line := range strings.Split(sample, "\n") {
		if !strings.HasPrefix(line, "  ;") && !strings.Contains(f.String(), line) {
			t.Errorf("%q is missing from\n%s", line, f)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "no function",
		"b0 0x1":                           "before func",
		"func \"f\" 1\n  jump b0":          "before a block",
		"func \"f\" 1\nb0 1\n  v0 = Magic": "unknown operation",
		"func \"f\" 1\nb0 1\n  v0 = I64Add v1 v2":      "no value",
		"func \"f\" 1\nb0 1\n  v1 = I32Const 1":        "want v0",
		"func \"f\" 1\nb0 1\n  jump b7":                "goes to block 7",
		"func \"f\" 1\nb0 1\n  v0 = I32Const 1":        "no terminator",
		"func \"f\" 2\nb0 1\n  tail 1":                 "not at the function's start",
		"func \"f\" 1\nb0 1\n  v0 = Get rax\n  ret v0": "type",
		"func \"f\" 1\nb0 1\n  v0 = Get lo0\n  tail 1": "lo0",
		"func \"f\" 1\nb0 1\n  Helper magic\n  tail 1": "no helper",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		fn, err := Parse(text)
		if err != nil {
			return
		}
		if _, err := Parse(fn.String()); err != nil {
			t.Errorf("%v\n%s", err, fn)
		}
	})
}

func TestEveryOpHasARow(t *testing.T) {
	names := map[string]Op{}
	for op := Invalid + 1; op < NumOps; op++ {
		name := Rows[op].Name
		if name == "" {
			t.Errorf("operation %d has no row", op)
		}
		if other, ok := names[name]; ok {
			t.Errorf("operations %d and %d are called %s", op, other, name)
		}
		names[name] = op
	}
}

func TestInverse(t *testing.T) {
	for op := Invalid + 1; op < NumOps; op++ {
		if inv, ok := Inverse(op); ok {
			if back, ok := Inverse(inv); !ok || back != op {
				t.Errorf("%s inverts to %s, which inverts to %s", Rows[op].Name, Rows[inv].Name, Rows[back].Name)
			}
		}
	}
}
