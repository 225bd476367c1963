package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Pos is a place in a policy.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// PosError is a mistake in a policy with its place.
type PosError struct {
	Pos Pos
	Err error
}

func (e *PosError) Error() string { return e.Pos.String() + ": " + e.Err.Error() }
func (e *PosError) Unwrap() error { return e.Err }

// Bounds on a policy, against hostile files.
const (
	maxBytes = 1 << 20
	maxDepth = 16
	maxList  = 4096 // entries of a list or mapping
)

// parse reads one YAML document without aliases. nil: it is empty.
func parse(file string, content []byte) (*yaml.Node, error) {
	if len(content) > maxBytes {
		return nil, fmt.Errorf("%s: %d bytes are more than the %d allowed", file, len(content), maxBytes)
	}
	var root yaml.Node
	d := yaml.NewDecoder(strings.NewReader(string(content)))
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := d.Decode(new(yaml.Node)); err == nil {
		return nil, fmt.Errorf("%s: there is more than one YAML document", file)
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, fmt.Errorf("%s: there is no policy in it", file)
	}
	return root.Content[0], nil
}

// decoder reads nodes and gathers mistakes, so that all are told at once.
type decoder struct {
	file string
	errs []error
}

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{File: d.file, Line: n.Line, Column: n.Column} }

func (d *decoder) errorf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, &PosError{Pos: d.pos(n), Err: fmt.Errorf(format, args...)})
}

// refuse refuses aliases, which could blow a small file up, and what is too deep
// or too long.
func (d *decoder) refuse(n *yaml.Node, depth int) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.errorf(n, "aliases are not allowed")
		return
	case depth > maxDepth:
		d.errorf(n, "nesting deeper than %d", maxDepth)
		return
	case len(n.Content) > 2*maxList:
		d.errorf(n, "more than %d entries", maxList)
		return
	}
	for _, c := range n.Content {
		d.refuse(c, depth+1)
	}
}

// fields calls the function of each key of a mapping; unknown keys, keys that
// come twice and required ones (marked with "!") that do not come are mistakes.
func (d *decoder) fields(n *yaml.Node, what string, of map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s must be a mapping, not %s", what, kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f, ok := of[key.Value]
		if !ok {
			f, ok = of[key.Value+"!"]
		}
		switch {
		case !ok:
			d.errorf(key, "unknown key %q in %s; known are %s", key.Value, what, keyList(of))
		case seen[key.Value]:
			d.errorf(key, "key %q comes twice in %s", key.Value, what)
		default:
			f(value)
		}
		seen[key.Value] = true
	}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if name, required := strings.CutSuffix(key, "!"); required && !seen[name] {
			d.errorf(n, "%s needs a key %q", what, name)
		}
	}
}

func keyList(of map[string]func(*yaml.Node)) string {
	keys := slices.Sorted(maps.Keys(of))
	for i := range keys {
		keys[i] = strings.TrimSuffix(keys[i], "!")
	}
	return strings.Join(keys, ", ")
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!str":
		return "the string " + strconv.Quote(n.Value)
	}
	return "the value " + strconv.Quote(n.Value)
}

// text takes a string; check, which may be nil, refuses some.
func (d *decoder) text(what string, into *string, check func(string) error) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" || strings.ContainsRune(n.Value, 0) {
			d.errorf(n, "%s must be a string, not %s", what, kindOf(n))
			return
		}
		if check != nil {
			if err := check(n.Value); err != nil {
				d.errorf(n, "%s: %w", what, err)
				return
			}
		}
		*into = n.Value
	}
}

// number takes a whole number from 0 to most; hexadecimal is understood.
func (d *decoder) number(what string, into *uint64, most uint64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.ParseUint(n.Value, 0, 64)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v > most {
			d.errorf(n, "%s must be a whole number from 0 to %d, not %s", what, most, kindOf(n))
			return
		}
		*into = v
	}
}

// list calls each for every entry of a list.
func (d *decoder) list(what string, each func(i int, n *yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			d.errorf(n, "%s must be a list, not %s", what, kindOf(n))
			return
		}
		for i, c := range n.Content {
			each(i, c)
		}
	}
}

// texts takes a list of strings that is not empty.
func (d *decoder) texts(what string, into *[]string, check func(string) error) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*into = []string{}
		d.list(what, func(_ int, c *yaml.Node) {
			var s string
			d.text("an entry of "+what, &s, check)(c)
			*into = append(*into, s)
		})(n)
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			d.errorf(n, "%s is empty", what)
		}
	}
}

// pairs takes a mapping of strings in the file's order.
func (d *decoder) pairs(what string, each func(key, value *yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			d.errorf(n, "%s must be a mapping, not %s", what, kindOf(n))
			return
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if seen[key.Value] {
				d.errorf(key, "key %q comes twice in %s", key.Value, what)
				continue
			}
			seen[key.Value] = true
			each(key, n.Content[i+1])
		}
	}
}

// oneOf returns a check that a string is one of some.
func oneOf[T ~string](of ...T) func(string) error {
	return func(s string) error {
		names := make([]string, len(of))
		for i, o := range of {
			if s == string(o) {
				return nil
			}
			names[i] = string(o)
		}
		return fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
	}
}

var errNotAbsolute = errors.New("a path starts with /")
