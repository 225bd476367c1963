package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// cryptoRows are AES-NI, PCLMULQDQ and the SHA extensions (Intel SDM volume 2).
// Our CPUID does not report them; programs that were compiled for a processor
// that has them do not ask.
func cryptoRows() Table {
	return Table{
		x86asm.AESENC: vecBinary((*Lifter).aesEncrypt), x86asm.AESENCLAST: vecBinary((*Lifter).aesEncryptLast),
		x86asm.AESDEC: vecBinary((*Lifter).aesDecrypt), x86asm.AESDECLAST: vecBinary((*Lifter).aesDecryptLast),
		x86asm.AESIMC:          vecUnary(16, (*Lifter).aesInvMixColumns),
		x86asm.AESKEYGENASSIST: {Lift: onXMM((*Lifter).aesKeyGenAssist)},
		x86asm.PCLMULQDQ:       {Lift: onXMM((*Lifter).carrylessMul)},

		x86asm.SHA1RNDS4: {Lift: onXMM((*Lifter).sha1Rounds)},
		x86asm.SHA1NEXTE: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			e := l.b.Shuffle(l.rotateLanes(dst, 30), l.zeroVec(), lanesOf(4, 4, 4, 4, 3))
			return l.b.Op(ir.I32x4Add, src, e)
		}),
		x86asm.SHA1MSG1: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			return l.b.Op(ir.V128Xor, dst, l.b.Shuffle(dst, src, lanesOf(4, 6, 7, 0, 1)))
		}),
		x86asm.SHA1MSG2: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			r := l.rotateLanes(l.b.Op(ir.V128Xor, dst, l.b.Shuffle(src, l.zeroVec(), lanesOf(4, 4, 0, 1, 2))), 1)
			// The last word needs the first of this result.
			return l.b.Op(ir.V128Xor, r, l.b.Shuffle(l.rotateLanes(r, 1), l.zeroVec(), lanesOf(4, 3, 4, 4, 4)))
		}),
		x86asm.SHA256RNDS2: {Lift: onXMM((*Lifter).sha256Rounds)},
		x86asm.SHA256MSG1: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			return l.b.Op(ir.I32x4Add, dst, l.smallSigma(l.b.Shuffle(dst, src, lanesOf(4, 1, 2, 3, 4)), 7, 18, 3))
		}),
		x86asm.SHA256MSG2: vecBinary(func(l *Lifter, dst, src ir.Value) ir.Value {
			zero := l.zeroVec()
			r := l.b.Op(ir.I32x4Add, dst, l.smallSigma(l.b.Shuffle(src, zero, lanesOf(4, 2, 3, 4, 4)), 17, 19, 10))
			return l.b.Op(ir.I32x4Add, r, l.smallSigma(l.b.Shuffle(r, zero, lanesOf(4, 4, 4, 0, 1)), 17, 19, 10))
		}),
	}
}

// constVec is a constant vector.
func (l *Lifter) constVec(v [16]byte) ir.Value {
	var half [2]uint64
	for i, x := range v {
		half[i/8] |= uint64(x) << (i % 8 * 8)
	}
	return l.b.V128(half[0], half[1])
}

// nibbles returns the lower and the upper half of each byte.
func (l *Lifter) nibbles(v ir.Value) (low, high ir.Value) {
	mask := l.splat64(0x0f0f_0f0f_0f0f_0f0f)
	return l.b.Op(ir.V128And, v, mask), l.b.Op(ir.V128And, l.b.Op(ir.I16x8ShrU, v, l.b.I32(4)), mask)
}

// lookup is the sum of an element of each table.
func (l *Lifter) lookup(t aesPair, first, second ir.Value) ir.Value {
	return l.b.Op(ir.V128Xor, l.b.Op(ir.I8x16Swizzle, l.constVec(t[0]), first), l.b.Op(ir.I8x16Swizzle, l.constVec(t[1]), second))
}

