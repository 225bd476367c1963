package oracle

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sort"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// Generator makes random encodings of the instructions that have a row, and
// states in which they do something interesting.
type Generator struct {
	rng       *rand.Rand
	ops       []x86asm.Op
	templates map[x86asm.Op][][]byte // prefixes and opcode, and modrm if it selects the instruction
	forms     map[string]bool        // whether the lifter and the CPU know a form, by template
	runs      func(code []byte) bool // whether the CPU knows an instruction; nil: it does
	spare     []*interp.State        // states to be used again
}

// unfit are instructions that random operands would make act on the process or
// loop for ever.
var unfit = map[x86asm.Op]bool{
	x86asm.IRET: true, x86asm.IRETD: true, x86asm.IRETQ: true, x86asm.LRET: true, x86asm.LCALL: true, x86asm.LJMP: true,
	x86asm.SYSRET: true, x86asm.SYSEXIT: true, x86asm.INTO: true,
	x86asm.WRFSBASE: true, x86asm.WRGSBASE: true,
	x86asm.FXRSTOR: true, x86asm.FXRSTOR64: true, x86asm.FXSAVE: true, x86asm.FXSAVE64: true,
}

// NewGenerator finds, by decoding all of them, the encodings of the rows for
// which want is true.
func NewGenerator(seed uint64, want func(x86asm.Op) bool) *Generator {
	g := &Generator{rng: newRand(seed), templates: map[x86asm.Op][][]byte{}, forms: map[string]bool{}}
	rows := map[x86asm.Op]bool{}
	for _, f := range lift.Families() {
		for op := range f.Rows {
			rows[op] = !noCase[op] && !unfit[op] && !beyondHost(op) && want(op)
		}
	}
	for _, prefix := range [][]byte{nil, {0x66}, {0xf2}, {0xf3}, {0x48}, {0x66, 0x48}, {0xf2, 0x48}, {0xf3, 0x48}, {0xf0}, {0xf0, 0x48}} {
		for _, escape := range [][]byte{nil, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}} {
			for opcode := range 256 {
				if len(escape) == 0 && (isPrefix(byte(opcode)) || opcode == 0x0f) || len(escape) == 1 && (opcode == 0x38 || opcode == 0x3a) {
					continue // no opcode yet
				}
				head := append(append(append([]byte(nil), prefix...), escape...), byte(opcode))
				g.probe(head, rows)
			}
		}
	}
	g.probeVEX(rows)
	for op := range g.templates {
		g.ops = append(g.ops, op)
	}
	sort.Slice(g.ops, func(i, j int) bool { return g.ops[i] < g.ops[j] })
	return g
}

func isPrefix(b byte) bool {
	switch b {
	case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3:
		return true
	}
	return b&0xf0 == 0x40
}

func isVEX(code []byte) bool { return code[0] == 0xc4 || code[0] == 0xc5 }

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// probe records head with each modrm that makes an instruction of rows. The
// registers that modrm names are drawn later, unless they select the
// instruction as in x87.
func (g *Generator) probe(head []byte, rows map[x86asm.Op]bool) {
	for modrm := range 256 {
		code := append(append([]byte(nil), head...), byte(modrm))
		in, err := x86.Decode(append(code, make([]byte, 12)...), CodeAt)
		if err == nil && rows[in.Op] && !g.idle(code, in) {
			g.templates[in.Op] = append(g.templates[in.Op], code)
		}
	}
}

// idle reports whether code begins with an F2 or F3 that means nothing, which no
// assembler writes and which processors disagree on.
func (g *Generator) idle(code []byte, in x86.Inst) bool {
	if code[0] != 0xf2 && code[0] != 0xf3 || in.Rep || in.Repne {
		return false
	}
	plain, err := x86.Decode(append(append([]byte(nil), code[1:]...), make([]byte, 12)...), CodeAt)
	return err == nil && plain.Op == in.Op
}

// Ops returns the instructions that it makes.
func (g *Generator) Ops() []x86asm.Op { return g.ops }

// Next makes a case of any instruction.
func (g *Generator) Next() (Case, x86.Inst, bool) {
	return g.NextOf(g.ops[g.rng.IntN(len(g.ops))])
}

