// Package cfg orders control-flow graphs for structured code: a topological
// order in which every loop is contiguous, with the loops that it holds.
package cfg

import (
	"slices"
	"sort"
)

// Loop is a strongly connected part of a graph, at its level of nesting.
type Loop struct {
	// Entries are the nodes that are entered from outside, in layout order.
	// One makes the loop reducible; more need a label and a dispatch.
	Entries []int
	// The loop's nodes are Order[Start:End].
	Start, End int
	Parent     int // index of the enclosing loop, -1: none
	Depth      int // 1 for an outermost loop
}

// Layout is an order of the reachable nodes of a graph.
type Layout struct {
	Order []int
	Pos   []int  // node -> position in Order, -1: unreachable
	Loops []Loop // an enclosing loop comes before those inside of it
	In    []int  // node -> innermost loop that holds it, -1: none
}

// EntryOf returns the loop that node v is an entry of, or -1.
func (l *Layout) EntryOf(v int) int {
	in := l.In[v]
	if in < 0 {
		return -1
	}
	for _, e := range l.Loops[in].Entries {
		if e == v {
			return in
		}
	}
	return -1
}

// Contains reports whether the loop with index loop holds node v.
func (l *Layout) Contains(loop, v int) bool {
	p := l.Pos[v]
	return p >= l.Loops[loop].Start && p < l.Loops[loop].End
}

type builder struct {
	Layout
	succ   [][]int
	region []int  // node -> number of the region that is being ordered
	cut    []bool // entries of loops being ordered: edges to them are back edges
	soft   []bool // roots other than the first
	number int
	comp   []int // node -> 1 + number of its component among those being placed, 0: no loop
	// Of Tarjan's algorithm.
	index, low []int
	on         []bool
	count      int
	stack      []int
	frames     []frame
}

// frame is a node whose edges are being followed, and the next of these.
type frame struct{ v, next int }

// Build orders the nodes that can be reached from roots. The first root is the
// function's start; the others may be entered from outside too, but do not make
// a loop irreducible: control is routed to them through the loops' headers.
func Build(succ [][]int, roots []int) *Layout {
	n := len(succ)
	b := &builder{succ: succ}
	ints := make([]int, 7*n)
	for _, to := range []*[]int{&b.region, &b.comp, &b.index, &b.low, &b.Pos, &b.In, &b.Order} {
		*to, ints = ints[:n:n], ints[n:]
	}
	b.Order = b.Order[:0]
	bools := make([]bool, 3*n)
	for _, to := range []*[]bool{&b.cut, &b.soft, &b.on} {
		*to, bools = bools[:n:n], bools[n:]
	}
	for i := range n {
		b.Pos[i], b.In[i] = -1, -1
	}
	// What is visited last comes first: the start.
	order := make([]int, 0, len(roots))
	for i := len(roots) - 1; i >= 0; i-- {
		order = append(order, roots[i])
		b.soft[roots[i]] = i > 0
	}
	b.order(order, roots[:1], 0, -1)
	return &b.Layout
}

func (b *builder) place(v, parent int) {
	b.Pos[v] = len(b.Order)
	b.In[v] = parent
	b.Order = append(b.Order, v)
}

// selfLoop reports whether v branches to itself.
func (b *builder) selfLoop(v int) bool {
	if b.cut[v] {
		return false
	}
	for _, s := range b.succ[v] {
		if s == v {
			return true
		}
	}
	return false
}

// entered returns, for each component that is a loop, its nodes that have an
// edge from elsewhere in the region or are among hard, which the code before
// the region branches to.
func (b *builder) entered(comps [][]int, hard []int, region int) [][]int {
	entered := make([][]int, len(comps))
	add := func(v int) {
		i := b.comp[v]
		if i != 0 && !contains(entered[i-1], v) {
			entered[i-1] = append(entered[i-1], v)
		}
	}
	for _, c := range comps {
		for _, v := range c {
			for _, s := range b.succ[v] {
				if b.region[s] == region && !b.cut[s] && (b.comp[s] != b.comp[v] || s == v) {
					if s != v || len(c) == 1 {
						add(s)
					}
				}
			}
		}
	}
	for _, v := range hard {
		if b.region[v] == region {
			add(v)
		}
	}
	return entered
}

