package interp

import (
	"errors"
	"math"
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

func TestEveryOpHasAHandler(t *testing.T) {
	for op := ir.Invalid + 1; op < ir.NumOps; op++ {
		if handlers[op] == nil {
			t.Errorf("%s has no handler", ir.Rows[op].Name)
		}
	}
}

// eval runs one op on constant operands.
func eval(t *testing.T, op ir.Op, imm int64, args ...Val) (Val, error) {
	t.Helper()
	m := &machine{st: &State{Mem: Memory{{0x2_0000, make([]byte, 64)}}}, vals: args}
	in := &ir.Inst{Op: op, Imm: imm, Args: [3]ir.Value{0, 1, 2}}
	return handlers[op](m, in)
}

func TestNumericOps(t *testing.T) {
	lo := func(x uint64) Val { return Val{Lo: x} }
	f64 := func(x float64) Val { return Val{Lo: math.Float64bits(x)} }
	for _, c := range []struct {
		op   ir.Op
		imm  int64
		args []Val
		want Val
	}{
		{ir.I32Add, 0, []Val{lo(0xffff_ffff), lo(1)}, lo(0)},
		{ir.I32DivS, 0, []Val{lo(0xffff_fff9), lo(2)}, lo(0xffff_fffd)},
		{ir.I32Load8S, 0, []Val{lo(0x2_0000)}, lo(0)},
		{ir.I32Rotr, 0, []Val{lo(1), lo(33)}, lo(0x8000_0000)},
		{ir.I64Rotl, 0, []Val{lo(1 << 63), lo(1)}, lo(1)},
		{ir.I64Extend8S, 0, []Val{lo(0x80)}, lo(0xffff_ffff_ffff_ff80)},
		{ir.I32Extend16S, 0, []Val{lo(0x8000)}, lo(0xffff_8000)},
		{ir.F64Add, 0, []Val{f64(math.Inf(1)), f64(math.Inf(-1))}, lo(default64)},
		{ir.F64Add, 0, []Val{lo(0x7ff0_0000_0000_0001), lo(0xfff8_0000_0000_0002)}, lo(0x7ff8_0000_0000_0001)},
		{ir.F64Nearest, 0, []Val{f64(2.5)}, f64(2)},
		{ir.F64Sqrt, 0, []Val{f64(-1)}, lo(default64)},
		{ir.F32DemoteF64, 0, []Val{lo(0xfff4_0000_2000_0000)}, lo(0xffe0_0001)},
		{ir.F64PromoteF32, 0, []Val{lo(0x7f80_0001)}, lo(0x7ff8_0000_2000_0000)},
		{ir.I32TruncSatF64S, 0, []Val{f64(3e9)}, lo(0x7fff_ffff)},
		{ir.I32TruncSatF64S, 0, []Val{lo(default64)}, lo(0)},
		{ir.I64TruncSatF64U, 0, []Val{f64(-0.5)}, lo(0)},
		{ir.I64TruncSatF64U, 0, []Val{f64(1 << 63)}, lo(1 << 63)},
		{ir.I64TruncSatF64U, 0, []Val{f64(1 << 64)}, lo(math.MaxUint64)},
		{ir.F32ConvertI64U, 0, []Val{lo(0xffff_ff80_0000_0001)}, lo(0x5f80_0000)},
		{ir.I8x16NarrowI16x8S, 0, []Val{{0x7fff_8000_0001_ffff, 0}, {0x0080, 0}}, Val{0x0000_0000_7f80_01ff, 0x7f}},
		{ir.I8x16NarrowI16x8U, 0, []Val{{0x7fff_8000_0001_ffff, 0}, {0x0080, 0}}, Val{0x0000_0000_ff00_0100, 0x80}},
		{ir.I8x16Swizzle, 0, []Val{{0x0706050403020100, 0x0f0e0d0c0b0a0908}, {0x0180_ff10_ffff_ff0f, 0x8080_8080_8080_8080}}, Val{0x0100_0000_0000_000f, 0}},
		{ir.I16x8Q15MulrSatS, 0, []Val{lo(0x8000), lo(0x8000)}, lo(0x7fff)},
		{ir.I16x8ExtractLaneS, 7, []Val{{0, 0x8000 << 48}}, lo(0xffff_8000)},
		{ir.I32x4ReplaceLane, 2, []Val{{1, 2}, lo(0xffff_ffff)}, Val{1, 0xffff_ffff}},
		{ir.I64x2ShrS, 0, []Val{{1 << 63, 4}, lo(65)}, Val{3 << 62, 2}},
		{ir.I8x16Bitmask, 0, []Val{{0x80, 0x80 << 56}}, lo(0x8001)},
		{ir.V128AndNot, 0, []Val{{6, 6}, {2, 4}}, Val{4, 2}},
		{ir.F64x2PMin, 0, []Val{{0, default64}, {1 << 63, 0}}, Val{0, default64}},
		{ir.I32x4DotI16x8S, 0, []Val{{0x8000_8000, 0}, {0x8000_8000, 0}}, lo(0x8000_0000)},
	} {
		got, err := eval(t, c.op, c.imm, c.args...)
		if err != nil || got != c.want {
			t.Errorf("%s %x = %x, %v, want %x", ir.Rows[c.op].Name, c.args, got, err, c.want)
		}
	}
	for _, op := range []ir.Op{ir.I32DivS, ir.I32RemU, ir.I64DivU, ir.I64RemS} {
		if _, err := eval(t, op, 0, lo(1), lo(0)); !errors.Is(err, ErrDivide) {
			t.Errorf("%s by zero: %v", ir.Rows[op].Name, err)
		}
	}
}

func TestDivS128(t *testing.T) {
	for _, c := range []struct{ hi, lo, d, q, r, overflow uint64 }{
		{0, 7, 2, 3, 1, 0},
		{^uint64(0), ^uint64(6), 2, ^uint64(2), ^uint64(0), 0},
		{0, 1 << 63, 1, 0, 0, 1},
		{^uint64(0), 1 << 63, 1, 1 << 63, 0, 0},
		{0, 1, 0, 0, 0, 1},
		{1 << 63, 0, 1, 0, 0, 1},
	} {
		q, r, o := divS128(c.hi, c.lo, c.d)
		if q != c.q || r != c.r || o != c.overflow {
			t.Errorf("%#x:%#x / %#x = %#x, %#x, %d", c.hi, c.lo, c.d, q, r, o)
		}
	}
}

func TestRun(t *testing.T) {
	// A loop that counts rax down from 5 and adds it to rbx; then a ret.
	f := &ir.Func{Name: "sum"}
	head, body, done := f.NewBlock(0x1000), f.NewBlock(0x1002), f.NewBlock(0x1004)
	b := ir.Builder{Func: f, Block: head}
	head.Term = ir.Term{Kind: ir.TermBranch, Cond: b.Op(ir.I64Ne, b.Get(guestabi.RAX), b.I64(0)), To: body.ID, Else: done.ID}
	b.Block = body
	b.Set(guestabi.RBX, b.Op(ir.I64Add, b.Get(guestabi.RBX), b.Get(guestabi.RAX)))
	b.Set(guestabi.RAX, b.Op(ir.I64Sub, b.Get(guestabi.RAX), b.I64(1)))
	body.Term = ir.Term{Kind: ir.TermJump, To: head.ID}
	b.Block = done
	done.Term = ir.Term{Kind: ir.TermRet, Target: b.I32(0x1234)}
	st := &State{}
	st.Regs[guestabi.RAX].Lo = 5
	exit, err := Run(f, st, 1000)
	if err != nil || exit.Kind != ir.TermRet || exit.PC != 0x1234 || st.Regs[guestabi.RBX].Lo != 15 {
		t.Errorf("exit %+v, %v, rbx %d", exit, err, st.Regs[guestabi.RBX].Lo)
	}
	st.Regs[guestabi.RAX].Lo = 1 << 40
	if _, err := Run(f, st, 1000); !errors.Is(err, ErrSteps) {
		t.Errorf("endless loop: %v", err)
	}
}

func TestAccessOutsideOfMemoryFaults(t *testing.T) {
	f := &ir.Func{Name: "load"}
	b := ir.Builder{Func: f, Block: f.NewBlock(0x1000)}
	b.Op(ir.I64Load, b.I32(0x2_0000-1))
	f.Blocks[0].Term = ir.Term{Kind: ir.TermJump}
	_, err := Run(f, &State{Mem: Memory{{0x2_0000, make([]byte, 64)}}}, 100)
	var fault *FaultError
	if !errors.As(err, &fault) || fault.Addr != 0x1_ffff || fault.Size != 8 {
		t.Errorf("got %v", err)
	}
}
