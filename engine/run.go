package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"megabinary.dev/engine/cache"
	"megabinary.dev/engine/progress"
	"megabinary.dev/engine/remote"
	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
	"megabinary.dev/sdk/stage/stagepb"
)

// Runner runs plans.
type Runner struct {
	Store    *store.Store
	Cache    *cache.Cache  // nil: none
	NoReads  bool          // do not use cached results, but write them
	Jobs     int           // stages or items at once; 0: one for each CPU
	Progress progress.Sink // nil: none
}

// Outcome is what a plan's run gave.
type Outcome struct {
	Stages []*StageOutcome // in the plan's order
}

// StageOutcome is what one stage gave.
type StageOutcome struct {
	Name        string             `json:"name"`
	Kind        stage.Kind         `json:"kind"`
	Items       int                `json:"items"`  // runs of the stage: 1, or of forEach
	Cached      int                `json:"cached"` // of these, from the cache
	Elapsed     time.Duration      `json:"elapsed"`
	Outputs     []stage.Descriptor `json:"outputs"`
	Diagnostics []stage.Diagnostic `json:"diagnostics,omitempty"`
	Metrics     map[string]float64 `json:"metrics,omitempty"` // summed over items
}

// Of returns the outcome of the last stage of a kind, or nil.
func (o *Outcome) Of(kind stage.Kind) *StageOutcome {
	for _, s := range slices.Backward(o.Stages) {
		if s.Kind == kind {
			return s
		}
	}
	return nil
}

// RunError says which stage failed, on what.
type RunError struct {
	Stage, Plugin string
	PluginDigest  string
	Item          string // path or digest, "" if the stage does not fan out
	ItemDigest    string
	Err           error
}

func (e *RunError) Error() string {
	what := "stage " + e.Stage
	if e.Item != "" {
		what += " on " + e.Item
		if e.ItemDigest != "" && e.ItemDigest != e.Item {
			what += " (" + e.ItemDigest + ")"
		}
	}
	return fmt.Sprintf("%s, plugin %s (%.19s): %v", what, e.Plugin, e.PluginDigest, e.Err)
}

func (e *RunError) Unwrap() error { return e.Err }

// run is one run of a plan.
type run struct {
	*Runner
	plan    *Plan
	source  []stage.Descriptor
	scratch *store.Scratch
	slots   chan struct{} // one for each job

	done map[*PlannedStage]chan struct{} // closed when its outcome is there
	out  map[*PlannedStage]*StageOutcome // each written by its own goroutine before it closes done
}

