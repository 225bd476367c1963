//go:build linux && amd64

package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x87"
)

// nativeEngine implements Engine with objects compiled ahead of time.
type nativeEngine struct {
	units   []artifact.UnitEntry
	cpu     guestabi.CPU
	open    func(unit *artifact.UnitEntry) (*os.File, error)
	started time.Time

	exit, nowhere                      uintptr
	handlers                           []hostFunc // by number, nil for those that pass control on
	syscall, safepoint, fault, resolve guestabi.NativeExitCode

	mu      sync.Mutex
	objects []*nativeObject  // by unit, nil: not loaded
	stacks  []unsafe.Pointer // that nobody uses
	closed  bool
}

// NewNative makes an engine for a megabinary whose units have objects. They are
// loaded when they are first entered.
func NewNative(megabinary []byte, o NativeOptions) (Engine, error) {
	units, cpu, err := readUnits(megabinary)
	if err != nil {
		return nil, err
	}
	if len(units) > maxNativeUnits {
		return nil, fmt.Errorf("the megabinary has %d units, native contexts have room for %d", len(units), maxNativeUnits)
	}
	if err := setUpNative(); err != nil {
		return nil, err
	}
	e := &nativeEngine{units: units, cpu: cpu, open: o.Open, started: time.Now(), objects: make([]*nativeObject, len(units))}
	e.exit, e.nowhere, _ = nativeAddrs()
	funcs := hostFuncs()
	for i, f := range guestabi.KernelFuncs() {
		e.handlers = append(e.handlers, funcs[f.Name])
		switch code := guestabi.NativeExitCode(i); f.Name {
		case guestabi.FuncSyscall:
			e.syscall = code
		case guestabi.FuncSafepoint:
			e.safepoint = code
		case guestabi.FuncFault:
			e.fault = code
		case guestabi.FuncResolve:
			e.resolve = code
		}
	}
	return e, nil
}

// CPU implements Engine.
func (e *nativeEngine) CPU() guestabi.CPU { return e.cpu }

// Close implements Engine. All machines are closed.
func (e *nativeEngine) Close(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	for _, s := range e.stacks {
		err = errors.Join(err, freeNativeStack(s))
	}
	for _, o := range e.objects {
		if o != nil {
			err = errors.Join(err, o.close())
		}
	}
	e.stacks, e.objects, e.closed = nil, nil, true
	return err
}

// object loads the object of a unit.
func (e *nativeEngine) object(unit int) (*nativeObject, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.objects[unit]; o != nil {
		return o, nil
	}
	f, err := e.open(&e.units[unit])
	if err != nil {
		return nil, fmt.Errorf("opening the object of unit %d: %w", unit, err)
	}
	o, err := loadNative(f, uint32(unit))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	e.objects[unit] = o
	return o, nil
}

// maxIdleStacks bounds the native stacks that are kept: what was touched of
// each stays in memory.
const maxIdleStacks = 16

func (e *nativeEngine) takeStack() (unsafe.Pointer, error) {
	e.mu.Lock()
	if n := len(e.stacks); n > 0 {
		s := e.stacks[n-1]
		e.stacks = e.stacks[:n-1]
		e.mu.Unlock()
		return s, nil
	}
	e.mu.Unlock()
	return newNativeStack()
}

func (e *nativeEngine) releaseStack(s unsafe.Pointer) error {
	e.mu.Lock()
	if !e.closed && len(e.stacks) < maxIdleStacks {
		e.stacks = append(e.stacks, s)
		e.mu.Unlock()
		return nil
	}
	e.mu.Unlock()
	return freeNativeStack(s)
}

// nativeContextHead is the part of a native context that the host uses by name:
// see sdk/guestabi/native.go.
type nativeContextHead struct {
	mem, exit, stackLimit, hostSP, guestSP, stackTop uintptr
	code                                             guestabi.NativeExitCode
	result                                           guestabi.PC
	faultPC, faultAddr, memSize                      uintptr
	args                                             [8]uint64
	target                                           uintptr
	places                                           [guestabi.PlaceSlots]nativePlace
	generation, place                                uint32
}

