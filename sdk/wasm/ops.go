package wasm

// Opcode is an instruction: its byte, or for prefixed instructions the prefix
// 0xfc, 0xfd or 0xfe in the upper byte and the code after it in the lower.
type Opcode uint16

// ImmKind says what follows an opcode in the binary format.
type ImmKind uint8

// The kinds of immediates.
const (
	ImmNone         ImmKind = iota
	ImmBlock                // block type, signed LEB of 33 bits
	ImmLabel                // relative depth
	ImmBrTable              // vector of depths, default depth
	ImmFunc                 // function index
	ImmCallIndirect         // type index, table index
	ImmLocal                // local index
	ImmGlobal               // global index
	ImmTable                // table index
	ImmMem                  // memory index
	ImmMemArg               // alignment exponent, offset
	ImmI32                  // signed LEB
	ImmI64                  // signed LEB
	ImmF32                  // 4 bytes
	ImmF64                  // 8 bytes
	ImmV128                 // 16 bytes
	ImmSelectT              // vector of value types
	ImmRefType              // heap type
	ImmDataMem              // data index, memory index
	ImmData                 // data index
	ImmMemMem               // two memory indices
	ImmElemTable            // element segment index, table index
	ImmElem                 // element segment index
	ImmTableTable           // two table indices
	ImmLanes16              // 16 lane indices
	ImmLane                 // one lane index
	ImmMemArgLane           // alignment exponent, offset, lane index
	ImmZero                 // a zero byte
)

// OpRow describes one opcode. Adding one is one constant and one row.
type OpRow struct {
	Name string // as in the text format
	Imm  ImmKind
}

// The opcodes of one byte.
const (
	OpUnreachable        Opcode = 0x00
	OpNop                Opcode = 0x01
	OpBlock              Opcode = 0x02
	OpLoop               Opcode = 0x03
	OpIf                 Opcode = 0x04
	OpElse               Opcode = 0x05
	OpEnd                Opcode = 0x0b
	OpBr                 Opcode = 0x0c
	OpBrIf               Opcode = 0x0d
	OpBrTable            Opcode = 0x0e
	OpReturn             Opcode = 0x0f
	OpCall               Opcode = 0x10
	OpCallIndirect       Opcode = 0x11
	OpReturnCall         Opcode = 0x12
	OpReturnCallIndirect Opcode = 0x13
	OpDrop               Opcode = 0x1a
	OpSelect             Opcode = 0x1b
	OpSelectT            Opcode = 0x1c
	OpLocalGet           Opcode = 0x20
	OpLocalSet           Opcode = 0x21
	OpLocalTee           Opcode = 0x22
	OpGlobalGet          Opcode = 0x23
	OpGlobalSet          Opcode = 0x24
	OpTableGet           Opcode = 0x25
	OpTableSet           Opcode = 0x26
	OpI32Load            Opcode = 0x28
	OpI64Load            Opcode = 0x29
	OpF32Load            Opcode = 0x2a
	OpF64Load            Opcode = 0x2b
	OpI32Load8S          Opcode = 0x2c
	OpI32Load8U          Opcode = 0x2d
	OpI32Load16S         Opcode = 0x2e
	OpI32Load16U         Opcode = 0x2f
	OpI64Load8S          Opcode = 0x30
	OpI64Load8U          Opcode = 0x31
	OpI64Load16S         Opcode = 0x32
	OpI64Load16U         Opcode = 0x33
	OpI64Load32S         Opcode = 0x34
	OpI64Load32U         Opcode = 0x35
	OpI32Store           Opcode = 0x36
	OpI64Store           Opcode = 0x37
	OpF32Store           Opcode = 0x38
	OpF64Store           Opcode = 0x39
	OpI32Store8          Opcode = 0x3a
	OpI32Store16         Opcode = 0x3b
	OpI64Store8          Opcode = 0x3c
	OpI64Store16         Opcode = 0x3d
	OpI64Store32         Opcode = 0x3e
	OpMemorySize         Opcode = 0x3f
	OpMemoryGrow         Opcode = 0x40
	OpI32Const           Opcode = 0x41
	OpI64Const           Opcode = 0x42
	OpF32Const           Opcode = 0x43
	OpF64Const           Opcode = 0x44
	OpI32Eqz             Opcode = 0x45
	OpI32Eq              Opcode = 0x46
	OpI32Ne              Opcode = 0x47
	OpI32LtS             Opcode = 0x48
	OpI32LtU             Opcode = 0x49
	OpI32GtS             Opcode = 0x4a
	OpI32GtU             Opcode = 0x4b
	OpI32LeS             Opcode = 0x4c
	OpI32LeU             Opcode = 0x4d
	OpI32GeS             Opcode = 0x4e
	OpI32GeU             Opcode = 0x4f
	OpI64Eqz             Opcode = 0x50
	OpI64Eq              Opcode = 0x51
	OpI64Ne              Opcode = 0x52
	OpI64LtS             Opcode = 0x53
	OpI64LtU             Opcode = 0x54
	OpI64GtS             Opcode = 0x55
	OpI64GtU             Opcode = 0x56
	OpI64LeS             Opcode = 0x57
	OpI64LeU             Opcode = 0x58
	OpI64GeS             Opcode = 0x59
	OpI64GeU             Opcode = 0x5a
	OpF32Eq              Opcode = 0x5b
	OpF32Ne              Opcode = 0x5c
	OpF32Lt              Opcode = 0x5d
	OpF32Gt              Opcode = 0x5e
	OpF32Le              Opcode = 0x5f
	OpF32Ge              Opcode = 0x60
	OpF64Eq              Opcode = 0x61
	OpF64Ne              Opcode = 0x62
	OpF64Lt              Opcode = 0x63
	OpF64Gt              Opcode = 0x64
	OpF64Le              Opcode = 0x65
	OpF64Ge              Opcode = 0x66
	OpI32Clz             Opcode = 0x67
	OpI32Ctz             Opcode = 0x68
	OpI32Popcnt          Opcode = 0x69
	OpI32Add             Opcode = 0x6a
	OpI32Sub             Opcode = 0x6b
	OpI32Mul             Opcode = 0x6c
	OpI32DivS            Opcode = 0x6d
	OpI32DivU            Opcode = 0x6e
	OpI32RemS            Opcode = 0x6f
	OpI32RemU            Opcode = 0x70
	OpI32And             Opcode = 0x71
	OpI32Or              Opcode = 0x72
	OpI32Xor             Opcode = 0x73
	OpI32Shl             Opcode = 0x74
	OpI32ShrS            Opcode = 0x75
	OpI32ShrU            Opcode = 0x76
	OpI32Rotl            Opcode = 0x77
	OpI32Rotr            Opcode = 0x78
	OpI64Clz             Opcode = 0x79
	OpI64Ctz             Opcode = 0x7a
	OpI64Popcnt          Opcode = 0x7b
	OpI64Add             Opcode = 0x7c
	OpI64Sub             Opcode = 0x7d
	OpI64Mul             Opcode = 0x7e
	OpI64DivS            Opcode = 0x7f
	OpI64DivU            Opcode = 0x80
	OpI64RemS            Opcode = 0x81
	OpI64RemU            Opcode = 0x82
	OpI64And             Opcode = 0x83
	OpI64Or              Opcode = 0x84
	OpI64Xor             Opcode = 0x85
	OpI64Shl             Opcode = 0x86
	OpI64ShrS            Opcode = 0x87
	OpI64ShrU            Opcode = 0x88
	OpI64Rotl            Opcode = 0x89
	OpI64Rotr            Opcode = 0x8a
	OpF32Abs             Opcode = 0x8b
	OpF32Neg             Opcode = 0x8c
	OpF32Ceil            Opcode = 0x8d
	OpF32Floor           Opcode = 0x8e
	OpF32Trunc           Opcode = 0x8f
	OpF32Nearest         Opcode = 0x90
	OpF32Sqrt            Opcode = 0x91
	OpF32Add             Opcode = 0x92
	OpF32Sub             Opcode = 0x93
	OpF32Mul             Opcode = 0x94
	OpF32Div             Opcode = 0x95
	OpF32Min             Opcode = 0x96
	OpF32Max             Opcode = 0x97
	OpF32Copysign        Opcode = 0x98
	OpF64Abs             Opcode = 0x99
	OpF64Neg             Opcode = 0x9a
	OpF64Ceil            Opcode = 0x9b
	OpF64Floor           Opcode = 0x9c
	OpF64Trunc           Opcode = 0x9d
	OpF64Nearest         Opcode = 0x9e
	OpF64Sqrt            Opcode = 0x9f
	OpF64Add             Opcode = 0xa0
	OpF64Sub             Opcode = 0xa1
	OpF64Mul             Opcode = 0xa2
	OpF64Div             Opcode = 0xa3
	OpF64Min             Opcode = 0xa4
	OpF64Max             Opcode = 0xa5
	OpF64Copysign        Opcode = 0xa6
	OpI32WrapI64         Opcode = 0xa7
	OpI32TruncF32S       Opcode = 0xa8
	OpI32TruncF32U       Opcode = 0xa9
	OpI32TruncF64S       Opcode = 0xaa
	OpI32TruncF64U       Opcode = 0xab
	OpI64ExtendI32S      Opcode = 0xac
	OpI64ExtendI32U      Opcode = 0xad
	OpI64TruncF32S       Opcode = 0xae
	OpI64TruncF32U       Opcode = 0xaf
	OpI64TruncF64S       Opcode = 0xb0
	OpI64TruncF64U       Opcode = 0xb1
	OpF32ConvertI32S     Opcode = 0xb2
	OpF32ConvertI32U     Opcode = 0xb3
	OpF32ConvertI64S     Opcode = 0xb4
	OpF32ConvertI64U     Opcode = 0xb5
	OpF32DemoteF64       Opcode = 0xb6
	OpF64ConvertI32S     Opcode = 0xb7
	OpF64ConvertI32U     Opcode = 0xb8
	OpF64ConvertI64S     Opcode = 0xb9
	OpF64ConvertI64U     Opcode = 0xba
	OpF64PromoteF32      Opcode = 0xbb
	OpI32ReinterpretF32  Opcode = 0xbc
	OpI64ReinterpretF64  Opcode = 0xbd
	OpF32ReinterpretI32  Opcode = 0xbe
	OpF64ReinterpretI64  Opcode = 0xbf
	OpI32Extend8S        Opcode = 0xc0
	OpI32Extend16S       Opcode = 0xc1
	OpI64Extend8S        Opcode = 0xc2
	OpI64Extend16S       Opcode = 0xc3
	OpI64Extend32S       Opcode = 0xc4
	OpRefNull            Opcode = 0xd0
	OpRefIsNull          Opcode = 0xd1
	OpRefFunc            Opcode = 0xd2
)

