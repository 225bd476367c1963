package recompile

import (
	"bytes"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/wasm"
)

// TestHugeFunctions: whatever the size of a function, those of the unit are
// small enough for wazero, whose memory grows with the square of it.
func TestHugeFunctions(t *testing.T) {
	const start = codeBase
	straight := bytes.Repeat([]byte{0x48, 0x83, 0xc0, 0x01}, 1<<18) // add rax, 1
	straight = append(straight, 0xc3)

	branches := bytes.Repeat([]byte{0x48, 0xff, 0xcf, 0x75, 0x01, 0x90}, 20_000) // dec rdi; jne over nop
	branches = append(branches, 0xc3)
	var branchBlocks []*programpb.Block
	for at := range 20_000 {
		a := uint64(start + 6*at)
		branchBlocks = append(branchBlocks, &programpb.Block{Start: a, Size: 5}, &programpb.Block{Start: a + 5, Size: 1})
	}
	branchBlocks = append(branchBlocks, &programpb.Block{Start: start + 6*20_000, Size: 1})

	cases := append([]byte{0xff, 0xe0}, bytes.Repeat([]byte{0xff, 0xc0, 0xc3}, 100_000)...) // jmp rax; {inc eax; ret}
	caseBlocks := []*programpb.Block{{Start: start, Size: 2}}
	for i := range 100_000 {
		a := uint64(start + 2 + 3*i)
		caseBlocks = append(caseBlocks, &programpb.Block{Start: a, Size: 3})
		caseBlocks[0].Targets = append(caseBlocks[0].Targets, a)
	}
	for _, c := range []struct {
		name   string
		code   []byte
		blocks []*programpb.Block
	}{
		{"1 MB of straight code", straight, []*programpb.Block{{Start: start, Size: uint32(len(straight))}}},
		{"20,000 branches", branches, branchBlocks},
		{"a switch of 100,000 cases", cases, caseBlocks},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &programpb.Program{Sha256: strings.Repeat("ab", 32), Entry: start, Size: uint64(len(c.code))}
			p.Functions = []*programpb.Function{{Start: start, Name: "huge", Blocks: c.blocks}}
			p.Segments = []*programpb.Segment{{Address: start, FileSize: p.Size, MemorySize: p.Size, Flags: 5}}
			unit, report := recompile(t, c.code, p, Options{})
			if report.Refused != 0 {
				t.Errorf("%d functions were refused", report.Refused)
			}
			if report.TranslatedBytes != p.Size {
				t.Errorf("%d of %d bytes were translated", report.TranslatedBytes, p.Size)
			}
			m, err := wasm.Decode(unit)
			if err != nil {
				t.Fatal(err)
			}
			guest, largest := 0, 0
			for _, f := range m.Funcs {
				if strings.HasPrefix(f.Label, "huge") {
					guest++
					largest = max(largest, len(f.Code))
				}
			}
			if guest < 2 || largest > maxPieceWasm {
				t.Errorf("%d functions, the largest of %d bytes", guest, largest)
			}
		})
	}
}

// maxPieceWasm bounds the wasm of a piece, in bytes.
const maxPieceWasm = 1 << 20
