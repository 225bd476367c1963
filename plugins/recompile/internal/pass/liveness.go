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
// break that, so it is found out. A flag that a return site reads is live at the
// returns of the function that is called there, and of those that it jumps to. A
// flag that a function reads at its start is live at calls of that function, and
// at indirect calls and jumps.
//
// Behind an indirect call or jump nobody knows who passes a flag on. Compilers
// leave what looks like a reader of flags after calls that do not return, and
// one of these would keep every flag of every function alive. So there only
// what is read at once counts: by the block after an indirect call, and by a function
// itself, not by those that it returns to; neither in functions with unknown
// instructions, which are data mostly.
//
// Code of other units is not looked at: a unit may rely on its own return
// sites only, and a library whose callers in other units read flags that it
// leaves would have to be compiled with all flags live.
type FlagSummary struct {
	Returns ir.RegSet            // live at all returns
	Any     ir.RegSet            // live where control goes to an unknown entry
	Entries map[uint32]ir.RegSet // PC of an entry -> live there

	holder map[uint32]int  // PC of an entry -> number of the function that holds it
	leaves []ir.RegSet     // by function -> live at its returns
	jumps  []ir.RegSet     // by function -> live at its entries other than return sites
	jumped map[uint32]bool // targets of direct jumps from other functions
}

// entry returns the flags live at a known PC, or at any if it is not one of the
// unit.
func (s *FlagSummary) entry(pc uint32) ir.RegSet {
	if set, ok := s.Entries[pc]; ok {
		return set
	}
	return s.Any | s.Returns
}

// returns returns the flags live at the returns of f.
func (s *FlagSummary) returns(f *ir.Func) ir.RegSet {
	if i, ok := s.holder[f.PC]; ok {
		return s.Returns | s.leaves[i]
	}
	return s.Returns
}

// indirect returns the flags live at an indirect jump in f to an unknown place:
// an entry of f itself (arithmetic on long numbers jumps into its loop with the
// carry set), or the start of any function that is not one only because another
// function jumps to it directly. Entries in the middle of other functions are
// guesses, mostly wrong ones, or labels whose addresses stay in their function.
func (s *FlagSummary) indirect(f *ir.Func) ir.RegSet {
	live := s.Any | s.Returns
	if i, ok := s.holder[f.PC]; ok {
		live |= s.jumps[i]
	}
	return live
}

// AllFlags is the summary that takes every flag for live everywhere.
func AllFlags() *FlagSummary { return &FlagSummary{Returns: flagSet, Any: flagSet} }

// Prepare removes from a block the flags that are written again in it: what
// computes one from its old value (a shift by cl) would look like a reader to
// Summarize. It is half of what was lifted.
func (c *Context) Prepare(b *ir.Block) {
	killDead(b, ^ir.RegSet(0), flagSet)
	deadInBlock(c, b)
}

// Summarize finds the flags that are read across functions, whose blocks are
// prepared.
func Summarize(funcs []*ir.Func) *FlagSummary {
	s := &FlagSummary{Entries: map[uint32]ir.RegSet{}, holder: map[uint32]int{}, leaves: make([]ir.RegSet, len(funcs)), jumps: make([]ir.RegSet, len(funcs)), jumped: map[uint32]bool{}}
	lives := make([]*liveness, len(funcs))
	for i, f := range funcs {
		lives[i] = newLiveness(f, true)
		s.holder[f.PC] = i
	}
	for i, f := range funcs {
		for _, b := range f.Blocks {
			if b.Term.Kind == ir.TermTail {
				s.jumped[b.Term.PC] = true
			}
			if !b.Entry {
				continue
			}
			s.Entries[b.PC] = 0
			if _, ok := s.holder[b.PC]; !ok {
				s.holder[b.PC] = i
			}
		}
	}
	for _, merge := range [...]func(int, *ir.Func, *liveness) bool{s.mergeStarts, s.mergeAll} {
		for changed := true; changed; {
			changed = false
			for i, f := range funcs {
				lives[i].solve(s, flagSet)
				if merge(i, f, lives[i]) {
					changed = true
				}
			}
		}
	}
	return s
}

// add adds more to set and reports whether that grew.
func add(set *ir.RegSet, more ir.RegSet) bool {
	grew := more&^*set != 0
	*set |= more
	return grew
}

// mergeStarts takes into s what f, function number i, reads at its entries, and
// reports whether s grew. Nothing is live at returns yet.
func (s *FlagSummary) mergeStarts(i int, f *ir.Func, l *liveness) bool {
	grew := s.mergeEntries(i, f, l)
	for j, b := range f.Blocks {
		if b.Entry && !l.site[j] && b.PC == f.PC && !s.jumped[b.PC] && !l.unknown && add(&s.Any, l.in[j]&flagSet) {
			grew = true
		}
	}
	return grew
}

