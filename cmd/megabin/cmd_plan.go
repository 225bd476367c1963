package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"megabinary.dev/engine"
)

// newPlanCmd returns the command that shows what build would do.
func newPlanCmd(a *app) *cobra.Command {
	var file string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "plan [-f pipeline.yaml]",
		Short: "Check a pipeline and show what it would do",
		Long: `Read a pipeline, load and check its plugins, and show its stages in the order in
which they run. Nothing is built. All mistakes are shown at once, each with file,
line and column.`,
		Example: "  megabin plan\n  megabin plan -f pipeline.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			pipeline, l, err := readPipeline(file)
			if err != nil {
				return err
			}
			plan, err := w.plugins.Plan(ctx, pipeline, l)
			if err != nil {
				return err
			}
			defer plan.Close()
			if asJSON {
				return printPlanJSON(a, plan)
			}
			return printPlan(a, plan)
		},
	}
	addPipelineFlag(cmd, &file)
	addStoreFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func addPipelineFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "pipeline file (default: the one built in)")
}

func addStoreFlag(cmd *cobra.Command) {
	cmd.Flags().String(settingStore, "", "directory of the content-addressed store (default ~/.local/share/megabin/store)")
}

// plannedStage is one stage in JSON.
type plannedStage struct {
	Name    string          `json:"name"`
	Stage   string          `json:"stage"`
	Version string          `json:"version"`
	Plugin  string          `json:"plugin"`
	Kind    string          `json:"kind"`
	Digest  string          `json:"digest"`
	Needs   []string        `json:"needs"`
	ForEach string          `json:"forEach,omitempty"`
	Takes   []string        `json:"takes"`
	Gives   []string        `json:"gives"`
	With    json.RawMessage `json:"with"`
}

func planned(s *engine.PlannedStage) plannedStage {
	p := plannedStage{
		Name: s.Spec.Name, Stage: s.Description.Name, Version: s.Description.Version,
		Plugin: s.Plugin.Name, Kind: string(s.Plugin.Kind), Digest: s.PluginDigest,
		ForEach: s.Spec.ForEach, Takes: s.Description.Takes, Gives: s.Description.Gives, With: s.Spec.With,
	}
	for _, need := range s.Spec.Needs {
		p.Needs = append(p.Needs, need.Name)
	}
	return p
}

func printPlanJSON(a *app, plan *engine.Plan) error {
	all := make([]plannedStage, 0, len(plan.Stages))
	for _, s := range plan.Stages {
		all = append(all, planned(s))
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func printPlan(a *app, plan *engine.Plan) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tPLUGIN\tKIND\tDIGEST\tNEEDS\tFOR EACH")
	for _, s := range plan.Stages {
		p := planned(s)
		each := p.ForEach
		if each == "" {
			each = "-"
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%.19s\t%s\t%s\n", p.Name, p.Stage, p.Version, p.Kind, p.Digest, strings.Join(p.Needs, ", "), each)
	}
	return w.Flush()
}