// NextOf makes a case of op, or returns false if what it drew is of no use.
func (g *Generator) NextOf(op x86asm.Op) (Case, x86.Inst, bool) {
	ts := g.templates[op]
	code := append(make([]byte, 0, 32), ts[g.rng.IntN(len(ts))]...)
	if code[0] == vex3 {
		code = g.vary(code, op)
	} else {
		code = g.addREX(code)
	}
	for range 12 {
		code = append(code, g.tailByte())
	}
	in, err := x86.Decode(code, CodeAt)
	if err != nil || in.Op != op {
		return Case{}, in, false
	}
	code = code[:in.Len]
	if !g.gathers(in) {
		return Case{}, in, false
	}
	if target, ok := in.DirectTarget(); ok && (target >= CodeAt && target < CodeAt+uint64(in.Len) || target >= 1<<32) {
		return Case{}, in, false
	}
	for _, a := range in.Args {
		if m, ok := a.(x86asm.Mem); ok && m.Base == x86asm.RIP && in.Op != x86asm.LEA {
			return Case{}, in, false // the code is no memory of the other meanings
		}
	}
	st := g.state()
	switch {
	case in.Op == x86asm.VCVTPH2PS || in.Op == x86asm.VCVTPS2PH:
		st.Regs[guestabi.MXCSR].Lo = guestabi.MXCSRInit // their exceptions are not raised
	case !masks(in):
		st.Regs[guestabi.MXCSR].Lo |= 0x1f80
	}
	if in.Rep || in.Repne {
		st.Regs[guestabi.RCX].Lo = uint64(g.rng.IntN(40)) // few, in memory that has no end
	}
	g.aim(st, &in)
	return Case{Code: code, State: st}, in, true
}

// addREX puts a random REX prefix into code half of the time, before the
// opcode, keeping a REX.W that is there.
func (g *Generator) addREX(code []byte) []byte {
	at := 0
	for isPrefix(code[at]) && code[at]&0xf0 != 0x40 {
		at++
	}
	if code[at] == 0x48 {
		code[at] |= byte(g.rng.IntN(8))
		return code
	}
	if g.rng.IntN(2) == 0 {
		return code
	}
	rex := 0x40 | byte(g.rng.IntN(8))
	return append(append(append([]byte(nil), code[:at]...), rex), code[at:]...)
}

// tailByte is a byte of a SIB, a displacement or an immediate.
func (g *Generator) tailByte() byte {
	switch g.rng.IntN(4) {
	case 0:
		return 0
	case 1:
		return byte(g.rng.IntN(16))
	default:
		return byte(g.rng.Uint32())
	}
}

var interesting64 = []uint64{
	0, 1, 2, 3, math.MaxUint64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
	0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0x1_0000_0000, 31, 32, 63, 64, 0x8080_8080_8080_8080, 0x5555_5555_5555_5555,
}

var interestingF64 = []uint64{
	0, 1 << 63, 0x3ff0 << 48, 0xbff0 << 48, 0x7ff0 << 48, 0xfff0 << 48, 0x7ff8 << 48, 0xfff8 << 48,
	0x7ff0_0000_0000_0001, 0xfff4_0000_0000_0000, 0x7ff8_0000_1234_5678, 1, 0x000f_ffff_ffff_ffff, 0x8010_0000_0000_0000, 0x7fef_ffff_ffff_ffff,
	0x41df_ffff_ffc0_0000, 0x41e0_0000_0000_0000, 0xc1e0_0000_0020_0000, 0xc1e0_0000_0000_0000, 0x43e0_0000_0000_0000, 0xc3e0_0000_0000_0000,
	0x3fe0_0000_0000_0000, 0x3ff8_0000_0000_0000, 0x4004_0000_0000_0000, 0xbfdf_ffff_ffff_ffff, 0x47ef_ffff_f000_0000, 0x3690_0000_0000_0000,
}

var interestingF32 = []uint32{
	0, 1 << 31, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffa0_0000, 0x7fc1_2345,
	1, 0x007f_ffff, 0x8080_0000, 0x7f7f_ffff, 0x4eff_ffff, 0x4f00_0000, 0xcf00_0000, 0xcf00_0001, 0x5f00_0000, 0x3f00_0000, 0x3fc0_0000, 0x4020_0000,
}

func (g *Generator) int64() uint64 {
	switch g.rng.IntN(4) {
	case 0:
		return g.rng.Uint64()
	case 1:
		return g.rng.Uint64() >> g.rng.IntN(64)
	default:
		return interesting64[g.rng.IntN(len(interesting64))]
	}
}

func (g *Generator) f64() uint64 {
	switch g.rng.IntN(4) {
	case 0:
		return g.rng.Uint64()
	case 1:
		return math.Float64bits((g.rng.Float64() - 0.5) * math.Ldexp(1, g.rng.IntN(70)))
	default:
		return interestingF64[g.rng.IntN(len(interestingF64))]
	}
}

func (g *Generator) f32() uint32 {
	switch g.rng.IntN(4) {
	case 0:
		return g.rng.Uint32()
	case 1:
		return math.Float32bits((g.rng.Float32() - 0.5) * float32(math.Ldexp(1, g.rng.IntN(70))))
	default:
		return interestingF32[g.rng.IntN(len(interestingF32))]
	}
}

