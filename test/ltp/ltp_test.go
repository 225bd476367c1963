package main

import (
	"slices"
	"testing"

	"megabinary.dev/test/suite"
)

func TestParseList(t *testing.T) {
	got := parseList("# a runtest file\nabort01 abort01\nbind02\n\nclone01 clone01 -x\nagain abort01\n")
	if want := []string{"abort01", "bind02", "clone01"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKnownFailures(t *testing.T) {
	if _, err := suite.ParseKnown(knownText); err != nil {
		t.Error(err)
	}
}
