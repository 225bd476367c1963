package lift_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"megabinary.dev/sdk/x86"
)

// countCases reads the case files: in how many cases each mnemonic occurs.
func countCases(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	counts := map[string]int{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			text, _, ok := strings.Cut(line, "|")
			if !ok || line[0] == '#' {
				continue
			}
			code, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), " ", ""))
			if err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			for _, name := range mnemonics(code) {
				counts[name]++
			}
		}
	}
	var lines []string
	for name, n := range counts {
		lines = append(lines, fmt.Sprintf("%s %d\n", name, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// mnemonics returns the different mnemonics of straight-line code.
func mnemonics(code []byte) (names []string) {
	for len(code) > 0 {
		in, err := x86.Decode(code, 0)
		if err != nil {
			break
		}
		if name := in.Op.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
		code = code[in.Len:]
	}
	return names
}

// TestCaseCounts wants testdata/counts, which the program carries, to be what
// the case files say. UPDATE=1 rewrites it.
func TestCaseCounts(t *testing.T) {
	const path = "testdata/counts"
	want := countCases(t)
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current: run the test with UPDATE=1", path)
	}
}
