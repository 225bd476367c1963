// Package engine runs pipelines: it knows stages and artifacts, and nothing of
// what they mean. pipeline.go reads a pipeline, plan.go makes a graph of it,
// run.go runs that.
package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"megabinary.dev/sdk/stage"
)

// SourceName is the name under which stages need the image that is built.
const SourceName = "source"

// Pipeline is a decoded pipeline.yaml.
type Pipeline struct {
	File    string // for messages and for relative paths of plugins
	Plugins []*PluginSpec
	Stages  []*StageSpec
}

// PluginKind says how a plugin runs.
type PluginKind string

// The kinds of plugin.
const (
	Process PluginKind = "process" // a go-plugin process, not sandboxed
	Sandbox PluginKind = "sandbox" // an Extism module
)

// PluginSpec is one entry under plugins.
type PluginSpec struct {
	Name        string
	Kind        PluginKind
	Source      string // "builtin:NAME" or a path relative to the pipeline's directory
	SHA256      string // hexadecimal; compulsory unless built in or locked
	Permissions Grant
	Pos         Pos
}

// Grant is what a plugin may use.
type Grant struct {
	Memory  int64 // bytes
	Timeout time.Duration
	Paths   []string
	Hosts   []string
	Pos     Pos
}

// StageSpec is one entry under stages.
type StageSpec struct {
	Name    string
	Uses    string // plugin, or plugin/stage
	Needs   []Need
	ForEach string          // media type to fan out over, "" if not
	With    json.RawMessage // canonical JSON object
	// Continue says that an item of a fan-out that the stage cannot handle is
	// reported and left out, instead of ending the build.
	Continue bool

	Pos, UsesPos, ForEachPos Pos
	onErrorPos               Pos
	with                     *yaml.Node
}

// Need names a stage whose outputs are inputs.
type Need struct {
	Name string
	Pos  Pos
}

// Pos is a place in the pipeline's file.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// PosError is an error with its place.
type PosError struct {
	Pos Pos
	Err error
}

func (e *PosError) Error() string { return e.Pos.String() + ": " + e.Err.Error() }
func (e *PosError) Unwrap() error { return e.Err }

func errorAt(p Pos, format string, args ...any) error {
	return &PosError{Pos: p, Err: fmt.Errorf(format, args...)}
}

// Limits of a pipeline, against hostile files.
const (
	maxPipelineBytes = 1 << 20
	maxDepth         = 32
	pipelineVersion  = 1
)

// Decode reads a pipeline strictly. It reports all mistakes at once, each with
// file, line and column.
func Decode(file string, content []byte) (*Pipeline, error) {
	if len(content) > maxPipelineBytes {
		return nil, fmt.Errorf("%s: %d bytes are more than the %d allowed", file, len(content), maxPipelineBytes)
	}
	var root yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	if err := decoder.Decode(&root); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, fmt.Errorf("%s: there is more than one YAML document", file)
	}
	d := &pipelineDecoder{file: file}
	d.refuseAliases(&root, 0)
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	p := d.pipeline(root.Content[0])
	if len(d.errs) == 0 {
		d.check(p)
	}
	return p, errors.Join(d.errs...)
}

type pipelineDecoder struct {
	file string
	errs []error
}

func (d *pipelineDecoder) pos(n *yaml.Node) Pos {
	return Pos{File: d.file, Line: n.Line, Column: n.Column}
}

func (d *pipelineDecoder) errorf(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, errorAt(d.pos(n), format, args...))
}

// refuseAliases refuses anchors' uses, which could blow a small file up, and
// deep nesting.
func (d *pipelineDecoder) refuseAliases(n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		d.errorf(n, "aliases are not allowed")
		return
	}
	if depth > maxDepth {
		d.errorf(n, "nesting deeper than %d", maxDepth)
		return
	}
	for _, c := range n.Content {
		d.refuseAliases(c, depth+1)
	}
}

