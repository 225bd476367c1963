package oracle

import "golang.org/x/arch/x86/x86asm"

// noCase are the instructions whose result depends on the machine, or which
// would act on the process that runs the cases.
var noCase = map[x86asm.Op]bool{
	x86asm.SYSCALL: true, x86asm.SYSENTER: true, x86asm.INT: true, x86asm.ICEBP: true,
	x86asm.CPUID: true, x86asm.RDTSC: true, x86asm.RDTSCP: true, x86asm.XGETBV: true,
	x86asm.RDRAND: true,
}

// foreign are instructions that the host's CPU may have and ours has not: they
// raise #UD in translated code, as their CPUID bits are clear.
var foreign = map[x86asm.Op]bool{
	x86asm.XSAVE: true, x86asm.XSAVE64: true, x86asm.XSAVEC: true, x86asm.XSAVEC64: true, x86asm.XSAVEOPT: true,
	x86asm.XSAVEOPT64: true, x86asm.XSAVES: true, x86asm.XSAVES64: true, x86asm.XRSTOR: true, x86asm.XRSTOR64: true,
	x86asm.XRSTORS: true, x86asm.XRSTORS64: true, x86asm.XSETBV: true, x86asm.RDFSBASE: true, x86asm.RDGSBASE: true,
	x86asm.WRFSBASE: true, x86asm.WRGSBASE: true,
	x86asm.MOVBE: true, x86asm.RSM: true, x86asm.MONITOR: true, x86asm.MWAIT: true, x86asm.XBEGIN: true, x86asm.XTEST: true,
	x86asm.XEND: true, x86asm.XABORT: true, x86asm.INVPCID: true,
}

// approximate are the instructions whose result each processor rounds in its
// own way; TestApproximations bounds their error.
var approximate = map[x86asm.Op]bool{
	x86asm.RCPPS: true, x86asm.RCPSS: true, x86asm.RSQRTPS: true, x86asm.RSQRTSS: true,
	x86asm.FSIN: true, x86asm.FCOS: true, x86asm.FSINCOS: true, x86asm.FPTAN: true, x86asm.FPATAN: true,
	x86asm.F2XM1: true, x86asm.FYL2X: true, x86asm.FYL2XP1: true,
}
