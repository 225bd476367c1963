package exec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"megabinary.dev/sdk/artifact"
)

// Start decides on the code that a program gets on its command line and in its
// environment, if it is an interpreter, and says what to watch then; nil:
// nothing. Request.File is not used. Operator says that the command line is the
// container's own.
func (c *Controller) Start(e *artifact.ExecMapEntry, r Request, argv, env []string, operator bool) (*Sources, Decision, error) {
	allowed := Decision{Allow: true}
	if c.Level == LevelELFOnly || e == nil || e.Language == "" || e.Kind != artifact.ExecInterpreter {
		return nil, allowed, nil
	}
	s := SourcesOf(e.Language, argv, env)
	if s.none() {
		return nil, allowed, nil
	}
	for _, snippet := range s.Inline {
		d, err := c.Snippet(r, string(s.Language)+" "+snippet.How, []byte(snippet.Code), operator)
		if err != nil || !d.Allow {
			return nil, d, err
		}
	}
	if s.Stdin && c.Level != LevelInteractive {
		d := refuse(RuleStdin, "", "a %s interpreter would run what it reads from standard input", s.Language)
		d.possible = true
		r.Use, r.Path, r.Args = useSnippet, string(s.Language)+" standard input", nil
		if err := c.settle(&d, r); err != nil || !d.Allow {
			return nil, d, err
		}
	}
	return s, allowed, nil
}

const useSnippet Use = "snippet"

// Snippet decides on code that is no file. How says where it was found.
func (c *Controller) Snippet(r Request, how string, code []byte, operator bool) (Decision, error) {
	sum := sha256.Sum256(code)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	d := Decision{Allow: true, Rule: RuleSnippet, Digest: digest, Unit: -1}
	switch {
	case c.Snippets[digest]:
		d.Rule = RuleSnippetKnown
	case operator:
		d.Rule = RuleSnippetCommand
	case c.Level != LevelInteractive:
		d.Allow, d.possible = false, true
		d.Reason = "it is code that is no file of the image"
	}
	r.Use, r.Path, r.Args = useSnippet, how, nil
	if err := c.keep(digest, code); err != nil {
		return Decision{}, err
	}
	return d, c.settle(&d, r)
}

// Read logs code that an interpreter has read from something that is no file.
func (c *Controller) Read(r Request, how string, code []byte) error {
	sum := sha256.Sum256(code)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if err := c.keep(digest, code); err != nil {
		return err
	}
	d := Decision{Allow: c.Level == LevelInteractive, Rule: RuleStdin, Digest: digest, possible: true}
	r.Use, r.Path, r.Args = useSnippet, how, nil
	return c.settle(&d, r)
}

func (c *Controller) keep(digest string, code []byte) error {
	if c.Keep == nil {
		return nil
	}
	if err := c.Keep(digest, code); err != nil {
		return fmt.Errorf("keeping the code %s: %w", digest, err)
	}
	return nil
}

// CheckSource decides whether an interpreter that takes its code from s may read
// the file. An answer without a rule means that it is not code; else the
// interpreter must be given Decision.Content to read. Known code is not logged.
func (c *Controller) CheckSource(ctx context.Context, s *Sources, r Request) (Decision, error) {
	if !s.names(r.Path) && !(s.Language == artifact.Python && isZip(r.File)) {
		return Decision{Allow: true}, nil
	}
	r.Use = UseSource
	d, err := c.decide(ctx, r)
	if err != nil || d.Rule == RuleSource {
		return d, err
	}
	if d.Content != nil {
		if err := c.keep(d.Digest, d.Content); err != nil {
			return Decision{}, err
		}
	}
	return d, c.settle(&d, r)
}

// CheckNoFile decides whether an interpreter may read code from a pipe, a terminal
// or a device that it was told to run.
func (c *Controller) CheckNoFile(s *Sources, r Request) (Decision, error) {
	if !s.names(r.Path) {
		return Decision{Allow: true}, nil
	}
	d := Decision{Allow: c.Level == LevelInteractive, Rule: RuleSourceNoFile, Unit: -1, possible: true}
	if !d.Allow {
		d.Reason = "an interpreter would run what comes out of it"
	}
	r.Use = UseSource
	return d, c.settle(&d, r)
}

// isZip reports whether a file ends like a ZIP archive, which Python imports from
// whatever its name is (APPNOTE.TXT 4.3.16, end of central directory record).
func isZip(f File) bool {
	const record, comment = 22, 1<<16 - 1
	size := f.Size()
	if size < record {
		return false
	}
	tail := make([]byte, min(size, record+comment))
	n, err := f.ReadAt(tail, size-int64(len(tail)))
	if err != nil && err != io.EOF {
		return false
	}
	return bytes.Contains(tail[:n], []byte("PK\x05\x06"))
}
