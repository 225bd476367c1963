// Package lift turns decoded x86-64 instructions into IR. What an instruction
// means is one row of one table (table*.go, one file per family); the flags
// that it reads, writes and leaves undefined are data in the row.
package lift

import (
	"golang.org/x/arch/x86/x86asm"

	"megabinary.dev/sdk/x86"
)

// Flags is a set of status flags.
type Flags uint8

// The status flags, and the sets that rows use.
const (
	CF Flags = 1 << iota
	PF
	AF
	ZF
	SF
	OF

	arith = CF | PF | AF | ZF | SF | OF
)

// Row says what one mnemonic means.
type Row struct {
	// Lift appends the meaning of in to the block. It returns an
	// UnsupportedError for a form that it does not know.
	Lift func(l *Lifter, in x86.Inst) error
	// Careful is the meaning where MXCSR is not what it is at the start of a
	// process; nil if the instruction does not depend on it.
	Careful func(l *Lifter, in x86.Inst) error
	// Reads, Writes and Undef are the status flags that the instruction reads,
	// sets to a defined value and leaves undefined. A flag that is only written
	// under a condition is both read and written. The lifter panics if Lift
	// disagrees; tests mask Undef.
	Reads, Writes, Undef Flags
	// UndefForm returns the flags of Writes that this form leaves undefined
	// (nil: none), as OF after a shift by more than 1.
	UndefForm func(in x86.Inst) Flags
	// Lock says that Lift knows the LOCK prefix.
	Lock bool
	// Absent says that the processor which our CPUID describes lacks the
	// instruction, so that it must fault though the host's CPU may know it.
	Absent bool
}

// Table maps each known mnemonic to its row.
type Table map[x86asm.Op]Row
