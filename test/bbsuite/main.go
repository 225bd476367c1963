// Command bbsuite runs busybox's own test suite, out of Debian's source package,
// with Debian's busybox-static: in a chroot on the real kernel and in a rebuilt
// image of the same files. It compares the outcome of each test; see package
// suite. It needs root, for the chroot.
//
//	go run ./test/bbsuite [-run APPLET,...] -out out/busybox
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/test/debsrc"
	"megabinary.dev/test/images"
	"megabinary.dev/test/suite"
)

//go:embed known.txt
var knownText string

// timeout bounds the tests of one applet.
const timeout = 3 * time.Minute

// leftOut are applets whose tests need more than this machine: a network, a
// source tree.
var leftOut = []string{"wget", "all_sourcecode"}

// options are the command's flags.
type options struct {
	out, megabin, only string
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "out/busybox", "folder for the source and for outputs")
	flag.StringVar(&o.megabin, "megabin", "bin/megabin", "the program to test")
	flag.StringVar(&o.only, "run", "", "run only the tests of these applets, separated by commas")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bbsuite:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	known, err := suite.ParseKnown(knownText)
	if err != nil {
		return err
	}
	for _, path := range []*string{&o.out, &o.megabin} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("resolving %s: %w", *path, err)
		}
	}
	src, err := fetch(o.out)
	if err != nil {
		return err
	}
	files, err := content(src)
	if err != nil {
		return err
	}
	root, image, err := build(o, files)
	if err != nil {
		return err
	}
	applets, err := tested(src)
	if err != nil {
		return err
	}
	if o.only != "" {
		only := strings.Split(o.only, ",")
		applets = slices.DeleteFunc(applets, func(a string) bool { return !slices.Contains(only, a) })
	}
	var results []suite.Result
	for _, applet := range applets {
		r, err := runBoth(o, root, image, applet)
		if err != nil {
			return err
		}
		results = append(results, r...)
	}
	return suite.Report(results, known, filepath.Join(o.out, "log"))
}

// fetch unpacks the source package into dir/src, unless it is there already.
func fetch(dir string) (string, error) {
	src := filepath.Join(dir, "src")
	if _, err := os.Stat(filepath.Join(src, "debian", "config", "pkg", "static")); err == nil {
		return src, nil
	}
	if err := os.MkdirAll(src, 0o755); err != nil {
		return "", fmt.Errorf("making a folder for the source: %w", err)
	}
	if err := debsrc.Download(dir, "busybox"); err != nil {
		return "", err
	}
	for _, pattern := range []string{"busybox_*.orig.tar.*", "busybox_*.debian.tar.*"} {
		archives, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(archives) != 1 {
			return "", fmt.Errorf("looking for busybox's source in %s: found %q, want one %s: remove the folder and try again", dir, archives, pattern)
		}
		argv := []string{"tar", "-xf", archives[0], "-C", src}
		if strings.Contains(pattern, "orig") {
			argv = append(argv, "--strip-components=1")
		}
		if err := suite.Command(dir, "", argv...); err != nil {
			return "", err
		}
	}
	return src, nil
}

// content returns the files of the image: the suite and its configuration where
// the suite looks for them, and busybox as all that there is besides.
func content(src string) ([]images.File, error) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("reading busybox: %w (install Debian's package busybox-static)", err)
	}
	config, err := os.ReadFile(filepath.Join(src, "debian", "config", "pkg", "static"))
	if err != nil {
		return nil, fmt.Errorf("reading busybox's configuration: %w", err)
	}
	files := []images.File{{Path: "/bin", Mode: 0o755, Dir: true}, {Path: "/bin/busybox", Mode: 0o755, Data: busybox},
		{Path: "/bb", Mode: 0o755, Dir: true}, {Path: "/bb/busybox", Mode: 0o755, Data: busybox},
		{Path: "/bb/.config", Mode: 0o644, Data: config},
		{Path: "/tmp", Mode: 0o1777, Dir: true}, {Path: "/dev", Mode: 0o755, Dir: true}, {Path: "/proc", Mode: 0o555, Dir: true},
		{Path: "/root", Mode: 0o700, Dir: true}, {Path: "/etc", Mode: 0o755, Dir: true},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\n")},
		{Path: "/etc/hosts", Mode: 0o644, Data: []byte("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")}}
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("asking busybox for its applets: %w", err)
	}
	for _, name := range strings.Fields(string(applets)) {
		if name != "busybox" {
			files = append(files, images.File{Path: "/bin/" + name, Link: "busybox"})
		}
	}
	top := filepath.Join(src, "testsuite")
	err = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := images.File{Path: "/bb/testsuite" + strings.TrimPrefix(path, top), Mode: int64(info.Mode().Perm()), Dir: d.IsDir()}
		if !f.Dir {
			if f.Data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the test suite: %w", err)
	}
	return files, nil
}

