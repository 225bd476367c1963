package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
)

// simplify rebuilds each block: it folds constants, applies identities, narrows
// 64-bit operations of which only the low half is used, shares equal values
// (loads included) and forwards stores to loads.
func simplify(c *Context, f *ir.Func) {
	if c.simplifier == nil {
		c.simplifier = &simplifier{folds: foldTable(), table: map[key]ir.Value{}}
	}
	for _, b := range f.Blocks {
		c.simplifier.block(b)
	}
}

// key identifies a value: two instructions with equal keys compute the same.
type key struct {
	op        ir.Op
	typ       ir.Type
	reg       ir.Reg
	args      [3]ir.Value
	imm, imm2 int64
}

type simplifier struct {
	b     *ir.Block
	old   []ir.Inst  // of the block
	uses  []int32    // of the old values
	ids   []ir.Value // old value -> new
	out   []ir.Inst
	refs  []int32 // new value -> uses of the old values that it stands for
	table map[key]ir.Value
	mem   []memory
	pc    uint32
	sp    ir.StackPos
	folds *[ir.NumOps]foldFunc

	frames []*ir.Inst // of the calls of add, which nest
	depth  int
}

func (s *simplifier) block(b *ir.Block) {
	n := len(b.Insts)
	s.b, s.old = b, b.Insts
	s.uses, s.ids = resize(s.uses, n), resize(s.ids, n)
	s.out, s.refs, s.mem = s.out[:0], s.refs[:0], s.mem[:0]
	clear(s.table)
	for i := range s.old {
		eachArg(&s.old[i], func(v *ir.Value) { s.uses[*v]++ })
	}
	if v := termValue(&b.Term); v != nil {
		s.uses[*v]++
	}
	for i := range s.old {
		in := &s.old[i] // of no use any more
		s.pc, s.sp = in.PC, in.SP
		eachArg(in, func(v *ir.Value) { *v = s.ids[*v] })
		id := s.add(*in)
		s.ids[i] = id
		s.refs[id] += s.uses[i]
	}
	s.term(&b.Term)
	b.Insts = append(b.Insts[:0], s.out...)
}

// term simplifies what the terminator uses.
func (s *simplifier) term(t *ir.Term) {
	v := termValue(t)
	if v == nil {
		return
	}
	*v = s.ids[*v]
	if t.Kind != ir.TermBranch {
		return
	}
	for {
		in := &s.out[t.Cond]
		switch {
		case in.Op == ir.I32Eqz:
			t.Cond = in.Args[0]
			t.To, t.Else = t.Else, t.To
			continue
		case in.Op == ir.I32Ne && s.isConst(in.Args[1], 0):
			t.Cond = in.Args[0]
			continue
		case in.Op == ir.I32Const:
			to := t.Else
			if int32(in.Imm) != 0 {
				to = t.To
			}
			*t = ir.Term{Kind: ir.TermJump, To: to, Cond: ir.None, Target: ir.None, Else: ir.NoBlock}
		}
		return
	}
}

// add appends in, or finds a value that is equal to it.
func (s *simplifier) add(in ir.Inst) ir.Value {
	if s.depth == len(s.frames) {
		s.frames = append(s.frames, new(ir.Inst))
	}
	frame := s.frames[s.depth]
	*frame = in
	s.depth++
	v := s.addSimplified(frame)
	s.depth--
	return v
}

func (s *simplifier) addSimplified(in *ir.Inst) ir.Value {
	row := &ir.Rows[in.Op]
	if row.Commutative && s.isAnyConst(in.Args[0]) && !s.isAnyConst(in.Args[1]) {
		in.Args[0], in.Args[1] = in.Args[1], in.Args[0]
	}
	if row.Imm == ir.ImmDisp && row.Size > 0 {
		s.foldAddress(in)
	}
	if fold := s.folds[in.Op]; fold != nil {
		if v := fold(s, in); v != ir.None {
			return v
		}
		row = &ir.Rows[in.Op]
	}
	switch row.Effect {
	case ir.Pure:
		if in.Op == ir.Result {
			return s.emit(*in)
		}
		return s.number(*in)
	case ir.Reads:
		if v := s.loaded(in, row); v != ir.None {
			return v
		}
		v := s.emit(*in)
		s.remember(in, row, v)
		return v
	case ir.Writes:
		v := s.emit(*in)
		s.wrote(in, row)
		return v
	case ir.Calls:
		s.mem = s.mem[:0]
	}
	return s.emit(*in)
}

