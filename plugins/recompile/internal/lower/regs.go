package lower

import (
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// localOf returns the local that r lives in within the current block.
func (x *fn) localOf(r ir.Reg) (uint32, bool) {
	if x.b.Promoted.Has(r) {
		return x.regLocal(r), true
	}
	return 0, false
}

// regLocal returns the function's local for r.
func (x *fn) regLocal(r ir.Reg) uint32 {
	l, ok := x.promoted[r]
	if !ok {
		l = x.body.Local(wasm.ValType(ir.RegType(r)))
		x.promoted[r] = l
	}
	return l
}

// getReg pushes r.
func (x *fn) getReg(r ir.Reg) {
	if l, ok := x.localOf(r); ok {
		x.body.LocalGet(l)
		return
	}
	x.body.GlobalGet(x.env.Globals[r])
}

// setGlobal pops a value into the global of r.
func (x *fn) setGlobal(r ir.Reg) { x.body.GlobalSet(x.env.Globals[r]) }

// spill brings the globals of the promoted registers regs up to date.
func (x *fn) spill(regs ir.RegSet) {
	scalars := ir.RegSet(0)
	for _, r := range regs.Regs() {
		if r >= ir.ScalarLo {
			scalars |= 1 << ((r - ir.ScalarLo) % ir.MaxScalars)
			continue
		}
		x.body.LocalGet(x.regLocal(r))
		x.setGlobal(r)
	}
	for _, k := range scalars.Regs() {
		x.body.LocalGet(x.regLocal(ir.ScalarLo + k))
		x.body.Op(wasm.OpF64x2Splat)
		x.body.LocalGet(x.regLocal(ir.ScalarHi + k))
		x.body.Lane(wasm.OpI64x2ReplaceLane, 1)
		x.setGlobal(x.f.Scalars[k])
	}
}

// reload brings the locals of the promoted registers regs up to date.
func (x *fn) reload(regs ir.RegSet) {
	for _, r := range regs.Regs() {
		switch {
		case r >= ir.ScalarHi:
			x.body.GlobalGet(x.env.Globals[x.f.Scalars[r-ir.ScalarHi]])
			x.body.Lane(wasm.OpI64x2ExtractLane, 1)
		case r >= ir.ScalarLo:
			x.body.GlobalGet(x.env.Globals[x.f.Scalars[r-ir.ScalarLo]])
			x.body.Lane(wasm.OpF64x2ExtractLane, 0)
		default:
			x.body.GlobalGet(x.env.Globals[r])
		}
		x.body.LocalSet(x.regLocal(r))
	}
}

// convert brings the registers from where they live in block from to where
// they live in block to.
func (x *fn) convert(from, to *ir.Block) {
	x.spill(from.Dirty &^ to.Promoted)
	x.reload(to.Promoted &^ from.Promoted)
}

// UsedYMM adds the upper halves of ymm registers that f uses.
func UsedYMM(f *ir.Func, used map[ir.Reg]bool) {
	for _, b := range f.Blocks {
		for i := range b.Insts {
			if in := &b.Insts[i]; (in.Op == ir.Get || in.Op == ir.Set) && in.Reg >= ir.NumRegs {
				used[in.Reg] = true
			}
		}
	}
}

// UsedRegs returns the registers whose globals the lowering of f touches, less
// those of UsedYMM.
func UsedRegs(f *ir.Func) ir.RegSet {
	used := ir.RegSetOf(f.Scalars...)
	if f.Careful != nil {
		used |= ir.RegSetOf(guestabi.MXCSR)
	}
	for _, b := range f.Blocks {
		used |= b.Promoted & (1<<guestabi.NumRegs - 1)
		if b.Safepoint {
			used |= ir.RegSetOf(guestabi.Fuel)
		}
		for i := range b.Insts {
			if op := b.Insts[i].Op; (op == ir.Get || op == ir.Set) && b.Insts[i].Reg < guestabi.NumRegs {
				used |= ir.RegSetOf(b.Insts[i].Reg)
			}
		}
		switch b.Term.Kind {
		case ir.TermCall, ir.TermTail, ir.TermIndirect:
			used |= ir.RegSetOf(guestabi.LastPC)
		case ir.TermSyscall:
			used |= ir.RegSetOf(guestabi.RAX, guestabi.RDI, guestabi.RSI, guestabi.RDX, guestabi.R10, guestabi.R8, guestabi.R9)
		}
	}
	return used
}

// UsedHelpers adds the host functions that the lowering of f calls.
func UsedHelpers(f *ir.Func, used map[string]bool) {
	for _, b := range f.Blocks {
		if b.Safepoint {
			used[guestabi.FuncSafepoint] = true
		}
		if b.Term.Kind == ir.TermSyscall {
			used[guestabi.FuncSyscall] = true
		}
		for i := range b.Insts {
			switch op := b.Insts[i].Op; {
			case op == ir.Helper:
				used[b.Insts[i].Helper().Name] = true
			case isAtomic(&ir.Rows[op]) && ir.Rows[op].Size > 1:
				used[guestabi.FuncAtomic] = true
			}
		}
	}
}
