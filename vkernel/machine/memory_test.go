package machine

import (
	"bytes"
	"fmt"
	"testing"

	"megabinary.dev/sdk/guestabi"
)

func newMemory(t testing.TB, size int64) *Memory {
	t.Helper()
	m, err := NewMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestMemoryLimits(t *testing.T) {
	for _, c := range []struct {
		limit int64
		want  int // 0: refused
	}{
		{0, 2 * pageSize}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + pageSize},
		{guestabi.MaxPages * pageSize, guestabi.MaxPages * pageSize}, {guestabi.MaxPages*pageSize + 1, 0}, {-1, 0},
	} {
		m, err := NewMemory(c.limit)
		if c.want == 0 {
			if err == nil {
				t.Errorf("%d bytes were reserved", c.limit)
			}
			continue
		}
		if err != nil || len(m.Bytes()) != c.want {
			t.Errorf("limit %d: %v", c.limit, err)
			continue
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestZero(t *testing.T) {
	m := newMemory(t, 1<<20)
	for _, r := range []Range{{0, 1 << 20}, {1, 10}, {4096, 4096}, {4095, 4098}, {100, 3 * 4096}, {1<<20 - 1, 1}, {5000, 0}} {
		b := m.Bytes()
		for i := range b {
			b[i] = 1
		}
		if err := m.Zero(r); err != nil {
			t.Fatal(err)
		}
		for i := range b {
			if in := uint64(i) >= r.Start && uint64(i) < r.Start+r.Size; (b[i] == 0) != in {
				t.Fatalf("zeroing %v: byte %d is %d", r, i, b[i])
			}
		}
	}
	for _, r := range []Range{{1 << 20, 1}, {0, 1<<20 + 1}, {1 << 63, 1 << 63}} {
		if err := m.Zero(r); err == nil {
			t.Errorf("%v was zeroed", r)
		}
	}
}

func TestForkCopiesRanges(t *testing.T) {
	m := newMemory(t, 256<<20)
	b := m.Bytes()
	copy(b[70_000:], "seventy")
	copy(b[200<<20-3:], "across a page")
	copy(b[100<<20:], "left out")
	child, _, err := m.Fork([]Range{{65_536, 50 << 20}, {150<<20 + 1, 106<<20 - 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	c := child.Bytes()
	if !bytes.HasPrefix(c[70_000:], []byte("seventy")) || !bytes.HasPrefix(c[200<<20-3:], []byte("across a page")) {
		t.Error("the child lacks what its parent had")
	}
	if c[100<<20] != 0 {
		t.Error("the child has what was not asked for")
	}
	c[70_000] = 'S'
	if b[70_000] != 's' {
		t.Error("the child wrote to its parent")
	}
	if _, _, err := m.Fork([]Range{{0, 1 << 40}}); err == nil {
		t.Error("a range outside of memory was copied")
	}
}

func TestMemoryLivesUntilItsLastUser(t *testing.T) {
	w := newWorld(t, WazeroOptions{})
	if err := w.mem.Close(); err != nil { // the maker's use
		t.Fatal(err)
	}
	w.call(t, "store", map[guestabi.Reg]uint64{guestabi.RDI: guestabi.MinAddr, guestabi.RSI: 1})
	if err := w.m.Close(); err != nil {
		t.Fatal(err)
	}
	if w.mem.Bytes() != nil {
		t.Error("the mapping is still there")
	}
	if _, err := w.engine.NewMachine(w.mem, w.kernel); err == nil {
		t.Error("a machine was made over closed memory")
	}
}

func BenchmarkHostCall(b *testing.B) {
	w := newWorld(b, WazeroOptions{})
	c := guestabi.Context{}
	c.GPR[guestabi.RDI] = uint64(b.N)
	w.m.LoadContext(&c)
	b.ResetTimer()
	if _, err := w.m.Run(w.u.pc("spin")); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkNewMachine(b *testing.B) {
	w := newWorld(b, WazeroOptions{})
	b.ReportAllocs()
	for b.Loop() {
		m, err := w.engine.NewMachine(w.mem, w.kernel)
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Close()
	}
}

func BenchmarkRun(b *testing.B) {
	w := newWorld(b, WazeroOptions{})
	for b.Loop() {
		if _, err := w.m.Run(w.u.pc("rdtsc")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSaveLoadContext(b *testing.B) {
	w := newWorld(b, WazeroOptions{})
	var c guestabi.Context
	for b.Loop() {
		w.m.SaveContext(&c)
		w.m.LoadContext(&c)
	}
}

func BenchmarkTrap(b *testing.B) {
	w := newWorld(b, WazeroOptions{})
	for b.Loop() {
		if _, err := w.m.Run(w.u.pc("divide")); err == nil {
			b.Fatal("no trap")
		}
	}
}

func BenchmarkFork(b *testing.B) {
	for _, touched := range []int{0, 64, 1024} { // pages of 4 KiB in 256 MiB
		b.Run(fmt.Sprint(touched), func(b *testing.B) {
			pool := NewPool(nil)
			defer pool.Close()
			m, err := pool.NewMemory(1 << 30)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			for i := range touched {
				m.Bytes()[1<<20+i*4096] = 1
			}
			for b.Loop() {
				child, _, err := m.Fork([]Range{{1 << 20, 256 << 20}})
				if err != nil {
					b.Fatal(err)
				}
				_ = child.Close()
			}
		})
	}
}
