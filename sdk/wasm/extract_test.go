package wasm

import (
	"slices"
	"testing"
)

func TestExtract(t *testing.T) {
	m := &Module{}
	one := m.Type([]ValType{I32}, []ValType{I32})
	none := m.Type(nil, nil)
	m.ImportFunc("host", "f", none)
	first := m.ReserveFuncs(300)
	for i := range m.Funcs {
		b := NewBody(1)
		b.LocalGet(0)
		m.Funcs[i] = b.Func(one, "")
	}
	const at = 250
	b := NewBody(1)
	b.Call(0)
	b.LocalGet(0)
	b.Call(first + 7)
	b.Call(first + 299)
	b.Call(first + at)
	b.ReturnCall(first + 200)
	m.Funcs[at] = b.Func(one, "it")
	out, err := Extract(m, first+at, "it")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(out.Encode()); err != nil {
		t.Fatal(err)
	}
	type place struct {
		op     Opcode
		target uint32
		size   int
	}
	places := func(code []byte) (out []place) {
		if err := Walk(code, func(in *Inst, _ int) error {
			p := place{op: in.Op, size: len(in.Bytes)}
			if in.Op.Row().Imm == ImmFunc {
				p.target = in.A
			}
			out = append(out, p)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	was, is := places(m.Funcs[at].Code), places(out.Funcs[0].Code)
	want := []uint32{0, 0, 2, 2, 1, 2, 0}
	for i := range was {
		if is[i].op != was[i].op || is[i].size != was[i].size || is[i].target != want[i] {
			t.Errorf("instruction %d is %v, was %v, want target %d", i, is[i], was[i], want[i])
		}
	}
	if len(out.Funcs) != 2 || !slices.Equal(out.Funcs[1].Code, []byte{byte(OpUnreachable), byte(OpEnd)}) {
		t.Errorf("%d functions, want the one and a stub", len(out.Funcs))
	}
	for _, bad := range []uint32{0, first + 300} {
		if _, err := Extract(m, bad, "it"); err == nil {
			t.Errorf("function %d was extracted", bad)
		}
	}
}