// fields calls the function of each key of a mapping; other keys, keys that come
// twice, and required ones (marked with "!") that do not come are errors.
func (d *pipelineDecoder) fields(n *yaml.Node, what string, of map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s must be a mapping, not %s", what, kindOf(n))
		return
	}
	seen := make(map[string]bool)
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
	for _, key := range sortedKeys(of) {
		if name, required := strings.CutSuffix(key, "!"); required && !seen[name] {
			d.errorf(n, "%s needs a key %q", what, name)
		}
	}
}

func keyList(of map[string]func(*yaml.Node)) string {
	keys := sortedKeys(of)
	for i := range keys {
		keys[i] = strings.TrimSuffix(keys[i], "!")
	}
	return strings.Join(keys, ", ")
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		return "a string"
	}
	return "the value " + strconv.Quote(n.Value)
}

// entries calls f for each name and value of a mapping, in the file's order.
func (d *pipelineDecoder) entries(n *yaml.Node, what string, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "%s must be a mapping of names, not %s", what, kindOf(n))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !nameSyntax().MatchString(key.Value) {
			d.errorf(key, "%q is no name: use lower-case letters, digits and hyphens", key.Value)
			continue
		}
		if seen[key.Value] {
			d.errorf(key, "%q comes twice in %s", key.Value, what)
			continue
		}
		seen[key.Value] = true
		f(key, n.Content[i+1])
	}
}

func nameSyntax() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) }

// text takes a string.
func (d *pipelineDecoder) text(what string, into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
			d.errorf(n, "%s must be a string, not %s", what, kindOf(n))
			return
		}
		*into = n.Value
	}
}

// texts takes a list of strings.
func (d *pipelineDecoder) texts(what string, each func(n *yaml.Node, s string)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			d.errorf(n, "%s must be a list, not %s", what, kindOf(n))
			return
		}
		for _, c := range n.Content {
			var s string
			before := len(d.errs)
			if d.text("an entry of "+what, &s)(c); len(d.errs) == before {
				each(c, s)
			}
		}
	}
}

func (d *pipelineDecoder) pipeline(n *yaml.Node) *Pipeline {
	p := &Pipeline{File: d.file}
	d.fields(n, "the pipeline", map[string]func(*yaml.Node){
		"version!": func(n *yaml.Node) {
			if v, err := strconv.Atoi(n.Value); err != nil || v != pipelineVersion {
				d.errorf(n, "version must be %d, not %s", pipelineVersion, kindOf(n))
			}
		},
		"plugins!": func(n *yaml.Node) {
			d.entries(n, "plugins", func(key, value *yaml.Node) { p.Plugins = append(p.Plugins, d.plugin(key, value)) })
		},
		"stages!": func(n *yaml.Node) {
			d.entries(n, "stages", func(key, value *yaml.Node) { p.Stages = append(p.Stages, d.stage(key, value)) })
		},
	})
	return p
}

func (d *pipelineDecoder) plugin(key, n *yaml.Node) *PluginSpec {
	p := &PluginSpec{Name: key.Value, Pos: d.pos(key), Permissions: Grant{Pos: d.pos(key)}}
	what := "plugin " + p.Name
	d.fields(n, what, map[string]func(*yaml.Node){
		"kind!": func(n *yaml.Node) {
			p.Kind = PluginKind(n.Value)
			if p.Kind != Process && p.Kind != Sandbox {
				d.errorf(n, "kind must be process or sandbox, not %s %q", kindOf(n), n.Value)
			}
		},
		"source!": d.text("source", &p.Source),
		"sha256": func(n *yaml.Node) {
			p.SHA256 = strings.TrimPrefix(n.Value, stage.DigestPrefix)
			if _, err := stage.HexOf(stage.DigestPrefix + p.SHA256); err != nil || n.Kind != yaml.ScalarNode {
				d.errorf(n, "sha256 must be 64 hexadecimal digits, not %s", kindOf(n))
			}
		},
		"permissions": func(n *yaml.Node) { p.Permissions = d.grant(n, what) },
	})
	return p
}

