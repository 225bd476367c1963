package wasm

// The numbers of the sections, in the order in which they are written.
const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secDataCount = 12
	secCode      = 10
	secData      = 11
)

const header = "\x00asm\x01\x00\x00\x00"

// Encode writes the module. The same module always gives the same bytes.
func (m *Module) Encode() []byte {
	out := make([]byte, 0, m.sizeHint())
	out = append(out, header...)
	var scratch []byte
	section := func(id byte, n int, each func(b []byte, i int) []byte) {
		if n == 0 {
			return
		}
		scratch = appendU(scratch[:0], uint64(n))
		for i := range n {
			scratch = each(scratch, i)
		}
		out = appendSection(out, id, scratch)
	}
	section(secType, len(m.Types), func(b []byte, i int) []byte { return appendFuncType(b, m.Types[i]) })
	section(secImport, len(m.Imports), func(b []byte, i int) []byte { return appendImport(b, &m.Imports[i]) })
	section(secFunction, len(m.Funcs), func(b []byte, i int) []byte { return appendU(b, uint64(m.Funcs[i].Type)) })
	section(secTable, len(m.Tables), func(b []byte, i int) []byte {
		return appendLimits(append(b, byte(m.Tables[i].Elem)), m.Tables[i].Limits)
	})
	section(secMemory, len(m.Memories), func(b []byte, i int) []byte { return appendLimits(b, m.Memories[i].Limits) })
	section(secGlobal, len(m.Globals), func(b []byte, i int) []byte {
		return append(appendGlobalType(b, m.Globals[i].GlobalType), m.Globals[i].Init...)
	})
	section(secExport, len(m.Exports), func(b []byte, i int) []byte {
		e := &m.Exports[i]
		return appendU(append(appendName(b, e.Name), byte(e.Kind)), uint64(e.Index))
	})
	if m.HasStart {
		out = appendSection(out, secStart, appendU(nil, uint64(m.Start)))
	}
	section(secElement, len(m.Elems), func(b []byte, i int) []byte { return appendElem(b, &m.Elems[i]) })
	if m.DataCount {
		out = appendSection(out, secDataCount, appendU(nil, uint64(len(m.Data))))
	}
	section(secCode, len(m.Funcs), func(b []byte, i int) []byte { return appendFunc(b, &m.Funcs[i]) })
	section(secData, len(m.Data), func(b []byte, i int) []byte { return appendData(b, &m.Data[i]) })
	if names := m.encodeNames(); names != nil {
		out = appendCustom(out, Custom{"name", names})
	}
	for _, c := range m.Customs {
		out = appendCustom(out, c)
	}
	return out
}

func (m *Module) sizeHint() int {
	n := 1 << 10
	for i := range m.Funcs {
		n += len(m.Funcs[i].Code) + 16
	}
	for i := range m.Data {
		n += len(m.Data[i].Bytes) + 16
	}
	for i := range m.Customs {
		n += len(m.Customs[i].Bytes) + 16
	}
	return n
}

func appendSection(out []byte, id byte, body []byte) []byte {
	out = appendU(append(out, id), uint64(len(body)))
	return append(out, body...)
}

func appendCustom(out []byte, c Custom) []byte {
	name := appendName(nil, c.Name)
	out = appendU(append(out, secCustom), uint64(len(name)+len(c.Bytes)))
	return append(append(out, name...), c.Bytes...)
}

func appendTypes(b []byte, types []ValType) []byte {
	b = appendU(b, uint64(len(types)))
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

func appendFuncType(b []byte, t FuncType) []byte {
	return appendTypes(appendTypes(append(b, 0x60), t.Params), t.Results)
}

func appendLimits(b []byte, l Limits) []byte {
	var flags byte
	if l.HasMax {
		flags |= 1
	}
	if l.Shared {
		flags |= 2
	}
	b = appendU(append(b, flags), uint64(l.Min))
	if l.HasMax {
		b = appendU(b, uint64(l.Max))
	}
	return b
}

func appendGlobalType(b []byte, t GlobalType) []byte {
	if t.Mutable {
		return append(b, byte(t.Type), 1)
	}
	return append(b, byte(t.Type), 0)
}

func appendImport(b []byte, im *Import) []byte {
	b = append(appendName(appendName(b, im.Module), im.Name), byte(im.Kind))
	switch im.Kind {
	case KindFunc:
		return appendU(b, uint64(im.Type))
	case KindTable:
		return appendLimits(append(b, byte(im.Elem)), im.Limits)
	case KindMemory:
		return appendLimits(b, im.Limits)
	case KindGlobal:
		return appendGlobalType(b, im.Global)
	}
	panic("BUG: wasm: unknown kind of import")
}

func appendFunc(b []byte, f *Func) []byte {
	var locals [64]byte
	l := appendU(locals[:0], uint64(len(f.Locals)))
	for _, r := range f.Locals {
		l = append(appendU(l, uint64(r.Count)), byte(r.Type))
	}
	b = appendU(b, uint64(len(l)+len(f.Code)))
	return append(append(b, l...), f.Code...)
}

func appendData(b []byte, d *Data) []byte {
	if d.Mode == Active {
		b = append(append(b, 0), d.Offset...)
	} else {
		b = append(b, 1)
	}
	return append(appendU(b, uint64(len(d.Bytes))), d.Bytes...)
}

// appendElem writes a segment in the shortest of the eight forms that can hold
// it: bit 0 not active, bit 1 explicit table or declarative, bit 2 expressions.
func appendElem(b []byte, e *Elem) []byte {
	var form byte
	explicit := e.Mode != Active
	switch e.Mode {
	case Passive:
		form = 1
	case Declarative:
		form = 3
	case Active:
		if e.Table != 0 || e.Type != FuncRef {
			form, explicit = 2, true
		}
	}
	if e.Exprs != nil {
		form |= 4
	}
	b = append(b, form)
	if e.Mode == Active {
		if explicit {
			b = appendU(b, uint64(e.Table))
		}
		b = append(b, e.Offset...)
	}
	if e.Exprs != nil {
		if explicit {
			b = append(b, byte(e.Type))
		}
		b = appendU(b, uint64(len(e.Exprs)))
		for _, x := range e.Exprs {
			b = append(b, x...)
		}
		return b
	}
	if explicit {
		b = append(b, 0) // element kind: function
	}
	b = appendU(b, uint64(len(e.Funcs)))
	for _, f := range e.Funcs {
		b = appendU(b, uint64(f))
	}
	return b
}
