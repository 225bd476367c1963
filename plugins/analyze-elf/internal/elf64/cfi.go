package elf64

// Call frame instructions (DWARF 5, 6.4.2, and the LSB's GNU extensions). The
// first three have an operand in their low six bits.
const (
	cfaAdvance       = 0x40
	cfaOffset        = 0x80
	cfaRestore       = 0xc0
	cfaNop           = 0x00
	cfaAdvance1      = 0x02
	cfaAdvance2      = 0x03
	cfaAdvance4      = 0x04
	cfaOffsetExt     = 0x05
	cfaRestoreExt    = 0x06
	cfaUndefined     = 0x07
	cfaSameValue     = 0x08
	cfaRegister      = 0x09
	cfaRemember      = 0x0a
	cfaRestoreState  = 0x0b
	cfaDefCFA        = 0x0c
	cfaDefRegister   = 0x0d
	cfaDefOffset     = 0x0e
	cfaDefExpression = 0x0f
	cfaExpression    = 0x10
	cfaValExpression = 0x16
	cfaGNUArgsSize   = 0x2e
)

// The canonical frame address of a function that has pushed nothing: rsp + 8,
// above the return address.
const (
	dwarfRSP   = 7
	emptyFrame = 8
)

// maxRemembered bounds the states that one FDE may put aside.
const maxRemembered = 64

// cfaRule says where the canonical frame address is: at an offset from a
// register, unless an expression computes it.
type cfaRule struct {
	register, offset uint64
	expression       bool
}

// Empty reports whether the code at pc, inside of fr, runs with an empty frame:
// only the return address is on the stack, as at the start of a function.
func (fr *Frame) Empty(pc uint64) bool {
	if fr.common == nil || pc < fr.Start || pc >= fr.End {
		return false
	}
	var rule cfaRule
	at := uint64(0)
	if !rule.run(fr.common.rules, fr.common.step, 0, &at) {
		return false
	}
	at = 0
	if !rule.run(fr.rules, fr.common.step, pc-fr.Start, &at) {
		return false
	}
	return !rule.expression && rule.register == dwarfRSP && rule.offset == emptyFrame
}

// run follows call frame instructions up to the offset pc; at counts offsets. It
// returns false for those that it does not know.
func (c *cfaRule) run(rules []byte, step, pc uint64, at *uint64) bool {
	r := reader{data: rules}
	var remembered []cfaRule
	for r.pos < len(r.data) && !r.failed {
		op := byte(r.uint(1))
		switch op & 0xc0 {
		case cfaAdvance:
			*at += uint64(op&0x3f) * step
		case cfaOffset:
			r.uleb()
			continue
		case cfaRestore:
			continue
		default:
			switch op {
			case cfaAdvance1:
				*at += r.uint(1) * step
			case cfaAdvance2:
				*at += r.uint(2) * step
			case cfaAdvance4:
				*at += r.uint(4) * step
			case cfaRemember:
				if len(remembered) == maxRemembered {
					return false
				}
				remembered = append(remembered, *c)
			case cfaRestoreState:
				if len(remembered) == 0 {
					return false
				}
				*c, remembered = remembered[len(remembered)-1], remembered[:len(remembered)-1]
			default:
				if !c.define(op, &r) {
					return false
				}
			}
		}
		if *at > pc {
			return true
		}
	}
	return !r.failed
}

// define takes an instruction that says where a register or the frame is.
func (c *cfaRule) define(op byte, r *reader) bool {
	switch op {
	case cfaNop:
	case cfaRestoreExt, cfaUndefined, cfaSameValue, cfaGNUArgsSize:
		r.uleb()
	case cfaOffsetExt, cfaRegister:
		r.uleb()
		r.uleb()
	case cfaExpression, cfaValExpression:
		r.uleb()
		r.skip(int(min(r.uleb(), uint64(len(r.data)))))
	case cfaDefCFA:
		*c = cfaRule{register: r.uleb(), offset: r.uleb()}
	case cfaDefRegister:
		c.register, c.expression = r.uleb(), false
	case cfaDefOffset:
		c.offset, c.expression = r.uleb(), false
	case cfaDefExpression:
		c.expression = true
		r.skip(int(min(r.uleb(), uint64(len(r.data)))))
	default:
		return false
	}
	return true
}
