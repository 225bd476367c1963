package guestabi

import "fmt"

// CPU is the processor that a guest sees, a micro-architecture level of the
// x86-64 psABI. Recompiler and vkernel must agree on it: it decides which
// instructions are translated, which registers exist, and what CPUID, XGETBV
// and signal frames say. The unit's report and the megabinary's list of units
// carry its String.
type CPU uint8

const (
	// CPUv2 is x86-64-v2, SSE4.2 and no more.
	CPUv2 CPU = iota
	// CPUv3 adds AVX, AVX2, BMI1, BMI2, F16C, FMA, LZCNT, MOVBE and XSAVE.
	CPUv3
)

var cpuNames = [...]string{CPUv2: "x86-64-v2", CPUv3: "x86-64-v3"}

// CPUNames returns the names that ParseCPU takes.
func CPUNames() []string { return cpuNames[:] }

// String returns the psABI's name of the level.
func (c CPU) String() string {
	if int(c) < len(cpuNames) {
		return cpuNames[c]
	}
	return fmt.Sprintf("cpu%d", uint8(c))
}

// ParseCPU reads what String gives. The empty string is CPUv2.
func ParseCPU(s string) (CPU, error) {
	if s == "" {
		return CPUv2, nil
	}
	for c, name := range cpuNames {
		if s == name {
			return CPU(c), nil
		}
	}
	return 0, fmt.Errorf("there is no processor %q: choose one of %q", s, cpuNames)
}

// Label is String, but empty for CPUv2: what optional fields of reports hold.
func (c CPU) Label() string {
	if c == CPUv2 {
		return ""
	}
	return c.String()
}

// Regs returns the registers of the processor, in the order of the globals of
// module guest.
func (c CPU) Regs() []Reg {
	var regs []Reg
	for r := RAX; r < NumRegs; r++ {
		regs = append(regs, r)
	}
	if c >= CPUv3 {
		for r := YMMH0; r < EndRegs; r++ {
			regs = append(regs, r)
		}
	}
	return regs
}

// ContextSize returns the size of a Context in memory, in bytes.
func (c CPU) ContextSize() int {
	if c >= CPUv3 {
		return offYMMH + 16*NumXMM
	}
	return offYMMH
}

// The area of XSAVE and of signal frames, from CPUv3 on, in the standard format
// (Intel SDM volume 1, 13.4), in bytes.
const (
	XSaveHeader = 512 // XSTATE_BV, and the rest of the header of 64 bytes
	XSaveYMMH   = 576 // upper halves of ymm0 to ymm15
	XSaveSize   = XSaveYMMH + 16*NumXMM
)

// Bits of XCR0, and of the masks of XSAVE and XRSTOR.
const (
	XCR0X87 = 1 << 0
	XCR0SSE = 1 << 1
	XCR0AVX = 1 << 2
	XCR0    = XCR0X87 | XCR0SSE | XCR0AVX
)
