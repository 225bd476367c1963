package oracle

import (
	"encoding/binary"
	"slices"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// item is one instruction of a sequence.
type item struct {
	code []byte
	in   x86.Inst
	row  lift.Row
	// cc is the condition of a jump over the instruction, before it; -1: none.
	cc int
}

// sequence is code that ends whatever its state is: instructions, some of which
// are jumped over, the last loop of which may run several times.
type sequence struct {
	items []item
	// careful says that MXCSR matters.
	careful bool
	// A loop of loopLen items from loopAt on, counted in loopReg; 0: none.
	loopAt, loopLen int
}

// Registers that sequences keep what they are for. Memory operands use the
// pointers as bases and the index, which is small.
const (
	indexReg = 9
	loopReg  = 10
)

var pointerRegs = []guestabi.Reg{guestabi.RBX, guestabi.RBP, guestabi.RSI, guestabi.RDI}

// notInSequences are instructions with results that Intel leaves undefined, or
// that leave the code, or that would end most sequences with a fault.
var notInSequences = map[x86asm.Op]bool{
	x86asm.BSF: true, x86asm.BSR: true, x86asm.SHLD: true, x86asm.SHRD: true, x86asm.PAUSE: true, x86asm.HLT: true,
	x86asm.UD2: true, x86asm.UD1: true, x86asm.UD0: true, x86asm.RET: true, x86asm.CALL: true, x86asm.JMP: true,
	x86asm.FPREM: true, x86asm.FPREM1: true, x86asm.POPF: true, x86asm.POPFD: true, x86asm.POPFQ: true,
	x86asm.LEAVE: true, x86asm.ENTER: true,
}

// code assembles s.
func (s *sequence) code() []byte {
	var code []byte
	start := 0
	for i, it := range s.items {
		if i == s.loopAt {
			start = len(code)
		}
		if it.cc >= 0 {
			code = append(code, 0x70|byte(it.cc), byte(len(it.code)))
		}
		code = append(code, it.code...)
		if s.loopLen > 0 && i == s.loopAt+s.loopLen-1 {
			code = append(code, 0x41, 0x83, 0xe8|loopReg&7, 1) // sub r10d, 1
			code = append(code, 0x75, byte(start-len(code)-2)) // jnz start
		}
	}
	return code
}

// undefined returns the flags that are undefined after s, as bits of RFLAGS, or
// false if an instruction or a jump reads one that is.
func (s *sequence) undefined() (undef uint64, ok bool) {
	for i, it := range s.items {
		if it.cc >= 0 && ccReads[it.cc]&undef != 0 || flagMask(it.row.Reads)&undef != 0 {
			return 0, false
		}
		form := it.row.Undef
		if it.row.UndefForm != nil {
			form |= it.row.UndefForm(it.in)
		}
		if it.cc < 0 {
			undef &^= flagMask(it.row.Writes &^ form &^ it.row.Reads)
		}
		undef |= flagMask(form)
		if s.loopLen > 0 && i == s.loopAt+s.loopLen-1 {
			undef = 0 // sub defines them all
		}
	}
	return undef, true
}

// ccReads are the flags that each condition reads.
var ccReads = func() (masks [16]uint64) {
	for cc := range masks {
		in, err := x86.Decode([]byte{0x70 | byte(cc), 0}, CodeAt)
		if err != nil {
			panic("BUG: " + err.Error())
		}
		row, _ := Row(in)
		masks[cc] = flagMask(row.Reads)
	}
	return masks
}()

// sequence returns up to 8 instructions. Half of all sequences have none of
// AVX, which are so many that few would be without.
func (g *Generator) sequence() *sequence {
	for {
		s := &sequence{}
		size := 6 // of the loop's end
		avx := g.rng.IntN(2) == 0
		for want, tries := 1+g.rng.IntN(8), 400; len(s.items) < want && tries > 0; tries-- {
			it, ok := g.item(avx)
			if !ok || size+2+len(it.code) > MaxCode {
				continue
			}
			if it.cc = -1; g.rng.IntN(8) == 0 {
				it.cc = g.rng.IntN(16)
			}
			s.items = append(s.items, it)
			if _, ok := s.undefined(); !ok || s.clash() {
				s.items = s.items[:len(s.items)-1]
				continue
			}
			size += len(it.code) + 2
		}
		s.careful = s.has(x86asm.STMXCSR) || s.has(x86asm.LDMXCSR) || s.has(x86asm.VSTMXCSR) || s.has(x86asm.VLDMXCSR) || g.rng.IntN(2) == 0
		if s.has(x86asm.VCVTPH2PS) || s.has(x86asm.VCVTPS2PH) {
			s.careful = false // their exceptions are not raised
		}
		if n := len(s.items); n > 0 {
			if g.rng.IntN(4) == 0 {
				s.loopAt = g.rng.IntN(n)
				s.loopLen = 1 + g.rng.IntN(n-s.loopAt)
				if _, ok := s.undefined(); !ok {
					s.loopLen = 0
				}
			}
			return s
		}
	}
}

func (s *sequence) has(op x86asm.Op) bool {
	return slices.ContainsFunc(s.items, func(it item) bool { return it.in.Op == op })
}

// clash reports whether an instruction stores condition codes of the x87 unit
// that one before it left undefined.
func (s *sequence) clash() bool {
	tainted, x87 := false, 0
	for _, it := range s.items {
		if it.in.Op.String()[0] == 'F' {
			x87++
		}
	}
	for _, it := range s.items {
		switch it.in.Op {
		case x86asm.STMXCSR, x86asm.LDMXCSR, x86asm.VLDMXCSR, x86asm.VSTMXCSR:
			if s.has(x86asm.VCVTPH2PS) || s.has(x86asm.VCVTPS2PH) {
				return true // their exceptions are not raised
			}
		case x86asm.FNSTENV, x86asm.FNSAVE:
			if x87 > 1 {
				return true // the unit's instruction and data pointers are not kept
			}
		case x86asm.FNSTSW, x86asm.FXSAVE, x86asm.FXSAVE64:
			if tainted {
				return true
			}
		}
		tainted = tainted || vendorCodes(it.in, Outcome{}) != 0
	}
	return false
}

// item draws an instruction that has no jump and leaves alone the registers
// that sequences need, most of the time.
func (g *Generator) item(avx bool) (item, bool) {
	op := g.ops[g.rng.IntN(len(g.ops))]
	if (op == x86asm.DIV || op == x86asm.IDIV) && g.rng.IntN(8) != 0 {
		return item{}, false // most of them fault
	}
	ts := g.templates[op]
	t := ts[g.rng.IntN(len(ts))]
	if t[0] == vex3 {
		if !avx {
			return item{}, false
		}
		return g.itemVEX(op, t)
	}
	code := g.addREX(append(make([]byte, 0, 32), t...))
	modrmAt := len(code) - 1
	for range 12 {
		code = append(code, g.tailByte())
	}
	in, err := x86.Decode(code, CodeAt)
	if err != nil || in.Op != op || in.EndsBlock() {
		return item{}, false
	}
	if _, jumps := in.DirectTarget(); jumps {
		return item{}, false
	}
	if m, i := in.MemArg(); i >= 0 && in.Op == x86asm.LEA {
		if m.Base == x86asm.RIP {
			return item{}, false // code does not know where it lies
		}
	} else if i >= 0 {
		switch {
		case m.Segment != 0:
			return item{}, false
		case in.Len > modrmAt && code[modrmAt]>>6 != 3 && !isMoffs(code[:modrmAt+1]):
			if in, err = x86.Decode(g.addressing(code, modrmAt, in), CodeAt); err != nil || in.Op != op {
				return item{}, false
			}
		case in.Len <= modrmAt && (m.Base != 0 || m.Index != 0): // implicit
		default:
			return item{}, false
		}
	}
	switch in.Op {
	case x86asm.BT, x86asm.BTC, x86asm.BTR, x86asm.BTS:
		if _, at := in.MemArg(); at == 0 && in.MemBytes > 2 {
			if _, ok := in.Args[1].(x86asm.Reg); ok {
				return item{}, false // anywhere in 64 bits of address
			}
		}
	}
	if writes(in, loopReg) || g.rng.IntN(16) != 0 && (writes(in, indexReg) || writes(in, guestabi.RSP) || writesAny(in, pointerRegs)) {
		return item{}, false
	}
	row, ok := Row(in)
	if !ok || !g.supported(in, t) {
		return item{}, false
	}
	return item{code: in.Bytes, in: in, row: row}, true
}

// isMoffs reports mov between rax and an absolute address.
func isMoffs(head []byte) bool {
	n := len(head)
	return n >= 2 && head[n-2] >= 0xa0 && head[n-2] <= 0xa3 && (n == 2 || head[n-3] != 0x0f)
}

// addressing gives in another memory operand, in the registers of sequences.
// Its modrm is at modrmAt of code.
func (g *Generator) addressing(code []byte, modrmAt int, in x86.Inst) []byte {
	imm := code[modrmAt+1+addressBytes(code[modrmAt:]) : in.Len]
	out := append(make([]byte, 0, 40), code[:modrmAt]...)
	rex := 0
	for isPrefix(code[rex]) && code[rex]&0xf0 != 0x40 {
		rex++
	}
	hasREX := code[rex]&0xf0 == 0x40
	disp := int32(g.rng.IntN(9)-4) * 16
	if !aligns(in) {
		disp += int32(g.rng.IntN(16))
	}
	mod, dispBytes := byte(0x40), 1
	if g.rng.IntN(4) == 0 {
		mod, dispBytes = 0x80, 4
	}
	reg, base := code[modrmAt]&0x38, byte(pointerRegs[g.rng.IntN(len(pointerRegs))])
	if hasREX {
		out[rex] &^= 3 // REX.X, REX.B
	}
	if hasREX && !aligns(in) && g.rng.IntN(3) == 0 {
		out[rex] |= 2
		out = append(out, mod|reg|4, byte(g.rng.IntN(4))<<6|(indexReg&7)<<3|base)
	} else {
		out = append(out, mod|reg|base)
	}
	n := len(out) + dispBytes
	out = binary.LittleEndian.AppendUint32(out, uint32(disp))[:n]
	return append(out, imm...)
}

// addressBytes returns how many bytes of SIB and displacement follow a modrm.
func addressBytes(modrm []byte) int {
	mod, rm, n := modrm[0]>>6, modrm[0]&7, 0
	if rm == 4 {
		n = 1
		rm = modrm[1] & 7
	}
	switch {
	case mod == 1:
		return n + 1
	case mod == 2, mod == 0 && rm == 5:
		return n + 4
	}
	return n
}

// writes reports whether in names r as an operand that it writes.
func writes(in x86.Inst, r guestabi.Reg) bool {
	is := func(a x86asm.Arg) bool {
		named, ok := a.(x86asm.Reg)
		if !ok {
			return false
		}
		w, ok := anyReg(named)
		return ok && w == r
	}
	swaps := in.Op == x86asm.XCHG || in.Op == x86asm.XADD
	return is(in.Args[0]) && writesFirst(in.Op) || swaps && is(in.Args[1])
}

func writesAny(in x86.Inst, regs []guestabi.Reg) bool {
	return slices.ContainsFunc(regs, func(r guestabi.Reg) bool { return writes(in, r) })
}

// writesFirst reports whether op may write its first operand.
func writesFirst(op x86asm.Op) bool {
	switch op {
	case x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.PUSH:
		return false
	}
	return true
}

func anyReg(r x86asm.Reg) (guestabi.Reg, bool) {
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return guestabi.Reg(r - x86asm.AL), true
	case r >= x86asm.AH && r <= x86asm.BH:
		return guestabi.Reg(r - x86asm.AH), true
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return guestabi.Reg(r-x86asm.SPB) + guestabi.RSP, true
	case r >= x86asm.AX && r <= x86asm.R15W:
		return guestabi.Reg(r - x86asm.AX), true
	}
	return wholeReg(r)
}

