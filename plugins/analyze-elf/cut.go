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
	target, next int32 // blocks that a direct jump and falling through lead to; -1: none
}

// cutter cuts what an analysis found into functions and blocks.
type cutter struct {
	*analysis
	blocks  []block  // by start
	starts  []uint32 // of functions
	reached []bool   // by block: by an edge of its own function
	entry   []bool   // by block: in another way
}

// cut makes the blocks and assigns them to functions.
func (a *analysis) cut() *cutter {
	c := &cutter{analysis: a}
	clear(a.link)
	end := uint32(len(a.marks))
	for i := nextWith(a.marks, 0, end, markLeader); i < end; i = nextWith(a.marks, i+1, end, markLeader) {
		if a.known(i) {
			c.blocks = append(c.blocks, a.block(i))
			a.link[i] = uint32(len(c.blocks))
		}
	}
	c.connect()
	c.assign()
	if c.promote() {
		c.assign()
	}
	c.split()
	c.findEntries()
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

// connect finds the blocks to which each block leads without a call.
func (c *cutter) connect() {
	for n := range c.blocks {
		b := &c.blocks[n]
		b.target, b.next = -1, -1
		k := c.kinds[b.last]
		if k.direct() && k.base() != kindCall {
			b.target = c.numberAt(c.target(b.last))
		}
		if k.falls() {
			b.next = int32(c.link[b.end]) - 1
		}
	}
}

// numberAt returns the block that starts at addr, or -1.
func (c *cutter) numberAt(addr uint64) int32 {
	if i, ok := c.index(addr); ok {
		return int32(c.link[i]) - 1
	}
	return -1
}

// edges marks each block that is reached, without a call, from its own function
// and each that is reached from another.
func (c *cutter) edges() (own, foreign []bool) {
	own, foreign = make([]bool, len(c.blocks)), make([]bool, len(c.blocks))
	for n := range c.blocks {
		b := &c.blocks[n]
		if b.next >= 0 {
			if c.blocks[b.next].function == b.function {
				own[b.next] = true
			} else {
				foreign[b.next] = true
			}
		}
		if b.target >= 0 {
			if c.blocks[b.target].function == b.function {
				own[b.target] = true
			} else {
				foreign[b.target] = true
			}
		}
		if c.kinds[b.last].base() == kindJumpInd {
			c.tableEdges(b, own, foreign)
		}
	}
	return own, foreign
}

// tableEdges marks the blocks that the jump table of b leads to.
func (c *cutter) tableEdges(b *block, own, foreign []bool) {
	t := c.tables[b.last]
	if t == nil {
		return
	}
	for _, i := range t.targets {
		to := int32(c.link[i]) - 1
		switch {
		case to < 0:
		case c.blocks[to].function == b.function:
			own[to] = true
		default:
			foreign[to] = true
		}
	}
}

// promote makes functions of blocks that lie in code of unknown extent and are
// reached only by jumps from other functions (tail calls) or by address. It
// reports whether there were any.
func (c *cutter) promote() bool {
	own, foreign := c.edges()
	changed := false
	for n := range c.blocks {
		b := &c.blocks[n]
		m := c.marks[b.start]
		if m&markStart == 0 && c.inside[b.start] == 0 && !own[n] && (foreign[n] || m&markEntry != 0) {
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

// findEntries finds the blocks that are reached other than by an edge of their
// own function.
func (c *cutter) findEntries() {
	reached, entry := c.edges()
	for n := range c.blocks {
		b := &c.blocks[n]
		if c.kinds[b.last].base() == kindCall {
			if to := c.numberAt(c.target(b.last)); to >= 0 {
				entry[to] = true
			}
		}
		if c.marks[b.start]&markEntry != 0 || !reached[n] || c.starts[b.function] == b.start {
			entry[n] = true
		}
	}
	c.entry = entry
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