type nativePlace struct {
	low, size uint32
	enter     uintptr
}

type nativeUnit struct{ base, admitted uint32 }

// nativeMachine implements Machine.
type nativeMachine struct {
	core
	engine    *nativeEngine
	at        unsafe.Pointer // of the native stack, nil: closed
	c         *nativeContextHead
	units     []nativeUnit
	nextPlace int
}

// NewMachine implements Engine.
func (e *nativeEngine) NewMachine(mem *Memory, k Kernel) (Machine, error) {
	if err := mem.retain(); err != nil {
		return nil, fmt.Errorf("making a machine: %w", err)
	}
	at, err := e.takeStack()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a machine: %w", err), mem.Close())
	}
	m := &nativeMachine{core: core{mem, k, x87.New(), e.cpu, e.started}, engine: e, at: at}
	all := unsafe.Slice((*byte)(at), guestabi.NativeUnits+len(e.units)*guestabi.NativeUnitSize)
	clear(all)
	m.c = (*nativeContextHead)(at)
	m.units = unsafe.Slice((*nativeUnit)(unsafe.Add(at, guestabi.NativeUnits)), len(e.units))
	top := unsafe.Add(at, nativeStackSize-16)
	*(*unsafe.Pointer)(top) = at
	m.c.mem = uintptr(unsafe.Pointer(unsafe.SliceData(mem.bytes)))
	m.c.memSize = uintptr(len(mem.bytes))
	m.c.exit = e.exit
	m.c.stackLimit = uintptr(at) + nativeContext + nativeGuard + nativeReserve
	m.c.stackTop = uintptr(top)
	*m.reg32(guestabi.Fuel) = guestabi.FuelPerSlice
	*m.reg32(guestabi.MXCSR) = guestabi.MXCSRInit
	return m, nil
}

// Close implements Machine.
func (m *nativeMachine) Close() error {
	if m.at == nil {
		return nil
	}
	at := m.at
	m.at, m.c, m.units = nil, nil, nil
	if err := errors.Join(m.engine.releaseStack(at), m.mem.Close()); err != nil {
		return fmt.Errorf("closing a machine: %w", err)
	}
	return nil
}

func (m *nativeMachine) reg32(r guestabi.Reg) *uint32 {
	return (*uint32)(unsafe.Add(m.at, guestabi.NativeRegOffset(r)))
}

func (m *nativeMachine) reg64(r guestabi.Reg) *uint64 {
	return (*uint64)(unsafe.Add(m.at, guestabi.NativeRegOffset(r)))
}

func (m *nativeMachine) vector(r guestabi.Reg) *[16]byte {
	return (*[16]byte)(unsafe.Add(m.at, guestabi.NativeRegOffset(r)))
}

// StackPointer implements Machine.
func (m *nativeMachine) StackPointer() uint64 { return *m.reg64(guestabi.RSP) }

// Reaches implements Machine.
func (m *nativeMachine) Reaches(addr uint32, n int) bool { return m.mem.guest(addr, n) != nil }

// X87 implements Machine.
func (m *nativeMachine) X87() X87State { return &m.x87 }

// SaveContext implements Machine.
func (m *nativeMachine) SaveContext(c *guestabi.Context) {
	for r := guestabi.RAX; r <= guestabi.R15; r++ {
		c.GPR[r] = *m.reg64(r)
	}
	c.RFLAGS = 2
	for i, bit := range guestabi.FlagBits() {
		c.RFLAGS |= uint64(*m.reg32(guestabi.CF + guestabi.Reg(i))) << bit
	}
	c.FSBase, c.GSBase = *m.reg64(guestabi.FSBase), *m.reg64(guestabi.GSBase)
	c.MXCSR, c.Fuel, c.LastPC = *m.reg32(guestabi.MXCSR), *m.reg32(guestabi.Fuel), *m.reg32(guestabi.LastPC)
	for i := range c.XMM {
		c.XMM[i] = *m.vector(guestabi.XMM0 + guestabi.Reg(i))
	}
	if m.cpu >= guestabi.CPUv3 {
		for i := range c.YMMH {
			c.YMMH[i] = *m.vector(guestabi.YMMH0 + guestabi.Reg(i))
		}
	}
}

