package lift

import (
	"golang.org/x/arch/x86/x86asm"
)

// vexRows are the instructions of AVX and AVX2 that do to 128 bits, or to both
// halves of 256, what an SSE instruction does.
func vexRows() Table {
	sse, names, t := sseRows(), vexNames(), Table{}
	for op, f := range carefulRows() {
		if row, ok := sse[op]; ok {
			row.Careful = f
			sse[op] = row
		}
	}
	put := func(op x86asm.Op, row func(sse Row) Row) {
		vop, ok := names[op.String()]
		switch op {
		case x86asm.MOVSD_XMM:
			vop, ok = x86asm.VMOVSD, true
		}
		if _, have := sse[op]; !ok || !have {
			panic("BUG: no form of AVX of " + op.String())
		}
		t[vop] = row(sse[op])
	}
	for _, f := range vexForms() {
		for _, op := range f.ops {
			put(op, f.form.row)
		}
	}
	for _, op := range vexSame {
		put(op, sameOperands)
	}
	for _, op := range vexMoves {
		put(op, func(sse Row) Row {
			return byOperands(sameOperands(sse), vexForm{}.row(sse), vexForm{three: true}.row(sse))
		})
	}
	return t
}

// vexSame have no vector register for destination.
var vexSame = []x86asm.Op{
	x86asm.COMISS, x86asm.COMISD, x86asm.UCOMISS, x86asm.UCOMISD,
	x86asm.CVTSS2SI, x86asm.CVTSD2SI, x86asm.CVTTSS2SI, x86asm.CVTTSD2SI,
	x86asm.EXTRACTPS, x86asm.PEXTRB, x86asm.PEXTRW, x86asm.PEXTRD, x86asm.PEXTRQ,
	x86asm.MASKMOVDQU, x86asm.LDMXCSR, x86asm.STMXCSR, x86asm.PCMPISTRI, x86asm.PCMPESTRI,
}

// vexMoves store with the operands of SSE, load with two, or merge with three.
var vexMoves = []x86asm.Op{
	x86asm.MOVSS, x86asm.MOVSD_XMM, x86asm.MOVLPS, x86asm.MOVLPD, x86asm.MOVHPS, x86asm.MOVHPD, x86asm.MOVD, x86asm.MOVQ,
}

type vexOps struct {
	form vexForm
	ops  []x86asm.Op
}

