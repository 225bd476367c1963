package recompile

import (
	"fmt"
	"slices"
	"sort"

	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// maxPiece and maxPieceBlocks bound the guest code, in bytes and in blocks, that
// becomes one wasm function: the time and memory that wazero takes for a
// function grow with the square of its size. Interpreters' main loops, of up to
// 60 KB, stay in one piece.
const (
	maxPiece       = 64 << 10
	maxPieceBlocks = 6 << 10
	maxInstruction = 15 // bytes
)

// cut returns fn, or the functions that it is cut into if it is too large:
// control goes from one to another through their entries. What is returned
// shares blocks with fn, less those that had to be changed.
func cut(fn *programpb.Function, code func(addr uint64, n int) []byte) []*programpb.Function {
	size, large := 0, false
	for _, b := range fn.GetBlocks() {
		size += int(b.GetSize())
		large = large || size > maxPiece
	}
	if !large && len(fn.GetBlocks()) <= maxPieceBlocks {
		return []*programpb.Function{fn}
	}
	c := &cutter{code: code, piece: map[uint64]int{}}
	for _, b := range fn.GetBlocks() {
		c.split(b)
	}
	sort.SliceStable(c.blocks, func(i, j int) bool { return c.blocks[i].Start < c.blocks[j].Start })
	var pieces []*programpb.Function
	size = 0
	for i, b := range c.blocks {
		if last := len(pieces) - 1; last < 0 || size+int(b.Size) > maxPiece || len(pieces[last].Blocks) == maxPieceBlocks {
			p := &programpb.Function{Start: b.Start, Name: fn.GetName(), Origin: fn.GetOrigin()}
			if i > 0 && p.Name != "" {
				p.Name += fmt.Sprintf(".piece%d", len(pieces))
			}
			pieces, size = append(pieces, p), 0
		}
		p := pieces[len(pieces)-1]
		p.Blocks = append(p.Blocks, b)
		size += int(b.Size)
		c.piece[b.Start] = len(pieces)
		if b.Start == fn.GetStart() {
			p.Start = b.Start
		}
	}
	entries := map[uint64]bool{}
	for _, b := range c.blocks {
		for _, to := range c.successors(b) {
			if c.piece[to] != c.piece[b.Start] {
				entries[to] = true
			}
		}
	}
	for _, b := range c.blocks {
		b.Entry = b.Entry || entries[b.Start] || b.Start == fn.GetStart()
	}
	return pieces
}

type cutter struct {
	code   func(addr uint64, n int) []byte
	blocks []*programpb.Block
	piece  map[uint64]int // block -> number of its piece, from 1
}

// split appends a copy of b, or the parts of one that is too large.
func (c *cutter) split(b *programpb.Block) {
	start, end := b.GetStart(), b.GetStart()+uint64(b.GetSize())
	add := func(to uint64, targets []uint64) {
		c.blocks = append(c.blocks, &programpb.Block{Start: start, Size: uint32(to - start), Entry: b.GetEntry() && start == b.GetStart(), Targets: targets})
		start = to
	}
	for at := start; end-start > maxPiece/4 && at < end; {
		in, err := x86.Decode(c.code(at, maxInstruction), at)
		if err != nil || in.Next() >= end {
			break
		}
		if at = in.Next(); at-start > maxPiece/8 {
			add(at, nil)
		}
	}
	add(end, slices.Clone(b.GetTargets()))
}

// successors returns where control may go from the end of b within the function.
func (c *cutter) successors(b *programpb.Block) []uint64 {
	out := slices.Clone(b.Targets)
	end := b.Start + uint64(b.Size)
	for at := b.Start; at < end; {
		in, err := x86.Decode(c.code(at, maxInstruction), at)
		if err != nil {
			return out
		}
		at = in.Next()
		if at < end {
			continue
		}
		if to, ok := in.DirectTarget(); ok {
			out = append(out, to)
		}
		if in.FallsThrough() {
			out = append(out, at)
		}
	}
	return out
}
