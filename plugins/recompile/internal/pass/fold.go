package pass

import (
	"math/bits"

	"megabinary.dev/plugins/recompile/internal/ir"
)

// A foldFunc returns a value that equals in, or None; it may also change in to
// something better. The arguments of in are new values, and a constant among
// those of a commutative operation is on the right.
type foldFunc func(s *simplifier, in *ir.Inst) ir.Value

// foldTable returns the folds, indexed by ir.Op. (A function, because the folds
// use the table.)
func foldTable() *[ir.NumOps]foldFunc {
	t := new([ir.NumOps]foldFunc)
	for op, f := range map[ir.Op]func(x, y uint32) uint32{
		ir.I32Add: func(x, y uint32) uint32 { return x + y }, ir.I32Sub: func(x, y uint32) uint32 { return x - y },
		ir.I32Mul: func(x, y uint32) uint32 { return x * y }, ir.I32And: func(x, y uint32) uint32 { return x & y },
		ir.I32Or: func(x, y uint32) uint32 { return x | y }, ir.I32Xor: func(x, y uint32) uint32 { return x ^ y },
		ir.I32Shl: func(x, y uint32) uint32 { return x << (y & 31) }, ir.I32ShrU: func(x, y uint32) uint32 { return x >> (y & 31) },
		ir.I32ShrS: func(x, y uint32) uint32 { return uint32(int32(x) >> (y & 31)) },
		ir.I32Rotl: func(x, y uint32) uint32 { return bits.RotateLeft32(x, int(y&31)) },
		ir.I32Rotr: func(x, y uint32) uint32 { return bits.RotateLeft32(x, -int(y&31)) },
	} {
		t[op] = binary32(f)
	}
	for op, f := range map[ir.Op]func(x, y uint64) uint64{
		ir.I64Add: func(x, y uint64) uint64 { return x + y }, ir.I64Sub: func(x, y uint64) uint64 { return x - y },
		ir.I64Mul: func(x, y uint64) uint64 { return x * y }, ir.I64And: func(x, y uint64) uint64 { return x & y },
		ir.I64Or: func(x, y uint64) uint64 { return x | y }, ir.I64Xor: func(x, y uint64) uint64 { return x ^ y },
		ir.I64Shl: func(x, y uint64) uint64 { return x << (y & 63) }, ir.I64ShrU: func(x, y uint64) uint64 { return x >> (y & 63) },
		ir.I64ShrS: func(x, y uint64) uint64 { return uint64(int64(x) >> (y & 63)) },
		ir.I64Rotl: func(x, y uint64) uint64 { return bits.RotateLeft64(x, int(y&63)) },
		ir.I64Rotr: func(x, y uint64) uint64 { return bits.RotateLeft64(x, -int(y&63)) },
	} {
		t[op] = binary64(f)
	}
	for op, f := range map[ir.Op]func(x, y uint32) bool{
		ir.I32Eq: func(x, y uint32) bool { return x == y }, ir.I32Ne: func(x, y uint32) bool { return x != y },
		ir.I32LtU: func(x, y uint32) bool { return x < y }, ir.I32LeU: func(x, y uint32) bool { return x <= y },
		ir.I32GtU: func(x, y uint32) bool { return x > y }, ir.I32GeU: func(x, y uint32) bool { return x >= y },
		ir.I32LtS: func(x, y uint32) bool { return int32(x) < int32(y) }, ir.I32LeS: func(x, y uint32) bool { return int32(x) <= int32(y) },
		ir.I32GtS: func(x, y uint32) bool { return int32(x) > int32(y) }, ir.I32GeS: func(x, y uint32) bool { return int32(x) >= int32(y) },
	} {
		t[op] = compare(func(x, y int64) bool { return f(uint32(x), uint32(y)) })
	}
	for op, f := range map[ir.Op]func(x, y uint64) bool{
		ir.I64Eq: func(x, y uint64) bool { return x == y }, ir.I64Ne: func(x, y uint64) bool { return x != y },
		ir.I64LtU: func(x, y uint64) bool { return x < y }, ir.I64LeU: func(x, y uint64) bool { return x <= y },
		ir.I64GtU: func(x, y uint64) bool { return x > y }, ir.I64GeU: func(x, y uint64) bool { return x >= y },
		ir.I64LtS: func(x, y uint64) bool { return int64(x) < int64(y) }, ir.I64LeS: func(x, y uint64) bool { return int64(x) <= int64(y) },
		ir.I64GtS: func(x, y uint64) bool { return int64(x) > int64(y) }, ir.I64GeS: func(x, y uint64) bool { return int64(x) >= int64(y) },
	} {
		t[op] = compare(func(x, y int64) bool { return f(uint64(x), uint64(y)) })
	}
	t[ir.I32Eqz], t[ir.I64Eqz] = foldEqz, foldEqz
	t[ir.I32WrapI64] = foldWrap
	t[ir.I64ExtendI32U] = foldExtendU
	t[ir.I64ExtendI32S] = unary(func(x int64) int64 { return int64(int32(x)) })
	t[ir.I32Extend8S] = foldExtendS(0xff, ir.I32Load8U, ir.I32Load8S)
	t[ir.I32Extend16S] = foldExtendS(0xffff, ir.I32Load16U, ir.I32Load16S)
	t[ir.Select] = foldSelect
	t[ir.I32Store8], t[ir.I32Store16] = storeLow(0xff), storeLow(0xffff)
	t[ir.V128Load64Zero] = scalarLoad(ir.F64x2ExtractLane, ir.F64Load, ir.F64x2ReplaceLane)
	t[ir.V128Load32Zero] = scalarLoad(ir.F32x4ExtractLane, ir.F32Load, ir.F32x4ReplaceLane)
	t[ir.F64x2ExtractLane] = extractLane(ir.F64x2ReplaceLane)
	t[ir.F32x4ExtractLane] = extractLane(ir.F32x4ReplaceLane)
	t[ir.I64x2ExtractLane] = extractLane(ir.I64x2ReplaceLane)
	t[ir.I32x4ExtractLane] = extractLane(ir.I32x4ReplaceLane)
	t[ir.F64x2ReplaceLane], t[ir.F32x4ReplaceLane] = replaceLane, replaceLane
	t[ir.I64x2ReplaceLane], t[ir.I32x4ReplaceLane] = replaceLane, replaceLane
	t[ir.V128Xor] = func(s *simplifier, in *ir.Inst) ir.Value {
		if in.Args[0] == in.Args[1] {
			return s.constant(ir.V128Const, 0)
		}
		return ir.None
	}
	return t
}

