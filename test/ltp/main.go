// Command ltp runs tests of the Linux Test Project natively and under megabin
// and compares. LTP is not part of this repository and not fetched: whoever runs
// it gives the folder of a checkout. The kernel of this machine decides what
// counts: a test that does not pass natively is left out. What does not pass here
// must be in known.txt, with a reason; what is there and passes fails the run.
//
//	go run ./test/ltp -src ~/ltp -list names.txt [-run NAME,...] -out out/ltp
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
)

//go:embed known.txt
var knownText string

// timeout bounds one run of one test; LTP's own limit is 30 s for most.
const timeout = 90 * time.Second

// options are the command's flags.
type options struct {
	src, list, out, megabin, only string
	jobs                          int
}

func main() {
	var o options
	flag.StringVar(&o.src, "src", os.Getenv("LTP_SRC"), "a checkout of LTP (default $LTP_SRC)")
	flag.StringVar(&o.list, "list", "", "file of tests: a name at the start of each line, or a line of LTP's runtest files; required")
	flag.StringVar(&o.out, "out", "out/ltp", "folder for what is built and for outputs")
	flag.StringVar(&o.megabin, "megabin", "bin/megabin", "the program to test")
	flag.StringVar(&o.only, "run", "", "run only these tests of the list, separated by commas")
	flag.IntVar(&o.jobs, "jobs", 2, "tests at once")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "ltp:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.src == "" {
		return errors.New("LTP's source is not part of this repository: check it out (its home is linux-test-project/ltp) and name the folder, make ltp LTP_SRC=... LIST=")
	}
	if o.list == "" {
		return errors.New("no list of tests: make ltp LTP_SRC=... LIST=FILE")
	}
	known, err := parseKnown(knownText)
	if err != nil {
		return err
	}
	for _, path := range []*string{&o.out, &o.megabin, &o.src} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("resolving %s: %w", *path, err)
		}
	}
	text, err := os.ReadFile(o.list)
	if err != nil {
		return fmt.Errorf("reading the list of tests: %w", err)
	}
	names := parseList(string(text))
	b, err := build(o, names)
	if err != nil {
		return err
	}
	image, err := b.image(o)
	if err != nil {
		return err
	}
	if o.only != "" {
		only := strings.Split(o.only, ",")
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(only, n) })
	}
	return compare(o, b, image, names, known)
}

// parseList returns the tests that a list names: the second word of a line of a
// runtest file is the program.
func parseList(text string) []string {
	var names []string
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		name := f[0]
		if len(f) > 1 {
			name = f[1]
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// result is what became of one test.
type result struct {
	name         string
	native, here int // exit status; LTP's 0 is passed
}

// compare runs the tests and judges.
func compare(o options, b *built, image string, names []string, known map[string]string) error {
	results := make([]result, len(names))
	var wg sync.WaitGroup
	next := make(chan int)
	for range max(1, o.jobs) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				results[i] = b.runBoth(o, image, names[i])
			}
		}()
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	fair, passed, bad := 0, 0, 0
	for _, r := range results {
		verdict, ok := judge(r, known[r.name])
		fmt.Printf("%-28s %s\n", r.name, verdict)
		if r.native == 0 {
			fair++
			if r.here == 0 {
				passed++
			}
		}
		if !ok {
			bad++
		}
	}
	fmt.Printf("%d tests pass natively; %d of them pass here: %.1f %%\n", fair, passed, 100*float64(passed)/float64(max(fair, 1)))
	if bad > 0 {
		return fmt.Errorf("%d tests are not as expected; outputs are in %s", bad, filepath.Join(o.out, "log"))
	}
	return nil
}

// judge says what a test's outcome means and whether it is as expected.
func judge(r result, reason string) (verdict string, ok bool) {
	switch {
	case r.native != 0:
		return fmt.Sprintf("left out: status %d natively", r.native), true
	case r.here == 0 && reason != "":
		return "FAIL passes, but known.txt has it: " + reason, false
	case r.here == 0:
		return "passes", true
	case reason != "":
		return "fails as known: " + reason, true
	}
	return fmt.Sprintf("FAIL status %d", r.here), false
}

