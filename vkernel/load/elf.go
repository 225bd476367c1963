// Package load puts a program into a new address space: its segments, from the
// very bytes that the exec controller has hashed, and the initial stack. What
// it is given is hostile: every fault in it is ENOEXEC.
package load

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/pages"
)

var le = binary.LittleEndian

// The parts of an ELF64 file (elf(5)) that a loader looks at, in bytes.
const (
	ehdrSize = 64
	phdrSize = 56

	etExec, etDyn = 2, 3
	emX86_64      = 62

	ptLoad, ptInterp, ptPhdr, ptGNUStack = 1, 3, 6, 0x6474e551

	pfX, pfW, pfR = 1, 2, 4

	maxPhdrs = 65536 / phdrSize // ELF_MIN_ALIGN of fs/binfmt_elf.c
)

// Image is a parsed ELF file.
type Image struct {
	Entry       uint64 // link-time address
	Relocatable bool   // ET_DYN
	Interp      string // PT_INTERP, or ""
	ExecStack   bool

	// Pages is the file itself, if memories may share it; else it is copied.
	Pages *pages.Content

	content  []byte
	phoff    uint64
	phnum    uint64
	phdrAddr uint64 // link-time address of the program headers, 0 if not loaded
	segments []segment
	low      uint64 // of all segments, page aligned
	high     uint64
	align    uint64
}

type segment struct {
	vaddr, memsz, offset, filesz uint64
	prot                         uint32
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), linux.ENOEXEC)
}

// Parse reads the headers of an ELF file for x86-64. Its errors end in ENOEXEC.
func Parse(content []byte) (*Image, error) {
	if len(content) < ehdrSize || !bytes.HasPrefix(content, []byte("\x7fELF\x02\x01")) {
		return nil, bad("not a 64-bit little-endian ELF file")
	}
	if m := le.Uint16(content[18:]); m != emX86_64 {
		return nil, bad("ELF file for machine %d, not x86-64", m)
	}
	typ := le.Uint16(content[16:])
	if typ != etExec && typ != etDyn {
		return nil, bad("ELF file of type %d is no program", typ)
	}
	img := &Image{
		Entry: le.Uint64(content[24:]), Relocatable: typ == etDyn, content: content,
		phoff: le.Uint64(content[32:]), phnum: uint64(le.Uint16(content[56:])), align: mm.PageSize,
	}
	size := uint64(len(content))
	if le.Uint16(content[54:]) != phdrSize || img.phnum == 0 || img.phnum > maxPhdrs ||
		img.phoff > size || img.phnum*phdrSize > size-img.phoff {
		return nil, bad("program headers lie outside of the file")
	}
	for i := range img.phnum {
		if err := img.header(content[img.phoff+i*phdrSize:][:phdrSize]); err != nil {
			return nil, err
		}
	}
	if len(img.segments) == 0 {
		return nil, bad("no segment to load")
	}
	img.low = mm.PageDown(img.segments[0].vaddr)
	for _, s := range img.segments {
		img.high = max(img.high, mm.PageUp(s.vaddr+s.memsz))
	}
	if img.phdrAddr == 0 {
		img.findPhdrs()
	}
	return img, nil
}

// header takes in one program header.
func (img *Image) header(ph []byte) error {
	size := uint64(len(img.content))
	flags := le.Uint32(ph[4:])
	s := segment{offset: le.Uint64(ph[8:]), vaddr: le.Uint64(ph[16:]), filesz: le.Uint64(ph[32:]), memsz: le.Uint64(ph[40:])}
	switch le.Uint32(ph) {
	case ptPhdr:
		img.phdrAddr = s.vaddr
	case ptGNUStack:
		img.ExecStack = flags&pfX != 0
	case ptInterp:
		if s.offset > size || s.filesz > size-s.offset || s.filesz < 2 || s.filesz > linux.PATH_MAX {
			return bad("the interpreter's name lies outside of the file")
		}
		name := img.content[s.offset : s.offset+s.filesz]
		if name[len(name)-1] != 0 {
			return bad("the interpreter's name does not end")
		}
		img.Interp = string(name[:bytes.IndexByte(name, 0)])
	case ptLoad:
		if s.memsz == 0 {
			return nil
		}
		switch {
		case s.filesz > s.memsz:
			return bad("segment at %#x is larger in the file than in memory", s.vaddr)
		case s.offset > size || s.filesz > size-s.offset:
			return bad("segment at %#x lies outside of the file", s.vaddr)
		case s.vaddr >= 1<<32 || s.memsz > 1<<32-s.vaddr:
			return bad("segment at %#x lies above 4 GiB", s.vaddr)
		case s.offset&mm.PageMask != s.vaddr&mm.PageMask && s.filesz != 0:
			return bad("segment at %#x is not aligned with its place in the file", s.vaddr)
		case len(img.segments) > 0 && s.vaddr < img.segments[len(img.segments)-1].vaddr:
			return bad("segments are not in ascending order")
		}
		if flags&pfR != 0 {
			s.prot |= linux.PROT_READ
		}
		if flags&pfW != 0 {
			s.prot |= linux.PROT_WRITE
		}
		if flags&pfX != 0 {
			s.prot |= linux.PROT_EXEC
		}
		if a := le.Uint64(ph[48:]); a > img.align && a&(a-1) == 0 && a <= 1<<30 {
			img.align = a
		}
		img.segments = append(img.segments, s)
	}
	return nil
}

