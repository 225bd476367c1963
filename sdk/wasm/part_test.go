package wasm

import (
	"bytes"
	"strings"
	"testing"
)

// separable is a module of functions that call each other:
// a -> host.one, b; b -> c, global g; c; d -> host.two; x -> table.
func separable(t *testing.T, before bool) *Module {
	t.Helper()
	m := &Module{}
	if before { // what moves all indices
		m.Type([]ValType{F32}, nil)
		m.ImportFunc("host", "zero", m.Type([]ValType{F64}, nil))
	}
	one := m.ImportFunc("host", "one", m.Type([]ValType{I32}, nil))
	two := m.ImportFunc("host", "two", m.Type([]ValType{I64}, nil))
	void := m.Type(nil, nil)
	if before {
		m.AddGlobal(Global{GlobalType: GlobalType{I64, true}})
		m.AddFunc(NewBody(0).Func(void, "first"))
	}
	g := m.AddGlobal(Global{GlobalType: GlobalType{I32, true}, Init: ConstI32(7)})
	shared := m.AddGlobal(Global{GlobalType: GlobalType{I32, true}})
	first := m.ReserveFuncs(5)
	a, b, c, d, x := NewBody(0), NewBody(0), NewBody(0), NewBody(0), NewBody(0)
	a.GlobalGet(shared)
	a.Call(one)
	a.Call(first + 1)
	b.Call(first + 2)
	b.GlobalGet(g)
	b.Op(OpDrop)
	d.I64Const(1)
	d.Call(two)
	x.I32Const(0)
	x.Op(OpCallIndirect)
	x.U32(void)
	x.U32(0)
	at := first - m.Imported(KindFunc)
	for i, body := range []*Body{a, b, c, d, x} {
		m.Funcs[int(at)+i] = body.Func(void, string(rune('a'+i)))
	}
	m.Tables = []Table{{Elem: FuncRef, Limits: Limits{Min: 1}}}
	m.AddMemory(Limits{Min: 3})
	m.Export("a", KindFunc, first)
	m.Export("c", KindFunc, first+2)
	m.Export("d", KindFunc, first+3)
	m.Export("x", KindFunc, first+4)
	m.Export("shared", KindGlobal, shared)
	return m
}

func TestPart(t *testing.T) {
	part, err := Part(separable(t, false), []string{"a"}, Borrow{"outer", []string{"shared", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	data := part.Encode()
	if part, err = Decode(data); err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, im := range part.Imports {
		imports = append(imports, im.Module+"."+im.Name)
	}
	if got := strings.Join(imports, " "); got != "host.one outer.shared outer.c" {
		t.Errorf("imports %s", got)
	}
	if len(part.Funcs) != 2 || len(part.Globals) != 1 || len(part.Exports) != 1 || len(part.Memories) != 1 || len(part.Tables) != 0 {
		t.Errorf("%d functions, %d globals, %d exports, %d memories, %d tables", len(part.Funcs), len(part.Globals), len(part.Exports),
			len(part.Memories), len(part.Tables))
	}
	other, err := Part(separable(t, true), []string{"a"}, Borrow{"outer", []string{"shared", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, other.Encode()) {
		t.Error("the part depends on what else the module holds")
	}
}

func TestPartRefuses(t *testing.T) {
	for want, try := range map[string]func() error{
		`no export "z"`: func() error {
			_, err := Part(separable(t, false), []string{"z"}, Borrow{})
			return err
		},
		`no export "y" to borrow`: func() error {
			_, err := Part(separable(t, false), nil, Borrow{"outer", []string{"y"}})
			return err
		},
		"refers to a table": func() error {
			_, err := Part(separable(t, false), []string{"x"}, Borrow{})
			return err
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