// runBoth runs a test natively and under megabin and keeps the outputs. A test
// that could not be built has status -1 natively.
func (b *built) runBoth(o options, image, name string) result {
	if b.programs[name] == "" {
		return result{name, -1, -1}
	}
	logs := filepath.Join(o.out, "log")
	dir, err := os.MkdirTemp(o.out, "run")
	if err != nil {
		return result{name, -1, -1}
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // tests drop privileges
		return result{name, -1, -1}
	}
	native := outcome(dir, filepath.Join(logs, name+".native"), []string{"PATH=" + b.dir + ":/usr/bin:/bin", "TMPDIR=" + dir},
		filepath.Join(b.dir, name))
	if native != 0 {
		return result{name, native, -1}
	}
	return result{name, native, outcome(dir, filepath.Join(logs, name+".here"), os.Environ(),
		o.megabin, "run", "-w", "/tmp", "-e", "PATH=/ltp:/bin:/usr/bin", image, "/bin/sh", "-c", "/ltp/"+name+"; exit $?")} // not as process 1, whose children think that they are orphans
}

// outcome runs a program, keeps its output and returns its exit status.
func outcome(dir, log string, env []string, argv ...string) int {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = dir, &out, &out, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	fmt.Fprintf(&out, "--- %v\n", err)
	if werr := os.WriteFile(log, out.Bytes(), 0o644); werr != nil {
		fmt.Fprintln(os.Stderr, "ltp:", werr)
	}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		return 255 // killed
	}
	return cmd.ProcessState.ExitCode()
}

// image builds the rebuilt image and returns its reference.
func (b *built) image(o options) (string, error) {
	layers := []images.File{{Path: "/ltp", Mode: 0o755, Dir: true}, {Path: "/bin", Mode: 0o755, Dir: true},
		{Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/etc", Mode: 0o755, Dir: true}, {Path: "/root", Mode: 0o700, Dir: true},
		{Path: "/var", Mode: 0o755, Dir: true}, {Path: "/var/tmp", Mode: 0o1777, Dir: true},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nusers:x:100:\nnogroup:x:65534:\n")},
		{Path: "/etc/hosts", Mode: 0o644, Data: []byte("127.0.0.1 localhost\n::1 localhost\n")}}
	for name, program := range b.programs {
		f := images.File{Path: "/ltp/" + name, Mode: 0o755, Link: "ltp-multicall"}
		if program != b.multicall {
			data, err := os.ReadFile(program)
			if err != nil {
				return "", fmt.Errorf("reading a test: %w", err)
			}
			f = images.File{Path: "/ltp/" + name, Mode: 0o755, Data: data}
		}
		layers = append(layers, f)
	}
	data, err := os.ReadFile(b.multicall)
	if err != nil {
		return "", fmt.Errorf("reading the tests: %w", err)
	}
	shell, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return "", fmt.Errorf("reading busybox: %w (install Debian's package busybox-static)", err)
	}
	layers = append(layers, images.File{Path: "/ltp/ltp-multicall", Mode: 0o755, Data: data},
		images.File{Path: "/bin/busybox", Mode: 0o755, Data: shell}, images.File{Path: "/bin/sh", Link: "busybox"},
		images.File{Path: "/bin/ls", Link: "busybox"}, images.File{Path: "/bin/true", Link: "busybox"})
	img, err := images.Image(v1.Config{Env: []string{"PATH=/ltp:/bin"}}, layers)
	if err != nil {
		return "", err
	}
	src := filepath.Join(o.out, "image")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	ref := "oci:" + filepath.Join(o.out, "mega") + ":latest"
	if err := command(o.out, "build.log", o.megabin, "build", "--plain", "oci:"+src+":latest", "-o", ref); err != nil {
		return "", err
	}
	// The first run compiles: no test's time limit should pay for it.
	return ref, command(o.out, "first.log", o.megabin, "run", ref, "/ltp/ltp-multicall")
}
