package machine

import (
	"encoding/json"
	"fmt"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// testBase is the guest address of the test unit: routine number i of testUnit
// is entered at testBase+i.
const testBase = 0x40_0000

// unitBuilder builds a unit by hand whose routines tests enter.
type unitBuilder struct {
	m        *wasm.Module
	pcToPC   uint32
	regs     [guestabi.NumRegs]uint32
	host     map[string]uint32
	dispatch uint32
	admitted uint32
	names    []string
	company  int // more units of the megabinary
	routines []func(u *unitBuilder, b *wasm.Body)
}

func newUnitBuilder() *unitBuilder {
	m := &wasm.Module{Name: "testunit"}
	u := &unitBuilder{m: m, host: map[string]uint32{}}
	u.pcToPC = m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	for _, f := range guestabi.KernelFuncs() {
		u.host[f.Name] = m.ImportFunc(guestabi.ModuleKernel, f.Name, m.Type(f.Params, f.Results))
	}
	u.dispatch = m.ImportFunc(guestabi.ModuleGuest, guestabi.ImportDispatch, u.pcToPC)
	m.ImportMemory(guestabi.ModuleGuest, guestabi.ImportMemory, wasm.Limits{Min: 1})
	for r := guestabi.RAX; r < guestabi.NumRegs; r++ {
		u.regs[r] = m.ImportGlobal(guestabi.ModuleGuest, r.String(), r.Type(), true)
	}
	u.admitted = m.AddGlobal(wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}})
	return u
}

// add appends a routine, a body of type (pc) -> (pc) less its end.
func (u *unitBuilder) add(name string, build func(u *unitBuilder, b *wasm.Body)) {
	u.names = append(u.names, name)
	u.routines = append(u.routines, build)
}

func (u *unitBuilder) get(b *wasm.Body, r guestabi.Reg) { b.GlobalGet(u.regs[r]) }
func (u *unitBuilder) set(b *wasm.Body, r guestabi.Reg) { b.GlobalSet(u.regs[r]) }

// codeMapOf is the code map of routine number i: entry k has PC
// testBase+0x1000*(i+1)+k and stack pointer 8*(k+1).
func codeMapOf(i int) []byte {
	pc := uint32(testBase + 0x1000*(i+1))
	m := guestabi.NewCodeMap(pc)
	for k := range 10 {
		m.Add(pc+uint32(k), int32(8*(k+1)), k == 3)
	}
	return m.Bytes()
}

// finish returns the unit's module.
func (u *unitBuilder) finish() *wasm.Module {
	first := u.m.ReserveFuncs(len(u.routines))
	for i, build := range u.routines {
		b := wasm.NewBody(1)
		build(u, b)
		u.m.Funcs[i] = b.Func(u.pcToPC, u.names[i])
		u.m.Funcs[i].Note = guestabi.AppendCodeMap(nil, codeMapOf(i), 0)
	}
	b := wasm.NewBody(1)
	b.GlobalGet(u.admitted)
	b.Op(wasm.OpI32Eqz)
	b.If(wasm.BlockVoid)
	b.I32Const(int32(guestabi.FaultNotAdmitted))
	b.LocalGet(0)
	b.ReturnCall(u.host[guestabi.FuncFault])
	b.End()
	n := len(u.routines)
	depths := make([]uint32, n)
	for i := range n {
		depths[i] = uint32(i)
		b.Block(wasm.BlockVoid)
	}
	b.Block(wasm.BlockVoid)
	for i := range n {
		depths[i]++
	}
	b.LocalGet(0)
	b.I32Const(testBase)
	b.Op(wasm.OpI32Sub)
	b.BrTable(depths, 0)
	b.End()
	b.I32Const(int32(guestabi.FaultMiss))
	b.LocalGet(0)
	b.ReturnCall(u.host[guestabi.FuncFault])
	for i := range n {
		b.End()
		b.LocalGet(0)
		b.ReturnCall(first + uint32(i))
	}
	enter := u.m.AddFunc(b.Func(u.pcToPC, guestabi.ExportEnter))
	u.m.Export(guestabi.ExportEnter, wasm.KindFunc, enter)
	u.m.Export(guestabi.ExportAdmitted, wasm.KindGlobal, u.admitted)
	return u.m
}

// pc returns where the routine called name is entered.
func (u *unitBuilder) pc(name string) guestabi.PC {
	for i, n := range u.names {
		if n == name {
			return testBase + guestabi.PC(i)
		}
	}
	panic(fmt.Sprintf("BUG: no routine %q", name))
}

