// Package elf64 reads x86-64 ELF files that may be hostile: every count, size
// and offset is checked against the file before memory is taken for it, and
// nothing panics. It reads what the kernel and ld.so read (segments and the
// dynamic section) strictly, and what only tools read (sections, symbols)
// leniently.
package elf64

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Limits on what a file may make this package allocate or walk.
const (
	maxSegments   = 512       // the kernel allows 65536 / 56
	maxSections   = 65536     // of an ELF file without extended numbering
	maxLoaded     = 512 << 20 // bytes in all PT_LOAD segments
	maxTable      = 256 << 20 // bytes of one symbol or string table
	maxNeeded     = 4096      // DT_NEEDED entries
	maxName       = 4096      // bytes of one string
	maxNames      = 256 << 20 // bytes of all strings
	maxCallSites  = 1 << 24   // records of exception tables
	userSpace     = 1<<47 - 1 // last address of a process
	headerSize    = 64        // Elf64_Ehdr
	programSize   = 56        // Elf64_Phdr
	sectionSize   = 64        // Elf64_Shdr
	symbolSize    = 24        // Elf64_Sym
	relaSize      = 24        // Elf64_Rela
	machineX86_64 = 62        // EM_X86_64
	typeExec      = 2         // ET_EXEC
	typeDyn       = 3         // ET_DYN
)

// FormatError says what is wrong with a file, and where.
type FormatError struct {
	Offset int64 // in the file
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("reading ELF file at offset %#x: %s", e.Offset, e.Reason)
}

func bad(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// Flags of segments.
const (
	FlagX = 1
	FlagW = 2
	FlagR = 4
)

// Segment is a PT_LOAD program header with its bytes in the file.
type Segment struct {
	Addr, Offset, MemSize uint64
	Flags                 uint32
	Data                  []byte // FileSize bytes
}

// Section is a section header. The section's contents, if it is loaded, are read
// through the segments.
type Section struct {
	Name                     string
	Type                     uint32
	Flags                    uint64
	Addr, Offset, Size, Link uint64
	nameOffset               uint32
}

// Section types and flags that the analyzer looks at.
const (
	SectionProgBits = 1
	SectionSymTab   = 2
	SectionRela     = 4
	SectionDynSym   = 11
	SectionAlloc    = 2
	SectionExec     = 4
)

// File is a parsed ELF file.
type File struct {
	Size                int64
	PositionIndependent bool
	Entry               uint64
	Interpreter         string
	Segments            []Segment // PT_LOAD, by address, not overlapping
	Sections            []Section // empty if the section headers are absent or wrong
	Dynamic             Dynamic
	EHFrameHdr          uint64 // address of PT_GNU_EH_FRAME, or 0

	r         io.ReaderAt
	names     int // bytes of names returned
	callSites int // records of exception tables read
}

var le = binary.LittleEndian

// Open reads the headers and the loaded bytes of the file of the given size
// behind r. Errors about the contents are *FormatError.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, Size: size}
	head, err := f.read(0, headerSize, "ELF header")
	if err != nil {
		return nil, err
	}
	if err := checkHeader(head); err != nil {
		return nil, err
	}
	f.PositionIndependent = le.Uint16(head[16:]) == typeDyn
	f.Entry = le.Uint64(head[24:])
	if err := f.readSegments(head); err != nil {
		return nil, err
	}
	f.readSections(head)
	f.readDynamic()
	return f, nil
}

// checkHeader refuses everything but executables and libraries for x86-64.
func checkHeader(head []byte) error {
	switch {
	case string(head[:4]) != "\x7fELF":
		return bad(0, "not an ELF file")
	case head[4] != 2:
		return bad(4, "class %d: only 64-bit ELF files are supported", head[4])
	case head[5] != 1:
		return bad(5, "big-endian ELF file: only x86-64 is supported")
	case le.Uint16(head[18:]) != machineX86_64:
		return bad(18, "architecture %s: only x86-64 is supported", machineName(le.Uint16(head[18:])))
	case le.Uint16(head[16:]) != typeExec && le.Uint16(head[16:]) != typeDyn:
		return bad(16, "type %d is neither a program (2, 3) nor a library (3)", le.Uint16(head[16:]))
	case le.Uint16(head[54:]) != programSize:
		return bad(54, "program headers of %d bytes, want %d", le.Uint16(head[54:]), programSize)
	}
	return nil
}

func machineName(m uint16) string {
	switch m {
	case 3:
		return "i386"
	case 8:
		return "MIPS"
	case 20, 21:
		return "PowerPC"
	case 22:
		return "S/390"
	case 40:
		return "ARM"
	case 183:
		return "AArch64"
	case 243:
		return "RISC-V"
	case 258:
		return "LoongArch"
	}
	return fmt.Sprint(m)
}

// read returns size bytes at offset, or an error that names what they are.
func (f *File) read(offset, size uint64, what string) ([]byte, error) {
	if offset > uint64(f.Size) || size > uint64(f.Size)-offset {
		return nil, bad(int64(min(offset, 1<<62)), "truncated: %s has %d bytes, the file ends at %#x", what, size, f.Size)
	}
	buf := make([]byte, size)
	if n, err := f.r.ReadAt(buf, int64(offset)); n < len(buf) {
		return nil, fmt.Errorf("reading %s at file offset %#x: %w", what, offset, err)
	}
	return buf, nil
}

// Program header types.
const (
	ptLoad       = 1
	ptDynamic    = 2
	ptInterp     = 3
	ptGNUEHFrame = 0x6474e550
)

