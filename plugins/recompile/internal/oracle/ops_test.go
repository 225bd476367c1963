package oracle

import (
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// TestPureOps runs each numeric operation of the IR, whether the lifter uses it
// or not, under the interpreter and as compiled wasm.
func TestPureOps(t *testing.T) {
	g := &Generator{rng: newRand(5)}
	var cases []Case
	var ops []ir.Op
	for op := ir.Invalid + 1; op < ir.NumOps; op++ {
		row := &ir.Rows[op]
		if row.Effect != ir.Pure || len(row.Args) == 0 || op == ir.Select || op == ir.Result {
			continue
		}
		for range 8 {
			cases = append(cases, Case{Code: []byte{0x90}, State: g.state()})
			ops = append(ops, op)
		}
	}
	build := func() { // anew for each meaning: passes change functions
		rng := newRand(7)
		for i, op := range ops {
			cases[i].function = opFunc(op, int64(rng.Uint64()), int64(rng.Uint64()))
		}
	}
	build()
	want := Interp{}.Run(cases)
	build()
	w := &wasmMachine{name: "compiled wasm"}
	for i, got := range w.Run(cases) {
		if got.Err != nil || want[i].Err != nil {
			t.Errorf("%s: %v, %v", ir.Rows[ops[i]].Name, got.Err, want[i].Err)
			continue
		}
		for _, r := range []guestabi.Reg{guestabi.RDX, guestabi.XMM0 + 2} {
			if a, b := want[i].State.Regs[r], got.State.Regs[r]; a != b {
				t.Errorf("%s: the interpreter gives %x, compiled wasm %x (from rax=%x rcx=%x xmm0=%x xmm1=%x)", ir.Rows[ops[i]].Name, a, b,
					cases[i].State.Regs[guestabi.RAX].Lo, cases[i].State.Regs[guestabi.RCX].Lo, cases[i].State.Regs[guestabi.XMM0], cases[i].State.Regs[guestabi.XMM0+1])
			}
		}
	}
}

// opFunc applies op to rax, rcx or xmm0, xmm1, xmm3 and puts the result in rdx
// or xmm2.
func opFunc(op ir.Op, imm, imm2 int64) *ir.Func {
	f := &ir.Func{Name: "op", PC: CodeAt}
	block := f.NewBlock(CodeAt)
	block.Entry = true
	b := &ir.Builder{Func: f, Block: block, PC: CodeAt}
	row := &ir.Rows[op]
	in := ir.Inst{Op: op}
	switch row.Imm {
	case ir.ImmLane:
		in.Imm = imm & 1 // in range for all shapes
	case ir.ImmV128: // lane indices of a shuffle
		in.Imm, in.Imm2 = imm&0x1f1f1f1f1f1f1f1f, imm2&0x1f1f1f1f1f1f1f1f
	}
	for i, want := range row.Args {
		xmm := guestabi.XMM0 + []guestabi.Reg{0, 1, 3}[i]
		gpr := []guestabi.Reg{guestabi.RAX, guestabi.RCX, guestabi.RBX}[i]
		switch want {
		case ir.I32:
			in.Args[i] = b.Op(ir.I32WrapI64, b.Get(gpr))
		case ir.I64:
			in.Args[i] = b.Get(gpr)
		case ir.F32:
			in.Args[i] = b.OpImm(ir.F32x4ExtractLane, 0, b.Get(xmm))
		case ir.F64:
			in.Args[i] = b.OpImm(ir.F64x2ExtractLane, 0, b.Get(xmm))
		case ir.V128:
			in.Args[i] = b.Get(xmm)
		}
	}
	v := b.Emit(in)
	switch row.Result {
	case ir.F32:
		v = b.Op(ir.I64ExtendI32U, b.Op(ir.I32ReinterpretF32, v))
	case ir.F64:
		v = b.Op(ir.I64ReinterpretF64, v)
	case ir.I32:
		v = b.Op(ir.I64ExtendI32U, v)
	}
	if row.Result == ir.V128 {
		b.Set(guestabi.XMM0+2, v)
	} else {
		b.Set(guestabi.RDX, v)
	}
	block.Term = ir.Term{Kind: ir.TermTail, PC: CodeAt + 1}
	return f
}
