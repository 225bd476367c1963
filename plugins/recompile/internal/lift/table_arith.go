package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// handler is the type of Row.Lift.
type handler = func(*Lifter, x86.Inst) error

// arithRows are additions, subtractions, comparisons and bitwise operations.
func arithRows() Table {
	const logic = arith &^ AF
	return Table{
		x86asm.ADD:  {Lift: binop(addition), Writes: arith, Lock: true},
		x86asm.SUB:  {Lift: binop(subtraction), Writes: arith, Lock: true},
		x86asm.AND:  {Lift: binop(conjunction), Writes: logic, Undef: AF, Lock: true},
		x86asm.OR:   {Lift: binop(disjunction), Writes: logic, Undef: AF, Lock: true},
		x86asm.XOR:  {Lift: binop(exclusion), Writes: logic, Undef: AF, Lock: true},
		x86asm.CMP:  {Lift: compareOp(subtraction), Writes: arith},
		x86asm.TEST: {Lift: compareOp(conjunction), Writes: logic, Undef: AF},
		x86asm.ADC:  {Lift: carryOp(ir.I32Add, ir.I32AtomicRmwAdd, (*Lifter).adcFlags), Reads: CF, Writes: arith, Lock: true},
		x86asm.SBB:  {Lift: carryOp(ir.I32Sub, ir.I32AtomicRmwSub, (*Lifter).sbbFlags), Reads: CF, Writes: arith, Lock: true},
		x86asm.INC:  {Lift: stepOp(addition, 0), Writes: arith &^ CF, Lock: true},
		x86asm.DEC:  {Lift: stepOp(subtraction, -1), Writes: arith &^ CF, Lock: true},
		x86asm.NEG:  {Lift: liftNeg, Writes: arith, Lock: true},
		x86asm.NOT:  {Lift: liftNot, Lock: true},
		x86asm.XADD: {Lift: liftXadd, Writes: arith, Lock: true},
	}
}

// alu is an operation of two operands: how to compute it, how to do it
// atomically in memory, and its flags.
type alu struct {
	op     ir.Op // of i32
	atomic ir.Op // of 32 bits
	flags  func(l *Lifter, x, y, r ir.Value, w int)
	same   sameKind
	kind   producerKind // of the flags, seen from the result
}

// sameKind says what an operation gives for a register with itself.
type sameKind uint8

const (
	sameNothing sameKind = iota // nothing that is known
	sameOperand                 // the register
	sameZero                    // 0
)

var (
	addition    = alu{ir.I32Add, ir.I32AtomicRmwAdd, (*Lifter).addFlags, sameNothing, byResult}
	subtraction = alu{ir.I32Sub, ir.I32AtomicRmwSub, (*Lifter).subFlags, sameZero, byResult}
	conjunction = alu{ir.I32And, ir.I32AtomicRmwAnd, logicFlags, sameOperand, byLogic}
	disjunction = alu{ir.I32Or, ir.I32AtomicRmwOr, logicFlags, sameOperand, byLogic}
	exclusion   = alu{ir.I32Xor, ir.I32AtomicRmwXor, logicFlags, sameZero, byLogic}
)

func logicFlags(l *Lifter, _, _, r ir.Value, w int) { l.logicFlags(r, w) }

// atomicOp returns the variant of a 32-bit atomic operation for width w.
func atomicOp(op ir.Op, w int) ir.Op {
	switch w { // the order of the operations in package ir
	case 64:
		return op + 1
	case 8:
		return op + 2
	case 16:
		return op + 3
	}
	return op
}

// atomic appends an atomic operation on memory operand m with v and returns
// what was there.
func (l *Lifter) atomic(op ir.Op, m x86asm.Mem, w int, v ir.Value) ir.Value {
	base, disp := l.addr(m)
	return l.b.OpImm(atomicOp(op, w), int64(disp), base, l.zx(v, w))
}

