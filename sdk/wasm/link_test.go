package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

const cSource = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int twice(int x) { return 2 * x; }
static int square(int x) { return x * x; }
int (*volatile table[])(int) = {twice, square};
static const char text[] = "from data";
static char bss[300000];
__attribute__((constructor)) static void start(void) { bss[5] = 1; }
int main(int argc, char **argv) {
	char *p = malloc(200000);
	memset(p, 7, 200000);
	memcpy(bss + 100, p, 200000);
	printf("C %s %d %d %d\n", text, table[0](21), table[1](bss[200099]), bss[5]);
	return 0;
}`

const goSource = `package main

import (
	"fmt"
	"sort"
	"strings"
)

var words = map[string]int{"one": 1, "two": 2, "three": 3}

func main() {
	var keys []string
	for k := range words {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return words[keys[i]] < words[keys[j]] })
	big := make([]byte, 8<<20)
	fmt.Println("Go", strings.Join(keys, ","), len(big))
}`

// compileC returns a WASI program made from C.
func compileC(t testing.TB) []byte {
	t.Helper()
	tool, err := exec.LookPath("clang")
	if err != nil {
		t.Fatal("clang is missing: apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32")
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.wasm")
	if err := os.WriteFile(source, []byte(cSource), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "--target=wasm32-wasi", "-O1", "-o", program, source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clang: %v (apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32)\n%s", err, out)
	}
	return readFile(t, program)
}

// compileGo returns a WASI program made from Go.
func compileGo(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "main.wasm")
	if err := os.WriteFile(source, []byte(goSource), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, source)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return readFile(t, program)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unit is a unit whose code adds pc to rax and leaves at pc + 1.
func unit() *wasm.Module {
	m := &wasm.Module{Name: "unit"}
	pc := m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	m.ImportMemory(guestabi.ModuleGuest, guestabi.ImportMemory, wasm.Limits{Min: 1})
	rax := m.ImportGlobal(guestabi.ModuleGuest, guestabi.RAX.String(), wasm.I64, true)
	m.ImportFunc(guestabi.ModuleGuest, guestabi.ImportDispatch, pc)
	base := m.AddGlobal(wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Label: "base"})
	b := wasm.NewBody(1)
	b.GlobalGet(rax)
	b.LocalGet(0)
	b.Op(wasm.OpI64ExtendI32U)
	b.Op(wasm.OpI64Add)
	b.GlobalSet(rax)
	b.LocalGet(0)
	b.I32Const(1)
	b.Op(wasm.OpI32Add)
	m.Export(guestabi.ExportEnter, wasm.KindFunc, m.AddFunc(b.Func(pc, "enter")))
	m.Export(guestabi.ExportBase, wasm.KindGlobal, base)
	return m
}

func decode(t testing.TB, b []byte) *wasm.Module {
	t.Helper()
	m, err := wasm.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func link(t testing.TB, inputs ...wasm.LinkInput) *wasm.Module {
	t.Helper()
	m, err := wasm.Link(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// host runs linked modules with WASI and a kernel that knows one unit.
type host struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

func newHost(t testing.TB, module []byte) *host {
	t.Helper()
	ctx := context.Background()
	h := &host{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(
		api.CoreFeaturesV2|experimental.CoreFeaturesThreads|experimental.CoreFeaturesTailCall))}
	t.Cleanup(func() { _ = h.runtime.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, h.runtime)
	kernel := h.runtime.NewHostModuleBuilder(guestabi.ModuleKernel)
	for _, f := range guestabi.KernelFuncs() {
		var params, results []api.ValueType
		for _, p := range f.Params {
			params = append(params, api.ValueType(p))
		}
		for _, r := range f.Results {
			results = append(results, api.ValueType(r))
		}
		kernel.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if len(stack) > 0 {
				stack[0] = 0
			}
		}), params, results).Export(f.Name)
	}
	if _, err := kernel.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.compiled, err = h.runtime.CompileModule(ctx, module); err != nil {
		t.Fatal(err)
	}
	return h
}

// call makes an instance, calls one export and returns standard output.
func (h *host) call(t testing.TB, export string, params ...uint64) (string, []uint64) {
	t.Helper()
	ctx := context.Background()
	var out bytes.Buffer
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStdout(&out).WithStderr(&out).WithArgs("program")
	m, err := h.runtime.InstantiateModule(ctx, h.compiled, config)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(ctx)
	results, err := m.ExportedFunction(export).Call(ctx, params...)
	if err != nil && !strings.Contains(err.Error(), "exit_code(0)") {
		t.Fatalf("%s: %v\n%s", export, err, out.String())
	}
	return out.String(), results
}

func TestLinkJoinsProgramsOfDifferentOrigin(t *testing.T) {
	c, g := compileC(t), compileGo(t)
	inputs := func() []wasm.LinkInput {
		return []wasm.LinkInput{
			{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(1)},
			{Name: guestabi.UnitModule(0), Module: unit(), Prefix: "unit0."},
			{Name: "c", Module: decode(t, c), Prefix: "c."},
			{Name: "go", Module: decode(t, g), Prefix: "go."},
		}
	}
	m := link(t, inputs()...)
	module := m.Encode()
	validate(t, module)
	if min := m.Memories[0].Limits.Min; min != 1 {
		t.Errorf("a new instance has %d pages of memory", min)
	}
	if again := link(t, inputs()...).Encode(); !bytes.Equal(module, again) {
		t.Error("linking twice differs")
	}
	if n := len(m.Data); n > 50 {
		t.Errorf("%d data segments", n)
	}
	if len(m.Tables) != 2 || len(m.Memories) != 1 {
		t.Errorf("%d tables, memories %v", len(m.Tables), m.Memories)
	}
	h := newHost(t, module)
	if out, _ := h.call(t, "c._start"); out != "C from data 42 49 1\n" {
		t.Errorf("C says %q", out)
	}
	if out, _ := h.call(t, "go._start"); out != "Go one,two,three 8388608\n" {
		t.Errorf("Go says %q", out)
	}
	if _, results := h.call(t, guestabi.ExportRun, 0x1234); len(results) != 1 || results[0] != 0x1235 {
		t.Errorf("the unit left at %#x", results)
	}
}

func TestForeignModulesRoundTrip(t *testing.T) {
	for name, module := range map[string][]byte{"C": compileC(t), "Go": compileGo(t)} {
		first := decode(t, module).Encode()
		validate(t, first)
		m := decode(t, first)
		if !bytes.Equal(first, m.Encode()) {
			t.Errorf("%s: writing twice differs", name)
		}
		h := newHost(t, link(t, wasm.LinkInput{Name: "one", Module: m}).Encode())
		if out, _ := h.call(t, "_start"); !strings.HasPrefix(out, name+" ") {
			t.Errorf("%s says %q", name, out)
		}
	}
}

func TestLinkRefuses(t *testing.T) {
	i32 := []wasm.ValType{wasm.I32}
	importer := func(name string, results []wasm.ValType) *wasm.Module {
		m := &wasm.Module{}
		f := m.ImportFunc("lib", name, m.Type(nil, results))
		m.Export("again", wasm.KindFunc, f)
		return m
	}
	lib := &wasm.Module{}
	body := wasm.NewBody(0)
	body.I32Const(1)
	lib.Export("one", wasm.KindFunc, lib.AddFunc(body.Func(lib.Type(nil, i32), "one")))
	bad := &wasm.Module{}
	body = wasm.NewBody(0)
	body.Call(77)
	bad.AddFunc(body.Func(bad.Type(nil, nil), "bad"))
	circle := func(of string) *wasm.Module {
		m := &wasm.Module{}
		m.Export("f", wasm.KindFunc, m.ImportFunc(of, "f", m.Type(nil, nil)))
		return m
	}
	for name, c := range map[string]struct {
		inputs []wasm.LinkInput
		want   string
	}{
		"twice":   {[]wasm.LinkInput{{Name: "lib", Module: lib}, {Name: "lib", Module: lib}}, `two modules are called "lib"`},
		"missing": {[]wasm.LinkInput{{Name: "lib", Module: lib}, {Name: "a", Module: importer("two", i32)}}, "module lib does not export it"},
		"type":    {[]wasm.LinkInput{{Name: "lib", Module: lib}, {Name: "a", Module: importer("one", nil)}}, "it has type"},
		"exports": {[]wasm.LinkInput{{Name: "a", Module: lib}, {Name: "b", Module: lib}}, `two exports are called "one"`},
		"index":   {[]wasm.LinkInput{{Name: "a", Module: bad}}, "function 0 (bad): call: index 77 of 1"},
		"circle":  {[]wasm.LinkInput{{Name: "a", Module: circle("b")}, {Name: "b", Module: circle("a")}}, "circle"},
	} {
		if _, err := wasm.Link(c.inputs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestLinkedDataIsJoinedAndKept(t *testing.T) {
	m := &wasm.Module{Memories: []wasm.Memory{{Limits: wasm.Limits{Min: 1}}}}
	for i := range 1000 {
		m.Data = append(m.Data, wasm.Data{Offset: wasm.ConstI32(int32(40000 - i*20)), Bytes: []byte(fmt.Sprintf("%04d", i))})
	}
	body := wasm.NewBody(1)
	body.LocalGet(0)
	body.MemArg(wasm.OpI32Load, 0, 0)
	m.Export("load", wasm.KindFunc, m.AddFunc(body.Func(m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32}), "load")))
	linked := link(t, wasm.LinkInput{Name: "a", Module: m})
	// 4 bytes of 20 are data: at most doubling them leaves three of four gaps.
	if n := len(linked.Data); n > 800 {
		t.Errorf("%d data segments", n)
	}
	h := newHost(t, linked.Encode())
	if _, r := h.call(t, "load", 40000-999*20); uint32(r[0]) != 0x39393930 { // "0999"
		t.Errorf("loaded %#x", r[0])
	}
}

func FuzzLink(f *testing.F) {
	f.Add(sample().Encode())
	f.Add(unit().Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wasm.Decode(data)
		if err != nil {
			return
		}
		linked, err := wasm.Link([]wasm.LinkInput{{Name: "guest", Module: guestabi.Runtime(0)}, {Name: "a", Module: m, Prefix: "a."}})
		if err != nil {
			return
		}
		if _, err := wasm.Decode(linked.Encode()); err != nil {
			t.Fatalf("reading the linked module: %v", err)
		}
	})
}

func TestSkeletonKeepsEverythingButCode(t *testing.T) {
	whole := link(t, wasm.LinkInput{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(1)},
		wasm.LinkInput{Name: guestabi.UnitModule(0), Module: unit(), Prefix: "unit0."}).Encode()
	b, err := wasm.Skeleton(whole)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, b)
	m, want := decode(t, b), decode(t, whole)
	for i := range m.Funcs {
		if len(m.Funcs[i].Code) != 2 {
			t.Errorf("function %d has %d bytes of code", i, len(m.Funcs[i].Code))
		}
		m.Funcs[i].Code, m.Funcs[i].Locals = want.Funcs[i].Code, want.Funcs[i].Locals
	}
	if !bytes.Equal(m.Encode(), want.Encode()) {
		t.Error("something else differs")
	}
}
