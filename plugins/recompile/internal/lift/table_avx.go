package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// onVEX wraps a handler of an instruction of AVX that has a row of its own.
func onVEX(f func(l *Lifter, in x86.Inst)) func(*Lifter, x86.Inst) error {
	return func(l *Lifter, in x86.Inst) error {
		if isEVEX(in) {
			return l.unsupported("AVX-512")
		}
		f(l, in)
		return nil
	}
}

// perHalf makes a row for dst = f(a, b) on each half; the last operand is memory
// or a register.
func perHalf(f func(l *Lifter, in x86.Inst, a, b ir.Value, upper bool) ir.Value) Row {
	return Row{Lift: onVEX(func(l *Lifter, in x86.Inst) {
		low := f(l, in, l.getHalf(in.Args[1], false), l.vecHalf(in.Args[2], false), false)
		high := ir.None
		if isWide(in) {
			high = f(l, in, l.getHalf(in.Args[1], true), l.vecHalf(in.Args[2], true), true)
		}
		l.setYMM(in.Args[0], low, high)
	})}
}

// avxRows are the instructions of AVX and AVX2 that SSE does not have, or whose
// halves are not alike.
func avxRows() Table {
	move := Row{Lift: onVEX(liftMoveYMM)}
	t := Table{
		x86asm.VMOVAPS: move, x86asm.VMOVAPD: move, x86asm.VMOVUPS: move, x86asm.VMOVUPD: move, x86asm.VMOVDQA: move, x86asm.VMOVDQU: move,
		x86asm.VMOVNTPS: move, x86asm.VMOVNTPD: move, x86asm.VMOVNTDQ: move,

		x86asm.VZEROUPPER: {Lift: onVEX(func(l *Lifter, _ x86.Inst) {
			for n := range ir.Reg(guestabi.NumXMM) {
				l.clearHigh(n)
			}
		})},
		x86asm.VZEROALL: {Lift: onVEX(func(l *Lifter, _ x86.Inst) {
			zero := l.zeroVec()
			for n := range ir.Reg(guestabi.NumXMM) {
				l.setReg(guestabi.XMM0+n, zero)
				l.clearHigh(n)
			}
		})},

		x86asm.VMOVMSKPS: moveMaskYMM(ir.I32x4Bitmask, 4), x86asm.VMOVMSKPD: moveMaskYMM(ir.I64x2Bitmask, 2), x86asm.VPMOVMSKB: moveMaskYMM(ir.I8x16Bitmask, 16),

		x86asm.VTESTPS: testSigns(func(l *Lifter, v ir.Value) ir.Value { return l.b.Op(ir.V128And, v, l.splat64(0x8000_0000_8000_0000)) }),
		x86asm.VTESTPD: testSigns(func(l *Lifter, v ir.Value) ir.Value { return l.b.Op(ir.V128And, v, l.splat64(1<<63)) }),
		x86asm.VPTEST:  testSigns(func(_ *Lifter, v ir.Value) ir.Value { return v }),

		x86asm.VBROADCASTSS: broadcast(4), x86asm.VBROADCASTSD: broadcast(8), x86asm.VBROADCASTF128: broadcast(16), x86asm.VBROADCASTI128: broadcast(16),
		x86asm.VPBROADCASTB: broadcast(1), x86asm.VPBROADCASTW: broadcast(2), x86asm.VPBROADCASTD: broadcast(4), x86asm.VPBROADCASTQ: broadcast(8),

		x86asm.VEXTRACTF128: {Lift: onVEX(liftExtract128)}, x86asm.VEXTRACTI128: {Lift: onVEX(liftExtract128)},
		x86asm.VINSERTF128: {Lift: onVEX(liftInsert128)}, x86asm.VINSERTI128: {Lift: onVEX(liftInsert128)},
		x86asm.VPERM2F128: {Lift: onVEX(liftPerm2)}, x86asm.VPERM2I128: {Lift: onVEX(liftPerm2)},
		x86asm.VPERMQ: {Lift: onVEX(liftPermQuads)}, x86asm.VPERMPD: {Lift: onVEX(liftPermQuads)},
		x86asm.VPERMD: {Lift: onVEX(liftPermDoubles)}, x86asm.VPERMPS: {Lift: onVEX(liftPermDoubles)},
		x86asm.VPERMILPS: permuteInLane(4), x86asm.VPERMILPD: permuteInLane(8),

		x86asm.VPBLENDD: perHalf(func(l *Lifter, in x86.Inst, a, b ir.Value, upper bool) ir.Value {
			imm := int(imm8(in))
			if upper {
				imm >>= 4
			}
			return l.b.Op(ir.V128Bitselect, b, a, l.elementMask(4, imm))
		}),
		x86asm.VBLENDVPS: blendVEX(ir.I32x4ShrS, 31), x86asm.VBLENDVPD: blendVEX(ir.I64x2ShrS, 63), x86asm.VPBLENDVB: blendVEX(ir.I8x16ShrS, 7),

		x86asm.VPSLLVD: shiftEach(4, ir.I32Shl, false), x86asm.VPSRLVD: shiftEach(4, ir.I32ShrU, false), x86asm.VPSRAVD: shiftEach(4, ir.I32ShrS, true),
		x86asm.VPSLLVQ: shiftEach(8, ir.I64Shl, false), x86asm.VPSRLVQ: shiftEach(8, ir.I64ShrU, false),

		x86asm.VCMPPS: comparePackedVEX(&f32Ops, ps), x86asm.VCMPPD: comparePackedVEX(&f64Ops, pd),
		x86asm.VCMPSS: compareScalarVEX(&f32Ops, 4, ss), x86asm.VCMPSD: compareScalarVEX(&f64Ops, 8, sd),

		x86asm.VCVTPH2PS: {Lift: onVEX(liftHalfToFloat)}, x86asm.VCVTPS2PH: {Lift: onVEX(liftFloatToHalf)},
	}
	sse := sseStringRows()
	for vop, op := range map[x86asm.Op]x86asm.Op{x86asm.VPCMPISTRM: x86asm.PCMPISTRM, x86asm.VPCMPESTRM: x86asm.PCMPESTRM} {
		row := sse[op]
		t[vop] = Row{Writes: row.Writes, Lift: func(l *Lifter, in x86.Inst) error {
			err := row.Lift(l, in)
			if err == nil {
				l.clearHigh(0) // the mask is in xmm0
			}
			return err
		}}
	}
	return t
}