// word64 is 64 bits of any kind of data.
func (g *Generator) word64(kind int) uint64 {
	switch kind {
	case 0:
		return g.f64()
	case 1:
		return uint64(g.f32()) | uint64(g.f32())<<32
	case 2:
		return g.int64()
	default:
		var v uint64
		for range 4 {
			v = v<<16 | g.int64()&0xffff
		}
		return v
	}
}

func (g *Generator) f80() (uint64, uint16) {
	mants := []uint64{0, 1 << 63, math.MaxUint64, 3 << 62, 1<<63 | 1, 1<<63 | 1<<61, 1, 1 << 62, g.rng.Uint64(), g.rng.Uint64() | 1<<63, g.rng.Uint64()<<40 | 1<<63}
	exps := []uint16{0, 0x7fff, 0x3fff, 0x3ffe, 0x4000, 1, 0x7ffe, uint16(0x3fff + g.rng.IntN(70)), uint16(0x3fff - g.rng.IntN(70)), uint16(g.rng.Uint32()) & 0x7fff}
	m, e := mants[g.rng.IntN(len(mants))], exps[g.rng.IntN(len(exps))]
	if g.rng.IntN(4) != 0 && e != 0 {
		m |= 1 << 63 // mostly supported formats
	}
	return m, e | uint16(g.rng.IntN(2))<<15
}

// fresh returns the default state, in the memory of one that is done with if
// there is any.
func (g *Generator) fresh() *interp.State {
	n := len(g.spare)
	if n == 0 {
		return DefaultState()
	}
	st, def := g.spare[n-1], defaultState()
	g.spare = g.spare[:n-1]
	mem := st.Mem
	*st = *def
	st.Mem = mem
	copy(mem[0].Data, def.Mem[0].Data)
	return st
}

// state draws a state; aim makes its addresses fit the instruction.
func (g *Generator) state() *interp.State {
	st := g.fresh()
	for i := range guestabi.NumGPR {
		st.Regs[i].Lo = g.int64()
	}
	for i := range guestabi.Reg(guestabi.NumXMM) {
		kind := g.rng.IntN(4)
		st.Regs[guestabi.XMM0+i] = interp.Val{Lo: g.word64(kind), Hi: g.word64(kind)}
		st.Regs[guestabi.YMMH0+i] = interp.Val{Lo: g.word64(kind), Hi: g.word64(kind)}
	}
	for _, f := range []guestabi.Reg{guestabi.CF, guestabi.PF, guestabi.AF, guestabi.ZF, guestabi.SF, guestabi.OF} {
		st.Regs[f].Lo = uint64(g.rng.IntN(2))
	}
	if g.rng.IntN(8) == 0 {
		st.Regs[guestabi.DF].Lo = 1
	}
	st.Regs[guestabi.RSP].Lo = MemAt + MemSize/2 + uint64(g.rng.IntN(64))
	for _, r := range []guestabi.Reg{guestabi.RSI, guestabi.RDI, guestabi.RBP, guestabi.RBX} {
		if g.rng.IntN(4) != 0 {
			st.Regs[r].Lo = MemAt + 1024 + uint64(g.rng.IntN(2048))
		}
	}
	if g.rng.IntN(2) == 0 {
		st.Regs[guestabi.RCX].Lo = uint64(g.rng.IntN(40))
	}
	g.x87(st)
	if g.rng.IntN(2) == 0 {
		g.mxcsr(st)
	}
	return st
}

// mxcsr makes translated code careful about MXCSR, and draws it.
func (g *Generator) mxcsr(st *interp.State) {
	st.Regs[guestabi.MXCSR].Lo = uint64(g.drawMXCSR()) | 1<<guestabi.MXCSRCareful
}

// drawMXCSR draws a rounding mode, DAZ and FTZ, flags, and masks, mostly all set.
func (g *Generator) drawMXCSR() uint32 {
	v := uint64(g.rng.Uint32()) & 0xe07f
	masks := uint64(0x1f80)
	if g.rng.IntN(4) == 0 {
		masks &= g.rng.Uint64() | g.rng.Uint64()
		v &^= ^masks >> 7 & 0x3f // what is not masked is not pending
	}
	return uint32(v | masks)
}

func (g *Generator) x87(st *interp.State) {
	var fx [512]byte
	le := binary.LittleEndian
	control := g.drawControl()
	le.PutUint16(fx[0:], control)
	le.PutUint16(fx[2:], uint16(g.rng.Uint32())&(0x7f40|control&0x3f)) // no pending exception is unmasked
	fx[4] = byte(g.rng.Uint32() | g.rng.Uint32() | g.rng.Uint32())
	for i := range 8 {
		m, e := g.f80()
		le.PutUint64(fx[32+16*i:], m)
		le.PutUint16(fx[40+16*i:], e)
	}
	st.X87.UnmarshalFXSave(fx[:])
}

