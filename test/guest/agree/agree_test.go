// Package agree runs each program of test/guest twice, on the real kernel and
// under the vkernel, and compares output and exit status: a program states what
// Linux does, and the real kernel proves it right. It has tests only.
//
// A program is a C or C++ file or a directory with a Go package. A file is
// compiled once for each line of it that begins with "// build:", with what that
// line says, or as byExtension says if it has none.
package agree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"megabinary.dev/test/images"
)

// programTimeout bounds one run of one program.
const programTimeout = time.Minute

// built is what all tests share: a directory with the programs, and the rebuilt
// image that holds them.
type built struct {
	dir, megabin, image string
	policy              string // lets system calls through that docker's profile does not, as the real kernel does
	programs            []string
}

var build = sync.OnceValues(func() (*built, error) {
	megabin, err := filepath.Abs("../../../bin/megabin")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(megabin); err != nil {
		return nil, fmt.Errorf("%w: run `make build` first", err)
	}
	for tool, pkg := range map[string]string{"musl-gcc": "musl-tools", "gcc": "gcc", "g++": "g++"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: install Debian's package %s", err, pkg)
		}
	}
	dir, err := os.MkdirTemp("", "megabin-guest")
	if err != nil {
		return nil, err
	}
	b := &built{dir: dir, megabin: megabin, image: "oci:" + dir + "/mega:latest", policy: filepath.Join(dir, "policy.yaml")}
	if err := os.WriteFile(b.policy, []byte("version: 1\nseccomp:\n  profile: unconfined\n"), 0o644); err != nil {
		return nil, err
	}
	files := map[string]string{}
	commands, err := commands(dir)
	if err != nil {
		return nil, err
	}
	for _, c := range commands {
		cmd := exec.Command(c.argv[0], c.argv[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling %s: %q: %w: %s", c.program, c.argv, err, out)
		}
		files["/bin/"+c.program] = filepath.Join(dir, c.program)
		b.programs = append(b.programs, c.program)
	}
	img, err := images.Programs(files)
	if err != nil {
		return nil, err
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		return nil, err
	}
	out, err := exec.Command(megabin, "build", "--plain", "oci:"+dir+"/src:latest", "-o", b.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("building the image: %w: %s", err, out)
	}
	return b, nil
})

// byExtension holds the commands that compile a file, less the file and -o.
var byExtension = map[string]string{
	".c":  "musl-gcc -static -O1 -Wall -Werror",
	".cc": "g++ -static -O2 -Wall -Werror",
}

// command makes one program.
type command struct {
	program string
	argv    []string
}

// commands returns what makes the programs, into dir.
func commands(dir string) ([]command, error) {
	var out []command
	entries, err := os.ReadDir("..")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path, ext := filepath.Join("..", e.Name()), filepath.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext)
		program := filepath.Join(dir, name)
		if mains, err := filepath.Glob(filepath.Join(path, "main.go")); e.IsDir() {
			if err == nil && len(mains) == 1 {
				out = append(out, command{name, []string{"go", "build", "-trimpath", "-o", program, "./" + path}})
			}
			continue
		}
		deflt, ok := byExtension[ext]
		if !ok {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		n := 0
		add := func(line string) {
			c := command{name, append(strings.Fields(line), "-o", program, path)}
			if n++; n > 1 {
				c.program = fmt.Sprintf("%s%d", name, n)
				c.argv[len(c.argv)-2] = filepath.Join(dir, c.program)
			}
			out = append(out, c)
		}
		for line := range strings.Lines(string(text)) {
			if line, ok := strings.CutPrefix(line, "// build: "); ok {
				add(line)
			}
		}
		if n == 0 {
			add(deflt)
		}
	}
	return out, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := build(); err == nil {
		os.RemoveAll(b.dir)
	}
	os.Exit(code)
}

// run returns stdout and stderr as one stream, and the exit status as a shell
// shows it.
func run(t *testing.T, dir string, argv ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = dir, &out, &out, append(os.Environ(), "TZ=UTC")
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%q did not end within %v:\n%s", argv, programTimeout, out.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", argv, err)
	}
	code := cmd.ProcessState.ExitCode()
	if code < 0 { // killed by a signal
		code = 128 + int(signalOf(cmd.ProcessState))
	}
	return out.String(), code
}

func TestAgreesWithTheRealKernel(t *testing.T) {
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range b.programs {
		t.Run(name, func(t *testing.T) {
			want, wantCode := run(t, t.TempDir(), filepath.Join(b.dir, name))
			if strings.Contains("\n"+want, "\nFAIL ") {
				t.Fatalf("the program is wrong about the real kernel:\n%s", want)
			}
			got, code := run(t, t.TempDir(), b.megabin, "run", "--policy", b.policy, "-w", "/tmp", b.image, "/bin/"+name)
			if code != wantCode {
				t.Errorf("status %d, natively %d", code, wantCode)
			}
			if got != want {
				t.Errorf("output differs\nnatively:\n%s\nhere:\n%s", want, got)
			}
		})
	}
}
