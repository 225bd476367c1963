package wasm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"megabinary.dev/sdk/wasm"
)

// validate runs wabt's wasm-validate on a module.
func validate(t *testing.T, module []byte) {
	t.Helper()
	tool, err := exec.LookPath("wasm-validate")
	if err != nil {
		t.Fatal("wasm-validate is missing: apt-get install wabt")
	}
	file := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(file, module, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), tool, "--enable-threads", "--enable-tail-call", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wasm-validate: %v\n%.2000s", err, out)
	}
}

// sample is a module that uses every section and most kinds of immediates.
func sample() *wasm.Module {
	m := &wasm.Module{Name: "sample"}
	void := m.Type(nil, nil)
	i32i32 := m.Type([]wasm.ValType{wasm.I32}, []wasm.ValType{wasm.I32})
	host := m.ImportFunc("vkernel", "safepoint", i32i32)
	reg := m.ImportGlobal("guest", "rax", wasm.I64, true)
	m.ImportMemory("guest", "memory", wasm.Limits{Min: 1})
	m.Tables = append(m.Tables, wasm.Table{Elem: wasm.FuncRef, Limits: wasm.Limits{Min: 4}})
	own := m.AddGlobal(wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.V128, Mutable: true}, Label: "own"})
	first := m.ReserveFuncs(2)

	b := wasm.NewBody(1)
	l := b.LocalsOf(wasm.I32, 2)
	v := b.Local(wasm.V128)
	b.Block(wasm.BlockVoid)
	b.Loop(wasm.BlockVoid)
	b.LocalGet(0)
	b.BrTable([]uint32{0, 1}, 1)
	b.End()
	b.End()
	b.V128Const(1, 1<<63)
	b.LocalTee(v)
	b.LocalGet(v)
	b.Op(wasm.OpI8x16Add)
	b.GlobalSet(own)
	b.GlobalGet(reg)
	b.I64Const(-1 << 63)
	b.Op(wasm.OpI64Add)
	b.GlobalSet(reg)
	b.LocalGet(0)
	b.MemArg(wasm.OpI32Load, 0, 0x8000)
	b.LocalSet(l)
	b.LocalGet(0)
	b.I32Const(1)
	b.MemArg(wasm.OpI32AtomicRmwAdd, 2, 4)
	b.If(wasm.BlockOf(wasm.I32))
	b.I32Const(-1)
	b.Else()
	b.LocalGet(l)
	b.Call(host)
	b.End()
	b.ReturnCall(first)
	m.Funcs[0] = b.Func(i32i32, "loop")
	m.Funcs[0].Names = map[uint32]string{0: "pc", v: "vector"}

	b = wasm.NewBody(0)
	for range 3 {
		b.I32Const(0)
	}
	b.MemoryCopy()
	for range 3 {
		b.I32Const(0)
	}
	b.Op(wasm.OpMemoryInit)
	b.Raw(1, 0)
	b.F64Const(0)
	b.Op(wasm.OpI64TruncSatF64S)
	b.Op(wasm.OpDrop)
	b.Op(wasm.OpRefFunc)
	b.U32(first)
	b.Op(wasm.OpDrop)
	b.AtomicFence()
	m.Funcs[1] = b.Func(void, "")
	m.HasStart, m.Start = true, first+1
	m.Export("enter", wasm.KindFunc, first)
	m.Elems = []wasm.Elem{
		{Mode: wasm.Active, Offset: wasm.ConstI32(0), Type: wasm.FuncRef, Funcs: []uint32{first}},
		{Mode: wasm.Passive, Type: wasm.FuncRef, Exprs: [][]byte{wasm.ConstZero(wasm.FuncRef)}},
		{Mode: wasm.Declarative, Type: wasm.FuncRef, Funcs: []uint32{first}},
	}
	m.DataCount = true
	m.Data = []wasm.Data{
		{Mode: wasm.Active, Offset: wasm.ConstI32(8), Bytes: []byte("active")},
		{Mode: wasm.Passive, Bytes: []byte("passive"), Label: ".rodata"},
	}
	m.Customs = []wasm.Custom{{Name: "megabinary.unit", Bytes: []byte("{}")}}
	return m
}

func TestEncodedModuleIsValid(t *testing.T) {
	validate(t, sample().Encode())
}
