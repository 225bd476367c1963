package guestabi

import (
	"encoding/binary"

	"megabinary.dev/sdk/wasm"
)

// Offsets of the fields of a Context in memory, in bytes.
const (
	offGPR    = 0
	offPC     = offGPR + 8*NumGPR
	offRFLAGS = offPC + 8
	offFSBase = offRFLAGS + 8
	offGSBase = offFSBase + 8
	offMXCSR  = offGSBase + 8
	offFuel   = offMXCSR + 4
	offLastPC = offFuel + 4
	offXMM    = offLastPC + 8
	offYMMH   = offXMM + 16*NumXMM
)

// Put writes c, less PC, to the first cpu.ContextSize() bytes of b.
func (c *Context) Put(b []byte, cpu CPU) {
	b = b[:cpu.ContextSize()]
	le := binary.LittleEndian
	for i, v := range c.GPR {
		le.PutUint64(b[offGPR+8*i:], v)
	}
	le.PutUint64(b[offPC:], 0)
	le.PutUint64(b[offRFLAGS:], c.RFLAGS)
	le.PutUint64(b[offFSBase:], c.FSBase)
	le.PutUint64(b[offGSBase:], c.GSBase)
	le.PutUint32(b[offMXCSR:], c.MXCSR)
	le.PutUint32(b[offFuel:], c.Fuel)
	le.PutUint32(b[offLastPC:], c.LastPC)
	for i := range c.XMM {
		copy(b[offXMM+16*i:], c.XMM[i][:])
	}
	if len(b) > offYMMH {
		for i := range c.YMMH {
			copy(b[offYMMH+16*i:], c.YMMH[i][:])
		}
	}
}

// Get reads what Put writes. It leaves PC alone.
func (c *Context) Get(b []byte, cpu CPU) {
	b = b[:cpu.ContextSize()]
	le := binary.LittleEndian
	for i := range c.GPR {
		c.GPR[i] = le.Uint64(b[offGPR+8*i:])
	}
	c.RFLAGS = le.Uint64(b[offRFLAGS:])
	c.FSBase = le.Uint64(b[offFSBase:])
	c.GSBase = le.Uint64(b[offGSBase:])
	c.MXCSR = le.Uint32(b[offMXCSR:])
	c.Fuel = le.Uint32(b[offFuel:])
	c.LastPC = le.Uint32(b[offLastPC:])
	for i := range c.XMM {
		copy(c.XMM[i][:], b[offXMM+16*i:])
	}
	if len(b) > offYMMH {
		for i := range c.YMMH {
			copy(c.YMMH[i][:], b[offYMMH+16*i:])
		}
	}
}

// vectorOffset returns where a vector register lies in a Context.
func vectorOffset(r Reg) uint32 {
	if r >= YMMH0 {
		return offYMMH + 16*uint32(r-YMMH0)
	}
	return offXMM + 16*uint32(r-XMM0)
}

// scalarOffset returns where a register that is neither a flag nor a vector
// lies in a Context.
func scalarOffset(r Reg) uint32 {
	switch r {
	case FSBase:
		return offFSBase
	case GSBase:
		return offGSBase
	case MXCSR:
		return offMXCSR
	case LastPC:
		return offLastPC
	case Fuel:
		return offFuel
	}
	return offGPR + 8*uint32(r)
}

// flagBits are the positions of the flag registers in RFLAGS.
var flagBits = [NumFlags]int32{BitCF, BitPF, BitAF, BitZF, BitSF, BitOF, BitDF}

// saveContext builds the function that writes a Context; global maps a
// register to its global.
func saveContext(cpu CPU, global func(Reg) uint32, typ uint32) wasm.Func {
	b := wasm.NewBody(1)
	for _, r := range cpu.Regs() {
		if r >= CF && r <= DF {
			continue
		}
		b.LocalGet(0)
		b.GlobalGet(global(r))
		switch r.Type() {
		case I64:
			b.MemArg(wasm.OpI64Store, 3, scalarOffset(r))
		case I32:
			b.MemArg(wasm.OpI32Store, 2, scalarOffset(r))
		default:
			b.MemArg(wasm.OpV128Store, 4, vectorOffset(r))
		}
	}
	b.LocalGet(0)
	b.I64Const(0)
	b.MemArg(wasm.OpI64Store, 3, offPC)
	b.LocalGet(0)
	b.I32Const(1 << 1) // reads as 1 on every x86
	for i, bit := range flagBits {
		b.GlobalGet(global(CF + Reg(i)))
		b.I32Const(bit)
		b.Op(wasm.OpI32Shl)
		b.Op(wasm.OpI32Or)
	}
	b.Op(wasm.OpI64ExtendI32U)
	b.MemArg(wasm.OpI64Store, 3, offRFLAGS)
	return b.Func(typ, ExportSaveContext)
}

// loadContext builds the function that reads a Context.
func loadContext(cpu CPU, global func(Reg) uint32, typ uint32) wasm.Func {
	b := wasm.NewBody(1)
	flags := b.Local(I32)
	b.LocalGet(0)
	b.MemArg(wasm.OpI32Load, 2, offRFLAGS)
	b.LocalSet(flags)
	for _, r := range cpu.Regs() {
		switch {
		case r >= CF && r <= DF:
			b.LocalGet(flags)
			b.I32Const(flagBits[r-CF])
			b.Op(wasm.OpI32ShrU)
			b.I32Const(1)
			b.Op(wasm.OpI32And)
		case r.Type() == I64:
			b.LocalGet(0)
			b.MemArg(wasm.OpI64Load, 3, scalarOffset(r))
		case r.Type() == I32:
			b.LocalGet(0)
			b.MemArg(wasm.OpI32Load, 2, scalarOffset(r))
		default:
			b.LocalGet(0)
			b.MemArg(wasm.OpV128Load, 4, vectorOffset(r))
		}
		b.GlobalSet(global(r))
	}
	return b.Func(typ, ExportLoadContext)
}

// FlagBits are the positions in RFLAGS of CF, PF, AF, ZF, SF, OF and DF.
func FlagBits() [NumFlags]int32 { return flagBits }
