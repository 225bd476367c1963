package x87

// memoryOps holds the instructions with a memory operand by escape opcode
// (0xd8 is 0) and reg field.
var memoryOps = [8][8]memoryOp{
	0: arithRow(memoryArith(operandFloat(single, 4))),
	1: {0: loadFloat(single, 4), 2: storeFloat(single, 4, false), 3: storeFloat(single, 4, true), 4: fldenv, 5: fldcw, 6: fnstenv, 7: fnstcw},
	2: arithRow(memoryArith(operandInt(4))),
	3: {0: loadInt(4), 1: storeInt(4, true, true), 2: storeInt(4, false, false), 3: storeInt(4, true, false), 5: load80, 7: store80},
	4: arithRow(memoryArith(operandFloat(double, 8))),
	5: {0: loadFloat(double, 8), 1: storeInt(8, true, true), 2: storeFloat(double, 8, false), 3: storeFloat(double, 8, true), 4: frstor, 6: fnsave, 7: fnstsw},
	6: arithRow(memoryArith(operandInt(2))),
	7: {0: loadInt(2), 1: storeInt(2, true, true), 2: storeInt(2, false, false), 3: storeInt(2, true, false), 4: fbld, 5: loadInt(8), 6: fbstp, 7: storeInt(8, true, false)},
}

func arithRow(op memoryOp) [8]memoryOp { return [8]memoryOp{op, op, op, op, op, op, op, op} }

type one = func(s *State, i int) uint64

// registerOps holds the instructions without a memory operand by escape opcode
// and reg field; fcmovcc, which needs the flags, is in Exec. Aliases that no
// assembler writes are those of AMD APM volume 3, table A-15.
var registerOps = [8][8]registerRow{
	0: {
		0: registerArith(0, false, false), 1: registerArith(1, false, false), 2: compareST(true, 0), 3: compareST(true, 1),
		4: registerArith(4, false, false), 5: registerArith(5, false, false), 6: registerArith(6, false, false), 7: registerArith(7, false, false),
	},
	1: {
		0: {any: fldST}, 1: {any: fxch}, 2: {each: [8]one{0: nop}}, 3: {any: fstpST},
		4: {each: [8]one{0: fchs, 1: fabs, 4: ftst, 5: fxam}},
		5: {each: [8]one{constant(0), constant(1), constant(2), constant(3), constant(4), constant(5), constant(6), nil}},
		6: {each: [8]one{f2xm1, fyl2x, fptan, fpatan, fxtract, fprem1, fdecstp, fincstp}},
		7: {each: [8]one{fprem, fyl2xp1, fsqrt, fsincos, frndint, fscale, fsin, fcos}},
	},
	2: {
		5: {each: [8]one{1: compareST(false, 2).any}},
	},
	3: {
		4: {each: [8]one{0: nop, 1: nop, 2: fnclex, 3: fninit, 4: nop}},
		5: compareFlags(false, false), 6: compareFlags(true, false),
	},
	4: {
		0: registerArith(0, true, false), 1: registerArith(1, true, false), 2: compareST(true, 0), 3: compareST(true, 1),
		4: registerArith(4, true, false), 5: registerArith(5, true, false), 6: registerArith(6, true, false), 7: registerArith(7, true, false),
	},
	5: {0: {any: ffree}, 1: {any: fxch}, 2: {any: fstST}, 3: {any: fstpST}, 4: compareST(false, 0), 5: compareST(false, 1)},
	6: {
		0: registerArith(0, true, true), 1: registerArith(1, true, true), 2: compareST(true, 1), 3: {each: [8]one{1: compareST(true, 2).any}},
		4: registerArith(4, true, true), 5: registerArith(5, true, true), 6: registerArith(6, true, true), 7: registerArith(7, true, true),
	},
	7: {
		0: {any: ffreep}, 1: {any: fxch}, 2: {any: fstpST}, 3: {any: fstpST}, 4: {each: [8]one{0: fnstswAX}},
		5: compareFlags(false, true), 6: compareFlags(true, true),
	},
}

// rom are the constants of fld1 to fldz: the significand truncated, what comes
// after it in the first rounding bits, and the value's sign and exponent. The
// real constants have more bits than a register, so loading them rounds.
var rom = [7]struct {
	mant, rest uint64
	exp        int32
}{
	{0x8000000000000000, 0, 0x3fff},                  // 1
	{0xd49a784bcd1b8afe, 0x492bf6ff4dafdb4d, 0x4000}, // log2(10)
	{0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88, 0x3fff}, // log2(e)
	{0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, 0x4000}, // pi
	{0x9a209a84fbcff798, 0x8f8959ac0b7c9178, 0x3ffd}, // log10(2)
	{0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, 0x3ffe}, // ln(2)
	{0, 0, 0}, // 0
}
