package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	got := parseList("# a runtest file\nabort01 abort01\nbind02\n\nclone01 clone01 -x\nagain abort01\n")
	if want := []string{"abort01", "bind02", "clone01"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKnownFailures(t *testing.T) {
	if _, err := parseKnown(knownText); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"name", "name | ", " | reason", "a | b\na | c"} {
		if k, err := parseKnown(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, k)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		r      result
		reason string
		want   string
		ok     bool
	}{
		{result{"a", 0, 0}, "", "passes", true},
		{result{"a", 0, 1}, "", "FAIL status 1", false},
		{result{"a", 0, 1}, "why", "fails as known: why", true},
		{result{"a", 0, 0}, "why", "FAIL passes", false},
		{result{"a", 32, 1}, "", "left out", true},
	} {
		if got, ok := judge(tc.r, tc.reason); ok != tc.ok || !strings.HasPrefix(got, tc.want) {
			t.Errorf("%+v with %q: %q, %v", tc.r, tc.reason, got, ok)
		}
	}
}
