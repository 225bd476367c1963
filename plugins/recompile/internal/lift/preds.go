package lift

// predecessor says from where a guest block is reached.
type predecessor struct {
	from  uint64 // first address of the guest block
	count int    // edges into the block; manyEdges if it may be entered otherwise
}

// manyEdges is the count of a block that the dispatcher may enter.
const manyEdges = 1 << 20

// findPredecessors counts the edges into each guest block.
func (l *Lifter) findPredecessors(blocks []span, decoded []listing) {
	edge := func(from, to uint64, n int) {
		if _, ok := l.targets[to]; ok {
			l.preds[to] = predecessor{from: from, count: l.preds[to].count + n}
		}
	}
	for i, b := range blocks {
		if b.entry || i == 0 {
			edge(b.start, b.start, manyEdges)
		}
		for _, target := range b.targets {
			edge(b.start, target, manyEdges)
		}
		insts := decoded[i].insts
		if len(insts) == 0 || decoded[i].err != nil {
			continue // it faults at its end
		}
		last := &insts[len(insts)-1]
		if target, ok := last.DirectTarget(); ok && !last.IsCall() {
			edge(b.start, target, 1)
		}
		switch {
		case last.IsCall(), last.IsSyscall(), last.IsTrap():
			edge(b.start, last.Next(), manyEdges)
		case last.FallsThrough():
			edge(b.start, last.Next(), 1)
		}
	}
}

// inherits returns the only block that b is reached from, if that is so.
func (l *Lifter) inherits(b span) (from uint64, ok bool) {
	p, block := l.preds[b.start], l.b.Func.Blocks[l.targets[b.start]]
	return p.from, p.count == 1 && p.from != b.start && !block.Entry
}
