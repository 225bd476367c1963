package lift_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
)

// program is code at 0x1000 whose blocks start at the given offsets and end
// where the next begins.
func program(code []byte, starts ...int) (*programpb.Program, *programpb.Function, lift.CodeFunc) {
	fn := &programpb.Function{Name: "f", Start: 0x1000}
	for i, at := range starts {
		end := len(code)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		fn.Blocks = append(fn.Blocks, &programpb.Block{Start: uint64(0x1000 + at), Size: uint32(end - at)})
	}
	return &programpb.Program{Functions: []*programpb.Function{fn}}, fn, func(addr uint64, n int) []byte {
		if addr < 0x1000 || addr >= uint64(0x1000+len(code)) {
			return nil
		}
		rest := code[addr-0x1000:]
		return rest[:min(n, len(rest))]
	}
}

func mustLift(t *testing.T, p *programpb.Program, fn *programpb.Function, code lift.CodeFunc) (*ir.Func, *lift.Report) {
	t.Helper()
	f, report, err := lift.Func(p, fn, code, lift.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ir.Verify(f); err != nil {
		t.Fatalf("%v\n%s", err, f)
	}
	return f, report
}

// TestGolden compares the IR of a few functions with testdata/golden; UPDATE=1
// rewrites it.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
	}{
		// mov eax, edi; add eax, [rsi+4]; mov [rsi+4], al; ret
		{"load_add_store", []byte{0x89, 0xf8, 0x03, 0x46, 0x04, 0x88, 0x46, 0x04, 0xc3}},
		// xor eax, eax; L: add rax, [rdi]; add rdi, 8; cmp rdi, rsi; jb L; ret
		{"loop", []byte{0x31, 0xc0, 0x48, 0x03, 0x07, 0x48, 0x83, 0xc7, 0x08, 0x48, 0x39, 0xf7, 0x72, 0xf4, 0xc3}},
		// cmp al, bl; setl al; movzx eax, al; ret
		{"compare_bytes", []byte{0x38, 0xd8, 0x0f, 0x9c, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3}},
		// cdq; idiv ecx; ret
		{"divide", []byte{0x99, 0xf7, 0xf9, 0xc3}},
		// push rbp; call .+5+11; pop rbp; jmp [rip+16]
		{"call", []byte{0x55, 0xe8, 0x0b, 0, 0, 0, 0x5d, 0xff, 0x25, 0x10, 0, 0, 0}},
		// rep stosb; mov ah, 5; shl ebx, cl; syscall
		{"mixed", []byte{0xf3, 0xaa, 0xb4, 0x05, 0xd3, 0xe3, 0x0f, 0x05}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := lift.Bytes(c.code, 0x401000)
			if err != nil {
				t.Fatal(err)
			}
			if err := ir.Verify(f); err != nil {
				t.Error(err)
			}
			path := filepath.Join("testdata", "golden", c.name+".ir")
			if os.Getenv("UPDATE") == "1" {
				if err := os.WriteFile(path, []byte(f.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.String(); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s(UPDATE=1 rewrites it)", got, want)
			}
		})
	}
}

func TestDeterministic(t *testing.T) {
	p, fn, code := program([]byte{0x74, 0x02, 0x90, 0x90, 0xf7, 0xf9, 0xc3}, 0, 2, 4)
	first, _ := mustLift(t, p, fn, code)
	for range 10 {
		again, _ := mustLift(t, p, fn, code)
		if again.String() != first.String() {
			t.Fatalf("%s\nand then\n%s", first, again)
		}
	}
}

