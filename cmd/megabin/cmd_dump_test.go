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
		{"page", []string{"--func", "_start", "--html"}, []string{`<h2>guest</h2>`, `<h2>wasm</h2>`, "syscall"}, 0},
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

// TestDumpHTMLLinksColumns wants every guest instruction that does something to
// have lines of IR and of wasm, and a page that needs nothing else.
func TestDumpHTMLLinksColumns(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.out")
	if err := os.WriteFile(src, []byte(dumpSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("gcc", "-O1", "-fno-inline", "-static", "-nostdlib", "-no-pie", "-o", out, src).CombinedOutput(); err != nil {
		t.Fatalf("gcc (apt-get install gcc): %v\n%s", err, msg)
	}
	var stdout, stderr bytes.Buffer
	if code := execute([]string{"dump", out, "--func", "twice", "--html", "--dump-ir=lift"}, nil, &stdout, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	page := stdout.String()
	_, columns, _ := strings.Cut(page, "<main>")
	sections := strings.Split(columns, "<section")[1:]
	if len(sections) != 3 {
		t.Fatalf("%d columns, want guest, lift and wasm:\n%s", len(sections), page)
	}
	linked := 0
	for _, line := range strings.Split(sections[0], "\n") {
		_, rest, ok := strings.Cut(line, `data-pc="`)
		if !ok {
			continue
		}
		pc, text, _ := strings.Cut(rest, `"`)
		if strings.Contains(text, "nop") || strings.Contains(text, "endbr") {
			continue
		}
		linked++
		for i, of := range []string{"IR", "wasm"} {
			if !strings.Contains(sections[1+i], `data-pc="`+pc+`"`) {
				t.Errorf("%s at %s has no line of %s", text, pc, of)
			}
		}
	}
	if linked < 2 {
		t.Errorf("%d guest instructions", linked)
	}
	for _, outside := range []string{"http:", "https:", "src=", "href="} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
}
