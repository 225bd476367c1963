package analyzeelf

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	pb "megabinary.dev/sdk/artifact/programpb"
)

// Limits on jump tables. The largest in the corpus has 3,000 entries.
const (
	maxBounded   = 1 << 16
	maxUnbounded = 4096
	maxEntries   = 1 << 22 // in all tables of a file
	maxStrides   = 16      // the loops of glibc have one for each offset in 16 bytes
)

// table is a jump table.
type table struct {
	addr    uint64
	base    uint64 // added to each entry
	entry   uint64 // size of an entry in bytes: 4 or 8
	signed  bool   // 4-byte entries are offsets from base
	bound   uint64 // number of entries if a comparison or mask shows it, or 0
	limit   uint64 // number of values of the index by its width, or 0
	stride  uint64 // not 0: the targets are base, base + stride, ..., and there is no table
	targets []uint32
	grown   bool // reading it found new code
}

// openTable is a jump table whose end is not visible, and the jump that uses it.
type openTable struct {
	jump  uint32
	table *table
}

// resolveTables looks for the tables of the indirect jumps that are new: first
// of those with a known size, and when these give no new code of one of the
// others. It reports whether it queued new code.
func (a *analysis) resolveTables() (bool, error) {
	queued := false
	for ; a.resolved < len(a.indirect); a.resolved++ {
		i := a.indirect[a.resolved]
		if a.tables[i] != nil {
			continue
		}
		t, reason := a.findTable(i)
		switch {
		case t == nil:
			a.reasons[i] = reason
		case t.bound == 0:
			a.open = append(a.open, openTable{i, t})
		default:
			if err := a.readTable(t, i); err != nil {
				return false, err
			}
			queued = a.useTable(t, i) || queued
		}
		if err := a.ctx.Err(); err != nil {
			return false, err
		}
	}
	for !queued && len(a.open) > 0 {
		o := a.open[0]
		a.open = a.open[1:]
		if err := a.readTable(o.table, o.jump); err != nil {
			return false, err
		}
		queued = a.useTable(o.table, o.jump) || a.resolved < len(a.indirect)
	}
	return queued, nil
}

// useTable gives the indirect jump at index i its table. It reports whether that
// queued new code.
func (a *analysis) useTable(t *table, i uint32) bool {
	if len(t.targets) == 0 {
		a.reasons[i] = fmt.Sprintf("the table at %#x has no entry that is code", t.addr)
		return false
	}
	delete(a.reasons, i)
	a.tables[i] = t
	queued := t.grown
	for _, to := range t.targets {
		a.cameFrom(to, i)
		queued = queued || a.kinds[to] == kindNone
		a.origin(to, pb.Origin_ORIGIN_JUMP_TABLE)
		a.queue(to)
		if t.bound == 0 && t.entry != 4 { // labels as values: the address may be used elsewhere
			a.marks[to] |= markEntry
		}
	}
	return queued
}

// findTable returns the table that the indirect jump at index i reads, or why
// there is none.
func (a *analysis) findTable(i uint32) (*table, string) {
	in, err := a.decode(i)
	if err != nil {
		return nil, err.Error()
	}
	if m, ok := in.Mem(0); ok {
		return a.absoluteTable(i, m, 8)
	}
	f := familyOf(in.Args[0])
	at := i
	for range 8 {
		def, p, ok := a.definition(at, f)
		if !ok {
			return nil, "target comes from a register that is set elsewhere"
		}
		at = p
		switch def.Op {
		case x86asm.MOV:
			if m, ok := def.Mem(1); ok {
				return a.absoluteTable(p, m, uint64(def.ArgSize(0)))
			}
			if v, ok := def.Args[1].(x86asm.Imm); ok {
				return oneTarget(uint64(v))
			}
			if f = familyOf(def.Args[1]); f == noReg {
				return nil, "target comes from a register of another kind"
			}
		case x86asm.ADD:
			if _, ok := def.Mem(1); ok {
				return nil, "target is a sum with memory"
			}
			return a.relativeTable(p, f, familyOf(def.Args[1]), 0)
		case x86asm.LEA:
			if addr, ok := def.Address(1); ok {
				return oneTarget(addr)
			}
			m, _ := def.Mem(1)
			if m.Index != 0 && m.Base != 0 && m.Scale > 1 {
				return a.scaledTable(i, p, f, m)
			}
			if m.Index == 0 || m.Scale != 1 {
				return nil, "target is a computed address"
			}
			return a.relativeTable(p, familyOf(m.Base), familyOf(m.Index), uint64(m.Disp))
		default:
			return nil, fmt.Sprintf("target comes from %v", def.Op)
		}
	}
	return nil, "target is copied too often"
}

