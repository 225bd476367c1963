// Package native tests images that were compiled ahead of time, as a user would
// build and run them.
package native

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/test/images"
)

// programs are guest programs of test/guest that musl-gcc compiles: small ones,
// because clang takes a while for each.
var programs = []string{"control", "controlsignals", "faults", "floatenv", "signals", "threads"}

// TestNative builds an image with --native and holds each program's output
// against that of the real kernel. Then it takes an object away, and changes
// one.
func TestNative(t *testing.T) {
	megabin, err := filepath.Abs("../../bin/megabin")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{}
	for _, name := range programs {
		exe := filepath.Join(dir, name)
		must(t, exec.Command("musl-gcc", "-static", "-O2", "-w", "-D_GNU_SOURCE", "-o", exe, filepath.Join("../guest", name+".c"), "-lm"))
		files["bin/"+name] = exe
	}
	img, err := images.Programs(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		t.Fatal(err)
	}
	image, cache := "oci:"+filepath.Join(dir, "mega"), filepath.Join(dir, "cache")
	must(t, exec.Command(megabin, "build", "--native", "--plain", "oci:"+filepath.Join(dir, "src"), "-o", image))
	must(t, exec.Command(megabin, "verify", image))
	for _, name := range programs {
		t.Run(name, func(t *testing.T) {
			want, wantCode := run(t, filepath.Join(dir, name))
			got, code := run(t, megabin, "run", "--engine", "native", "--cache-dir", cache, image, "/bin/"+name)
			if code != wantCode || got != want {
				t.Errorf("status %d, want %d; output\n%s\nwant\n%s", code, wantCode, got, want)
			}
		})
	}
	t.Run("an object that was changed", func(t *testing.T) {
		objects, err := filepath.Glob(filepath.Join(cache, "run", "native", "*.so"))
		if err != nil || len(objects) != len(programs) {
			t.Fatalf("%d objects in the cache, %v", len(objects), err)
		}
		for _, path := range objects {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o400)); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := run(t, filepath.Join(dir, "control"))
		if got, code := run(t, megabin, "run", "--engine", "native", "--cache-dir", cache, image, "/bin/control"); code != 0 || got != want {
			t.Errorf("status %d\n%s", code, got)
		}
	})
	t.Run("an image without objects", func(t *testing.T) {
		plain := "oci:" + filepath.Join(dir, "plain")
		must(t, exec.Command(megabin, "build", "--plain", "oci:"+filepath.Join(dir, "src"), "-o", plain))
		out, code := run(t, megabin, "run", "--engine", "native", plain, "/bin/control")
		if code != 125 || !strings.Contains(out, "build it with --native") {
			t.Errorf("status %d\n%s", code, out)
		}
		want, _ := run(t, filepath.Join(dir, "control"))
		if got, code := run(t, megabin, "run", plain, "/bin/control"); code != 0 || got != want {
			t.Errorf("without --engine: status %d\n%s", code, got)
		}
	})
}

func must(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// run returns output of both streams and the exit status.
func run(t *testing.T, argv ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}
