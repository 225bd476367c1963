// Package agree runs each C program of test/guest twice, on the real kernel
// and under the vkernel, and compares output and exit status: a program states
// what Linux does, and the real kernel proves it right. It has tests only.
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
	if _, err := exec.LookPath("musl-gcc"); err != nil {
		return nil, fmt.Errorf("%w: install Debian's package musl-tools", err)
	}
	dir, err := os.MkdirTemp("", "megabin-guest")
	if err != nil {
		return nil, err
	}
	b := &built{dir: dir, megabin: megabin, image: "oci:" + dir + "/mega:latest"}
	sources, err := filepath.Glob("../*.c")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		program := filepath.Join(dir, name)
		out, err := exec.Command("musl-gcc", "-static", "-O1", "-Wall", "-Werror", "-o", program, src).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("compiling %s: %w: %s", src, err, out)
		}
		files["/bin/"+name] = program
		b.programs = append(b.programs, name)
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
			got, code := run(t, t.TempDir(), b.megabin, "run", "-w", "/tmp", b.image, "/bin/"+name)
			if code != wantCode {
				t.Errorf("status %d, natively %d", code, wantCode)
			}
			if got != want {
				t.Errorf("output differs\nnatively:\n%s\nhere:\n%s", want, got)
			}
		})
	}
}
