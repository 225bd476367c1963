package ir

// Op is an operation of the IR. Numeric operations are those of WebAssembly,
// by its names; the meaning of each row is that of the wasm instruction.
type Op uint16

// Effect says what an operation does besides giving a result.
type Effect uint8

// The effects.
const (
	Pure      Effect = iota
	Traps            // may raise a wasm trap; else pure
	Reads            // reads guest memory; may fault
	Writes           // reads or writes guest memory; may fault
	ReadsReg         // reads register Reg
	WritesReg        // writes register Reg
	Calls            // calls the host: reads and writes guest memory, no register
)

// ImmKind says which immediate fields of an Inst an operation uses.
type ImmKind uint8

// The kinds of immediate.
const (
	NoImm   ImmKind = iota
	ImmInt          // Imm
	ImmV128         // Imm, Imm2
	ImmLane         // Imm is a lane index
	ImmDisp         // Imm is a signed 32-bit displacement added to the address, modulo 2^32
	ImmReg          // Reg
)

// Row describes one Op. Adding an operation is one constant and one row.
type Row struct {
	Name        string
	Args        []Type // Any where the type is free
	Result      Type   // Void: none; Any: as the instruction says
	Effect      Effect
	Imm         ImmKind
	Size        uint8 // bytes accessed by loads and stores
	Commutative bool
	Wasm        uint16 // opcode; 0xfcNN, 0xfdNN and 0xfeNN are prefixed; 0: lowered by a function of its own
}

// The operations.
const (
	Invalid      Op = iota
	I32Const        // Imm is the value, sign-extended
	I64Const        // Imm is the value
	F32Const        // Imm holds the bits
	F64Const        // Imm holds the bits
	V128Const       // Imm and Imm2 hold the low and high 64 bits
	GuestAddr       // link-time guest address Imm under the base of its unit: a constant in an ET_EXEC, base + Imm in an ET_DYN
	GuestAddr32     // the same, as an i32
	Get             // reads register Reg; the type is Reg.Type()
	Set             // writes register Reg
	Select          // args: if true, if false, condition
	I8x16Shuffle    // Imm and Imm2 hold the 16 lane indices, lane 0 in the low byte of Imm
	I32Load
	I64Load
	F32Load
	F64Load
	I32Load8S
	I32Load8U
	I32Load16S
	I32Load16U
	I64Load8S
	I64Load8U
	I64Load16S
	I64Load16U
	I64Load32S
	I64Load32U
	V128Load
	V128Load32Zero
	V128Load64Zero
	I32Store
	I64Store
	F32Store
	F64Store
	I32Store8
	I32Store16
	I64Store8
	I64Store16
	I64Store32
	V128Store
	I32AtomicRmwAdd
	I64AtomicRmwAdd
	I32AtomicRmw8AddU
	I32AtomicRmw16AddU
	I32AtomicRmwSub
	I64AtomicRmwSub
	I32AtomicRmw8SubU
	I32AtomicRmw16SubU
	I32AtomicRmwAnd
	I64AtomicRmwAnd
	I32AtomicRmw8AndU
	I32AtomicRmw16AndU
	I32AtomicRmwOr
	I64AtomicRmwOr
	I32AtomicRmw8OrU
	I32AtomicRmw16OrU
	I32AtomicRmwXor
	I64AtomicRmwXor
	I32AtomicRmw8XorU
	I32AtomicRmw16XorU
	I32AtomicRmwXchg
	I64AtomicRmwXchg
	I32AtomicRmw8XchgU
	I32AtomicRmw16XchgU
	I32AtomicRmwCmpxchg    // args: address, expected, replacement
	I64AtomicRmwCmpxchg    // args: address, expected, replacement
	I32AtomicRmw8CmpxchgU  // args: address, expected, replacement
	I32AtomicRmw16CmpxchgU // args: address, expected, replacement
	AtomicFence
	// LinearAddr is the linear address of guest address args[0] + Imm, less the
	// least displacement of those that share it. Only the pass addrbase makes
	// it; the accesses that use it have Imm2 = 1, and their Imm is an unsigned
	// offset below 2^32 that does not wrap.
	LinearAddr
	// ShareAddr keeps the linear address args[0] as number Imm of the function,
	// for SharedAddr in the blocks that are only reached through its own.
	ShareAddr
	SharedAddr
	MemCopy // args: guest destination, guest source, bytes; as memmove
	MemFill // args: guest destination, byte, bytes
	Helper  // calls the host function named Helper (guestabi.Func) with List as arguments; its results are read with Result. It sees and changes no register
	Result  // result number Imm of the Helper that is the argument; Type is set by the builder

	I32Eqz
	I32Eq
	I32Ne
	I32LtS
	I32LtU
	I32GtS
	I32GtU
	I32LeS
	I32LeU
	I32GeS
	I32GeU
	I64Eqz
	I64Eq
	I64Ne
	I64LtS
	I64LtU
	I64GtS
	I64GtU
	I64LeS
	I64LeU
	I64GeS
	I64GeU
	F32Eq
	F32Ne
	F32Lt
	F32Gt
	F32Le
	F32Ge
	F64Eq
	F64Ne
	F64Lt
	F64Gt
	F64Le
	F64Ge
	I32Clz
	I32Ctz
	I32Popcnt
	I32Add
	I32Sub
	I32Mul
	I32DivS
	I32DivU
	I32RemS
	I32RemU
	I32And
	I32Or
	I32Xor
	I32Shl
	I32ShrS
	I32ShrU
	I32Rotl
	I32Rotr
	I64Clz
	I64Ctz
	I64Popcnt
	I64Add
	I64Sub
	I64Mul
	I64DivS
	I64DivU
	I64RemS
	I64RemU
	I64And
	I64Or
	I64Xor
	I64Shl
	I64ShrS
	I64ShrU
	I64Rotl
	I64Rotr
	F32Abs
	F32Neg
	F32Ceil
	F32Floor
	F32Trunc
	F32Nearest
	F32Sqrt
	F32Add
	F32Sub
	F32Mul
	F32Div
	F64Abs
	F64Neg
	F64Ceil
	F64Floor
	F64Trunc
	F64Nearest
	F64Sqrt
	F64Add
	F64Sub
	F64Mul
	F64Div
	I32WrapI64
	I64ExtendI32S
	I64ExtendI32U
	F32ConvertI32S
	F32ConvertI32U
	F32ConvertI64S
	F32ConvertI64U
	F32DemoteF64
	F64ConvertI32S
	F64ConvertI32U
	F64ConvertI64S
	F64ConvertI64U
	F64PromoteF32
	I32ReinterpretF32
	I64ReinterpretF64
	F32ReinterpretI32
	F64ReinterpretI64
	I32Extend8S
	I32Extend16S
	I64Extend8S
	I64Extend16S
	I64Extend32S
	I32TruncSatF32S
	I32TruncSatF32U
	I32TruncSatF64S
	I32TruncSatF64U
	I64TruncSatF32S
	I64TruncSatF32U
	I64TruncSatF64S
	I64TruncSatF64U
	I8x16Swizzle
	I8x16Splat
	I16x8Splat
	I32x4Splat
	I64x2Splat
	F32x4Splat
	F64x2Splat
	I8x16ExtractLaneS
	I8x16ExtractLaneU
	I8x16ReplaceLane
	I16x8ExtractLaneS
	I16x8ExtractLaneU
	I16x8ReplaceLane
	I32x4ExtractLane
	I32x4ReplaceLane
	I64x2ExtractLane
	I64x2ReplaceLane
	F32x4ExtractLane
	F32x4ReplaceLane
	F64x2ExtractLane
	F64x2ReplaceLane
	I8x16Eq
	I8x16Ne
	I8x16LtS
	I8x16LtU
	I8x16GtS
	I8x16GtU
	I8x16LeS
	I8x16LeU
	I8x16GeS
	I8x16GeU
	I16x8Eq
	I16x8Ne
	I16x8LtS
	I16x8LtU
	I16x8GtS
	I16x8GtU
	I16x8LeS
	I16x8LeU
	I16x8GeS
	I16x8GeU
	I32x4Eq
	I32x4Ne
	I32x4LtS
	I32x4LtU
	I32x4GtS
	I32x4GtU
	I32x4LeS
	I32x4LeU
	I32x4GeS
	I32x4GeU
	F32x4Eq
	F32x4Ne
	F32x4Lt
	F32x4Gt
	F32x4Le
	F32x4Ge
	F64x2Eq
	F64x2Ne
	F64x2Lt
	F64x2Gt
	F64x2Le
	F64x2Ge
	V128Not
	V128And
	V128AndNot
	V128Or
	V128Xor
	V128Bitselect
	V128AnyTrue
	F32x4DemoteF64x2Zero
	F64x2PromoteLowF32x4
	I8x16Abs
	I8x16Neg
	I8x16Popcnt
	I8x16AllTrue
	I8x16Bitmask
	I8x16NarrowI16x8S
	I8x16NarrowI16x8U
	I8x16Shl
	I8x16ShrS
	I8x16ShrU
	I8x16Add
	I8x16AddSatS
	I8x16AddSatU
	I8x16Sub
	I8x16SubSatS
	I8x16SubSatU
	I8x16MinS
	I8x16MinU
	I8x16MaxS
	I8x16MaxU
	I8x16AvgrU
	I16x8ExtAddPairwiseI8x16S
	I16x8ExtAddPairwiseI8x16U
	I32x4ExtAddPairwiseI16x8S
	I32x4ExtAddPairwiseI16x8U
	I16x8Abs
	I16x8Neg
	I16x8Q15MulrSatS
	I16x8AllTrue
	I16x8Bitmask
	I16x8NarrowI32x4S
	I16x8NarrowI32x4U
	I16x8ExtendLowI8x16S
	I16x8ExtendHighI8x16S
	I16x8ExtendLowI8x16U
	I16x8ExtendHighI8x16U
	I16x8Shl
	I16x8ShrS
	I16x8ShrU
	I16x8Add
	I16x8AddSatS
	I16x8AddSatU
	I16x8Sub
	I16x8SubSatS
	I16x8SubSatU
	I16x8Mul
	I16x8MinS
	I16x8MinU
	I16x8MaxS
	I16x8MaxU
	I16x8AvgrU
	I32x4Abs
	I32x4Neg
	I32x4AllTrue
	I32x4Bitmask
	I32x4ExtendLowI16x8S
	I32x4ExtendHighI16x8S
	I32x4ExtendLowI16x8U
	I32x4ExtendHighI16x8U
	I32x4Shl
	I32x4ShrS
	I32x4ShrU
	I32x4Add
	I32x4Sub
	I32x4Mul
	I32x4MinS
	I32x4MinU
	I32x4MaxS
	I32x4MaxU
	I32x4DotI16x8S
	I64x2Abs
	I64x2Neg
	I64x2AllTrue
	I64x2Bitmask
	I64x2ExtendLowI32x4S
	I64x2ExtendHighI32x4S
	I64x2ExtendLowI32x4U
	I64x2ExtendHighI32x4U
	I64x2Shl
	I64x2ShrS
	I64x2ShrU
	I64x2Add
	I64x2Sub
	I64x2Mul
	I64x2Eq
	I64x2Ne
	I64x2LtS
	I64x2GtS
	I64x2LeS
	I64x2GeS
	I64x2ExtMulLowI32x4S
	I64x2ExtMulHighI32x4S
	I64x2ExtMulLowI32x4U
	I64x2ExtMulHighI32x4U
	F32x4Abs
	F32x4Neg
	F32x4Sqrt
	F32x4Add
	F32x4Sub
	F32x4Mul
	F32x4Div
	F32x4PMin
	F32x4PMax
	F64x2Abs
	F64x2Neg
	F64x2Sqrt
	F64x2Add
	F64x2Sub
	F64x2Mul
	F64x2Div
	F64x2PMin
	F64x2PMax
	I32x4TruncSatF32x4S
	I32x4TruncSatF32x4U
	F32x4ConvertI32x4S
	F32x4ConvertI32x4U
	I32x4TruncSatF64x2SZero
	I32x4TruncSatF64x2UZero
	F64x2ConvertLowI32x4S
	F64x2ConvertLowI32x4U
	F32x4Ceil
	F32x4Floor
	F32x4Trunc
	F32x4Nearest
	F64x2Ceil
	F64x2Floor
	F64x2Trunc
	F64x2Nearest

	NumOps
)

