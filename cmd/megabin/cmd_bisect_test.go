package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"megabinary.dev/plugins/recompile/recompiletest"
)

// TestFindCulprits hides culprits among many and counts the questions.
func TestFindCulprits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 10, 1000} {
		for size := 1; size <= min(3, n); size++ {
			hidden := rng.Perm(n)[:size]
			slices.Sort(hidden)
			asked := 0
			got, err := findCulprits(n, func(on func(int) bool) (bool, error) {
				asked++
				return !slices.ContainsFunc(hidden, func(i int) bool { return !on(i) }), nil
			})
			if err != nil || !slices.Equal(got, hidden) {
				t.Errorf("%d among %d: %v, %v; want %v", size, n, got, err, hidden)
			}
			if most := size * (halvings(n) + 1); asked > most {
				t.Errorf("%d among %d: %d questions, more than %d", size, n, asked, most)
			}
		}
	}
	_, err := findCulprits(100, func(on func(int) bool) (bool, error) {
		count := 0
		for i := range 100 {
			if on(i) {
				count++
			}
		}
		return count > 50, nil
	})
	if err != errNotFound {
		t.Errorf("a fault that takes 51 functions: %v", err)
	}
}

func TestPlain(t *testing.T) {
	b := &bisection{}
	for _, f := range []struct {
		sha   string
		start uint32
	}{{"a", 0x10}, {"a", 0x20}, {"a", 0x30}, {"a", 0x40}, {"b", 0x10}, {"b", 0x18}} {
		b.funcs = append(b.funcs, foundFunction{sha256: f.sha, start: f.start})
	}
	plain := b.plain(func(i int) bool { return i == 2 })
	if got := strings.Join(plain["a"], " "); got != "10-20 40-40" {
		t.Errorf("file a: %s", got)
	}
	if got := strings.Join(plain["b"], " "); got != "10-18" {
		t.Errorf("file b: %s", got)
	}
}

// brokenSource calls one function that the recompiler of this test binary gets
// wrong, among many that it does not.
const brokenSource = `
#include <stdio.h>
__attribute__((noinline)) int ` + recompiletest.BrokenFunction + `(int a, int b) { return a + b; }
__attribute__((noinline)) int sound(int a, int b) { return a * b; }
int main(int argc, char **argv) {
	printf("%d %d\n", ` + recompiletest.BrokenFunction + `(argc + 40, 1), sound(argc, 3));
	return 0;
}`

// TestBisect searches a program with the command, whose recompile stage is
// served by this test binary.
func TestBisect(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "broken")
	if err := os.WriteFile(program+".c", []byte(brokenSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("musl-gcc", "-static", "-O1", "-o", program, program+".c").CombinedOutput(); err != nil {
		t.Fatalf("compiling (apt-get install musl-tools): %v\n%s", err, out)
	}
	t.Setenv("MEGABIN_CACHE_DIR", filepath.Join(os.TempDir(), "megabin-test-cache")) // compiled modules: kept between runs
	good := filepath.Join(dir, "good.txt")
	if err := os.WriteFile(good, []byte("42 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	for _, args := range [][]string{ // the second takes all builds from the store
		{"bisect", "--store", store, program, "--"},
		{"bisect", "--store", store, "--expect", good, program, "--"},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(args, strings.NewReader(""), &stdout, &stderr)
		if code != 0 || !strings.HasPrefix(stdout.String(), "function  "+recompiletest.BrokenFunction+" at 0x") ||
			!strings.Contains(stdout.String(), "\npass      "+recompiletest.BrokenPass+"\n") {
			t.Errorf("%q: status %d\n%s\n%s", args, code, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	code := execute([]string{"bisect", "--store", store, "--expect-status", "0", program, "--"}, strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "nothing is wrong") {
		t.Errorf("a status that is right: %d\n%s", code, stderr.String())
	}
}
