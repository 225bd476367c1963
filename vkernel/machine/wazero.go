package machine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/sdk/x87"
)

// WazeroOptions configure NewWazero. The zero value compiles, in memory.
type WazeroOptions struct {
	// Interpreter interprets instead of compiling: about 100 times slower, on
	// every host.
	Interpreter bool
	// CacheDir keeps compiled code on disk. Whoever may write there may run
	// code in this process, so it must belong to the user and be writable by
	// nobody else; it is made if it is not there.
	CacheDir string
	// Digest is a sha256 in hexadecimal over all of the megabinary that its code
	// depends on, which the caller has computed from the very bytes that it
	// passes (artifact.ExecMap.CheckMegabinary); "" if it has not.
	Digest string
	// Workers is how many goroutines compile; 0 means 2.
	Workers int
	// Source returns the megabinary once more, to find out where it trapped;
	// nil: it is kept in memory.
	Source func() ([]byte, error)
}

// wazeroEngine implements Engine.
type wazeroEngine struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil: none
	compiled wazero.CompiledModule
	oneByOne bool                // the threads of a process take turns
	instance wazero.ModuleConfig // of every machine
	units    []artifact.UnitEntry
	cpu      guestabi.CPU // that the units were made for
	started  time.Time    // zero of the time stamp counter
	sites    trapSites
}

// NewWazero compiles a megabinary, or loads what was compiled before.
func NewWazero(ctx context.Context, megabinary []byte, o WazeroOptions) (Engine, error) {
	section, err := wasm.FindCustom(megabinary, artifact.SectionUnits)
	if err != nil {
		return nil, fmt.Errorf("reading the megabinary: %w", err)
	}
	var units []artifact.UnitEntry
	if err := json.Unmarshal(section, &units); err != nil {
		return nil, fmt.Errorf("reading section %s: %w", artifact.SectionUnits, err)
	}
	cpu, err := cpuOf(units)
	if err != nil {
		return nil, err
	}
	e, err := openWazero(ctx, megabinary, o)
	if err != nil {
		return nil, err
	}
	e.units, e.cpu = units, cpu
	if e.sites.source = o.Source; o.Source == nil {
		e.sites.source = func() ([]byte, error) { return megabinary, nil }
	}
	return e, nil
}

// cpuOf returns the processor that all units were made for.
func cpuOf(units []artifact.UnitEntry) (guestabi.CPU, error) {
	var cpu guestabi.CPU
	for i := range units {
		c, err := guestabi.ParseCPU(units[i].CPU)
		if err != nil {
			return 0, fmt.Errorf("reading section %s: unit %d: %w", artifact.SectionUnits, i, err)
		}
		if i > 0 && c != cpu {
			return 0, fmt.Errorf("reading section %s: unit %d is for %s, those before are for %s", artifact.SectionUnits, i, c, cpu)
		}
		cpu = c
	}
	return cpu, nil
}

func openWazero(ctx context.Context, megabinary []byte, o WazeroOptions) (*wazeroEngine, error) {
	if o.CacheDir == "" || o.Interpreter {
		return newWazeroEngine(ctx, megabinary, o, "")
	}
	cache, err := newCodeCache(megabinary, o)
	if err != nil {
		return nil, err
	}
	if e := cache.load(ctx, megabinary, o); e != nil {
		return e, nil
	}
	return cache.store(ctx, megabinary, o)
}

// newWazeroEngine compiles a module, with wazero's cache in cacheDir if that is
// not empty.
func newWazeroEngine(ctx context.Context, module []byte, o WazeroOptions, cacheDir string) (*wazeroEngine, error) {
	e := &wazeroEngine{
		started: time.Now(),
		// Anonymous: any number of instances of one module may live at once.
		// Nothing reads the source of randomness, but that which wazero makes
		// by itself takes 5 us to seed.
		instance: wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader),
	}
	config := compilerConfig()
	if o.Interpreter {
		// The interpreter makes atomic instructions atomic with a lock of the
		// instance, and threads are instances of their own.
		e.oneByOne = true
		config = configure(wazero.NewRuntimeConfigInterpreter())
	}
	if cacheDir != "" {
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return nil, fmt.Errorf("opening the cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := e.load(ctx, module, o); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

// compilerConfig is the configuration that compiles.
func compilerConfig() wazero.RuntimeConfig { return configure(wazero.NewRuntimeConfigCompiler()) }

func configure(c wazero.RuntimeConfig) wazero.RuntimeConfig {
	return c.WithDebugInfoEnabled(false).WithCoreFeatures(
		api.CoreFeaturesV2 | experimental.CoreFeaturesThreads | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst)
}

func (e *wazeroEngine) load(ctx context.Context, module []byte, o WazeroOptions) error {
	if err := instantiateHost(ctx, e.runtime); err != nil {
		return err
	}
	workers := o.Workers
	if workers == 0 {
		workers = 2
	}
	var err error
	e.compiled, err = e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), module)
	if err != nil {
		return fmt.Errorf("compiling the megabinary: %w", err)
	}
	return nil
}

