// Package policy says what a container may do beyond what may run in it: system
// calls, files, connections, limits, environment. A policy is one YAML file; it
// is read strictly, and refused before anything starts if it is wrong.
package policy

import (
	"fmt"

	"megabinary.dev/vkernel/linux"
)

// Verdict is what becomes of a system call, as a seccomp filter returns it
// (seccomp(2)): the action in the upper half, its data in the lower.
type Verdict uint32

// The actions. A smaller one, compared as a signed number, is the stricter.
const (
	KillProcess Verdict = 0x8000_0000
	KillThread  Verdict = 0x0000_0000
	Trap        Verdict = 0x0003_0000
	Errno       Verdict = 0x0005_0000
	Trace       Verdict = 0x7ff0_0000
	Log         Verdict = 0x7ffc_0000
	Allow       Verdict = 0x7fff_0000

	actionMask Verdict = 0xffff_0000
)

// conditional in a decision table says that arguments decide.
const conditional Verdict = 0xffff_ffff

// Action is the verdict without its data.
func (v Verdict) Action() Verdict { return v & actionMask }

// Data is the errno of Errno, what a tracer would get of Trace.
func (v Verdict) Data() uint16 { return uint16(v) }

// stricter says whether v wins over w where both apply.
func (v Verdict) stricter(w Verdict) bool { return int32(v.Action()) < int32(w.Action()) }

func (v Verdict) String() string {
	switch v.Action() {
	case KillProcess:
		return "kill-process"
	case KillThread:
		return "kill-thread"
	case Trap:
		return "trap"
	case Errno:
		return "errno " + linux.Errno(v.Data()).Name()
	case Trace:
		return "trace"
	case Log:
		return "log"
	case Allow:
		return "allow"
	}
	return fmt.Sprintf("%#x", uint32(v))
}

// Op compares an argument.
type Op uint8

// The comparisons.
const (
	OpEQ Op = iota
	OpNE
	OpLT
	OpLE
	OpGT
	OpGE
	OpMaskedEQ // arg & Value == Datum
)

// Cond is a condition on one argument, which is compared as 64 bits without a
// sign.
type Cond struct {
	Index int // 0 to 5
	Op    Op
	Value uint64
	Datum uint64 // OpMaskedEQ
}

func (c *Cond) holds(args *[6]uint64) bool {
	a := args[c.Index]
	switch c.Op {
	case OpEQ:
		return a == c.Value
	case OpNE:
		return a != c.Value
	case OpLT:
		return a < c.Value
	case OpLE:
		return a <= c.Value
	case OpGT:
		return a > c.Value
	case OpGE:
		return a >= c.Value
	case OpMaskedEQ:
		return a&c.Value == c.Datum
	}
	panic("BUG: comparison of an unknown kind")
}

// Rule gives system calls a verdict where all conditions hold.
type Rule struct {
	Name    string // for the audit trail, such as seccomp.syscalls[3]
	Numbers []int
	Conds   []Cond
	Verdict Verdict
}

func (r *Rule) holds(args *[6]uint64) bool {
	for i := range r.Conds {
		if !r.Conds[i].holds(args) {
			return false
		}
	}
	return true
}

// Layer is one list of rules, as one seccomp filter is. A rule without a
// condition wins over those with some, as with libseccomp; of several that hold,
// the strictest. Where none holds, the default does.
type Layer struct {
	Name    string
	Default Verdict
	Rules   []Rule
}

// layerRow is a layer's rules for one system call.
type layerRow struct {
	always *Rule   // nil: none
	conds  []*Rule // empty if there is always
	def    Verdict
	name   string // of the default
}

func (r *layerRow) eval(args *[6]uint64) (Verdict, string) {
	if r.always != nil {
		return r.always.Verdict, r.always.Name
	}
	v, name, found := r.def, r.name, false
	for _, c := range r.conds {
		if c.holds(args) && (!found || c.Verdict.stricter(v)) {
			v, name, found = c.Verdict, c.Name, true
		}
	}
	return v, name
}

// NumSyscalls bounds the numbers that a decision table has rows for.
const NumSyscalls = 512

// Filter is compiled layers: one verdict per system call where no argument
// matters, which is one load of a table.
type Filter struct {
	flat   [NumSyscalls]Verdict
	layers []Layer
	rows   [NumSyscalls][]layerRow // in the layers' order
	beyond Verdict                 // for numbers that are no system call
}

// Compile makes the decision table of layers, all of which must agree, as the
// kernel stacks filters: the strictest verdict wins.
func Compile(layers ...Layer) *Filter {
	f := &Filter{layers: layers, beyond: Allow}
	known := sysNumbers()
	for nr := range f.rows {
		if _, ok := known[nr]; ok {
			f.rows[nr] = make([]layerRow, len(layers))
		}
	}
	for i := range layers {
		l := &layers[i]
		for nr := range f.rows {
			if f.rows[nr] != nil {
				f.rows[nr][i] = layerRow{def: l.Default, name: l.Name + ".default"}
			}
		}
		for j := range l.Rules {
			f.add(i, &l.Rules[j])
		}
		if v := unknown(l.Default); v.stricter(f.beyond) {
			f.beyond = v
		}
	}
	for nr := range f.flat {
		f.flat[nr] = f.summary(nr)
	}
	return f
}

// unknown is the verdict on a number that is no system call: programs probe for
// new calls and want ENOSYS, as runc answers, too.
func unknown(def Verdict) Verdict {
	if def.Action() == Errno {
		return Errno | Verdict(linux.ENOSYS)
	}
	return def
}

func (f *Filter) add(layer int, r *Rule) {
	if r.Verdict == f.layers[layer].Default {
		return // as runc leaves it out, and libseccomp refuses it
	}
	for _, nr := range r.Numbers {
		row := &f.rows[nr][layer]
		switch {
		case row.always != nil:
		case len(r.Conds) == 0:
			row.always, row.conds = r, nil
		default:
			row.conds = append(row.conds, r)
		}
	}
}

func (f *Filter) summary(nr int) Verdict {
	if f.rows[nr] == nil {
		return f.beyond
	}
	v := Allow
	for i := range f.rows[nr] {
		row := &f.rows[nr][i]
		if len(row.conds) > 0 {
			return conditional
		}
		if w, _ := row.eval(nil); w.stricter(v) {
			v = w
		}
	}
	return v
}

// Passes says that a system call is allowed and nothing is to be noted: what is
// asked about every call.
func (f *Filter) Passes(nr uint64) bool { return nr < NumSyscalls && f.flat[nr] == Allow }

// Eval returns the verdict on a system call and the rule that gave it.
func (f *Filter) Eval(nr uint64, args *[6]uint64) (Verdict, string) {
	if nr >= NumSyscalls || f.rows[nr] == nil {
		return f.beyond, "syscalls.unknown"
	}
	v, rule := Allow, ""
	for i := range f.rows[nr] {
		if w, name := f.rows[nr][i].eval(args); rule == "" || w.stricter(v) {
			v, rule = w, name
		}
	}
	return v, rule
}

// Table calls each for every system call there is, in the order of numbers, with
// its verdict; decided is false where arguments decide.
func (f *Filter) Table(each func(nr int, name string, v Verdict, decided bool)) {
	names := sysNumbers()
	for nr := range f.flat {
		if f.rows[nr] != nil {
			each(nr, names[nr], f.flat[nr], f.flat[nr] != conditional)
		}
	}
}
