package analyzeelf

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGoRuntimePlaces analyzes a Go program, stripped, and wants the places that
// only Go's runtime knows of among the entries.
func TestGoRuntimePlaces(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	text := "package main\nfunc main() { defer func() { recover() }(); panic(1) }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p, _ := analyzeFile(t, program)
	exit, deferring := false, 0
	for _, f := range p.Functions {
		for _, b := range f.Blocks {
			switch {
			case !b.Entry:
			case f.Name == "runtime.goexit" && b.Start == f.Start+1:
				exit = true
			case f.Name == "main.main" && b.Start != f.Start && b.Size == 5:
				deferring++ // a call alone
			}
		}
	}
	if !exit {
		t.Error("the second byte of runtime.goexit is no entry")
	}
	if deferring == 0 {
		t.Error("the call of deferreturn in main.main is no entry")
	}
}
