package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"megabinary.dev/image"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/exec"
)

// newExplainCmd returns the command that says why a file may or may not run.
func newExplainCmd(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "explain IMAGE PATH|DIGEST",
		Short: "Say why a file of a rebuilt image may or may not run, and what to do",
		Long: `Say what the exec controller does with a file of a rebuilt image, by its path in the
image (through symbolic links) or the sha256 of its content, and with everything
that it needs to start: its interpreter and its libraries. The exit code is 126 if
it does not run.

IMAGE is ` + image.Usage + `.`,
		Example: "  megabin explain oci:app-mega /usr/bin/python3\n  megabin explain oci:app-mega sha256:0123...",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			e, err := a.explainFile(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				err = encoder.Encode(e)
			} else {
				err = e.print(a.stdout)
			}
			if err == nil && !e.Runs {
				err = &exitError{Code: exitNotExecutable}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addStoreFlag(cmd)
	return cmd
}

// fileExplanation says what becomes of one file.
type fileExplanation struct {
	File   string                 `json:"file"` // as it was asked for
	Digest string                 `json:"digest,omitempty"`
	Runs   bool                   `json:"runs"`
	Rule   string                 `json:"rule"` // that decides
	Reason string                 `json:"reason"`
	Remedy string                 `json:"remedy,omitempty"`
	Notes  []string               `json:"notes,omitempty"`
	Entry  *artifact.ExecMapEntry `json:"entry,omitempty"`
	Needs  []*fileExplanation     `json:"needs,omitempty"`
}

func (a *app) explainFile(ctx context.Context, name, file string) (*fileExplanation, error) {
	ref, err := image.ParseRef(name)
	if err != nil {
		return nil, err
	}
	w, err := a.openWorkshop()
	if err != nil {
		return nil, err
	}
	defer w.close()
	img, err := image.Pull(ctx, ref, w.store)
	if err != nil {
		return nil, err
	}
	m, err := openMega(w.store, img)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	x := &explainer{byDigest: map[string]*artifact.ExecMapEntry{}, seen: map[string]bool{}}
	for i := range m.ExecMap.Entries {
		x.byDigest[m.ExecMap.Entries[i].Digest] = &m.ExecMap.Entries[i]
	}
	if artifact.ValidDigest(file) {
		return x.digest(file, file), nil
	}
	if !path.IsAbs(file) {
		return nil, fmt.Errorf("%q is neither an absolute path nor a digest, sha256: and 64 hexadecimal digits", file)
	}
	v := &verification{ctx: ctx, ref: ref, dir: w.scratch.Dir}
	rootFS, err := v.extract(w.store, img)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	return x.path(rootFS, file), nil
}

type explainer struct {
	byDigest map[string]*artifact.ExecMapEntry
	seen     map[string]bool // digests, against loops
}

// path explains the file that a path leads to.
func (x *explainer) path(rootFS *artifact.RootFS, file string) *fileExplanation {
	f := resolveFile(rootFS, file)
	switch {
	case f == nil:
		return &fileExplanation{File: file, Rule: "path", Reason: "the image has no such file",
			Remedy: "put it into the source image and build that again; files that are made while the container runs never run as machine code"}
	case f.Type != "file":
		return &fileExplanation{File: file, Rule: "path", Reason: "it is a " + f.Type + ", not a file"}
	}
	e := x.digest(file, f.Digest)
	if path.Clean(file) != f.Path {
		e.Notes = append(e.Notes, "it is "+f.Path)
	}
	if f.Mode&0o111 == 0 && e.Entry != nil && e.Entry.Kind != artifact.ExecLibrary {
		e.Notes = append(e.Notes, fmt.Sprintf("its mode %#o lets nobody execute it; it can be read by an interpreter or mapped", f.Mode))
	}
	if f.Mode&0o6000 != 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("setuid and setgid bits count with mode %#o and owner %d:%d only", f.Mode, f.UID, f.GID))
	}
	return e
}

// resolveFile follows symbolic links; nil if there is nothing.
func resolveFile(rootFS *artifact.RootFS, file string) *artifact.FileEntry {
	byPath := make(map[string]*artifact.FileEntry, len(rootFS.Files))
	for i := range rootFS.Files {
		byPath[rootFS.Files[i].Path] = &rootFS.Files[i]
	}
	done, rest := "/", strings.Split(strings.Trim(path.Clean(file), "/"), "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		f := byPath[next]
		if f == nil || f.Type != "symlink" {
			done = next
			continue
		}
		if links++; links > 40 {
			return nil
		}
		if path.IsAbs(f.Target) {
			done = "/"
		}
		rest = append(strings.Split(strings.Trim(f.Target, "/"), "/"), rest...)
	}
	return byPath[done]
}

