package wasm

import (
	"errors"
	"fmt"
)

// maxLocals bounds the locals of a function, as engines do.
const maxLocals = 50_000

// sectionRank orders the sections as the format demands; custom ones are free.
var sectionRank = [13]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7,
	secStart: 8, secElement: 9, secDataCount: 10, secCode: 11, secData: 12,
}

// decoder reads one module.
type decoder struct {
	m         *Module
	rank      int
	funcs     int    // length of the function section
	dataCount uint32 // of the DataCount section, if m.DataCount
	sawCode   bool
}

// Decode reads a module. Its byte slices share memory with data. Every index
// outside of function bodies and constant expressions is checked against the
// index spaces; those inside are when the module is linked or printed.
func Decode(data []byte) (*Module, error) {
	d := decoder{m: &Module{}}
	var names *reader
	err := sections(data, func(s section) error {
		if s.id == secCustom {
			name := s.body.name()
			if s.body.err != nil {
				return fmt.Errorf("reading a custom section: %w", s.body.err)
			}
			if name == "name" && names == nil {
				names = &s.body
				return nil
			}
			d.m.Customs = append(d.m.Customs, Custom{name, s.body.data[s.body.pos:]})
			return nil
		}
		if err := d.section(&s); err != nil {
			return fmt.Errorf("reading section %d: %w", s.id, err)
		}
		return nil
	})
	if err == nil {
		err = d.check()
	}
	if err != nil {
		return nil, fmt.Errorf("reading a wasm module: %w", err)
	}
	if names != nil {
		d.m.decodeNames(names)
	}
	return d.m, nil
}

func (d *decoder) section(s *section) error {
	r := &s.body
	if int(s.id) >= len(sectionRank) {
		return errors.New("unknown section")
	}
	if rank := sectionRank[s.id]; rank <= d.rank {
		return errors.New("section is out of order or there twice")
	} else {
		d.rank = rank
	}
	m := d.m
	switch s.id {
	case secType:
		m.Types = vector(r, 3, readFuncType)
	case secImport:
		m.Imports = vector(r, 4, readImport)
	case secFunction:
		m.Funcs = vector(r, 1, func(r *reader) Func { return Func{Type: r.u32()} })
		d.funcs = len(m.Funcs)
	case secTable:
		m.Tables = vector(r, 3, func(r *reader) Table { return Table{Elem: r.refType(), Limits: r.limits()} })
	case secMemory:
		m.Memories = vector(r, 2, func(r *reader) Memory { return Memory{Limits: r.limits()} })
	case secGlobal:
		m.Globals = vector(r, 4, func(r *reader) Global { return Global{GlobalType: r.globalType(), Init: r.expr()} })
	case secExport:
		m.Exports = vector(r, 3, func(r *reader) Export { return Export{r.name(), r.kind(), r.u32()} })
	case secStart:
		m.HasStart, m.Start = true, r.u32()
	case secElement:
		m.Elems = vector(r, 2, readElem)
	case secDataCount:
		m.DataCount, d.dataCount = true, r.u32()
	case secCode:
		d.code(r)
	case secData:
		m.Data = vector(r, 2, readData)
	}
	if r.err == nil && !r.done() {
		r.failf("%d bytes after the last element", r.left())
	}
	return r.err
}

// vector reads a vector of elements of at least size bytes.
func vector[T any](r *reader, size int, read func(*reader) T) []T {
	n := r.count(size)
	if n == 0 {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		v := read(r)
		if r.err != nil {
			return nil
		}
		out = append(out, v)
	}
	return out
}

func (r *reader) valType() ValType {
	switch t := ValType(r.byte()); t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return t
	default:
		r.failf("unknown value type %#x", byte(t))
		return 0
	}
}

func (r *reader) refType() ValType {
	t := r.valType()
	if r.err == nil && t != FuncRef && t != ExternRef {
		r.failf("value type %#x is no reference", byte(t))
	}
	return t
}

func (r *reader) kind() Kind {
	k := Kind(r.byte())
	if k > KindGlobal {
		r.failf("unknown kind %d of import or export", k)
	}
	return k
}

func (r *reader) globalType() GlobalType {
	t := GlobalType{Type: r.valType()}
	switch mut := r.byte(); mut {
	case 0:
	case 1:
		t.Mutable = true
	default:
		r.failf("unknown mutability %d", mut)
	}
	return t
}

func (r *reader) limits() Limits {
	flags := r.byte()
	if flags > 3 || flags == 2 {
		r.failf("unknown limits %#x", flags)
		return Limits{}
	}
	l := Limits{HasMax: flags&1 != 0, Shared: flags&2 != 0, Min: r.u32()}
	if l.HasMax {
		l.Max = r.u32()
		if l.Max < l.Min {
			r.failf("maximum %d is below minimum %d", l.Max, l.Min)
		}
	}
	return l
}

func readFuncType(r *reader) FuncType {
	if form := r.byte(); r.err == nil && form != 0x60 {
		r.failf("unknown form of type %#x", form)
	}
	return FuncType{vector(r, 1, (*reader).valType), vector(r, 1, (*reader).valType)}
}

func readImport(r *reader) Import {
	im := Import{Module: r.name(), Name: r.name(), Kind: r.kind()}
	switch im.Kind {
	case KindFunc:
		im.Type = r.u32()
	case KindTable:
		im.Elem, im.Limits = r.refType(), r.limits()
	case KindMemory:
		im.Limits = r.limits()
	case KindGlobal:
		im.Global = r.globalType()
	}
	return im
}

