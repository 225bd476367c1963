package lower

import (
	"math/bits"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// isAtomic reports a read-modify-write of memory.
func isAtomic(row *ir.Row) bool { return row.Wasm>>8 == 0xfe && row.Imm == ir.ImmDisp }

// firstRMW is the low byte of the opcode of i32.atomic.rmw.add; each operation
// has seven opcodes.
const firstRMW = 0x1e

// atomic emits a read-modify-write. Wasm traps where the address is not a
// multiple of the size, which x86 allows: there the host does it.
func (x *fn) atomic(in *ir.Inst, row *ir.Row) {
	align := uint32(bits.TrailingZeros8(row.Size))
	offset := x.linear(in)
	if row.Size == 1 {
		for _, v := range in.Args[1:len(row.Args)] {
			x.value(v)
		}
		x.mayStop(in)
		x.body.MemArg(wasm.Opcode(row.Wasm), align, offset)
		return
	}
	var locals [3]uint32
	types := [3]ir.Type{ir.I32, row.Result, row.Result}
	locals[0] = x.alloc(ir.I32)
	x.body.LocalSet(locals[0])
	for i, v := range in.Args[1:len(row.Args)] {
		x.value(v)
		locals[i+1] = x.alloc(row.Result)
		x.body.LocalSet(locals[i+1])
	}
	x.body.LocalGet(locals[0])
	if offset%uint32(row.Size) != 0 {
		x.addConst(int32(offset))
	}
	x.body.I32Const(int32(row.Size) - 1)
	x.body.Op(wasm.OpI32And)
	x.body.If(wasm.BlockOf(wasm.ValType(row.Result)))
	x.body.I32Const(int32(row.Wasm&0xff-firstRMW)/7 | int32(row.Size)<<8)
	x.body.LocalGet(locals[0])
	x.addConst(int32(offset + guestabi.AddrBias))
	for i := 1; i <= 2; i++ {
		if i >= len(row.Args) {
			x.body.I64Const(0)
			continue
		}
		x.body.LocalGet(locals[i])
		if row.Result == ir.I32 {
			x.body.Op(wasm.OpI64ExtendI32U)
		}
	}
	x.mayStop(in)
	x.body.Call(x.env.Helpers[guestabi.FuncAtomic])
	if row.Result == ir.I32 {
		x.body.Op(wasm.OpI32WrapI64)
	}
	x.body.Else()
	for _, l := range locals[:len(row.Args)] {
		x.body.LocalGet(l)
	}
	x.mayStop(in)
	x.body.MemArg(wasm.Opcode(row.Wasm), align, offset)
	x.body.End()
	for i, l := range locals[:len(row.Args)] {
		x.free[types[i]] = append(x.free[types[i]], l)
	}
}
