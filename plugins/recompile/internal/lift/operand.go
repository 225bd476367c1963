package lift

import (
	"fmt"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
)

// gpr takes a general register apart: its number, its width in bits, and
// whether it is one of ah, ch, dh, bh.
func gpr(r x86asm.Reg) (reg ir.Reg, width int, high, ok bool) {
	switch {
	case r >= x86asm.AH && r <= x86asm.BH:
		return ir.Reg(r - x86asm.AH), 8, true, true
	case r >= x86asm.AL && r <= x86asm.BL:
		return ir.Reg(r - x86asm.AL), 8, false, true
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return ir.Reg(r-x86asm.SPB) + guestabi.RSP, 8, false, true
	case r >= x86asm.AX && r <= x86asm.R15W:
		return ir.Reg(r - x86asm.AX), 16, false, true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return ir.Reg(r - x86asm.EAX), 32, false, true
	case r >= x86asm.RAX && r <= x86asm.R15:
		return ir.Reg(r - x86asm.RAX), 64, false, true
	}
	return 0, 0, false, false
}

// xmm returns the number of an xmm register that SSE code can name, or of one
// that stands for an operand of AVX (see half).
func xmm(a x86asm.Arg) (ir.Reg, bool) {
	r, ok := a.(x86asm.Reg)
	if !ok || r < x86asm.X0 || r > x86asm.X31 {
		return 0, false
	}
	return guestabi.XMM0 + ir.Reg(r-x86asm.X0), true
}

// width returns the size of operand a in bits: of a general register its own,
// of memory what the decoder says, of an immediate that of the first operand.
func (l *Lifter) width(a x86asm.Arg) int {
	switch a := a.(type) {
	case x86asm.Reg:
		if _, w, _, ok := gpr(a); ok {
			return w
		}
		if a >= x86asm.X0 && a <= x86asm.X15 {
			return 128
		}
	case x86asm.Mem:
		return l.in.MemBytes * 8
	case x86asm.Imm:
		if _, ok := l.in.Args[0].(x86asm.Imm); !ok {
			return l.width(l.in.Args[0])
		}
	}
	return 0
}

// integer reports whether each of the operands is an immediate, or a general
// register or memory of 8 to 64 bits. Handlers ask before they emit anything.
func (l *Lifter) integer(args ...x86asm.Arg) bool {
	for _, a := range args {
		switch a.(type) {
		case x86asm.Imm:
		case x86asm.Reg, x86asm.Mem:
			switch l.width(a) {
			case 8, 16, 32, 64:
			default:
				return false
			}
		default:
			return false
		}
	}
	return true
}

// get returns operand a: zero-extended i32 up to 32 bits, else i64.
func (l *Lifter) get(a x86asm.Arg) ir.Value { return l.getW(a, l.width(a)) }

// getW returns operand a, of which an immediate has width w.
func (l *Lifter) getW(a x86asm.Arg, w int) ir.Value { return l.zx(l.raw(a, w), w) }

// raw returns operand a as getW does, but with any bits above the width w.
func (l *Lifter) raw(a x86asm.Arg, w int) ir.Value {
	switch a := a.(type) {
	case x86asm.Reg:
		return l.rawGPR(a)
	case x86asm.Mem:
		base, disp := l.addr(a)
		return l.load(loadOp(w), base, disp)
	case x86asm.Imm:
		return l.immediate(int64(a), w)
	}
	panic(fmt.Sprintf("BUG: %s at %#x: reading operand %v", l.in.Op, l.in.PC, a))
}

func (l *Lifter) immediate(v int64, w int) ir.Value {
	if w < 32 {
		v &= 1<<w - 1
	}
	return l.constW(w, v)
}

// getGPR returns a register, zero-extended within its type.
func (l *Lifter) getGPR(r x86asm.Reg) ir.Value {
	_, w, _, _ := gpr(r)
	return l.zx(l.rawGPR(r), w)
}

// rawGPR returns a register with any bits above its width.
func (l *Lifter) rawGPR(r x86asm.Reg) ir.Value {
	reg, w, high, ok := gpr(r)
	if !ok {
		panic(fmt.Sprintf("BUG: %s at %#x: %s is no general register", l.in.Op, l.in.PC, r))
	}
	if low := l.lows[reg]; !high && w <= low.w {
		return low.v
	}
	v := l.getReg(reg)
	if w == 64 {
		return v
	}
	v = l.wrap(v)
	if high {
		v = l.opImm(ir.I32ShrU, v, 8)
	}
	return v
}

