// Package wasm reads, builds, merges, prints and writes WebAssembly modules in
// the binary format of version 1, with the proposals that wazero has: sign
// extension, saturating conversions, multiple values, reference types, bulk
// memory, SIMD, threads (atomics) and tail calls. It does not validate types:
// that is the business of the engine that compiles a module.
//
// A module is built from one goroutine, except for function bodies: agree on
// the types and function indices first ([Module.Type], [Module.ImportFunc],
// [Module.ReserveFuncs]), then fill distinct elements of Module.Funcs from as
// many goroutines as there are.
package wasm

import "slices"

// ValType is a value type, with its binary encoding as value.
type ValType byte

// The value types.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

// Kind is a kind of import or export, with its binary encoding as value.
type Kind byte

// The kinds.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

// FuncType is the type of a function.
type FuncType struct {
	Params, Results []ValType
}

// Equal reports whether t and u are the same type.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

// key returns a string that only equal types share.
func (t FuncType) key() string {
	b := make([]byte, 0, len(t.Params)+len(t.Results)+1)
	for _, p := range t.Params {
		b = append(b, byte(p))
	}
	b = append(b, 0)
	for _, r := range t.Results {
		b = append(b, byte(r))
	}
	return string(b)
}

// Limits bound a memory (in pages of 64 KiB) or a table (in elements).
type Limits struct {
	Min    uint32
	Max    uint32
	HasMax bool
	Shared bool // memories only; needs HasMax
}

// Import is one import. Type belongs to functions, Global to globals, Limits to
// memories and tables, Elem to tables.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         uint32
	Global       GlobalType
	Limits       Limits
	Elem         ValType
	Label        string // name in the name section, if any
}

// GlobalType is the type of a global.
type GlobalType struct {
	Type    ValType
	Mutable bool
}

// Global is a defined global. Init is a constant expression with its end.
type Global struct {
	GlobalType
	Init  []byte
	Label string
}

// Table is a defined table.
type Table struct {
	Elem   ValType
	Limits Limits
	Label  string
}

// Memory is a defined memory.
type Memory struct {
	Limits Limits
	Label  string
}

// Func is a defined function. Code is its instructions with the last end;
// Locals are the types of its locals after its parameters.
type Func struct {
	Type   uint32
	Locals []LocalRun
	Code   []byte
	Label  string            // name in the name section, if any
	Names  map[uint32]string // of locals, in the name section
	Note   []byte            // anything; Link keeps it with the function, and it is not encoded
}

// LocalRun is a number of locals of one type.
type LocalRun struct {
	Count uint32
	Type  ValType
}

// Export is one export.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Mode says when a segment is put where it belongs.
type Mode uint8

// The modes.
const (
	Active      Mode = iota // at instantiation, at Offset
	Passive                 // by memory.init or table.init
	Declarative             // never: declares functions for ref.func
)

// Elem is an element segment. Either Funcs or Exprs holds its elements.
type Elem struct {
	Mode   Mode
	Table  uint32
	Offset []byte // constant expression with its end; Active only
	Type   ValType
	Funcs  []uint32
	Exprs  [][]byte // constant expressions with their ends
}

// Data is a data segment.
type Data struct {
	Mode   Mode   // Active or Passive
	Offset []byte // constant expression with its end; Active only
	Bytes  []byte
	Label  string
}

// Custom is a custom section. Those of a module are written after all other
// sections.
type Custom struct {
	Name  string
	Bytes []byte
}

// Module is one module. Its name section is not among Customs but spread over
// Name and the Label fields.
type Module struct {
	Name      string
	Types     []FuncType
	Imports   []Import
	Funcs     []Func
	Tables    []Table
	Memories  []Memory
	Globals   []Global
	Exports   []Export
	HasStart  bool
	Start     uint32
	Elems     []Elem
	DataCount bool // write a DataCount section
	Data      []Data
	Customs   []Custom

	typeIndex map[string]uint32
}