// routedEntry chooses the entry of a loop that only roots lead into.
func (b *builder) routedEntry(c []int) []int {
	best := -1
	for _, v := range c {
		if b.soft[v] && (best < 0 || v < best) {
			best = v
		}
	}
	if best < 0 {
		best = c[0]
	}
	return []int{best}
}

// loop places the component c with the given entries.
func (b *builder) loop(c, entries []int, parent int) {
	index := len(b.Loops)
	depth := 1
	if parent >= 0 {
		depth = b.Loops[parent].Depth + 1
	}
	b.Loops = append(b.Loops, Loop{Start: len(b.Order), Parent: parent, Depth: depth})
	b.number++
	region := b.number
	for _, v := range c {
		b.region[v] = region
		b.index[v] = 0
	}
	sort.Ints(entries)
	for _, e := range entries {
		b.cut[e] = true
	}
	if len(entries) == 1 {
		h := entries[0]
		b.place(h, index)
		b.region[h] = -1
		roots := b.inner(h, region)
		b.order(roots, roots, region, index)
	} else {
		roots := make([]int, 0, len(entries))
		for i := len(entries) - 1; i >= 0; i-- {
			roots = append(roots, entries[i])
		}
		b.order(roots, nil, region, index)
	}
	sort.Slice(entries, func(i, j int) bool { return b.Pos[entries[i]] < b.Pos[entries[j]] })
	b.Loops[index].Entries = entries
	b.Loops[index].End = len(b.Order)
}

// inner returns the successors of h in the region.
func (b *builder) inner(h, region int) []int {
	var in []int
	for _, s := range b.succ[h] {
		if b.region[s] == region && !b.cut[s] {
			in = append(in, s)
		}
	}
	return in
}

// order appends the nodes of the region that can be reached from roots. Loops
// are entered at hard, too.
func (b *builder) order(roots, hard []int, region, parent int) {
	comps := b.components(roots, region)
	for i, c := range comps {
		if len(c) > 1 || b.selfLoop(c[0]) {
			for _, v := range c {
				b.comp[v] = i + 1
			}
		} else {
			b.comp[c[0]] = 0
		}
	}
	entered := b.entered(comps, hard, region)
	isLoop := make([]bool, len(comps))
	for i, c := range comps {
		isLoop[i] = b.comp[c[0]] != 0
	}
	for i := len(comps) - 1; i >= 0; i-- {
		c := comps[i]
		if !isLoop[i] {
			b.place(c[0], parent)
			continue
		}
		entries := entered[i]
		if len(entries) == 0 { // reached by routing only
			entries = b.routedEntry(c)
		}
		b.loop(c, entries, parent)
	}
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// components returns the strongly connected components of the region that can
// be reached from roots, in reverse topological order (Tarjan, without
// recursion).
func (b *builder) components(roots []int, region int) [][]int {
	var comps [][]int
	stack, frames := b.stack[:0], b.frames[:0]
	index, low, on := b.index, b.low, b.on
	push := func(v int) {
		b.count++
		index[v] = b.count
		low[v] = index[v]
		on[v] = true
		stack = append(stack, v)
		frames = append(frames, frame{v: v})
	}
	for _, r := range roots {
		if index[r] != 0 || b.region[r] != region {
			continue
		}
		push(r)
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.next < len(b.succ[f.v]) {
				s := b.succ[f.v][f.next]
				f.next++
				switch {
				case b.region[s] != region || b.cut[s]:
				case index[s] == 0:
					push(s)
				case on[s]:
					low[f.v] = min(low[f.v], index[s])
				}
				continue
			}
			v := f.v
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				p := frames[len(frames)-1].v
				low[p] = min(low[p], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			first := len(stack) - 1
			for stack[first] != v {
				first--
			}
			c := slices.Clone(stack[first:])
			slices.Reverse(c)
			for _, w := range c {
				on[w] = false
			}
			stack = stack[:first]
			comps = append(comps, c)
		}
	}
	b.stack, b.frames = stack, frames
	return comps
}
