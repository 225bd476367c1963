//go:build linux

#include "textflag.h"

// Offsets in a native context: sdk/guestabi/native.go.
#define HOST_SP 24
#define GUEST_SP 32
#define STACK_TOP 40
#define CODE 48
#define RESULT 52
#define FAULT_PC 56
#define FAULT_ADDR 64

// func nativeEnter(c, enter uintptr, pc uint32)
//
// Begins native code on its own stack. At the stack's top lies the context.
TEXT ·nativeEnter(SB), NOSPLIT|NOFRAME, $0-20
	MOVQ c+0(FP), DI
	MOVQ enter+8(FP), AX
	MOVL pc+16(FP), SI
	SUBQ $8, SP
	MOVQ BP, 0(SP)
	MOVQ SP, HOST_SP(DI)
	MOVQ STACK_TOP(DI), SP
	CALL AX
	MOVQ 0(SP), DI
	MOVL AX, RESULT(DI)
	MOVL $0x100, CODE(DI)
	JMP  ·nativeLeave(SB)

// func nativeResume(c uintptr)
//
// Goes on after a call of nativeExit.
TEXT ·nativeResume(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ c+0(FP), DI
	SUBQ $8, SP
	MOVQ BP, 0(SP)
	MOVQ SP, HOST_SP(DI)
	MOVQ GUEST_SP(DI), SP
	MOVQ 0(SP), R15
	MOVQ 8(SP), R14
	MOVQ 16(SP), R13
	MOVQ 24(SP), R12
	MOVQ 32(SP), BP
	MOVQ 40(SP), BX
	ADDQ $48, SP
	RET

// nativeExit is called by native code with the context in DI and an exit code
// in SI: it keeps what the ABI of C says and returns to the host.
TEXT ·nativeExit(SB), NOSPLIT|NOFRAME, $0-0
	SUBQ $48, SP
	MOVQ R15, 0(SP)
	MOVQ R14, 8(SP)
	MOVQ R13, 16(SP)
	MOVQ R12, 24(SP)
	MOVQ BP, 32(SP)
	MOVQ BX, 40(SP)
	MOVQ SP, GUEST_SP(DI)
	MOVL SI, CODE(DI)
	JMP  ·nativeLeave(SB)

// nativeLeave returns from nativeEnter or nativeResume; the context is in DI.
TEXT ·nativeLeave(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ BP, AX // BP is native code's: it is given up
	MOVQ HOST_SP(DI), SP
	MOVQ 0(SP), BP
	ADDQ $8, SP
	RET

// nativeNowhere is an enter that returns the result in the context at once.
TEXT ·nativeNowhere(SB), NOSPLIT|NOFRAME, $0-0
	MOVL RESULT(DI), AX
	RET

// nativeSignal handles SIGSEGV and SIGBUS. A fault of native code, whose stack
// is aligned to its size with the context at the low end, goes back to the host
// with an exit code; every other goes on to the handler of the Go runtime.
// DI: signal, SI: siginfo_t, DX: ucontext_t.
TEXT ·nativeSignal(SB), NOSPLIT|NOFRAME|TOPFRAME, $0-0
	MOVQ 168(DX), AX // RIP
	MOVQ ·nativeText+0(SB), CX
	CMPQ AX, CX
	JCS  other
	MOVQ ·nativeText+8(SB), CX
	CMPQ AX, CX
	JCC  other
	MOVQ 160(DX), CX // RSP
	ANDQ $~0xffffff, CX
	MOVQ AX, FAULT_PC(CX)
	MOVQ 16(SI), R8 // si_addr
	MOVQ R8, FAULT_ADDR(CX)
	MOVL $0x101, CODE(CX)
	MOVQ CX, 104(DX) // RDI
	LEAQ ·nativeLeave(SB), R8
	MOVQ R8, 168(DX)
	RET

other:
	CMPL DI, $11
	JNE  bus
	MOVQ ·nextHandler+0(SB), AX
	JMP  AX

bus:
	MOVQ ·nextHandler+8(SB), AX
	JMP  AX

// func nativeAddrs() (exit, nowhere, signal uintptr)
TEXT ·nativeAddrs(SB), NOSPLIT, $0-24
	LEAQ ·nativeExit(SB), AX
	MOVQ AX, exit+0(FP)
	LEAQ ·nativeNowhere(SB), AX
	MOVQ AX, nowhere+8(FP)
	LEAQ ·nativeSignal(SB), AX
	MOVQ AX, signal+16(FP)
	RET
