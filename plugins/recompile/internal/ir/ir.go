// Package ir is the recompiler's intermediate representation: a guest function
// as a graph of basic blocks, each a list of instructions over typed values.
//
// Values are local to their block; what lives longer is in guest registers
// ([Get], [Set]), which become wasm globals or locals when the function is
// lowered. Numeric operations mean what the wasm instruction of the same name
// means, so that lowering is a walk over one table and the interpreter is the
// reference.
//
// Addresses of loads and stores are i32 guest addresses: the low 32 bits of the
// sum that x86 computes, less the displacement, which is the instruction's Imm.
package ir

import (
	"fmt"
	"math/bits"

	"megabinary.dev/sdk/guestabi"
)

// Type is the type of a value: a wasm value type, or Void or Any in tables.
type Type = guestabi.Type

// The types.
const (
	Void Type = 0
	Any  Type = 1
	I32       = guestabi.I32
	I64       = guestabi.I64
	F32       = guestabi.F32
	F64       = guestabi.F64
	V128      = guestabi.V128
)

// Reg is a guest register.
type Reg = guestabi.Reg

// Value names the result of instruction number Value of the same block.
type Value int32

// None is the absence of a value.
const None Value = -1

// BlockID is an index into Func.Blocks.
type BlockID int32

// NoBlock is the absence of a block.
const NoBlock BlockID = -1

// Inst is one instruction. Which fields count is in the row of its Op. It holds
// no pointers: the garbage collector need not look at instructions, which are
// most of what is allocated.
type Inst struct {
	Op   Op
	Type Type // type of the result, Void if none
	Reg  Reg  // Op Helper: see SetHelper
	Args [3]Value
	Imm  int64
	Imm2 int64
	PC   uint32 // link-time address of the guest instruction
	SP   StackPos
}

// MaxHelperArgs is how many arguments an Op Helper has room for.
const MaxHelperArgs = 7

// SetHelper makes in call the function called name, see guestabi.HelperFunc,
// with these arguments. It reports whether there is such a function that takes
// so many. (Arguments beyond the third are packed into the immediates.)
func (in *Inst) SetHelper(name string, args []Value) bool {
	n, ok := guestabi.HelperNumber(name)
	if !ok || len(args) > MaxHelperArgs || len(args) != len(guestabi.HelperNumbered(n).Params) {
		return false
	}
	in.Reg, in.Imm, in.Imm2 = Reg(n), 0, 0
	for i, a := range args {
		in.setHelperArg(i, a)
	}
	return true
}

// Helper returns the function that an Op Helper calls.
func (in *Inst) Helper() *guestabi.Func { return guestabi.HelperNumbered(int(in.Reg)) }

// HelperArgs returns the number of arguments of an Op Helper.
func (in *Inst) HelperArgs() int { return len(in.Helper().Params) }

// HelperArg returns argument number i of an Op Helper.
func (in *Inst) HelperArg(i int) Value {
	switch {
	case i < 3:
		return in.Args[i]
	case i < 5:
		return Value(in.Imm >> (32 * (i - 3)))
	}
	return Value(in.Imm2 >> (32 * (i - 5)))
}

func (in *Inst) setHelperArg(i int, v Value) {
	put := func(to *int64, shift int) { *to = *to&^(0xffff_ffff<<shift) | int64(uint32(v))<<shift }
	switch {
	case i < 3:
		in.Args[i] = v
	case i < 5:
		put(&in.Imm, 32*(i-3))
	default:
		put(&in.Imm2, 32*(i-5))
	}
}

// MapHelperArgs replaces each argument of an Op Helper by what do makes of it.
func (in *Inst) MapHelperArgs(do func(Value) Value) {
	for i := range in.HelperArgs() {
		in.setHelperArg(i, do(in.HelperArg(i)))
	}
}

// Block is a basic block.
type Block struct {
	ID BlockID
	PC uint32 // link-time address of the guest code; blocks inside of one guest instruction share it
	// Entry marks a block that the dispatcher may enter at PC: the function's
	// own start, a return site, the instruction after a syscall, an
	// address-taken block. All guest state is in registers there. The pass
	// that places safepoints marks the loop headers.
	Entry bool
	// Safepoint asks for the fuel check at the block's start; implies Entry.
	Safepoint bool
	// Copy marks a block that the node splitter has copied: its PC is entered
	// at the original.
	Copy bool
	// Preheader marks the block that the promotion of registers has put before
	// a loop: whoever enters the loop, be it by its PC, comes through it.
	Preheader bool
	// Promoted are the registers that live in wasm locals inside of the block,
	// and Dirty those of them whose globals may be out of date. Only the
	// promotion pass sets them; a block whose successor differs in them ends
	// with TermJump, where the lowering loads and stores what changes.
	Promoted, Dirty RegSet
	Insts           []Inst
	Term            Term
	// EndSP is where the stack pointer stands at the block's end.
	EndSP StackPos
}