// supported reports whether the lifter knows the form of in, whose template is t,
// it is not one that always faults, and the CPU knows it too: it refuses
// prefixes that mean nothing.
func (g *Generator) supported(in x86.Inst, t []byte) bool {
	ok, known := g.forms[string(t)]
	if !known {
		f, err := lift.Bytes(in.Bytes, CodeAt)
		ok = err == nil && f.Blocks[0].Term.Kind != ir.TermFault && (g.runs == nil || g.runs(in.Bytes))
		g.forms[string(t)] = ok
	}
	return ok
}

// sequenceState draws a state for a sequence: pointers into memory, with
// interesting data where they point, and small numbers in the index and the
// counters.
func (g *Generator) sequenceState(s *sequence) *interp.State {
	st := g.state()
	st.Regs[guestabi.MXCSR].Lo = guestabi.MXCSRInit
	if s.careful {
		g.mxcsr(st)
	}
	if slices.ContainsFunc(s.items, func(it item) bool { return !masks(it.in) }) {
		// One that is not masked would end the instruction.
		st.Regs[guestabi.MXCSR].Lo |= 0x1f80
	}
	mem := st.Mem[0].Data
	aligned := slices.ContainsFunc(s.items, func(it item) bool { return aligns(it.in) })
	for _, r := range pointerRegs {
		off := 1024 + 32*g.rng.IntN(48)
		for k := off - 32; k < off+48; k += 8 {
			binary.LittleEndian.PutUint64(mem[k:], g.word64(g.rng.IntN(4)))
		}
		if g.rng.IntN(8) == 0 {
			m, e := g.f80()
			binary.LittleEndian.PutUint64(mem[off:], m)
			binary.LittleEndian.PutUint16(mem[off+8:], e)
		}
		if !aligned && g.rng.IntN(4) == 0 {
			off += g.rng.IntN(16)
		}
		st.Regs[r].Lo = MemAt + uint64(off)
	}
	if g.rng.IntN(4) == 0 { // overlapping strings
		st.Regs[guestabi.RDI].Lo = st.Regs[guestabi.RSI].Lo + uint64(g.rng.IntN(33)) - 16
	}
	st.Regs[guestabi.RSP].Lo = MemAt + MemSize/2 + 16*uint64(g.rng.IntN(8))
	st.Regs[guestabi.RCX].Lo = uint64(g.rng.IntN(40))
	st.Regs[indexReg].Lo = uint64(g.rng.IntN(8))
	st.Regs[loopReg].Lo = uint64(1 + g.rng.IntN(4))
	for i := range s.items {
		g.control(st, s, &s.items[i].in)
	}
	return st
}

