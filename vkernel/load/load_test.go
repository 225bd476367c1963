package load

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/mm"
)

// sample returns a small program: code at 0x400000 and a data segment with bss.
func sample() []byte {
	b := make([]byte, 0x3000)
	copy(b, "\x7fELF\x02\x01\x01")
	e := binary.LittleEndian
	e.PutUint16(b[16:], etExec)
	e.PutUint16(b[18:], emX86_64)
	e.PutUint64(b[24:], 0x40_0100)
	e.PutUint64(b[32:], 64)
	e.PutUint16(b[54:], phdrSize)
	e.PutUint16(b[56:], 2)
	ph := func(i int, typ, flags uint32, off, vaddr, filesz, memsz uint64) {
		h := b[64+phdrSize*i:]
		e.PutUint32(h, typ)
		e.PutUint32(h[4:], flags)
		e.PutUint64(h[8:], off)
		e.PutUint64(h[16:], vaddr)
		e.PutUint64(h[32:], filesz)
		e.PutUint64(h[40:], memsz)
		e.PutUint64(h[48:], mm.PageSize)
	}
	ph(0, ptLoad, pfR|pfX, 0, 0x40_0000, 0x2000, 0x2000)
	ph(1, ptLoad, pfR|pfW, 0x2000, 0x40_2000, 0x10, 0x3000)
	copy(b[0x2000:], "initialised data, and more that is none")
	return b
}

func newSpace(t testing.TB) *mm.AddressSpace {
	t.Helper()
	mem, err := machine.NewMemory(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	as := mm.New(mem, nil, func(m *machine.Memory) { _ = m.Close() })
	t.Cleanup(as.Release)
	return as
}

func TestMapProgram(t *testing.T) {
	img, err := Parse(sample())
	if err != nil {
		t.Fatal(err)
	}
	as := newSpace(t)
	m, err := img.Map(as, 0, "/prog")
	if err != nil {
		t.Fatal(err)
	}
	if m.Entry != 0x40_0100 || m.Base != 0 || m.Phdr != 0x40_0040 || m.End != 0x40_5000 {
		t.Errorf("mapped %+v", m)
	}
	b := make([]byte, 0x20)
	if err := as.CopyIn(0x40_2000, b); err != nil || string(b) != "initialised data"+strings.Repeat("\x00", 16) {
		t.Errorf("data %q, %v: bss must be zero", b, err)
	}
	if err := as.CopyOut(0x40_0000, []byte{1}); err != linux.EFAULT {
		t.Errorf("writing to code: %v", err)
	}
}

func TestRelocatableGoesToItsHint(t *testing.T) {
	b := sample()
	binary.LittleEndian.PutUint16(b[16:], etDyn)
	for i := range 2 {
		at := b[64+phdrSize*i+16:]
		binary.LittleEndian.PutUint64(at, binary.LittleEndian.Uint64(at)-0x40_0000)
	}
	binary.LittleEndian.PutUint64(b[24:], 0x100)
	img, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, hint := range []uint64{0, 0x80_0000} {
		m, err := img.Map(newSpace(t), hint, "/prog")
		if err != nil || m.Entry != m.Base+0x100 || m.Base == 0 || hint != 0 && m.Base != hint {
			t.Errorf("hint %#x: %+v, %v", hint, m, err)
		}
	}
}

func TestHostileFiles(t *testing.T) {
	e := binary.LittleEndian
	for _, tc := range []struct {
		name string
		edit func(b []byte) []byte
		want string
	}{
		{"empty", func([]byte) []byte { return nil }, "not a 64-bit"},
		{"32 bits", func(b []byte) []byte { b[4] = 1; return b }, "not a 64-bit"},
		{"another machine", func(b []byte) []byte { b[18] = 183; return b }, "machine 183"},
		{"an object file", func(b []byte) []byte { b[16] = 1; return b }, "type 1"},
		{"headers outside", func(b []byte) []byte { e.PutUint64(b[32:], 1<<63); return b }, "headers lie outside"},
		{"truncated", func(b []byte) []byte { return b[:100] }, "headers lie outside"},
		{"segment outside", func(b []byte) []byte { e.PutUint64(b[64+8:], 1<<40); return b }, "outside of the file"},
		{"file part larger", func(b []byte) []byte { e.PutUint64(b[64+40:], 1); return b }, "larger in the file"},
		{"above 4 GiB", func(b []byte) []byte { e.PutUint64(b[64+16:], 1<<40); return b }, "above 4 GiB"},
		{"memory wraps", func(b []byte) []byte { e.PutUint64(b[64+40:], ^uint64(0)); return b }, "above 4 GiB"},
		{"not aligned", func(b []byte) []byte { e.PutUint64(b[64+16:], 0x40_0001); return b }, "not aligned"},
		{"descending", func(b []byte) []byte { e.PutUint64(b[64+16:], 0x80_0000); return b }, "ascending"},
		{"no segment", func(b []byte) []byte { e.PutUint32(b[64:], 6); e.PutUint32(b[64+phdrSize:], 6); return b }, "no segment"},
		{"interpreter without end", func(b []byte) []byte {
			e.PutUint32(b[64:], ptInterp)
			e.PutUint64(b[64+32:], 4)
			return b
		}, "does not end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.edit(sample()))
			if !errors.Is(err, linux.ENOEXEC) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q and ENOEXEC", err, tc.want)
			}
		})
	}
	low := sample()
	e.PutUint64(low[64+16:], 0x1000)
	img, err := Parse(low)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.Map(newSpace(t), 0, ""); !errors.Is(err, linux.ENOEXEC) {
		t.Errorf("mapping below the lowest address: %v", err)
	}
	high := sample()
	e.PutUint64(high[64+phdrSize+40:], 1<<31)
	if img, err = Parse(high); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Map(newSpace(t), 0, ""); !errors.Is(err, linux.ENOMEM) {
		t.Errorf("mapping above the end: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample())
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := Parse(b)
		if err != nil {
			return
		}
		_, _ = img.Map(newSpace(t), 0x40_0000, "/f") // must not panic
		img.AddressOf(0)
	})
}