func TestTerminators(t *testing.T) {
	f0 := func(f *ir.Func) ir.Term { return f.Blocks[0].Term }
	for _, c := range []struct {
		name   string
		code   []byte
		starts []int
		change func(p *programpb.Program)
		check  func(f *ir.Func) bool
	}{
		{"a jump to a block stays", []byte{0xeb, 0x01, 0x90, 0xc3}, []int{0, 3}, nil,
			func(f *ir.Func) bool { return f0(f).Kind == ir.TermJump && f0(f).To == 1 }},
		{"a jump to elsewhere is a tail call", []byte{0xeb, 0x10}, []int{0}, nil,
			func(f *ir.Func) bool { return f0(f).Kind == ir.TermTail && f0(f).PC == 0x1012 }},
		{"a conditional jump to elsewhere", []byte{0x74, 0x10, 0xc3}, []int{0, 2}, nil,
			func(f *ir.Func) bool {
				out := f.Blocks[f0(f).To]
				return f0(f).Kind == ir.TermBranch && f0(f).Else == 1 && out.Term.Kind == ir.TermTail && out.Term.PC == 0x1012
			}},
		{"the end of a function falls through", []byte{0x90}, []int{0}, nil,
			func(f *ir.Func) bool { return f0(f).Kind == ir.TermTail && f0(f).PC == 0x1001 }},
		{"what the analyzer refused faults", []byte{0x90}, []int{0},
			func(p *programpb.Program) { p.Unknown = []*programpb.Unknown{{Address: 0x1001}} },
			func(f *ir.Func) bool {
				return f0(f).Kind == ir.TermFault && f0(f).Fault == guestabi.FaultUndefined && f0(f).PC == 0x1001
			}},
		{"a call returns to an entry", []byte{0xe8, 0, 1, 0, 0, 0xc3}, []int{0, 5}, nil,
			func(f *ir.Func) bool {
				return f0(f).Kind == ir.TermCall && f0(f).PC == 0x1105 && f0(f).ReturnPC == 0x1005 && f0(f).To == 1 && f.Blocks[1].Entry
			}},
		{"a call that does not return", []byte{0xe8, 0, 1, 0, 0}, []int{0}, nil,
			func(f *ir.Func) bool { return f0(f).Kind == ir.TermCall && f0(f).To == ir.NoBlock }},
		{"an indirect jump knows its targets", []byte{0xff, 0xe0, 0xc3, 0xc3}, []int{0, 2, 3},
			func(p *programpb.Program) { p.Functions[0].Blocks[0].Targets = []uint64{0x1002, 0x1003, 0x9999} },
			func(f *ir.Func) bool {
				return f0(f).Kind == ir.TermIndirect && len(f0(f).Known) == 2 && f0(f).Known[1] == 2
			}},
		{"after a syscall is an entry", []byte{0x0f, 0x05, 0xc3}, []int{0, 2}, nil,
			func(f *ir.Func) bool { return f0(f).Kind == ir.TermSyscall && f0(f).To == 1 && f.Blocks[1].Entry }},
		{"after a breakpoint is an entry", []byte{0xcc, 0xc3}, []int{0, 1}, nil,
			func(f *ir.Func) bool { return f0(f).Fault == guestabi.FaultBreakpoint && f.Blocks[1].Entry }},
		{"int 0x80 is undefined", []byte{0xcd, 0x80}, []int{0}, nil,
			func(f *ir.Func) bool { return f0(f).Fault == guestabi.FaultUndefined }},
		{"the start comes first", []byte{0xc3, 0xc3}, []int{1, 0}, nil,
			func(f *ir.Func) bool { return f.Blocks[0].PC == 0x1000 && f.Blocks[0].Entry && !f.Blocks[1].Entry }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, fn, code := program(c.code, c.starts...)
			if c.starts[0] != 0 {
				fn.Blocks[0].Size, fn.Blocks[1].Size = 1, 1
			}
			if c.change != nil {
				c.change(p)
			}
			if f, _ := mustLift(t, p, fn, code); !c.check(f) {
				t.Errorf("got\n%s", f)
			}
		})
	}
}

// TestUnsupported wants a precise fault and a line in the report.
func TestUnsupported(t *testing.T) {
	for name, code := range map[string][]byte{
		"VPXOR": {0x90, 0xc5, 0xf9, 0xef, 0xc0, 0xc3},
		"(bad)": {0x90, 0x06},
	} {
		p, fn, at := program(code, 0)
		f, report := mustLift(t, p, fn, at)
		if term := f.Blocks[0].Term; term.Kind != ir.TermFault || term.Fault != guestabi.FaultUndefined || term.PC != 0x1001 {
			t.Errorf("%s: got\n%s", name, f)
		}
		if report.Unsupported[name] != 1 || len(report.Errors) != 1 || report.Errors[0].PC != 0x1001 || report.Instructions != 1 {
			t.Errorf("%s: report %+v", name, report)
		}
	}
	_, err := lift.Bytes([]byte{0x62, 0xf1, 0x7d, 0x48, 0xef, 0xc0}, 0)
	var unsupported *lift.UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.Name != "VPXORD" {
		t.Errorf("lift.Bytes gives %v", err)
	}
}