func (d *pipelineDecoder) grant(n *yaml.Node, what string) Grant {
	g := Grant{Pos: d.pos(n)}
	d.fields(n, "permissions of "+what, map[string]func(*yaml.Node){
		"memory": func(n *yaml.Node) {
			size, err := ParseSize(n.Value)
			if err != nil || n.Kind != yaml.ScalarNode {
				d.errorf(n, "memory must be a size such as 512MiB, not %s %q", kindOf(n), n.Value)
			}
			g.Memory = size
		},
		"timeout": func(n *yaml.Node) {
			t, err := time.ParseDuration(n.Value)
			if err != nil || t <= 0 {
				d.errorf(n, "timeout must be a duration such as 90s or 10m, not %s %q", kindOf(n), n.Value)
			}
			g.Timeout = t
		},
		"paths": d.texts("paths", func(n *yaml.Node, s string) {
			if !strings.HasPrefix(s, "/") {
				d.errorf(n, "paths: %q is not absolute", s)
			}
			g.Paths = append(g.Paths, s)
		}),
		"hosts": d.texts("hosts", func(_ *yaml.Node, s string) { g.Hosts = append(g.Hosts, s) }),
	})
	return g
}

func (d *pipelineDecoder) stage(key, n *yaml.Node) *StageSpec {
	s := &StageSpec{Name: key.Value, Pos: d.pos(key), With: json.RawMessage("{}")}
	if s.Name == SourceName {
		d.errorf(key, "%q is the name of the image that is built; no stage may have it", SourceName)
	}
	what := "stage " + s.Name
	d.fields(n, what, map[string]func(*yaml.Node){
		"uses!": func(n *yaml.Node) { s.UsesPos = d.pos(n); d.text("uses", &s.Uses)(n) },
		"needs!": d.texts("needs", func(n *yaml.Node, name string) {
			s.Needs = append(s.Needs, Need{Name: name, Pos: d.pos(n)})
		}),
		"forEach": func(n *yaml.Node) {
			s.ForEachPos = d.pos(n)
			d.text("forEach", &s.ForEach)(n)
			s.ForEach = MediaType(s.ForEach)
			if !strings.Contains(s.ForEach, "/") {
				d.errorf(n, "forEach: %q is no media type, nor one of the short names %s", s.ForEach, strings.Join(sortedKeys(shortTypes()), ", "))
			}
		},
		"onError": func(n *yaml.Node) {
			s.onErrorPos = d.pos(n)
			switch n.Value {
			case "stop", "continue":
				s.Continue = n.Value == "continue"
			default:
				d.errorf(n, "onError must be stop or continue, not %s %q", kindOf(n), n.Value)
			}
		},
		"with": func(n *yaml.Node) { s.with, s.With = n, d.with(n) },
	})
	return s
}

// with turns the configuration of a stage into canonical JSON.
func (d *pipelineDecoder) with(n *yaml.Node) json.RawMessage {
	if n.Kind != yaml.MappingNode {
		d.errorf(n, "with must be a mapping, not %s", kindOf(n))
		return nil
	}
	b, err := json.Marshal(d.value(n))
	if err != nil {
		d.errorf(n, "with: %v", err)
	}
	return b
}

// value turns a YAML node into what encoding/json marshals, map keys sorted.
func (d *pipelineDecoder) value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag != "!!str" {
				d.errorf(key, "keys must be strings, not %s", kindOf(key))
				continue
			}
			if _, twice := m[key.Value]; twice {
				d.errorf(key, "key %q comes twice", key.Value)
			}
			m[key.Value] = d.value(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, d.value(c))
		}
		return list
	}
	switch n.Tag {
	case "!!null", "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			d.errorf(n, "%v", err)
		}
		return v
	}
	return n.Value
}