// StackPos is where the guest's stack pointer stands: of a Set of rsp, after
// it; else when the guest instruction begins. It is the number of times that
// the block has set rsp to something else than a known distance from what it
// was (upper 8 bits), and the distance since (lower 24 bits, signed), or
// UnknownStack. The pass stackpos computes it, and those that drop writes of
// rsp within a block rely on it: see guestabi.CodeMap.
type StackPos int32

// UnknownStack is the stack position that nothing is known of.
const UnknownStack StackPos = -1 << 31

const stackBits = 24

// StackAt returns a position, UnknownStack if it cannot be represented.
func StackAt(epoch int, distance int64) StackPos {
	if epoch < 0 || epoch > 100 || distance < -1<<(stackBits-1) || distance >= 1<<(stackBits-1) {
		return UnknownStack
	}
	return StackPos(epoch)<<stackBits | StackPos(distance)&(1<<stackBits-1)
}

// Split returns the two parts of a position that is known.
func (p StackPos) Split() (epoch int, distance int64) {
	return int(p >> stackBits), int64(int32(p) << (32 - stackBits) >> (32 - stackBits))
}

// Sub returns the distance from q to p, if it is known.
func (p StackPos) Sub(q StackPos) (int32, bool) {
	if p == UnknownStack || q == UnknownStack || p>>stackBits != q>>stackBits {
		return 0, false
	}
	_, a := p.Split()
	_, b := q.Split()
	return int32(a - b), true
}

// After returns p, a position in a block that was appended to one that ended at
// end, as a position in the longer block.
func (p StackPos) After(end StackPos) StackPos {
	if p == UnknownStack || end == UnknownStack {
		return UnknownStack
	}
	epoch, distance := p.Split()
	at, moved := end.Split()
	if epoch == 0 {
		return StackAt(at, moved+distance)
	}
	return StackAt(at+epoch, distance)
}

// Pseudo registers hold an xmm register of which the code of a region uses the
// low 64 bits as a number: Lo+k as f64, Hi+k the upper 64 bits as i64, for the
// register Func.Scalars[k]. They exist only as locals, see Block.Promoted.
const (
	ScalarLo   Reg = guestabi.NumRegs
	MaxScalars     = 10
	ScalarHi       = ScalarLo + MaxScalars
	NumRegs        = ScalarHi + MaxScalars // must not exceed the bits of a RegSet
)

// EndRegs is above all registers. Those from NumRegs on are the upper halves of
// the ymm registers, which are in no RegSet: they always live in globals.
const EndRegs = guestabi.EndRegs

// IsXMM reports whether r is an xmm register.
func IsXMM(r Reg) bool { return r >= guestabi.XMM0 && r < guestabi.NumRegs }

// RegType returns the type of a register, pseudo registers included.
func RegType(r Reg) Type {
	switch {
	case r >= NumRegs:
	case r >= ScalarHi:
		return I64
	case r >= ScalarLo:
		return F64
	}
	return r.Type()
}

// RegName returns the name of a register, pseudo registers included.
func RegName(r Reg) string {
	switch {
	case r >= NumRegs:
	case r >= ScalarHi:
		return fmt.Sprintf("hi%d", r-ScalarHi)
	case r >= ScalarLo:
		return fmt.Sprintf("lo%d", r-ScalarLo)
	}
	return r.String()
}

// RegSet is a set of registers.
type RegSet uint64

// RegSetOf returns the set of the given registers.
func RegSetOf(regs ...Reg) RegSet {
	var s RegSet
	for _, r := range regs {
		s |= 1 << r
	}
	return s
}

// Has reports whether r is in s.
func (s RegSet) Has(r Reg) bool { return s>>r&1 == 1 }

// Regs returns the registers of s in order.
func (s RegSet) Regs() []Reg {
	var regs []Reg
	for ; s != 0; s &= s - 1 {
		regs = append(regs, Reg(bits.TrailingZeros64(uint64(s))))
	}
	return regs
}

// TermKind says how a block ends.
type TermKind uint8

