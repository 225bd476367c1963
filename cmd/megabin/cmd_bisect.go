package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"megabinary.dev/engine"
	"megabinary.dev/image"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/vkernel"
)

// bisectFlags are the flags of bisect.
type bisectFlags struct {
	run          runFlags
	file, cpu    string
	expect       string
	expectStatus int
	timeout      time.Duration
}

// newBisectCmd returns the command that finds the function whose optimisation
// breaks a program.
func newBisectCmd(a *app) *cobra.Command {
	var o bisectFlags
	cmd := &cobra.Command{
		Use:   "bisect [flags] IMAGE|FILE -- [COMMAND] [ARG...]",
		Short: "Find the function whose optimisation breaks a program, and the pass",
		Long: `Build and run a program again and again, with ever fewer functions optimised,
until one function is left whose optimisation makes the command go wrong; then
with ever fewer passes. All other functions get the required passes only.

IMAGE is an image that is not rebuilt, in one of the forms ` + image.Usage + `;
what follows -- is the command in it. FILE is a static program of this host; what
follows -- is its arguments.

A run is wrong if its standard output or its exit status is not as expected: as
--expect and --expect-status say; without them as FILE does on this host, or as
IMAGE does when no function is optimised.`,
		Example: `  megabin bisect ./a.out -- --self-test
  megabin bisect oci:app -- python3 -c 'print(0.1+0.2)'
  megabin bisect --expect good.txt --timeout 10s oci:app -- app --report`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			explicit := cmd.Flags().Changed("expect") || cmd.Flags().Changed("expect-status")
			return a.bisect(ctx, o, explicit, args[0], args[1:])
		},
	}
	f := cmd.Flags()
	addPipelineFlag(cmd, &o.file)
	addCPUFlag(cmd, &o.cpu)
	f.StringVar(&o.expect, "expect", "", "file with the standard output of a good run")
	f.IntVar(&o.expectStatus, "expect-status", 0, "exit status of a good run")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "a run that takes longer is wrong")
	f.StringArrayVarP(&o.run.env, "env", "e", nil, "set a variable, K=V; K alone takes it from here")
	f.StringVarP(&o.run.dir, "workdir", "w", "", "working directory")
	f.StringArrayVarP(&o.run.volumes, "volume", "v", nil, "mount a directory of the host, HOST:GUEST[:ro]")
	o.run.limits.add(f)
	f.Int(settingJobs, 0, "stages and files at once (default: one for each CPU)")
	addStoreFlag(cmd)
	return cmd
}

// bisection is one search.
type bisection struct {
	*app
	flags   bisectFlags
	w       *workshop
	v       *vkernel.VKernel
	source  image.Image
	command []string
	want    ending
	funcs   []foundFunction
	builds  int
}

// foundFunction is a function of a file of the image.
type foundFunction struct {
	sha256, path, name string
	start              uint32
}

func (f foundFunction) String() string {
	name := f.name
	if name == "" {
		name = "function"
	}
	return fmt.Sprintf("%s at %#x of %s", name, f.start, f.path)
}

func (a *app) bisect(ctx context.Context, o bisectFlags, explicit bool, subject string, command []string) error {
	w, err := a.openWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	dir, err := os.MkdirTemp(w.scratch.Dir, "bisect")
	if err != nil {
		return fmt.Errorf("making a folder for the search: %w", err)
	}
	b := &bisection{app: a, flags: o, w: w, command: command, want: ending{status: o.expectStatus}}
	host := isHostFile(subject)
	ref := subject
	if host {
		program, err := filepath.Abs(subject)
		if err != nil {
			return fmt.Errorf("resolving %s: %w", subject, err)
		}
		if ref, err = fileImage(program, filepath.Join(dir, "image")); err != nil {
			return err
		}
		b.command = append([]string{program}, command...)
	}
	parsed, err := image.ParseRef(ref)
	if err != nil {
		return err
	}
	if b.source, err = image.Pull(ctx, parsed, w.store); err != nil {
		return err
	}
	if b.v, err = vkernel.New(vkernel.Config{CacheDir: filepath.Join(dir, "cache")}); err != nil {
		return err
	}
	none := func(int) bool { return false }
	switch {
	case o.expect != "":
		text, err := os.ReadFile(o.expect)
		if err != nil {
			return fmt.Errorf("reading what is expected: %w", err)
		}
		b.want.stdout = string(text)
	case explicit: // of the status only: any output is right
		b.want.anyOutput = true
	case host:
		if b.want, err = b.native(ctx); err != nil {
			return err
		}
	default:
		if b.want, err = b.try(ctx, none, nil); err != nil {
			return err
		}
	}
	return b.search(ctx)
}