// unary folds an operation on a constant.
func unary(f func(x int64) int64) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		if c, ok := s.constOf(in.Args[0]); ok {
			if in.Type == ir.I32 {
				return s.i32(int32(f(c)))
			}
			return s.i64(f(c))
		}
		return ir.None
	}
}

func binary32(f func(x, y uint32) uint32) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		x, okX := s.constOf(in.Args[0])
		y, okY := s.constOf(in.Args[1])
		if okX && okY {
			return s.i32(int32(f(uint32(x), uint32(y))))
		}
		return s.identity(in, y, okY, 0xffffffff)
	}
}

func binary64(f func(x, y uint64) uint64) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		x, okX := s.constOf(in.Args[0])
		y, okY := s.constOf(in.Args[1])
		if okX && okY {
			return s.i64(int64(f(uint64(x), uint64(y))))
		}
		return s.identity(in, y, okY, ^uint64(0))
	}
}

func (s *simplifier) constLike(in *ir.Inst, c int64) ir.Value {
	if in.Type == ir.I32 {
		return s.i32(int32(c))
	}
	return s.i64(c)
}

// identity applies the laws of integer operations; y is the right argument if
// isConst, all the mask of the type.
func (s *simplifier) identity(in *ir.Inst, y int64, isConst bool, all uint64) ir.Value {
	x := in.Args[0]
	if !isConst {
		if x != in.Args[1] {
			return ir.None
		}
		switch in.Op {
		case ir.I32Sub, ir.I64Sub, ir.I32Xor, ir.I64Xor:
			return s.constLike(in, 0)
		case ir.I32And, ir.I64And, ir.I32Or, ir.I64Or:
			return x
		}
		return ir.None
	}
	switch in.Op {
	case ir.I32Sub, ir.I64Sub:
		op := ir.I32Add
		if in.Op == ir.I64Sub {
			op = ir.I64Add
		}
		return s.op(op, x, s.constLike(in, -y))
	case ir.I32Add, ir.I64Add:
		if y == 0 {
			return x
		}
		return s.associate(in, y, func(a, b int64) int64 { return a + b })
	case ir.I32Or, ir.I64Or, ir.I32Xor, ir.I64Xor, ir.I32Shl, ir.I64Shl, ir.I32ShrU, ir.I64ShrU, ir.I32ShrS, ir.I64ShrS,
		ir.I32Rotl, ir.I64Rotl, ir.I32Rotr, ir.I64Rotr:
		if y == 0 {
			return x
		}
	case ir.I32Mul, ir.I64Mul:
		if y == 0 || y == 1 {
			if y == 1 {
				return x
			}
			return s.constLike(in, 0)
		}
	case ir.I32And, ir.I64And:
		return s.foldAnd(in, x, y, all)
	}
	return ir.None
}