// The opcodes with prefix 0xfc.
const (
	OpI32TruncSatF32S Opcode = 0xfc00
	OpI32TruncSatF32U Opcode = 0xfc01
	OpI32TruncSatF64S Opcode = 0xfc02
	OpI32TruncSatF64U Opcode = 0xfc03
	OpI64TruncSatF32S Opcode = 0xfc04
	OpI64TruncSatF32U Opcode = 0xfc05
	OpI64TruncSatF64S Opcode = 0xfc06
	OpI64TruncSatF64U Opcode = 0xfc07
	OpMemoryInit      Opcode = 0xfc08
	OpDataDrop        Opcode = 0xfc09
	OpMemoryCopy      Opcode = 0xfc0a
	OpMemoryFill      Opcode = 0xfc0b
	OpTableInit       Opcode = 0xfc0c
	OpElemDrop        Opcode = 0xfc0d
	OpTableCopy       Opcode = 0xfc0e
	OpTableGrow       Opcode = 0xfc0f
	OpTableSize       Opcode = 0xfc10
	OpTableFill       Opcode = 0xfc11
)

// The opcodes with prefix 0xfd.
const (
	OpV128Load                  Opcode = 0xfd00
	OpV128Load8x8S              Opcode = 0xfd01
	OpV128Load8x8U              Opcode = 0xfd02
	OpV128Load16x4S             Opcode = 0xfd03
	OpV128Load16x4U             Opcode = 0xfd04
	OpV128Load32x2S             Opcode = 0xfd05
	OpV128Load32x2U             Opcode = 0xfd06
	OpV128Load8Splat            Opcode = 0xfd07
	OpV128Load16Splat           Opcode = 0xfd08
	OpV128Load32Splat           Opcode = 0xfd09
	OpV128Load64Splat           Opcode = 0xfd0a
	OpV128Store                 Opcode = 0xfd0b
	OpV128Const                 Opcode = 0xfd0c
	OpI8x16Shuffle              Opcode = 0xfd0d
	OpI8x16Swizzle              Opcode = 0xfd0e
	OpI8x16Splat                Opcode = 0xfd0f
	OpI16x8Splat                Opcode = 0xfd10
	OpI32x4Splat                Opcode = 0xfd11
	OpI64x2Splat                Opcode = 0xfd12
	OpF32x4Splat                Opcode = 0xfd13
	OpF64x2Splat                Opcode = 0xfd14
	OpI8x16ExtractLaneS         Opcode = 0xfd15
	OpI8x16ExtractLaneU         Opcode = 0xfd16
	OpI8x16ReplaceLane          Opcode = 0xfd17
	OpI16x8ExtractLaneS         Opcode = 0xfd18
	OpI16x8ExtractLaneU         Opcode = 0xfd19
	OpI16x8ReplaceLane          Opcode = 0xfd1a
	OpI32x4ExtractLane          Opcode = 0xfd1b
	OpI32x4ReplaceLane          Opcode = 0xfd1c
	OpI64x2ExtractLane          Opcode = 0xfd1d
	OpI64x2ReplaceLane          Opcode = 0xfd1e
	OpF32x4ExtractLane          Opcode = 0xfd1f
	OpF32x4ReplaceLane          Opcode = 0xfd20
	OpF64x2ExtractLane          Opcode = 0xfd21
	OpF64x2ReplaceLane          Opcode = 0xfd22
	OpI8x16Eq                   Opcode = 0xfd23
	OpI8x16Ne                   Opcode = 0xfd24
	OpI8x16LtS                  Opcode = 0xfd25
	OpI8x16LtU                  Opcode = 0xfd26
	OpI8x16GtS                  Opcode = 0xfd27
	OpI8x16GtU                  Opcode = 0xfd28
	OpI8x16LeS                  Opcode = 0xfd29
	OpI8x16LeU                  Opcode = 0xfd2a
	OpI8x16GeS                  Opcode = 0xfd2b
	OpI8x16GeU                  Opcode = 0xfd2c
	OpI16x8Eq                   Opcode = 0xfd2d
	OpI16x8Ne                   Opcode = 0xfd2e
	OpI16x8LtS                  Opcode = 0xfd2f
	OpI16x8LtU                  Opcode = 0xfd30
	OpI16x8GtS                  Opcode = 0xfd31
	OpI16x8GtU                  Opcode = 0xfd32
	OpI16x8LeS                  Opcode = 0xfd33
	OpI16x8LeU                  Opcode = 0xfd34
	OpI16x8GeS                  Opcode = 0xfd35
	OpI16x8GeU                  Opcode = 0xfd36
	OpI32x4Eq                   Opcode = 0xfd37
	OpI32x4Ne                   Opcode = 0xfd38
	OpI32x4LtS                  Opcode = 0xfd39
	OpI32x4LtU                  Opcode = 0xfd3a
	OpI32x4GtS                  Opcode = 0xfd3b
	OpI32x4GtU                  Opcode = 0xfd3c
	OpI32x4LeS                  Opcode = 0xfd3d
	OpI32x4LeU                  Opcode = 0xfd3e
	OpI32x4GeS                  Opcode = 0xfd3f
	OpI32x4GeU                  Opcode = 0xfd40
	OpF32x4Eq                   Opcode = 0xfd41
	OpF32x4Ne                   Opcode = 0xfd42
	OpF32x4Lt                   Opcode = 0xfd43
	OpF32x4Gt                   Opcode = 0xfd44
	OpF32x4Le                   Opcode = 0xfd45
	OpF32x4Ge                   Opcode = 0xfd46
	OpF64x2Eq                   Opcode = 0xfd47
	OpF64x2Ne                   Opcode = 0xfd48
	OpF64x2Lt                   Opcode = 0xfd49
	OpF64x2Gt                   Opcode = 0xfd4a
	OpF64x2Le                   Opcode = 0xfd4b
	OpF64x2Ge                   Opcode = 0xfd4c
	OpV128Not                   Opcode = 0xfd4d
	OpV128And                   Opcode = 0xfd4e
	OpV128Andnot                Opcode = 0xfd4f
	OpV128Or                    Opcode = 0xfd50
	OpV128Xor                   Opcode = 0xfd51
	OpV128Bitselect             Opcode = 0xfd52
	OpV128AnyTrue               Opcode = 0xfd53
	OpV128Load8Lane             Opcode = 0xfd54
	OpV128Load16Lane            Opcode = 0xfd55
	OpV128Load32Lane            Opcode = 0xfd56
	OpV128Load64Lane            Opcode = 0xfd57
	OpV128Store8Lane            Opcode = 0xfd58
	OpV128Store16Lane           Opcode = 0xfd59
	OpV128Store32Lane           Opcode = 0xfd5a
	OpV128Store64Lane           Opcode = 0xfd5b
	OpV128Load32Zero            Opcode = 0xfd5c
	OpV128Load64Zero            Opcode = 0xfd5d
	OpF32x4DemoteF64x2Zero      Opcode = 0xfd5e
	OpF64x2PromoteLowF32x4      Opcode = 0xfd5f
	OpI8x16Abs                  Opcode = 0xfd60
	OpI8x16Neg                  Opcode = 0xfd61
	OpI8x16Popcnt               Opcode = 0xfd62
	OpI8x16AllTrue              Opcode = 0xfd63
	OpI8x16Bitmask              Opcode = 0xfd64
	OpI8x16NarrowI16x8S         Opcode = 0xfd65
	OpI8x16NarrowI16x8U         Opcode = 0xfd66
	OpF32x4Ceil                 Opcode = 0xfd67
	OpF32x4Floor                Opcode = 0xfd68
	OpF32x4Trunc                Opcode = 0xfd69
	OpF32x4Nearest              Opcode = 0xfd6a
	OpI8x16Shl                  Opcode = 0xfd6b
	OpI8x16ShrS                 Opcode = 0xfd6c
	OpI8x16ShrU                 Opcode = 0xfd6d
	OpI8x16Add                  Opcode = 0xfd6e
	OpI8x16AddSatS              Opcode = 0xfd6f
	OpI8x16AddSatU              Opcode = 0xfd70
	OpI8x16Sub                  Opcode = 0xfd71
	OpI8x16SubSatS              Opcode = 0xfd72
	OpI8x16SubSatU              Opcode = 0xfd73
	OpF64x2Ceil                 Opcode = 0xfd74
	OpF64x2Floor                Opcode = 0xfd75
	OpI8x16MinS                 Opcode = 0xfd76
	OpI8x16MinU                 Opcode = 0xfd77
	OpI8x16MaxS                 Opcode = 0xfd78
	OpI8x16MaxU                 Opcode = 0xfd79
	OpF64x2Trunc                Opcode = 0xfd7a
	OpI8x16AvgrU                Opcode = 0xfd7b
	OpI16x8ExtaddPairwiseI8x16S Opcode = 0xfd7c
	OpI16x8ExtaddPairwiseI8x16U Opcode = 0xfd7d
	OpI32x4ExtaddPairwiseI16x8S Opcode = 0xfd7e
	OpI32x4ExtaddPairwiseI16x8U Opcode = 0xfd7f
	OpI16x8Abs                  Opcode = 0xfd80
	OpI16x8Neg                  Opcode = 0xfd81
	OpI16x8Q15mulrSatS          Opcode = 0xfd82
	OpI16x8AllTrue              Opcode = 0xfd83
	OpI16x8Bitmask              Opcode = 0xfd84
	OpI16x8NarrowI32x4S         Opcode = 0xfd85
	OpI16x8NarrowI32x4U         Opcode = 0xfd86
	OpI16x8ExtendLowI8x16S      Opcode = 0xfd87
	OpI16x8ExtendHighI8x16S     Opcode = 0xfd88
	OpI16x8ExtendLowI8x16U      Opcode = 0xfd89
	OpI16x8ExtendHighI8x16U     Opcode = 0xfd8a
	OpI16x8Shl                  Opcode = 0xfd8b
	OpI16x8ShrS                 Opcode = 0xfd8c
	OpI16x8ShrU                 Opcode = 0xfd8d
	OpI16x8Add                  Opcode = 0xfd8e
	OpI16x8AddSatS              Opcode = 0xfd8f
	OpI16x8AddSatU              Opcode = 0xfd90
	OpI16x8Sub                  Opcode = 0xfd91
	OpI16x8SubSatS              Opcode = 0xfd92
	OpI16x8SubSatU              Opcode = 0xfd93
	OpF64x2Nearest              Opcode = 0xfd94
	OpI16x8Mul                  Opcode = 0xfd95
	OpI16x8MinS                 Opcode = 0xfd96
	OpI16x8MinU                 Opcode = 0xfd97
	OpI16x8MaxS                 Opcode = 0xfd98
	OpI16x8MaxU                 Opcode = 0xfd99
	OpI16x8AvgrU                Opcode = 0xfd9b
	OpI16x8ExtmulLowI8x16S      Opcode = 0xfd9c
	OpI16x8ExtmulHighI8x16S     Opcode = 0xfd9d
	OpI16x8ExtmulLowI8x16U      Opcode = 0xfd9e
	OpI16x8ExtmulHighI8x16U     Opcode = 0xfd9f
	OpI32x4Abs                  Opcode = 0xfda0
	OpI32x4Neg                  Opcode = 0xfda1
	OpI32x4AllTrue              Opcode = 0xfda3
	OpI32x4Bitmask              Opcode = 0xfda4
	OpI32x4ExtendLowI16x8S      Opcode = 0xfda7
	OpI32x4ExtendHighI16x8S     Opcode = 0xfda8
	OpI32x4ExtendLowI16x8U      Opcode = 0xfda9
	OpI32x4ExtendHighI16x8U     Opcode = 0xfdaa
	OpI32x4Shl                  Opcode = 0xfdab
	OpI32x4ShrS                 Opcode = 0xfdac
	OpI32x4ShrU                 Opcode = 0xfdad
	OpI32x4Add                  Opcode = 0xfdae
	OpI32x4Sub                  Opcode = 0xfdb1
	OpI32x4Mul                  Opcode = 0xfdb5
	OpI32x4MinS                 Opcode = 0xfdb6
	OpI32x4MinU                 Opcode = 0xfdb7
	OpI32x4MaxS                 Opcode = 0xfdb8
	OpI32x4MaxU                 Opcode = 0xfdb9
	OpI32x4DotI16x8S            Opcode = 0xfdba
	OpI32x4ExtmulLowI16x8S      Opcode = 0xfdbc
	OpI32x4ExtmulHighI16x8S     Opcode = 0xfdbd
	OpI32x4ExtmulLowI16x8U      Opcode = 0xfdbe
	OpI32x4ExtmulHighI16x8U     Opcode = 0xfdbf
	OpI64x2Abs                  Opcode = 0xfdc0
	OpI64x2Neg                  Opcode = 0xfdc1
	OpI64x2AllTrue              Opcode = 0xfdc3
	OpI64x2Bitmask              Opcode = 0xfdc4
	OpI64x2ExtendLowI32x4S      Opcode = 0xfdc7
	OpI64x2ExtendHighI32x4S     Opcode = 0xfdc8
	OpI64x2ExtendLowI32x4U      Opcode = 0xfdc9
	OpI64x2ExtendHighI32x4U     Opcode = 0xfdca
	OpI64x2Shl                  Opcode = 0xfdcb
	OpI64x2ShrS                 Opcode = 0xfdcc
	OpI64x2ShrU                 Opcode = 0xfdcd
	OpI64x2Add                  Opcode = 0xfdce
	OpI64x2Sub                  Opcode = 0xfdd1
	OpI64x2Mul                  Opcode = 0xfdd5
	OpI64x2Eq                   Opcode = 0xfdd6
	OpI64x2Ne                   Opcode = 0xfdd7
	OpI64x2LtS                  Opcode = 0xfdd8
	OpI64x2GtS                  Opcode = 0xfdd9
	OpI64x2LeS                  Opcode = 0xfdda
	OpI64x2GeS                  Opcode = 0xfddb
	OpI64x2ExtmulLowI32x4S      Opcode = 0xfddc
	OpI64x2ExtmulHighI32x4S     Opcode = 0xfddd
	OpI64x2ExtmulLowI32x4U      Opcode = 0xfdde
	OpI64x2ExtmulHighI32x4U     Opcode = 0xfddf
	OpF32x4Abs                  Opcode = 0xfde0
	OpF32x4Neg                  Opcode = 0xfde1
	OpF32x4Sqrt                 Opcode = 0xfde3
	OpF32x4Add                  Opcode = 0xfde4
	OpF32x4Sub                  Opcode = 0xfde5
	OpF32x4Mul                  Opcode = 0xfde6
	OpF32x4Div                  Opcode = 0xfde7
	OpF32x4Min                  Opcode = 0xfde8
	OpF32x4Max                  Opcode = 0xfde9
	OpF32x4Pmin                 Opcode = 0xfdea
	OpF32x4Pmax                 Opcode = 0xfdeb
	OpF64x2Abs                  Opcode = 0xfdec
	OpF64x2Neg                  Opcode = 0xfded
	OpF64x2Sqrt                 Opcode = 0xfdef
	OpF64x2Add                  Opcode = 0xfdf0
	OpF64x2Sub                  Opcode = 0xfdf1
	OpF64x2Mul                  Opcode = 0xfdf2
	OpF64x2Div                  Opcode = 0xfdf3
	OpF64x2Min                  Opcode = 0xfdf4
	OpF64x2Max                  Opcode = 0xfdf5
	OpF64x2Pmin                 Opcode = 0xfdf6
	OpF64x2Pmax                 Opcode = 0xfdf7
	OpI32x4TruncSatF32x4S       Opcode = 0xfdf8
	OpI32x4TruncSatF32x4U       Opcode = 0xfdf9
	OpF32x4ConvertI32x4S        Opcode = 0xfdfa
	OpF32x4ConvertI32x4U        Opcode = 0xfdfb
	OpI32x4TruncSatF64x2SZero   Opcode = 0xfdfc
	OpI32x4TruncSatF64x2UZero   Opcode = 0xfdfd
	OpF64x2ConvertLowI32x4S     Opcode = 0xfdfe
	OpF64x2ConvertLowI32x4U     Opcode = 0xfdff
)

