package wasm

import (
	"errors"
	"fmt"
)

// LinkInput is one module of those that Link joins.
type LinkInput struct {
	// Name is what the imports of other inputs call this module.
	Name   string
	Module *Module
	// Prefix is put before the names of its exports.
	Prefix string
}

// Link joins modules into one.
//
//   - An import that names another input is replaced by what that input
//     exports; the others become imports of the result, equal ones only once.
//   - There is one memory, defined by the result, however many of the inputs
//     define or import one: only one of the programs in it can run in an
//     instance. A module that needs more than the smallest minimum, or fills
//     memory or tables when it is instantiated, or has a start function, does
//     all that when one of its exported functions is called for the first
//     time. So making an instance costs the same whatever the modules hold.
//   - Tables stay apart. Types are deduplicated, data segments that lie close
//     to each other joined, names kept, custom sections dropped.
//   - Large functions come after small ones, which makes compiling fast.
//
// The inputs stay as they are; the result shares memory with them.
func Link(inputs []LinkInput) (*Module, error) {
	l := linker{
		out: &Module{}, byName: map[string]*linkInput{},
		seen: map[importKey]uint32{}, names: map[string]bool{},
	}
	for i := range inputs {
		in := newLinkInput(&inputs[i])
		if l.byName[in.Name] != nil {
			return nil, fmt.Errorf("linking: two modules are called %q", in.Name)
		}
		l.byName[in.Name] = in
		l.inputs = append(l.inputs, in)
	}
	if err := l.planMemory(); err != nil {
		return nil, fmt.Errorf("linking: %w", err)
	}
	// Every index space is imports, then definitions in the order of the
	// inputs; only when all have their places can code be written.
	if err := l.each(l.placeImports, l.placeDefinitions); err != nil {
		return nil, err
	}
	l.orderFuncs()
	if err := l.each(l.placeEntries, l.resolveImports, l.copyDefinitions, l.copyCode, l.writeEntries, l.export); err != nil {
		return nil, err
	}
	l.out.DataCount = len(l.out.Data) > 0
	return l.out, nil
}

// each takes one step after the other with all inputs.
func (l *linker) each(steps ...func(*linkInput) error) error {
	for _, step := range steps {
		for _, in := range l.inputs {
			if err := step(in); err != nil {
				return fmt.Errorf("linking %s: %w", in.Name, err)
			}
		}
	}
	return nil
}

// linkInput is a module and where its parts go.
type linkInput struct {
	*LinkInput
	imports [4][]*Import // by Kind
	exports map[string]Export
	types   []uint32
	index   [4][]uint32 // by Kind: old index -> new index
	data    []uint32
	elems   uint32 // new index of the first element segment
	segs    []Data // active data, joined, with rewritten offsets

	lazy     bool              // has work to do at its first entry
	need     uint32            // pages of memory that it expects to be there
	entries  map[uint32]uint32 // exported definition, old index -> wrapper, new index
	wrappers uint32            // element of out.Funcs of the first wrapper
	nWrap    int               // wrappers; after them come the functions that they call first
	flag     uint32            // global: has been entered
}

func newLinkInput(li *LinkInput) *linkInput {
	in := &linkInput{LinkInput: li, exports: make(map[string]Export, len(li.Module.Exports)), entries: map[uint32]uint32{}}
	for i := range li.Module.Imports {
		im := &li.Module.Imports[i]
		in.imports[im.Kind] = append(in.imports[im.Kind], im)
	}
	for _, e := range li.Module.Exports {
		in.exports[e.Name] = e
	}
	return in
}

type linker struct {
	out    *Module
	inputs []*linkInput
	byName map[string]*linkInput
	seen   map[importKey]uint32
	placed [4]uint32       // imports of the result, by Kind
	names  map[string]bool // of exports
	empty  *uint32         // passive data segment without bytes
}

// importKey is what two imports must agree in to become one.
type importKey struct {
	module, name string
	kind         Kind
	typ          uint32 // function: new index of its type
	global       GlobalType
	limits       Limits
	elem         ValType
}

// follow returns the definition, or the import that no input resolves, that
// index of in stands for.
func (l *linker) follow(in *linkInput, kind Kind, index uint32) (*linkInput, uint32, error) {
	for range len(l.inputs) + 1 {
		if int(index) >= len(in.imports[kind]) {
			return in, index, nil
		}
		im := in.imports[kind][index]
		from := l.byName[im.Module]
		if from == nil {
			return in, index, nil
		}
		e, ok := from.exports[im.Name]
		if !ok || e.Kind != kind {
			return nil, 0, fmt.Errorf("import %s.%s: module %s does not export it", im.Module, im.Name, im.Module)
		}
		in, index = from, e.Index
	}
	return nil, 0, errors.New("imports go round in a circle")
}

// MaxLinkedPages bounds the memory of linked modules: wazero takes the length
// of 65,536 pages for zero.
const MaxLinkedPages = 65_535

