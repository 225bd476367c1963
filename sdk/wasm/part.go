package wasm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Borrow names exports of a module that a part imports instead of
// defining them.
type Borrow struct {
	Module string   // what the part calls the module that it imports them from
	Names  []string // of functions and globals
}

// Part returns the part of m that its exports called names need, and nothing
// else: the functions that they call, directly or not, but for those borrowed,
// with types, imports and globals. It defines a memory if m does; who wants it
// to be that of another instance must give it the same bytes. Equal parts of
// different modules are equal, byte for byte. m must not refer to tables, data
// or element segments in the part.
//
// The part keeps the names of its exports and shares memory with m.
func Part(m *Module, names []string, borrow Borrow) (*Module, error) {
	x := extraction{m: m, out: &Module{Name: m.Name, Memories: m.Memories}, borrowed: map[indexOf]string{}, used: map[indexOf]bool{}}
	for _, name := range borrow.Names {
		e, ok := m.FindExport(name)
		if !ok {
			return nil, fmt.Errorf("extracting a part: there is no export %q to borrow", name)
		}
		x.borrowed[indexOf{e.Kind, e.Index}] = name
	}
	for _, name := range names {
		e, ok := m.FindExport(name)
		if !ok {
			return nil, fmt.Errorf("extracting a part: there is no export %q", name)
		}
		x.use(e.Kind, e.Index)
	}
	if err := x.reach(); err != nil {
		return nil, fmt.Errorf("extracting a part: %w", err)
	}
	x.place(borrow)
	if err := x.copy(); err != nil {
		return nil, fmt.Errorf("extracting a part: %w", err)
	}
	for _, name := range names {
		e, _ := m.FindExport(name)
		x.out.Export(name, e.Kind, x.in.index[e.Kind][e.Index])
	}
	return x.out, nil
}

// indexOf is a place in one of the index spaces.
type indexOf struct {
	kind  Kind
	index uint32
}

type extraction struct {
	m, out   *Module
	borrowed map[indexOf]string // export's name
	used     map[indexOf]bool
	todo     []uint32 // functions whose code was not looked at yet
	in       linkInput
}

// use notes that the part refers to something.
func (x *extraction) use(kind Kind, index uint32) {
	at := indexOf{kind, index}
	if x.used[at] {
		return
	}
	x.used[at] = true
	if kind == KindFunc && x.borrowed[at] == "" && index >= x.m.Imported(KindFunc) {
		x.todo = append(x.todo, index)
	}
}

// errTables says what a part must not have.
var errTables = errors.New("it refers to a table, an element segment or a data segment")

