package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// megabin runs a command line and returns its exit code and output.
func megabin(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"frobnicate"}, `unknown command "frobnicate"`},
		{"unknown flag", []string{"--frobnicate"}, "unknown flag: --frobnicate"},
		{"unknown log level", []string{"--log-level", "loud"}, `"loud" is no level`},
		{"missing configuration file", []string{"--config", "/nonexistent.yaml"}, "reading the configuration file /nonexistent.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := megabin(t, c.args...)
			if code != exitFailure || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, stderr %q; want %d and %q", code, stderr, exitFailure, c.want)
			}
		})
	}
}

func TestSettingsPrecedence(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("log-level: nonsense-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, stderr := megabin(t, "--config", config); !strings.Contains(stderr, "nonsense-from-file") {
		t.Errorf("the file's setting was not used: %q", stderr)
	}
	t.Setenv("MEGABIN_LOG_LEVEL", "nonsense-from-env")
	if _, _, stderr := megabin(t, "--config", config); !strings.Contains(stderr, "nonsense-from-env") {
		t.Errorf("the environment does not win over the file: %q", stderr)
	}
	if code, _, stderr := megabin(t, "--config", config, "--log-level", "info"); code != 0 {
		t.Errorf("the flag does not win over the environment: %q", stderr)
	}
}
