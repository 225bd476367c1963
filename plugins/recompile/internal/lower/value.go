package lower

import (
	"fmt"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// blockState says how each value of the block that is being lowered is kept: a
// value with one use is computed where it is used, if nothing lies between that
// it must not pass; else it gets a wasm local until its last use.
type blockState struct {
	uses   []int32 // left
	inline []bool  // computed at its use
	local  []int32 // wasm local that holds it, -1: none
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n*2)
	}
	s = s[:n]
	clear(s)
	return s
}

// begin decides how the values of b are kept.
func (x *fn) begin(b *ir.Block) {
	n := len(b.Insts)
	s := &x.state
	s.uses, s.inline, s.local = grow(s.uses, n), grow(s.inline, n), grow(s.local, n)
	user := make([]int32, n)
	use := func(v ir.Value, by int) {
		if v != ir.None {
			s.uses[v]++
			user[v] = int32(by)
		}
	}
	for i := range b.Insts {
		eachArg(&b.Insts[i], func(v ir.Value) { use(v, i) })
	}
	use(condOf(&b.Term), n)
	use(targetOf(&b.Term), n)

	at := make([]int32, n+1) // where the value is computed
	at[n] = int32(n)
	var nextSet [ir.EndRegs]int32
	for i := range nextSet {
		nextSet[i] = int32(n) + 1
	}
	nextWrite := int32(n) + 1
	for i := n - 1; i >= 0; i-- {
		in := &b.Insts[i]
		s.local[i] = -1
		at[i] = int32(i)
		where := int32(n)
		if s.uses[i] > 0 {
			where = at[user[i]]
		}
		free := true
		switch ir.Rows[in.Op].Effect {
		case ir.Pure:
			free = in.Op != ir.Result
		case ir.ReadsReg:
			free = nextSet[in.Reg] >= where
		case ir.Reads, ir.Traps:
			free = nextWrite >= where
		case ir.WritesReg:
			nextSet[in.Reg] = int32(i)
			free = false
		default:
			nextWrite = int32(i)
			free = false
		}
		switch {
		case isConst(in.Op), in.Op == ir.SharedAddr:
			s.inline[i] = true
		case free && s.uses[i] == 1:
			s.inline[i] = true
			at[i] = where
		}
	}
}

// condOf and targetOf return the values that a terminator uses.
func condOf(t *ir.Term) ir.Value {
	if t.Kind == ir.TermBranch {
		return t.Cond
	}
	return ir.None
}

func targetOf(t *ir.Term) ir.Value {
	switch t.Kind {
	case ir.TermIndirect, ir.TermCall, ir.TermRet:
		return t.Target
	}
	return ir.None
}

// eachArg calls do for each argument of in but that of Result, which is bound
// to its Helper.
func eachArg(in *ir.Inst, do func(ir.Value)) {
	if in.Op == ir.Result {
		return
	}
	for i := range ir.Rows[in.Op].Args {
		do(in.Args[i])
	}
	if in.Op == ir.Helper {
		for i := range in.HelperArgs() {
			do(in.HelperArg(i))
		}
	}
}

func isConst(op ir.Op) bool {
	switch op {
	case ir.I32Const, ir.I64Const, ir.F32Const, ir.F64Const:
		return true
	}
	return false
}

// root emits instruction i of the block unless it is emitted at its use.
func (x *fn) root(i int) {
	in := &x.b.Insts[i]
	s := &x.state
	effect := ir.Rows[in.Op].Effect
	if s.inline[i] || in.Op == ir.Result {
		return
	}
	switch effect {
	case ir.Pure, ir.ReadsReg:
		if s.uses[i] == 0 {
			return
		}
	}
	x.inst(in, ir.Value(i))
	if in.Type == ir.Void {
		return
	}
	if s.uses[i] == 0 {
		x.body.Op(wasm.OpDrop)
		return
	}
	s.local[i] = int32(x.alloc(in.Type))
	x.body.LocalSet(uint32(s.local[i]))
}

