package lower

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/pass"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Random programs: a loop over one block of random operations. They run on the
// interpreter of the IR as they are, and under wazero with and without passes.
const (
	fuzzMem     = 0x2_0000 // guest address of the memory that they use
	fuzzMemSize = 0x2000
	fuzzPC      = 0x1000
	fuzzGap     = 0x100
)

// fuzzRegs are the registers that the programs use besides rcx, the counter.
var fuzzRegs = []ir.Reg{guestabi.RAX, guestabi.RBX, guestabi.RDX, guestabi.RSI, guestabi.R8, guestabi.R9, guestabi.R10,
	guestabi.ZF, guestabi.CF, guestabi.XMM0, guestabi.XMM0 + 1, guestabi.XMM0 + 2, guestabi.XMM0 + 7}

type fuzzer struct {
	r      *rand.Rand
	b      *ir.Builder
	ops    []ir.Op
	byType map[ir.Type][]ir.Value
	scalar bool // mostly operations on lane 0
}

// fuzzOps are the operations that a program may draw.
func fuzzOps() []ir.Op {
	var ops []ir.Op
	for op := ir.Invalid + 1; op < ir.NumOps; op++ {
		switch op {
		case ir.Helper, ir.Result, ir.LinearAddr, ir.ShareAddr, ir.SharedAddr, ir.GuestAddr, ir.GuestAddr32, ir.MemCopy, ir.MemFill:
			continue
		}
		ops = append(ops, op)
	}
	return ops
}

func fuzzProgram(seed int64, pc uint32) *ir.Func {
	f := &ir.Func{Name: "fuzz", PC: pc}
	start, loop, end := f.NewBlock(pc), f.NewBlock(pc+1), f.NewBlock(pc+2)
	start.Entry = true
	start.Term = ir.Term{Kind: ir.TermJump, To: loop.ID, Cond: ir.None, Target: ir.None, Else: ir.NoBlock}
	r := rand.New(rand.NewSource(seed))
	g := &fuzzer{r: r, b: &ir.Builder{Func: f, Block: loop, PC: loop.PC}, ops: fuzzOps(), byType: map[ir.Type][]ir.Value{}, scalar: seed%3 == 0}
	for range 10 + r.Intn(60) {
		g.step()
	}
	left := g.b.Op(ir.I64Sub, g.b.Get(guestabi.RCX), g.b.I64(1))
	g.b.Set(guestabi.RCX, left)
	loop.Term = ir.Term{Kind: ir.TermBranch, Cond: g.b.Op(ir.I64Ne, left, g.b.I64(0)), To: loop.ID, Else: end.ID, Target: ir.None}
	eb := &ir.Builder{Func: f, Block: end, PC: end.PC}
	end.Term = ir.Term{Kind: ir.TermRet, Target: eb.I32(walkRet), Cond: ir.None, To: ir.NoBlock, Else: ir.NoBlock}
	return f
}

func (g *fuzzer) keep(v ir.Value) {
	t := g.b.TypeOf(v)
	g.byType[t] = append(g.byType[t], v)
}

// value returns a value of type t.
func (g *fuzzer) value(t ir.Type) ir.Value {
	if have := g.byType[t]; len(have) > 0 && g.r.Intn(4) > 0 {
		return have[len(have)-1-g.r.Intn(min(len(have), 8))]
	}
	switch t {
	case ir.I32:
		if g.r.Intn(2) == 0 {
			return g.b.I32(int32(g.number()))
		}
		return g.b.Op(ir.I32WrapI64, g.value(ir.I64))
	case ir.I64:
		if g.r.Intn(3) == 0 {
			return g.b.I64(g.number())
		}
		return g.b.Get(fuzzRegs[g.r.Intn(7)])
	case ir.F32:
		return g.clean(g.b.Op(ir.F32ConvertI32S, g.value(ir.I32)))
	case ir.F64:
		if g.scalar {
			return g.clean(g.b.OpImm(ir.F64x2ExtractLane, 0, g.value(ir.V128)))
		}
		return g.clean(g.b.Op(ir.F64ConvertI64S, g.value(ir.I64)))
	}
	if g.r.Intn(5) == 0 {
		return g.b.V128(uint64(g.number()), uint64(g.number()))
	}
	return g.b.Get(fuzzRegs[len(fuzzRegs)-1-g.r.Intn(4)])
}

func (g *fuzzer) number() int64 {
	special := []int64{0, 1, 2, -1, 7, 8, 31, 32, 63, 64, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, math.MaxInt64, math.MinInt64, 0x1_0000}
	if g.r.Intn(3) > 0 {
		return special[g.r.Intn(len(special))]
	}
	return int64(g.r.Uint64())
}

