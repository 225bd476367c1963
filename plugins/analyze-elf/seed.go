package analyzeelf

import (
	"cmp"
	"encoding/binary"
	"slices"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
)

var le = binary.LittleEndian

// declaration is a function that the file itself names.
type declaration struct {
	start, end uint32 // end 0: unknown
	origin     pb.Origin
}

// declare takes the functions that symbols, unwind tables and Go's line table
// name, and marks their extents. It runs before any code is decoded.
func (a *analysis) declare(names map[uint64]string) {
	var all []declaration
	add := func(addr, size uint64, origin pb.Origin) {
		i, ok := a.index(addr)
		if !ok {
			return
		}
		d := declaration{start: i, origin: origin}
		if size > 0 && size <= uint64(len(a.bytes(i))) {
			d.end = i + uint32(size)
		}
		all = append(all, d)
	}
	for s := range a.file.Symbols {
		if s.Func {
			add(s.Addr, s.Size, pb.Origin_ORIGIN_SYMBOL)
			if names[s.Addr] == "" {
				names[s.Addr] = s.Name
			}
		}
	}
	a.frames = a.file.Frames()
	for _, f := range a.frames {
		start := f.Start
		if f.Signal {
			start++
		}
		add(start, f.End-start, pb.Origin_ORIGIN_FDE)
		for _, pad := range a.file.LandingPads(f) {
			if i, ok := a.index(pad); ok {
				a.enter(i, pb.Origin_ORIGIN_LSDA)
			}
		}
	}
	for _, g := range a.file.GoFuncs() {
		add(g.Start, g.End-g.Start, pb.Origin_ORIGIN_GOPCLNTAB)
		if names[g.Start] == "" {
			names[g.Start] = g.Name
		}
		a.enterGo(g)
	}
	a.layOut(all)
}

// nop is the instruction that stands at the start of Go's runtime.goexit.
const nop = 0x90

// enterGo enters the places of a Go function that only Go's runtime knows of: a
// recovered panic goes on at the call of deferreturn, and a goroutine returns to
// the second byte of runtime.goexit (abi.FuncPCABI0(goexit) + sys.PCQuantum).
func (a *analysis) enterGo(g elf64.GoFunc) {
	if i, ok := a.index(g.DeferReturn); ok && g.DeferReturn != 0 {
		a.enter(i, pb.Origin_ORIGIN_GOPCLNTAB)
	}
	if g.Name != "runtime.goexit" && g.Name != "runtime.goexit.abi0" {
		return
	}
	if i, ok := a.index(g.Start); ok && len(a.bytes(i)) > 1 && a.bytes(i)[0] == nop {
		a.enter(i+1, pb.Origin_ORIGIN_GOPCLNTAB)
	}
}

// layOut makes functions of the declarations. A declaration without an end
// inside of another's extent is an entry of that.
func (a *analysis) layOut(all []declaration) {
	slices.SortStableFunc(all, func(x, y declaration) int {
		return cmp.Or(cmp.Compare(x.start, y.start), -cmp.Compare(x.end, y.end))
	})
	limits := make([]uint32, len(all)) // where the next extent begins
	next, nextStart := ^uint32(0), ^uint32(0)
	for n := len(all) - 1; n >= 0; n-- {
		if all[n].start < nextStart {
			next = nextStart
		}
		limits[n] = next
		if all[n].end > 0 {
			nextStart = all[n].start
		}
	}
	var inside uint32 // end of the extent so far
	for n, d := range all {
		a.enter(d.start, d.origin)
		if d.end == 0 && d.start < inside || a.marks[d.start]&markStart != 0 {
			continue
		}
		end := min(d.end, limits[n])
		a.marks[d.start] |= markStart
		a.functions[d.start] = function{origin: d.origin, end: end}
		if end > d.start {
			a.marks[end] |= markEnd
			fill(a.inside[d.start+1:end], &a.ones)
			inside = end
		}
	}
}

