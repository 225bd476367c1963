// Package x86 decodes x86-64 instructions: golang.org/x/arch/x86/x86asm with its
// silent faults mended. It imports nothing else, so that analyzers and
// recompilers see the same instructions.
package x86

import "golang.org/x/arch/x86/x86asm"

// Inst is one decoded instruction. Memory operands have their displacement
// sign-extended; RIP-relative ones have Base == x86asm.RIP and Disp relative to
// the end of the instruction. Scale is 0 where there is no Index. ENDBR64,
// RDSSP and the other hints are x86asm.NOP.
//
// DataSize is not the size of an operand: use ArgSize.
type Inst struct {
	x86asm.Inst
	PC    uint64
	Bytes []byte // the Len bytes at PC

	Lock       bool // a valid LOCK prefix; XCHG with memory locks without one
	Rep, Repne bool // F3 or F2 before a string instruction
}

// Next returns the address after the instruction.
func (in *Inst) Next() uint64 { return in.PC + uint64(in.Len) }
