package x86

import "golang.org/x/arch/x86/x86asm"

// Access is one access to memory.
type Access struct {
	Addr  uint64
	Size  int // bytes, 0 if it is not known
	Write bool
}

// Accesses returns the accesses to memory that an instruction makes with the
// given general registers (by number) and segment bases, in the order in which
// they are made; of a repeated string instruction, those of its next step.
func (in *Inst) Accesses(gpr *[16]uint64, fsBase, gsBase uint64) []Access {
	var out []Access
	if in.Op == x86asm.LEA || in.Op == x86asm.NOP {
		return nil
	}
	for i, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok {
			out = append(out, Access{in.effective(m, gpr, fsBase, gsBase), in.ArgSize(i), i == 0 && !readsOnly[in.Op]})
		}
	}
	const rsp, rbp, rdi = 4, 5, 7
	switch in.Op {
	case x86asm.PUSH, x86asm.CALL, x86asm.PUSHF, x86asm.PUSHFQ, x86asm.ENTER:
		out = append(out, Access{gpr[rsp] - 8, 8, true})
	case x86asm.POP, x86asm.RET, x86asm.POPF, x86asm.POPFQ:
		out = append([]Access{{gpr[rsp], 8, false}}, out...)
	case x86asm.LEAVE:
		out = append(out, Access{gpr[rbp], 8, false})
	case x86asm.MASKMOVQ:
		out = append(out, Access{gpr[rdi], 8, true})
	case x86asm.MASKMOVDQU, x86asm.VMASKMOVDQU:
		out = append(out, Access{gpr[rdi], 16, true})
	}
	return out
}

// readsOnly holds the operations that do not write their first operand.
var readsOnly = map[x86asm.Op]bool{
	x86asm.CMP: true, x86asm.TEST: true, x86asm.BT: true, x86asm.PUSH: true, x86asm.JMP: true, x86asm.CALL: true,
	x86asm.MUL: true, x86asm.IMUL: true, x86asm.DIV: true, x86asm.IDIV: true,
	x86asm.CMPSB: true, x86asm.CMPSW: true, x86asm.CMPSD: true, x86asm.CMPSQ: true,
	x86asm.SCASB: true, x86asm.SCASW: true, x86asm.SCASD: true, x86asm.SCASQ: true,
	x86asm.FLD: true, x86asm.FILD: true, x86asm.FADD: true, x86asm.FMUL: true, x86asm.FSUB: true, x86asm.FDIV: true,
	x86asm.FLDCW: true, x86asm.LDMXCSR: true, x86asm.FXRSTOR: true, x86asm.FXRSTOR64: true,
}

// effective returns the address that m names.
func (in *Inst) effective(m x86asm.Mem, gpr *[16]uint64, fsBase, gsBase uint64) uint64 {
	reg := func(r x86asm.Reg) uint64 {
		switch {
		case r >= x86asm.RAX && r <= x86asm.R15:
			return gpr[r-x86asm.RAX]
		case r >= x86asm.EAX && r <= x86asm.R15L:
			return uint64(uint32(gpr[r-x86asm.EAX]))
		case r == x86asm.RIP, r == x86asm.EIP:
			return in.Next()
		}
		return 0
	}
	addr := uint64(m.Disp) + reg(m.Base) + reg(m.Index)*uint64(m.Scale)
	if in.AddrSize == 32 {
		addr = uint64(uint32(addr))
	}
	switch m.Segment {
	case x86asm.FS:
		addr += fsBase
	case x86asm.GS:
		addr += gsBase
	}
	return addr
}