// seedFunction makes the address a function, unless it lies inside of one, and
// queues it.
func (a *analysis) seedFunction(addr uint64, origin pb.Origin) {
	i, ok := a.index(addr)
	if !ok {
		return
	}
	if a.inside[i] == 0 {
		a.start(i, origin)
	}
	a.enter(i, origin)
}

// seedTrusted queues what the file says is code: entry points, relocated
// pointers, declared functions, hints.
func (a *analysis) seedTrusted(hints []uint64) {
	a.seedFunction(a.file.Entry, pb.Origin_ORIGIN_ENTRY)
	for _, addr := range a.file.Dynamic.Init {
		a.seedFunction(addr, pb.Origin_ORIGIN_ENTRY)
	}
	for _, name := range []string{".init", ".fini"} {
		if s := a.file.Section(name); s != nil && s.Flags&elf64.SectionExec != 0 {
			a.seedFunction(s.Addr, pb.Origin_ORIGIN_ENTRY)
		}
	}
	for _, r := range a.relocs {
		if r.Type == elf64.RJumpSlot {
			a.seedLazy(r.Where)
		}
		if i, ok := a.index(r.Value); ok {
			switch {
			case r.Type == elf64.RRelative && a.inside[i] != 0:
				// Perhaps an entry of a jump table: see scanRelocs.
			case r.Type == elf64.RRelative || r.Type == elf64.R64:
				a.accept(i, pb.Origin_ORIGIN_RELOCATION)
			default:
				a.seedFunction(r.Value, pb.Origin_ORIGIN_RELOCATION)
			}
		}
	}
	for _, addr := range hints {
		a.seedFunction(addr, pb.Origin_ORIGIN_HINT)
	}
}

// seedLazy queues the code that a slot of the PLT leads to before it is bound:
// the instruction behind the jump through it.
func (a *analysis) seedLazy(slot uint64) {
	v, ok := a.file.Uint64(slot)
	if !ok || v == 0 {
		return
	}
	a.seedFunction(v, pb.Origin_ORIGIN_RELOCATION)
	const jumpLen = 6 // FF 25 disp32
	i, ok := a.index(v - jumpLen)
	if !ok {
		return
	}
	if in, err := a.decode(i); err == nil && in.IsJump() {
		if to, ok := in.Address(0); ok && to == slot {
			a.seedFunction(v-jumpLen, pb.Origin_ORIGIN_RELOCATION)
		}
	}
}

// readRelocs collects the relocations that store addresses, by place.
func (a *analysis) readRelocs() {
	a.file.Relocations(func(r elf64.Reloc) bool {
		a.relocs = append(a.relocs, r)
		switch r.Symbol {
		case "mmap", "mmap64":
			a.slots[r.Where] = sysMmap
		case "mprotect":
			a.slots[r.Where] = sysMprotect
		}
		return true
	})
	slices.SortStableFunc(a.relocs, func(x, y elf64.Reloc) int { return cmp.Compare(x.Where, y.Where) })
}

// scanRelocs enters the relocated pointers to the inside of functions (labels as
// values) that are not entries of a jump table with a known bound.
func (a *analysis) scanRelocs() {
	inTable := a.tableWords()
	for _, r := range a.relocs {
		i, ok := a.index(r.Value)
		if !ok {
			continue
		}
		if !inTable(r.Where) {
			a.accept(i, pb.Origin_ORIGIN_RELOCATION)
		}
		if a.marks[i]&markLeader != 0 {
			a.pointers[r.Value] = true
		}
	}
}

// followRefs enters the code whose addresses instructions compute. It reports
// whether there was any new.
func (a *analysis) followRefs() bool {
	found := false
	refs := a.codeRefs
	a.codeRefs = nil
	for _, r := range refs {
		if i, ok := a.index(r.to); ok && a.accept(i, pb.Origin_ORIGIN_CODE_ADDRESS) {
			found = true
		}
	}
	return found
}

