package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// TestDifferential runs random instructions on random states. The environment
// chooses: ORACLE_TIME (a duration), ORACLE_SEED, and ORACLE_OPS, a list of
// mnemonics.
func TestDifferential(t *testing.T) {
	cpu := startCPU(t)
	if cpu == nil {
		t.Skip("the oracle needs linux/amd64")
	}
	duration, seed, wanted := fuzzSettings(t)
	f := &fuzzer{t: t, cpu: cpu, ms: meanings(t), found: map[string]int{}, unsupported: map[string]int{}, ran: map[x86asm.Op]int{}}
	g := NewGenerator(seed, func(op x86asm.Op) bool { return wanted(op) && !approximate[op] })
	if len(g.Ops()) == 0 {
		t.Fatal("no instruction to run")
	}
	for end := time.Now().Add(duration); time.Now().Before(end); {
		f.batch(g)
	}
	t.Logf("%d cases of %d instructions; %d encodings were not supported: %v", f.count, len(f.ran), len(f.unsupported), f.unsupported)
	var idle []string
	for _, op := range g.Ops() {
		if f.ran[op] == 0 {
			idle = append(idle, op.String())
		}
	}
	t.Logf("never ran: %s", strings.Join(idle, " "))
}

// fuzzSettings reads ORACLE_TIME, ORACLE_SEED and ORACLE_OPS.
func fuzzSettings(t *testing.T) (time.Duration, uint64, func(x86asm.Op) bool) {
	t.Helper()
	duration, seed := 3*time.Second, uint64(1)
	if s := os.Getenv("ORACLE_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("reading ORACLE_TIME: %v", err)
		}
		duration = d
	}
	if s := os.Getenv("ORACLE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("reading ORACLE_SEED: %v", err)
		}
		seed = n
	}
	only := map[string]bool{}
	for _, name := range strings.FieldsFunc(strings.ToUpper(os.Getenv("ORACLE_OPS")), func(r rune) bool { return r == ',' || r == ' ' }) {
		only[name] = true
	}
	return duration, seed, func(op x86asm.Op) bool { return len(only) == 0 || only[op.String()] }
}

type fuzzer struct {
	t           *testing.T
	cpu         *CPU
	ms          []Meaning
	found       map[string]int
	unsupported map[string]int
	ran         map[x86asm.Op]int
	count       int
}

const batchSize = 128

func (f *fuzzer) batch(g *Generator) {
	var cases []Case
	var insts []x86.Inst
	for len(cases) < batchSize {
		c, in, ok := g.Next()
		if !ok {
			continue
		}
		if _, err := lift.Bytes(c.Code, CodeAt); err != nil {
			var unsupported *lift.UnsupportedError
			if !errors.As(err, &unsupported) {
				f.t.Errorf("% x: %v", c.Code, err)
			}
			f.unsupported[in.Op.String()]++
			continue
		}
		cases = append(cases, c)
		insts = append(insts, in)
	}
	outcomes, err := f.cpu.Run(cases)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range cases {
		f.count++
		f.ran[insts[i].Op]++
	}
	for _, m := range f.ms {
		for i, r := range m.Run(cases) {
			if want, got := differ(m, cases[i], insts[i], outcomes[i], r); want != got {
				f.report(m, cases[i], insts[i])
			}
		}
	}
}

// differ compares m with the CPU on c; equal texts mean no difference.
func differ(m Meaning, c Case, in x86.Inst, want Outcome, r Result) (wantText, gotText string) {
	switch {
	case r.Err != nil:
		return "the CPU gives an outcome", r.Err.Error()
	case accepted(in, c, want, r.Outcome):
		return "", ""
	}
	if _, wasm := m.(*wasmMachine); wasm && want.Signal == syscall.SIGSEGV {
		return "", "" // its memory is larger than that of the case
	}
	if w, ok := m.(*wasmMachine); ok && w.wazero.Interpreter {
		sameNaNs(want.State, r.State)
	}
	if mask := vendorCodes(in, want); mask != 0 {
		maskCodes(want.State, mask)
		maskCodes(r.State, mask)
	}
	if want.Signal != 0 && r.Signal == want.Signal && partial(in) {
		return "", ""
	}
	undef, _ := Undefined(c.Code)
	return Compare(c, want, r.Outcome, undef)
}

// sameNaNs makes the NaNs of got those of want: which operand's NaN an operation
// of wazero's interpreter gives is up to the Go compiler.
func sameNaNs(want, got *interp.State) {
	for _, r := range guestabi.CPUv3.Regs() {
		if r < guestabi.XMM0 {
			continue
		}
		w, g := &want.Regs[r], &got.Regs[r]
		g.Lo, g.Hi = sameNaN(w.Lo, g.Lo), sameNaN(w.Hi, g.Hi)
	}
}

func sameNaN(want, got uint64) uint64 {
	nan32 := func(x uint64) bool { return x&0x7fff_ffff > 0x7f80_0000 }
	if want&^(1<<63) > 0x7ff0<<48 && got&^(1<<63) > 0x7ff0<<48 && nan32(want>>32) == nan32(got>>32) {
		return want
	}
	for _, shift := range []int{0, 32} {
		if nan32(want>>shift&0xffff_ffff) && nan32(got>>shift&0xffff_ffff) {
			got = got&^(0xffff_ffff<<shift) | want&(0xffff_ffff<<shift)
		}
	}
	return got
}

