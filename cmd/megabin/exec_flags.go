package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/exec"
)

// execFlags say what may run.
type execFlags struct {
	level, mode   string
	keepSnippets  string
	allowSnippets string
}

func (o *execFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.level, "exec-level", "",
		"elf-only: any script may run; interactive: executed scripts must be in the exec map, and other code that interpreters read is logged; "+
			"known-scripts: all code that interpreters read must be in it (default the policy's, or interactive)")
	f.StringVar(&o.mode, "exec-mode", string(exec.ModeEnforce),
		"enforce; explain: and say why on stderr, and what to do; audit-only: what would be refused runs, if it can, and is logged")
	f.String(settingVerify, "", "run only an image that was signed with this public key, and none older than the last one of its map name")
	f.String(settingVerifyState, "", "where --verify remembers the exec maps that it has accepted (default ~/.local/state/megabin/accepted.json)")
	f.StringVar(&o.keepSnippets, "keep-snippets", "", "keep code that is no file of the image in this directory, under its sha256")
	f.StringVar(&o.allowSnippets, "allow-snippets", "", "code that may run at known-scripts: a directory of --keep-snippets, or a file with a sha256 in each line")
}

// apply puts the flags into a container's specification.
func (o *execFlags) apply(a *app, spec *vkernel.Spec) error {
	spec.Level, spec.ExecMode = exec.Level(o.level), exec.Mode(o.mode)
	var err error
	if o.allowSnippets != "" {
		if spec.Snippets, err = readSnippets(o.allowSnippets); err != nil {
			return fmt.Errorf("--allow-snippets: %w", err)
		}
	}
	if o.keepSnippets != "" {
		if err := os.MkdirAll(o.keepSnippets, 0o700); err != nil {
			return fmt.Errorf("--keep-snippets: %w", err)
		}
		spec.KeepSnippet = (&snippetDir{dir: o.keepSnippets}).keep
	}
	if spec.ExecMode == exec.ModeExplain {
		spec.Explain = a.explain
	}
	return nil
}

// explain tells of a refusal on stderr. What a guest names is quoted: it may hold
// control characters.
func (a *app) explain(e exec.Explanation) {
	fmt.Fprintf(a.stderr, "megabin: process %d may not %s %q: %s (%s)\n", e.PID, e.Use, e.Path, e.Reason, e.Rule)
	if e.Digest != "" {
		fmt.Fprintf(a.stderr, "  it is %s\n", e.Digest)
	}
	fmt.Fprintf(a.stderr, "  to change that: %s\n", e.Remedy)
}

// maxSnippets bounds what one run keeps, in bytes.
const maxSnippets = 256 << 20

// snippetDir is a directory of code under its digests.
type snippetDir struct {
	dir  string
	mu   sync.Mutex
	used int64
}

func (d *snippetDir) keep(digest string, code []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := filepath.Join(d.dir, strings.TrimPrefix(digest, "sha256:"))
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if d.used += int64(len(code)); d.used > maxSnippets {
		return fmt.Errorf("this run has kept %d bytes of code: that is the limit", int64(maxSnippets))
	}
	return store.WriteFile(name, code, 0o600)
}

// readSnippets reads digests from a file, or takes those of the files in a
// directory.
func readSnippets(name string) (map[string]bool, error) {
	all := make(map[string]bool)
	entries, err := os.ReadDir(name)
	if err == nil {
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			code, err := os.ReadFile(filepath.Join(name, e.Name()))
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(code)
			all["sha256:"+hex.EncodeToString(sum[:])] = true
		}
		return all, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		word, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if word == "" || word[0] == '#' {
			continue
		}
		digest := "sha256:" + strings.TrimPrefix(word, "sha256:")
		if !artifact.ValidDigest(digest) {
			return nil, fmt.Errorf("%s:%d: %.80q is no sha256", name, n, word)
		}
		all[digest] = true
	}
	return all, lines.Err()
}
