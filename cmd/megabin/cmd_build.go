package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"megabinary.dev/engine"
	"megabinary.dev/engine/progress"
	"megabinary.dev/image"
	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
)

// buildOptions are the flags of build.
type buildOptions struct {
	file, dest, cpu, hints string
	plain, asJSON, noRead  bool
	native                 bool
	mapName                string
	mapSequence            uint64
}

// newBuildCmd returns the command that rebuilds an image.
func newBuildCmd(a *app) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Annotations: map[string]string{ownTerminal: "it draws its progress"},
		Use:         "build [-f pipeline.yaml] SOURCE -o DEST",
		Short:       "Rebuild an image so that none of its machine code runs",
		Long: `Send an image through a pipeline: every executable and library in it is
recompiled into one WebAssembly module, which DEST carries in one more layer.

SOURCE and DEST are ` + image.Usage + `.
What was built before is taken from the store; a build that fails or is stopped
leaves nothing half-written and goes on where it was when it is run again.`,
		Example: `  megabin build oci:app -o oci:app-mega
  megabin build docker-archive:app.tar -o oci-archive:mega.tar
  megabin build registry.example/app:v1 -o docker://registry.example/app:v1-mega
  megabin build --cpu x86-64-v3 oci:app -o oci:app-mega
  megabin build --native oci:app -o oci:app-mega    # production: compiled ahead of time
  megabin build -f pipeline.yaml --json oci:app -o oci:app-mega`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.build(ctx, args[0], o)
		},
	}
	flags := cmd.Flags()
	addPipelineFlag(cmd, &o.file)
	flags.StringVarP(&o.dest, "output", "o", "", "where the image goes")
	flags.StringVar(&o.hints, "hints", "", "translate the code that megabin run --hints has noted in this file, too")
	flags.BoolVar(&o.plain, "plain", false, "show progress line by line, also on a terminal")
	flags.BoolVar(&o.asJSON, "json", false, "write progress and result to standard output as lines of JSON")
	flags.BoolVar(&o.noRead, "no-cache", false, "run every stage, whatever was built before")
	addCPUFlag(cmd, &o.cpu)
	flags.BoolVar(&o.native, "native", false, "compile to native code as well, with clang: three times faster programs, a slower build")
	flags.StringVar(&o.mapName, "map-name", "", "name the application, so that hosts order its exec maps")
	flags.Uint64Var(&o.mapSequence, "map-sequence", 0, "number of this exec map: hosts that accepted a higher one of --map-name refuse it")
	flags.Int(settingJobs, 0, "stages and files at once (default: one for each CPU)")
	addStoreFlag(cmd)
	return cmd
}

// newProgress returns the display that the flags and the terminal ask for.
func (a *app) newProgress(plain, asJSON bool) progress.Sink {
	switch {
	case asJSON:
		return progress.JSON(a.stdout)
	case plain || !isTerminal(a.stderr):
		return progress.Plain(a.stderr)
	}
	return progress.TTY(a.stderr, func() int {
		columns, _, err := term.GetSize(int(a.stderr.(*os.File).Fd()))
		if err != nil {
			return 80
		}
		return columns
	})
}

// summary is what a build gave; with --json it is the last line.
type summary struct {
	Kind        string                 `json:"kind"` // "summary"
	Source      string                 `json:"source"`
	Dest        string                 `json:"dest"`
	Image       string                 `json:"image"` // digest of the new manifest
	Layer       string                 `json:"layer"` // digest of the new layer
	Layerbytes  int64                  `json:"layerBytes"`
	Millis      int64                  `json:"ms"`
	Stages      []*engine.StageOutcome `json:"stages"`
	Diagnostics map[stage.Severity]int `json:"diagnostics"`
}

