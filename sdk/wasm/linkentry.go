package wasm

import (
	"fmt"
	"slices"
)

// elemsPerFunc is how many table elements one function fills in: compilers
// take more than linear time for very long functions.
const elemsPerFunc = 400

// fillers returns how many functions fill in the active element segments.
func (in *linkInput) fillers() int {
	n := 0
	for i := range in.Module.Elems {
		if e := &in.Module.Elems[i]; e.Mode == Active {
			n += (len(e.Funcs) + len(e.Exprs) + elemsPerFunc - 1) / elemsPerFunc
		}
	}
	return n
}

// placeEntries gives indices to the functions that a module with work to do at
// its first entry is entered through: one for each exported definition, then
// the one that does the work, then those that fill tables.
func (l *linker) placeEntries(in *linkInput) error {
	if !in.lazy {
		return nil
	}
	imported := uint32(len(in.imports[KindFunc]))
	var defs []uint32
	for _, e := range in.Module.Exports {
		if e.Kind == KindFunc && e.Index >= imported {
			defs = append(defs, e.Index)
		}
	}
	slices.Sort(defs)
	defs = slices.Compact(defs)
	in.nWrap = len(defs)
	in.wrappers = uint32(len(l.out.Funcs))
	at := l.out.ReserveFuncs(len(defs) + 1 + in.fillers())
	for i, d := range defs {
		in.entries[d] = at + uint32(i)
	}
	// What an export declared for ref.func, its wrapper now declares instead.
	declared := Elem{Mode: Declarative, Type: FuncRef}
	for _, d := range defs {
		declared.Funcs = append(declared.Funcs, in.index[KindFunc][d])
	}
	l.out.Elems = append(l.out.Elems, declared)
	in.flag = l.out.AddGlobal(Global{GlobalType: GlobalType{I32, true}, Label: in.Name + ".entered"})
	return nil
}

// writeEntries builds the functions that placeEntries made room for.
func (l *linker) writeEntries(in *linkInput) error {
	if !in.lazy {
		return nil
	}
	imported := l.out.Imported(KindFunc)
	prepare := in.wrappers + uint32(in.nWrap)
	for def, wrapper := range in.entries {
		typ, _ := in.Module.funcTypeIndex(def)
		f := &in.Module.Funcs[int(def)-len(in.imports[KindFunc])]
		params := len(in.Module.Types[typ].Params)
		b := NewBody(params)
		b.GlobalGet(in.flag)
		b.Op(OpI32Eqz)
		b.If(BlockVoid)
		b.I32Const(1)
		b.GlobalSet(in.flag)
		b.Call(imported + prepare)
		b.End()
		for p := range params {
			b.LocalGet(uint32(p))
		}
		b.Call(in.index[KindFunc][def])
		l.out.Funcs[wrapper-imported] = b.Func(in.types[typ], f.Label+".entry")
	}
	return l.writePrepare(in, prepare)
}

// writePrepare builds the function that does what instantiating the module
// would have done.
func (l *linker) writePrepare(in *linkInput, at uint32) error {
	m := in.Module
	void := l.out.Type(nil, nil)
	imported := l.out.Imported(KindFunc)
	b := NewBody(0)
	if in.need > 0 {
		growMemory(b, in.need)
	}
	for i := range m.Tables {
		if n := m.Tables[i].Limits.Min; n > 0 {
			b.Op(OpRefNull)
			b.Raw(byte(m.Tables[i].Elem))
			b.I32Const(int32(n))
			b.Op(OpTableGrow)
			b.U32(in.index[KindTable][len(in.imports[KindTable])+i])
			trapIfMinusOne(b)
		}
	}
	filler := at
	for i := range m.Elems {
		e := &m.Elems[i]
		if e.Mode != Active {
			continue
		}
		offset, err := l.constant(in, e.Offset, 0)
		if err != nil {
			return fmt.Errorf("element segment %d: %w", i, err)
		}
		to := &l.out.Elems[int(in.elems)+i]
		table, err := in.lookup(KindTable, e.Table)
		if err != nil {
			return fmt.Errorf("element segment %d: %w", i, err)
		}
		for first := 0; first < len(to.Funcs)+len(to.Exprs); first += elemsPerFunc {
			filler++
			l.out.Funcs[filler] = fillTable(void, table, offset, to, first, in.Name)
			b.Call(imported + filler)
		}
	}
	for i := range in.segs {
		s := &in.segs[i]
		b.Raw(s.Offset[:len(s.Offset)-1]...)
		b.I32Const(0)
		b.I32Const(int32(len(s.Bytes)))
		b.Op(OpMemoryInit)
		index := uint32(len(l.out.Data))
		b.U32(index)
		b.Raw(0)
		b.Op(OpDataDrop)
		b.U32(index)
		l.out.Data = append(l.out.Data, Data{Mode: Passive, Bytes: s.Bytes, Label: s.Label})
	}
	if m.HasStart {
		b.Call(in.index[KindFunc][m.Start])
	}
	l.out.Funcs[at] = b.Func(void, in.Name+".prepare")
	return nil
}

