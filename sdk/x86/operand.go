package x86

import "golang.org/x/arch/x86/x86asm"

// Mem returns argument i if it is a memory operand.
func (in *Inst) Mem(i int) (x86asm.Mem, bool) {
	m, ok := in.Args[i].(x86asm.Mem)
	return m, ok
}

// MemArg returns the first memory operand and its index, or -1.
func (in *Inst) MemArg() (x86asm.Mem, int) {
	for i, a := range in.Args {
		if a == nil {
			break
		}
		if m, ok := a.(x86asm.Mem); ok {
			return m, i
		}
	}
	return x86asm.Mem{}, -1
}

// Address returns the address that memory operand i names if that depends on no
// register but RIP (and on no segment base).
func (in *Inst) Address(i int) (uint64, bool) {
	m, ok := in.Mem(i)
	if !ok || m.Index != 0 || m.Segment == x86asm.FS || m.Segment == x86asm.GS {
		return 0, false
	}
	addr := uint64(m.Disp)
	switch m.Base {
	case 0:
	case x86asm.RIP, x86asm.EIP:
		addr += in.Next()
	default:
		return 0, false
	}
	if in.AddrSize == 32 {
		addr = uint64(uint32(addr))
	}
	return addr, true
}

// ArgSize returns the size in bytes of argument i, from the operand itself. An
// immediate has the size of the operand that it goes with: 8 for PUSH. A memory
// operand that is only an address (LEA, PREFETCH) has size 0, and so has an
// absent argument.
func (in *Inst) ArgSize(i int) int {
	switch a := in.Args[i].(type) {
	case x86asm.Reg:
		return RegSize(a)
	case x86asm.Mem:
		return in.memSize()
	case x86asm.Rel:
		return 8
	case x86asm.Imm:
		return in.immSize(i)
	}
	return 0
}

// RegSize returns the size of a register in bytes.
func RegSize(r x86asm.Reg) int {
	switch {
	case x86asm.AL <= r && r <= x86asm.R15B:
		return 1
	case x86asm.AX <= r && r <= x86asm.R15W, x86asm.ES <= r && r <= x86asm.GS, r == x86asm.IP:
		return 2
	case x86asm.EAX <= r && r <= x86asm.R15L, r == x86asm.EIP:
		return 4
	case x86asm.RAX <= r && r <= x86asm.R15, r == x86asm.RIP,
		x86asm.M0 <= r && r <= x86asm.M7, x86asm.K0 <= r && r <= x86asm.K7,
		x86asm.CR0 <= r && r <= x86asm.DR15:
		return 8
	case x86asm.F0 <= r && r <= x86asm.F7:
		return 10
	case x86asm.X0 <= r && r <= x86asm.X31:
		return 16
	case x86asm.Y0 <= r && r <= x86asm.Y31:
		return 32
	case x86asm.Z0 <= r && r <= x86asm.Z31:
		return 64
	}
	return 0
}

// memSize returns MemBytes, or the size for the forms where x86asm has none.
func (in *Inst) memSize() int {
	if in.MemBytes != 0 {
		return in.MemBytes
	}
	switch in.Op {
	case x86asm.FLD, x86asm.FSTP, x86asm.FBLD, x86asm.FBSTP:
		return 10
	case x86asm.FLDENV, x86asm.FNSTENV:
		return 28
	case x86asm.FNSAVE, x86asm.FRSTOR:
		return 108
	case x86asm.FXSAVE, x86asm.FXSAVE64, x86asm.FXRSTOR, x86asm.FXRSTOR64:
		return 512
	case x86asm.XLATB, x86asm.MOVSB, x86asm.CMPSB, x86asm.SCASB, x86asm.LODSB, x86asm.STOSB, x86asm.INSB, x86asm.OUTSB:
		return 1
	case x86asm.MOVSW, x86asm.CMPSW, x86asm.SCASW, x86asm.LODSW, x86asm.STOSW, x86asm.INSW, x86asm.OUTSW:
		return 2
	case x86asm.MOVSD, x86asm.CMPSD, x86asm.SCASD, x86asm.LODSD, x86asm.STOSD, x86asm.INSD, x86asm.OUTSD:
		return 4
	case x86asm.MOVSQ, x86asm.CMPSQ, x86asm.SCASQ, x86asm.LODSQ, x86asm.STOSQ:
		return 8
	}
	return 0
}

func (in *Inst) immSize(i int) int {
	switch in.Op {
	case x86asm.PUSH:
		if in.DataSize == 16 {
			return 2
		}
		return 8
	case x86asm.RET, x86asm.LRET:
		return 2
	case x86asm.INT:
		return 1
	case x86asm.ENTER:
		return 2 - i
	}
	if i == 0 {
		return 0
	}
	return in.ArgSize(0)
}

// isString records the string instructions: those that REP and REPNE repeat.
var isString = map[x86asm.Op]bool{
	x86asm.MOVSB: true, x86asm.MOVSW: true, x86asm.MOVSD: true, x86asm.MOVSQ: true,
	x86asm.CMPSB: true, x86asm.CMPSW: true, x86asm.CMPSD: true, x86asm.CMPSQ: true,
	x86asm.SCASB: true, x86asm.SCASW: true, x86asm.SCASD: true, x86asm.SCASQ: true,
	x86asm.LODSB: true, x86asm.LODSW: true, x86asm.LODSD: true, x86asm.LODSQ: true,
	x86asm.STOSB: true, x86asm.STOSW: true, x86asm.STOSD: true, x86asm.STOSQ: true,
	x86asm.INSB: true, x86asm.INSW: true, x86asm.INSD: true,
	x86asm.OUTSB: true, x86asm.OUTSW: true, x86asm.OUTSD: true,
}
