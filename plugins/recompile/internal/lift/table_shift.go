package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// shiftRows are shifts and rotates. They change no flag if the count, modulo 32
// (64 for 64-bit operands), is 0, so each flag is both read and written.
func shiftRows() Table {
	const (
		shift  = arith &^ AF
		rotate = CF | OF
	)
	return Table{
		x86asm.SHL:  {Lift: shiftOp(shiftLeft), Reads: shift, Writes: shift, Undef: AF, UndefForm: undefShift},
		x86asm.SHR:  {Lift: shiftOp(shiftRight), Reads: shift, Writes: shift, Undef: AF, UndefForm: undefShift},
		x86asm.SAR:  {Lift: shiftOp(shiftSigned), Reads: shift, Writes: shift, Undef: AF, UndefForm: undefRotate},
		x86asm.ROL:  {Lift: shiftOp(rotateLeft), Reads: rotate, Writes: rotate, UndefForm: undefRotate},
		x86asm.ROR:  {Lift: shiftOp(rotateRight), Reads: rotate, Writes: rotate, UndefForm: undefRotate},
		x86asm.RCL:  {Lift: carryRotate(true), Reads: rotate, Writes: rotate, UndefForm: undefRotate},
		x86asm.RCR:  {Lift: carryRotate(false), Reads: rotate, Writes: rotate, UndefForm: undefRotate},
		x86asm.SHLD: {Lift: doubleShift(true), Reads: shift, Writes: shift, Undef: AF, UndefForm: undefDouble},
		x86asm.SHRD: {Lift: doubleShift(false), Reads: shift, Writes: shift, Undef: AF, UndefForm: undefDouble},
	}
}

// constCount returns count operand a, modulo what the operand's size asks for,
// or -1 if it is in cl.
func constCount(in x86.Inst, a x86asm.Arg) int {
	n, ok := a.(x86asm.Imm)
	switch {
	case !ok:
		return -1
	case in.ArgSize(0) == 8:
		return int(n & 63)
	}
	return int(n & 31)
}

// undefRotate: OF is defined for a count of 1 only.
func undefRotate(in x86.Inst) Flags {
	if n := constCount(in, in.Args[1]); n == 0 || n == 1 {
		return 0
	}
	return OF
}

// undefShift: CF is undefined too if the count may be the operand's size or
// more, which it cannot be from 32 bits on.
func undefShift(in x86.Inst) Flags {
	undef := undefRotate(in)
	if w := in.ArgSize(0) * 8; w < 32 {
		if n := constCount(in, in.Args[1]); n < 0 || n >= w {
			undef |= CF
		}
	}
	return undef
}

// undefDouble: with a count above 16, 16-bit operands get any result.
func undefDouble(in x86.Inst) Flags {
	n := constCount(in, in.Args[2])
	if n == 0 || n == 1 {
		return 0
	}
	if in.ArgSize(0) == 2 && (n < 0 || n > 16) {
		return arith
	}
	return OF
}

// count is a shift count.
type count struct {
	v       ir.Value // masked, in the type of the operand
	nonzero ir.Value // i32; None if the count is known not to be 0
	known   int      // the count if it is constant, else -1
}

// shiftCount returns the count operand a for an operation of width w.
func (l *Lifter) shiftCount(a x86asm.Arg, w int) count {
	mask := int64(31)
	if w == 64 {
		mask = 63
	}
	if n, ok := a.(x86asm.Imm); ok {
		return count{v: l.constW(w, int64(n)&mask), nonzero: ir.None, known: int(int64(n) & mask)}
	}
	n := l.opImm(ir.I32And, l.wrap(l.getReg(guestabi.RCX)), mask)
	c := count{v: n, nonzero: l.nonzero(n), known: -1}
	if w == 64 {
		c.v = l.extendU(n)
	}
	return c
}

// setCounted writes a flag unless the count is 0.
func (l *Lifter) setCounted(c count, f Flags, v ir.Value) {
	if c.nonzero == ir.None {
		l.setFlag(f, v)
		return
	}
	l.setFlagIf(c.nonzero, f, v)
}

// shiftKind computes a shift: the result, the carry (for counts other than 0)
// and the overflow (as for a count of 1). all says whether PF, ZF and SF follow
// the result, zero whether compute wants x zero-extended.
type shiftKind struct {
	compute func(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value)
	all     bool
	zero    bool
}

