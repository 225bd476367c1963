package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGeneratedIsCurrent fails if a .proto file changed and genproto was not run.
func TestGeneratedIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(protoFiles()) {
		t.Fatalf("generated %d files of %d sources", len(files), len(protoFiles()))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("reading the generated file: %v", err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: run `go run ./tools/genproto`", name)
		}
	}
}
