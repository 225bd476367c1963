package analyzeelf

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
	"testing"

	pb "megabinary.dev/sdk/artifact/programpb"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describe writes the blocks of a file made by tiny as offset+size, with ! for
// entries, | between functions and ?offset for unknown instructions.
func describe(p *pb.Program) string {
	type item struct {
		at   uint64
		text string
	}
	var items []item
	for n, f := range p.Functions {
		for i, b := range f.Blocks {
			s := fmt.Sprintf("%x+%d", b.Start-p.Entry, b.Size)
			if b.Entry {
				s += "!"
			}
			if i == 0 && n > 0 && f.Origin != pb.Origin_ORIGIN_GAP {
				s = "| " + s
			}
			items = append(items, item{b.Start, s})
		}
	}
	for _, u := range p.Unknown {
		items = append(items, item{u.Address, fmt.Sprintf("?%x", u.Address-p.Entry)})
	}
	sort.Slice(items, func(i, j int) bool { return items[i].at < items[j].at })
	var words []string
	for _, i := range items {
		words = append(words, i.text)
	}
	return strings.Join(words, " ")
}