// LoadContext implements Machine.
func (m *nativeMachine) LoadContext(c *guestabi.Context) {
	for r := guestabi.RAX; r <= guestabi.R15; r++ {
		*m.reg64(r) = c.GPR[r]
	}
	for i, bit := range guestabi.FlagBits() {
		*m.reg32(guestabi.CF + guestabi.Reg(i)) = uint32(c.RFLAGS>>bit) & 1
	}
	*m.reg64(guestabi.FSBase), *m.reg64(guestabi.GSBase) = c.FSBase, c.GSBase
	*m.reg32(guestabi.MXCSR), *m.reg32(guestabi.Fuel), *m.reg32(guestabi.LastPC) = c.MXCSR, c.Fuel, c.LastPC
	for i := range c.XMM {
		*m.vector(guestabi.XMM0 + guestabi.Reg(i)) = c.XMM[i]
	}
	if m.cpu >= guestabi.CPUv3 {
		for i := range c.YMMH {
			*m.vector(guestabi.YMMH0 + guestabi.Reg(i)) = c.YMMH[i]
		}
	}
}

// Bind implements Machine.
func (m *nativeMachine) Bind(unit int, base guestabi.PC) error {
	if unit < 0 || unit >= len(m.units) {
		return fmt.Errorf("binding unit %d: the megabinary has %d", unit, len(m.units))
	}
	if m.engine.units[unit].ExportBase == "" && base != 0 {
		return fmt.Errorf("binding unit %d at base %#x: it is not position-independent", unit, base)
	}
	m.units[unit] = nativeUnit{base, 1}
	return nil
}

// Run implements Machine.
func (m *nativeMachine) Run(pc guestabi.PC) (_ guestabi.PC, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = m.panicked(r)
		}
	}()
	enter, err := m.find(pc)
	if err != nil {
		return 0, err
	}
	nativeEnter(m.at, enter, pc)
	for {
		switch code := m.c.code; {
		case code == m.engine.syscall:
			a := &m.c.args
			rax, next := m.kernel.Syscall(a[0], [6]uint64(a[1:7]), guestabi.PC(a[7]))
			a[0], a[1] = rax, uint64(next)
		case code == m.engine.safepoint:
			m.c.args[0] = uint64(m.kernel.Safepoint(guestabi.PC(m.c.args[0])))
		case code == m.engine.fault:
			m.c.args[0] = uint64(m.kernel.Fault(guestabi.Fault(m.c.args[0]), guestabi.PC(m.c.args[1])))
		case code == m.engine.resolve:
			if m.c.target, err = m.find(guestabi.PC(m.c.args[0])); err != nil {
				return 0, err
			}
		case int(code) < len(m.engine.handlers):
			m.engine.handlers[code](&m.core, m.c.args[:])
		case code == guestabi.NativeExitReturned:
			return m.c.result, nil
		default:
			return 0, m.trap(code)
		}
		nativeResume(m.at)
	}
}

// find returns the enter function of the unit that holds pc. If there is none it
// raises the fault and returns a function that goes on where that says.
func (m *nativeMachine) find(pc guestabi.PC) (uintptr, error) {
	unit := m.kernel.Resolve(pc)
	m.c.args[0] = uint64(uint32(unit))
	fault := guestabi.FaultBadPC
	if unit >= 0 {
		fault = guestabi.FaultNotAdmitted
	}
	if unit < 0 || m.units[unit].admitted == 0 {
		m.c.result = m.kernel.Fault(fault, pc)
		return m.engine.nowhere, nil
	}
	o, err := m.engine.object(unit)
	if err != nil {
		return 0, err
	}
	u := &m.engine.units[unit]
	m.remember(nativePlace{uint32(u.Low) + m.units[unit].base, uint32(u.High - u.Low), o.enter})
	return o.enter, nil
}

