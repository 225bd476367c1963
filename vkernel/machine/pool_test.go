package machine

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

func newPool(t testing.TB) *Pool {
	t.Helper()
	p := NewPool(nil)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func poolMemory(t testing.TB, p *Pool, size int64) *Memory {
	t.Helper()
	m, err := p.NewMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func closeMemory(t testing.TB, m *Memory) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// recycles tells whether this host can keep mappings at all (Linux 6.7).
func recycles(p *Pool) bool {
	_, ok := p.touchMap().all(make([]byte, 1<<16))
	return ok
}

// A process must find nothing of an earlier one, whether it starts anew or is
// forked, and whatever the earlier one has written, the page of register files
// and what lies outside of all mappings included.
func TestPoolLeaksNothing(t *testing.T) {
	const size = 8 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	p := newPool(t)
	parent := poolMemory(t, p, size)
	defer closeMemory(t, parent)
	for range 300 {
		at := rng.IntN(size - 5000)
		copy(parent.bytes[at:], bytes.Repeat([]byte{'p'}, rng.IntN(5000)))
	}
	for round := range 60 {
		secret := poolMemory(t, p, size)
		if !isZero(secret.bytes) {
			t.Fatalf("round %d: a new memory is not zero", round)
		}
		writes := []int{1, 40, 3000}[round%3] // few pages, some, all
		for range writes {
			at := rng.IntN(size - 3*4096)
			copy(secret.bytes[at:], bytes.Repeat([]byte{'s'}, rng.IntN(3*4096)))
		}
		copy(secret.bytes, "registers")
		closeMemory(t, secret)

		// Ranges need not begin or end with a page.
		a, b := uint64(pageSize+rng.IntN(size/4)), uint64(rng.IntN(size/4))
		ranges := []Range{{a, b}, {a + b + uint64(rng.IntN(9000)), uint64(rng.IntN(size / 4))}}
		child, copied, err := parent.Fork(ranges)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		for _, r := range ranges {
			copy(want[r.Start:r.Start+r.Size], parent.bytes[r.Start:])
		}
		if !bytes.Equal(child.bytes, want) {
			t.Fatalf("round %d: a child differs from its parent (%d bytes copied), it has a secret: %v",
				round, copied, bytes.ContainsRune(child.bytes, 's'))
		}
		closeMemory(t, child)
	}
}

func TestPoolRecycles(t *testing.T) {
	p := newPool(t)
	if !recycles(p) {
		t.Log("this host has no PAGEMAP_SCAN: nothing is recycled")
		return
	}
	m := poolMemory(t, p, 1<<20)
	base := &m.bytes[0]
	closeMemory(t, m)
	if other := poolMemory(t, p, 2<<20); len(other.bytes) != 2<<20 {
		t.Error("a mapping of another size was taken")
	} else {
		closeMemory(t, other)
	}
	m = poolMemory(t, p, 1<<20)
	if &m.bytes[0] != base {
		t.Error("the mapping was not taken again")
	}
	m.Remapped(Range{0, pageSize})
	closeMemory(t, m)
	if len(p.idle) != 1 {
		t.Errorf("%d mappings are idle: one that had shared pages was kept", len(p.idle))
	}
}

func TestPoolIsBounded(t *testing.T) {
	p := NewPool(nil)
	var list []*Memory
	for i := range 3 * maxIdle {
		m := poolMemory(t, p, maxIdleSize+pageSize)
		n := []int{1 << 12, maxIdleSize / 2, maxIdleSize + 1}[i%3]
		for at := 0; at < n; at += 1 << 12 {
			m.bytes[at] = 1
		}
		list = append(list, m)
	}
	for _, m := range list[1:] {
		closeMemory(t, m)
		size := uint64(0)
		for _, idle := range p.idle {
			size += idle.size
		}
		if len(p.idle) > maxIdle || size > maxIdleSize || size != p.size {
			t.Fatalf("%d mappings with %d bytes are idle, counted %d", len(p.idle), size, p.size)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	closeMemory(t, list[0])
	if len(p.idle) != 0 {
		t.Error("a closed pool keeps mappings")
	}
}

func TestPoolIsForManyThreads(t *testing.T) {
	p := newPool(t)
	parent := poolMemory(t, p, 1<<20)
	defer closeMemory(t, parent)
	copy(parent.bytes[pageSize:], "parent")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				child, _, err := parent.Fork([]Range{{pageSize, 4096}})
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.HasPrefix(child.bytes[pageSize:], []byte("parent")) || !isZero(child.bytes[2*pageSize:]) {
					t.Error("a child has what another has written")
				}
				copy(child.bytes[(2+i)*pageSize:], "mine")
				if err := child.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSubtract(t *testing.T) {
	for _, c := range []struct{ a, b, want []Range }{
		{nil, []Range{{0, 9}}, nil},
		{[]Range{{0, 9}}, nil, []Range{{0, 9}}},
		{[]Range{{0, 9}}, []Range{{0, 9}}, nil},
		{[]Range{{0, 9}}, []Range{{3, 3}}, []Range{{0, 3}, {6, 3}}},
		{[]Range{{0, 9}}, []Range{{0, 2}, {4, 1}, {8, 5}}, []Range{{2, 2}, {5, 3}}},
		{[]Range{{0, 4}, {6, 4}}, []Range{{2, 6}}, []Range{{0, 2}, {8, 2}}},
		{[]Range{{5, 5}, {20, 5}}, []Range{{0, 30}}, nil},
		{[]Range{{5, 5}, {20, 5}}, []Range{{0, 5}, {10, 10}, {25, 1}}, []Range{{5, 5}, {20, 5}}},
		{[]Range{{5, 0}}, nil, nil},
	} {
		var got []Range
		subtract(c.a, c.b, func(r Range) { got = append(got, r) })
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v less %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestMoveAndTouched(t *testing.T) {
	m := newMemory(t, 4<<20)
	copy(m.bytes[1<<20+4096:], "moved")
	if err := m.Move(2<<20, 1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(m.bytes[2<<20+4096:], []byte("moved")) {
		t.Error("a page was not moved")
	}
	touched := uint64(0)
	if err := m.Touched(Range{2 << 20, 1 << 20}, func(r Range) { touched += r.Size }); err != nil || touched == 0 || touched == 1<<20 {
		t.Errorf("%d bytes of one page were touched, %v", touched, err)
	}
	for _, err := range []error{m.Move(4<<20-1, 0, 2), m.Move(0, 4<<20-1, 2), m.Touched(Range{1 << 40, 1}, nil)} {
		if err == nil {
			t.Error("a range outside of memory was taken")
		}
	}
	if _, _, err := m.Fork([]Range{{4096, 4096}, {0, 4096}}); err == nil {
		t.Error("ranges out of order were taken")
	}
}

// Hosts without PAGEMAP_SCAN, or without pagemap at all, copy the same.
func TestTouchMapsAgree(t *testing.T) {
	m := newMemory(t, 64<<20)
	for _, at := range []int{70_000, 1 << 20, 1<<20 + 4096, 33<<20 + 5} {
		copy(m.bytes[at:], "touched")
	}
	r := Range{65_537, 60 << 20}
	var first []byte
	for i, touched := range []*touchMap{newTouchMap(), slowTouchMap(), {}} {
		got := make([]byte, len(m.bytes))
		last := r.Start
		touched.each(m.bytes, r, func(r Range) {
			if r.Start < last {
				t.Errorf("way %d: %v comes after %#x", i, r, last)
			}
			last = r.Start + r.Size
			copy(got[r.Start:last], m.bytes[r.Start:])
		})
		touched.close()
		if i == 0 {
			first = got
		} else if !bytes.Equal(got, first) {
			t.Errorf("way %d finds other pages", i)
		}
		if !bytes.HasPrefix(got[33<<20+5:], []byte("touched")) || last > r.Start+r.Size {
			t.Errorf("way %d lacks a page or goes to %#x", i, last)
		}
	}
}