// digest explains a content and what it needs.
func (x *explainer) digest(file, digest string) *fileExplanation {
	e := &fileExplanation{File: file, Digest: digest, Entry: x.byDigest[digest]}
	switch {
	case e.Entry == nil:
		e.Rule, e.Reason = exec.RuleUnknownHash, "the exec map does not have this content: when the image was built, it was not there, or was neither ELF nor a script nor executable"
	case e.Entry.Verdict == artifact.VerdictRefuse:
		e.Rule, e.Reason = exec.RuleRefused, e.Entry.Reason
	case e.Entry.Verdict == artifact.VerdictScript && e.Entry.Interpreter == nil:
		e.Runs, e.Rule, e.Reason = true, exec.RuleSource, fmt.Sprintf("it is known code of %s, for an interpreter to read", e.Entry.Language)
	case e.Entry.Verdict == artifact.VerdictScript:
		e.Runs, e.Rule, e.Reason = true, exec.RuleScript, "it is a known script"
	default:
		e.Runs, e.Rule = true, exec.RuleUnit
		e.Reason = fmt.Sprintf("unit %d runs in its place: %.2f %% of its code, made by %s", e.Entry.Unit, 100*e.Entry.Coverage, e.Entry.Recompiler)
		if e.Entry.Unknown > 0 {
			e.Notes = append(e.Notes, fmt.Sprintf("%d instructions are not known and raise SIGILL when they are reached", e.Entry.Unknown))
		}
	}
	if !e.Runs {
		e.Remedy = exec.Remedy(e.Rule)
	}
	if e.Entry != nil && !x.seen[digest] {
		x.seen[digest] = true
		x.needs(e)
	}
	return e
}

// needs explains what a file needs to start; one that does not run is the reason
// why the file does not.
func (x *explainer) needs(e *fileExplanation) {
	refs := slices.Clone(e.Entry.Needed)
	if e.Entry.Interpreter != nil {
		refs = append([]artifact.ExecMapRef{*e.Entry.Interpreter}, refs...)
	}
	for _, r := range refs {
		if x.seen[r.Digest] && r.Digest != "" {
			continue
		}
		n := &fileExplanation{File: r.Name, Rule: "path", Reason: "the image has no such file where it is looked for by default",
			Remedy: "add it to the source image, unless a run path or LD_LIBRARY_PATH leads to it"}
		if r.Digest != "" {
			n = x.digest(r.Name, r.Digest)
		}
		e.Needs = append(e.Needs, n)
		if !n.Runs && r.Digest != "" && e.Runs {
			e.Runs, e.Rule, e.Remedy = false, n.Rule, n.Remedy
			e.Reason = fmt.Sprintf("it needs %s, which does not run: %s", r.Name, n.Reason)
		}
	}
}

func (e *fileExplanation) print(out io.Writer) error {
	verdict := "does not run"
	if e.Runs {
		verdict = "runs"
	}
	if _, err := fmt.Fprintf(out, "%s %s: %s (%s)\n", e.File, verdict, e.Reason, e.Rule); err != nil {
		return err
	}
	if e.Digest != "" {
		fmt.Fprintf(out, "  content  %s\n", e.Digest)
	}
	if e.Entry != nil {
		paths := make([]string, 0, len(e.Entry.Paths))
		for _, p := range e.Entry.Paths {
			paths = append(paths, fmt.Sprintf("%s (%#o, %d:%d)", p.Path, p.Mode, p.UID, p.GID))
		}
		kind := string(e.Entry.Kind)
		if e.Entry.Language != "" {
			kind += ", " + string(e.Entry.Language)
		}
		fmt.Fprintf(out, "  kind     %s\n  known at %s\n", kind, strings.Join(paths, ", "))
	}
	for _, n := range e.Notes {
		fmt.Fprintf(out, "  note     %s\n", n)
	}
	for _, n := range e.Needs {
		state := "runs"
		if !n.Runs {
			state = "does not run: " + n.Reason
		}
		fmt.Fprintf(out, "  needs    %s: %s\n", n.File, state)
	}
	if e.Remedy != "" {
		fmt.Fprintf(out, "  to do    %s\n", e.Remedy)
	}
	return nil
}

// mapFile reads an exec map from a file or out of an image.
func (a *app) mapFile(ctx context.Context, w *workshop, name string) (*artifact.ExecMap, error) {
	if strings.HasSuffix(name, ".json") {
		content, err := readLimited(filepath.Clean(name), artifact.MaxExecMap)
		if err != nil {
			return nil, err
		}
		return artifact.ParseExecMap(content)
	}
	ref, err := image.ParseRef(name)
	if err != nil {
		return nil, err
	}
	img, err := image.Pull(ctx, ref, w.store)
	if err != nil {
		return nil, err
	}
	m, err := openMega(w.store, img)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	return m.ExecMap, nil
}