// megabinary links the unit.
func (u *unitBuilder) megabinary(t testing.TB) []byte {
	t.Helper()
	unit := u.finish()
	inputs := []wasm.LinkInput{
		{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(1 + u.company)},
		{Name: guestabi.UnitModule(0), Module: unit, Prefix: guestabi.UnitModule(0) + "."},
	}
	entries := []artifact.UnitEntry{{
		Low: testBase, High: testBase + uint64(len(u.routines)),
		ExportEnter: "unit0.enter", ExportAdmitted: "unit0.admitted",
	}}
	for i := 1; i <= u.company; i++ {
		prefix := guestabi.UnitModule(i) + "."
		inputs = append(inputs, wasm.LinkInput{Name: guestabi.UnitModule(i), Module: hopUnit(i), Prefix: prefix})
		entries = append(entries, artifact.UnitEntry{Low: 0x1000, High: 0x2000, PositionIndependent: true, ExportEnter: prefix + "enter",
			ExportBase: prefix + "base", ExportAdmitted: prefix + "admitted"})
	}
	m, err := wasm.Link(inputs)
	if err != nil {
		t.Fatal(err)
	}
	units, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	var maps []byte
	for _, f := range m.Funcs {
		if f.Note == nil {
			f.Note = guestabi.AppendCodeMap(nil, nil, 0)
		}
		maps = append(maps, f.Note...)
	}
	m.Customs = append(m.Customs, wasm.Custom{Name: artifact.SectionUnits, Bytes: units}, wasm.Custom{Name: artifact.SectionCodeMap, Bytes: maps})
	return m.Encode()
}