// The opcodes with prefix 0xfe.
const (
	OpMemoryAtomicNotify     Opcode = 0xfe00
	OpMemoryAtomicWait32     Opcode = 0xfe01
	OpMemoryAtomicWait64     Opcode = 0xfe02
	OpAtomicFence            Opcode = 0xfe03
	OpI32AtomicLoad          Opcode = 0xfe10
	OpI64AtomicLoad          Opcode = 0xfe11
	OpI32AtomicLoad8U        Opcode = 0xfe12
	OpI32AtomicLoad16U       Opcode = 0xfe13
	OpI64AtomicLoad8U        Opcode = 0xfe14
	OpI64AtomicLoad16U       Opcode = 0xfe15
	OpI64AtomicLoad32U       Opcode = 0xfe16
	OpI32AtomicStore         Opcode = 0xfe17
	OpI64AtomicStore         Opcode = 0xfe18
	OpI32AtomicStore8        Opcode = 0xfe19
	OpI32AtomicStore16       Opcode = 0xfe1a
	OpI64AtomicStore8        Opcode = 0xfe1b
	OpI64AtomicStore16       Opcode = 0xfe1c
	OpI64AtomicStore32       Opcode = 0xfe1d
	OpI32AtomicRmwAdd        Opcode = 0xfe1e
	OpI64AtomicRmwAdd        Opcode = 0xfe1f
	OpI32AtomicRmw8AddU      Opcode = 0xfe20
	OpI32AtomicRmw16AddU     Opcode = 0xfe21
	OpI64AtomicRmw8AddU      Opcode = 0xfe22
	OpI64AtomicRmw16AddU     Opcode = 0xfe23
	OpI64AtomicRmw32AddU     Opcode = 0xfe24
	OpI32AtomicRmwSub        Opcode = 0xfe25
	OpI64AtomicRmwSub        Opcode = 0xfe26
	OpI32AtomicRmw8SubU      Opcode = 0xfe27
	OpI32AtomicRmw16SubU     Opcode = 0xfe28
	OpI64AtomicRmw8SubU      Opcode = 0xfe29
	OpI64AtomicRmw16SubU     Opcode = 0xfe2a
	OpI64AtomicRmw32SubU     Opcode = 0xfe2b
	OpI32AtomicRmwAnd        Opcode = 0xfe2c
	OpI64AtomicRmwAnd        Opcode = 0xfe2d
	OpI32AtomicRmw8AndU      Opcode = 0xfe2e
	OpI32AtomicRmw16AndU     Opcode = 0xfe2f
	OpI64AtomicRmw8AndU      Opcode = 0xfe30
	OpI64AtomicRmw16AndU     Opcode = 0xfe31
	OpI64AtomicRmw32AndU     Opcode = 0xfe32
	OpI32AtomicRmwOr         Opcode = 0xfe33
	OpI64AtomicRmwOr         Opcode = 0xfe34
	OpI32AtomicRmw8OrU       Opcode = 0xfe35
	OpI32AtomicRmw16OrU      Opcode = 0xfe36
	OpI64AtomicRmw8OrU       Opcode = 0xfe37
	OpI64AtomicRmw16OrU      Opcode = 0xfe38
	OpI64AtomicRmw32OrU      Opcode = 0xfe39
	OpI32AtomicRmwXor        Opcode = 0xfe3a
	OpI64AtomicRmwXor        Opcode = 0xfe3b
	OpI32AtomicRmw8XorU      Opcode = 0xfe3c
	OpI32AtomicRmw16XorU     Opcode = 0xfe3d
	OpI64AtomicRmw8XorU      Opcode = 0xfe3e
	OpI64AtomicRmw16XorU     Opcode = 0xfe3f
	OpI64AtomicRmw32XorU     Opcode = 0xfe40
	OpI32AtomicRmwXchg       Opcode = 0xfe41
	OpI64AtomicRmwXchg       Opcode = 0xfe42
	OpI32AtomicRmw8XchgU     Opcode = 0xfe43
	OpI32AtomicRmw16XchgU    Opcode = 0xfe44
	OpI64AtomicRmw8XchgU     Opcode = 0xfe45
	OpI64AtomicRmw16XchgU    Opcode = 0xfe46
	OpI64AtomicRmw32XchgU    Opcode = 0xfe47
	OpI32AtomicRmwCmpxchg    Opcode = 0xfe48
	OpI64AtomicRmwCmpxchg    Opcode = 0xfe49
	OpI32AtomicRmw8CmpxchgU  Opcode = 0xfe4a
	OpI32AtomicRmw16CmpxchgU Opcode = 0xfe4b
	OpI64AtomicRmw8CmpxchgU  Opcode = 0xfe4c
	OpI64AtomicRmw16CmpxchgU Opcode = 0xfe4d
	OpI64AtomicRmw32CmpxchgU Opcode = 0xfe4e
)