// isHostFile says whether an argument names a file of the host rather than an
// image.
func isHostFile(s string) bool {
	info, err := os.Stat(s)
	return err == nil && info.Mode().IsRegular()
}

// native runs the command on this host.
func (b *bisection) native(ctx context.Context) (ending, error) {
	ctx, cancel := context.WithTimeout(ctx, b.flags.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.command[0], b.command[1:]...)
	cmd.Env = mergeEnv(os.Environ(), b.flags.run.env)
	var out bytes.Buffer
	cmd.Stdout, cmd.WaitDelay = &out, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return ending{}, fmt.Errorf("running %s on this host: %w (say what is expected with --expect)", b.command[0], err)
	}
	return ending{stdout: out.String(), status: shellStatus(cmd.ProcessState)}, nil
}

// search finds the functions, then the passes, and prints them.
func (b *bisection) search(ctx context.Context) error {
	wrong := func(what string, on func(int) bool, disabled []string) (bool, error) {
		got, err := b.try(ctx, on, disabled)
		if err != nil {
			return false, err
		}
		text := got.differs(b.want)
		verdict := text
		if text == "" {
			verdict = "right"
		}
		fmt.Fprintf(b.stderr, "build %d, %s: %s\n", b.builds, what, verdict)
		return text != "", nil
	}
	all, none := func(int) bool { return true }, func(int) bool { return false }
	is, err := wrong("all functions optimised", all, nil)
	if err != nil {
		return err
	}
	if !is {
		return &exitError{Code: 1, Err: errors.New("nothing is wrong: the optimised program does what is expected")}
	}
	if is, err = wrong("no function optimised", none, nil); err != nil {
		return err
	}
	if is {
		return &exitError{Code: 1, Err: errors.New("no optimisation is to blame: the command is also wrong with the required passes only; " +
			"look at what is lifted and lowered, or at the system calls (megabin run --strace)")}
	}
	n := len(b.funcs)
	fmt.Fprintf(b.stderr, "%d functions: about %d more builds\n", n, halvings(n)+halvings(len(recompile.PassNames())))
	culprits, err := findCulprits(n, func(on func(int) bool) (bool, error) {
		count := 0
		for i := range n {
			if on(i) {
				count++
			}
		}
		return wrong(fmt.Sprintf("%d of %d functions", count, n), on, nil)
	})
	if err != nil {
		return fmt.Errorf("looking for the function: %w", err)
	}
	only := func(i int) bool { return slices.Contains(culprits, i) }
	passes := recompile.PassNames()
	guilty, err := findCulprits(len(passes), func(on func(int) bool) (bool, error) {
		var disabled []string
		for i, name := range passes {
			if !on(i) {
				disabled = append(disabled, name)
			}
		}
		return wrong("passes without "+strings.Join(disabled, ","), only, disabled)
	})
	if err != nil && !errors.Is(err, errNotFound) {
		return fmt.Errorf("looking for the pass: %w", err)
	}
	b.print(culprits, guilty, passes)
	return nil
}

func (b *bisection) print(culprits, guilty []int, passes []string) {
	for _, i := range culprits {
		f := b.funcs[i]
		fmt.Fprintf(b.stdout, "function  %s\n", f)
	}
	var names []string
	for _, i := range guilty {
		names = append(names, passes[i])
	}
	if len(names) == 0 {
		fmt.Fprintf(b.stdout, "pass      none alone: the fault needs many passes\n")
	} else {
		fmt.Fprintf(b.stdout, "pass      %s\n", strings.Join(names, ", with "))
	}
	for _, i := range culprits {
		f := b.funcs[i]
		fmt.Fprintf(b.stdout, "look at   megabin dump %s --func %#x --dump-ir all\n", f.path, f.start)
	}
}

// try builds with the functions for which on is true optimised, less some
// passes, and runs the command.
func (b *bisection) try(ctx context.Context, on func(int) bool, disabled []string) (ending, error) {
	b.builds++
	with := map[string]any{"plain": b.plain(on)}
	if len(disabled) > 0 {
		with["disablePasses"] = disabled
	}
	built, err := b.build(ctx, with)
	if err != nil {
		return ending{}, fmt.Errorf("building for the search: %w", err)
	}
	config, err := readImageConfig(b.w.store, built)
	if err != nil {
		return ending{}, err
	}
	spec, err := b.runSpec(b.flags.run, config, b.command)
	if err != nil {
		return ending{}, err
	}
	var out bytes.Buffer
	spec.Stdout, spec.Stderr = &out, nil
	sources, err := layerSources(b.w.store, built, config)
	if err != nil {
		return ending{}, err
	}
	img, err := b.v.LoadImage(ctx, sources)
	if err != nil {
		return ending{}, err
	}
	limited, cancel := context.WithTimeout(ctx, b.flags.timeout)
	defer cancel()
	status, err := b.v.Run(limited, img, spec)
	late := limited.Err() != nil
	if err := errors.Join(ctx.Err(), err, img.Close(ctx)); err != nil {
		return ending{}, err
	}
	return ending{stdout: out.String(), status: status.ExitCode(), timeout: late}, nil
}

