package lower

import (
	"math/rand"
	"sort"
	"testing"
)

func TestPCHashFindsEveryTargetSoon(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		known := make([]knownTarget, 5+r.Intn(300))
		pc := r.Uint32() >> 1
		for i := range known {
			pc += 1 + r.Uint32()>>24
			known[i].pc = pc
		}
		sort.Slice(known, func(i, j int) bool { return known[i].pc < known[j].pc })
		h := newPCHash(known)
		if n := uint(len(known)); h.slots < 2*n || h.slots > 4*n {
			t.Errorf("seed %d: %d slots for %d targets", seed, h.slots, n)
		}
		compared := 0
		for i, k := range known {
			at := -1
			for j, c := range h.buckets[h.slot(k.pc-known[0].pc)] {
				if c == i {
					at = j
				}
			}
			if at < 0 {
				t.Fatalf("seed %d: target %d is not in its bucket", seed, i)
			}
			compared += at + 1
		}
		if compared > 2*len(known) {
			t.Errorf("seed %d: %d targets take %d comparisons", seed, len(known), compared)
		}
	}
}
