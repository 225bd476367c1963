// Command bench measures megabin against the real CPU and its peers, in turn in
// one run, and prints JSON lines and a table. The machine is assumed to be
// noisy: quote the ratios.
//
//	go run ./test/bench -out out/bench [-only kernels,system,start,build,costs] [-rounds 3]
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/bench/kernel"
	"megabinary.dev/test/images"
)

// result is one line of the output.
type result struct {
	Section string             `json:"section"`
	Name    string             `json:"name"`
	Unit    string             `json:"unit"`
	Values  map[string]float64 `json:"values"` // by side
	Ratios  map[string]float64 `json:"ratios,omitempty"`
	Note    string             `json:"note,omitempty"`
}

type bench struct {
	out     string // absolute
	megabin string
	rounds  int
	filter  string
	results []result
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == compileCommand {
		if err := compileMegabinary(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	out := flag.String("out", "out/bench", "folder for programs, images and results.jsonl")
	megabin := flag.String("megabin", "bin/megabin", "the program to measure")
	rounds := flag.Int("rounds", 3, "rounds; the median counts")
	only := flag.String("only", "kernels,system,start,build,costs", "sections to run")
	filter := flag.String("run", "", "kernels and system measurements to run: those whose name contains this")
	flag.Parse()
	b := &bench{rounds: *rounds, filter: *filter}
	if err := b.main(*out, *megabin, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(out, megabin string, sections []string) error {
	var err error
	if b.out, err = filepath.Abs(out); err != nil {
		return fmt.Errorf("resolving %s: %w", out, err)
	}
	if b.megabin, err = filepath.Abs(megabin); err != nil {
		return fmt.Errorf("resolving %s: %w", megabin, err)
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	all := []struct {
		name string
		run  func() error
	}{{"kernels", b.kernels}, {"system", b.system}, {"start", b.start}, {"build", b.build}, {"costs", b.costs}}
	for _, s := range all {
		if slices.Contains(sections, s.name) {
			if err := errors.Join(s.run(), b.unmountRunsc()); err != nil {
				return fmt.Errorf("section %s: %w", s.name, err)
			}
		}
	}
	return b.report()
}

func (b *bench) add(r result) {
	b.results = append(b.results, r)
	line, _ := json.Marshal(r) // strings and finite floats only: cannot fail
	fmt.Println(string(line))
}

// compile builds the C programs of dir with gcc -O2 -static and returns their
// paths by name.
func (b *bench) compile(dir string) (map[string]string, error) {
	sources, err := filepath.Glob(filepath.Join("test/bench", dir, "*.c"))
	if err != nil || len(sources) == 0 {
		return nil, fmt.Errorf("no programs in test/bench/%s: run from the repository's root", dir)
	}
	programs := map[string]string{}
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		bin := filepath.Join(b.out, name)
		argv := append([]string{"-O2", "-static", "-pthread", "-o", bin, src}, kernel.Libraries(name)...)
		if msg, err := exec.Command("gcc", argv...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling %s: %w: %s", src, err, msg)
		}
		programs[name] = bin
	}
	return programs, nil
}

// image builds the megabinary image of some programs, found at /bin/NAME.
func (b *bench) image(name string, programs map[string]string) (string, error) {
	hosts := map[string]string{}
	for n, p := range programs {
		hosts[path.Join("/bin", n)] = p
	}
	img, err := images.Programs(hosts)
	if err != nil {
		return "", err
	}
	return b.rebuild(name, img)
}

// rebuild builds the megabinary image of img.
func (b *bench) rebuild(name string, img v1.Image) (string, error) {
	src, dst := filepath.Join(b.out, name+".src"), filepath.Join(b.out, name+".mega")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	if err := os.RemoveAll(dst); err != nil {
		return "", fmt.Errorf("clearing %s: %w", dst, err)
	}
	if _, err := run([]string{b.megabin, "build", "--plain", "oci:" + src + ":latest", "-o", "oci:" + dst + ":latest"}); err != nil {
		return "", err
	}
	return "oci:" + dst + ":latest", nil
}

// sides are the systems, native first: every ratio is to it.
func (b *bench) sides(image string) []side {
	native := func(program string, args ...string) []string {
		return append([]string{filepath.Join(b.out, program)}, args...)
	}
	return []side{
		{"native", native},
		{"qemu-user", func(program string, args ...string) []string {
			return append([]string{"qemu-x86_64-static"}, native(program, args...)...)
		}},
		{"megabin", func(program string, args ...string) []string {
			return append([]string{b.megabin, "run", image, "/bin/" + program}, args...)
		}},
	}
}

func (b *bench) kernels() error {
	programs, err := b.compile("kernels")
	if err != nil {
		return err
	}
	image, err := b.image("kernels", programs)
	if err != nil {
		return err
	}
	if err := b.compare(b.sides(image), programs); err != nil {
		return err
	}
	linked, guests, err := b.linked(programs)
	if err != nil {
		return err
	}
	if image, err = b.image("kernels-dynamic", guests); err != nil {
		return err
	}
	if err := b.compare(b.sides(image), linked); err != nil {
		return err
	}
	b.add(means(b.results))
	return nil
}

// dynamicSuffix ends the names of kernels that are linked dynamically: the mean
// is over the others, of which they are variants.
const dynamicSuffix = "-dynamic"

// linked compiles some of the kernels once more, with shared libraries. It
// returns them, and with them what their image holds besides, by name under /bin.
func (b *bench) linked(programs map[string]string) (linked, guests map[string]string, err error) {
	linked = map[string]string{}
	guests = map[string]string{
		"../lib64/ld-linux-x86-64.so.2":     "/lib64/ld-linux-x86-64.so.2",
		"../lib/x86_64-linux-gnu/libc.so.6": "/lib/x86_64-linux-gnu/libc.so.6",
		"../lib/x86_64-linux-gnu/libm.so.6": "/lib/x86_64-linux-gnu/libm.so.6",
	}
	for _, name := range []string{"fib", "sort", "tree"} {
		if programs[name] == "" {
			return nil, nil, fmt.Errorf("there is no kernel %s", name)
		}
		bin := filepath.Join(b.out, name+dynamicSuffix)
		src := filepath.Join("test/bench/kernels", name+".c")
		if msg, err := exec.Command("gcc", "-O2", "-o", bin, src).CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("compiling %s: %w: %s", src, err, msg)
		}
		linked[name+dynamicSuffix], guests[name+dynamicSuffix] = bin, bin
	}
	return linked, guests, nil
}

// compare measures kernels, less what starting one costs.
func (b *bench) compare(sides []side, programs map[string]string) error {
	fib := "fib"
	if programs[fib] == "" {
		fib += dynamicSuffix
	}
	if _, err := alternate(sides, 1, fib, "0"); err != nil { // compiles the megabinary
		return err
	}
	idle, err := alternate(sides, b.rounds, fib, "0") // what starting costs
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(mapKeys(programs)) {
		if !strings.Contains(name, b.filter) {
			continue
		}
		samples, err := alternate(sides, b.rounds, name)
		if err != nil {
			return err
		}
		r := result{Section: "kernels", Name: name, Unit: "CPU s", Values: map[string]float64{}, Ratios: map[string]float64{}}
		for _, s := range sides {
			if got, want := samples[s.name][0].stdout, samples["native"][0].stdout; got != want {
				return fmt.Errorf("%s on %s printed %q, native %q", name, s.name, got, want)
			}
			r.Values[s.name] = (median(samples[s.name], cpuOf) - median(idle[s.name], cpuOf)).Seconds()
		}
		ratios(&r)
		b.add(r)
	}
	return nil
}

// means returns the geometric means of the ratios of the kernels.
func means(results []result) result {
	logs, counts := map[string]float64{}, map[string]int{}
	for _, r := range results {
		if r.Section != "kernels" || strings.HasSuffix(r.Name, dynamicSuffix) {
			continue
		}
		for name, v := range r.Ratios {
			logs[name] += math.Log(v)
			counts[name]++
		}
	}
	mean := result{Section: "kernels", Name: "geometric mean", Ratios: map[string]float64{}}
	for name, sum := range logs {
		mean.Ratios[name] = math.Exp(sum / float64(counts[name]))
	}
	return mean
}

// ratios fills r.Ratios: each side to native, and megabin to qemu-user.
func ratios(r *result) {
	r.Ratios = map[string]float64{}
	for name, v := range r.Values {
		if name != "native" && r.Values["native"] > 0 {
			r.Ratios[name+"/native"] = v / r.Values["native"]
		}
	}
	for _, peer := range []string{"qemu-user", "gvisor"} {
		if v := r.Values[peer]; v > 0 {
			r.Ratios["megabin/"+peer] = r.Values["megabin"] / v
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func (b *bench) report() error {
	f, err := os.Create(filepath.Join(b.out, "results.jsonl"))
	if err != nil {
		return fmt.Errorf("making the results file: %w", err)
	}
	enc := json.NewEncoder(f)
	w := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	section := ""
	for _, r := range b.results {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(w, "\n%s\n", section)
		}
		fmt.Fprintf(w, "%s", r.Name)
		for _, k := range slices.Sorted(mapKeys(r.Values)) {
			fmt.Fprintf(w, "\t%s %.4g %s", k, r.Values[k], r.Unit)
		}
		for _, k := range slices.Sorted(mapKeys(r.Ratios)) {
			fmt.Fprintf(w, "\t%s %.2f", k, r.Ratios[k])
		}
		fmt.Fprintf(w, "\t%s\n", r.Note)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	return f.Close()
}
