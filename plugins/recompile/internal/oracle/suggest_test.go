package oracle

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// TestSuggestCases writes cases for instructions that have none: ORACLE_SUGGEST
// is a list of mnemonics, or "all". They are a start; the cases that show what
// is special about an instruction are to be added by hand.
func TestSuggestCases(t *testing.T) {
	names := os.Getenv("ORACLE_SUGGEST")
	if names == "" {
		t.Skip("ORACLE_SUGGEST is not set")
	}
	want := map[string]bool{}
	for _, n := range strings.Fields(strings.ToUpper(names)) {
		want[n] = true
	}
	have := casesOf(t)
	cpu := startCPU(t)
	g := NewGenerator(1, func(op x86asm.Op) bool { return !have[op.String()] && (want["ALL"] || want[op.String()]) })
	for _, op := range g.Ops() {
		row, _ := lift.Find(op)
		suggest(t, cpu, g, op, row)
	}
}

// casesOf returns the mnemonics that case files show.
func casesOf(t *testing.T) map[string]bool {
	have := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(caseDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		lines, err := ReadCases(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l.Case != nil {
				_, names := Undefined(l.Case.Code)
				for _, n := range names {
					have[n] = true
				}
			}
		}
	}
	return have
}

func suggest(t *testing.T, cpu *CPU, g *Generator, op x86asm.Op, row lift.Row) {
	forms := map[string]int{}
	var lines []Line
	for range 4000 {
		c, in, ok := g.NextOf(op)
		if !ok || len(lines) >= 8 {
			continue
		}
		if _, err := lift.Bytes(c.Code, CodeAt); err != nil {
			continue
		}
		form := formOf(in)
		for i := range in.Args {
			if in.ArgSize(i) == 32 {
				form += " wide"
			}
		}
		if forms[form] >= 2 || c.Code[0] == 0xf2 && in.Repne || in.MemBytes == 16 && c.Code[0] != vex2 && c.Code[0] != vex3 && form != "reg" && !aligned(c, in) {
			continue
		}
		c.State = relevant(c, in, row)
		o, err := cpu.Run([]Case{c})
		if err != nil {
			t.Fatal(err)
		}
		if o[0].Signal != 0 || o[0].PC >= 1<<32 {
			continue
		}
		forms[form]++
		undef, _ := Undefined(c.Code)
		lines = append(lines, Line{
			Case: &c, Bytes: hexOf(c.Code), Note: x86asm.IntelSyntax(in.Inst, in.PC, nil),
			In:  FormatChanges(DefaultState(), Outcome{State: c.State, PC: CodeAt + uint64(len(c.Code))}, len(c.Code), 0),
			Out: FormatChanges(c.State, o[0], len(c.Code), undef),
		})
	}
	if len(lines) == 0 {
		t.Logf("%s: no case", op)
		return
	}
	name := strings.ToLower(op.String()) + ".txt"
	if err := WriteCases(filepath.Join(caseDir, name), lines); err != nil {
		t.Fatal(err)
	}
}

func formOf(in x86.Inst) string {
	for _, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok {
			if m.Segment != 0 {
				return "segment"
			}
			return "mem"
		}
	}
	return "reg"
}

func aligned(c Case, in x86.Inst) bool {
	for _, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok {
			return address(c.State, m)%16 == 0
		}
	}
	return true
}

func address(st *interp.State, m x86asm.Mem) uint64 {
	a := uint64(m.Disp)
	if r, ok := wholeReg(m.Base); ok {
		a += st.Regs[r].Lo
	}
	if r, ok := wholeReg(m.Index); ok {
		a += st.Regs[r].Lo * uint64(m.Scale)
	}
	return a
}

// relevant keeps of c's state what the instruction names, and takes the
// defaults for the rest.
func relevant(c Case, in x86.Inst, row lift.Row) *interp.State {
	st := DefaultState()
	keep := func(r guestabi.Reg) { st.Regs[r] = c.State.Regs[r] }
	keepVector := func(a x86asm.Reg) {
		if n, ok := vectorNumber(a); ok {
			keep(guestabi.XMM0 + n)
			if a >= x86asm.Y0 {
				keep(guestabi.YMMH0 + n)
			}
		}
	}
	for _, a := range in.Args {
		switch a := a.(type) {
		case x86asm.Reg:
			if r, ok := wholeReg(a); ok {
				keep(r)
			}
			keepVector(a)
		case x86asm.Mem:
			keepVector(a.Index)
			for _, r := range []x86asm.Reg{a.Base, a.Index} {
				if r, ok := wholeReg(r); ok {
					keep(r)
				}
			}
			off := address(c.State, a) - MemAt
			if off < MemSize {
				end := min(off+uint64(max(in.MemBytes, 8)), MemSize)
				copy(st.Mem[0].Data[off:end], c.State.Mem[0].Data[off:end])
			}
		}
	}
	for i, f := range []guestabi.Reg{guestabi.CF, guestabi.PF, guestabi.AF, guestabi.ZF, guestabi.SF, guestabi.OF} {
		if row.Reads>>i&1 != 0 {
			keep(f)
		}
	}
	if strings.HasPrefix(in.Op.String(), "F") {
		st.X87 = twoValues(&c.State.X87)
	}
	return st
}

// twoValues is the initial x87 state with ST(0) and ST(1) of s.
func twoValues(s *x87.State) x87.State {
	var fx, old [512]byte
	s.MarshalFXSave(old[:])
	fresh := x87.New()
	fresh.MarshalFXSave(fx[:])
	binary.LittleEndian.PutUint16(fx[2:], 6<<11)
	fx[4] = 0xc0
	copy(fx[32:64], old[32:64])
	fresh.UnmarshalFXSave(fx[:])
	return fresh
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, x := range b {
		out = append(out, digits[x>>4], digits[x&15])
	}
	return string(out)
}
