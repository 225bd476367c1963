package recompile

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/sdk/x86"
)

// TestGolden holds the wasm of some small functions, and how many instructions
// of wasm the kernels' hot functions take for each of x86, so that a change that
// makes them worse shows in the diff. UPDATE=1 rewrites the files.
func TestGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/kernels.txt")
	if err != nil {
		t.Fatal(err)
	}
	var counts strings.Builder
	fmt.Fprintln(&counts, "# function: instructions of x86, of wasm, and of wasm for each of x86")
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		w := strings.Fields(line)
		if len(w) != 3 {
			t.Fatalf("%q is not a name, an address and code", line)
		}
		start, err1 := strconv.ParseUint(w[1], 0, 32)
		code, err2 := hex.DecodeString(w[2])
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", w[0], err1, err2)
		}
		blocks, n := sweep(t, code, start)
		fn := &programpb.Function{Start: start, Name: w[0], Blocks: blocks}
		file := make([]byte, 0x1000+len(code))
		copy(file[start&0xfff:], code)
		p := &programpb.Program{Sha256: strings.Repeat("ab", 32), Entry: start, Size: uint64(len(file)), Functions: []*programpb.Function{fn}}
		p.Segments = []*programpb.Segment{{Address: start &^ 0xfff, FileSize: p.Size, MemorySize: p.Size, Flags: 5}}
		unit, _ := recompile(t, file, p, Options{})
		m, err := wasm.Decode(unit)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := m.PrintFunc(&text, m.Imported(wasm.KindFunc)); err != nil {
			t.Fatal(err)
		}
		if len(code) <= maxGoldenText {
			golden(t, w[0]+".wat", text.String())
		}
		wasmCount := 0
		err = wasm.Walk(m.Funcs[0].Code, func(*wasm.Inst, int) error {
			wasmCount++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&counts, "%s: %d %d %.2f\n", w[0], n, wasmCount, float64(wasmCount)/float64(n))
	}
	golden(t, "counts.txt", counts.String())
}

// maxGoldenText bounds the code, in bytes, of the functions whose wasm is held.
const maxGoldenText = 64

// golden compares text with a file, or writes it.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s is out of date (UPDATE=1 rewrites it); it would be\n%s", path, text)
	}
}

// sweep finds the basic blocks of a function without indirect jumps, and counts
// its instructions.
func sweep(t *testing.T, code []byte, start uint64) ([]*programpb.Block, int) {
	t.Helper()
	end := start + uint64(len(code))
	leaders := []uint64{start, end}
	n := 0
	for at := start; at < end; n++ {
		in, err := x86.Decode(code[at-start:], at)
		if err != nil {
			t.Fatal(err)
		}
		if target, ok := in.DirectTarget(); ok && target >= start && target < end {
			leaders = append(leaders, target)
		}
		if at = in.Next(); in.EndsBlock() && at < end {
			leaders = append(leaders, at)
		}
	}
	slices.Sort(leaders)
	leaders = slices.Compact(leaders)
	var blocks []*programpb.Block
	for i, at := range leaders[:len(leaders)-1] {
		blocks = append(blocks, &programpb.Block{Start: at, Size: uint32(leaders[i+1] - at)})
	}
	return blocks, n
}