// alloc returns a free local of type t.
func (x *fn) alloc(t ir.Type) uint32 {
	if l := x.free[t]; len(l) > 0 {
		x.free[t] = l[:len(l)-1]
		return l[len(l)-1]
	}
	return x.body.Local(wasm.ValType(t))
}

// value pushes v.
func (x *fn) value(v ir.Value) {
	s := &x.state
	in := &x.b.Insts[v]
	if s.inline[v] {
		x.inst(in, v)
		return
	}
	l := s.local[v]
	if l < 0 {
		panic(fmt.Sprintf("BUG: value %d (%s) of block %d is used before it is computed", v, ir.Rows[in.Op].Name, x.b.ID))
	}
	x.body.LocalGet(uint32(l))
	if s.uses[v]--; s.uses[v] == 0 {
		x.free[in.Type] = append(x.free[in.Type], uint32(l))
	}
}

// inst emits an instruction, as of its place in the guest, and leaves its result
// on the stack.
func (x *fn) inst(in *ir.Inst, v ir.Value) {
	outer := x.mark(in.PC)
	x.emit(in, v)
	x.mark(outer)
}

func (x *fn) emit(in *ir.Inst, v ir.Value) {
	if emit := x.special[in.Op]; emit != nil {
		emit(x, in, v)
		return
	}
	row := &ir.Rows[in.Op]
	switch {
	case isAtomic(row):
		x.atomic(in, row)
	case row.Imm == ir.ImmDisp:
		x.access(in, row)
	case row.Imm == ir.ImmLane:
		x.args(in)
		x.body.Lane(wasm.Opcode(row.Wasm), byte(in.Imm))
	case row.Wasm == 0:
		panic("BUG: no lowering for " + row.Name)
	default:
		x.args(in)
		x.body.Op(wasm.Opcode(row.Wasm))
	}
}

func (x *fn) args(in *ir.Inst) {
	for i := range ir.Rows[in.Op].Args {
		x.value(in.Args[i])
	}
}

// access emits a load or a store.
func (x *fn) access(in *ir.Inst, row *ir.Row) {
	offset := x.linear(in)
	for i := 1; i < len(row.Args); i++ {
		x.value(in.Args[i])
	}
	x.mayStop(in)
	x.body.MemArg(wasm.Opcode(row.Wasm), 0, offset)
}

// linear pushes the base of an access and returns its offset. The sum of guest
// address and displacement wraps modulo 2^32 and that of wasm does not: a
// displacement becomes an offset only if the base alone cannot wrap, given that
// nothing is mapped below guestabi.MinAddr.
func (x *fn) linear(in *ir.Inst) (offset uint32) {
	if in.Imm2 != 0 {
		x.value(in.Args[0])
		return uint32(in.Imm)
	}
	base := &x.b.Insts[in.Args[0]]
	if base.Op == ir.I32Const || base.Op == ir.GuestAddr32 && !x.env.PIC {
		x.body.I32Const(int32(base.Imm + in.Imm - guestabi.AddrBias))
		return 0
	}
	disp := int32(in.Imm)
	if disp >= 0 && disp < guestabi.MaxFoldedDisp {
		x.value(in.Args[0])
		x.addConst(-guestabi.AddrBias)
		return uint32(disp)
	}
	x.value(in.Args[0])
	x.addConst(disp - guestabi.AddrBias)
	return 0
}

// sharedLocal returns the local of shared address number n.
func (x *fn) sharedLocal(n int64) uint32 {
	l, ok := x.shared[n]
	if !ok {
		l = x.body.Local(wasm.I32)
		x.shared[n] = l
	}
	return l
}

func (x *fn) addConst(c int32) {
	if c != 0 {
		x.body.I32Const(c)
		x.body.Op(wasm.OpI32Add)
	}
}

// lowerFunc emits one operation.
type lowerFunc func(x *fn, in *ir.Inst, v ir.Value)