// expr reads a constant expression with its end.
func (r *reader) expr() []byte {
	start := r.pos
	var in Inst
	for r.err == nil {
		r.inst(&in)
		if in.Op == OpEnd && r.err == nil {
			return r.data[start:r.pos:r.pos]
		}
		switch in.Op {
		case OpBlock, OpLoop, OpIf:
			r.failf("%s in a constant expression", in.Op)
		}
	}
	return nil
}

func readElem(r *reader) Elem {
	form := r.u32()
	if form > 7 {
		r.failf("unknown form %d of element segment", form)
	}
	e := Elem{Type: FuncRef}
	explicit := form&3 != 0
	switch {
	case form&1 == 0:
		if form&2 != 0 {
			e.Table = r.u32()
		}
		e.Offset = r.expr()
	case form&2 == 0:
		e.Mode = Passive
	default:
		e.Mode = Declarative
	}
	if form&4 != 0 {
		if explicit {
			e.Type = r.refType()
		}
		if e.Exprs = vector(r, 2, (*reader).expr); e.Exprs == nil {
			e.Exprs = [][]byte{}
		}
		return e
	}
	if explicit {
		if k := r.byte(); r.err == nil && k != 0 {
			r.failf("unknown kind %d of elements", k)
		}
	}
	e.Funcs = vector(r, 1, (*reader).u32)
	return e
}

func readData(r *reader) Data {
	var d Data
	switch form := r.u32(); form {
	case 0:
		d.Offset = r.expr()
	case 1:
		d.Mode = Passive
	case 2:
		if mem := r.u32(); mem != 0 {
			r.failf("data for memory %d", mem)
		}
		d.Offset = r.expr()
	default:
		r.failf("unknown form %d of data segment", form)
	}
	d.Bytes = r.bytes(r.u32())
	return d
}

// code splits the bodies of functions into locals and instructions.
func (d *decoder) code(r *reader) {
	d.sawCode = true
	n := r.count(1)
	if r.err == nil && n != d.funcs {
		r.failf("%d bodies for %d functions", n, d.funcs)
	}
	for i := 0; i < n && r.err == nil; i++ {
		f := &d.m.Funcs[i]
		size := r.u32()
		if uint64(size) > uint64(r.left()) {
			r.failf("body of function %d: %w", i, errTruncated)
			return
		}
		end := r.pos + int(size)
		body := reader{data: r.data[:end:end], pos: r.pos}
		total := uint64(0)
		f.Locals = vector(&body, 2, func(r *reader) LocalRun {
			run := LocalRun{r.u32(), r.valType()}
			if total += uint64(run.Count); total > maxLocals {
				r.failf("more than %d locals", maxLocals)
			}
			return run
		})
		f.Code = body.data[body.pos:]
		if body.err == nil && (len(f.Code) == 0 || f.Code[len(f.Code)-1] != byte(OpEnd)) {
			body.failf("body does not end with end")
		}
		if body.err != nil {
			r.err = fmt.Errorf("body of function %d: %w", i, body.err)
			return
		}
		r.pos = end
	}
}

// check holds the indices outside of code against the index spaces.
func (d *decoder) check() error {
	m := d.m
	if d.funcs > 0 && !d.sawCode {
		return fmt.Errorf("%d functions without bodies", d.funcs)
	}
	if m.DataCount && int(d.dataCount) != len(m.Data) {
		return fmt.Errorf("%d data segments, DataCount says %d", len(m.Data), d.dataCount)
	}
	var total [4]uint32
	for i := range m.Imports {
		im := &m.Imports[i]
		total[im.Kind]++
		if im.Kind == KindFunc && int(im.Type) >= len(m.Types) {
			return fmt.Errorf("import %s.%s has type %d of %d", im.Module, im.Name, im.Type, len(m.Types))
		}
	}
	for i := range m.Funcs {
		if int(m.Funcs[i].Type) >= len(m.Types) {
			return fmt.Errorf("function %d has type %d of %d", i, m.Funcs[i].Type, len(m.Types))
		}
	}
	total[KindFunc] += uint32(len(m.Funcs))
	total[KindTable] += uint32(len(m.Tables))
	total[KindMemory] += uint32(len(m.Memories))
	total[KindGlobal] += uint32(len(m.Globals))
	seen := make(map[string]bool, len(m.Exports))
	for _, e := range m.Exports {
		if e.Index >= total[e.Kind] {
			return fmt.Errorf("export %q has index %d of %d", e.Name, e.Index, total[e.Kind])
		}
		if seen[e.Name] {
			return fmt.Errorf("two exports are called %q", e.Name)
		}
		seen[e.Name] = true
	}
	if m.HasStart && m.Start >= total[KindFunc] {
		return fmt.Errorf("start function has index %d of %d", m.Start, total[KindFunc])
	}
	for i := range m.Elems {
		e := &m.Elems[i]
		if e.Mode == Active && e.Table >= total[KindTable] {
			return fmt.Errorf("element segment %d is for table %d of %d", i, e.Table, total[KindTable])
		}
		for _, f := range e.Funcs {
			if f >= total[KindFunc] {
				return fmt.Errorf("element segment %d holds function %d of %d", i, f, total[KindFunc])
			}
		}
	}
	return nil
}