// associate makes (x op a) op b into x op (a op b).
func (s *simplifier) associate(in *ir.Inst, y int64, f func(a, b int64) int64) ir.Value {
	inner := &s.out[in.Args[0]]
	if inner.Op != in.Op {
		return ir.None
	}
	if c, ok := s.constOf(inner.Args[1]); ok {
		return s.op(in.Op, inner.Args[0], s.constLike(in, f(c, y)))
	}
	return ir.None
}

func (s *simplifier) foldAnd(in *ir.Inst, x ir.Value, y int64, all uint64) ir.Value {
	mask := uint64(y) & all
	if mask == 0 {
		return s.constLike(in, 0)
	}
	if s.bits(x, bitsDepth)&^mask == 0 {
		return x
	}
	if in.Op == ir.I64And && mask == 0xffffffff {
		return s.op(ir.I64ExtendI32U, s.op(ir.I32WrapI64, x))
	}
	return s.associate(in, y, func(a, b int64) int64 { return a & b })
}

// compare folds comparisons of constants.
func compare(f func(x, y int64) bool) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		x, okX := s.constOf(in.Args[0])
		y, okY := s.constOf(in.Args[1])
		if okX && okY {
			return s.bool(f(x, y))
		}
		if okY && y == 0 {
			switch in.Op {
			case ir.I32Eq:
				return s.op(ir.I32Eqz, in.Args[0])
			case ir.I64Eq:
				return s.op(ir.I64Eqz, in.Args[0])
			case ir.I32Ne:
				if s.bits(in.Args[0], bitsDepth) <= 1 {
					return in.Args[0]
				}
			}
		}
		if okY {
			return s.narrowCompare(in, y)
		}
		return ir.None
	}
}

func (s *simplifier) bool(b bool) ir.Value {
	if b {
		return s.i32(1)
	}
	return s.i32(0)
}

// narrow32 maps comparisons of i64 that mean the same on zero-extended i32.
var narrow32 = map[ir.Op]ir.Op{
	ir.I64Eq: ir.I32Eq, ir.I64Ne: ir.I32Ne, ir.I64LtU: ir.I32LtU, ir.I64LeU: ir.I32LeU, ir.I64GtU: ir.I32GtU, ir.I64GeU: ir.I32GeU,
}

// narrowCompare compares a zero-extended i32 with a constant as i32.
func (s *simplifier) narrowCompare(in *ir.Inst, y int64) ir.Value {
	op, ok := narrow32[in.Op]
	x := &s.out[in.Args[0]]
	if !ok || x.Op != ir.I64ExtendI32U || uint64(y) > 0xffffffff {
		return ir.None
	}
	return s.op(op, x.Args[0], s.i32(int32(y)))
}

