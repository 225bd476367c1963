package wasm

import (
	"encoding/binary"
	"math"
)

// Body builds the code of one function. The zero value is an empty body of a
// function without parameters. Its methods append one instruction each; it
// refers to functions, globals and types by index and so needs no module. A
// Body is used by one goroutine at a time.
type Body struct {
	params uint32
	locals uint32 // locals after the parameters
	runs   []LocalRun
	code   []byte
}

// NewBody returns an empty body of a function with that many parameters.
func NewBody(params int) *Body { return &Body{params: uint32(params)} }

// Reset empties the body for another function, keeping its memory.
func (b *Body) Reset(params int) {
	*b = Body{params: uint32(params), runs: nil, code: b.code[:0]}
}

// Local adds a local and returns its index.
func (b *Body) Local(t ValType) uint32 { return b.LocalsOf(t, 1) }

// LocalsOf adds n locals of one type and returns the index of the first.
// Locals of one type that follow each other take one entry.
func (b *Body) LocalsOf(t ValType, n int) uint32 {
	first := b.params + b.locals
	b.locals += uint32(n)
	if last := len(b.runs) - 1; last >= 0 && b.runs[last].Type == t {
		b.runs[last].Count += uint32(n)
	} else {
		b.runs = append(b.runs, LocalRun{uint32(n), t})
	}
	return first
}

// Len returns the size of the code so far, in bytes.
func (b *Body) Len() int { return len(b.code) }

// Func returns the function. It appends the last end; the body must not be
// used after it but by Reset, and its bytes are copied.
func (b *Body) Func(typ uint32, label string) Func {
	code := make([]byte, len(b.code)+1)
	copy(code, b.code)
	code[len(b.code)] = byte(OpEnd)
	return Func{Type: typ, Locals: b.runs, Code: code, Label: label}
}

// Op appends an instruction without immediates, or the opcode of one whose
// immediates are appended with Raw, U32, ....
func (b *Body) Op(op Opcode) {
	if op > 0xff {
		b.code = append(b.code, byte(op>>8))
		b.code = appendU(b.code, uint64(op&0xff))
		return
	}
	b.code = append(b.code, byte(op))
}

// Raw appends bytes.
func (b *Body) Raw(p ...byte) { b.code = append(b.code, p...) }

// U32 appends an unsigned LEB.
func (b *Body) U32(v uint32) { b.code = appendU(b.code, uint64(v)) }

// S64 appends a signed LEB.
func (b *Body) S64(v int64) { b.code = appendS(b.code, v) }

// I32Const appends i32.const.
func (b *Body) I32Const(v int32) {
	b.Op(OpI32Const)
	b.S64(int64(v))
}

// I64Const appends i64.const.
func (b *Body) I64Const(v int64) {
	b.Op(OpI64Const)
	b.S64(v)
}

// F32Const appends the f32.const of the given bits.
func (b *Body) F32Const(bits uint32) {
	b.Op(OpF32Const)
	b.code = binary.LittleEndian.AppendUint32(b.code, bits)
}

// F64Const appends the f64.const of the given bits.
func (b *Body) F64Const(bits uint64) {
	b.Op(OpF64Const)
	b.code = binary.LittleEndian.AppendUint64(b.code, bits)
}

// V128Const appends v128.const.
func (b *Body) V128Const(lo, hi uint64) {
	b.Op(OpV128Const)
	b.code = binary.LittleEndian.AppendUint64(b.code, lo)
	b.code = binary.LittleEndian.AppendUint64(b.code, hi)
}

// Shuffle appends i8x16.shuffle.
func (b *Body) Shuffle(lanes [16]byte) {
	b.Op(OpI8x16Shuffle)
	b.Raw(lanes[:]...)
}

// Lane appends an instruction with a lane index.
func (b *Body) Lane(op Opcode, lane byte) {
	b.Op(op)
	b.Raw(lane)
}

func (b *Body) opIndex(op Opcode, i uint32) {
	b.Op(op)
	b.U32(i)
}

// LocalGet appends local.get.
func (b *Body) LocalGet(i uint32) { b.opIndex(OpLocalGet, i) }

