package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	analyzeelf "megabinary.dev/plugins/analyze-elf"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
)

// textBytes says what the bytes of a text are.
type textBytes struct {
	Text      uint64 `json:"textBytes"`
	Code      uint64 `json:"codeBytes"`      // inside of discovered blocks
	Unknown   uint64 `json:"unknownBytes"`   // instructions that are known by their length only
	Padding   uint64 `json:"paddingBytes"`   // between functions
	Data      uint64 `json:"dataBytes"`      // constants that instructions name
	Unreached uint64 `json:"unreachedBytes"` // neither of these
}

func (t *textBytes) add(o textBytes) {
	t.Text += o.Text
	t.Code += o.Code
	t.Unknown += o.Unknown
	t.Padding += o.Padding
	t.Data += o.Data
	t.Unreached += o.Unreached
}

// coverage returns the share of the text, without padding and data, that is in
// discovered functions: 0 to 1.
func (t *textBytes) coverage() float64 {
	return analyzeelf.Covered(&programpb.Coverage{TextBytes: t.Text, FunctionBytes: t.Code, UnknownBytes: t.Unknown,
		PaddingBytes: t.Padding, DataBytes: t.Data})
}

// analysis is what analyze shows of one file.
type analysis struct {
	Path                string   `json:"path"`
	Digest              string   `json:"digest"`
	Size                uint64   `json:"size"`
	PositionIndependent bool     `json:"positionIndependent"`
	Interpreter         string   `json:"interpreter,omitempty"`
	Needed              []string `json:"needed,omitempty"`
	textBytes
	Coverage     float64             `json:"coverage"` // 0 to 1, of the text without padding and data
	Functions    int                 `json:"functions"`
	Blocks       int                 `json:"blocks"`
	Instructions uint64              `json:"instructions"`
	Translated   int                 `json:"translatedInstructions"`
	Unknown      []unknownAddress    `json:"unknownInstructions,omitempty"`
	Unresolved   []unresolvedAddress `json:"unresolvedJumps,omitempty"`
	TailCalls    int                 `json:"tailCalls"` // indirect, through a pointer
	Syscalls     []uint32            `json:"syscalls,omitempty"`
	Generates    bool                `json:"generatesCode,omitempty"`
}

type unknownAddress struct {
	Address   string `json:"address"`
	Name      string `json:"name"`
	Code      string `json:"code,omitempty"`
	Reason    string `json:"reason"`
	Extension string `json:"extension,omitempty"` // beyond the processor that CPUID describes
}

type unresolvedAddress struct {
	Address string `json:"address"`
	Reason  string `json:"reason"`
}

func newAnalysis(path string, p *programpb.Program, missing []recompile.Unsupported) analysis {
	c := p.GetCoverage()
	a := analysis{
		Path: path, Digest: stage.DigestPrefix + p.GetSha256(), Size: p.GetSize(),
		PositionIndependent: p.GetPositionIndependent(), Interpreter: p.GetInterpreter(), Needed: p.GetNeeded(),
		textBytes: textBytes{Text: c.GetTextBytes(), Code: c.GetFunctionBytes(), Unknown: c.GetUnknownBytes(),
			Padding: c.GetPaddingBytes(), Data: c.GetDataBytes(), Unreached: c.GetUnreachedBytes()},
		Coverage: analyzeelf.Covered(c), Functions: len(p.GetFunctions()), Instructions: c.GetInstructions(),
		Syscalls: p.GetSyscalls(), Generates: p.GetGeneratesCode(),
	}
	for _, f := range p.GetFunctions() {
		a.Blocks += len(f.GetBlocks())
	}
	code := map[uint64][]byte{}
	for _, u := range p.GetUnknown() {
		code[u.GetAddress()] = u.GetCode()
	}
	for _, u := range missing {
		a.Unknown = append(a.Unknown, unknownAddress{Address: fmt.Sprintf("%#x", u.Address), Name: u.Name,
			Code: hex.EncodeToString(code[u.Address]), Reason: u.Reason, Extension: u.Extension})
	}
	for _, u := range p.GetUnresolved() {
		if u.GetTailCall() {
			a.TailCalls++
			continue
		}
		a.Unresolved = append(a.Unresolved, unresolvedAddress{fmt.Sprintf("%#x", u.GetAddress()), u.GetReason()})
	}
	return a
}

// missing counts the unknown instructions that every processor has, or that are
// none at all.
func (a *analysis) missing() int {
	n := 0
	for _, u := range a.Unknown {
		if u.Extension == "" {
			n++
		}
	}
	return n
}

