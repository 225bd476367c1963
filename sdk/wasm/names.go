package wasm

import (
	"maps"
	"slices"
)

// The subsections of the name section that are read and written.
const (
	nameModule   = 0
	nameFunction = 1
	nameLocal    = 2
	nameTable    = 5
	nameMemory   = 6
	nameGlobal   = 7
	nameData     = 9
)

// nameMap is a list of (index, name), by index.
type nameMap struct {
	n     int
	bytes []byte
}

func (nm *nameMap) add(i int, name string) {
	if name != "" {
		nm.n++
		nm.bytes = appendName(appendU(nm.bytes, uint64(i)), name)
	}
}

func (nm *nameMap) subsection(b []byte, id byte) []byte {
	if nm.n == 0 {
		return b
	}
	return appendSection(b, id, append(appendU(nil, uint64(nm.n)), nm.bytes...))
}

// encodeNames returns the contents of the name section, nil if nothing has a
// name.
func (m *Module) encodeNames() []byte {
	var b []byte
	if m.Name != "" {
		b = appendSection(b, nameModule, appendName(nil, m.Name))
	}
	var by [4]nameMap // by Kind
	var at [4]int
	for i := range m.Imports {
		k := m.Imports[i].Kind
		by[k].add(at[k], m.Imports[i].Label)
		at[k]++
	}
	locals := nameMap{}
	for i := range m.Funcs {
		by[KindFunc].add(at[KindFunc]+i, m.Funcs[i].Label)
		var of nameMap
		for _, l := range slices.Sorted(maps.Keys(m.Funcs[i].Names)) {
			of.add(int(l), m.Funcs[i].Names[l])
		}
		if of.n > 0 {
			locals.n++
			locals.bytes = appendU(locals.bytes, uint64(at[KindFunc]+i))
			locals.bytes = append(appendU(locals.bytes, uint64(of.n)), of.bytes...)
		}
	}
	for i := range m.Tables {
		by[KindTable].add(at[KindTable]+i, m.Tables[i].Label)
	}
	for i := range m.Memories {
		by[KindMemory].add(at[KindMemory]+i, m.Memories[i].Label)
	}
	for i := range m.Globals {
		by[KindGlobal].add(at[KindGlobal]+i, m.Globals[i].Label)
	}
	var data nameMap
	for i := range m.Data {
		data.add(i, m.Data[i].Label)
	}
	b = by[KindFunc].subsection(b, nameFunction)
	b = locals.subsection(b, nameLocal)
	b = by[KindTable].subsection(b, nameTable)
	b = by[KindMemory].subsection(b, nameMemory)
	b = by[KindGlobal].subsection(b, nameGlobal)
	return data.subsection(b, nameData)
}