// build makes the image, rebuilds it and unpacks its files for a chroot.
func build(o options, files []images.File) (root, ref string, err error) {
	img, err := images.Image(v1.Config{Env: []string{"PATH=/bin"}}, files)
	if err != nil {
		return "", "", err
	}
	src := filepath.Join(o.out, "image")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", "", err
	}
	ref = "oci:" + filepath.Join(o.out, "mega") + ":latest"
	if err := suite.Command(o.out, "build.log", o.megabin, "build", "--plain", "oci:"+src+":latest", "-o", ref); err != nil {
		return "", "", err
	}
	data, err := images.Tar(files)
	if err != nil {
		return "", "", err
	}
	archive := filepath.Join(o.out, "root.tar")
	if err := os.WriteFile(archive, data, 0o644); err != nil {
		return "", "", fmt.Errorf("writing the root file system: %w", err)
	}
	root = filepath.Join(o.out, "root")
	for _, dir := range []string{root, filepath.Join(o.out, "log")} {
		if err := os.RemoveAll(dir); err != nil {
			return "", "", fmt.Errorf("clearing %s: %w", dir, err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", "", fmt.Errorf("making %s: %w", dir, err)
		}
	}
	return root, ref, suite.Command(o.out, "", "tar", "-xpf", archive, "--numeric-owner", "-C", root)
}

// tested returns the applets that have tests: APPLET.tests, or a folder.
func tested(src string) ([]string, error) {
	list, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("asking busybox for its applets: %w", err)
	}
	var applets []string
	for _, a := range strings.Fields(string(list)) {
		at := filepath.Join(src, "testsuite", a)
		_, errFile := os.Stat(at + ".tests")
		dir, errDir := os.Stat(at)
		if (errFile == nil || errDir == nil && dir.IsDir()) && !slices.Contains(leftOut, a) {
			applets = append(applets, a)
		}
	}
	if len(applets) == 0 {
		return nil, errors.New("busybox's test suite has no tests: is " + src + " its source?")
	}
	slices.Sort(applets)
	return applets, nil
}

// command is what a shell runs in both worlds, with the applet for $1.
const command = `cd /bb/testsuite && exec sh ./runtest -v "$1"`

// chroot runs the command in a copy-on-write view of a root file system ($1),
// with namespaces, /proc and /dev of its own, in a scratch folder ($0).
const chroot = `set -e
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$0/upper,workdir=$0/work" "$0/root"
for d in null zero full random urandom tty; do : > "$0/root/dev/$d"; mount --bind /dev/$d "$0/root/dev/$d"; done
mkdir -p "$0/root/dev/shm"; ln -s /proc/self/fd "$0/root/dev/fd"
mount -t proc proc "$0/root/proc"
cd /
exec chroot "$0/root" /bin/env -i PATH=/bin HOME=/root SKIP_INTERNET_TESTS=1 /bin/sh -c "$2" sh "$3"`

// runBoth runs the tests of an applet in both worlds.
func runBoth(o options, root, image, applet string) ([]suite.Result, error) {
	scratch, err := os.MkdirTemp(o.out, "run")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	log := filepath.Join(o.out, "log", applet)
	suite.Outcome("/", log+".native", timeout, os.Environ(), "unshare", "--mount", "--pid", "--uts", "--net", "--ipc", "--fork", "--kill-child",
		"sh", "-c", chroot, scratch, root, command, applet)
	suite.Outcome("/", log+".here", timeout, os.Environ(), o.megabin, "run", "-e", "PATH=/bin", "-e", "HOME=/root", "-e", "SKIP_INTERNET_TESTS=1",
		image, "/bin/sh", "-c", command, "sh", applet)
	native, err := outcomes(log+".native", applet)
	if err != nil {
		return nil, err
	}
	here, err := outcomes(log+".here", applet)
	if err != nil {
		return nil, err
	}
	var results []suite.Result
	for _, test := range native {
		r := suite.Result{Name: test.name, Native: test.status, Here: suite.NotRun}
		for _, h := range here {
			if h.name == test.name {
				r.Here = h.status
			}
		}
		results = append(results, r)
	}
	if len(native) == 0 {
		results = append(results, suite.Result{Name: applet, Native: suite.NotRun, Here: suite.NotRun})
	}
	return results, nil
}

// outcome is what became of one test: status 0 is passed, 1 failed, 2 not run.
type outcome struct {
	name   string
	status int
}

// outcomes reads what runtest has printed.
func outcomes(log, applet string) ([]outcome, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, fmt.Errorf("reading an output: %w", err)
	}
	return parse(string(text), applet), nil
}

// parse returns the outcomes of an applet's tests. A name that comes again gets
// a number.
func parse(text, applet string) []outcome {
	var list []outcome
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		word, name, ok := strings.Cut(strings.TrimSpace(line), ": ")
		status := slices.Index([]string{"PASS", "FAIL", "UNTESTED", "SKIPPED"}, word)
		if !ok || status < 0 || strings.HasPrefix(line, " ") {
			continue
		}
		name = applet + ": " + strings.ReplaceAll(name, " | ", " / ")
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		list = append(list, outcome{name, min(status, 2)})
	}
	return list
}
