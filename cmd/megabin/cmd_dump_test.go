package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const dumpSource = `
long twice(long x) { return 2 * x; }
void _start(void) { __asm__ volatile("syscall" :: "a"(60), "D"(twice(4))); }
`

func TestDump(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.out")
	if err := os.WriteFile(src, []byte(dumpSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("gcc", "-O1", "-fno-inline", "-static", "-nostdlib", "-no-pie", "-o", out, src).CombinedOutput(); err != nil {
		t.Fatalf("gcc (apt-get install gcc): %v\n%s", err, msg)
	}
	for _, c := range []struct {
		name string
		args []string
		want []string // in the output
		code int
	}{
		{"text", []string{"--func", "twice"}, []string{"== guest: twice", "lea", "== IR: lift", "== wasm", "(func"}, 0},
		{"one pass", []string{"--func", "twice", "--dump-ir=simplify"}, []string{"== IR: simplify", "ret v"}, 0},
		{"page", []string{"--func", "_start", "--html"}, []string{"<section><h2>guest</h2>", "syscall"}, 0},
		{"no such function", []string{"--func", "thrice"}, []string{`no function called "thrice"`}, 125},
		{"no such pass", []string{"--func", "twice", "--dump-ir=magic"}, []string{`no pass "magic" ran`}, 125},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := execute(append([]string{"dump", out}, c.args...), nil, &stdout, &stderr)
			if code != c.code {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			for _, want := range c.want {
				if !strings.Contains(stdout.String()+stderr.String(), want) {
					t.Errorf("%q is missing from\n%s%s", want, stdout.String(), stderr.String())
				}
			}
		})
	}
}