// The kinds of terminator. "Next PC" results are compared by the caller as
// guestabi.KernelFuncs describes.
const (
	// TermNone is an unfinished block: the verifier refuses it.
	TermNone TermKind = iota
	// TermJump goes to To.
	TermJump
	// TermBranch goes to To if Cond (i32) is not zero, else to Else.
	TermBranch
	// TermIndirect goes to the guest PC Target (i32): to that of Known whose
	// PC it is, else out of the function through the dispatcher. The guest's
	// state is in sync.
	TermIndirect
	// TermCall calls the function at the constant guest address PC, or at
	// Target (i32) if that is not None. The return address has already been
	// pushed by the block's instructions; ReturnPC is its link-time address.
	// When the callee returns there, control goes on at To, which is an Entry
	// block at ReturnPC, or NoBlock if nothing was found there.
	TermCall
	// TermTail leaves the function for the constant guest address PC (another
	// function's start or one of its Entry blocks) without a return.
	TermTail
	// TermRet returns to the guest PC Target (i32), which the block's
	// instructions have popped.
	TermRet
	// TermSyscall executes syscall; ReturnPC is the link-time address of the
	// next instruction, To its block (an Entry block). The lowering passes rax
	// and the six arguments from registers, sets rax, and does nothing to rcx
	// and r11, which the lifter has set.
	TermSyscall
	// TermFault raises Fault at PC.
	TermFault
)

// Term is a terminator.
type Term struct {
	Kind     TermKind
	Cond     Value
	Target   Value
	To, Else BlockID
	Known    []BlockID // TermIndirect
	PC       uint32    // link-time address
	ReturnPC uint32    // link-time address
	Fault    guestabi.Fault
}

// Func is one guest function.
type Func struct {
	Name   string
	PC     uint32 // link-time address of its start; Blocks[0] is its block
	Blocks []*Block
	// Scalars are the xmm registers that have pseudo registers.
	Scalars []Reg
	// Careful is the same function as it is while MXCSR is not what it is at
	// the start of a process (guestabi.MXCSRCareful); nil: there is no
	// difference. The lowering goes there from each entry if that is so.
	Careful *Func
}

// Edges returns, for each block of f, the blocks that its terminator goes to, by
// slot.
func Edges(f *Func) [][]int {
	n := 0
	for _, b := range f.Blocks {
		n += 2 + len(b.Term.Known)
	}
	all := make([]int, 0, n)
	edges := make([][]int, len(f.Blocks))
	for i, b := range f.Blocks {
		first := len(all)
		switch t := &b.Term; t.Kind {
		case TermJump:
			all = append(all, int(t.To))
		case TermBranch:
			all = append(all, int(t.To), int(t.Else))
		case TermIndirect:
			for _, k := range t.Known {
				all = append(all, int(k))
			}
		case TermCall, TermSyscall:
			if t.To != NoBlock {
				all = append(all, int(t.To))
			}
		}
		edges[i] = all[first:len(all):len(all)]
	}
	return edges
}

// NewBlock appends an empty block to f.
func (f *Func) NewBlock(pc uint32) *Block {
	b := &Block{ID: BlockID(len(f.Blocks)), PC: pc}
	f.Blocks = append(f.Blocks, b)
	return b
}

// Builder appends instructions to a block. Its methods panic with BUG if a
// type does not fit, because the lifter is at fault then and not its input.
type Builder struct {
	Func  *Func
	Block *Block
	PC    uint32 // given to each instruction
}

// Emit appends in, checks it against its row and returns its value.
func (b *Builder) Emit(in Inst) Value {
	row := &Rows[in.Op]
	for i, want := range row.Args {
		got := b.TypeOf(in.Args[i])
		if want != Any && got != want || got == Void {
			panic(fmt.Sprintf("BUG: %s at %#x: argument %d has type %#x, not %#x", row.Name, b.PC, i, got, want))
		}
	}
	for i := len(row.Args); i < len(in.Args); i++ {
		in.Args[i] = None
	}
	if row.Result != Any {
		in.Type = row.Result
	}
	in.PC = b.PC
	b.Block.Insts = append(b.Block.Insts, in)
	return Value(len(b.Block.Insts) - 1)
}

// TypeOf returns the type of v in the builder's block.
func (b *Builder) TypeOf(v Value) Type {
	if v < 0 || int(v) >= len(b.Block.Insts) {
		panic(fmt.Sprintf("BUG: value %d is not of the block at %#x", v, b.Block.PC))
	}
	return b.Block.Insts[v].Type
}