// growMemory appends code that makes memory at least that many pages long.
func growMemory(b *Body, pages uint32) {
	size := func() {
		b.Op(OpMemorySize)
		b.Raw(0)
	}
	size()
	b.I32Const(int32(pages))
	b.Op(OpI32LtU)
	b.If(BlockVoid)
	b.I32Const(int32(pages))
	size()
	b.Op(OpI32Sub)
	b.Op(OpMemoryGrow)
	b.Raw(0)
	trapIfMinusOne(b)
	b.End()
}

func trapIfMinusOne(b *Body) {
	b.I32Const(-1)
	b.Op(OpI32Eq)
	b.If(BlockVoid)
	b.Op(OpUnreachable)
	b.End()
}

// fillTable builds a function that sets elements of an active segment, from
// first on.
func fillTable(typ, table uint32, offset []byte, e *Elem, first int, name string) Func {
	b := NewBody(0)
	base := b.Local(I32)
	b.Raw(offset[:len(offset)-1]...)
	b.LocalSet(base)
	for i := first; i < min(first+elemsPerFunc, len(e.Funcs)+len(e.Exprs)); i++ {
		b.LocalGet(base)
		b.I32Const(int32(i))
		b.Op(OpI32Add)
		if e.Exprs != nil {
			b.Raw(e.Exprs[i][:len(e.Exprs[i])-1]...)
		} else {
			b.Op(OpRefFunc)
			b.U32(e.Funcs[i])
		}
		b.Op(OpTableSet)
		b.U32(table)
	}
	return b.Func(typ, name+".fill")
}

// placeData puts passive segments into the result and joins active ones, which
// writePrepare will put there.
func (l *linker) placeData(in *linkInput) error {
	for i := range in.Module.Data {
		d := in.Module.Data[i] // a copy
		if d.Mode == Passive {
			in.data = append(in.data, uint32(len(l.out.Data)))
			l.out.Data = append(l.out.Data, d)
			continue
		}
		// To code, an active segment is one that was dropped.
		if l.empty == nil {
			n := uint32(len(l.out.Data))
			l.empty = &n
			l.out.Data = append(l.out.Data, Data{Mode: Passive})
		}
		in.data = append(in.data, *l.empty)
		offset, err := l.constant(in, d.Offset, 0)
		if err != nil {
			return fmt.Errorf("data segment %d: %w", i, err)
		}
		d.Offset = offset
		in.segs = append(in.segs, d)
	}
	in.segs = joinData(in.segs)
	return nil
}

// maxGap is how many zero bytes may be written to join two data segments.
// Linkers split data at runs of zeros, sometimes into 100,000 segments, which
// engines compile slowly or refuse.
const maxGap = 1024

// joinData joins segments that lie close to each other, writing at most as
// many zeros as there are bytes. Segments that overlap, or whose offset is not
// a plain constant, stay as they are.
func joinData(segs []Data) []Data {
	type placed struct {
		at   uint64
		data *Data
	}
	list := make([]placed, 0, len(segs))
	total := 0
	for i := range segs {
		r := reader{data: segs[i].Offset}
		var in Inst
		r.inst(&in)
		if in.Op != OpI32Const || r.left() != 1 {
			return segs
		}
		list = append(list, placed{uint64(uint32(in.I)), &segs[i]})
		total += len(segs[i].Bytes)
	}
	slices.SortStableFunc(list, func(a, b placed) int {
		if a.at != b.at {
			if a.at < b.at {
				return -1
			}
			return 1
		}
		return len(a.data.Bytes) - len(b.data.Bytes) // empty ones first
	})
	for i := 1; i < len(list); i++ {
		if list[i-1].at+uint64(len(list[i-1].data.Bytes)) > list[i].at {
			return segs
		}
	}
	var out []Data
	var end uint64
	for _, p := range list {
		gap := p.at - end
		if len(out) > 0 && gap <= maxGap && int(gap) <= total {
			last := &out[len(out)-1]
			last.Bytes = append(append(last.Bytes, make([]byte, gap)...), p.data.Bytes...)
			total -= int(gap)
		} else {
			out = append(out, Data{Offset: p.data.Offset, Bytes: slices.Clone(p.data.Bytes), Label: p.data.Label})
		}
		end = p.at + uint64(len(p.data.Bytes))
	}
	return out
}
