package analyzeelf

import (
	"sort"

	pb "megabinary.dev/sdk/artifact/programpb"
)

// gap is a span without code, and the part of it between padding.
type gap struct{ span, data span }

// coverage says what the bytes of the text are.
func (c *cutter) coverage() *pb.Coverage {
	cov := &pb.Coverage{}
	for _, b := range c.blocks {
		cov.Instructions += uint64(b.instructions)
	}
	var gaps []gap
	for _, s := range c.text {
		cov.TextBytes += uint64(s.end - s.start)
		for i := s.start; i < s.end; {
			if n := nextZero(c.covered, i, s.end); n > i {
				cov.FunctionBytes += uint64(n - i)
				i = n
				continue
			}
			end := nextSet(c.covered, i, s.end)
			padding := end - i
			if data := c.trim(span{i, end}); data.end > data.start {
				gaps = append(gaps, gap{span{i, end}, data})
				padding -= data.end - data.start
			}
			cov.PaddingBytes += uint64(padding)
			i = end
		}
	}
	for addr := range c.refused {
		if i, ok := c.index(addr); ok && c.kinds[i] == kindRefused && c.inText(i) {
			cov.UnknownBytes += uint64(c.length[i])
		}
	}
	cov.FunctionBytes -= cov.UnknownBytes
	named := c.named(gaps)
	for n, g := range gaps {
		if size := uint64(g.data.end - g.data.start); named[n] {
			cov.DataBytes += size
		} else {
			cov.UnreachedBytes += size
		}
	}
	return cov
}

// trim cuts the padding at both ends off a span without code.
func (c *cutter) trim(s span) span {
	out := span{s.end, s.end}
	for i := s.start; i < s.end; {
		if n := c.padding(i, s.end); n > 0 {
			i += n
			continue
		}
		out.start = min(out.start, i)
		i++
		out.end = i
	}
	if out.start == s.end {
		return span{}
	}
	return out
}

// named says which of the gaps, which are sorted, are data for sure: no code
// decodes there, and an instruction or a relocation names an address in it, or it
// begins with a text.
func (c *cutter) named(gaps []gap) []bool {
	named := make([]bool, len(gaps))
	if len(gaps) == 0 {
		return named
	}
	for n, g := range gaps {
		named[n] = isText(c.bytes(g.data.start)[:g.data.end-g.data.start])
	}
	for _, r := range c.relocs {
		if n, ok := c.gapAt(r.Value, gaps); ok {
			named[n] = true
		}
	}
	for _, b := range c.blocks {
		for i := b.start; i < b.end; i += uint32(c.length[i]) {
			if n, ok := c.namedBy(i, gaps); ok {
				named[n] = true
			}
		}
	}
	return named
}

// namedBy returns the gap that a memory operand of the instruction at index i
// names. Only an instruction whose bytes allow it is decoded.
func (c *cutter) namedBy(i uint32, gaps []gap) (int, bool) {
	length := int(c.length[i])
	code := c.bytes(i)[:length]
	maybe := false
	for _, imm := range []int{0, 1, 2, 4} { // bytes behind the displacement
		if at := length - 4 - imm; at > 0 {
			v := int64(int32(le.Uint32(code[at:])))
			_, relative := c.gapAt(c.addr(i)+uint64(length)+uint64(v), gaps)
			_, absolute := c.gapAt(uint64(v), gaps)
			maybe = maybe || relative || absolute
		}
	}
	if !maybe {
		return 0, false
	}
	in, err := c.redecode(i)
	if err != nil {
		return 0, false
	}
	for n := range in.Args {
		if addr, ok := in.Address(n); ok {
			return c.gapAt(addr, gaps)
		}
	}
	return 0, false
}

// gapAt returns the gap that holds addr.
func (c *cutter) gapAt(addr uint64, gaps []gap) (int, bool) {
	at, ok := c.index(addr)
	if !ok || c.covered[at] != 0 {
		return 0, false
	}
	n := sort.Search(len(gaps), func(n int) bool { return gaps[n].span.end > at })
	return n, n < len(gaps) && gaps[n].span.start <= at
}

// minText is the length of a text that no table or instruction happens to be.
const minText = 16

// isText reports whether b begins with printable characters and a zero byte.
func isText(b []byte) bool {
	for n, ch := range b {
		if ch < ' ' || ch > '~' {
			return ch == 0 && n >= minText
		}
	}
	return false
}

// Covered returns the share of the text that is in discovered functions, of the
// bytes that are neither padding nor data: 0 to 1. Instructions that are known
// by their length only count as discovered: what they mean is another question.
func Covered(c *pb.Coverage) float64 {
	code := c.GetTextBytes() - c.GetPaddingBytes() - c.GetDataBytes()
	if code == 0 {
		return 1
	}
	return float64(c.GetFunctionBytes()+c.GetUnknownBytes()) / float64(code)
}
