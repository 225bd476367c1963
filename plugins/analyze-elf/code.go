package analyzeelf

import (
	"slices"
	"sort"

	"megabinary.dev/plugins/analyze-elf/internal/elf64"
	"megabinary.dev/sdk/x86"
)

// kind is the class of an instruction that control flow needs.
type kind uint8

const (
	kindNone kind = iota // no instruction decoded here
	kindPlain
	kindJump     // direct
	kindCond     // direct, may fall through
	kindCall     // direct
	kindJumpInd  // indirect
	kindCallInd  // indirect
	kindRet      //
	kindSyscall  //
	kindTrap     //
	kindRefused  // the decoder refused it
	kindRel8Flag = 0x80
)

func (k kind) base() kind { return k &^ kindRel8Flag }

// endsBlock reports whether a block ends after an instruction of this kind.
func (k kind) endsBlock() bool { return k.base() > kindPlain }

// falls reports whether the next instruction may run after this one.
func (k kind) falls() bool {
	switch k.base() {
	case kindPlain, kindCond, kindCall, kindCallInd, kindSyscall:
		return true
	}
	return false
}

// direct reports whether the instruction has a target in its last bytes.
func (k kind) direct() bool { b := k.base(); return b == kindJump || b == kindCond || b == kindCall }

// mark is what is known of one byte of code.
type mark = byte

const (
	markLeader mark = 1 << iota // a block starts here
	markEntry                   // may be reached other than by an edge
	markStart                   // a function starts here
	markEnd                     // a function is known to end before this byte
)

// region is one executable segment. Its bytes have the indices from first on.
type region struct {
	addr  uint64
	first uint32
	bytes []byte
}

// code is all executable bytes of a file under one dense index. Between two
// regions one index stays free, so that the end of one is not the start of the
// next.
type code struct {
	regions []region
	text    []span // the parts that sections (or segments) call code, by index
	main    int    // the largest of them
	length  []uint8
	kinds   []kind
	marks   []mark
	covered []byte // 1: inside of a decoded instruction
	inside  []byte // 1: inside of a function whose end is known, but not its start
	// link is, while code is discovered, 1 + the index of a jump to here; then
	// 1 + the number of the block that starts here. 0: none.
	link []uint32

	forms  *formTable
	recent *recent
	ones   [4096]byte
}

// span is a half-open range of indices.
type span struct{ start, end uint32 }

func newCode(f *elf64.File) *code {
	c := &code{}
	next := uint32(0)
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Flags&elf64.FlagX == 0 || len(s.Data) == 0 {
			continue
		}
		c.regions = append(c.regions, region{addr: s.Addr, first: next, bytes: s.Data})
		next += uint32(len(s.Data)) + 1
	}
	c.length = make([]uint8, next)
	c.kinds = make([]kind, next)
	c.marks = make([]mark, next)
	c.covered = make([]byte, next)
	c.inside = make([]byte, next)
	c.link = make([]uint32, next)
	c.forms, c.ones, c.recent = newFormTable(), full(), &recent{}
	c.findText(f)
	return c
}

// findText takes the executable sections, or the whole regions if there are
// none.
func (c *code) findText(f *elf64.File) {
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Type != elf64.SectionProgBits || s.Flags&(elf64.SectionAlloc|elf64.SectionExec) != elf64.SectionAlloc|elf64.SectionExec {
			continue
		}
		start, ok := c.index(s.Addr)
		if !ok || s.Size == 0 || s.Size > uint64(len(c.bytes(start))) {
			continue
		}
		c.text = append(c.text, span{start, start + uint32(s.Size)})
	}
	if len(c.text) == 0 {
		for _, r := range c.regions {
			c.text = append(c.text, span{r.first, r.first + uint32(len(r.bytes))})
		}
	}
	if len(c.text) == 0 {
		return
	}
	slices.SortFunc(c.text, func(a, b span) int { return int(int64(a.start) - int64(b.start)) })
	merged := c.text[:1]
	for _, s := range c.text[1:] {
		if last := &merged[len(merged)-1]; s.start <= last.end {
			last.end = max(last.end, s.end)
		} else {
			merged = append(merged, s)
		}
	}
	c.text = merged
	for n, s := range c.text {
		if s.end-s.start > c.text[c.main].end-c.text[c.main].start {
			c.main = n
		}
	}
}