// accept enters index i if it may be code, and reports whether that is new. A
// block that flow has reached before becomes an entry, new code a function.
func (a *analysis) accept(i uint32, origin pb.Origin) bool {
	switch {
	case a.marks[i]&(markEntry|markStart) != 0 && a.marks[i]&markLeader != 0:
		return false
	case a.known(i):
		a.enter(i, origin)
		return true
	case a.covered[i] != 0 || a.denied[i] || !a.inText(i):
		return false
	case !a.plausible(i, false) || a.suspect(i) && !a.isCode(i, evidenceNamed):
		a.denied[i] = true
		return false
	}
	if a.inside[i] == 0 {
		a.start(i, origin)
	}
	a.enter(i, origin)
	return true
}

// suspect reports whether index i lies outside of all functions of known extent
// in a file that has unwind tables: there are the constants of assembly code.
func (a *analysis) suspect(i uint32) bool {
	return a.inside[i] == 0 && len(a.frames) > 0
}

// scanData enters the code that words in data point to: in a program that is not
// position-independent, which has no relocations. Unless weak, it takes only
// those to where a function may begin: other words may be numbers or text that
// look like addresses. It reports whether there was any new.
func (a *analysis) scanData(weak bool) bool {
	if a.file.PositionIndependent || len(a.regions) == 0 {
		return false
	}
	low := a.regions[0].addr
	last := a.regions[len(a.regions)-1]
	high := last.addr + uint64(len(last.bytes))
	inTable := a.tableWords()
	found := false
	for n := range a.file.Segments {
		s := &a.file.Segments[n]
		executable := s.Flags&elf64.FlagX != 0
		if executable && len(a.file.Sections) == 0 || a.ctx.Err() != nil {
			continue
		}
		for at := (8 - s.Addr%8) % 8; at+8 <= uint64(len(s.Data)); at += 8 {
			v := le.Uint64(s.Data[at:])
			if v < low || v >= high || inTable(s.Addr+at) || a.unwindData(s.Addr+at) {
				continue
			}
			i, ok := a.index(v)
			if !ok || executable && a.textAt(s.Addr+at) {
				continue
			}
			if (weak || a.known(i) || a.mayBegin(i)) && a.accept(i, pb.Origin_ORIGIN_DATA) {
				found = true
			}
			if a.marks[i]&markEntry != 0 {
				a.pointers[v] = true
			}
		}
	}
	return found
}

// mayBegin reports whether a function may begin at index i: at an aligned
// address, or where an instruction ends or padding.
func (a *analysis) mayBegin(i uint32) bool {
	if a.addr(i)%16 == 0 || i == 0 || a.covered[i-1] != 0 {
		return true
	}
	b := a.bytes(i - 1)
	if len(b) == 0 {
		return true
	}
	switch b[0] {
	case ret, breakpoint, nop, 0:
		return true
	}
	return false
}

const ret = 0xc3

// unwindData reports whether addr lies in unwind tables, whose words only look
// like pointers.
func (a *analysis) unwindData(addr uint64) bool {
	for _, s := range a.unwind {
		if addr >= s[0] && addr < s[1] {
			return true
		}
	}
	return false
}

// tableWords returns a function that says whether an address lies in a jump
// table of whole addresses with a known bound: its words are used by no other
// instruction.
func (a *analysis) tableWords() func(uint64) bool {
	var spans [][2]uint64
	for _, t := range a.tables {
		if t.entry == 8 && t.bound != 0 {
			spans = append(spans, [2]uint64{t.addr, t.addr + t.bound*8})
		}
	}
	slices.SortFunc(spans, func(x, y [2]uint64) int {
		return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1]))
	})
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s[0] <= merged[n-1][1] {
			merged[n-1][1] = max(merged[n-1][1], s[1])
		} else {
			merged = append(merged, s)
		}
	}
	return func(addr uint64) bool {
		n, ok := slices.BinarySearchFunc(merged, addr, func(s [2]uint64, at uint64) int { return cmp.Compare(s[0], at) })
		return ok || n > 0 && addr < merged[n-1][1]
	}
}
