package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// Where a trap happened. The code map of the megabinary leads from a wasm
// instruction to the guest's, and wazero knows where in its native code a trap
// was raised, but it keeps the way from native code to wasm only if the module
// has debug information, for all of it, and it grows the compiled code by a
// third. So this is found when it is needed: the function in which the trap
// happened is compiled once more, alone and with debug information, which
// changes no byte of the code. That takes milliseconds, once for each function.
//
// None of this is public in wazero. It is read by reflection, from fields of
// v1.12.0; whatever is not as expected makes the trap one of unknown place.

// site is a place in a part's wasm code.
type site struct {
	function uint32 // among those that the module defines
	offset   int    // in the function's code
}

// trapSites finds where traps happened, for one part of a megabinary.
type trapSites struct {
	source func() ([]byte, error)
	guest  func() []byte // the module guest that the part imports from, nil: none

	mu        sync.Mutex
	module    *wasm.Module // nil: not read yet
	codeMaps  [][]byte
	functions map[uint32]*functionSites
}

// functionSites leads from native code to wasm code.
type functionSites struct {
	native []int             // sorted
	wasm   []int             // offsets in the function's code
	found  map[int]foundSite // what was looked up, by offset
}

// foundSite is what find returns.
type foundSite struct {
	guestabi.CodePlace
	host string
}

// nativeSite is where wazero stopped.
type nativeSite struct {
	function uint32
	offset   int // from the function's start
	size     int // of the function and its padding, 0: not known
}

// errElsewhere means that a trap happened in the code of another part.
var errElsewhere = errors.New("the trap happened in other code")

// errPlace means that the place of a trap cannot be found out.
var errPlace = errors.New("the place of the trap is not known")

// fields follows names from v through pointers.
func fields(v reflect.Value, names ...string) (reflect.Value, error) {
	for _, name := range names {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return v, fmt.Errorf("%w: wazero has no field %s", errPlace, name)
		}
		if v = v.FieldByName(name); !v.IsValid() {
			return v, fmt.Errorf("%w: wazero has no field %s", errPlace, name)
		}
	}
	return v, nil
}

// address reads a pointer or uintptr.
func address(v reflect.Value) uintptr {
	if v.Kind() == reflect.Uintptr {
		return uintptr(v.Uint())
	}
	return v.Pointer()
}

// compiledOf returns wazero's compiled module of f.
func compiledOf(f api.Function) (module reflect.Value, code []byte, err error) {
	if module, err = fields(reflect.ValueOf(f), "parent", "parent"); err != nil {
		return module, nil, err
	}
	executable, err := fields(module, "executables", "executable")
	if err != nil {
		return module, nil, err
	}
	if executable.Kind() != reflect.Slice || executable.Len() == 0 {
		return module, nil, fmt.Errorf("%w: wazero has no code", errPlace)
	}
	return module, executable.Bytes(), nil
}

// nativeSiteOf returns where the last call of f stopped by a trap, or called a
// host function that panicked, if that is in the code that g belongs to.
// overflowed means that the stack did not suffice for a function of the host:
// then it is where that was called.
func nativeSiteOf(f, g api.Function, overflowed bool) (s nativeSite, err error) {
	module, code, err := compiledOf(g)
	if err != nil {
		return s, err
	}
	begin := reflect.ValueOf(code).Pointer()
	inCode := func(a uintptr) bool { return a >= begin && a < begin+uintptr(len(code)) }
	v, err := fields(reflect.ValueOf(f), "execCtx", "goCallReturnAddress")
	if err != nil {
		return s, err
	}
	at := address(v)
	if overflowed || !inCode(at) { // in the trampoline to a host function
		frames := 1
		if overflowed {
			frames = 2 // the first is that of the host function
		}
		if at, err = callerOf(f, frames); err != nil {
			return s, err
		}
		if !inCode(at) {
			return s, errElsewhere
		}
	}
	offsets, err := fields(module, "functionOffsets")
	if err != nil {
		return s, err
	}
	offset := int(at - begin)
	n := offsets.Len()
	i := sort.Search(n, func(i int) bool { return int(offsets.Index(i).Int()) > offset }) - 1
	if i < 0 {
		return s, errPlace
	}
	s = nativeSite{function: uint32(i), offset: offset - int(offsets.Index(i).Int())}
	if i+1 < n {
		s.size = int(offsets.Index(i+1).Int() - offsets.Index(i).Int())
	}
	return s, nil
}

