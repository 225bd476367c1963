package elf64

import "slices"

// Frame is the range of code that one FDE of .eh_frame covers.
type Frame struct {
	Start, End uint64
	lsda       uint64
	// Signal marks a signal trampoline, whose FDE begins one byte before the
	// code, so that unwinders that step back find it.
	Signal bool

	common *cie
	rules  []byte // call frame instructions
}

// Pointer encodings (LSB 5.0 core, 10.5.1): format in the low half, base above.
const (
	peAbs      = 0x00
	peULEB     = 0x01
	peU2       = 0x02
	peU4       = 0x03
	peU8       = 0x04
	peSLEB     = 0x09
	peS2       = 0x0a
	peS4       = 0x0b
	peS8       = 0x0c
	pePCRel    = 0x10
	peDataRel  = 0x30
	peIndirect = 0x80
	peOmit     = 0xff
)

// cie is what FDEs take from their common information entry.
type cie struct {
	pointer, lsda byte // encodings
	augmented     bool // 'z': the FDE has an augmentation length
	signal        bool
	ok            bool
	step          uint64 // code alignment
	rules         []byte // initial call frame instructions
}

// Frames returns the ranges of all FDEs, by start. It finds .eh_frame by its
// section, or by PT_GNU_EH_FRAME in a file without sections.
func (f *File) Frames() []Frame {
	start, size, bounded := uint64(0), uint64(0), false
	if s := f.Section(".eh_frame"); s != nil {
		start, size, bounded = s.Addr, s.Size, true
	} else if f.EHFrameHdr != 0 {
		start, size = f.ehFrameFromHdr(), maxTable
	}
	section := f.Bytes(start, size)
	cies := map[uint64]*cie{}
	var frames []Frame
	for pos := uint64(0); pos+8 <= uint64(len(section)); {
		length := uint64(le.Uint32(section[pos:]))
		if length == 0 && bounded { // a terminator from crtend.o that was linked before other files
			pos += 4
			continue
		}
		if length == 0 || length == 0xffffffff || length > uint64(len(section))-pos-4 || length < 4 {
			break // the end, or nothing that a linker writes
		}
		entry := reader{data: section[pos+4 : pos+4+length], addr: start + pos + 4}
		if id := entry.uint(4); id == 0 {
			cies[pos] = parseCIE(&entry)
		} else if c := cies[pos+4-id]; c != nil && c.ok { // an FDE comes after its CIE
			if fr, ok := f.parseFDE(&entry, c); ok {
				frames = append(frames, fr)
			}
		}
		pos += 4 + length
	}
	slices.SortStableFunc(frames, func(a, b Frame) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	return frames
}

func (f *File) ehFrameFromHdr() uint64 {
	r := reader{data: f.Bytes(f.EHFrameHdr, 16), addr: f.EHFrameHdr}
	if r.uint(1) != 1 {
		return 0
	}
	encoding := byte(r.uint(1))
	r.skip(2)
	return f.pointer(&r, encoding)
}

func parseCIE(r *reader) *cie {
	c := &cie{lsda: peOmit}
	r.skip(1) // version
	augmentation := r.cString()
	c.step = r.uleb()
	r.uleb() // data alignment (the sign does not matter for its length)
	r.uleb() // return address register
	if augmentation == "" {
		c.ok, c.rules = !r.failed, r.data[r.pos:]
		return c
	}
	if augmentation[0] != 'z' {
		return c
	}
	c.augmented = true
	size := r.uleb()
	start := r.pos
	for _, a := range augmentation[1:] {
		switch a {
		case 'R':
			c.pointer = byte(r.uint(1))
		case 'L':
			c.lsda = byte(r.uint(1))
		case 'P':
			skipPointer(r, byte(r.uint(1)))
		case 'S':
			c.signal = true
		case 'B', 'G':
		default:
			return c
		}
	}
	if c.ok = !r.failed; c.ok && size <= uint64(len(r.data)-start) {
		c.rules = r.data[start+int(size):]
	}
	return c
}

func (f *File) parseFDE(r *reader, c *cie) (Frame, bool) {
	start := f.pointer(r, c.pointer)
	length := f.pointer(r, c.pointer&0xf)
	fr := Frame{Start: start, End: start + length, Signal: c.signal, common: c}
	if c.augmented {
		size := r.uleb()
		rules := r.pos
		if c.lsda != peOmit {
			fr.lsda = f.pointer(r, c.lsda)
		}
		if size > uint64(len(r.data)-rules) {
			return fr, false
		}
		r.pos = rules + int(size)
	}
	fr.rules = r.data[min(r.pos, len(r.data)):]
	return fr, !r.failed && start != 0 && length != 0 && fr.End > start && fr.End <= userSpace
}

// LandingPads returns the addresses to which an exception may unwind inside of
// fr (Itanium C++ ABI: exception handling tables).
func (f *File) LandingPads(fr Frame) []uint64 {
	if fr.lsda == 0 {
		return nil
	}
	r := reader{data: f.Bytes(fr.lsda, maxTable), addr: fr.lsda}
	base := fr.Start
	if enc := byte(r.uint(1)); enc != peOmit {
		base = f.pointer(&r, enc)
	}
	if enc := byte(r.uint(1)); enc != peOmit {
		r.uleb()
	}
	encoding := byte(r.uint(1))
	length := r.uleb()
	if r.failed || length > uint64(len(r.data)-r.pos) {
		return nil
	}
	r.data = r.data[:r.pos+int(length)]
	var pads []uint64
	for ; r.pos < len(r.data) && f.callSites < maxCallSites; f.callSites++ {
		f.pointer(&r, encoding) // start of the call site
		f.pointer(&r, encoding) // its length
		pad := f.pointer(&r, encoding)
		r.uleb() // action
		if r.failed {
			break
		}
		if pad != 0 {
			pads = append(pads, base+pad)
		}
	}
	return pads
}

// pointer reads an encoded pointer; 0 stays 0 whatever its base.
func (f *File) pointer(r *reader, encoding byte) uint64 {
	if encoding == peOmit {
		return 0
	}
	at := r.addr + uint64(r.pos)
	v := r.value(encoding)
	if v == 0 {
		return 0
	}
	switch encoding & 0x70 {
	case 0:
	case pePCRel:
		v += at
	case peDataRel:
		v += f.EHFrameHdr
	default:
		r.failed = true
	}
	if encoding&peIndirect != 0 {
		v, _ = f.Uint64(v)
	}
	return v
}

func skipPointer(r *reader, encoding byte) { r.value(encoding) }

// reader reads little-endian numbers from data, which lies at addr.
type reader struct {
	data   []byte
	addr   uint64
	pos    int
	failed bool
}

func (r *reader) skip(n int) {
	if n > len(r.data)-r.pos {
		r.failed, r.pos = true, len(r.data)
		return
	}
	r.pos += n
}

// uint reads a number of n bytes.
func (r *reader) uint(n int) uint64 {
	at := r.pos
	if r.skip(n); r.failed {
		return 0
	}
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(r.data[at+i])
	}
	return v
}

// uleb reads an unsigned LEB128 number, of which it keeps 64 bits.
func (r *reader) uleb() uint64 {
	v, _, _ := r.leb()
	return v
}

func (r *reader) leb() (v uint64, shift uint, negative bool) {
	for {
		b := r.uint(1)
		if r.failed {
			return 0, 0, false
		}
		if shift < 64 {
			v |= b & 0x7f << shift
		}
		shift += 7
		if b&0x80 == 0 {
			return v, shift, b&0x40 != 0
		}
	}
}

func (r *reader) cString() string {
	s := cString(r.data[r.pos:])
	r.skip(len(s) + 1)
	return s
}

func (r *reader) value(encoding byte) uint64 {
	switch encoding & 0xf {
	case peAbs, peU8, peS8:
		return r.uint(8)
	case peULEB:
		return r.uleb()
	case peSLEB:
		v, shift, negative := r.leb()
		if negative && shift < 64 {
			v |= ^uint64(0) << shift
		}
		return v
	case peU2:
		return r.uint(2)
	case peS2:
		return uint64(int64(int16(r.uint(2))))
	case peU4:
		return r.uint(4)
	case peS4:
		return uint64(int64(int32(r.uint(4))))
	}
	r.failed = true
	return 0
}
