package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompletion asks as the shells' scripts do.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"app/blobs", "more/app"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	src, program := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.out")
	for name, text := range map[string]string{filepath.Join(dir, "app/index.json"): "{}", src: dumpSource} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if msg, err := exec.Command("gcc", "-static", "-nostdlib", "-o", program, src).CombinedOutput(); err != nil {
		t.Fatalf("gcc (apt-get install gcc): %v\n%s", err, msg)
	}
	for _, c := range []struct {
		typed string
		want  string // words
	}{
		{"run --engine ", "compiler interpreter"},
		{"run --strace=openat,exec", "openat,execve openat,execveat"},
		{"build --cpu ", "x86-64-v2 x86-64-v3"},
		{"dump " + program + " --func t", "twice"},
		{"dump " + program + " --disable simplify,addr", "simplify,addrbase"},
		{"--log-level w", "warn"},
		{"profile o", "oci: oci-archive:"},
		{"bisect oci:" + dir + "/", "oci:" + dir + "/app oci:" + dir + "/more/"},
		{"plugin serve link", "link-megabinary"},
	} {
		var stdout, stderr bytes.Buffer
		args := strings.Split(c.typed, " ")
		if code := execute(append([]string{"__complete"}, args...), nil, &stdout, &stderr); code != 0 {
			t.Fatalf("%s: %s", c.typed, stderr.String())
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		got := strings.Join(lines[:len(lines)-1], " ") // the last is the directive
		if got != c.want {
			t.Errorf("%s: offers %q, want %q", c.typed, got, c.want)
		}
	}
}

// TestCommandsHaveExamples holds every command that is for people to help that
// says how it is used.
func TestCommandsHaveExamples(t *testing.T) {
	without := []string{"help", "completion", "audit", "plugin"} // they only hold others
	for _, cmd := range newRootCmd(&app{}).Commands() {
		if cmd.Example == "" && !slices.Contains(without, cmd.Name()) {
			t.Errorf("megabin %s has no example", cmd.Name())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			if line != "" && !strings.HasPrefix(line, "  megabin ") {
				t.Errorf("megabin %s: example %q", cmd.Name(), line)
			}
		}
	}
}