func vexForms() []vexOps {
	return []vexOps{
		{vexForm{three: true}, []x86asm.Op{
			x86asm.ADDPS, x86asm.ADDPD, x86asm.SUBPS, x86asm.SUBPD, x86asm.MULPS, x86asm.MULPD, x86asm.DIVPS, x86asm.DIVPD,
			x86asm.MINPS, x86asm.MINPD, x86asm.MAXPS, x86asm.MAXPD, x86asm.ADDSUBPS, x86asm.ADDSUBPD,
			x86asm.HADDPS, x86asm.HADDPD, x86asm.HSUBPS, x86asm.HSUBPD,
			x86asm.ANDPS, x86asm.ANDPD, x86asm.ANDNPS, x86asm.ANDNPD, x86asm.ORPS, x86asm.ORPD, x86asm.XORPS, x86asm.XORPD,
			x86asm.UNPCKLPS, x86asm.UNPCKHPS, x86asm.UNPCKLPD, x86asm.UNPCKHPD, x86asm.SHUFPS, x86asm.DPPS,

			x86asm.PADDB, x86asm.PADDW, x86asm.PADDD, x86asm.PADDQ, x86asm.PADDSB, x86asm.PADDSW, x86asm.PADDUSB, x86asm.PADDUSW,
			x86asm.PSUBB, x86asm.PSUBW, x86asm.PSUBD, x86asm.PSUBQ, x86asm.PSUBSB, x86asm.PSUBSW, x86asm.PSUBUSB, x86asm.PSUBUSW,
			x86asm.PMULLW, x86asm.PMULLD, x86asm.PMULHW, x86asm.PMULHUW, x86asm.PMULHRSW, x86asm.PMULDQ, x86asm.PMULUDQ,
			x86asm.PMADDWD, x86asm.PMADDUBSW, x86asm.PAVGB, x86asm.PAVGW, x86asm.PSADBW,
			x86asm.PMINUB, x86asm.PMINSB, x86asm.PMINUW, x86asm.PMINSW, x86asm.PMINUD, x86asm.PMINSD,
			x86asm.PMAXUB, x86asm.PMAXSB, x86asm.PMAXUW, x86asm.PMAXSW, x86asm.PMAXUD, x86asm.PMAXSD,
			x86asm.PCMPEQB, x86asm.PCMPEQW, x86asm.PCMPEQD, x86asm.PCMPEQQ, x86asm.PCMPGTB, x86asm.PCMPGTW, x86asm.PCMPGTD, x86asm.PCMPGTQ,
			x86asm.PAND, x86asm.PANDN, x86asm.POR, x86asm.PXOR,
			x86asm.PACKSSWB, x86asm.PACKSSDW, x86asm.PACKUSWB, x86asm.PACKUSDW,
			x86asm.PUNPCKLBW, x86asm.PUNPCKHBW, x86asm.PUNPCKLWD, x86asm.PUNPCKHWD, x86asm.PUNPCKLDQ, x86asm.PUNPCKHDQ, x86asm.PUNPCKLQDQ, x86asm.PUNPCKHQDQ,
			x86asm.PHADDW, x86asm.PHADDD, x86asm.PHADDSW, x86asm.PHSUBW, x86asm.PHSUBD, x86asm.PHSUBSW,
			x86asm.PSIGNB, x86asm.PSIGNW, x86asm.PSIGND, x86asm.PSHUFB, x86asm.PALIGNR, x86asm.PBLENDW, x86asm.PSLLDQ, x86asm.PSRLDQ,

			// These have no form for 256 bits.
			x86asm.ADDSS, x86asm.ADDSD, x86asm.SUBSS, x86asm.SUBSD, x86asm.MULSS, x86asm.MULSD, x86asm.DIVSS, x86asm.DIVSD,
			x86asm.MINSS, x86asm.MINSD, x86asm.MAXSS, x86asm.MAXSD, x86asm.SQRTSS, x86asm.SQRTSD, x86asm.RCPSS, x86asm.RSQRTSS,
			x86asm.ROUNDSS, x86asm.ROUNDSD, x86asm.CVTSI2SS, x86asm.CVTSI2SD, x86asm.CVTSS2SD, x86asm.CVTSD2SS, x86asm.DPPD,
			x86asm.MOVHLPS, x86asm.MOVLHPS, x86asm.INSERTPS, x86asm.PINSRB, x86asm.PINSRW, x86asm.PINSRD, x86asm.PINSRQ,
		}},
		{vexForm{three: true, shift: 4}, []x86asm.Op{x86asm.BLENDPS}},
		{vexForm{three: true, shift: 3}, []x86asm.Op{x86asm.MPSADBW}},
		{vexForm{three: true, shift: 2}, []x86asm.Op{x86asm.BLENDPD, x86asm.SHUFPD}},
		{vexForm{three: true, whole: 1}, []x86asm.Op{
			x86asm.PSLLW, x86asm.PSLLD, x86asm.PSLLQ, x86asm.PSRLW, x86asm.PSRLD, x86asm.PSRLQ, x86asm.PSRAW, x86asm.PSRAD,
		}},
		{vexForm{}, []x86asm.Op{
			x86asm.SQRTPS, x86asm.SQRTPD, x86asm.RCPPS, x86asm.RSQRTPS, x86asm.ROUNDPS, x86asm.ROUNDPD,
			x86asm.CVTDQ2PS, x86asm.CVTPS2DQ, x86asm.CVTTPS2DQ, x86asm.PABSB, x86asm.PABSW, x86asm.PABSD,
			x86asm.MOVDDUP, x86asm.MOVSLDUP, x86asm.MOVSHDUP, x86asm.PSHUFD, x86asm.PSHUFHW, x86asm.PSHUFLW,
			x86asm.LDDQU, x86asm.MOVNTDQA, x86asm.PHMINPOSUW,
		}},
		{vexForm{step: 8}, []x86asm.Op{
			x86asm.CVTPS2PD, x86asm.CVTDQ2PD, x86asm.PMOVSXBW, x86asm.PMOVSXWD, x86asm.PMOVSXDQ, x86asm.PMOVZXBW, x86asm.PMOVZXWD, x86asm.PMOVZXDQ,
		}},
		{vexForm{step: 4}, []x86asm.Op{x86asm.PMOVSXBD, x86asm.PMOVSXWQ, x86asm.PMOVZXBD, x86asm.PMOVZXWQ}},
		{vexForm{step: 2}, []x86asm.Op{x86asm.PMOVSXBQ, x86asm.PMOVZXBQ}},
		{vexForm{narrow: true}, []x86asm.Op{x86asm.CVTPD2PS, x86asm.CVTPD2DQ, x86asm.CVTTPD2DQ}},
	}
}
