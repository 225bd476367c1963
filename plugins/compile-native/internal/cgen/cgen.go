// Package cgen turns a unit into C for clang: one C function for each function,
// with gotos for structured control flow, and the meaning of each instruction
// in prelude.h and vector.h. See sdk/guestabi/native.go for what the code
// agrees on with the machine that runs it.
package cgen

import (
	_ "embed"
	"fmt"
	"strings"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

//go:embed prelude.h
var prelude string

//go:embed vector.h
var vector string

//go:embed library.h
var library string

// Unit is the C code of a unit.
type Unit struct {
	m        *wasm.Module
	imported uint32   // functions
	hosts    uint32   // of them, functions of the host, which come first
	calls    []callee // of imports, by function index
	globals  []string // lvalues, by global index
	types    []wasm.ValType
	places   []uint32 // number of the first place of each function; the last is their count
	maps     [][]byte // code map of each function
	enter    uint32
	cpu      guestabi.CPU
}

// callee is an imported function.
type callee struct {
	name string // of the C function
	host string // of the function of the host, "" if it is one of module guest
	typ  wasm.FuncType
}

// New reads a unit.
func New(m *wasm.Module, cpu guestabi.CPU) (*Unit, error) {
	u := &Unit{m: m, imported: m.Imported(wasm.KindFunc), cpu: cpu}
	if err := u.imports(); err != nil {
		return nil, err
	}
	for _, e := range m.Exports {
		switch {
		case e.Kind == wasm.KindFunc && e.Name == guestabi.ExportEnter:
			u.enter = e.Index
		case e.Kind == wasm.KindGlobal && e.Name == guestabi.ExportBase:
			u.globals[e.Index] = "c->units[unit_index].base"
		case e.Kind == wasm.KindGlobal && e.Name == guestabi.ExportAdmitted:
			u.globals[e.Index] = "c->units[unit_index].admitted"
		}
	}
	if u.enter < u.imported {
		return nil, fmt.Errorf("reading a unit: it exports no function %q", guestabi.ExportEnter)
	}
	for i, g := range u.globals {
		if g == "" {
			return nil, fmt.Errorf("reading a unit: global %d is neither a register nor %s or %s", i, guestabi.ExportBase, guestabi.ExportAdmitted)
		}
	}
	section, ok := m.Custom(artifact.SectionCodeMap)
	if !ok {
		return nil, fmt.Errorf("reading a unit: it has no section %s", artifact.SectionCodeMap)
	}
	var err error
	if _, u.maps, err = guestabi.ReadCodeMaps(section, len(m.Funcs)); err != nil {
		return nil, fmt.Errorf("reading a unit: %w", err)
	}
	return u, u.countPlaces()
}

// CodeMaps returns the code maps of all functions: guestabi.AppendNativeMap.
func (u *Unit) CodeMaps() []byte {
	var b []byte
	for i, m := range u.maps {
		b = guestabi.AppendNativeMap(b, u.places[i+1]-u.places[i], m)
	}
	return b
}

func (u *Unit) imports() error {
	regs := map[string]guestabi.Reg{}
	for _, r := range u.cpu.Regs() {
		regs[r.String()] = r
	}
	for i := range u.m.Imports {
		im := &u.m.Imports[i]
		switch im.Kind {
		case wasm.KindFunc:
			if int(im.Type) >= len(u.m.Types) {
				return fmt.Errorf("reading a unit: import %s has no type", im.Name)
			}
			f := callee{name: "host_" + im.Name, host: im.Name, typ: u.m.Types[im.Type]}
			if im.Module == guestabi.ModuleGuest {
				f.name, f.host = "guest_"+im.Name, ""
			}
			u.calls = append(u.calls, f)
		case wasm.KindGlobal:
			r, ok := regs[im.Name]
			if !ok {
				return fmt.Errorf("reading a unit: no register %q", im.Name)
			}
			u.globals, u.types = append(u.globals, "c->"+r.String()), append(u.types, r.Type())
		case wasm.KindMemory:
		default:
			return fmt.Errorf("reading a unit: it imports %s.%s, which is neither function nor register nor memory", im.Module, im.Name)
		}
	}
	for _, g := range u.m.Globals {
		u.globals, u.types = append(u.globals, ""), append(u.types, g.Type)
	}
	if len(u.m.Tables)+len(u.m.Elems)+len(u.m.Data)+len(u.m.Memories) > 0 {
		return fmt.Errorf("reading a unit: it has tables, memories or data")
	}
	return nil
}

// countPlaces numbers the instructions that may stop a function as the code map
// does.
func (u *Unit) countPlaces() error {
	for _, c := range u.calls {
		if c.host != "" {
			u.hosts++
		}
	}
	n := uint32(0)
	for i := range u.m.Funcs {
		u.places = append(u.places, n)
		err := wasm.Walk(u.m.Funcs[i].Code, func(in *wasm.Inst, _ int) error {
			if guestabi.Stops(in, u.hosts) {
				n++
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading function %d of a unit: %w", i, err)
		}
	}
	u.places = append(u.places, n)
	return nil
}

// Prelude is what each C file begins with.
func (u *Unit) Prelude() string {
	var b strings.Builder
	define := func(name string, v uint32) { fmt.Fprintf(&b, "#define %s %d\n", name, v) }
	define("PLACE_SLOTS", guestabi.PlaceSlots)
	define("NATIVE_REGS", guestabi.NativeRegs)
	define("NATIVE_GENERATION", guestabi.NativeGeneration)
	define("NATIVE_PLACES", guestabi.NativePlaces)
	define("NATIVE_UNITS", guestabi.NativeUnits)
	b.WriteString("struct context;\n")
	fields, end := contextFields(u.cpu)
	define("CONTEXT_REGS_END", end)
	b.WriteString("#define CONTEXT_REGS " + fields + "\n")
	b.WriteString(prelude)
	b.WriteString(vector)
	for _, c := range u.calls {
		fmt.Fprintf(&b, "HIDDEN %s %s(struct context *%s);\n", resultOf(c.typ), c.name, params(c.typ))
	}
	b.WriteString("HIDDEN __attribute__((noreturn)) void host_trap(struct context *, u32 trap, u32 place);\n" +
		"HIDDEN u32 host_overflow(struct context *);\n")
	return b.String()
}

// contextFields declares the registers in the order of their offsets.
func contextFields(cpu guestabi.CPU) (string, uint32) {
	var b strings.Builder
	at, gaps := uint32(guestabi.NativeRegs), 0
	order := []guestabi.Reg{}
	for _, r := range cpu.Regs() {
		if r != guestabi.FSBase && r != guestabi.GSBase {
			order = append(order, r)
		}
		if r == guestabi.Fuel {
			order = append(order, guestabi.FSBase, guestabi.GSBase)
		}
	}
	for _, r := range order {
		off := guestabi.NativeRegOffset(r)
		if off > at {
			fmt.Fprintf(&b, "u8 gap%d[%d]; ", gaps, off-at)
			gaps++
		}
		typ, size := "u64", uint32(8)
		switch r.Type() {
		case wasm.I32:
			typ, size = "u32", 4
		case wasm.V128:
			typ, size = "v128", 16
		}
		fmt.Fprintf(&b, "%s %s; ", typ, r)
		at = off + size
	}
	return b.String(), at
}

// typeName is the C type of a value.
func typeName(t wasm.ValType) string {
	switch t {
	case wasm.I32:
		return "u32"
	case wasm.I64:
		return "u64"
	case wasm.F32:
		return "f32"
	case wasm.F64:
		return "f64"
	}
	return "v128"
}

// resultOf is the C type of a function's result; several are left in args.
func resultOf(t wasm.FuncType) string {
	if len(t.Results) != 1 {
		return "void"
	}
	return typeName(t.Results[0])
}

func params(t wasm.FuncType) string {
	var b strings.Builder
	for _, p := range t.Params {
		b.WriteString(", " + typeName(p))
	}
	return b.String()
}

// Runtime is the C code that an object has beside its unit's functions: what
// calls the host.
func (u *Unit) Runtime() string {
	var b strings.Builder
	b.WriteString(u.Prelude())
	b.WriteString(library)
	fmt.Fprintf(&b, "__attribute__((visibility(\"protected\"), aligned(4096))) u32 %s = ~0u;\n", guestabi.NativeSymbolIndex)
	numbers := map[string]int{}
	for i, f := range guestabi.KernelFuncs() {
		numbers[f.Name] = i
	}
	for _, c := range u.calls {
		if c.host != "" {
			u.hostCall(&b, c, numbers[c.host])
		}
	}
	fmt.Fprintf(&b, "void host_trap(struct context *c, u32 trap, u32 place) {\n\tc->args[0] = trap, c->place = place;\n\tc->exit(c, %d);\n\t__builtin_unreachable();\n}\n", guestabi.NativeExitTrap)
	fmt.Fprintf(&b, "u32 host_overflow(struct context *c) {\n\tc->exit(c, %d);\n\t__builtin_unreachable();\n}\n", guestabi.NativeExitOverflow)
	fmt.Fprintf(&b, `HIDDEN u32 guest_dispatch(struct context *c, u32 pc) {
	if (*(ACCESS u32 *)(c->mem + %d) == c->generation)
		for (int i = 0; i < PLACE_SLOTS; i++)
			if (pc - c->places[i].low < c->places[i].size)
				__attribute__((musttail)) return c->places[i].enter(c, pc);
	c->args[0] = pc;
	c->exit(c, %d);
	__attribute__((musttail)) return c->target(c, pc);
}
`, guestabi.GenerationAt, numbers[guestabi.FuncResolve])
	fmt.Fprintf(&b, "HIDDEN u32 fn%d(struct context *, u32);\n", u.enter)
	fmt.Fprintf(&b, "__attribute__((visibility(\"default\"))) u32 %s(struct context *c, u32 pc) { __attribute__((musttail)) return fn%d(c, pc); }\n", guestabi.NativeSymbolEnter, u.enter)
	return b.String()
}

func (u *Unit) hostCall(b *strings.Builder, c callee, number int) {
	fmt.Fprintf(b, "%s %s(struct context *c", resultOf(c.typ), c.name)
	for i, p := range c.typ.Params {
		fmt.Fprintf(b, ", %s p%d", typeName(p), i)
	}
	b.WriteString(") {\n")
	for i := range c.typ.Params {
		fmt.Fprintf(b, "\tc->args[%d] = p%d;\n", i, i)
	}
	fmt.Fprintf(b, "\tc->exit(c, %d);\n", number)
	if len(c.typ.Results) == 1 {
		fmt.Fprintf(b, "\treturn (%s)c->args[0];\n", typeName(c.typ.Results[0]))
	}
	b.WriteString("}\n")
}

// Functions returns how many functions the unit has.
func (u *Unit) Functions() int { return len(u.m.Funcs) }

// Size is the size of a function's wasm in bytes.
func (u *Unit) Size(i int) int { return len(u.m.Funcs[i].Code) }

// Places returns where the places of function i begin, and how many places the
// unit has at i == Functions().
func (u *Unit) Places(i int) uint32 { return u.places[i] }

// Chunk is a C file of functions [from, to).
func (u *Unit) Chunk(from, to int) (string, error) {
	var b strings.Builder
	b.WriteString(u.Prelude())
	called := map[uint32]bool{}
	var bodies strings.Builder
	for i := from; i < to; i++ {
		if err := u.function(&bodies, i, called); err != nil {
			return "", fmt.Errorf("function %d of the unit: %w", i, err)
		}
	}
	for i := range u.m.Funcs {
		index := u.imported + uint32(i)
		if t, ok := u.m.FuncType(index); ok && (called[index] || i >= from && i < to) {
			fmt.Fprintf(&b, "HIDDEN %s fn%d(struct context *%s);\n", resultOf(t), index, params(t))
		}
	}
	b.WriteString(bodies.String())
	return b.String(), nil
}
