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
	// Profiler, if it is not nil, watches the machines. Their code is compiled
	// with what it needs, each time, and traps are of unknown place.
	Profiler *Profiler
	// Source returns the megabinary once more, to compile more of it or to find
	// out where it trapped; nil: it is kept in memory.
	Source func() ([]byte, error)
}

// wazeroEngine implements Engine.
type wazeroEngine struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil: none
	parts    *parts
	units    []artifact.UnitEntry
	cpu      guestabi.CPU // that the units were made for
	workers  int
	oneByOne bool                // the threads of a process take turns
	instance wazero.ModuleConfig // of every instance
	started  time.Time           // zero of the time stamp counter
	profiler *Profiler           // nil: none
}

// NewWazero compiles a megabinary, or loads what was compiled before.
func NewWazero(ctx context.Context, megabinary []byte, o WazeroOptions) (Engine, error) {
	units, cpu, err := readUnits(megabinary)
	if err != nil {
		return nil, err
	}
	var cache *codeCache
	if o.CacheDir != "" && !o.Interpreter && o.Profiler == nil {
		if cache, err = newCodeCache(megabinary, o); err != nil {
			return nil, err
		}
	}
	if o.Source == nil {
		o.Source = func() ([]byte, error) { return megabinary, nil }
	}
	return newWazeroEngine(ctx, units, cpu, o, cache)
}

// readUnits reads the list of a megabinary's units, and the processor that all of
// them were made for.
func readUnits(megabinary []byte) ([]artifact.UnitEntry, guestabi.CPU, error) {
	section, err := wasm.FindCustom(megabinary, artifact.SectionUnits)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the megabinary: %w", err)
	}
	var units []artifact.UnitEntry
	if err := json.Unmarshal(section, &units); err != nil {
		return nil, 0, fmt.Errorf("reading section %s: %w", artifact.SectionUnits, err)
	}
	cpu, err := cpuOf(units)
	return units, cpu, err
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

