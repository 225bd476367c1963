package suite

import (
	"strings"
	"testing"
)

func TestKnownFailures(t *testing.T) {
	if k, err := ParseKnown("# why\n\na | b c\n"); err != nil || k["a"] != "b c" || len(k) != 1 {
		t.Errorf("%v, %v", k, err)
	}
	for _, bad := range []string{"name", "name | ", " | reason", "a | b\na | c"} {
		if k, err := ParseKnown(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, k)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		r      Result
		reason string
		want   string
		ok     bool
	}{
		{Result{"a", 0, 0}, "", "passes", true},
		{Result{"a", 0, 1}, "", "FAIL status 1", false},
		{Result{"a", 0, 1}, "why", "fails as known: why", true},
		{Result{"a", 0, 0}, "why", "FAIL passes", false},
		{Result{"a", 32, 1}, "", "left out", true},
	} {
		if got, ok := Judge(tc.r, tc.reason); ok != tc.ok || !strings.HasPrefix(got, tc.want) {
			t.Errorf("%+v with %q: %q, %v", tc.r, tc.reason, got, ok)
		}
	}
}
