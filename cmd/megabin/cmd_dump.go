package main

import (
	_ "embed"
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
	fmt.Fprintf(&s, "\n== wasm\n%s", d.WasmText())
	_, err := io.WriteString(w, s.String())
	return err
}

// dumpLine is a line of a column; lines of one guest PC are highlighted
// together.
type dumpLine struct {
	PC    string // "" if it belongs to no guest instruction
	Class string // of the page's style sheet
	Dim   string // what comes before Text and matters less
	Text  string
}

type dumpColumn struct {
	Title, Class string
	Lines        []dumpLine
}

//go:embed dump.html
var dumpPage string

func dumpHTML(w io.Writer, d *recompile.Dump, stages []recompile.DumpStage) error {
	colors := map[string]string{}
	guest := dumpColumn{Title: "guest", Class: "guest"}
	for i, g := range d.Guest {
		line := dumpLine{PC: fmt.Sprintf("%#x", g.PC), Dim: fmt.Sprintf("%x  %-22x ", g.PC, g.Bytes), Text: g.Text}
		if g.Block && i > 0 {
			line.Class = " block"
		}
		colors[line.PC] = fmt.Sprintf("c%d", i%6)
		guest.Lines = append(guest.Lines, line)
	}
	columns := []dumpColumn{guest}
	for _, s := range stages {
		columns = append(columns, irColumn(s))
	}
	wasm := dumpColumn{Title: "wasm", Class: "wasm"}
	for _, line := range d.Wasm {
		pc := ""
		if line.PC != 0 {
			pc = fmt.Sprintf("%#x", line.PC)
		}
		// Blocks are nested so deep that indentation would fill the column.
		text := strings.TrimLeft(line.Text, " ")
		depth := (len(line.Text) - len(text)) / 2
		wasm.Lines = append(wasm.Lines, dumpLine{PC: pc, Dim: fmt.Sprintf("%3d ", depth), Text: strings.Repeat("  ", min(depth, 4)) + text})
	}
	columns = append(columns, wasm)
	for _, c := range columns {
		for i := range c.Lines {
			c.Lines[i].Class = colors[c.Lines[i].PC] + c.Lines[i].Class
		}
	}
	t, err := template.New("dump").Parse(dumpPage)
	if err != nil {
		return fmt.Errorf("parsing the page's template: %w", err)
	}
	return t.Execute(w, map[string]any{"Name": d.Name, "PC": fmt.Sprintf("%#x", d.PC), "Columns": columns,
		"Guest": len(d.Guest), "Wasm": len(d.Wasm)})
}

// irColumn gives each line the guest PC that it comes from: that of the block,
// until a comment names another.
func irColumn(s recompile.DumpStage) dumpColumn {
	c := dumpColumn{Title: s.Pass}
	pc := ""
	for _, line := range strings.Split(strings.TrimSuffix(s.Text, "\n"), "\n") {
		words := strings.Fields(line)
		class := ""
		if len(words) > 1 {
			switch {
			case words[0] == ";":
				pc, class = words[1], " dim"
			case !strings.HasPrefix(line, " ") && strings.HasPrefix(line, "b"):
				pc, class = words[1], " head block"
			}
		}
		c.Lines = append(c.Lines, dumpLine{PC: pc, Class: class, Text: line})
	}
	return c
}
