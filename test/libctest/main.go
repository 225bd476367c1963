// Command libctest runs the functional and regression tests of musl's libc-test
// natively and under megabin and compares; see package suite. libc-test is not
// part of this repository and not fetched: whoever runs it gives the folder of a
// checkout.
//
//	go run ./test/libctest -src ~/libc-test [-run NAME,...] -out out/libc-test
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

// timeout bounds one run of one test.
const timeout = time.Minute

// compile is libc-test's own command, for a static program of musl's.
var compile = []string{"musl-gcc", "-static", "-g", "-pipe", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-D_FILE_OFFSET_BITS=64",
	"-w", "-fno-builtin", "-frounding-math"}

// beside are the tests with a second file; dynamic ones are left out.
var beside = map[string]string{
	"functional/tls_align": "functional/tls_align_dso.c",
}

// options are the command's flags.
type options struct {
	src, out, megabin, only string
	jobs                    int
}

func main() {
	var o options
	flag.StringVar(&o.src, "src", os.Getenv("LIBC_TEST_SRC"), "a checkout of libc-test (default $LIBC_TEST_SRC)")
	flag.StringVar(&o.out, "out", "out/libc-test", "folder for what is built and for outputs")
	flag.StringVar(&o.megabin, "megabin", "bin/megabin", "the program to test")
	flag.StringVar(&o.only, "run", "", "run only these tests, separated by commas")
	flag.IntVar(&o.jobs, "jobs", 2, "tests at once")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "libctest:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.src == "" {
		return errors.New("libc-test's source is not part of this repository: check it out and name the folder, make libc-test LIBC_TEST_SRC=...")
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
	names, err := build(o)
	if err != nil {
		return err
	}
	image, err := rebuild(o, names)
	if err != nil {
		return err
	}
	if o.only != "" {
		only := strings.Split(o.only, ",")
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(only, n) })
	}
	return suite.Compare(names, o.jobs, known, filepath.Join(o.out, "log"), func(name string) suite.Result {
		return runBoth(o, image, name)
	})
}

func program(o options, name string) string { return filepath.Join(o.out, "bin", name) }

// build compiles the tests and returns their names, such as functional/argv.
func build(o options) ([]string, error) {
	common, err := filepath.Glob(filepath.Join(o.src, "src", "common", "*.c"))
	if err != nil || len(common) == 0 {
		return nil, fmt.Errorf("%s is no checkout of libc-test: it has no src/common", o.src)
	}
	common = slices.DeleteFunc(common, func(f string) bool { return filepath.Base(f) == "runtest.c" })
	var names []string
	for _, kind := range []string{"functional", "regression"} {
		for _, dir := range []string{"bin", "log"} {
			if err := os.MkdirAll(filepath.Join(o.out, dir, kind), 0o755); err != nil {
				return nil, fmt.Errorf("making a folder: %w", err)
			}
		}
		files, err := filepath.Glob(filepath.Join(o.src, "src", kind, "*.c"))
		if err != nil {
			return nil, fmt.Errorf("looking for tests: %w", err)
		}
		for _, file := range files {
			name := kind + "/" + strings.TrimSuffix(filepath.Base(file), ".c")
			if strings.HasSuffix(name, "_dso") {
				continue
			}
			if _, err := os.Stat(strings.TrimSuffix(file, ".c") + ".mk"); err == nil && beside[name] == "" {
				continue // it needs a shared library
			}
			argv := slices.Concat(compile, []string{"-I", filepath.Join(o.src, "src", "common"), "-o", program(o, name), file})
			if other := beside[name]; other != "" {
				argv = append(argv, filepath.Join(o.src, "src", other))
			}
			argv = slices.Concat(argv, common, []string{"-lpthread", "-lm", "-lrt"})
			if err := suite.Command(o.out, "log/"+name+".build", argv...); err != nil {
				fmt.Printf("%-28s left out: it does not build\n", name)
				continue
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no test could be built: see %s", filepath.Join(o.out, "log"))
	}
	return names, nil
}

// rebuild makes the image of the tests and returns the rebuilt one's reference.
func rebuild(o options, names []string) (string, error) {
	files := []images.File{{Path: "/test", Mode: 0o755, Dir: true}, {Path: "/test/functional", Mode: 0o755, Dir: true},
		{Path: "/test/regression", Mode: 0o755, Dir: true}, {Path: "/bin", Mode: 0o755, Dir: true}, {Path: "/etc", Mode: 0o755, Dir: true},
		{Path: "/dev", Mode: 0o755, Dir: true}, {Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/bin/sh", Link: "busybox"},
		{Path: "/bin/echo", Link: "busybox"}}
	for guest, host := range map[string]string{"/bin/busybox": "/bin/busybox", "/etc/passwd": "/etc/passwd", "/etc/group": "/etc/group"} {
		data, err := os.ReadFile(host)
		if err != nil {
			return "", fmt.Errorf("reading what the tests need: %w", err)
		}
		mode := int64(0o644)
		if guest == "/bin/busybox" {
			mode = 0o755
		}
		files = append(files, images.File{Path: guest, Mode: mode, Data: data})
	}
	for _, n := range names {
		data, err := os.ReadFile(program(o, n))
		if err != nil {
			return "", fmt.Errorf("reading a test: %w", err)
		}
		files = append(files, images.File{Path: "/test/" + n, Mode: 0o755, Data: data})
	}
	img, err := images.Image(v1.Config{Env: []string{"PATH=/bin"}}, files)
	if err != nil {
		return "", err
	}
	src := filepath.Join(o.out, "image")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	ref := "oci:" + filepath.Join(o.out, "mega") + ":latest"
	return ref, suite.Command(o.out, "build.log", o.megabin, "build", "--plain", "oci:"+src+":latest", "-o", ref)
}

// runBoth runs a test natively and under megabin.
func runBoth(o options, image, name string) suite.Result {
	r := suite.Result{Name: name, Native: suite.NotRun, Here: suite.NotRun}
	dir, err := os.MkdirTemp(o.out, "run")
	if err != nil {
		fmt.Fprintln(os.Stderr, "libctest:", err)
		return r
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(o.out, "log", name)
	r.Native = suite.Outcome(dir, log+".native", timeout, []string{"PATH=/bin:/usr/bin"}, program(o, name))
	if r.Native == 0 {
		r.Here = suite.Outcome(dir, log+".here", timeout, os.Environ(), o.megabin, "run", "-w", "/tmp", image, "/bin/sh", "-c", "/test/"+name+"; exit $?") // not as process 1: an orphan's parent
	}
	return r
}
