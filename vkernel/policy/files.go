package policy

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Access is what may be done with a file; a greater one includes the lesser.
type Access uint8

// The accesses.
const (
	None  Access = iota
	See          // find it and its attributes
	Read         // open for reading, list, run
	Write        // anything
)

func (a Access) String() string { return [...]string{"none", "see", "read", "write"}[a] }

// Pattern names paths: one; with /** at its end one and all below; with *, ? and
// /**/ those that fit. /**/ stands for any number of components.
type Pattern struct {
	Text    string
	literal string // what paths start with, up to the first component with a wildcard
	tree    bool   // literal and all below
	re      *regexp.Regexp
}

// maxPattern bounds a pattern in bytes.
const maxPattern = 1024

// ParsePattern reads a pattern.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case !strings.HasPrefix(s, "/"):
		return Pattern{}, fmt.Errorf("%q: %w", s, errNotAbsolute)
	case len(s) > maxPattern:
		return Pattern{}, fmt.Errorf("a pattern of %d bytes is longer than %d", len(s), maxPattern)
	case path.Clean(s) != s:
		return Pattern{}, fmt.Errorf("%q is not clean: write %q", s, path.Clean(s))
	}
	i := strings.IndexAny(s, "*?")
	if i < 0 {
		return Pattern{Text: s, literal: s}, nil
	}
	if dir, ok := strings.CutSuffix(s, "/**"); ok && i == len(s)-2 {
		return Pattern{Text: s, literal: dir, tree: true}, nil
	}
	p := Pattern{Text: s, literal: s[:strings.LastIndexByte(s[:i], '/')+1]}
	var re strings.Builder
	re.WriteString(`(?s)^`)
	for rest := s; rest != ""; {
		switch {
		case rest == "/**":
			re.WriteString(`(?:/.+)?`)
			rest = ""
		case strings.HasPrefix(rest, "/**/"):
			re.WriteString(`/(?:[^/]+/)*`)
			rest = rest[4:]
		case rest[0] == '*':
			re.WriteString(`[^/]*`)
			rest = strings.TrimLeft(rest, "*")
		case rest[0] == '?':
			re.WriteString(`[^/]`)
			rest = rest[1:]
		default:
			re.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[1:]
		}
	}
	re.WriteString(`$`)
	var err error
	if p.re, err = regexp.Compile(re.String()); err != nil {
		return Pattern{}, fmt.Errorf("%q: %w", s, err)
	}
	return p, nil
}

// Match says whether an absolute, clean path fits.
func (p *Pattern) Match(name string) bool {
	if p.re != nil {
		return p.re.MatchString(name)
	}
	return name == p.literal || p.tree && strings.HasPrefix(name, p.literal) && name[len(p.literal)] == '/'
}

// below says whether p may fit something below dir, which does not end in a
// slash unless it is the root.
func (p *Pattern) below(dir string) bool {
	dir = strings.TrimSuffix(dir, "/") + "/"
	switch {
	case p.tree:
		return strings.HasPrefix(p.literal, dir) || strings.HasPrefix(dir, p.literal+"/")
	case p.re == nil:
		return strings.HasPrefix(p.literal, dir)
	}
	return strings.HasPrefix(p.literal, dir) || strings.HasPrefix(dir, p.literal)
}

// Files says what may be done with which files. The first rule that fits a path
// counts.
type Files struct {
	Default Access
	Rules   []FileRule
}

// FileRule gives paths an access.
type FileRule struct {
	Pattern Pattern
	Access  Access
}

// Access returns what may be done with an absolute, clean path, and the rule that
// says so. A directory on the way to what a rule opens can be seen.
func (f *Files) Access(name string) (Access, string) {
	a, which := f.Default, len(f.Rules)
	for i := range f.Rules {
		if f.Rules[i].Pattern.Match(name) {
			a, which = f.Rules[i].Access, i
			break
		}
	}
	rule := "files.default"
	if which < len(f.Rules) {
		rule = fmt.Sprintf("files.rules[%d]", which)
	}
	if a == None {
		// Only rules before the one that fits open something below.
		for i := range f.Rules[:which] {
			if f.Rules[i].Access > None && f.Rules[i].Pattern.below(name) {
				return See, rule
			}
		}
	}
	return a, rule
}

// Moves says whether a tree may change its name without taking a file out of the
// reach of a rule, or into it.
func (f *Files) Moves(name string) bool {
	for i := range f.Rules {
		if f.Rules[i].Access < Write && f.Rules[i].Pattern.below(name) {
			return false
		}
	}
	return true
}

func (r *reader) files(n *yaml.Node) {
	f := &Files{Default: Write}
	access := func(what string, into *Access) func(*yaml.Node) {
		return func(n *yaml.Node) {
			var s string
			r.text(what, &s, oneOf("none", "see", "read", "write"))(n)
			*into = map[string]Access{"none": None, "see": See, "read": Read, "write": Write}[s]
		}
	}
	r.fields(n, "files", map[string]func(*yaml.Node){
		"default": access("files.default", &f.Default),
		"rules": r.list("files.rules", func(_ int, n *yaml.Node) {
			var rule FileRule
			r.fields(n, "an entry of files.rules", map[string]func(*yaml.Node){
				"path!": r.text("path", new(string), func(s string) (err error) {
					rule.Pattern, err = ParsePattern(s)
					return err
				}),
				"access!": access("access", &rule.Access),
			})
			f.Rules = append(f.Rules, rule)
		}),
	})
	r.p.Files = f
}
