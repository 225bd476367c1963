package analyzeelf

import (
	"math/rand"
	"testing"
)

func TestScan(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 2000 {
		b := make([]byte, 1+rnd.Intn(40))
		for i := range b {
			if rnd.Intn(12) == 0 {
				b[i] = byte(1 + rnd.Intn(7))
			}
		}
		start := uint32(rnd.Intn(len(b)))
		end := start + uint32(rnd.Intn(len(b)-int(start)+1))
		want := start
		for want < end && b[want]&4 == 0 {
			want++
		}
		if got := nextWith(b, start, end, 4); got != want {
			t.Fatalf("nextWith(%v, %d, %d) = %d, want %d", b, start, end, got, want)
		}
		if end < uint32(len(b)) {
			want = end
			for want > start && b[want]&4 == 0 {
				want--
			}
			if got := lastWith(b, start, end, 4); got != want {
				t.Fatalf("lastWith(%v, %d, %d) = %d, want %d", b, start, end, got, want)
			}
		}
		for i := range b {
			b[i] = min(b[i], 1) ^ 1
		}
		want = start
		for want < end && b[want] != 0 {
			want++
		}
		if got := nextZero(b, start, end); got != want {
			t.Fatalf("nextZero(%v, %d, %d) = %d, want %d", b, start, end, got, want)
		}
	}
}
