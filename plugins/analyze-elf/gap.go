package analyzeelf

import (
	"golang.org/x/arch/x86/x86asm"

	pb "megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/x86"
)

// trialLength is the number of instructions after which a trial decoding is
// taken for code.
const trialLength = 32

// plausible decodes from index i without recording anything and reports whether
// that looks like compiled code. In a gap, where nothing points to i, the trial
// has to end in a transfer or in known code.
func (a *analysis) plausible(i uint32, gap bool) bool {
	for range trialLength {
		if a.known(i) {
			return true
		}
		if a.covered[i] != 0 && gap {
			return false // runs into the middle of an instruction
		}
		b := a.bytes(i)
		if len(b) < 2 || b[0] == 0 && b[1] == 0 {
			return false
		}
		if n := a.plain(b); n > 0 {
			i += uint32(n)
			continue
		}
		in, err := a.decode(i)
		if n := layoutOf(err); n > 0 && gap {
			i += uint32(n)
			continue
		}
		if err != nil || neverCompiled(in.Op) || in.IsTrap() && gap && in.Op != x86asm.UD2 && in.Op != x86asm.HLT {
			return false
		}
		if !a.plausibleTarget(&in) {
			return false
		}
		if !in.FallsThrough() {
			return true
		}
		i += uint32(in.Len)
	}
	return true
}

// plausibleTarget reports whether a direct transfer goes to where an
// instruction may begin.
func (a *analysis) plausibleTarget(in *x86.Inst) bool {
	target, ok := in.DirectTarget()
	if !ok {
		return true
	}
	t, ok := a.index(target)
	if !ok {
		return false
	}
	if a.known(t) || a.covered[t] == 0 {
		return a.kinds[t] != kindRefused
	}
	return t > 0 && a.bytes(t - 1)[0] == lockPrefix
}

// neverCompiled reports instructions that a user program cannot run or that no
// compiler makes, so that their bytes are likely to be data.
func neverCompiled(op x86asm.Op) bool {
	switch op {
	case x86asm.IN, x86asm.OUT, x86asm.INSB, x86asm.INSW, x86asm.INSD, x86asm.OUTSB, x86asm.OUTSW, x86asm.OUTSD,
		x86asm.CLI, x86asm.STI, x86asm.LCALL, x86asm.LJMP, x86asm.LRET, x86asm.IRET, x86asm.IRETD, x86asm.IRETQ,
		x86asm.ICEBP, x86asm.ENTER, x86asm.XLATB, x86asm.LSS, x86asm.LFS, x86asm.LGS,
		x86asm.SYSENTER, x86asm.SYSEXIT, x86asm.SYSRET, x86asm.INVD, x86asm.WBINVD, x86asm.CLTS:
		return true
	}
	return false
}

// fillGaps looks at the bytes of text that flow did not reach: padding, data, or
// functions that are only reached in a way that was not seen. It reports whether
// there was new code.
func (a *analysis) fillGaps() (bool, error) {
	found := false
	for _, s := range a.text {
		e := evidenceGap
		for i := s.start; i < s.end; {
			if n := nextZero(a.covered, i, s.end); n > i {
				i, e = n, evidenceGap
				continue
			}
			if n := a.padding(i, s.end); n > 0 {
				i += n
				continue
			}
			if !a.plausible(i, true) || !a.isCode(i, e) {
				i, e = a.skipData(i, s.end), evidenceData
				continue
			}
			found = true
			if a.inside[i] == 0 {
				a.start(i, pb.Origin_ORIGIN_GAP)
			}
			a.enter(i, pb.Origin_ORIGIN_GAP)
			if err := a.drain(); err != nil {
				return false, err
			}
			if a.covered[i] == 0 {
				i++
			}
		}
		if err := a.ctx.Err(); err != nil {
			return false, err
		}
	}
	return found, nil
}

// skipData returns the next index after i that is worth a trial: where the data
// may end, at a boundary of 16 bytes (functions and constants are aligned).
func (a *analysis) skipData(i, end uint32) uint32 {
	next := i + uint32(16-a.addr(i)%16)
	return min(next, end)
}

// padding returns the length of the padding at index i: NOPs of all lengths,
// INT3 and zero bytes, up to the next instruction.
func (a *analysis) padding(i, end uint32) uint32 {
	from := i
	for i < end && a.covered[i] == 0 {
		b := a.bytes(i)
		switch {
		case b[0] == 0xcc:
			i++
			continue
		case b[0] == 0:
			zeros := uint32(0)
			for i+zeros < end && b[zeros] == 0 && a.covered[i+zeros] == 0 {
				zeros++
			}
			// One zero byte before known code may be the last of a longer NOP.
			if zeros >= 2 || i+zeros == end || a.covered[i+zeros] != 0 || a.addr(i+zeros)%16 == 0 {
				i += zeros
				continue
			}
		}
		in, err := a.decode(i)
		if err != nil || !isPadding(&in) {
			break
		}
		i += uint32(in.Len)
	}
	return i - from
}

// isPadding reports NOP and the instructions that assemblers of old used for
// the same: MOV and LEA of a register to itself.
func isPadding(in *x86.Inst) bool {
	switch in.Op {
	case x86asm.NOP:
		return true
	case x86asm.XCHG, x86asm.MOV:
		return in.Args[0] == in.Args[1] && familyOf(in.Args[0]) != noReg && in.ArgSize(0) != 4
	case x86asm.LEA:
		m, _ := in.Mem(1)
		return m.Base == in.Args[0] && m.Index == 0 && m.Disp == 0 && in.ArgSize(0) == 8
	}
	return false
}