// plain returns the recompile stage's configuration under which only functions
// for which on is true are optimised. Before the functions are known all or
// none are.
func (b *bisection) plain(on func(int) bool) map[string][]string {
	const all = "0-ffffffff"
	if len(b.funcs) == 0 {
		if on(0) {
			return map[string][]string{}
		}
		return map[string][]string{"*": {all}}
	}
	plain := map[string][]string{}
	var open *recompile.Range // of functions of one file, that are not optimised
	for i, f := range b.funcs {
		if i == 0 || b.funcs[i-1].sha256 != f.sha256 {
			plain[f.sha256], open = []string{}, nil
		}
		if on(i) {
			open = nil
			continue
		}
		ranges := plain[f.sha256]
		if open == nil {
			open = &recompile.Range{First: f.start}
			ranges = append(ranges, "")
		}
		open.Last = f.start
		ranges[len(ranges)-1] = open.String()
		plain[f.sha256] = ranges
	}
	return plain
}

// build sends the image through the pipeline with keys of the recompile stage's
// configuration set.
func (b *bisection) build(ctx context.Context, with map[string]any) (image.Image, error) {
	pipeline, l, err := readPipeline(b.flags.file)
	if err != nil {
		return image.Image{}, err
	}
	if err := setCPU(pipeline, b.flags.cpu); err != nil {
		return image.Image{}, err
	}
	if err := configure(pipeline, "builtin:recompile", with); err != nil {
		return image.Image{}, err
	}
	plan, err := b.w.plugins.Plan(ctx, pipeline, l)
	if err != nil {
		return image.Image{}, err
	}
	defer plan.Close()
	runner := &engine.Runner{Store: b.w.store, Cache: b.w.cache, Jobs: b.settings.GetInt(settingJobs)}
	outcome, err := runner.Run(ctx, plan, b.source.Descriptors())
	if err != nil {
		return image.Image{}, err
	}
	if len(b.funcs) == 0 {
		if err := b.findFunctions(outcome); err != nil {
			return image.Image{}, err
		}
	}
	return assembled(b.w, outcome)
}

// configure sets keys of the configuration of the stages that a plugin serves.
func configure(p *engine.Pipeline, source string, keys map[string]any) error {
	names := map[string]bool{}
	for _, plugin := range p.Plugins {
		names[plugin.Name] = plugin.Source == source
	}
	found := false
	for _, s := range p.Stages {
		name, _, _ := strings.Cut(s.Uses, "/")
		if !names[name] {
			continue
		}
		found = true
		with := map[string]any{}
		if err := json.Unmarshal(s.With, &with); err != nil {
			return fmt.Errorf("reading the configuration of stage %s: %w", s.Name, err)
		}
		for key, value := range keys {
			with[key] = value
		}
		var err error
		if s.With, err = json.Marshal(with); err != nil {
			return fmt.Errorf("writing the configuration of stage %s: %w", s.Name, err)
		}
	}
	if !found {
		return fmt.Errorf("no stage of the pipeline uses %s", source)
	}
	return nil
}

// maxProgram bounds what an analyzer found, in bytes.
const maxProgram = 1 << 30

// findFunctions lists the functions of all files that were analyzed, by file
// and address.
func (b *bisection) findFunctions(outcome *engine.Outcome) error {
	analyzed := outcome.Of(stage.KindAnalyze)
	if analyzed == nil {
		return errors.New("the pipeline has no stage that analyzes")
	}
	for _, d := range analyzed.Outputs {
		if d.MediaType != artifact.MediaProgram {
			continue
		}
		raw, err := b.w.store.ReadAll(d, maxProgram)
		if err != nil {
			return err
		}
		p := new(programpb.Program)
		if err := proto.Unmarshal(raw, p); err != nil {
			return fmt.Errorf("reading what was found in %s: %w", d.Digest, err)
		}
		path := d.Annotations[artifact.AnnotationPath]
		if path == "" {
			path = "file " + p.GetSha256()
		}
		for _, fn := range p.GetFunctions() {
			b.funcs = append(b.funcs, foundFunction{p.GetSha256(), path, fn.GetName(), uint32(fn.GetStart())})
		}
	}
	slices.SortStableFunc(b.funcs, func(x, y foundFunction) int {
		if c := strings.Compare(x.sha256, y.sha256); c != 0 {
			return c
		}
		return int(int64(x.start) - int64(y.start))
	})
	if len(b.funcs) == 0 {
		return errors.New("no function was found in the image")
	}
	return nil
}