func foldEqz(s *simplifier, in *ir.Inst) ir.Value {
	x := in.Args[0]
	if c, ok := s.constOf(x); ok {
		return s.bool(c == 0)
	}
	def := &s.out[x]
	switch {
	case in.Op == ir.I64Eqz && def.Op == ir.I64ExtendI32U:
		return s.op(ir.I32Eqz, def.Args[0])
	case def.Op == ir.I32Eqz && s.bits(def.Args[0], bitsDepth) <= 1:
		return def.Args[0]
	}
	if inv, ok := ir.Inverse(def.Op); ok {
		return s.op(inv, def.Args[0], def.Args[1])
	}
	return ir.None
}

// foldWrap narrows: the low half of most operations depends on the low halves
// of their arguments only.
func foldWrap(s *simplifier, in *ir.Inst) ir.Value {
	x := in.Args[0]
	if c, ok := s.constOf(x); ok {
		return s.i32(int32(c))
	}
	def := s.out[x]
	switch def.Op {
	case ir.I64ExtendI32U, ir.I64ExtendI32S:
		return def.Args[0]
	case ir.GuestAddr:
		return s.number(ir.Inst{Op: ir.GuestAddr32, Type: ir.I32, PC: in.PC, Imm: def.Imm, Args: def.Args})
	case ir.Select:
		if s.cheapWrap(def.Args[0]) && s.cheapWrap(def.Args[1]) {
			return s.add(ir.Inst{Op: ir.Select, Type: ir.I32, PC: in.PC, Args: [3]ir.Value{s.wrap(def.Args[0]), s.wrap(def.Args[1]), def.Args[2]}})
		}
	case ir.I64Shl:
		if c, ok := s.constOf(def.Args[1]); ok && s.refs[x] <= 1 {
			if c &= 63; c >= 32 {
				return s.i32(0)
			}
			return s.op(ir.I32Shl, s.wrap(def.Args[0]), s.i32(int32(c)))
		}
	}
	op, ok := map32(def.Op)
	if !ok || !(s.refs[x] <= 1 || s.cheapWrap(def.Args[0]) && s.cheapWrap(def.Args[1]) || s.isAnyConst(def.Args[1])) {
		return ir.None
	}
	return s.op(op, s.wrap(def.Args[0]), s.wrap(def.Args[1]))
}

func map32(op ir.Op) (ir.Op, bool) {
	switch op {
	case ir.I64Add:
		return ir.I32Add, true
	case ir.I64Sub:
		return ir.I32Sub, true
	case ir.I64Mul:
		return ir.I32Mul, true
	case ir.I64And:
		return ir.I32And, true
	case ir.I64Or:
		return ir.I32Or, true
	case ir.I64Xor:
		return ir.I32Xor, true
	}
	return ir.Invalid, false
}

// cheapWrap reports whether the low half of v is a value already.
func (s *simplifier) cheapWrap(v ir.Value) bool {
	switch s.out[v].Op {
	case ir.I64Const, ir.I64ExtendI32U, ir.I64ExtendI32S, ir.GuestAddr:
		return true
	}
	_, ok := s.table[key{op: ir.I32WrapI64, typ: ir.I32, args: [3]ir.Value{v, ir.None, ir.None}}]
	return ok
}

func (s *simplifier) wrap(v ir.Value) ir.Value { return s.op(ir.I32WrapI64, v) }

func foldExtendU(s *simplifier, in *ir.Inst) ir.Value {
	x := in.Args[0]
	if c, ok := s.constOf(x); ok {
		return s.i64(int64(uint32(c)))
	}
	def := &s.out[x]
	switch def.Op {
	case ir.I32WrapI64:
		if s.bits(def.Args[0], bitsDepth)>>32 == 0 {
			return def.Args[0]
		}
	case ir.GuestAddr32:
		return s.number(ir.Inst{Op: ir.GuestAddr, Type: ir.I64, PC: in.PC, Imm: def.Imm, Args: def.Args})
	}
	return ir.None
}

