package analyzeelf

import (
	"slices"

	pb "megabinary.dev/sdk/artifact/programpb"
)

// Sizes at which a function is split: from softLimit on where no block falls
// through, from hardLimit on anywhere. The cost of compiling a function grows
// faster than its size.
const (
	softLimit = 4000 // instructions
	hardLimit = 6000
)

// block is a basic block.
type block struct {
	start, end   uint32 // indices
	last         uint32 // index of the last instruction
	instructions uint32
	function     int32 // index into cutter.starts
}

// cutter cuts what an analysis found into functions and blocks.
type cutter struct {
	*analysis
	blocks  []block  // by start
	starts  []uint32 // of functions
	number  map[uint32]int32
	reached []bool // by block: by an edge of its own function
	entry   []bool // by block: in another way
}

// cut makes the blocks and assigns them to functions.
func (a *analysis) cut() *cutter {
	c := &cutter{analysis: a, number: map[uint32]int32{}}
	for i := range a.marks {
		if a.marks[i]&markLeader != 0 && a.known(uint32(i)) {
			c.number[uint32(i)] = int32(len(c.blocks))
			c.blocks = append(c.blocks, a.block(uint32(i)))
		}
	}
	c.assign()
	if c.promote() {
		c.assign()
	}
	c.split()
	c.connect()
	return c
}

// block follows the instructions from a leader to the next transfer or leader.
func (a *analysis) block(start uint32) block {
	b := block{start: start}
	for i := start; ; {
		b.last = i
		b.instructions++
		i += uint32(a.length[i])
		b.end = i
		if a.kinds[b.last].endsBlock() || a.marks[i]&markLeader != 0 || !a.known(i) {
			return b
		}
	}
}

// assign gives each block to the last function that starts before it. A block
// past the known end of that function starts another.
func (c *cutter) assign() {
	c.starts = c.starts[:0]
	end := uint32(0)
	for n := range c.blocks {
		b := &c.blocks[n]
		f, isStart := c.functions[b.start]
		past := end != 0 && b.start >= end
		if len(c.starts) == 0 || isStart || past {
			if !isStart {
				f = function{origin: c.originOf(b.start)}
				c.functions[b.start] = f
			}
			c.starts = append(c.starts, b.start)
			end = f.end
		}
		b.function = int32(len(c.starts) - 1)
	}
}

func (c *cutter) originOf(i uint32) pb.Origin {
	if o, ok := c.origins[i]; ok {
		return o
	}
	return pb.Origin_ORIGIN_JUMP
}

// successors calls yield for each block to which flow goes from block n without
// a call: direct edges, fall through and return sites, table targets.
func (c *cutter) successors(n int, yield func(to int32)) {
	b := &c.blocks[n]
	k := c.kinds[b.last]
	if k.direct() && k.base() != kindCall {
		if t, ok := c.index(c.target(b.last)); ok {
			if to, ok := c.number[t]; ok {
				yield(to)
			}
		}
	}
	if k.falls() {
		if to, ok := c.number[b.end]; ok {
			yield(to)
		}
	}
	if t := c.tables[b.last]; t != nil && k.base() == kindJumpInd {
		for _, target := range t.targets {
			if to, ok := c.number[target]; ok {
				yield(to)
			}
		}
	}
}

// promote makes functions of blocks that lie in code of unknown extent and are
// reached only by jumps from other functions (tail calls) or by address. It
// reports whether there were any.
func (c *cutter) promote() bool {
	own := make([]bool, len(c.blocks))
	foreign := make([]bool, len(c.blocks))
	for n := range c.blocks {
		c.successors(n, func(to int32) {
			if c.blocks[to].function == c.blocks[n].function {
				own[to] = true
			} else {
				foreign[to] = true
			}
		})
	}
	changed := false
	for n := range c.blocks {
		b := &c.blocks[n]
		m := c.marks[b.start]
		if m&(markInside|markStart) == 0 && !own[n] && (foreign[n] || m&markEntry != 0) {
			c.functions[b.start] = function{origin: c.originOf(b.start)}
			c.marks[b.start] |= markStart
			changed = true
		}
	}
	return changed
}

// split cuts functions that are too large.
func (c *cutter) split() {
	size := uint32(0)
	previous := int32(-1)
	var starts []uint32
	for n := range c.blocks {
		b := &c.blocks[n]
		switch {
		case b.function != previous:
			size, previous = 0, b.function
			starts = append(starts, b.start)
		case size >= hardLimit, size >= softLimit && !c.kinds[c.blocks[n-1].last].falls():
			size = 0
			starts = append(starts, b.start)
			c.functions[b.start] = function{origin: c.originOf(b.start)}
		}
		size += b.instructions
		b.function = int32(len(starts) - 1)
	}
	c.starts = starts
}

// connect finds which blocks are reached by edges of their own function, and
// which in another way.
func (c *cutter) connect() {
	c.reached = make([]bool, len(c.blocks))
	c.entry = make([]bool, len(c.blocks))
	for n := range c.blocks {
		b := &c.blocks[n]
		c.successors(n, func(to int32) {
			if c.blocks[to].function == b.function {
				c.reached[to] = true
			} else {
				c.entry[to] = true
			}
		})
		if c.kinds[b.last].base() == kindCall {
			if t, ok := c.index(c.target(b.last)); ok {
				if to, ok := c.number[t]; ok {
					c.entry[to] = true
				}
			}
		}
	}
	for n := range c.blocks {
		b := &c.blocks[n]
		if c.marks[b.start]&markEntry != 0 || !c.reached[n] || c.starts[b.function] == b.start {
			c.entry[n] = true
		}
	}
}

// coverage counts bytes of text: all, inside of blocks, and padding.
func (c *cutter) coverage() *pb.Coverage {
	cov := &pb.Coverage{}
	for _, b := range c.blocks {
		cov.Instructions += uint64(b.instructions)
	}
	for _, s := range c.text {
		cov.TextBytes += uint64(s.end - s.start)
		for i := s.start; i < s.end; {
			if c.marks[i]&markCovered != 0 {
				cov.FunctionBytes++
				i++
				continue
			}
			n := c.padding(i, s.end)
			cov.PaddingBytes += uint64(n)
			i += max(n, 1)
		}
	}
	return cov
}

// sortedTargets returns the addresses of t's targets.
func (c *cutter) sortedTargets(t *table) []uint64 {
	addrs := make([]uint64, len(t.targets))
	for n, i := range t.targets {
		addrs[n] = c.addr(i)
	}
	slices.Sort(addrs)
	return addrs
}