var plainOps = [256]OpRow{
	OpUnreachable:        {"unreachable", ImmNone},
	OpNop:                {"nop", ImmNone},
	OpBlock:              {"block", ImmBlock},
	OpLoop:               {"loop", ImmBlock},
	OpIf:                 {"if", ImmBlock},
	OpElse:               {"else", ImmNone},
	OpEnd:                {"end", ImmNone},
	OpBr:                 {"br", ImmLabel},
	OpBrIf:               {"br_if", ImmLabel},
	OpBrTable:            {"br_table", ImmBrTable},
	OpReturn:             {"return", ImmNone},
	OpCall:               {"call", ImmFunc},
	OpCallIndirect:       {"call_indirect", ImmCallIndirect},
	OpReturnCall:         {"return_call", ImmFunc},
	OpReturnCallIndirect: {"return_call_indirect", ImmCallIndirect},
	OpDrop:               {"drop", ImmNone},
	OpSelect:             {"select", ImmNone},
	OpSelectT:            {"select", ImmSelectT},
	OpLocalGet:           {"local.get", ImmLocal},
	OpLocalSet:           {"local.set", ImmLocal},
	OpLocalTee:           {"local.tee", ImmLocal},
	OpGlobalGet:          {"global.get", ImmGlobal},
	OpGlobalSet:          {"global.set", ImmGlobal},
	OpTableGet:           {"table.get", ImmTable},
	OpTableSet:           {"table.set", ImmTable},
	OpI32Load:            {"i32.load", ImmMemArg},
	OpI64Load:            {"i64.load", ImmMemArg},
	OpF32Load:            {"f32.load", ImmMemArg},
	OpF64Load:            {"f64.load", ImmMemArg},
	OpI32Load8S:          {"i32.load8_s", ImmMemArg},
	OpI32Load8U:          {"i32.load8_u", ImmMemArg},
	OpI32Load16S:         {"i32.load16_s", ImmMemArg},
	OpI32Load16U:         {"i32.load16_u", ImmMemArg},
	OpI64Load8S:          {"i64.load8_s", ImmMemArg},
	OpI64Load8U:          {"i64.load8_u", ImmMemArg},
	OpI64Load16S:         {"i64.load16_s", ImmMemArg},
	OpI64Load16U:         {"i64.load16_u", ImmMemArg},
	OpI64Load32S:         {"i64.load32_s", ImmMemArg},
	OpI64Load32U:         {"i64.load32_u", ImmMemArg},
	OpI32Store:           {"i32.store", ImmMemArg},
	OpI64Store:           {"i64.store", ImmMemArg},
	OpF32Store:           {"f32.store", ImmMemArg},
	OpF64Store:           {"f64.store", ImmMemArg},
	OpI32Store8:          {"i32.store8", ImmMemArg},
	OpI32Store16:         {"i32.store16", ImmMemArg},
	OpI64Store8:          {"i64.store8", ImmMemArg},
	OpI64Store16:         {"i64.store16", ImmMemArg},
	OpI64Store32:         {"i64.store32", ImmMemArg},
	OpMemorySize:         {"memory.size", ImmMem},
	OpMemoryGrow:         {"memory.grow", ImmMem},
	OpI32Const:           {"i32.const", ImmI32},
	OpI64Const:           {"i64.const", ImmI64},
	OpF32Const:           {"f32.const", ImmF32},
	OpF64Const:           {"f64.const", ImmF64},
	OpI32Eqz:             {"i32.eqz", ImmNone},
	OpI32Eq:              {"i32.eq", ImmNone},
	OpI32Ne:              {"i32.ne", ImmNone},
	OpI32LtS:             {"i32.lt_s", ImmNone},
	OpI32LtU:             {"i32.lt_u", ImmNone},
	OpI32GtS:             {"i32.gt_s", ImmNone},
	OpI32GtU:             {"i32.gt_u", ImmNone},
	OpI32LeS:             {"i32.le_s", ImmNone},
	OpI32LeU:             {"i32.le_u", ImmNone},
	OpI32GeS:             {"i32.ge_s", ImmNone},
	OpI32GeU:             {"i32.ge_u", ImmNone},
	OpI64Eqz:             {"i64.eqz", ImmNone},
	OpI64Eq:              {"i64.eq", ImmNone},
	OpI64Ne:              {"i64.ne", ImmNone},
	OpI64LtS:             {"i64.lt_s", ImmNone},
	OpI64LtU:             {"i64.lt_u", ImmNone},
	OpI64GtS:             {"i64.gt_s", ImmNone},
	OpI64GtU:             {"i64.gt_u", ImmNone},
	OpI64LeS:             {"i64.le_s", ImmNone},
	OpI64LeU:             {"i64.le_u", ImmNone},
	OpI64GeS:             {"i64.ge_s", ImmNone},
	OpI64GeU:             {"i64.ge_u", ImmNone},
	OpF32Eq:              {"f32.eq", ImmNone},
	OpF32Ne:              {"f32.ne", ImmNone},
	OpF32Lt:              {"f32.lt", ImmNone},
	OpF32Gt:              {"f32.gt", ImmNone},
	OpF32Le:              {"f32.le", ImmNone},
	OpF32Ge:              {"f32.ge", ImmNone},
	OpF64Eq:              {"f64.eq", ImmNone},
	OpF64Ne:              {"f64.ne", ImmNone},
	OpF64Lt:              {"f64.lt", ImmNone},
	OpF64Gt:              {"f64.gt", ImmNone},
	OpF64Le:              {"f64.le", ImmNone},
	OpF64Ge:              {"f64.ge", ImmNone},
	OpI32Clz:             {"i32.clz", ImmNone},
	OpI32Ctz:             {"i32.ctz", ImmNone},
	OpI32Popcnt:          {"i32.popcnt", ImmNone},
	OpI32Add:             {"i32.add", ImmNone},
	OpI32Sub:             {"i32.sub", ImmNone},
	OpI32Mul:             {"i32.mul", ImmNone},
	OpI32DivS:            {"i32.div_s", ImmNone},
	OpI32DivU:            {"i32.div_u", ImmNone},
	OpI32RemS:            {"i32.rem_s", ImmNone},
	OpI32RemU:            {"i32.rem_u", ImmNone},
	OpI32And:             {"i32.and", ImmNone},
	OpI32Or:              {"i32.or", ImmNone},
	OpI32Xor:             {"i32.xor", ImmNone},
	OpI32Shl:             {"i32.shl", ImmNone},
	OpI32ShrS:            {"i32.shr_s", ImmNone},
	OpI32ShrU:            {"i32.shr_u", ImmNone},
	OpI32Rotl:            {"i32.rotl", ImmNone},
	OpI32Rotr:            {"i32.rotr", ImmNone},
	OpI64Clz:             {"i64.clz", ImmNone},
	OpI64Ctz:             {"i64.ctz", ImmNone},
	OpI64Popcnt:          {"i64.popcnt", ImmNone},
	OpI64Add:             {"i64.add", ImmNone},
	OpI64Sub:             {"i64.sub", ImmNone},
	OpI64Mul:             {"i64.mul", ImmNone},
	OpI64DivS:            {"i64.div_s", ImmNone},
	OpI64DivU:            {"i64.div_u", ImmNone},
	OpI64RemS:            {"i64.rem_s", ImmNone},
	OpI64RemU:            {"i64.rem_u", ImmNone},
	OpI64And:             {"i64.and", ImmNone},
	OpI64Or:              {"i64.or", ImmNone},
	OpI64Xor:             {"i64.xor", ImmNone},
	OpI64Shl:             {"i64.shl", ImmNone},
	OpI64ShrS:            {"i64.shr_s", ImmNone},
	OpI64ShrU:            {"i64.shr_u", ImmNone},
	OpI64Rotl:            {"i64.rotl", ImmNone},
	OpI64Rotr:            {"i64.rotr", ImmNone},
	OpF32Abs:             {"f32.abs", ImmNone},
	OpF32Neg:             {"f32.neg", ImmNone},
	OpF32Ceil:            {"f32.ceil", ImmNone},
	OpF32Floor:           {"f32.floor", ImmNone},
	OpF32Trunc:           {"f32.trunc", ImmNone},
	OpF32Nearest:         {"f32.nearest", ImmNone},
	OpF32Sqrt:            {"f32.sqrt", ImmNone},
	OpF32Add:             {"f32.add", ImmNone},
	OpF32Sub:             {"f32.sub", ImmNone},
	OpF32Mul:             {"f32.mul", ImmNone},
	OpF32Div:             {"f32.div", ImmNone},
	OpF32Min:             {"f32.min", ImmNone},
	OpF32Max:             {"f32.max", ImmNone},
	OpF32Copysign:        {"f32.copysign", ImmNone},
	OpF64Abs:             {"f64.abs", ImmNone},
	OpF64Neg:             {"f64.neg", ImmNone},
	OpF64Ceil:            {"f64.ceil", ImmNone},
	OpF64Floor:           {"f64.floor", ImmNone},
	OpF64Trunc:           {"f64.trunc", ImmNone},
	OpF64Nearest:         {"f64.nearest", ImmNone},
	OpF64Sqrt:            {"f64.sqrt", ImmNone},
	OpF64Add:             {"f64.add", ImmNone},
	OpF64Sub:             {"f64.sub", ImmNone},
	OpF64Mul:             {"f64.mul", ImmNone},
	OpF64Div:             {"f64.div", ImmNone},
	OpF64Min:             {"f64.min", ImmNone},
	OpF64Max:             {"f64.max", ImmNone},
	OpF64Copysign:        {"f64.copysign", ImmNone},
	OpI32WrapI64:         {"i32.wrap_i64", ImmNone},
	OpI32TruncF32S:       {"i32.trunc_f32_s", ImmNone},
	OpI32TruncF32U:       {"i32.trunc_f32_u", ImmNone},
	OpI32TruncF64S:       {"i32.trunc_f64_s", ImmNone},
	OpI32TruncF64U:       {"i32.trunc_f64_u", ImmNone},
	OpI64ExtendI32S:      {"i64.extend_i32_s", ImmNone},
	OpI64ExtendI32U:      {"i64.extend_i32_u", ImmNone},
	OpI64TruncF32S:       {"i64.trunc_f32_s", ImmNone},
	OpI64TruncF32U:       {"i64.trunc_f32_u", ImmNone},
	OpI64TruncF64S:       {"i64.trunc_f64_s", ImmNone},
	OpI64TruncF64U:       {"i64.trunc_f64_u", ImmNone},
	OpF32ConvertI32S:     {"f32.convert_i32_s", ImmNone},
	OpF32ConvertI32U:     {"f32.convert_i32_u", ImmNone},
	OpF32ConvertI64S:     {"f32.convert_i64_s", ImmNone},
	OpF32ConvertI64U:     {"f32.convert_i64_u", ImmNone},
	OpF32DemoteF64:       {"f32.demote_f64", ImmNone},
	OpF64ConvertI32S:     {"f64.convert_i32_s", ImmNone},
	OpF64ConvertI32U:     {"f64.convert_i32_u", ImmNone},
	OpF64ConvertI64S:     {"f64.convert_i64_s", ImmNone},
	OpF64ConvertI64U:     {"f64.convert_i64_u", ImmNone},
	OpF64PromoteF32:      {"f64.promote_f32", ImmNone},
	OpI32ReinterpretF32:  {"i32.reinterpret_f32", ImmNone},
	OpI64ReinterpretF64:  {"i64.reinterpret_f64", ImmNone},
	OpF32ReinterpretI32:  {"f32.reinterpret_i32", ImmNone},
	OpF64ReinterpretI64:  {"f64.reinterpret_i64", ImmNone},
	OpI32Extend8S:        {"i32.extend8_s", ImmNone},
	OpI32Extend16S:       {"i32.extend16_s", ImmNone},
	OpI64Extend8S:        {"i64.extend8_s", ImmNone},
	OpI64Extend16S:       {"i64.extend16_s", ImmNone},
	OpI64Extend32S:       {"i64.extend32_s", ImmNone},
	OpRefNull:            {"ref.null", ImmRefType},
	OpRefIsNull:          {"ref.is_null", ImmNone},
	OpRefFunc:            {"ref.func", ImmFunc},
}

