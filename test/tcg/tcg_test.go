package main

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	a, b, c := outcome{"1\n2\n3\n", 0}, outcome{"1\nx\n3\n", 0}, outcome{"1\nx\n", 132}
	for _, test := range []struct {
		name         string
		native, here outcome
		known        string
		ok           bool
		verdict      string
	}{
		{"agreement", a, a, "", true, "agrees: 3 lines, status 0"},
		{"a difference that nobody knows", a, b, "", false, "FAIL differs: 1 lines of 4"},
		{"a known difference", a, b, "1 lines of 4", true, "differs as known: 1 lines of 4: why"},
		{"more than is known", a, c, "1 lines of 4", false, "FAIL differs: 3 lines of 4, status 132 for 0; known.txt has: 1 lines of 4"},
		{"less than is known", a, b, "2 lines of 4", false, "FAIL differs: 1 lines of 4; known.txt has: 2 lines of 4"},
		{"unexpected agreement", a, a, "1 lines of 4", false, "FAIL agrees, but known.txt has it: 1 lines of 4"},
		{"a difference that varies", a, c, "*", true, "differs as known: 3 lines of 4, status 132 for 0: why"},
		{"unexpected agreement where it varied", a, a, "*", false, "FAIL agrees, but known.txt has it: *"},
	} {
		known := knownDifference{}
		if test.known != "" {
			known = knownDifference{test.known, "why"}
		}
		if verdict, ok := judge(test.native, test.here, known); ok != test.ok || verdict != test.verdict {
			t.Errorf("%s: %t, %q; want %t, %q", test.name, ok, verdict, test.ok, test.verdict)
		}
	}
}

// TestKnown checks known.txt: every line is well formed and names a program.
func TestKnown(t *testing.T) {
	known, err := parseKnown(knownText)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs() {
		delete(known, p.name)
	}
	for name := range known {
		t.Errorf("known.txt: there is no program %s", name)
	}
	for _, bad := range []string{"a | b", "a |  | c", "a | b | c\na | b | c"} {
		if _, err := parseKnown(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestStable(t *testing.T) {
	for _, p := range programs() {
		switch p.name {
		case "test-mmap":
			if got := p.stable("x addr=0x7f00 passed"); got != "x * passed" {
				t.Errorf("%s: %q", p.name, got)
			}
		case "signals":
			if got := p.stable("b\nsaw 1 alarms from 20\na"); got != "*\na\nb" {
				t.Errorf("%s: %q", p.name, got)
			}
		case "sha1":
			if got := p.stable("b\na"); got != strings.Join([]string{"b", "a"}, "\n") {
				t.Errorf("%s: %q", p.name, got)
			}
		}
	}
}