func TestStack(t *testing.T) {
	as := newSpace(t)
	top := as.High()
	if _, err := as.Map(mm.MapOpts{Addr: top - 1<<20, Length: 1 << 20, Prot: linux.PROT_READ | linux.PROT_WRITE, Fixed: true}); err != nil {
		t.Fatal(err)
	}
	st, err := BuildStack(as, top, StackArgs{Args: []string{"prog", "a b"}, Env: []string{"X=1"}, ExecFn: "/bin/prog",
		Main: Mapped{Phdr: 0x40_0040}, Phnum: 2, Entry: 0x40_0100, UID: 7, Random: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	word := func(i int) uint64 {
		var b [8]byte
		if err := as.CopyIn(st.SP+uint64(8*i), b[:]); err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint64(b[:])
	}
	str := func(addr uint64) string {
		s, err := as.CopyInString(addr, 100)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if st.SP%16 != 0 || word(0) != 2 || str(word(1)) != "prog" || str(word(2)) != "a b" || word(3) != 0 ||
		str(word(4)) != "X=1" || word(5) != 0 {
		t.Errorf("arguments are wrong")
	}
	aux := map[uint64]uint64{}
	for i := 6; word(i) != linux.AT_NULL; i += 2 {
		aux[word(i)] = word(i + 1)
	}
	for tag, want := range map[uint64]uint64{linux.AT_PHDR: 0x40_0040, linux.AT_PHNUM: 2, linux.AT_PHENT: 56,
		linux.AT_PAGESZ: 4096, linux.AT_ENTRY: 0x40_0100, linux.AT_UID: 7, linux.AT_CLKTCK: 100, linux.AT_SECURE: 0} {
		if aux[tag] != want {
			t.Errorf("aux %d is %#x, want %#x", tag, aux[tag], want)
		}
	}
	if str(aux[linux.AT_EXECFN]) != "/bin/prog" || str(aux[linux.AT_PLATFORM]) != "x86_64" || !strings.HasPrefix(str(aux[linux.AT_RANDOM]), "0123456789abcdef") {
		t.Error("strings of the auxiliary vector are wrong")
	}
	if _, ok := aux[linux.AT_SYSINFO_EHDR]; ok {
		t.Error("there is a vDSO")
	}
	args := make([]byte, st.ArgEnd-st.ArgStart)
	if err := as.CopyIn(st.ArgStart, args); err != nil || string(args) != "prog\x00a b\x00" {
		t.Errorf("argument area %q, %v", args, err)
	}
}

func TestArgsFit(t *testing.T) {
	big := strings.Repeat("x", MaxArgString)
	for _, tc := range []struct {
		args []string
		want bool
	}{
		{[]string{"a"}, true},
		{[]string{big}, false},
		{[]string{big[1:], big[1:]}, false}, // over 128 KiB with a small stack
		{[]string{big[1 : len(big)/2]}, true},
	} {
		if got := ArgsFit(tc.args, nil, 64<<10); got != tc.want {
			t.Errorf("%d strings: %v", len(tc.args), got)
		}
	}
}