// analyzeSummary adds up files.
type analyzeSummary struct {
	Files int `json:"files"`
	textBytes
	Coverage     float64 `json:"coverage"`
	Functions    int     `json:"functions"`
	Instructions uint64  `json:"instructions"`
	Translated   int     `json:"translatedInstructions"`
	Missing      int     `json:"missingInstructions"`   // of x86-64-v2, or none at all
	Extensions   int     `json:"extensionInstructions"` // that CPUID reports absent
	Unresolved   int     `json:"unresolvedJumps"`
	TailCalls    int     `json:"tailCalls"`
}

// analyzeReport is what analyze shows.
type analyzeReport struct {
	Summary analyzeSummary `json:"summary"`
	Files   []analysis     `json:"files"`

	took time.Duration
}

func newAnalyzeReport(files []analysis, took time.Duration) *analyzeReport {
	r := &analyzeReport{Files: files, took: took}
	s := &r.Summary
	for i := range files {
		f := &files[i]
		s.Files++
		s.add(f.textBytes)
		s.Functions += f.Functions
		s.Instructions += f.Instructions
		s.Translated += f.Translated
		s.Missing += f.missing()
		s.Extensions += len(f.Unknown) - f.missing()
		s.Unresolved += len(f.Unresolved)
		s.TailCalls += f.TailCalls
	}
	s.Coverage = s.coverage()
	return r
}

func (r *analyzeReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tTEXT\tFOUND\tDATA\tUNREACHED\tFUNCTIONS\tINSTRUCTIONS\tUNKNOWN\tEXTENSIONS\tUNRESOLVED JUMPS")
	for i := range r.Files {
		f := &r.Files[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", f.Path, size(int64(f.Text)), percent(f.Coverage), size(int64(f.Data)),
			size(int64(f.Unreached)), f.Functions, f.Instructions, f.missing(), len(f.Unknown)-f.missing(), len(f.Unresolved))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range r.Files {
		r.Files[i].printReasons(out)
	}
	if len(r.Files) > 1 {
		r.printSummary(out)
	}
	return nil
}

// printReasons shows what was not found in a file, if anything.
func (a *analysis) printReasons(out io.Writer) {
	var unknown, extensions, unresolved reasons
	for _, u := range a.Unknown {
		switch {
		case u.Extension != "":
			extensions.add(u.Extension, u.Address)
		case u.Name == badInstruction:
			unknown.add(u.Reason, u.Address)
		default:
			unknown.add(u.Name, u.Address)
		}
	}
	for _, u := range a.Unresolved {
		unresolved.add(u.Reason, u.Address)
	}
	if len(unknown.byReason)+len(extensions.byReason)+len(unresolved.byReason) == 0 && !a.Generates {
		return
	}
	fmt.Fprintf(out, "\n%s\n", a.Path)
	if a.Generates {
		fmt.Fprintln(out, "  asks for memory that it can both write and run: code that it generates will not run")
	}
	unknown.print(out, "unknown instructions: where they are reached, the program gets SIGILL")
	extensions.print(out, "instructions of extensions that CPUID reports absent")
	unresolved.print(out, "indirect jumps whose targets are looked up when they run")
}

// badInstruction is the name of an instruction that has none.
const badInstruction = "(bad)"

func (r *analyzeReport) printSummary(out io.Writer) {
	s := &r.Summary
	share := func(n uint64) string { return fmt.Sprintf("%.3f %%", 100*float64(n)/float64(max(s.Text, 1))) }
	fmt.Fprintf(out, "\n%d files, %.1f MB of text, %d functions, %d instructions\n", s.Files, float64(s.Text)/1e6, s.Functions, s.Instructions)
	fmt.Fprintf(out, "  code %s, instructions known by length %s, padding %s, data %s, unreached %s (%d bytes)\n",
		share(s.Code), share(s.textBytes.Unknown), share(s.Padding), share(s.Data), share(s.Unreached), s.Unreached)
	fmt.Fprintf(out, "  %.4f %% of the text without padding and data is in discovered functions\n", 100*s.Coverage)
	fmt.Fprintf(out, "  %d instructions translated; unknown: %d of x86-64-v2, %d of extensions that CPUID reports absent\n", s.Translated, s.Missing, s.Extensions)
	fmt.Fprintf(out, "  indirect jumps: %d unresolved, %d tail calls through pointers\n", s.Unresolved, s.TailCalls)
	fmt.Fprintf(out, "  took %.1f s, with a trial translation\n", r.took.Seconds())
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
