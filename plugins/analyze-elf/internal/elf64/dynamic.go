package elf64

// Dynamic is what the dynamic section says. Addresses are those of the file.
type Dynamic struct {
	Needed []string
	SOName string
	// Init are the functions that DT_INIT, DT_FINI and the three arrays name.
	// Entries of an array that a relocation fills are not here.
	Init []uint64

	addr, size     uint64
	strTab, strSz  uint64
	symTab         uint64
	hash, gnuHash  uint64
	rela, relaSize uint64
	jmpRel, pltSz  uint64
	relr, relrSize uint64
}

// Tags of the dynamic section.
const (
	dtNeeded         = 1
	dtPltRelSz       = 2
	dtHash           = 4
	dtStrTab         = 5
	dtSymTab         = 6
	dtRela           = 7
	dtRelaSz         = 8
	dtStrSz          = 10
	dtInit           = 12
	dtFini           = 13
	dtSOName         = 14
	dtJmpRel         = 23
	dtInitArray      = 25
	dtFiniArray      = 26
	dtInitArraySz    = 27
	dtFiniArraySz    = 28
	dtPreinitArray   = 32
	dtPreinitArraySz = 33
	dtRelrSz         = 35
	dtRelr           = 36
	dtGNUHash        = 0x6ffffef5
)

func (f *File) readDynamic() {
	d := &f.Dynamic
	raw := f.Bytes(d.addr, d.size)
	tags := map[uint64]uint64{}
	var needed []uint64
	for ; len(raw) >= 16; raw = raw[16:] {
		tag, value := le.Uint64(raw), le.Uint64(raw[8:])
		if tag == 0 {
			break
		}
		if tag == dtNeeded {
			if len(needed) < maxNeeded {
				needed = append(needed, value)
			}
			continue
		}
		tags[tag] = value
	}
	d.strTab, d.strSz, d.symTab = tags[dtStrTab], tags[dtStrSz], tags[dtSymTab]
	d.hash, d.gnuHash = tags[dtHash], tags[dtGNUHash]
	d.rela, d.relaSize = tags[dtRela], tags[dtRelaSz]
	d.jmpRel, d.pltSz = tags[dtJmpRel], tags[dtPltRelSz]
	d.relr, d.relrSize = tags[dtRelr], tags[dtRelrSz]
	for _, o := range needed {
		d.Needed = append(d.Needed, f.String(d.strTab+o))
	}
	if o, ok := tags[dtSOName]; ok {
		d.SOName = f.String(d.strTab + o)
	}
	for _, tag := range []uint64{dtInit, dtFini} {
		if a := tags[tag]; a != 0 {
			d.Init = append(d.Init, a)
		}
	}
	for _, array := range [][2]uint64{{dtPreinitArray, dtPreinitArraySz}, {dtInitArray, dtInitArraySz}, {dtFiniArray, dtFiniArraySz}} {
		for b := f.Bytes(tags[array[0]], tags[array[1]]); len(b) >= 8; b = b[8:] {
			if a := le.Uint64(b); a != 0 && a+1 != 0 {
				d.Init = append(d.Init, a)
			}
		}
	}
}

// Symbol is a defined symbol.
type Symbol struct {
	Name       string
	Addr, Size uint64
	Func       bool // STT_FUNC or STT_GNU_IFUNC
	defined    bool
}

// Symbols calls yield for each defined symbol of .symtab and of the dynamic
// symbol table, in that order, until it returns false.
func (f *File) Symbols(yield func(Symbol) bool) {
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Type == SectionSymTab && s.Link < uint64(len(f.Sections)) {
			if !f.symbols(f.table(*s), f.table(f.Sections[s.Link]), yield) {
				return
			}
			break // an ELF file has one
		}
	}
	syms, names := f.dynamicTables()
	f.symbols(syms, names, yield)
}

func (f *File) symbols(syms, names []byte, yield func(Symbol) bool) bool {
	for ; len(syms) >= symbolSize; syms = syms[symbolSize:] {
		if sym := f.symbol(syms, names); sym.defined && !yield(sym) {
			return false
		}
	}
	return true
}

func (f *File) symbol(raw, names []byte) Symbol {
	kind := raw[4] & 15
	s := Symbol{Addr: le.Uint64(raw[8:]), Size: le.Uint64(raw[16:]), Func: kind == 2 || kind == 10}
	section := le.Uint16(raw[6:])
	s.defined = section != 0 && section < 0xff00 && kind != 6 // STT_TLS: an offset
	if o := uint64(le.Uint32(raw)); o < uint64(len(names)) {
		s.Name = f.name(names[o:])
	}
	return s
}

// name returns the zero-terminated string at the start of b, or nothing once the
// names of the file fill maxNames bytes: tables of a hostile file may overlap.
func (f *File) name(b []byte) string {
	if f.names > maxNames {
		return ""
	}
	s := cString(b)
	f.names += len(s)
	return s
}

