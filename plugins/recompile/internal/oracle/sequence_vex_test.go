package oracle

import (
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// itemVEX is item for an encoding of VEX.
func (g *Generator) itemVEX(op x86asm.Op, t []byte) (item, bool) {
	code := g.vary(append([]byte(nil), t...), op)
	kind := byte(0xc0)
	if modrmAt := len(code) - 1; len(t) > 4 && code[modrmAt]>>6 != 3 {
		kind = 0
		reg, base := code[modrmAt]&0x38, byte(pointerRegs[g.rng.IntN(len(pointerRegs))])
		if code[0] == vex3 {
			code[1] |= 0x60 // no X, no B
		}
		disp := int32(g.rng.IntN(9)-4) * 32
		if !aligns(x86.Inst{Inst: x86asm.Inst{Op: op}}) {
			disp += int32(g.rng.IntN(32))
		}
		code = append(code[:modrmAt], 0x80|reg|base)
		code = binary.LittleEndian.AppendUint32(code, uint32(disp))
	}
	for range 4 {
		code = append(code, g.tailByte())
	}
	in, err := x86.Decode(code, CodeAt)
	if err != nil || in.Op != op || isGather(in) {
		return item{}, false
	}
	if writes(in, loopReg) || g.rng.IntN(16) != 0 && (writes(in, indexReg) || writes(in, guestabi.RSP) || writesAny(in, pointerRegs)) {
		return item{}, false
	}
	if op == x86asm.MULX {
		in.Args[0], in.Args[1] = in.Args[1], in.Args[0] // it writes both
		if writes(in, loopReg) || writesAny(in, pointerRegs) {
			return item{}, false
		}
		in.Args[0], in.Args[1] = in.Args[1], in.Args[0]
	}
	row, ok := Row(in)
	if !ok || !g.supported(in, append(append([]byte(nil), t...), kind)) {
		return item{}, false
	}
	return item{code: in.Bytes, in: in, row: row}, true
}
