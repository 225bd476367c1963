package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// hop is where unit i of hopMegabinary lies: code at link-time addresses
// [0x1000, 0x2000), bound at these bases.
var hopBase = [3]guestabi.PC{0x40_0000, 0x50_0000, 0x60_0000}

func hopPC(unit int) uint64 { return uint64(hopBase[unit]) + 0x1800 }

// hopUnit appends the digit i to rax, then goes on at rdi, with rsi as the next
// rdi and rdx as the next rsi.
func hopUnit(i int) *wasm.Module {
	m := &wasm.Module{Name: "hop"}
	pcToPC := m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	fault := m.ImportFunc(guestabi.ModuleKernel, guestabi.FuncFault, m.Type([]wasm.ValType{wasm.I32, wasm.I32}, []wasm.ValType{wasm.I32}))
	dispatch := m.ImportFunc(guestabi.ModuleGuest, guestabi.ImportDispatch, pcToPC)
	m.ImportMemory(guestabi.ModuleGuest, guestabi.ImportMemory, wasm.Limits{Min: 1})
	reg := func(r guestabi.Reg) uint32 {
		return m.ImportGlobal(guestabi.ModuleGuest, r.String(), r.Type(), true)
	}
	rax, rdi, rsi, rdx := reg(guestabi.RAX), reg(guestabi.RDI), reg(guestabi.RSI), reg(guestabi.RDX)
	i32 := wasm.GlobalType{Type: wasm.I32, Mutable: true}
	base := m.AddGlobal(wasm.Global{GlobalType: i32})
	admitted := m.AddGlobal(wasm.Global{GlobalType: i32})
	b := wasm.NewBody(1)
	b.GlobalGet(admitted)
	b.Op(wasm.OpI32Eqz)
	b.If(wasm.BlockVoid)
	b.I32Const(int32(guestabi.FaultNotAdmitted))
	b.LocalGet(0)
	b.ReturnCall(fault)
	b.End()
	b.LocalGet(0)
	b.GlobalGet(base)
	b.Op(wasm.OpI32Sub)
	b.I32Const(0x1800)
	b.Op(wasm.OpI32Ne)
	b.If(wasm.BlockVoid)
	b.I32Const(int32(guestabi.FaultMiss))
	b.LocalGet(0)
	b.ReturnCall(fault)
	b.End()
	b.GlobalGet(rax)
	b.I64Const(10)
	b.Op(wasm.OpI64Mul)
	b.I64Const(int64(i))
	b.Op(wasm.OpI64Add)
	b.GlobalSet(rax)
	b.GlobalGet(rdi)
	b.Op(wasm.OpI32WrapI64)
	b.GlobalGet(rsi)
	b.GlobalSet(rdi)
	b.GlobalGet(rdx)
	b.GlobalSet(rsi)
	b.I64Const(0)
	b.GlobalSet(rdx)
	b.Call(dispatch)
	m.Export(guestabi.ExportEnter, wasm.KindFunc, m.AddFunc(b.Func(pcToPC, "hop")))
	m.Export(guestabi.ExportBase, wasm.KindGlobal, base)
	m.Export(guestabi.ExportAdmitted, wasm.KindGlobal, admitted)
	return m
}

// hopMegabinary joins n units.
func hopMegabinary(t *testing.T, n int) []byte {
	t.Helper()
	inputs := []wasm.LinkInput{{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(n)}}
	var units []artifact.UnitEntry
	for i := range n {
		prefix := guestabi.UnitModule(i) + "."
		inputs = append(inputs, wasm.LinkInput{Name: guestabi.UnitModule(i), Module: hopUnit(i + 1), Prefix: prefix})
		units = append(units, artifact.UnitEntry{Low: 0x1000, High: 0x2000, PositionIndependent: true, ExportEnter: prefix + "enter",
			ExportBase: prefix + "base", ExportAdmitted: prefix + "admitted"})
	}
	m, err := wasm.Link(inputs)
	if err != nil {
		t.Fatal(err)
	}
	section, err := json.Marshal(units)
	if err != nil {
		t.Fatal(err)
	}
	m.Customs = append(m.Customs, wasm.Custom{Name: artifact.SectionUnits, Bytes: section})
	return m.Encode()
}

// hopWorld is a machine over hopMegabinary, and its kernel.
type hopWorld struct {
	m      Machine
	mem    *Memory
	bases  map[guestabi.PC]int // what the kernel resolves: base -> unit
	faults []guestabi.Fault
	asked  int // times that the kernel was asked where a PC is
}

