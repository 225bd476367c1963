package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// x87Rows are the x87 instructions. Each is one call of the host, which keeps
// the x87 state and takes the opcode bytes as they are.
func x87Rows() Table {
	t := Table{
		x86asm.FWAIT:  {Lift: liftFwait},
		x86asm.FNSTSW: {Lift: liftFnstsw},

		x86asm.FCOMI:   {Lift: liftFcomi, Writes: CF | PF | ZF | OF | SF | AF},
		x86asm.FCOMIP:  {Lift: liftFcomi, Writes: CF | PF | ZF | OF | SF | AF},
		x86asm.FUCOMI:  {Lift: liftFcomi, Writes: CF | PF | ZF | OF | SF | AF},
		x86asm.FUCOMIP: {Lift: liftFcomi, Writes: CF | PF | ZF | OF | SF | AF},

		x86asm.FCMOVB:   {Lift: liftFcmov(CF), Reads: CF},
		x86asm.FCMOVE:   {Lift: liftFcmov(ZF), Reads: ZF},
		x86asm.FCMOVBE:  {Lift: liftFcmov(CF | ZF), Reads: CF | ZF},
		x86asm.FCMOVU:   {Lift: liftFcmov(PF), Reads: PF},
		x86asm.FCMOVNB:  {Lift: liftFcmov(CF), Reads: CF},
		x86asm.FCMOVNE:  {Lift: liftFcmov(ZF), Reads: ZF},
		x86asm.FCMOVNBE: {Lift: liftFcmov(CF | ZF), Reads: CF | ZF},
		x86asm.FCMOVNU:  {Lift: liftFcmov(PF), Reads: PF},
	}
	for _, op := range []x86asm.Op{
		x86asm.F2XM1, x86asm.FABS, x86asm.FADD, x86asm.FADDP, x86asm.FBLD, x86asm.FBSTP, x86asm.FCHS,
		x86asm.FCOM, x86asm.FCOMP, x86asm.FCOMPP, x86asm.FCOS, x86asm.FDECSTP, x86asm.FDIV, x86asm.FDIVP,
		x86asm.FDIVR, x86asm.FDIVRP, x86asm.FFREE, x86asm.FFREEP, x86asm.FIADD, x86asm.FICOM, x86asm.FICOMP,
		x86asm.FIDIV, x86asm.FIDIVR, x86asm.FILD, x86asm.FIMUL, x86asm.FINCSTP, x86asm.FIST, x86asm.FISTP,
		x86asm.FISTTP, x86asm.FISUB, x86asm.FISUBR, x86asm.FLD, x86asm.FLD1, x86asm.FLDCW, x86asm.FLDENV,
		x86asm.FLDL2E, x86asm.FLDL2T, x86asm.FLDLG2, x86asm.FLDLN2, x86asm.FLDPI, x86asm.FLDZ, x86asm.FMUL,
		x86asm.FMULP, x86asm.FNCLEX, x86asm.FNINIT, x86asm.FNOP, x86asm.FNSAVE, x86asm.FNSTCW, x86asm.FNSTENV,
		x86asm.FPATAN, x86asm.FPREM, x86asm.FPREM1, x86asm.FPTAN, x86asm.FRNDINT, x86asm.FRSTOR, x86asm.FSCALE,
		x86asm.FSIN, x86asm.FSINCOS, x86asm.FSQRT, x86asm.FST, x86asm.FSTP, x86asm.FSUB, x86asm.FSUBP,
		x86asm.FSUBR, x86asm.FSUBRP, x86asm.FTST, x86asm.FUCOM, x86asm.FUCOMP, x86asm.FUCOMPP, x86asm.FXAM,
		x86asm.FXCH, x86asm.FXTRACT, x86asm.FYL2X, x86asm.FYL2XP1,
	} {
		t[op] = Row{Lift: liftX87}
	}
	return t
}

// opFnop is the opcode of fnop as FuncX87 takes it; op16 is its bit for an
// operand size of 16 bits.
const (
	opFnop = (0xd9-0xd8)<<8 | 0xd0
	op16   = 1 << 19
)

