package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"megabinary.dev/engine/lock"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// Plan is a pipeline with its plugins, checked and in an order in which it can
// run.
type Plan struct {
	Pipeline *Pipeline
	Stages   []*PlannedStage
	plugins  map[string]*loaded
	source   []string // media types that the source gives
}

// PlannedStage is one stage of a plan.
type PlannedStage struct {
	Spec         *StageSpec
	Plugin       *PluginSpec
	PluginDigest string
	Description  stage.Description
	plugin       *loaded
	needs        []*PlannedStage // in the order of Spec.Needs; nil stands for the source
	source       []string        // media types that the source gives
	byInput      []string        // properties of the configuration that are keyed by input
}

// Close ends the plan's plugins.
func (p *Plan) Close() { closeAll(p.plugins) }

// Plan loads a pipeline's plugins, asks them for their stages and checks that
// the stages fit together. It reports all that is wrong at once. Close the plan.
func (p *Plugins) Plan(ctx context.Context, pipeline *Pipeline, l *lock.Lock) (*Plan, error) {
	return p.planFrom(ctx, pipeline, l, artifact.ImageTypes())
}

// planFrom is Plan for a source of other media types than an image's.
func (p *Plugins) planFrom(ctx context.Context, pipeline *Pipeline, l *lock.Lock, source []string) (*Plan, error) {
	all, err := p.Load(pipeline, l)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Pipeline: pipeline, plugins: all, source: source}
	if err := plan.resolve(ctx, p); err != nil {
		plan.Close()
		return nil, err
	}
	return plan, nil
}

func (p *Plan) resolve(ctx context.Context, plugins *Plugins) error {
	var errs []error
	done := make(map[string]*PlannedStage)
	for len(done) < len(p.Pipeline.Stages) {
		progress := false
		for _, spec := range p.Pipeline.Stages {
			if done[spec.Name] != nil || !ready(spec, done) {
				continue
			}
			progress = true
			planned, err := p.resolveStage(ctx, plugins, spec, done)
			done[spec.Name] = planned
			p.Stages = append(p.Stages, planned)
			if err != nil {
				errs = append(errs, err)
			}
		}
		if !progress {
			panic("BUG: a pipeline with a circle or an unknown need was decoded")
		}
	}
	return errors.Join(errs...)
}

func ready(spec *StageSpec, done map[string]*PlannedStage) bool {
	return !slices.ContainsFunc(spec.Needs, func(n Need) bool { return n.Name != SourceName && done[n.Name] == nil })
}

// resolveStage always returns a stage, so that the ones after it can be checked too.
func (p *Plan) resolveStage(ctx context.Context, plugins *Plugins, spec *StageSpec, done map[string]*PlannedStage) (*PlannedStage, error) {
	name, stageName, _ := strings.Cut(spec.Uses, "/")
	plugin := p.plugins[name]
	planned := &PlannedStage{Spec: spec, Plugin: plugin.spec, PluginDigest: plugin.Digest(), plugin: plugin, source: p.source}
	for _, need := range spec.Needs {
		planned.needs = append(planned.needs, done[need.Name])
	}
	all, err := plugin.describe(ctx, plugins.Cache)
	if err != nil {
		return planned, errorAt(spec.UsesPos, "stage %s: asking plugin %s for its stages: %w", spec.Name, name, err)
	}
	planned.Description, err = choose(all, name, stageName)
	if err != nil {
		return planned, errorAt(spec.UsesPos, "stage %s: plugin %s: %w", spec.Name, name, err)
	}
	if planned.byInput, err = byInput(planned.Description.Schema); err != nil {
		return planned, errorAt(spec.UsesPos, "stage %s: plugin %s: %w", spec.Name, name, err)
	}
	return planned, errors.Join(planned.checkInputs(), planned.checkPermissions(), planned.checkConfig())
}

