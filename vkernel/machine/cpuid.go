package machine

import (
	"encoding/binary"

	"megabinary.dev/sdk/guestabi"
)

// The processor that guests see is x86-64-v2 and nothing above, unless the
// megabinary was built for x86-64-v3: no AVX, no XSAVE, no BMI, so that
// libraries pick code that translates well. Of the later features it has ERMS
// alone: long copies by rep movs and rep stos become memory.copy and
// memory.fill. It reports Intel's vendor string, because glibc then
// takes cache sizes from leaf 4, and the model of Nehalem, for which glibc
// prefers unaligned SSE2 copies.
//
// Sources: Intel SDM volume 2A, CPUID; glibc 2.36 sysdeps/x86/cpu-features.c
// and cacheinfo.h.
const (
	maxBasicLeaf    = 0x16
	maxExtendedLeaf = 0x8000_0008
	cpuSignature    = 0x0001_06a5 // family 6, model 0x1a, stepping 5
	brandString     = "Megabinary virtual CPU "
)

// tscHertz is the rate of the time stamp counter, which counts nanoseconds.
const tscHertz = 1_000_000_000

// Bits of leaf 1.
const (
	ecxSSE3   = 1 << 0
	ecxSSSE3  = 1 << 9
	ecxCX16   = 1 << 13
	ecxSSE41  = 1 << 19
	ecxSSE42  = 1 << 20
	ecxPOPCNT = 1 << 23

	// From x86-64-v3 on.
	ecxFMA     = 1 << 12
	ecxMOVBE   = 1 << 22
	ecxXSAVE   = 1 << 26
	ecxOSXSAVE = 1 << 27
	ecxAVX     = 1 << 28
	ecxF16C    = 1 << 29
	ecxV3      = ecxFMA | ecxMOVBE | ecxXSAVE | ecxOSXSAVE | ecxAVX | ecxF16C

	edxFPU   = 1 << 0
	edxTSC   = 1 << 4
	edxCX8   = 1 << 8
	edxCMOV  = 1 << 15
	edxCLFSH = 1 << 19
	edxMMX   = 1 << 23
	edxFXSR  = 1 << 24
	edxSSE   = 1 << 25
	edxSSE2  = 1 << 26
)

// Bits of leaf 7, ebx.
const (
	ebxERMS = 1 << 9 // enhanced rep movsb and stosb

	ebxBMI1 = 1 << 3
	ebxAVX2 = 1 << 5
	ebxBMI2 = 1 << 8
)

// Bits of the extended leaves.
const (
	extLZCNT        = 1 << 5  // 0x80000001 ecx
	extLAHF         = 1 << 0  // 0x80000001 ecx
	extSyscall      = 1 << 11 // 0x80000001 edx
	extNX           = 1 << 20
	extLongMode     = 1 << 29
	extInvariantTSC = 1 << 8 // 0x80000007 edx
)

// caches are the subleaves of leaf 4.
var caches = [...]struct {
	kind, level, ways, kib uint32 // kind 1: data, 2: instructions, 3: both
}{
	{1, 1, 8, 32},
	{2, 1, 4, 32},
	{3, 2, 8, 512},
	{3, 3, 16, 8192},
}

// cpuid answers the instruction of that name. Leaves that are not listed are
// zero.
func cpuid(cpu guestabi.CPU, leaf, subleaf uint32) (a, b, c, d uint32) {
	if a, b, c, d, ok := cpuidV3(cpu, leaf, subleaf); ok {
		return a, b, c, d
	}
	switch leaf {
	case 0:
		return maxBasicLeaf, chars("Genu"), chars("ntel"), chars("ineI")
	case 1:
		return cpuSignature, 64 / 8 << 8, // cache line
			ecxSSE3 | ecxSSSE3 | ecxCX16 | ecxSSE41 | ecxSSE42 | ecxPOPCNT,
			edxFPU | edxTSC | edxCX8 | edxCMOV | edxCLFSH | edxMMX | edxFXSR | edxSSE | edxSSE2
	case 2:
		return 0x0000_ff01, 0, 0, 0 // one round; see leaf 4 for caches
	case 4:
		if int(subleaf) < len(caches) {
			l := caches[subleaf]
			sets := l.kib << 10 / (64 * l.ways)
			return l.kind | l.level<<5 | 1<<8, (l.ways-1)<<22 | (64 - 1), sets - 1, 0
		}
	case 7:
		if subleaf == 0 {
			return 0, ebxERMS, 0, 0
		}
	case 0x15:
		return 1, 1, tscHertz, 0
	case 0x16:
		return tscHertz / 1_000_000, tscHertz / 1_000_000, 0, 0
	case 0x8000_0000:
		return maxExtendedLeaf, 0, 0, 0
	case 0x8000_0001:
		return 0, 0, extLAHF, extSyscall | extNX | extLongMode
	case 0x8000_0002, 0x8000_0003, 0x8000_0004:
		var brand [48]byte
		copy(brand[:], brandString+cpu.String())
		at := brand[(leaf-0x8000_0002)*16:]
		u := binary.LittleEndian.Uint32
		return u(at), u(at[4:]), u(at[8:]), u(at[12:])
	case 0x8000_0006:
		return 0, 0, caches[2].kib<<16 | 6<<12 | 64, 0 // 8 ways are coded 6
	case 0x8000_0007:
		return 0, 0, 0, extInvariantTSC
	case 0x8000_0008:
		return 40 | 48<<8, 0, 0, 0 // bits of physical and linear addresses
	}
	return 0, 0, 0, 0
}

// cpuidV3 answers the leaves in which x86-64-v3 differs.
func cpuidV3(cpu guestabi.CPU, leaf, subleaf uint32) (a, b, c, d uint32, ok bool) {
	if cpu < guestabi.CPUv3 {
		return 0, 0, 0, 0, false
	}
	switch leaf {
	case 1:
		a, b, c, d = cpuid(guestabi.CPUv2, leaf, subleaf)
		return a, b, c | ecxV3, d, true
	case 7:
		if subleaf == 0 {
			b = ebxERMS | ebxBMI1 | ebxAVX2 | ebxBMI2
		}
		return 0, b, 0, 0, true
	case 0xd: // the area of XSAVE; neither XSAVEOPT nor XSAVEC
		switch subleaf {
		case 0:
			return guestabi.XCR0, guestabi.XSaveSize, guestabi.XSaveSize, 0, true
		case 2:
			return guestabi.XSaveSize - guestabi.XSaveYMMH, guestabi.XSaveYMMH, 0, 0, true
		}
		return 0, 0, 0, 0, true
	case 0x8000_0001:
		a, b, c, d = cpuid(guestabi.CPUv2, leaf, subleaf)
		return a, b, c | extLZCNT, d, true
	}
	return 0, 0, 0, 0, false
}

// chars returns four characters as CPUID puts them into a register.
func chars(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s)) }
