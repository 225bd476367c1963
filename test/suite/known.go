// Package suite runs the programs of a public test suite natively and under
// megabin and compares. The kernel of this machine decides what counts: a test
// that does not pass natively is left out. What does not pass here must be known,
// with a reason; what is known and passes fails the run.
package suite

import (
	"fmt"
	"strings"
)

// ParseKnown reads a file of known failures: lines of NAME | REASON, or comments.
func ParseKnown(text string) (map[string]string, error) {
	known := map[string]string{}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " | ")
		if !ok || name == "" || reason == "" {
			return nil, fmt.Errorf("known failures, line %d: want NAME | REASON", n+1)
		}
		if known[name] != "" {
			return nil, fmt.Errorf("known failures, line %d: %s is there twice", n+1, name)
		}
		known[name] = reason
	}
	return known, nil
}
