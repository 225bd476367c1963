package main

import (
	"slices"
	"testing"

	"megabinary.dev/test/suite"
)

func TestKnownFailures(t *testing.T) {
	if _, err := suite.ParseKnown(knownText); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	got := parse("PASS: a | b\n+ echo PASS: no\nFAIL: c\nPASS: c\nUNTESTED: d\n PASS: indented\nnoise\n", "sed")
	want := []outcome{{"sed: a / b", 0}, {"sed: c", 1}, {"sed: c (2)", 0}, {"sed: d", 2}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