// Rows is the table of operations.
var Rows = [NumOps]Row{
	I32Const:               {Name: "I32Const", Result: I32, Imm: ImmInt, Wasm: 0x41},
	I64Const:               {Name: "I64Const", Result: I64, Imm: ImmInt, Wasm: 0x42},
	F32Const:               {Name: "F32Const", Result: F32, Imm: ImmInt, Wasm: 0x43},
	F64Const:               {Name: "F64Const", Result: F64, Imm: ImmInt, Wasm: 0x44},
	V128Const:              {Name: "V128Const", Result: V128, Imm: ImmV128, Wasm: 0xfd0c},
	GuestAddr:              {Name: "GuestAddr", Result: I64, Imm: ImmInt},
	GuestAddr32:            {Name: "GuestAddr32", Result: I32, Imm: ImmInt},
	Get:                    {Name: "Get", Result: Any, Effect: ReadsReg, Imm: ImmReg},
	Set:                    {Name: "Set", Args: []Type{Any}, Effect: WritesReg, Imm: ImmReg},
	Select:                 {Name: "Select", Args: []Type{Any, Any, I32}, Result: Any, Wasm: 0x1b},
	I8x16Shuffle:           {Name: "I8x16Shuffle", Args: []Type{V128, V128}, Result: V128, Imm: ImmV128, Wasm: 0xfd0d},
	I32Load:                {Name: "I32Load", Args: []Type{I32}, Result: I32, Effect: Reads, Imm: ImmDisp, Size: 4, Wasm: 0x28},
	I64Load:                {Name: "I64Load", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 8, Wasm: 0x29},
	F32Load:                {Name: "F32Load", Args: []Type{I32}, Result: F32, Effect: Reads, Imm: ImmDisp, Size: 4, Wasm: 0x2a},
	F64Load:                {Name: "F64Load", Args: []Type{I32}, Result: F64, Effect: Reads, Imm: ImmDisp, Size: 8, Wasm: 0x2b},
	I32Load8S:              {Name: "I32Load8S", Args: []Type{I32}, Result: I32, Effect: Reads, Imm: ImmDisp, Size: 1, Wasm: 0x2c},
	I32Load8U:              {Name: "I32Load8U", Args: []Type{I32}, Result: I32, Effect: Reads, Imm: ImmDisp, Size: 1, Wasm: 0x2d},
	I32Load16S:             {Name: "I32Load16S", Args: []Type{I32}, Result: I32, Effect: Reads, Imm: ImmDisp, Size: 2, Wasm: 0x2e},
	I32Load16U:             {Name: "I32Load16U", Args: []Type{I32}, Result: I32, Effect: Reads, Imm: ImmDisp, Size: 2, Wasm: 0x2f},
	I64Load8S:              {Name: "I64Load8S", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 1, Wasm: 0x30},
	I64Load8U:              {Name: "I64Load8U", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 1, Wasm: 0x31},
	I64Load16S:             {Name: "I64Load16S", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 2, Wasm: 0x32},
	I64Load16U:             {Name: "I64Load16U", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 2, Wasm: 0x33},
	I64Load32S:             {Name: "I64Load32S", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 4, Wasm: 0x34},
	I64Load32U:             {Name: "I64Load32U", Args: []Type{I32}, Result: I64, Effect: Reads, Imm: ImmDisp, Size: 4, Wasm: 0x35},
	V128Load:               {Name: "V128Load", Args: []Type{I32}, Result: V128, Effect: Reads, Imm: ImmDisp, Size: 16, Wasm: 0xfd00},
	V128Load32Zero:         {Name: "V128Load32Zero", Args: []Type{I32}, Result: V128, Effect: Reads, Imm: ImmDisp, Size: 4, Wasm: 0xfd5c},
	V128Load64Zero:         {Name: "V128Load64Zero", Args: []Type{I32}, Result: V128, Effect: Reads, Imm: ImmDisp, Size: 8, Wasm: 0xfd5d},
	I32Store:               {Name: "I32Store", Args: []Type{I32, I32}, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0x36},
	I64Store:               {Name: "I64Store", Args: []Type{I32, I64}, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0x37},
	F32Store:               {Name: "F32Store", Args: []Type{I32, F32}, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0x38},
	F64Store:               {Name: "F64Store", Args: []Type{I32, F64}, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0x39},
	I32Store8:              {Name: "I32Store8", Args: []Type{I32, I32}, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0x3a},
	I32Store16:             {Name: "I32Store16", Args: []Type{I32, I32}, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0x3b},
	I64Store8:              {Name: "I64Store8", Args: []Type{I32, I64}, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0x3c},
	I64Store16:             {Name: "I64Store16", Args: []Type{I32, I64}, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0x3d},
	I64Store32:             {Name: "I64Store32", Args: []Type{I32, I64}, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0x3e},
	V128Store:              {Name: "V128Store", Args: []Type{I32, V128}, Effect: Writes, Imm: ImmDisp, Size: 16, Wasm: 0xfd0b},
	I32AtomicRmwAdd:        {Name: "I32AtomicRmwAdd", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe1e},
	I64AtomicRmwAdd:        {Name: "I64AtomicRmwAdd", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe1f},
	I32AtomicRmw8AddU:      {Name: "I32AtomicRmw8AddU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe20},
	I32AtomicRmw16AddU:     {Name: "I32AtomicRmw16AddU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe21},
	I32AtomicRmwSub:        {Name: "I32AtomicRmwSub", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe25},
	I64AtomicRmwSub:        {Name: "I64AtomicRmwSub", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe26},
	I32AtomicRmw8SubU:      {Name: "I32AtomicRmw8SubU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe27},
	I32AtomicRmw16SubU:     {Name: "I32AtomicRmw16SubU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe28},
	I32AtomicRmwAnd:        {Name: "I32AtomicRmwAnd", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe2c},
	I64AtomicRmwAnd:        {Name: "I64AtomicRmwAnd", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe2d},
	I32AtomicRmw8AndU:      {Name: "I32AtomicRmw8AndU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe2e},
	I32AtomicRmw16AndU:     {Name: "I32AtomicRmw16AndU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe2f},
	I32AtomicRmwOr:         {Name: "I32AtomicRmwOr", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe33},
	I64AtomicRmwOr:         {Name: "I64AtomicRmwOr", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe34},
	I32AtomicRmw8OrU:       {Name: "I32AtomicRmw8OrU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe35},
	I32AtomicRmw16OrU:      {Name: "I32AtomicRmw16OrU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe36},
	I32AtomicRmwXor:        {Name: "I32AtomicRmwXor", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe3a},
	I64AtomicRmwXor:        {Name: "I64AtomicRmwXor", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe3b},
	I32AtomicRmw8XorU:      {Name: "I32AtomicRmw8XorU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe3c},
	I32AtomicRmw16XorU:     {Name: "I32AtomicRmw16XorU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe3d},
	I32AtomicRmwXchg:       {Name: "I32AtomicRmwXchg", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe41},
	I64AtomicRmwXchg:       {Name: "I64AtomicRmwXchg", Args: []Type{I32, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe42},
	I32AtomicRmw8XchgU:     {Name: "I32AtomicRmw8XchgU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe43},
	I32AtomicRmw16XchgU:    {Name: "I32AtomicRmw16XchgU", Args: []Type{I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe44},
	I32AtomicRmwCmpxchg:    {Name: "I32AtomicRmwCmpxchg", Args: []Type{I32, I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 4, Wasm: 0xfe48},
	I64AtomicRmwCmpxchg:    {Name: "I64AtomicRmwCmpxchg", Args: []Type{I32, I64, I64}, Result: I64, Effect: Writes, Imm: ImmDisp, Size: 8, Wasm: 0xfe49},
	I32AtomicRmw8CmpxchgU:  {Name: "I32AtomicRmw8CmpxchgU", Args: []Type{I32, I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 1, Wasm: 0xfe4a},
	I32AtomicRmw16CmpxchgU: {Name: "I32AtomicRmw16CmpxchgU", Args: []Type{I32, I32, I32}, Result: I32, Effect: Writes, Imm: ImmDisp, Size: 2, Wasm: 0xfe4b},
	AtomicFence:            {Name: "AtomicFence", Effect: Writes, Wasm: 0xfe03},
	LinearAddr:             {Name: "LinearAddr", Args: []Type{I32}, Result: I32, Imm: ImmDisp},
	ShareAddr:              {Name: "ShareAddr", Args: []Type{I32}, Effect: Writes, Imm: ImmInt},
	SharedAddr:             {Name: "SharedAddr", Result: I32, Imm: ImmInt},
	MemCopy:                {Name: "MemCopy", Args: []Type{I32, I32, I32}, Effect: Writes, Wasm: 0xfc0a},
	MemFill:                {Name: "MemFill", Args: []Type{I32, I32, I32}, Effect: Writes, Wasm: 0xfc0b},
	Helper:                 {Name: "Helper", Effect: Calls},
	Result:                 {Name: "Result", Args: []Type{Any}, Result: Any, Imm: ImmInt},

	I32Eqz:                    {Name: "I32Eqz", Args: []Type{I32}, Result: I32, Wasm: 0x45},
	I32Eq:                     {Name: "I32Eq", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x46},
	I32Ne:                     {Name: "I32Ne", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x47},
	I32LtS:                    {Name: "I32LtS", Args: []Type{I32, I32}, Result: I32, Wasm: 0x48},
	I32LtU:                    {Name: "I32LtU", Args: []Type{I32, I32}, Result: I32, Wasm: 0x49},
	I32GtS:                    {Name: "I32GtS", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4a},
	I32GtU:                    {Name: "I32GtU", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4b},
	I32LeS:                    {Name: "I32LeS", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4c},
	I32LeU:                    {Name: "I32LeU", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4d},
	I32GeS:                    {Name: "I32GeS", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4e},
	I32GeU:                    {Name: "I32GeU", Args: []Type{I32, I32}, Result: I32, Wasm: 0x4f},
	I64Eqz:                    {Name: "I64Eqz", Args: []Type{I64}, Result: I32, Wasm: 0x50},
	I64Eq:                     {Name: "I64Eq", Args: []Type{I64, I64}, Result: I32, Commutative: true, Wasm: 0x51},
	I64Ne:                     {Name: "I64Ne", Args: []Type{I64, I64}, Result: I32, Commutative: true, Wasm: 0x52},
	I64LtS:                    {Name: "I64LtS", Args: []Type{I64, I64}, Result: I32, Wasm: 0x53},
	I64LtU:                    {Name: "I64LtU", Args: []Type{I64, I64}, Result: I32, Wasm: 0x54},
	I64GtS:                    {Name: "I64GtS", Args: []Type{I64, I64}, Result: I32, Wasm: 0x55},
	I64GtU:                    {Name: "I64GtU", Args: []Type{I64, I64}, Result: I32, Wasm: 0x56},
	I64LeS:                    {Name: "I64LeS", Args: []Type{I64, I64}, Result: I32, Wasm: 0x57},
	I64LeU:                    {Name: "I64LeU", Args: []Type{I64, I64}, Result: I32, Wasm: 0x58},
	I64GeS:                    {Name: "I64GeS", Args: []Type{I64, I64}, Result: I32, Wasm: 0x59},
	I64GeU:                    {Name: "I64GeU", Args: []Type{I64, I64}, Result: I32, Wasm: 0x5a},
	F32Eq:                     {Name: "F32Eq", Args: []Type{F32, F32}, Result: I32, Commutative: true, Wasm: 0x5b},
	F32Ne:                     {Name: "F32Ne", Args: []Type{F32, F32}, Result: I32, Commutative: true, Wasm: 0x5c},
	F32Lt:                     {Name: "F32Lt", Args: []Type{F32, F32}, Result: I32, Wasm: 0x5d},
	F32Gt:                     {Name: "F32Gt", Args: []Type{F32, F32}, Result: I32, Wasm: 0x5e},
	F32Le:                     {Name: "F32Le", Args: []Type{F32, F32}, Result: I32, Wasm: 0x5f},
	F32Ge:                     {Name: "F32Ge", Args: []Type{F32, F32}, Result: I32, Wasm: 0x60},
	F64Eq:                     {Name: "F64Eq", Args: []Type{F64, F64}, Result: I32, Commutative: true, Wasm: 0x61},
	F64Ne:                     {Name: "F64Ne", Args: []Type{F64, F64}, Result: I32, Commutative: true, Wasm: 0x62},
	F64Lt:                     {Name: "F64Lt", Args: []Type{F64, F64}, Result: I32, Wasm: 0x63},
	F64Gt:                     {Name: "F64Gt", Args: []Type{F64, F64}, Result: I32, Wasm: 0x64},
	F64Le:                     {Name: "F64Le", Args: []Type{F64, F64}, Result: I32, Wasm: 0x65},
	F64Ge:                     {Name: "F64Ge", Args: []Type{F64, F64}, Result: I32, Wasm: 0x66},
	I32Clz:                    {Name: "I32Clz", Args: []Type{I32}, Result: I32, Wasm: 0x67},
	I32Ctz:                    {Name: "I32Ctz", Args: []Type{I32}, Result: I32, Wasm: 0x68},
	I32Popcnt:                 {Name: "I32Popcnt", Args: []Type{I32}, Result: I32, Wasm: 0x69},
	I32Add:                    {Name: "I32Add", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x6a},
	I32Sub:                    {Name: "I32Sub", Args: []Type{I32, I32}, Result: I32, Wasm: 0x6b},
	I32Mul:                    {Name: "I32Mul", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x6c},
	I32DivS:                   {Name: "I32DivS", Args: []Type{I32, I32}, Result: I32, Effect: Traps, Wasm: 0x6d},
	I32DivU:                   {Name: "I32DivU", Args: []Type{I32, I32}, Result: I32, Effect: Traps, Wasm: 0x6e},
	I32RemS:                   {Name: "I32RemS", Args: []Type{I32, I32}, Result: I32, Effect: Traps, Wasm: 0x6f},
	I32RemU:                   {Name: "I32RemU", Args: []Type{I32, I32}, Result: I32, Effect: Traps, Wasm: 0x70},
	I32And:                    {Name: "I32And", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x71},
	I32Or:                     {Name: "I32Or", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x72},
	I32Xor:                    {Name: "I32Xor", Args: []Type{I32, I32}, Result: I32, Commutative: true, Wasm: 0x73},
	I32Shl:                    {Name: "I32Shl", Args: []Type{I32, I32}, Result: I32, Wasm: 0x74},
	I32ShrS:                   {Name: "I32ShrS", Args: []Type{I32, I32}, Result: I32, Wasm: 0x75},
	I32ShrU:                   {Name: "I32ShrU", Args: []Type{I32, I32}, Result: I32, Wasm: 0x76},
	I32Rotl:                   {Name: "I32Rotl", Args: []Type{I32, I32}, Result: I32, Wasm: 0x77},
	I32Rotr:                   {Name: "I32Rotr", Args: []Type{I32, I32}, Result: I32, Wasm: 0x78},
	I64Clz:                    {Name: "I64Clz", Args: []Type{I64}, Result: I64, Wasm: 0x79},
	I64Ctz:                    {Name: "I64Ctz", Args: []Type{I64}, Result: I64, Wasm: 0x7a},
	I64Popcnt:                 {Name: "I64Popcnt", Args: []Type{I64}, Result: I64, Wasm: 0x7b},
	I64Add:                    {Name: "I64Add", Args: []Type{I64, I64}, Result: I64, Commutative: true, Wasm: 0x7c},
	I64Sub:                    {Name: "I64Sub", Args: []Type{I64, I64}, Result: I64, Wasm: 0x7d},
	I64Mul:                    {Name: "I64Mul", Args: []Type{I64, I64}, Result: I64, Commutative: true, Wasm: 0x7e},
	I64DivS:                   {Name: "I64DivS", Args: []Type{I64, I64}, Result: I64, Effect: Traps, Wasm: 0x7f},
	I64DivU:                   {Name: "I64DivU", Args: []Type{I64, I64}, Result: I64, Effect: Traps, Wasm: 0x80},
	I64RemS:                   {Name: "I64RemS", Args: []Type{I64, I64}, Result: I64, Effect: Traps, Wasm: 0x81},
	I64RemU:                   {Name: "I64RemU", Args: []Type{I64, I64}, Result: I64, Effect: Traps, Wasm: 0x82},
	I64And:                    {Name: "I64And", Args: []Type{I64, I64}, Result: I64, Commutative: true, Wasm: 0x83},
	I64Or:                     {Name: "I64Or", Args: []Type{I64, I64}, Result: I64, Commutative: true, Wasm: 0x84},
	I64Xor:                    {Name: "I64Xor", Args: []Type{I64, I64}, Result: I64, Commutative: true, Wasm: 0x85},
	I64Shl:                    {Name: "I64Shl", Args: []Type{I64, I64}, Result: I64, Wasm: 0x86},
	I64ShrS:                   {Name: "I64ShrS", Args: []Type{I64, I64}, Result: I64, Wasm: 0x87},
	I64ShrU:                   {Name: "I64ShrU", Args: []Type{I64, I64}, Result: I64, Wasm: 0x88},
	I64Rotl:                   {Name: "I64Rotl", Args: []Type{I64, I64}, Result: I64, Wasm: 0x89},
	I64Rotr:                   {Name: "I64Rotr", Args: []Type{I64, I64}, Result: I64, Wasm: 0x8a},
	F32Abs:                    {Name: "F32Abs", Args: []Type{F32}, Result: F32, Wasm: 0x8b},
	F32Neg:                    {Name: "F32Neg", Args: []Type{F32}, Result: F32, Wasm: 0x8c},
	F32Ceil:                   {Name: "F32Ceil", Args: []Type{F32}, Result: F32, Wasm: 0x8d},
	F32Floor:                  {Name: "F32Floor", Args: []Type{F32}, Result: F32, Wasm: 0x8e},
	F32Trunc:                  {Name: "F32Trunc", Args: []Type{F32}, Result: F32, Wasm: 0x8f},
	F32Nearest:                {Name: "F32Nearest", Args: []Type{F32}, Result: F32, Wasm: 0x90},
	F32Sqrt:                   {Name: "F32Sqrt", Args: []Type{F32}, Result: F32, Wasm: 0x91},
	F32Add:                    {Name: "F32Add", Args: []Type{F32, F32}, Result: F32, Wasm: 0x92},
	F32Sub:                    {Name: "F32Sub", Args: []Type{F32, F32}, Result: F32, Wasm: 0x93},
	F32Mul:                    {Name: "F32Mul", Args: []Type{F32, F32}, Result: F32, Wasm: 0x94},
	F32Div:                    {Name: "F32Div", Args: []Type{F32, F32}, Result: F32, Wasm: 0x95},
	F64Abs:                    {Name: "F64Abs", Args: []Type{F64}, Result: F64, Wasm: 0x99},
	F64Neg:                    {Name: "F64Neg", Args: []Type{F64}, Result: F64, Wasm: 0x9a},
	F64Ceil:                   {Name: "F64Ceil", Args: []Type{F64}, Result: F64, Wasm: 0x9b},
	F64Floor:                  {Name: "F64Floor", Args: []Type{F64}, Result: F64, Wasm: 0x9c},
	F64Trunc:                  {Name: "F64Trunc", Args: []Type{F64}, Result: F64, Wasm: 0x9d},
	F64Nearest:                {Name: "F64Nearest", Args: []Type{F64}, Result: F64, Wasm: 0x9e},
	F64Sqrt:                   {Name: "F64Sqrt", Args: []Type{F64}, Result: F64, Wasm: 0x9f},
	F64Add:                    {Name: "F64Add", Args: []Type{F64, F64}, Result: F64, Wasm: 0xa0},
	F64Sub:                    {Name: "F64Sub", Args: []Type{F64, F64}, Result: F64, Wasm: 0xa1},
	F64Mul:                    {Name: "F64Mul", Args: []Type{F64, F64}, Result: F64, Wasm: 0xa2},
	F64Div:                    {Name: "F64Div", Args: []Type{F64, F64}, Result: F64, Wasm: 0xa3},
	I32WrapI64:                {Name: "I32WrapI64", Args: []Type{I64}, Result: I32, Wasm: 0xa7},
	I64ExtendI32S:             {Name: "I64ExtendI32S", Args: []Type{I32}, Result: I64, Wasm: 0xac},
	I64ExtendI32U:             {Name: "I64ExtendI32U", Args: []Type{I32}, Result: I64, Wasm: 0xad},
	F32ConvertI32S:            {Name: "F32ConvertI32S", Args: []Type{I32}, Result: F32, Wasm: 0xb2},
	F32ConvertI32U:            {Name: "F32ConvertI32U", Args: []Type{I32}, Result: F32, Wasm: 0xb3},
	F32ConvertI64S:            {Name: "F32ConvertI64S", Args: []Type{I64}, Result: F32, Wasm: 0xb4},
	F32ConvertI64U:            {Name: "F32ConvertI64U", Args: []Type{I64}, Result: F32, Wasm: 0xb5},
	F32DemoteF64:              {Name: "F32DemoteF64", Args: []Type{F64}, Result: F32, Wasm: 0xb6},
	F64ConvertI32S:            {Name: "F64ConvertI32S", Args: []Type{I32}, Result: F64, Wasm: 0xb7},
	F64ConvertI32U:            {Name: "F64ConvertI32U", Args: []Type{I32}, Result: F64, Wasm: 0xb8},
	F64ConvertI64S:            {Name: "F64ConvertI64S", Args: []Type{I64}, Result: F64, Wasm: 0xb9},
	F64ConvertI64U:            {Name: "F64ConvertI64U", Args: []Type{I64}, Result: F64, Wasm: 0xba},
	F64PromoteF32:             {Name: "F64PromoteF32", Args: []Type{F32}, Result: F64, Wasm: 0xbb},
	I32ReinterpretF32:         {Name: "I32ReinterpretF32", Args: []Type{F32}, Result: I32, Wasm: 0xbc},
	I64ReinterpretF64:         {Name: "I64ReinterpretF64", Args: []Type{F64}, Result: I64, Wasm: 0xbd},
	F32ReinterpretI32:         {Name: "F32ReinterpretI32", Args: []Type{I32}, Result: F32, Wasm: 0xbe},
	F64ReinterpretI64:         {Name: "F64ReinterpretI64", Args: []Type{I64}, Result: F64, Wasm: 0xbf},
	I32Extend8S:               {Name: "I32Extend8S", Args: []Type{I32}, Result: I32, Wasm: 0xc0},
	I32Extend16S:              {Name: "I32Extend16S", Args: []Type{I32}, Result: I32, Wasm: 0xc1},
	I64Extend8S:               {Name: "I64Extend8S", Args: []Type{I64}, Result: I64, Wasm: 0xc2},
	I64Extend16S:              {Name: "I64Extend16S", Args: []Type{I64}, Result: I64, Wasm: 0xc3},
	I64Extend32S:              {Name: "I64Extend32S", Args: []Type{I64}, Result: I64, Wasm: 0xc4},
	I32TruncSatF32S:           {Name: "I32TruncSatF32S", Args: []Type{F32}, Result: I32, Wasm: 0xfc00},
	I32TruncSatF32U:           {Name: "I32TruncSatF32U", Args: []Type{F32}, Result: I32, Wasm: 0xfc01},
	I32TruncSatF64S:           {Name: "I32TruncSatF64S", Args: []Type{F64}, Result: I32, Wasm: 0xfc02},
	I32TruncSatF64U:           {Name: "I32TruncSatF64U", Args: []Type{F64}, Result: I32, Wasm: 0xfc03},
	I64TruncSatF32S:           {Name: "I64TruncSatF32S", Args: []Type{F32}, Result: I64, Wasm: 0xfc04},
	I64TruncSatF32U:           {Name: "I64TruncSatF32U", Args: []Type{F32}, Result: I64, Wasm: 0xfc05},
	I64TruncSatF64S:           {Name: "I64TruncSatF64S", Args: []Type{F64}, Result: I64, Wasm: 0xfc06},
	I64TruncSatF64U:           {Name: "I64TruncSatF64U", Args: []Type{F64}, Result: I64, Wasm: 0xfc07},
	I8x16Swizzle:              {Name: "I8x16Swizzle", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd0e},
	I8x16Splat:                {Name: "I8x16Splat", Args: []Type{I32}, Result: V128, Wasm: 0xfd0f},
	I16x8Splat:                {Name: "I16x8Splat", Args: []Type{I32}, Result: V128, Wasm: 0xfd10},
	I32x4Splat:                {Name: "I32x4Splat", Args: []Type{I32}, Result: V128, Wasm: 0xfd11},
	I64x2Splat:                {Name: "I64x2Splat", Args: []Type{I64}, Result: V128, Wasm: 0xfd12},
	F32x4Splat:                {Name: "F32x4Splat", Args: []Type{F32}, Result: V128, Wasm: 0xfd13},
	F64x2Splat:                {Name: "F64x2Splat", Args: []Type{F64}, Result: V128, Wasm: 0xfd14},
	I8x16ExtractLaneS:         {Name: "I8x16ExtractLaneS", Args: []Type{V128}, Result: I32, Imm: ImmLane, Wasm: 0xfd15},
	I8x16ExtractLaneU:         {Name: "I8x16ExtractLaneU", Args: []Type{V128}, Result: I32, Imm: ImmLane, Wasm: 0xfd16},
	I8x16ReplaceLane:          {Name: "I8x16ReplaceLane", Args: []Type{V128, I32}, Result: V128, Imm: ImmLane, Wasm: 0xfd17},
	I16x8ExtractLaneS:         {Name: "I16x8ExtractLaneS", Args: []Type{V128}, Result: I32, Imm: ImmLane, Wasm: 0xfd18},
	I16x8ExtractLaneU:         {Name: "I16x8ExtractLaneU", Args: []Type{V128}, Result: I32, Imm: ImmLane, Wasm: 0xfd19},
	I16x8ReplaceLane:          {Name: "I16x8ReplaceLane", Args: []Type{V128, I32}, Result: V128, Imm: ImmLane, Wasm: 0xfd1a},
	I32x4ExtractLane:          {Name: "I32x4ExtractLane", Args: []Type{V128}, Result: I32, Imm: ImmLane, Wasm: 0xfd1b},
	I32x4ReplaceLane:          {Name: "I32x4ReplaceLane", Args: []Type{V128, I32}, Result: V128, Imm: ImmLane, Wasm: 0xfd1c},
	I64x2ExtractLane:          {Name: "I64x2ExtractLane", Args: []Type{V128}, Result: I64, Imm: ImmLane, Wasm: 0xfd1d},
	I64x2ReplaceLane:          {Name: "I64x2ReplaceLane", Args: []Type{V128, I64}, Result: V128, Imm: ImmLane, Wasm: 0xfd1e},
	F32x4ExtractLane:          {Name: "F32x4ExtractLane", Args: []Type{V128}, Result: F32, Imm: ImmLane, Wasm: 0xfd1f},
	F32x4ReplaceLane:          {Name: "F32x4ReplaceLane", Args: []Type{V128, F32}, Result: V128, Imm: ImmLane, Wasm: 0xfd20},
	F64x2ExtractLane:          {Name: "F64x2ExtractLane", Args: []Type{V128}, Result: F64, Imm: ImmLane, Wasm: 0xfd21},
	F64x2ReplaceLane:          {Name: "F64x2ReplaceLane", Args: []Type{V128, F64}, Result: V128, Imm: ImmLane, Wasm: 0xfd22},
	I8x16Eq:                   {Name: "I8x16Eq", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd23},
	I8x16Ne:                   {Name: "I8x16Ne", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd24},
	I8x16LtS:                  {Name: "I8x16LtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd25},
	I8x16LtU:                  {Name: "I8x16LtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd26},
	I8x16GtS:                  {Name: "I8x16GtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd27},
	I8x16GtU:                  {Name: "I8x16GtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd28},
	I8x16LeS:                  {Name: "I8x16LeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd29},
	I8x16LeU:                  {Name: "I8x16LeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd2a},
	I8x16GeS:                  {Name: "I8x16GeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd2b},
	I8x16GeU:                  {Name: "I8x16GeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd2c},
	I16x8Eq:                   {Name: "I16x8Eq", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd2d},
	I16x8Ne:                   {Name: "I16x8Ne", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd2e},
	I16x8LtS:                  {Name: "I16x8LtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd2f},
	I16x8LtU:                  {Name: "I16x8LtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd30},
	I16x8GtS:                  {Name: "I16x8GtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd31},
	I16x8GtU:                  {Name: "I16x8GtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd32},
	I16x8LeS:                  {Name: "I16x8LeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd33},
	I16x8LeU:                  {Name: "I16x8LeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd34},
	I16x8GeS:                  {Name: "I16x8GeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd35},
	I16x8GeU:                  {Name: "I16x8GeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd36},
	I32x4Eq:                   {Name: "I32x4Eq", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd37},
	I32x4Ne:                   {Name: "I32x4Ne", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd38},
	I32x4LtS:                  {Name: "I32x4LtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd39},
	I32x4LtU:                  {Name: "I32x4LtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3a},
	I32x4GtS:                  {Name: "I32x4GtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3b},
	I32x4GtU:                  {Name: "I32x4GtU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3c},
	I32x4LeS:                  {Name: "I32x4LeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3d},
	I32x4LeU:                  {Name: "I32x4LeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3e},
	I32x4GeS:                  {Name: "I32x4GeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd3f},
	I32x4GeU:                  {Name: "I32x4GeU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd40},
	F32x4Eq:                   {Name: "F32x4Eq", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd41},
	F32x4Ne:                   {Name: "F32x4Ne", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd42},
	F32x4Lt:                   {Name: "F32x4Lt", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd43},
	F32x4Gt:                   {Name: "F32x4Gt", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd44},
	F32x4Le:                   {Name: "F32x4Le", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd45},
	F32x4Ge:                   {Name: "F32x4Ge", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd46},
	F64x2Eq:                   {Name: "F64x2Eq", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd47},
	F64x2Ne:                   {Name: "F64x2Ne", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd48},
	F64x2Lt:                   {Name: "F64x2Lt", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd49},
	F64x2Gt:                   {Name: "F64x2Gt", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd4a},
	F64x2Le:                   {Name: "F64x2Le", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd4b},
	F64x2Ge:                   {Name: "F64x2Ge", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd4c},
	V128Not:                   {Name: "V128Not", Args: []Type{V128}, Result: V128, Wasm: 0xfd4d},
	V128And:                   {Name: "V128And", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd4e},
	V128AndNot:                {Name: "V128AndNot", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd4f},
	V128Or:                    {Name: "V128Or", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd50},
	V128Xor:                   {Name: "V128Xor", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd51},
	V128Bitselect:             {Name: "V128Bitselect", Args: []Type{V128, V128, V128}, Result: V128, Wasm: 0xfd52},
	V128AnyTrue:               {Name: "V128AnyTrue", Args: []Type{V128}, Result: I32, Wasm: 0xfd53},
	F32x4DemoteF64x2Zero:      {Name: "F32x4DemoteF64x2Zero", Args: []Type{V128}, Result: V128, Wasm: 0xfd5e},
	F64x2PromoteLowF32x4:      {Name: "F64x2PromoteLowF32x4", Args: []Type{V128}, Result: V128, Wasm: 0xfd5f},
	I8x16Abs:                  {Name: "I8x16Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfd60},
	I8x16Neg:                  {Name: "I8x16Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfd61},
	I8x16Popcnt:               {Name: "I8x16Popcnt", Args: []Type{V128}, Result: V128, Wasm: 0xfd62},
	I8x16AllTrue:              {Name: "I8x16AllTrue", Args: []Type{V128}, Result: I32, Wasm: 0xfd63},
	I8x16Bitmask:              {Name: "I8x16Bitmask", Args: []Type{V128}, Result: I32, Wasm: 0xfd64},
	I8x16NarrowI16x8S:         {Name: "I8x16NarrowI16x8S", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd65},
	I8x16NarrowI16x8U:         {Name: "I8x16NarrowI16x8U", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd66},
	I8x16Shl:                  {Name: "I8x16Shl", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd6b},
	I8x16ShrS:                 {Name: "I8x16ShrS", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd6c},
	I8x16ShrU:                 {Name: "I8x16ShrU", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd6d},
	I8x16Add:                  {Name: "I8x16Add", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd6e},
	I8x16AddSatS:              {Name: "I8x16AddSatS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd6f},
	I8x16AddSatU:              {Name: "I8x16AddSatU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd70},
	I8x16Sub:                  {Name: "I8x16Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd71},
	I8x16SubSatS:              {Name: "I8x16SubSatS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd72},
	I8x16SubSatU:              {Name: "I8x16SubSatU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd73},
	I8x16MinS:                 {Name: "I8x16MinS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd76},
	I8x16MinU:                 {Name: "I8x16MinU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd77},
	I8x16MaxS:                 {Name: "I8x16MaxS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd78},
	I8x16MaxU:                 {Name: "I8x16MaxU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd79},
	I8x16AvgrU:                {Name: "I8x16AvgrU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd7b},
	I16x8ExtAddPairwiseI8x16S: {Name: "I16x8ExtAddPairwiseI8x16S", Args: []Type{V128}, Result: V128, Wasm: 0xfd7c},
	I16x8ExtAddPairwiseI8x16U: {Name: "I16x8ExtAddPairwiseI8x16U", Args: []Type{V128}, Result: V128, Wasm: 0xfd7d},
	I32x4ExtAddPairwiseI16x8S: {Name: "I32x4ExtAddPairwiseI16x8S", Args: []Type{V128}, Result: V128, Wasm: 0xfd7e},
	I32x4ExtAddPairwiseI16x8U: {Name: "I32x4ExtAddPairwiseI16x8U", Args: []Type{V128}, Result: V128, Wasm: 0xfd7f},
	I16x8Abs:                  {Name: "I16x8Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfd80},
	I16x8Neg:                  {Name: "I16x8Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfd81},
	I16x8Q15MulrSatS:          {Name: "I16x8Q15MulrSatS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd82},
	I16x8AllTrue:              {Name: "I16x8AllTrue", Args: []Type{V128}, Result: I32, Wasm: 0xfd83},
	I16x8Bitmask:              {Name: "I16x8Bitmask", Args: []Type{V128}, Result: I32, Wasm: 0xfd84},
	I16x8NarrowI32x4S:         {Name: "I16x8NarrowI32x4S", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd85},
	I16x8NarrowI32x4U:         {Name: "I16x8NarrowI32x4U", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd86},
	I16x8ExtendLowI8x16S:      {Name: "I16x8ExtendLowI8x16S", Args: []Type{V128}, Result: V128, Wasm: 0xfd87},
	I16x8ExtendHighI8x16S:     {Name: "I16x8ExtendHighI8x16S", Args: []Type{V128}, Result: V128, Wasm: 0xfd88},
	I16x8ExtendLowI8x16U:      {Name: "I16x8ExtendLowI8x16U", Args: []Type{V128}, Result: V128, Wasm: 0xfd89},
	I16x8ExtendHighI8x16U:     {Name: "I16x8ExtendHighI8x16U", Args: []Type{V128}, Result: V128, Wasm: 0xfd8a},
	I16x8Shl:                  {Name: "I16x8Shl", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd8b},
	I16x8ShrS:                 {Name: "I16x8ShrS", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd8c},
	I16x8ShrU:                 {Name: "I16x8ShrU", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfd8d},
	I16x8Add:                  {Name: "I16x8Add", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd8e},
	I16x8AddSatS:              {Name: "I16x8AddSatS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd8f},
	I16x8AddSatU:              {Name: "I16x8AddSatU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd90},
	I16x8Sub:                  {Name: "I16x8Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd91},
	I16x8SubSatS:              {Name: "I16x8SubSatS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd92},
	I16x8SubSatU:              {Name: "I16x8SubSatU", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfd93},
	I16x8Mul:                  {Name: "I16x8Mul", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd95},
	I16x8MinS:                 {Name: "I16x8MinS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd96},
	I16x8MinU:                 {Name: "I16x8MinU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd97},
	I16x8MaxS:                 {Name: "I16x8MaxS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd98},
	I16x8MaxU:                 {Name: "I16x8MaxU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd99},
	I16x8AvgrU:                {Name: "I16x8AvgrU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfd9b},
	I32x4Abs:                  {Name: "I32x4Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfda0},
	I32x4Neg:                  {Name: "I32x4Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfda1},
	I32x4AllTrue:              {Name: "I32x4AllTrue", Args: []Type{V128}, Result: I32, Wasm: 0xfda3},
	I32x4Bitmask:              {Name: "I32x4Bitmask", Args: []Type{V128}, Result: I32, Wasm: 0xfda4},
	I32x4ExtendLowI16x8S:      {Name: "I32x4ExtendLowI16x8S", Args: []Type{V128}, Result: V128, Wasm: 0xfda7},
	I32x4ExtendHighI16x8S:     {Name: "I32x4ExtendHighI16x8S", Args: []Type{V128}, Result: V128, Wasm: 0xfda8},
	I32x4ExtendLowI16x8U:      {Name: "I32x4ExtendLowI16x8U", Args: []Type{V128}, Result: V128, Wasm: 0xfda9},
	I32x4ExtendHighI16x8U:     {Name: "I32x4ExtendHighI16x8U", Args: []Type{V128}, Result: V128, Wasm: 0xfdaa},
	I32x4Shl:                  {Name: "I32x4Shl", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdab},
	I32x4ShrS:                 {Name: "I32x4ShrS", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdac},
	I32x4ShrU:                 {Name: "I32x4ShrU", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdad},
	I32x4Add:                  {Name: "I32x4Add", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdae},
	I32x4Sub:                  {Name: "I32x4Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdb1},
	I32x4Mul:                  {Name: "I32x4Mul", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdb5},
	I32x4MinS:                 {Name: "I32x4MinS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdb6},
	I32x4MinU:                 {Name: "I32x4MinU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdb7},
	I32x4MaxS:                 {Name: "I32x4MaxS", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdb8},
	I32x4MaxU:                 {Name: "I32x4MaxU", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdb9},
	I32x4DotI16x8S:            {Name: "I32x4DotI16x8S", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdba},
	I64x2Abs:                  {Name: "I64x2Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfdc0},
	I64x2Neg:                  {Name: "I64x2Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfdc1},
	I64x2AllTrue:              {Name: "I64x2AllTrue", Args: []Type{V128}, Result: I32, Wasm: 0xfdc3},
	I64x2Bitmask:              {Name: "I64x2Bitmask", Args: []Type{V128}, Result: I32, Wasm: 0xfdc4},
	I64x2ExtendLowI32x4S:      {Name: "I64x2ExtendLowI32x4S", Args: []Type{V128}, Result: V128, Wasm: 0xfdc7},
	I64x2ExtendHighI32x4S:     {Name: "I64x2ExtendHighI32x4S", Args: []Type{V128}, Result: V128, Wasm: 0xfdc8},
	I64x2ExtendLowI32x4U:      {Name: "I64x2ExtendLowI32x4U", Args: []Type{V128}, Result: V128, Wasm: 0xfdc9},
	I64x2ExtendHighI32x4U:     {Name: "I64x2ExtendHighI32x4U", Args: []Type{V128}, Result: V128, Wasm: 0xfdca},
	I64x2Shl:                  {Name: "I64x2Shl", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdcb},
	I64x2ShrS:                 {Name: "I64x2ShrS", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdcc},
	I64x2ShrU:                 {Name: "I64x2ShrU", Args: []Type{V128, I32}, Result: V128, Wasm: 0xfdcd},
	I64x2Add:                  {Name: "I64x2Add", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdce},
	I64x2Sub:                  {Name: "I64x2Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdd1},
	I64x2Mul:                  {Name: "I64x2Mul", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdd5},
	I64x2Eq:                   {Name: "I64x2Eq", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdd6},
	I64x2Ne:                   {Name: "I64x2Ne", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdd7},
	I64x2LtS:                  {Name: "I64x2LtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdd8},
	I64x2GtS:                  {Name: "I64x2GtS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdd9},
	I64x2LeS:                  {Name: "I64x2LeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdda},
	I64x2GeS:                  {Name: "I64x2GeS", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfddb},
	I64x2ExtMulLowI32x4S:      {Name: "I64x2ExtMulLowI32x4S", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfddc},
	I64x2ExtMulHighI32x4S:     {Name: "I64x2ExtMulHighI32x4S", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfddd},
	I64x2ExtMulLowI32x4U:      {Name: "I64x2ExtMulLowI32x4U", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfdde},
	I64x2ExtMulHighI32x4U:     {Name: "I64x2ExtMulHighI32x4U", Args: []Type{V128, V128}, Result: V128, Commutative: true, Wasm: 0xfddf},
	F32x4Abs:                  {Name: "F32x4Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfde0},
	F32x4Neg:                  {Name: "F32x4Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfde1},
	F32x4Sqrt:                 {Name: "F32x4Sqrt", Args: []Type{V128}, Result: V128, Wasm: 0xfde3},
	F32x4Add:                  {Name: "F32x4Add", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfde4},
	F32x4Sub:                  {Name: "F32x4Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfde5},
	F32x4Mul:                  {Name: "F32x4Mul", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfde6},
	F32x4Div:                  {Name: "F32x4Div", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfde7},
	F32x4PMin:                 {Name: "F32x4PMin", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdea},
	F32x4PMax:                 {Name: "F32x4PMax", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdeb},
	F64x2Abs:                  {Name: "F64x2Abs", Args: []Type{V128}, Result: V128, Wasm: 0xfdec},
	F64x2Neg:                  {Name: "F64x2Neg", Args: []Type{V128}, Result: V128, Wasm: 0xfded},
	F64x2Sqrt:                 {Name: "F64x2Sqrt", Args: []Type{V128}, Result: V128, Wasm: 0xfdef},
	F64x2Add:                  {Name: "F64x2Add", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf0},
	F64x2Sub:                  {Name: "F64x2Sub", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf1},
	F64x2Mul:                  {Name: "F64x2Mul", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf2},
	F64x2Div:                  {Name: "F64x2Div", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf3},
	F64x2PMin:                 {Name: "F64x2PMin", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf6},
	F64x2PMax:                 {Name: "F64x2PMax", Args: []Type{V128, V128}, Result: V128, Wasm: 0xfdf7},
	I32x4TruncSatF32x4S:       {Name: "I32x4TruncSatF32x4S", Args: []Type{V128}, Result: V128, Wasm: 0xfdf8},
	I32x4TruncSatF32x4U:       {Name: "I32x4TruncSatF32x4U", Args: []Type{V128}, Result: V128, Wasm: 0xfdf9},
	F32x4ConvertI32x4S:        {Name: "F32x4ConvertI32x4S", Args: []Type{V128}, Result: V128, Wasm: 0xfdfa},
	F32x4ConvertI32x4U:        {Name: "F32x4ConvertI32x4U", Args: []Type{V128}, Result: V128, Wasm: 0xfdfb},
	I32x4TruncSatF64x2SZero:   {Name: "I32x4TruncSatF64x2SZero", Args: []Type{V128}, Result: V128, Wasm: 0xfdfc},
	I32x4TruncSatF64x2UZero:   {Name: "I32x4TruncSatF64x2UZero", Args: []Type{V128}, Result: V128, Wasm: 0xfdfd},
	F64x2ConvertLowI32x4S:     {Name: "F64x2ConvertLowI32x4S", Args: []Type{V128}, Result: V128, Wasm: 0xfdfe},
	F64x2ConvertLowI32x4U:     {Name: "F64x2ConvertLowI32x4U", Args: []Type{V128}, Result: V128, Wasm: 0xfdff},
	F32x4Ceil:                 {Name: "F32x4Ceil", Args: []Type{V128}, Result: V128, Wasm: 0xfd67},
	F32x4Floor:                {Name: "F32x4Floor", Args: []Type{V128}, Result: V128, Wasm: 0xfd68},
	F32x4Trunc:                {Name: "F32x4Trunc", Args: []Type{V128}, Result: V128, Wasm: 0xfd69},
	F32x4Nearest:              {Name: "F32x4Nearest", Args: []Type{V128}, Result: V128, Wasm: 0xfd6a},
	F64x2Ceil:                 {Name: "F64x2Ceil", Args: []Type{V128}, Result: V128, Wasm: 0xfd74},
	F64x2Floor:                {Name: "F64x2Floor", Args: []Type{V128}, Result: V128, Wasm: 0xfd75},
	F64x2Trunc:                {Name: "F64x2Trunc", Args: []Type{V128}, Result: V128, Wasm: 0xfd7a},
	F64x2Nearest:              {Name: "F64x2Nearest", Args: []Type{V128}, Result: V128, Wasm: 0xfd94},
}
