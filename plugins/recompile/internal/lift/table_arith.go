package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/x86"
)

// arithRows are additions, subtractions, comparisons and bitwise operations.
func arithRows() Table {
	return Table{
		x86asm.ADD: {Lift: binop(ir.I32Add, (*Lifter).addFlags), Writes: arith},
		x86asm.SUB: {Lift: binop(ir.I32Sub, (*Lifter).subFlags), Writes: arith},
	}
}

// binop is an operation of two operands that writes the first.
func binop(op ir.Op, flags func(l *Lifter, x, y, r ir.Value, w int)) func(*Lifter, x86.Inst) error {
	return func(l *Lifter, in x86.Inst) error {
		if !l.integer(in.Args[0], in.Args[1]) {
			return l.unsupported("operands")
		}
		w := l.width(in.Args[0])
		x, y := l.get(in.Args[0]), l.getW(in.Args[1], w)
		r := l.op(op, x, y)
		l.set(in.Args[0], r)
		flags(l, x, y, r, w)
		return nil
	}
}
