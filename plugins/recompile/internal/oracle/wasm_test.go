package oracle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/plugins/recompile/internal/lower"
	"megabinary.dev/plugins/recompile/internal/pass"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/vkernel/machine"
)

// wasmMachine runs cases as the product does: lifted, improved, lowered, linked
// and run by wazero. Each case is a unit of its own at the same guest address;
// the kernel of the test says which of them is entered. Guest memory below the
// case's is mapped, and a little above, so accesses outside of it do not fault.
type wasmMachine struct {
	name    string
	options pass.Options
	wazero  machine.WazeroOptions
	// open makes an engine of units and of the megabinary that they were linked
	// into; nil: wazero.
	open func(units []*wasm.Module, megabinary []byte) (machine.Engine, error)
}

// Name implements Meaning.
func (w *wasmMachine) Name() string { return w.name }

// unitsPerModule bounds the units of one megabinary, whose dispatch function
// grows with them.
const unitsPerModule = 64

// Run implements Meaning.
func (w *wasmMachine) Run(cases []Case) []Result {
	var results []Result
	for len(cases) > 0 {
		n := min(unitsPerModule, len(cases))
		groups := make([][]Case, n)
		for i := range groups {
			groups[i] = cases[i : i+1]
		}
		for _, r := range w.runGroups(groups) {
			results = append(results, r...)
		}
		cases = cases[n:]
	}
	return results
}

// runGroups runs groups of cases, of which each has one code and becomes one
// unit of one megabinary.
func (w *wasmMachine) runGroups(groups [][]Case) [][]Result {
	results := make([][]Result, len(groups))
	inputs := []wasm.LinkInput{{Name: guestabi.ModuleGuest}}
	var entries []artifact.UnitEntry
	var of []int // group of each unit
	fail := func(i int, err error) {
		for k := range results[i] {
			results[i][k].Err = err
		}
	}
	for i, group := range groups {
		results[i] = make([]Result, len(group))
		unit, err := w.unit(group[0])
		if err != nil {
			fail(i, err)
			continue
		}
		name := guestabi.UnitModule(len(entries))
		inputs = append(inputs, wasm.LinkInput{Name: name, Module: unit, Prefix: name + "."})
		entries = append(entries, artifact.UnitEntry{
			Low: CodeAt, High: CodeAt + uint64(len(group[0].Code)),
			ExportEnter: name + "." + guestabi.ExportEnter, ExportAdmitted: name + "." + guestabi.ExportAdmitted,
			CPU: guestabi.CPUv3.String(),
		})
		of = append(of, i)
	}
	if len(entries) == 0 {
		return results
	}
	if err := w.runUnits(inputs, entries, groups, of, results); err != nil {
		for _, i := range of {
			fail(i, err)
		}
	}
	return results
}

// unit lifts, improves and lowers a case.
func (w *wasmMachine) unit(c Case) (*wasm.Module, error) {
	f := c.function
	if f == nil {
		var err error
		if f, err = lift.Bytes(c.Code, CodeAt); err != nil {
			return nil, err
		}
	}
	if err := w.improve(f); err != nil {
		return nil, err
	}
	return lower.Unit(&lower.Input{Name: "case", Funcs: []*ir.Func{f}, Low: CodeAt, High: CodeAt + uint32(len(c.Code)), Workers: 1,
		Report: artifact.UnitReport{CPU: guestabi.CPUv3.Label()}})
}

// sequenceStride is how far apart sequences lie in their unit.
const sequenceStride = 256

