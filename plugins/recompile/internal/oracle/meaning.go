package oracle

import (
	"errors"
	"fmt"
	"syscall"

	"megabinary.dev/plugins/recompile/internal/interp"
	"megabinary.dev/plugins/recompile/internal/ir"
	"megabinary.dev/plugins/recompile/internal/lift"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/x86"
	"megabinary.dev/sdk/x87"
)

// Meaning runs cases, lifted: the IR interpreter, or the wasm that the IR is
// lowered to under some machine.
type Meaning interface {
	Name() string
	// Run returns the outcome of each case, or why it has none. It leaves the
	// states of the cases as they are.
	Run(cases []Case) []Result
}

// Result is what a Meaning makes of a case.
type Result struct {
	Outcome
	Err error
	// Missed is where a memory fault was, if the meaning knows it; 0: unknown.
	Missed uint32

	wasm bool // of a meaning whose memory is larger than the case's
	// trapped says that wasm stopped where registers need not be in sync.
	trapped bool
}

// Interp is the IR interpreter as a Meaning.
type Interp struct{}

// maxSteps is more than any case of a few instructions needs; REP forms run at
// most a memory's worth of iterations.
const maxSteps = 1_000_000

// Name implements Meaning.
func (Interp) Name() string { return "interpreter" }

// Run implements Meaning.
func (Interp) Run(cases []Case) []Result {
	results := make([]Result, len(cases))
	for i, c := range cases {
		f := c.function
		if f == nil {
			var err error
			if f, err = lift.Bytes(c.Code, CodeAt); err != nil {
				results[i].Err = err
				continue
			}
		}
		results[i] = interpret(f, c)
	}
	return results
}

func interpret(f *ir.Func, c Case) Result { return interpretOn(f, c.Code, Clone(c.State)) }

// interpretOn runs f, which code was lifted to, on st. Where code makes MXCSR
// matter it goes on in the careful twin, as the kernel has it do.
func interpretOn(f *ir.Func, code []byte, st *interp.State) Result {
	if f.Careful != nil && st.Regs[guestabi.MXCSR].Lo>>guestabi.MXCSRCareful != 0 {
		f = f.Careful
	}
	exit, err := interp.Run(f, st, maxSteps)
	for err == nil && exit.Kind == ir.TermFault && exit.Fault == guestabi.FaultCareful && exit.PC-f.PC < uint32(len(code)) {
		if f.Careful != nil {
			f = f.Careful
		}
		exit, err = interp.RunAt(f, exit.PC, st, maxSteps)
	}
	o := Outcome{State: st, PC: uint64(exit.PC)}
	var fault *interp.FaultError
	switch {
	case errors.As(err, &fault):
		o.Signal = syscall.SIGSEGV
		return Result{Outcome: o, Missed: fault.Addr}
	case errors.Is(err, interp.ErrDivide), errors.Is(err, x87.ErrPending):
		o.Signal = syscall.SIGFPE
	case err != nil:
		return Result{Outcome: o, Err: fmt.Errorf("interpreting % x: %w", code, err)}
	case exit.Kind == ir.TermFault && exit.Fault != guestabi.FaultCareful:
		o.Signal = signalOf(exit.Fault)
	}
	return Result{Outcome: o}
}

func signalOf(f guestabi.Fault) syscall.Signal {
	switch f {
	case guestabi.FaultUndefined:
		return syscall.SIGILL
	case guestabi.FaultDivide, guestabi.FaultSIMD:
		return syscall.SIGFPE
	case guestabi.FaultBreakpoint:
		return syscall.SIGTRAP
	default:
		return syscall.SIGSEGV
	}
}

// Undefined returns the flags that code leaves undefined, by their bits in
// RFLAGS, with the instructions' names.
func Undefined(code []byte) (undef uint64, names []string) {
	for at := 0; at < len(code); {
		in, err := x86.Decode(code[at:], CodeAt+uint64(at))
		if err != nil {
			return undef, append(names, "(bad)")
		}
		at += in.Len
		names = append(names, in.Op.String())
		row, ok := Row(in)
		if !ok {
			continue
		}
		form := row.Undef
		if row.UndefForm != nil {
			form |= row.UndefForm(in)
		}
		undef &^= flagMask(row.Writes &^ form)
		undef |= flagMask(form)
	}
	return undef, names
}

// Row returns the row of in.
func Row(in x86.Inst) (lift.Row, bool) { return lift.Find(in.Op) }

func flagMask(f lift.Flags) (mask uint64) {
	for i, r := range []guestabi.Reg{guestabi.CF, guestabi.PF, guestabi.AF, guestabi.ZF, guestabi.SF, guestabi.OF} {
		if f>>i&1 != 0 {
			mask |= 1 << flagBit(r)
		}
	}
	return mask
}

// Compare returns how got, an outcome of c, differs from what the CPU gives,
// as the changes that each made, or two empty strings. Flags in undef do not
// count; nor does the state after a fault of an instruction that may have been
// done in part.
func Compare(c Case, want, got Outcome, undef uint64) (wantText, gotText string) {
	if want.Signal != 0 {
		want.PC, got.PC = 0, 0
	}
	w := FormatChanges(c.State, want, len(c.Code), undef)
	g := FormatChanges(c.State, got, len(c.Code), undef)
	if w == g {
		return "", ""
	}
	return w, g
}

// decodeAt decodes the instruction at an offset of code that lies at CodeAt.
func decodeAt(code []byte, at int) (x86.Inst, error) {
	return x86.Decode(code[at:], CodeAt+uint64(at))
}