// callerOf returns the return address of one of the innermost frames of f, from
// 1 on: on amd64 frame pointers lead to it.
func callerOf(f api.Function, frames int) (uintptr, error) {
	stack, err := fields(reflect.ValueOf(f), "stack")
	if err != nil {
		return 0, err
	}
	frame, err := fields(reflect.ValueOf(f), "execCtx", "framePointerBeforeGoCall")
	if err != nil {
		return 0, err
	}
	b := stack.Bytes()
	if len(b) < 16 {
		return 0, errPlace
	}
	begin, fp := reflect.ValueOf(b).Pointer(), address(frame)
	for ; ; frames-- {
		at := fp - begin
		if at > uintptr(len(b))-16 {
			return 0, errPlace
		}
		if frames == 1 {
			return uintptr(binary.NativeEndian.Uint64(b[at+8:])), nil
		}
		fp = uintptr(binary.NativeEndian.Uint64(b[at:]))
	}
}

// inCodeOf reports whether the innermost frame of f is of the code that g
// belongs to.
func inCodeOf(f, g api.Function) (bool, error) {
	_, code, err := compiledOf(g)
	if err != nil {
		return false, err
	}
	at, err := callerOf(f, 1)
	begin := reflect.ValueOf(code).Pointer()
	return at >= begin && at < begin+uintptr(len(code)), err
}

// find returns where the guest was when f stopped in the code of the part, to
// which g belongs. If overflowed, the stack did not suffice for the function of
// the host that is called there, whose name it returns too.
func (t *trapSites) find(ctx context.Context, f, g api.Function, overflowed bool) (p guestabi.CodePlace, host string, err error) {
	native, err := nativeSiteOf(f, g, overflowed)
	if err != nil {
		return p, "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(); err != nil {
		return p, "", err
	}
	if int(native.function) >= len(t.codeMaps) || t.codeMaps[native.function] == nil {
		return p, "", fmt.Errorf("%w: function %d has no code map", errPlace, native.function)
	}
	sites := t.functions[native.function]
	if sites == nil {
		if sites, err = t.compile(ctx, native); err != nil {
			return p, "", err
		}
		t.functions[native.function] = sites
	}
	i := sort.SearchInts(sites.native, native.offset) - 1
	if i < 0 {
		return p, "", errPlace
	}
	at := site{native.function, sites.wasm[i]}
	found, ok := sites.found[at.offset]
	if !ok {
		if found.CodePlace, err = t.lookUp(at); err != nil {
			return p, "", err
		}
		found.host = t.callee(at)
		sites.found[at.offset] = found
	}
	return found.CodePlace, found.host, nil
}

// read decodes the part.
func (t *trapSites) read() error {
	if t.module != nil {
		return nil
	}
	data, err := t.source()
	if err != nil {
		return fmt.Errorf("reading a part of the megabinary: %w", err)
	}
	m, err := wasm.Decode(data)
	if err != nil {
		return err
	}
	section, ok := m.Custom(artifact.SectionCodeMap)
	if !ok {
		return fmt.Errorf("%w: the megabinary has no section %s", errPlace, artifact.SectionCodeMap)
	}
	if _, t.codeMaps, err = guestabi.ReadCodeMaps(section, len(m.Funcs)); err != nil {
		return err
	}
	t.module, t.functions = m, map[uint32]*functionSites{}
	return nil
}

// debugInfo is the least that makes wazero keep where code comes from: a unit of
// DWARF 4 with nothing in it.
var debugInfo = wasm.Custom{Name: ".debug_info", Bytes: []byte{7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8}}

