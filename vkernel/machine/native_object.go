//go:build linux && amd64

package machine

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"megabinary.dev/sdk/guestabi"
)

// nativeObject is an object of a unit that is mapped.
type nativeObject struct {
	at    unsafe.Pointer
	size  uintptr
	enter uintptr
	path  string

	mu    sync.Mutex
	lines *nativeLines // nil: not read
}

// maxNativeObject bounds an object in memory.
const maxNativeObject = 4 << 30

// loadNative maps an object as unit number index. What is mapped executable is
// the file's; nothing in it is writable once this returns.
func loadNative(f *os.File, index uint32) (_ *nativeObject, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("loading native code from %s: %w", f.Name(), err)
		}
	}()
	file, err := elf.NewFile(f)
	if err != nil {
		return nil, err
	}
	enter, cell, err := checkNative(file)
	if err != nil {
		return nil, err
	}
	page := uint64(os.Getpagesize())
	end := uint64(0)
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			end = max(end, (p.Vaddr+p.Memsz+page-1)/page*page)
		}
	}
	o := &nativeObject{size: uintptr(end), path: f.Name()}
	if o.at, err = takeText(o.size); err != nil {
		return nil, err
	}
	o.enter = uintptr(o.at) + uintptr(enter)
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && err == nil {
			err = o.mapSegment(f, p, page)
		}
	}
	if err == nil {
		*(*uint32)(unsafe.Add(o.at, cell)) = index
		err = o.protect(file, page)
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// checkNative refuses what is more than position-independent code, and finds
// the symbols of an object.
func checkNative(file *elf.File) (enter, cell uint64, err error) {
	if file.Type != elf.ET_DYN || file.Machine != elf.EM_X86_64 {
		return 0, 0, fmt.Errorf("it is %v for %v, not a shared object for x86-64", file.Type, file.Machine)
	}
	for _, tag := range []elf.DynTag{elf.DT_NEEDED, elf.DT_RELA, elf.DT_REL, elf.DT_JMPREL, elf.DT_INIT, elf.DT_INIT_ARRAY, elf.DT_FINI, elf.DT_FINI_ARRAY, elf.DT_TEXTREL, 36 /* DT_RELR */} {
		values, err := file.DynValue(tag)
		if err != nil {
			return 0, 0, err
		}
		if len(values) > 0 {
			return 0, 0, fmt.Errorf("it has %v: it must stand alone", tag)
		}
	}
	var text, data *elf.Prog
	last := uint64(0)
	for _, p := range file.Progs {
		switch p.Type {
		case elf.PT_LOAD:
			if p.Vaddr < last || p.Memsz > maxNativeObject || p.Vaddr+p.Memsz > maxNativeObject || p.Filesz > p.Memsz || p.Vaddr%4096 != p.Off%4096 {
				return 0, 0, fmt.Errorf("its segment at %#x is malformed", p.Vaddr)
			}
			last = p.Vaddr + p.Memsz
			switch p.Flags {
			case elf.PF_R | elf.PF_X:
				text = p
			case elf.PF_R | elf.PF_W:
				data = p
			case elf.PF_R:
			default:
				return 0, 0, fmt.Errorf("its segment at %#x has the permissions %v", p.Vaddr, p.Flags)
			}
		case elf.PT_INTERP, elf.PT_TLS:
			return 0, 0, fmt.Errorf("it has a segment %v", p.Type)
		}
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, 0, err
	}
	for _, s := range symbols {
		switch s.Name {
		case guestabi.NativeSymbolEnter:
			enter = s.Value
		case guestabi.NativeSymbolIndex:
			cell = s.Value
		default:
			return 0, 0, fmt.Errorf("it has a symbol %q", s.Name)
		}
	}
	in := func(p *elf.Prog, at, n uint64) bool {
		return p != nil && at >= p.Vaddr && at-p.Vaddr <= p.Filesz && p.Filesz-(at-p.Vaddr) >= n
	}
	if !in(text, enter, 1) || !in(data, cell, 4) || cell%4 != 0 {
		return 0, 0, fmt.Errorf("it lacks %s or %s", guestabi.NativeSymbolEnter, guestabi.NativeSymbolIndex)
	}
	return enter, cell, nil
}

// mapSegment maps whole pages of the file.
func (o *nativeObject) mapSegment(f *os.File, p *elf.Prog, page uint64) error {
	skip := p.Vaddr % page
	prot := unix.PROT_READ
	if p.Flags&elf.PF_X != 0 {
		prot |= unix.PROT_EXEC
	}
	if p.Flags&elf.PF_W != 0 {
		prot |= unix.PROT_WRITE
	}
	if p.Filesz == 0 {
		return errors.New("it has a segment without bytes")
	}
	at := unsafe.Add(o.at, p.Vaddr-skip)
	_, err := unix.MmapPtr(int(f.Fd()), int64(p.Off-skip), at, uintptr(p.Filesz+skip), prot, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return os.NewSyscallError("mmap", err)
}

// protect makes what was written read-only.
func (o *nativeObject) protect(file *elf.File, page uint64) error {
	for _, p := range file.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_W == 0 {
			continue
		}
		skip := p.Vaddr % page
		b := unsafe.Slice((*byte)(unsafe.Add(o.at, p.Vaddr-skip)), p.Filesz+skip)
		if err := unix.Mprotect(b, unix.PROT_READ); err != nil {
			return os.NewSyscallError("mprotect", err)
		}
	}
	return nil
}

func (o *nativeObject) close() error { return releaseText(o.at, o.size) }

// holds reports whether an address is in the object.
func (o *nativeObject) holds(pc uintptr) bool { return pc-uintptr(o.at) < o.size }

// nativeLines leads from code to the places of the code map: the compiler was
// told the number of a place, plus one, as line number.
type nativeLines struct {
	rows  []nativeRow
	maps  [][]byte
	first []uint32 // number of the first place of each function
}

type nativeRow struct {
	address uint64
	line    int
}

// place finds what the guest did at an address of the host.
func (o *nativeObject) place(pc uintptr) (guestabi.CodePlace, error) {
	l, err := o.readLines()
	if err != nil {
		return guestabi.CodePlace{}, fmt.Errorf("reading the lines of %s: %w", o.path, err)
	}
	at := uint64(pc - uintptr(o.at))
	i := sort.Search(len(l.rows), func(i int) bool { return l.rows[i].address > at }) - 1
	if i < 0 || l.rows[i].line <= 0 {
		return guestabi.CodePlace{}, errPlace
	}
	return l.find(uint32(l.rows[i].line) - 1)
}

// numbered finds place number n.
func (o *nativeObject) numbered(n uint32) (guestabi.CodePlace, error) {
	l, err := o.readLines()
	if err != nil {
		return guestabi.CodePlace{}, fmt.Errorf("reading the lines of %s: %w", o.path, err)
	}
	return l.find(n)
}

func (l *nativeLines) find(n uint32) (guestabi.CodePlace, error) {
	i := sort.Search(len(l.first), func(i int) bool { return l.first[i] > n }) - 1
	if i < 0 || i >= len(l.maps) {
		return guestabi.CodePlace{}, errPlace
	}
	return guestabi.FindCode(l.maps[i], int(n-l.first[i]))
}

func (o *nativeObject) readLines() (*nativeLines, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lines != nil {
		return o.lines, nil
	}
	file, err := elf.Open(o.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // opened for reading
	l := &nativeLines{}
	section := file.Section(guestabi.NativeSectionMaps)
	if section == nil {
		return nil, fmt.Errorf("it has no section %s", guestabi.NativeSectionMaps)
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	if l.first, l.maps, err = guestabi.ReadNativeMaps(data); err != nil {
		return nil, err
	}
	debug, err := file.DWARF()
	if err != nil {
		return nil, err
	}
	if err := l.readRows(debug); err != nil {
		return nil, err
	}
	o.lines = l
	return l, nil
}

func (l *nativeLines) readRows(debug *dwarf.Data) error {
	units := debug.Reader()
	for {
		unit, err := units.Next()
		if err != nil {
			return err
		}
		if unit == nil {
			break
		}
		units.SkipChildren()
		lines, err := debug.LineReader(unit)
		if err != nil {
			return err
		}
		if lines == nil {
			continue
		}
		for {
			var e dwarf.LineEntry
			if err := lines.Next(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			line := e.Line
			if e.EndSequence {
				line = 0
			}
			l.rows = append(l.rows, nativeRow{e.Address, line})
		}
	}
	sort.SliceStable(l.rows, func(i, j int) bool { return l.rows[i].address < l.rows[j].address })
	return nil
}