// oneTarget returns the table of a jump whose target is one address.
func oneTarget(addr uint64) (*table, string) {
	return &table{addr: addr, base: addr, stride: 1, bound: 1}, ""
}

// absoluteTable takes a load of a whole address from memory.
func (a *analysis) absoluteTable(i uint32, m x86asm.Mem, size uint64) (*table, string) {
	if m.Base == x86asm.RIP || m.Base == 0 && m.Index == 0 {
		return nil, "" // through a variable: a GOT slot or a function pointer
	}
	if size != 8 && (size != 4 || a.file.PositionIndependent) {
		return nil, "target has an odd size"
	}
	addr, index, ok := a.tableAddress(i, m, uint8(size))
	if !ok {
		return nil, "target is loaded through a pointer"
	}
	t := &table{addr: addr, entry: size}
	t.bound, t.limit = a.bound(i, index)
	return t, ""
}

// relativeTable takes a sum of two registers (and disp) before index i, one of
// them a constant and the other an offset loaded from a table.
func (a *analysis) relativeTable(i uint32, x, y family, disp uint64) (*table, string) {
	for range 2 {
		if base, ok := a.constant(i, x); ok && base != 0 {
			if t := a.offsetTable(i, y); t != nil {
				t.base = base + disp
				return t, ""
			}
		}
		x, y = y, x
	}
	for range 2 {
		if t := a.strideTable(i, x, y); t != nil {
			t.base += disp
			return t, ""
		}
		x, y = y, x
	}
	if a.offsetTable(i, x) != nil || a.offsetTable(i, y) != nil {
		return nil, "the base of the jump table is not visible"
	}
	return nil, "target is a sum of registers"
}

// scaledTable takes a jump at index i to base + index * scale, which the LEA at
// index p makes in register f, as in libffi's assembly.
func (a *analysis) scaledTable(i, p uint32, f family, m x86asm.Mem) (*table, string) {
	base, ok := a.constant(p, familyOf(m.Base))
	base += uint64(m.Disp)
	if _, isCode := a.index(base); !ok || !isCode {
		return nil, "target is a computed address"
	}
	t := &table{addr: base, base: base, stride: uint64(m.Scale)}
	index := familyOf(m.Index)
	if t.bound, t.limit = a.bound(p, index); t.bound == 0 && index != f {
		t.bound, t.limit = a.bound(i, index)
	}
	if t.bound == 0 {
		t.limit = maxStrides
	}
	return t, ""
}

// strideTable takes a jump to base + n * stride, as in the copying loops of
// glibc: the code at the targets is padded to equal lengths.
func (a *analysis) strideTable(i uint32, x, y family) *table {
	base, ok := a.constant(i, x)
	if _, isCode := a.index(base); !ok || !isCode {
		return nil
	}
	t := &table{base: base, stride: 1}
	for range 4 {
		def, p, ok := a.definition(i, y)
		if !ok {
			return nil
		}
		i = p
		switch def.Op {
		case x86asm.SHL:
			imm, ok := def.Args[1].(x86asm.Imm)
			if !ok || imm < 0 || imm > 12 {
				return nil
			}
			t.stride <<= uint(imm)
			t.bound, t.limit = a.bound(i, y)
			t.limit = maxStrides
			return t
		case x86asm.LEA: // x + 2x, ...
			m, _ := def.Mem(1)
			if m.Disp != 0 || m.Base != m.Index {
				return nil
			}
			t.stride *= uint64(m.Scale) + 1
			y = familyOf(m.Base)
		case x86asm.MOV:
			if y = familyOf(def.Args[1]); y == noReg {
				return nil
			}
		default:
			return nil
		}
	}
	return nil
}

// offsetTable returns the table that register f was loaded from, as a
// sign-extended offset of 4 bytes.
func (a *analysis) offsetTable(i uint32, f family) *table {
	wide := false
	for range 6 {
		def, p, ok := a.definition(i, f)
		if !ok {
			return nil
		}
		i = p
		switch def.Op {
		case x86asm.CDQE:
			wide = true
			continue
		case x86asm.MOVSXD, x86asm.MOV:
			m, ok := def.Mem(1)
			if !ok {
				f = familyOf(def.Args[1])
				wide = wide || def.Op == x86asm.MOVSXD
				continue
			}
			if def.Op == x86asm.MOV && (!wide || def.ArgSize(0) != 4) || def.ArgSize(1) != 4 {
				return nil
			}
			addr, index, ok := a.tableAddress(p, m, 4)
			if !ok {
				return nil
			}
			t := &table{addr: addr, entry: 4, signed: true}
			t.bound, t.limit = a.bound(p, index)
			return t
		}
		return nil
	}
	return nil
}

