package lift

import (
	_ "embed"
	"fmt"
	"strings"
)

// caseCounts holds a line "MNEMONIC count" for each mnemonic that the case
// files in testdata use; TestCaseCounts keeps it current.
//
//go:embed testdata/counts
var caseCounts string

// CaseCounts returns in how many cases each mnemonic occurs.
func CaseCounts() map[string]int {
	counts := map[string]int{}
	for line := range strings.Lines(caseCounts) {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err != nil {
			panic("BUG: testdata/counts: " + err.Error())
		}
		counts[name] = n
	}
	return counts
}