// Condition codes of the x87 status word.
const c0, c1, c3 = 1 << 8, 1 << 9, 1 << 14

// vendorCodes returns the condition codes that Intel leaves undefined and that
// its processors and AMD's set in different ways.
func vendorCodes(in x86.Inst, want Outcome) uint16 {
	switch in.Op {
	case x86asm.FCOMI, x86asm.FCOMIP, x86asm.FUCOMI, x86asm.FUCOMIP, x86asm.FFREE, x86asm.FFREEP,
		x86asm.FCMOVB, x86asm.FCMOVE, x86asm.FCMOVBE, x86asm.FCMOVU, x86asm.FCMOVNB, x86asm.FCMOVNE, x86asm.FCMOVNBE, x86asm.FCMOVNU:
		return c1
	case x86asm.FPREM, x86asm.FPREM1:
		if v := topOfStack(want.State); v.SE&0x7fff == 0x7fff {
			return c0 | c1 | c3 // there is no quotient
		}
	}
	return 0
}

func topOfStack(st *interp.State) x87.Float80 {
	var fx [512]byte
	st.X87.MarshalFXSave(fx[:])
	return read80(fx[32:])
}

func maskCodes(st *interp.State, mask uint16) {
	var fx [512]byte
	st.X87.MarshalFXSave(fx[:])
	binary.LittleEndian.PutUint16(fx[2:], binary.LittleEndian.Uint16(fx[2:])&^mask)
	st.X87.UnmarshalFXSave(fx[:])
}

// accepted says whether a difference is one that the design accepts.
func accepted(in x86.Inst, c Case, want, got Outcome) bool {
	fault := want.Signal == syscall.SIGSEGV
	switch {
	case got.Signal == syscall.SIGILL && foreign(in.Op):
		return true
	case want.Signal == syscall.SIGILL && (c.Code[0] == 0x66 || c.Code[0] == 0xf2 || c.Code[0] == 0xf3):
		return true // a prefix that means nothing here, which no assembler writes
	case want.PC >= 1<<32 && want.Signal == 0:
		return true // guest code lies below 4 GiB
	case want.beyond && got.Signal == 0:
		return true
	}
	switch in.Op {
	case x86asm.RET, x86asm.JMP, x86asm.CALL:
		return fault // at an address that is not canonical
	case x86asm.BT, x86asm.BTC, x86asm.BTR, x86asm.BTS, x86asm.VGATHERQPS, x86asm.VGATHERQPD, x86asm.VPGATHERQD, x86asm.VPGATHERQQ:
		return fault // guest addresses are computed modulo 2^32, and these have more than their operands say
	case x86asm.ENTER:
		return fault // enter probes the new top of the stack
	case x86asm.SHLD, x86asm.SHRD:
		return in.DataSize == 16 // a count above 16 is undefined
	case x86asm.BSF, x86asm.BSR:
		return want.State.Regs[guestabi.ZF].Lo == 1 // the upper half of a register that is kept
	case x86asm.PAUSE:
		return true // with REX.B it is xchg to some processors
	}
	return false
}

// partial instructions change state before they fault: a store of 32 bytes is
// two, of which the upper one comes first.
func partial(in x86.Inst) bool {
	return in.Rep || in.Repne || isString(&in) || isGather(in) || in.MemBytes == 32
}

func isGather(in x86.Inst) bool {
	m, _ := in.Args[1].(x86asm.Mem)
	_, ok := vectorNumber(m.Index)
	return ok
}

// report minimises c and prints it as a line of a case file.
func (f *fuzzer) report(m Meaning, c Case, in x86.Inst) {
	key := m.Name() + in.Op.String()
	f.found[key]++
	if f.found[key] > 2 || len(f.found) > 25 {
		if f.found[key] == 3 {
			f.t.Errorf("%s under the %s: more of the same", in.Op, m.Name())
		}
		return
	}
	differs := func(c Case) (string, string, bool) {
		o, err := f.cpu.Run([]Case{c})
		if err != nil {
			f.t.Fatal(err)
		}
		w, g := differ(m, c, in, o[0], m.Run([]Case{c})[0])
		return w, g, w != g
	}
	def := DefaultState()
	for _, r := range guestabi.CPUv3.Regs() {
		for _, v := range []interp.Val{def.Regs[r], {}, {Lo: 1}} {
			try := Case{Code: c.Code, State: Clone(c.State)}
			try.State.Regs[r] = v
			if _, _, ok := differs(try); ok {
				c = try
				break
			}
		}
	}
	try := Case{Code: c.Code, State: Clone(c.State)}
	try.State.X87 = def.X87
	if _, _, ok := differs(try); ok {
		c = try
	}
	for off := 0; off < MemSize; off += 64 {
		try := Case{Code: c.Code, State: Clone(c.State)}
		copy(try.State.Mem[0].Data[off:off+64], def.Mem[0].Data[off:])
		if _, _, ok := differs(try); ok {
			c = try
		}
	}
	w, g, _ := differs(c)
	before := FormatChanges(def, Outcome{State: c.State, PC: CodeAt + uint64(len(c.Code))}, len(c.Code), 0)
	f.t.Errorf("%s: the %s disagrees with the CPU:\n%x | %s | %s | %s\n%s gives: %s", x86asm.IntelSyntax(in.Inst, in.PC, nil), m.Name(), c.Code,
		strings.ToLower(fmt.Sprint(in.Op)), before, w, m.Name(), g)
}
