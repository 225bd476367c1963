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

// decodeNames reads the name section as far as it is well-formed: it is for
// people, and a fault in it makes no module invalid.
func (m *Module) decodeNames(r *reader) {
	for !r.done() && r.err == nil {
		id := r.byte()
		body := reader{data: r.bytes(r.u32())}
		if r.err != nil {
			return
		}
		switch id {
		case nameModule:
			if name := body.name(); body.err == nil {
				m.Name = name
			}
		case nameFunction:
			m.nameAll(&body, KindFunc, len(m.Funcs), func(i uint32, s string) { m.Funcs[i].Label = s })
		case nameTable:
			m.nameAll(&body, KindTable, len(m.Tables), func(i uint32, s string) { m.Tables[i].Label = s })
		case nameMemory:
			m.nameAll(&body, KindMemory, len(m.Memories), func(i uint32, s string) { m.Memories[i].Label = s })
		case nameGlobal:
			m.nameAll(&body, KindGlobal, len(m.Globals), func(i uint32, s string) { m.Globals[i].Label = s })
		case nameData:
			eachName(&body, func(i uint32, s string) {
				if int(i) < len(m.Data) {
					m.Data[i].Label = s
				}
			})
		case nameLocal:
			m.nameLocals(&body)
		}
	}
}

func eachName(r *reader, set func(i uint32, name string)) {
	for n := r.count(2); n > 0; n-- {
		i, name := r.u32(), r.name()
		if r.err != nil {
			return
		}
		set(i, name)
	}
}

// nameAll names imports and definitions of one kind.
func (m *Module) nameAll(r *reader, kind Kind, defined int, set func(i uint32, name string)) {
	var imports []*Import
	for i := range m.Imports {
		if m.Imports[i].Kind == kind {
			imports = append(imports, &m.Imports[i])
		}
	}
	n := uint32(len(imports))
	eachName(r, func(i uint32, name string) {
		switch {
		case i < n:
			imports[i].Label = name
		case int(i-n) < defined:
			set(i-n, name)
		}
	})
}

func (m *Module) nameLocals(r *reader) {
	first := m.Imported(KindFunc)
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		f := r.u32()
		names := make(map[uint32]string)
		eachName(r, func(i uint32, name string) { names[i] = name })
		if r.err == nil && f >= first && int(f-first) < len(m.Funcs) && len(names) > 0 {
			m.Funcs[f-first].Names = names
		}
	}
}