// Type returns the index of the type with the given parameters and results,
// adding it if it is not there.
func (m *Module) Type(params, results []ValType) uint32 {
	t := FuncType{params, results}
	if m.typeIndex == nil {
		m.typeIndex = make(map[string]uint32)
		for i, old := range m.Types {
			if _, ok := m.typeIndex[old.key()]; !ok {
				m.typeIndex[old.key()] = uint32(i)
			}
		}
	}
	k := t.key()
	if i, ok := m.typeIndex[k]; ok {
		return i
	}
	i := uint32(len(m.Types))
	m.Types = append(m.Types, t)
	m.typeIndex[k] = i
	return i
}

// Imported returns how many imports of a kind there are, which is the index of
// the first definition of that kind.
func (m *Module) Imported(kind Kind) uint32 {
	n := uint32(0)
	for i := range m.Imports {
		if m.Imports[i].Kind == kind {
			n++
		}
	}
	return n
}

// addImport appends an import, which must come before the first definition of
// its kind, because definitions are numbered after imports.
func (m *Module) addImport(im Import, defined int) uint32 {
	if defined > 0 {
		panic("BUG: wasm: import of " + im.Module + "." + im.Name + " after a definition of its kind")
	}
	m.Imports = append(m.Imports, im)
	return m.Imported(im.Kind) - 1
}

// ImportFunc adds an imported function and returns its index.
func (m *Module) ImportFunc(module, name string, typ uint32) uint32 {
	return m.addImport(Import{Module: module, Name: name, Kind: KindFunc, Type: typ, Label: name}, len(m.Funcs))
}

// ImportGlobal adds an imported global and returns its index.
func (m *Module) ImportGlobal(module, name string, t ValType, mutable bool) uint32 {
	return m.addImport(Import{Module: module, Name: name, Kind: KindGlobal, Global: GlobalType{t, mutable}, Label: name}, len(m.Globals))
}

// ImportMemory adds the imported memory.
func (m *Module) ImportMemory(module, name string, l Limits) uint32 {
	return m.addImport(Import{Module: module, Name: name, Kind: KindMemory, Limits: l}, len(m.Memories))
}

// ReserveFuncs adds n empty functions and returns the index, in the function
// index space, of the first; their element in Funcs is that less
// Imported(KindFunc).
func (m *Module) ReserveFuncs(n int) uint32 {
	first := m.Imported(KindFunc) + uint32(len(m.Funcs))
	m.Funcs = append(m.Funcs, make([]Func, n)...)
	return first
}

// AddFunc adds a function and returns its index.
func (m *Module) AddFunc(f Func) uint32 {
	m.Funcs = append(m.Funcs, f)
	return m.Imported(KindFunc) + uint32(len(m.Funcs)) - 1
}

// AddGlobal adds a global and returns its index. Init nil means zero.
func (m *Module) AddGlobal(g Global) uint32 {
	if g.Init == nil {
		g.Init = ConstZero(g.Type)
	}
	m.Globals = append(m.Globals, g)
	return m.Imported(KindGlobal) + uint32(len(m.Globals)) - 1
}

// AddMemory adds a memory and returns its index.
func (m *Module) AddMemory(l Limits) uint32 {
	m.Memories = append(m.Memories, Memory{Limits: l})
	return m.Imported(KindMemory) + uint32(len(m.Memories)) - 1
}

// Export adds an export.
func (m *Module) Export(name string, kind Kind, index uint32) {
	m.Exports = append(m.Exports, Export{name, kind, index})
}

// FindExport returns the export called name.
func (m *Module) FindExport(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Custom returns the bytes of the first custom section called name.
func (m *Module) Custom(name string) ([]byte, bool) {
	for _, c := range m.Customs {
		if c.Name == name {
			return c.Bytes, true
		}
	}
	return nil, false
}

// FuncType returns the type of function number index of the function index
// space.
func (m *Module) FuncType(index uint32) (FuncType, bool) {
	t, ok := m.funcTypeIndex(index)
	if !ok || int(t) >= len(m.Types) {
		return FuncType{}, false
	}
	return m.Types[t], true
}

func (m *Module) funcTypeIndex(index uint32) (uint32, bool) {
	n := uint32(0)
	for i := range m.Imports {
		if m.Imports[i].Kind != KindFunc {
			continue
		}
		if n == index {
			return m.Imports[i].Type, true
		}
		n++
	}
	if d := index - n; d < uint32(len(m.Funcs)) {
		return m.Funcs[d].Type, true
	}
	return 0, false
}
