package lift

import (
	"fmt"
	"math/bits"

	"megabinary.dev/plugins/recompile/internal/ir"
)

// op64 returns the i64 operation that corresponds to the i32 operation op.
func op64(op ir.Op) ir.Op {
	switch {
	case op >= ir.I32Eqz && op <= ir.I32GeU:
		return op - ir.I32Eqz + ir.I64Eqz
	case op >= ir.I32Clz && op <= ir.I32Rotr:
		return op - ir.I32Clz + ir.I64Clz
	}
	panic(fmt.Sprintf("BUG: %s has no i64 twin", ir.Rows[op].Name))
}

// op appends the i32 operation op on the arguments, or its i64 twin if the
// first one is an i64.
func (l *Lifter) op(op ir.Op, args ...ir.Value) ir.Value {
	if l.b.TypeOf(args[0]) == ir.I64 {
		op = op64(op)
	}
	return l.b.Op(op, args...)
}

// opImm appends op (or its i64 twin) on x and a constant.
func (l *Lifter) opImm(op ir.Op, x ir.Value, imm int64) ir.Value {
	return l.op(op, x, l.constLike(x, imm))
}

// constLike appends a constant of the type of v.
func (l *Lifter) constLike(v ir.Value, imm int64) ir.Value {
	if l.b.TypeOf(v) == ir.I64 {
		return l.b.I64(imm)
	}
	return l.b.I32(int32(imm))
}

// constW appends a constant of the type in which values of width w are computed.
func (l *Lifter) constW(w int, imm int64) ir.Value {
	if w == 64 {
		return l.b.I64(imm)
	}
	return l.b.I32(int32(imm))
}

// wrap returns the low 32 bits of v, an i64 (or v itself, an i32).
func (l *Lifter) wrap(v ir.Value) ir.Value {
	if l.b.TypeOf(v) == ir.I32 {
		return v
	}
	switch in := l.def(v); in.Op {
	case ir.I64ExtendI32S, ir.I64ExtendI32U:
		return in.Args[0]
	case ir.I64Const:
		return l.b.I32(int32(in.Imm))
	case ir.GuestAddr:
		return l.b.GuestAddr32(uint64(in.Imm))
	}
	for len(l.wraps) <= int(v) {
		l.wraps = append(l.wraps, ir.None)
	}
	if l.wraps[v] == ir.None {
		l.wraps[v] = l.b.Op(ir.I32WrapI64, v)
	}
	return l.wraps[v]
}

// extendU returns v, an i32, zero-extended to i64.
func (l *Lifter) extendU(v ir.Value) ir.Value {
	if in := l.def(v); in.Op == ir.I32Const {
		return l.b.I64(int64(uint32(in.Imm)))
	}
	return l.b.Op(ir.I64ExtendI32U, v)
}

// extendS returns v, an i32, sign-extended to i64.
func (l *Lifter) extendS(v ir.Value) ir.Value {
	if in := l.def(v); in.Op == ir.I32Const {
		return l.b.I64(int64(int32(in.Imm)))
	}
	return l.b.Op(ir.I64ExtendI32S, v)
}

// size returns a bound of how many low bits of v, an integer, may be set.
func (l *Lifter) size(v ir.Value) int { return l.sizeDepth(v, 4) }

func (l *Lifter) sizeDepth(v ir.Value, depth int) int {
	in := l.def(v)
	full := 64
	if in.Type == ir.I32 {
		full = 32
	}
	if depth == 0 {
		return full
	}
	arg := func(i int) int { return l.sizeDepth(in.Args[i], depth-1) }
	switch op := in.Op; {
	case op == ir.I32Const:
		return bits.Len32(uint32(in.Imm))
	case op == ir.I64Const:
		return bits.Len64(uint64(in.Imm))
	case op == ir.I32Load8U, op == ir.I64Load8U, op == ir.I32AtomicRmw8XchgU, op == ir.I32AtomicRmw8AddU, op == ir.I32AtomicRmw8CmpxchgU:
		return 8
	case op == ir.I32Load16U, op == ir.I64Load16U, op == ir.I32AtomicRmw16XchgU, op == ir.I32AtomicRmw16AddU, op == ir.I32AtomicRmw16CmpxchgU:
		return 16
	case op == ir.I64Load32U:
		return 32
	case op >= ir.I32Eqz && op <= ir.F64Ge:
		return 1
	case op == ir.I64ExtendI32U:
		return arg(0)
	case op == ir.I32WrapI64:
		return min(32, arg(0))
	case op == ir.I32And, op == ir.I64And:
		return min(arg(0), arg(1))
	case op == ir.I32Or, op == ir.I64Or, op == ir.I32Xor, op == ir.I64Xor:
		return max(arg(0), arg(1))
	case op == ir.Select:
		return max(arg(0), arg(1))
	case op == ir.I32ShrU, op == ir.I64ShrU:
		n := arg(0)
		if c, ok := l.constant(in.Args[1]); ok && c >= 0 && c < int64(full) {
			return max(0, n-int(c))
		}
		return n
	}
	return full
}

// zx returns v, the result of width w, zero-extended within its type.
func (l *Lifter) zx(v ir.Value, w int) ir.Value {
	if w >= 32 || l.size(v) <= w {
		return v
	}
	if c, ok := l.constant(v); ok {
		return l.b.I32(int32(c & (1<<w - 1)))
	}
	return l.opImm(ir.I32And, v, 1<<w-1)
}

// sx returns v, the result of width w, sign-extended within its type.
func (l *Lifter) sx(v ir.Value, w int) ir.Value {
	if w < 32 && l.size(v) < w {
		return v
	}
	if c, ok := l.constant(v); ok && w < 32 {
		return l.b.I32(int32(c << (64 - w) >> (64 - w)))
	}
	switch w {
	case 8:
		return l.b.Op(ir.I32Extend8S, v)
	case 16:
		return l.b.Op(ir.I32Extend16S, v)
	}
	return v
}

// wide returns v, of width w and any upper bits, zero-extended to i64.
func (l *Lifter) wide(v ir.Value, w int) ir.Value {
	if w == 64 {
		return v
	}
	return l.extendU(l.zx(v, w))
}

// wideS returns v, of width w and any upper bits, sign-extended to i64.
func (l *Lifter) wideS(v ir.Value, w int) ir.Value {
	if w == 64 {
		return v
	}
	return l.extendS(l.sx(v, w))
}

// bit returns bit n of v as an i32, 0 or 1.
func (l *Lifter) bit(v ir.Value, n int) ir.Value {
	top := 31
	if l.b.TypeOf(v) == ir.I64 {
		top = 63
	}
	if n > 0 {
		v = l.opImm(ir.I32ShrU, v, int64(n))
	}
	v = l.wrap(v)
	if n == top || l.size(v) <= 1 {
		return v
	}
	return l.opImm(ir.I32And, v, 1)
}

// not returns 1 if v, an i32, is 0, else 0.
func (l *Lifter) not(v ir.Value) ir.Value { return l.b.Op(ir.I32Eqz, v) }

// nonzero returns 1 if v is not 0, else 0.
func (l *Lifter) nonzero(v ir.Value) ir.Value {
	if l.size(v) <= 1 {
		return l.wrap(v)
	}
	return l.opImm(ir.I32Ne, v, 0)
}