// number appends a pure instruction unless the block has computed it before.
func (s *simplifier) number(in ir.Inst) ir.Value {
	k := key{in.Op, in.Type, in.Reg, in.Args, in.Imm, in.Imm2}
	if v, ok := s.table[k]; ok {
		return v
	}
	v := s.emit(in)
	s.table[k] = v
	return v
}

func (s *simplifier) emit(in ir.Inst) ir.Value {
	in.SP = s.sp
	s.out = append(s.out, in)
	s.refs = append(s.refs, 0)
	return ir.Value(len(s.out) - 1)
}

// op adds a new operation of the simplifier's own.
func (s *simplifier) op(op ir.Op, args ...ir.Value) ir.Value {
	in := ir.Inst{Op: op, Type: ir.Rows[op].Result, PC: s.pc, Args: [3]ir.Value{ir.None, ir.None, ir.None}}
	copy(in.Args[:], args)
	return s.add(in)
}

func (s *simplifier) i32(c int32) ir.Value { return s.constant(ir.I32Const, int64(c)) }
func (s *simplifier) i64(c int64) ir.Value { return s.constant(ir.I64Const, c) }

func (s *simplifier) constant(op ir.Op, c int64) ir.Value {
	return s.number(ir.Inst{Op: op, Type: ir.Rows[op].Result, PC: s.pc, Imm: c, Args: [3]ir.Value{ir.None, ir.None, ir.None}})
}

// constOf returns the value of v if it is an integer constant.
func (s *simplifier) constOf(v ir.Value) (int64, bool) {
	in := &s.out[v]
	switch in.Op {
	case ir.I32Const:
		return int64(int32(in.Imm)), true
	case ir.I64Const:
		return in.Imm, true
	}
	return 0, false
}

func (s *simplifier) isConst(v ir.Value, c int64) bool {
	got, ok := s.constOf(v)
	return ok && got == c
}

func (s *simplifier) isAnyConst(v ir.Value) bool {
	_, ok := s.constOf(v)
	return ok
}

// foldAddress moves constants that are added to an address to the displacement;
// both are modulo 2^32.
func (s *simplifier) foldAddress(in *ir.Inst) {
	for {
		a := &s.out[in.Args[0]]
		if a.Op != ir.I32Add {
			return
		}
		c, ok := s.constOf(a.Args[1])
		if !ok {
			return
		}
		in.Args[0] = a.Args[0]
		in.Imm = int64(int32(in.Imm + c))
	}
}

// memory is a piece of guest memory whose content is known.
type memory struct {
	base  ir.Value
	disp  int32
	size  uint8
	load  ir.Op // the load that would give value
	value ir.Value
}

// maxMemory bounds what is remembered, because each store looks at all of it.
const maxMemory = 24

// loadOf returns the load that reads back what a store has written.
func loadOf(store ir.Op) ir.Op {
	switch store {
	case ir.I32Store:
		return ir.I32Load
	case ir.I64Store:
		return ir.I64Load
	case ir.F32Store:
		return ir.F32Load
	case ir.F64Store:
		return ir.F64Load
	case ir.V128Store:
		return ir.V128Load
	}
	return ir.Invalid
}

// loaded returns the value that a load would give, if that is known.
func (s *simplifier) loaded(in *ir.Inst, row *ir.Row) ir.Value {
	for i := len(s.mem) - 1; i >= 0; i-- {
		m := &s.mem[i]
		if m.base != in.Args[0] || m.disp != int32(in.Imm) {
			continue
		}
		if m.load == in.Op {
			return m.value
		}
		if m.size == row.Size {
			return s.reinterpret(in.Op, m)
		}
	}
	return ir.None
}

