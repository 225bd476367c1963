package attacks

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// TestWhatIsKnownRuns shows that known-scripts does not simply refuse.
func TestWhatIsKnownRuns(t *testing.T) {
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"/app/known.sh", "sh /app/known.sh", "cp /app/known.sh /tmp/k; sh /tmp/k", "/app/sources.sh /app/known.sh",
		"mawk -f /app/known.awk", "python3 /app/known.py", "cd /app; python3 -m known", "cp /bin/payload /tmp/x; /tmp/x | grep -q uid && echo known"} {
		if out, trail := w.run(t, []string{"--exec-level", "known-scripts"}, script); out != "known\n" || refusal(trail, "deny", ".*") {
			t.Errorf("%s: %q\n%s", script, out, trail)
		}
	}
}

// TestInteractiveLogsCode: what reaches an interpreter runs, is in the trail by its
// sha256 and is kept.
func TestInteractiveLogsCode(t *testing.T) {
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	const python = "print('r' + 'an')\n"
	for _, c := range []struct{ name, script, code, rule string }{
		{"sh -c", "sh -c 'echo ran; true'", "echo ran; true", "snippet.inline"},
		{"python -c", "python3 -c 'print(\"ran\")'", `print("ran")`, "snippet.inline"},
		{"awk", "mawk 'BEGIN { print \"ran\" }'", `BEGIN { print "ran" }`, "snippet.inline"},
		{"sh from a pipe", "cat /evil/text | sh", "echo ran\n", "snippet.stdin"},
		{"python from a file", "python3 < /evil/x.py", "print('ran')\n", "snippet.stdin"},
		{"python from a pipe", "echo \"print('r' + 'an')\" | python3", python, "snippet.stdin"},
		{"an unknown file", "python3 /evil/x.py", "print('ran')\n", "source.unknown"},
		{"sourced", "/app/sources.sh /evil/lib.sh", "echo ran\n", "source.unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "kept")
			out, trail := w.run(t, []string{"--keep-snippets", dir}, c.script)
			if out != "ran\n" {
				t.Errorf("the guest saw %q", out)
			}
			digest := digestOf(c.code)
			if !regexp.MustCompile(`"object":"` + digest + `".*"verdict":"allow","rule":"` + regexp.QuoteMeta(c.rule)).MatchString(trail) {
				t.Errorf("the trail does not have %s:\n%s", digest, trail)
			}
			if kept, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(digest, "sha256:"))); string(kept) != c.code {
				t.Errorf("kept %q, %v", kept, err)
			}
			// What was kept can be allowed where nothing else is.
			if c.rule == "snippet.inline" {
				out, trail := w.run(t, []string{"--exec-level", "known-scripts", "--allow-snippets", dir}, c.script)
				if out != "ran\n" || !refusal(trail, "allow", "snippet.known") {
					t.Errorf("with --allow-snippets: %q\n%s", out, trail)
				}
			}
		})
	}
}

// TestModes: audit-only lets run what can, explain says why not.
func TestModes(t *testing.T) {
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	out, trail := w.run(t, []string{"--exec-mode", "audit-only", "--exec-level", "known-scripts"},
		"/evil/script; sh /evil/text; sh -c 'echo ran'; cp /bin/payload /tmp/s; chmod 4755 /tmp/s; /tmp/s; "+unknown+"/tmp/x")
	if strings.Count(out, "ran") != 4 || !strings.Contains(out, "Permission denied") {
		t.Errorf("audit-only: %q", out)
	}
	for _, rule := range []string{unknownIs, "source.unknown", "snippet.inline", "exec.binding"} {
		if !refusal(trail, "would-deny", rule) {
			t.Errorf("audit-only: no line of %s:\n%s", rule, trail)
		}
	}
	if !refusal(trail, "deny", unknownIs) {
		t.Errorf("audit-only: what has no unit was not refused:\n%s", trail)
	}
	out, _ = w.run(t, []string{"--exec-mode", "explain"}, unknown+"/tmp/x")
	for _, want := range []string{"may not exec \"/tmp/x\": its hash is not in the exec map", "it is sha256:", "to change that: "} {
		if !strings.Contains(out, want) {
			t.Errorf("explain: no %q in %q", want, out)
		}
	}
}

// TestElfOnlyIgnoresScripts: at the lowest level interpreters are left alone.
func TestElfOnlyIgnoresScripts(t *testing.T) {
	w, err := build()
	if err != nil {
		t.Fatal(err)
	}
	out, trail := w.run(t, []string{"--exec-level", "elf-only"}, "/evil/script; sh -c 'echo ran'; "+unknown+"/tmp/x")
	if strings.Count(out, "ran\n") != 2 || strings.Contains(trail, "snippet") || !refusal(trail, "deny", unknownIs) {
		t.Errorf("%q\n%s", out, trail)
	}
}