func (a *app) build(ctx context.Context, source string, o buildOptions) error {
	start := time.Now()
	if o.dest == "" {
		return errors.New("there is no destination: give one with -o")
	}
	sourceRef, err := image.ParseRef(source)
	if err != nil {
		return err
	}
	destRef, err := image.ParseRef(o.dest)
	if err != nil {
		return err
	}
	w, err := a.openWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	pipeline, l, err := readPipeline(o.file)
	if err != nil {
		return err
	}
	if err := setEpoch(pipeline, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if err := setCPU(pipeline, o.cpu); err != nil {
		return err
	}
	if err := setHints(pipeline, o.hints); err != nil {
		return err
	}
	if o.native {
		if err := addNative(ctx, pipeline); err != nil {
			return err
		}
	}
	if err := setMapName(pipeline, o.mapName, o.mapSequence); err != nil {
		return err
	}
	plan, err := w.plugins.Plan(ctx, pipeline, l)
	if err != nil {
		return err
	}
	defer plan.Close()
	sink := a.newProgress(o.plain, o.asJSON)
	outcome, built, err := a.runBuild(ctx, w, plan, sourceRef, destRef, sink, o)
	sink.Close()
	if err != nil {
		return err
	}
	newest := built.Layers[len(built.Layers)-1]
	s := summary{
		Kind: "summary", Source: sourceRef.String(), Dest: destRef.String(), Image: built.Manifest.Digest,
		Layer: newest.Digest, Layerbytes: newest.Size, Millis: time.Since(start).Milliseconds(),
		Stages: outcome.Stages, Diagnostics: make(map[stage.Severity]int),
	}
	for _, st := range outcome.Stages {
		for _, d := range st.Diagnostics {
			s.Diagnostics[d.Severity]++
		}
	}
	if o.asJSON {
		return json.NewEncoder(a.stdout).Encode(s)
	}
	return printSummary(a.stdout, s)
}

// setEpoch gives the time of SOURCE_DATE_EPOCH to the stages that assemble an
// image with the shipped plugin, unless the pipeline sets one: plugins do not
// see the environment.
func setEpoch(pipeline *engine.Pipeline, epoch string) error {
	if epoch == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a number of seconds", epoch)
	}
	_, err = changeConfig(pipeline, "builtin:assemble-oci", func(with map[string]any) error {
		const key = "sourceDateEpoch"
		if with[key] == nil {
			with[key] = seconds
		}
		return nil
	})
	return err
}

// setHints gives the hints in a file to the stages that analyze with the shipped
// plugin, beside those of the pipeline. Hints of one file leave the results of
// the others in the cache.
func setHints(pipeline *engine.Pipeline, file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading hints: %w", err)
	}
	defer f.Close()
	hints, err := artifact.ReadHints(f)
	if err != nil {
		return fmt.Errorf("reading hints: %s: %w", file, err)
	}
	source := "builtin:" + analyzeelf.Name
	found, err := changeConfig(pipeline, source, func(with map[string]any) error {
		var own struct {
			Hints map[string][]string `json:"hints"`
		}
		encoded, err := json.Marshal(with)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(encoded, &own); err != nil {
			return nil // the stage's schema refuses it, with its place in the pipeline
		}
		all := maps.Clone(hints)
		for digest, addresses := range own.Hints {
			all[digest] = append(slices.Clone(all[digest]), addresses...)
			slices.Sort(all[digest])
			all[digest] = slices.Compact(all[digest])
		}
		if len(all) > 0 {
			with["hints"] = all
		}
		return nil
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("--hints %s: no stage of the pipeline uses %s", file, source)
	}
	return err
}

// changeConfig changes the configuration of the stages that use a plugin and
// returns their number.
func changeConfig(p *engine.Pipeline, source string, change func(with map[string]any) error) (int, error) {
	sources := make(map[string]string)
	for _, plugin := range p.Plugins {
		sources[plugin.Name] = plugin.Source
	}
	found := 0
	for _, s := range p.Stages {
		if name, _, _ := strings.Cut(s.Uses, "/"); sources[name] != source {
			continue
		}
		found++
		with := make(map[string]any)
		if err := json.Unmarshal(s.With, &with); err != nil {
			return found, fmt.Errorf("reading the configuration of stage %s: %w", s.Name, err)
		}
		if err := change(with); err != nil {
			return found, fmt.Errorf("configuring stage %s: %w", s.Name, err)
		}
		var err error
		if s.With, err = json.Marshal(with); err != nil {
			return found, fmt.Errorf("writing the configuration of stage %s: %w", s.Name, err)
		}
	}
	return found, nil
}

// setCPU gives the processor, unless it is empty, to the stages that recompile
// with the shipped plugin, whatever the pipeline says.
func setCPU(p *engine.Pipeline, name string) error {
	if name == "" {
		return nil
	}
	cpu, err := guestabi.ParseCPU(name)
	if err != nil {
		return fmt.Errorf("--cpu: %w", err)
	}
	return configure(p, "builtin:recompile", map[string]any{"cpu": cpu.String()})
}

