package lift

import (
	"fmt"
	"math/bits"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// reg returns the register of f, a single flag.
func (f Flags) reg() ir.Reg { return guestabi.CF + ir.Reg(bits.TrailingZeros8(uint8(f))) }

// String lists the flags of f.
func (f Flags) String() string {
	s := ""
	for i, name := range [...]string{"CF", "PF", "AF", "ZF", "SF", "OF"} {
		if f>>i&1 == 1 {
			if s != "" {
				s += " "
			}
			s += name
		}
	}
	return s
}

// wants reports whether the instruction's value of flag f may be read: whether
// no later instruction of the guest block writes f before one reads it. Handlers
// of common instructions ask before they compute a flag.
func (l *Lifter) wants(f Flags) bool {
	l.wrote |= f
	l.origin = origin{}
	return l.dead&f == 0
}

// setFlag writes one status flag: v is an i32, 0 or 1.
func (l *Lifter) setFlag(f Flags, v ir.Value) {
	l.flags = producer{}
	if l.wants(f) {
		l.setReg(f.reg(), v)
	}
}

// clearFlags sets each flag of f to 0.
func (l *Lifter) clearFlags(f Flags) {
	l.wrote |= f
	l.origin = origin{}
	if f &^= l.dead; f == 0 {
		l.flags = producer{}
		return
	}
	zero := l.b.I32(0)
	for rest := f; rest != 0; rest &= rest - 1 {
		l.setFlag(rest&-rest, zero)
	}
}

// flag returns one status flag as an i32, 0 or 1.
func (l *Lifter) flag(f Flags) ir.Value {
	l.read |= f
	return l.getReg(f.reg())
}

// setFlagIf writes one status flag if cond is not zero.
func (l *Lifter) setFlagIf(cond ir.Value, f Flags, v ir.Value) {
	l.flags = producer{}
	if l.wants(f) {
		l.setFlag(f, l.b.Select(v, l.flag(f), cond))
	}
}

// producerKind says how the flags were computed.
type producerKind uint8

const (
	byNothing producerKind = iota // only the flag registers know
	bySub                         // of x - y
	byResult                      // ZF and SF of r; the others only in registers
	byLogic                       // ZF and SF of r; CF and OF are 0
	byFloat                       // ZF, PF and CF of comparing the floats x and y
)

// producer remembers what set the flags last in this block, so that a
// condition becomes a comparison of the operands.
type producer struct {
	kind    producerKind
	w       int
	x, y, r ir.Value // with any upper bits
}

// origin remembers what set the flags last by operands instead of values, so
// that a block with one predecessor inherits it. The registers among them still
// hold what they held then.
type origin struct {
	kind producerKind
	w    int
	x, y x86asm.Arg // bySub: of x - y; else x is the result
}

// remember notes the origin of the flags that have just been set, if its
// operands (y may be nil) are registers and immediates.
func (l *Lifter) remember(kind producerKind, w int, x, y x86asm.Arg) {
	for _, a := range [...]x86asm.Arg{x, y} {
		if _, ok := a.(x86asm.Mem); ok {
			return
		}
	}
	l.origin = origin{kind: kind, w: w, x: x, y: y}
}

// uses reports whether o depends on general register r.
func (o origin) uses(r ir.Reg) bool {
	for _, a := range [...]x86asm.Arg{o.x, o.y} {
		if a, ok := a.(x86asm.Reg); ok {
			if reg, _, _, _ := gpr(a); reg == r {
				return true
			}
		}
	}
	return false
}

// revive makes the values of this block of the origin of the flags.
func (l *Lifter) revive() producer {
	o := l.origin
	p := producer{kind: o.kind, w: o.w, r: ir.None}
	switch o.kind {
	case bySub:
		p.x, p.y = l.raw(o.x, o.w), l.raw(o.y, o.w)
	case byResult, byLogic:
		p.r = l.raw(o.x, o.w)
	}
	return p
}

// resultFlags defines PF, ZF and SF by the result r of width w.
func (l *Lifter) resultFlags(r ir.Value, w int) {
	if l.wants(PF) {
		l.setFlag(PF, l.parity(r))
	}
	if l.wants(ZF) {
		l.setFlag(ZF, l.op(ir.I32Eqz, l.zx(r, w)))
	}
	if l.wants(SF) {
		l.setFlag(SF, l.bit(r, w-1))
	}
}

// parity returns 1 if the low byte of v has an even number of ones.
func (l *Lifter) parity(v ir.Value) ir.Value {
	ones := l.b.Op(ir.I32Popcnt, l.opImm(ir.I32And, l.wrap(v), 0xff))
	return l.not(l.opImm(ir.I32And, ones, 1))
}

// adjustFlag defines AF for an addition or subtraction with result r.
func (l *Lifter) adjustFlag(x, y, r ir.Value) {
	if l.wants(AF) {
		l.setFlag(AF, l.bit(l.op(ir.I32Xor, l.op(ir.I32Xor, x, y), r), 4))
	}
}

// addFlags defines all flags for r = x + y. Like the other operands of flag
// functions, x, y and r may have any bits above the width w.
func (l *Lifter) addFlags(x, y, r ir.Value, w int) {
	if l.wants(CF) {
		l.setFlag(CF, l.op(ir.I32LtU, l.zx(r, w), l.zx(x, w)))
	}
	l.adjustFlag(x, y, r)
	l.addOverflow(x, y, r, w)
	l.resultFlags(r, w)
	l.flags = producer{kind: byResult, w: w, r: r}
}

// addOverflow defines OF: x and y have one sign, r the other.
func (l *Lifter) addOverflow(x, y, r ir.Value, w int) {
	if l.wants(OF) {
		l.setFlag(OF, l.bit(l.op(ir.I32And, l.op(ir.I32Xor, x, r), l.op(ir.I32Xor, y, r)), w-1))
	}
}

// subFlags defines all flags for r = x - y.
func (l *Lifter) subFlags(x, y, r ir.Value, w int) {
	if l.wants(CF) {
		l.setFlag(CF, l.op(ir.I32LtU, l.zx(x, w), l.zx(y, w)))
	}
	l.adjustFlag(x, y, r)
	l.subOverflow(x, y, r, w)
	if l.wants(PF) {
		l.setFlag(PF, l.parity(r))
	}
	if l.wants(ZF) {
		l.setFlag(ZF, l.op(ir.I32Eq, l.zx(x, w), l.zx(y, w)))
	}
	if l.wants(SF) {
		l.setFlag(SF, l.bit(r, w-1))
	}
	l.flags = producer{kind: bySub, w: w, x: x, y: y, r: r}
}

// subOverflow defines OF: x and y differ in sign, and r has that of y.
func (l *Lifter) subOverflow(x, y, r ir.Value, w int) {
	if l.wants(OF) {
		l.setFlag(OF, l.bit(l.op(ir.I32And, l.op(ir.I32Xor, x, y), l.op(ir.I32Xor, x, r)), w-1))
	}
}

// logicFlags defines all flags for the bitwise result r; AF, undefined, is 0.
func (l *Lifter) logicFlags(r ir.Value, w int) {
	l.clearFlags(CF | AF | OF)
	l.resultFlags(r, w)
	l.flags = producer{kind: byLogic, w: w, r: r}
}

// condition is the condition code of Jcc, SETcc and CMOVcc, as encoded.
type condition uint8

// The condition codes; each odd one is the negation of the one before.
const (
	condO condition = iota
	condNO
	condB
	condAE
	condE
	condNE
	condBE
	condA
	condS
	condNS
	condP
	condNP
	condL
	condGE
	condLE
	condG
)

// reads returns the flags that c looks at.
func (c condition) reads() Flags {
	return [...]Flags{OF, CF, ZF, CF | ZF, SF, PF, SF | OF, ZF | SF | OF}[c>>1]
}

// cond returns 1 if c holds, else 0.
func (l *Lifter) cond(c condition) ir.Value {
	if v := l.compare(c); v != ir.None {
		return v
	}
	var v ir.Value
	switch c &^ 1 {
	case condO:
		v = l.flag(OF)
	case condB:
		v = l.flag(CF)
	case condE:
		v = l.flag(ZF)
	case condBE:
		v = l.b.Op(ir.I32Or, l.flag(CF), l.flag(ZF))
	case condS:
		v = l.flag(SF)
	case condP:
		v = l.flag(PF)
	case condL:
		v = l.b.Op(ir.I32Ne, l.flag(SF), l.flag(OF))
	case condLE:
		v = l.b.Op(ir.I32Or, l.flag(ZF), l.b.Op(ir.I32Ne, l.flag(SF), l.flag(OF)))
	default:
		panic(fmt.Sprintf("BUG: condition %d", c))
	}
	if c&1 == 1 {
		v = l.not(v)
	}
	return v
}

// compare returns condition c as a comparison of what set the flags last, or
// None if that is not known or no better than the flag registers.
func (l *Lifter) compare(c condition) ir.Value {
	if l.flags.kind == byNothing {
		l.flags = l.revive()
	}
	p := l.flags
	switch p.kind {
	case bySub:
		return l.compareSub(c, p)
	case byFloat:
		return l.compareFloat(c, p)
	case byResult, byLogic:
		switch c {
		case condE, condNE, condS, condNS:
			return l.compareZero(c, p)
		}
		if p.kind == byLogic {
			return l.compareLogic(c, p)
		}
	}
	return ir.None
}

func (l *Lifter) compareSub(c condition, p producer) ir.Value {
	ops := [...]ir.Op{
		condB: ir.I32LtU, condAE: ir.I32GeU, condE: ir.I32Eq, condNE: ir.I32Ne, condBE: ir.I32LeU, condA: ir.I32GtU,
		condL: ir.I32LtS, condGE: ir.I32GeS, condLE: ir.I32LeS, condG: ir.I32GtS,
	}
	switch c {
	case condS, condNS:
		return l.compareZero(c, p)
	case condL, condGE, condLE, condG:
		return l.op(ops[c], l.sx(p.x, p.w), l.sx(p.y, p.w))
	}
	if ops[c] == ir.Invalid {
		return ir.None
	}
	return l.op(ops[c], l.zx(p.x, p.w), l.zx(p.y, p.w))
}

// compareZero tests the result for zero or its sign.
func (l *Lifter) compareZero(c condition, p producer) ir.Value {
	if p.r == ir.None {
		p.r = l.op(ir.I32Sub, p.x, p.y)
	}
	switch c {
	case condE:
		return l.op(ir.I32Eqz, l.zx(p.r, p.w))
	case condNE:
		return l.opImm(ir.I32Ne, l.zx(p.r, p.w), 0)
	case condS:
		return l.opImm(ir.I32LtS, l.sx(p.r, p.w), 0)
	case condNS:
		return l.opImm(ir.I32GeS, l.sx(p.r, p.w), 0)
	}
	panic("BUG: condition is not of the result alone")
}

// compareLogic uses that CF and OF are 0.
func (l *Lifter) compareLogic(c condition, p producer) ir.Value {
	switch c {
	case condO, condB:
		return l.b.I32(0)
	case condNO, condAE:
		return l.b.I32(1)
	case condBE:
		return l.compareZero(condE, p)
	case condA:
		return l.compareZero(condNE, p)
	case condL:
		return l.compareZero(condS, p)
	case condGE:
		return l.compareZero(condNS, p)
	case condLE:
		return l.opImm(ir.I32LeS, l.sx(p.r, p.w), 0)
	case condG:
		return l.opImm(ir.I32GtS, l.sx(p.r, p.w), 0)
	}
	return ir.None
}
