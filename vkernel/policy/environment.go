package policy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"megabinary.dev/vkernel/linux"
)

// Environment changes the variables of the first program.
type Environment struct {
	Allow []string // patterns of names; nil: all
	Drop  []string // patterns of names
	Set   []string // NAME=VALUE
}

// Apply returns the variables that are left, and those that are set.
func (e *Environment) Apply(env []string) []string {
	fits := func(patterns []string, name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return err == nil && ok })
	}
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		set := slices.ContainsFunc(e.Set, func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if !set && (e.Allow == nil || fits(e.Allow, name)) && !fits(e.Drop, name) {
			out = append(out, kv)
		}
	}
	return append(out, e.Set...)
}

func (r *reader) environment(n *yaml.Node) {
	pattern := func(s string) error {
		if _, err := path.Match(s, ""); err != nil || strings.ContainsAny(s, "=/") {
			return fmt.Errorf("%q is no pattern of names", s)
		}
		return nil
	}
	e := &r.p.Env
	r.fields(n, "environment", map[string]func(*yaml.Node){
		"allow": r.texts("environment.allow", &e.Allow, pattern),
		"drop":  r.texts("environment.drop", &e.Drop, pattern),
		"set": r.pairs("environment.set", func(key, value *yaml.Node) {
			if key.Value == "" || strings.ContainsAny(key.Value, "=\x00") {
				r.errorf(key, "%q is no name", key.Value)
				return
			}
			if value.Kind != yaml.ScalarNode || value.Tag != "!!str" || strings.ContainsRune(value.Value, 0) {
				r.errorf(value, "the value of %s must be a string, not %s", key.Value, kindOf(value))
				return
			}
			e.Set = append(e.Set, key.Value+"="+value.Value)
		}),
	})
}

// Limits bound what the container uses.
type Limits struct {
	Memory  uint64 // bytes of guest memory of all processes together; 0: the default
	Rlimits map[int]linux.Rlimit
}

func (r *reader) limits(n *yaml.Node) {
	l := &r.p.Limits
	of := map[string]func(*yaml.Node){
		"memory": r.size("limits.memory", &l.Memory, 1<<20),
	}
	for key, resource := range map[string]int{"open-files": linux.RLIMIT_NOFILE, "processes": linux.RLIMIT_NPROC,
		"cpu-seconds": linux.RLIMIT_CPU, "file-size": linux.RLIMIT_FSIZE, "stack": linux.RLIMIT_STACK} {
		of[key] = func(n *yaml.Node) {
			var v uint64
			before := len(r.errs)
			if r.size("limits."+key, &v, 1)(n); len(r.errs) > before {
				return
			}
			if l.Rlimits == nil {
				l.Rlimits = map[int]linux.Rlimit{}
			}
			l.Rlimits[resource] = linux.Rlimit{Cur: v, Max: v}
		}
	}
	r.fields(n, "limits", of)
}

// size takes a number, or one with k, m or g behind it.
func (r *reader) size(what string, into *uint64, least uint64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		digits := strings.TrimRight(n.Value, "kmg")
		shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30}[n.Value[len(digits):]]
		v, err := strconv.ParseUint(digits, 10, 64)
		if n.Kind != yaml.ScalarNode || !ok || err != nil || v > 1<<50>>shift || v<<shift < least {
			r.errorf(n, "%s must be a size of %d or more, such as 256m, not %s", what, least, kindOf(n))
			return
		}
		*into = v << shift
	}
}