// mergeEntries takes what is live at the entries of f into s.
func (s *FlagSummary) mergeEntries(i int, f *ir.Func, l *liveness) (grew bool) {
	for j, b := range f.Blocks {
		if !b.Entry {
			continue
		}
		in := l.in[j] & flagSet
		if old := s.Entries[b.PC]; in&^old != 0 {
			s.Entries[b.PC] = old | in
			grew = true
		}
		if !l.site[j] && add(&s.jumps[i], in) {
			grew = true
		}
	}
	return grew
}

// mergeAll takes into s what is live at the entries of f, function number i, and
// at the returns of those that it calls and jumps to, and reports whether s
// grew.
func (s *FlagSummary) mergeAll(i int, f *ir.Func, l *liveness) bool {
	grew := s.mergeEntries(i, f, l)
	leave := func(pc uint32, live ir.RegSet) {
		if to, ok := s.holder[pc]; ok && add(&s.leaves[to], live) {
			grew = true
		}
	}
	for _, b := range f.Blocks {
		switch t := &b.Term; {
		case t.Kind == ir.TermTail:
			leave(t.PC, s.leaves[i])
		case t.Kind != ir.TermCall || t.To == ir.NoBlock:
		case t.Target == ir.None:
			leave(t.PC, l.in[t.To]&flagSet)
		case !l.unknown && add(&s.Returns, l.use[t.To]&flagSet):
			grew = true
		}
	}
	return grew
}

// syscallSize is the size of the syscall instruction in bytes.
const syscallSize = 2

// liveness holds, for each block, the registers that are live at its start.
type liveness struct {
	f        *ir.Func
	use, def []ir.RegSet
	in       []ir.RegSet
	site     []bool // reached by the return of a call: no flag survives a longjmp to there
	unknown  bool   // f holds an instruction that is not known
}

// newLiveness finds what each block uses and defines. acrossOnly leaves out the
// flags that a syscall instruction puts into r11: they are exact as long as they
// are set in the same function, and nothing reads them.
func newLiveness(f *ir.Func, acrossOnly bool) *liveness {
	n := len(f.Blocks)
	l := &liveness{f: f, use: make([]ir.RegSet, n), def: make([]ir.RegSet, n), in: make([]ir.RegSet, n), site: make([]bool, n)}
	for i, b := range f.Blocks {
		if k := b.Term.Kind; (k == ir.TermCall || k == ir.TermSyscall) && b.Term.To != ir.NoBlock {
			l.site[b.Term.To] = true
		}
		if b.Term.Kind == ir.TermFault && b.Term.Fault == guestabi.FaultUndefined {
			l.unknown = true
		}
		for j := range b.Insts {
			switch in := &b.Insts[j]; in.Op {
			case ir.Get:
				if acrossOnly && b.Term.Kind == ir.TermSyscall && in.PC == b.Term.ReturnPC-syscallSize && flagSet.Has(in.Reg) {
					continue
				}
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
		out := stateSet | s.indirect(l.f)
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
		return stateSet | s.returns(l.f)
	case ir.TermSyscall:
		if t.To == ir.NoBlock {
			return stateSet
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
	l := newLiveness(f, false)
	l.solve(c.Flags, ^ir.RegSet(0))
	for _, b := range f.Blocks {
		// The stack pointer is in sync at the end of each block, whoever reads
		// it: see ir.StackPos.
		killDead(b, l.out(c.Flags, b)|ir.RegSetOf(guestabi.RSP), ^ir.RegSet(0))
	}
}

// killDead removes the writes in b of those registers of mask that are dead,
// given those that are live at its end.
func killDead(b *ir.Block, live, mask ir.RegSet) {
	rewritten := uint64(0) // upper halves of ymm registers, which are in no RegSet
	for i := len(b.Insts) - 1; i >= 0; i-- {
		in := &b.Insts[i]
		bit := ir.RegSetOf(in.Reg)
		if in.Reg >= ir.NumRegs {
			switch half := uint64(1) << (in.Reg - ir.NumRegs); {
			case in.Op == ir.Get:
				rewritten &^= half
			case rewritten&half != 0:
				kill(in)
			default:
				rewritten |= half
			}
			continue
		}
		switch in.Op {
		case ir.Get:
			live |= bit
		case ir.Set:
			if mask&bit&^live != 0 {
				kill(in)
				continue
			}
			live &^= bit
		}
	}
}

// kill turns in into an operation without a result that deadCode removes.
func kill(in *ir.Inst) {
	*in = ir.Inst{Op: ir.I32Const, Type: ir.I32, PC: in.PC, Args: [3]ir.Value{ir.None, ir.None, ir.None}}
}
