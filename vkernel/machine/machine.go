// Package machine runs the translated code of one task. Machine is the seam
// between the vkernel and what executes wasm: wazero today; objects compiled
// ahead of time later.
package machine

import (
	"context"
	"os"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
)

// Engine holds one compiled megabinary and makes machines from it. It is safe
// for concurrent use.
type Engine interface {
	// NewMachine makes a machine over mem whose host calls go to k. Cost: tens
	// of microseconds, whatever the size of the megabinary.
	NewMachine(mem *Memory, k Kernel) (Machine, error)
	// CPU is the processor that the megabinary was made for, and so what CPUID
	// says and which registers a context has.
	CPU() guestabi.CPU
	Close(ctx context.Context) error
}

// NativeOptions configure NewNative, which makes an Engine of objects that were
// compiled ahead of time.
type NativeOptions struct {
	// Open opens the object of a unit; the engine closes it. Its bytes are
	// mapped and executed: whoever opens it answers for them, now and as long
	// as the engine lives.
	Open func(unit *artifact.UnitEntry) (*os.File, error)
}

// Machine is one task's registers and execution. One goroutine at a time may
// use it. Machines over the same Memory are the threads of one process.
type Machine interface {
	// Run enters guest code at pc and returns the PC where the guest left off
	// once every wasm frame has been left, or a *Trap.
	Run(pc guestabi.PC) (guestabi.PC, error)
	// SaveContext copies the register file out. Callable from a Kernel method.
	SaveContext(c *guestabi.Context)
	// LoadContext replaces the register file. A Kernel method that does so must
	// return a next PC other than the one that it was given (or Unwind).
	LoadContext(c *guestabi.Context)
	// StackPointer returns rsp as SaveContext would, but faster.
	StackPointer() uint64
	// Reaches reports whether guest code can access n bytes at a guest address.
	Reaches(addr uint32, n int) bool
	// X87 is the task's x87 state, which the host keeps.
	X87() X87State
	// Bind admits unit (an index into the megabinary's units) at base, the
	// difference between guest and link-time addresses.
	Bind(unit int, base guestabi.PC) error
	Close() error
}

// X87State can be copied between tasks (fork) and to signal frames.
type X87State interface {
	// Unmasked returns the exceptions that are pending, as bits of the status word.
	Unmasked() uint16
	// MarshalFXSave writes the x87 part of a 512-byte FXSAVE area (bytes 0 to
	// 23 and 32 to 159).
	MarshalFXSave(area []byte)
	UnmarshalFXSave(area []byte)
}

// Unwind is returned by Kernel methods as next PC to leave all guest frames and
// make Machine.Run return it: no code is ever mapped there.
const Unwind guestabi.PC = 0

// Kernel is what a machine needs of the task that it runs.
type Kernel interface {
	// Syscall executes syscall number nr; next is the PC after it. It returns
	// rax and the PC to go on at.
	Syscall(nr uint64, args [6]uint64, next guestabi.PC) (rax uint64, pc guestabi.PC)
	// Safepoint is called now and then from loops.
	Safepoint(next guestabi.PC) guestabi.PC
	// Fault raises the signal for f at pc.
	Fault(f guestabi.Fault, pc guestabi.PC) guestabi.PC
	// Resolve returns the admitted unit that holds pc, or -1.
	Resolve(pc guestabi.PC) int
}

// TrapKind says why wasm code stopped.
type TrapKind uint8

// The kinds of trap.
const (
	TrapMemory        TrapKind = iota + 1 // access outside of guest memory: SIGSEGV
	TrapDivide                            // SIGFPE
	TrapStackOverflow                     // the wasm stack is full: go on at Trap.PC
	TrapFloat                             // an x87 exception is pending: SIGFPE
	TrapInternal                          // a fault of ours; the task cannot go on
)

// Trap is the error of Machine.Run. Memory is as of the last instruction that
// was completed. If Place is nil then PC is that of the instruction that
// trapped, and rsp is what it was when that began; other registers may be those
// of the last point at which they were in sync, among them, if Stale, those that
// the address is made of. Else Place says why the place of
// the trap is not known, and PC is the target of the last call.
type Trap struct {
	Kind  TrapKind
	PC    guestabi.PC
	Place error
	Stale bool
	// Host is, of TrapStackOverflow, the function of the host that the guest
	// could not call at PC (of FuncSyscall: just before it), "" if it was
	// another one of the guest.
	Host string
	Err  error
}

func (t *Trap) Error() string { return t.Err.Error() }

func (t *Trap) Unwrap() error { return t.Err }
