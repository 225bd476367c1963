package guestabi

import "fmt"

// Reg is one variable of guest state that lives in a mutable wasm global of
// module [ModuleGuest] under its String.
type Reg uint8

// The general registers, in the order of their x86 encoding.
const (
	RAX Reg = iota
	RCX
	RDX
	RBX
	RSP
	RBP
	RSI
	RDI
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
)

// The status flags, each an i32 that is 0 or 1, DF included.
const (
	CF Reg = 16 + iota
	PF
	AF
	ZF
	SF
	OF
	DF
)

// The rest.
const (
	FSBase   Reg = 23 + iota // i64
	GSBase                   // i64
	MXCSR                    // i32; see MXCSRCareful
	LastPC                   // i32: target of the last call or jump to another function: the place to go on after the wasm stack overflowed
	Fuel                     // i32: loop back edges until the next safepoint
	XMM0                     // v128; XMM0+i is xmm i
	NumRegs  = XMM0 + 16
	NumXMM   = 16
	NumGPR   = 16
	NumFlags = 7
)

// The upper halves of the ymm registers, from CPUv3 on. The numbers between
// NumRegs and YMMH0 are free for what recompilers keep in locals.
const (
	YMMH0   Reg = 64 // v128; YMMH0+i is bits 255 to 128 of ymm i
	EndRegs     = YMMH0 + NumXMM
)

// MXCSRCareful is the number of the bit of MXCSR above the processor's that says
// that SSE code must round and collect exceptions as MXCSR says. While it is
// clear, MXCSR is MXCSRInit and its exception flags are not kept.
const MXCSRCareful = 16

var regNames = [...]string{
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	"cf", "pf", "af", "zf", "sf", "of", "df",
	"fs_base", "gs_base", "mxcsr", "last_pc", "fuel",
}

// String returns the name of the global that holds r.
func (r Reg) String() string {
	if int(r) < len(regNames) {
		return regNames[r]
	}
	switch {
	case r < NumRegs:
		return fmt.Sprintf("xmm%d", r-XMM0)
	case r >= YMMH0 && r < EndRegs:
		return fmt.Sprintf("ymmh%d", r-YMMH0)
	}
	return fmt.Sprintf("reg%d", uint8(r))
}

// Type returns the wasm type of the global that holds r.
func (r Reg) Type() Type {
	switch {
	case r <= R15, r == FSBase, r == GSBase:
		return I64
	case r >= XMM0:
		return V128
	default:
		return I32
	}
}

// IsFlag reports whether r is a status flag (DF, which is no status flag, not
// included).
func (r Reg) IsFlag() bool { return r >= CF && r <= OF }

// Context is a whole guest register file as the megabinary's exports save and
// load it, less the x87 state, which the host keeps. Its layout in memory is
// little-endian, in field order, without padding: CPU.ContextSize bytes.
type Context struct {
	GPR    [NumGPR]uint64
	PC     uint64 // written and read by the host only
	RFLAGS uint64 // CF PF AF ZF SF DF OF at their architectural positions, bit 1 set
	FSBase uint64
	GSBase uint64
	MXCSR  uint32
	Fuel   uint32
	LastPC uint32
	_      uint32
	XMM    [NumXMM][16]byte
	YMMH   [NumXMM][16]byte // from CPUv3 on
}

// Exports of the module guest, and so of a megabinary.
const (
	// ExportSaveContext has type (linear address i32) -> () and writes a Context.
	ExportSaveContext = "save_context"
	// ExportLoadContext has type (linear address i32) -> () and reads a Context.
	ExportLoadContext = "load_context"
	// ExportRun has type (pc i32) -> (pc i32): dispatch, exported for the host.
	ExportRun = "run"
)

// RFLAGS bit positions.
const (
	BitCF = 0
	BitPF = 2
	BitAF = 4
	BitZF = 6
	BitSF = 7
	BitDF = 10
	BitOF = 11
)
