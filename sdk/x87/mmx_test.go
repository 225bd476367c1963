package x87

import (
	"testing"

	"megabinary.dev/sdk/guestabi"
)

// TestMMXRegisters wants mm registers to be the significands of the physical x87
// registers, and each operation to leave TOP and the tags as Intel SDM volume 1,
// 9.2.1, says.
func TestMMXRegisters(t *testing.T) {
	s := New()
	s.setTop(3)
	s.setReg(2, Float80{Mant: 0x8000_0000_0000_0005, SE: 0x3fff}) // physical register 5
	do := func(op guestabi.MMXOp, n uint32, v uint64) uint64 {
		r, err := s.MMX(uint32(op)|n, v)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if v := do(guestabi.MMXRead, 5, 0); v != 0x8000_0000_0000_0005 || s.top() != 3 || s.tags != 1<<5 {
		t.Errorf("reading mm5 gives %#x and leaves TOP %d, tags %#x", v, s.top(), s.tags)
	}
	if do(guestabi.MMXWrite, 6, 7); s.regs[6] != (Float80{Mant: 7, SE: 0xffff}) || s.top() != 0 || s.tags != 0xff {
		t.Errorf("writing mm6 makes it %+v and leaves TOP %d, tags %#x", s.regs[6], s.top(), s.tags)
	}
	s.setTop(2)
	if do(guestabi.MMXEmpty, 0, 0); s.top() != 0 || s.tags != 0 || s.regs[6].Mant != 7 {
		t.Errorf("emms leaves TOP %d, tags %#x, mm6 %#x", s.top(), s.tags, s.regs[6].Mant)
	}
	s.setTop(2)
	if do(guestabi.MMXTouch, 0, 0); s.top() != 0 || s.tags != 0xff || s.regs[6].Mant != 7 {
		t.Errorf("touching leaves TOP %d, tags %#x, mm6 %#x", s.top(), s.tags, s.regs[6].Mant)
	}
}
