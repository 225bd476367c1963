package guestabi

import (
	"cmp"
	"slices"
	"sync"

	"megabinary.dev/sdk/wasm"
)

// Names of the functions that module guest defines, from CPUv3 on.
const (
	FuncFMAF64x2 = "fma_f64x2"
	FuncFMAF32x4 = "fma_f32x4"
	FuncFMAF32x2 = "fma_f32x2"
	FuncPDEP     = "pdep"
	FuncPEXT     = "pext"
	FuncF32ToF16 = "f32_to_f16"

	funcFMASlow = "fma_f64x2_slow" // for FuncFMAF64x2 only
)

// guestFunc is a function that module guest defines.
type guestFunc struct {
	Func
	calls []string                                    // functions of ModuleKernel that it calls
	build func(b *wasm.Body, index map[string]uint32) // index: of functions that are called
}

// guestFuncs returns the functions that module guest defines for a processor.
func guestFuncs(cpu CPU) []guestFunc {
	if cpu < CPUv3 {
		return nil
	}
	v3 := []Type{V128, V128, V128}
	return []guestFunc{
		{Func{funcFMASlow, v3, []Type{V128}, "what the next one cannot do itself"}, []string{FuncFMA64}, buildFMASlow},
		{Func{FuncFMAF64x2, v3, []Type{V128}, "(x, y, z) -> x*y+z in each f64 lane, rounded once to nearest"}, nil, buildFMAF64x2},
		{Func{FuncFMAF32x4, v3, []Type{V128}, "(x, y, z) -> x*y+z in each f32 lane, rounded once to nearest"}, []string{FuncFMA32}, buildFMAF32(4)},
		{Func{FuncFMAF32x2, v3, []Type{V128}, "the same for lanes 0 and 1; the others are 0"}, []string{FuncFMA32}, buildFMAF32(2)},
		{Func{FuncPDEP, []Type{I64, I64}, []Type{I64}, "(source, mask) -> low bits of source at the places of mask"}, nil, buildPDEP},
		{Func{FuncPEXT, []Type{I64, I64}, []Type{I64}, "(source, mask) -> bits of source at the places of mask, side by side"}, nil, buildPEXT},
		{Func{FuncF32ToF16, []Type{I32, I32}, []Type{I32}, "(bits of an f32, rounding as MXCSR.RC codes it) -> bits of a half"}, nil, buildF32ToF16},
	}
}

// GuestFuncs lists the functions that module guest defines for a processor,
// besides dispatch. They touch neither memory nor registers.
func GuestFuncs(cpu CPU) []Func {
	var fs []Func
	for _, g := range guestFuncs(cpu) {
		fs = append(fs, g.Func)
	}
	return fs
}

// HelperFunc finds a function that translated code may call, and the module
// that it is imported from.
func HelperFunc(name string) (f Func, module string, ok bool) {
	h, ok := helpers()[name]
	return h.Func, h.module, ok
}

// HelperNumber returns the number of a function that translated code may call:
// its place among all of them by name, for tables in memory only.
func HelperNumber(name string) (int, bool) {
	return slices.BinarySearchFunc(numbered(), name, func(f Func, name string) int { return cmp.Compare(f.Name, name) })
}

// HelperNumbered returns the function with a number of HelperNumber.
func HelperNumbered(n int) *Func { return &numbered()[n] }

var numbered = sync.OnceValue(func() []Func {
	var all []Func
	for _, h := range helpers() {
		all = append(all, h.Func)
	}
	slices.SortFunc(all, func(f, g Func) int { return cmp.Compare(f.Name, g.Name) })
	return all
})

type helper struct {
	Func
	module string
}

var helpers = sync.OnceValue(func() map[string]helper {
	all := map[string]helper{}
	for _, f := range GuestFuncs(CPUv3) {
		all[f.Name] = helper{f, ModuleGuest}
	}
	for _, f := range KernelFuncs() {
		all[f.Name] = helper{f, ModuleKernel}
	}
	return all
})

// bitLoop emits a loop over the bits of local mask that are set, lowest first.
// each is run with the lowest bit in local low, and must leave nothing.
func bitLoop(b *wasm.Body, mask, low uint32, each func()) {
	b.Block(wasm.BlockVoid)
	b.Loop(wasm.BlockVoid)
	b.LocalGet(mask)
	b.Op(wasm.OpI64Eqz)
	b.BrIf(1)
	b.I64Const(0) // low = mask & -mask
	b.LocalGet(mask)
	b.Op(wasm.OpI64Sub)
	b.LocalGet(mask)
	b.Op(wasm.OpI64And)
	b.LocalSet(low)
	each()
	b.LocalGet(mask) // mask ^= low
	b.LocalGet(low)
	b.Op(wasm.OpI64Xor)
	b.LocalSet(mask)
	b.Br(0)
	b.End()
	b.End()
}

func buildPDEP(b *wasm.Body, _ map[string]uint32) {
	const src, mask = 0, 1
	low, result := b.Local(I64), b.Local(I64)
	bitLoop(b, mask, low, func() {
		b.LocalGet(low) // result |= low if bit 0 of src is set
		b.I64Const(0)
		b.LocalGet(src)
		b.I64Const(1)
		b.Op(wasm.OpI64And)
		b.Op(wasm.OpI64Sub)
		b.Op(wasm.OpI64And)
		b.LocalGet(result)
		b.Op(wasm.OpI64Or)
		b.LocalSet(result)
		b.LocalGet(src)
		b.I64Const(1)
		b.Op(wasm.OpI64ShrU)
		b.LocalSet(src)
	})
	b.LocalGet(result)
}

