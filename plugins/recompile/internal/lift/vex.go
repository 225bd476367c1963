package lift

import (
	"fmt"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// An instruction of AVX does to each 128 bits of its operands what the SSE
// instruction of its name does, in a register of its own. So the handler of the
// SSE row is run on each half, with operands that stand for the halves, and what
// it writes to its destination is kept until both are there.

// operand0 is the first of the registers that stand for the operands of a half.
// No instruction of VEX or SSE names it.
const operand0 = x86asm.X16

// half is the state while a handler runs on half of the operands.
type half struct {
	active   bool
	operands [4]struct {
		from  x86asm.Arg
		reg   ir.Reg
		value ir.Value // instead of that of reg, or None
	}
	n      int
	result ir.Value
}

// register returns the register that stands for from, which means reg.
func (h *half) register(from x86asm.Arg, reg ir.Reg, value ir.Value) x86asm.Arg {
	for i := range h.n {
		if o := &h.operands[i]; o.from == from && o.reg == reg && o.value == value {
			return operand0 + x86asm.Reg(i)
		}
	}
	o := &h.operands[h.n]
	o.from, o.reg, o.value = from, reg, value
	h.n++
	return operand0 + x86asm.Reg(h.n-1)
}

// halfOperand returns what a register of the half means.
func (l *Lifter) halfOperand(a x86asm.Arg) ir.Value {
	o := &l.half.operands[a.(x86asm.Reg)-operand0]
	if o.value != ir.None {
		return o.value
	}
	return l.getReg(o.reg)
}

// vreg takes an xmm or ymm register apart: its number, and whether it is a ymm
// register.
func vreg(a x86asm.Arg) (n ir.Reg, wide, ok bool) {
	switch r, _ := a.(x86asm.Reg); {
	case r >= x86asm.X0 && r <= x86asm.X15:
		return ir.Reg(r - x86asm.X0), false, true
	case r >= x86asm.Y0 && r <= x86asm.Y15:
		return ir.Reg(r - x86asm.Y0), true, true
	}
	return 0, false, false
}

// isWide reports whether an operand has 256 bits.
func isWide(in x86.Inst) bool {
	if in.MemBytes == 32 {
		return true
	}
	for _, a := range in.Args {
		if _, wide, ok := vreg(a); ok && wide {
			return true
		}
	}
	return false
}

// isEVEX reports an encoding of AVX-512, which no guest's processor has.
func isEVEX(in x86.Inst) bool {
	for _, b := range in.Bytes {
		switch b {
		case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
			continue
		}
		return b == 0x62
	}
	return false
}

// getHalf returns the lower or upper half of a ymm register, or of an xmm
// register, whose upper half is that of its ymm register.
func (l *Lifter) getHalf(a x86asm.Arg, upper bool) ir.Value {
	n, _, ok := vreg(a)
	switch {
	case !ok:
		panic(fmt.Sprintf("BUG: %s at %#x: %v is no vector register", l.in.Op, l.in.PC, a))
	case upper:
		return l.getReg(guestabi.YMMH0 + n)
	}
	return l.getReg(guestabi.XMM0 + n)
}

// vecHalf returns half of a register, or 16 bytes of memory.
func (l *Lifter) vecHalf(a x86asm.Arg, upper bool) ir.Value {
	m, ok := a.(x86asm.Mem)
	if !ok {
		return l.getHalf(a, upper)
	}
	base, disp := l.addr(m)
	if upper {
		disp += 16
	}
	return l.load(ir.V128Load, base, disp)
}

// setYMM writes both halves of a register; high may be None: zero.
func (l *Lifter) setYMM(a x86asm.Arg, low, high ir.Value) {
	n, _, ok := vreg(a)
	if !ok {
		panic(fmt.Sprintf("BUG: %s at %#x: %v is no vector register", l.in.Op, l.in.PC, a))
	}
	l.setReg(guestabi.XMM0+n, low)
	if high == ir.None {
		l.clearHigh(n)
		return
	}
	l.setReg(guestabi.YMMH0+n, high)
}

// clearHigh zeroes the upper half of ymm register n unless it is known to be
// zero: every 128-bit instruction does so.
func (l *Lifter) clearHigh(n ir.Reg) {
	r := guestabi.YMMH0 + n
	if v := l.regs[r]; v != ir.None {
		if def := l.def(v); def.Op == ir.V128Const && def.Imm == 0 && def.Imm2 == 0 {
			return
		}
	}
	l.setReg(r, l.zeroVec())
}

// vexForm says how the operands of an instruction of AVX are those of its SSE
// form.
type vexForm struct {
	// three: the destination is an operand of its own, before those of SSE, of
	// which the first is only read.
	three bool
	// whole is the index, among the operands of SSE, of one that both halves
	// read whole (the count of a shift), or 0.
	whole int
	// step is how many bytes of the last register or memory operand a half
	// takes, if it is not 16: the instruction widens.
	step int
	// narrow: each half gives 8 bytes, which lie side by side.
	narrow bool
	// shift says by how many bits the immediate is shifted for the upper half.
	shift uint
}

// row makes the row of AVX of one of SSE.
func (f vexForm) row(sse Row) Row {
	row := sse
	row.Lift = func(l *Lifter, in x86.Inst) error {
		if isEVEX(in) {
			return l.unsupported("AVX-512")
		}
		return f.lift(l, in, sse.Lift)
	}
	if sse.Careful != nil {
		row.Careful = func(l *Lifter, in x86.Inst) error {
			if isEVEX(in) {
				return l.unsupported("AVX-512")
			}
			return f.lift(l, in, sse.Careful)
		}
	}
	return row
}

func (f vexForm) lift(l *Lifter, in x86.Inst, sse handler) error {
	if _, _, ok := vreg(in.Args[0]); !ok {
		return l.unsupported("operands")
	}
	l.raised, l.exceptions = ir.None, ir.None
	low, err := f.half(l, in, sse, false)
	if err != nil {
		return err
	}
	high := ir.None
	if isWide(in) {
		if high, err = f.half(l, in, sse, true); err != nil {
			return err
		}
	}
	if f.narrow && high != ir.None {
		low, high = l.b.Shuffle(low, high, lanesOf(8, 0, 2)), ir.None
	}
	l.setUnlessRaised(in.Args[0], low, high)
	return nil
}

// setUnlessRaised is setYMM, but after an exception that is not masked the
// register keeps what it has.
func (l *Lifter) setUnlessRaised(a x86asm.Arg, low, high ir.Value) {
	if l.raised == ir.None {
		l.setYMM(a, low, high)
		return
	}
	if high == ir.None {
		high = l.zeroVec()
	}
	l.setFlags()
	low = l.b.Select(l.getHalf(a, false), low, l.raised)
	high = l.b.Select(l.getHalf(a, true), high, l.raised)
	l.setYMM(a, low, high)
	l.faultIf(l.raised, guestabi.FaultSIMD)
}

// half runs the handler of SSE on half of the operands and returns what it
// writes to its destination.
func (f vexForm) half(l *Lifter, in x86.Inst, sse handler, upper bool) (ir.Value, error) {
	part, wide := in, isWide(in)
	if f.three {
		copy(part.Args[:], in.Args[1:])
		part.Args[len(part.Args)-1] = nil
	}
	step := 16
	if f.step != 0 {
		step = f.step
	}
	l.half = half{active: true, result: ir.None}
	defer func() { l.in, l.half = in, half{} }()
	for i, a := range part.Args {
		upper := upper && !(f.whole > 0 && i == f.whole)
		switch a := a.(type) {
		case x86asm.Reg:
			n, _, ok := vreg(a)
			switch {
			case !ok:
			case !upper:
				part.Args[i] = l.half.register(a, guestabi.XMM0+n, ir.None)
			case f.step != 0 && i == 1:
				part.Args[i] = l.half.register(a, guestabi.XMM0+n, l.bytesFrom(l.getReg(guestabi.XMM0+n), f.step))
			default:
				part.Args[i] = l.half.register(a, guestabi.YMMH0+n, ir.None)
			}
		case x86asm.Mem:
			if upper {
				a.Disp += int64(step)
				part.Args[i] = a
			}
			if wide && i != f.whole {
				part.MemBytes = in.MemBytes / 2
			}
		case x86asm.Imm:
			if upper {
				part.Args[i] = a >> f.shift
			}
		}
	}
	l.in = part
	if err := sse(l, part); err != nil {
		return ir.None, err
	}
	if l.half.result == ir.None {
		panic(fmt.Sprintf("BUG: %s at %#x: the handler of SSE wrote nothing", in.Op, in.PC))
	}
	return l.half.result, nil
}

// bytesFrom returns v shifted right by n bytes, with anything above.
func (l *Lifter) bytesFrom(v ir.Value, n int) ir.Value {
	var lanes [16]byte
	for i := range lanes {
		lanes[i] = byte((i + n) & 15)
	}
	return l.b.Shuffle(v, v, lanes)
}

// sameOperands makes the row of an instruction whose VEX form differs from SSE
// only in its name: its destination is no vector register.
func sameOperands(sse Row) Row {
	row := sse
	row.Lift = func(l *Lifter, in x86.Inst) error {
		if isEVEX(in) || isWide(in) {
			return l.unsupported("form")
		}
		return sse.Lift(l, in)
	}
	if sse.Careful != nil {
		row.Careful = func(l *Lifter, in x86.Inst) error {
			if isEVEX(in) || isWide(in) {
				return l.unsupported("form")
			}
			return sse.Careful(l, in)
		}
	}
	return row
}

// byOperands chooses between the rows for a memory destination or general
// register, for two operands, and for three.
func byOperands(same, two, three Row) Row {
	row := same
	row.Lift = func(l *Lifter, in x86.Inst) error {
		_, _, vector := vreg(in.Args[0])
		switch {
		case !vector:
			return same.Lift(l, in)
		case in.Args[2] == nil && two.Lift != nil:
			return two.Lift(l, in)
		case three.Lift != nil:
			return three.Lift(l, in)
		}
		return l.unsupported("operands")
	}
	return row
}

// vexNames maps the names of SSE instructions to their forms of AVX.
func vexNames() map[string]x86asm.Op {
	names := map[string]x86asm.Op{}
	for op := x86asm.Op(1); ; op++ {
		name := op.String()
		if strings.HasPrefix(name, "Op(") {
			return names
		}
		if len(name) > 1 && name[0] == 'V' {
			names[name[1:]] = op
		}
	}
}
