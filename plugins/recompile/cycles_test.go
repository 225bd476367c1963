package recompile

import (
	"testing"

	"megabinary.dev/plugins/recompile/internal/ir"
)

// TestMarkCycles takes functions that call or jump to each other and wants a
// safepoint in every cycle, and none where there is no cycle.
func TestMarkCycles(t *testing.T) {
	call := func(pc uint32) ir.Term { return ir.Term{Kind: ir.TermCall, PC: pc, Target: ir.None} }
	tail := func(pc uint32) ir.Term { return ir.Term{Kind: ir.TermTail, PC: pc} }
	fn := func(pc uint32, terms ...ir.Term) *ir.Func {
		f := &ir.Func{PC: pc}
		for i, term := range terms {
			b := f.NewBlock(pc + uint32(i)*4)
			b.Entry, b.Term = true, term
		}
		return f
	}
	ret := ir.Term{Kind: ir.TermRet}
	funcs := []*ir.Func{
		fn(0x1000, call(0x2000), call(0x6000), ret),
		fn(0x2000, call(0x2000), ret),          // itself
		fn(0x3000, call(0x4000), ret),          // 3000 -> 4000 -> 5004 -> 3000
		fn(0x4000, tail(0x5004)),               //
		fn(0x5000, ret, call(0x3000), ret),     //
		fn(0x6000, ret),                        // a leaf, called twice
		fn(0x7000, call(0x6000), call(0x9999)), // and what is not there
		fn(0x8000, ret, tail(0x8004)),          // its own middle
	}
	markCycles(funcs)
	marked := map[uint32]bool{}
	for _, f := range funcs {
		for _, b := range f.Blocks {
			if b.Safepoint {
				marked[b.PC] = true
			}
		}
	}
	for _, cycle := range [][]uint32{{0x2000}, {0x3000, 0x4000, 0x5004}, {0x8004}} {
		n := 0
		for _, pc := range cycle {
			if marked[pc] {
				n++
			}
			delete(marked, pc)
		}
		if n != 1 {
			t.Errorf("the cycle %#x has %d safepoints", cycle, n)
		}
	}
	if len(marked) > 0 {
		t.Errorf("safepoints are in no cycle: %v", marked)
	}
}
