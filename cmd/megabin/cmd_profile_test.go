package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"megabinary.dev/test/images"
)

// profiledSource spends four times as long in one function as in another, both
// without loops of their own: only marks at calls tell them apart.
const profiledSource = `
#include <stdio.h>
__attribute__((noinline)) unsigned hot(unsigned n) { return n < 2 ? n : hot(n - 1) + hot(n - 2); }
__attribute__((noinline)) unsigned cold(unsigned n) { return n < 2 ? n : cold(n - 1) + cold(n - 2); }
int main(void) { printf("%u\n", hot(33) + cold(30)); return 3; }`

func TestProfile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MEGABIN_CACHE_DIR", filepath.Join(os.TempDir(), "megabin-test-cache")) // compiled modules: kept between runs
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program+".c", []byte(profiledSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("musl-gcc", "-static", "-O1", "-o", program, program+".c").CombinedOutput(); err != nil {
		t.Fatalf("compiling (apt-get install musl-tools): %v\n%s", err, out)
	}
	img, err := images.Programs(map[string]string{"/bin/program": program})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "image"), "latest", img); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	var stdout, stderr bytes.Buffer
	if code := execute([]string{"build", "--plain", "--store", store, "oci:" + dir + "/image", "-o", "oci:" + dir + "/mega"}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("building: %d\n%s", code, stderr.String())
	}
	report, pprof := filepath.Join(dir, "report.json"), filepath.Join(dir, "profile.pb.gz")
	stdout.Reset()
	stderr.Reset()
	code := execute([]string{"profile", "--json", "--report", report, "-o", pprof, "--store", store, "oci:" + dir + "/mega", "program"}, nil, &stdout, &stderr)
	if code != 3 || stdout.String() != "4356618\n" {
		t.Fatalf("status %d, output %q\n%s", code, stdout.String(), stderr.String())
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var p profile
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	share := map[string]float64{}
	for _, f := range p.Funcs {
		share[f.Name] = f.Guest.Seconds() / p.Total.Seconds()
		if f.Name == "hot" && f.Path != "/bin/program" {
			t.Errorf("hot is of file %q", f.Path)
		}
	}
	if p.Samples < 20 || p.Funcs[0].Name != "hot" || share["hot"] < 0.5 || share["cold"] > share["hot"]/2 {
		t.Errorf("%d samples; shares %v", p.Samples, share)
	}
	var text bytes.Buffer
	p.sort()
	if err := p.print(&text, 3); err != nil || !strings.Contains(text.String(), "hot  /bin/program") {
		t.Errorf("%v\n%s", err, text.String())
	}
	top, err := exec.Command("go", "tool", "pprof", "-top", pprof).CombinedOutput()
	if err != nil || !strings.Contains(string(top), "Type: guest") || !strings.Contains(string(top), "hot\n") {
		t.Errorf("go tool pprof: %v\n%s", err, top)
	}
}