// aesInvert maps each byte of v and inverts it in the field; what it returns is
// for lookup in the tables of inverses (see aesTables).
func (l *Lifter) aesInvert(v ir.Value, into aesPair) (io, jo ir.Value) {
	t := aes()
	xor := func(x, y ir.Value) ir.Value { return l.b.Op(ir.V128Xor, x, y) }
	inverse := l.constVec(t.inverse)
	invert := func(x ir.Value) ir.Value { return l.b.Op(ir.I8x16Swizzle, inverse, x) }
	low, high := l.nibbles(v)
	k, i := l.nibbles(l.lookup(into, low, high))
	j := xor(i, k)
	ak := l.b.Op(ir.I8x16Swizzle, l.constVec(t.ratio), k)
	return xor(invert(xor(invert(i), ak)), j), xor(invert(xor(invert(j), ak)), i)
}

// aesRows returns the places from which ShiftRows takes the bytes of a state,
// each column rotated by turn besides; inverse: InvShiftRows.
func aesRows(turn int, inverse bool) (lanes [16]byte) {
	for at := range lanes {
		column, row := at/4, (at+turn)%4
		from := column + row
		if inverse {
			from = column - row + 4
		}
		lanes[at] = byte(from%4*4 + row)
	}
	return lanes
}

// aesMix adds up the multiples of the bytes of each column.
func (l *Lifter) aesMix(multiples [4]ir.Value, lanes func(turn int) [16]byte) ir.Value {
	sum := ir.None
	for turn, m := range multiples {
		m = l.b.Shuffle(m, m, lanes(turn))
		if turn > 0 {
			m = l.b.Op(ir.V128Xor, sum, m)
		}
		sum = m
	}
	return sum
}

// aesConstant is the constant of the S-box; MixColumns leaves it as it is.
const aesConstant = 0x6363_6363_6363_6363

func (l *Lifter) aesEncrypt(state, key ir.Value) ir.Value {
	t := aes()
	io, jo := l.aesInvert(state, t.into)
	once, twice := l.lookup(t.sub[0], io, jo), l.lookup(t.sub[1], io, jo)
	thrice := l.b.Op(ir.V128Xor, once, twice)
	mixed := l.aesMix([4]ir.Value{twice, thrice, once, once}, func(turn int) [16]byte { return aesRows(turn, false) })
	return l.b.Op(ir.V128Xor, mixed, l.b.Op(ir.V128Xor, key, l.splat64(aesConstant)))
}

func (l *Lifter) aesEncryptLast(state, key ir.Value) ir.Value {
	t := aes()
	io, jo := l.aesInvert(state, t.into)
	s := l.lookup(t.sub[0], io, jo)
	return l.b.Op(ir.V128Xor, l.b.Shuffle(s, s, aesRows(0, false)), l.b.Op(ir.V128Xor, key, l.splat64(aesConstant)))
}

func (l *Lifter) aesDecrypt(state, key ir.Value) ir.Value {
	t := aes()
	io, jo := l.aesInvert(state, t.intoInverse)
	var multiples [4]ir.Value
	for i := range multiples {
		multiples[i] = l.lookup(t.invSub[i], io, jo)
	}
	return l.b.Op(ir.V128Xor, key, l.aesMix(multiples, func(turn int) [16]byte { return aesRows(turn, true) }))
}

func (l *Lifter) aesDecryptLast(state, key ir.Value) ir.Value {
	t := aes()
	io, jo := l.aesInvert(state, t.intoInverse)
	s := l.lookup(t.invLast, io, jo)
	return l.b.Op(ir.V128Xor, key, l.b.Shuffle(s, s, aesRows(0, true)))
}

func (l *Lifter) aesInvMixColumns(v ir.Value) ir.Value {
	t := aes()
	low, high := l.nibbles(v)
	var multiples [4]ir.Value
	for i := range multiples {
		multiples[i] = l.lookup(t.multiple[i], low, high)
	}
	return l.aesMix(multiples, func(turn int) (lanes [16]byte) {
		for at := range lanes {
			lanes[at] = byte(at&^3 | (at+turn)%4)
		}
		return lanes
	})
}

