package guestabi

import (
	"fmt"

	"megabinary.dev/sdk/wasm"
)

// UnitModule is the name under which a megabinary's linker knows unit number i,
// and the prefix, with a dot after it, of that unit's exports.
func UnitModule(i int) string { return fmt.Sprintf("unit%d", i) }

// Runtime builds the module guest for a megabinary of that many units: it
// defines memory and the registers, and exports them, dispatch, run and the
// functions that save and load contexts. It imports the units' enter functions
// from their UnitModule and what it needs from ModuleKernel. Its processor is
// CPUv2.
func Runtime(units int) *wasm.Module { return RuntimeOf(CPUv2, units) }

// RuntimeOf is Runtime for any processor: it has that processor's registers and
// GuestFuncs.
func RuntimeOf(cpu CPU, units int) *wasm.Module {
	r := newRuntime(cpu)
	enter := make([]uint32, units)
	for i := range enter {
		enter[i] = r.m.ImportFunc(UnitModule(i), ExportEnter, r.pcToPC)
	}
	r.finish(func() wasm.Func { return r.dispatch(enter) })
	return r.m
}

// The export of SplitRuntime that units are entered through, and that of a unit
// that is an instance of its own, of type (number i32) -> (), which puts its
// enter function there.
const (
	ExportUnits  = "units"
	ExportAttach = "attach"
)

// SplitRuntime builds the module guest for units that are instances of their
// own: instead of importing their enter functions it finds them in a table,
// ExportUnits, at the number that the host's resolve answers. Guest code cannot
// write there. The last PlaceSlots units that were entered are remembered in
// globals (see PlaceGlobal), so that calls between them do not ask the host, as
// long as the global PlaceGeneration equals the i32 in memory at GenerationAt,
// which the host changes when a unit goes.
func SplitRuntime(cpu CPU, units int) *wasm.Module {
	r := newRuntime(cpu)
	m := r.m
	m.Tables = []wasm.Table{{Elem: wasm.FuncRef, Limits: wasm.Limits{Min: uint32(units), Max: uint32(units), HasMax: true}, Label: ExportUnits}}
	m.Export(ExportUnits, wasm.KindTable, 0)
	r.finish(func() wasm.Func {
		i32 := wasm.GlobalType{Type: wasm.I32, Mutable: true}
		var places [PlaceSlots][PlaceFields]uint32
		for slot := range places {
			for field := range places[slot] {
				name := PlaceGlobal(slot, PlaceField(field))
				places[slot][field] = m.AddGlobal(wasm.Global{GlobalType: i32, Label: name})
				m.Export(name, wasm.KindGlobal, places[slot][field])
			}
		}
		generation := m.AddGlobal(wasm.Global{GlobalType: i32, Label: PlaceGeneration})
		m.Export(PlaceGeneration, wasm.KindGlobal, generation)
		return r.dispatchPlaces(places, generation)
	})
	return m
}

// PlaceSlots is how many places of units dispatch remembers.
const PlaceSlots = 4

// PlaceField is a part of what dispatch remembers of a unit.
type PlaceField int

// The fields of a place; all zero is a place that holds nothing.
const (
	PlaceLow  PlaceField = iota // guest address where the unit's code begins
	PlaceSize                   // of its code in bytes
	PlaceUnit                   // its number
	PlaceFields
)

// PlaceGeneration names the exported i32 global that holds the generation of
// the places, and GenerationAt is the linear address, in the machine's page, of
// what it must equal. A guest that overwrites that harms itself: enter finds
// out what it is not the unit of.
const (
	PlaceGeneration = "places"
	GenerationAt    = AddrBias - 4
)

// PlaceGlobal names the exported i32 global of a place's field.
func PlaceGlobal(slot int, f PlaceField) string { return fmt.Sprintf("place%d.%d", slot, f) }

// runtime is a module guest that is being built.
type runtime struct {
	m                      *wasm.Module
	cpu                    CPU
	pcToPC, resolve, fault uint32
	helpers                []guestFunc
	callees                map[string]uint32 // what helpers call, by name
}

func newRuntime(cpu CPU) *runtime {
	m := &wasm.Module{Name: ModuleGuest}
	r := &runtime{m: m, cpu: cpu, pcToPC: m.Type([]Type{I32}, []Type{I32}), helpers: guestFuncs(cpu), callees: map[string]uint32{}}
	kernel := func(name string) uint32 {
		for _, f := range KernelFuncs() {
			if f.Name == name {
				return m.ImportFunc(ModuleKernel, name, m.Type(f.Params, f.Results))
			}
		}
		panic("BUG: no host function called " + name)
	}
	r.resolve, r.fault = kernel(FuncResolve), kernel(FuncFault)
	for _, h := range r.helpers {
		for _, name := range h.calls {
			if _, ok := r.callees[name]; !ok {
				r.callees[name] = kernel(name)
			}
		}
	}
	return r
}