// liftMoveYMM loads, stores or copies a whole register. A store begins with the
// upper half, so that one that does not fit into memory changes nothing.
func liftMoveYMM(l *Lifter, in x86.Inst) {
	wide := isWide(in)
	if m, ok := in.Args[0].(x86asm.Mem); ok {
		base, disp := l.addr(m)
		if wide {
			l.store(ir.V128Store, base, disp+16, l.getHalf(in.Args[1], true))
		}
		l.store(ir.V128Store, base, disp, l.getHalf(in.Args[1], false))
		return
	}
	low, high := l.vecHalf(in.Args[1], false), ir.None
	if wide {
		high = l.vecHalf(in.Args[1], true)
	}
	l.setYMM(in.Args[0], low, high)
}

func moveMaskYMM(op ir.Op, lanes int64) Row {
	return Row{Lift: onVEX(func(l *Lifter, in x86.Inst) {
		v := l.b.Op(op, l.getHalf(in.Args[1], false))
		if isWide(in) {
			v = l.b.Op(ir.I32Or, v, l.opImm(ir.I32Shl, l.b.Op(op, l.getHalf(in.Args[1], true)), lanes))
		}
		l.setInt(in.Args[0], v)
	})}
}

// testSigns makes vptest and its like: ZF if src and dst have no bit of part in
// common, CF if src has none that dst lacks.
func testSigns(part func(l *Lifter, v ir.Value) ir.Value) Row {
	return Row{Writes: arith, Lift: onVEX(func(l *Lifter, in x86.Inst) {
		src, dst := l.vecHalf(in.Args[1], false), l.getHalf(in.Args[0], false)
		both, only := l.b.Op(ir.V128And, dst, src), l.b.Op(ir.V128AndNot, src, dst)
		if isWide(in) {
			src, dst = l.vecHalf(in.Args[1], true), l.getHalf(in.Args[0], true)
			both = l.b.Op(ir.V128Or, both, l.b.Op(ir.V128And, dst, src))
			only = l.b.Op(ir.V128Or, only, l.b.Op(ir.V128AndNot, src, dst))
		}
		l.clearFlags(OF | SF | AF | PF)
		l.setFlag(ZF, l.not(l.b.Op(ir.V128AnyTrue, part(l, both))))
		l.setFlag(CF, l.not(l.b.Op(ir.V128AnyTrue, part(l, only))))
	})}
}