// reach finds all that the part refers to.
func (x *extraction) reach() error {
	imported := x.m.Imported(KindFunc)
	for len(x.todo) > 0 {
		f := x.todo[len(x.todo)-1]
		x.todo = x.todo[:len(x.todo)-1]
		if int(f-imported) >= len(x.m.Funcs) {
			return fmt.Errorf("function %d of %d", f-imported, len(x.m.Funcs))
		}
		err := Walk(x.m.Funcs[f-imported].Code, func(i *Inst, _ int) error {
			switch i.Op.Row().Imm {
			case ImmFunc:
				x.use(KindFunc, i.A)
			case ImmGlobal:
				x.use(KindGlobal, i.A)
			case ImmTable, ImmData, ImmElem, ImmDataMem, ImmCallIndirect, ImmElemTable, ImmTableTable:
				return errTables
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("function %d (%s): %w", f-imported, x.m.Funcs[f-imported].Label, err)
		}
	}
	return nil
}

// place gives what is used its new indices: imports by name, what is borrowed in
// the order that it was named in, and definitions in the order of the module.
func (x *extraction) place(borrow Borrow) {
	in, out := &x.in, x.out
	in.whole(x.m)
	var at [4]uint32
	var imports []int
	oldIndex := make([]uint32, len(x.m.Imports))
	for i := range x.m.Imports {
		kind := x.m.Imports[i].Kind
		oldIndex[i] = at[kind]
		at[kind]++
		if x.used[indexOf{kind, oldIndex[i]}] {
			imports = append(imports, i)
		}
	}
	slices.SortFunc(imports, func(a, b int) int {
		p, q := &x.m.Imports[a], &x.m.Imports[b]
		return cmp.Or(cmp.Compare(p.Module, q.Module), cmp.Compare(p.Name, q.Name))
	})
	var next [4]uint32
	add := func(im Import, old uint32) {
		if im.Kind == KindFunc {
			im.Type = x.typ(im.Type)
		}
		out.Imports = append(out.Imports, im)
		in.index[im.Kind][old] = next[im.Kind]
		next[im.Kind]++
	}
	for _, i := range imports {
		add(x.m.Imports[i], oldIndex[i])
	}
	for _, name := range borrow.Names {
		e, _ := x.m.FindExport(name)
		if !x.used[indexOf{e.Kind, e.Index}] {
			continue
		}
		im := Import{Module: borrow.Module, Name: name, Kind: e.Kind, Label: name}
		switch e.Kind {
		case KindFunc:
			im.Type, _ = x.m.funcTypeIndex(e.Index)
		case KindGlobal:
			im.Global = x.m.Globals[e.Index-x.m.Imported(KindGlobal)].GlobalType
		}
		add(im, e.Index)
	}
	for _, kind := range []Kind{KindFunc, KindGlobal} {
		first := x.m.Imported(kind)
		for i := first; int(i) < len(in.index[kind]); i++ {
			if id := (indexOf{kind, i}); x.used[id] && x.borrowed[id] == "" {
				in.index[kind][i] = next[kind]
				next[kind]++
			}
		}
	}
}

// whole makes in the whole of m, with room for all indices.
func (in *linkInput) whole(m *Module) {
	in.LinkInput = &LinkInput{Module: m}
	in.index[KindFunc] = make([]uint32, int(m.Imported(KindFunc))+len(m.Funcs))
	in.index[KindGlobal] = make([]uint32, int(m.Imported(KindGlobal))+len(m.Globals))
	in.types = make([]uint32, len(m.Types))
	for i := range in.types {
		in.types[i] = noType
	}
}

// noType marks a type that the part does not have yet.
const noType = ^uint32(0)

// typ returns the part's index of a type.
func (x *extraction) typ(old uint32) uint32 {
	if x.in.types[old] == noType {
		x.in.types[old] = x.out.Type(x.m.Types[old].Params, x.m.Types[old].Results)
	}
	return x.in.types[old]
}

// copy writes the definitions.
func (x *extraction) copy() error {
	defined := func(kind Kind, n int, do func(i int) error) error {
		first := x.m.Imported(kind)
		for i := range n {
			if id := (indexOf{kind, first + uint32(i)}); !x.used[id] || x.borrowed[id] != "" {
				continue
			}
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	err := defined(KindGlobal, len(x.m.Globals), func(i int) error {
		g := x.m.Globals[i]
		err := Walk(g.Init, func(in *Inst, _ int) error {
			if refers(in) {
				return errors.New("its value refers to something else")
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("global %d: %w", i, err)
		}
		x.out.Globals = append(x.out.Globals, g)
		return nil
	})
	if err != nil {
		return err
	}
	return defined(KindFunc, len(x.m.Funcs), func(i int) error {
		f := x.m.Funcs[i]
		if int(f.Type) >= len(x.m.Types) {
			return fmt.Errorf("function %d: type %d of %d", i, f.Type, len(x.m.Types))
		}
		f.Type = x.typ(f.Type)
		if err := x.blockTypes(f.Code); err != nil {
			return fmt.Errorf("function %d (%s): %w", i, f.Label, err)
		}
		var err error
		if f.Code, err = x.in.rewrite(f.Code); err != nil {
			return fmt.Errorf("function %d (%s): %w", i, f.Label, err)
		}
		x.out.Funcs = append(x.out.Funcs, f)
		return nil
	})
}

// blockTypes enters the types of a function's blocks.
func (x *extraction) blockTypes(code []byte) error {
	return Walk(code, func(i *Inst, _ int) error {
		if i.Op.Row().Imm == ImmBlock && i.I >= 0 {
			if int(i.I) >= len(x.m.Types) {
				return fmt.Errorf("type %d of %d", i.I, len(x.m.Types))
			}
			x.typ(uint32(i.I))
		}
		return nil
	})
}
