package analyzeelf

// The decoder takes most of the analysis' time, and more than that in a sandbox,
// but flow needs only the length and the kind of most instructions. quick knows
// those of the common ones; TestQuick holds it against the decoder.

// form says what follows an opcode.
type form uint16

const (
	formSlow  form = 0         // ask the decoder
	formPlain form = 1 << iota // known; alone: nothing follows
	formModRM                  // a ModR/M byte and what it asks for
	formImm8
	formImmZ    // an immediate of 4 bytes, of 2 with prefix 66
	formRel8    // a branch
	formRel32   // a branch
	formWide    // with REX.W the decoder is to be asked
	formAddress // in code that is not position-independent the immediate may be an address
)

// Prefix classes of the 0F map, as bits.
const (
	bareForm = 1 << iota
	form66
	formF3
	formF2
	anyForm  = bareForm | form66 | formF3 | formF2
	intForm  = bareForm | form66
	scalars  = formF3 | formF2
	packed66 = form66
)

// oneByte returns the form of a one-byte opcode, with reg the middle field of
// its ModR/M byte (0 if there is none).
func oneByte(op, reg byte) form {
	switch {
	case op < 0x40: // ADD, OR, ADC, SBB, AND, SUB, XOR, CMP
		switch op & 7 {
		case 0, 1, 2, 3:
			return formPlain | formModRM
		case 4:
			return formPlain | formImm8
		case 5:
			if op == 0x3d {
				return formPlain | formImmZ | formAddress
			}
			return formPlain | formImmZ
		}
	case op >= 0x50 && op < 0x60: // PUSH, POP
		return formPlain
	case op >= 0x70 && op < 0x80: // Jcc
		return formPlain | formRel8
	case op >= 0xb0 && op < 0xb8: // MOV r8, imm8
		return formPlain | formImm8
	case op >= 0xb8 && op < 0xc0: // MOV r, imm; of 8 bytes with REX.W
		return formPlain | formImmZ | formAddress | formWide
	}
	switch op {
	case 0x63, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b:
		return formPlain | formModRM
	case 0x69:
		return formPlain | formModRM | formImmZ
	case 0x6a, 0xa8:
		return formPlain | formImm8
	case 0x6b, 0x80, 0x83:
		return formPlain | formModRM | formImm8
	case 0x81:
		if reg == 7 {
			return formPlain | formModRM | formImmZ | formAddress
		}
		return formPlain | formModRM | formImmZ
	case 0x68: // PUSH imm32
		return formPlain | formImmZ | formAddress
	case 0x90, 0x98, 0x99, 0xc3, 0xc9:
		return formPlain
	case 0xa9:
		return formPlain | formImmZ
	case 0xe8, 0xe9:
		return formPlain | formRel32
	case 0xeb:
		return formPlain | formRel8
	case 0x8d:
		return formPlain | formModRM | formAddress
	}
	return group(op, reg)
}

// group returns the form of an opcode whose meaning depends on reg.
func group(op, reg byte) form {
	switch op {
	case 0xc0, 0xc1:
		if reg != 6 {
			return formPlain | formModRM | formImm8
		}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		if reg != 6 {
			return formPlain | formModRM
		}
	case 0xc6:
		if reg == 0 {
			return formPlain | formModRM | formImm8
		}
	case 0xc7:
		if reg == 0 {
			return formPlain | formModRM | formImmZ | formAddress
		}
	case 0xf6, 0xf7:
		switch {
		case reg == 0 && op == 0xf6:
			return formPlain | formModRM | formImm8
		case reg == 0:
			return formPlain | formModRM | formImmZ
		case reg >= 2:
			return formPlain | formModRM
		}
	case 0xfe:
		if reg <= 1 {
			return formPlain | formModRM
		}
	case 0xff:
		switch reg {
		case 0, 1, 2, 4, 6:
			return formPlain | formModRM
		}
	}
	return formSlow
}

// twoByte returns the form of opcode 0F op and the prefixes that it may have.
func twoByte(op, reg byte) (form, uint8) {
	switch {
	case op >= 0x40 && op < 0x50: // CMOVcc
		return formPlain | formModRM, intForm
	case op >= 0x80 && op < 0x90: // Jcc
		return formPlain | formRel32, bareForm
	case op >= 0x90 && op < 0xa0: // SETcc
		return formPlain | formModRM, bareForm
	case op >= 0x60 && op <= 0x6d, op >= 0xd8 && op <= 0xdf, op >= 0xe0 && op <= 0xe5, op >= 0xe8 && op <= 0xef,
		op >= 0xf1 && op <= 0xf6, op >= 0xf8 && op <= 0xfe:
		return formPlain | formModRM, packed66
	}
	switch op {
	case 0x05:
		return formPlain, bareForm
	case 0x1f:
		if reg == 0 {
			return formPlain | formModRM, intForm
		}
	case 0x10, 0x11, 0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f:
		return formPlain | formModRM, anyForm
	case 0x14, 0x15, 0x28, 0x29, 0x2e, 0x2f, 0x54, 0x55, 0x56, 0x57, 0xa3, 0xab, 0xaf, 0xb3, 0xb6, 0xb7, 0xbb, 0xbe, 0xbf:
		return formPlain | formModRM, intForm
	case 0x2a, 0x2c, 0x2d:
		return formPlain | formModRM, scalars
	case 0x6e, 0x74, 0x75, 0x76, 0xd4, 0xd6:
		return formPlain | formModRM, packed66
	case 0x6f, 0x7e, 0x7f:
		return formPlain | formModRM, form66 | formF3
	case 0x70:
		return formPlain | formModRM | formImm8, form66 | scalars
	case 0xc6:
		return formPlain | formModRM | formImm8, intForm
	case 0xa4, 0xac:
		return formPlain | formModRM | formImm8, intForm
	case 0xa5, 0xad, 0xbc, 0xbd:
		return formPlain | formModRM, intForm
	case 0xba:
		if reg >= 4 {
			return formPlain | formModRM | formImm8, intForm
		}
	}
	return formSlow, 0
}

