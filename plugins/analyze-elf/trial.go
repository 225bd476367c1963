package analyzeelf

import (
	"errors"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/x86"
)

// Sizes of a trial in instructions: where it ends, and up to which it counts as
// short, so that the bytes around it have to speak for it too: next to code, and
// in a gap that began with data.
const (
	maxTrial    = 1000
	shortTrial  = 6
	shortInData = 24
)

// trial follows flow through bytes that nothing leads to, without recording
// anything. Constants in text (the tables of libcrypto) decode for a while, but
// sooner or later into something that no compiler makes.
type trial struct {
	*analysis
	lengths map[uint32]uint8 // of the instructions seen
	work    []uint32
	named   bool // the evidence is evidenceNamed
	joined  bool // a jump led to an instruction that is known
	odd     bool // there was an instruction that is known by its length only
}

// evidence says what speaks for code at a place before it is tried.
type evidence int

const (
	evidenceNamed evidence = iota // an instruction, a relocation or a word of data holds its address
	evidenceGap                   // it lies between code
	evidenceData                  // it lies between code, behind bytes that are none
)

// isCode reports whether all that flow reaches from index i looks like code.
func (a *analysis) isCode(i uint32, e evidence) bool {
	t := &trial{analysis: a, lengths: map[uint32]uint8{}, work: []uint32{i}, named: e == evidenceNamed}
	for len(t.work) > 0 {
		from := t.work[len(t.work)-1]
		t.work = t.work[:len(t.work)-1]
		if !t.follow(from, from == i && !t.named) {
			return false
		}
		if len(t.lengths) >= maxTrial {
			return true
		}
	}
	switch {
	case t.named:
		return true
	case e == evidenceData, t.odd:
		return t.joined || len(t.lengths) > shortInData && t.endsCleanly(i)
	}
	return t.joined || len(t.lengths) > shortTrial || t.endsCleanly(i)
}

// follow decodes from index i up to a transfer or to code that is known. With
// apart, what begins there does not fall into the start of a function.
func (t *trial) follow(i uint32, apart bool) bool {
	for first := true; ; first = false {
		b := t.bytes(i)
		switch {
		case t.known(i):
			return first || !apart || t.marks[i]&markStart == 0
		case t.lengths[i] != 0:
			return true
		case len(b) < 2, b[0] == 0 && b[1] == 0, t.covered[i] != 0, t.overlaps(i), !t.inText(i):
			return false
		}
		if n := t.plain(b); n > 0 {
			t.lengths[i] = n
			i += uint32(n)
			if len(t.lengths) >= maxTrial {
				return true
			}
			continue
		}
		in, err := t.decode(i)
		if n := layoutOf(err); n > 0 {
			t.lengths[i], t.odd = n, true
			i += uint32(n)
			continue
		}
		otherConvention := in.Op == x86asm.RET && in.Args[0] != nil // RET n
		if err != nil || neverCompiled(in.Op) || otherConvention || !t.named && rareInGaps(&in) {
			return false
		}
		t.lengths[i] = uint8(in.Len)
		if in.IsTrap() {
			return in.Op == x86asm.UD2 || in.Op == x86asm.HLT || in.Op == x86asm.INT
		}
		next := i + uint32(in.Len)
		if target, ok := in.DirectTarget(); ok {
			to, isCode := t.index(target)
			if !isCode || !t.plausibleTarget(&in) {
				return false
			}
			t.joined = t.joined || t.known(to) && in.PCRel == 4
			if !in.IsCall() {
				t.work = append(t.work, to)
			}
		}
		if !in.FallsThrough() || in.IsCall() && !t.goesOn(next) {
			return true
		}
		i = next
		if len(t.lengths) >= maxTrial {
			return true
		}
	}
}

// goesOn reports whether a call returns to index i: not if there is padding,
// another function or the end.
func (t *trial) goesOn(i uint32) bool {
	return t.returnsTo(i, kindCall) && t.marks[i]&markStart == 0 && t.padding(i, i+1) == 0
}

// overlaps reports whether index i lies inside of an instruction of this trial.
func (t *trial) overlaps(i uint32) bool {
	for n := uint32(1); n < 15 && n <= i; n++ {
		if uint32(t.lengths[i-n]) > n {
			return t.bytes(i - 1)[0] != lockPrefix
		}
	}
	return false
}

// endsCleanly reports whether what was seen from index i on ends at padding,
// at known code, at the end of the text or at a boundary of 16 bytes.
func (t *trial) endsCleanly(i uint32) bool {
	for t.lengths[i] != 0 {
		i += uint32(t.lengths[i])
	}
	return t.covered[i] != 0 || !t.inText(i) || t.addr(i)%16 == 0 || t.padding(i, i+1) > 0
}

// layoutOf returns the length of an instruction that the decoder has refused with
// this error, or 0.
func layoutOf(err error) uint8 {
	var d *x86.DecodeError
	if errors.As(err, &d) {
		return uint8(d.Len)
	}
	return 0
}

const lockPrefix = 0xf0

// rareInGaps reports instructions that occur in code, but more often in data
// that is taken for code.
func rareInGaps(in *x86.Inst) bool {
	switch in.Op {
	case x86asm.CMC, x86asm.SAHF, x86asm.LAHF, x86asm.LOOP, x86asm.LOOPE, x86asm.LOOPNE, x86asm.JECXZ, x86asm.JRCXZ,
		x86asm.FBLD, x86asm.FBSTP, x86asm.FRSTOR, x86asm.FNSAVE, x86asm.FLDENV, x86asm.VERR, x86asm.VERW, x86asm.LAR, x86asm.LSL,
		x86asm.SLDT, x86asm.STR, x86asm.LODSW, x86asm.SCASW, x86asm.RCL, x86asm.RCR:
		return true
	}
	for _, p := range in.Prefix {
		switch p & 0xff {
		case x86asm.PrefixES, x86asm.PrefixSS, x86asm.PrefixGS:
			return true
		}
	}
	return false
}
