package recompile

import "megabinary.dev/plugins/recompile/internal/ir"

// markCycles puts a safepoint into every cycle of direct calls and jumps between
// functions, so that recursion can be interrupted as loops can: at the targets
// of those edges that lead back to a function that is being walked. Calls and
// jumps to addresses that are not known go through the unit's enter function,
// which has a safepoint.
func markCycles(funcs []*ir.Func) {
	type place struct {
		fn    int
		block *ir.Block
	}
	at := make(map[uint32]place)
	add := func(i int, b *ir.Block) {
		if _, ok := at[b.PC]; !ok {
			at[b.PC] = place{i, b}
		}
	}
	for i, f := range funcs {
		add(i, f.Blocks[0])
	}
	edges := make([][]uint32, len(funcs)) // targets, in order
	for i, f := range funcs {
		for _, b := range f.Blocks {
			if b.Entry {
				add(i, b)
			}
			switch t := &b.Term; {
			case t.Kind == ir.TermTail, t.Kind == ir.TermCall && t.Target == ir.None:
				edges[i] = append(edges[i], t.PC)
			}
		}
	}
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(funcs))
	for root := range funcs {
		if state[root] != unseen {
			continue
		}
		state[root] = open
		for path := []int{root}; len(path) > 0; {
			i := path[len(path)-1]
			if len(edges[i]) == 0 {
				state[i] = done
				path = path[:len(path)-1]
				continue
			}
			to, ok := at[edges[i][0]]
			edges[i] = edges[i][1:]
			switch {
			case !ok:
			case state[to.fn] == open:
				to.block.Safepoint = true
			case state[to.fn] == unseen:
				state[to.fn] = open
				path = append(path, to.fn)
			}
		}
	}
}