// clean replaces NaN, whose payload wasm leaves open, by 0.
func (g *fuzzer) clean(v ir.Value) ir.Value {
	switch g.b.TypeOf(v) {
	case ir.F32:
		return g.b.Select(v, g.b.F32Bits(0), g.b.Op(ir.F32Eq, v, v))
	case ir.F64:
		return g.b.Select(v, g.b.F64Bits(0), g.b.Op(ir.F64Eq, v, v))
	}
	return v
}

// address returns an address within the memory, a multiple of 16 plus what the
// displacement adds.
func (g *fuzzer) address() (ir.Value, int64) {
	disp := int64(g.r.Intn(64)-32) * 16
	if g.r.Intn(4) == 0 {
		return g.b.GuestAddr32(uint64(fuzzMem + fuzzMemSize/2 + g.r.Intn(64)*16)), disp
	}
	index := g.b.Op(ir.I32And, g.value(ir.I32), g.b.I32(0x7f0))
	a := g.b.Op(ir.I32Add, index, g.b.I32(fuzzMem+fuzzMemSize/2))
	g.keep(a)
	return a, disp
}

func (g *fuzzer) step() {
	if g.r.Intn(4) == 0 { // registers carry values around the loop
		reg := fuzzRegs[g.r.Intn(len(fuzzRegs))]
		v := g.value(reg.Type())
		if g.scalar && reg >= guestabi.XMM0 && g.r.Intn(4) > 0 {
			v = g.b.OpImm(ir.F64x2ReplaceLane, 0, g.b.Get(reg), g.value(ir.F64))
		}
		if reg.IsFlag() {
			v = g.b.Op(ir.I32And, v, g.b.I32(1))
		}
		g.b.Set(reg, v)
		return
	}
	op := g.ops[g.r.Intn(len(g.ops))]
	row := &ir.Rows[op]
	switch {
	case op == ir.Get || op == ir.Set || strings.HasSuffix(row.Name, "Const"):
		return
	case op == ir.Select:
		t := []ir.Type{ir.I32, ir.I64, ir.F64, ir.V128}[g.r.Intn(4)]
		g.keep(g.b.Select(g.value(t), g.value(t), g.value(ir.I32)))
		return
	case op == ir.I8x16Shuffle:
		var lanes [16]byte
		for i := range lanes {
			lanes[i] = byte(g.r.Intn(32))
		}
		g.keep(g.b.Shuffle(g.value(ir.V128), g.value(ir.V128), lanes))
		return
	}
	g.plain(op, row)
}

// plain emits an operation by its row.
func (g *fuzzer) plain(op ir.Op, row *ir.Row) {
	imm := int64(0)
	var args []ir.Value
	for i, t := range row.Args {
		switch {
		case row.Imm == ir.ImmDisp && i == 0:
			var a ir.Value
			a, imm = g.address()
			if row.Wasm>>8 != 0xfe && g.r.Intn(2) == 0 {
				imm += int64(g.r.Intn(16))
			}
			args = append(args, a)
		case row.Effect == ir.Traps && i == 1: // no division by 0 or -1
			mask, one := g.b.I32(0x7fff), g.b.I32(1)
			and, or := ir.I32And, ir.I32Or
			if t == ir.I64 {
				mask, one, and, or = g.b.I64(0x7fff), g.b.I64(1), ir.I64And, ir.I64Or
			}
			args = append(args, g.b.Op(or, g.b.Op(and, g.value(t), mask), one))
		default:
			args = append(args, g.value(t))
		}
	}
	if row.Imm == ir.ImmLane {
		imm = int64(g.r.Intn(map[string]int{"I8": 16, "I1": 8, "I3": 4, "F3": 4, "I6": 2, "F6": 2}[row.Name[:2]]))
	}
	v := g.b.OpImm(op, imm, args...)
	if row.Result == ir.Void {
		return
	}
	switch {
	case row.Result == ir.V128 && strings.HasPrefix(row.Name, "F32x4"):
		v = g.b.Op(ir.V128And, v, g.b.Op(ir.F32x4Eq, v, v))
	case row.Result == ir.V128 && strings.HasPrefix(row.Name, "F64x2"):
		v = g.b.Op(ir.V128And, v, g.b.Op(ir.F64x2Eq, v, v))
	}
	g.keep(g.clean(v))
}

// fuzzState is what a program starts from and what it leaves.
type fuzzState struct {
	regs [guestabi.EndRegs]interp.Val
	mem  [fuzzMemSize]byte
}

