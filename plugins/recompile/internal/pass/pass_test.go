package pass

import (
	"slices"
	"strings"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

func TestOrder(t *testing.T) {
	at := map[string]int{}
	for i, p := range Passes() {
		if _, ok := at[p.Name]; ok {
			t.Errorf("two passes are called %q", p.Name)
		}
		at[p.Name] = i
	}
	for _, o := range Order {
		first, ok1 := at[o[0]]
		second, ok2 := at[o[1]]
		if !ok1 || !ok2 || first >= second {
			t.Errorf("%q must run before %q", o[0], o[1])
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	for name, want := range map[string]string{
		"simplify":   "",
		"safepoints": "cannot be disabled",
		"magic":      "no pass",
	} {
		o := Options{Disabled: map[string]bool{name: true}}
		err := o.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("disabling %q: %v, want %q", name, err, want)
		}
	}
}

// TestPasses holds single passes to what they make of a text.
func TestPasses(t *testing.T) {
	for _, c := range []struct {
		name   string
		pass   []func(*Context, *ir.Func)
		before string
		after  []string // in the result
		gone   []string // not in the result
	}{
		{"a flag that is written again is not computed", []func(*Context, *ir.Func){deadRegs, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rax
  v1 = I64Eqz v0
  Set zf v1
  v3 = I32Const 1
  Set zf v3
  v5 = I32Const 0x99
  ret v5
`, []string{"ret"}, []string{"I64Eqz", "Set zf"}},
		{"a general register is live at a return", []func(*Context, *ir.Func){deadRegs, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = I64Const 5
  Set rbx v0
  v2 = I32Const 0x99
  ret v2
`, []string{"Set rbx v0"}, nil},
		{"constants fold", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = I64Const 6
  v1 = I64Const 7
  v2 = I64Mul v0 v1
  Set rax v2
  v4 = I32Const 0x99
  ret v4
`, []string{"v0 = I64Const 0x2a", "Set rax v0"}, []string{"I64Mul"}},
		{"an address is computed in 32 bits and its constant goes to the displacement", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I64Const -8
  v2 = I64Add v0 v1
  Set rsp v2
  v4 = I32WrapI64 v2
  v5 = I64Load v4 +4
  Set rax v5
  v7 = I32Const 0x99
  ret v7
`, []string{"v4 = I32WrapI64 v0", "I64Load v4 -4"}, []string{"I32Add"}},
		{"a stored value is not loaded again", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I32WrapI64 v0
  v2 = Get rax
  I64Store v1 v2 -8
  I64Store v1 v2 -16
  v5 = I64Load v1 -8
  Set rbx v5
  v7 = I32Const 0x99
  ret v7
`, []string{"Set rbx v2"}, []string{"I64Load"}},
		{"a store through another base may have changed it", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I32WrapI64 v0
  v2 = Get rax
  v3 = I32WrapI64 v2
  I64Store v1 v2 -8
  I64Store v3 v2 -16
  v6 = I64Load v1 -8
  Set rbx v6
  v8 = I32Const 0x99
  ret v8
`, []string{"I64Load"}, nil},
		{"a load whose value is not used stays: it may fault", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rax
  v1 = I32WrapI64 v0
  v2 = I32Load8U v1
  v3 = I32Const 0x99
  ret v3
`, []string{"I32Load8U"}, nil},
		{"a branch on a negation turns around", []func(*Context, *ir.Func){simplify, deadCode}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get zf
  v1 = I32Eqz v0
  branch v1 b1 b2
b1 0x1001
  tail 0x2000
b2 0x1002
  tail 0x3000
`, []string{"branch v0 b2 b1"}, []string{"I32Eqz"}},
		{"accesses of one base share a linear address, and the highest is checked first", []func(*Context, *ir.Func){addressBases}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I32WrapI64 v0
  v2 = I64Load v1
  Set rbx v2
  v4 = I64Load v1 +8
  Set rbp v4
  v6 = I64Load v1 +16
  Set r12 v6
  v8 = I32Const 0x99
  ret v8
`, []string{"LinearAddr v1", "I32Load8U v2 linear+23", "I64Load v2 linear+0", "I64Load v2 linear+16"}, nil},
		{"displacements that are far apart share nothing", []func(*Context, *ir.Func){addressBases}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I32WrapI64 v0
  v2 = I64Load v1
  Set rbx v2
  v4 = I64Load v1 +32768
  Set rbp v4
  v6 = I32Const 0x99
  ret v6
`, []string{"I64Load v1", "I64Load v1 +32768"}, []string{"LinearAddr"}},
		{"blocks that are only reached from one share its bases", []func(*Context, *ir.Func){addressBases}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rdi
  v1 = I32WrapI64 v0
  v2 = I64Load v1 +8
  Set rbx v2
  v4 = I64Const 16
  v5 = I64Add v0 v4
  Set rdi v5
  v7 = I32WrapI64 v2
  branch v7 b1 b2
b1 0x1001
  v0 = Get rdi
  v1 = I32WrapI64 v0
  v2 = I64Load v1 -16
  Set rcx v2
  jump b3
b2 0x1002
  jump b3
b3 0x1003
  v0 = Get rdi
  v1 = I32WrapI64 v0
  v2 = I32Load v1
  ret v2
`, []string{"LinearAddr v1", "ShareAddr v2 0x1", "I64Load v2 linear+8", "v2 = SharedAddr 0x1", "v3 = I64Load v2 linear+0", "I32Load v1"}, nil},
		{"a small loop is unrolled, and shares bases and the safepoint", []func(*Context, *ir.Func){unroll, safepoints, addressBases}, `
func "f" 0x1000
b0 0x1000 entry
  jump b1
b1 0x1001
  v0 = Get rsi
  v1 = I32WrapI64 v0
  v2 = I64Load v1
  Set rax v2
  v4 = I64Const 8
  v5 = I64Add v0 v4
  Set rsi v5
  v7 = I32WrapI64 v2
  branch v7 b1 b2
b2 0x1002
  v0 = I32Const 0x99
  ret v0
`, []string{"b1 0x1001 entry safepoint", " b3 b2", " b4 b2", " b5 b2", " b1 b2", "I32Load8U v2 linear+31", "I64Load v2 linear+24"}, nil},
		{"a loop gets a safepoint and its registers become locals", []func(*Context, *ir.Func){safepoints, promote}, `
func "f" 0x1000
b0 0x1000 entry
  jump b1
b1 0x1001
  v0 = Get rax
  v1 = I64Const -1
  v2 = I64Add v0 v1
  Set rax v2
  v4 = I32WrapI64 v2
  branch v4 b1 b2
b2 0x1002
  v0 = I32Const 0x99
  ret v0
`, []string{"b1 0x1001 entry safepoint promoted rax,fuel dirty rax,fuel", "preheader", "jump b2"}, nil},
		{"a loop that calls keeps its registers in globals", []func(*Context, *ir.Func){safepoints, promote}, `
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rax
  Set rbx v0
  call 0x2000 returning 0x1001 b1
b1 0x1001 entry
  v0 = Get zf
  branch v0 b0 b2
b2 0x1002
  v0 = I32Const 0x99
  ret v0
`, []string{"safepoint"}, []string{"promoted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := ir.Parse(c.before)
			if err != nil {
				t.Fatal(err)
			}
			ctx := &Context{Flags: &FlagSummary{}}
			for _, p := range c.pass {
				p(ctx, f)
			}
			if err := ir.Verify(f); err != nil {
				t.Fatal(err)
			}
			got := f.String()
			for _, want := range c.after {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing from\n%s", want, got)
				}
			}
			for _, not := range c.gone {
				if strings.Contains(got, not) {
					t.Errorf("%q is in\n%s", not, got)
				}
			}
		})
	}
}

// TestFlagSummary finds flags that are read across functions.
func TestFlagSummary(t *testing.T) {
	parse := func(text string) *ir.Func {
		f, err := ir.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	caller := parse(`
func "caller" 0x1000
b0 0x1000 entry
  call 0x2000 returning 0x1005 b1
b1 0x1005 entry
  v0 = Get cf
  branch v0 b2 b2
b2 0x1007
  tail 0x3000
`)
	callee := parse(`
func "callee" 0x2000
b0 0x2000 entry
  v0 = I32Const 1
  Set cf v0
  Set zf v0
  v3 = I32Const 0x99
  ret v3
`)
	reader := parse(`
func "reader" 0x3000
b0 0x3000 entry
  v0 = Get sf
  Set of v0
  v2 = I32Const 0x99
  ret v2
`)
	s := Summarize([]*ir.Func{caller, callee, reader})
	c := &Context{Flags: s}
	deadRegs(c, callee)
	deadRegs(c, reader)
	if got := callee.String(); !strings.Contains(got, "Set cf") || strings.Contains(got, "Set zf") {
		t.Errorf("the return site of the callee reads CF only:\n%s", got)
	}
	if got := reader.String(); strings.Contains(got, "Set of") {
		t.Errorf("nobody reads OF after the reader:\n%s", got)
	}
	if s.Entries[0x3000] == 0 || s.Returns != 0 {
		t.Errorf("summary %+v", s)
	}
}

// TestStackPositions holds the stack positions of accesses against what rsp was
// when their instructions began, after blocks were merged and writes dropped.
func TestStackPositions(t *testing.T) {
	f, err := ir.Parse(`
func "f" 0x1000
b0 0x1000 entry
  v0 = Get rsp
  v1 = I64Const -8
  v2 = I64Add v0 v1
  v3 = I32WrapI64 v2
  v4 = Get rbx
  I64Store v3 v4 +0
  Set rsp v2
  v7 = Get rsp
  v8 = I64Const 40
  v9 = I64Sub v7 v8
  Set rsp v9
  v11 = Get rdi
  v12 = I32WrapI64 v11
  v13 = I64Load v12 +0
  Set rax v13
  jump b1
b1 0x1010
  v0 = Get rdi
  v1 = I32WrapI64 v0
  v2 = I64Load v1 +8
  Set rcx v2
  v4 = Get rbp
  Set rsp v4
  v6 = Get rsp
  v7 = I32WrapI64 v6
  v8 = I64Load v7 +0
  Set rbp v8
  v10 = I64Const 8
  v11 = I64Add v6 v10
  Set rsp v11
  v13 = I32Const 0x99
  ret v13
`)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range f.Blocks { // each line is an instruction of its own
		for j := range b.Insts {
			b.Insts[j].PC = 0x1000 + uint32(i)*0x100 + uint32(j)
		}
	}
	c := &Context{Flags: AllFlags()}
	for _, p := range []func(*Context, *ir.Func){stackPositions, mergeBlocks, forward, simplify, deadCode, deadRegs, deadCode} {
		p(c, f)
	}
	if len(f.Blocks) != 1 {
		t.Fatalf("%d blocks are left:\n%s", len(f.Blocks), f)
	}
	sets := 0
	var got []ir.StackPos
	for _, in := range f.Blocks[0].Insts {
		switch {
		case in.Op == ir.Set && in.Reg == guestabi.RSP:
			sets++
			if in.SP != ir.StackAt(1, 8) {
				t.Errorf("the last position is %#x", in.SP)
			}
		case ir.Rows[in.Op].Effect == ir.Reads, ir.Rows[in.Op].Effect == ir.Writes:
			got = append(got, in.SP)
		}
	}
	want := []ir.StackPos{ir.StackAt(0, 0), ir.StackAt(0, -48), ir.StackAt(0, -48), ir.StackAt(1, 0)}
	if sets != 1 || !slices.Equal(got, want) {
		t.Errorf("rsp is set %d times, accesses are at %#x, want %#x", sets, got, want)
	}
	if d, ok := ir.StackAt(0, -48).Sub(ir.StackAt(0, 0)); !ok || d != -48 {
		t.Errorf("the distance is %d", d)
	}
	if _, ok := ir.StackAt(1, 0).Sub(ir.StackAt(0, 0)); ok {
		t.Error("positions of different epochs have a distance")
	}
}

// TestFlagSummaryBehindIndirect: what follows a call that does not return looks
// like a reader of flags; that must not keep those of all functions alive.
func TestFlagSummaryBehindIndirect(t *testing.T) {
	var funcs []*ir.Func
	for _, text := range []string{`
func "caller" 0x1000
b0 0x1000 entry
  call 0x2000 returning 0x1005 b1
b1 0x1005 entry
  v0 = Get cf
  branch v0 b2 b2
b2 0x1007
  v0 = I32Const 1
  ret v0
`, `
func "thrower" 0x2000
b0 0x2000 entry
  v0 = I32Const 0x5000
  indirect v0
`, `
func "shift" 0x3000
b0 0x3000 entry
  v0 = Get cf
  v1 = I32Const 1
  v2 = Get rcx
  v3 = I32WrapI64 v2
  v4 = Select v1 v0 v3
  Set cf v4
  Set cf v1
  ret v1
`} {
		f, err := ir.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		funcs = append(funcs, f)
	}
	for _, f := range funcs {
		for _, b := range f.Blocks {
			new(Context).Prepare(b)
		}
	}
	s := Summarize(funcs)
	if s.Any != 0 || s.Returns != 0 || s.Entries[0x3000] != 0 {
		t.Errorf("live at unknown entries %v, at all returns %v, at the shift %v", s.Any.Regs(), s.Returns.Regs(), s.Entries[0x3000].Regs())
	}
}
