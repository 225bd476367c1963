package pass

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// scalarise replaces, in the blocks of a region, the xmm registers among regs
// that mostly hold one f64 by a pair of pseudo registers: the f64, and the upper
// half as i64. It returns regs with the pairs in place of the registers.
func scalarise(f *ir.Func, blocks []*ir.Block, regs ir.RegSet) ir.RegSet {
	var scalar, vector [guestabi.NumRegs]int
	for _, b := range blocks {
		countLanes(b, &scalar, &vector)
	}
	chosen := ir.RegSet(0)
	for _, r := range regs.Regs() {
		if r < guestabi.XMM0 || scalar[r] <= 2*vector[r] {
			continue
		}
		if _, ok := slotOf(f, r); ok {
			chosen |= ir.RegSetOf(r)
		}
	}
	if chosen == 0 {
		return regs
	}
	for _, b := range blocks {
		s := &scalariser{f: f, chosen: chosen}
		s.block(b)
	}
	regs &^= chosen
	for _, r := range chosen.Regs() {
		k, _ := slotOf(f, r)
		regs |= ir.RegSetOf(ir.ScalarLo+k, ir.ScalarHi+k)
	}
	return regs
}

// slotOf returns the number of the pseudo registers of r, giving it one if
// there are any left.
func slotOf(f *ir.Func, r ir.Reg) (ir.Reg, bool) {
	for k, have := range f.Scalars {
		if have == r {
			return ir.Reg(k), true
		}
	}
	if len(f.Scalars) == ir.MaxScalars {
		return 0, false
	}
	f.Scalars = append(f.Scalars, r)
	return ir.Reg(len(f.Scalars) - 1), true
}

// countLanes counts the uses of the xmm registers in b as an f64 and as a
// vector.
func countLanes(b *ir.Block, scalar, vector *[guestabi.NumRegs]int) {
	from := make(map[ir.Value]ir.Reg)
	for i := range b.Insts {
		in := &b.Insts[i]
		if in.Op == ir.Get && ir.IsXMM(in.Reg) {
			from[ir.Value(i)] = in.Reg
			continue
		}
		if in.Op == ir.Set {
			if ir.IsXMM(in.Reg) {
				switch b.Insts[in.Args[0]].Op {
				case ir.F64x2ReplaceLane, ir.V128Load64Zero:
					scalar[in.Reg]++
				case ir.V128Const, ir.Get:
				default:
					vector[in.Reg]++
				}
			}
			continue
		}
		eachArg(in, func(v *ir.Value) {
			r, ok := from[*v]
			if !ok {
				return
			}
			switch in.Op {
			case ir.F64x2ExtractLane, ir.F64x2ReplaceLane:
				scalar[r]++
			default:
				vector[r]++
			}
		})
	}
}

// pair is a vector in two halves.
type pair struct{ lo, hi ir.Value }

type scalariser struct {
	f      *ir.Func
	chosen ir.RegSet
	out    []ir.Inst
	ids    []ir.Value
	pairs  map[ir.Value]pair // new value -> its halves
	pc     uint32
}

// block rewrites b. Vectors of which the halves are known become values only
// where something other than lane 0 is asked for.
func (s *scalariser) block(b *ir.Block) {
	touched := false
	for i := range b.Insts {
		if in := &b.Insts[i]; (in.Op == ir.Get || in.Op == ir.Set) && s.chosen.Has(in.Reg) {
			touched = true
		}
	}
	if !touched {
		return
	}
	old := b.Insts
	s.out, s.ids, s.pairs = make([]ir.Inst, 0, 2*len(old)), make([]ir.Value, len(old)), map[ir.Value]pair{}
	for i := range old {
		in := old[i]
		s.pc = in.PC
		eachArg(&in, func(v *ir.Value) { *v = s.ids[*v] })
		s.ids[i] = s.inst(in)
	}
	if v := termValue(&b.Term); v != nil {
		*v = s.ids[*v]
	}
	b.Insts = s.out
}

func (s *scalariser) emit(in ir.Inst) ir.Value {
	s.out = append(s.out, in)
	return ir.Value(len(s.out) - 1)
}

func (s *scalariser) op(op ir.Op, t ir.Type, imm int64, args ...ir.Value) ir.Value {
	in := ir.Inst{Op: op, Type: t, Imm: imm, PC: s.pc, Args: [3]ir.Value{ir.None, ir.None, ir.None}}
	copy(in.Args[:], args)
	return s.emit(in)
}