var miscOps = [256]OpRow{
	OpI32TruncSatF32S & 0xff: {"i32.trunc_sat_f32_s", ImmNone},
	OpI32TruncSatF32U & 0xff: {"i32.trunc_sat_f32_u", ImmNone},
	OpI32TruncSatF64S & 0xff: {"i32.trunc_sat_f64_s", ImmNone},
	OpI32TruncSatF64U & 0xff: {"i32.trunc_sat_f64_u", ImmNone},
	OpI64TruncSatF32S & 0xff: {"i64.trunc_sat_f32_s", ImmNone},
	OpI64TruncSatF32U & 0xff: {"i64.trunc_sat_f32_u", ImmNone},
	OpI64TruncSatF64S & 0xff: {"i64.trunc_sat_f64_s", ImmNone},
	OpI64TruncSatF64U & 0xff: {"i64.trunc_sat_f64_u", ImmNone},
	OpMemoryInit & 0xff:      {"memory.init", ImmDataMem},
	OpDataDrop & 0xff:        {"data.drop", ImmData},
	OpMemoryCopy & 0xff:      {"memory.copy", ImmMemMem},
	OpMemoryFill & 0xff:      {"memory.fill", ImmMem},
	OpTableInit & 0xff:       {"table.init", ImmElemTable},
	OpElemDrop & 0xff:        {"elem.drop", ImmElem},
	OpTableCopy & 0xff:       {"table.copy", ImmTableTable},
	OpTableGrow & 0xff:       {"table.grow", ImmTable},
	OpTableSize & 0xff:       {"table.size", ImmTable},
	OpTableFill & 0xff:       {"table.fill", ImmTable},
}

