package lower

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Input is what a unit is made of.
type Input struct {
	Name    string
	Funcs   []*ir.Func // by PC
	Low     uint32     // link-time guest addresses of the unit: [Low, High)
	High    uint32
	PIC     bool
	Report  artifact.UnitReport
	Workers int    // functions lowered at a time
	Lines   *Lines // nil: none
}

// Unit lowers all functions, whose blocks it takes away, and returns the module.
// It counts in the report the functions that it refused.
func Unit(in *Input) (*wasm.Module, error) {
	if in.High < in.Low {
		return nil, fmt.Errorf("lowering %s: code ends at %#x, before it begins at %#x", in.Name, in.High, in.Low)
	}
	u := &unit{in: in, m: &wasm.Module{Name: in.Name}, env: &Env{PIC: in.PIC, Lines: in.Lines}}
	u.imports()
	u.entries()
	if err := u.functions(); err != nil {
		return nil, err
	}
	u.dispatch()
	report, err := json.Marshal(in.Report)
	if err != nil {
		return nil, fmt.Errorf("encoding the report of %s: %w", in.Name, err)
	}
	var maps []byte
	for i := range u.m.Funcs {
		maps = guestabi.AppendCodeMap(maps, u.m.Funcs[i].Note, 0)
	}
	u.m.Customs = append(u.m.Customs, wasm.Custom{Name: artifact.SectionUnit, Bytes: report},
		wasm.Custom{Name: artifact.SectionCodeMap, Bytes: maps})
	return u.m, nil
}

type unit struct {
	in         *Input
	m          *wasm.Module
	env        *Env
	first      uint32     // index of the first guest function
	funcs      []*ir.Func // those of the input, then their careful ones
	chunks     uint32     // index of the first chunk function
	nChunks    int
	toDispatch uint32
	admitted   uint32
	owners     []owner
}

// owner says that entries from offset on belong to a function, up to the next
// owner. Offsets are relative to the unit's Low.
type owner struct {
	offset uint32
	fn     int // index into Input.Funcs
}

func valTypes(ts []guestabi.Type) []wasm.ValType {
	out := make([]wasm.ValType, len(ts))
	for i, t := range ts {
		out[i] = wasm.ValType(t)
	}
	return out
}

// imports declares what the unit uses, and its own globals.
func (u *unit) imports() {
	used := ir.RegSetOf(guestabi.Fuel)
	ymm := map[ir.Reg]bool{}
	helpers := map[string]bool{guestabi.FuncFault: true, guestabi.FuncSafepoint: true}
	u.funcs = append(u.funcs, u.in.Funcs...)
	for _, f := range u.in.Funcs {
		if f.Careful != nil {
			u.funcs = append(u.funcs, f.Careful)
		}
	}
	for _, f := range u.funcs {
		used |= UsedRegs(f)
		UsedYMM(f, ymm)
		UsedHelpers(f, helpers)
	}
	m, env := u.m, u.env
	env.FuncType = m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	m.ImportMemory(guestabi.ModuleGuest, guestabi.ImportMemory, wasm.Limits{Min: 0})
	u.toDispatch = m.ImportFunc(guestabi.ModuleGuest, guestabi.ImportDispatch, env.FuncType)
	env.Helpers = map[string]uint32{}
	for _, k := range guestabi.KernelFuncs() {
		if helpers[k.Name] {
			env.Helpers[k.Name] = m.ImportFunc(guestabi.ModuleKernel, k.Name, m.Type(valTypes(k.Params), valTypes(k.Results)))
		}
	}
	for _, k := range guestabi.GuestFuncs(guestabi.CPUv3) {
		if helpers[k.Name] {
			env.Helpers[k.Name] = m.ImportFunc(guestabi.ModuleGuest, k.Name, m.Type(valTypes(k.Params), valTypes(k.Results)))
		}
	}
	regs := used.Regs()
	for r := guestabi.YMMH0; r < guestabi.EndRegs; r++ {
		if ymm[r] {
			regs = append(regs, r)
		}
	}
	for _, r := range regs {
		env.Globals[r] = m.ImportGlobal(guestabi.ModuleGuest, r.String(), wasm.ValType(r.Type()), true)
	}
	u.admitted = m.AddGlobal(wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Label: guestabi.ExportAdmitted})
	m.Export(guestabi.ExportAdmitted, wasm.KindGlobal, u.admitted)
	if env.PIC {
		env.Base = m.AddGlobal(wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Label: guestabi.ExportBase})
		m.Export(guestabi.ExportBase, wasm.KindGlobal, env.Base)
	}
	const chunkBytes = 1 << chunkShift
	u.nChunks = int((uint64(u.in.High-u.in.Low) + chunkBytes - 1) / chunkBytes)
	u.first = m.ReserveFuncs(len(u.funcs) + u.nChunks + 1)
	u.chunks = u.first + uint32(len(u.funcs))
	env.Careful = map[*ir.Func]uint32{}
	for i, f := range u.funcs[len(u.in.Funcs):] {
		env.Careful[f] = u.first + uint32(len(u.in.Funcs)+i)
	}
	env.Enter = u.chunks + uint32(u.nChunks)
}

