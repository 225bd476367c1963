package oracle

import (
	"os"
	"strings"
	"sync"

	"golang.org/x/arch/x86/x86asm"
	"golang.org/x/sys/cpu"

	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
)

// noCase are the instructions whose result depends on the machine, or which
// would act on the process that runs the cases.
var noCase = map[x86asm.Op]bool{
	x86asm.SYSCALL: true, x86asm.SYSENTER: true, x86asm.INT: true, x86asm.ICEBP: true,
	x86asm.CPUID: true, x86asm.RDTSC: true, x86asm.RDTSCP: true, x86asm.XGETBV: true,
	x86asm.RDRAND: true, x86asm.XSAVE: true, x86asm.XSAVE64: true, x86asm.XRSTOR: true, x86asm.XRSTOR64: true,
}

// foreign reports whether op raises #UD in translated code although the CPU of
// the host may have it: its CPUID bit is clear, or it is for kernels.
func foreign(op x86asm.Op) bool {
	if row, ok := lift.Find(op); ok && row.Absent {
		return true
	}
	switch op {
	case x86asm.RSM, x86asm.MONITOR, x86asm.MWAIT, x86asm.INVPCID:
		return true
	}
	return false
}

// approximate are the instructions whose result each processor rounds in its
// own way; TestApproximations bounds their error.
var approximate = map[x86asm.Op]bool{
	x86asm.RCPPS: true, x86asm.RCPSS: true, x86asm.RSQRTPS: true, x86asm.RSQRTSS: true,
	x86asm.VRCPPS: true, x86asm.VRCPSS: true, x86asm.VRSQRTPS: true, x86asm.VRSQRTSS: true,
	x86asm.FSIN: true, x86asm.FCOS: true, x86asm.FSINCOS: true, x86asm.FPTAN: true, x86asm.FPATAN: true,
	x86asm.F2XM1: true, x86asm.FYL2X: true, x86asm.FYL2XP1: true,
}

// later are the instructions that only processors after x86-64-v2 have.
var later = sync.OnceValue(func() map[x86asm.Op]bool {
	ops := map[x86asm.Op]bool{}
	for _, f := range lift.Families() {
		for op := range f.Rows {
			if f.CPU > guestabi.CPUv2 {
				ops[op] = true
			}
		}
	}
	return ops
})

// beyondHost reports whether the CPU of the host may lack an instruction.
func beyondHost(op x86asm.Op) bool {
	switch x86.Extension(&x86.Inst{Inst: x86asm.Inst{Op: op}}) {
	case "AES":
		return !cpu.X86.HasAES
	case "PCLMULQDQ":
		return !cpu.X86.HasPCLMULQDQ
	case "SHA":
		return !hasSHA()
	}
	has := cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI1 && cpu.X86.HasBMI2
	return !has && later()[op]
}

// hasSHA asks Linux for what package cpu does not know; without the file the CPU
// is taken to lack it.
var hasSHA = sync.OnceValue(func() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(info), " sha_ni")
})