// liftFwait waits as fnop does.
func liftFwait(l *Lifter, _ x86.Inst) error {
	l.b.Helper(guestabi.FuncX87, l.b.I32(opFnop), l.b.I32(0))
	return nil
}

// x87Opcode returns (escape opcode - 0xd8)<<8 | modrm of the instruction, and
// whether it has an operand-size prefix.
func x87Opcode(in x86.Inst) (op int32, size16, ok bool) {
	for i, b := range in.Bytes {
		switch {
		case b == 0x66:
			size16 = true
		case b&0xf8 == 0x48: // REX.W goes before it
			size16 = false
		case b == 0x67, b == 0xf2, b == 0xf3, b == 0x26, b == 0x2e, b == 0x36, b == 0x3e, b == 0x64, b == 0x65, b&0xf0 == 0x40:
		case b&0xf8 == 0xd8 && i+1 < len(in.Bytes):
			return int32(b-0xd8)<<8 | int32(in.Bytes[i+1]), size16, true
		default:
			return 0, false, false
		}
	}
	return 0, false, false
}

// x87 calls the host for the instruction and returns what it gives, an i64.
// flags are or'ed to the opcode unless they are None.
func (l *Lifter) x87(in x86.Inst, flags ir.Value) (ir.Value, error) {
	code, size16, ok := x87Opcode(in)
	if !ok {
		return ir.None, l.unsupported("no x87 opcode")
	}
	switch in.Op {
	case x86asm.FLDENV, x86asm.FNSTENV, x86asm.FNSAVE, x86asm.FRSTOR:
		if size16 {
			code |= op16
		}
	}
	op, addr := l.b.I32(code), l.b.I32(0)
	if flags != ir.None {
		op = l.b.Op(ir.I32Or, op, flags)
	}
	for _, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok {
			addr = l.flatAddr(m)
		}
	}
	return l.b.Helper(guestabi.FuncX87, op, addr)[0], nil
}

// flatAddr returns the guest address of m, displacement included.
func (l *Lifter) flatAddr(m x86asm.Mem) ir.Value {
	base, disp := l.addr(m)
	if disp == 0 {
		return base
	}
	return l.b.Op(ir.I32Add, base, l.b.I32(disp))
}

func liftX87(l *Lifter, in x86.Inst) error {
	_, err := l.x87(in, ir.None)
	return err
}

func liftFnstsw(l *Lifter, in x86.Inst) error {
	ax, err := l.x87(in, ir.None)
	if err != nil {
		return err
	}
	if r, ok := in.Args[0].(x86asm.Reg); ok {
		l.set(r, l.wrap(ax))
	}
	return nil
}

// liftFcomi sets ZF, PF and CF from bits 0, 1 and 2 of the result.
func liftFcomi(l *Lifter, in x86.Inst) error {
	r, err := l.x87(in, ir.None)
	if err != nil {
		return err
	}
	v := l.wrap(r)
	l.clearFlags(OF | SF | AF)
	one := l.b.I32(1)
	if l.wants(ZF) {
		l.setFlag(ZF, l.b.Op(ir.I32And, v, one))
	}
	if l.wants(PF) {
		l.setFlag(PF, l.b.Op(ir.I32And, l.b.Op(ir.I32ShrU, v, one), one))
	}
	if l.wants(CF) {
		l.setFlag(CF, l.b.Op(ir.I32ShrU, v, l.b.I32(2)))
	}
	return nil
}

// liftFcmov passes the flags that the condition reads in bits 16 to 18: ZF, PF,
// CF.
func liftFcmov(reads Flags) func(*Lifter, x86.Inst) error {
	return func(l *Lifter, in x86.Inst) error {
		v := ir.None
		for _, f := range []struct {
			flag  Flags
			shift int32
		}{{ZF, 16}, {PF, 17}, {CF, 18}} {
			if reads&f.flag == 0 {
				continue
			}
			bit := l.b.Op(ir.I32Shl, l.flag(f.flag), l.b.I32(f.shift))
			if v == ir.None {
				v = bit
			} else {
				v = l.b.Op(ir.I32Or, v, bit)
			}
		}
		_, err := l.x87(in, v)
		return err
	}
}
