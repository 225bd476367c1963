package ir

import (
	"errors"
	"fmt"
)

// Verify checks that f is well-formed: values are defined before use in the
// same block and have the types that their users want, blocks end with one
// terminator whose targets exist. It reports all faults.
func Verify(f *Func) error {
	v := verifier{f: f}
	if len(f.Blocks) == 0 {
		v.fault(nil, "no blocks")
		return errors.Join(v.errs...)
	}
	if f.Blocks[0].PC != f.PC {
		v.fault(f.Blocks[0], "first block is not at the function's start %#x", f.PC)
	}
	for i, b := range f.Blocks {
		if int(b.ID) != i {
			v.fault(b, "block %d has ID %d", i, b.ID)
			continue
		}
		for j := range b.Insts {
			v.inst(b, j)
		}
		v.term(b)
	}
	return errors.Join(v.errs...)
}

type verifier struct {
	f    *Func
	errs []error
}

// maxFaults bounds what Verify reports.
const maxFaults = 20

func (v *verifier) fault(b *Block, format string, args ...any) {
	if len(v.errs) >= maxFaults {
		return
	}
	where := fmt.Sprintf("function %s at %#x", v.f.Name, v.f.PC)
	if b != nil {
		where += fmt.Sprintf(", block b%d at %#x", b.ID, b.PC)
	}
	v.errs = append(v.errs, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (v *verifier) inst(b *Block, i int) {
	in := &b.Insts[i]
	if in.Op == Invalid || in.Op >= NumOps {
		v.fault(b, "v%d: no such operation: %d", i, in.Op)
		return
	}
	row := &Rows[in.Op]
	if row.Result != Any && in.Type != row.Result {
		v.fault(b, "v%d: %s has result type %#x, not %#x", i, row.Name, in.Type, row.Result)
	}
	if in.Op == Helper || in.Op == Result {
		v.helper(b, i)
		return
	}
	for j, want := range row.Args {
		got, ok := v.typeOf(b, i, in.Args[j])
		if ok && want != Any && got != want {
			v.fault(b, "v%d: argument %d of %s has type %#x, not %#x", i, j, row.Name, got, want)
		}
	}
	switch in.Op {
	case Get:
		if !v.hasReg(in.Reg) || in.Type != RegType(in.Reg) {
			v.fault(b, "v%d: reads %s as type %#x", i, RegName(in.Reg), in.Type)
		}
	case Set:
		if t, ok := v.typeOf(b, i, in.Args[0]); ok && (!v.hasReg(in.Reg) || t != RegType(in.Reg)) {
			v.fault(b, "v%d: writes type %#x to %s", i, t, RegName(in.Reg))
		}
	case Select:
		t, ok1 := v.typeOf(b, i, in.Args[0])
		u, ok2 := v.typeOf(b, i, in.Args[1])
		if ok1 && ok2 && (t != u || in.Type != t) {
			v.fault(b, "v%d: selects between types %#x and %#x", i, t, u)
		}
	}
}

// hasReg reports whether the function has register r.
func (v *verifier) hasReg(r Reg) bool {
	switch {
	case r >= NumRegs:
		return r < EndRegs
	case r >= ScalarHi:
		return int(r-ScalarHi) < len(v.f.Scalars)
	case r >= ScalarLo:
		return int(r-ScalarLo) < len(v.f.Scalars)
	}
	return true
}

func (v *verifier) typeOf(b *Block, i int, a Value) (Type, bool) {
	if a < 0 || int(a) >= i {
		v.fault(b, "v%d: uses v%d, which is not defined before it", i, a)
		return Void, false
	}
	if b.Insts[a].Type == Void {
		v.fault(b, "v%d: uses v%d, which has no result", i, a)
		return Void, false
	}
	return b.Insts[a].Type, true
}

func (v *verifier) helper(b *Block, i int) {
	in := &b.Insts[i]
	call := in
	if in.Op == Result {
		c := in.Args[0]
		if c < 0 || int(c) >= i || b.Insts[c].Op != Helper {
			v.fault(b, "v%d: result of v%d, which is no helper", i, c)
			return
		}
		call = &b.Insts[c]
	}
	k := call.Helper()
	if in.Op == Result {
		if in.Imm < 0 || int(in.Imm) >= len(k.Results) || in.Type != k.Results[in.Imm] {
			v.fault(b, "v%d: helper %s has no result %d of type %#x", i, k.Name, in.Imm, in.Type)
		}
		return
	}
	for j, want := range k.Params {
		if t, ok := v.typeOf(b, i, in.HelperArg(j)); ok && t != want {
			v.fault(b, "v%d: argument %d of helper %s has type %#x", i, j, k.Name, t)
		}
	}
}

func (v *verifier) term(b *Block) {
	t := &b.Term
	n := len(b.Insts)
	i32 := func(a Value, what string) {
		if got, ok := v.typeOf(b, n, a); ok && got != I32 {
			v.fault(b, "%s has type %#x", what, got)
		}
	}
	to := func(id BlockID) {
		if id < 0 || int(id) >= len(v.f.Blocks) {
			v.fault(b, "goes to block %d of %d", id, len(v.f.Blocks))
		}
	}
	switch t.Kind {
	case TermJump:
		to(t.To)
	case TermBranch:
		i32(t.Cond, "branch condition")
		to(t.To)
		to(t.Else)
	case TermIndirect:
		i32(t.Target, "target")
		for _, k := range t.Known {
			to(k)
		}
	case TermCall:
		if t.Target != None {
			i32(t.Target, "target")
		}
		v.returnsTo(b, to)
	case TermSyscall:
		v.returnsTo(b, to)
	case TermRet:
		i32(t.Target, "target")
	case TermTail, TermFault:
	default:
		v.fault(b, "no terminator")
	}
}

func (v *verifier) returnsTo(b *Block, to func(BlockID)) {
	t := &b.Term
	if t.To == NoBlock {
		return
	}
	to(t.To)
	if t.To >= 0 && int(t.To) < len(v.f.Blocks) {
		if r := v.f.Blocks[t.To]; r.PC != t.ReturnPC && !r.Preheader {
			v.fault(b, "returns to %#x, which is not the PC of block b%d", t.ReturnPC, t.To)
		}
	}
}