// Close implements Engine.
func (e *wazeroEngine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("closing the wazero engine: %w", err)
	}
	return nil
}

// wazeroMachine implements Machine. It is the context of its own calls into
// guest code (see hostFunc.Call): a context without values that is never done.
type wazeroMachine struct {
	context.Context
	engine *wazeroEngine
	mem    *Memory
	kernel Kernel
	module api.Module
	x87    x87.State

	// one is held by the thread that runs guest code, if only one may; nil else.
	one  *sync.Mutex
	held bool

	run        api.Function
	save, load api.Function // nil until they are needed: each has a stack of 10 KiB
}

// NewMachine implements Engine.
func (e *wazeroEngine) NewMachine(mem *Memory, k Kernel) (Machine, error) {
	if err := mem.retain(); err != nil {
		return nil, fmt.Errorf("making a machine: %w", err)
	}
	m := &wazeroMachine{Context: context.Background(), engine: e, mem: mem, kernel: k, x87: x87.New()}
	if e.oneByOne {
		m.one = &mem.one
	}
	ctx := experimental.WithMemoryAllocator(m.Context, sharedMemory{mem})
	var err error
	m.module, err = e.runtime.InstantiateModule(ctx, e.compiled, e.instance)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a machine: %w", err), mem.Close())
	}
	if m.run, err = m.function(guestabi.ExportRun); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *wazeroMachine) function(name string) (api.Function, error) {
	f := m.module.ExportedFunction(name)
	if f == nil {
		return nil, fmt.Errorf("making a machine: the megabinary exports no function %q", name)
	}
	return f, nil
}

// sharedMemory gives an instance the whole of a Memory at once, whatever
// minimum the module asks for: growing it would cost a call, and the length of
// an instance's memory is read only when it is made.
type sharedMemory struct{ mem *Memory }

// Allocate implements experimental.MemoryAllocator.
func (s sharedMemory) Allocate(_, _ uint64) experimental.LinearMemory { return s }

// Reallocate implements experimental.LinearMemory.
func (s sharedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(s.mem.bytes)) {
		return nil // growing fails
	}
	return s.mem.bytes
}

// Free implements experimental.LinearMemory. Machine.Close gives up the memory.
func (s sharedMemory) Free() {}

// Close implements Machine.
func (m *wazeroMachine) Close() error {
	if m.module == nil {
		return nil
	}
	err := errors.Join(m.module.Close(m.Context), m.mem.Close())
	m.module = nil
	if err != nil {
		return fmt.Errorf("closing a machine: %w", err)
	}
	return nil
}

// Reaches implements Machine.
func (m *wazeroMachine) Reaches(addr uint32, n int) bool { return m.mem.guest(addr, n) != nil }

// CPU implements Machine.
func (m *wazeroMachine) CPU() guestabi.CPU { return m.engine.cpu }

// X87 implements Machine.
func (m *wazeroMachine) X87() X87State { return &m.x87 }

// Bind implements Machine.
func (m *wazeroMachine) Bind(unit int, base guestabi.PC) error {
	if unit < 0 || unit >= len(m.engine.units) {
		return fmt.Errorf("binding unit %d: the megabinary has %d", unit, len(m.engine.units))
	}
	u := &m.engine.units[unit]
	if u.ExportBase == "" && base != 0 {
		return fmt.Errorf("binding unit %d at base %#x: it is not position-independent", unit, base)
	}
	if u.ExportBase != "" {
		if err := m.setGlobal(u.ExportBase, uint64(base)); err != nil {
			return fmt.Errorf("binding unit %d: %w", unit, err)
		}
	}
	if err := m.setGlobal(u.ExportAdmitted, 1); err != nil {
		return fmt.Errorf("binding unit %d: %w", unit, err)
	}
	return nil
}

