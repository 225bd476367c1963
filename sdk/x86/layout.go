package x86

// layout returns the length of an instruction of an extension whose meaning this
// package does not know, and the extension's name, or 0. The lengths follow from the
// opcode maps (Intel SDM vol. 2, appendix A.2; AMD64 manual vol. 6, 1.3 for XOP):
// all of map 0F 38 has a ModR/M byte, all of map 0F 3A that and one byte more.
func layout(code []byte) (int, string) {
	n := 0
	var rep, data16 bool
prefixes:
	for ; n < len(code); n++ {
		switch code[n] {
		case 0xf2, 0xf3:
			rep = true
		case 0x66:
			data16 = true
		case 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
		default:
			break prefixes
		}
	}
	if n < len(code) && code[n]&0xf0 == 0x40 {
		n++
	}
	if len(code)-n < 3 {
		return 0, ""
	}
	switch op := code[n:]; {
	case op[0] == 0x8f && op[1]&0x1f >= 8:
		return xopLayout(code, n)
	case op[0] == vex2, op[0] == vex3, op[0] == evex:
		return vexLayout(code, n)
	case op[0] != 0x0f:
	case op[1] == 0x38 && op[2] == 0xf6:
		return withModRM(code, n+3, 0, "ADX or shadow stacks")
	case op[1] == 0x38:
		return withModRM(code, n+3, 0, "a later one of map 0F 38")
	case op[1] == 0x3a:
		return withModRM(code, n+3, 1, "a later one of map 0F 3A")
	case op[1] == 0xa6 || op[1] == 0xa7:
		if op[2] >= 0xc0 {
			return withModRM(code, n+2, 0, "PadLock")
		}
	case op[1] == 0xae && (rep || data16):
		return withModRM(code, n+2, 0, "CET or WAITPKG")
	case op[1] == 0xc7 && op[2] >= 0xf0, op[1] == 0x01 && op[2] >= 0xc0:
		return withModRM(code, n+2, 0, "RDSEED, PKU or another of groups 7 and 9")
	}
	return 0, ""
}

// withModRM returns the length of an instruction whose ModR/M byte is at offset
// n and that has imm bytes after its operands.
func withModRM(code []byte, n, imm int, name string) (int, string) {
	if n >= len(code) {
		return 0, ""
	}
	if n += modRMLen(code[n:]) + imm; n > len(code) {
		return 0, ""
	}
	return n, name
}

// vexLayout takes the VEX or EVEX prefix at offset n.
func vexLayout(code []byte, n int) (int, string) {
	opMap, at, name := byte(1), n+2, "AVX"
	switch code[n] {
	case vex3:
		opMap, at = code[n+1]&0x1f, n+3
	case evex:
		if len(code) < n+4 || code[n+2]&4 == 0 || code[n+1]&8 != 0 {
			return 0, ""
		}
		opMap, at, name = code[n+1]&7, n+4, extAVX512
	}
	if at >= len(code) {
		return 0, ""
	}
	imm := 0
	switch op := code[at]; opMap {
	case 1:
		switch {
		case op == opZero && code[n] != evex:
			return 0, ""
		case op >= 0x70 && op <= 0x73, op == 0xc2, op >= 0xc4 && op <= 0xc6:
			imm = 1
		}
	case 2:
	case 3:
		imm = 1
		if op >= 0x48 && op <= 0x7f && code[n] != evex {
			name = "FMA4"
		}
	case 5, 6:
		if code[n] != evex {
			return 0, ""
		}
	default:
		return 0, ""
	}
	return withModRM(code, at+1, imm, name)
}

// xopLayout takes the XOP prefix at offset n.
func xopLayout(code []byte, n int) (int, string) {
	var imm int
	switch code[n+1] & 0x1f {
	case 8:
		imm = 1
	case 9:
	case 10:
		imm = 4
	default:
		return 0, ""
	}
	return withModRM(code, n+4, imm, "XOP")
}