func newHopWorld(t *testing.T, o WazeroOptions) *hopWorld {
	t.Helper()
	ctx := context.Background()
	e, err := NewWazero(ctx, hopMegabinary(t, 3), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(ctx) })
	w := &hopWorld{bases: map[guestabi.PC]int{}}
	if w.mem, err = NewMemory(1 << 20); err != nil {
		t.Fatal(err)
	}
	w.m, err = e.NewMachine(w.mem, &fakeKernel{
		fault: func(f guestabi.Fault, pc guestabi.PC) guestabi.PC {
			w.faults = append(w.faults, f)
			return Unwind
		},
		resolve: func(pc guestabi.PC) int {
			w.asked++
			for base, unit := range w.bases {
				if pc >= base+0x1000 && pc < base+0x2000 {
					if err := w.m.Bind(unit, base); err != nil {
						t.Error(err)
					}
					return unit
				}
			}
			return -1
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.m.Close() })
	return w
}

func (w *hopWorld) bind(t *testing.T, unit int) {
	t.Helper()
	w.bases[hopBase[unit]] = unit
	if err := w.m.Bind(unit, hopBase[unit]); err != nil {
		t.Fatal(err)
	}
}

// hop runs from unit first over others and returns what they left in rax.
func (w *hopWorld) hop(t *testing.T, first int, others ...int) uint64 {
	t.Helper()
	var c guestabi.Context
	c.XMM[3][5] = 42
	for i, u := range others {
		c.GPR[[]guestabi.Reg{guestabi.RDI, guestabi.RSI, guestabi.RDX}[i]] = hopPC(u)
	}
	w.m.LoadContext(&c)
	if pc, err := w.m.Run(guestabi.PC(hopPC(first))); err != nil || pc != Unwind {
		t.Fatalf("left at %#x, %v", pc, err)
	}
	w.m.SaveContext(&c)
	if c.XMM[3][5] != 42 {
		t.Error("xmm3 is lost")
	}
	return c.GPR[guestabi.RAX]
}

func eachEngine(t *testing.T, f func(t *testing.T, w *hopWorld)) {
	for name, o := range map[string]WazeroOptions{"compiler": {}, "interpreter": {Interpreter: true},
		"cache": {CacheDir: t.TempDir() + "/cache"}} {
		t.Run(name, func(t *testing.T) { f(t, newHopWorld(t, o)) })
	}
}

func TestUnitsCallEachOther(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *hopWorld) {
		for unit := range 3 {
			w.bind(t, unit)
		}
		if got := w.hop(t, 0, 1, 2, 0); got != 1231 {
			t.Errorf("went %d", got)
		}
		before := w.asked
		if got := w.hop(t, 2, 1, 0, 1); got != 3212 {
			t.Errorf("went %d", got)
		}
		if w.asked != before+1 { // for PC 0
			t.Errorf("asked the kernel %d times where known units are", w.asked-before)
		}
	})
}

func TestOneUnitGetsCompany(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *hopWorld) {
		w.bind(t, 0)
		if got := w.hop(t, 0, 0, 0); got != 111 {
			t.Errorf("alone: went %d", got)
		}
		if w.m.(*wazeroMachine).alone != 0 {
			t.Error("the only unit shares its registers")
		}
		w.bind(t, 1)
		if got := w.hop(t, 0, 0, 1, 0); got != 1121 {
			t.Errorf("with another one: went %d", got)
		}
		for _, f := range w.faults {
			if f != guestabi.FaultBadPC {
				t.Errorf("fault %d", f)
			}
		}
		if len(w.faults) != 2 { // for PC 0, at the end of each
			t.Errorf("%d faults", len(w.faults))
		}
	})
}

func TestUnitsMoveAndGo(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *hopWorld) {
		w.bind(t, 0)
		w.bind(t, 1)
		if got := w.hop(t, 0, 1); got != 12 {
			t.Errorf("went %d", got)
		}
		// Unit 2 takes the place of unit 1, which goes where unit 2 would be.
		w.bases = map[guestabi.PC]int{hopBase[0]: 0, hopBase[1]: 2, hopBase[2]: 1}
		w.mem.UnitsGone()
		if got := w.hop(t, 0, 1, 2, 0); got != 1321 {
			t.Errorf("after the change: went %d", got)
		}
		delete(w.bases, hopBase[1])
		w.mem.UnitsGone()
		if got := w.hop(t, 0, 1, 2); got != 1 {
			t.Errorf("into a unit that is gone: went %d", got)
		}
	})
}

// Units that are equal are cut out equal, so that their code is shared by all
// megabinaries that hold them.
func TestPartsDoNotDependOnTheirMegabinary(t *testing.T) {
	ctx := context.Background()
	var parts [2][2][]byte
	for i, n := range []int{2, 3} {
		e, err := NewWazero(ctx, hopMegabinary(t, n), WazeroOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(ctx)
		for j, alone := range []bool{false, true} {
			if parts[i][j], err = e.(*wazeroEngine).parts.extract(partKey{1, alone}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for j := range parts[0] {
		if !bytes.Equal(parts[0][j], parts[1][j]) {
			t.Errorf("part %d differs", j)
		}
	}
}
