// Command tcg runs the x86-64 test programs of QEMU (tests/tcg of its source)
// on the real CPU and under megabin, and compares what they print and their
// exit status. The CPU and the kernel of this machine are the authority; a
// difference must be in known.txt, with its reason, and one that is no longer
// there must not. The source is fetched when needed and not kept with ours.
//
//	go run ./test/tcg -out out/tcg [-run NAME]
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
	"strings"
	"syscall"
	"time"

	"megabinary.dev/test/images"
)

//go:embed known.txt
var knownText string

// timeout bounds one run of one program.
const timeout = 3 * time.Minute

func main() {
	out := flag.String("out", "out/tcg", "folder for the source, programs and outputs")
	megabin := flag.String("megabin", "bin/megabin", "the program to test")
	only := flag.String("run", "", "programs to run: those whose name contains this")
	flag.Parse()
	if err := run(*out, *megabin, *only); err != nil {
		fmt.Fprintln(os.Stderr, "tcg:", err)
		os.Exit(1)
	}
}

func run(out, megabin, only string) error {
	known, err := parseKnown(knownText)
	if err != nil {
		return err
	}
	for _, path := range []*string{&out, &megabin} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("resolving %s: %w", *path, err)
		}
	}
	tests, err := fetch(out)
	if err != nil {
		return fmt.Errorf("fetching QEMU's source: %w", err)
	}
	bin := filepath.Join(out, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("making a folder for programs: %w", err)
	}
	files := map[string]map[string]string{} // by processor and path in the image
	var selected []program
	for _, p := range programs() {
		if !strings.Contains(p.name, only) {
			continue
		}
		if err := p.build(tests, bin); err != nil {
			return fmt.Errorf("building %s: %w", p.name, err)
		}
		if files[p.cpu] == nil {
			files[p.cpu] = map[string]string{}
		}
		files[p.cpu]["/bin/"+p.name] = filepath.Join(bin, p.name)
		selected = append(selected, p)
	}
	image := map[string]string{}
	for cpu := range files {
		if image[cpu], err = buildImage(out, megabin, cpu, files[cpu]); err != nil {
			return err
		}
	}
	failed := 0
	for _, p := range selected {
		native, err := outcomeOf(out, p.name+".native", filepath.Join(bin, p.name))
		if err != nil {
			return err
		}
		here, err := outcomeOf(out, p.name+".megabin", megabin, "run", "-w", "/tmp", image[p.cpu], "/bin/"+p.name)
		if err != nil {
			return err
		}
		native.output, here.output = p.stable(native.output), p.stable(here.output)
		verdict, ok := judge(native, here, known[p.name])
		if !ok {
			failed++
		}
		fmt.Printf("%-28s %s\n", p.name, verdict)
	}
	fmt.Printf("%d programs, %d not as known.txt says; outputs are in %s\n", len(selected), failed, out)
	if failed > 0 {
		return fmt.Errorf("%d programs", failed)
	}
	return nil
}

// buildImage rebuilds an image that holds files, for a processor, "" for the
// default one, and returns its reference.
func buildImage(out, megabin, cpu string, files map[string]string) (string, error) {
	img, err := images.Programs(files)
	if err != nil {
		return "", err
	}
	src, dst := filepath.Join(out, "image"+cpu), filepath.Join(out, "mega"+cpu)
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", err
	}
	if err := os.RemoveAll(dst); err != nil {
		return "", fmt.Errorf("clearing %s: %w", dst, err)
	}
	image := "oci:" + dst + ":latest"
	return image, command(out, megabin, "build", "--plain", "--cpu", cpu, "oci:"+src+":latest", "-o", image)
}

// outcome is what a program printed, both streams as one, and its exit status
// as a shell shows it.
type outcome struct {
	output string
	status int
}

// sameLibc makes glibc take the functions that it takes under megabin, which
// says that the processor is an x86-64-v2.
const sameLibc = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F,-BMI1,-BMI2,-LZCNT,-MOVBE,-XSAVE,-XSAVEC,-OSXSAVE"

// outcomeOf runs argv in an empty folder and keeps its output in out/NAME.
func outcomeOf(out, name string, argv ...string) (outcome, error) {
	dir, err := os.MkdirTemp(out, "run")
	if err != nil {
		return outcome{}, fmt.Errorf("making a folder to run in: %w", err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var buf bytes.Buffer
	cmd.Env = append(os.Environ(), sameLibc)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &buf, &buf, time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, fmt.Errorf("running %q: %w", argv, err)
	}
	o := outcome{buf.String(), cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		o.status = 128 + int(ws.Signal())
	}
	if err := os.WriteFile(filepath.Join(out, name), buf.Bytes(), 0o644); err != nil {
		return outcome{}, fmt.Errorf("keeping the output of %q: %w", argv, err)
	}
	return o, nil
}
