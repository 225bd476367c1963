package main

import (
	"fmt"
	"strings"
)

// knownDifference says how much of a program's outcome differs, and why.
type knownDifference struct {
	extent string // as differ gives it; "*" if it is not the same each time
	reason string
}

// parseKnown reads known.txt: lines of NAME | EXTENT | REASON, or comments.
func parseKnown(text string) (map[string]knownDifference, error) {
	known := map[string]knownDifference{}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, " | ")
		if len(fields) != 3 || fields[0] == "" || fields[1] == "" || fields[2] == "" {
			return nil, fmt.Errorf("known.txt:%d: want NAME | EXTENT | REASON", n+1)
		}
		if _, twice := known[fields[0]]; twice {
			return nil, fmt.Errorf("known.txt:%d: %s is there twice", n+1, fields[0])
		}
		known[fields[0]] = knownDifference{fields[1], fields[2]}
	}
	return known, nil
}

// differ says how b differs from a: in how many lines, by position, and in the
// status. It returns "" if they are equal.
func differ(a, b outcome) string {
	var parts []string
	if a.output != b.output {
		x, y := strings.Split(a.output, "\n"), strings.Split(b.output, "\n")
		n := max(len(x), len(y)) - min(len(x), len(y))
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d lines of %d", n, len(x)))
	}
	if a.status != b.status {
		parts = append(parts, fmt.Sprintf("status %d for %d", b.status, a.status))
	}
	return strings.Join(parts, ", ")
}

// judge compares a program's outcome with that of the real CPU and says whether
// that is as expected. An unexpected agreement is a failure.
func judge(native, here outcome, known knownDifference) (verdict string, ok bool) {
	extent := differ(native, here)
	lines := strings.Count(native.output, "\n")
	switch {
	case extent == "" && known.extent == "":
		return fmt.Sprintf("agrees: %d lines, status %d", lines, native.status), true
	case extent == "":
		return "FAIL agrees, but known.txt has it: " + known.extent, false
	case known.extent == "":
		return "FAIL differs: " + extent, false
	case known.extent != extent && known.extent != "*":
		return fmt.Sprintf("FAIL differs: %s; known.txt has: %s", extent, known.extent), false
	}
	return fmt.Sprintf("differs as known: %s: %s", extent, known.reason), true
}
