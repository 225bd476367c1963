package cgen

import (
	"fmt"
	"strings"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// plain writes an instruction that is a function of prelude.h or vector.h: of
// context, address and offset if it accesses memory, then of its operands, then
// of its lane.
func (x *fn) plain(in *wasm.Inst) error {
	row := in.Op.Row()
	name := strings.ReplaceAll(row.Name, ".", "_")
	params, result, ok := shape(row.Name)
	if !ok {
		return fmt.Errorf("instruction %s has no meaning in C", row.Name)
	}
	args := x.popN(params)
	switch row.Imm {
	case wasm.ImmMemArg, wasm.ImmMemArgLane:
		if in.B > guestabi.NativeMaxOffset-16 {
			return fmt.Errorf("instruction %s has the offset %#x, which is more than native code has", row.Name, in.B)
		}
		address, rest, _ := strings.Cut(args, ", ")
		args = fmt.Sprintf("c, %s, %d", address, in.B)
		if rest != "" {
			args += ", " + rest
		}
		if row.Imm == wasm.ImmMemArgLane {
			args += fmt.Sprintf(", %d", in.Lane)
		}
	case wasm.ImmLane:
		args += fmt.Sprintf(", %d", in.A)
	}
	if strings.Contains(row.Name, ".div_") || strings.Contains(row.Name, ".rem_") {
		x.linef("if (UNLIKELY(%s_traps(%s))) host_trap(c, %d, %du);", name, args, guestabi.NativeTrapDivide, noPlace)
	}
	if result {
		x.push("%s(%s)", name, args)
	} else {
		x.linef("%s(%s);", name, args)
	}
	return nil
}

// shape says how many values an instruction takes and whether it gives one.
func shape(name string) (params int, result, ok bool) {
	typ, op, found := strings.Cut(name, ".")
	if !found {
		return 0, false, false
	}
	vector := strings.Contains(typ, "x") || typ == "v128"
	switch {
	case name == "atomic.fence":
		return 0, false, true
	case strings.HasPrefix(op, "atomic."):
		return atomicShape(strings.TrimPrefix(op, "atomic."))
	case strings.HasPrefix(op, "load") && strings.HasSuffix(op, "_lane"):
		return 2, true, true
	case strings.HasPrefix(op, "load"):
		return 1, true, true
	case strings.HasPrefix(op, "store"):
		return 2, false, true
	case op == "bitselect":
		return 3, true, true
	case strings.HasPrefix(op, "replace_lane"):
		return 2, true, true
	case typ == "memory" || typ == "table" || typ == "ref" || typ == "data" || typ == "elem" || strings.HasPrefix(op, "trunc_f"):
		return 0, false, false
	}
	for _, unary := range unaries {
		if op == unary || strings.HasSuffix(unary, "*") && strings.HasPrefix(op, unary[:len(unary)-1]) {
			return 1, true, true
		}
	}
	if vector && (op == "shl" || strings.HasPrefix(op, "shr_")) {
		return 2, true, true
	}
	return 2, true, true
}

// unaries are the operations of one operand; a star stands for any ending.
var unaries = []string{
	"eqz", "clz", "ctz", "popcnt", "abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt", "not",
	"wrap_i64", "extend8_s", "extend16_s", "extend32_s", "extend_*", "convert_*", "demote_*", "promote_*", "reinterpret_*", "trunc_sat_*",
	"splat", "any_true", "all_true", "bitmask", "extract_lane*", "extadd_*",
}

func atomicShape(op string) (params int, result, ok bool) {
	switch {
	case strings.HasPrefix(op, "load"):
		return 1, true, true
	case strings.HasPrefix(op, "store"):
		return 2, false, true
	case strings.Contains(op, "cmpxchg"):
		return 3, true, true
	case strings.HasPrefix(op, "rmw"):
		return 2, true, true
	}
	return 0, false, false
}
