package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// bitRows are tests, scans and counts of bits, and CRC32.
func bitRows() Table {
	const rest = PF | AF | SF | OF
	return Table{
		x86asm.BT:     {Lift: bitTest(bitKeep), Writes: CF, Undef: rest},
		x86asm.BTS:    {Lift: bitTest(bitSet), Writes: CF, Undef: rest, Lock: true},
		x86asm.BTR:    {Lift: bitTest(bitReset), Writes: CF, Undef: rest, Lock: true},
		x86asm.BTC:    {Lift: bitTest(bitComplement), Writes: CF, Undef: rest, Lock: true},
		x86asm.BSF:    {Lift: bitScan(false), Writes: ZF, Undef: rest | CF},
		x86asm.BSR:    {Lift: bitScan(true), Writes: ZF, Undef: rest | CF},
		x86asm.TZCNT:  {Lift: zeroCount(false), Writes: CF | ZF, Undef: rest},
		x86asm.LZCNT:  {Lift: zeroCount(true), Writes: CF | ZF, Undef: rest},
		x86asm.POPCNT: {Lift: liftPopcnt, Writes: arith},
		x86asm.CRC32:  {Lift: liftCRC32},
	}
}

type bitChange uint8

const (
	bitKeep bitChange = iota
	bitSet
	bitReset
	bitComplement
)

// apply returns x with the bits of mask changed.
func (c bitChange) apply(l *Lifter, x, mask ir.Value) ir.Value {
	switch c {
	case bitSet:
		return l.op(ir.I32Or, x, mask)
	case bitReset:
		return l.op(ir.I32And, x, l.opImm(ir.I32Xor, mask, -1))
	}
	return l.op(ir.I32Xor, x, mask)
}

// bitTest is BT, BTS, BTR or BTC.
func bitTest(change bitChange) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		offset := l.getW(in.Args[1], w)
		n := l.opImm(ir.I32And, offset, int64(w-1))
		if c, ok := l.constant(offset); ok {
			n = l.constW(w, c&int64(w-1))
		}
		if m, ok := in.Args[0].(x86asm.Mem); ok {
			base, disp := l.addr(m)
			if _, imm := in.Args[1].(x86asm.Imm); !imm {
				base = l.b.Op(ir.I32Add, base, l.bitWord(offset, w))
			}
			l.bitTestMemory(change, base, disp, w, n)
			return nil
		}
		x := l.get(in.Args[0])
		if change != bitKeep {
			l.set(in.Args[0], change.apply(l, x, l.op(ir.I32Shl, l.constW(w, 1), n)))
		}
		l.setFlag(CF, l.bit(l.op(ir.I32ShrU, x, n), 0))
		return nil
	}
}

// bitWord returns the distance in bytes of the word that holds bit number
// offset, which is signed and may lie anywhere.
func (l *Lifter) bitWord(offset ir.Value, w int) ir.Value {
	shift := map[int]int64{16: 4, 32: 5, 64: 6}[w]
	words := l.wrap(l.opImm(ir.I32ShrS, l.sx(offset, w), shift))
	return l.opImm(ir.I32Shl, words, shift-3)
}

func (l *Lifter) bitTestMemory(change bitChange, base ir.Value, disp int32, w int, n ir.Value) {
	mask := l.op(ir.I32Shl, l.constW(w, 1), n)
	if l.in.Lock {
		op := ir.I32AtomicRmwXor
		switch change {
		case bitSet:
			op = ir.I32AtomicRmwOr
		case bitReset:
			op, mask = ir.I32AtomicRmwAnd, l.opImm(ir.I32Xor, mask, -1)
		}
		x := l.b.OpImm(atomicOp(op, w), int64(disp), base, l.zx(mask, w))
		l.setFlag(CF, l.bit(l.op(ir.I32ShrU, x, n), 0))
		return
	}
	x := l.load(loadOp(w), base, disp)
	if change != bitKeep {
		l.store(storeOp(w), base, disp, change.apply(l, x, mask))
	}
	l.setFlag(CF, l.bit(l.op(ir.I32ShrU, x, n), 0))
}

