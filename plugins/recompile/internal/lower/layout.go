package lower

import (
	"fmt"
	"sort"

	"megabinary.dev/plugins/recompile/internal/cfg"
	"megabinary.dev/plugins/recompile/internal/ir"
)

// A scope is a wasm block or loop that spans the positions [begin, end) of the
// layout. A block is branched to in order to go to position end, a loop in
// order to go to begin. Position -1 is the function's prologue.
type scope struct {
	begin, end int
	loop       int // index into Layout.Loops, -1: a block
}

// route is a way from a dispatch point (the prologue, or a loop's header) to a
// block that may be entered by its PC.
type route struct {
	offset uint32 // PC of the block minus that of the function
	pos    int    // where to branch to
}

// shape is the structure of a function: which blocks follow each other, which
// scopes they stand in, and the ways to its entries.
type shape struct {
	lay    *cfg.Layout
	open   map[int][]scope // by begin, outermost first
	closes []int           // position -> scopes that end there
	routes map[int][]route // loop, or -1 for the prologue -> routes, by offset
	count  int             // of routes
}

// maxRoutes bounds the routes of a function: entries times the loops around
// them. Real functions have some thousands; a made-up one could have billions.
const maxRoutes = 1 << 18

// Successors returns the targets of a terminator, by slot.
func Successors(t *ir.Term) []ir.BlockID {
	switch t.Kind {
	case ir.TermJump:
		return []ir.BlockID{t.To}
	case ir.TermBranch:
		return []ir.BlockID{t.To, t.Else}
	case ir.TermIndirect:
		return t.Known
	case ir.TermCall, ir.TermSyscall:
		if t.To != ir.NoBlock {
			return []ir.BlockID{t.To}
		}
	}
	return nil
}

// layoutOf orders the blocks of f that can be reached.
func layoutOf(f *ir.Func) *cfg.Layout {
	roots := []int{0}
	for i, b := range f.Blocks {
		if (b.Entry || b.Preheader) && i != 0 {
			roots = append(roots, i)
		}
	}
	return cfg.Build(ir.Edges(f), roots)
}

// shapeOf finds the structure of f.
func shapeOf(f *ir.Func) *shape {
	s := &shape{lay: layoutOf(f), open: map[int][]scope{}, routes: map[int][]route{}}
	s.findRoutes(f)
	s.findScopes(f)
	return s
}

// dest says where a branch from position p to block v goes: back to the start
// of loop, or forward to position pos. If label is not negative, it must be set
// first, because the loop has several entries.
type dest struct {
	loop, pos, label int
}

func (s *shape) dest(p int, v ir.BlockID) dest {
	d := dest{loop: -1, label: -1}
	loop := s.lay.EntryOf(int(v))
	if loop >= 0 && len(s.lay.Loops[loop].Entries) > 1 {
		for i, e := range s.lay.Loops[loop].Entries {
			if e == int(v) {
				d.label = i
			}
		}
	}
	if loop >= 0 && s.holds(loop, p) {
		d.loop = loop
		return d
	}
	outer := s.outermost(p, int(v))
	if outer >= 0 && outer != loop {
		panic(fmt.Sprintf("BUG: branch into the middle of a loop at block %d", v))
	}
	d.pos = s.lay.Pos[v]
	if outer >= 0 {
		d.pos = s.lay.Loops[outer].Start
	}
	if d.pos <= p {
		panic(fmt.Sprintf("BUG: backward branch to block %d, which heads no loop", v))
	}
	return d
}

func (s *shape) holds(loop, p int) bool {
	return p >= s.lay.Loops[loop].Start && p < s.lay.Loops[loop].End
}

// outermost returns the outermost loop that holds block v and not position p,
// or -1.
func (s *shape) outermost(p, v int) int {
	outer := -1
	for l := s.lay.In[v]; l >= 0 && !s.holds(l, p); l = s.lay.Loops[l].Parent {
		outer = l
	}
	return outer
}