// set writes v to operand a. Bits of v above the operand's size are ignored.
func (l *Lifter) set(a x86asm.Arg, v ir.Value) {
	switch a := a.(type) {
	case x86asm.Reg:
		l.setGPR(a, v)
	case x86asm.Mem:
		base, disp := l.addr(a)
		l.store(storeOp(l.width(a)), base, disp, v)
	default:
		panic(fmt.Sprintf("BUG: %s at %#x: writing operand %v", l.in.Op, l.in.PC, a))
	}
}

func (l *Lifter) setGPR(r x86asm.Reg, v ir.Value) {
	reg, w, high, ok := gpr(r)
	if !ok {
		panic(fmt.Sprintf("BUG: %s at %#x: %s is no general register", l.in.Op, l.in.PC, r))
	}
	switch {
	case w == 64:
		l.setReg(reg, v)
	case w == 32:
		l.setReg(reg, l.extendU(v))
	case high:
		old := l.opImm(ir.I32And, l.getReg(reg), ^int64(0xff00))
		l.setReg(reg, l.b.Op(ir.I64Or, old, l.opImm(ir.I32Shl, l.wide(v, 8), 8)))
	default:
		v = l.zx(v, w)
		old := l.opImm(ir.I32And, l.getReg(reg), ^(int64(1)<<w - 1))
		l.setReg(reg, l.b.Op(ir.I64Or, old, l.extendU(v)))
		l.lows[reg] = part{v: v, w: w}
	}
}

// addr returns the guest address of memory operand m as an i32 base and a
// displacement: x86's sum modulo 2^32, since guest memory lies below 4 GiB.
func (l *Lifter) addr(m x86asm.Mem) (base ir.Value, disp int32) {
	if l.ea.block == l.b.Block.ID && l.ea.mem == m {
		return l.ea.base, l.ea.disp
	}
	base, disp = l.computeAddr(m)
	l.ea = address{mem: m, base: base, disp: disp, block: l.b.Block.ID}
	return base, disp
}

func (l *Lifter) computeAddr(m x86asm.Mem) (base ir.Value, disp int32) {
	base, disp = ir.None, int32(m.Disp)
	add := func(v ir.Value) {
		if base == ir.None {
			base = v
		} else {
			base = l.b.Op(ir.I32Add, base, v)
		}
	}
	if m.Base == x86asm.RIP || m.Base == x86asm.EIP {
		base, disp = l.b.GuestAddr32(l.in.Next()+uint64(m.Disp)), 0
	} else if m.Base != 0 {
		add(l.wrap(l.get64(m.Base)))
	}
	if m.Scale != 0 && m.Index != 0 {
		add(l.scaled(l.wrap(l.get64(m.Index)), m.Scale))
	}
	if seg, ok := segment(m); ok {
		add(l.wrap(l.getReg(seg)))
	}
	if base == ir.None {
		base, disp = l.b.I32(disp), 0
	}
	return base, disp
}

// get64 returns the whole register of which r is a part.
func (l *Lifter) get64(r x86asm.Reg) ir.Value {
	reg, _, _, ok := gpr(r)
	if !ok {
		panic(fmt.Sprintf("BUG: %s at %#x: %s in an address", l.in.Op, l.in.PC, r))
	}
	return l.getReg(reg)
}

func (l *Lifter) scaled(v ir.Value, scale uint8) ir.Value {
	switch scale {
	case 2:
		return l.opImm(ir.I32Shl, v, 1)
	case 4:
		return l.opImm(ir.I32Shl, v, 2)
	case 8:
		return l.opImm(ir.I32Shl, v, 3)
	}
	return v
}

// segment returns the register that holds the base of m's segment, if any.
func segment(m x86asm.Mem) (ir.Reg, bool) {
	switch m.Segment {
	case x86asm.FS:
		return guestabi.FSBase, true
	case x86asm.GS:
		return guestabi.GSBase, true
	}
	return 0, false
}

// load appends a load of any kind at base+disp.
func (l *Lifter) load(op ir.Op, base ir.Value, disp int32) ir.Value {
	return l.b.OpImm(op, int64(disp), base)
}

// store appends a store of any kind at base+disp.
func (l *Lifter) store(op ir.Op, base ir.Value, disp int32, v ir.Value) {
	l.b.OpImm(op, int64(disp), base, v)
}

// loadOp returns the load of w bits, zero-extended to the type of that width.
func loadOp(w int) ir.Op {
	switch w {
	case 8:
		return ir.I32Load8U
	case 16:
		return ir.I32Load16U
	case 32:
		return ir.I32Load
	case 64:
		return ir.I64Load
	}
	panic(fmt.Sprintf("BUG: load of %d bits", w))
}

func storeOp(w int) ir.Op {
	switch w {
	case 8:
		return ir.I32Store8
	case 16:
		return ir.I32Store16
	case 32:
		return ir.I32Store
	case 64:
		return ir.I64Store
	}
	panic(fmt.Sprintf("BUG: store of %d bits", w))
}