// broadcast makes a row that repeats the first size bytes of src.
func broadcast(size int) Row {
	return Row{Lift: onVEX(func(l *Lifter, in x86.Inst) {
		var v ir.Value
		m, mem := in.Args[1].(x86asm.Mem)
		switch {
		case !mem && size == 16:
			v = l.getHalf(in.Args[1], false)
		case !mem:
			v = l.getHalf(in.Args[1], false)
			v = l.b.Shuffle(v, v, lanesOf(size, make([]int, 16/size)...))
		case size == 1:
			v = l.b.Op(ir.I8x16Splat, l.loadMem(ir.I32Load8U, m))
		case size == 2:
			v = l.b.Op(ir.I16x8Splat, l.loadMem(ir.I32Load16U, m))
		case size == 4:
			v = l.b.Op(ir.I32x4Splat, l.loadMem(ir.I32Load, m))
		case size == 8:
			v = l.b.Op(ir.I64x2Splat, l.loadMem(ir.I64Load, m))
		default:
			v = l.loadMem(ir.V128Load, m)
		}
		if isWide(in) {
			l.setYMM(in.Args[0], v, v)
			return
		}
		l.setYMM(in.Args[0], v, ir.None)
	})}
}

func liftExtract128(l *Lifter, in x86.Inst) {
	v := l.getHalf(in.Args[1], imm8(in)&1 != 0)
	if m, ok := in.Args[0].(x86asm.Mem); ok {
		l.storeMem(ir.V128Store, m, v)
		return
	}
	l.setYMM(in.Args[0], v, ir.None)
}

func liftInsert128(l *Lifter, in x86.Inst) {
	v := l.vecHalf(in.Args[2], false)
	low, high := l.getHalf(in.Args[1], false), l.getHalf(in.Args[1], true)
	if imm8(in)&1 != 0 {
		high = v
	} else {
		low = v
	}
	l.setYMM(in.Args[0], low, high)
}

// liftPerm2 chooses two of the four halves of two registers, or zeros.
func liftPerm2(l *Lifter, in x86.Inst) {
	halves := [4]ir.Value{l.getHalf(in.Args[1], false), l.getHalf(in.Args[1], true), l.vecHalf(in.Args[2], false), l.vecHalf(in.Args[2], true)}
	choose := func(imm uint8) ir.Value {
		if imm&8 != 0 {
			return l.zeroVec()
		}
		return halves[imm&3]
	}
	l.setYMM(in.Args[0], choose(imm8(in)), choose(imm8(in)>>4))
}

// liftPermQuads chooses each quadword from four by the immediate.
func liftPermQuads(l *Lifter, in x86.Inst) {
	low, high := l.vecHalf(in.Args[1], false), l.vecHalf(in.Args[1], true)
	imm := int(imm8(in))
	l.setYMM(in.Args[0], l.b.Shuffle(low, high, lanesOf(8, imm&3, imm>>2&3)), l.b.Shuffle(low, high, lanesOf(8, imm>>4&3, imm>>6&3)))
}

// byteIndex turns the low bits of each element of size bytes, indices of such
// elements among n, into the indices of their bytes.
func (l *Lifter) byteIndex(v ir.Value, size, n int) ir.Value {
	var mask, bytes uint64
	for i := range 8 {
		if i%size == 0 {
			mask |= uint64(n-1) << (8 * i)
		}
		bytes |= uint64(i%size) << (8 * i)
	}
	shift := map[int]int32{4: 2, 8: 3}[size]
	v = l.b.Op(ir.I64x2Shl, l.b.Op(ir.V128And, v, l.splat64(mask)), l.b.I32(shift))
	first := make([]byte, 16)
	for i := range first {
		first[i] = byte(i / size * size)
	}
	v = l.b.Shuffle(v, v, [16]byte(first))
	return l.b.Op(ir.I8x16Add, v, l.splat64(bytes))
}

