package recompile

import (
	"fmt"
	"strconv"
	"strings"

	"megabinary.dev/plugins/recompile/internal/pass"
)

// Range is the functions that start at First up to Last.
type Range struct{ First, Last uint32 }

// String is a Range as the stage's configuration has it.
func (r Range) String() string { return fmt.Sprintf("%x-%x", r.First, r.Last) }

// PassNames returns the passes that can be left out, in the order in which they
// run.
func PassNames() []string {
	var names []string
	for _, p := range pass.Passes() {
		if !p.Required {
			names = append(names, p.Name)
		}
	}
	return names
}

// plainFunctions returns Options.Plain of the file with a sha256, or nil.
func plainFunctions(plain map[string][]string, sha256 string) (func(pc uint32) bool, error) {
	texts, ok := plain[sha256]
	if !ok {
		texts = plain["*"]
	}
	var ranges []Range
	for _, text := range texts {
		first, last, ok := strings.Cut(text, "-")
		a, err1 := strconv.ParseUint(first, 16, 32)
		b, err2 := strconv.ParseUint(last, 16, 32)
		if !ok || err1 != nil || err2 != nil {
			return nil, fmt.Errorf("reading the configuration: plain: %q is not FIRST-LAST in hexadecimal", text)
		}
		ranges = append(ranges, Range{uint32(a), uint32(b)})
	}
	if len(ranges) == 0 {
		return nil, nil
	}
	return func(pc uint32) bool {
		for _, r := range ranges {
			if pc >= r.First && pc <= r.Last {
				return true
			}
		}
		return false
	}, nil
}
