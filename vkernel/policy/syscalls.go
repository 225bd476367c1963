package policy

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"megabinary.dev/vkernel/linux"
)

// actions are the verdicts by name; errno takes its number from elsewhere.
func actions() map[string]Verdict {
	return map[string]Verdict{"allow": Allow, "log": Log, "errno": Errno | Verdict(linux.EPERM), "trap": Trap,
		"kill-thread": KillThread, "kill-process": KillProcess}
}

func actionName(s string) error {
	if _, ok := actions()[s]; !ok {
		return fmt.Errorf("%q is none of allow, log, errno, trap, kill-thread, kill-process", s)
	}
	return nil
}

// syscalls reads a layer.
func (r *reader) syscalls(n *yaml.Node, name string) Layer {
	l := Layer{Name: name, Default: Allow}
	var def string
	errno := Verdict(linux.EPERM)
	r.fields(n, name, map[string]func(*yaml.Node){
		"default": r.text("default", &def, actionName),
		"errno":   r.errno(&errno),
		"rules": r.list("rules", func(i int, n *yaml.Node) {
			l.Rules = append(l.Rules, r.syscallRule(n, fmt.Sprintf("%s.rules[%d]", name, i))...)
		}),
	})
	if def != "" {
		l.Default = withErrno(actions()[def], errno)
	}
	return l
}

func withErrno(v, errno Verdict) Verdict {
	if v.Action() == Errno {
		return Errno | errno
	}
	return v
}

func (r *reader) syscallRule(n *yaml.Node, name string) []Rule {
	rule := Rule{Name: name}
	var action string
	errno := Verdict(linux.EPERM)
	var names []string
	var conds []Cond
	numbers := sysByName()
	r.fields(n, name, map[string]func(*yaml.Node){
		"names!": r.texts("names", &names, func(s string) error {
			nr, ok := numbers[s]
			if !ok {
				return fmt.Errorf("there is no system call %q on linux/amd64", s)
			}
			rule.Numbers = append(rule.Numbers, nr)
			return nil
		}),
		"action!": r.text("action", &action, actionName),
		"errno":   r.errno(&errno),
		"args":    r.list("args", func(_ int, n *yaml.Node) { conds = append(conds, r.cond(n)) }),
	})
	rule.Verdict = withErrno(actions()[action], errno)
	seen := 0
	for _, c := range conds {
		if seen>>c.Index&1 != 0 {
			r.errorf(n, "two conditions on argument %d: make a rule of each", c.Index)
		}
		seen |= 1 << c.Index
	}
	rule.Conds = conds
	return []Rule{rule}
}

func (r *reader) cond(n *yaml.Node) Cond {
	var index, value, datum uint64
	var op string
	ops := map[string]Op{"eq": OpEQ, "ne": OpNE, "lt": OpLT, "le": OpLE, "gt": OpGT, "ge": OpGE, "masked-eq": OpMaskedEQ}
	hasMask := false
	r.fields(n, "an entry of args", map[string]func(*yaml.Node){
		"index!": r.number("index", &index, 5),
		"op!":    r.text("op", &op, oneOf("eq", "ne", "lt", "le", "gt", "ge", "masked-eq")),
		"value!": r.number("value", &value, 1<<64-1),
		"mask":   func(n *yaml.Node) { hasMask = true; r.number("mask", &datum, 1<<64-1)(n) },
	})
	c := Cond{Index: int(index), Op: ops[op], Value: value}
	if hasMask != (op == "masked-eq") {
		r.errorf(n, "mask goes with masked-eq, and only with that")
	}
	if hasMask {
		c.Value, c.Datum = datum, value
	}
	return c
}

// errno takes an errno by name.
func (r *reader) errno(into *Verdict) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var s string
		r.text("errno", &s, func(s string) error {
			for e := linux.Errno(1); e < 134; e++ {
				if e.Name() == s && strings.HasPrefix(s, "E") {
					*into = Verdict(e)
					return nil
				}
			}
			return fmt.Errorf("there is no errno %q", s)
		})(n)
	}
}