// entries finds which function holds each PC that may be entered.
func (u *unit) entries() {
	type place struct{ index, resume uint32 }
	at := make(map[uint32]place)
	pcs := make(map[uint32]int)
	add := func(i int, pc uint32) {
		if _, ok := at[pc]; !ok {
			at[pc] = place{u.first + uint32(i), pc - u.in.Funcs[i].PC}
			pcs[pc] = i
		}
	}
	for i, f := range u.in.Funcs {
		add(i, f.PC)
	}
	for i, f := range u.in.Funcs {
		for _, b := range f.Blocks {
			if b.Entry && !b.Copy {
				add(i, b.PC)
			}
		}
	}
	for i, f := range u.in.Funcs {
		if f.Careful == nil {
			continue
		}
		for _, b := range f.Careful.Blocks { // those that its passes have made
			if _, ok := pcs[b.PC]; !ok && b.Entry && !b.Copy {
				pcs[b.PC] = i
			}
		}
	}
	u.env.Target = func(pc uint32) (uint32, uint32, bool) {
		p, ok := at[pc]
		return p.index, p.resume, ok
	}
	sorted := make([]uint32, 0, len(pcs))
	for pc := range pcs {
		if pc >= u.in.Low && pc < u.in.High {
			sorted = append(sorted, pc)
		}
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	for _, pc := range sorted {
		if n := len(u.owners); n == 0 || u.owners[n-1].fn != pcs[pc] {
			u.owners = append(u.owners, owner{pc - u.in.Low, pcs[pc]})
		}
	}
}

// functions lowers the guest functions, several at a time, each into its place.
func (u *unit) functions() error {
	errs := make([]error, len(u.funcs))
	var refused atomic.Int64
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, u.in.Workers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f := u.funcs[i]
				var tooLarge bool
				if u.m.Funcs[i], tooLarge, errs[i] = lowerOrRefuse(f, u.env, Label(f)); tooLarge {
					refused.Add(1)
				}
				f.Blocks = nil // the IR of a whole program is large
			}
		}()
	}
	for i := range u.funcs {
		next <- i
	}
	close(next)
	wg.Wait()
	u.in.Report.Refused = int(refused.Load())
	return errors.Join(errs...)
}

// Label is the name of f's wasm function.
func Label(f *ir.Func) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("f_%x", f.PC)
}

const (
	chunkShift = 14 // a chunk function serves 16 KiB of guest code
	pageShift  = 8  // in pages of 256 bytes
)

// dispatch makes the functions that enter the unit at a PC.
func (u *unit) dispatch() {
	for c := range u.nChunks {
		u.m.Funcs[len(u.funcs)+c] = u.chunk(c)
	}
	u.m.Funcs[len(u.funcs)+u.nChunks] = u.enter()
	u.m.Export(guestabi.ExportEnter, wasm.KindFunc, u.env.Enter)
}

