package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// flagRows are the instructions on flags themselves.
func flagRows() Table {
	const low = arith &^ OF
	return Table{
		x86asm.CLC:    {Lift: setCarry(func(l *Lifter) ir.Value { return l.b.I32(0) }), Writes: CF},
		x86asm.STC:    {Lift: setCarry(func(l *Lifter) ir.Value { return l.b.I32(1) }), Writes: CF},
		x86asm.CMC:    {Lift: setCarry(func(l *Lifter) ir.Value { return l.not(l.flag(CF)) }), Reads: CF, Writes: CF},
		x86asm.CLD:    {Lift: setDirection(0)},
		x86asm.STD:    {Lift: setDirection(1)},
		x86asm.LAHF:   {Lift: liftLahf, Reads: low},
		x86asm.SAHF:   {Lift: liftSahf, Writes: low},
		x86asm.PUSHF:  {Lift: pushFlags(16), Reads: arith},
		x86asm.PUSHFQ: {Lift: pushFlags(64), Reads: arith},
		x86asm.POPF:   {Lift: popFlags(16), Writes: arith},
		x86asm.POPFQ:  {Lift: popFlags(64), Writes: arith},
	}
}

func setCarry(v func(l *Lifter) ir.Value) handler {
	return func(l *Lifter, _ x86.Inst) error {
		l.setFlag(CF, v(l))
		return nil
	}
}

func setDirection(v int32) handler {
	return func(l *Lifter, _ x86.Inst) error {
		l.setReg(guestabi.DF, l.b.I32(v))
		return nil
	}
}

// flagBit is the position of each status flag in RFLAGS.
var flagBit = [...]struct {
	flag Flags
	bit  int
}{
	{CF, guestabi.BitCF}, {PF, guestabi.BitPF}, {AF, guestabi.BitAF},
	{ZF, guestabi.BitZF}, {SF, guestabi.BitSF}, {OF, guestabi.BitOF},
}

// eflagsFixed is what user programs read in the other bits: bit 1, which is
// always set, and IF.
const eflagsFixed = 1<<1 | 1<<9

// eflags returns RFLAGS as an i32.
func (l *Lifter) eflags() ir.Value {
	v := l.b.I32(eflagsFixed)
	for _, f := range flagBit {
		v = l.b.Op(ir.I32Or, v, l.opImm(ir.I32Shl, l.flag(f.flag), int64(f.bit)))
	}
	return l.b.Op(ir.I32Or, v, l.opImm(ir.I32Shl, l.getReg(guestabi.DF), guestabi.BitDF))
}

func pushFlags(w int) handler {
	return func(l *Lifter, _ x86.Inst) error {
		v := l.eflags()
		if w == 64 {
			v = l.extendU(v)
		}
		l.push(v, w)
		return nil
	}
}

// popFlags loads the status flags and DF. TF, NT, AC and ID, which a program
// might set too, have no effect here.
func popFlags(w int) handler {
	return func(l *Lifter, _ x86.Inst) error {
		sp := l.getReg(guestabi.RSP)
		v := l.wrap(l.load(loadOp(w), l.wrap(sp), 0))
		l.setReg(guestabi.RSP, l.opImm(ir.I32Add, sp, int64(w/8)))
		for _, f := range flagBit {
			l.setFlag(f.flag, l.bit(v, f.bit))
		}
		l.setReg(guestabi.DF, l.bit(v, guestabi.BitDF))
		return nil
	}
}

// liftLahf loads ah with SF ZF 0 AF 0 PF 1 CF.
func liftLahf(l *Lifter, _ x86.Inst) error {
	v := l.b.I32(1 << 1)
	for _, f := range flagBit {
		if f.flag != OF {
			v = l.b.Op(ir.I32Or, v, l.opImm(ir.I32Shl, l.flag(f.flag), int64(f.bit)))
		}
	}
	l.setGPR(x86asm.AH, v)
	return nil
}

func liftSahf(l *Lifter, _ x86.Inst) error {
	v := l.getGPR(x86asm.AH)
	for _, f := range flagBit {
		if f.flag != OF {
			l.setFlag(f.flag, l.bit(v, f.bit))
		}
	}
	return nil
}

// systemRows are the instructions that ask the processor about itself, order
// memory, or do nothing.
func systemRows() Table {
	t := Table{
		x86asm.CPUID:  {Lift: liftCPUID},
		x86asm.RDTSC:  {Lift: liftRDTSC},
		x86asm.RDTSCP: {Lift: liftRDTSC},
		x86asm.MFENCE: {Lift: liftFence},
		x86asm.LFENCE: {Lift: liftFence},
		x86asm.SFENCE: {Lift: liftFence},

		x86asm.CLFLUSH: {Lift: func(l *Lifter, in x86.Inst) error { // faults as a load of a byte does
			m, ok := in.Args[0].(x86asm.Mem)
			if !ok {
				return l.unsupported("operand")
			}
			l.loadMem(ir.I32Load8U, m)
			return nil
		}},
	}
	for _, op := range []x86asm.Op{
		x86asm.NOP, x86asm.PAUSE, x86asm.PREFETCHNTA, x86asm.PREFETCHT0, x86asm.PREFETCHT1, x86asm.PREFETCHT2, x86asm.PREFETCHW,
	} {
		t[op] = Row{Lift: func(*Lifter, x86.Inst) error { return nil }}
	}
	return t
}

func liftCPUID(l *Lifter, _ x86.Inst) error {
	res := l.b.Helper(guestabi.FuncCPUID, l.getGPR(x86asm.EAX), l.getGPR(x86asm.ECX))
	for i, r := range []x86asm.Reg{x86asm.EAX, x86asm.EBX, x86asm.ECX, x86asm.EDX} {
		l.setGPR(r, res[i])
	}
	return nil
}

// liftRDTSC is RDTSC, and RDTSCP, whose IA32_TSC_AUX is 0 here: CPU 0 of node 0.
func liftRDTSC(l *Lifter, in x86.Inst) error {
	ticks := l.b.Helper(guestabi.FuncRDTSC)[0]
	l.setGPR(x86asm.EAX, l.wrap(ticks))
	l.setReg(guestabi.RDX, l.opImm(ir.I32ShrU, ticks, 32))
	if in.Op == x86asm.RDTSCP {
		l.setGPR(x86asm.ECX, l.b.I32(0))
	}
	return nil
}

func liftFence(l *Lifter, _ x86.Inst) error {
	l.b.Op(ir.AtomicFence)
	return nil
}