// bitScan is BSF or BSR. A source of 0 leaves the destination as it was, as
// every x86-64 processor does and AMD documents.
func bitScan(reverse bool) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		x := l.get(in.Args[1])
		var n ir.Value
		if reverse {
			top := int64(31)
			if l.width(in.Args[0]) == 64 {
				top = 63
			}
			n = l.opImm(ir.I32Xor, l.op(ir.I32Clz, x), top)
		} else {
			n = l.op(ir.I32Ctz, x)
		}
		l.set(in.Args[0], l.b.Select(n, l.get(in.Args[0]), l.nonzero(x)))
		l.setFlag(ZF, l.op(ir.I32Eqz, x))
		return nil
	}
}

// zeroCount is TZCNT or LZCNT.
func zeroCount(leading bool) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		x := l.get(in.Args[1])
		var n ir.Value
		switch {
		case leading && w == 16:
			n = l.opImm(ir.I32Sub, l.op(ir.I32Clz, x), 16)
		case leading:
			n = l.op(ir.I32Clz, x)
		case w == 16:
			n = l.op(ir.I32Ctz, l.opImm(ir.I32Or, x, 1<<16))
		default:
			n = l.op(ir.I32Ctz, x)
		}
		l.set(in.Args[0], n)
		l.setFlag(CF, l.op(ir.I32Eqz, x))
		l.setFlag(ZF, l.op(ir.I32Eqz, n))
		return nil
	}
}

func liftPopcnt(l *Lifter, in x86.Inst) error {
	if !l.integer(in.Args[0], in.Args[1]) {
		return l.unsupported("operands")
	}
	x := l.get(in.Args[1])
	l.set(in.Args[0], l.op(ir.I32Popcnt, x))
	l.clearFlags(arith &^ ZF)
	l.setFlag(ZF, l.op(ir.I32Eqz, x))
	return nil
}

// castagnoli is the polynomial of CRC32, bit-reflected.
const castagnoli = 0x82f63b78

// liftCRC32 adds the source to the checksum bit by bit: it is rare, and a table
// would have to lie in guest memory.
func liftCRC32(l *Lifter, in x86.Inst) error {
	dst, ok := in.Args[0].(x86asm.Reg)
	if !ok || !l.integer(dst, in.Args[1]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[1])
	v := l.get(in.Args[1])
	reg, _, _, _ := gpr(dst)
	crc := l.wrap(l.getReg(reg))
	parts := []ir.Value{l.wrap(v)}
	if w == 64 {
		parts = append(parts, l.wrap(l.opImm(ir.I32ShrU, v, 32)))
	}
	for _, part := range parts {
		crc = l.b.Op(ir.I32Xor, crc, part)
		for range min(w, 32) {
			odd := l.b.Op(ir.I32Sub, l.b.I32(0), l.opImm(ir.I32And, crc, 1))
			poly := uint32(castagnoli)
			crc = l.b.Op(ir.I32Xor, l.opImm(ir.I32ShrU, crc, 1), l.opImm(ir.I32And, odd, int64(int32(poly))))
		}
	}
	l.setReg(reg, l.extendU(crc))
	return nil
}

// compareExchangeRows are the compare-and-exchange instructions.
func compareExchangeRows() Table {
	return Table{
		x86asm.CMPXCHG:    {Lift: liftCmpxchg, Writes: arith, Lock: true},
		x86asm.CMPXCHG8B:  {Lift: liftCmpxchg8b, Writes: ZF, Lock: true},
		x86asm.CMPXCHG16B: {Lift: liftCmpxchg16b, Writes: ZF, Lock: true},
	}
}

