package oracle

import "golang.org/x/arch/x86/x86asm"

// noCase are the instructions whose result depends on the machine, or which
// would act on the process that runs the cases.
var noCase = map[x86asm.Op]bool{
	x86asm.SYSCALL: true, x86asm.SYSENTER: true, x86asm.INT: true, x86asm.ICEBP: true,
	x86asm.CPUID: true, x86asm.RDTSC: true, x86asm.RDTSCP: true, x86asm.XGETBV: true,
	x86asm.RDRAND: true,
}