func (l *Lifter) aesKeyGenAssist(in x86.Inst) {
	t := aes()
	io, jo := l.aesInvert(l.vec(in.Args[1]), t.into)
	s := l.lookup(t.sub[0], io, jo)
	s = l.b.Shuffle(s, s, [16]byte{4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12})
	l.setXMM(in.Args[0], l.b.Op(ir.V128Xor, s, l.splat64(aesConstant^uint64(imm8(in))<<32)))
}

// carrylessMul multiplies polynomials over GF(2). The upper half of the product
// is the lower one of the operands' mirror images.
func (l *Lifter) carrylessMul(in x86.Inst) {
	src, dst, imm := l.vec(in.Args[1]), l.getXMM(in.Args[0]), int(imm8(in))
	x, y := imm&1, imm>>4&1
	pair := l.b.Shuffle(dst, src, lanesOf(8, x, 2+y))
	part := func(v ir.Value, lane int64) ir.Value { return l.b.OpImm(ir.I64x2ExtractLane, lane, v) }
	low := l.carrylessLow(part(pair, 0), part(pair, 1))
	mirrored := l.mirror(pair)
	high := l.b.Op(ir.I64x2Splat, l.carrylessLow(part(mirrored, 0), part(mirrored, 1)))
	high = l.b.Op(ir.I64x2ShrU, l.mirror(high), l.b.I32(1))
	l.setXMM(in.Args[0], l.b.OpImm(ir.I64x2ReplaceLane, 0, high, low))
}

// mirror reverses the bits of each i64 lane.
func (l *Lifter) mirror(v ir.Value) ir.Value {
	var t aesPair
	for n := range 16 {
		r := byte(n&1<<3 | n&2<<1 | n&4>>1 | n&8>>3)
		t[0][n], t[1][n] = r<<4, r
	}
	low, high := l.nibbles(v)
	v = l.lookup(t, low, high)
	return l.b.Shuffle(v, v, [16]byte{7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8})
}

// carrylessLow returns the lower 64 bits of a product. Of four bits of an
// operand one is kept at a time, so that carries end in the holes between.
func (l *Lifter) carrylessLow(x, y ir.Value) ir.Value {
	const holes = 0x1111_1111_1111_1111
	mask := func(v ir.Value, i int) ir.Value { return l.b.Op(ir.I64And, v, l.b.I64(int64(uint64(holes)<<i))) }
	var xs, ys [4]ir.Value
	for i := range xs {
		xs[i], ys[i] = mask(x, i), mask(y, i)
	}
	result := ir.None
	for k := range 4 {
		sum := ir.None
		for i := range xs {
			p := l.b.Op(ir.I64Mul, xs[i], ys[(k-i+4)%4])
			if i > 0 {
				p = l.b.Op(ir.I64Xor, sum, p)
			}
			sum = p
		}
		sum = mask(sum, k)
		if k > 0 {
			sum = l.b.Op(ir.I64Or, result, sum)
		}
		result = sum
	}
	return result
}

// rotateLanes rotates each i32 lane to the left.
func (l *Lifter) rotateLanes(v ir.Value, n int32) ir.Value {
	return l.b.Op(ir.V128Or, l.b.Op(ir.I32x4Shl, v, l.b.I32(n)), l.b.Op(ir.I32x4ShrU, v, l.b.I32(32-n)))
}

// smallSigma is a function of SHA-256's message schedule: two rotations to the
// right and a shift.
func (l *Lifter) smallSigma(v ir.Value, first, second, shift int32) ir.Value {
	r := l.b.Op(ir.V128Xor, l.rotateLanes(v, 32-first), l.rotateLanes(v, 32-second))
	return l.b.Op(ir.V128Xor, r, l.b.Op(ir.I32x4ShrU, v, l.b.I32(shift)))
}

