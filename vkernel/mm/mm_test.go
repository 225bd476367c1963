package mm

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
)

const (
	rw   = linux.PROT_READ | linux.PROT_WRITE
	size = 16 << 20
)

// newSpace returns an address space of 16 MiB.
func newSpace(t testing.TB, shared *Shared) *AddressSpace {
	t.Helper()
	mem, err := machine.NewMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	as := New(mem, shared, func(m *machine.Memory) {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(as.Release)
	return as
}

func mustMap(t testing.TB, as *AddressSpace, o MapOpts) uint64 {
	t.Helper()
	addr, err := as.Map(o)
	if err != nil {
		t.Fatalf("mapping %+v: %v", o, err)
	}
	return addr
}

// layout prints the VMAs, one a line, less the addresses below the first.
func layout(as *AddressSpace) string {
	var s strings.Builder
	for _, v := range as.VMAs() {
		fmt.Fprintf(&s, "%x-%x %d %s\n", v.Start, v.End, v.Prot, v.Name)
	}
	return s.String()
}

func TestMapIsTopDownAndZero(t *testing.T) {
	as := newSpace(t, nil)
	a := mustMap(t, as, MapOpts{Length: 1, Prot: rw})
	b := mustMap(t, as, MapOpts{Length: PageSize + 1, Prot: linux.PROT_READ})
	if a != as.High()-PageSize || b != a-2*PageSize {
		t.Errorf("mapped at %#x and %#x below %#x", a, b, as.High())
	}
	as.linear(a, 1)[0] = 7
	if err := as.Unmap(a, PageSize); err != nil {
		t.Fatal(err)
	}
	as.linear(a, 1)[0] = 8 // stray writes of the guest stay invisible
	if c := mustMap(t, as, MapOpts{Length: PageSize, Prot: rw}); c != a || as.linear(a, 1)[0] != 0 {
		t.Errorf("mapped anew at %#x with %d", c, as.linear(a, 1)[0])
	}
}

func TestSplitAndMerge(t *testing.T) {
	as := newSpace(t, nil)
	const at = 0x10_0000
	mustMap(t, as, MapOpts{Addr: at, Length: 8 * PageSize, Prot: rw, Fixed: true})
	if err := as.Protect(at+2*PageSize, 2*PageSize, linux.PROT_READ); err != nil {
		t.Fatal(err)
	}
	if err := as.Unmap(at+6*PageSize, PageSize); err != nil {
		t.Fatal(err)
	}
	want := "100000-102000 3 \n102000-104000 1 \n104000-106000 3 \n107000-108000 3 \n"
	if got := layout(as); got != want {
		t.Errorf("layout\n%swant\n%s", got, want)
	}
	if err := as.Protect(at, 8*PageSize, rw); err != linux.ENOMEM {
		t.Errorf("protecting across a hole: %v", err)
	}
	mustMap(t, as, MapOpts{Addr: at + 6*PageSize, Length: PageSize, Prot: rw, Fixed: true})
	if err := as.Protect(at, 8*PageSize, rw); err != nil {
		t.Fatal(err)
	}
	if got := layout(as); got != "100000-108000 3 \n" {
		t.Errorf("equal neighbours are not merged:\n%s", got)
	}
}

func TestAccess(t *testing.T) {
	as := newSpace(t, nil)
	const at = 0x20_0000
	mustMap(t, as, MapOpts{Addr: at, Length: PageSize, Prot: rw, Fixed: true})
	mustMap(t, as, MapOpts{Addr: at + PageSize, Length: PageSize, Prot: linux.PROT_READ, Fixed: true})
	for _, tc := range []struct {
		addr, n uint64
		write   bool
		ok      bool
	}{
		{at, 2 * PageSize, false, true},
		{at, PageSize, true, true},
		{at, PageSize + 1, true, false},
		{at + PageSize, 1, true, false},
		{at + PageSize, PageSize + 1, false, false},
		{at - 1, 1, false, false},
		{0, 1, false, false},
		{guestabi.AddrBias, 1, false, false},
		{^uint64(0), 2, false, false},
		{at, ^uint64(0), false, false},
		{1 << 40, 1, false, false},
		{1 << 40, 0, false, true},
	} {
		b, err := as.Slice(tc.addr, tc.n, tc.write)
		if (err == nil) != tc.ok || err == nil && uint64(len(b)) != tc.n || err != nil && err != linux.EFAULT {
			t.Errorf("Slice(%#x, %#x, %v) = %d bytes, %v", tc.addr, tc.n, tc.write, len(b), err)
		}
	}
	if err := as.CopyOut(at+PageSize-3, []byte("ab\x00")); err != nil {
		t.Fatal(err)
	}
	if s, err := as.CopyInString(at+PageSize-3, 10); s != "ab" || err != nil {
		t.Errorf("string %q, %v", s, err)
	}
	if _, err := as.CopyInString(at+PageSize-3, 2); err != linux.ENAMETOOLONG {
		t.Errorf("a string longer than allowed: %v", err)
	}
	copy(as.linear(at+PageSize, PageSize), bytes.Repeat([]byte{'x'}, PageSize))
	if _, err := as.CopyInString(at+PageSize, 2*PageSize); err != linux.EFAULT {
		t.Errorf("a string that runs out of memory: %v", err)
	}
}

func TestBadArguments(t *testing.T) {
	as := newSpace(t, nil)
	for _, tc := range []struct {
		o    MapOpts
		want linux.Errno
	}{
		{MapOpts{}, linux.EINVAL},
		{MapOpts{Length: PageSize, Offset: 1}, linux.EINVAL},
		{MapOpts{Length: size * 2}, linux.ENOMEM},
		{MapOpts{Length: ^uint64(0)}, linux.ENOMEM},
		{MapOpts{Length: PageSize, Fixed: true, Addr: 0x1000}, linux.EPERM},
		{MapOpts{Length: PageSize, Fixed: true, Addr: 0x20_0001}, linux.EINVAL},
		{MapOpts{Length: PageSize, Fixed: true, Addr: 1 << 40}, linux.ENOMEM},
		{MapOpts{Length: PageSize, Fixed: true, Addr: ^uint64(PageMask)}, linux.ENOMEM},
		{MapOpts{Length: PageSize, Shared: true, File: &memFile{}}, linux.ENODEV},
	} {
		if addr, err := as.Map(tc.o); err != tc.want {
			t.Errorf("Map(%+v) = %#x, %v; want %v", tc.o, addr, err, tc.want)
		}
	}
	if err := as.Unmap(0, ^uint64(0)); err != linux.EINVAL {
		t.Errorf("unmapping everything: %v", err)
	}
	if _, err := as.Remap(0x20_0000, PageSize, 2*PageSize, 0, 0); err != linux.EFAULT {
		t.Errorf("remapping a hole: %v", err)
	}
}

func TestBreak(t *testing.T) {
	as := newSpace(t, nil)
	as.Layout(0x30_0800, as.High(), 0)
	if got := as.SetBreak(0, linux.RLIM_INFINITY); got != 0x30_0800 {
		t.Fatalf("break %#x", got)
	}
	if got := as.SetBreak(0x30_2801, linux.RLIM_INFINITY); got != 0x30_2801 || layout(as) != "301000-303000 3 [heap]\n" {
		t.Errorf("break %#x, layout %s", got, layout(as))
	}
	if got := as.SetBreak(0x40_0000, 0x1000); got != 0x30_2801 {
		t.Errorf("beyond RLIMIT_DATA: %#x", got)
	}
	mustMap(t, as, MapOpts{Addr: 0x30_4000, Length: PageSize, Prot: rw, Fixed: true})
	if got := as.SetBreak(0x30_5000, linux.RLIM_INFINITY); got != 0x30_2801 {
		t.Errorf("into a mapping: %#x", got)
	}
}

type memFile struct {
	data   []byte
	writes int
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	return copy(p, f.data[off:]), nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.writes++
	return copy(f.data[off:], p), nil
}
func (f *memFile) Identity() any   { return f }
func (f *memFile) MapName() string { return "/file" }

func TestFork(t *testing.T) {
	shared := NewShared()
	parent := newSpace(t, shared)
	file := &memFile{data: bytes.Repeat([]byte("0123456789abcdef"), 512)}
	private := mustMap(t, parent, MapOpts{Length: 100 * PageSize, Prot: rw})
	anon := mustMap(t, parent, MapOpts{Length: PageSize, Prot: rw, Shared: true})
	mapped := mustMap(t, parent, MapOpts{Length: 2 * PageSize, Prot: rw, Shared: true, File: file})
	parent.linear(private+50*PageSize, 1)[0] = 5
	child, copied, err := parent.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer child.Release()
	if copied == 0 || copied > 60*PageSize {
		t.Errorf("%d bytes copied for one page that was touched", copied)
	}
	if layout(parent) != layout(child) {
		t.Errorf("layouts differ:\n%s\n%s", layout(parent), layout(child))
	}
	child.linear(private+50*PageSize, 1)[0]++
	child.linear(anon, 1)[0] = 9
	child.linear(mapped+PageSize, 1)[0] = 'X'
	if got := parent.linear(private+50*PageSize, 1)[0]; got != 5 {
		t.Errorf("the parent's private page holds %d", got)
	}
	if parent.linear(anon, 1)[0] != 9 || parent.linear(mapped+PageSize, 1)[0] != 'X' {
		t.Error("shared pages are not shared")
	}
	if err := parent.Sync(mapped, 2*PageSize); err != nil || file.data[PageSize] != 'X' || file.writes != 1 {
		t.Errorf("after msync: %v, file has %q, %d writes", err, file.data[PageSize], file.writes)
	}
	if again := mustMap(t, parent, MapOpts{Length: PageSize, Prot: rw, Shared: true, File: file, Offset: PageSize}); parent.linear(again, 1)[0] != 'X' {
		t.Error("a second mapping of the file has pages of its own")
	}
}

func TestObjectsAreReleased(t *testing.T) {
	shared := NewShared()
	as := newSpace(t, shared)
	file := &memFile{data: make([]byte, 3*PageSize)}
	at := mustMap(t, as, MapOpts{Length: 3 * PageSize, Prot: rw, Shared: true, File: file})
	as.linear(at+2*PageSize, 1)[0] = 1
	if err := as.Unmap(at+PageSize, PageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := as.Remap(at+2*PageSize, PageSize, 4*PageSize, linux.MREMAP_MAYMOVE, 0); err != nil {
		t.Fatal(err)
	}
	if err := as.Unmap(as.Low(), as.High()-as.Low()); err != nil {
		t.Fatal(err)
	}
	if len(shared.files) != 0 {
		t.Error("the object of the file lives on")
	}
	if file.data[2*PageSize] != 1 || len(file.data) != 3*PageSize {
		t.Error("munmap did not write back, or made the file longer")
	}
}

// TestRandomOperations holds the invariants of the list against a model that
// knows only, for every page, whether it is mapped and how.
func TestRandomOperations(t *testing.T) {
	as := newSpace(t, nil)
	const base, pages = 0x10_0000, 64
	model := make([]int, pages) // -1: a hole
	for i := range model {
		model[i] = -1
	}
	rng := rand.New(rand.NewSource(1))
	for step := range 5000 {
		from := rng.Intn(pages)
		n := 1 + rng.Intn(pages-from)
		addr, length := uint64(base+from*PageSize), uint64(n*PageSize)
		prot := []uint32{0, linux.PROT_READ, rw}[rng.Intn(3)]
		whole := true
		for _, p := range model[from : from+n] {
			whole = whole && p >= 0
		}
		switch rng.Intn(3) {
		case 0:
			mustMap(t, as, MapOpts{Addr: addr, Length: length, Prot: prot, Fixed: true})
			for i := range n {
				model[from+i] = int(prot)
			}
		case 1:
			if err := as.Unmap(addr, length); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				model[from+i] = -1
			}
		case 2:
			if err := as.Protect(addr, length, prot); (err == nil) != whole {
				t.Fatalf("step %d: mprotect over mapped pages %v: %v", step, whole, err)
			}
			if whole {
				for i := range n {
					model[from+i] = int(prot)
				}
			}
		}
		checkModel(t, step, as, base, model)
	}
}

func checkModel(t *testing.T, step int, as *AddressSpace, base uint64, model []int) {
	t.Helper()
	got := make([]int, len(model))
	for i := range got {
		got[i] = -1
	}
	var last VMA
	total := uint64(0)
	for _, v := range as.VMAs() {
		if v.Start < last.End || v.Start >= v.End || v.Start == last.End && v.Prot == last.Prot {
			t.Fatalf("step %d: VMA %x-%x after %x-%x", step, v.Start, v.End, last.Start, last.End)
		}
		last = v
		total += v.End - v.Start
		for a := v.Start; a < v.End; a += PageSize {
			got[(a-base)/PageSize] = int(v.Prot)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(model) {
		t.Fatalf("step %d: pages\n%v\nwant\n%v", step, got, model)
	}
	if total != as.Mapped() {
		t.Fatalf("step %d: %d bytes counted, %d mapped", step, as.Mapped(), total)
	}
}

// What is mapped is zero while a program is loaded, too, over memory that
// another process has used and after a mapping was replaced.
func TestLoadingMapsZeros(t *testing.T) {
	pool := machine.NewPool(nil)
	defer pool.Close()
	for round := range 3 {
		mem, err := pool.NewMemory(size)
		if err != nil {
			t.Fatal(err)
		}
		as := New(mem, nil, func(m *machine.Memory) { _ = m.Close() })
		as.SetLoading(true)
		fixed := MapOpts{Addr: guestabi.MinAddr, Length: 100 * PageSize, Prot: rw, Fixed: true}
		for range 2 {
			at := mustMap(t, as, fixed)
			if got := as.linear(at, fixed.Length); !bytes.Equal(got, make([]byte, fixed.Length)) {
				t.Fatalf("round %d: a new mapping is not zero", round)
			}
			if err := as.Force(at+5, bytes.Repeat([]byte{'s'}, 80*PageSize)); err != nil {
				t.Fatal(err)
			}
			if got := as.linear(at, fixed.Length); got[4] != 0 || got[5] != 's' || got[80*PageSize+4] != 's' || got[80*PageSize+5] != 0 {
				t.Fatalf("round %d: not all was written", round)
			}
		}
		as.SetLoading(false)
		as.linear(guestabi.MinAddr+200*PageSize, 1)[0] = 'x' // outside of all mappings
		if at := mustMap(t, as, MapOpts{Addr: guestabi.MinAddr + 200*PageSize, Length: PageSize, Prot: rw, Fixed: true}); as.linear(at, 1)[0] != 0 {
			t.Fatalf("round %d: a stray write became visible", round)
		}
		copy(mem.Bytes()[size-9:], "secret")
		as.Release()
	}
}
