package oracle

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// vex3 begins a VEX prefix of three bytes: then come R X B (inverted) and the
// map, and W, vvvv (inverted), L and pp.
const (
	vex2   = 0xc5
	vex3   = 0xc4
	vexR   = 0x80
	vexRXB = 0xe0
	vexV   = 0x78
)

// probeVEX records the VEX encodings of the instructions of rows: with all
// registers 0, a register or memory for the last operand, and each value of the
// field of ModR/M that may select the instruction.
func (g *Generator) probeVEX(rows map[x86asm.Op]bool) {
	for opMap := range byte(4) {
		for b2 := range 256 {
			if b2&vexV != vexV || opMap == 0 {
				continue
			}
			for opcode := range 256 {
				g.probeModRM([]byte{vex3, vexRXB | opMap, byte(b2), byte(opcode)}, rows)
			}
		}
	}
}

func (g *Generator) probeModRM(head []byte, rows map[x86asm.Op]bool) {
	if head[3] == 0x77 && head[1]&0x1f == 1 { // VZEROUPPER, VZEROALL
		if in, err := x86.Decode(head, CodeAt); err == nil && rows[in.Op] {
			g.templates[in.Op] = append(g.templates[in.Op], head)
		}
		return
	}
	for _, mod := range []byte{0xc1, 0x01, 0x04} {
		for reg := range byte(8) {
			code := append(append([]byte(nil), head...), mod|reg<<3)
			in, err := x86.Decode(append(code, make([]byte, 12)...), CodeAt)
			if err == nil && rows[in.Op] {
				g.templates[in.Op] = append(g.templates[in.Op], code)
			}
		}
	}
}

// vary draws the registers of a VEX encoding, and half of the time the prefix
// of two bytes if it will do.
func (g *Generator) vary(code []byte, op x86asm.Op) []byte {
	if len(code) < 5 {
		return code
	}
	is := func(code []byte) (x86.Inst, bool) {
		in, err := x86.Decode(append(append([]byte(nil), code...), make([]byte, 12)...), CodeAt)
		return in, err == nil && in.Op == op
	}
	try := append([]byte(nil), code...)
	try[4] = code[4]&0xc7 | byte(g.rng.IntN(8))<<3
	if g.rng.IntN(2) == 0 {
		try[4] = byte(g.rng.Uint32())
	}
	if _, ok := is(try); !ok {
		try[4] = code[4]
	}
	try[1] = code[1]&^vexRXB | byte(g.rng.Uint32())&vexRXB
	if _, ok := is(try); !ok {
		try[1] = code[1]
	}
	// An encoding without an operand in vvvv must have it 1111.
	before, _ := is(try)
	other := append([]byte(nil), try...)
	other[2] ^= vexV
	if in, ok := is(other); ok && in.Args != before.Args {
		try[2] = code[2]&^vexV | byte(g.rng.Uint32())&vexV
	}
	if try[1]&^vexR == 0x61 && try[2]&0x80 == 0 && g.rng.IntN(2) == 0 {
		try = append([]byte{vex2, try[1]&vexR | try[2]}, try[3:]...)
	}
	return try
}

// gathers refuses gathers whose registers are not all different: they raise
// #UD.
func (g *Generator) gathers(in x86.Inst) bool {
	m, ok := in.Args[1].(x86asm.Mem)
	if !ok {
		return true
	}
	index, ok := vectorNumber(m.Index)
	if !ok {
		return true
	}
	dst, _ := vectorNumber(in.Args[0])
	mask, _ := vectorNumber(in.Args[2])
	return index != dst && index != mask && dst != mask
}

func vectorNumber(a x86asm.Arg) (guestabi.Reg, bool) {
	switch r, _ := a.(x86asm.Reg); {
	case r >= x86asm.X0 && r <= x86asm.X15:
		return guestabi.Reg(r - x86asm.X0), true
	case r >= x86asm.Y0 && r <= x86asm.Y15:
		return guestabi.Reg(r - x86asm.Y0), true
	}
	return 0, false
}

// indices makes the elements of a vector of indices small, mostly.
func (g *Generator) indices(st *interp.State, m x86asm.Mem) {
	n, ok := vectorNumber(m.Index)
	if !ok {
		return
	}
	element := func() uint64 {
		if g.rng.IntN(2) == 0 { // as two of 4 bytes
			return uint64(uint32(g.rng.IntN(32)-16)) | uint64(uint32(g.rng.IntN(32)-16))<<32
		}
		return uint64(int64(g.rng.IntN(32) - 16))
	}
	st.Regs[guestabi.XMM0+n] = interp.Val{Lo: element(), Hi: element()}
	st.Regs[guestabi.YMMH0+n] = interp.Val{Lo: element(), Hi: element()}
}
