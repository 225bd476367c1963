package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// muldivRows are multiplications and divisions.
func muldivRows() Table {
	const rest = PF | AF | ZF | SF
	return Table{
		x86asm.MUL:  {Lift: func(l *Lifter, in x86.Inst) error { return l.widening(in, false) }, Writes: CF | OF, Undef: rest},
		x86asm.IMUL: {Lift: liftImul, Writes: CF | OF, Undef: rest},
		x86asm.DIV:  {Lift: func(l *Lifter, in x86.Inst) error { return l.division(in, false) }, Undef: arith},
		x86asm.IDIV: {Lift: func(l *Lifter, in x86.Inst) error { return l.division(in, true) }, Undef: arith},
	}
}

// mulFlags sets CF and OF to whether the product did not fit.
func (l *Lifter) mulFlags(overflow ir.Value) {
	l.clearFlags(PF | AF | ZF | SF)
	l.setFlag(CF, overflow)
	l.setFlag(OF, overflow)
}

// widening is MUL or one-operand IMUL: a product of twice the operand's size.
func (l *Lifter) widening(in x86.Inst, signed bool) error {
	if !l.integer(in.Args[0]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	y, x := l.get(in.Args[0]), l.accumulator(w)
	if w == 64 {
		lo, hi := l.b.Op(ir.I64Mul, x, y), l.highProduct(x, y, signed)
		l.setReg(guestabi.RAX, lo)
		l.setReg(guestabi.RDX, hi)
		if signed {
			l.mulFlags(l.b.Op(ir.I64Ne, hi, l.opImm(ir.I32ShrS, lo, 63)))
		} else {
			l.mulFlags(l.opImm(ir.I32Ne, hi, 0))
		}
		return nil
	}
	var p, overflow ir.Value
	if signed {
		p = l.b.Op(ir.I64Mul, l.wideS(x, w), l.wideS(y, w))
		overflow = l.b.Op(ir.I64Ne, p, l.wideS(l.wrap(p), w))
	} else {
		p = l.b.Op(ir.I64Mul, l.wide(x, w), l.wide(y, w))
		overflow = l.opImm(ir.I32Ne, l.opImm(ir.I32ShrU, p, int64(w)), 0)
	}
	l.setPair(w, l.wrap(p), l.wrap(l.opImm(ir.I32ShrU, p, int64(w))))
	l.mulFlags(overflow)
	return nil
}

// setPair writes low and high (i32) to dx:ax or edx:eax, or ah:al for width 8.
func (l *Lifter) setPair(w int, low, high ir.Value) {
	switch w {
	case 8:
		l.setGPR(x86asm.AX, l.b.Op(ir.I32Or, l.zx(low, 8), l.opImm(ir.I32Shl, high, 8)))
	case 16:
		l.setGPR(x86asm.AX, low)
		l.setGPR(x86asm.DX, high)
	case 32:
		l.setGPR(x86asm.EAX, low)
		l.setGPR(x86asm.EDX, high)
	}
}

// accumulator returns al, ax, eax or rax.
func (l *Lifter) accumulator(w int) ir.Value { return l.getGPR(accumulator(w)) }

func accumulator(w int) x86asm.Reg {
	switch w {
	case 8:
		return x86asm.AL
	case 16:
		return x86asm.AX
	case 32:
		return x86asm.EAX
	}
	return x86asm.RAX
}

// highProduct returns the upper 64 bits of x * y from four partial products.
func (l *Lifter) highProduct(x, y ir.Value, signed bool) ir.Value {
	low := func(v ir.Value) ir.Value { return l.opImm(ir.I32And, v, 1<<32-1) }
	high := func(v ir.Value) ir.Value { return l.opImm(ir.I32ShrU, v, 32) }
	mul := func(a, b ir.Value) ir.Value { return l.b.Op(ir.I64Mul, a, b) }
	add := func(a, b ir.Value) ir.Value { return l.b.Op(ir.I64Add, a, b) }
	x0, x1, y0, y1 := low(x), high(x), low(y), high(y)
	p01 := mul(x0, y1)
	mid := add(add(high(mul(x0, y0)), low(p01)), mul(x1, y0)) // at most 2^64-1
	hi := add(add(mul(x1, y1), high(p01)), high(mid))
	if !signed {
		return hi
	}
	// x signed is x unsigned less 2^64 if it is negative; the same for y.
	sign := func(v ir.Value) ir.Value { return l.opImm(ir.I32ShrS, v, 63) }
	hi = l.b.Op(ir.I64Sub, hi, l.b.Op(ir.I64And, sign(x), y))
	return l.b.Op(ir.I64Sub, hi, l.b.Op(ir.I64And, sign(y), x))
}

func liftImul(l *Lifter, in x86.Inst) error {
	if in.Args[1] == nil {
		return l.widening(in, true)
	}
	dst, a, b := in.Args[0], in.Args[0], in.Args[1]
	if in.Args[2] != nil {
		a, b = in.Args[1], in.Args[2]
	}
	if !l.integer(dst, a, b) {
		return l.unsupported("operands")
	}
	w := l.width(dst)
	x, y := l.getW(a, w), l.getW(b, w)
	r := l.op(ir.I32Mul, x, y)
	l.set(dst, r)
	if w == 64 {
		hi := l.highProduct(x, y, true)
		l.mulFlags(l.b.Op(ir.I64Ne, hi, l.opImm(ir.I32ShrS, r, 63)))
		return nil
	}
	p := l.b.Op(ir.I64Mul, l.wideS(x, w), l.wideS(y, w))
	l.mulFlags(l.b.Op(ir.I64Ne, p, l.wideS(r, w)))
	return nil
}

// dividend says what is known of the upper half of a dividend.
type dividend uint8

const (
	dividendAny  dividend = iota
	dividendZero          // the upper half is 0
	dividendSign          // the upper half is the sign of the lower
)

// dividendOf looks at what this block put into rdx (or edx): xor edx, edx, or
// cqo, or cdq.
func (l *Lifter) dividendOf(w int) dividend {
	hi := l.getReg(guestabi.RDX)
	lo := l.getReg(guestabi.RAX)
	op := ir.I64ShrS
	if w == 32 {
		hi, lo, op = l.wrap(hi), l.wrap(lo), ir.I32ShrS
	}
	if c, ok := l.constant(hi); ok && c == 0 {
		return dividendZero
	}
	if in := l.def(hi); in.Op == op && in.Args[0] == lo {
		if c, ok := l.constant(in.Args[1]); ok && c == int64(w-1) {
			return dividendSign
		}
	}
	return dividendAny
}

// division is DIV or IDIV. The checks come first and end the block, so what
// they have read is read again.
func (l *Lifter) division(in x86.Inst, signed bool) error {
	src := in.Args[0]
	if !l.integer(src) {
		return l.unsupported("operands")
	}
	w := l.width(src)
	known := dividendAny
	if w >= 32 {
		known = l.dividendOf(w)
	}
	switch {
	case !signed && known == dividendZero, signed && known == dividendSign:
		l.divideSingle(src, w, signed)
	case w == 64:
		l.divide128(src, signed)
	case signed:
		l.divideSigned(src, w)
	default:
		l.divideUnsigned(src, w)
	}
	return nil
}

// divideSingle divides eax or rax alone.
func (l *Lifter) divideSingle(src x86asm.Arg, w int, signed bool) {
	l.faultIf(l.badSingle(src, w, signed), guestabi.FaultDivide)
	l.quotient(src, w, signed)
}

// badSingle returns whether the division of eax or rax alone by src faults.
func (l *Lifter) badSingle(src x86asm.Arg, w int, signed bool) ir.Value {
	y := l.get(src)
	bad := l.op(ir.I32Eqz, y)
	if signed {
		least := l.opImm(ir.I32Eq, l.accumulator(w), -1<<(w-1))
		bad = l.b.Op(ir.I32Or, bad, l.b.Op(ir.I32And, least, l.opImm(ir.I32Eq, y, -1)))
	}
	return bad
}

func (l *Lifter) quotient(src x86asm.Arg, w int, signed bool) {
	div, rem := ir.I32DivU, ir.I32RemU
	if signed {
		div, rem = ir.I32DivS, ir.I32RemS
	}
	x, y := l.accumulator(w), l.get(src)
	q, r := l.op(div, x, y), l.op(rem, x, y)
	if w == 64 {
		l.setReg(guestabi.RAX, q)
		l.setReg(guestabi.RDX, r)
		return
	}
	l.setPair(w, q, r)
}

// pair returns the dividend of an instruction of up to 32 bits as an i64,
// zero-extended or sign-extended.
func (l *Lifter) pair(w int, signed bool) ir.Value {
	if w == 8 {
		if signed {
			return l.wideS(l.getGPR(x86asm.AX), 16)
		}
		return l.wide(l.getGPR(x86asm.AX), 16)
	}
	hi, lo := l.getGPR(x86asm.DX), l.getGPR(x86asm.AX)
	if w == 32 {
		hi, lo = l.getGPR(x86asm.EDX), l.getGPR(x86asm.EAX)
	}
	hi64 := l.wide(hi, w)
	if signed {
		hi64 = l.wideS(hi, w)
	}
	return l.b.Op(ir.I64Or, l.opImm(ir.I32Shl, hi64, int64(w)), l.wide(lo, w))
}

// divideUnsigned divides pairs of up to 32 bits: the quotient does not fit, or
// the divisor is 0, exactly if the upper half is not below the divisor.
func (l *Lifter) divideUnsigned(src x86asm.Arg, w int) {
	upper := l.opImm(ir.I32ShrU, l.pair(w, false), int64(w))
	l.faultIf(l.b.Op(ir.I64GeU, upper, l.wide(l.get(src), w)), guestabi.FaultDivide)
	x, y := l.pair(w, false), l.wide(l.get(src), w)
	l.setPair(w, l.wrap(l.b.Op(ir.I64DivU, x, y)), l.wrap(l.b.Op(ir.I64RemU, x, y)))
}

// divideSigned divides pairs of up to 32 bits. With magnitudes |x| and |y|, a
// quotient that is not negative must be below 2^(w-1), so |x| < |y| << (w-1);
// a negative one may be 2^(w-1), so |x| < |y| << (w-1) + |y|. Both hold for no
// x if y is 0.
func (l *Lifter) divideSigned(src x86asm.Arg, w int) {
	sign := func(v ir.Value) ir.Value { return l.opImm(ir.I32ShrS, v, 63) }
	abs := func(v ir.Value) ir.Value { return l.b.Op(ir.I64Sub, l.b.Op(ir.I64Xor, v, sign(v)), sign(v)) }
	x, y := l.pair(w, true), l.wideS(l.get(src), w)
	ay := abs(y)
	limit := l.b.Op(ir.I64Add, l.opImm(ir.I32Shl, ay, int64(w-1)), l.b.Op(ir.I64And, ay, sign(l.b.Op(ir.I64Xor, x, y))))
	l.faultIf(l.b.Op(ir.I64GeU, abs(x), limit), guestabi.FaultDivide)
	x, y = l.pair(w, true), l.wideS(l.get(src), w)
	l.setPair(w, l.wrap(l.b.Op(ir.I64DivS, x, y)), l.wrap(l.b.Op(ir.I64RemS, x, y)))
}

// divide128 divides rdx:rax: by one i64 division if rdx holds nothing but the
// extension of rax, else by the host.
func (l *Lifter) divide128(src x86asm.Arg, signed bool) {
	simple, hard, done := l.newBlock(), l.newBlock(), l.newBlock()
	hi := l.getReg(guestabi.RDX)
	if signed {
		l.branch(l.b.Op(ir.I64Eq, hi, l.opImm(ir.I32ShrS, l.rax(), 63)), simple, hard)
	} else {
		l.branch(l.opImm(ir.I32Eq, hi, 0), simple, hard)
	}
	l.startBlock(simple)
	l.divideSingle(src, 64, signed)
	l.jump(done)
	l.startBlock(hard)
	l.divideByHost(src, signed, done)
	l.startBlock(done)
}

func (l *Lifter) divideByHost(src x86asm.Arg, signed bool, done *ir.Block) {
	if !signed {
		l.faultIf(l.b.Op(ir.I64GeU, l.getReg(guestabi.RDX), l.get(src)), guestabi.FaultDivide)
		res := l.b.Helper(guestabi.FuncDivU128, l.getReg(guestabi.RDX), l.rax(), l.get(src))
		l.setReg(guestabi.RAX, res[0])
		l.setReg(guestabi.RDX, res[1])
		l.jump(done)
		return
	}
	lo, hi := l.rax(), l.getReg(guestabi.RDX)
	res := l.b.Helper(guestabi.FuncDivS128, hi, lo, l.get(src))
	// The results do not outlive the block: write them, or what was there.
	l.setReg(guestabi.RAX, l.b.Select(lo, res[0], res[2]))
	l.setReg(guestabi.RDX, l.b.Select(hi, res[1], res[2]))
	bad := l.newBlock()
	bad.Term = ir.Term{Kind: ir.TermFault, Fault: guestabi.FaultDivide, PC: uint32(l.in.PC)}
	l.branch(res[2], bad, done)
}