// foldExtendS drops a mask of the bits that are kept.
func foldExtendS(mask int64, _, _ ir.Op) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		if c, ok := s.constOf(in.Args[0]); ok {
			if mask == 0xff {
				return s.i32(int32(int8(c)))
			}
			return s.i32(int32(int16(c)))
		}
		if def := &s.out[in.Args[0]]; def.Op == ir.I32And {
			if c, ok := s.constOf(def.Args[1]); ok && c&mask == mask {
				return s.op(in.Op, def.Args[0])
			}
		}
		return ir.None
	}
}

func foldSelect(s *simplifier, in *ir.Inst) ir.Value {
	for {
		cond := &s.out[in.Args[2]]
		switch {
		case cond.Op == ir.I32Eqz:
			in.Args = [3]ir.Value{in.Args[1], in.Args[0], cond.Args[0]}
			continue
		case cond.Op == ir.I32Ne && s.isConst(cond.Args[1], 0):
			in.Args[2] = cond.Args[0]
			continue
		}
		break
	}
	if in.Args[0] == in.Args[1] {
		return in.Args[0]
	}
	if c, ok := s.constOf(in.Args[2]); ok {
		if c != 0 {
			return in.Args[0]
		}
		return in.Args[1]
	}
	if in.Type == ir.I32 && s.isConst(in.Args[0], 1) && s.isConst(in.Args[1], 0) && s.bits(in.Args[2], bitsDepth) <= 1 {
		return in.Args[2]
	}
	return ir.None
}

// storeLow drops what only changes bits that a narrow store does not write.
func storeLow(mask int64) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		for {
			def := &s.out[in.Args[1]]
			switch def.Op {
			case ir.I32And:
				if c, ok := s.constOf(def.Args[1]); ok && c&mask == mask {
					in.Args[1] = def.Args[0]
					continue
				}
			case ir.I32Extend16S:
				in.Args[1] = def.Args[0]
				continue
			case ir.I32Extend8S:
				if mask == 0xff {
					in.Args[1] = def.Args[0]
					continue
				}
			}
			return ir.None
		}
	}
}

// scalarLoad splits a load into lane 0, with zeros above, from the scalar load
// in it, if the block uses the scalar.
func scalarLoad(extract, load, replace ir.Op) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		used := false
		for i := range s.old {
			// Cheap enough: only blocks with scalar code come here.
			if o := &s.old[i]; (o.Op == extract || o.Op == replace) && o.Imm == 0 {
				used = true
				break
			}
		}
		if !used {
			return ir.None
		}
		scalar := s.add(ir.Inst{Op: load, Type: ir.Rows[load].Result, PC: in.PC, Imm: in.Imm, Args: in.Args})
		zero := s.constant(ir.V128Const, 0)
		return s.op(replace, zero, scalar)
	}
}

// extractLane looks through replacements of lanes.
func extractLane(replace ir.Op) foldFunc {
	return func(s *simplifier, in *ir.Inst) ir.Value {
		for {
			def := &s.out[in.Args[0]]
			if def.Op != replace {
				return ir.None
			}
			if def.Imm == in.Imm {
				return def.Args[1]
			}
			in.Args[0] = def.Args[0]
		}
	}
}

// replaceLane drops replacements of a lane that is replaced again, and of a
// lane by itself.
func replaceLane(s *simplifier, in *ir.Inst) ir.Value {
	for def := &s.out[in.Args[0]]; def.Op == in.Op && def.Imm == in.Imm; def = &s.out[in.Args[0]] {
		in.Args[0] = def.Args[0]
	}
	if v := &s.out[in.Args[1]]; v.Args[0] == in.Args[0] && v.Imm == in.Imm {
		switch {
		case in.Op == ir.F64x2ReplaceLane && v.Op == ir.F64x2ExtractLane, in.Op == ir.F32x4ReplaceLane && v.Op == ir.F32x4ExtractLane,
			in.Op == ir.I64x2ReplaceLane && v.Op == ir.I64x2ExtractLane, in.Op == ir.I32x4ReplaceLane && v.Op == ir.I32x4ExtractLane:
			return in.Args[0]
		}
	}
	return ir.None
}
