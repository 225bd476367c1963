package engine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// TestDocumentedPlugin builds the program of docs/writing-a-plugin.md both ways
// and runs it, so that the document stays true.
func TestDocumentedPlugin(t *testing.T) {
	f := newFixture(t)
	doc, err := os.ReadFile("../docs/writing-a-plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(doc), "```go\n")
	program, _, ok := strings.Cut(program, "```\n")
	if !ok {
		t.Fatal("the document has no program")
	}
	dir := t.TempDir()
	main := filepath.Join(dir, "main.go")
	if err := os.WriteFile(main, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	rootFS, err := f.store.Put(artifact.MediaRootFS, strings.NewReader(`{"files":[{"path":"/a","size":1},{"path":"/b","size":22},{"path":"/c","size":3}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []PluginKind{Process, Sandbox} {
		plugin := filepath.Join(dir, string(kind))
		args := []string{"build", "-o", plugin}
		env := os.Environ()
		if kind == Sandbox {
			args = append(args, "-buildmode=c-shared", "-ldflags=-s -w")
			env = append(env, "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		}
		cmd := exec.Command("go", append(args, main)...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		spec := &PluginSpec{Name: "largest", Kind: kind, Source: plugin, Permissions: Grant{Timeout: time.Minute}}
		if kind == Sandbox {
			spec.Permissions.Memory = 64 << 20
		}
		out, err := f.plugins.RunStage(context.Background(), f.runner, spec, "", json.RawMessage(`{"count":2}`), []stage.Descriptor{rootFS})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.read(out.Outputs[0]); got != "        22 /b\n         3 /c\n" {
			t.Errorf("%s gave %q", kind, got)
		}
	}
}