var (
	shiftLeft   = shiftKind{liftShl, true, false}
	shiftRight  = shiftKind{liftShr, true, true}
	shiftSigned = shiftKind{liftSar, true, false}
	rotateLeft  = shiftKind{liftRol, false, true}
	rotateRight = shiftKind{liftRor, false, true}
)

func shiftOp(k shiftKind) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		c := l.shiftCount(in.Args[1], w)
		x := l.raw(in.Args[0], w)
		if c.known == 0 {
			l.set(in.Args[0], x) // a 32-bit register loses its upper half all the same
			return nil
		}
		if k.zero {
			x = l.zx(x, w)
		}
		r, carry, overflow := k.compute(l, x, c, w)
		l.set(in.Args[0], r)
		l.setCounted(c, CF, carry)
		l.setCounted(c, OF, overflow)
		if !k.all {
			return nil
		}
		l.countedResult(c, r, w)
		return nil
	}
}

// countedResult defines PF, ZF and SF by r unless the count is 0; AF,
// undefined, is 0.
func (l *Lifter) countedResult(c count, r ir.Value, w int) {
	if c.nonzero == ir.None {
		l.clearFlags(AF)
		l.resultFlags(r, w)
		l.flags = producer{kind: byResult, w: w, r: r}
		return
	}
	if l.wants(PF) {
		l.setCounted(c, PF, l.parity(r))
	}
	if l.wants(ZF) {
		l.setCounted(c, ZF, l.op(ir.I32Eqz, l.zx(r, w)))
	}
	if l.wants(SF) {
		l.setCounted(c, SF, l.bit(r, w-1))
	}
}

// less returns n - c for a count c.
func (l *Lifter) less(n int64, c count) ir.Value {
	if c.known >= 0 {
		return l.constLike(c.v, n-int64(c.known))
	}
	return l.op(ir.I32Sub, l.constLike(c.v, n), c.v)
}

// before returns c - 1.
func (l *Lifter) before(c count) ir.Value {
	if c.known >= 0 {
		return l.constLike(c.v, int64(c.known)-1)
	}
	return l.opImm(ir.I32Sub, c.v, 1)
}

func liftShl(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value) {
	r = l.op(ir.I32Shl, x, c.v)
	carry = l.bit(l.op(ir.I32Shl, x, l.before(c)), w-1)
	return r, carry, l.b.Op(ir.I32Xor, carry, l.bit(r, w-1))
}

func liftShr(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value) {
	r = l.op(ir.I32ShrU, x, c.v)
	carry = l.bit(l.op(ir.I32ShrU, x, l.before(c)), 0)
	return r, carry, l.bit(x, w-1)
}

func liftSar(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value) {
	x = l.sx(x, w)
	r = l.op(ir.I32ShrS, x, c.v)
	carry = l.bit(l.op(ir.I32ShrS, x, l.before(c)), 0)
	return r, carry, l.b.I32(0)
}

func liftRol(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value) {
	if w >= 32 {
		r = l.op(ir.I32Rotl, x, c.v)
	} else {
		n := l.opImm(ir.I32And, c.v, int64(w-1))
		r = l.b.Op(ir.I32Or, l.b.Op(ir.I32Shl, x, n), l.b.Op(ir.I32ShrU, x, l.b.Op(ir.I32Sub, l.b.I32(int32(w)), n)))
	}
	carry = l.bit(r, 0)
	return r, carry, l.b.Op(ir.I32Xor, carry, l.bit(r, w-1))
}

func liftRor(l *Lifter, x ir.Value, c count, w int) (r, carry, overflow ir.Value) {
	if w >= 32 {
		r = l.op(ir.I32Rotr, x, c.v)
	} else {
		n := l.opImm(ir.I32And, c.v, int64(w-1))
		r = l.b.Op(ir.I32Or, l.b.Op(ir.I32ShrU, x, n), l.b.Op(ir.I32Shl, x, l.b.Op(ir.I32Sub, l.b.I32(int32(w)), n)))
	}
	carry = l.bit(r, w-1)
	return r, carry, l.b.Op(ir.I32Xor, carry, l.bit(r, w-2))
}

