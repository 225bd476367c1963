package guestabi

import (
	"testing"

	"megabinary.dev/sdk/wasm"
)

func TestCodeMap(t *testing.T) {
	entries := []CodePlace{{0x401000, 0, true}, {0x401003, -8, false}, {0x401003, -8, true}, {0x40100a, -16, true}, {0x400ff0, 0, false},
		{0xfffffff0, 1 << 23, false}, {0, -(1 << 23), true}, {0x401000, 0, false}}
	for d := int32(-70); d < 70; d++ {
		entries = append(entries, CodePlace{entries[len(entries)-1].PC + uint32(d), d, d%3 == 0})
	}
	m := NewCodeMap(0x401000)
	for _, e := range entries {
		m.Add(e.PC, e.SP, e.Stale)
	}
	if m.Len() != len(entries) {
		t.Errorf("the map has %d entries, want %d", m.Len(), len(entries))
	}
	maps := AppendCodeMap(nil, nil, 0)
	maps = AppendCodeMap(maps, m.Bytes(), 300)
	units, out, err := ReadCodeMaps(maps, 2)
	if err != nil {
		t.Fatal(err)
	}
	if out[0] != nil || units[1] != 300 {
		t.Errorf("read maps %v of units %v", out, units)
	}
	for i, e := range entries {
		if p, err := FindCode(out[1], i); err != nil || p != e {
			t.Errorf("entry %d is %v (%v), want %v", i, p, err, e)
		}
	}
	if _, err := FindCode(out[1], len(entries)); err == nil {
		t.Error("there is an entry behind the last one")
	}
	for n := range maps {
		if _, _, err := ReadCodeMaps(maps[:n], 2); err == nil {
			t.Errorf("the first %d bytes of the maps were read as all of them", n)
		}
	}
	if _, _, err := ReadCodeMaps(maps, 1); err == nil {
		t.Error("the maps of two functions were read as those of one")
	}
}

func TestCodeMapIndex(t *testing.T) {
	b := wasm.NewBody(0)
	b.I32Const(0)
	b.MemArg(wasm.OpI64Load, 0, 0) // 0
	b.Op(wasm.OpDrop)
	second := 0
	b.Call(5) // not imported
	b.Call(1) // 1
	b.I32Const(0)
	b.I32Const(0)
	b.I32Const(0)
	second = b.Len()
	b.MemoryFill() // 2
	code := b.Func(0, "").Code
	if n, err := CountStops(code, 3); err != nil || n != 3 {
		t.Errorf("%d instructions may stop (%v), want 3", n, err)
	}
	for offset, want := range map[int]int{2: 0, second: 2} {
		if n, err := CodeMapIndex(code, 3, offset); err != nil || n != want {
			t.Errorf("the instruction at %d is number %d (%v), want %d", offset, n, err, want)
		}
	}
	if _, err := CodeMapIndex(code, 3, 1); err == nil {
		t.Error("there is an entry for the middle of an instruction")
	}
}
