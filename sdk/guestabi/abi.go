// Package guestabi is what a recompiler and the vkernel must agree on: the
// guest's registers as wasm globals, the functions a unit imports and exports,
// and where guest memory lies in linear memory. docs/FORMATS.md says the same
// in prose.
//
// A unit is a valid wasm module that imports its memory, its registers and its
// helpers from the module [ModuleGuest] (resolved when units are linked into a
// megabinary) and the host's functions from [ModuleKernel] (left for the
// vkernel to provide).
package guestabi

import "megabinary.dev/sdk/wasm"

// Version changes whenever a unit built for the old one cannot run on the new.
const Version = 1

// PC is a guest instruction address. Guest addresses lie below 4 GiB.
type PC = uint32

// Addr is a guest data address.
type Addr = uint64

const (
	// AddrBias is how far guest addresses lie above linear addresses, in bytes:
	// guest address a is linear address a - AddrBias, so that an access to the
	// NULL page is out of bounds and becomes a SIGSEGV at no cost.
	AddrBias = 0x1_0000

	// MinAddr is the lowest guest address that the vkernel ever maps. The guest
	// addresses in [AddrBias, MinAddr) are linear page 0, which the machine
	// uses as scratch memory for contexts. Recompilers rely on it: a
	// displacement in [0, 0x10000) may be folded into the offset of a wasm
	// access because base+displacement >= MinAddr implies base >= AddrBias.
	MinAddr = 0x2_0000

	// MaxFoldedDisp bounds the displacements that may be folded into a memarg.
	MaxFoldedDisp = 0x8000

	// TailSize is how many bytes at the end of linear memory are never mapped,
	// so that a read ahead of an access, by less than that, fails only if the
	// access does.
	TailSize = 0x1_0000

	// MaxPages bounds linear memory, in wasm pages of 64 KiB. 65,536 pages read
	// as length zero in wazero, and the last pages stay out of bounds so that
	// NULL plus a negative displacement faults too.
	MaxPages = 0xfff0
)

// Names of the two modules that a unit imports from.
const (
	ModuleGuest  = "guest"   // resolved by the linker
	ModuleKernel = "vkernel" // provided by the host
)

// Exports of a unit.
const (
	// ExportEnter has type (pc i32) -> (pc i32). It enters the unit's code at a
	// guest PC and returns the PC where the guest left off: every wasm frame
	// that was entered has been left, and all guest state is in memory and
	// globals. A PC outside of the unit is passed on to ImportDispatch.
	ExportEnter = "enter"
	// ExportBase is a mutable i32 global: the guest address minus the link-time
	// address of the unit in this process. Absent in a unit for ET_EXEC.
	ExportBase = "base"
	// ExportAdmitted is a mutable i32 global, 0 at first. The vkernel sets it to
	// 1 when the exec controller has admitted the unit to the process; until
	// then enter refuses with FaultNotAdmitted.
	ExportAdmitted = "admitted"
)

// Names imported from ModuleGuest, besides the registers.
const (
	ImportMemory = "memory"
	// ImportDispatch has type (pc i32) -> (pc i32) and enters whichever unit
	// holds pc. Its result means what that of ExportEnter means.
	ImportDispatch = "dispatch"
)

// Func is a function that units import from ModuleKernel. Host functions must
// mask i32 parameters: their upper halves hold garbage.
type Func struct {
	Name    string
	Params  []Type
	Results []Type
	Doc     string
}

// Type is a wasm value type.
type Type = wasm.ValType

// The wasm value types.
const (
	I32  = wasm.I32
	I64  = wasm.I64
	F32  = wasm.F32
	F64  = wasm.F64
	V128 = wasm.V128
)

// Names of the host functions.
const (
	FuncSyscall   = "syscall"
	FuncSafepoint = "safepoint"
	FuncFault     = "fault"
	FuncCPUID     = "cpuid"
	FuncRDTSC     = "rdtsc"
	FuncX87       = "x87"
	FuncMMX       = "mmx"
	FuncDivU128   = "div_u128"
	FuncDivS128   = "div_s128"
	FuncCAS128    = "cas128"
	FuncAtomic    = "atomic"
	FuncSSE       = "sse"
	FuncFXSave    = "fxsave"
	FuncFXRstor   = "fxrstor"
	FuncResolve   = "resolve"
	FuncFMA64     = "fma64"
	FuncFMA32     = "fma32"
)

