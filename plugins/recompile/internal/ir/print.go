package ir

import (
	"fmt"
	"strings"
)

// String returns the text of f, which Parse reads:
//
//	func "name" 0x401000
//	b0 0x401000 entry
//	  v0 = Get rax
//	  v1 = I64Const 5
//	  v2 = I64Add v0 v1
//	  Set rax v2
//	  jump b1
func (f *Func) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "func %q %#x", f.Name, f.PC)
	for _, r := range f.Scalars {
		fmt.Fprintf(&s, " %s", r)
	}
	s.WriteString("\n")
	for _, b := range f.Blocks {
		b.print(&s)
	}
	return s.String()
}

func (b *Block) print(s *strings.Builder) {
	fmt.Fprintf(s, "b%d %#x", b.ID, b.PC)
	for _, mark := range []struct {
		on   bool
		name string
	}{{b.Entry, "entry"}, {b.Safepoint, "safepoint"}, {b.Copy, "copy"}, {b.Preheader, "preheader"}} {
		if mark.on {
			s.WriteString(" " + mark.name)
		}
	}
	if b.Promoted != 0 {
		fmt.Fprintf(s, " promoted %s dirty %s", regList(b.Promoted), regList(b.Dirty))
	}
	s.WriteString("\n")
	pc := b.PC
	for i := range b.Insts {
		if b.Insts[i].PC != pc {
			pc = b.Insts[i].PC
			fmt.Fprintf(s, "  ; %#x\n", pc)
		}
		s.WriteString("  " + b.Insts[i].Text(Value(i)) + "\n")
	}
	s.WriteString("  " + b.Term.String() + "\n")
}

func regList(set RegSet) string {
	var names []string
	for _, r := range set.Regs() {
		names = append(names, RegName(r))
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

// TypeName returns the name of a type.
func TypeName(t Type) string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	}
	return "void"
}

// Text returns the text of an instruction that is number v of its block.
func (in *Inst) Text(v Value) string {
	var s strings.Builder
	if in.Type != Void {
		fmt.Fprintf(&s, "v%d = ", v)
	}
	row := &Rows[in.Op]
	s.WriteString(row.Name)
	switch in.Op {
	case Helper:
		s.WriteString(" " + in.Helper().Name)
		for i := range in.HelperArgs() {
			fmt.Fprintf(&s, " v%d", in.HelperArg(i))
		}
		return s.String()
	case Result:
		fmt.Fprintf(&s, " %s v%d %d", TypeName(in.Type), in.Args[0], in.Imm)
		return s.String()
	}
	if row.Imm == ImmReg {
		s.WriteString(" " + RegName(in.Reg))
	}
	for i := range row.Args {
		fmt.Fprintf(&s, " v%d", in.Args[i])
	}
	switch row.Imm {
	case ImmInt:
		fmt.Fprintf(&s, " %#x", in.Imm)
	case ImmV128:
		fmt.Fprintf(&s, " %#x %#x", uint64(in.Imm), uint64(in.Imm2))
	case ImmLane:
		fmt.Fprintf(&s, " %d", in.Imm)
	case ImmDisp:
		if in.Imm2 != 0 {
			fmt.Fprintf(&s, " linear+%d", in.Imm)
		} else if in.Imm != 0 {
			fmt.Fprintf(&s, " %+d", in.Imm)
		}
	}
	return s.String()
}

// String returns the text of a terminator.
func (t Term) String() string {
	switch t.Kind {
	case TermJump:
		return fmt.Sprintf("jump b%d", t.To)
	case TermBranch:
		return fmt.Sprintf("branch v%d b%d b%d", t.Cond, t.To, t.Else)
	case TermIndirect:
		s := fmt.Sprintf("indirect v%d", t.Target)
		for _, k := range t.Known {
			s += fmt.Sprintf(" b%d", k)
		}
		return s
	case TermCall:
		callee := fmt.Sprintf("%#x", t.PC)
		if t.Target != None {
			callee = fmt.Sprintf("v%d", t.Target)
		}
		return fmt.Sprintf("call %s returning %#x %s", callee, t.ReturnPC, t.returnBlock())
	case TermSyscall:
		return fmt.Sprintf("syscall returning %#x %s", t.ReturnPC, t.returnBlock())
	case TermTail:
		return fmt.Sprintf("tail %#x", t.PC)
	case TermRet:
		return fmt.Sprintf("ret v%d", t.Target)
	case TermFault:
		return fmt.Sprintf("fault %d %#x", t.Fault, t.PC)
	}
	return "unfinished"
}

func (t *Term) returnBlock() string {
	if t.To == NoBlock {
		return "nowhere"
	}
	return fmt.Sprintf("b%d", t.To)
}

// RegByName returns the register called name.
func RegByName(name string) (Reg, bool) {
	for r := Reg(0); r < EndRegs; r++ {
		if RegName(r) == name {
			return r, true
		}
	}
	return 0, false
}
