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
	for _, want := range []string{"FILE", busybox, "99.", "UNRESOLVED JUMPS", "unknown instructions: ", "target is loaded through a pointer: 0x"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the output has no %q:\n%s", want, stdout)
		}
	}
	code, stdout, stderr = megabin(t, "analyze", "--json", busybox)
	var files []analysis
	if err := json.Unmarshal([]byte(stdout), &files); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, stderr)
	}
	if len(files) != 1 || files[0].Coverage < 0.995 || files[0].Functions < 1000 || files[0].PositionIndependent {
		t.Errorf("%d files, coverage %v, %d functions", len(files), files[0].Coverage, files[0].Functions)
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
