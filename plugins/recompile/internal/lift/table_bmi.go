package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// bmiRows are BMI1, BMI2 and MOVBE. TZCNT and LZCNT are in table_bit.go.
func bmiRows() Table {
	const writes, undef = CF | ZF | SF | OF, AF | PF
	bmi := func(f func(l *Lifter, in x86.Inst)) handler {
		return func(l *Lifter, in x86.Inst) error {
			for _, a := range in.Args {
				if a != nil && !l.integer(a) {
					return l.unsupported("operands")
				}
			}
			f(l, in)
			return nil
		}
	}
	return Table{
		x86asm.ANDN: {Writes: writes, Undef: undef, Lift: bmi(func(l *Lifter, in x86.Inst) {
			y := l.get(in.Args[2])
			r := l.op(ir.I32And, l.opImm(ir.I32Xor, l.get(in.Args[1]), -1), y)
			l.set(in.Args[0], r)
			l.bmiFlags(in, r, ir.None)
		})},
		x86asm.BLSI: {Writes: writes, Undef: undef, Lift: bmi(func(l *Lifter, in x86.Inst) {
			x := l.get(in.Args[1])
			r := l.op(ir.I32And, l.op(ir.I32Sub, l.constLike(x, 0), x), x)
			l.set(in.Args[0], r)
			l.bmiFlags(in, r, l.nonzero(x))
		})},
		x86asm.BLSR: {Writes: writes, Undef: undef, Lift: bmi(func(l *Lifter, in x86.Inst) {
			x := l.get(in.Args[1])
			r := l.op(ir.I32And, l.opImm(ir.I32Sub, x, 1), x)
			l.set(in.Args[0], r)
			l.bmiFlags(in, r, l.op(ir.I32Eqz, x))
		})},
		x86asm.BLSMSK: {Writes: writes, Undef: undef, Lift: bmi(func(l *Lifter, in x86.Inst) {
			x := l.get(in.Args[1])
			r := l.op(ir.I32Xor, l.opImm(ir.I32Sub, x, 1), x)
			l.set(in.Args[0], r)
			l.bmiFlags(in, r, l.op(ir.I32Eqz, x))
		})},
		x86asm.BZHI:  {Writes: writes, Undef: undef, Lift: bmi(liftBZHI)},
		x86asm.BEXTR: {Writes: CF | ZF | OF, Undef: AF | PF | SF, Lift: bmi(liftBEXTR)},
		x86asm.MULX:  {Lift: bmi(liftMULX)},
		x86asm.PDEP:  {Lift: bmi(bitsByMask(guestabi.FuncPDEP))},
		x86asm.PEXT:  {Lift: bmi(bitsByMask(guestabi.FuncPEXT))},
		x86asm.RORX: {Lift: bmi(func(l *Lifter, in x86.Inst) {
			x := l.get(in.Args[1])
			l.set(in.Args[0], l.opImm(ir.I32Rotr, x, int64(imm8(in))&int64(l.width(in.Args[0])-1)))
		})},
		x86asm.SARX:  {Lift: bmi(shiftX(ir.I32ShrS))},
		x86asm.SHLX:  {Lift: bmi(shiftX(ir.I32Shl))},
		x86asm.SHRX:  {Lift: bmi(shiftX(ir.I32ShrU))},
		x86asm.MOVBE: {Lift: bmi(liftMOVBE)},
	}
}

// bmiFlags defines ZF and SF by r, CF as given (None: 0), and clears the rest.
func (l *Lifter) bmiFlags(in x86.Inst, r, carry ir.Value) {
	w := l.width(in.Args[0])
	l.logicFlags(r, w)
	if carry != ir.None {
		l.setFlag(CF, carry)
	}
}

// liftBZHI clears the bits from the one that the low byte of the index names.
func liftBZHI(l *Lifter, in x86.Inst) {
	x := l.get(in.Args[1])
	w := int64(l.width(in.Args[0]))
	n := l.opImm(ir.I32And, l.wrap(l.get(in.Args[2])), 0xff)
	fits := l.opImm(ir.I32LtU, n, w)
	count := n
	if w == 64 {
		count = l.extendU(n)
	}
	mask := l.opImm(ir.I32Xor, l.op(ir.I32Shl, l.constLike(x, -1), count), -1)
	r := l.b.Select(l.op(ir.I32And, x, mask), x, fits)
	l.set(in.Args[0], r)
	l.bmiFlags(in, r, l.not(fits))
}

// liftBEXTR takes the bits from byte 0 of the control on, as many as byte 1 says.
func liftBEXTR(l *Lifter, in x86.Inst) {
	x := l.get(in.Args[1])
	w := int64(l.width(in.Args[0]))
	control := l.wrap(l.get(in.Args[2]))
	start, length := l.opImm(ir.I32And, control, 0xff), l.opImm(ir.I32And, l.opImm(ir.I32ShrU, control, 8), 0xff)
	wide := func(v ir.Value) ir.Value {
		if w == 64 {
			return l.extendU(v)
		}
		return v
	}
	shifted := l.b.Select(l.op(ir.I32ShrU, x, wide(start)), l.constLike(x, 0), l.opImm(ir.I32LtU, start, w))
	mask := l.opImm(ir.I32Xor, l.op(ir.I32Shl, l.constLike(x, -1), wide(length)), -1)
	r := l.b.Select(l.op(ir.I32And, shifted, mask), shifted, l.opImm(ir.I32LtU, length, w))
	l.set(in.Args[0], r)
	l.clearFlags(CF | OF | AF | PF | SF)
	l.setFlag(ZF, l.op(ir.I32Eqz, r))
}

// liftMULX multiplies by edx or rdx. The upper half is written last.
func liftMULX(l *Lifter, in x86.Inst) {
	y := l.get(in.Args[2])
	if l.width(in.Args[0]) == 64 {
		x := l.getReg(guestabi.RDX)
		low, high := l.b.Op(ir.I64Mul, x, y), l.highProduct(x, y, false)
		l.set(in.Args[1], low)
		l.set(in.Args[0], high)
		return
	}
	p := l.b.Op(ir.I64Mul, l.extendU(l.getGPR(x86asm.EDX)), l.extendU(y))
	l.set(in.Args[1], l.wrap(p))
	l.set(in.Args[0], l.wrap(l.opImm(ir.I32ShrU, p, 32)))
}

func bitsByMask(helper string) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		w := l.width(in.Args[0])
		mask := l.wide(l.get(in.Args[2]), w)
		r := l.b.Helper(helper, l.wide(l.get(in.Args[1]), w), mask)[0]
		if w != 64 {
			r = l.wrap(r)
		}
		l.set(in.Args[0], r)
	}
}

// shiftX shifts by the low bits of the last operand, without flags.
func shiftX(op ir.Op) func(*Lifter, x86.Inst) {
	return func(l *Lifter, in x86.Inst) {
		x := l.get(in.Args[1])
		l.set(in.Args[0], l.op(op, x, l.get(in.Args[2]))) // wasm masks the count as x86 does
	}
}

// liftMOVBE moves with the bytes in the other order.
func liftMOVBE(l *Lifter, in x86.Inst) {
	w := l.width(in.Args[0])
	v := l.get(in.Args[1])
	if w == 16 {
		v = l.op(ir.I32Or, l.opImm(ir.I32ShrU, v, 8), l.opImm(ir.I32Shl, v, 8))
	} else {
		v = l.swapBytes(v)
	}
	l.set(in.Args[0], v)
}