// finish adds memory, registers and functions, after all imports.
func (rt *runtime) finish(dispatch func() wasm.Func) {
	m := rt.m
	addrToNone := m.Type([]Type{I32}, nil)
	m.Memories = []wasm.Memory{{Limits: wasm.Limits{Min: 1, Max: MaxPages, HasMax: true}, Label: ImportMemory}}
	m.Export(ImportMemory, wasm.KindMemory, 0)
	globals := map[Reg]uint32{}
	for _, r := range rt.cpu.Regs() {
		g := wasm.Global{GlobalType: wasm.GlobalType{Type: r.Type(), Mutable: true}, Label: r.String()}
		switch r {
		case Fuel:
			g.Init = wasm.ConstI32(FuelPerSlice)
		case MXCSR:
			g.Init = wasm.ConstI32(MXCSRInit)
		}
		globals[r] = m.AddGlobal(g)
		m.Export(r.String(), wasm.KindGlobal, globals[r])
	}
	global := func(r Reg) uint32 { return globals[r] }

	dispatched := m.AddFunc(dispatch())
	m.Export(ImportDispatch, wasm.KindFunc, dispatched)
	m.Export(ExportRun, wasm.KindFunc, dispatched)
	m.Export(ExportSaveContext, wasm.KindFunc, m.AddFunc(saveContext(rt.cpu, global, addrToNone)))
	m.Export(ExportLoadContext, wasm.KindFunc, m.AddFunc(loadContext(rt.cpu, global, addrToNone)))
	for _, h := range rt.helpers {
		b := wasm.NewBody(len(h.Params))
		h.build(b, rt.callees)
		rt.callees[h.Name] = m.AddFunc(b.Func(m.Type(h.Params, h.Results), h.Name))
		m.Export(h.Name, wasm.KindFunc, rt.callees[h.Name])
	}
}

// MXCSRInit is MXCSR at the start of a process: all exceptions masked, round to
// nearest.
const MXCSRInit = 0x1f80

// dispatch builds the function that enters whichever unit holds a PC. Direct
// calls behind a br_table, because a table of function references costs every
// instance an allocation for each element.
func (rt *runtime) dispatch(enter []uint32) wasm.Func {
	b := wasm.NewBody(1)
	n := uint32(len(enter))
	for range n + 1 {
		b.Block(wasm.BlockVoid)
	}
	b.LocalGet(0)
	b.Call(rt.resolve)
	depths := make([]uint32, n)
	for i := range depths {
		depths[i] = uint32(i)
	}
	b.BrTable(depths, n) // -1 is above all of them
	for _, e := range enter {
		b.End()
		b.LocalGet(0)
		b.ReturnCall(e)
	}
	b.End()
	b.I32Const(int32(FaultBadPC))
	b.LocalGet(0)
	b.ReturnCall(rt.fault)
	return b.Func(rt.pcToPC, ImportDispatch)
}

// dispatchPlaces builds the dispatch of SplitRuntime.
func (rt *runtime) dispatchPlaces(places [PlaceSlots][PlaceFields]uint32, generation uint32) wasm.Func {
	b := wasm.NewBody(1)
	unit := b.Local(wasm.I32)
	enter := func() {
		b.Op(wasm.OpReturnCallIndirect)
		b.U32(rt.pcToPC)
		b.U32(0)
	}
	b.I32Const(0)
	b.MemArg(wasm.OpI32Load, 2, GenerationAt)
	b.GlobalGet(generation)
	b.Op(wasm.OpI32Eq)
	b.If(wasm.BlockVoid)
	for _, p := range places {
		b.LocalGet(0)
		b.GlobalGet(p[PlaceLow])
		b.Op(wasm.OpI32Sub)
		b.GlobalGet(p[PlaceSize])
		b.Op(wasm.OpI32LtU)
		b.If(wasm.BlockVoid)
		b.LocalGet(0)
		b.GlobalGet(p[PlaceUnit])
		enter()
		b.End()
	}
	b.End()
	b.LocalGet(0)
	b.Call(rt.resolve)
	b.LocalTee(unit)
	b.I32Const(0)
	b.Op(wasm.OpI32LtS)
	b.If(wasm.BlockVoid)
	b.I32Const(int32(FaultBadPC))
	b.LocalGet(0)
	b.ReturnCall(rt.fault)
	b.End()
	b.LocalGet(0)
	b.LocalGet(unit)
	enter()
	return b.Func(rt.pcToPC, ImportDispatch)
}