// masks reports whether the exceptions of in are right if they are not masked: in
// which order the products of dpps raise them is the processor's own, and the
// parts of an instruction of AVX do not hide each other's.
func masks(in x86.Inst) bool {
	switch in.Op {
	case x86asm.DPPS, x86asm.DPPD, x86asm.VDPPS, x86asm.VDPPD:
		return false
	}
	return !isVEX(in.Bytes)
}

// drawControl draws the x87 control word: rounding, precision, and masks, mostly
// all set.
func (g *Generator) drawControl() uint16 {
	v := 0x007f | uint16(g.rng.IntN(4))<<10 | [4]uint16{0x300, 0x300, 0x200, 0}[g.rng.IntN(4)]
	if g.rng.IntN(4) == 0 {
		v &^= uint16(g.rng.Uint32()&g.rng.Uint32()) & 0x3f
	}
	return v
}

// aim makes the memory operand of in lie in memory, and puts data there.
func (g *Generator) aim(st *interp.State, in *x86.Inst) {
	target := MemAt + 256 + uint64(g.rng.IntN(MemSize-1024))
	switch g.rng.IntN(16) {
	case 0:
	case 1:
		target = MemAt + MemSize - uint64(g.rng.IntN(20)) // the edge
	default:
		target &^= 15
	}
	for _, a := range in.Args {
		m, ok := a.(x86asm.Mem)
		if !ok || m.Base == 0 && m.Index == 0 || in.Args[1] != nil && isString(in) {
			continue
		}
		g.pointAt(st, m, target)
		g.indices(st, m)
		break
	}
	for off := target; off < target+64 && off+8 <= MemAt+MemSize; off += 8 {
		binary.LittleEndian.PutUint64(st.Mem[0].Data[off-MemAt:], g.word64(g.rng.IntN(4)))
	}
	if g.rng.IntN(2) == 0 && target+10 <= MemAt+MemSize {
		m, e := g.f80()
		binary.LittleEndian.PutUint64(st.Mem[0].Data[target-MemAt:], m)
		binary.LittleEndian.PutUint16(st.Mem[0].Data[target-MemAt+8:], e)
	}
	switch in.Op {
	case x86asm.POPF, x86asm.POPFD, x86asm.POPFQ:
		// No trap flag, no alignment check.
		sp := st.Regs[guestabi.RSP].Lo - MemAt
		binary.LittleEndian.PutUint64(st.Mem[0].Data[sp:], g.rng.Uint64()&0xcd5)
	case x86asm.LDMXCSR, x86asm.VLDMXCSR:
		if target+4 <= MemAt+MemSize {
			binary.LittleEndian.PutUint32(st.Mem[0].Data[target-MemAt:], g.drawMXCSR())
		}
	case x86asm.FLDCW, x86asm.FLDENV, x86asm.FRSTOR:
		if target+8 <= MemAt+MemSize {
			binary.LittleEndian.PutUint16(st.Mem[0].Data[target-MemAt:], g.drawControl())
		}
	}
}

func isString(in *x86.Inst) bool {
	switch in.Op {
	case x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSD, x86asm.MOVSQ, x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSD, x86asm.CMPSQ:
		_, mem := in.Args[1].(x86asm.Mem)
		_, mem0 := in.Args[0].(x86asm.Mem)
		return mem && mem0
	}
	return false
}

func wholeReg(r x86asm.Reg) (guestabi.Reg, bool) {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return guestabi.Reg(r - x86asm.RAX), true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return guestabi.Reg(r - x86asm.EAX), true
	}
	return 0, false
}

// pointAt sets the registers of m such that it is at target.
func (g *Generator) pointAt(st *interp.State, m x86asm.Mem, target uint64) {
	rest := target - uint64(m.Disp)
	switch m.Segment {
	case x86asm.FS:
		rest -= st.Regs[guestabi.FSBase].Lo
	case x86asm.GS:
		rest -= st.Regs[guestabi.GSBase].Lo
	}
	base, hasBase := wholeReg(m.Base)
	index, hasIndex := wholeReg(m.Index)
	if m.Scale == 0 {
		hasIndex = false
	}
	switch {
	case hasBase && hasIndex && base == index:
		st.Regs[base].Lo = rest / (1 + uint64(m.Scale))
	case hasBase:
		if hasIndex {
			st.Regs[index].Lo = uint64(int64(g.rng.IntN(64) - 32))
			rest -= st.Regs[index].Lo * uint64(m.Scale)
		}
		st.Regs[base].Lo = rest
	case hasIndex:
		st.Regs[index].Lo = rest / uint64(m.Scale)
	}
}
