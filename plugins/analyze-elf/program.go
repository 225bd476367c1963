package analyzeelf

import (
	"cmp"
	"maps"
	"slices"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
)

// maxCode is how many bytes of a refused instruction are kept.
const maxCode = 15

// program describes what was found.
func (a *analysis) program(names map[uint64]string) *pb.Program {
	c := a.cut()
	p := &pb.Program{
		PositionIndependent: a.file.PositionIndependent,
		Entry:               a.file.Entry,
		Interpreter:         a.file.Interpreter,
		Needed:              a.file.Dynamic.Needed,
		Soname:              a.file.Dynamic.SOName,
		Functions:           c.programFunctions(names),
		Coverage:            c.coverage(),
		CodePointers:        slices.Sorted(maps.Keys(a.pointers)),
	}
	for i := range a.file.Segments {
		s := &a.file.Segments[i]
		p.Segments = append(p.Segments, &pb.Segment{
			Address: s.Addr, FileOffset: s.Offset, FileSize: uint64(len(s.Data)), MemorySize: s.MemSize, Flags: s.Flags,
		})
	}
	for _, addr := range slices.Sorted(maps.Keys(a.refused)) {
		p.Unknown = append(p.Unknown, &pb.Unknown{
			Address: addr, Code: slices.Clone(a.file.Bytes(addr, maxCode)), Reason: a.refused[addr],
		})
	}
	for _, i := range slices.Sorted(maps.Keys(a.reasons)) {
		if reason := a.reasons[i]; reason != "" {
			p.Unresolved = append(p.Unresolved, &pb.Unresolved{Address: a.addr(i), Reason: reason, TailCall: a.tailCall(i)})
		}
	}
	p.Syscalls, p.GeneratesCode = a.syscalls()
	return p
}

// tailCall reports whether the unwind tables say that nothing but the return
// address is on the stack at index i.
func (a *analysis) tailCall(i uint32) bool {
	pc := a.addr(i)
	n, ok := slices.BinarySearchFunc(a.frames, pc, func(f elf64.Frame, pc uint64) int { return cmp.Compare(f.Start, pc) })
	if !ok {
		n--
	}
	return n >= 0 && a.frames[n].Empty(pc)
}

func (c *cutter) programFunctions(names map[uint64]string) []*pb.Function {
	functions := make([]pb.Function, len(c.starts))
	blocks := make([]pb.Block, len(c.blocks))
	refs := make([]*pb.Block, len(c.blocks))
	out := make([]*pb.Function, len(c.starts))
	for n, start := range c.starts {
		f := &functions[n]
		f.Start = c.addr(start)
		f.Name = names[f.Start]
		f.Origin = c.functions[start].origin
		out[n] = f
	}
	for from := 0; from < len(c.blocks); {
		to := from
		for to < len(c.blocks) && c.blocks[to].function == c.blocks[from].function {
			b, out := &c.blocks[to], &blocks[to]
			out.Start, out.Size, out.Entry = c.addr(b.start), b.end-b.start, c.entry[to]
			if t := c.tables[b.last]; t != nil {
				out.Targets = c.sortedTargets(t)
			}
			refs[to] = out
			to++
		}
		out[c.blocks[from].function].Blocks = refs[from:to:to]
		from = to
	}
	return out
}
