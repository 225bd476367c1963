package machine

import (
	"bytes"
	"testing"

	"megabinary.dev/vkernel/pages"
)

// TestShow holds shown pages against copies: what a memory reads, what its forks
// read, and what the next user of its mapping finds, after each way to change
// them.
func TestShow(t *testing.T) {
	page := uint64(hostPage())
	text := bytes.Repeat([]byte("all that is shown "), int(3*page)/18)
	c := pages.Of(text) // ends within its third page
	want := append(bytes.Clone(text), make([]byte, 3*page-uint64(len(text)))...)
	at := Range{2 * page, 3 * page}
	read := func(m *Memory) []byte { return m.Bytes()[at.Start : at.Start+at.Size] }
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, m *Memory)
		edit   func(want []byte)
	}{
		{"nothing", func(*testing.T, *Memory) {}, func([]byte) {}},
		{"a byte written", func(_ *testing.T, m *Memory) { m.Bytes()[at.Start+page] = 'X' }, func(w []byte) { w[page] = 'X' }},
		{"a page zeroed by writing", func(_ *testing.T, m *Memory) { clear(m.Bytes()[at.Start : at.Start+page]) }, func(w []byte) { clear(w[:page]) }},
		{"the middle zeroed", func(t *testing.T, m *Memory) {
			if err := m.Zero(Range{at.Start + page/2, page + page/2}); err != nil {
				t.Error(err)
			}
		}, func(w []byte) { clear(w[page/2 : 2*page]) }},
		{"written and reset", func(t *testing.T, m *Memory) {
			clear(read(m))
			if err := m.Reset(Range{at.Start, page}); err != nil {
				t.Error(err)
			}
		}, func(w []byte) { clear(w[page:]) }},
		{"moved", func(t *testing.T, m *Memory) {
			m.Bytes()[at.Start] = 'X'
			if err := m.Move(8*page, at.Start, at.Size); err != nil {
				t.Error(err)
			}
			if got := m.Bytes()[8*page : 11*page]; got[0] != 'X' || !bytes.Equal(got[1:], want[1:]) {
				t.Errorf("moved: %.40q", got)
			}
		}, func(w []byte) { w[0] = 'X' }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mappings Mappings
			pool := NewPool(&mappings)
			m, err := pool.NewMemory(4 * pageSize)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Show(at, c, 0); err != nil {
				t.Fatal(err)
			}
			tc.change(t, m)
			now := bytes.Clone(want)
			tc.edit(now)
			if !bytes.Equal(read(m), now) {
				t.Errorf("reads %.40q, want %.40q", read(m), now)
			}
			child, _, err := m.Fork([]Range{{0, 4 * pageSize}})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(child), now) {
				t.Errorf("a fork reads %.40q, want %.40q", read(child), now)
			}
			read(child)[0]++
			if !bytes.Equal(read(m), now) {
				t.Error("what a fork writes is seen by its parent")
			}
			for _, m := range []*Memory{child, m} {
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
			}
			next, err := pool.NewMemory(4 * pageSize)
			if err != nil {
				t.Fatal(err)
			}
			if !isZero(next.Bytes()) {
				t.Error("the next user of the mapping finds something")
			}
			if err := next.Close(); err != nil {
				t.Fatal(err)
			}
			if err := pool.Close(); err != nil {
				t.Fatal(err)
			}
			if n := mappings.used.Load(); n != 0 {
				t.Errorf("%d mappings are still counted", n)
			}
		})
	}
}

// TestMappingsAreBounded uses up what may be shown: the rest must be copied, and
// reads the same in a fork.
func TestMappingsAreBounded(t *testing.T) {
	page := uint64(hostPage())
	var mappings Mappings
	mappings.used.Store(maxMappings - 2*perShown)
	pool := NewPool(&mappings)
	m, err := pool.NewMemory(4 * pageSize)
	if err != nil {
		t.Fatal(err)
	}
	c := pages.Of([]byte("shown"))
	shows := 0
	for i := range uint64(5) {
		if m.Show(Range{2 * i * page, page}, c, 0) == nil {
			shows++
		}
	}
	if shows != 2 {
		t.Errorf("%d contents are shown, want 2", shows)
	}
	child, _, err := m.Fork([]Range{{0, 4 * pageSize}})
	if err != nil {
		t.Fatal(err)
	}
	if got := child.Bytes()[2*page : 2*page+5]; string(got) != "shown" {
		t.Errorf("a fork without mappings left reads %q", got)
	}
	for _, m := range []*Memory{child, m} {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := mappings.used.Load(); n != maxMappings-2*perShown {
		t.Errorf("%d mappings are counted", n)
	}
}