// tableAddress splits a memory operand before index i into the address of a
// table and the register that indexes it.
func (a *analysis) tableAddress(i uint32, m x86asm.Mem, scale uint8) (addr uint64, index family, ok bool) {
	base, idx := familyOf(m.Base), familyOf(m.Index)
	disp := uint64(m.Disp)
	switch {
	case m.Segment == x86asm.FS || m.Segment == x86asm.GS:
		return 0, noReg, false
	case m.Base == 0 && m.Index != 0:
		return disp, idx, m.Scale == scale || m.Scale == 1
	case m.Index == 0: // the sum was made before
		def, p, ok := a.definition(i, base)
		if !ok {
			return 0, noReg, false
		}
		switch def.Op {
		case x86asm.ADD:
			if y := familyOf(def.Args[1]); y != noReg {
				return a.splitSum(p, base, y, disp)
			}
		case x86asm.LEA:
			if s, _ := def.Mem(1); s.Index != 0 && s.Base != 0 {
				return a.splitSum(p, familyOf(s.Base), familyOf(s.Index), disp+uint64(s.Disp))
			}
		}
		return 0, noReg, false
	case m.Scale == scale:
		c, ok := a.constant(i, base)
		return c + disp, idx, ok && c != 0
	case m.Scale == 1:
		return a.splitSum(i, base, idx, disp)
	}
	return 0, noReg, false
}

// splitSum tells the constant of two registers from the index.
func (a *analysis) splitSum(i uint32, x, y family, disp uint64) (uint64, family, bool) {
	if c, ok := a.constant(i, x); ok && c != 0 {
		return c + disp, y, true
	}
	if c, ok := a.constant(i, y); ok && c != 0 {
		return c + disp, x, true
	}
	return 0, noReg, false
}

// readTable reads the targets of t, which the jump at index i uses. Without a
// visible bound it stops where another table begins or a target is unlikely to
// be code; what it accepts is decoded at once, so that the next target is
// checked against it.
func (a *analysis) readTable(t *table, i uint32) error {
	if a.distrust(t) {
		t.bound = 0
	}
	limit := uint64(maxUnbounded)
	switch {
	case t.bound != 0:
		limit = t.bound
	case t.limit != 0:
		limit = min(limit, t.limit)
	}
	own := a.extent(i)
	seen := map[uint32]bool{}
	beyond := false // past the start of what looks like another table
	for n := range limit {
		if a.entries++; a.entries > maxEntries {
			break
		}
		to, ok := a.entryTarget(t, n)
		if t.bound != 0 {
			if named := n > 0 && t.stride == 0 && a.isNamed(t.addr+n*t.entry); named {
				beyond = true
			}
			if !ok || beyond && !a.belongs(to, own) { // an index that does not occur
				continue
			}
		} else if !ok || !a.plausibleEntry(t, n, to, own) {
			if n == 0 { // an index that begins at 1
				continue
			}
			break
		}
		if seen[to] {
			continue
		}
		seen[to] = true
		t.targets = append(t.targets, to)
		if t.bound == 0 && a.kinds[to] == kindNone {
			t.grown = true
			a.queue(to)
			if err := a.drain(); err != nil {
				return err
			}
		}
	}
	slices.Sort(t.targets)
	return nil
}

// distrust reports whether so many entries of a table lead out of the code that
// its bound must be wrong.
func (a *analysis) distrust(t *table) bool {
	holes := uint64(0)
	for n := range t.bound {
		if to, ok := a.entryTarget(t, n); !ok || !a.inText(to) {
			holes++
		}
	}
	return holes*4 > t.bound
}

// isNamed reports whether an instruction names an address in data.
func (a *analysis) isNamed(addr uint64) bool {
	_, ok := a.dataRefs[addr]
	return ok
}

// belongs reports whether a jump of the function with this extent may go to
// index to: it does not leave the function but for the start of another.
func (a *analysis) belongs(to uint32, own span) bool {
	return to >= own.start && to < own.end || a.marks[to]&markStart != 0
}

