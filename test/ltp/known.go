package main

import (
	"fmt"
	"strings"
)

// parseKnown reads known.txt: lines of NAME | REASON, or comments.
func parseKnown(text string) (map[string]string, error) {
	known := map[string]string{}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " | ")
		if !ok || name == "" || reason == "" {
			return nil, fmt.Errorf("known.txt:%d: want NAME | REASON", n+1)
		}
		if known[name] != "" {
			return nil, fmt.Errorf("known.txt:%d: %s is there twice", n+1, name)
		}
		known[name] = reason
	}
	return known, nil
}
