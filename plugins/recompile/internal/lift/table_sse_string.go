package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// sseStringRows are the string comparisons of SSE4.2 (Intel SDM volume 2,
// section 4.1).
func sseStringRows() Table {
	row := func(explicit, mask bool) Row {
		return Row{Lift: onXMM(func(l *Lifter, in x86.Inst) { l.compareStrings(in, explicit, mask) }), Writes: arith}
	}
	return Table{
		x86asm.PCMPISTRI: row(false, false), x86asm.PCMPISTRM: row(false, true),
		x86asm.PCMPESTRI: row(true, false), x86asm.PCMPESTRM: row(true, true),
	}
}

// elemType is bytes or words, signed or not.
type elemType struct {
	size                        int
	iota                        [2]uint64 // the index of each element
	eq, ltU, ge, le, splat, bit ir.Op
}

var stringTypes = [4]elemType{
	{1, byteIota, ir.I8x16Eq, ir.I8x16LtU, ir.I8x16GeU, ir.I8x16LeU, ir.I8x16Splat, ir.I8x16Bitmask},
	{2, wordIota, ir.I16x8Eq, ir.I16x8LtU, ir.I16x8GeU, ir.I16x8LeU, ir.I16x8Splat, ir.I16x8Bitmask},
	{1, byteIota, ir.I8x16Eq, ir.I8x16LtU, ir.I8x16GeS, ir.I8x16LeS, ir.I8x16Splat, ir.I8x16Bitmask},
	{2, wordIota, ir.I16x8Eq, ir.I16x8LtU, ir.I16x8GeS, ir.I16x8LeS, ir.I16x8Splat, ir.I16x8Bitmask},
}

var (
	byteIota = [2]uint64{0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908}
	wordIota = [2]uint64{0x0003_0002_0001_0000, 0x0007_0006_0005_0004}
)

func (t *elemType) count() int { return 16 / t.size }

// stringOperands is one comparison: a is the set, the ranges or the needle, b what is
// searched. A length is an i32, a valid mask has ones in the elements below it.
type stringOperands struct {
	*elemType
	a, b           ir.Value
	lenA, lenB     ir.Value
	validA, validB ir.Value
}

func (l *Lifter) compareStrings(in x86.Inst, explicit, mask bool) {
	imm := imm8(in)
	s := stringOperands{elemType: &stringTypes[imm&3]}
	s.b = l.vec(in.Args[1])
	s.a = l.getXMM(in.Args[0])
	n := int32(s.count())
	if explicit {
		s.lenA, s.lenB = l.explicitLength(in, guestabi.RAX, n), l.explicitLength(in, guestabi.RDX, n)
	} else {
		s.lenA, s.lenB = l.implicitLength(s.elemType, s.a), l.implicitLength(s.elemType, s.b)
	}
	s.validA, s.validB = l.below(s.elemType, s.lenA), l.below(s.elemType, s.lenB)

	aggregate := [4]func(*Lifter, *stringOperands) ir.Value{(*Lifter).equalAny, (*Lifter).ranges, (*Lifter).equalEach, (*Lifter).equalOrdered}
	v := aggregate[imm>>2&3](l, &s)
	switch imm >> 4 & 3 {
	case 1:
		v = l.b.Op(ir.V128Not, v)
	case 3: // negated where b is valid
		v = l.b.Op(ir.V128Xor, v, s.validB)
	}
	bits := l.b.Op(s.bit, v)
	switch {
	case !mask:
		l.setReg(guestabi.RCX, l.extendU(l.index(bits, n, imm>>6&1 != 0)))
	case imm>>6&1 != 0:
		l.setReg(guestabi.XMM0, v)
	default:
		l.setReg(guestabi.XMM0, l.b.OpImm(ir.I32x4ReplaceLane, 0, l.zeroVec(), bits))
	}
	l.clearFlags(AF | PF)
	l.setFlag(CF, l.nonzero(bits))
	l.setFlag(ZF, l.b.Op(ir.I32LtU, s.lenB, l.b.I32(n)))
	l.setFlag(SF, l.b.Op(ir.I32LtU, s.lenA, l.b.I32(n)))
	l.setFlag(OF, l.opImm(ir.I32And, bits, 1))
}

// implicitLength is the index of the first zero element, or how many there are.
func (l *Lifter) implicitLength(t *elemType, v ir.Value) ir.Value {
	zeros := l.b.Op(t.bit, l.b.Op(t.eq, v, l.zeroVec()))
	return l.b.Op(ir.I32Ctz, l.opImm(ir.I32Or, zeros, 1<<t.count()))
}

// explicitLength is the magnitude of r (eax or edx, or with REX.W the whole
// register), at most n.
func (l *Lifter) explicitLength(in x86.Inst, r ir.Reg, n int32) ir.Value {
	v := l.getReg(r)
	top := int64(63)
	if !hasREXW(in) {
		v, top = l.wrap(v), 31
	}
	sign := l.opImm(ir.I32ShrS, v, top)
	v = l.op(ir.I32Sub, l.op(ir.I32Xor, v, sign), sign)
	return l.b.Select(l.wrap(v), l.b.I32(n), l.opImm(ir.I32LtU, v, int64(n)))
}