// words returns the lanes of v, the uppermost first, as SHA counts them.
func (l *Lifter) words(v ir.Value) (w [4]ir.Value) {
	for i := range w {
		w[i] = l.b.OpImm(ir.I32x4ExtractLane, int64(3-i), v)
	}
	return w
}

func (l *Lifter) fromWords(w [4]ir.Value) ir.Value {
	v := l.b.Op(ir.I32x4Splat, w[3])
	for lane := int64(1); lane < 4; lane++ {
		v = l.b.OpImm(ir.I32x4ReplaceLane, lane, v, w[3-lane])
	}
	return v
}

func (l *Lifter) sum32(first ir.Value, rest ...ir.Value) ir.Value {
	for _, v := range rest {
		first = l.b.Op(ir.I32Add, first, v)
	}
	return first
}

// choose takes the bits of y where x has ones, else those of z.
func (l *Lifter) choose(x, y, z ir.Value) ir.Value {
	return l.b.Op(ir.I32Xor, z, l.b.Op(ir.I32And, x, l.b.Op(ir.I32Xor, y, z)))
}

func (l *Lifter) majority(x, y, z ir.Value) ir.Value {
	return l.b.Op(ir.I32Or, l.b.Op(ir.I32And, x, y), l.b.Op(ir.I32And, z, l.b.Op(ir.I32Or, x, y)))
}

func (l *Lifter) xor3(x, y, z ir.Value) ir.Value {
	return l.b.Op(ir.I32Xor, x, l.b.Op(ir.I32Xor, y, z))
}

// sha1Rounds: the immediate chooses function and constant (FIPS 180-4).
func (l *Lifter) sha1Rounds(in x86.Inst) {
	w, s := l.words(l.vec(in.Args[1])), l.words(l.getXMM(in.Args[0]))
	n := imm8(in) & 3
	f := [4]func(l *Lifter, x, y, z ir.Value) ir.Value{(*Lifter).choose, (*Lifter).xor3, (*Lifter).majority, (*Lifter).xor3}[n]
	constant := [4]uint32{0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6}[n]
	rotate := func(v ir.Value, n int32) ir.Value { return l.b.Op(ir.I32Rotl, v, l.b.I32(n)) }
	e := ir.None // the first word holds it already
	for i := range w {
		a := l.sum32(rotate(s[0], 5), f(l, s[1], s[2], s[3]), w[i], l.b.I32(int32(constant)))
		if i > 0 {
			a = l.sum32(a, e)
		}
		e = s[3]
		s = [4]ir.Value{a, s[0], rotate(s[1], 30), s[2]}
	}
	l.setXMM(in.Args[0], l.fromWords(s))
}

// sha256Rounds: the words and constants of two rounds are in the lower half of
// xmm0.
func (l *Lifter) sha256Rounds(in x86.Inst) {
	abef, cdgh := l.words(l.vec(in.Args[1])), l.words(l.getXMM(in.Args[0]))
	wk := l.words(l.getReg(guestabi.XMM0))
	bigSigma := func(v ir.Value, turns ...int32) ir.Value {
		var r [3]ir.Value
		for i, n := range turns {
			r[i] = l.b.Op(ir.I32Rotr, v, l.b.I32(n))
		}
		return l.xor3(r[0], r[1], r[2])
	}
	a, b, e, f := abef[0], abef[1], abef[2], abef[3]
	c, d, g, h := cdgh[0], cdgh[1], cdgh[2], cdgh[3]
	for i := range 2 {
		t := l.sum32(h, wk[3-i], l.choose(e, f, g), bigSigma(e, 6, 11, 25))
		u := l.sum32(t, l.majority(a, b, c), bigSigma(a, 2, 13, 22))
		a, b, c, d, e, f, g, h = u, a, b, c, l.sum32(d, t), e, f, g
	}
	l.setXMM(in.Args[0], l.fromWords([4]ir.Value{a, b, e, f}))
}
