package wasm_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"megabinary.dev/sdk/wasm"
)

func TestRoundTrip(t *testing.T) {
	first := sample().Encode()
	m, err := wasm.Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	if second := m.Encode(); !bytes.Equal(first, second) {
		t.Fatalf("written again it differs: %d and %d bytes", len(first), len(second))
	}
	for i := range m.Funcs {
		if err := wasm.Walk(m.Funcs[i].Code, func(*wasm.Inst, int) error { return nil }); err != nil {
			t.Errorf("function %d: %v", i, err)
		}
	}
}

func TestTruncatedModulesAreRefused(t *testing.T) {
	whole := sample().Encode()
	complete := 0
	for n := range len(whole) {
		if _, err := wasm.Decode(whole[:n]); err == nil {
			complete++ // cut between two sections that may be missing
		}
	}
	if complete > 6 {
		t.Errorf("%d prefixes of %d were read without error", complete, len(whole))
	}
}

func TestHostileCountsAreRefused(t *testing.T) {
	head := "\x00asm\x01\x00\x00\x00"
	for name, c := range map[string]struct{ in, want string }{
		"header":          {"\x00asm\x02\x00\x00\x00", "not a WebAssembly module"},
		"many types":      {head + "\x01\x05\xff\xff\xff\xff\x0f", "vector of 4294967295 elements"},
		"section size":    {head + "\x01\x7f", "unexpected end"},
		"unknown section": {head + "\x0e\x00", "unknown section"},
		"section twice":   {head + "\x01\x01\x00\x01\x01\x00", "there twice"},
		"long number":     {head + "\x01\xff\xff\xff\xff\xff\x01", "number takes more than 5 bytes"},
		"locals":          {head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7f\x0b", "more than 50000 locals"},
		"no bodies":       {head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", "functions without bodies"},
		"export":          {head + "\x07\x05\x01\x01a\x00\x07", "index 7 of 0"},
	} {
		if _, err := wasm.Decode([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestNamesAreKept(t *testing.T) {
	m, err := wasm.Decode(sample().Encode())
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	if m.Name != want.Name || m.Funcs[0].Label != "loop" || !reflect.DeepEqual(m.Funcs[0].Names, want.Funcs[0].Names) ||
		m.Globals[0].Label != "own" || m.Data[1].Label != ".rodata" || m.Imports[0].Label != "safepoint" {
		t.Errorf("names are %q %q %v %q", m.Name, m.Funcs[0].Label, m.Funcs[0].Names, m.Globals[0].Label)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wasm.Decode(data)
		if err != nil {
			return
		}
		for i := range m.Funcs {
			_ = wasm.Walk(m.Funcs[i].Code, func(*wasm.Inst, int) error { return nil })
		}
		first := m.Encode()
		again, err := wasm.Decode(first)
		if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		if !bytes.Equal(first, again.Encode()) {
			t.Fatal("writing twice differs")
		}
	})
}