// runSequences runs groups of cases, each with one code, as one unit in which
// each code lies elsewhere: that compiles faster than a unit for each. Code must
// not look at its address.
func (w *wasmMachine) runSequences(groups [][]Case) ([][]Result, error) {
	in := &lower.Input{Name: "sequences", Report: artifact.UnitReport{CPU: guestabi.CPUv3.Label()}, Low: CodeAt, High: CodeAt + uint32(len(groups))*sequenceStride, Workers: 1}
	for i, group := range groups {
		f, err := lift.Bytes(group[0].Code, CodeAt+uint64(i)*sequenceStride)
		if err != nil {
			return nil, err
		}
		if err := w.improve(f); err != nil {
			return nil, err
		}
		in.Funcs = append(in.Funcs, f)
	}
	unit, err := lower.Unit(in)
	if err != nil {
		return nil, err
	}
	name := guestabi.UnitModule(0)
	engine, mem, err := w.engine([]wasm.LinkInput{{Name: guestabi.ModuleGuest}, {Name: name, Module: unit, Prefix: name + "."}}, []artifact.UnitEntry{{
		Low: uint64(in.Low), High: uint64(in.High), ExportEnter: name + "." + guestabi.ExportEnter, ExportAdmitted: name + "." + guestabi.ExportAdmitted,
		CPU: guestabi.CPUv3.String(),
	}})
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	defer engine.Close(context.Background())
	k := &caseKernel{}
	m, err := engine.NewMachine(mem, k)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := m.Bind(0, 0); err != nil {
		return nil, err
	}
	results := make([][]Result, len(groups))
	for i, group := range groups {
		for _, c := range group {
			at := CodeAt + guestabi.PC(i)*sequenceStride
			*k = caseKernel{at: at, end: at + guestabi.PC(len(c.Code))}
			results[i] = append(results[i], runCase(m, mem, k, c))
		}
	}
	return results, nil
}

// improve runs the passes.
func (w *wasmMachine) improve(f *ir.Func) error {
	options := w.options
	options.Verify = true
	c := &pass.Context{Flags: pass.AllFlags()}
	if f.Careful != nil {
		if err := pass.Run(c, f.Careful, &options); err != nil {
			return err
		}
	}
	return pass.Run(c, f, &options)
}

// engine links units and compiles them.
func (w *wasmMachine) engine(inputs []wasm.LinkInput, entries []artifact.UnitEntry) (machine.Engine, *machine.Memory, error) {
	inputs[0].Module = guestabi.RuntimeOf(guestabi.CPUv3, len(entries))
	var units []*wasm.Module
	for _, in := range inputs[1:] {
		units = append(units, in.Module)
	}
	linked, err := wasm.Link(inputs)
	if err != nil {
		return nil, nil, fmt.Errorf("linking: %w", err)
	}
	section, err := json.Marshal(entries)
	if err != nil {
		return nil, nil, err
	}
	linked.Customs = append(linked.Customs, wasm.Custom{Name: artifact.SectionUnits, Bytes: section})
	open := w.open
	if open == nil {
		open = func(_ []*wasm.Module, megabinary []byte) (machine.Engine, error) {
			return machine.NewWazero(context.Background(), megabinary, w.wazero)
		}
	}
	engine, err := open(units, linked.Encode())
	if err != nil {
		return nil, nil, err
	}
	mem, err := machine.NewMemory(MemAt + 1<<16 - guestabi.AddrBias)
	if err != nil {
		return nil, nil, errors.Join(err, engine.Close(context.Background()))
	}
	return engine, mem, nil
}

func (w *wasmMachine) runUnits(inputs []wasm.LinkInput, entries []artifact.UnitEntry, groups [][]Case, of []int, results [][]Result) error {
	engine, mem, err := w.engine(inputs, entries)
	if err != nil {
		return err
	}
	defer mem.Close()
	defer engine.Close(context.Background())
	for unit, i := range of {
		if err := runUnit(engine, mem, unit, groups[i], results[i]); err != nil {
			return err
		}
	}
	return nil
}

// runUnit runs the cases of one unit on a machine of their own: the units all
// lie at one address.
func runUnit(engine machine.Engine, mem *machine.Memory, unit int, cases []Case, results []Result) error {
	k := &caseKernel{}
	m, err := engine.NewMachine(mem, k)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Bind(unit, 0); err != nil {
		return err
	}
	for n, c := range cases {
		*k = caseKernel{unit: unit, at: CodeAt, end: CodeAt + guestabi.PC(len(c.Code))}
		results[n] = runCase(m, mem, k, c)
	}
	return nil
}

