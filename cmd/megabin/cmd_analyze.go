package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"megabinary.dev/engine"
	"megabinary.dev/image"
	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
)

// newAnalyzeCmd returns the command that shows what an analysis finds.
func newAnalyzeCmd(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "analyze FILE|IMAGE",
		Short: "Show how much of an ELF file's code is found, and what is not",
		Long: `Show, for an ELF file or for every ELF file in an image, how much of its code the
analysis finds, which instructions it does not know, and which indirect jumps
it cannot follow and why.

IMAGE is ` + image.Usage + `.`,
		Example: "  megabin analyze /bin/busybox\n  megabin analyze oci:app\n  megabin analyze --json oci:app",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			files, err := a.analyze(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(files)
			}
			return printAnalyses(a.stdout, files)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every address")
	cmd.Flags().Int(settingJobs, 0, "files at once (default: one for each CPU)")
	addStoreFlag(cmd)
	return cmd
}

// analysis is what analyze shows of one file.
type analysis struct {
	Path                string              `json:"path"`
	Digest              string              `json:"digest"`
	Size                uint64              `json:"size"`
	PositionIndependent bool                `json:"positionIndependent"`
	Interpreter         string              `json:"interpreter,omitempty"`
	Needed              []string            `json:"needed,omitempty"`
	TextBytes           uint64              `json:"textBytes"`
	CoveredBytes        uint64              `json:"coveredBytes"`
	PaddingBytes        uint64              `json:"paddingBytes"`
	Coverage            float64             `json:"coverage"` // 0 to 1, of the text without padding
	Functions           int                 `json:"functions"`
	Blocks              int                 `json:"blocks"`
	Instructions        uint64              `json:"instructions"`
	Unknown             []unknownAddress    `json:"unknownInstructions,omitempty"`
	Unresolved          []unresolvedAddress `json:"unresolvedJumps,omitempty"`
	Syscalls            []uint32            `json:"syscalls,omitempty"`
	GeneratesCode       bool                `json:"generatesCode,omitempty"`
}