// binop is an operation of two operands that writes the first.
func binop(a alu) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		if l.sameRegister(a, in, w) {
			return nil
		}
		if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
			y := l.getW(in.Args[1], w)
			x := l.atomic(a.atomic, m, w, y)
			a.flags(l, x, y, l.op(a.op, x, y), w)
			return nil
		}
		x, y := l.raw(in.Args[0], w), l.raw(in.Args[1], w)
		r := l.op(a.op, x, y)
		l.set(in.Args[0], r)
		a.flags(l, x, y, r, w)
		l.remember(a.kind, w, in.Args[0], nil)
		return nil
	}
}

// sameRegister lifts an operation on a register and itself if its result is
// known: xor eax, eax and the like.
func (l *Lifter) sameRegister(a alu, in x86.Inst, w int) bool {
	reg, ok := in.Args[0].(x86asm.Reg)
	if !ok || in.Args[1] != in.Args[0] || a.same == sameNothing {
		return false
	}
	if a.same == sameOperand {
		x := l.raw(reg, w)
		l.set(reg, x)
		l.logicFlags(x, w)
		l.remember(byLogic, w, reg, nil)
		return true
	}
	l.set(reg, l.constW(w, 0))
	l.zeroFlags(w)
	return true
}

// zeroFlags defines all flags for a result that is known to be 0.
func (l *Lifter) zeroFlags(w int) {
	l.clearFlags(CF | AF | SF | OF)
	one := l.b.I32(1)
	l.setFlag(PF, one)
	l.setFlag(ZF, one)
	l.flags = producer{kind: byLogic, w: w, r: l.constW(w, 0)}
}

// compareOp sets the flags of an operation and drops its result.
func compareOp(a alu) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		x := l.raw(in.Args[0], w)
		y := x
		if in.Args[0] != in.Args[1] {
			y = l.raw(in.Args[1], w)
		}
		r := x
		if x != y || a.same != sameOperand {
			r = l.op(a.op, x, y)
		}
		a.flags(l, x, y, r, w)
		if a.kind == byLogic {
			if r == x {
				l.remember(byLogic, w, in.Args[0], nil)
			}
			return nil
		}
		l.remember(bySub, w, in.Args[0], in.Args[1])
		return nil
	}
}

// carryOp is ADC or SBB.
func carryOp(op, atomic ir.Op, flags func(l *Lifter, x, y, r ir.Value, w int)) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		y := l.raw(in.Args[1], w)
		c := l.flag(CF)
		if w == 64 {
			c = l.extendU(c)
		}
		if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
			x := l.atomic(atomic, m, w, l.b.Op(addOf(w), y, c))
			flags(l, x, y, l.op(op, l.op(op, x, y), c), w)
			return nil
		}
		x := l.raw(in.Args[0], w)
		r := l.op(op, l.op(op, x, y), c)
		l.set(in.Args[0], r)
		flags(l, x, y, r, w)
		return nil
	}
}

func addOf(w int) ir.Op {
	if w == 64 {
		return ir.I64Add
	}
	return ir.I32Add
}

// adcFlags defines all flags for r = x + y + carry: the carry out of a bit is
// the majority of x, y and not r.
func (l *Lifter) adcFlags(x, y, r ir.Value, w int) {
	if l.wants(CF) {
		notR := l.opImm(ir.I32Xor, r, -1)
		carries := l.op(ir.I32Or, l.op(ir.I32And, x, y), l.op(ir.I32And, l.op(ir.I32Or, x, y), notR))
		l.setFlag(CF, l.bit(carries, w-1))
	}
	l.adjustFlag(x, y, r)
	l.addOverflow(x, y, r, w)
	l.resultFlags(r, w)
	l.flags = producer{kind: byResult, w: w, r: r}
}

// sbbFlags defines all flags for r = x - y - borrow: the borrow out of a bit is
// the majority of not x, y and r.
func (l *Lifter) sbbFlags(x, y, r ir.Value, w int) {
	if l.wants(CF) {
		notX := l.opImm(ir.I32Xor, x, -1)
		borrows := l.op(ir.I32Or, l.op(ir.I32And, notX, y), l.op(ir.I32And, l.op(ir.I32Or, notX, y), r))
		l.setFlag(CF, l.bit(borrows, w-1))
	}
	l.adjustFlag(x, y, r)
	l.subOverflow(x, y, r, w)
	l.resultFlags(r, w)
	l.flags = producer{kind: byResult, w: w, r: r}
}

