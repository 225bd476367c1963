// Package x87 is the x87 floating-point unit in software: eight registers of 80
// bits, with the rounding, the exceptions and the encodings of the real one.
// Translated code calls it once per instruction ([guestabi.FuncX87]).
//
// Sources: Intel SDM volume 1 chapter 8 and volume 2; AMD APM volume 5; every
// operation is compared with the real CPU by the oracle of the recompiler.
//
// Limits: the instruction and data pointers are kept but never written by
// arithmetic. The transcendental functions are correctly rounded, after reducing
// angles with the 66-bit pi of the processors; those of processors differ by up
// to one unit in the last place, and C1 then too. Where Intel leaves condition codes undefined they are
// AMD's.
package x87

import "encoding/binary"

// Float80 is a value in the 80-bit extended format: Mant holds the explicit
// integer bit and the fraction, SE the sign (bit 15) and the biased exponent.
type Float80 struct {
	Mant uint64
	SE   uint16
}

// State is the whole x87 state. Its zero value is not the state after fninit;
// use [New].
type State struct {
	regs    [8]Float80 // physical registers; ST(i) is regs[(top+i)&7]
	tags    uint8      // bit i set: physical register i holds a value
	control uint16
	status  uint16 // TOP included
	opcode  uint16
	ip, dp  uint64
}

// New returns the state after fninit.
func New() State { return State{control: controlInit} }

const (
	controlInit     = 0x037f
	controlReserved = 0xe080 // bits that read as 0; bit 6 reads as 1
)

// Bits of the status word.
const (
	swIE  = 1 << 0 // invalid operation
	swDE  = 1 << 1 // denormal operand
	swZE  = 1 << 2 // division by zero
	swOE  = 1 << 3 // overflow
	swUE  = 1 << 4 // underflow
	swPE  = 1 << 5 // precision
	swSF  = 1 << 6 // stack fault
	swES  = 1 << 7 // an unmasked exception is pending
	swC0  = 1 << 8
	swC1  = 1 << 9
	swC2  = 1 << 10
	swC3  = 1 << 14
	swB   = 1 << 15
	swTop = 7 << 11

	swExceptions = 0x3f
)

func (s *State) top() int     { return int(s.status >> 11 & 7) }
func (s *State) setTop(t int) { s.status = s.status&^swTop | uint16(t&7)<<11 }
func (s *State) phys(i int) int {
	return (s.top() + i) & 7
}

// reg returns ST(i) whether or not it is empty.
func (s *State) reg(i int) Float80 { return s.regs[s.phys(i)] }

func (s *State) empty(i int) bool { return s.tags>>s.phys(i)&1 == 0 }

func (s *State) setReg(i int, v Float80) {
	p := s.phys(i)
	s.regs[p] = v
	s.tags |= 1 << p
}

// MarshalFXSave writes the x87 part of a 512-byte FXSAVE area: bytes 0 to 23
// and 32 to 159 (Intel SDM volume 1, table 10-2).
func (s *State) MarshalFXSave(area []byte) {
	le := binary.LittleEndian
	le.PutUint16(area[0:], s.control)
	le.PutUint16(area[2:], s.status)
	area[4] = s.tags
	area[5] = 0
	le.PutUint16(area[6:], s.opcode)
	le.PutUint64(area[8:], s.ip)
	le.PutUint64(area[16:], s.dp)
	for i := range 8 {
		slot := area[32+16*i:][:16]
		clear(slot)
		r := s.reg(i)
		le.PutUint64(slot, r.Mant)
		le.PutUint16(slot[8:], r.SE)
	}
}

// UnmarshalFXSave reads what MarshalFXSave writes.
func (s *State) UnmarshalFXSave(area []byte) {
	le := binary.LittleEndian
	s.control = le.Uint16(area[0:])&^controlReserved | 0x40
	s.status = le.Uint16(area[2:])
	s.tags = area[4]
	s.opcode = le.Uint16(area[6:]) & 0x7ff
	s.ip = le.Uint64(area[8:])
	s.dp = le.Uint64(area[16:])
	for i := range 8 {
		slot := area[32+16*i:][:16]
		s.regs[s.phys(i)] = Float80{le.Uint64(slot), le.Uint16(slot[8:])}
	}
	s.summarize()
}

// summarize derives ES and B from the exceptions and their masks.
func (s *State) summarize() {
	if s.status&^s.control&swExceptions != 0 {
		s.status |= swES | swB
	} else {
		s.status &^= swES | swB
	}
}