// inst rewrites one instruction, whose arguments are new values.
func (s *scalariser) inst(in ir.Inst) ir.Value {
	switch in.Op {
	case ir.Get:
		if s.chosen.Has(in.Reg) {
			return s.get(in)
		}
	case ir.Set:
		if s.chosen.Has(in.Reg) {
			return s.set(in)
		}
	case ir.F64x2ExtractLane:
		if p, ok := s.pairs[in.Args[0]]; ok && in.Imm == 0 {
			return p.lo
		}
	case ir.I64x2ExtractLane:
		if p, ok := s.pairs[in.Args[0]]; ok {
			if in.Imm == 1 {
				return p.hi
			}
			return s.op(ir.I64ReinterpretF64, ir.I64, 0, p.lo)
		}
	case ir.F64x2ReplaceLane:
		if p, ok := s.pairs[in.Args[0]]; ok && in.Imm == 0 {
			return s.paired(in, pair{in.Args[1], p.hi})
		}
	case ir.V128Const:
		lo := s.op(ir.F64Const, ir.F64, in.Imm)
		return s.paired(in, pair{lo, s.op(ir.I64Const, ir.I64, in.Imm2)})
	case ir.V128And, ir.V128Or, ir.V128Xor:
		if v := s.bitwise(in); v != ir.None {
			return v
		}
	}
	return s.emit(in)
}

// paired emits the vector too: dead unless something asks for it.
func (s *scalariser) paired(in ir.Inst, p pair) ir.Value {
	v := s.emit(in)
	s.pairs[v] = p
	return v
}

// get reads both halves, and makes the vector of them.
func (s *scalariser) get(in ir.Inst) ir.Value {
	k, _ := slotOf(s.f, in.Reg)
	lo, hi := ir.ScalarLo+k, ir.ScalarHi+k
	none := [3]ir.Value{ir.None, ir.None, ir.None}
	p := pair{
		s.emit(ir.Inst{Op: ir.Get, Type: ir.F64, Reg: lo, PC: in.PC, Args: none}),
		s.emit(ir.Inst{Op: ir.Get, Type: ir.I64, Reg: hi, PC: in.PC, Args: none}),
	}
	low := s.op(ir.F64x2Splat, ir.V128, 0, p.lo)
	v := s.op(ir.I64x2ReplaceLane, ir.V128, 1, low, p.hi)
	s.pairs[v] = p
	return v
}

// set writes both halves, or one if the other stays what it is.
func (s *scalariser) set(in ir.Inst) ir.Value {
	k, _ := slotOf(s.f, in.Reg)
	lo, hi := ir.ScalarLo+k, ir.ScalarHi+k
	v := in.Args[0]
	p, ok := s.pairs[v]
	if !ok {
		p = pair{s.op(ir.F64x2ExtractLane, ir.F64, 0, v), s.op(ir.I64x2ExtractLane, ir.I64, 1, v)}
	}
	write := func(r ir.Reg, v ir.Value) {
		s.emit(ir.Inst{Op: ir.Set, Reg: r, PC: in.PC, Args: [3]ir.Value{v, ir.None, ir.None}})
	}
	if !s.holds(lo, p.lo) {
		write(lo, p.lo)
	}
	if !s.holds(hi, p.hi) {
		write(hi, p.hi)
	}
	return v
}

// holds reports whether register r still holds v, which was read from it.
func (s *scalariser) holds(r ir.Reg, v ir.Value) bool {
	if def := &s.out[v]; def.Op != ir.Get || def.Reg != r {
		return false
	}
	for i := int(v) + 1; i < len(s.out); i++ {
		if in := &s.out[i]; in.Op == ir.Set && in.Reg == r {
			return false
		}
	}
	return true
}

// bitwise applies an operation (the sign of a number changed or dropped) to the
// halves if both operands have them; a vector in memory is a constant mostly,
// and loaded by halves.
func (s *scalariser) bitwise(in ir.Inst) ir.Value {
	var halves [2]pair
	known := false
	for i, v := range in.Args[:2] {
		p, ok := s.pairs[v]
		if !ok {
			if s.out[v].Op != ir.V128Load {
				return ir.None
			}
			continue
		}
		known = true
		halves[i] = p
	}
	if !known {
		return ir.None
	}
	var lo, hi [2]ir.Value
	for i, v := range in.Args[:2] {
		if _, ok := s.pairs[v]; ok {
			lo[i], hi[i] = s.op(ir.I64ReinterpretF64, ir.I64, 0, halves[i].lo), halves[i].hi
			continue
		}
		lo[i] = s.op(ir.I64x2ExtractLane, ir.I64, 0, v)
		hi[i] = s.op(ir.I64x2ExtractLane, ir.I64, 1, v)
	}
	op := map[ir.Op]ir.Op{ir.V128And: ir.I64And, ir.V128Or: ir.I64Or, ir.V128Xor: ir.I64Xor}[in.Op]
	p := pair{
		s.op(ir.F64ReinterpretI64, ir.F64, 0, s.op(op, ir.I64, 0, lo[0], lo[1])),
		s.op(op, ir.I64, 0, hi[0], hi[1]),
	}
	return s.paired(in, p)
}
