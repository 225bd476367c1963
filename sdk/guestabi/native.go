package guestabi

import "encoding/binary"

// What objects compiled ahead of time and the machine that runs them agree on.
// An object is a shared ELF object made of one unit. It imports nothing, has no
// dynamic relocations, and everything that it touches besides guest memory lies
// in the task's native context, whose address is the first parameter of each of
// its functions. Offsets are in bytes.
const (
	// NativeVersion changes whenever an object built for the old one cannot run
	// on the new.
	NativeVersion = 1

	NativeMem        = 0       // host address of linear address 0
	NativeExit       = 8       // code of the host that leaves to the host, and returns
	NativeStackLimit = 16      // a function that begins below this has overflowed
	NativeHostSP     = 24      // the host's stack pointer
	NativeGuestSP    = 32      // the native stack pointer while the host runs
	NativeStackTop   = 40      // where the native stack begins
	NativeCode       = 48      // u32: NativeExitCode
	NativeResult     = 52      // u32: the PC that the entered function returned
	NativeFaultPC    = 56      // address of the machine instruction that faulted
	NativeFaultAddr  = 64      // the address that it accessed
	NativeMemSize    = 72      // bytes of linear memory
	NativeArgs       = 80      // 8 numbers of 64 bits: parameters and results of host functions
	NativeTarget     = 144     // what FuncResolve found: enter of a unit
	NativePlaces     = 152     // PlaceSlots of {u32 low, u32 size, enter}
	NativeGeneration = 216     // u32: see PlaceGeneration
	NativePlace      = 220     // u32: number of the place that calls the host, of the code map
	NativeRegs       = 256     // see NativeRegOffset
	NativeMaxOffset  = 1 << 20 // of an access, its size included, from an address of 32 bits
	NativeUnits      = 1024
	NativeUnitSize   = 8 // {u32 base, u32 admitted}
)

// NativeExitCode says why native code left to the host: a number below
// NativeExitReturned is that of a function of KernelFuncs to call.
type NativeExitCode uint32

// The exit codes.
const (
	NativeExitReturned NativeExitCode = 0x100 + iota // the entered function returned NativeResult
	NativeExitFault                                  // a fault of the processor, see NativeFaultPC
	NativeExitTrap                                   // NativeArgs: trap; NativePlace
	NativeExitOverflow                               // the native stack is full: go on at LastPC
)

// NativeTrap is a trap that native code has found.
type NativeTrap uint32

// The traps.
const (
	NativeTrapMemory NativeTrap = iota + 1
	NativeTrapDivide
	NativeTrapUnreachable
)

// Offsets in a native context relative to NativeRegs.
const (
	natGPR   = 0
	natFlags = natGPR + 8*NumGPR
	natMXCSR = natFlags + 4*NumFlags
	natPC    = natMXCSR + 4
	natFuel  = natPC + 4
	natFS    = natFuel + 4
	natGS    = natFS + 8
	natXMM   = 192
	natYMMH  = natXMM + 16*NumXMM
)

// NativeRegOffset is where a register lies in a native context.
func NativeRegOffset(r Reg) uint32 {
	switch {
	case r <= R15:
		return NativeRegs + natGPR + 8*uint32(r)
	case r >= CF && r <= DF:
		return NativeRegs + natFlags + 4*uint32(r-CF)
	case r == MXCSR:
		return NativeRegs + natMXCSR
	case r == LastPC:
		return NativeRegs + natPC
	case r == Fuel:
		return NativeRegs + natFuel
	case r == FSBase:
		return NativeRegs + natFS
	case r == GSBase:
		return NativeRegs + natGS
	case r >= YMMH0:
		return NativeRegs + natYMMH + 16*uint32(r-YMMH0)
	}
	return NativeRegs + natXMM + 16*uint32(r-XMM0)
}

// Symbols and sections of an object.
const (
	NativeSymbolEnter = "megabinary_enter"    // ExportEnter of the unit
	NativeSymbolIndex = "unit_index"          // u32: the number of the unit, which the loader writes
	NativeSectionMaps = ".megabinary.codemap" // see AppendNativeMap
)

// AppendNativeMap appends the code map of a function of a unit, and how many
// places it has, to those of the functions before.
func AppendNativeMap(b []byte, places uint32, codeMap []byte) []byte {
	b = binary.AppendUvarint(b, uint64(places))
	b = binary.AppendUvarint(b, uint64(len(codeMap)))
	return append(b, codeMap...)
}

// ReadNativeMaps reads what AppendNativeMap wrote: for each function the number
// of its first place, and its code map.
func ReadNativeMaps(b []byte) (first []uint32, maps [][]byte, err error) {
	n := uint64(0)
	for len(b) > 0 {
		places, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, nil, errCodeMap
		}
		b = b[size:]
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, nil, errCodeMap
		}
		first, maps = append(first, uint32(n)), append(maps, b[size:size+int(length)])
		n += places
		b = b[size+int(length):]
	}
	return first, maps, nil
}