// Op appends a pure operation, a load (displacement 0) or a store.
func (b *Builder) Op(op Op, args ...Value) Value { return b.OpImm(op, 0, args...) }

// OpImm appends an operation with an immediate: a lane, or a displacement.
func (b *Builder) OpImm(op Op, imm int64, args ...Value) Value {
	in := Inst{Op: op, Imm: imm}
	if len(args) != len(Rows[op].Args) {
		panic(fmt.Sprintf("BUG: %s takes %d arguments, not %d", Rows[op].Name, len(Rows[op].Args), len(args)))
	}
	copy(in.Args[:], args)
	return b.Emit(in)
}

// I32 appends a constant.
func (b *Builder) I32(v int32) Value { return b.Emit(Inst{Op: I32Const, Imm: int64(v)}) }

// I64 appends a constant.
func (b *Builder) I64(v int64) Value { return b.Emit(Inst{Op: I64Const, Imm: v}) }

// F32Bits appends the f32 constant with the given bits.
func (b *Builder) F32Bits(v uint32) Value { return b.Emit(Inst{Op: F32Const, Imm: int64(v)}) }

// F64Bits appends the f64 constant with the given bits.
func (b *Builder) F64Bits(v uint64) Value { return b.Emit(Inst{Op: F64Const, Imm: int64(v)}) }

// V128 appends a constant.
func (b *Builder) V128(lo, hi uint64) Value {
	return b.Emit(Inst{Op: V128Const, Imm: int64(lo), Imm2: int64(hi)})
}

// Shuffle appends i8x16.shuffle; lanes 0 to 15 are x's and 16 to 31 y's.
func (b *Builder) Shuffle(x, y Value, lanes [16]byte) Value {
	in := Inst{Op: I8x16Shuffle, Args: [3]Value{x, y}}
	for i := range 8 {
		in.Imm |= int64(lanes[i]) << (8 * i)
		in.Imm2 |= int64(lanes[8+i]) << (8 * i)
	}
	return b.Emit(in)
}

// GuestAddr appends the guest address whose link-time value is addr, as i64.
func (b *Builder) GuestAddr(addr uint64) Value {
	return b.Emit(Inst{Op: GuestAddr, Imm: int64(addr)})
}

// GuestAddr32 appends the guest address whose link-time value is addr, as i32.
func (b *Builder) GuestAddr32(addr uint64) Value {
	return b.Emit(Inst{Op: GuestAddr32, Imm: int64(uint32(addr))})
}

// Get appends a read of r.
func (b *Builder) Get(r Reg) Value { return b.Emit(Inst{Op: Get, Type: r.Type(), Reg: r}) }

// Set appends a write of r.
func (b *Builder) Set(r Reg, v Value) {
	if got := b.TypeOf(v); got != r.Type() {
		panic(fmt.Sprintf("BUG: set %s at %#x: value has type %#x", r, b.PC, got))
	}
	b.Emit(Inst{Op: Set, Reg: r, Args: [3]Value{v}})
}

// Select appends a choice between two values of one type by an i32.
func (b *Builder) Select(ifTrue, ifFalse, cond Value) Value {
	return b.Emit(Inst{Op: Select, Type: b.TypeOf(ifTrue), Args: [3]Value{ifTrue, ifFalse, cond}})
}

// Helper appends a call of the function called name, one of the host's or of
// module guest's, and returns its results.
func (b *Builder) Helper(name string, args ...Value) []Value {
	f, _, ok := guestabi.HelperFunc(name)
	if !ok {
		panic("BUG: no helper called " + name)
	}
	if len(args) != len(f.Params) {
		panic(fmt.Sprintf("BUG: helper %s takes %d arguments, not %d", name, len(f.Params), len(args)))
	}
	for i, a := range args {
		if b.TypeOf(a) != f.Params[i] {
			panic(fmt.Sprintf("BUG: helper %s: argument %d has type %#x", name, i, b.TypeOf(a)))
		}
	}
	in := Inst{Op: Helper, Type: Void, PC: b.PC, Args: [3]Value{None, None, None}}
	if !in.SetHelper(name, args) {
		panic("BUG: no room for the arguments of helper " + name)
	}
	b.Block.Insts = append(b.Block.Insts, in)
	call := Value(len(b.Block.Insts) - 1)
	var results []Value
	for i, t := range f.Results {
		b.Block.Insts = append(b.Block.Insts, Inst{Op: Result, Type: t, Imm: int64(i), PC: b.PC, Args: [3]Value{call, None, None}})
		results = append(results, Value(len(b.Block.Insts)-1))
	}
	return results
}