var simdOps = [256]OpRow{
	OpV128Load & 0xff:                  {"v128.load", ImmMemArg},
	OpV128Load8x8S & 0xff:              {"v128.load8x8_s", ImmMemArg},
	OpV128Load8x8U & 0xff:              {"v128.load8x8_u", ImmMemArg},
	OpV128Load16x4S & 0xff:             {"v128.load16x4_s", ImmMemArg},
	OpV128Load16x4U & 0xff:             {"v128.load16x4_u", ImmMemArg},
	OpV128Load32x2S & 0xff:             {"v128.load32x2_s", ImmMemArg},
	OpV128Load32x2U & 0xff:             {"v128.load32x2_u", ImmMemArg},
	OpV128Load8Splat & 0xff:            {"v128.load8_splat", ImmMemArg},
	OpV128Load16Splat & 0xff:           {"v128.load16_splat", ImmMemArg},
	OpV128Load32Splat & 0xff:           {"v128.load32_splat", ImmMemArg},
	OpV128Load64Splat & 0xff:           {"v128.load64_splat", ImmMemArg},
	OpV128Store & 0xff:                 {"v128.store", ImmMemArg},
	OpV128Const & 0xff:                 {"v128.const", ImmV128},
	OpI8x16Shuffle & 0xff:              {"i8x16.shuffle", ImmLanes16},
	OpI8x16Swizzle & 0xff:              {"i8x16.swizzle", ImmNone},
	OpI8x16Splat & 0xff:                {"i8x16.splat", ImmNone},
	OpI16x8Splat & 0xff:                {"i16x8.splat", ImmNone},
	OpI32x4Splat & 0xff:                {"i32x4.splat", ImmNone},
	OpI64x2Splat & 0xff:                {"i64x2.splat", ImmNone},
	OpF32x4Splat & 0xff:                {"f32x4.splat", ImmNone},
	OpF64x2Splat & 0xff:                {"f64x2.splat", ImmNone},
	OpI8x16ExtractLaneS & 0xff:         {"i8x16.extract_lane_s", ImmLane},
	OpI8x16ExtractLaneU & 0xff:         {"i8x16.extract_lane_u", ImmLane},
	OpI8x16ReplaceLane & 0xff:          {"i8x16.replace_lane", ImmLane},
	OpI16x8ExtractLaneS & 0xff:         {"i16x8.extract_lane_s", ImmLane},
	OpI16x8ExtractLaneU & 0xff:         {"i16x8.extract_lane_u", ImmLane},
	OpI16x8ReplaceLane & 0xff:          {"i16x8.replace_lane", ImmLane},
	OpI32x4ExtractLane & 0xff:          {"i32x4.extract_lane", ImmLane},
	OpI32x4ReplaceLane & 0xff:          {"i32x4.replace_lane", ImmLane},
	OpI64x2ExtractLane & 0xff:          {"i64x2.extract_lane", ImmLane},
	OpI64x2ReplaceLane & 0xff:          {"i64x2.replace_lane", ImmLane},
	OpF32x4ExtractLane & 0xff:          {"f32x4.extract_lane", ImmLane},
	OpF32x4ReplaceLane & 0xff:          {"f32x4.replace_lane", ImmLane},
	OpF64x2ExtractLane & 0xff:          {"f64x2.extract_lane", ImmLane},
	OpF64x2ReplaceLane & 0xff:          {"f64x2.replace_lane", ImmLane},
	OpI8x16Eq & 0xff:                   {"i8x16.eq", ImmNone},
	OpI8x16Ne & 0xff:                   {"i8x16.ne", ImmNone},
	OpI8x16LtS & 0xff:                  {"i8x16.lt_s", ImmNone},
	OpI8x16LtU & 0xff:                  {"i8x16.lt_u", ImmNone},
	OpI8x16GtS & 0xff:                  {"i8x16.gt_s", ImmNone},
	OpI8x16GtU & 0xff:                  {"i8x16.gt_u", ImmNone},
	OpI8x16LeS & 0xff:                  {"i8x16.le_s", ImmNone},
	OpI8x16LeU & 0xff:                  {"i8x16.le_u", ImmNone},
	OpI8x16GeS & 0xff:                  {"i8x16.ge_s", ImmNone},
	OpI8x16GeU & 0xff:                  {"i8x16.ge_u", ImmNone},
	OpI16x8Eq & 0xff:                   {"i16x8.eq", ImmNone},
	OpI16x8Ne & 0xff:                   {"i16x8.ne", ImmNone},
	OpI16x8LtS & 0xff:                  {"i16x8.lt_s", ImmNone},
	OpI16x8LtU & 0xff:                  {"i16x8.lt_u", ImmNone},
	OpI16x8GtS & 0xff:                  {"i16x8.gt_s", ImmNone},
	OpI16x8GtU & 0xff:                  {"i16x8.gt_u", ImmNone},
	OpI16x8LeS & 0xff:                  {"i16x8.le_s", ImmNone},
	OpI16x8LeU & 0xff:                  {"i16x8.le_u", ImmNone},
	OpI16x8GeS & 0xff:                  {"i16x8.ge_s", ImmNone},
	OpI16x8GeU & 0xff:                  {"i16x8.ge_u", ImmNone},
	OpI32x4Eq & 0xff:                   {"i32x4.eq", ImmNone},
	OpI32x4Ne & 0xff:                   {"i32x4.ne", ImmNone},
	OpI32x4LtS & 0xff:                  {"i32x4.lt_s", ImmNone},
	OpI32x4LtU & 0xff:                  {"i32x4.lt_u", ImmNone},
	OpI32x4GtS & 0xff:                  {"i32x4.gt_s", ImmNone},
	OpI32x4GtU & 0xff:                  {"i32x4.gt_u", ImmNone},
	OpI32x4LeS & 0xff:                  {"i32x4.le_s", ImmNone},
	OpI32x4LeU & 0xff:                  {"i32x4.le_u", ImmNone},
	OpI32x4GeS & 0xff:                  {"i32x4.ge_s", ImmNone},
	OpI32x4GeU & 0xff:                  {"i32x4.ge_u", ImmNone},
	OpF32x4Eq & 0xff:                   {"f32x4.eq", ImmNone},
	OpF32x4Ne & 0xff:                   {"f32x4.ne", ImmNone},
	OpF32x4Lt & 0xff:                   {"f32x4.lt", ImmNone},
	OpF32x4Gt & 0xff:                   {"f32x4.gt", ImmNone},
	OpF32x4Le & 0xff:                   {"f32x4.le", ImmNone},
	OpF32x4Ge & 0xff:                   {"f32x4.ge", ImmNone},
	OpF64x2Eq & 0xff:                   {"f64x2.eq", ImmNone},
	OpF64x2Ne & 0xff:                   {"f64x2.ne", ImmNone},
	OpF64x2Lt & 0xff:                   {"f64x2.lt", ImmNone},
	OpF64x2Gt & 0xff:                   {"f64x2.gt", ImmNone},
	OpF64x2Le & 0xff:                   {"f64x2.le", ImmNone},
	OpF64x2Ge & 0xff:                   {"f64x2.ge", ImmNone},
	OpV128Not & 0xff:                   {"v128.not", ImmNone},
	OpV128And & 0xff:                   {"v128.and", ImmNone},
	OpV128Andnot & 0xff:                {"v128.andnot", ImmNone},
	OpV128Or & 0xff:                    {"v128.or", ImmNone},
	OpV128Xor & 0xff:                   {"v128.xor", ImmNone},
	OpV128Bitselect & 0xff:             {"v128.bitselect", ImmNone},
	OpV128AnyTrue & 0xff:               {"v128.any_true", ImmNone},
	OpV128Load8Lane & 0xff:             {"v128.load8_lane", ImmMemArgLane},
	OpV128Load16Lane & 0xff:            {"v128.load16_lane", ImmMemArgLane},
	OpV128Load32Lane & 0xff:            {"v128.load32_lane", ImmMemArgLane},
	OpV128Load64Lane & 0xff:            {"v128.load64_lane", ImmMemArgLane},
	OpV128Store8Lane & 0xff:            {"v128.store8_lane", ImmMemArgLane},
	OpV128Store16Lane & 0xff:           {"v128.store16_lane", ImmMemArgLane},
	OpV128Store32Lane & 0xff:           {"v128.store32_lane", ImmMemArgLane},
	OpV128Store64Lane & 0xff:           {"v128.store64_lane", ImmMemArgLane},
	OpV128Load32Zero & 0xff:            {"v128.load32_zero", ImmMemArg},
	OpV128Load64Zero & 0xff:            {"v128.load64_zero", ImmMemArg},
	OpF32x4DemoteF64x2Zero & 0xff:      {"f32x4.demote_f64x2_zero", ImmNone},
	OpF64x2PromoteLowF32x4 & 0xff:      {"f64x2.promote_low_f32x4", ImmNone},
	OpI8x16Abs & 0xff:                  {"i8x16.abs", ImmNone},
	OpI8x16Neg & 0xff:                  {"i8x16.neg", ImmNone},
	OpI8x16Popcnt & 0xff:               {"i8x16.popcnt", ImmNone},
	OpI8x16AllTrue & 0xff:              {"i8x16.all_true", ImmNone},
	OpI8x16Bitmask & 0xff:              {"i8x16.bitmask", ImmNone},
	OpI8x16NarrowI16x8S & 0xff:         {"i8x16.narrow_i16x8_s", ImmNone},
	OpI8x16NarrowI16x8U & 0xff:         {"i8x16.narrow_i16x8_u", ImmNone},
	OpF32x4Ceil & 0xff:                 {"f32x4.ceil", ImmNone},
	OpF32x4Floor & 0xff:                {"f32x4.floor", ImmNone},
	OpF32x4Trunc & 0xff:                {"f32x4.trunc", ImmNone},
	OpF32x4Nearest & 0xff:              {"f32x4.nearest", ImmNone},
	OpI8x16Shl & 0xff:                  {"i8x16.shl", ImmNone},
	OpI8x16ShrS & 0xff:                 {"i8x16.shr_s", ImmNone},
	OpI8x16ShrU & 0xff:                 {"i8x16.shr_u", ImmNone},
	OpI8x16Add & 0xff:                  {"i8x16.add", ImmNone},
	OpI8x16AddSatS & 0xff:              {"i8x16.add_sat_s", ImmNone},
	OpI8x16AddSatU & 0xff:              {"i8x16.add_sat_u", ImmNone},
	OpI8x16Sub & 0xff:                  {"i8x16.sub", ImmNone},
	OpI8x16SubSatS & 0xff:              {"i8x16.sub_sat_s", ImmNone},
	OpI8x16SubSatU & 0xff:              {"i8x16.sub_sat_u", ImmNone},
	OpF64x2Ceil & 0xff:                 {"f64x2.ceil", ImmNone},
	OpF64x2Floor & 0xff:                {"f64x2.floor", ImmNone},
	OpI8x16MinS & 0xff:                 {"i8x16.min_s", ImmNone},
	OpI8x16MinU & 0xff:                 {"i8x16.min_u", ImmNone},
	OpI8x16MaxS & 0xff:                 {"i8x16.max_s", ImmNone},
	OpI8x16MaxU & 0xff:                 {"i8x16.max_u", ImmNone},
	OpF64x2Trunc & 0xff:                {"f64x2.trunc", ImmNone},
	OpI8x16AvgrU & 0xff:                {"i8x16.avgr_u", ImmNone},
	OpI16x8ExtaddPairwiseI8x16S & 0xff: {"i16x8.extadd_pairwise_i8x16_s", ImmNone},
	OpI16x8ExtaddPairwiseI8x16U & 0xff: {"i16x8.extadd_pairwise_i8x16_u", ImmNone},
	OpI32x4ExtaddPairwiseI16x8S & 0xff: {"i32x4.extadd_pairwise_i16x8_s", ImmNone},
	OpI32x4ExtaddPairwiseI16x8U & 0xff: {"i32x4.extadd_pairwise_i16x8_u", ImmNone},
	OpI16x8Abs & 0xff:                  {"i16x8.abs", ImmNone},
	OpI16x8Neg & 0xff:                  {"i16x8.neg", ImmNone},
	OpI16x8Q15mulrSatS & 0xff:          {"i16x8.q15mulr_sat_s", ImmNone},
	OpI16x8AllTrue & 0xff:              {"i16x8.all_true", ImmNone},
	OpI16x8Bitmask & 0xff:              {"i16x8.bitmask", ImmNone},
	OpI16x8NarrowI32x4S & 0xff:         {"i16x8.narrow_i32x4_s", ImmNone},
	OpI16x8NarrowI32x4U & 0xff:         {"i16x8.narrow_i32x4_u", ImmNone},
	OpI16x8ExtendLowI8x16S & 0xff:      {"i16x8.extend_low_i8x16_s", ImmNone},
	OpI16x8ExtendHighI8x16S & 0xff:     {"i16x8.extend_high_i8x16_s", ImmNone},
	OpI16x8ExtendLowI8x16U & 0xff:      {"i16x8.extend_low_i8x16_u", ImmNone},
	OpI16x8ExtendHighI8x16U & 0xff:     {"i16x8.extend_high_i8x16_u", ImmNone},
	OpI16x8Shl & 0xff:                  {"i16x8.shl", ImmNone},
	OpI16x8ShrS & 0xff:                 {"i16x8.shr_s", ImmNone},
	OpI16x8ShrU & 0xff:                 {"i16x8.shr_u", ImmNone},
	OpI16x8Add & 0xff:                  {"i16x8.add", ImmNone},
	OpI16x8AddSatS & 0xff:              {"i16x8.add_sat_s", ImmNone},
	OpI16x8AddSatU & 0xff:              {"i16x8.add_sat_u", ImmNone},
	OpI16x8Sub & 0xff:                  {"i16x8.sub", ImmNone},
	OpI16x8SubSatS & 0xff:              {"i16x8.sub_sat_s", ImmNone},
	OpI16x8SubSatU & 0xff:              {"i16x8.sub_sat_u", ImmNone},
	OpF64x2Nearest & 0xff:              {"f64x2.nearest", ImmNone},
	OpI16x8Mul & 0xff:                  {"i16x8.mul", ImmNone},
	OpI16x8MinS & 0xff:                 {"i16x8.min_s", ImmNone},
	OpI16x8MinU & 0xff:                 {"i16x8.min_u", ImmNone},
	OpI16x8MaxS & 0xff:                 {"i16x8.max_s", ImmNone},
	OpI16x8MaxU & 0xff:                 {"i16x8.max_u", ImmNone},
	OpI16x8AvgrU & 0xff:                {"i16x8.avgr_u", ImmNone},
	OpI16x8ExtmulLowI8x16S & 0xff:      {"i16x8.extmul_low_i8x16_s", ImmNone},
	OpI16x8ExtmulHighI8x16S & 0xff:     {"i16x8.extmul_high_i8x16_s", ImmNone},
	OpI16x8ExtmulLowI8x16U & 0xff:      {"i16x8.extmul_low_i8x16_u", ImmNone},
	OpI16x8ExtmulHighI8x16U & 0xff:     {"i16x8.extmul_high_i8x16_u", ImmNone},
	OpI32x4Abs & 0xff:                  {"i32x4.abs", ImmNone},
	OpI32x4Neg & 0xff:                  {"i32x4.neg", ImmNone},
	OpI32x4AllTrue & 0xff:              {"i32x4.all_true", ImmNone},
	OpI32x4Bitmask & 0xff:              {"i32x4.bitmask", ImmNone},
	OpI32x4ExtendLowI16x8S & 0xff:      {"i32x4.extend_low_i16x8_s", ImmNone},
	OpI32x4ExtendHighI16x8S & 0xff:     {"i32x4.extend_high_i16x8_s", ImmNone},
	OpI32x4ExtendLowI16x8U & 0xff:      {"i32x4.extend_low_i16x8_u", ImmNone},
	OpI32x4ExtendHighI16x8U & 0xff:     {"i32x4.extend_high_i16x8_u", ImmNone},
	OpI32x4Shl & 0xff:                  {"i32x4.shl", ImmNone},
	OpI32x4ShrS & 0xff:                 {"i32x4.shr_s", ImmNone},
	OpI32x4ShrU & 0xff:                 {"i32x4.shr_u", ImmNone},
	OpI32x4Add & 0xff:                  {"i32x4.add", ImmNone},
	OpI32x4Sub & 0xff:                  {"i32x4.sub", ImmNone},
	OpI32x4Mul & 0xff:                  {"i32x4.mul", ImmNone},
	OpI32x4MinS & 0xff:                 {"i32x4.min_s", ImmNone},
	OpI32x4MinU & 0xff:                 {"i32x4.min_u", ImmNone},
	OpI32x4MaxS & 0xff:                 {"i32x4.max_s", ImmNone},
	OpI32x4MaxU & 0xff:                 {"i32x4.max_u", ImmNone},
	OpI32x4DotI16x8S & 0xff:            {"i32x4.dot_i16x8_s", ImmNone},
	OpI32x4ExtmulLowI16x8S & 0xff:      {"i32x4.extmul_low_i16x8_s", ImmNone},
	OpI32x4ExtmulHighI16x8S & 0xff:     {"i32x4.extmul_high_i16x8_s", ImmNone},
	OpI32x4ExtmulLowI16x8U & 0xff:      {"i32x4.extmul_low_i16x8_u", ImmNone},
	OpI32x4ExtmulHighI16x8U & 0xff:     {"i32x4.extmul_high_i16x8_u", ImmNone},
	OpI64x2Abs & 0xff:                  {"i64x2.abs", ImmNone},
	OpI64x2Neg & 0xff:                  {"i64x2.neg", ImmNone},
	OpI64x2AllTrue & 0xff:              {"i64x2.all_true", ImmNone},
	OpI64x2Bitmask & 0xff:              {"i64x2.bitmask", ImmNone},
	OpI64x2ExtendLowI32x4S & 0xff:      {"i64x2.extend_low_i32x4_s", ImmNone},
	OpI64x2ExtendHighI32x4S & 0xff:     {"i64x2.extend_high_i32x4_s", ImmNone},
	OpI64x2ExtendLowI32x4U & 0xff:      {"i64x2.extend_low_i32x4_u", ImmNone},
	OpI64x2ExtendHighI32x4U & 0xff:     {"i64x2.extend_high_i32x4_u", ImmNone},
	OpI64x2Shl & 0xff:                  {"i64x2.shl", ImmNone},
	OpI64x2ShrS & 0xff:                 {"i64x2.shr_s", ImmNone},
	OpI64x2ShrU & 0xff:                 {"i64x2.shr_u", ImmNone},
	OpI64x2Add & 0xff:                  {"i64x2.add", ImmNone},
	OpI64x2Sub & 0xff:                  {"i64x2.sub", ImmNone},
	OpI64x2Mul & 0xff:                  {"i64x2.mul", ImmNone},
	OpI64x2Eq & 0xff:                   {"i64x2.eq", ImmNone},
	OpI64x2Ne & 0xff:                   {"i64x2.ne", ImmNone},
	OpI64x2LtS & 0xff:                  {"i64x2.lt_s", ImmNone},
	OpI64x2GtS & 0xff:                  {"i64x2.gt_s", ImmNone},
	OpI64x2LeS & 0xff:                  {"i64x2.le_s", ImmNone},
	OpI64x2GeS & 0xff:                  {"i64x2.ge_s", ImmNone},
	OpI64x2ExtmulLowI32x4S & 0xff:      {"i64x2.extmul_low_i32x4_s", ImmNone},
	OpI64x2ExtmulHighI32x4S & 0xff:     {"i64x2.extmul_high_i32x4_s", ImmNone},
	OpI64x2ExtmulLowI32x4U & 0xff:      {"i64x2.extmul_low_i32x4_u", ImmNone},
	OpI64x2ExtmulHighI32x4U & 0xff:     {"i64x2.extmul_high_i32x4_u", ImmNone},
	OpF32x4Abs & 0xff:                  {"f32x4.abs", ImmNone},
	OpF32x4Neg & 0xff:                  {"f32x4.neg", ImmNone},
	OpF32x4Sqrt & 0xff:                 {"f32x4.sqrt", ImmNone},
	OpF32x4Add & 0xff:                  {"f32x4.add", ImmNone},
	OpF32x4Sub & 0xff:                  {"f32x4.sub", ImmNone},
	OpF32x4Mul & 0xff:                  {"f32x4.mul", ImmNone},
	OpF32x4Div & 0xff:                  {"f32x4.div", ImmNone},
	OpF32x4Min & 0xff:                  {"f32x4.min", ImmNone},
	OpF32x4Max & 0xff:                  {"f32x4.max", ImmNone},
	OpF32x4Pmin & 0xff:                 {"f32x4.pmin", ImmNone},
	OpF32x4Pmax & 0xff:                 {"f32x4.pmax", ImmNone},
	OpF64x2Abs & 0xff:                  {"f64x2.abs", ImmNone},
	OpF64x2Neg & 0xff:                  {"f64x2.neg", ImmNone},
	OpF64x2Sqrt & 0xff:                 {"f64x2.sqrt", ImmNone},
	OpF64x2Add & 0xff:                  {"f64x2.add", ImmNone},
	OpF64x2Sub & 0xff:                  {"f64x2.sub", ImmNone},
	OpF64x2Mul & 0xff:                  {"f64x2.mul", ImmNone},
	OpF64x2Div & 0xff:                  {"f64x2.div", ImmNone},
	OpF64x2Min & 0xff:                  {"f64x2.min", ImmNone},
	OpF64x2Max & 0xff:                  {"f64x2.max", ImmNone},
	OpF64x2Pmin & 0xff:                 {"f64x2.pmin", ImmNone},
	OpF64x2Pmax & 0xff:                 {"f64x2.pmax", ImmNone},
	OpI32x4TruncSatF32x4S & 0xff:       {"i32x4.trunc_sat_f32x4_s", ImmNone},
	OpI32x4TruncSatF32x4U & 0xff:       {"i32x4.trunc_sat_f32x4_u", ImmNone},
	OpF32x4ConvertI32x4S & 0xff:        {"f32x4.convert_i32x4_s", ImmNone},
	OpF32x4ConvertI32x4U & 0xff:        {"f32x4.convert_i32x4_u", ImmNone},
	OpI32x4TruncSatF64x2SZero & 0xff:   {"i32x4.trunc_sat_f64x2_s_zero", ImmNone},
	OpI32x4TruncSatF64x2UZero & 0xff:   {"i32x4.trunc_sat_f64x2_u_zero", ImmNone},
	OpF64x2ConvertLowI32x4S & 0xff:     {"f64x2.convert_low_i32x4_s", ImmNone},
	OpF64x2ConvertLowI32x4U & 0xff:     {"f64x2.convert_low_i32x4_u", ImmNone},
}