func (f *File) readSegments(head []byte) error {
	offset, count := le.Uint64(head[32:]), uint64(le.Uint16(head[56:]))
	if count == 0 || count > maxSegments {
		return bad(56, "%d program headers, want 1 to %d", count, maxSegments)
	}
	raw, err := f.read(offset, count*programSize, "program header table")
	if err != nil {
		return err
	}
	var loaded uint64
	for i := uint64(0); i < count; i++ {
		at := int64(offset + i*programSize)
		p := raw[i*programSize:][:programSize]
		s := Segment{Flags: le.Uint32(p[4:]), Offset: le.Uint64(p[8:]), Addr: le.Uint64(p[16:]), MemSize: le.Uint64(p[40:])}
		fileSize := le.Uint64(p[32:])
		switch le.Uint32(p) {
		case ptLoad:
			if loaded += min(fileSize, maxLoaded); loaded > maxLoaded {
				return bad(at, "more than %d bytes in loaded segments", maxLoaded)
			}
			if err := f.readLoad(at, s, fileSize); err != nil {
				return err
			}
		case ptDynamic:
			f.Dynamic.addr, f.Dynamic.size = s.Addr, fileSize
		case ptInterp:
			if fileSize == 0 || fileSize > maxName {
				return bad(at, "interpreter path of %d bytes, want 1 to %d", fileSize, maxName)
			}
			name, err := f.read(s.Offset, fileSize, "interpreter path")
			if err != nil {
				return err
			}
			f.Interpreter = cString(name)
		case ptGNUEHFrame:
			f.EHFrameHdr = s.Addr
		}
	}
	return f.sortSegments(int64(offset))
}

func (f *File) readLoad(at int64, s Segment, fileSize uint64) error {
	switch {
	case fileSize > s.MemSize:
		return bad(at, "segment at %#x has %d bytes in the file, %d in memory", s.Addr, fileSize, s.MemSize)
	case s.Addr > userSpace || s.MemSize > userSpace-s.Addr:
		return bad(at, "segment at %#x of %#x bytes is outside of user space", s.Addr, s.MemSize)
	case s.MemSize == 0:
		return nil
	}
	data, err := f.read(s.Offset, fileSize, fmt.Sprintf("segment at %#x", s.Addr))
	if err != nil {
		return err
	}
	s.Data = data
	f.Segments = append(f.Segments, s)
	return nil
}

func (f *File) sortSegments(at int64) error {
	if len(f.Segments) == 0 {
		return bad(at, "no loaded segment")
	}
	slices.SortStableFunc(f.Segments, func(a, b Segment) int {
		if a.Addr < b.Addr {
			return -1
		}
		return 1
	})
	for i := 1; i < len(f.Segments); i++ {
		if p, s := f.Segments[i-1], f.Segments[i]; s.Addr < p.Addr+p.MemSize {
			return bad(at, "segments at %#x and %#x overlap", p.Addr, s.Addr)
		}
	}
	return nil
}

// readSections reads the section headers. The kernel does not look at them, so
// wrong ones are ignored.
func (f *File) readSections(head []byte) {
	offset, count, names := le.Uint64(head[40:]), uint64(le.Uint16(head[60:])), uint64(le.Uint16(head[62:]))
	if offset == 0 || count == 0 || count > maxSections || le.Uint16(head[58:]) != sectionSize {
		return
	}
	raw, err := f.read(offset, count*sectionSize, "section headers")
	if err != nil {
		return
	}
	sections := make([]Section, count)
	for i := range sections {
		s := raw[i*sectionSize:]
		sections[i] = Section{
			nameOffset: le.Uint32(s), Type: le.Uint32(s[4:]), Flags: le.Uint64(s[8:]), Addr: le.Uint64(s[16:]),
			Offset: le.Uint64(s[24:]), Size: le.Uint64(s[32:]), Link: uint64(le.Uint32(s[40:])),
		}
	}
	if names < count {
		table := f.table(sections[names])
		for i := range sections {
			if o := uint64(sections[i].nameOffset); o < uint64(len(table)) {
				sections[i].Name = cString(table[o:])
			}
		}
	}
	f.Sections = sections
}

// Section returns the loaded section of that name, or nil.
func (f *File) Section(name string) *Section {
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Name == name && s.Flags&SectionAlloc != 0 {
			return s
		}
	}
	return nil
}

// table reads a section from the file, or returns nil.
func (f *File) table(s Section) []byte {
	if s.Type == 8 || s.Size > maxTable { // SHT_NOBITS
		return nil
	}
	data, err := f.read(s.Offset, s.Size, "section")
	if err != nil {
		return nil
	}
	return data
}

// Bytes returns the bytes that the file puts at addr: size of them or fewer,
// up to the end of the segment's part in the file.
func (f *File) Bytes(addr, size uint64) []byte {
	for i := range f.Segments {
		s := &f.Segments[i]
		if addr >= s.Addr && addr-s.Addr < uint64(len(s.Data)) {
			data := s.Data[addr-s.Addr:]
			return data[:min(size, uint64(len(data)))]
		}
	}
	return nil
}

// Uint64 returns the 8 bytes at addr.
func (f *File) Uint64(addr uint64) (uint64, bool) {
	b := f.Bytes(addr, 8)
	if len(b) < 8 {
		return 0, false
	}
	return le.Uint64(b), true
}

// String returns the zero-terminated string at addr.
func (f *File) String(addr uint64) string { return cString(f.Bytes(addr, maxName)) }

func cString(b []byte) string {
	b = b[:min(len(b), maxName)]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