// liftCmpxchg writes memory whether or not it compares equal: with what was
// there if not. A register that does not compare equal is not written, so that
// it keeps even the upper half that a 32-bit write would clear.
func liftCmpxchg(l *Lifter, in x86.Inst) error {
	if !l.integer(in.Args[0], in.Args[1]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	acc, v := l.accumulator(w), l.get(in.Args[1])
	var old, equal ir.Value
	if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
		base, disp := l.addr(m)
		old = l.b.OpImm(atomicOp(ir.I32AtomicRmwCmpxchg, w), int64(disp), base, acc, v)
		equal = l.op(ir.I32Eq, old, acc)
	} else {
		old = l.get(in.Args[0])
		equal = l.op(ir.I32Eq, old, acc)
		l.exchangeIf(equal, in.Args[0], old, v, w)
	}
	l.setFailed(in, w, old, equal)
	l.subFlags(acc, old, l.op(ir.I32Sub, acc, old), w)
	return nil
}

// exchangeIf writes v to operand a, which holds old, if equal is not zero.
func (l *Lifter) exchangeIf(equal ir.Value, a x86asm.Arg, old, v ir.Value, w int) {
	r, isReg := a.(x86asm.Reg)
	if !isReg || w != 32 {
		l.set(a, l.b.Select(v, old, equal))
		return
	}
	reg, _, _, _ := gpr(r)
	l.setReg(reg, l.b.Select(l.extendU(v), l.getReg(reg), equal))
}

// setFailed loads the accumulator with old unless it compared equal, when it
// keeps even the upper half that a 32-bit write would clear.
func (l *Lifter) setFailed(in x86.Inst, w int, old, equal ir.Value) {
	if in.Args[0] == accumulator(w) {
		return
	}
	rax := l.rax()
	switch w {
	case 64:
		l.setReg(guestabi.RAX, l.b.Select(rax, old, equal))
	case 32:
		l.setReg(guestabi.RAX, l.b.Select(rax, l.extendU(old), equal))
	default:
		l.setGPR(accumulator(w), l.b.Select(l.accumulator(w), old, equal))
	}
}

func liftCmpxchg8b(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operands")
	}
	join := func(hi, lo ir.Reg) ir.Value {
		upper := l.opImm(ir.I32Shl, l.getReg(hi), 32)
		return l.b.Op(ir.I64Or, upper, l.extendU(l.wrap(l.getReg(lo))))
	}
	expected, replacement := join(guestabi.RDX, guestabi.RAX), join(guestabi.RCX, guestabi.RBX)
	base, disp := l.addr(m)
	var old, equal ir.Value
	if in.Lock {
		old = l.b.OpImm(ir.I64AtomicRmwCmpxchg, int64(disp), base, expected, replacement)
		equal = l.b.Op(ir.I64Eq, old, expected)
	} else {
		old = l.load(ir.I64Load, base, disp)
		equal = l.b.Op(ir.I64Eq, old, expected)
		l.store(ir.I64Store, base, disp, l.b.Select(replacement, old, equal))
	}
	rax, rdx := l.rax(), l.getReg(guestabi.RDX)
	l.setReg(guestabi.RAX, l.b.Select(rax, l.extendU(l.wrap(old)), equal))
	l.setReg(guestabi.RDX, l.b.Select(rdx, l.opImm(ir.I32ShrU, old, 32), equal))
	l.setFlag(ZF, equal)
	return nil
}

// liftCmpxchg16b asks the host, LOCK prefix or not: wasm has no atomic
// operation of 128 bits.
func liftCmpxchg16b(l *Lifter, in x86.Inst) error {
	m, ok := in.Args[0].(x86asm.Mem)
	if !ok {
		return l.unsupported("operands")
	}
	base, disp := l.addr(m)
	if disp != 0 {
		base = l.opImm(ir.I32Add, base, int64(disp))
	}
	rax, rdx := l.rax(), l.getReg(guestabi.RDX)
	old := l.b.Helper(guestabi.FuncCAS128, base, rax, rdx, l.getReg(guestabi.RBX), l.getReg(guestabi.RCX))
	l.setReg(guestabi.RAX, old[0])
	l.setReg(guestabi.RDX, old[1])
	equal := l.b.Op(ir.I32And, l.b.Op(ir.I64Eq, old[0], rax), l.b.Op(ir.I64Eq, old[1], rdx))
	l.setFlag(ZF, equal)
	return nil
}