// formTable holds the forms of all opcodes, the second map after the first, by
// opcode and middle field of the ModR/M byte.
type formTable struct {
	forms   [512 * 8]form
	kinds   [512 * 8]kind
	allowed [512 * 8]uint8 // prefixes
}

func newFormTable() *formTable {
	t := &formTable{}
	for i := range t.forms {
		op, reg, long := byte(i>>3), byte(i&7), i >= 256*8
		if long {
			t.forms[i], t.allowed[i] = twoByte(op, reg)
		} else {
			t.forms[i], t.allowed[i] = oneByte(op, reg), intForm
		}
		if t.kinds[i] = quickKind(long, op, reg); t.kinds[i] != kindPlain {
			t.allowed[i] &= bareForm
		}
	}
	return t
}

// ref says what the 4 bytes at an offset in an instruction are.
type ref uint8

const (
	refNone  ref = iota
	refLEA       // the displacement from the next instruction that LEA adds
	refImm       // an immediate that may be an address
	refTable     // an address that an index is added to
)

// quick is what is known of an instruction without decoding it.
type quick struct {
	length uint8
	kind   kind
	ref    ref
	at     uint8 // offset of the 4 bytes of ref
}

// quick looks at the instruction at the start of b and returns true if it is a
// common one. If absolute, immediates and displacements may be addresses.
func (t *formTable) quick(b []byte, absolute bool) (q quick, ok bool) {
	if len(b) < 15 {
		return q, false
	}
	n := 0
	prefix := uint8(bareForm)
	switch b[0] {
	case 0x66:
		prefix, n = form66, 1
	case 0xf3:
		prefix, n = formF3, 1
	case 0xf2:
		prefix, n = formF2, 1
	}
	rex := byte(0)
	if b[n]&0xf0 == 0x40 {
		rex = b[n]
		n++
	}
	at := int(b[n]) << 3
	if b[n] == 0x0f {
		n++
		at = 256*8 + int(b[n])<<3
	}
	lea := at == 0x8d<<3
	n++
	at |= int(b[n] >> 3 & 7)
	f := t.forms[at]
	if f == formSlow || t.allowed[at]&prefix == 0 || f&formWide != 0 && rex&8 != 0 {
		return q, false
	}
	if f&formModRM != 0 {
		mod, rm := b[n]>>6, b[n]&7
		n++
		base := rm
		if mod != 3 && rm == 4 {
			base = b[n] & 7
			n++
		}
		switch {
		case mod == 1:
			n++
		case mod == 2:
			n += 4
		case mod == 3:
			if lea { // no such instruction
				return q, false
			}
		case base == 5:
			switch {
			case lea && rm == 4:
				return q, false
			case lea:
				q.ref, q.at = refLEA, uint8(n)
			case absolute && rm == 4 && (b[n-1]&0x38 != 0x20 || rex&2 != 0):
				q.ref, q.at = refTable, uint8(n)
			}
			n += 4
		}
	}
	if f&formAddress != 0 && absolute && !lea {
		if q.ref != refNone || f&formImmZ == 0 || prefix != bareForm {
			return q, false
		}
		q.ref, q.at = refImm, uint8(n)
	}
	switch {
	case f&(formImm8|formRel8) != 0:
		n++
	case f&formRel32 != 0:
		n += 4
	case f&formImmZ != 0 && prefix == form66 && rex&8 == 0:
		n += 2
	case f&formImmZ != 0:
		n += 4
	}
	q.length, q.kind = uint8(n), t.kinds[at]
	return q, true
}

// plain returns the length of the instruction at the start of b if that is a
// common one that only goes on to the next, else 0. None of them is rare in code
// (RCL and RCR are).
func (c *code) plain(b []byte) uint8 {
	q, ok := c.forms.quick(b, false)
	if !ok || q.kind != kindPlain || isRotate(b) {
		return 0
	}
	return q.length
}

// isRotate reports whether b may begin with a shift or rotation, of which RCL and
// RCR are some.
func isRotate(b []byte) bool {
	op := b[0]
	if op == 0x66 {
		op, b = b[1], b[1:]
	}
	if op&0xf0 == 0x40 {
		op = b[1]
	}
	return op == 0xc0 || op == 0xc1 || op >= 0xd0 && op <= 0xd3
}

// quickKind returns the kind of a known opcode.
func quickKind(long bool, op, reg byte) kind {
	switch {
	case long && op == 0x05:
		return kindSyscall
	case long && op >= 0x80 && op < 0x90:
		return kindCond
	case long:
		return kindPlain
	case op >= 0x70 && op < 0x80:
		return kindCond | kindRel8Flag
	case op == 0xc3:
		return kindRet
	case op == 0xe8:
		return kindCall
	case op == 0xe9:
		return kindJump
	case op == 0xeb:
		return kindJump | kindRel8Flag
	case op == 0xff && reg == 2:
		return kindCallInd
	case op == 0xff && reg == 4:
		return kindJumpInd
	}
	return kindPlain
}