func newFuzzState(seed int64) *fuzzState {
	s := &fuzzState{}
	r := rand.New(rand.NewSource(^seed))
	for _, reg := range fuzzRegs {
		s.regs[reg] = interp.Val{Lo: r.Uint64()}
		switch {
		case reg.IsFlag():
			s.regs[reg].Lo &= 1
		case reg >= guestabi.XMM0:
			s.regs[reg] = interp.Val{Lo: math.Float64bits(r.NormFloat64()), Hi: r.Uint64()}
		}
	}
	s.regs[guestabi.RCX] = interp.Val{Lo: uint64(1 + r.Intn(5))}
	r.Read(s.mem[:])
	return s
}

func (s *fuzzState) interpret(f *ir.Func) error {
	st := &interp.State{Regs: s.regs, Mem: interp.Memory{{Base: fuzzMem, Data: s.mem[:]}}}
	exit, err := interp.Run(f, st, 1<<20)
	s.regs = st.Regs
	if err == nil && exit.PC != walkRet {
		return fmt.Errorf("left for %#x", exit.PC)
	}
	return err
}

// scratch is a linear address in the page that belongs to the machine.
const scratch = 0x100

func (s *fuzzState) run(h *harness, pc uint32) error {
	ctx := guestabi.Context{Fuel: 3, MXCSR: guestabi.MXCSRInit}
	for r := range ctx.GPR {
		ctx.GPR[r] = s.regs[r].Lo
	}
	for f, bit := range map[ir.Reg]uint{guestabi.CF: guestabi.BitCF, guestabi.ZF: guestabi.BitZF} {
		ctx.RFLAGS |= s.regs[f].Lo << bit
	}
	for i := range ctx.XMM {
		v := s.regs[guestabi.XMM0+ir.Reg(i)]
		binary.LittleEndian.PutUint64(ctx.XMM[i][:], v.Lo)
		binary.LittleEndian.PutUint64(ctx.XMM[i][8:], v.Hi)
	}
	mem := h.module.Memory()
	area, _ := mem.Read(scratch, uint32(guestabi.CPUv2.ContextSize()))
	ctx.Put(area, guestabi.CPUv2)
	h.call(guestabi.ExportLoadContext, scratch)
	mem.Write(fuzzMem-guestabi.AddrBias, s.mem[:])
	out, err := h.enter(pc, nil)
	if err != nil {
		return err
	}
	if out != walkRet || len(h.faults) > 0 {
		return fmt.Errorf("left for %#x, faults %v", out, h.faults)
	}
	h.call(guestabi.ExportSaveContext, scratch)
	ctx.Get(area, guestabi.CPUv2)
	for r := range ctx.GPR {
		s.regs[r].Lo = ctx.GPR[r]
	}
	s.regs[guestabi.CF].Lo = ctx.RFLAGS >> guestabi.BitCF & 1
	s.regs[guestabi.ZF].Lo = ctx.RFLAGS >> guestabi.BitZF & 1
	for i := range ctx.XMM {
		s.regs[guestabi.XMM0+ir.Reg(i)] = interp.Val{
			Lo: binary.LittleEndian.Uint64(ctx.XMM[i][:]), Hi: binary.LittleEndian.Uint64(ctx.XMM[i][8:])}
	}
	got, _ := mem.Read(fuzzMem-guestabi.AddrBias, fuzzMemSize)
	copy(s.mem[:], got)
	return nil
}

func (h *harness) call(name string, arg uint64) {
	h.t.Helper()
	if _, err := h.module.ExportedFunction(name).Call(h.ctx, arg); err != nil {
		h.t.Fatal(err)
	}
}

// diff describes the first difference, or is empty.
func (s *fuzzState) diff(t *fuzzState) string {
	for _, r := range append([]ir.Reg{guestabi.RCX}, fuzzRegs...) {
		if s.regs[r] != t.regs[r] {
			return fmt.Sprintf("%s is %#x, want %#x", r, s.regs[r], t.regs[r])
		}
	}
	for i := range s.mem {
		if s.mem[i] != t.mem[i] {
			return fmt.Sprintf("memory at %#x is %#x, want %#x", fuzzMem+i, s.mem[i], t.mem[i])
		}
	}
	return ""
}