// planMemory finds the limits of the one memory, and which modules must grow
// it or do other work at their first entry.
func (l *linker) planMemory() error {
	limits := Limits{Min: MaxLinkedPages}
	there := false
	for _, in := range l.inputs {
		m := in.Module
		if len(in.imports[KindMemory])+len(m.Memories) > 1 {
			return fmt.Errorf("%s has more than one memory", in.Name)
		}
		var own Limits
		switch {
		case len(m.Memories) == 1:
			own = m.Memories[0].Limits
		case len(in.imports[KindMemory]) == 1:
			im := in.imports[KindMemory][0]
			if from, i, err := l.follow(in, KindMemory, 0); err != nil {
				return fmt.Errorf("%s: %w", in.Name, err)
			} else if from != in {
				if int(i) < len(from.imports[KindMemory]) || from.Module.Memories[0].Limits.Min < im.Limits.Min {
					return fmt.Errorf("%s needs %d pages of the memory of %s", in.Name, im.Limits.Min, from.Name)
				}
				continue
			}
			own = im.Limits
		default:
			continue
		}
		if own.Shared {
			return fmt.Errorf("%s has a shared memory", in.Name)
		}
		there = true
		in.need = own.Min
		limits.Min = min(limits.Min, own.Min)
		if !own.HasMax {
			own.Max = MaxLinkedPages
		}
		limits.Max = max(limits.Max, min(own.Max, MaxLinkedPages))
	}
	limits.HasMax = true
	if there {
		l.out.Memories = []Memory{{Limits: limits, Label: "memory"}}
	}
	for _, in := range l.inputs {
		in.lazy = in.need > limits.Min || in.isActive()
	}
	return nil
}

// isActive reports whether instantiating the module does more than defining
// its parts.
func (in *linkInput) isActive() bool {
	m := in.Module
	if m.HasStart {
		return true
	}
	for i := range m.Data {
		if m.Data[i].Mode == Active {
			return true
		}
	}
	for i := range m.Elems {
		if m.Elems[i].Mode == Active {
			return true
		}
	}
	for i := range m.Tables {
		if m.Tables[i].Limits.Min > 0 {
			return true
		}
	}
	return false
}

// placeImports maps types and puts the imports that no input resolves into the
// result.
func (l *linker) placeImports(in *linkInput) error {
	for _, t := range in.Module.Types {
		in.types = append(in.types, l.out.Type(t.Params, t.Results))
	}
	for kind := range in.imports {
		in.index[kind] = make([]uint32, len(in.imports[kind]))
	}
	var at [4]uint32
	for i := range in.Module.Imports {
		im := in.Module.Imports[i] // a copy
		index := at[im.Kind]
		at[im.Kind]++
		if l.byName[im.Module] != nil || im.Kind == KindMemory {
			continue
		}
		key := importKey{im.Module, im.Name, im.Kind, 0, im.Global, im.Limits, im.Elem}
		if im.Kind == KindFunc {
			im.Type = in.types[im.Type]
			key.typ = im.Type
		}
		to, ok := l.seen[key]
		if !ok {
			to = l.placed[im.Kind]
			l.placed[im.Kind]++
			l.out.Imports = append(l.out.Imports, im)
			l.seen[key] = to
		}
		in.index[im.Kind][index] = to
	}
	return nil
}

// placeDefinitions gives every definition of in its index, but for functions:
// orderFuncs does.
func (l *linker) placeDefinitions(in *linkInput) error {
	m, out := in.Module, l.out
	in.index[KindFunc] = append(in.index[KindFunc], make([]uint32, len(m.Funcs))...)
	at := out.Imported(KindGlobal) + uint32(len(out.Globals))
	for i := range m.Globals {
		in.index[KindGlobal] = append(in.index[KindGlobal], at+uint32(i))
	}
	out.Globals = append(out.Globals, m.Globals...)
	at = out.Imported(KindTable) + uint32(len(out.Tables))
	for i, t := range m.Tables {
		in.index[KindTable] = append(in.index[KindTable], at+uint32(i))
		t.Limits.Min = 0 // grown at the first entry
		out.Tables = append(out.Tables, t)
	}
	in.index[KindMemory] = []uint32{0}
	in.elems = uint32(len(out.Elems))
	out.Elems = append(out.Elems, m.Elems...)
	return nil
}

// resolveImports points the imports of in at what other inputs export.
func (l *linker) resolveImports(in *linkInput) error {
	for _, kind := range []Kind{KindFunc, KindTable, KindGlobal} {
		for i, im := range in.imports[kind] {
			if l.byName[im.Module] == nil {
				continue
			}
			from, index, err := l.follow(in, kind, uint32(i))
			if err != nil {
				return err
			}
			if err := l.match(in, im, from, index); err != nil {
				return fmt.Errorf("import %s.%s: %w", im.Module, im.Name, err)
			}
			to := from.index[kind][index]
			if wrapper, ok := from.entries[index]; ok && kind == KindFunc && from != in {
				to = wrapper
			}
			in.index[kind][i] = to
		}
	}
	return nil
}

