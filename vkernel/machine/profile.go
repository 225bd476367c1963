package machine

import (
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Profiler knows which function each machine of an engine is in, at any time.
// wazero cannot say: it has no samples, and its listeners make every call slow.
// So guest functions are compiled with a few instructions more: at its start,
// and after each of its calls, a function puts its number into the register
// LastPC, which only counts before a call otherwise, and is set there.
type Profiler struct {
	mu        sync.Mutex
	machines  []*wazeroMachine
	functions []ProfiledFunction // by number
}

// ProfiledFunction names a guest function: that of a unit, as the wasm names it.
type ProfiledFunction struct {
	Unit int
	Name string
}

// profiledNumber is set in what LastPC holds if it is a number.
const profiledNumber = 1 << 31

// Observe calls visit for each machine that was entered, in the order in which
// they were made, with the function that it is in, and whether that is running or
// has called the host, to wait there perhaps. known is false between a call and
// the start of the function that is called, and in code that has no number.
func (p *Profiler) Observe(visit func(f ProfiledFunction, known, running bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.machines {
		at := m.profiled.at.Load()
		if at == nil {
			continue
		}
		v := uint32((*at).Get())
		number := v &^ profiledNumber
		if v&profiledNumber == 0 || int(number) >= len(p.functions) {
			visit(ProfiledFunction{}, false, m.profiled.running.Load())
			continue
		}
		visit(p.functions[number], true, m.profiled.running.Load())
	}
}

// profiledState is what a Profiler reads of a machine, from another goroutine.
type profiledState struct {
	at      atomic.Pointer[api.Global] // LastPC of the instance that runs
	running atomic.Bool                // guest code runs, and no host function
}

func (p *Profiler) add(m *wazeroMachine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines = append(p.machines, m)
}

func (p *Profiler) remove(m *wazeroMachine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.machines {
		if other == m {
			p.machines = append(p.machines[:i], p.machines[i+1:]...)
			return
		}
	}
}

func (p *Profiler) number(f ProfiledFunction) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.functions = append(p.functions, f)
	return uint32(len(p.functions) - 1)
}

// dispatcher matches the names of functions that only pass control on.
var dispatcher = regexp.MustCompile(`^(.*\.)?(enter|dispatch|run|attach)(_[0-9a-f]+)?$`)

// instrument gives the functions of a part that holds unit their numbers.
func (p *Profiler) instrument(module []byte, unit int) ([]byte, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return nil, fmt.Errorf("reading a part of the megabinary: %w", err)
	}
	global, ok := lastPC(m)
	if !ok {
		return module, nil // its functions call none
	}
	guest := m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	for i := range m.Funcs {
		f := &m.Funcs[i]
		if f.Type != guest || f.Label == "" || dispatcher.MatchString(f.Label) {
			continue
		}
		mark := wasm.NewBody(0)
		mark.I32Const(int32(p.number(ProfiledFunction{unit, f.Label}) | profiledNumber))
		mark.GlobalSet(global)
		set := mark.Func(0, "").Code
		set = set[:len(set)-1] // less its end
		code := append([]byte(nil), set...)
		err := wasm.Walk(f.Code, func(in *wasm.Inst, _ int) error {
			code = append(code, in.Bytes...)
			if in.Op == wasm.OpCall || in.Op == wasm.OpCallIndirect {
				code = append(code, set...)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("instrumenting %s: %w", f.Label, err)
		}
		f.Code = code
	}
	return m.Encode(), nil
}

// lastPC returns the index of the global LastPC.
func lastPC(m *wasm.Module) (uint32, bool) {
	if e, ok := m.FindExport(guestabi.LastPC.String()); ok && e.Kind == wasm.KindGlobal {
		return e.Index, true
	}
	index := uint32(0)
	for i := range m.Imports {
		if m.Imports[i].Kind != wasm.KindGlobal {
			continue
		}
		if m.Imports[i].Name == guestabi.LastPC.String() {
			return index, true
		}
		index++
	}
	return 0, false
}