// liftPermDoubles chooses each doubleword of src from its eight by those of the
// middle operand: from the 16 bytes of either half, of which the swizzle of wasm
// gives zeros for the indices of the other.
func liftPermDoubles(l *Lifter, in x86.Inst) {
	low, high := l.vecHalf(in.Args[2], false), l.vecHalf(in.Args[2], true)
	choose := func(upper bool) ir.Value {
		index := l.byteIndex(l.getHalf(in.Args[1], upper), 4, 8)
		other := l.b.Op(ir.I8x16Sub, index, l.splat64(0x1010_1010_1010_1010))
		return l.b.Op(ir.V128Or, l.b.Op(ir.I8x16Swizzle, low, index), l.b.Op(ir.I8x16Swizzle, high, other))
	}
	l.setYMM(in.Args[0], choose(false), choose(true))
}

// permuteInLane makes vpermilps and vpermilpd: the elements of each half by the
// immediate, or by those of a register or memory.
func permuteInLane(size int) Row {
	return Row{Lift: onVEX(func(l *Lifter, in x86.Inst) {
		_, fixed := in.Args[2].(x86asm.Imm)
		choose := func(upper bool) ir.Value {
			imm := int(imm8(in))
			switch {
			case fixed && size == 4:
				v := l.vecHalf(in.Args[1], upper)
				return l.b.Shuffle(v, v, lanesOf(4, imm&3, imm>>2&3, imm>>4&3, imm>>6&3))
			case fixed:
				v := l.vecHalf(in.Args[1], upper)
				if upper {
					imm >>= 2
				}
				return l.b.Shuffle(v, v, lanesOf(8, imm&1, imm>>1&1))
			}
			index := l.vecHalf(in.Args[2], upper)
			if size == 8 { // bit 1 counts
				index = l.b.Op(ir.I64x2ShrU, index, l.b.I32(1))
			}
			return l.b.Op(ir.I8x16Swizzle, l.getHalf(in.Args[1], upper), l.byteIndex(index, size, 16/size))
		}
		low, high := choose(false), ir.None
		if isWide(in) {
			high = choose(true)
		}
		l.setYMM(in.Args[0], low, high)
	})}
}

// blendVEX chooses elements by the signs of those of the last operand.
func blendVEX(shr ir.Op, top int32) Row {
	return perHalf(func(l *Lifter, in x86.Inst, a, b ir.Value, upper bool) ir.Value {
		mask := l.b.Op(shr, l.getHalf(in.Args[3], upper), l.b.I32(top))
		return l.b.Op(ir.V128Bitselect, b, a, mask)
	})
}

// shiftEach shifts each element of size bytes by a count of its own, one lane
// after the other: wasm has no such operation.
func shiftEach(size int, op ir.Op, signed bool) Row {
	extract, replace, lanes, width := ir.I32x4ExtractLane, ir.I32x4ReplaceLane, int64(4), int64(32)
	if size == 8 {
		extract, replace, lanes, width = ir.I64x2ExtractLane, ir.I64x2ReplaceLane, 2, 64
	}
	return perHalf(func(l *Lifter, _ x86.Inst, a, b ir.Value, _ bool) ir.Value {
		r := l.zeroVec()
		for lane := range lanes {
			x, n := l.b.OpImm(extract, lane, a), l.b.OpImm(extract, lane, b)
			fits := l.opImm(ir.I32LtU, n, width)
			var v ir.Value
			if signed {
				v = l.b.Op(op, x, l.b.Select(n, l.constLike(n, width-1), fits))
			} else {
				v = l.b.Select(l.b.Op(op, x, n), l.constLike(x, 0), fits)
			}
			r = l.b.OpImm(replace, lane, r, v)
		}
		return r
	})
}