// findRoutes lists the ways from the prologue and the loops' headers to the
// entries.
func (s *shape) findRoutes(f *ir.Func) {
	preheader := make(map[int]int) // loop -> block that stands before it
	for i, b := range f.Blocks {
		if b.Preheader && s.lay.Pos[i] >= 0 {
			if l := s.lay.EntryOf(int(b.Term.To)); l >= 0 {
				preheader[l] = i
			}
		}
	}
	seen := make(map[uint32]bool)
	for i, b := range f.Blocks {
		if !b.Entry || b.Copy || s.lay.Pos[i] < 0 || seen[b.PC] {
			continue
		}
		seen[b.PC] = true
		offset := b.PC - f.PC
		// From the outside in: the prologue, then each loop around the block.
		var from []int
		for l := s.lay.In[i]; l >= 0; l = s.lay.Loops[l].Parent {
			from = append(from, l)
		}
		from = append(from, -1)
		for _, at := range from {
			if at >= 0 && len(s.lay.Loops[at].Entries) == 1 && s.lay.Loops[at].Entries[0] == i {
				continue // already there
			}
			p := -1
			if at >= 0 {
				p = s.lay.Loops[at].Start
			}
			pos := s.lay.Pos[i]
			if outer := s.outermost(p, i); outer >= 0 {
				pos = s.lay.Loops[outer].Start
				if pre, ok := preheader[outer]; ok {
					pos = s.lay.Pos[pre]
				}
			}
			s.routes[at] = append(s.routes[at], route{offset, pos})
			if s.count++; s.count > maxRoutes {
				return
			}
		}
	}
	for _, r := range s.routes {
		sort.Slice(r, func(i, j int) bool { return r[i].offset < r[j].offset })
	}
}

// findScopes places the blocks and loops. Blocks begin at the first branch to
// their end and are extended to the left until all scopes nest.
func (s *shape) findScopes(f *ir.Func) {
	n := len(s.lay.Order)
	begin := make(map[int]int) // end of a block -> its begin
	need := func(p, q int) {
		if b, ok := begin[q]; !ok || p < b {
			begin[q] = p
		}
	}
	for at, routes := range s.routes {
		p := -1
		if at >= 0 {
			p = s.lay.Loops[at].Start
		}
		for _, r := range routes {
			if r.pos > p {
				need(p, r.pos)
			}
		}
	}
	for i := range s.lay.Loops {
		l := &s.lay.Loops[i]
		if len(l.Entries) > 1 {
			for _, e := range l.Entries[1:] {
				need(l.Start, s.lay.Pos[e])
			}
		}
	}
	for p, v := range s.lay.Order {
		t := &f.Blocks[v].Term
		for slot, to := range Successors(t) {
			d := s.dest(p, to)
			if d.loop >= 0 || s.fallsThrough(p, t, slot) {
				continue
			}
			need(p, d.pos)
		}
	}
	var scopes []scope
	for i, l := range s.lay.Loops {
		scopes = append(scopes, scope{l.Start, l.End, i})
	}
	for q, p := range begin {
		scopes = append(scopes, scope{p, q, -1})
	}
	sort.Slice(scopes, func(i, j int) bool {
		a, b := scopes[i], scopes[j]
		if a.end != b.end {
			return a.end < b.end
		}
		if (a.loop >= 0) != (b.loop >= 0) {
			return a.loop >= 0
		}
		return a.begin > b.begin
	})
	nest(scopes)
	s.closes = make([]int, n+1)
	for _, c := range scopes {
		s.open[c.begin] = append(s.open[c.begin], c)
		s.closes[c.end]++
	}
	for _, o := range s.open {
		sort.Slice(o, func(i, j int) bool {
			if o[i].end != o[j].end {
				return o[i].end > o[j].end
			}
			return o[i].loop < o[j].loop // blocks outside of loops
		})
	}
}

// nest extends blocks to the left so that no two scopes cross. The scopes are
// sorted by end, loops first: all that can cross a scope has been seen before.
func nest(scopes []scope) {
	var outer []scope // disjoint, in order
	for i := range scopes {
		c := &scopes[i]
		for len(outer) > 0 {
			top := outer[len(outer)-1]
			if top.end <= c.begin {
				break
			}
			if top.begin < c.begin {
				if c.loop >= 0 {
					panic("BUG: a branch into a loop crosses its start")
				}
				c.begin = top.begin
			}
			outer = outer[:len(outer)-1]
		}
		outer = append(outer, *c)
	}
}

// fallsThrough reports whether the edge in slot of the terminator t at position
// p needs no branch because its target comes next.
func (s *shape) fallsThrough(p int, t *ir.Term, slot int) bool {
	next := func(v ir.BlockID) bool {
		d := s.dest(p, v)
		return d.loop < 0 && d.pos == p+1
	}
	switch t.Kind {
	case ir.TermJump, ir.TermCall, ir.TermSyscall:
		return next(Successors(t)[slot])
	case ir.TermBranch:
		if slot == 1 {
			return next(t.Else)
		}
		return !next(t.Else) && next(t.To)
	}
	return false
}
