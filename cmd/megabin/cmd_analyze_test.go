package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnalyzeFile(t *testing.T) {
	const busybox = "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		t.Fatalf("%v (install the Debian package busybox-static)", err)
	}
	code, stdout, stderr := megabin(t, "analyze", busybox)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"FILE", busybox, " %", "UNRESOLVED JUMPS", "extensions that CPUID reports absent", "AVX: 0x", "target comes from POP: 0x"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output has no %q:\n%s", want, stdout)
		}
	}
	code, stdout, stderr = megabin(t, "analyze", "--json", busybox)
	var report analyzeReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, stderr)
	}
	files := report.Files
	if len(files) != 1 || files[0].Code == 0 || report.Summary.Text != files[0].Text || report.Summary.Unresolved != len(files[0].Unresolved) || files[0].Coverage < 0.995 || files[0].Functions < 1000 || report.Summary.Missing != 0 || report.Summary.Extensions == 0 || files[0].PositionIndependent {
		t.Errorf("%d files, coverage %v, %d functions", len(files), files[0].Coverage, files[0].Functions)
	}
}

// TestAnalyzeDirectory wants each program once, and files that are none left out.
func TestAnalyzeDirectory(t *testing.T) {
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"b/true": string(program), "a": string(program), "notes": "no program", "foreign": "\x7fELF\x01\x01"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := megabin(t, "analyze", "--json", dir, filepath.Join(dir, "a"))
	var report analyzeReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, stderr)
	}
	if len(report.Files) != 1 || report.Files[0].Path != filepath.Join(dir, "a") || report.Summary.Coverage < 0.999 {
		t.Errorf("%d files: %+v", len(report.Files), report.Summary)
	}
	if code, stdout, _ = megabin(t, "analyze", dir, "/bin/busybox"); code != 0 || !strings.Contains(stdout, "2 files, ") {
		t.Errorf("exit code %d, no summary of two files:\n%s", code, stdout)
	}
	if code, _, stderr = megabin(t, "analyze", t.TempDir()); code != exitFailure || !strings.Contains(stderr, "no ELF program") {
		t.Errorf("empty directory: exit code %d, %s", code, stderr)
	}
}

func TestAnalyzeRefuses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+strings.Repeat("# not a program\n", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, arg, want string }{
		{"no ELF file", script, script + ": analyzing ELF file: reading ELF file at offset 0x0: not an ELF file"},
		{"missing", "/no/such/file", "is a path, not an image reference"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := megabin(t, "analyze", c.arg); code != exitFailure || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, %q; want %q", code, stderr, c.want)
			}
		})
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{1: "100.00 %", 0.999999: "99.99 %", 0.5: "50.00 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %s, want %s", share, got, want)
		}
	}
}