// specials returns the operations that are not just their arguments and an
// opcode. (A function, because its entries use it.)
func specials() *[ir.NumOps]lowerFunc {
	return &[ir.NumOps]lowerFunc{
		ir.I32Const:  func(x *fn, in *ir.Inst, _ ir.Value) { x.body.I32Const(int32(in.Imm)) },
		ir.I64Const:  func(x *fn, in *ir.Inst, _ ir.Value) { x.body.I64Const(in.Imm) },
		ir.F32Const:  func(x *fn, in *ir.Inst, _ ir.Value) { x.body.F32Const(uint32(in.Imm)) },
		ir.F64Const:  func(x *fn, in *ir.Inst, _ ir.Value) { x.body.F64Const(uint64(in.Imm)) },
		ir.V128Const: func(x *fn, in *ir.Inst, _ ir.Value) { x.body.V128Const(uint64(in.Imm), uint64(in.Imm2)) },
		ir.GuestAddr: func(x *fn, in *ir.Inst, _ ir.Value) {
			if !x.env.PIC {
				x.body.I64Const(in.Imm)
				return
			}
			// Guest addresses lie below 4 GiB: the sum is one of 32 bits.
			x.body.I32Const(int32(in.Imm))
			x.addBase()
			x.body.Op(wasm.OpI64ExtendI32U)
		},
		ir.GuestAddr32: func(x *fn, in *ir.Inst, _ ir.Value) { x.pc(uint32(in.Imm)) },
		ir.LinearAddr: func(x *fn, in *ir.Inst, _ ir.Value) {
			base := &x.b.Insts[in.Args[0]]
			if base.Op == ir.I32Const || base.Op == ir.GuestAddr32 && !x.env.PIC {
				x.body.I32Const(int32(base.Imm + in.Imm - guestabi.AddrBias))
				return
			}
			x.value(in.Args[0])
			x.addConst(int32(in.Imm) - guestabi.AddrBias)
		},
		ir.Get: func(x *fn, in *ir.Inst, v ir.Value) {
			x.getReg(in.Reg)
			x.read(in, v)
		},
		ir.ShareAddr: func(x *fn, in *ir.Inst, _ ir.Value) {
			x.value(in.Args[0])
			x.body.LocalSet(x.sharedLocal(in.Imm))
		},
		ir.SharedAddr: func(x *fn, in *ir.Inst, _ ir.Value) { x.body.LocalGet(x.sharedLocal(in.Imm)) },
		ir.Set: func(x *fn, in *ir.Inst, _ ir.Value) {
			x.value(in.Args[0])
			if l, ok := x.localOf(in.Reg); ok {
				x.body.LocalSet(l)
			} else {
				x.setGlobal(in.Reg)
			}
			x.wrote(in)
		},
		ir.I8x16Shuffle: func(x *fn, in *ir.Inst, _ ir.Value) {
			x.args(in)
			var lanes [16]byte
			for i := range 8 {
				lanes[i], lanes[8+i] = byte(in.Imm>>(8*i)), byte(in.Imm2>>(8*i))
			}
			x.body.Shuffle(lanes)
		},
		ir.V128Bitselect: (*fn).bitselect,
		ir.AtomicFence:   func(x *fn, _ *ir.Inst, _ ir.Value) { x.body.AtomicFence() },
		ir.MemCopy: func(x *fn, in *ir.Inst, _ ir.Value) {
			x.value(in.Args[0])
			x.addConst(-guestabi.AddrBias)
			x.value(in.Args[1])
			x.addConst(-guestabi.AddrBias)
			x.value(in.Args[2])
			x.mayStop(in)
			x.body.MemoryCopy()
		},
		ir.MemFill: func(x *fn, in *ir.Inst, _ ir.Value) {
			x.value(in.Args[0])
			x.addConst(-guestabi.AddrBias)
			x.value(in.Args[1])
			x.value(in.Args[2])
			x.mayStop(in)
			x.body.MemoryFill()
		},
		ir.Helper: (*fn).helper,
		ir.Result: func(*fn, *ir.Inst, ir.Value) { panic("BUG: the result of a helper is emitted apart from it") },
		ir.I32LtS: ordered(wasm.OpI32LtS, wasm.OpI32GtS),
		ir.I32LtU: ordered(wasm.OpI32LtU, wasm.OpI32GtU),
		ir.I32GtS: ordered(wasm.OpI32GtS, wasm.OpI32LtS),
		ir.I32GtU: ordered(wasm.OpI32GtU, wasm.OpI32LtU),
		ir.I32LeS: ordered(wasm.OpI32LeS, wasm.OpI32GeS),
		ir.I32LeU: ordered(wasm.OpI32LeU, wasm.OpI32GeU),
		ir.I32GeS: ordered(wasm.OpI32GeS, wasm.OpI32LeS),
		ir.I32GeU: ordered(wasm.OpI32GeU, wasm.OpI32LeU),
		ir.I64LtS: ordered(wasm.OpI64LtS, wasm.OpI64GtS),
		ir.I64LtU: ordered(wasm.OpI64LtU, wasm.OpI64GtU),
		ir.I64GtS: ordered(wasm.OpI64GtS, wasm.OpI64LtS),
		ir.I64GtU: ordered(wasm.OpI64GtU, wasm.OpI64LtU),
		ir.I64LeS: ordered(wasm.OpI64LeS, wasm.OpI64GeS),
		ir.I64LeU: ordered(wasm.OpI64LeU, wasm.OpI64GeU),
		ir.I64GeS: ordered(wasm.OpI64GeS, wasm.OpI64LeS),
		ir.I64GeU: ordered(wasm.OpI64GeU, wasm.OpI64LeU),
	}
}

