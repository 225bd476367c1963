// Command ltp runs tests of the Linux Test Project natively and under megabin
// and compares. LTP is not part of this repository and not fetched: whoever runs
// it gives the folder of a checkout. The kernel of this machine decides what
// counts: a test that does not pass natively is left out. What does not pass here
// must be in known.txt, with a reason; what is there and passes fails the run.
//
//	go run ./test/ltp -src ~/ltp -list names.txt [-run NAME,...] -out out/ltp
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/images"
	"megabinary.dev/test/suite"
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
	known, err := suite.ParseKnown(knownText)
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
	return suite.Compare(names, o.jobs, known, filepath.Join(o.out, "log"), func(name string) suite.Result { return b.runBoth(o, image, name) })
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

// runBoth runs a test natively and under megabin and keeps the outputs. A test
// that could not be built has status -1 natively.
func (b *built) runBoth(o options, image, name string) suite.Result {
	if b.programs[name] == "" {
		return suite.Result{Name: name, Native: suite.NotRun, Here: suite.NotRun}
	}
	logs := filepath.Join(o.out, "log")
	dir, err := os.MkdirTemp(o.out, "run")
	if err != nil {
		return suite.Result{Name: name, Native: suite.NotRun, Here: suite.NotRun}
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // tests drop privileges
		return suite.Result{Name: name, Native: suite.NotRun, Here: suite.NotRun}
	}
	native := suite.Outcome(dir, filepath.Join(logs, name+".native"), timeout, []string{"PATH=" + b.dir + ":/usr/bin:/bin", "TMPDIR=" + dir},
		filepath.Join(b.dir, name))
	if native != 0 {
		return suite.Result{Name: name, Native: native, Here: suite.NotRun}
	}
	return suite.Result{Name: name, Native: native, Here: suite.Outcome(dir, filepath.Join(logs, name+".here"), timeout, os.Environ(),
		o.megabin, "run", "--policy", policyFile(o), "-w", "/tmp", "-e", "PATH=/ltp:/bin:/usr/bin", image, "/bin/sh", "-c", "/ltp/"+name+"; exit $?")} // not as process 1, whose children think that they are orphans
}

// policy lets system calls through that docker's profile does not: natively there
// is none.
const policy = "version: 1\nseccomp:\n  profile: unconfined\n"

func policyFile(o options) string { return filepath.Join(o.out, "policy.yaml") }

// image builds the rebuilt image and returns its reference.
func (b *built) image(o options) (string, error) {
	if err := os.WriteFile(policyFile(o), []byte(policy), 0o644); err != nil {
		return "", fmt.Errorf("writing the policy: %w", err)
	}
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
		images.File{Path: "/bin/ls", Link: "busybox"}, images.File{Path: "/bin/cat", Link: "busybox"}, images.File{Path: "/bin/true", Link: "busybox"})
	img, err := images.Image(v1.Config{Env: []string{"PATH=/ltp:/bin"}}, layers)
	if err != nil {
		return "", err
	}
	src := filepath.Join(o.out, "image")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	ref := "oci:" + filepath.Join(o.out, "mega") + ":latest"
	if err := suite.Command(o.out, "build.log", o.megabin, "build", "--plain", "oci:"+src+":latest", "-o", ref); err != nil {
		return "", err
	}
	// The first run compiles: no test's time limit should pay for it.
	return ref, suite.Command(o.out, "first.log", o.megabin, "run", ref, "/ltp/ltp-multicall")
}