// TestRandomPrograms holds the lowering and the passes against the reference
// meaning of the IR, under wazero's compiler and its interpreter.
func TestRandomPrograms(t *testing.T) {
	programs := 3000
	if testing.Short() {
		programs = 400
	}
	const perUnit = 100
	for first := 0; first < programs; first += perUnit {
		for _, c := range []struct {
			name        string
			opts        pass.Options
			interpreter bool
		}{
			{"no passes", pass.Options{RequiredOnly: true}, false},
			{"passes", pass.Options{}, false},
			{"passes, wazero's interpreter", pass.Options{}, true},
		} {
			var funcs []*ir.Func
			for i := range perUnit {
				funcs = append(funcs, fuzzProgram(int64(first+i), fuzzPC+uint32(i)*fuzzGap))
			}
			opts := c.opts
			opts.Verify = true
			// Flags are part of what is compared.
			context := &pass.Context{Flags: pass.AllFlags()}
			for _, f := range funcs {
				if err := pass.Run(context, f, &opts); err != nil {
					t.Fatalf("%v\n%s", err, f)
				}
			}
			after := make([]*ir.Func, len(funcs))
			for i, f := range funcs {
				c := *f
				after[i] = &c
			}
			m, err := Unit(&Input{Name: "fuzz", Funcs: after, Low: fuzzPC, High: fuzzPC + perUnit*fuzzGap})
			if err != nil {
				t.Fatal(err)
			}
			runPrograms(t, c.name, first, m, funcs, c.interpreter)
		}
	}
}

func runPrograms(t *testing.T, what string, first int, m *wasm.Module, funcs []*ir.Func, interpreter bool) {
	t.Helper()
	h := newHarness(t, m, interpreter)
	for i, f := range funcs {
		seed := int64(first + i)
		want, got, after := newFuzzState(seed), newFuzzState(seed), newFuzzState(seed)
		original := fuzzProgram(seed, f.PC)
		if err := want.interpret(original); err != nil {
			t.Fatalf("program %d, reference: %v\n%s", seed, err, original)
		}
		if err := got.run(h, f.PC); err != nil {
			t.Fatalf("program %d, %s: %v\n%s", seed, what, err, f)
		}
		if d := got.diff(want); d != "" {
			t.Fatalf("program %d, %s: %s\n%s\nafter passes:\n%s", seed, what, d, original, f)
		}
		if len(f.Scalars) == 0 { // the reference has no pseudo registers
			if err := after.interpret(f); err != nil {
				t.Fatalf("program %d, %s, reference after passes: %v\n%s", seed, what, err, f)
			}
			if d := after.diff(want); d != "" {
				t.Fatalf("program %d, %s, reference after passes: %s\n%s", seed, what, d, f)
			}
		}
	}
	h.runtime.Close(h.ctx)
}

// TestEveryOpIsLowered makes sure that no operation lacks a lowering.
func TestEveryOpIsLowered(t *testing.T) {
	table := specials()
	for op := ir.Invalid + 1; op < ir.NumOps; op++ {
		if ir.Rows[op].Wasm == 0 && table[op] == nil {
			t.Errorf("%s has no lowering", ir.Rows[op].Name)
		}
	}
}

// TestNullPageFaults accesses addresses around 0 with displacements of both
// signs: all must trap.
func TestNullPageFaults(t *testing.T) {
	var funcs []*ir.Func
	disps := []int64{0, 8, 0x7fff, 0x8000, 0xffff, -1, -8, -0x8000, -0x10000}
	for i, disp := range disps {
		f := &ir.Func{Name: "null", PC: fuzzPC + uint32(i)*fuzzGap}
		b := &ir.Builder{Func: f, Block: f.NewBlock(f.PC), PC: f.PC}
		b.Block.Entry = true
		addr := b.Op(ir.I32WrapI64, b.Get(guestabi.RAX))
		b.Set(guestabi.RBX, b.OpImm(ir.I64Load, disp, addr))
		b.Set(guestabi.RDX, b.OpImm(ir.I64Load, disp+8, addr))
		b.Block.Term = ir.Term{Kind: ir.TermRet, Target: b.I32(walkRet), Cond: ir.None, To: ir.NoBlock, Else: ir.NoBlock}
		if err := pass.Run(&pass.Context{Flags: pass.AllFlags()}, f, &pass.Options{Verify: true}); err != nil {
			t.Fatal(err)
		}
		funcs = append(funcs, f)
	}
	m, err := Unit(&Input{Name: "null", Funcs: funcs, Low: fuzzPC, High: fuzzPC + uint32(len(disps))*fuzzGap})
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, m, false)
	for i, disp := range disps {
		for _, rax := range []uint32{0, 1, 0x10, 0xffff, 0xffff_fff0, 0xffff_0000} {
			sum := rax + uint32(int32(disp))
			if sum >= guestabi.AddrBias && sum < 0xfff0_0000 {
				continue
			}
			if pc, err := h.enter(funcs[i].PC, regs{guestabi.RAX: uint64(rax)}); err == nil {
				t.Errorf("load at %#x%+#x did not trap and left for %#x", rax, disp, pc)
			}
		}
	}
}