// match checks that what an import resolves to has its type.
func (l *linker) match(in *linkInput, im *Import, from *linkInput, index uint32) error {
	imported := int(index) < len(from.imports[im.Kind])
	defined := int(index) - len(from.imports[im.Kind])
	switch im.Kind {
	case KindFunc:
		t, ok := from.Module.FuncType(index)
		if want := in.Module.Types[im.Type]; !ok || !t.Equal(want) {
			return fmt.Errorf("it has type %v, not %v", t, want)
		}
	case KindGlobal:
		var t GlobalType
		if imported {
			t = from.imports[im.Kind][index].Global
		} else {
			t = from.Module.Globals[defined].GlobalType
		}
		if t != im.Global {
			return fmt.Errorf("it has type %v, not %v", t, im.Global)
		}
	case KindTable:
		var t Table
		if imported {
			t.Elem = from.imports[im.Kind][index].Elem
		} else {
			t = from.Module.Tables[defined]
		}
		if t.Elem != im.Elem {
			return fmt.Errorf("it holds %v, not %v", t.Elem, im.Elem)
		}
	}
	return nil
}

// copyDefinitions writes what refers to indices outside of code.
func (l *linker) copyDefinitions(in *linkInput) error {
	m := in.Module
	first := len(in.imports[KindGlobal])
	imported := l.out.Imported(KindGlobal)
	for i := range m.Globals {
		g := &l.out.Globals[in.index[KindGlobal][first+i]-imported]
		init, err := l.constant(in, m.Globals[i].Init, 0)
		if err != nil {
			return fmt.Errorf("global %d: %w", i, err)
		}
		g.Init = init
	}
	for i := range m.Elems {
		e, err := l.element(in, &m.Elems[i])
		if err != nil {
			return fmt.Errorf("element segment %d: %w", i, err)
		}
		l.out.Elems[int(in.elems)+i] = e
	}
	return l.placeData(in)
}

// element rewrites a segment. What was active is filled in by code and only
// declares its functions here.
func (l *linker) element(in *linkInput, e *Elem) (Elem, error) {
	to := Elem{Mode: e.Mode, Type: e.Type}
	for _, f := range e.Funcs {
		n, err := in.lookup(KindFunc, f)
		if err != nil {
			return Elem{}, err
		}
		to.Funcs = append(to.Funcs, n)
	}
	if e.Exprs != nil {
		to.Exprs = make([][]byte, 0, len(e.Exprs))
	}
	for _, x := range e.Exprs {
		n, err := l.constant(in, x, 0)
		if err != nil {
			return Elem{}, err
		}
		to.Exprs = append(to.Exprs, n)
	}
	if e.Mode == Active {
		to.Mode = Declarative
	}
	return to, nil
}

// constant rewrites a constant expression. The value of a global that was
// imported and is defined now takes the place of global.get, which may refer
// to imports only.
func (l *linker) constant(in *linkInput, code []byte, nested int) ([]byte, error) {
	if nested > len(l.inputs) {
		return nil, errors.New("constant expressions go round in a circle")
	}
	var out []byte
	err := Walk(code, func(i *Inst, _ int) error {
		if i.Op != OpGlobalGet || int(i.A) >= len(in.imports[KindGlobal]) {
			var err error
			out, err = in.appendInst(out, i)
			return err
		}
		from, index, err := l.follow(in, KindGlobal, i.A)
		if err != nil {
			return err
		}
		defined := int(index) - len(from.imports[KindGlobal])
		if defined < 0 {
			out, err = in.appendInst(out, i)
			return err
		}
		g := &from.Module.Globals[defined]
		if g.Mutable {
			return fmt.Errorf("the value of a mutable global of %s is no constant", from.Name)
		}
		value, err := l.constant(from, g.Init, nested+1)
		if err != nil {
			return err
		}
		out = append(out, value[:len(value)-1]...) // without its end
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// copyCode writes the function bodies of in, on all processors.
func (l *linker) copyCode(in *linkInput) error {
	m := in.Module
	errs := make([]error, len(m.Funcs))
	imported := l.out.Imported(KindFunc)
	places := in.index[KindFunc][len(in.imports[KindFunc]):]
	onAllProcessors(len(m.Funcs), func(i int) {
		f := &l.out.Funcs[places[i]-imported]
		*f = m.Funcs[i]
		f.Type = in.types[f.Type]
		f.Code, errs[i] = in.rewrite(f.Code)
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("function %d (%s): %w", i, m.Funcs[i].Label, err)
		}
	}
	return nil
}

// export adds the exports of in.
func (l *linker) export(in *linkInput) error {
	for _, e := range in.Module.Exports {
		index, err := in.lookup(e.Kind, e.Index)
		if err != nil {
			return fmt.Errorf("export %q: %w", e.Name, err)
		}
		if wrapper, ok := in.entries[e.Index]; ok && e.Kind == KindFunc {
			index = wrapper
		}
		name := in.Prefix + e.Name
		if l.names[name] {
			return fmt.Errorf("two exports are called %q", name)
		}
		l.names[name] = true
		l.out.Export(name, e.Kind, index)
	}
	return nil
}