// plausibleEntry reports whether entry n of a table without a visible end, which
// leads to index to, is likely to belong to it.
func (a *analysis) plausibleEntry(t *table, n uint64, to uint32, own span) bool {
	if t.stride == 0 && n > 0 && a.isNamed(t.addr+n*t.entry) {
		return false
	}
	if a.known(to) {
		return true
	}
	return to >= own.start && to < own.end && a.covered[to] == 0 && a.plausible(to, false)
}

// entryTarget returns the target of entry n.
func (a *analysis) entryTarget(t *table, n uint64) (uint32, bool) {
	if t.stride != 0 {
		return a.index(t.base + n*t.stride)
	}
	return a.readEntry(t, t.addr+n*t.entry)
}

// readEntry returns the target that the entry at an address holds.
func (a *analysis) readEntry(t *table, at uint64) (uint32, bool) {
	if t.entry == 8 {
		v, ok := a.pointer(at)
		if !ok {
			return 0, false
		}
		return a.index(v)
	}
	b := a.file.Bytes(at, 4)
	if len(b) < 4 {
		return 0, false
	}
	v := uint64(le.Uint32(b))
	if t.signed {
		v = t.base + uint64(int64(int32(v)))
	}
	return a.index(v)
}

// pointer returns the link-time address that the word at addr holds once ld.so
// has run.
func (a *analysis) pointer(addr uint64) (uint64, bool) {
	n, ok := slices.BinarySearchFunc(a.relocs, addr, func(r elf64.Reloc, at uint64) int {
		switch {
		case r.Where < at:
			return -1
		case r.Where > at:
			return 1
		}
		return 0
	})
	if ok {
		return a.relocs[n].Value, true
	}
	if a.file.PositionIndependent {
		return 0, false
	}
	return a.file.Uint64(addr)
}

// maxExtent bounds the bytes that extent looks at on each side.
const maxExtent = 1 << 18

// extent returns the range of the function around index i: its known end, or
// the start of the next function.
func (a *analysis) extent(i uint32) span {
	r := a.region(i)
	low := max(r.first, i-min(i, maxExtent))
	own := span{start: lastWith(a.marks, low, i, markStart)}
	if f := a.functions[own.start]; f.end > i {
		own.end = f.end
		return own
	}
	own.end = nextWith(a.marks, i+1, min(r.first+uint32(len(r.bytes)), i+maxExtent), markStart)
	return own
}

// guessTables gives the indirect jumps whose table is not visible every table
// of offsets that their function names: its first two targets lie in that
// function. It reports whether that found new code.
func (a *analysis) guessTables() (bool, error) {
	byFunction := map[uint32][]uint32{}
	for _, i := range a.indirect {
		if a.tables[i] == nil && a.reasons[i] != "" {
			own := a.extent(i).start
			byFunction[own] = append(byFunction[own], i)
		}
	}
	if len(byFunction) == 0 {
		return false, nil
	}
	found := map[uint32]*table{} // by function
	for _, addr := range slices.Sorted(maps.Keys(a.dataRefs)) {
		t := &table{addr: addr, base: addr, entry: 4, signed: true}
		if _, ok := a.readEntry(t, addr); !ok || addr%4 != 0 {
			continue
		}
		from := a.dataRefs[addr]
		own := a.extent(from)
		if byFunction[own.start] == nil {
			continue
		}
		if err := a.readTable(t, from); err != nil {
			return false, err
		}
		if len(t.targets) < 2 || !a.plausibleTable(t, own) {
			continue
		}
		if all := found[own.start]; all != nil {
			all.targets = append(all.targets, t.targets...)
		} else {
			found[own.start] = t
		}
	}
	changed := false
	for start, t := range found {
		slices.Sort(t.targets)
		t.targets = slices.Compact(t.targets)
		for _, i := range byFunction[start] {
			if a.entries += len(t.targets); a.entries > maxEntries {
				break
			}
			a.tables[i] = t
			delete(a.reasons, i)
		}
		for _, to := range t.targets {
			changed = changed || a.kinds[to] == kindNone
			a.enter(to, pb.Origin_ORIGIN_JUMP_TABLE)
		}
	}
	return changed, nil
}

// plausibleTable reports whether every target of t inside of the function looks
// like code.
func (a *analysis) plausibleTable(t *table, own span) bool {
	for _, to := range t.targets {
		if to < own.start || to >= own.end || !a.known(to) && !a.plausible(to, false) {
			return false
		}
	}
	return true
}