// reinterpret returns the result of a load from the value of another load of
// the same bytes.
func (s *simplifier) reinterpret(op ir.Op, m *memory) ir.Value {
	switch {
	case op == ir.I64Load32U && m.load == ir.I32Load:
		return s.op(ir.I64ExtendI32U, m.value)
	case op == ir.I64Load32S && m.load == ir.I32Load:
		return s.op(ir.I64ExtendI32S, m.value)
	case op == ir.I64Load && m.load == ir.F64Load:
		return s.op(ir.I64ReinterpretF64, m.value)
	case op == ir.F64Load && m.load == ir.I64Load:
		return s.op(ir.F64ReinterpretI64, m.value)
	case op == ir.I32Load && m.load == ir.F32Load:
		return s.op(ir.I32ReinterpretF32, m.value)
	case op == ir.F32Load && m.load == ir.I32Load:
		return s.op(ir.F32ReinterpretI32, m.value)
	}
	return ir.None
}

// remember records what a load has found.
func (s *simplifier) remember(in *ir.Inst, row *ir.Row, v ir.Value) {
	if len(s.mem) == maxMemory {
		s.mem = append(s.mem[:0], s.mem[1:]...)
	}
	s.mem = append(s.mem, memory{in.Args[0], int32(in.Imm), row.Size, in.Op, v})
}

// wrote forgets what a store may have changed and records what it wrote.
// Addresses with the same base and disjoint displacements do not overlap;
// about different bases nothing is known.
func (s *simplifier) wrote(in *ir.Inst, row *ir.Row) {
	if row.Size == 0 { // MemCopy and the like
		s.mem = s.mem[:0]
		return
	}
	kept := s.mem[:0]
	lo := int64(int32(in.Imm))
	hi := lo + int64(row.Size)
	for _, m := range s.mem {
		if m.base == in.Args[0] && (int64(m.disp) >= hi || int64(m.disp)+int64(m.size) <= lo) {
			kept = append(kept, m)
		}
	}
	s.mem = kept
	if load := loadOf(in.Op); load != ir.Invalid {
		s.remember(&ir.Inst{Op: load, Args: in.Args, Imm: in.Imm}, row, in.Args[1])
	}
}

// bits returns a mask of the bits of v that may be set.
func (s *simplifier) bits(v ir.Value, depth int) uint64 {
	in := &s.out[v]
	all := ^uint64(0)
	if in.Type == ir.I32 {
		all = 0xffffffff
	}
	if depth == 0 {
		return all
	}
	switch in.Op {
	case ir.I32Const, ir.I64Const:
		return uint64(in.Imm) & all
	case ir.I32And, ir.I64And:
		return s.bits(in.Args[0], depth-1) & s.bits(in.Args[1], depth-1)
	case ir.I32Or, ir.I64Or, ir.I32Xor, ir.I64Xor:
		return s.bits(in.Args[0], depth-1) | s.bits(in.Args[1], depth-1)
	case ir.I64ExtendI32U, ir.I32WrapI64:
		return s.bits(in.Args[0], depth-1) & 0xffffffff
	case ir.I32Load8U, ir.I64Load8U:
		return 0xff
	case ir.I32Load16U, ir.I64Load16U:
		return 0xffff
	case ir.I64Load32U, ir.GuestAddr:
		return 0xffffffff
	case ir.I32ShrU, ir.I64ShrU:
		if c, ok := s.constOf(in.Args[1]); ok {
			return s.bits(in.Args[0], depth-1) >> s.shift(in.Type, c)
		}
	case ir.I32Shl, ir.I64Shl:
		if c, ok := s.constOf(in.Args[1]); ok {
			return s.bits(in.Args[0], depth-1) << s.shift(in.Type, c) & all
		}
	case ir.Select:
		return s.bits(in.Args[0], depth-1) | s.bits(in.Args[1], depth-1)
	case ir.I32Popcnt, ir.I32Clz, ir.I32Ctz:
		return 0x3f
	case ir.I64Popcnt, ir.I64Clz, ir.I64Ctz:
		return 0x7f
	}
	if in.Op >= ir.I32Eqz && in.Op <= ir.F64Ge || in.Op == ir.V128AnyTrue {
		return 1
	}
	return all
}

func (s *simplifier) shift(t ir.Type, c int64) uint {
	if t == ir.I32 {
		return uint(c) & 31
	}
	return uint(c) & 63
}

// bitsDepth bounds how far bits looks back.
const bitsDepth = 4
