package wasm_test

import (
	"fmt"
	"strings"
	"testing"

	"megabinary.dev/sdk/wasm"
)

// blocky returns a module that exports functions which return their number,
// after as many empty blocks as sizes says.
func blocky(first int32, sizes ...int) *wasm.Module {
	m := &wasm.Module{}
	typ := m.Type(nil, []wasm.ValType{wasm.I32})
	for i, n := range sizes {
		b := wasm.NewBody(0)
		for range n {
			b.Block(wasm.BlockVoid)
			b.End()
		}
		if i > 0 {
			b.Call(0) // the function before the renumbering
			b.Op(wasm.OpDrop)
		}
		b.I32Const(first + int32(i))
		m.Export(fmt.Sprint("f", i), wasm.KindFunc, m.AddFunc(b.Func(typ, fmt.Sprint("f", first+int32(i)))))
	}
	return m
}

func TestLinkPutsLargeFunctionsLast(t *testing.T) {
	m := link(t,
		wasm.LinkInput{Name: "a", Prefix: "a.", Module: blocky(0, 1000, 3, 2, 100)},
		wasm.LinkInput{Name: "b", Prefix: "b.", Module: blocky(10, 1, 500, 70, 20)})
	var order []string
	for i := range m.Funcs {
		order = append(order, m.Funcs[i].Label)
	}
	if got, want := strings.Join(order, " "), "f1 f2 f10 f13 f3 f12 f11 f0"; got != want {
		t.Errorf("the functions stand in the order %s, not %s", got, want)
	}
	h := newHost(t, m.Encode())
	for prefix, first := range map[string]uint64{"a.": 0, "b.": 10} {
		for i := range uint64(4) {
			if _, got := h.call(t, fmt.Sprint(prefix, "f", i)); len(got) != 1 || got[0] != first+i {
				t.Errorf("%sf%d returns %v", prefix, i, got)
			}
		}
	}
}
