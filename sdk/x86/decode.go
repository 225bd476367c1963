package x86

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// maxLen is the length in bytes of the longest instruction (Intel SDM vol. 2,
// 2.3.11).
const maxLen = 15

// DecodeError says that the bytes at PC are not an instruction that this
// package knows. It tells nothing of whether some processor would run them.
type DecodeError struct {
	PC     uint64
	Bytes  []byte // up to 15 bytes at PC; aliases the code
	Reason string
	// Len is the length in bytes if the instruction belongs to an extension
	// that this package knows by its layout only (see layout), else 0. Reason
	// is then the extension.
	Len int
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decoding %s at %#x: %s", hex.EncodeToString(e.Bytes), e.PC, e.Reason)
}

func refuse(code []byte, pc uint64, reason string) error {
	code = code[:min(len(code), maxLen)]
	e := &DecodeError{PC: pc, Bytes: code, Reason: reason}
	if n, name := layout(code); n > 0 {
		e.Len, e.Reason = n, name
	}
	return e
}

// Decode decodes the instruction at the start of code, which lies at pc. Every
// error is a *DecodeError. The result aliases code.
//
// Forms that x86asm misreads are mended or refused here: see the comments at
// each. FSTCW and the other waiting x87 forms are two instructions, FWAIT and
// FNSTCW, as they are for the processor.
func Decode(code []byte, pc uint64) (Inst, error) {
	code = code[:min(len(code), maxLen)]
	if len(code) == 0 {
		return Inst{}, refuse(code, pc, "no bytes")
	}
	switch code[0] {
	case vex2, vex3, evex:
		return decodeVector(code, pc)
	}
	raw, err := x86asm.Decode(code, 64)
	if err != nil || raw.Op == 0 { // Op 0 with no error: x86asm gave up after the prefixes
		return decodeRefused(code, pc)
	}
	in := Inst{Inst: raw, PC: pc, Bytes: code[:raw.Len]}
	in.prefixes()
	if reason := in.misread(); reason != "" {
		return Inst{}, refuse(code, pc, reason)
	}
	in.mendMemory()
	return in, nil
}

// prefixes sets Lock, Rep and Repne.
func (in *Inst) prefixes() {
	for _, p := range in.Prefix {
		if p == 0 {
			return
		}
		switch {
		case p&0xff == x86asm.PrefixLOCK && p&(x86asm.PrefixIgnored|x86asm.PrefixInvalid) == 0:
			in.Lock = true
		case p == x86asm.PrefixREP:
			in.Rep = isString[in.Op]
		case p == x86asm.PrefixREPN:
			in.Repne = isString[in.Op]
		}
	}
}

// misread returns why a decoded instruction is not what x86asm takes it for, or
// an empty string.
func (in *Inst) misread() string {
	var data16, rep, lock, rexW bool
	for _, p := range in.Prefix {
		if p == 0 {
			break
		}
		switch {
		case p.IsREX():
			rexW = p&x86asm.PrefixREXW != 0
		case p&0xff == x86asm.PrefixDataSize:
			data16 = true
		case p&0xff == x86asm.PrefixREP, p&0xff == x86asm.PrefixREPN:
			rep = true
		case p&0xff == x86asm.PrefixLOCK:
			lock = lock || p&x86asm.PrefixInvalid != 0
		}
	}
	switch {
	case lock:
		return "LOCK before an instruction that does not take it"
	case in.Opcode>>16 == 0x0fae && (data16 || rep) && in.Op != x86asm.RDFSBASE && in.Op != x86asm.RDGSBASE &&
		in.Op != x86asm.WRFSBASE && in.Op != x86asm.WRGSBASE:
		// INCSSP, UMONITOR, TPAUSE, CLFLUSHOPT, ...: x86asm reads the forms
		// without a prefix (LFENCE for INCSSP). INCSSP is an invalid opcode
		// on a processor without shadow stacks, such as ours.
		return "group 15 instruction with a mandatory prefix"
	case data16 && !rexW && isNearBranch(in):
		// Intel ignores the prefix, AMD truncates the target to 16 bits.
		return "operand-size prefix before a near branch"
	}
	return ""
}