// remember lets native code find a unit without asking: see
// wazeroMachine.remember.
func (m *nativeMachine) remember(p nativePlace) {
	if now := atomic.LoadUint32(m.mem.generationWord()); now != m.c.generation {
		clear(m.c.places[:])
		m.c.generation = now
	}
	m.c.places[m.nextPlace%guestabi.PlaceSlots] = p
	m.nextPlace++
}

// trap says why native code stopped.
func (m *nativeMachine) trap(code guestabi.NativeExitCode) *Trap {
	t := &Trap{PC: *m.reg32(guestabi.LastPC)}
	switch code {
	case guestabi.NativeExitOverflow:
		t.Kind, t.Err = TrapStackOverflow, errors.New("the native stack is full")
	case guestabi.NativeExitFault:
		t.Kind = TrapMemory
		t.Err = fmt.Errorf("access to %#x, which is not guest memory", int64(m.c.faultAddr-m.c.mem)+guestabi.AddrBias)
		m.place(t, m.c.faultPC, (*nativeObject).place)
	case guestabi.NativeExitTrap:
		t.Kind, t.Err = TrapInternal, fmt.Errorf("trap %d of native code", m.c.args[0])
		switch guestabi.NativeTrap(m.c.args[0]) {
		case guestabi.NativeTrapMemory:
			t.Kind = TrapMemory
		case guestabi.NativeTrapDivide:
			t.Kind = TrapDivide
		}
		m.placeOfCall(t)
	default:
		t.Kind, t.Err = TrapInternal, fmt.Errorf("unknown exit code %#x of native code", code)
	}
	return t
}

// place makes PC and stack pointer of a trap at an address of the host exact, or
// says why not.
func (m *nativeMachine) place(t *Trap, at uintptr, find func(*nativeObject, uintptr) (guestabi.CodePlace, error)) {
	unit, o := m.holder(at)
	if o == nil {
		t.Place = errPlace
		return
	}
	p, err := find(o, at)
	if err != nil {
		t.Place = err
		return
	}
	t.PC, t.Stale = p.PC+m.units[unit].base, p.Stale
	*m.reg64(guestabi.RSP) += uint64(int64(p.SP))
}

// placeOfCall is place for a call of the host.
func (m *nativeMachine) placeOfCall(t *Trap) {
	caller := *(*uintptr)(unsafe.Add(m.at, m.c.guestSP-uintptr(m.at)+nativeSaved))
	m.place(t, caller, func(o *nativeObject, _ uintptr) (guestabi.CodePlace, error) { return o.numbered(m.c.place) })
}

// nativeSaved is how many bytes nativeExit keeps above the address that it
// returns to.
const nativeSaved = 48

// holder finds the unit and the object that hold an address of the host.
func (m *nativeMachine) holder(pc uintptr) (int, *nativeObject) {
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	for unit, o := range m.engine.objects {
		if o != nil && o.holds(pc) {
			return unit, o
		}
	}
	return 0, nil
}

// panicked makes a trap of what a function of the host panicked with.
func (m *nativeMachine) panicked(r any) *Trap {
	err, ok := r.(error)
	if !ok {
		err = fmt.Errorf("%v", r)
	}
	t := &Trap{Kind: TrapMemory, PC: *m.reg32(guestabi.LastPC), Err: err}
	var f *guestFault
	switch {
	case errors.As(err, &f):
	case errors.Is(err, x87.ErrPending):
		t.Kind = TrapFloat
	default:
		t.Kind, t.Err = TrapInternal, fmt.Errorf("%w\n%s", err, debug.Stack())
	}
	m.placeOfCall(t)
	return t
}
