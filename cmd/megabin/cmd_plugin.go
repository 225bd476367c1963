package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"megabinary.dev/engine"
	"megabinary.dev/engine/sandbox"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
)

// newPluginCmd returns the commands for those who use and write plugins.
func newPluginCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "List, serve and try plugins",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPluginLsCmd(a), newPluginServeCmd(), newPluginSandboxCmd(), newPluginRunCmd(a))
	return cmd
}

func newPluginLsCmd(a *app) *cobra.Command {
	var file string
	asJSON := false
	cmd := &cobra.Command{
		Use:     "ls [-f pipeline.yaml]",
		Short:   "List the plugins of a pipeline and their stages",
		Example: "  megabin plugin ls\n  megabin plugin ls -f pipeline.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			pipeline, _, err := readPipeline(file)
			if err != nil {
				return err
			}
			type listed struct {
				Plugin string              `json:"plugin"`
				Kind   engine.PluginKind   `json:"kind"`
				Source string              `json:"source"`
				Digest string              `json:"digest"`
				Stages []stage.Description `json:"stages"`
			}
			var all []listed
			for _, spec := range pipeline.Plugins {
				digest, stages, err := w.plugins.DescribePlugin(ctx, spec, filepath.Dir(pipeline.File))
				if err != nil {
					return err
				}
				all = append(all, listed{spec.Name, spec.Kind, spec.Source, digest, stages})
			}
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(all)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "PLUGIN\tKIND\tSOURCE\tDIGEST\tSTAGE\tVERSION\tDOES")
			for _, p := range all {
				for _, s := range p.Stages {
					fmt.Fprintf(t, "%s\t%s\t%s\t%.19s\t%s\t%s\t%s\n", p.Plugin, p.Kind, p.Source, p.Digest, s.Name, s.Version, s.Doc)
				}
			}
			return t.Flush()
		},
	}
	addPipelineFlag(cmd, &file)
	addStoreFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func stageNames() []string {
	var names []string
	for _, s := range shippedStages() {
		names = append(names, s.Describe().Name)
	}
	return names
}

func newPluginServeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "serve NAME",
		Short: "Serve a built-in stage to the engine (the engine runs this)",
		Long: `Serve one of the built-in stages as a plugin process. The engine starts this by
itself; run by hand it says so and exits.`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: stageNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, s := range shippedStages() {
				if s.Describe().Name == args[0] {
					serve.New(s).Main()
					return nil
				}
			}
			return &exitError{Code: exitNotFound, Err: fmt.Errorf("there is no built-in stage %q; there are %s", args[0], strings.Join(stageNames(), ", "))}
		},
	}
}

// commandSandbox is the command by which the engine runs Extism modules.
const commandSandbox = "sandbox"

func newPluginSandboxCmd() *cobra.Command {
	return &cobra.Command{
		Use:    commandSandbox + " GRANT",
		Short:  "Serve an Extism module to the engine (the engine runs this)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return sandbox.Serve(args[0]) },
	}
}

// runOptions are the flags of plugin run.
type runOptions struct {
	kind, stage, config, out, memory, digest string
	timeout                                  time.Duration
	inputs                                   []string
}

func newPluginRunCmd(a *app) *cobra.Command {
	o := runOptions{kind: string(engine.Process), config: "{}", out: ".", memory: "512MiB", timeout: 10 * time.Minute}
	cmd := &cobra.Command{
		Use:   "run PLUGIN -i TYPE=FILE ...",
		Short: "Run one stage by hand over files",
		Long: `Run one stage of a plugin by hand: for authors and for debugging. PLUGIN is a
built-in stage's name, an executable, or an Extism module (--kind sandbox). The
inputs are files with their media types, or the short names elf, program and
unit. The outputs are written to a directory, numbered, with descriptors.json
beside them. Nothing is cached.`,
		Example: `  megabin plugin run analyze-elf -i elf=/bin/busybox -o out
  megabin plugin run ./mystage -i text/plain=README.md --with '{"limit": 3}'
  megabin plugin run ./mystage.wasm --kind sandbox --memory 64MiB -i elf=a.out`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.pluginRun(cmd, args[0], o) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.inputs, "input", "i", nil, "input, as TYPE=FILE (repeat)")
	flags.StringVarP(&o.out, "out", "o", o.out, "directory for the outputs")
	flags.StringVar(&o.kind, "kind", o.kind, "process or sandbox")
	flags.StringVar(&o.stage, "stage", "", "stage, if the plugin has several")
	flags.StringVar(&o.config, "with", o.config, "configuration as JSON")
	flags.StringVar(&o.memory, "memory", o.memory, "memory of a sandboxed plugin")
	flags.DurationVar(&o.timeout, "timeout", o.timeout, "time that the stage may take")
	addStoreFlag(cmd)
	return cmd
}

