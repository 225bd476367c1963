package recompile

import (
	"bytes"
	"testing"
)

// TestPlain wants plain functions as they are without optimisation, and the
// others as they are with it.
func TestPlain(t *testing.T) {
	file, p := testProgram(testFunctions)
	optimised, _ := recompile(t, file, p, Options{})
	none, _ := recompile(t, file, p, Options{NoOpt: true})
	for _, test := range []struct {
		name  string
		plain map[string][]string
		want  []byte
	}{
		{"no function", nil, optimised},
		{"functions of another file", map[string][]string{"00": {"0-ffffffff"}}, optimised},
		{"this file, not the others", map[string][]string{"*": {"0-ffffffff"}, p.GetSha256(): {}}, optimised},
		{"all functions", map[string][]string{"*": {"0-ffffffff"}}, none},
		{"all functions of this file", map[string][]string{p.GetSha256(): {"0-401000", "401001-ffffffff"}}, none},
	} {
		plain, err := plainFunctions(test.plain, p.GetSha256())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := recompile(t, file, p, Options{Plain: plain}); !bytes.Equal(got, test.want) {
			t.Errorf("%s: another unit", test.name)
		}
	}
	half, err := plainFunctions(map[string][]string{"*": {"401000-40103f"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := recompile(t, file, p, Options{Plain: half}); bytes.Equal(got, optimised) || bytes.Equal(got, none) {
		t.Error("some functions plain: as all or as none")
	}
	for _, bad := range []string{"", "1", "1-", "x-2", "1-100000000"} {
		if _, err := plainFunctions(map[string][]string{"*": {bad}}, ""); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
