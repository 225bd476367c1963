package lower

import (
	"math/bits"

	"megabinary.dev/sdk/wasm"
)

// pcHash branches by a table indexed by a hash of the PC. Compilers of wasm
// make a basic block of each element of a br_table, so a table indexed by the
// PC itself, which has an element for each byte of guest code between the
// targets, costs more to compile than all the rest of a program.
type pcHash struct {
	multiplier uint32
	slots      uint    // a power of two
	buckets    [][]int // slot -> indices of the targets with that hash
}

// hashTries is how many multipliers are tried for each table.
const hashTries = 32

// newPCHash finds the best of some multipliers for sorted known targets.
func newPCHash(known []knownTarget) pcHash {
	var best pcHash
	slots := uint(1) << bits.Len(uint(2*len(known)-1))
	bestCost := -1
	for try := range uint32(hashTries) {
		h := pcHash{multiplier: 0x9e3779b1 + 0x3c6ef372*try, slots: slots, buckets: make([][]int, slots)}
		cost := 0 // comparisons to reach each target once
		for i, k := range known {
			s := h.slot(k.pc - known[0].pc)
			h.buckets[s] = append(h.buckets[s], i)
			cost += len(h.buckets[s])
		}
		if bestCost < 0 || cost < bestCost {
			best, bestCost = h, cost
		}
	}
	return best
}

// shift is how far the product is shifted to the right.
func (h *pcHash) shift() int { return 32 - bits.Len(h.slots-1) }

func (h *pcHash) slot(offset uint32) uint32 { return offset * h.multiplier >> h.shift() }

// pcHash goes to the one of the known blocks whose PC is in the scratch local,
// and falls through to the end of the innermost block if there is none.
func (x *fn) pcHash(p int, known []knownTarget) {
	h := newPCHash(known)
	var used [][]int
	depths := make([]uint32, h.slots)
	for s, b := range h.buckets {
		depths[s] = uint32(len(used))
		if len(b) > 0 {
			used = append(used, b)
		}
	}
	miss := uint32(len(used))
	for s, b := range h.buckets {
		if len(b) == 0 {
			depths[s] = miss
		}
	}
	for range used {
		x.body.Block(wasm.BlockVoid)
		x.inner++
	}
	x.body.LocalGet(x.temp())
	x.body.I32Const(int32(known[0].pc))
	x.body.Op(wasm.OpI32Sub)
	x.body.I32Const(int32(h.multiplier))
	x.body.Op(wasm.OpI32Mul)
	x.body.I32Const(int32(h.shift()))
	x.body.Op(wasm.OpI32ShrU)
	x.body.BrTable(depths[:h.slots-1], depths[h.slots-1])
	for i, b := range used {
		x.body.End()
		x.inner--
		for _, k := range b {
			x.body.LocalGet(x.temp())
			x.body.I32Const(int32(known[k].pc))
			x.body.Op(wasm.OpI32Eq)
			x.edgeIf(p, known[k].block)
		}
		if rest := len(used) - 1 - i; rest > 0 {
			x.body.Br(uint32(rest))
		}
	}
}