// testUnit has the routines that the tests of this package enter.
func testUnit() *unitBuilder {
	u := newUnitBuilder()
	u.add("syscall", func(u *unitBuilder, b *wasm.Body) {
		for _, r := range []guestabi.Reg{guestabi.RAX, guestabi.RDI, guestabi.RSI, guestabi.RDX, guestabi.R10, guestabi.R8, guestabi.R9} {
			u.get(b, r)
		}
		pc := b.Local(wasm.I32)
		rax := b.Local(wasm.I64)
		b.I32Const(testBase + 0x100)
		b.Call(u.host[guestabi.FuncSyscall])
		b.LocalSet(pc)
		b.LocalSet(rax)
		b.LocalGet(pc)
		b.I32Const(testBase + 0x100)
		b.Op(wasm.OpI32Eq)
		b.If(wasm.BlockVoid)
		b.LocalGet(rax)
		u.set(b, guestabi.RAX)
		b.End()
		b.LocalGet(pc)
	})
	u.add("load", func(u *unitBuilder, b *wasm.Body) { // rax = [rdi]
		b.I32Const(testBase + 1)
		u.set(b, guestabi.LastPC)
		u.get(b, guestabi.RDI)
		b.Op(wasm.OpI32WrapI64)
		b.I32Const(guestabi.AddrBias)
		b.Op(wasm.OpI32Sub)
		b.MemArg(wasm.OpI64Load, 0, 0)
		u.set(b, guestabi.RAX)
		b.I32Const(0)
	})
	u.add("store", func(u *unitBuilder, b *wasm.Body) { // [rdi] = rsi
		u.get(b, guestabi.RDI)
		b.Op(wasm.OpI32WrapI64)
		b.I32Const(guestabi.AddrBias)
		b.Op(wasm.OpI32Sub)
		u.get(b, guestabi.RSI)
		b.MemArg(wasm.OpI64Store, 0, 0)
		b.I32Const(0)
	})
	u.add("later", func(u *unitBuilder, b *wasm.Body) { // two accesses, a call of another function and one of the host before that to rdi
		b.I32Const(guestabi.MinAddr - guestabi.AddrBias)
		b.I32Const(7)
		b.MemArg(wasm.OpI32Store, 0, 0)
		b.I32Const(guestabi.MinAddr - guestabi.AddrBias)
		b.MemArg(wasm.OpI32Load, 0, 4)
		b.Op(wasm.OpDrop)
		b.LocalGet(0)
		b.Call(u.host[guestabi.FuncRDTSC])
		b.Op(wasm.OpDrop)
		u.get(b, guestabi.RSI)
		b.Op(wasm.OpI64Eqz)
		b.If(wasm.BlockVoid)
		u.get(b, guestabi.RDI)
		b.Op(wasm.OpI32WrapI64)
		b.I32Const(guestabi.AddrBias)
		b.Op(wasm.OpI32Sub)
		b.V128Const(1, 2)
		b.MemArg(wasm.OpV128Store, 0, 0)
		b.End()
	})
	u.add("divide", func(u *unitBuilder, b *wasm.Body) {
		b.I32Const(1)
		u.get(b, guestabi.RDI)
		b.Op(wasm.OpI32WrapI64)
		b.Op(wasm.OpI32DivU)
	})
	u.add("recurse", func(u *unitBuilder, b *wasm.Body) { // not a tail call
		b.LocalGet(0)
		u.set(b, guestabi.LastPC)
		b.LocalGet(0)
		b.Call(u.host[guestabi.FuncResolve]) // ends the recursion when rdi says so
		b.Op(wasm.OpDrop)
		b.LocalGet(0)
		b.Call(u.dispatch)
		b.I32Const(1)
		b.Op(wasm.OpI32Add)
	})
	u.add("fault", func(u *unitBuilder, b *wasm.Body) {
		b.I32Const(int32(guestabi.FaultUndefined))
		b.LocalGet(0)
		b.Call(u.host[guestabi.FuncFault])
	})
	u.add("div_u128", helper(guestabi.FuncDivU128, guestabi.RDX, guestabi.RAX, guestabi.RCX))
	u.add("div_s128", helper(guestabi.FuncDivS128, guestabi.RDX, guestabi.RAX, guestabi.RCX))
	u.add("cas128", helper(guestabi.FuncCAS128, guestabi.RDI, guestabi.RAX, guestabi.RDX, guestabi.RBX, guestabi.RCX))
	u.add("atomic", helper(guestabi.FuncAtomic, guestabi.RAX, guestabi.RDI, guestabi.RBX, guestabi.RCX))
	u.add("cpuid", helper(guestabi.FuncCPUID, guestabi.RAX, guestabi.RCX))
	u.add("rdtsc", helper(guestabi.FuncRDTSC))
	u.add("fxsave", helper(guestabi.FuncFXSave, guestabi.RDI, guestabi.RSI))
	u.add("fxrstor", helper(guestabi.FuncFXRstor, guestabi.RDI))
	u.add("x87", helper(guestabi.FuncX87, guestabi.RAX, guestabi.RDI))
	u.add("count", func(u *unitBuilder, b *wasm.Body) { // rsi times: lock incq MinAddr, with safepoints
		b.Loop(wasm.BlockVoid)
		b.I32Const(guestabi.MinAddr - guestabi.AddrBias)
		b.I64Const(1)
		b.MemArg(wasm.OpI64AtomicRmwAdd, 3, 0)
		b.Op(wasm.OpDrop)
		u.get(b, guestabi.RSI)
		b.I64Const(63)
		b.Op(wasm.OpI64And)
		b.Op(wasm.OpI64Eqz)
		b.If(wasm.BlockVoid)
		b.LocalGet(0)
		b.Call(u.host[guestabi.FuncSafepoint])
		b.Op(wasm.OpDrop)
		b.End()
		u.get(b, guestabi.RSI)
		b.I64Const(1)
		b.Op(wasm.OpI64Sub)
		u.set(b, guestabi.RSI)
		u.get(b, guestabi.RSI)
		b.Op(wasm.OpI64Eqz)
		b.Op(wasm.OpI32Eqz)
		b.BrIf(0)
		b.End()
		b.I32Const(0)
	})
	u.add("spin", func(u *unitBuilder, b *wasm.Body) { // rdi calls of syscall
		b.Loop(wasm.BlockVoid)
		for range 7 {
			b.I64Const(39)
		}
		b.I32Const(testBase)
		b.Call(u.host[guestabi.FuncSyscall])
		b.Op(wasm.OpDrop)
		u.set(b, guestabi.RAX)
		u.get(b, guestabi.RDI)
		b.I64Const(1)
		b.Op(wasm.OpI64Sub)
		u.set(b, guestabi.RDI)
		u.get(b, guestabi.RDI)
		b.Op(wasm.OpI64Eqz)
		b.Op(wasm.OpI32Eqz)
		b.BrIf(0)
		b.End()
		b.I32Const(0)
	})
	return u
}

// helper is a routine that calls a host function with registers as parameters
// and leaves the results in r8, r9, r10, r11.
func helper(name string, regs ...guestabi.Reg) func(*unitBuilder, *wasm.Body) {
	return func(u *unitBuilder, b *wasm.Body) {
		for _, f := range guestabi.KernelFuncs() {
			if f.Name != name {
				continue
			}
			for i, r := range regs {
				u.get(b, r)
				if f.Params[i] == wasm.I32 {
					b.Op(wasm.OpI32WrapI64)
				}
			}
			b.Call(u.host[name])
			for i := len(f.Results) - 1; i >= 0; i-- {
				if f.Results[i] == wasm.I32 {
					b.Op(wasm.OpI64ExtendI32U)
				}
				u.set(b, guestabi.R8+guestabi.Reg(i))
			}
		}
		b.I32Const(0)
	}
}
