package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// flagSet is the set of the status flags.
var flagSet = ir.RegSetOf(guestabi.CF, guestabi.PF, guestabi.AF, guestabi.ZF, guestabi.SF, guestabi.OF)

// stateSet is the set of all registers but the flags: what is always live where
// control leaves a function.
var stateSet = (ir.RegSet(1)<<guestabi.NumRegs - 1) &^ flagSet

// FlagSummary says which status flags are read across functions of a unit. By
// the SysV ABI no flag is live across a call or return; hand-written code may
// break that, so it is found out: a flag that some return site reads is live at
// all returns, one that a function reads at its start is live at calls of that
// function, and at indirect calls and jumps.
//
// Code of other units is not looked at: a unit may rely on its own return
// sites only, and a library whose callers in other units read flags that it
// leaves would have to be compiled with all flags live.
type FlagSummary struct {
	Returns ir.RegSet            // live at returns
	Any     ir.RegSet            // live where control goes to an unknown entry
	Entries map[uint32]ir.RegSet // PC of an entry -> live there
}

// entry returns the flags live at a known PC, or at any if it is not one of the
// unit.
func (s *FlagSummary) entry(pc uint32) ir.RegSet {
	if set, ok := s.Entries[pc]; ok {
		return set
	}
	return s.Any | s.Returns
}

// AllFlags is the summary that takes every flag for live everywhere.
func AllFlags() *FlagSummary { return &FlagSummary{Returns: flagSet, Any: flagSet} }

// Summarize finds the flags that are read across functions.
func Summarize(funcs []*ir.Func) *FlagSummary {
	s := &FlagSummary{Entries: map[uint32]ir.RegSet{}}
	lives := make([]*liveness, len(funcs))
	for i, f := range funcs {
		lives[i] = newLiveness(f)
		for _, b := range f.Blocks {
			if b.Entry {
				s.Entries[b.PC] = 0
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for i, f := range funcs {
			lives[i].solve(s, flagSet)
			if s.merge(f, lives[i]) {
				changed = true
			}
		}
	}
	return s
}

// merge takes the results for f into s and reports whether s grew.
func (s *FlagSummary) merge(f *ir.Func, l *liveness) bool {
	old := s.Returns | s.Any
	grew := false
	for i, b := range f.Blocks {
		if b.Entry {
			in := l.in[i] & flagSet
			if in&^s.Entries[b.PC] != 0 {
				s.Entries[b.PC] |= in
				grew = true
			}
			s.Any |= in
		}
		if t := &b.Term; t.Kind == ir.TermCall && t.To != ir.NoBlock {
			s.Returns |= l.in[t.To] & flagSet
		}
	}
	return grew || s.Returns|s.Any != old
}

// liveness holds, for each block, the registers that are live at its start.
type liveness struct {
	f        *ir.Func
	use, def []ir.RegSet
	in       []ir.RegSet
}

func newLiveness(f *ir.Func) *liveness {
	n := len(f.Blocks)
	l := &liveness{f: f, use: make([]ir.RegSet, n), def: make([]ir.RegSet, n), in: make([]ir.RegSet, n)}
	for i, b := range f.Blocks {
		for j := range b.Insts {
			switch in := &b.Insts[j]; in.Op {
			case ir.Get:
				l.use[i] |= ir.RegSetOf(in.Reg) &^ l.def[i]
			case ir.Set:
				l.def[i] |= ir.RegSetOf(in.Reg)
			}
		}
	}
	return l
}

// solve computes the live-in sets, of the registers in mask only.
func (l *liveness) solve(s *FlagSummary, mask ir.RegSet) {
	for changed := true; changed; {
		changed = false
		for i := len(l.f.Blocks) - 1; i >= 0; i-- {
			in := (l.use[i] | l.out(s, l.f.Blocks[i])&^l.def[i]) & mask
			if in|l.in[i] != l.in[i] {
				l.in[i] |= in
				changed = true
			}
		}
	}
}

// out returns the registers live at the end of b.
func (l *liveness) out(s *FlagSummary, b *ir.Block) ir.RegSet {
	t := &b.Term
	switch t.Kind {
	case ir.TermJump:
		return l.in[t.To]
	case ir.TermBranch:
		return l.in[t.To] | l.in[t.Else]
	case ir.TermIndirect:
		out := stateSet | s.Any | s.Returns
		for _, k := range t.Known {
			out |= l.in[k]
		}
		return out
	case ir.TermCall:
		if t.Target != ir.None {
			return stateSet | s.Any | s.Returns
		}
		return stateSet | s.entry(t.PC)
	case ir.TermTail:
		return stateSet | s.entry(t.PC)
	case ir.TermRet:
		return stateSet | s.Returns
	case ir.TermSyscall:
		if t.To == ir.NoBlock {
			return stateSet | flagSet
		}
		return stateSet | l.in[t.To]
	case ir.TermFault:
		if t.Fault == guestabi.FaultBreakpoint {
			return stateSet | flagSet // the program goes on after it
		}
	}
	return stateSet
}

// deadRegs removes writes of registers that are written again, on all ways,
// before they are read. What a signal handler sees of such a register at a
// safepoint or a memory fault is stale; it is dead, so nothing can depend on it
// but the handler itself.
func deadRegs(c *Context, f *ir.Func) {
	l := newLiveness(f)
	l.solve(c.Flags, ^ir.RegSet(0))
	for _, b := range f.Blocks {
		live := l.out(c.Flags, b)
		for i := len(b.Insts) - 1; i >= 0; i-- {
			in := &b.Insts[i]
			bit := ir.RegSetOf(in.Reg)
			switch in.Op {
			case ir.Get:
				live |= bit
			case ir.Set:
				if live&bit == 0 {
					kill(in)
					continue
				}
				live &^= bit
			}
		}
	}
}

// kill turns in into an operation without a result that deadCode removes.
func kill(in *ir.Inst) {
	*in = ir.Inst{Op: ir.I32Const, Type: ir.I32, PC: in.PC, Args: [3]ir.Value{ir.None, ir.None, ir.None}}
}
