package pass

import (
	"sort"

	"megabinary.dev/plugins/recompile/internal/cfg"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// Registers live in globals: calls, returns, signals and the host find them
// there at no cost. In a loop that calls nobody that is memory traffic for
// nothing, and a chain of stores and loads through loop-carried registers, so
// there the registers that the loop uses most live in wasm locals: loaded in a
// block before the loop, stored in blocks on the edges out of it. All code in a
// region treats the same registers so.
const (
	// maxRegionBlocks and maxRegionInsts bound a region. In a large function
	// (an interpreter's loop) wazero's register allocator spills locals around
	// every block, which costs four times what globals cost.
	maxRegionBlocks = 60
	maxRegionInsts  = 2500
	// maxPromoted and maxPromotedXMM bound the locals of a region: wazero has
	// 14 integer registers on amd64, of which it uses four or five itself.
	maxPromoted    = 10
	maxPromotedXMM = 13
)

// promote chooses the regions and rewrites the edges into and out of them.
func promote(c *Context, f *ir.Func) {
	l := layout(f)
	if len(l.Loops) == 0 {
		return
	}
	p := &promoter{f: f, l: l, live: newLiveness(f, false)}
	p.live.solve(c.Flags, ^ir.RegSet(0))
	inside := make([]bool, len(l.Loops)) // of a region
	for i := range l.Loops {
		loop := &l.Loops[i]
		if loop.Parent >= 0 && inside[loop.Parent] {
			inside[i] = true
			continue
		}
		if p.qualifies(loop) {
			inside[i] = p.region(i)
		}
	}
}

type promoter struct {
	f    *ir.Func
	l    *cfg.Layout
	live *liveness // of the blocks that f had at first
}

// blocks returns the blocks of a loop.
func (p *promoter) blocks(loop *cfg.Loop) []*ir.Block {
	var out []*ir.Block
	for _, v := range p.l.Order[loop.Start:loop.End] {
		out = append(out, p.f.Blocks[v])
	}
	return out
}

// qualifies reports whether a loop has one entry, is small and calls nobody.
func (p *promoter) qualifies(loop *cfg.Loop) bool {
	if len(loop.Entries) != 1 || loop.End-loop.Start > maxRegionBlocks {
		return false
	}
	insts := 0
	for _, b := range p.blocks(loop) {
		insts += len(b.Insts)
		if k := b.Term.Kind; k == ir.TermCall || k == ir.TermSyscall {
			return false
		}
	}
	return insts <= maxRegionInsts
}

// region promotes registers in the loop with the given index.
func (p *promoter) region(index int) bool {
	loop := &p.l.Loops[index]
	blocks := p.blocks(loop)
	regs := p.choose(loop, blocks)
	if regs == 0 {
		return false
	}
	regs = scalarise(p.f, blocks, regs)
	dirty := ir.RegSet(0)
	for _, b := range blocks {
		if b.Safepoint {
			dirty |= regs & ir.RegSetOf(guestabi.Fuel)
		}
		for i := range b.Insts {
			if in := &b.Insts[i]; in.Op == ir.Set {
				dirty |= regs & ir.RegSetOf(in.Reg)
			}
		}
	}
	in := make(map[ir.BlockID]bool)
	for _, b := range blocks {
		b.Promoted, b.Dirty = regs, dirty
		in[b.ID] = true
	}
	p.exits(blocks, in, regs, dirty)
	p.preheader(p.f.Blocks[loop.Entries[0]], in)
	return true
}

// newBlock appends a block that only goes to to and stands for it on an edge.
func (p *promoter) newBlock(to ir.BlockID) *ir.Block {
	b := p.f.NewBlock(p.f.Blocks[to].PC)
	b.Copy = true
	b.Term = ir.Term{Kind: ir.TermJump, To: to, Cond: ir.None, Target: ir.None, Else: ir.NoBlock}
	return b
}

// exits puts a block on each edge out of a region. It stores what is live.
func (p *promoter) exits(blocks []*ir.Block, in map[ir.BlockID]bool, regs, dirty ir.RegSet) {
	made := make(map[ir.BlockID]ir.BlockID) // target -> the block on the way to it
	for _, b := range blocks {
		for _, s := range successors(&b.Term) {
			if in[*s] {
				continue
			}
			e, ok := made[*s]
			if !ok {
				nb := p.newBlock(*s)
				nb.Promoted, nb.Dirty = regs, p.liveDirty(*s, dirty)
				e = nb.ID
				made[*s] = e
			}
			*s = e
		}
	}
}

// liveDirty returns the registers of dirty that are live at block id, or whose
// liveness is not known.
func (p *promoter) liveDirty(id ir.BlockID, dirty ir.RegSet) ir.RegSet {
	for int(id) >= len(p.live.in) { // a block of ours: live as its successor
		id = p.f.Blocks[id].Term.To
	}
	live := p.live.in[id] | ir.RegSetOf(guestabi.Fuel)
	for k, r := range p.f.Scalars {
		if live.Has(r) {
			live |= ir.RegSetOf(ir.ScalarLo+ir.Reg(k), ir.ScalarHi+ir.Reg(k))
		}
	}
	return dirty & live
}

// preheader puts a block before the header of a region, for all who come from
// outside.
func (p *promoter) preheader(header *ir.Block, in map[ir.BlockID]bool) {
	pre := p.newBlock(header.ID)
	pre.Preheader = true
	for _, b := range p.f.Blocks {
		if in[b.ID] || b == pre {
			continue
		}
		for _, s := range successors(&b.Term) {
			if *s == header.ID {
				*s = pre.ID
			}
		}
	}
}

// choose returns the registers to promote: the most used ones.
func (p *promoter) choose(loop *cfg.Loop, blocks []*ir.Block) ir.RegSet {
	var weight [guestabi.NumRegs]int
	setsRSP := false
	for _, b := range blocks {
		depth := p.l.Loops[p.l.In[b.ID]].Depth - loop.Depth
		w := 1 << (3 * min(depth, 4))
		for i := range b.Insts {
			if in := &b.Insts[i]; (in.Op == ir.Get || in.Op == ir.Set) && in.Reg < guestabi.NumRegs {
				weight[in.Reg] += w
				setsRSP = setsRSP || in.Op == ir.Set && in.Reg == guestabi.RSP
			}
		}
		if b.Safepoint {
			weight[guestabi.Fuel] += 2 * w
		}
	}
	type candidate struct {
		reg    ir.Reg
		weight int
	}
	var candidates []candidate
	for r, w := range weight {
		// The stack pointer stays in its global: see ir.StackPos.
		if w > 0 && (ir.Reg(r) != guestabi.RSP || !setsRSP) {
			candidates = append(candidates, candidate{ir.Reg(r), w})
		}
	}
	sort.SliceStable(candidates, func(i, j int) bool { return candidates[i].weight > candidates[j].weight })
	var regs ir.RegSet
	ints, xmms := 0, 0
	for _, c := range candidates {
		n, limit := &ints, maxPromoted
		if c.reg >= guestabi.XMM0 {
			n, limit = &xmms, maxPromotedXMM
		}
		if *n < limit {
			*n++
			regs |= ir.RegSetOf(c.reg)
		}
	}
	return regs
}