// carryRotate is RCL or RCR: a rotation of the operand with CF above it.
func carryRotate(left bool) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		c := l.shiftCount(in.Args[1], w)
		x := l.get(in.Args[0])
		if c.known == 0 {
			l.set(in.Args[0], x)
			return nil
		}
		var r, carry ir.Value
		if w == 64 {
			r, carry = l.carryRotate64(x, c, left)
		} else {
			r, carry = l.carryRotateNarrow(x, c, w, left)
		}
		if c.nonzero != ir.None {
			r = l.b.Select(r, x, c.nonzero)
		}
		overflow := l.b.Op(ir.I32Xor, l.bit(r, w-1), l.bit(r, w-2))
		if left {
			overflow = l.b.Op(ir.I32Xor, l.bit(r, w-1), carry)
		}
		l.set(in.Args[0], r)
		l.setCounted(c, CF, carry)
		l.setCounted(c, OF, overflow)
		return nil
	}
}

// carryRotateNarrow rotates the w+1 bits of CF and x within an i64. Below 32
// bits the count is modulo w+1.
func (l *Lifter) carryRotateNarrow(x ir.Value, c count, w int, left bool) (r, carry ir.Value) {
	cf := l.b.Op(ir.I64Shl, l.extendU(l.flag(CF)), l.b.I64(int64(w)))
	v := l.b.Op(ir.I64Or, l.extendU(x), cf)
	n := l.extendU(c.v)
	switch {
	case w < 32 && c.known >= 0:
		n = l.b.I64(int64(c.known % (w + 1)))
	case w < 32:
		n = l.opImm(ir.I32RemU, n, int64(w+1))
	}
	rest := l.b.Op(ir.I64Sub, l.b.I64(int64(w+1)), n)
	if !left {
		n, rest = rest, n
	}
	v = l.b.Op(ir.I64Or, l.b.Op(ir.I64Shl, v, n), l.b.Op(ir.I64ShrU, v, rest))
	return l.wrap(v), l.bit(v, w)
}

// carryRotate64 rotates the 65 bits of CF and x; the count is not 0.
func (l *Lifter) carryRotate64(x ir.Value, c count, left bool) (r, carry ir.Value) {
	shl, shr := ir.I64Shl, ir.I64ShrU
	if !left {
		shl, shr = shr, shl
	}
	rest := l.less(64, c)
	cf := l.extendU(l.flag(CF))
	wrapped := l.b.Op(shr, l.b.Op(shr, x, l.b.I64(1)), rest) // by 65-c, which may be 64
	r = l.b.Op(ir.I64Or, l.b.Op(shl, x, c.v), wrapped)
	if left {
		r = l.b.Op(ir.I64Or, r, l.b.Op(ir.I64Shl, cf, l.before(c)))
		return r, l.bit(l.b.Op(ir.I64ShrU, x, rest), 0)
	}
	r = l.b.Op(ir.I64Or, r, l.b.Op(ir.I64Shl, cf, rest))
	return r, l.bit(l.b.Op(ir.I64ShrU, x, l.before(c)), 0)
}

// doubleShift is SHLD or SHRD.
func doubleShift(left bool) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		c := l.shiftCount(in.Args[2], w)
		x, y := l.get(in.Args[0]), l.get(in.Args[1])
		if c.known == 0 {
			l.set(in.Args[0], x)
			return nil
		}
		shl, shr := ir.I32Shl, ir.I32ShrU
		if !left {
			shl, shr = shr, shl
		}
		r := l.op(ir.I32Or, l.op(shl, x, c.v), l.op(shr, y, l.less(int64(w), c)))
		var carry ir.Value
		if left {
			carry = l.bit(l.op(ir.I32ShrU, x, l.less(int64(w), c)), 0)
		} else {
			carry = l.bit(l.op(ir.I32ShrU, x, l.before(c)), 0)
		}
		if c.nonzero != ir.None {
			r = l.b.Select(r, x, c.nonzero)
		}
		l.set(in.Args[0], r)
		l.setCounted(c, CF, carry)
		l.setCounted(c, OF, l.bit(l.op(ir.I32Xor, x, r), w-1))
		l.countedResult(c, r, w)
		return nil
	}
}
