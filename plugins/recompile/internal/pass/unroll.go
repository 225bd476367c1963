package pass

import (
	"slices"

	"megabinary.dev/plugins/recompile/internal/cfg"
	"megabinary.dev/plugins/recompile/internal/ir"
)

const (
	// maxUnroll bounds how many times a loop's body stands in it.
	maxUnroll = 4
	// maxUnrolled bounds the instructions of a loop that is unrolled, with the
	// copies, and maxUnrollTotal those that are added to a function.
	maxUnrolled    = 240
	maxUnrollTotal = 2000
	// maxUnrollBlocks bounds the blocks of a body.
	maxUnrollBlocks = 8
)

// unroll copies the bodies of small innermost loops, tests included. The copies
// share the safepoint, the moves that carry registers around the loop, and what
// wazero knows of the length and base of memory, which it reads anew wherever
// control joins.
func unroll(_ *Context, f *ir.Func) {
	l := layout(f)
	total := 0
	for i := range l.Loops {
		if total > maxUnrollTotal {
			return
		}
		if n, size := unrollable(f, l, i); n > 1 {
			total += (n - 1) * size
			unrollLoop(f, l, &l.Loops[i], n)
		}
	}
}

// unrollable returns how many times the body of a loop is to stand there, and
// its size in instructions.
func unrollable(f *ir.Func, l *cfg.Layout, index int) (times, size int) {
	loop := &l.Loops[index]
	if len(loop.Entries) != 1 || loop.End-loop.Start > maxUnrollBlocks {
		return 1, 0
	}
	for _, v := range l.Order[loop.Start:loop.End] {
		b := f.Blocks[v]
		if l.In[v] != index || b.Entry && v != loop.Entries[0] {
			return 1, 0
		}
		if k := b.Term.Kind; k != ir.TermJump && k != ir.TermBranch {
			return 1, 0
		}
		size += len(b.Insts) + 1
	}
	return min(maxUnroll, maxUnrolled/size), size
}

// unrollLoop makes the back edges of each copy of the body go to the next copy,
// and those of the last one to the loop's header.
func unrollLoop(f *ir.Func, l *cfg.Layout, loop *cfg.Loop, times int) {
	header := ir.BlockID(loop.Entries[0])
	var body []ir.BlockID
	for _, v := range l.Order[loop.Start:loop.End] {
		body = append(body, ir.BlockID(v))
	}
	slices.Sort(body)
	bodies := [][]ir.BlockID{body}
	at := make(map[ir.BlockID]int, len(body))
	for i, id := range body {
		at[id] = i
	}
	for range times - 1 {
		var c []ir.BlockID
		for _, id := range body {
			c = append(c, cloneBlock(f, f.Blocks[id]).ID)
		}
		bodies = append(bodies, c)
	}
	for i, ids := range bodies {
		for _, id := range ids {
			for _, to := range successors(&f.Blocks[id].Term) {
				switch j, inside := at[*to]; {
				case *to == header:
					*to = bodies[(i+1)%times][at[header]]
				case inside:
					*to = ids[j]
				}
			}
		}
	}
}
