package main

import (
	"testing"

	"megabinary.dev/test/suite"
)

func TestKnownFailures(t *testing.T) {
	if _, err := suite.ParseKnown(knownText); err != nil {
		t.Error(err)
	}
}
