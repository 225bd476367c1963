// Package interp is the reference meaning of the IR: it runs one ir.Func on a
// guest state, operation by operation, as WebAssembly defines each of them (NaN
// results as x86 gives them, which is what the compiled code does too). It is
// slow and simple; tests compare the CPU and the lowered wasm with it.
package interp

import (
	"errors"
	"fmt"

	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x87"
)

// Val is one value of any type: an i32, i64, f32 or f64 lies in the low bits of
// Lo, with zeros above.
type Val struct{ Lo, Hi uint64 }

// State is a guest's state.
type State struct {
	Regs [guestabi.EndRegs]Val
	X87  x87.State
	Mem  Memory
	Base uint32 // guest address minus link-time address
	// CPUID answers the helper of that name; nil: all zeros.
	CPUID func(eax, ecx uint32) [4]uint32
	// TSC is what rdtsc returns.
	TSC uint64
}

// Exit says how a function was left.
type Exit struct {
	Kind ir.TermKind
	// PC is where the guest goes on: a guest address.
	PC uint32
	// ReturnPC is that of TermCall and TermSyscall, as a guest address.
	ReturnPC uint32
	Fault    guestabi.Fault // TermFault
}

// Traps of wasm that are not accesses to memory.
var (
	// ErrDivide is a division by zero or one whose quotient overflows.
	ErrDivide = errors.New("integer divide by zero or overflow")
	// ErrSteps is returned when the step limit was reached.
	ErrSteps = errors.New("step limit reached")
)

// machine is one run.
type machine struct {
	st      *State
	vals    []Val         // of the current block
	results map[int][]Val // of helpers, by instruction
	shared  map[int64]Val // addresses, by number
	at      int           // instruction that runs
}

// Run interprets f on st from its first block until it is left, or steps
// instructions have run. Registers and memory are as of the failing instruction
// when it returns an error, and Exit.PC is that of the guest's instruction; a
// *FaultError is a guest access outside of memory.
func Run(f *ir.Func, st *State, steps int) (Exit, error) {
	if len(f.Blocks) == 0 {
		return Exit{}, fmt.Errorf("interpreting %s: no blocks", f.Name)
	}
	return run(f, f.Blocks[0], st, steps)
}

// RunAt is Run from the entry block at a guest address.
func RunAt(f *ir.Func, pc uint32, st *State, steps int) (Exit, error) {
	for _, b := range f.Blocks {
		if b.Entry && b.PC+st.Base == pc {
			return run(f, b, st, steps)
		}
	}
	return Exit{}, fmt.Errorf("interpreting %s: no entry at %#x", f.Name, pc)
}

func run(f *ir.Func, b *ir.Block, st *State, steps int) (Exit, error) {
	m := &machine{st: st}
	for {
		steps -= len(b.Insts) + 1
		if steps < 0 {
			return Exit{}, ErrSteps
		}
		if err := m.block(b); err != nil {
			return Exit{PC: b.Insts[m.at].PC + st.Base}, err
		}
		next, exit, err := m.term(f, b)
		if err != nil {
			return Exit{}, fmt.Errorf("interpreting %s: %w", f.Name, err)
		}
		if next == ir.NoBlock {
			return exit, nil
		}
		if int(next) >= len(f.Blocks) || next < 0 {
			return Exit{}, fmt.Errorf("interpreting %s: no block %d", f.Name, next)
		}
		b = f.Blocks[next]
	}
}

// block runs the instructions of b.
func (m *machine) block(b *ir.Block) error {
	if cap(m.vals) < len(b.Insts) {
		m.vals = make([]Val, 2*len(b.Insts))
	}
	m.vals = m.vals[:len(b.Insts)]
	clear(m.results)
	for i := range b.Insts {
		in := &b.Insts[i]
		if in.Op >= ir.NumOps || handlers[in.Op] == nil {
			return fmt.Errorf("interpreting %#x: op %d has no meaning", in.PC, in.Op)
		}
		m.at = i
		v, err := handlers[in.Op](m, in)
		if err != nil {
			return fmt.Errorf("%s at %#x: %w", ir.Rows[in.Op].Name, in.PC, err)
		}
		m.vals[i] = v
	}
	return nil
}

// term takes the terminator of b: to a block of f, or out of it.
func (m *machine) term(f *ir.Func, b *ir.Block) (ir.BlockID, Exit, error) {
	t := &b.Term
	base := m.st.Base
	exit := Exit{Kind: t.Kind, PC: t.PC + base, ReturnPC: t.ReturnPC + base}
	switch t.Kind {
	case ir.TermJump:
		return t.To, exit, nil
	case ir.TermBranch:
		if uint32(m.vals[t.Cond].Lo) != 0 {
			return t.To, exit, nil
		}
		return t.Else, exit, nil
	case ir.TermIndirect:
		exit.PC = uint32(m.vals[t.Target].Lo)
		for _, k := range t.Known {
			if f.Blocks[k].PC+base == exit.PC {
				return k, exit, nil
			}
		}
		return ir.NoBlock, exit, nil
	case ir.TermCall:
		if t.Target != ir.None {
			exit.PC = uint32(m.vals[t.Target].Lo)
		}
		return ir.NoBlock, exit, nil
	case ir.TermRet:
		exit.PC = uint32(m.vals[t.Target].Lo)
		return ir.NoBlock, exit, nil
	case ir.TermSyscall:
		exit.PC = exit.ReturnPC
		return ir.NoBlock, exit, nil
	case ir.TermFault:
		exit.Fault = t.Fault
		return ir.NoBlock, exit, nil
	case ir.TermTail:
		return ir.NoBlock, exit, nil
	default:
		return ir.NoBlock, exit, fmt.Errorf("block %d at %#x has no terminator", b.ID, b.PC)
	}
}