// findPhdrs works out where the program headers are loaded if no PT_PHDR says
// so: where a segment covers their place in the file.
func (img *Image) findPhdrs() {
	for _, s := range img.segments {
		if img.phoff >= s.offset && img.phoff < s.offset+s.filesz {
			img.phdrAddr = img.phoff - s.offset + s.vaddr
			return
		}
	}
}

// Mapped says where an image lies.
type Mapped struct {
	Base  uint64 // guest address minus link-time address
	Entry uint64 // guest address
	Phdr  uint64 // guest address of the program headers, or 0
	End   uint64 // first guest address behind all segments
}

// Map maps the image's segments. hint is where a relocatable image goes; 0
// leaves it to the address space. name is what /proc/PID/maps shows. It fails
// with ENOEXEC if the image does not fit between the address space's bounds.
func (img *Image) Map(as *mm.AddressSpace, hint uint64, name string) (Mapped, error) {
	n := img.high - img.low
	var base uint64
	if img.Relocatable {
		if hint == 0 {
			at, err := as.Map(mm.MapOpts{Length: n + img.align, Name: name})
			if err != nil {
				return Mapped{}, linux.ENOMEM
			}
			if err := as.Unmap(at, n+img.align); err != nil {
				return Mapped{}, err
			}
			hint = at
		}
		base = (hint+img.align-1)&^(img.align-1) - img.low&^(img.align-1)
	}
	if img.low+base < as.Low() {
		return Mapped{}, bad("segments begin at %#x, below the lowest address %#x", img.low+base, as.Low())
	}
	if img.high+base > as.High() {
		return Mapped{}, fmt.Errorf("segments end at %#x, above the end of memory at %#x: %w", img.high+base, as.High(), linux.ENOMEM)
	}
	for _, s := range img.segments {
		if err := img.mapSegment(as, s, base, name); err != nil {
			return Mapped{}, err
		}
	}
	m := Mapped{Base: base, Entry: img.Entry + base, End: img.high + base}
	if img.phdrAddr != 0 {
		m.Phdr = img.phdrAddr + base
	}
	return m, nil
}

func (img *Image) mapSegment(as *mm.AddressSpace, s segment, base uint64, name string) error {
	start, end := mm.PageDown(s.vaddr), mm.PageUp(s.vaddr+s.memsz)
	fileEnd := min(end, mm.PageUp(s.vaddr+s.filesz))
	if s.filesz == 0 {
		fileEnd = start
	}
	place := func(from, to uint64, name string, offset uint64) error {
		if from >= to {
			return nil
		}
		_, err := as.Map(mm.MapOpts{Addr: from + base, Length: to - from, Prot: s.prot, Fixed: true, Name: name, NameOffset: offset})
		if err != nil {
			return fmt.Errorf("mapping the segment at %#x: %w", s.vaddr, err)
		}
		return nil
	}
	if err := place(start, fileEnd, name, mm.PageDown(s.offset)); err != nil {
		return err
	}
	if err := place(fileEnd, end, "", 0); err != nil {
		return err
	}
	if s.filesz == 0 {
		return nil
	}
	// As a real mapping would, whole pages of the file become visible, but for
	// what is behind the file's part of a segment with bss.
	from := mm.PageDown(s.offset)
	to := s.offset + s.filesz
	if s.filesz == s.memsz || s.prot&linux.PROT_WRITE == 0 {
		to = min(mm.PageUp(to), uint64(len(img.content)))
	}
	if img.Pages != nil {
		return as.Load(start+base, img.Pages, from, to-from)
	}
	return as.Force(start+base, img.content[from:to])
}

// AddressOf returns the link-time address, page aligned, at which a dynamic
// linker maps the page of the file at off as code.
func (img *Image) AddressOf(off uint64) (uint64, bool) {
	for _, s := range img.segments {
		if s.prot&linux.PROT_EXEC != 0 && mm.PageDown(s.offset) == off {
			return mm.PageDown(s.vaddr), true
		}
	}
	return 0, false
}
