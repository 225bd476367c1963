package lower

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// harness runs a unit under wazero with a kernel that only records.
type harness struct {
	t           testing.TB
	ctx         context.Context
	runtime     wazero.Runtime
	module      api.Module
	run         api.Function
	faults      []guestabi.Fault
	safepoints  int
	safepointAt uint32 // where the walk was left
	// onSafepoint, if set, returns the next PC.
	onSafepoint func(pc uint32) uint32
	onSyscall   func(next uint32) (uint64, uint32)
}

const faultPC = 0x66

func newHarness(t testing.TB, unit *wasm.Module, interpreter bool) *harness {
	t.Helper()
	checkCodeMaps(t, unit)
	linked, err := wasm.Link([]wasm.LinkInput{
		{Name: guestabi.ModuleGuest, Module: guestabi.Runtime(1)},
		{Name: guestabi.UnitModule(0), Module: unit, Prefix: guestabi.UnitModule(0) + "."},
	})
	if err != nil {
		t.Fatalf("linking: %v", err)
	}
	code := linked.Encode()
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	ctx := context.Background()
	h := &harness{t: t, ctx: ctx, runtime: wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(guestabi.MaxPages).WithCoreFeatures(
		api.CoreFeaturesV2|experimental.CoreFeaturesThreads|experimental.CoreFeaturesTailCall|experimental.CoreFeaturesExtendedConst))}
	t.Cleanup(func() { h.runtime.Close(ctx) })
	host := h.runtime.NewHostModuleBuilder(guestabi.ModuleKernel)
	for _, k := range guestabi.KernelFuncs() {
		host.NewFunctionBuilder().WithGoFunction(h.hostFunc(k.Name), apiTypes(k.Params), apiTypes(k.Results)).Export(k.Name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		t.Fatalf("making the host module: %v", err)
	}
	if h.module, err = h.runtime.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig()); err != nil {
		path := filepath.Join(os.TempDir(), "failed.wasm")
		os.WriteFile(path, code, 0o600)
		t.Fatalf("compiling (%s): %v", path, err)
	}
	if _, ok := h.module.Memory().Grow(64); !ok {
		t.Fatal("growing the memory")
	}
	h.run = h.module.ExportedFunction(guestabi.ExportRun)
	h.module.ExportedGlobal(guestabi.UnitModule(0) + "." + guestabi.ExportAdmitted).(api.MutableGlobal).Set(1)
	return h
}

func apiTypes(ts []guestabi.Type) []api.ValueType {
	out := make([]api.ValueType, len(ts))
	for i, t := range ts {
		out[i] = api.ValueType(t)
	}
	return out
}

func (h *harness) hostFunc(name string) api.GoFunc {
	return func(_ context.Context, stack []uint64) {
		switch name {
		case guestabi.FuncFault:
			h.faults = append(h.faults, guestabi.Fault(uint32(stack[0])))
			stack[0] = faultPC
		case guestabi.FuncSafepoint:
			h.safepoints++
			if h.onSafepoint != nil {
				stack[0] = uint64(h.onSafepoint(uint32(stack[0])))
			}
		case guestabi.FuncSyscall:
			rax, pc := h.onSyscall(uint32(stack[7]))
			stack[0], stack[1] = rax, uint64(pc)
		case guestabi.FuncResolve:
			pc := uint32(stack[0])
			stack[0] = 0
			if pc < 0x1000 {
				stack[0] = 0xffffffff // no unit
			}
		case guestabi.FuncCPUID:
			stack[0], stack[1], stack[2], stack[3] = 1, 2, 3, 4
		}
	}
}

// Regs are the integer registers and flags.
type regs map[ir.Reg]uint64

// enter loads registers, runs from pc until the guest leaves, and returns the
// PC where it left.
func (h *harness) enter(pc uint32, in regs) (uint32, error) {
	h.t.Helper()
	for r, v := range in {
		h.global(r).(api.MutableGlobal).Set(v)
	}
	out, err := h.run.Call(context.Background(), uint64(pc))
	if err != nil {
		return 0, err
	}
	return uint32(out[0]), nil
}

func (h *harness) global(r ir.Reg) api.Global {
	g := h.module.ExportedGlobal(r.String())
	if g == nil {
		h.t.Fatalf("the megabinary exports no global %s", r)
	}
	return g
}

func (h *harness) set(r ir.Reg, v uint64) { h.global(r).(api.MutableGlobal).Set(v) }

func (h *harness) reg(r ir.Reg) uint64 { return h.global(r).Get() }

// write puts a 64-bit number at a guest address.
func (h *harness) write(addr uint32, v uint64) {
	b := binary.LittleEndian.AppendUint64(nil, v)
	if !h.module.Memory().Write(addr-guestabi.AddrBias, b) {
		h.t.Fatalf("no memory at %#x", addr)
	}
}

// validate runs wabt's validator over a module.
func validate(t testing.TB, m *wasm.Module) {
	t.Helper()
	tool, err := exec.LookPath("wasm-validate")
	if err != nil {
		t.Fatal("wasm-validate is missing: apt-get install wabt")
	}
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, m.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "--enable-all", path).CombinedOutput(); err != nil {
		t.Fatalf("wasm-validate: %v\n%s", err, out)
	}
}

// checkCodeMaps holds the code maps of a unit against its code.
func checkCodeMaps(t testing.TB, unit *wasm.Module) {
	t.Helper()
	section, ok := unit.Custom(artifact.SectionCodeMap)
	if !ok {
		t.Fatalf("the unit has no section %s", artifact.SectionCodeMap)
	}
	_, maps, err := guestabi.ReadCodeMaps(section, len(unit.Funcs))
	if err != nil {
		t.Fatal(err)
	}
	// The functions of module guest that code calls come after those of the host.
	host := uint32(0)
	for i, n := 0, uint32(0); i < len(unit.Imports); i++ {
		if im := &unit.Imports[i]; im.Kind == wasm.KindFunc {
			if n++; im.Module == guestabi.ModuleKernel {
				host = n
			}
		}
	}
	for i, m := range maps {
		if m == nil {
			continue
		}
		n, err := guestabi.CountStops(unit.Funcs[i].Code, host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guestabi.FindCode(m, n-1); err != nil && n > 0 {
			t.Errorf("the code map of function %d (%s) has fewer than %d entries: %v", i, unit.Funcs[i].Label, n, err)
		}
		if _, err := guestabi.FindCode(m, n); err == nil {
			t.Errorf("the code map of function %d (%s) has more than %d entries", i, unit.Funcs[i].Label, n)
		}
	}
}