func (a *app) pluginRun(cmd *cobra.Command, plugin string, o runOptions) error {
	ctx, stop := interruptible(cmd)
	defer stop()
	if len(o.inputs) == 0 {
		return errors.New("there is no input: give one with -i TYPE=FILE")
	}
	var config any
	if err := json.Unmarshal([]byte(o.config), &config); err != nil {
		return fmt.Errorf("--with: %w", err)
	}
	canonical, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("--with: %w", err)
	}
	spec, err := specOf(plugin, o)
	if err != nil {
		return err
	}
	w, err := a.openWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	inputs, err := putInputs(w, o.inputs)
	if err != nil {
		return err
	}
	sink := a.newProgress(false, false)
	runner := &engine.Runner{Store: w.store, Progress: sink, Jobs: 1}
	outcome, err := w.plugins.RunStage(ctx, runner, spec, o.stage, canonical, inputs)
	sink.Close()
	if err != nil {
		return err
	}
	return a.writeOutputs(w, outcome, o.out)
}

func specOf(plugin string, o runOptions) (*engine.PluginSpec, error) {
	memory, err := engine.ParseSize(o.memory)
	if err != nil {
		return nil, fmt.Errorf("--memory: %w", err)
	}
	spec := &engine.PluginSpec{
		Name: filepath.Base(plugin), Kind: engine.PluginKind(o.kind), Source: plugin,
		Permissions: engine.Grant{Timeout: o.timeout},
		Pos:         engine.Pos{File: "command line"},
	}
	switch spec.Kind {
	case engine.Sandbox:
		spec.Permissions.Memory = memory
	case engine.Process:
	default:
		return nil, fmt.Errorf("--kind: %q is neither process nor sandbox", o.kind)
	}
	for _, name := range stageNames() {
		if name == plugin {
			spec.Source = "builtin:" + name
		}
	}
	return spec, nil
}

func putInputs(w *workshop, args []string) ([]stage.Descriptor, error) {
	var inputs []stage.Descriptor
	for _, arg := range args {
		mediaType, file, ok := strings.Cut(arg, "=")
		if !ok || mediaType == "" {
			return nil, fmt.Errorf("input %q is not TYPE=FILE", arg)
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading an input: %w", err)
		}
		d, err := w.store.Put(engine.MediaType(mediaType), f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("reading an input: %w", err)
		}
		inputs = append(inputs, d)
	}
	return inputs, nil
}

// writeOutputs writes what a stage gave, numbered, and prints what that is.
func (a *app) writeOutputs(w *workshop, outcome *engine.StageOutcome, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the outputs: %w", err)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	for i, d := range outcome.Outputs {
		content, err := w.store.ReadAll(d, d.Size)
		if err != nil {
			return err
		}
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return fmt.Errorf("writing the outputs: %w", err)
		}
		fmt.Fprintf(t, "%s\t%s\t%d bytes\t%s\n", name, d.MediaType, d.Size, d.Digest)
	}
	for _, d := range outcome.Diagnostics {
		fmt.Fprintf(t, "%s\t%s\t%s\n", d.Severity, d.Subject, d.Message)
	}
	content, err := json.MarshalIndent(outcome, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the outputs: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "descriptors.json"), append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the outputs: %w", err)
	}
	return t.Flush()
}
