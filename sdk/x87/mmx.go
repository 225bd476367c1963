package x87

import "megabinary.dev/sdk/guestabi"

// MMX executes one access to the MMX registers, which are the significands of
// the physical x87 registers (Intel SDM volume 1, 9.2): mm0 is register 0
// whatever TOP says. code is a guestabi.MMXOp or'ed with the register's number,
// v the value that MMXWrite writes. The result is the register's for MMXRead,
// else 0; the only error is ErrPending.
func (s *State) MMX(code uint32, v uint64) (uint64, error) {
	if s.Pending() {
		return 0, ErrPending
	}
	n := code & 7
	switch guestabi.MMXOp(code &^ 7) {
	case guestabi.MMXRead:
		return s.regs[n].Mant, nil
	case guestabi.MMXWrite:
		s.regs[n] = Float80{Mant: v, SE: 0xffff}
		s.enterMMX(0xff)
	case guestabi.MMXTouch:
		s.enterMMX(0xff)
	case guestabi.MMXEmpty:
		s.enterMMX(0)
	}
	return 0, nil
}

// enterMMX does what each MMX instruction does besides its work.
func (s *State) enterMMX(tags uint8) {
	s.tags = tags
	s.setTop(0)
}