// KernelFuncs lists the functions of ModuleKernel. Adding one is one row here
// and one handler in vkernel/machine.
//
// Wherever a function returns a next PC, the caller compares it with the PC
// that it would go on at. If they differ the guest's context has been replaced
// (by a signal, an exit, ...): the caller returns that PC at once and touches
// no register. All register globals must be in sync before such a call.
func KernelFuncs() []Func {
	return []Func{
		{FuncSyscall, []Type{I64, I64, I64, I64, I64, I64, I64, I32}, []Type{I64, I32},
			"(rax, rdi, rsi, rdx, r10, r8, r9, pc of the next instruction) -> (rax, next pc)"},
		{FuncSafepoint, []Type{I32}, []Type{I32},
			"(pc to go on at) -> next pc; called when fuel, decremented on loop back edges, falls below zero; the caller resets fuel to FuelPerSlice"},
		{FuncFault, []Type{I32, I32}, []Type{I32},
			"(Fault, pc of the faulting instruction) -> next pc, which is never the pc after the fault"},
		{FuncCPUID, []Type{I32, I32}, []Type{I32, I32, I32, I32}, "(eax, ecx) -> (eax, ebx, ecx, edx)"},
		{FuncRDTSC, nil, []Type{I64}, "() -> time stamp counter"},
		{FuncX87, []Type{I32, I32}, []Type{I64},
			"((escape opcode - 0xd8)<<8 | modrm, guest address of the memory operand or 0) -> ax for fnstsw ax; ZF|PF<<1|CF<<2 for fcomi and its like; 1 or 0 for fcmovcc given flags in bits 16..18 (ZF PF CF) of the first parameter, of which bit 19 says that the operand size is 16 bits; else 0. Traps if one is pending (#MF). The x87 state is the host's."},
		{FuncMMX, []Type{I32, I64}, []Type{I64},
			"(MMXOp | number of an mm register, value to write) -> the register's value for MMXRead, else 0. The registers are those of the x87 state. Traps as x87 does."},
		{FuncDivU128, []Type{I64, I64, I64}, []Type{I64, I64}, "(hi, lo, divisor) -> (quotient, remainder); the caller has checked divisor > hi"},
		{FuncDivS128, []Type{I64, I64, I64}, []Type{I64, I64, I32}, "(hi, lo, divisor) -> (quotient, remainder, 1 if the quotient overflowed or the divisor is 0)"},
		{FuncCAS128, []Type{I32, I64, I64, I64, I64}, []Type{I64, I64}, "(guest address, expected lo, expected hi, new lo, new hi) -> (old lo, old hi); atomic"},
		{FuncAtomic, []Type{I32, I32, I64, I64}, []Type{I64},
			"(AtomicOp | bytes<<8, guest address, argument, replacement of cmpxchg) -> old value, zero-extended; a read-modify-write at any alignment, atomic if the host's processor can"},
		{FuncSSE, []Type{I32, I32, I64, I64, I64, I64}, []Type{I64, I64, I32, I32},
			"(code of x87.SSE, mxcsr, destination lo, hi, source lo, hi) -> (result lo, hi, mxcsr, 1 if an exception is not masked: the result is the destination then)"},
		{FuncFXSave, []Type{I32, I32}, nil, "(guest address, mxcsr) writes the x87 part and MXCSR of the 512-byte area; the caller has stored the xmm registers"},
		{FuncFXRstor, []Type{I32}, nil, "(guest address) loads the x87 part of the 512-byte area"},
		{FuncResolve, []Type{I32}, []Type{I32}, "(pc) -> index of the admitted unit that holds pc, or -1. Called by the megabinary's dispatch."},
		{FuncFMA64, []Type{I64, I64, I64}, []Type{I64}, "(x, y, z) -> FMA64(x, y, z). Called by FuncFMAF64x2 for what it cannot do itself."},
		{FuncFMA32, []Type{I32, I32, I32}, []Type{I32}, "(x, y, z) -> FMA32(x, y, z). Called by FuncFMAF32x4 and FuncFMAF32x2 for NaNs."},
	}
}

// MMXOp is an operation of FuncMMX.
type MMXOp uint32

// The operations on MMX registers. All but MMXRead leave TOP 0.
const (
	MMXRead  MMXOp = 8 * iota // changes nothing
	MMXWrite                  // tags all registers as valid
	MMXTouch                  // tags all registers as valid: an instruction that writes no mm register
	MMXEmpty                  // tags all registers as empty: emms
)

// AtomicOp is an operation of FuncAtomic.
type AtomicOp uint32

// The atomic operations, in the order of wasm's opcodes.
const (
	AtomicAdd AtomicOp = iota
	AtomicSub
	AtomicAnd
	AtomicOr
	AtomicXor
	AtomicXchg
	AtomicCmpxchg
)

// Apply returns what op makes of old and its argument; cmpxchg replaces.
func (op AtomicOp) Apply(old, arg, replacement uint64) uint64 {
	switch op {
	case AtomicAdd:
		return old + arg
	case AtomicSub:
		return old - arg
	case AtomicAnd:
		return old & arg
	case AtomicOr:
		return old | arg
	case AtomicXor:
		return old ^ arg
	case AtomicXchg:
		return arg
	}
	if old == arg {
		return replacement
	}
	return old
}

// FuelPerSlice is how many loop back edges a task takes between two calls of
// safepoint.
const FuelPerSlice = 30_000

// Fault says why guest code cannot go on at a PC.
type Fault uint32

// The faults.
const (
	FaultUndefined   Fault = 1 // #UD: an instruction that is not known, or ud2; SIGILL
	FaultDivide      Fault = 2 // #DE: SIGFPE
	FaultBreakpoint  Fault = 3 // #BP: int3; SIGTRAP
	FaultPrivileged  Fault = 4 // #GP: hlt, in, out, ...; SIGSEGV
	FaultBadPC       Fault = 5 // control went to an address that holds no code: SIGSEGV
	FaultMiss        Fault = 6 // control went to code of an admitted unit that was not translated
	FaultNotAdmitted Fault = 7 // control went to a unit that was not admitted
	FaultOverflow    Fault = 8 // #OF
	FaultSIMD        Fault = 9 // #XM: an exception that MXCSR does not mask; SIGFPE
	// FaultCareful is no fault: MXCSRCareful has been set. The pc is that of the
	// next instruction, which is to be entered anew, without any wasm frame.
	FaultCareful Fault = 10
)
