package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// program is one of QEMU's test programs. Paths are relative to tests/tcg.
type program struct {
	name     string
	sources  []string
	flags    []string // of gcc, beside those that all have
	cpu      string   // of the image, if it is not the default
	header   *header
	edits    []edit         // of the first source
	sorted   bool           // the order of lines is up to the scheduler
	ignoring *regexp.Regexp // what is not the same from run to run
}

// header is a file that the program includes and a script writes.
type header struct {
	script, table, name string
	sets                []string       // of instructions
	drop                *regexp.Regexp // lines that are left out; nil: none
}

// edit makes another program out of a source: each old becomes new.
type edit struct{ old, new string }

// common are QEMU's flags for its tests, less -Werror, which depends on the
// compiler's version. -w: nobody here mends them.
var common = []string{"-O0", "-g", "-fno-strict-aliasing", "-w", "-static"}

// libraries stand last on gcc's command line.
var libraries = []string{"-lm", "-lrt", "-pthread"}

// v3 is the processor of programs that need AVX or BMI.
const v3 = "x86-64-v3"

// vectorTable is the table that all of test-mmx, test-sse and test-avx are made of.
const vectorTable = "i386/x86.csv"

// sseOnly makes a test of SSE and MMX instructions, which x86-64-v2 has, out of
// test-avx.c, which keeps its state in AVX registers and those of MMX.
var sseOnly = []edit{
	{"reg_state *init = t->init;", "reg_state *init = t->init; result = *init;"},
	{`#define LOADYMM(r, o) "vmovdqa "`, `#define LOADYMM(r, o) "movdqa "`},
	{`#define STOREYMM(r, o) "vmovdqa "`, `#define STOREYMM(r, o) "movdqa "`},
	{"F(ymm", "F(xmm"},
	{`#include "test-avx.h"`, `#include "test-sse.h"`},
}

// programs are the tests of tests/tcg that run on x86-64 Linux as a program of
// its own: those for i386, which QEMU leaves out on x86-64, too, as far as they
// compile. Left out are those that need gdb, 16-bit code or a bare machine, and
// 3DNow!, which no processor has any more; instructions that each processor
// rounds in its own way (RCPPS, RSQRTPS); and AES, which CPUID does not have.
func programs() []program {
	all := []program{
		{name: "test-x86_64", sources: []string{"i386/test-i386.c"},
			ignoring: regexp.MustCompile(`(?m)^sh[lr]dw.* C=0{14}[13][1-9a-f] .*$`)}, // counts above 16: Intel and AMD differ
		{name: "sha512-sse", sources: []string{"multiarch/sha512.c"}, flags: []string{"-msse4.1", "-O3"}},
		{name: "test-mmx", sources: []string{"i386/test-mmx.c"}, flags: []string{"-masm=intel", "-O"},
			header: &header{"i386/test-mmx.py", vectorTable, "test-mmx.h", []string{"MMX", "SSE", "SSE2", "SSE3", "SSSE3"}, nil}},
		{name: "test-sse", sources: []string{"i386/test-avx.c"}, flags: []string{"-masm=intel", "-O"}, edits: sseOnly,
			header: &header{"i386/test-avx.py", vectorTable, "test-sse.h", nil, regexp.MustCompile(`"V|"AES|RCP|RSQRT`)}},
		{name: "test-avx", cpu: v3, sources: []string{"i386/test-avx.c"}, flags: []string{"-mavx", "-masm=intel", "-O"},
			header: &header{"i386/test-avx.py", vectorTable, "test-avx.h", nil, regexp.MustCompile(`AES|RCP|RSQRT`)}},
		{name: "signals", sources: []string{"multiarch/signals.c"}, sorted: true,
			ignoring: regexp.MustCompile(`saw \d+ alarms from \d+`)}, // of a timer's, by whichever thread got them
		{name: "test-mmap", sources: []string{"multiarch/test-mmap.c"}, ignoring: regexp.MustCompile(`addr=0x[0-9a-f]+`)},
		{name: "testthread", sources: []string{"multiarch/testthread.c"}, sorted: true},
	}
	x86 := map[string][]string{
		"bmi2": {"-O2"}, "f2xm1": nil, "fbstp": nil, "fisttp": nil, "fldcst": nil, "fp-exceptions": nil, "fpatan": nil,
		"fprem": nil, "fscale": nil, "fxam": nil, "fxtract": nil, "fyl2x": nil, "fyl2xp1": nil, "pcmpistri": {"-msse4.2"},
		"pseudo-denormal": nil, "snan-convert": nil, "sse-exceptions": {"-msse4.1", "-mfpmath=sse"}, "ssse3": nil,
	}
	for _, name := range slices.Sorted(maps.Keys(x86)) {
		cpu := ""
		if name == "bmi2" {
			cpu = v3
		}
		all = append(all, program{name: "test-i386-" + name, cpu: cpu, sources: []string{"i386/test-i386-" + name + ".c"}, flags: x86[name]})
	}
	for _, name := range []string{"cmpxchg", "noexec", "vsyscall"} {
		all = append(all, program{name: name, sources: []string{"x86_64/" + name + ".c"}, flags: []string{"-Imultiarch"}})
	}
	for _, name := range []string{"float_convd", "float_convs", "float_madds"} {
		all = append(all, program{name: name, sources: []string{"multiarch/" + name + ".c", "multiarch/libs/float_helpers.c"}, flags: []string{"-Imultiarch"}})
	}
	for _, name := range []string{
		"munmap-pthread", "overflow", "sha1", "sha512", "sigbus", "threadcount", "linux/linux-madvise", "linux/linux-test",
	} {
		all = append(all, program{name: filepath.Base(name), sources: []string{"multiarch/" + name + ".c"}})
	}
	slices.SortFunc(all, func(a, b program) int { return strings.Compare(a.name, b.name) })
	return all
}