// runCase runs one case on a machine.
func runCase(m machine.Machine, mem *machine.Memory, k *caseKernel, c Case) Result {
	var fx [512]byte
	c.State.X87.MarshalFXSave(fx[:])
	m.X87().UnmarshalFXSave(fx[:])
	m.LoadContext(contextOf(c.State))
	data := mem.Bytes()[MemAt-guestabi.AddrBias:][:MemSize]
	copy(data, c.State.Mem[0].Data)
	k.start = k.at
	pc, err := m.Run(k.start)
	for err == nil && k.again != 0 {
		k.start, k.again, k.entered = k.again, 0, false
		pc, err = m.Run(k.start)
	}
	if k.left != 0 {
		pc = k.left
	}
	o := Outcome{State: Clone(c.State), PC: uint64(pc - k.at + CodeAt)}
	var trap *machine.Trap
	switch {
	case errors.As(err, &trap) && trap.Kind == machine.TrapMemory:
		o.Signal = syscall.SIGSEGV
	case errors.As(err, &trap) && (trap.Kind == machine.TrapDivide || trap.Kind == machine.TrapFloat):
		o.Signal = syscall.SIGFPE
	case err != nil:
		return Result{Outcome: o, Err: err, wasm: true}
	case k.fault != 0:
		o.Signal = signalOf(k.fault)
	}
	var g guestabi.Context
	m.SaveContext(&g)
	setContext(o.State, &g)
	m.X87().MarshalFXSave(fx[:])
	o.State.X87.UnmarshalFXSave(fx[:])
	copy(o.State.Mem[0].Data, data)
	return Result{Outcome: o, wasm: true, trapped: trap != nil}
}

func contextOf(st *interp.State) *guestabi.Context {
	c := &guestabi.Context{
		RFLAGS: RFLAGS(st), FSBase: st.Regs[guestabi.FSBase].Lo, GSBase: st.Regs[guestabi.GSBase].Lo,
		MXCSR: uint32(st.Regs[guestabi.MXCSR].Lo), Fuel: guestabi.FuelPerSlice,
	}
	for i := range c.GPR {
		c.GPR[i] = st.Regs[i].Lo
	}
	for i := range c.XMM {
		v := st.Regs[guestabi.XMM0+guestabi.Reg(i)]
		binary.LittleEndian.PutUint64(c.XMM[i][:], v.Lo)
		binary.LittleEndian.PutUint64(c.XMM[i][8:], v.Hi)
		h := st.Regs[guestabi.YMMH0+guestabi.Reg(i)]
		binary.LittleEndian.PutUint64(c.YMMH[i][:], h.Lo)
		binary.LittleEndian.PutUint64(c.YMMH[i][8:], h.Hi)
	}
	return c
}

func setContext(st *interp.State, c *guestabi.Context) {
	for i := range c.GPR {
		st.Regs[i].Lo = c.GPR[i]
	}
	for i := range c.XMM {
		st.Regs[guestabi.XMM0+guestabi.Reg(i)] = interp.Val{Lo: binary.LittleEndian.Uint64(c.XMM[i][:]), Hi: binary.LittleEndian.Uint64(c.XMM[i][8:])}
		st.Regs[guestabi.YMMH0+guestabi.Reg(i)] = interp.Val{Lo: binary.LittleEndian.Uint64(c.YMMH[i][:]), Hi: binary.LittleEndian.Uint64(c.YMMH[i][8:])}
	}
	SetRFLAGS(st, c.RFLAGS)
	st.Regs[guestabi.FSBase].Lo, st.Regs[guestabi.GSBase].Lo = c.FSBase, c.GSBase
	st.Regs[guestabi.MXCSR].Lo = uint64(c.MXCSR)
}

// caseKernel lets a case be entered once, and again where it starts to be
// careful, and notes where it leaves to.
type caseKernel struct {
	unit    int
	at, end guestabi.PC // where its code lies
	start   guestabi.PC // where it is entered
	entered bool
	again   guestabi.PC // where it is to be entered again; 0: nowhere
	left    guestabi.PC
	fault   guestabi.Fault
}

func (k *caseKernel) Syscall(uint64, [6]uint64, guestabi.PC) (uint64, guestabi.PC) {
	return 0, machine.Unwind
}

func (k *caseKernel) Safepoint(next guestabi.PC) guestabi.PC { return next }

func (k *caseKernel) Fault(f guestabi.Fault, pc guestabi.PC) guestabi.PC {
	if f == guestabi.FaultCareful && pc >= k.at && pc < k.end {
		k.again = pc // of the careful twin
		return machine.Unwind
	}
	k.left = pc
	if f != guestabi.FaultBadPC && f != guestabi.FaultMiss && f != guestabi.FaultCareful {
		k.fault = f
	}
	return machine.Unwind
}

func (k *caseKernel) Resolve(pc guestabi.PC) int {
	if pc == k.start && !k.entered {
		k.entered = true
		return k.unit
	}
	return -1
}