// dynamicTables returns the dynamic symbol and string tables. Their extent is
// that of the section, or of the hash table, or ends where the strings begin.
func (f *File) dynamicTables() (syms, names []byte) {
	d := &f.Dynamic
	if d.symTab == 0 {
		return nil, nil
	}
	names = f.Bytes(d.strTab, min(d.strSz, maxTable))
	size := uint64(0)
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Type == SectionDynSym && s.Addr == d.symTab {
			size = s.Size
		}
	}
	if size == 0 && d.hash != 0 {
		if b := f.Bytes(d.hash, 8); len(b) == 8 {
			size = uint64(le.Uint32(b[4:])) * symbolSize
		}
	}
	if size == 0 && d.strTab > d.symTab {
		size = d.strTab - d.symTab
	}
	if size == 0 && d.gnuHash != 0 {
		size = f.gnuHashSymbols() * symbolSize
	}
	return f.Bytes(d.symTab, min(size, maxTable)), names
}

// gnuHashSymbols counts the symbols that a DT_GNU_HASH table reaches.
func (f *File) gnuHashSymbols() uint64 {
	head := f.Bytes(f.Dynamic.gnuHash, 16)
	if len(head) < 16 {
		return 0
	}
	buckets, first, bloom := uint64(le.Uint32(head)), uint64(le.Uint32(head[4:])), uint64(le.Uint32(head[8:]))
	table := f.Dynamic.gnuHash + 16 + bloom*8
	var last uint64
	for b := f.Bytes(table, buckets*4); len(b) >= 4; b = b[4:] {
		last = max(last, uint64(le.Uint32(b)))
	}
	if last < first {
		return first
	}
	for {
		b := f.Bytes(table+buckets*4+(last-first)*4, 4)
		last++
		if len(b) < 4 || le.Uint32(b)&1 != 0 {
			return last
		}
	}
}

// Reloc is a relocation that stores an address of this file, or names a symbol.
type Reloc struct {
	Where  uint64
	Type   uint32
	Value  uint64 // the address stored before the load base is added; 0 if Symbol is not defined here
	Symbol string
}

// Relocation types (System V ABI, x86-64 supplement, table 4.9).
const (
	R64        = 1
	RGlobDat   = 6
	RJumpSlot  = 7
	RRelative  = 8
	RIRelative = 37
)

// Relocations calls yield for each relocation that stores an address, until it
// returns false.
func (f *File) Relocations(yield func(Reloc) bool) {
	d := &f.Dynamic
	syms, names := f.dynamicTables()
	tables := [][2]uint64{{d.rela, d.relaSize}}
	if d.jmpRel < d.rela || d.jmpRel >= d.rela+d.relaSize {
		tables = append(tables, [2]uint64{d.jmpRel, d.pltSz})
	}
	if d.rela == 0 && d.jmpRel == 0 { // a static program that is not position-independent
		for i := range f.Sections {
			if s := &f.Sections[i]; s.Type == SectionRela && s.Flags&SectionAlloc != 0 {
				tables = append(tables, [2]uint64{s.Addr, s.Size})
			}
		}
	}
	for _, t := range tables {
		for b := f.Bytes(t[0], t[1]); len(b) >= relaSize; b = b[relaSize:] {
			if r, ok := f.parseRela(b, syms, names); ok && !yield(r) {
				return
			}
		}
	}
	f.relr(yield)
}

func (f *File) parseRela(b, syms, names []byte) (Reloc, bool) {
	info, addend := le.Uint64(b[8:]), le.Uint64(b[16:])
	r := Reloc{Where: le.Uint64(b), Type: uint32(info), Value: addend}
	switch r.Type {
	case RRelative, RIRelative:
		return r, true
	case R64, RGlobDat, RJumpSlot:
	default:
		return r, false
	}
	o := (info >> 32) * symbolSize
	if o+symbolSize > uint64(len(syms)) {
		return r, false
	}
	sym := f.symbol(syms[o:], names)
	r.Symbol = sym.Name
	if r.Type != R64 {
		addend = 0
	}
	r.Value = 0
	if sym.defined {
		r.Value = sym.Addr + addend
	}
	return r, true
}

// relr walks DT_RELR: an address, then bitmaps of the 63 words after it (generic
// System V ABI, "Relocation Table"). What it relocates holds its addend.
func (f *File) relr(yield func(Reloc) bool) {
	var where uint64
	one := func(addr uint64) bool {
		value, ok := f.Uint64(addr)
		return !ok || yield(Reloc{Where: addr, Type: RRelative, Value: value})
	}
	for b := f.Bytes(f.Dynamic.relr, f.Dynamic.relrSize); len(b) >= 8; b = b[8:] {
		entry := le.Uint64(b)
		if entry&1 == 0 {
			if !one(entry) {
				return
			}
			where = entry + 8
			continue
		}
		for i := uint64(0); i < 63; i++ {
			if entry>>(i+1)&1 != 0 && !one(where+i*8) {
				return
			}
		}
		where += 63 * 8
	}
}
