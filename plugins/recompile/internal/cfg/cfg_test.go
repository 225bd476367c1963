package cfg

import (
	"math/rand"
	"testing"
	"time"
)

// check holds a layout to what the lowering relies on.
func check(t *testing.T, succ [][]int, l *Layout, what any) {
	t.Helper()
	for i, loop := range l.Loops {
		if loop.Parent >= i {
			t.Fatalf("%v: loop %d comes before the one around it, %d", what, i, loop.Parent)
		}
		if p := loop.Parent; p >= 0 && (loop.Start < l.Loops[p].Start || loop.End > l.Loops[p].End) {
			t.Fatalf("%v: loop %d lies outside of loop %d", what, i, p)
		}
		if len(loop.Entries) == 1 && l.Pos[loop.Entries[0]] != loop.Start {
			t.Fatalf("%v: the header of loop %d is not its first block", what, i)
		}
	}
	for v, list := range succ {
		if l.Pos[v] < 0 {
			continue
		}
		for _, s := range list {
			if l.Pos[s] > l.Pos[v] {
				// Forward: into no loop but at its entries.
				for in := l.In[s]; in >= 0 && !l.Contains(in, v); in = l.Loops[in].Parent {
					if !contains(l.Loops[in].Entries, s) {
						t.Fatalf("%v: edge %d -> %d enters loop %d in its middle", what, v, s, in)
					}
				}
				continue
			}
			if e := l.EntryOf(s); e < 0 || !l.Contains(e, v) {
				t.Fatalf("%v: edge %d -> %d goes back to no entry of a loop around it", what, v, s)
			}
		}
	}
}

func TestRandomGraphs(t *testing.T) {
	for seed := range int64(20_000) {
		r := rand.New(rand.NewSource(seed))
		n := 1 + r.Intn(30)
		succ := make([][]int, n)
		for i := range succ {
			for range r.Intn(4) {
				succ[i] = append(succ[i], r.Intn(n))
			}
		}
		roots := []int{0}
		for i := 1; i < n; i++ {
			if r.Intn(6) == 0 {
				roots = append(roots, i)
			}
		}
		l := Build(succ, roots)
		for _, root := range roots {
			if l.Pos[root] < 0 {
				t.Fatalf("seed %d: root %d was not placed", seed, root)
			}
		}
		check(t, succ, l, seed)
	}
}

func TestReducibleLoopsHaveOneEntry(t *testing.T) {
	// 0 -> 1 -> 2 -> 1, 2 -> 3; a root inside of the loop changes nothing.
	l := Build([][]int{{1}, {2}, {1, 3}, nil}, []int{0, 2})
	if len(l.Loops) != 1 || len(l.Loops[0].Entries) != 1 || l.Loops[0].Entries[0] != 1 {
		t.Errorf("loops %+v", l.Loops)
	}
	// 0 -> 1, 0 -> 2, 1 <-> 2: irreducible.
	l = Build([][]int{{1, 2}, {2}, {1}}, []int{0})
	if len(l.Loops) != 1 || len(l.Loops[0].Entries) != 2 {
		t.Errorf("loops %+v", l.Loops)
	}
}

// TestLongAndDeep lays out large graphs in reasonable time.
func TestLongAndDeep(t *testing.T) {
	start := time.Now()
	const n = 100_000
	long := make([][]int, n)
	for i := range n - 1 {
		long[i] = []int{i + 1, min(i+7, n-1)}
	}
	check(t, long, Build(long, []int{0}), "long")
	const depth = 1000
	deep := make([][]int, 2*depth)
	for i := range depth {
		deep[i] = []int{i + 1}
		deep[2*depth-1-i] = []int{i}
		if i > 0 {
			deep[2*depth-1-i] = append(deep[2*depth-1-i], 2*depth-i)
		}
	}
	check(t, deep, Build(deep, []int{0}), "deep")
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}
