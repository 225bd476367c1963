package x87

import "errors"

// ErrPending is #MF: an exception that the control word does not mask was raised
// by an earlier instruction, and this one waits for it to be handled. Nothing
// has changed.
var ErrPending = errors.New("an x87 exception is pending that is not masked")

// Exceptions that are found before an instruction computes, and after. The
// former leave operands as they are, and so does a store after any but PE.
const (
	swBefore = swIE | swDE | swZE
	swRange  = swOE | swUE
)

// opFtst is the second byte of the only comparison that begins with D9.
const opFtst = 0xe4

// partials are the second bytes of the instructions that begin with D9 and say
// in C2 whether they were done: fptan, fprem1, fprem, fsincos, fsin, fcos.
var partials = [256]bool{0xf2: true, 0xf5: true, 0xf8: true, 0xfb: true, 0xfe: true, 0xff: true}

// biasAdjust is what the exponent of a result is off by that overflowed or
// underflowed without being masked.
const biasAdjust = 0x6000

// Pending reports whether the next instruction that waits raises #MF.
func (s *State) Pending() bool { return s.status&swES != 0 }

// Unmasked returns the exceptions that are pending, as bits of the status word.
func (s *State) Unmasked() uint16 { return s.status &^ s.control & swExceptions }

// waits reports whether an instruction raises #MF for an exception that is
// pending, and control whether it acts on the control and status words only.
func waits(esc, modrm uint32) (waits, control bool) {
	if modrm < 0xc0 {
		switch esc<<3 | modrm>>3&7 {
		case 1<<3 | 4, 1<<3 | 5, 5<<3 | 4: // fldenv, fldcw, frstor
			return true, true
		case 1<<3 | 6, 1<<3 | 7, 5<<3 | 6, 5<<3 | 7: // fnstenv, fnstcw, fnsave, fnstsw
			return false, true
		}
		return true, false
	}
	control = esc == 3 && modrm>>3&7 == 4 || esc == 7 && modrm == 0xe0 // fnclex, fninit; fnstsw ax
	return !control, control
}

// unmasked runs an instruction while exceptions are not masked.
func (s *State) unmasked(op uint32, mem Memory, run func(Memory) (uint64, error)) (uint64, error) {
	before, late := *s, &lateStore{mem: mem}
	r, err := run(late)
	if err != nil {
		*s = before
		return r, err
	}
	raised := s.Unmasked()
	stops := raised & swBefore
	if esc := op >> 8 & 7; (esc == 1 || esc == 5) && op&0xf8 < 0xc0 && op>>3&7 == 0 {
		stops &^= swDE // fld of a short denormal (AMD)
	}
	if late.bytes != nil {
		stops |= raised & swRange
	}
	if stops == 0 {
		if err := late.commit(); err != nil {
			*s = before
			return 0, err
		}
		return r, nil
	}
	after := s.status
	*s = before
	kept := uint16(swBefore | swSF)
	if stops&swBefore == 0 {
		kept |= swRange
	}
	codes := uint16(swC1)
	switch {
	case op>>8&7 != 1 || op&0xff == opFtst: // comparisons give theirs all the same (AMD)
		codes |= swC0 | swC2 | swC3
	case partials[op&0xff]: // as if they were done
		codes |= swC2
		after &^= swC2
	}
	if raised&swIE == 0 {
		after &^= swC1 // nothing was rounded
	}
	s.status = before.status&^codes | after&codes
	s.raise(after & kept)
	return r, nil
}

// lateStore is memory whose stores are done at the end.
type lateStore struct {
	mem   Memory
	addr  uint32
	bytes []byte // at most one store, and nil if there was none
}

// Load implements Memory.
func (l *lateStore) Load(addr uint32, p []byte) error { return l.mem.Load(addr, p) }

// Store implements Memory. A store that would fault does so now.
func (l *lateStore) Store(addr uint32, p []byte) error {
	l.addr, l.bytes = addr, append([]byte{}, p...)
	return l.mem.Load(addr, make([]byte, len(p)))
}

func (l *lateStore) commit() error {
	if l.bytes == nil {
		return nil
	}
	return l.mem.Store(l.addr, l.bytes)
}