func buildPEXT(b *wasm.Body, _ map[string]uint32) {
	const src, mask = 0, 1
	low, result, at := b.Local(I64), b.Local(I64), b.Local(I64)
	bitLoop(b, mask, low, func() {
		b.LocalGet(src) // result |= ((src & low) != 0) << at
		b.LocalGet(low)
		b.Op(wasm.OpI64And)
		b.I64Const(0)
		b.Op(wasm.OpI64Ne)
		b.Op(wasm.OpI64ExtendI32U)
		b.LocalGet(at)
		b.Op(wasm.OpI64Shl)
		b.LocalGet(result)
		b.Op(wasm.OpI64Or)
		b.LocalSet(result)
		b.LocalGet(at)
		b.I64Const(1)
		b.Op(wasm.OpI64Add)
		b.LocalSet(at)
	})
	b.LocalGet(result)
}

// Bits of f32 and of halves (IEEE 754 binary16).
const (
	f32Inf      = 0x7f80_0000
	f32ManBits  = 23
	f16Inf      = 0x7c00
	f16Max      = 0x7bff
	f16Quiet    = 0x0200
	f16ManBits  = 10
	expDelta    = 112 // difference of the exponents' biases
	manDropped  = f32ManBits - f16ManBits
	f16MinExp   = expDelta + 1 // f32 exponent field of the smallest normal half
	roundDown   = 1            // MXCSR.RC
	roundUp     = 2
	farTooSmall = 25 // more bits than an f32 has: all are dropped
)

// buildF32ToF16 rounds in integers: q are the bits that stay, rem those that
// are dropped, half what they are compared with.
func buildF32ToF16(b *wasm.Body, _ map[string]uint32) {
	const x, mode = 0, 1
	a, sign, shift, q, rem, up := b.Local(I32), b.Local(I32), b.Local(I32), b.Local(I32), b.Local(I32), b.Local(I32)
	get, set, op := b.LocalGet, b.LocalSet, b.Op
	constOp := func(c int32, o wasm.Opcode) { b.I32Const(c); op(o) }

	get(x)
	constOp(0x7fff_ffff, wasm.OpI32And)
	set(a)
	get(x)
	constOp(16, wasm.OpI32ShrU)
	constOp(0x8000, wasm.OpI32And)
	set(sign)
	get(a) // infinity and NaNs
	constOp(f32Inf, wasm.OpI32GeU)
	b.If(wasm.BlockVoid)
	get(a)
	constOp(manDropped, wasm.OpI32ShrU)
	constOp(f16Inf|0x3ff, wasm.OpI32And)
	get(a)
	constOp(f32Inf, wasm.OpI32Ne)
	constOp(9, wasm.OpI32Shl) // f16Quiet
	op(wasm.OpI32Or)
	constOp(f16Inf, wasm.OpI32Or)
	get(sign)
	op(wasm.OpI32Or)
	b.Return()
	b.End()

	get(a)
	constOp(f16MinExp<<f32ManBits, wasm.OpI32GeU)
	b.If(wasm.BlockVoid) // normal
	get(a)
	constOp(expDelta<<f32ManBits, wasm.OpI32Sub)
	set(a)
	b.I32Const(manDropped)
	set(shift)
	b.Else() // denormal: shift out more
	b.I32Const(f16MinExp + manDropped)
	get(a)
	constOp(f32ManBits, wasm.OpI32ShrU)
	op(wasm.OpI32Sub)
	set(shift)
	get(shift)
	b.I32Const(farTooSmall)
	get(shift)
	constOp(farTooSmall, wasm.OpI32LtU)
	op(wasm.OpSelect)
	set(shift)
	get(a) // the leading one, also of denormal f32, which are too small anyway
	constOp(1<<f32ManBits-1, wasm.OpI32And)
	get(a)
	constOp(1<<f32ManBits, wasm.OpI32GeU)
	constOp(f32ManBits, wasm.OpI32Shl)
	op(wasm.OpI32Or)
	set(a)
	b.End()

	get(a)
	get(shift)
	op(wasm.OpI32ShrU)
	set(q)
	get(a) // rem, with its top bit in bit 31
	b.I32Const(32)
	get(shift)
	op(wasm.OpI32Sub)
	op(wasm.OpI32Shl)
	set(rem)
	get(mode) // to nearest
	op(wasm.OpI32Eqz)
	b.If(wasm.BlockVoid)
	get(rem)
	get(q)
	constOp(1, wasm.OpI32And)
	op(wasm.OpI32Or)
	constOp(-1<<31, wasm.OpI32GtU)
	set(up)
	b.Else() // away from zero if that is the direction and anything is dropped
	get(rem)
	constOp(0, wasm.OpI32Ne)
	b.I32Const(roundDown)
	b.I32Const(roundUp)
	get(sign)
	op(wasm.OpSelect)
	get(mode)
	op(wasm.OpI32Eq)
	op(wasm.OpI32And)
	set(up)
	b.End()
	get(q)
	get(up)
	op(wasm.OpI32Add)
	set(q)
	get(q) // overflow: infinity if rounded away from zero, else the largest
	constOp(f16Inf, wasm.OpI32GeU)
	b.If(wasm.BlockVoid)
	b.I32Const(f16Inf)
	b.I32Const(f16Max)
	get(mode)
	op(wasm.OpI32Eqz)
	b.I32Const(roundDown)
	b.I32Const(roundUp)
	get(sign)
	op(wasm.OpSelect)
	get(mode)
	op(wasm.OpI32Eq)
	op(wasm.OpI32Or)
	op(wasm.OpSelect)
	set(q)
	b.End()
	get(q)
	get(sign)
	op(wasm.OpI32Or)
}
