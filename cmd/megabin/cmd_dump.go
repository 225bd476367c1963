package main

import (
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/guestabi"
)

// newDumpCmd returns the command that shows what the recompiler makes of a
// function.
func newDumpCmd(a *app) *cobra.Command {
	var (
		name, dumpIR string
		cpuName      string
		asHTML       bool
		verify       bool
		disable      []string
	)
	cmd := &cobra.Command{
		Use:   "dump FILE --func NAME|0xADDRESS",
		Short: "Show what the recompiler makes of one function",
		Long: `Show one function of an ELF file on its way: the guest's instructions, the
lifted IR, the IR after each pass that changed it, and the WebAssembly text.`,
		Example: `  megabin dump /bin/busybox --func 0x404e30
  megabin dump a.out --func main --dump-ir=lift,simplify
  megabin dump a.out --func main --html > main.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			cpu, err := guestabi.ParseCPU(cpuName)
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			info, err := file.Stat()
			if err != nil {
				return fmt.Errorf("looking at %s: %w", args[0], err)
			}
			program, err := analyzeelf.Analyze(ctx, file, info.Size(), analyzeelf.Options{})
			if err != nil {
				return fmt.Errorf("analyzing %s: %w", args[0], err)
			}
			fn, err := findFunc(program, name)
			if err != nil {
				return err
			}
			d, err := recompile.DumpFunction(ctx, file, program, fn, recompile.Options{Verify: verify, DisablePasses: disable, CPU: cpu})
			if err != nil {
				return err
			}
			stages, err := selectStages(d, dumpIR)
			if err != nil {
				return err
			}
			if asHTML {
				return dumpHTML(a.stdout, d, stages)
			}
			return dumpText(a.stdout, d, stages)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "func", "", "name or address of the function (required)")
	flags.BoolVar(&asHTML, "html", false, "write a page with one column for each stage")
	flags.StringVar(&dumpIR, "dump-ir", "changed", "which IR to show: changed, all, none, or passes by name (lift: before the first)")
	flags.BoolVar(&verify, "verify", false, "check the IR of all functions after each pass")
	addCPUFlag(cmd, &cpuName)
	flags.StringSliceVar(&disable, "disable", nil, "passes to leave out")
	if err := cmd.MarkFlagRequired("func"); err != nil {
		panic("BUG: " + err.Error())
	}
	return cmd
}

// findFunc returns the function with a name or an address.
func findFunc(p *programpb.Program, name string) (*programpb.Function, error) {
	if addr, err := strconv.ParseUint(name, 0, 64); err == nil {
		if fn := recompile.FindFunction(p, addr); fn != nil {
			return fn, nil
		}
		for _, fn := range p.GetFunctions() {
			for _, b := range fn.GetBlocks() {
				if addr >= b.GetStart() && addr < b.GetStart()+uint64(b.GetSize()) {
					return fn, nil
				}
			}
		}
		return nil, fmt.Errorf("no function at %#x was found in the file", addr)
	}
	for _, fn := range p.GetFunctions() {
		if fn.GetName() == name {
			return fn, nil
		}
	}
	return nil, fmt.Errorf("no function called %q was found in the file; a stripped file has addresses only (megabin analyze lists them)", name)
}

// selectStages returns the stages that --dump-ir asks for.
func selectStages(d *recompile.Dump, which string) ([]recompile.DumpStage, error) {
	switch which {
	case "changed":
		return d.Changed(), nil
	case "all":
		return d.Stages, nil
	case "none":
		return nil, nil
	}
	var out []recompile.DumpStage
	for _, name := range strings.Split(which, ",") {
		i := slices.IndexFunc(d.Stages, func(s recompile.DumpStage) bool { return s.Pass == name })
		if i < 0 {
			var known []string
			for _, s := range d.Stages {
				known = append(known, s.Pass)
			}
			return nil, fmt.Errorf("no pass %q ran; these did: %s", name, strings.Join(known, ", "))
		}
		out = append(out, d.Stages[i])
	}
	return out, nil
}

func dumpText(w io.Writer, d *recompile.Dump, stages []recompile.DumpStage) error {
	var s strings.Builder
	fmt.Fprintf(&s, "== guest: %s at %#x\n%s", d.Name, d.PC, d.GuestText())
	for _, stage := range stages {
		fmt.Fprintf(&s, "\n== IR: %s\n%s", stage.Pass, stage.Text)
	}
	fmt.Fprintf(&s, "\n== wasm\n%s", d.Wasm)
	_, err := io.WriteString(w, s.String())
	return err
}

// dumpLine is a line of a column; lines of one guest PC are highlighted
// together.
type dumpLine struct {
	PC   string
	Text string
}

type dumpColumn struct {
	Title string
	Lines []dumpLine
}

func dumpHTML(w io.Writer, d *recompile.Dump, stages []recompile.DumpStage) error {
	guest := dumpColumn{Title: "guest"}
	for _, g := range d.Guest {
		guest.Lines = append(guest.Lines, dumpLine{fmt.Sprintf("%#x", g.PC), fmt.Sprintf("%#x: %s", g.PC, g.Text)})
	}
	columns := []dumpColumn{guest}
	for _, s := range stages {
		columns = append(columns, irColumn(s))
	}
	wasm := dumpColumn{Title: "wasm"}
	for _, line := range strings.Split(d.Wasm, "\n") {
		wasm.Lines = append(wasm.Lines, dumpLine{"", line})
	}
	columns = append(columns, wasm)
	t, err := template.New("dump").Parse(dumpPage)
	if err != nil {
		return fmt.Errorf("parsing the page's template: %w", err)
	}
	return t.Execute(w, map[string]any{"Name": d.Name, "PC": fmt.Sprintf("%#x", d.PC), "Columns": columns})
}

// irColumn gives each line the guest PC that it comes from: that of the block,
// until a comment names another.
func irColumn(s recompile.DumpStage) dumpColumn {
	c := dumpColumn{Title: s.Pass}
	pc := ""
	for _, line := range strings.Split(s.Text, "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && (words[0] == ";" || strings.HasPrefix(line, "b")) {
			pc = words[1]
		}
		c.Lines = append(c.Lines, dumpLine{pc, line})
	}
	return c
}

const dumpPage = `<!doctype html>
<meta charset="utf-8">
<title>{{.Name}} at {{.PC}}</title>
<style>
body { font: 13px monospace; margin: 0 }
main { display: flex; gap: 1em; align-items: flex-start }
section { min-width: 24em; border-right: 1px solid #ccc; padding: 0 .5em }
h2 { position: sticky; top: 0; background: white; margin: 0; font-size: 14px }
div { white-space: pre; cursor: pointer }
div.on { background: #fd6 }
</style>
<h1>{{.Name}} at {{.PC}}</h1>
<main>
{{range .Columns}}<section><h2>{{.Title}}</h2>
{{range .Lines}}<div data-pc="{{.PC}}">{{.Text}}</div>
{{end}}</section>
{{end}}</main>
<script>
document.querySelector("main").addEventListener("click", e => {
  const pc = e.target.dataset.pc;
  if (!pc) return;
  for (const d of document.querySelectorAll("div")) d.classList.toggle("on", d.dataset.pc === pc);
});
</script>
`
