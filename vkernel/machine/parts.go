package machine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// parts cuts a megabinary into modules that are compiled when a process needs
// them: compiling all of an image takes minutes, and most of it never runs. A
// unit is cut out in two ways.
//
//   - Alone, with registers and dispatch of its own, for processes that hold
//     one unit: static programs. This is the fastest code.
//   - To be shared: its instances import the registers from an instance of
//     guestabi.SplitRuntime, which also passes control between units. An
//     access to a register takes one more load then, and a call of another
//     unit goes through a table.
type parts struct {
	engine *wazeroEngine
	cache  *codeCache // nil: none

	source func() ([]byte, error) // the megabinary

	decoding sync.Mutex
	module   *wasm.Module // of source, nil: not decoded
	last     *time.Timer  // forgets module

	mu      sync.Mutex
	byKey   map[partKey]*part
	compile sync.Mutex // one at a time: it uses all workers
	pending sync.WaitGroup
}

// partKey names a part.
type partKey struct {
	unit  int // runtimePart: no unit
	alone bool
}

// runtimePart stands for guestabi.SplitRuntime.
const runtimePart = -1

func (k partKey) String() string {
	switch {
	case k.unit == runtimePart:
		return "runtime"
	case k.alone:
		return fmt.Sprintf("%d-alone", k.unit)
	}
	return fmt.Sprint(k.unit)
}

type part struct {
	mu       sync.Mutex
	compiled wazero.CompiledModule
	ready    atomic.Bool // compiled is there
	begun    atomic.Bool // somebody prepares it
	sites    trapSites
}

func newParts(e *wazeroEngine, source func() ([]byte, error), cache *codeCache) *parts {
	return &parts{engine: e, cache: cache, byKey: map[partKey]*part{}, source: source}
}

func (p *parts) part(k partKey) *part {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.byKey[k]
	if u == nil {
		u = &part{sites: trapSites{source: func() ([]byte, error) { return p.extract(k) }}}
		if !k.alone {
			u.sites.guest = func() []byte { return guestabi.SplitRuntime(p.engine.cpu, len(p.engine.units)).Encode() }
		}
		p.byKey[k] = u
	}
	return u
}

// prepare compiles a part, or loads it, in the background.
func (p *parts) prepare(k partKey) {
	if u := p.part(k); u.ready.Load() || u.begun.Swap(true) {
		return
	}
	p.pending.Go(func() {
		_, _ = p.get(context.Background(), k) // who needs the part gets the error
	})
}