func newWazeroEngine(ctx context.Context, units []artifact.UnitEntry, cpu guestabi.CPU, o WazeroOptions, cache *codeCache) (*wazeroEngine, error) {
	e := &wazeroEngine{
		units:   units,
		cpu:     cpu,
		workers: max(o.Workers, 1),
		started: time.Now(), profiler: o.Profiler,
		// The interpreter makes atomic instructions atomic with a lock of the
		// instance, and threads are instances of their own.
		oneByOne: o.Interpreter,
		// Anonymous: any number of instances of one module may live at once.
		// Nothing reads the source of randomness, but that which wazero makes
		// by itself takes 5 us to seed.
		instance: wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader),
	}
	if o.Workers == 0 {
		e.workers = 2
	}
	config := compilerConfig()
	if o.Interpreter {
		config = configure(wazero.NewRuntimeConfigInterpreter())
	}
	if cache != nil {
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(cache.shared()); err != nil {
			return nil, fmt.Errorf("opening the cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(e.cache)
	}
	e.parts = newParts(e, o.Source, cache)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := instantiateHost(ctx, e.runtime); err != nil {
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

// compile compiles a module on e.workers goroutines.
func (e *wazeroEngine) compile(ctx context.Context, rt wazero.Runtime, module []byte) (wazero.CompiledModule, error) {
	c, err := rt.CompileModule(experimental.WithCompilationWorkers(ctx, e.workers), module)
	if err != nil {
		return nil, fmt.Errorf("compiling the megabinary: %w", err)
	}
	return c, nil
}

// compileTo compiles a module for nothing but its code, which wazero writes to a
// new cache in dir.
func (e *wazeroEngine) compileTo(ctx context.Context, dir string, module []byte) error {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return fmt.Errorf("opening a cache of compiled code: %w", err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, compilerConfig().WithCompilationCache(cache))
	_, err = e.compile(ctx, rt, module)
	if err = errors.Join(err, rt.Close(ctx), cache.Close(ctx)); err != nil {
		return fmt.Errorf("compiling to a cache: %w", err)
	}
	return nil
}

// Close implements Engine.
func (e *wazeroEngine) Close(ctx context.Context) error {
	e.parts.close()
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
	core
	engine *wazeroEngine

	bound   map[int]*boundUnit // by unit
	module  api.Module         // the first instance, nil until settle
	alone   int                // the unit of module if it is the only one, else -1
	shared  bool               // module must not be that of a unit alone
	moved   bool               // Run must go on at movedTo with instances that share
	movedTo guestabi.PC
	pending guestabi.Context // registers until settle
	rsp     api.Global

	// What dispatch remembers, if alone is -1: see guestabi.SplitRuntime.
	generation api.MutableGlobal
	places     [guestabi.PlaceSlots][guestabi.PlaceFields]api.MutableGlobal
	nextPlace  int

	// one is held by the thread that runs guest code, if only one may; nil else.
	one  *sync.Mutex
	held bool

	profiled profiledState

	run        api.Function
	save, load api.Function // nil until they are needed: each has a stack of 10 KiB
}

// NewMachine implements Engine.
func (e *wazeroEngine) NewMachine(mem *Memory, k Kernel) (Machine, error) {
	if err := mem.retain(); err != nil {
		return nil, fmt.Errorf("making a machine: %w", err)
	}
	m := &wazeroMachine{Context: context.Background(), core: core{mem, k, x87.New(), e.cpu, e.started}, engine: e, bound: map[int]*boundUnit{}, alone: -1}
	if e.oneByOne {
		m.one = &mem.one
	}
	if e.profiler != nil {
		e.profiler.add(m)
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
	if m.bound == nil {
		return nil
	}
	if m.engine.profiler != nil {
		m.engine.profiler.remove(m)
	}
	err := errors.Join(m.closeInstances(), m.mem.Close())
	if err != nil {
		return fmt.Errorf("closing a machine: %w", err)
	}
	return nil
}

// StackPointer implements Machine.
func (m *wazeroMachine) StackPointer() uint64 {
	if m.module == nil || m.rsp == nil {
		return m.pending.GPR[guestabi.RSP]
	}
	return m.rsp.Get()
}

// Reaches implements Machine.
func (m *wazeroMachine) Reaches(addr uint32, n int) bool { return m.mem.guest(addr, n) != nil }

// CPU implements Engine.
func (e *wazeroEngine) CPU() guestabi.CPU { return e.cpu }

// X87 implements Machine.
func (m *wazeroMachine) X87() X87State { return &m.x87 }

// SaveContext implements Machine.
func (m *wazeroMachine) SaveContext(c *guestabi.Context) {
	if m.module == nil {
		*c = m.pending
		return
	}
	slot := m.mem.slot()
	defer m.mem.releaseSlot(slot)
	m.callContext(&m.save, guestabi.ExportSaveContext, slot)
	c.Get(m.mem.bytes[slot:], m.engine.cpu)
}

// LoadContext implements Machine.
func (m *wazeroMachine) LoadContext(c *guestabi.Context) {
	if m.module == nil {
		m.pending = *c
		return
	}
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
	if err := m.settle(); err != nil {
		return 0, err
	}
	stack := [1]uint64{uint64(pc)}
	m.enterGuest()
	err := m.run.CallWithStack(m, stack[:])
	m.leaveGuest()
	if m.moved {
		if err := m.leaveAlone(); err != nil {
			return 0, err
		}
		return m.Run(m.movedTo)
	}
	if err == nil {
		return guestabi.PC(stack[0]), nil
	}
	t := &Trap{Kind: trapKind(err), Err: err}
	t.PC = guestabi.PC(m.global(guestabi.LastPC.String()))
	switch t.Kind {
	case TrapMemory, TrapDivide, TrapFloat:
		t.Place = m.place(t)
	}
	if t.Kind == TrapStackOverflow {
		m.overflowed(t)
		// The stack has grown to some 80 MB and would stay so.
		if m.run, err = m.function(guestabi.ExportRun); err != nil {
			return 0, err
		}
	}
	return 0, t
}

// place makes the PC of a trap and the stack pointer exact, or says why not.
func (m *wazeroMachine) place(t *Trap) error {
	if m.engine.profiler != nil {
		return errPlace // the code maps do not count what was added
	}
	for unit, b := range m.bound {
		if b.instance == nil {
			continue
		}
		key, enter := partKey{unit: unit}, guestabi.ExportEnter
		if m.alone >= 0 {
			key, enter = partKey{unit, true}, alonePrefix+guestabi.ExportEnter
		}
		s, host, err := m.engine.parts.part(key).sites.find(m.Context, m.run, b.instance.ExportedFunction(enter), t.Kind == TrapStackOverflow)
		if errors.Is(err, errElsewhere) {
			continue
		}
		if err != nil {
			return err
		}
		t.PC, t.Stale, t.Host = s.PC+b.base, s.Stale, host
		rsp := guestabi.RSP.String()
		return set(m.module.ExportedGlobal(rsp), m.global(rsp)+uint64(int64(s.SP)))
	}
	return errPlace
}

// overflowed finds out where to go on after the wasm stack overflowed. If it was
// at a call within the guest, that is the target, LastPC, and so it is where
// control passes between units. But there may have been room for the function,
// and none for one of the host that it called.
func (m *wazeroMachine) overflowed(t *Trap) {
	for _, b := range m.bound {
		if b.instance == nil {
			continue
		}
		enter := guestabi.ExportEnter
		if m.alone >= 0 {
			enter = alonePrefix + enter
		}
		if in, err := inCodeOf(m.run, b.instance.ExportedFunction(enter)); in || err != nil {
			return
		}
	}
	if m.place(t) != nil {
		return
	}
	switch t.Host {
	case guestabi.FuncSyscall, guestabi.FuncSafepoint: // registers are in sync
	default:
		t.Kind = TrapInternal
		t.Err = fmt.Errorf("the wasm stack has no room for %s, called at %#x: %w", t.Host, t.PC, t.Err)
	}
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
	m.profiled.running.Store(true)
}

// leaveGuest lets other threads run guest code. A handler that panicked has
// left already.
func (m *wazeroMachine) leaveGuest() {
	m.profiled.running.Store(false)
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
	if errors.Is(err, x87.ErrPending) {
		return TrapFloat
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