// compareBy is the mask for one of the 32 predicates of vcmpps (Intel SDM volume
// 2, CMPPD, table 3-1). Those from 16 on differ in the exceptions only.
func (l *Lifter) compareBy(t *floatType, p uint8, x, y ir.Value) ir.Value {
	not := func(v ir.Value) ir.Value { return l.b.Op(ir.V128Not, v) }
	unordered := func() ir.Value { return l.b.Op(ir.V128Or, l.b.Op(t.vne, x, x), l.b.Op(t.vne, y, y)) }
	different := func() ir.Value { return l.b.Op(ir.V128Or, l.b.Op(t.vlt, x, y), l.b.Op(t.vlt, y, x)) }
	switch p & 15 {
	case 0:
		return l.b.Op(t.veq, x, y)
	case 1:
		return l.b.Op(t.vlt, x, y)
	case 2:
		return l.b.Op(t.vle, x, y)
	case 3:
		return unordered()
	case 4:
		return l.b.Op(t.vne, x, y)
	case 5:
		return not(l.b.Op(t.vlt, x, y))
	case 6:
		return not(l.b.Op(t.vle, x, y))
	case 7:
		return not(unordered())
	case 8:
		return not(different())
	case 9:
		return not(l.b.Op(t.vle, y, x))
	case 10:
		return not(l.b.Op(t.vlt, y, x))
	case 11:
		return l.zeroVec()
	case 12:
		return different()
	case 13:
		return l.b.Op(t.vle, y, x)
	case 14:
		return l.b.Op(t.vlt, y, x)
	}
	return l.splat64(^uint64(0))
}

func comparePackedVEX(t *floatType, form x87.SSEOp) Row {
	row := perHalf(func(l *Lifter, in x86.Inst, a, b ir.Value, _ bool) ir.Value { return l.compareBy(t, imm8(in), a, b) })
	row.Careful = onVEX(func(l *Lifter, in x86.Inst) {
		l.raised, l.exceptions = ir.None, ir.None
		low, high := l.carefulCompare(form, in, l.getHalf(in.Args[1], false), l.vecHalf(in.Args[2], false)), ir.None
		if isWide(in) {
			high = l.carefulCompare(form, in, l.getHalf(in.Args[1], true), l.vecHalf(in.Args[2], true))
		}
		l.setUnlessRaised(in.Args[0], low, high)
	})
	return row
}

// carefulCompare is the mask of all elements, or of the lowest.
func (l *Lifter) carefulCompare(form x87.SSEOp, in x86.Inst, a, b ir.Value) ir.Value {
	code := uint32(x87.SSECompare|form) | uint32(imm8(in)&31)<<x87.SSEImmShift
	return l.partUnderMXCSR(code, l.halves(a), l.halves(b))
}

// partUnderMXCSR has the host compute a part of an instruction, which ends with
// setUnlessRaised.
func (l *Lifter) partUnderMXCSR(code uint32, a, b [2]ir.Value) ir.Value {
	l.half.active = true
	r, raised := l.underMXCSR(code, a, b)
	raised()
	l.half.active = false
	return l.b.OpImm(ir.I64x2ReplaceLane, 1, l.b.Op(ir.I64x2Splat, r[0]), r[1])
}

// compareScalarVEX compares the first size bytes and keeps the rest.
func compareScalarVEX(t *floatType, size int, form x87.SSEOp) Row {
	return Row{Careful: onVEX(func(l *Lifter, in x86.Inst) {
		l.raised, l.exceptions = ir.None, ir.None
		y := l.lowElement(in.Args[2], size)
		x := l.getHalf(in.Args[1], false)
		l.setUnlessRaised(in.Args[0], l.mergeLow(x, l.carefulCompare(form, in, x, y), size), ir.None)
	}), Lift: onVEX(func(l *Lifter, in x86.Inst) {
		y := l.lowElement(in.Args[2], size)
		x := l.getHalf(in.Args[1], false)
		l.setYMM(in.Args[0], l.mergeLow(x, l.compareBy(t, imm8(in), x, y), size), ir.None)
	})}
}