// index returns the index of the byte at addr, if that is executable.
func (c *code) index(addr uint64) (uint32, bool) {
	for i := range c.regions {
		r := &c.regions[i]
		if addr-r.addr < uint64(len(r.bytes)) {
			return r.first + uint32(addr-r.addr), true
		}
	}
	return 0, false
}

// region returns the region that holds index i. The end of a region belongs to
// it.
func (c *code) region(i uint32) *region {
	if len(c.regions) == 1 {
		return &c.regions[0]
	}
	n := sort.Search(len(c.regions), func(n int) bool { return c.regions[n].first > i })
	return &c.regions[n-1]
}

func (c *code) addr(i uint32) uint64 {
	r := c.region(i)
	return r.addr + uint64(i-r.first)
}

// bytes returns the code from index i to the end of its region.
func (c *code) bytes(i uint32) []byte {
	r := c.region(i)
	return r.bytes[i-r.first:]
}

// inText reports whether index i lies in what the file calls code.
func (c *code) inText(i uint32) bool {
	if main := c.text[c.main]; i >= main.start && i < main.end {
		return true
	}
	n := sort.Search(len(c.text), func(n int) bool { return c.text[n].end > i })
	return n < len(c.text) && i >= c.text[n].start
}

// textAt reports whether the byte at addr lies in what the file calls code.
func (c *code) textAt(addr uint64) bool {
	i, ok := c.index(addr)
	return ok && c.inText(i)
}

// known reports whether an instruction was decoded at index i.
func (c *code) known(i uint32) bool { return c.kinds[i] != kindNone && c.kinds[i] != kindRefused }

// decode decodes the instruction at index i.
func (c *code) decode(i uint32) (x86.Inst, error) {
	r := c.region(i)
	at := i - r.first
	return x86.Decode(r.bytes[at:], r.addr+uint64(at))
}

// recent keeps instructions that backward walks have decoded: most walks go over
// the same ones several times. The number is a power of two.
type recent [512]struct {
	index uint32 // + 1
	inst  x86.Inst
}

// redecode returns the known instruction at index i.
func (c *code) redecode(i uint32) (*x86.Inst, error) {
	slot := &c.recent[i%uint32(len(c.recent))]
	if slot.index != i+1 {
		in, err := c.decode(i)
		if err != nil {
			return nil, err
		}
		slot.index, slot.inst = i+1, in
	}
	return &slot.inst, nil
}

// target returns the target of the direct jump or call at index i.
func (c *code) target(i uint32) uint64 {
	next := i + uint32(c.length[i])
	r := c.region(i)
	b := r.bytes[:next-r.first]
	rel := int64(int8(b[len(b)-1]))
	if c.kinds[i]&kindRel8Flag == 0 {
		rel = int64(int32(le.Uint32(b[len(b)-4:])))
	}
	return r.addr + uint64(next-r.first) + uint64(rel)
}

func kindOf(in *x86.Inst) kind {
	_, direct := in.DirectTarget()
	k := kindPlain
	switch {
	case in.IsCondJump():
		k = kindCond
	case in.IsJump():
		k = kindJumpInd
		if direct {
			k = kindJump
		}
	case in.IsCall():
		k = kindCallInd
		if direct {
			k = kindCall
		}
	case in.IsRet():
		k = kindRet
	case in.IsSyscall():
		k = kindSyscall
	case in.IsTrap():
		k = kindTrap
	}
	if direct && in.PCRel == 1 {
		k |= kindRel8Flag
	}
	return k
}