// aligns reports whether in faults on the CPU if its operand is not aligned, and
// only there.
func aligns(in x86.Inst) bool {
	switch in.Op {
	case x86asm.MOVUPS, x86asm.MOVUPD, x86asm.MOVDQU, x86asm.LDDQU, x86asm.PCMPESTRI, x86asm.PCMPESTRM, x86asm.PCMPISTRI, x86asm.PCMPISTRM:
		return false
	case x86asm.VMOVAPS, x86asm.VMOVAPD, x86asm.VMOVDQA, x86asm.VMOVNTPS, x86asm.VMOVNTPD, x86asm.VMOVNTDQ, x86asm.VMOVNTDQA:
		return true
	}
	return in.MemBytes == 16 && !isVEX(in.Bytes)
}

// control puts a value for a control register where in will load one from,
// unless what comes before it changes that.
func (g *Generator) control(st *interp.State, s *sequence, in *x86.Inst) {
	m, i := in.MemArg()
	if i < 0 {
		return
	}
	off := address(st, m) - MemAt
	if off > MemSize-16 {
		return
	}
	le, at := binary.LittleEndian, st.Mem[0].Data[off:]
	switch in.Op {
	case x86asm.LDMXCSR, x86asm.VLDMXCSR:
		v := g.drawMXCSR()
		if slices.ContainsFunc(s.items, func(it item) bool { return !masks(it.in) }) {
			v |= 0x1f80
		}
		le.PutUint32(at, v)
	case x86asm.FLDCW:
		le.PutUint16(at, g.drawControl())
	case x86asm.FLDENV, x86asm.FRSTOR:
		control := g.drawControl()
		le.PutUint16(at, control)
		status := uint16(g.rng.Uint32()) & (0x7f40 | control&0x3f) // no pending exception is unmasked
		le.PutUint16(at[2:], status)                               // in an environment of 16 bits
		le.PutUint16(at[4:], status)
	}
}
