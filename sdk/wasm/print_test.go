package wasm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// assemble runs wabt's wat2wasm on text.
func assemble(t *testing.T, text []byte) []byte {
	t.Helper()
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Fatal("wat2wasm is missing: apt-get install wabt")
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.wat"), filepath.Join(dir, "a.wasm")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command(tool, "--enable-threads", "--enable-tail-call", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm: %v\n%.2000s\n%.3000s", err, msg, text)
	}
	return readFile(t, out)
}

// skeleton removes what the text does not hold.
func skeleton(m *wasm.Module) []byte {
	m.Customs, m.Name = nil, ""
	for i := range m.Imports {
		m.Imports[i].Label = ""
	}
	for i := range m.Funcs {
		m.Funcs[i].Label, m.Funcs[i].Names = "", nil
	}
	for i := range m.Globals {
		m.Globals[i].Label = ""
	}
	for i := range m.Tables {
		m.Tables[i].Label = ""
	}
	for i := range m.Memories {
		m.Memories[i].Label = ""
	}
	for i := range m.Data {
		m.Data[i].Label = ""
	}
	return m.Encode()
}

func TestPrintedModulesReadBack(t *testing.T) {
	constants := &wasm.Module{}
	b := wasm.NewBody(0)
	for _, bits := range []uint64{0, 1 << 63, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff0000000000001, 1, 0x3ff0000000000001, 0x7fefffffffffffff} {
		b.F64Const(bits)
		b.Op(wasm.OpDrop)
		b.F32Const(uint32(bits >> 32))
		b.Op(wasm.OpDrop)
	}
	b.V128Const(1, 2)
	b.V128Const(^uint64(0), 0)
	b.Shuffle([16]byte{0, 31, 2, 3})
	b.Lane(wasm.OpI8x16ExtractLaneU, 15)
	b.Op(wasm.OpDrop)
	constants.AddFunc(b.Func(constants.Type(nil, nil), "odd name (with \"quotes\")"))
	for name, m := range map[string]*wasm.Module{
		"sample": sample(), "runtime": guestabi.Runtime(3), "unit": unit(), "constants": constants,
	} {
		var text bytes.Buffer
		if err := m.Print(&text); err != nil {
			t.Fatal(err)
		}
		back := decode(t, assemble(t, text.Bytes()))
		back.DataCount = m.DataCount
		if got, want := skeleton(back), skeleton(decode(t, m.Encode())); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d\n%s", name, len(got), len(want), text.String())
		}
	}
}

func TestPrintFunc(t *testing.T) {
	m := unit()
	i, ok := m.FindFunc("enter")
	if !ok {
		t.Fatal("there is no function enter")
	}
	var b strings.Builder
	if err := m.PrintFunc(&b, i); err != nil {
		t.Fatal(err)
	}
	want := `(func $enter (type 0) (param i32) (result i32)
  global.get $rax
  local.get 0
  i64.extend_i32_u
  i64.add
  global.set $rax
  local.get 0
  i32.const 1
  i32.add
)
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	if err := m.PrintFunc(&b, 0); err == nil {
		t.Error("an import was printed")
	}
}
