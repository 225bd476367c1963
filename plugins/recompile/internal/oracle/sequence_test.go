package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// TestSequences runs random instructions on registers one after the other, some
// of them jumped over, so that what the lifter and the passes carry from one
// instruction and block to the next is compared with the CPU, too. The
// environment is that of TestDifferential.
func TestSequences(t *testing.T) {
	cpu := startCPU(t)
	if cpu == nil {
		t.Skip("the oracle needs linux/amd64")
	}
	duration, seed, wanted := fuzzSettings(t)
	g := NewGenerator(seed, func(op x86asm.Op) bool { return wanted(op) && !approximate[op] && !foreign(op) && !notInSequences[op] })
	// Which NaN wazero's interpreter gives is up to the Go compiler, and
	// instructions that follow make more of it.
	ms := slices.DeleteFunc(meanings(t), func(m Meaning) bool {
		w, ok := m.(*wasmMachine)
		return ok && w.wazero.Interpreter
	})
	count, bad := 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end) && bad < 5; {
		var cases []Case
		var undef []uint64
		for len(cases) < unitsPerModule {
			code, mask, ok := sequence(g)
			if !ok {
				continue
			}
			cases = append(cases, Case{Code: code, State: g.state()})
			undef = append(undef, mask)
		}
		outcomes, err := cpu.Run(cases)
		if err != nil {
			t.Fatal(err)
		}
		count += len(cases)
		for _, m := range ms {
			for i, r := range m.Run(cases) {
				if text := differSequence(m, cases[i], undef[i], outcomes[i], r); text != "" {
					bad++
					t.Errorf("the %s disagrees with the CPU:\n%s\n%s", m.Name(), disassemble(cases[i].Code), text)
				}
			}
		}
	}
	t.Logf("%d sequences", count)
}

// notInSequences are instructions with results that Intel leaves undefined, or
// that leave the code.
var notInSequences = map[x86asm.Op]bool{
	x86asm.BSF: true, x86asm.BSR: true, x86asm.SHLD: true, x86asm.SHRD: true, x86asm.PAUSE: true, x86asm.HLT: true,
	x86asm.UD2: true, x86asm.UD1: true, x86asm.UD0: true, x86asm.RET: true, x86asm.CALL: true, x86asm.JMP: true,
	x86asm.FPREM: true, x86asm.FPREM1: true, x86asm.POPF: true, x86asm.POPFD: true, x86asm.POPFQ: true,
}

// sequence returns 4 to 10 instructions and the flags that are undefined after
// them.
func sequence(g *Generator) (code []byte, undef uint64, ok bool) {
	skip := false // the next instruction is jumped over
	for range 4 + g.rng.IntN(7) {
		c, in, row := plain(g, undef)
		if len(code)+2+len(c) > MaxCode {
			break
		}
		if skip = !skip && g.rng.IntN(6) == 0; skip {
			cc := g.rng.IntN(16)
			jcc, err := x86.Decode([]byte{0x70 | byte(cc), 0}, CodeAt)
			if jr, found := Row(jcc); err != nil || !found || flagMask(jr.Reads)&undef != 0 {
				skip = false
			} else {
				code = append(code, 0x70|byte(cc), byte(len(c)))
			}
		}
		form := row.Undef
		if row.UndefForm != nil {
			form |= row.UndefForm(in)
		}
		if !skip {
			undef &^= flagMask(row.Writes &^ form)
		}
		undef |= flagMask(form)
		code = append(code, c...)
	}
	if _, err := lift.Bytes(code, CodeAt); err != nil {
		return nil, 0, false
	}
	return code, undef, true
}

// plain returns an instruction without memory operands or jumps that reads no
// flag of undef.
func plain(g *Generator, undef uint64) ([]byte, x86.Inst, lift.Row) {
	for {
		c, in, ok := g.Next()
		if !ok || formOf(in) == "mem" || formOf(in) == "segment" || in.EndsBlock() {
			continue
		}
		if _, err := lift.Bytes(c.Code, CodeAt); err != nil {
			continue
		}
		if _, jumps := in.DirectTarget(); jumps {
			continue
		}
		if row, found := Row(in); found && flagMask(row.Reads)&undef == 0 {
			return c.Code, in, row
		}
	}
}

func differSequence(m Meaning, c Case, undef uint64, want Outcome, r Result) string {
	rsp := want.State.Regs[guestabi.RSP].Lo
	if want.Signal != 0 || rsp < MemAt || rsp > MemAt+MemSize {
		return "" // a fault in the middle, or a stack where only the CPU has memory
	}
	if r.Err != nil {
		return r.Err.Error()
	}
	maskCodes(want.State, c1)
	maskCodes(r.State, c1)
	w, g := Compare(c, want, r.Outcome, undef)
	if w == g {
		return ""
	}
	return "CPU: " + w + "\ngot: " + g
}

func disassemble(code []byte) string {
	var b strings.Builder
	for at := 0; at < len(code); {
		in, err := x86.Decode(code[at:], CodeAt+uint64(at))
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "%x\t%s\n", in.Bytes, x86asm.IntelSyntax(in.Inst, in.PC, nil))
		at += in.Len
	}
	return b.String()
}
