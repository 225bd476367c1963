package elf64

import "bytes"

// GoFunc is a function that Go's line table names.
type GoFunc struct {
	Start, End uint64
	Name       string
	// DeferReturn is where a recovered panic goes on, or 0: the call of
	// runtime.deferreturn, which no instruction refers to.
	DeferReturn uint64
}

// Magic numbers of .gopclntab (go/src/internal/abi/symtab.go).
const (
	goMagic118 = 0xfffffff0
	goMagic120 = 0xfffffff1
)

// maxGoFuncs bounds the functions taken from one table.
const maxGoFuncs = 1 << 22

// GoFuncs returns the functions of a Go program (Go 1.18 and later), by start,
// or nil. The table stays in stripped programs.
func (f *File) GoFuncs() []GoFunc {
	addr, table := f.findPCLNTab()
	if len(table) < 8+8*8 {
		return nil
	}
	count := le.Uint64(table[8:])
	textStart := le.Uint64(table[24:])
	names, funcs := le.Uint64(table[32:]), le.Uint64(table[64:])
	if count == 0 || count > maxGoFuncs || names > uint64(len(table)) || funcs > uint64(len(table)) ||
		(count*8+4) > uint64(len(table))-funcs {
		return nil
	}
	if textStart == 0 || f.PositionIndependent { // filled by a relocation, or left to moduledata
		textStart = f.goText(addr)
	}
	entries, nameTab := table[funcs:], table[names:]
	all := make([]GoFunc, 0, count)
	for i := uint64(0); i < count; i++ {
		e := entries[i*8:]
		g := GoFunc{Start: textStart + uint64(le.Uint32(e)), End: textStart + uint64(le.Uint32(e[8:]))}
		if info := uint64(le.Uint32(e[4:])); info+8 <= uint64(len(entries)) {
			if o := uint64(le.Uint32(entries[info+4:])); o < uint64(len(nameTab)) {
				g.Name = f.name(nameTab[o:])
			}
			// _func.deferreturn (go/src/runtime/runtime2.go), an offset from the start.
			if info+16 <= uint64(len(entries)) {
				if o := uint64(le.Uint32(entries[info+12:])); o != 0 && o < g.End-g.Start {
					g.DeferReturn = g.Start + o
				}
			}
		}
		if g.End > g.Start && (len(all) == 0 || g.Start >= all[len(all)-1].End) {
			all = append(all, g)
		}
	}
	return all
}

// findPCLNTab returns the table by its section, or by its magic number at an
// aligned place of read-only data.
func (f *File) findPCLNTab() (uint64, []byte) {
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if s := f.Section(name); s != nil {
			if b := f.Bytes(s.Addr, s.Size); isPCLNTab(b) {
				return s.Addr, b
			}
		}
	}
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Flags&FlagX != 0 {
			continue
		}
		for _, version := range []byte{0xf1, 0xf0} {
			magic := []byte{version, 0xff, 0xff, 0xff, 0, 0, 1, 8}
			for from := 0; ; {
				at := bytes.Index(s.Data[from:], magic)
				if at < 0 {
					break
				}
				from += at
				if from%8 == 0 && isPCLNTab(s.Data[from:]) {
					return s.Addr + uint64(from), s.Data[from:]
				}
				from++
			}
		}
	}
	return 0, nil
}

func isPCLNTab(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	magic := le.Uint32(b)
	return (magic == goMagic118 || magic == goMagic120) && b[4] == 0 && b[5] == 0 && b[6] == 1 && b[7] == 8
}

// goText returns the address that function offsets count from: the value that a
// relocation stores in the header at table, symbol runtime.text, or .text.
func (f *File) goText(table uint64) uint64 {
	var text uint64
	f.Relocations(func(r Reloc) bool {
		if r.Where == table+24 {
			text = r.Value
		}
		return text == 0
	})
	if text != 0 {
		return text
	}
	f.Symbols(func(s Symbol) bool {
		if s.Name == "runtime.text" {
			text = s.Addr
		}
		return text == 0
	})
	if text != 0 {
		return text
	}
	if s := f.Section(".text"); s != nil {
		return s.Addr
	}
	return 0
}