// choose finds the stage that "plugin" or "plugin/stage" means.
func choose(all []stage.Description, plugin, name string) (stage.Description, error) {
	if name == "" && len(all) == 1 {
		return all[0], nil
	}
	if name == "" {
		name = plugin
	}
	var names []string
	for _, d := range all {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return stage.Description{}, fmt.Errorf("it has no stage %q; it has %s", name, strings.Join(names, ", "))
}

// gives returns the media types that a need gives.
func (s *PlannedStage) gives(i int) []string {
	if s.needs[i] == nil {
		return s.source
	}
	return s.needs[i].Description.Gives
}

func (s *PlannedStage) checkInputs() error {
	var errs []error
	given := make(map[string]bool)
	for i, need := range s.Spec.Needs {
		useful := false
		for _, t := range s.gives(i) {
			given[t] = true
			useful = useful || s.Description.TakesType(t)
		}
		if !useful && len(s.gives(i)) > 0 {
			errs = append(errs, errorAt(need.Pos, "stage %s needs %s, but takes nothing of what that gives (%s)",
				s.Spec.Name, need.Name, strings.Join(s.gives(i), ", ")))
		}
	}
	parts := make(map[artifact.Part]bool)
	for t := range given {
		parts[artifact.PartOf(t)] = true
	}
	for _, t := range s.Description.Takes {
		part := artifact.PartOf(t)
		if strings.HasSuffix(t, "?") || given[t] || part != "" && parts[part] {
			continue
		}
		errs = append(errs, errorAt(s.Spec.Pos, "stage %s: missing input %s: none of its needs gives that", s.Spec.Name, t))
	}
	if f := s.Spec.ForEach; f != "" && !(given[f] && s.Description.TakesType(f)) {
		errs = append(errs, errorAt(s.Spec.ForEachPos, "stage %s: forEach %s: none of its needs gives that, or the stage does not take it", s.Spec.Name, f))
	}
	return errors.Join(errs...)
}

// checkPermissions refuses a sandboxed stage that asks for more than is granted.
func (s *PlannedStage) checkPermissions() error {
	if s.Plugin.Kind != Sandbox {
		return nil
	}
	asked, granted := s.Description.Permissions, s.Plugin.Permissions
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, errorAt(granted.Pos, "plugin %s, stage %s, asks for "+format, append([]any{s.Plugin.Name, s.Description.Name}, args...)...))
	}
	if asked.Memory > granted.Memory {
		refuse("%d bytes of memory and is granted %d", asked.Memory, granted.Memory)
	}
	if asked.Timeout != "" {
		if t, err := time.ParseDuration(asked.Timeout); err != nil {
			refuse("a timeout of %q, which is no duration", asked.Timeout)
		} else if t > granted.Timeout {
			refuse("%s of time and is granted %s", t, granted.Timeout)
		}
	}
	for _, path := range asked.Paths {
		if !slices.Contains(granted.Paths, path) {
			refuse("path %s, which is not granted", path)
		}
	}
	for _, host := range asked.Hosts {
		if !slices.Contains(granted.Hosts, host) {
			refuse("host %s, which is not granted", host)
		}
	}
	return errors.Join(errs...)
}

// checkConfig validates "with" under the stage's schema.
func (s *PlannedStage) checkConfig() error {
	var config any
	if err := json.Unmarshal(s.Spec.With, &config); err != nil {
		return errorAt(s.Spec.Pos, "stage %s: %w", s.Spec.Name, err)
	}
	if len(s.Description.Schema) == 0 {
		if m, ok := config.(map[string]any); ok && len(m) > 0 {
			return errorAt(s.withPos(), "stage %s takes no configuration", s.Spec.Name)
		}
		return nil
	}
	err := validateJSON(s.Description.Schema, config)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		if err != nil {
			return errorAt(s.Spec.UsesPos, "stage %s: its schema is wrong: %w", s.Spec.Name, err)
		}
		return nil
	}
	var errs []error
	for _, leaf := range leaves(invalid) {
		at := s.withPos()
		if n := locate(s.Spec.with, leaf.InstanceLocation); n != nil {
			at.Line, at.Column = n.Line, n.Column
		}
		errs = append(errs, errorAt(at, "stage %s, with: /%s: %s", s.Spec.Name, strings.Join(leaf.InstanceLocation, "/"), leafMessage(leaf)))
	}
	return errors.Join(errs...)
}

func (s *PlannedStage) withPos() Pos {
	if s.Spec.with == nil {
		return s.Spec.Pos
	}
	return Pos{File: s.Spec.Pos.File, Line: s.Spec.with.Line, Column: s.Spec.with.Column}
}

// noLoader keeps schemas from naming files or addresses.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a stage's schema may not refer to %s", url)
}

func validateJSON(schema []byte, value any) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	const url = "stage:schema"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(url, doc); err != nil {
		return err
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// leaves returns the causes that have no causes.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

// leafMessage drops the first line of the library's message, which repeats the place.
func leafMessage(e *jsonschema.ValidationError) string {
	message := e.Error()
	if _, after, ok := strings.Cut(message, "\n"); ok {
		message = after
	}
	if _, after, ok := strings.Cut(message, "': "); ok {
		message = after
	}
	return strings.TrimSpace(message)
}

// locate finds the node of a place in the configuration.
func locate(n *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		if n == nil {
			return nil
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				if fmt.Sprint(i) == step {
					next = c
				}
			}
		}
		n = next
	}
	return n
}