// build compiles p, found in tests, to bin/NAME.
func (p *program) build(tests, bin string) error {
	out := filepath.Join(bin, p.name)
	if _, err := os.Stat(out); err == nil {
		return nil
	}
	if p.header != nil {
		if err := p.header.generate(tests, bin); err != nil {
			return err
		}
	}
	sources := slices.Clone(p.sources)
	if len(p.edits) > 0 {
		sources[0] = out + ".c"
		if err := rewrite(filepath.Join(tests, p.sources[0]), sources[0], p.edits); err != nil {
			return err
		}
	}
	args := append(append(slices.Clone(common), p.flags...), "-I"+bin, "-o", out)
	return command(tests, "gcc", append(append(args, sources...), libraries...)...)
}

func (h *header) generate(tests, bin string) error {
	path := filepath.Join(bin, h.name)
	if err := command(tests, "python3", append([]string{h.script, h.table, path}, h.sets...)...); err != nil {
		return err
	}
	if h.drop == nil {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading a generated header: %w", err)
	}
	lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool { return h.drop.MatchString(line) })
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		return fmt.Errorf("writing a header: %w", err)
	}
	return nil
}

// rewrite copies a source with edits, each of which must find something.
func rewrite(from, to string, edits []edit) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading a source: %w", err)
	}
	text := string(raw)
	for _, e := range edits {
		if !strings.Contains(text, e.old) {
			return fmt.Errorf("editing %s: there is no %q: it is not the version that the edit was made for", from, e.old)
		}
		text = strings.ReplaceAll(text, e.old, e.new)
	}
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing a source: %w", err)
	}
	return nil
}

// stable returns what of p's output is the same from run to run.
func (p *program) stable(output string) string {
	if p.ignoring != nil {
		output = p.ignoring.ReplaceAllString(output, "*")
	}
	if p.sorted {
		lines := strings.Split(output, "\n")
		slices.Sort(lines)
		output = strings.Join(lines, "\n")
	}
	return output
}