// enter checks that the unit was admitted and passes the PC on to its chunk. Its
// safepoint is that of recursion through pointers.
func (u *unit) enter() wasm.Func {
	b := wasm.NewBody(1)
	off := b.Local(wasm.I32)
	b.GlobalGet(u.admitted)
	b.Op(wasm.OpI32Eqz)
	b.If(wasm.BlockVoid)
	b.I32Const(int32(guestabi.FaultNotAdmitted))
	b.LocalGet(0)
	b.ReturnCall(u.env.Helpers[guestabi.FuncFault])
	b.End()
	u.spendFuel(b, off)
	b.LocalGet(0)
	if u.env.PIC {
		b.GlobalGet(u.env.Base)
		b.Op(wasm.OpI32Sub)
	}
	b.I32Const(int32(u.in.Low))
	b.Op(wasm.OpI32Sub)
	b.LocalTee(off)
	b.I32Const(int32(u.in.High - u.in.Low))
	b.Op(wasm.OpI32GeU)
	b.If(wasm.BlockVoid)
	b.LocalGet(0)
	b.ReturnCall(u.toDispatch)
	b.End()
	for range u.nChunks {
		b.Block(wasm.BlockVoid)
	}
	b.Block(wasm.BlockVoid)
	b.LocalGet(off)
	b.I32Const(chunkShift)
	b.Op(wasm.OpI32ShrU)
	depths := make([]uint32, u.nChunks)
	for c := range depths {
		depths[c] = uint32(c)
	}
	b.BrTable(depths, uint32(u.nChunks))
	for c := range u.nChunks {
		b.End()
		b.LocalGet(off)
		b.ReturnCall(u.chunks + uint32(c))
	}
	b.End()
	b.Op(wasm.OpUnreachable)
	return b.Func(u.env.FuncType, guestabi.ExportEnter)
}

// spendFuel calls the host now and then, with the PC in local 0 as the place to
// go on at; temp is a local.
func (u *unit) spendFuel(b *wasm.Body, temp uint32) {
	fuel := u.env.Globals[guestabi.Fuel]
	b.GlobalGet(fuel)
	b.I32Const(-1)
	b.Op(wasm.OpI32Add)
	b.LocalTee(temp)
	b.GlobalSet(fuel)
	b.LocalGet(temp)
	b.I32Const(0)
	b.Op(wasm.OpI32LtS)
	b.If(wasm.BlockVoid)
	b.LocalGet(0)
	b.Call(u.env.Helpers[guestabi.FuncSafepoint])
	b.LocalTee(temp)
	b.LocalGet(0)
	b.Op(wasm.OpI32Ne)
	b.If(wasm.BlockVoid)
	b.LocalGet(temp)
	b.Return()
	b.End()
	b.I32Const(guestabi.FuelPerSlice)
	b.GlobalSet(fuel)
	b.End()
}

// chunk makes the function (offset i32) -> (pc i32) that enters chunk c.
func (u *unit) chunk(c int) wasm.Func {
	const pages = 1 << (chunkShift - pageShift)
	b := wasm.NewBody(1)
	for range pages {
		b.Block(wasm.BlockVoid)
	}
	b.LocalGet(0)
	b.I32Const(pageShift)
	b.Op(wasm.OpI32ShrU)
	b.I32Const(pages - 1)
	b.Op(wasm.OpI32And)
	depths := make([]uint32, pages)
	for p := range depths {
		depths[p] = uint32(p)
	}
	b.BrTable(depths[:pages-1], pages-1)
	for p := range pages {
		b.End()
		u.page(b, uint32(c)<<chunkShift+uint32(p)<<pageShift)
	}
	return b.Func(u.env.FuncType, fmt.Sprintf("enter_%x", u.in.Low+uint32(c)<<chunkShift))
}

// page enters the function whose entries lie around the offset in local 0,
// which is in the page at start.
func (u *unit) page(b *wasm.Body, start uint32) {
	end := start + 1<<pageShift
	i := sort.Search(len(u.owners), func(i int) bool { return u.owners[i].offset >= end }) - 1
	for ; i >= 0; i-- {
		o := u.owners[i]
		if o.offset > start {
			b.LocalGet(0)
			b.I32Const(int32(o.offset))
			b.Op(wasm.OpI32GeU)
			b.If(wasm.BlockVoid)
		}
		b.LocalGet(0)
		b.I32Const(int32(u.in.Funcs[o.fn].PC - u.in.Low))
		b.Op(wasm.OpI32Sub)
		b.ReturnCall(u.first + uint32(o.fn))
		if o.offset <= start {
			return
		}
		b.End()
	}
	b.I32Const(int32(guestabi.FaultMiss))
	b.LocalGet(0)
	b.I32Const(int32(u.in.Low))
	b.Op(wasm.OpI32Add)
	if u.env.PIC {
		b.GlobalGet(u.env.Base)
		b.Op(wasm.OpI32Add)
	}
	b.ReturnCall(u.env.Helpers[guestabi.FuncFault])
}