// get returns a part, ready to be instantiated.
func (p *parts) get(ctx context.Context, k partKey) (wazero.CompiledModule, error) {
	u := p.part(k)
	if u.ready.Load() {
		return u.compiled, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ready.Load() {
		return u.compiled, nil
	}
	c, err := p.load(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("preparing part %v of the megabinary: %w", k, err)
	}
	u.compiled = c
	u.ready.Store(true)
	return c, nil
}

func (p *parts) load(ctx context.Context, k partKey) (wazero.CompiledModule, error) {
	if p.cache != nil {
		if skeleton := p.cache.load(k); skeleton != nil {
			if c, err := p.engine.compile(ctx, p.engine.runtime, skeleton); err == nil {
				return c, nil
			}
			p.cache.remove(k)
		}
	}
	module, err := p.extract(k)
	if err != nil {
		return nil, err
	}
	if profiler := p.engine.profiler; profiler != nil && k.unit != runtimePart {
		if module, err = profiler.instrument(module, k.unit); err != nil {
			return nil, err
		}
	}
	p.compile.Lock()
	defer p.compile.Unlock()
	if p.cache != nil {
		// A cache that cannot be written makes the next start slow, no more.
		if skeleton, err := p.cache.store(ctx, p.engine, k, module); err == nil {
			if c, err := p.engine.compile(ctx, p.engine.runtime, skeleton); err == nil {
				return c, nil
			}
			p.cache.remove(k)
		}
	}
	return p.engine.compile(ctx, p.engine.runtime, module)
}

// forget removes a part from the cache and from memory; its instances live on.
func (p *parts) forget(ctx context.Context, k partKey) {
	u := p.part(k)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.compiled != nil {
		_ = u.compiled.Close(ctx)
		u.compiled = nil
	}
	u.ready.Store(false)
	p.cache.remove(k)
}

// close waits for what is prepared in the background.
func (p *parts) close() {
	p.pending.Wait()
	p.decoding.Lock()
	defer p.decoding.Unlock()
	if p.last != nil {
		p.last.Stop()
	}
	p.module = nil
}

// keepModule is how long the decoded megabinary stays in memory after it was
// needed: it is large, and often one part is compiled after the other.
const keepModule = 5 * time.Second

// decode returns the megabinary, with its code maps as notes of functions.
func (p *parts) decode() (*wasm.Module, error) {
	p.decoding.Lock()
	defer p.decoding.Unlock()
	if p.last != nil {
		p.last.Stop()
	}
	if p.module == nil {
		data, err := p.source()
		if err != nil {
			return nil, fmt.Errorf("reading the megabinary: %w", err)
		}
		m, err := wasm.Decode(data)
		if err != nil {
			return nil, err
		}
		if section, ok := m.Custom(artifact.SectionCodeMap); ok {
			_, maps, err := guestabi.ReadCodeMaps(section, len(m.Funcs))
			if err != nil {
				return nil, err
			}
			for i := range m.Funcs {
				m.Funcs[i].Note = guestabi.AppendCodeMap(nil, maps[i], 0)
			}
		}
		p.module = m
	}
	p.last = time.AfterFunc(keepModule, func() {
		p.decoding.Lock()
		defer p.decoding.Unlock()
		p.module = nil
	})
	return p.module, nil
}

// extract makes the module of a part.
func (p *parts) extract(k partKey) ([]byte, error) {
	if k.unit == runtimePart {
		return guestabi.SplitRuntime(p.engine.cpu, len(p.engine.units)).Encode(), nil
	}
	if len(p.engine.units) == 1 && k.alone {
		return p.source()
	}
	megabinary, err := p.decode()
	if err != nil {
		return nil, err
	}
	m, err := extractUnit(megabinary, &p.engine.units[k.unit], p.engine.cpu)
	if err != nil {
		return nil, err
	}
	if k.alone {
		m, err = wasm.Link([]wasm.LinkInput{
			{Name: guestabi.ModuleGuest, Module: guestabi.RuntimeOf(p.engine.cpu, 1)},
			{Name: guestabi.UnitModule(0), Module: m, Prefix: alonePrefix},
		})
		if err != nil {
			return nil, err
		}
	} else {
		addAttach(m)
	}
	var maps []byte
	for i := range m.Funcs {
		note := m.Funcs[i].Note
		if note == nil {
			note = guestabi.AppendCodeMap(nil, nil, 0)
		}
		maps = append(maps, note...)
	}
	m.Customs = []wasm.Custom{{Name: artifact.SectionCodeMap, Bytes: maps}}
	return m.Encode(), nil
}

// alonePrefix is that of the exports of a unit that is alone in a megabinary.
var alonePrefix = guestabi.UnitModule(0) + "."

// extractUnit makes the unit again that was linked into a megabinary. Equal
// units give equal modules, whatever else the megabinary holds.
func extractUnit(megabinary *wasm.Module, u *artifact.UnitEntry, cpu guestabi.CPU) (*wasm.Module, error) {
	borrow := wasm.Borrow{Module: guestabi.ModuleGuest, Names: []string{guestabi.ImportDispatch}}
	for _, r := range cpu.Regs() {
		borrow.Names = append(borrow.Names, r.String())
	}
	for _, f := range guestabi.GuestFuncs(cpu) {
		borrow.Names = append(borrow.Names, f.Name)
	}
	names, plain := []string{u.ExportEnter, u.ExportAdmitted}, []string{guestabi.ExportEnter, guestabi.ExportAdmitted}
	if u.ExportBase != "" {
		names, plain = append(names, u.ExportBase), append(plain, guestabi.ExportBase)
	}
	m, err := wasm.Part(megabinary, names, borrow)
	if err != nil {
		return nil, err
	}
	for i := range m.Exports {
		m.Exports[i].Name = plain[i]
	}
	m.Name = "unit"
	return m, nil
}

// addAttach adds guestabi.ExportAttach to a unit.
func addAttach(m *wasm.Module) {
	m.Imports = append(m.Imports, wasm.Import{Module: guestabi.ModuleGuest, Name: guestabi.ExportUnits, Kind: wasm.KindTable, Elem: wasm.FuncRef})
	b := wasm.NewBody(1)
	b.LocalGet(0)
	b.Op(wasm.OpRefFunc)
	b.U32(m.Exports[0].Index) // enter, which may be taken because it is exported
	b.Op(wasm.OpTableSet)
	b.U32(0)
	attach := m.AddFunc(b.Func(m.Type([]wasm.ValType{wasm.I32}, nil), guestabi.ExportAttach))
	m.Export(guestabi.ExportAttach, wasm.KindFunc, attach)
}
