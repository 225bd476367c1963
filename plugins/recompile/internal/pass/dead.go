package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
)

// successors returns pointers to the block IDs that a terminator goes to.
func successors(t *ir.Term) []*ir.BlockID {
	switch t.Kind {
	case ir.TermJump:
		return []*ir.BlockID{&t.To}
	case ir.TermBranch:
		return []*ir.BlockID{&t.To, &t.Else}
	case ir.TermIndirect:
		out := make([]*ir.BlockID, len(t.Known))
		for i := range t.Known {
			out[i] = &t.Known[i]
		}
		return out
	case ir.TermCall, ir.TermSyscall:
		if t.To != ir.NoBlock {
			return []*ir.BlockID{&t.To}
		}
	}
	return nil
}

// termValue returns a pointer to the value that a terminator uses, or nil.
func termValue(t *ir.Term) *ir.Value {
	switch t.Kind {
	case ir.TermBranch:
		return &t.Cond
	case ir.TermIndirect, ir.TermRet:
		return &t.Target
	case ir.TermCall:
		if t.Target != ir.None {
			return &t.Target
		}
	}
	return nil
}

// eachArg calls do with a pointer to each argument of in.
func eachArg(in *ir.Inst, do func(*ir.Value)) {
	for i := range ir.Rows[in.Op].Args {
		do(&in.Args[i])
	}
	if in.Op == ir.Helper {
		eachHelperArg(in, do)
	}
}

// eachHelperArg is apart from eachArg so that this is inlined.
func eachHelperArg(in *ir.Inst, do func(*ir.Value)) {
	in.MapHelperArgs(func(v ir.Value) ir.Value {
		do(&v)
		return v
	})
}

// unreachable removes the blocks that control cannot reach.
func unreachable(_ *Context, f *ir.Func) {
	reached := make([]bool, len(f.Blocks))
	var work []ir.BlockID
	add := func(id ir.BlockID) {
		if !reached[id] {
			reached[id] = true
			work = append(work, id)
		}
	}
	for i, b := range f.Blocks {
		if b.Entry || i == 0 {
			add(b.ID)
		}
	}
	for len(work) > 0 {
		b := f.Blocks[work[len(work)-1]]
		work = work[:len(work)-1]
		for _, s := range successors(&b.Term) {
			add(*s)
		}
	}
	keepBlocks(f, reached)
}

// keepBlocks removes the blocks that are not in keep, which holds the first,
// and numbers the rest anew.
func keepBlocks(f *ir.Func, keep []bool) {
	ids := make([]ir.BlockID, len(f.Blocks))
	kept := f.Blocks[:0]
	for i, b := range f.Blocks {
		if keep[i] {
			ids[i] = ir.BlockID(len(kept))
			kept = append(kept, b)
		}
	}
	clear(f.Blocks[len(kept):])
	f.Blocks = kept
	for _, b := range f.Blocks {
		b.ID = ids[b.ID]
		for _, s := range successors(&b.Term) {
			*s = ids[*s]
		}
	}
}

// hasEffect reports whether in must stay even if nothing uses its result. Loads
// stay: programs touch memory in order to fault.
func hasEffect(in *ir.Inst) bool {
	switch ir.Rows[in.Op].Effect {
	case ir.Pure, ir.ReadsReg:
		return false
	}
	return true
}

// deadCode removes what nothing uses.
func deadCode(c *Context, f *ir.Func) {
	for _, b := range f.Blocks {
		deadInBlock(c, b)
	}
}

func deadInBlock(c *Context, b *ir.Block) {
	n := len(b.Insts)
	c.used, c.ids = resize(c.used, n), resize(c.ids, n)
	used, ids := c.used, c.ids
	if v := termValue(&b.Term); v != nil {
		used[*v] = true
	}
	dead := 0
	for i := n - 1; i >= 0; i-- {
		in := &b.Insts[i]
		if !used[i] && !hasEffect(in) {
			dead++
			continue
		}
		used[i] = true
		eachArg(in, func(v *ir.Value) { used[*v] = true })
	}
	if dead == 0 {
		return
	}
	kept := b.Insts[:0]
	for i := range n {
		if !used[i] {
			continue
		}
		ids[i] = ir.Value(len(kept))
		kept = append(kept, b.Insts[i])
		eachArg(&kept[ids[i]], func(v *ir.Value) { *v = ids[*v] })
	}
	b.Insts = kept
	if v := termValue(&b.Term); v != nil {
		*v = ids[*v]
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, 2*n)
	}
	s = s[:n]
	clear(s)
	return s
}

// maxBlock bounds the instructions of a block that merging makes, because some
// steps of the lowering and of wazero grow faster than linearly with it.
const maxBlock = 4000

// mergeBlocks appends to a block its only successor if that has no other
// predecessor and nobody enters it by its PC.
func mergeBlocks(_ *Context, f *ir.Func) {
	preds := make([]int, len(f.Blocks))
	for _, b := range f.Blocks {
		for _, s := range successors(&b.Term) {
			preds[*s]++
		}
	}
	gone := make([]bool, len(f.Blocks))
	for i, b := range f.Blocks {
		if gone[i] {
			continue
		}
		for b.Term.Kind == ir.TermJump {
			to := f.Blocks[b.Term.To]
			if to == b || to.Entry || to.ID == 0 || preds[to.ID] != 1 || gone[to.ID] ||
				len(b.Insts)+len(to.Insts) > maxBlock {
				break
			}
			appendBlock(b, to)
			gone[to.ID] = true
		}
	}
	keep := make([]bool, len(gone))
	for i := range gone {
		keep[i] = !gone[i]
	}
	keepBlocks(f, keep)
}

// appendBlock moves the instructions and the terminator of from to the end of b.
func appendBlock(b, from *ir.Block) {
	base := ir.Value(len(b.Insts))
	for _, in := range from.Insts {
		eachArg(&in, func(v *ir.Value) { *v += base })
		in.SP = in.SP.After(b.EndSP)
		b.Insts = append(b.Insts, in)
	}
	b.EndSP = from.EndSP.After(b.EndSP)
	b.Term = from.Term
	if v := termValue(&b.Term); v != nil {
		*v += base
	}
}