func isNearBranch(in *Inst) bool {
	return in.Op == x86asm.CALL || in.Op == x86asm.JMP || in.Op == x86asm.RET || in.IsCondJump()
}

// mendMemory sign-extends displacements, which x86asm zero-extends, and clears
// the scale of an index that is not there. A displacement of moffs (opcodes A0
// to A3) is a whole address.
func (in *Inst) mendMemory() {
	if op := in.Opcode >> 24; in.Op == x86asm.MOV && 0xa0 <= op && op <= 0xa3 {
		return
	}
	for i, a := range in.Args {
		if a == nil {
			return
		}
		m, ok := a.(x86asm.Mem)
		if !ok {
			continue
		}
		scale := m.Scale
		if m.Index == 0 {
			scale = 0
		}
		if disp := int64(int32(m.Disp)); disp != m.Disp || scale != m.Scale {
			m.Disp, m.Scale = disp, scale
			in.Args[i] = m
		}
		return // a second memory operand (MOVS, CMPS) has no displacement
	}
}

// decodeRefused takes the instructions that x86asm does not know but that are
// simple: hint NOPs, and VEX forms after a segment prefix.
func decodeRefused(code []byte, pc uint64) (Inst, error) {
	if n := hintNop(code); n > 0 {
		return Inst{
			Inst: x86asm.Inst{Op: x86asm.NOP, Opcode: 0x0f1e0000, Mode: 64, AddrSize: 64, DataSize: 32, Len: n},
			PC:   pc, Bytes: code[:n],
		}, nil
	}
	var segment x86asm.Reg
	for n, b := range code {
		switch b {
		case 0x64:
			segment = x86asm.FS
			continue
		case 0x65:
			segment = x86asm.GS
			continue
		case 0x26, 0x2e, 0x36, 0x3e: // no effect in 64-bit mode
			continue
		case vex2, vex3, evex:
			if n == 0 {
				break
			}
			in, err := decodeVector(code[n:], pc)
			if err != nil {
				return Inst{}, refuse(code, pc, "unknown vector instruction")
			}
			in.Len += n
			in.Bytes = code[:in.Len]
			if in.PCRel != 0 {
				in.PCRelOff += n
			}
			for i, a := range in.Args {
				if m, ok := a.(x86asm.Mem); ok {
					m.Segment = segment
					in.Args[i] = m
				}
			}
			return in, nil
		}
		break
	}
	return Inst{}, refuse(code, pc, "unknown instruction")
}

// hintNop returns the length of a NOP of the reserved range 0F 18 to 0F 1F, or
// of the prefetch group 0F 0D, or 0. ENDBR64 (F3 0F 1E FA) and RDSSP (F3 0F 1E
// C8+r) are among them, and do nothing on a processor without CET.
func hintNop(code []byte) int {
	n := 0
prefixes:
	for n < len(code) {
		switch code[n] {
		case 0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
			n++
		default:
			break prefixes
		}
	}
	if n < len(code) && code[n]&0xf0 == 0x40 {
		n++
	}
	if n+2 >= len(code) || code[n] != 0x0f {
		return 0
	}
	if op := code[n+1]; (op < 0x18 || op > 0x1f) && (op != 0x0d || code[n+2] >= 0xc0) {
		return 0
	}
	n += 2
	n += modRMLen(code[n:])
	if n > len(code) {
		return 0
	}
	return n
}

// modRMLen returns the length of a ModR/M byte with its SIB byte and
// displacement; it may go past the end of code.
func modRMLen(code []byte) int {
	mod, rm := code[0]>>6, code[0]&7
	if mod == 3 {
		return 1
	}
	n, base := 1, rm
	if rm == 4 {
		if len(code) < 2 {
			return 2
		}
		n, base = 2, code[1]&7
	}
	switch {
	case mod == 1:
		return n + 1
	case mod == 2, base == 5:
		return n + 4
	}
	return n
}