// LocalSet appends local.set.
func (b *Body) LocalSet(i uint32) { b.opIndex(OpLocalSet, i) }

// LocalTee appends local.tee.
func (b *Body) LocalTee(i uint32) { b.opIndex(OpLocalTee, i) }

// GlobalGet appends global.get.
func (b *Body) GlobalGet(i uint32) { b.opIndex(OpGlobalGet, i) }

// GlobalSet appends global.set.
func (b *Body) GlobalSet(i uint32) { b.opIndex(OpGlobalSet, i) }

// Call appends call.
func (b *Body) Call(f uint32) { b.opIndex(OpCall, f) }

// ReturnCall appends return_call. wazero makes no tail call of a function with
// more than 7 parameters.
func (b *Body) ReturnCall(f uint32) { b.opIndex(OpReturnCall, f) }

// BlockType is the type of a block: none, one value, or a type index.
type BlockType int64

// BlockVoid is a block without parameters and results.
const BlockVoid BlockType = -0x40

// BlockOf is a block without parameters and with one result.
func BlockOf(t ValType) BlockType { return BlockType(t) - 0x80 }

// BlockIndex is a block with the type of that index.
func BlockIndex(typ uint32) BlockType { return BlockType(typ) }

func (b *Body) block(op Opcode, t BlockType) {
	b.Op(op)
	b.S64(int64(t))
}

// Block appends block.
func (b *Body) Block(t BlockType) { b.block(OpBlock, t) }

// Loop appends loop.
func (b *Body) Loop(t BlockType) { b.block(OpLoop, t) }

// If appends if.
func (b *Body) If(t BlockType) { b.block(OpIf, t) }

// Else appends else.
func (b *Body) Else() { b.Op(OpElse) }

// End appends end. The one that ends the function is appended by Func.
func (b *Body) End() { b.Op(OpEnd) }

// Br appends br to the label that is depth blocks further out.
func (b *Body) Br(depth uint32) { b.opIndex(OpBr, depth) }

// BrIf appends br_if.
func (b *Body) BrIf(depth uint32) { b.opIndex(OpBrIf, depth) }

// BrTable appends br_table.
func (b *Body) BrTable(depths []uint32, deflt uint32) {
	b.opIndex(OpBrTable, uint32(len(depths)))
	for _, d := range depths {
		b.U32(d)
	}
	b.U32(deflt)
}

// Return appends return.
func (b *Body) Return() { b.Op(OpReturn) }

// MemArg appends a load, store or atomic access. align is the exponent:
// 0 is always allowed but for atomics, which need their natural one.
func (b *Body) MemArg(op Opcode, align, offset uint32) {
	b.Op(op)
	b.U32(align)
	b.U32(offset)
}

// MemoryCopy appends memory.copy within memory 0.
func (b *Body) MemoryCopy() {
	b.Op(OpMemoryCopy)
	b.Raw(0, 0)
}

// MemoryFill appends memory.fill of memory 0.
func (b *Body) MemoryFill() {
	b.Op(OpMemoryFill)
	b.Raw(0)
}

// AtomicFence appends atomic.fence.
func (b *Body) AtomicFence() {
	b.Op(OpAtomicFence)
	b.Raw(0)
}

// expr returns the constant expression of what f appends.
func expr(f func(*Body)) []byte {
	var b Body
	f(&b)
	b.End()
	return b.code
}

// ConstI32 is the constant expression of v.
func ConstI32(v int32) []byte { return expr(func(b *Body) { b.I32Const(v) }) }

// ConstI64 is the constant expression of v.
func ConstI64(v int64) []byte { return expr(func(b *Body) { b.I64Const(v) }) }

// ConstZero is the constant expression of zero, or of the null reference.
func ConstZero(t ValType) []byte {
	return expr(func(b *Body) {
		switch t {
		case I32:
			b.I32Const(0)
		case I64:
			b.I64Const(0)
		case F32:
			b.F32Const(math.Float32bits(0))
		case F64:
			b.F64Const(math.Float64bits(0))
		case V128:
			b.V128Const(0, 0)
		default:
			b.Op(OpRefNull)
			b.Raw(byte(t))
		}
	})
}