// setMapName gives name and number of the exec map, unless they are empty, to the
// stages that link with the shipped plugin.
func setMapName(p *engine.Pipeline, name string, sequence uint64) error {
	if err := artifact.CheckMapName(name, sequence); err != nil {
		return fmt.Errorf("--map-name, --map-sequence: %w", err)
	}
	if name == "" {
		return nil
	}
	return configure(p, "builtin:link-megabinary", map[string]any{"mapName": name, "mapSequence": sequence})
}

// addCPUFlag adds --cpu, which says what processor the guest sees.
func addCPUFlag(cmd *cobra.Command, cpu *string) {
	cmd.Flags().StringVar(cpu, "cpu", "", "processor that the guest sees: "+strings.Join(guestabi.CPUNames(), " or ")+" (default "+guestabi.CPUv2.String()+")")
}

func (a *app) runBuild(ctx context.Context, w *workshop, plan *engine.Plan, from, to image.Ref, sink progress.Sink, o buildOptions) (*engine.Outcome, image.Image, error) {
	pulled, err := timed(sink, engine.SourceName, from.String(), func() (image.Image, error) { return image.Pull(ctx, from, w.store) })
	if err != nil {
		return nil, image.Image{}, stopped(ctx, err)
	}
	runner := &engine.Runner{Store: w.store, Cache: w.cache, NoReads: o.noRead, Jobs: a.settings.GetInt(settingJobs), Progress: sink}
	outcome, err := runner.Run(ctx, plan, pulled.Descriptors())
	if err != nil {
		return nil, image.Image{}, err
	}
	built, err := assembled(w, outcome)
	if err != nil {
		return nil, image.Image{}, err
	}
	_, err = timed(sink, "output", to.String(), func() (image.Image, error) { return built, image.Push(ctx, w.store, built, to) })
	return outcome, built, stopped(ctx, err)
}

func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the build was stopped: %w", context.Cause(ctx))
	}
	return err
}

// timed shows what is done outside of the pipeline as if it were a stage.
func timed(sink progress.Sink, name, text string, f func() (image.Image, error)) (image.Image, error) {
	start := time.Now()
	sink.Event(progress.Event{Time: start, Kind: progress.Started, Stage: name, Text: text})
	result, err := f()
	e := progress.Event{Time: time.Now(), Kind: progress.Done, Stage: name, Text: text, Millis: time.Since(start).Milliseconds()}
	if err != nil {
		e.Kind, e.Text = progress.Failed, err.Error()
	}
	sink.Event(e)
	return result, err
}

// assembled finds the image that the pipeline's last assembling stage gave.
func assembled(w *workshop, outcome *engine.Outcome) (image.Image, error) {
	last := outcome.Of(stage.KindAssemble)
	if last == nil {
		return image.Image{}, errors.New("the pipeline has no stage that assembles an image")
	}
	for _, d := range last.Outputs {
		if artifact.PartOf(d.MediaType) == artifact.PartManifest {
			return image.Load(w.store, d)
		}
	}
	return image.Image{}, fmt.Errorf("stage %s gave no manifest", last.Name)
}

func printSummary(out io.Writer, s summary) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tRUNS\tCACHED\tTIME\tNUMBERS")
	for _, st := range s.Stages {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2fs\t%s\n", st.Name, st.Items, st.Cached, st.Elapsed.Seconds(), numbers(st.Metrics))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n  image  %s\n  layer  %s, %s\n  took   %.2fs, %d warnings, %d errors\n",
		s.Dest, s.Image, s.Layer, size(s.Layerbytes), float64(s.Millis)/1000,
		s.Diagnostics[stage.SeverityWarning], s.Diagnostics[stage.SeverityError])
	return nil
}

// maxNumbers is how many metrics the summary shows of one stage.
const maxNumbers = 5

// numbers prints whole numbers only: shares of files add up to nothing.
func numbers(metrics map[string]float64) string {
	var all []string
	for _, name := range sortedNames(metrics) {
		v := metrics[name]
		if v != float64(int64(v)) || strings.Contains(name, ".") && len(all) >= maxNumbers {
			continue
		}
		all = append(all, fmt.Sprintf("%s %d", name, int64(v)))
	}
	if len(all) > maxNumbers {
		all = append(all[:maxNumbers], "...")
	}
	return strings.Join(all, ", ")
}

// size prints a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, exponent := float64(n)/unit, 0
	for value >= unit && exponent < 3 {
		value /= unit
		exponent++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[exponent])
}
