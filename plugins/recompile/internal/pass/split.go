package pass

import (
	"slices"

	"megabinary.dev/plugins/recompile/internal/cfg"
	"megabinary.dev/plugins/recompile/internal/ir"
)

const (
	// maxSplit bounds the instructions that are copied to make one loop
	// reducible, and maxSplitTotal those of a function: splitting can grow a
	// function without end, and the time that wazero takes for a function grows
	// faster than its size (400 and 4000 took busybox from 4 to 10 s of CPU).
	maxSplit      = 100
	maxSplitTotal = 600
	// maxSplits bounds how often a function is laid out anew.
	maxSplits = 40
)

// splitNodes makes loops that are entered at several blocks reducible: it keeps
// one entry and copies what the others reach before they come to that, for
// those who come from outside. Loops that would need too much are left to the
// lowering, which makes a dispatch at their start.
func splitNodes(_ *Context, f *ir.Func) {
	given := make(map[ir.BlockID]bool) // first entries of loops that stay
	total := 0
	for range maxSplits {
		l := layout(f)
		s := pickSplit(f, l, given)
		if s == nil {
			return
		}
		if total += s.cost; s.cost > maxSplit || total > maxSplitTotal {
			given[s.first] = true
			total -= s.cost
			continue
		}
		s.apply(f)
	}
}

// split is one way to make a loop reducible.
type split struct {
	first  ir.BlockID // of the loop's entries
	inside map[ir.BlockID]bool
	copied []ir.BlockID // in the order of the layout
	cost   int
}

// pickSplit returns the cheapest split of the first irreducible loop that has
// not been given up, or nil.
func pickSplit(f *ir.Func, l *cfg.Layout, given map[ir.BlockID]bool) *split {
	for i := range l.Loops {
		loop := &l.Loops[i]
		if len(loop.Entries) < 2 || given[firstOf(loop)] {
			continue
		}
		inside := make(map[ir.BlockID]bool)
		for _, v := range l.Order[loop.Start:loop.End] {
			inside[ir.BlockID(v)] = true
		}
		var best *split
		for j, header := range loop.Entries {
			if j == maxHeaders {
				break
			}
			s := &split{first: firstOf(loop), inside: inside}
			s.reach(f, l, loop, ir.BlockID(header))
			if best == nil || s.cost < best.cost {
				best = s
			}
		}
		return best
	}
	return nil
}

// maxHeaders bounds how many entries are tried as the one that is kept.
const maxHeaders = 8

func firstOf(loop *cfg.Loop) ir.BlockID { return ir.BlockID(slices.Min(loop.Entries)) }

// reach finds what the entries other than header reach before header.
func (s *split) reach(f *ir.Func, l *cfg.Layout, loop *cfg.Loop, header ir.BlockID) {
	seen := map[ir.BlockID]bool{header: true}
	var work []ir.BlockID
	add := func(id ir.BlockID) {
		if s.inside[id] && !seen[id] {
			seen[id] = true
			work = append(work, id)
			s.copied = append(s.copied, id)
			s.cost += len(f.Blocks[id].Insts) + 1
		}
	}
	for _, e := range loop.Entries {
		add(ir.BlockID(e))
	}
	for len(work) > 0 && s.cost <= maxSplit {
		b := f.Blocks[work[len(work)-1]]
		work = work[:len(work)-1]
		for _, to := range successors(&b.Term) {
			add(*to)
		}
	}
	slices.SortFunc(s.copied, func(a, b ir.BlockID) int { return l.Pos[a] - l.Pos[b] })
}

// apply copies the blocks and sends those who come from outside to the copies.
func (s *split) apply(f *ir.Func) {
	copies := make(map[ir.BlockID]ir.BlockID, len(s.copied))
	n := len(f.Blocks)
	for _, id := range s.copied {
		copies[id] = cloneBlock(f, f.Blocks[id]).ID
	}
	for i, b := range f.Blocks {
		if i < n && s.inside[b.ID] {
			continue
		}
		for _, to := range successors(&b.Term) {
			if c, ok := copies[*to]; ok {
				*to = c
			}
		}
	}
}

// cloneBlock appends a copy of b that nobody enters by its PC.
func cloneBlock(f *ir.Func, b *ir.Block) *ir.Block {
	c := f.NewBlock(b.PC)
	id := c.ID
	*c = *b
	c.ID, c.Entry, c.Safepoint, c.Copy = id, false, false, true
	c.Insts = slices.Clone(b.Insts)
	c.Term.Known = slices.Clone(b.Term.Known)
	return c
}
