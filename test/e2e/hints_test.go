package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/test/images"
)

// hintBuild is what the test looks at of a build's last line of JSON.
type hintBuild struct {
	Image  string `json:"image"`
	Stages []struct {
		Name   string `json:"name"`
		Items  int    `json:"items"`
		Cached int    `json:"cached"`
	} `json:"stages"`
}

// cachedOf returns how many items of a stage were taken from the cache.
func (b *hintBuild) cachedOf(t *testing.T, name string) (cached, items int) {
	t.Helper()
	for _, s := range b.Stages {
		if s.Name == name {
			return s.Cached, s.Items
		}
	}
	t.Fatalf("there is no stage %s", name)
	return 0, 0
}

// TestHintsCloseTheLoop runs programs that go where the analysis found no code,
// in an image of its own store: each ends with an error that names the place,
// and after a build with the hints of the runs each works.
func TestHintsCloseTheLoop(t *testing.T) {
	dir := t.TempDir()
	programs := map[string]string{}
	for name, mode := range map[string]string{"/bin/fixed": "-static", "/bin/pie": "-static-pie"} {
		path := filepath.Join(dir, filepath.Base(name))
		if out, err := exec.Command("gcc", "-nostdlib", mode, "-o", path, "testdata/miss.S").CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v\n%s", err, out)
		}
		if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != "found\n" {
			t.Fatalf("%s on the real kernel: %q, %v", path, out, err)
		}
		programs[name] = path
	}
	img, err := images.Programs(programs)
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		t.Fatal(err)
	}
	store := []string{"--store", filepath.Join(dir, "store")}
	ref := "oci:" + filepath.Join(dir, "mega") + ":latest"
	build := func(args ...string) *hintBuild {
		t.Helper()
		argv := append(append([]string{megabin(t), "build", "--json", "oci:" + filepath.Join(dir, "src") + ":latest", "-o", ref}, store...), args...)
		cmd := exec.Command(argv[0], argv[1:]...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, stderr.String())
		}
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		b := new(hintBuild)
		if err := json.Unmarshal(lines[len(lines)-1], b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	hints := filepath.Join(dir, "hints")
	run := func(program string) (string, int) {
		t.Helper()
		return megabinRun(t, "", append(store, "--hints", hints, ref, program)...)
	}

	first := build()
	if again := build(); again.Image != first.Image {
		t.Errorf("two builds without hints differ: %s, %s", first.Image, again.Image)
	}
	for n, program := range []string{"/bin/fixed", "/bin/pie"} {
		out, code := run(program)
		if code != 128+4 {
			t.Errorf("%s: exit code %d, want that of SIGILL:\n%s", program, code, out)
		}
		for _, want := range []string{"was not translated", `"file":"` + program, `"address":"0x`, `"near":"_start+0x39"`, `"remedy":"`, "--hints"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the error has no %q:\n%s", program, want, out)
			}
		}
		if strings.Contains(out, "found") {
			t.Errorf("%s ran code that the analysis did not find:\n%s", program, out)
		}
		noted := readHints(t, hints)
		if len(noted) != n+1 {
			t.Fatalf("%d files have hints after the run of %s: %v", len(noted), program, noted)
		}
		// A hint of one file leaves the analysis of the other in the cache.
		b := build("--hints", hints)
		if cached, items := b.cachedOf(t, "analyze"); cached != 1 || items != 2 {
			t.Errorf("after hint %d, %d of %d analyses are cached, want 1 of 2", n+1, cached, items)
		}
		if cached, _ := b.cachedOf(t, "recompile"); cached != 1 {
			t.Errorf("after hint %d, %d units are cached, want 1", n+1, cached)
		}
		if out, code := run(program); out != "found\n" || code != 0 {
			t.Errorf("%s with its hint: %q, exit code %d", program, out, code)
		}
	}
	hinted := build("--hints", hints)
	again := build("--hints", hints, "--no-cache")
	if hinted.Image != again.Image || hinted.Image == first.Image {
		t.Errorf("images %s and %s with hints, %s without", hinted.Image, again.Image, first.Image)
	}
	if b := build(); b.Image != first.Image {
		t.Errorf("without hints the image is %s, it was %s", b.Image, first.Image)
	}
}

func readHints(t *testing.T, path string) map[string][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hints, err := artifact.ReadHints(f)
	if err != nil {
		t.Fatal(err)
	}
	return hints
}
