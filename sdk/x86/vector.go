package x86

import "golang.org/x/arch/x86/x86asm"

// First bytes of the VEX and EVEX prefixes.
const (
	vex2 = 0xc5
	vex3 = 0xc4
	evex = 0x62
)

// opZero is the opcode byte of VZEROUPPER and VZEROALL in map 0F: the only one
// without a ModR/M byte.
const opZero = 0x77

// decodeVector decodes a VEX or EVEX instruction. x86asm gives RIP-relative
// operands no base, reads a ModR/M byte after VZEROUPPER, takes EVEX maps 5 and
// 6 for 1 and 2, and does without a ModR/M byte that is cut off.
func decodeVector(code []byte, pc uint64) (Inst, error) {
	prefix, opMap := 2, byte(1)
	switch code[0] {
	case vex3:
		prefix = 3
	case evex:
		prefix = 4
	}
	if len(code) <= prefix {
		return Inst{}, refuse(code, pc, "truncated vector instruction")
	}
	if code[0] != vex2 {
		opMap = code[1] & 0x1f
	}
	if code[0] == evex {
		opMap &= 0xf
		if opMap&0xc != 0 || code[2]&4 == 0 {
			return Inst{}, refuse(code, pc, "unknown EVEX map")
		}
	}
	modrm := prefix + 1
	if opMap == 1 && code[prefix] == opZero && code[0] != evex {
		// Hide what follows: x86asm would take it for a ModR/M byte.
		code = code[:modrm]
	} else if len(code) <= modrm {
		return Inst{}, refuse(code, pc, "truncated vector instruction")
	}
	raw, err := x86asm.Decode(code, 64)
	if err != nil || raw.Op == 0 {
		return Inst{}, refuse(code, pc, "unknown vector instruction")
	}
	raw.Mode, raw.AddrSize = 64, 64
	in := Inst{Inst: raw, PC: pc, Bytes: code[:raw.Len]}
	if raw.Len <= modrm {
		return in, nil
	}
	relative := code[modrm]&0xc7 == 5
	for i, a := range in.Args {
		m, ok := a.(x86asm.Mem)
		if !ok {
			continue
		}
		if m.Index == 0 {
			m.Scale = 0
		}
		if relative {
			m.Base = x86asm.RIP
			in.PCRel, in.PCRelOff = 4, modrm+1
		}
		in.Args[i] = m
	}
	return in, nil
}