// ordered emits an ordered comparison and swaps its operands if the left one is
// a constant: wazero v1.12.0 miscompiles a branch on one whose left operand is
// the constant 0 and whose right operand is an and.
func ordered(op, swapped wasm.Opcode) lowerFunc {
	return func(x *fn, in *ir.Inst, _ ir.Value) {
		if isConst(x.b.Insts[in.Args[0]].Op) {
			x.value(in.Args[1])
			x.value(in.Args[0])
			x.body.Op(swapped)
			return
		}
		x.args(in)
		x.body.Op(op)
	}
}

// bitselect emits and, andnot and or. wazero v1.12.0 miscompiles v128.bitselect:
// its temporary for the first operand is written twice, but spilled where it was
// written first if the second operand, spilled at a call, is reloaded into its
// register in between.
func (x *fn) bitselect(in *ir.Inst, _ ir.Value) {
	mask := x.alloc(ir.V128)
	x.value(in.Args[0])
	x.value(in.Args[2])
	x.body.LocalTee(mask)
	x.body.Op(wasm.OpV128And)
	x.value(in.Args[1])
	x.body.LocalGet(mask)
	x.body.Op(wasm.OpV128Andnot)
	x.body.Op(wasm.OpV128Or)
	x.free[ir.V128] = append(x.free[ir.V128], mask)
}

// helper calls a host function and puts its results into locals.
func (x *fn) helper(in *ir.Inst, v ir.Value) {
	for i := range in.HelperArgs() {
		x.value(in.HelperArg(i))
	}
	called := in.Helper()
	index, ok := x.env.Helpers[called.Name]
	if !ok {
		panic("BUG: no host function called " + called.Name)
	}
	if _, module, _ := guestabi.HelperFunc(called.Name); module == guestabi.ModuleKernel {
		x.mayStop(in)
	}
	x.body.Call(index)
	results := called.Results
	values := make([]int, len(results))
	for i := range values {
		values[i] = -1
	}
	for i := int(v) + 1; i < len(x.b.Insts); i++ {
		if r := &x.b.Insts[i]; r.Op == ir.Result && r.Args[0] == v {
			values[r.Imm] = i
		}
	}
	for i := len(results) - 1; i >= 0; i-- {
		if values[i] < 0 || x.state.uses[values[i]] == 0 {
			x.body.Op(wasm.OpDrop)
			continue
		}
		l := x.alloc(results[i])
		x.state.local[values[i]] = int32(l)
		x.body.LocalSet(l)
	}
}