func (m *wazeroMachine) setGlobal(name string, v uint64) error {
	g, ok := m.module.ExportedGlobal(name).(api.MutableGlobal)
	if !ok {
		return fmt.Errorf("the megabinary exports no mutable global %q", name)
	}
	g.Set(v)
	return nil
}

// SaveContext implements Machine.
func (m *wazeroMachine) SaveContext(c *guestabi.Context) {
	slot := m.mem.slot()
	defer m.mem.releaseSlot(slot)
	m.callContext(&m.save, guestabi.ExportSaveContext, slot)
	c.Get(m.mem.bytes[slot:], m.engine.cpu)
}

// LoadContext implements Machine.
func (m *wazeroMachine) LoadContext(c *guestabi.Context) {
	slot := m.mem.slot()
	defer m.mem.releaseSlot(slot)
	c.Put(m.mem.bytes[slot:], m.engine.cpu)
	m.callContext(&m.load, guestabi.ExportLoadContext, slot)
}

// callContext calls an export that takes a linear address. It runs beside the
// guest code that called the host, on a stack of its own.
func (m *wazeroMachine) callContext(f *api.Function, name string, slot uint32) {
	if *f == nil {
		var err error
		if *f, err = m.function(name); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	stack := [1]uint64{uint64(slot)}
	if err := (*f).CallWithStack(m, stack[:]); err != nil {
		panic(fmt.Sprintf("BUG: calling %s: %v", name, err))
	}
}

// Run implements Machine.
func (m *wazeroMachine) Run(pc guestabi.PC) (guestabi.PC, error) {
	stack := [1]uint64{uint64(pc)}
	m.enterGuest()
	err := m.run.CallWithStack(m, stack[:])
	m.leaveGuest()
	if err == nil {
		return guestabi.PC(stack[0]), nil
	}
	t := &Trap{Kind: trapKind(err), Err: err}
	t.PC = guestabi.PC(m.global(guestabi.LastPC.String()))
	switch t.Kind {
	case TrapMemory, TrapDivide:
		t.Place = m.place(t)
	}
	if t.Kind == TrapStackOverflow {
		// The stack has grown to some 80 MB and would stay so.
		if m.run, err = m.function(guestabi.ExportRun); err != nil {
			return 0, err
		}
	}
	return 0, t
}

// place makes the PC of a trap and the stack pointer exact, or says why not.
func (m *wazeroMachine) place(t *Trap) error {
	s, err := m.engine.sites.find(m.Context, m.run)
	if err != nil {
		return err
	}
	if s.unit >= len(m.engine.units) {
		return fmt.Errorf("%w: it is in unit %d of %d", errPlace, s.unit, len(m.engine.units))
	}
	t.PC, t.Stale = s.PC, s.Stale
	if base := m.engine.units[s.unit].ExportBase; base != "" {
		t.PC += guestabi.PC(m.global(base))
	}
	rsp := guestabi.RSP.String()
	return m.setGlobal(rsp, m.global(rsp)+uint64(int64(s.SP)))
}

// global returns the value of an exported global, 0 if there is none.
func (m *wazeroMachine) global(name string) uint64 {
	if g := m.module.ExportedGlobal(name); g != nil {
		return g.Get()
	}
	return 0
}

// enterGuest waits until this thread may run guest code.
func (m *wazeroMachine) enterGuest() {
	if m.one != nil {
		m.one.Lock()
		m.held = true
	}
}

// leaveGuest lets other threads run guest code. A handler that panicked has
// left already.
func (m *wazeroMachine) leaveGuest() {
	if m.held {
		m.held = false
		m.one.Unlock()
	}
}

// trapKinds maps wazero's errors, of which the type is internal, by their text
// (internal/wasmruntime/errors.go of v1.12.0).
var trapKinds = map[string]TrapKind{
	"out of bounds memory access": TrapMemory,
	"integer divide by zero":      TrapDivide,
	"integer overflow":            TrapDivide,
	"stack overflow":              TrapStackOverflow,
}

// trapKind tells a trap of wasm code from a panic of a host function: only the
// former has wazero's own error type innermost, which is no error of the Go
// runtime and is not made anywhere else.
func trapKind(err error) TrapKind {
	var f *guestFault
	if errors.As(err, &f) {
		return TrapMemory
	}
	inner := err
	for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
		inner = next
	}
	if fmt.Sprintf("%T", inner) != "*wasmruntime.Error" {
		return TrapInternal
	}
	if kind, ok := trapKinds[inner.Error()]; ok {
		return kind
	}
	return TrapInternal
}
