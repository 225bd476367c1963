package lift

import (
	"fmt"
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// UnsupportedError says that the lifter does not know an instruction, or this
// form of it. The lifter answers it with an undefined-instruction fault at PC
// and a line in the Report.
type UnsupportedError struct {
	PC     uint64
	Name   string // mnemonic, or "(bad)" if it could not be decoded
	Bytes  []byte
	Reason string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("lifting %s (% x) at %#x: %s", e.Name, e.Bytes, e.PC, e.Reason)
}

// Lifter appends the meaning of instructions to a function. It knows, for the
// IR block that it is in, which value each register holds and what set the
// flags last; starting another block forgets both.
//
// The methods for handlers:
//
//	l.in                    the instruction
//	l.b                     the builder; registers go through l.getReg, l.setReg instead of b.Get, b.Set
//	l.width(arg)            operand size in bits
//	l.get(arg), l.set       general registers, memory and immediates by operand size
//	l.addr(mem)             guest address: i32 base and displacement
//	l.load, l.store         memory at an address, any IR load or store
//	l.getReg, l.setReg      any register of the guest ABI (xmm, mxcsr, flags by setFlag)
//	l.setFlag, l.clearFlags status flags; l.wants tells whether to compute one
//	l.unsupported(reason)   the error to return for a form that is not known
//
// An instruction must do what can fault (loads, stores) before it changes a
// register, so that a fault finds the state before the instruction.
type Lifter struct {
	b  ir.Builder
	in x86.Inst

	table   Table
	targets map[uint64]ir.BlockID // first address of each guest block
	isBad   func(addr uint64) bool
	known   []ir.BlockID // possible targets of an indirect jump at the end of the guest block

	regs  [guestabi.EndRegs]ir.Value // what each register holds, or None
	lows  [guestabi.NumGPR]part      // what the low part of a register holds
	flags producer
	// origin says by operands what flags says by values; either may be unknown.
	origin     origin
	ea         address    // of the instruction's memory operand
	raised     ir.Value   // whether a part of an instruction of AVX raised #XM, an i32, or None
	exceptions ir.Value   // of its parts, as in MXCSR, or None
	half       half       // of the vectors that a handler of SSE sees in an instruction of AVX
	wraps      []ir.Value // low 32 bits of each i64 value for which they were asked, or None
	wrote      Flags
	read       Flags
	dead       Flags // flags that nothing reads before a later instruction of the block writes them

	preds map[uint64]predecessor // of the guest blocks, by their first addresses
	atEnd map[uint64]origin      // of the flags, at the end of each guest block lifted so far

	deadAfter []Flags // dead for each instruction of the guest block
	ended     bool    // the current block has its terminator

	finish  func(*ir.Block) // Options.Finish
	scratch *Scratch

	isCareful bool // instructions that depend on MXCSR get their careful meaning
	depends   bool // there are such instructions
}

type address struct {
	mem   x86asm.Mem
	base  ir.Value
	disp  int32
	block ir.BlockID // where base is a value; NoBlock: not computed yet
}

// part is what was last written to the low 8 or 16 bits of a register.
type part struct {
	v ir.Value // an i32, zero-extended
	w int      // 0: nothing is known but the whole
}

// startBlock makes b the block that is appended to and forgets what was known.
func (l *Lifter) startBlock(b *ir.Block) {
	if len(b.Insts) > 0 {
		panic(fmt.Sprintf("BUG: the block at %#x is begun twice", b.PC))
	}
	b.Insts = l.scratch.block[:0]
	l.b.Block = b
	for i := range l.regs {
		l.regs[i] = ir.None
	}
	l.lows = [guestabi.NumGPR]part{}
	l.flags, l.origin = producer{}, origin{}
	l.ea.block = ir.NoBlock
	l.wraps = l.wraps[:0]
	l.ended = false
}

// newBlock returns a new block inside of the current instruction.
func (l *Lifter) newBlock() *ir.Block { return l.b.Func.NewBlock(l.b.PC) }

// end gives the current block its terminator.
func (l *Lifter) end(t ir.Term) {
	if l.b.Block.Term.Kind != ir.TermNone {
		panic(fmt.Sprintf("BUG: %s at %#x ends a block twice", l.in.Op, l.in.PC))
	}
	l.b.Block.Term = t
	l.ended = true
	l.scratch.block = l.b.Block.Insts
	if l.finish != nil {
		l.finish(l.b.Block)
	}
	l.b.Block.Insts = slices.Clone(l.b.Block.Insts)
}

// jump ends the current block with a jump to b.
func (l *Lifter) jump(b *ir.Block) { l.end(ir.Term{Kind: ir.TermJump, To: b.ID}) }

// branch ends the current block with a branch on cond.
func (l *Lifter) branch(cond ir.Value, to, otherwise *ir.Block) {
	l.end(ir.Term{Kind: ir.TermBranch, Cond: cond, To: to.ID, Else: otherwise.ID})
}

// faultIf raises fault at the current instruction if cond is not zero, and goes
// on in a new block.
func (l *Lifter) faultIf(cond ir.Value, fault guestabi.Fault) {
	bad, good := l.newBlock(), l.newBlock()
	bad.Term = ir.Term{Kind: ir.TermFault, Fault: fault, PC: uint32(l.in.PC)}
	l.branch(cond, bad, good)
	l.startBlock(good)
}

// getReg returns what register r holds.
func (l *Lifter) getReg(r ir.Reg) ir.Value {
	if l.regs[r] == ir.None {
		l.regs[r] = l.b.Get(r)
	}
	return l.regs[r]
}

// setReg writes register r. Status flags are written by setFlag.
func (l *Lifter) setReg(r ir.Reg, v ir.Value) {
	l.b.Set(r, v)
	l.regs[r] = v
	if r < guestabi.NumGPR {
		l.lows[r] = part{}
		if l.origin.kind != byNothing && l.origin.uses(r) {
			l.origin = origin{}
		}
	}
}

// unsupported returns the error for a form of the instruction that the lifter
// does not know. The handler must not have emitted anything yet.
func (l *Lifter) unsupported(reason string) error {
	return &UnsupportedError{PC: l.in.PC, Name: l.in.Op.String(), Bytes: l.in.Bytes, Reason: reason}
}

// prefix reports whether the instruction has the prefix byte p in effect.
func (l *Lifter) prefix(p x86asm.Prefix) bool {
	for _, q := range l.in.Prefix {
		if q == 0 {
			break
		}
		if q&0xff == p && q&(x86asm.PrefixIgnored|x86asm.PrefixInvalid) == 0 && !q.IsREX() {
			return true
		}
	}
	return false
}

// def returns the instruction that gives v.
func (l *Lifter) def(v ir.Value) *ir.Inst { return &l.b.Block.Insts[v] }

// constant returns the value of v if it is an integer constant.
func (l *Lifter) constant(v ir.Value) (int64, bool) {
	in := l.def(v)
	return in.Imm, in.Op == ir.I32Const || in.Op == ir.I64Const
}
