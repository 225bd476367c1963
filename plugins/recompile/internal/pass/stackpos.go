package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// stackPositions notes with each instruction where the stack pointer stands, so
// that a memory fault can tell it although most writes of rsp within a block
// are dropped later.
func stackPositions(_ *Context, f *ir.Func) {
	var known []ir.StackPos // of values: the stack pointer at a position
	for _, b := range f.Blocks {
		known = resize(known, len(b.Insts))
		epoch, now := 0, ir.StackAt(0, 0)
		begin, pc := now, b.PC // of the guest instruction
		for i := range b.Insts {
			in := &b.Insts[i]
			if in.PC != pc {
				begin, pc = now, in.PC
			}
			in.SP = begin
			known[i] = ir.UnknownStack
			switch in.Op {
			case ir.Get:
				if in.Reg == guestabi.RSP {
					known[i] = now
				}
			case ir.I64Add, ir.I64Sub:
				known[i] = moved(b, in, known)
			case ir.Set:
				if in.Reg != guestabi.RSP {
					break
				}
				to := known[in.Args[0]]
				if _, ok := to.Sub(now); !ok {
					epoch++
					to = ir.StackAt(epoch, 0)
				}
				now, in.SP = to, to
			}
		}
		b.EndSP = now
	}
}

// moved returns the position that an addition or subtraction gives.
func moved(b *ir.Block, in *ir.Inst, known []ir.StackPos) ir.StackPos {
	from, by := known[in.Args[0]], &b.Insts[in.Args[1]]
	if from == ir.UnknownStack || by.Op != ir.I64Const {
		return ir.UnknownStack
	}
	epoch, distance := from.Split()
	if in.Op == ir.I64Sub {
		return ir.StackAt(epoch, distance-by.Imm)
	}
	return ir.StackAt(epoch, distance+by.Imm)
}
