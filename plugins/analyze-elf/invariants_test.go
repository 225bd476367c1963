package analyzeelf

import (
	"slices"
	"testing"

	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// checkInvariants holds what program.proto promises.
func checkInvariants(t *testing.T, p *pb.Program, data []byte) {
	t.Helper()
	m := newModel(p, data)
	unknown := map[uint64]bool{}
	for _, u := range p.Unknown {
		unknown[u.Address] = true
	}
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults < 20 {
			t.Errorf(format, args...)
		}
	}
	seen := map[uint64]bool{}
	var previous uint64
	for n, f := range p.Functions {
		if n > 0 && f.Start <= previous {
			fault("function %#x is not after %#x", f.Start, previous)
		}
		previous = f.Start
		if len(f.Blocks) == 0 || f.Blocks[0].Start != f.Start || !f.Blocks[0].Entry || f.Origin == pb.Origin_ORIGIN_UNSPECIFIED {
			fault("function %#x (%v) has %d blocks, or does not begin with an entry", f.Start, f.Origin, len(f.Blocks))
			continue
		}
		for i, b := range f.Blocks {
			if i > 0 && b.Start <= f.Blocks[i-1].Start || b.Size == 0 || seen[b.Start] {
				fault("block %#x of %#x is out of order, empty or in two functions", b.Start, f.Start)
			}
			seen[b.Start] = true
			m.checkBlock(f, b, unknown, fault)
		}
	}
	checkSorted(t, "unknown", len(p.Unknown), func(i int) uint64 { return p.Unknown[i].Address })
	checkSorted(t, "unresolved", len(p.Unresolved), func(i int) uint64 { return p.Unresolved[i].Address })
	checkSorted(t, "code pointers", len(p.CodePointers), func(i int) uint64 { return p.CodePointers[i] })
	if c := p.Coverage; c.FunctionBytes+c.PaddingBytes > c.TextBytes {
		t.Errorf("coverage: %v", c)
	}
}

func checkSorted(t *testing.T, what string, n int, at func(int) uint64) {
	t.Helper()
	for i := 1; i < n; i++ {
		if at(i) <= at(i-1) {
			t.Errorf("%s: %#x is not after %#x", what, at(i), at(i-1))
		}
	}
}

// checkBlock decodes a block: transfers stand only at its end, no other block
// starts at one of its instructions, and what it leads to is known.
func (m *model) checkBlock(f *pb.Function, b *pb.Block, unknown map[uint64]bool, fault func(string, ...any)) {
	end := b.Start + uint64(b.Size)
	var in x86.Inst
	for at := b.Start; at < end; at = in.Next() {
		if at != b.Start && m.blocks[at] != nil {
			fault("block %#x goes on over block %#x", b.Start, at)
		}
		if at != b.Start && in.EndsBlock() {
			fault("block %#x goes on after %v", b.Start, in.Inst)
		}
		var err error
		if in, err = x86.Decode(m.bytes(at, end-at), at); err != nil {
			fault("block %#x: %v", b.Start, err)
			return
		}
	}
	if in.Next() != end {
		fault("block %#x ends inside of %v", b.Start, in.Inst)
	}
	if target, ok := in.DirectTarget(); ok {
		to := m.blocks[target]
		if to == nil && !unknown[target] {
			fault("target %#x of %#x is neither a block nor unknown", target, in.PC)
		}
		if to != nil && !to.Entry && (in.IsCall() || !m.inFunction(f, target)) {
			fault("target %#x of %#x is not an entry", target, in.PC)
		}
	}
	if !in.EndsBlock() {
		to := m.blocks[end]
		if to == nil && !unknown[end] && m.bytes(end, 1) != nil {
			fault("block %#x falls through to %#x, which is neither a block nor unknown", b.Start, end)
		}
		if to != nil && !to.Entry && !m.inFunction(f, end) {
			fault("block %#x falls through to %#x, which is not an entry", b.Start, end)
		}
	}
	if !slices.IsSorted(b.Targets) {
		fault("targets of %#x are not sorted", in.PC)
	}
	for _, target := range b.Targets {
		to := m.blocks[target]
		if to == nil && !unknown[target] || to != nil && !to.Entry && !m.inFunction(f, target) {
			fault("table target %#x of %#x is no block, or of another function and no entry", target, in.PC)
		}
	}
}

func (m *model) inFunction(f *pb.Function, addr uint64) bool {
	_, ok := slices.BinarySearchFunc(f.Blocks, addr, func(b *pb.Block, a uint64) int {
		switch {
		case b.Start < a:
			return -1
		case b.Start > a:
			return 1
		}
		return 0
	})
	return ok
}