// Run runs a plan over the source. What a failed or cancelled run finished is in
// the cache; nothing else of it stays.
func (r *Runner) Run(ctx context.Context, plan *Plan, source []stage.Descriptor) (*Outcome, error) {
	scratch, err := r.Store.NewScratch()
	if err != nil {
		return nil, err
	}
	defer scratch.Close()
	jobs := r.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	runner := *r
	if runner.Progress == nil {
		runner.Progress = progress.Discard()
	}
	x := &run{
		Runner: &runner, plan: plan, source: source, scratch: scratch, slots: make(chan struct{}, jobs),
		done: make(map[*PlannedStage]chan struct{}), out: make(map[*PlannedStage]*StageOutcome),
	}
	for _, s := range plan.Stages {
		x.done[s] = make(chan struct{})
		x.out[s] = &StageOutcome{Name: s.Spec.Name, Kind: s.Description.Kind, Metrics: make(map[string]float64)}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, s := range plan.Stages {
		group.Go(func() error { return x.stage(groupCtx, s) })
	}
	err = group.Wait()
	if ctx.Err() != nil { // the cancellation, not what it broke
		return nil, fmt.Errorf("the build was stopped: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	outcome := new(Outcome)
	for _, s := range plan.Stages {
		outcome.Stages = append(outcome.Stages, x.out[s])
	}
	return outcome, nil
}

// item is one run of a stage: the stage itself, or one of its fan-out.
type item struct {
	inputs  []stage.Descriptor
	name    string // "" if the stage does not fan out
	subject string // digest, likewise
	index   int    // from 1
	of      int
}

// stage waits for what s needs and runs all of its items.
func (x *run) stage(ctx context.Context, s *PlannedStage) error {
	for _, need := range s.needs {
		if need == nil {
			continue
		}
		select {
		case <-x.done[need]:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	start := time.Now()
	inputs := x.inputs(s)
	if len(inputs) == 0 && s.Spec.ForEach == "" {
		return x.fail(s, item{}, errors.New("none of its needs gave an input that it takes"))
	}
	items := []item{{inputs: inputs}}
	if s.Spec.ForEach != "" {
		items = fanOut(inputs, s.Spec.ForEach)
	}
	entries := make([]cache.Entry, len(items))
	var mu sync.Mutex // guards cached
	cached := 0
	group, groupCtx := errgroup.WithContext(ctx)
	for i, it := range items {
		group.Go(func() error {
			entry, hit, err := x.item(groupCtx, s, it)
			if err != nil {
				if !s.Spec.Continue || !itemFault(err) || groupCtx.Err() != nil {
					return err
				}
				entry = cache.Entry{Diagnostics: []stage.Diagnostic{{Severity: stage.SeverityError, Message: "left out: " + err.Error()}}}
			}
			entries[i] = entry
			if hit {
				mu.Lock()
				cached++
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	out := x.out[s]
	out.Items, out.Cached, out.Elapsed = len(items), cached, time.Since(start)
	for i, entry := range entries {
		out.collect(items[i], entry)
	}
	close(x.done[s])
	return nil
}

// itemFault says whether an error is about the item that a stage was given: the
// stage refused it, or its plugin crashed or hung over it.
func itemFault(err error) bool {
	var refused *serve.StageError
	var crashed *remote.CrashError
	var hung *remote.TimeoutError
	return (errors.As(err, &refused) || errors.As(err, &crashed) || errors.As(err, &hung)) && !errors.Is(err, syscall.ENOSPC)
}

// collect adds one item's result. Outputs of a fan-out say what they were made
// from; the cache does not hold that, since one content may have many paths.
func (o *StageOutcome) collect(it item, entry cache.Entry) {
	for _, d := range entry.Outputs {
		if it.subject != "" {
			d.Annotations = withDefaults(d.Annotations, map[string]string{
				artifact.AnnotationSubject: it.subject,
				artifact.AnnotationPath:    it.name,
			})
		}
		o.Outputs = append(o.Outputs, d)
	}
	for _, d := range entry.Diagnostics {
		if it.name != "" && (d.Subject == "" || d.Subject == it.subject) {
			d.Subject = it.name
		}
		o.Diagnostics = append(o.Diagnostics, d)
	}
	for name, value := range entry.Metrics {
		o.Metrics[name] += value
	}
}

func withDefaults(annotations, defaults map[string]string) map[string]string {
	all := maps.Clone(annotations)
	if all == nil {
		all = make(map[string]string)
	}
	for key, value := range defaults {
		if all[key] == "" {
			all[key] = value
		}
	}
	return all
}

// inputs returns what a stage takes of what it needs, in the order of its needs.
func (x *run) inputs(s *PlannedStage) []stage.Descriptor {
	var all []stage.Descriptor
	for _, need := range s.needs {
		given := x.source
		if need != nil {
			given = x.out[need].Outputs
		}
		for _, d := range given {
			if s.Description.TakesType(d.MediaType) {
				all = append(all, d)
			}
		}
	}
	return all
}

// subjectOf returns the digest of the file that an artifact is about.
func subjectOf(d stage.Descriptor) string {
	if subject := d.Annotations[artifact.AnnotationSubject]; subject != "" {
		return subject
	}
	return d.Digest
}

// fanOut makes an item of each input of mediaType, together with the inputs of
// other types about the same file. Inputs about no such file are left out, and
// so are annotations but the subject: the key of the cache must be the same for
// a file that lies elsewhere in another image.
func fanOut(inputs []stage.Descriptor, mediaType string) []item {
	var items []item
	seen := make(map[string]bool)
	for _, d := range inputs {
		if d.MediaType != mediaType || seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		subject := subjectOf(d)
		it := item{name: d.Annotations[artifact.AnnotationPath], subject: subject}
		if it.name == "" {
			it.name = subject
		}
		for _, other := range inputs {
			if other.Digest == d.Digest && other.MediaType == d.MediaType ||
				other.MediaType != mediaType && subjectOf(other) == subject {
				other.Annotations = map[string]string{artifact.AnnotationSubject: subject}
				it.inputs = append(it.inputs, other)
			}
		}
		it.inputs = slices.CompactFunc(it.inputs, func(a, b stage.Descriptor) bool {
			return a.Digest == b.Digest && a.MediaType == b.MediaType
		})
		items = append(items, it)
	}
	for i := range items {
		items[i].index, items[i].of = i+1, len(items)
	}
	return items
}

func (x *run) fail(s *PlannedStage, it item, err error) error {
	return &RunError{
		Stage: s.Spec.Name, Plugin: s.Plugin.Name, PluginDigest: s.PluginDigest,
		Item: it.name, ItemDigest: it.subject, Err: err,
	}
}

// item gives the result of one item, from the cache or by running the stage.
func (x *run) item(ctx context.Context, s *PlannedStage, it item) (entry cache.Entry, hit bool, err error) {
	event := func(e progress.Event) {
		e.Time, e.Stage, e.Item, e.Index, e.Items = time.Now(), s.Spec.Name, it.name, it.index, it.of
		x.Progress.Event(e)
	}
	config, err := s.configFor(it)
	if err != nil {
		return cache.Entry{}, false, x.fail(s, it, err)
	}
	key := cache.Key{
		Plugin: s.PluginDigest, Stage: s.Description.Name, Version: s.Description.Version,
		Config: config, Inputs: it.inputs,
	}
	if x.Cache != nil && !x.NoReads {
		if entry, ok := x.Cache.Get(key); ok {
			event(progress.Event{Kind: progress.Cached})
			for _, d := range entry.Diagnostics {
				event(diagnosticEvent(d))
			}
			return entry, true, nil
		}
	}
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return cache.Entry{}, false, ctx.Err()
	}
	start := time.Now()
	event(progress.Event{Kind: progress.Started})
	entry, err = x.execute(ctx, s, it, config, event)
	millis := time.Since(start).Milliseconds()
	if err != nil {
		err = x.fail(s, it, err)
		event(progress.Event{Kind: progress.Failed, Millis: millis, Text: err.Error()})
		return cache.Entry{}, false, err
	}
	if x.Cache != nil {
		if err := x.Cache.Put(key, entry); err != nil {
			return cache.Entry{}, false, x.fail(s, it, err)
		}
	}
	event(progress.Event{Kind: progress.Done, Millis: millis})
	return entry, false, nil
}

func diagnosticEvent(d stage.Diagnostic) progress.Event {
	text := d.Message
	if d.Subject != "" {
		text = d.Subject + ": " + text
	}
	return progress.Event{Kind: progress.Diagnostic, Severity: string(d.Severity), Text: text}
}

// execute runs the stage in directories of its own and takes in its outputs.
func (x *run) execute(ctx context.Context, s *PlannedStage, it item, config json.RawMessage, event func(progress.Event)) (cache.Entry, error) {
	dir, err := os.MkdirTemp(x.scratch.Dir, s.Spec.Name+"-*")
	if err != nil {
		return cache.Entry{}, store.Explain(err)
	}
	defer os.RemoveAll(dir)
	req := &stagepb.RunRequest{
		Stage: s.Description.Name, Config: config,
		In: filepath.Join(dir, "in"), Out: filepath.Join(dir, "out"),
	}
	for _, sub := range []string{req.In, req.Out} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return cache.Entry{}, store.Explain(err)
		}
	}
	for _, d := range it.inputs {
		req.Inputs = append(req.Inputs, stage.DescriptorToWire(d))
		if err := x.Store.Link(d, req.In); err != nil {
			return cache.Entry{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.plugin.timeout())
	defer cancel()
	collected := &collector{event: event, entry: cache.Entry{Metrics: make(map[string]float64)}}
	result, err := s.plugin.Run(ctx, req, collected.on)
	if err != nil {
		return cache.Entry{}, x.explainDisk(err)
	}
	entry := collected.finish()
	entry.Outputs, err = x.takeIn(s, req.Out, result)
	if err != nil {
		return cache.Entry{}, err
	}
	return entry, x.checkInputs(s, it.inputs)
}

// explainDisk adds the remedy when a stage failed because the disk is full:
// across processes an error is a text, and a module is told of an I/O error only.
func (x *run) explainDisk(err error) error {
	full := strings.Contains(err.Error(), syscall.ENOSPC.Error())
	if !full && strings.Contains(err.Error(), "I/O error") {
		var fs syscall.Statfs_t
		full = syscall.Statfs(x.scratch.Dir, &fs) == nil && fs.Bavail < minFreeBlocks
	}
	if full && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", store.Explain(syscall.ENOSPC), err)
	}
	return err
}

// minFreeBlocks is the number of free blocks of a file system below which an
// I/O error is put down to a full disk.
const minFreeBlocks = 64

// collector gathers what a running stage says.
type collector struct {
	event func(progress.Event)

	mu    sync.Mutex // guards entry
	entry cache.Entry
}

// maxDiagnostics limits what one run may say; the rest is counted in one more.
const maxDiagnostics = 1000

func (c *collector) on(e *stagepb.Event) {
	switch of := e.Of.(type) {
	case *stagepb.Event_Progress:
		c.event(progress.Event{Kind: progress.Working, Done: of.Progress.GetDone(), Total: of.Progress.GetTotal(), Text: of.Progress.GetWhat()})
	case *stagepb.Event_Log:
		c.event(progress.Event{Kind: progress.Log, Severity: of.Log.GetLevel(), Text: of.Log.GetMessage()})
	case *stagepb.Event_Diagnostic:
		d := stage.Diagnostic{Severity: stage.Severity(of.Diagnostic.GetSeverity()), Subject: of.Diagnostic.GetSubject(), Message: of.Diagnostic.GetMessage()}
		c.mu.Lock()
		full := len(c.entry.Diagnostics) >= maxDiagnostics
		if !full {
			c.entry.Diagnostics = append(c.entry.Diagnostics, d)
		}
		c.mu.Unlock()
		if !full {
			c.event(diagnosticEvent(d))
		}
	case *stagepb.Event_Metric:
		c.mu.Lock()
		if len(c.entry.Metrics) < maxDiagnostics {
			c.entry.Metrics[of.Metric.GetName()] += of.Metric.GetValue()
		}
		c.mu.Unlock()
		c.event(progress.Event{Kind: progress.Metric, Name: of.Metric.GetName(), Value: of.Metric.GetValue()})
	}
}

func (c *collector) finish() cache.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entry
}

// takeIn moves a stage's outputs into the store. It believes nothing: names,
// types and the directory's content are checked, digests are computed.
func (x *run) takeIn(s *PlannedStage, out string, result *stagepb.Result) ([]stage.Descriptor, error) {
	var outputs []stage.Descriptor
	for _, o := range result.GetOutputs() {
		name := o.GetFile()
		if name != filepath.Base(name) || name == "." || name == ".." || name == string(filepath.Separator) {
			return nil, fmt.Errorf("the plugin answered nonsense: output file %q is not a plain name", name)
		}
		if !slices.Contains(s.Description.Gives, o.GetMediaType()) {
			return nil, fmt.Errorf("the plugin answered nonsense: an output of type %q, which the stage does not give", o.GetMediaType())
		}
		d, err := x.Store.Adopt(o.GetMediaType(), filepath.Join(out, name))
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return nil, fmt.Errorf("the plugin answered nonsense: output file %q is not there", name)
			}
			return nil, err
		}
		d.Annotations = o.GetAnnotations()
		outputs = append(outputs, d)
	}
	left, err := os.ReadDir(out)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("the plugin answered nonsense: it left file %q, which its result does not name", left[0].Name())
	}
	return outputs, nil
}

// checkInputs verifies that a process, which is not sandboxed, left its inputs
// alone: they are hard links into the store.
func (x *run) checkInputs(s *PlannedStage, inputs []stage.Descriptor) error {
	if s.Plugin.Kind != Process || s.plugin.trusted {
		return nil
	}
	for _, d := range inputs {
		if err := x.Store.Verify(d); err != nil {
			if path, pathErr := x.Store.Path(d.Digest); pathErr == nil {
				os.Remove(path) // so that it is made again
			}
			return fmt.Errorf("the plugin changed its input, which is removed from the store: %w", err)
		}
	}
	return nil
}

// RunStage runs one stage by hand, without a pipeline: for authors.
func (p *Plugins) RunStage(ctx context.Context, r *Runner, spec *PluginSpec, stageName string, config json.RawMessage, inputs []stage.Descriptor) (*StageOutcome, error) {
	pipeline := &Pipeline{File: "command line", Plugins: []*PluginSpec{spec}}
	plugin, err := p.load(spec, ".", true)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", spec.Name, err)
	}
	plan := &Plan{Pipeline: pipeline, plugins: map[string]*loaded{spec.Name: plugin}}
	defer plan.Close()
	all, err := plugin.describe(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("asking plugin %s for its stages: %w", spec.Name, err)
	}
	description, err := choose(all, spec.Name, stageName)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", spec.Name, err)
	}
	planned := &PlannedStage{
		Spec:   &StageSpec{Name: description.Name, Uses: spec.Name, With: config, Pos: Pos{File: "command line"}},
		Plugin: spec, PluginDigest: plugin.Digest(), Description: description, plugin: plugin,
		needs: []*PlannedStage{nil},
	}
	if err := errors.Join(planned.checkConfig(), planned.checkPermissions()); err != nil {
		return nil, err
	}
	plan.Stages = []*PlannedStage{planned}
	outcome, err := r.Run(ctx, plan, inputs)
	if err != nil {
		return nil, err
	}
	return outcome.Stages[0], nil
}

// DescribePlugin returns a plugin's digest and stages; dir is where relative
// paths start.
func (p *Plugins) DescribePlugin(ctx context.Context, spec *PluginSpec, dir string) (string, []stage.Description, error) {
	plugin, err := p.load(spec, dir, true)
	if err != nil {
		return "", nil, fmt.Errorf("plugin %s: %w", spec.Name, err)
	}
	defer plugin.Close()
	all, err := plugin.describe(ctx, p.Cache)
	return plugin.Digest(), all, err
}