// check looks for what is wrong between the entries: names and cycles.
func (d *pipelineDecoder) check(p *Pipeline) {
	plugins := make(map[string]*PluginSpec)
	for _, plugin := range p.Plugins {
		plugins[plugin.Name] = plugin
		d.checkGrant(plugin)
	}
	stages := make(map[string]*StageSpec)
	for _, s := range p.Stages {
		stages[s.Name] = s
	}
	for _, s := range p.Stages {
		name, _, _ := strings.Cut(s.Uses, "/")
		if plugins[name] == nil {
			d.errs = append(d.errs, errorAt(s.UsesPos, "stage %s uses plugin %q, which is not under plugins", s.Name, name))
		}
		if len(s.Needs) == 0 {
			d.errs = append(d.errs, errorAt(s.Pos, "stage %s needs nothing: it would have no input (needs: [%s] is the image)", s.Name, SourceName))
		}
		if s.Continue && s.ForEach == "" {
			d.errs = append(d.errs, errorAt(s.onErrorPos, "stage %s: onError: continue is for stages with forEach", s.Name))
		}
		seen := make(map[string]bool)
		for _, need := range s.Needs {
			if need.Name != SourceName && stages[need.Name] == nil {
				d.errs = append(d.errs, errorAt(need.Pos, "stage %s needs %q, which is no stage", s.Name, need.Name))
			}
			if seen[need.Name] {
				d.errs = append(d.errs, errorAt(need.Pos, "stage %s needs %q twice", s.Name, need.Name))
			}
			seen[need.Name] = true
		}
	}
	if len(p.Stages) == 0 {
		d.errs = append(d.errs, fmt.Errorf("%s: there are no stages", d.file))
	}
	if len(d.errs) == 0 {
		d.checkCycles(p, stages)
	}
}

func (d *pipelineDecoder) checkGrant(p *PluginSpec) {
	g := p.Permissions
	switch p.Kind {
	case Sandbox:
		if g.Memory == 0 {
			d.errs = append(d.errs, errorAt(g.Pos, "plugin %s is sandboxed and has no memory: grant some with permissions: {memory: 256MiB}", p.Name))
		}
		if g.Timeout == 0 {
			d.errs = append(d.errs, errorAt(g.Pos, "plugin %s is sandboxed and has no time: grant some with permissions: {timeout: 5m}", p.Name))
		}
	case Process:
		if g.Memory != 0 || len(g.Paths) > 0 || len(g.Hosts) > 0 {
			d.errs = append(d.errs, errorAt(g.Pos, "plugin %s is a process, which is not sandboxed: only its timeout can be limited", p.Name))
		}
	}
}

func (d *pipelineDecoder) checkCycles(p *Pipeline, stages map[string]*StageSpec) {
	const (
		unseen = iota
		open
		closed
	)
	state := make(map[string]int)
	var visit func(s *StageSpec, path []string)
	visit = func(s *StageSpec, path []string) {
		state[s.Name] = open
		path = append(path, s.Name)
		for _, need := range s.Needs {
			next := stages[need.Name]
			switch {
			case next == nil: // the source
			case state[need.Name] == open:
				d.errs = append(d.errs, errorAt(need.Pos, "stages need each other in a circle: %s -> %s", strings.Join(path, " -> "), need.Name))
			case state[need.Name] == unseen:
				visit(next, path)
			}
		}
		state[s.Name] = closed
	}
	for _, s := range p.Stages {
		if state[s.Name] == unseen {
			visit(s, nil)
		}
	}
}

// ParseSize reads a number of bytes such as 512MiB, 1GB, 64k or 4096.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, ok := map[string]int64{
		"": 1, "b": 1,
		"k": 1 << 10, "kib": 1 << 10, "kb": 1000,
		"m": 1 << 20, "mib": 1 << 20, "mb": 1000_000,
		"g": 1 << 30, "gib": 1 << 30, "gb": 1000_000_000,
	}[strings.ToLower(s[len(digits):])]
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || !ok || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size such as 512MiB", s)
	}
	return n * unit, nil
}