// lowElement returns a register, or size bytes of memory, 4 or 8.
func (l *Lifter) lowElement(a x86asm.Arg, size int) ir.Value {
	m, ok := a.(x86asm.Mem)
	switch {
	case !ok:
		return l.getHalf(a, false)
	case size == 4:
		return l.loadMem(ir.V128Load32Zero, m)
	}
	return l.loadMem(ir.V128Load64Zero, m)
}

// mergeLow returns x with its first size bytes from v.
func (l *Lifter) mergeLow(x, v ir.Value, size int) ir.Value {
	var lanes [16]byte
	for i := range lanes {
		lanes[i] = byte(i)
		if i < size {
			lanes[i] += 16
		}
	}
	return l.b.Shuffle(x, v, lanes)
}

// liftHalfToFloat is vcvtph2ps. Exponent and mantissa are put where an f32 has
// them and scaled by the difference of the biases, which also makes denormals
// right; infinities and NaNs get the largest exponent.
func liftHalfToFloat(l *Lifter, in x86.Inst) {
	var v ir.Value
	m, mem := in.Args[1].(x86asm.Mem)
	switch {
	case !mem:
		v = l.getHalf(in.Args[1], false)
	case isWideReg(in.Args[0]):
		v = l.loadMem(ir.V128Load, m)
	default:
		v = l.loadMem(ir.V128Load64Zero, m)
	}
	convert := func(extend ir.Op) ir.Value {
		h := l.b.Op(extend, v)
		all := l.b.Op(ir.I32x4Shl, l.b.Op(ir.V128And, h, l.splat64(0x7fff_0000_7fff)), l.b.I32(13))
		sign := l.b.Op(ir.I32x4Shl, l.b.Op(ir.V128And, h, l.splat64(0x8000_0000_8000)), l.b.I32(16))
		special := l.b.Op(ir.I32x4GtS, all, l.splat64(0x0f7f_ffff_0f7f_ffff))
		quiet := l.b.Op(ir.V128And, l.b.Op(ir.I32x4GtS, all, l.splat64(0x0f80_0000_0f80_0000)), l.splat64(0x0040_0000_0040_0000))
		number := l.b.Op(ir.F32x4Mul, all, l.splat64(0x7780_0000_7780_0000)) // 2^112
		other := l.b.Op(ir.V128Or, l.b.Op(ir.V128Or, all, quiet), l.splat64(0x7f80_0000_7f80_0000))
		return l.b.Op(ir.V128Or, l.b.Op(ir.V128Bitselect, other, number, special), sign)
	}
	low, high := convert(ir.I32x4ExtendLowI16x8U), ir.None
	if isWideReg(in.Args[0]) {
		high = convert(ir.I32x4ExtendHighI16x8U)
	}
	l.setYMM(in.Args[0], low, high)
}

func isWideReg(a x86asm.Arg) bool {
	_, wide, _ := vreg(a)
	return wide
}

// liftFloatToHalf is vcvtps2ph.
func liftFloatToHalf(l *Lifter, in x86.Inst) {
	mode := l.b.I32(int32(imm8(in) & 3))
	if imm8(in)&4 != 0 {
		mode = l.opImm(ir.I32And, l.opImm(ir.I32ShrU, l.getReg(guestabi.MXCSR), 13), 3)
	}
	r := l.zeroVec()
	convert := func(upper bool, first int64) {
		v := l.getHalf(in.Args[1], upper)
		for lane := range int64(4) {
			h := l.b.Helper(guestabi.FuncF32ToF16, l.b.OpImm(ir.I32x4ExtractLane, lane, v), mode)[0]
			r = l.b.OpImm(ir.I16x8ReplaceLane, first+lane, r, h)
		}
	}
	convert(false, 0)
	wide := isWide(in)
	if wide {
		convert(true, 4)
	}
	m, ok := in.Args[0].(x86asm.Mem)
	switch {
	case !ok:
		l.setYMM(in.Args[0], r, ir.None)
	case wide:
		l.storeMem(ir.V128Store, m, r)
	default:
		l.storeMem(ir.I64Store, m, l.b.OpImm(ir.I64x2ExtractLane, 0, r))
	}
}
