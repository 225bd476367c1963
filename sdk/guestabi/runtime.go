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
	m := &wasm.Module{Name: ModuleGuest}
	pcToPC := m.Type([]Type{I32}, []Type{I32})
	addrToNone := m.Type([]Type{I32}, nil)

	kernel := func(name string) uint32 {
		for _, f := range KernelFuncs() {
			if f.Name == name {
				return m.ImportFunc(ModuleKernel, name, m.Type(f.Params, f.Results))
			}
		}
		panic("BUG: no host function called " + name)
	}
	resolve, fault := kernel(FuncResolve), kernel(FuncFault)
	helpers := guestFuncs(cpu)
	imported := map[string]uint32{}
	for _, h := range helpers {
		for _, name := range h.calls {
			if _, ok := imported[name]; !ok {
				imported[name] = kernel(name)
			}
		}
	}
	enter := make([]uint32, units)
	for i := range enter {
		enter[i] = m.ImportFunc(UnitModule(i), ExportEnter, pcToPC)
	}

	m.Memories = []wasm.Memory{{Limits: wasm.Limits{Min: 1, Max: MaxPages, HasMax: true}, Label: ImportMemory}}
	m.Export(ImportMemory, wasm.KindMemory, 0)
	globals := map[Reg]uint32{}
	for _, r := range cpu.Regs() {
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

	dispatched := m.AddFunc(dispatch(pcToPC, resolve, fault, enter))
	m.Export(ImportDispatch, wasm.KindFunc, dispatched)
	m.Export(ExportRun, wasm.KindFunc, dispatched)
	m.Export(ExportSaveContext, wasm.KindFunc, m.AddFunc(saveContext(cpu, global, addrToNone)))
	m.Export(ExportLoadContext, wasm.KindFunc, m.AddFunc(loadContext(cpu, global, addrToNone)))
	for _, h := range helpers {
		b := wasm.NewBody(len(h.Params))
		h.build(b, imported)
		m.Export(h.Name, wasm.KindFunc, m.AddFunc(b.Func(m.Type(h.Params, h.Results), h.Name)))
	}
	return m
}

// MXCSRInit is MXCSR at the start of a process: all exceptions masked, round to
// nearest.
const MXCSRInit = 0x1f80

// dispatch builds the function that enters whichever unit holds a PC. Direct
// calls behind a br_table, because a table of function references costs every
// instance an allocation for each element.
func dispatch(typ, resolve, fault uint32, enter []uint32) wasm.Func {
	b := wasm.NewBody(1)
	n := uint32(len(enter))
	for range n + 1 {
		b.Block(wasm.BlockVoid)
	}
	b.LocalGet(0)
	b.Call(resolve)
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
	b.ReturnCall(fault)
	return b.Func(typ, ImportDispatch)
}
