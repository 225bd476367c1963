package x86

import (
	"errors"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// Extension returns the extension beyond x86-64-v2 that an instruction belongs
// to, by the name of its bit in CPUID, or nothing: a program may use it only
// after CPUID has reported it. AVX stands for AVX2, FMA and F16C too.
func Extension(in *Inst) string {
	if name := extensionOf(in.Op); name != "" {
		return name
	}
	for _, b := range in.Bytes {
		switch b {
		case vex2, vex3:
			return "AVX"
		case evex:
			return extAVX512
		case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3:
			continue
		}
		return ""
	}
	return ""
}

// RefusedExtension is Extension for an instruction that Decode refuses with err.
// It has a name only if the instruction's length is known.
func RefusedExtension(err error) string {
	var d *DecodeError
	if errors.As(err, &d) && d.Len > 0 {
		return d.Reason
	}
	return ""
}

const extAVX512 = "AVX-512"

func extensionOf(op x86asm.Op) string {
	switch op {
	case x86asm.AESENC, x86asm.AESENCLAST, x86asm.AESDEC, x86asm.AESDECLAST, x86asm.AESIMC, x86asm.AESKEYGENASSIST:
		return "AES"
	case x86asm.PCLMULQDQ:
		return "PCLMULQDQ"
	case x86asm.SHA1RNDS4, x86asm.SHA1NEXTE, x86asm.SHA1MSG1, x86asm.SHA1MSG2, x86asm.SHA256RNDS2, x86asm.SHA256MSG1, x86asm.SHA256MSG2:
		return "SHA"
	case x86asm.ANDN, x86asm.BEXTR, x86asm.BLSI, x86asm.BLSMSK, x86asm.BLSR:
		return "BMI1"
	case x86asm.BZHI, x86asm.MULX, x86asm.PDEP, x86asm.PEXT, x86asm.RORX, x86asm.SARX, x86asm.SHLX, x86asm.SHRX:
		return "BMI2"
	case x86asm.MOVBE:
		return "MOVBE"
	case x86asm.RDRAND:
		return "RDRAND"
	case x86asm.RDFSBASE, x86asm.RDGSBASE, x86asm.WRFSBASE, x86asm.WRGSBASE:
		return "FSGSBASE"
	case x86asm.XABORT, x86asm.XBEGIN, x86asm.XEND, x86asm.XTEST:
		return "RTM"
	case x86asm.XGETBV, x86asm.XSETBV, x86asm.XSAVE, x86asm.XSAVE64, x86asm.XSAVEC, x86asm.XSAVEC64, x86asm.XSAVEOPT, x86asm.XSAVEOPT64,
		x86asm.XSAVES, x86asm.XSAVES64, x86asm.XRSTOR, x86asm.XRSTOR64, x86asm.XRSTORS, x86asm.XRSTORS64:
		return "XSAVE"
	}
	if name := op.String(); strings.HasPrefix(name, "K") {
		return extAVX512
	}
	return ""
}