var atomicOps = [256]OpRow{
	OpMemoryAtomicNotify & 0xff:     {"memory.atomic.notify", ImmMemArg},
	OpMemoryAtomicWait32 & 0xff:     {"memory.atomic.wait32", ImmMemArg},
	OpMemoryAtomicWait64 & 0xff:     {"memory.atomic.wait64", ImmMemArg},
	OpAtomicFence & 0xff:            {"atomic.fence", ImmZero},
	OpI32AtomicLoad & 0xff:          {"i32.atomic.load", ImmMemArg},
	OpI64AtomicLoad & 0xff:          {"i64.atomic.load", ImmMemArg},
	OpI32AtomicLoad8U & 0xff:        {"i32.atomic.load8_u", ImmMemArg},
	OpI32AtomicLoad16U & 0xff:       {"i32.atomic.load16_u", ImmMemArg},
	OpI64AtomicLoad8U & 0xff:        {"i64.atomic.load8_u", ImmMemArg},
	OpI64AtomicLoad16U & 0xff:       {"i64.atomic.load16_u", ImmMemArg},
	OpI64AtomicLoad32U & 0xff:       {"i64.atomic.load32_u", ImmMemArg},
	OpI32AtomicStore & 0xff:         {"i32.atomic.store", ImmMemArg},
	OpI64AtomicStore & 0xff:         {"i64.atomic.store", ImmMemArg},
	OpI32AtomicStore8 & 0xff:        {"i32.atomic.store8", ImmMemArg},
	OpI32AtomicStore16 & 0xff:       {"i32.atomic.store16", ImmMemArg},
	OpI64AtomicStore8 & 0xff:        {"i64.atomic.store8", ImmMemArg},
	OpI64AtomicStore16 & 0xff:       {"i64.atomic.store16", ImmMemArg},
	OpI64AtomicStore32 & 0xff:       {"i64.atomic.store32", ImmMemArg},
	OpI32AtomicRmwAdd & 0xff:        {"i32.atomic.rmw.add", ImmMemArg},
	OpI64AtomicRmwAdd & 0xff:        {"i64.atomic.rmw.add", ImmMemArg},
	OpI32AtomicRmw8AddU & 0xff:      {"i32.atomic.rmw8.add_u", ImmMemArg},
	OpI32AtomicRmw16AddU & 0xff:     {"i32.atomic.rmw16.add_u", ImmMemArg},
	OpI64AtomicRmw8AddU & 0xff:      {"i64.atomic.rmw8.add_u", ImmMemArg},
	OpI64AtomicRmw16AddU & 0xff:     {"i64.atomic.rmw16.add_u", ImmMemArg},
	OpI64AtomicRmw32AddU & 0xff:     {"i64.atomic.rmw32.add_u", ImmMemArg},
	OpI32AtomicRmwSub & 0xff:        {"i32.atomic.rmw.sub", ImmMemArg},
	OpI64AtomicRmwSub & 0xff:        {"i64.atomic.rmw.sub", ImmMemArg},
	OpI32AtomicRmw8SubU & 0xff:      {"i32.atomic.rmw8.sub_u", ImmMemArg},
	OpI32AtomicRmw16SubU & 0xff:     {"i32.atomic.rmw16.sub_u", ImmMemArg},
	OpI64AtomicRmw8SubU & 0xff:      {"i64.atomic.rmw8.sub_u", ImmMemArg},
	OpI64AtomicRmw16SubU & 0xff:     {"i64.atomic.rmw16.sub_u", ImmMemArg},
	OpI64AtomicRmw32SubU & 0xff:     {"i64.atomic.rmw32.sub_u", ImmMemArg},
	OpI32AtomicRmwAnd & 0xff:        {"i32.atomic.rmw.and", ImmMemArg},
	OpI64AtomicRmwAnd & 0xff:        {"i64.atomic.rmw.and", ImmMemArg},
	OpI32AtomicRmw8AndU & 0xff:      {"i32.atomic.rmw8.and_u", ImmMemArg},
	OpI32AtomicRmw16AndU & 0xff:     {"i32.atomic.rmw16.and_u", ImmMemArg},
	OpI64AtomicRmw8AndU & 0xff:      {"i64.atomic.rmw8.and_u", ImmMemArg},
	OpI64AtomicRmw16AndU & 0xff:     {"i64.atomic.rmw16.and_u", ImmMemArg},
	OpI64AtomicRmw32AndU & 0xff:     {"i64.atomic.rmw32.and_u", ImmMemArg},
	OpI32AtomicRmwOr & 0xff:         {"i32.atomic.rmw.or", ImmMemArg},
	OpI64AtomicRmwOr & 0xff:         {"i64.atomic.rmw.or", ImmMemArg},
	OpI32AtomicRmw8OrU & 0xff:       {"i32.atomic.rmw8.or_u", ImmMemArg},
	OpI32AtomicRmw16OrU & 0xff:      {"i32.atomic.rmw16.or_u", ImmMemArg},
	OpI64AtomicRmw8OrU & 0xff:       {"i64.atomic.rmw8.or_u", ImmMemArg},
	OpI64AtomicRmw16OrU & 0xff:      {"i64.atomic.rmw16.or_u", ImmMemArg},
	OpI64AtomicRmw32OrU & 0xff:      {"i64.atomic.rmw32.or_u", ImmMemArg},
	OpI32AtomicRmwXor & 0xff:        {"i32.atomic.rmw.xor", ImmMemArg},
	OpI64AtomicRmwXor & 0xff:        {"i64.atomic.rmw.xor", ImmMemArg},
	OpI32AtomicRmw8XorU & 0xff:      {"i32.atomic.rmw8.xor_u", ImmMemArg},
	OpI32AtomicRmw16XorU & 0xff:     {"i32.atomic.rmw16.xor_u", ImmMemArg},
	OpI64AtomicRmw8XorU & 0xff:      {"i64.atomic.rmw8.xor_u", ImmMemArg},
	OpI64AtomicRmw16XorU & 0xff:     {"i64.atomic.rmw16.xor_u", ImmMemArg},
	OpI64AtomicRmw32XorU & 0xff:     {"i64.atomic.rmw32.xor_u", ImmMemArg},
	OpI32AtomicRmwXchg & 0xff:       {"i32.atomic.rmw.xchg", ImmMemArg},
	OpI64AtomicRmwXchg & 0xff:       {"i64.atomic.rmw.xchg", ImmMemArg},
	OpI32AtomicRmw8XchgU & 0xff:     {"i32.atomic.rmw8.xchg_u", ImmMemArg},
	OpI32AtomicRmw16XchgU & 0xff:    {"i32.atomic.rmw16.xchg_u", ImmMemArg},
	OpI64AtomicRmw8XchgU & 0xff:     {"i64.atomic.rmw8.xchg_u", ImmMemArg},
	OpI64AtomicRmw16XchgU & 0xff:    {"i64.atomic.rmw16.xchg_u", ImmMemArg},
	OpI64AtomicRmw32XchgU & 0xff:    {"i64.atomic.rmw32.xchg_u", ImmMemArg},
	OpI32AtomicRmwCmpxchg & 0xff:    {"i32.atomic.rmw.cmpxchg", ImmMemArg},
	OpI64AtomicRmwCmpxchg & 0xff:    {"i64.atomic.rmw.cmpxchg", ImmMemArg},
	OpI32AtomicRmw8CmpxchgU & 0xff:  {"i32.atomic.rmw8.cmpxchg_u", ImmMemArg},
	OpI32AtomicRmw16CmpxchgU & 0xff: {"i32.atomic.rmw16.cmpxchg_u", ImmMemArg},
	OpI64AtomicRmw8CmpxchgU & 0xff:  {"i64.atomic.rmw8.cmpxchg_u", ImmMemArg},
	OpI64AtomicRmw16CmpxchgU & 0xff: {"i64.atomic.rmw16.cmpxchg_u", ImmMemArg},
	OpI64AtomicRmw32CmpxchgU & 0xff: {"i64.atomic.rmw32.cmpxchg_u", ImmMemArg},
}

// Row returns the row of op, whose Name is empty if there is no such opcode.
func (op Opcode) Row() OpRow {
	switch op >> 8 {
	case 0x00:
		return plainOps[op]
	case 0xfc:
		return miscOps[op&0xff]
	case 0xfd:
		return simdOps[op&0xff]
	case 0xfe:
		return atomicOps[op&0xff]
	}
	return OpRow{}
}

// String returns the name of op in the text format.
func (op Opcode) String() string { return op.Row().Name }
