package lower

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// beginPlaces starts the code map of a block: the globals hold what they held
// at its start.
func (x *fn) beginPlaces() {
	x.sp = 0
	for r := range x.holds {
		x.holds[r] = ir.None
	}
}

// mayStop notes that the next wasm instruction, which is part of in and takes
// its address from the first argument, may stop the function: the code map has
// an entry for each that guestabi.Stops is true of.
func (x *fn) mayStop(in *ir.Inst) {
	distance, ok := in.SP.Sub(x.sp)
	if !ok {
		distance = 0 // the global is the best that is known
	}
	stale := len(ir.Rows[in.Op].Args) > 0 && !x.isHeld(in.Args[0], 0)
	x.codeMap.Add(in.PC, distance, stale)
}

// wrote notes a Set that was emitted, and read a Get.
func (x *fn) wrote(in *ir.Inst) {
	if in.Reg == guestabi.RSP {
		x.sp = in.SP
	}
	if _, local := x.localOf(in.Reg); !local && in.Reg <= guestabi.R15 {
		x.holds[in.Reg] = in.Args[0]
	}
}

func (x *fn) read(in *ir.Inst, v ir.Value) {
	if in.Reg <= guestabi.R15 && !x.b.Dirty.Has(in.Reg) {
		x.holds[in.Reg] = v
	}
}

// maxAddress bounds the depth of an address's computation that is looked at.
const maxAddress = 6

// isHeld reports whether what v is computed from is in the globals of general
// registers now, so that the guest's instruction can be computed again.
func (x *fn) isHeld(v ir.Value, depth int) bool {
	for _, held := range x.holds {
		if held != ir.None && x.same(held, v) {
			return true
		}
	}
	in := &x.b.Insts[v]
	switch {
	case in.Op == ir.GuestAddr || in.Op == ir.GuestAddr32:
		return true
	case in.Op == ir.Get:
		// What lives in a local may still be what it was before the loop.
		return in.Reg > guestabi.R15 || x.holds[in.Reg] == ir.None
	case isConst(in.Op) || ir.Rows[in.Op].Effect != ir.Pure || in.Op == ir.Result || in.Op == ir.SharedAddr || depth == maxAddress:
		return false
	}
	for i := range ir.Rows[in.Op].Args {
		a := in.Args[i]
		if isConst(x.b.Insts[a].Op) && i > 0 {
			continue // a displacement or a scale
		}
		if !x.isHeld(a, depth+1) {
			return false
		}
	}
	return true
}

// same reports whether two values are one, or equal constants in 32 bits.
func (x *fn) same(a, b ir.Value) bool {
	if a == b {
		return true
	}
	c, d := &x.b.Insts[a], &x.b.Insts[b]
	return isConst(c.Op) && isConst(d.Op) && int32(c.Imm) == int32(d.Imm)
}