// stepOp is INC or DEC. It overflows into the sign bit plus delta: to the most
// negative number, or from it to the most positive.
func stepOp(a alu, delta int64) handler {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		one := l.constW(w, 1)
		var x, r ir.Value
		if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
			x = l.atomic(a.atomic, m, w, one)
			r = l.op(a.op, x, one)
		} else {
			x = l.raw(in.Args[0], w)
			r = l.op(a.op, x, one)
			l.set(in.Args[0], r)
		}
		if l.wants(AF) {
			l.setFlag(AF, l.bit(l.op(ir.I32Xor, x, r), 4))
		}
		if l.wants(OF) {
			l.setFlag(OF, l.opImm(ir.I32Eq, l.zx(r, w), int64(1)<<(w-1)+delta))
		}
		l.resultFlags(r, w)
		l.flags = producer{kind: byResult, w: w, r: r}
		l.remember(byResult, w, in.Args[0], nil)
		return nil
	}
}

func liftNeg(l *Lifter, in x86.Inst) error {
	if !l.integer(in.Args[0]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
		l.atomicLoop(m, w, func(x ir.Value) ir.Value { return l.op(ir.I32Sub, l.constW(w, 0), x) }, func(x, r ir.Value) {
			l.subFlags(l.constW(w, 0), x, r, w)
		})
		return nil
	}
	x, zero := l.raw(in.Args[0], w), l.constW(w, 0)
	r := l.op(ir.I32Sub, zero, x)
	l.set(in.Args[0], r)
	l.subFlags(zero, x, r, w)
	return nil
}

// atomicLoop replaces memory operand m by f of it with compare-and-exchange in
// a loop. after defines the flags; it runs in the loop, because values do not
// outlive their block.
func (l *Lifter) atomicLoop(m x86asm.Mem, w int, f func(x ir.Value) ir.Value, after func(x, r ir.Value)) {
	loop, done := l.newBlock(), l.newBlock()
	l.jump(loop)
	l.startBlock(loop)
	base, disp := l.addr(m)
	x := l.load(loadOp(w), base, disp)
	r := f(x)
	seen := l.b.OpImm(atomicOp(ir.I32AtomicRmwCmpxchg, w), int64(disp), base, x, l.zx(r, w))
	after(x, r)
	l.branch(l.op(ir.I32Eq, seen, x), done, loop)
	l.startBlock(done)
}

func liftNot(l *Lifter, in x86.Inst) error {
	if !l.integer(in.Args[0]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	if m, ok := in.Args[0].(x86asm.Mem); ok && in.Lock {
		l.atomic(ir.I32AtomicRmwXor, m, w, l.constW(w, -1))
		return nil
	}
	l.set(in.Args[0], l.opImm(ir.I32Xor, l.raw(in.Args[0], w), -1))
	return nil
}

func liftXadd(l *Lifter, in x86.Inst) error {
	if !l.integer(in.Args[0], in.Args[1]) {
		return l.unsupported("operands")
	}
	w := l.width(in.Args[0])
	y := l.raw(in.Args[1], w)
	m, isMem := in.Args[0].(x86asm.Mem)
	if isMem && in.Lock {
		x := l.atomic(ir.I32AtomicRmwAdd, m, w, y)
		l.set(in.Args[1], x)
		l.addFlags(x, y, l.op(ir.I32Add, x, y), w)
		return nil
	}
	x := l.raw(in.Args[0], w)
	r := l.op(ir.I32Add, x, y)
	if isMem {
		l.set(m, r) // before the register: it may fault
		l.set(in.Args[1], x)
	} else {
		l.set(in.Args[1], x)
		l.set(in.Args[0], r) // last: xadd of a register with itself gives the sum
	}
	l.addFlags(x, y, r, w)
	return nil
}

// rax returns the accumulator, an i64.
func (l *Lifter) rax() ir.Value { return l.getReg(guestabi.RAX) }