// compile compiles one function and reads where its code comes from.
func (t *trapSites) compile(ctx context.Context, native nativeSite) (sites *functionSites, err error) {
	const name = "function"
	m, err := wasm.Extract(t.module, t.module.Imported(wasm.KindFunc)+native.function, name)
	if err != nil {
		return nil, err
	}
	m.Customs = []wasm.Custom{debugInfo}
	runtime := wazero.NewRuntimeWithConfig(ctx, compilerConfig().WithDebugInfoEnabled(true))
	defer func() { err = errors.Join(err, runtime.Close(ctx)) }()
	if err := instantiateHost(ctx, runtime); err != nil {
		return nil, err
	}
	if t.guest != nil { // what the part imports from it must be there
		config := wazero.NewModuleConfig().WithName(guestabi.ModuleGuest)
		if _, err := runtime.InstantiateWithConfig(ctx, t.guest(), config); err != nil {
			return nil, fmt.Errorf("compiling function %d once more: %w", native.function, err)
		}
	}
	instance, err := runtime.InstantiateWithConfig(ctx, m.Encode(), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, fmt.Errorf("compiling function %d once more: %w", native.function, err)
	}
	module, code, err := compiledOf(instance.ExportedFunction(name))
	if err != nil {
		return nil, err
	}
	return readSites(module, reflect.ValueOf(code).Pointer(), native)
}

// readSites reads where the code of the first function of a module, whose code
// begins at begin, comes from.
func readSites(module reflect.Value, begin uintptr, native nativeSite) (*functionSites, error) {
	ends, err := fields(module, "functionOffsets")
	if err != nil {
		return nil, err
	}
	from, err := fields(module, "sourceMap", "executableOffsets")
	if err != nil {
		return nil, err
	}
	to, err := fields(module, "sourceMap", "wasmBinaryOffsets")
	if err != nil {
		return nil, err
	}
	if from.Len() == 0 || from.Len() != to.Len() {
		return nil, errPlace
	}
	end := uintptr(0)
	if ends.Len() > 1 {
		end = uintptr(ends.Index(1).Int())
		if native.size != 0 && int(end) != native.size {
			return nil, fmt.Errorf("%w: function %d has %d bytes of code, %d when compiled alone", errPlace, native.function, native.size, end)
		}
	}
	s := &functionSites{found: map[int]foundSite{}}
	first := int(to.Index(0).Uint())
	for i := range from.Len() {
		at := uintptr(from.Index(i).Uint()) - begin
		if end != 0 && at >= end {
			break
		}
		s.native = append(s.native, int(at))
		s.wasm = append(s.wasm, int(to.Index(i).Uint())-first)
	}
	return s, nil
}

// guest looks a place up in the code map.
func (t *trapSites) lookUp(s site) (guestabi.CodePlace, error) {
	n, err := guestabi.CodeMapIndex(t.module.Funcs[s.function].Code, hostFunctions(t.module), s.offset)
	if err != nil {
		return guestabi.CodePlace{}, fmt.Errorf("function %d: %w", s.function, err)
	}
	place, err := guestabi.FindCode(t.codeMaps[s.function], n)
	if err != nil {
		return place, fmt.Errorf("function %d: %w", s.function, err)
	}
	return place, nil
}

// hostFunctions returns how many functions of the host a part imports. They
// come before those of the module guest.
func hostFunctions(m *wasm.Module) uint32 {
	n := uint32(0)
	for i := range m.Imports {
		if im := &m.Imports[i]; im.Kind == wasm.KindFunc && im.Module == guestabi.ModuleKernel {
			n++
		}
	}
	return n
}

// callee returns the name of the host's function that is called at a place, ""
// if none is.
func (t *trapSites) callee(s site) (name string) {
	at, n := 0, uint32(0)
	_ = wasm.Walk(t.module.Funcs[s.function].Code, func(in *wasm.Inst, _ int) error { // lookUp has read all of it
		if at == s.offset && in.Op == wasm.OpCall {
			for i := range t.module.Imports {
				if im := &t.module.Imports[i]; im.Kind == wasm.KindFunc {
					if n == in.A && im.Module == guestabi.ModuleKernel {
						name = im.Name
					}
					n++
				}
			}
		}
		at += len(in.Bytes)
		return nil
	})
	return name
}