func hasREXW(in x86.Inst) bool {
	for _, p := range in.Prefix {
		if p.IsREX() && p&x86asm.PrefixREXW != 0 {
			return true
		}
	}
	return false
}

// below is the mask of the elements whose index is below n.
func (l *Lifter) below(t *elemType, n ir.Value) ir.Value {
	return l.b.Op(t.ltU, l.b.V128(t.iota[0], t.iota[1]), l.b.Op(t.splat, n))
}

// spread puts element i of v everywhere.
func (l *Lifter) spread(t *elemType, v ir.Value, i int) ir.Value {
	elems := make([]int, t.count())
	for k := range elems {
		elems[k] = i
	}
	return l.b.Shuffle(v, v, lanesOf(t.size, elems...))
}

// atLeast is all ones if the length is at least n.
func (l *Lifter) atLeast(length ir.Value, n int32) ir.Value {
	return l.b.Op(ir.I32x4Splat, l.b.Op(ir.I32Sub, l.b.I32(0), l.b.Op(ir.I32GeU, length, l.b.I32(n))))
}

// equalAny: which elements of b are in a. Elements of a that are not valid are
// replaced by the first, which then does not count if it is not valid either.
func (l *Lifter) equalAny(s *stringOperands) ir.Value {
	set := l.b.Op(ir.V128Bitselect, s.a, l.spread(s.elemType, s.a, 0), s.validA)
	any := l.b.Op(s.eq, s.b, l.spread(s.elemType, set, 0))
	for i := 1; i < s.count(); i++ {
		any = l.b.Op(ir.V128Or, any, l.b.Op(s.eq, s.b, l.spread(s.elemType, set, i)))
	}
	return l.b.Op(ir.V128And, l.b.Op(ir.V128And, any, s.validB), l.atLeast(s.lenA, 1))
}

// ranges: which elements of b lie in one of the ranges that pairs of elements
// of a are. As in equalAny, a pair that is not valid is replaced by the first.
func (l *Lifter) ranges(s *stringOperands) ir.Value {
	var elems []int
	for i := range s.count() {
		elems = append(elems, i|1)
	}
	pairs := l.b.Shuffle(s.validA, s.validA, lanesOf(s.size, elems...))
	for i := range elems {
		elems[i] = i & 1
	}
	first := l.b.Shuffle(s.a, s.a, lanesOf(s.size, elems...))
	set := l.b.Op(ir.V128Bitselect, s.a, first, pairs)
	any := l.zeroVec()
	for i := 0; i < s.count(); i += 2 {
		in := l.b.Op(ir.V128And, l.b.Op(s.ge, s.b, l.spread(s.elemType, set, i)), l.b.Op(s.le, s.b, l.spread(s.elemType, set, i+1)))
		any = l.b.Op(ir.V128Or, any, in)
	}
	return l.b.Op(ir.V128And, l.b.Op(ir.V128And, any, s.validB), l.atLeast(s.lenA, 2))
}

// equalEach: which elements are equal, or both not valid.
func (l *Lifter) equalEach(s *stringOperands) ir.Value {
	both := l.b.Op(ir.V128And, l.b.Op(s.eq, s.a, s.b), l.b.Op(ir.V128And, s.validA, s.validB))
	return l.b.Op(ir.V128Or, both, l.b.Op(ir.V128Not, l.b.Op(ir.V128Or, s.validA, s.validB)))
}

// equalOrdered: where in b the string a begins, as far as can be seen.
func (l *Lifter) equalOrdered(s *stringOperands) ir.Value {
	all := ir.None
	n := s.count()
	for i := range n {
		// Element i of a with element j+i of b, for all j. What lies behind
		// the end of b's register does not count.
		elems := make([]int, n)
		var outside [2]uint64
		for j := range elems {
			elems[j] = min(j+i, n)
			if j+i >= n {
				for k := j * s.size; k < (j+1)*s.size; k++ {
					outside[k/8] |= 0xff << (k % 8 * 8)
				}
			}
		}
		lanes := lanesOf(s.size, elems...)
		zero := l.zeroVec()
		equal := l.b.Op(s.eq, l.b.Shuffle(s.b, zero, lanes), l.spread(s.elemType, s.a, i))
		equal = l.b.Op(ir.V128And, equal, l.b.Shuffle(s.validB, zero, lanes))
		equal = l.b.Op(ir.V128Or, equal, l.b.Op(ir.V128Not, l.spread(s.elemType, s.validA, i)))
		equal = l.b.Op(ir.V128Or, equal, l.b.V128(outside[0], outside[1]))
		if all == ir.None {
			all = equal
		} else {
			all = l.b.Op(ir.V128And, all, equal)
		}
	}
	return all
}

// index is the position of the lowest or highest bit, n if there is none.
func (l *Lifter) index(bits ir.Value, n int32, highest bool) ir.Value {
	if !highest {
		return l.b.Op(ir.I32Ctz, l.opImm(ir.I32Or, bits, 1<<n))
	}
	top := l.b.Op(ir.I32Sub, l.b.I32(31), l.b.Op(ir.I32Clz, bits))
	return l.b.Select(top, l.b.I32(n), bits)
}