func TestHostileFunctions(t *testing.T) {
	block := func(start uint64, size uint32) *programpb.Block { return &programpb.Block{Start: start, Size: size} }
	for want, fn := range map[string]*programpb.Function{
		"no block at its start": {Start: 0x1000},
		"above 4 GiB":           {Start: 1 << 33, Blocks: []*programpb.Block{block(1<<33, 1)}},
		"two blocks at 0x1000":  {Start: 0x1000, Blocks: []*programpb.Block{block(0x1000, 1), block(0x1000, 1)}},
		"empty block at 0x1000": {Start: 0x1000, Blocks: []*programpb.Block{block(0x1000, 0)}},
		"more than":             {Start: 0x1000, Blocks: []*programpb.Block{block(0x1000, 1<<31)}},
	} {
		_, _, err := lift.Func(&programpb.Program{}, fn, func(uint64, int) []byte { return nil }, lift.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// A block without bytes faults when it is reached.
	p, fn, _ := program([]byte{0xc3}, 0)
	if f, _ := mustLift(t, p, fn, func(uint64, int) []byte { return nil }); f.Blocks[0].Term.Kind != ir.TermFault {
		t.Errorf("got\n%s", f)
	}
}

// TestDirectCompares wants a condition after a comparison in the same block to
// read no flag register.
func TestDirectCompares(t *testing.T) {
	for cc := byte(2); cc < 16; cc++ {
		if cc == 8 || cc == 9 || cc == 10 || cc == 11 {
			continue // js, jns of a difference read the result; jp, jnp the flag
		}
		f, err := lift.Bytes([]byte{0x39, 0xd8, 0x70 | cc, 0x05}, 0x1000) // cmp eax, ebx; jcc
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range f.Blocks[0].Insts {
			if in.Op == ir.Get && in.Reg.IsFlag() {
				t.Errorf("condition %d reads %s:\n%s", cc, in.Reg, f)
			}
		}
	}
}

// TestInheritedCompares wants the second jump of a three-way comparison to read
// no flag register either, unless an operand has changed or the block has
// another predecessor.
func TestInheritedCompares(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  []byte
		flags bool
	}{
		{"cmp eax, ebx; jg; jl", []byte{0x39, 0xd8, 0x7f, 0x20, 0x7c, 0x20, 0xc3}, false},
		{"cmp al, 5; ja; je", []byte{0x3c, 0x05, 0x77, 0x20, 0x74, 0x20, 0xc3}, false},
		{"test rax, rax; js; je", []byte{0x48, 0x85, 0xc0, 0x78, 0x20, 0x74, 0x20, 0xc3}, false},
		{"dec eax; js; je", []byte{0xff, 0xc8, 0x78, 0x20, 0x74, 0x20, 0xc3}, false},
		{"cmp eax, ebx; jg; mov eax, 1; jl", []byte{0x39, 0xd8, 0x7f, 0x20, 0xb8, 1, 0, 0, 0, 0x7c, 0x20, 0xc3}, true},
		{"cmp eax, [rbx]; jg; jl", []byte{0x3b, 0x03, 0x7f, 0x20, 0x7c, 0x20, 0xc3}, true},
		{"cmp eax, ebx; jg to the second jump; jl", []byte{0x39, 0xd8, 0x7f, 0x00, 0x7c, 0x20, 0xc3}, true},
		{"cmp eax, ebx; jg; lahf; jl", []byte{0x39, 0xd8, 0x7f, 0x20, 0x9f, 0x7c, 0x20, 0xc3}, true},
	} {
		f, err := lift.Bytes(c.code, 0x1000)
		if err != nil {
			t.Fatal(err)
		}
		reads := false
		for _, b := range f.Blocks {
			for _, in := range b.Insts {
				reads = reads || in.Op == ir.Get && in.Reg.IsFlag()
			}
		}
		if reads != c.flags {
			t.Errorf("%s: reads a flag register: %v\n%s", c.name, reads, f)
		}
	}
}

// FuzzBytes lifts any bytes: the lifter must not panic and must give valid IR.
func FuzzBytes(f *testing.F) {
	f.Add([]byte{0xf3, 0xa4, 0x74, 0xfc})
	f.Add(bytes.Repeat([]byte{0xf0, 0x0f, 0xb1, 0x0e}, 4))
	f.Fuzz(func(t *testing.T, code []byte) {
		fn, err := lift.Bytes(code[:min(len(code), 256)], 0x1000)
		var unsupported *lift.UnsupportedError
		if err != nil && !errors.As(err, &unsupported) {
			if len(code) > 0 {
				t.Fatal(err)
			}
			return
		}
		if err := ir.Verify(fn); err != nil {
			t.Fatalf("%v\n%s", err, fn)
		}
	})
}