type unknownAddress struct {
	Address string `json:"address"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
}

type unresolvedAddress struct {
	Address string `json:"address"`
	Reason  string `json:"reason"`
}

// analyze analyzes a file, if there is one of that name, or an image.
func (a *app) analyze(ctx context.Context, name string) ([]analysis, error) {
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening the file: %w", err)
		}
		defer f.Close()
		p, err := analyzeelf.Analyze(ctx, f, info.Size(), analyzeelf.Options{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return []analysis{newAnalysis(name, p)}, nil
	}
	ref, err := image.ParseRef(name)
	if err != nil {
		return nil, err
	}
	return a.analyzeImage(ctx, ref)
}

// analyzeImage runs the first two stages of the default pipeline, as a build
// does: the results are the same, and in the cache afterwards.
func (a *app) analyzeImage(ctx context.Context, ref image.Ref) ([]analysis, error) {
	w, err := a.openWorkshop()
	if err != nil {
		return nil, err
	}
	defer w.close()
	pipeline, l, err := readPipeline("")
	if err != nil {
		return nil, err
	}
	wanted := []string{"extract-oci", analyzeelf.Name}
	pipeline.Stages = slices.DeleteFunc(pipeline.Stages, func(s *engine.StageSpec) bool { return !slices.Contains(wanted, s.Uses) })
	pipeline.Plugins = slices.DeleteFunc(pipeline.Plugins, func(p *engine.PluginSpec) bool { return !slices.Contains(wanted, p.Name) })
	plan, err := w.plugins.Plan(ctx, pipeline, l)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	pulled, err := image.Pull(ctx, ref, w.store)
	if err != nil {
		return nil, err
	}
	runner := &engine.Runner{Store: w.store, Cache: w.cache, Jobs: a.settings.GetInt(settingJobs)}
	outcome, err := runner.Run(ctx, plan, pulled.Descriptors())
	if err != nil {
		return nil, err
	}
	files := []analysis{}
	for _, d := range outcome.Of(stage.KindAnalyze).Outputs {
		if d.MediaType != artifact.MediaProgram {
			continue
		}
		content, err := w.store.ReadAll(d, d.Size)
		if err != nil {
			return nil, err
		}
		p := new(programpb.Program)
		if err := proto.Unmarshal(content, p); err != nil {
			return nil, fmt.Errorf("decoding program %s: %w", d.Digest, err)
		}
		files = append(files, newAnalysis(d.Annotations[artifact.AnnotationPath], p))
	}
	slices.SortFunc(files, func(x, y analysis) int { return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Digest, y.Digest)) })
	return files, nil
}

func newAnalysis(path string, p *programpb.Program) analysis {
	c := p.GetCoverage()
	a := analysis{
		Path: path, Digest: stage.DigestPrefix + p.GetSha256(), Size: p.GetSize(),
		PositionIndependent: p.GetPositionIndependent(), Interpreter: p.GetInterpreter(), Needed: p.GetNeeded(),
		TextBytes: c.GetTextBytes(), CoveredBytes: c.GetFunctionBytes(), PaddingBytes: c.GetPaddingBytes(),
		Coverage: analyzeelf.Covered(c), Functions: len(p.GetFunctions()), Instructions: c.GetInstructions(),
		Syscalls: p.GetSyscalls(), GeneratesCode: p.GetGeneratesCode(),
	}
	for _, f := range p.GetFunctions() {
		a.Blocks += len(f.GetBlocks())
	}
	for _, u := range p.GetUnknown() {
		a.Unknown = append(a.Unknown, unknownAddress{fmt.Sprintf("%#x", u.GetAddress()), hex.EncodeToString(u.GetCode()), u.GetReason()})
	}
	for _, u := range p.GetUnresolved() {
		a.Unresolved = append(a.Unresolved, unresolvedAddress{fmt.Sprintf("%#x", u.GetAddress()), u.GetReason()})
	}
	return a
}

func printAnalyses(out io.Writer, files []analysis) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tTEXT\tCOVERED\tFUNCTIONS\tINSTRUCTIONS\tUNKNOWN\tUNRESOLVED JUMPS")
	for _, f := range files {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\n", f.Path, size(int64(f.TextBytes)), percent(f.Coverage),
			f.Functions, f.Instructions, len(f.Unknown), len(f.Unresolved))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range files {
		var unknown, unresolved reasons
		for _, u := range f.Unknown {
			unknown.add(u.Reason, u.Address)
		}
		for _, u := range f.Unresolved {
			unresolved.add(u.Reason, u.Address)
		}
		if len(unknown.byReason)+len(unresolved.byReason) == 0 && !f.GeneratesCode {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", f.Path)
		if f.GeneratesCode {
			fmt.Fprintln(out, "  asks for memory that it can both write and run: code that it generates will not run")
		}
		unknown.print(out, "unknown instructions: where they are reached, the program gets SIGILL")
		unresolved.print(out, "indirect jumps whose targets are looked up when they run")
	}
	return nil
}

// percent never rounds up to 100.
func percent(share float64) string {
	if s := fmt.Sprintf("%.2f %%", share*100); share == 1 || s != "100.00 %" {
		return s
	}
	return "99.99 %"
}

// reasons groups addresses by reason.
type reasons struct{ byReason map[string][]string }

func (r *reasons) add(reason, address string) {
	if r.byReason == nil {
		r.byReason = make(map[string][]string)
	}
	r.byReason[reason] = append(r.byReason[reason], address)
}

// maxAddresses is how many addresses a line shows.
const maxAddresses = 4

// print writes a line for each reason, the most frequent first.
func (r *reasons) print(out io.Writer, title string) {
	if len(r.byReason) == 0 {
		return
	}
	fmt.Fprintf(out, "  %s\n", title)
	names := sortedNames(r.byReason)
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(len(r.byReason[y]), len(r.byReason[x])) })
	for _, reason := range names {
		addresses := r.byReason[reason]
		shown := strings.Join(addresses[:min(len(addresses), maxAddresses)], " ")
		if len(addresses) > maxAddresses {
			shown += " ..."
		}
		fmt.Fprintf(out, "  %6d  %s: %s\n", len(addresses), reason, shown)
	}
}
