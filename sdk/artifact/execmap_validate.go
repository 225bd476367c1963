package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// compactJSON encodes v as RFC 8785 does, given that the fields of its types
// stand in the order of their keys.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return unescapeSeparators(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// unescapeSeparators writes U+2028 and U+2029 as they are, which encoding/json
// escapes and RFC 8785 does not.
func unescapeSeparators(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\u202`)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		switch {
		case bytes.HasPrefix(b[i:], []byte(`\u2028`)):
			out, i = append(out, "\u2028"...), i+5
		case bytes.HasPrefix(b[i:], []byte(`\u2029`)):
			out, i = append(out, "\u2029"...), i+5
		default: // an escape of two bytes, or the start of another \u
			out, i = append(out, b[i], b[i+1]), i+1
		}
	}
	return out
}

// maxSequence is the largest whole number that every reader of JSON knows.
const maxSequence = 1<<53 - 1

// maxMapName bounds ExecMap.Name, in bytes.
const maxMapName = 256

// validate checks a sorted exec map.
func (m *ExecMap) validate() error {
	if m.SchemaVersion != ExecMapSchemaVersion {
		return fmt.Errorf("schema version %d is not %d: build the image again", m.SchemaVersion, ExecMapSchemaVersion)
	}
	if !ValidDigest(m.Image) {
		return fmt.Errorf("image %q is no digest", m.Image)
	}
	if m.Megabinary != "" && !ValidDigest(m.Megabinary) {
		return fmt.Errorf("megabinary %q is no digest", m.Megabinary)
	}
	if err := CheckMapName(m.Name, m.Sequence); err != nil {
		return err
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if !ValidDigest(e.Digest) {
			return fmt.Errorf("entry %d: %q is no digest", i, e.Digest)
		}
		if i > 0 && m.Entries[i-1].Digest == e.Digest {
			return fmt.Errorf("two entries for %s", e.Digest)
		}
		if err := e.validate(); err != nil {
			return fmt.Errorf("entry %s: %w", e.Digest, err)
		}
	}
	return nil
}

// CheckMapName says whether a map may have this name and number.
func CheckMapName(name string, sequence uint64) error {
	switch {
	case sequence > maxSequence:
		return fmt.Errorf("sequence %d is larger than %d", sequence, uint64(maxSequence))
	case sequence > 0 && name == "":
		return fmt.Errorf("sequence %d without a name: numbers order the maps of one name", sequence)
	case len(name) > maxMapName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("name %.40q is longer than %d bytes or has control characters", name, maxMapName)
	}
	return nil
}

func (e *ExecMapEntry) validate() error {
	switch e.Kind {
	case ExecProgram, ExecLibrary, ExecInterpreter, ExecScript, ExecForeign, ExecData:
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	if !e.Language.known() || e.Kind == ExecInterpreter && e.Language == "" {
		return fmt.Errorf("%s in language %q", e.Kind, e.Language)
	}
	switch {
	case e.Verdict == VerdictRun && e.Unit >= 0:
	case e.Verdict == VerdictRun && e.Polyfill != "":
	case e.Verdict == VerdictScript && e.Unit == -1:
	case e.Verdict == VerdictRefuse && e.Unit == -1 && e.Reason != "":
	default:
		return fmt.Errorf("verdict %q with unit %d and reason %q", e.Verdict, e.Unit, e.Reason)
	}
	if e.Size < 0 || e.Unit < -1 || e.Unknown < 0 || !(e.Coverage >= 0 && e.Coverage <= 1) || e.Entry > maxSequence {
		return fmt.Errorf("size %d, unit %d, entry %#x, %d unknown instructions, coverage %v", e.Size, e.Unit, e.Entry, e.Unknown, e.Coverage)
	}
	if err := e.validateRefs(); err != nil {
		return err
	}
	return e.validatePaths()
}

// maxNeeded bounds the libraries that one file may name.
const maxNeeded = 4096

func (e *ExecMapEntry) validateRefs() error {
	if len(e.Needed) > maxNeeded {
		return fmt.Errorf("it needs %d files", len(e.Needed))
	}
	refs := e.Needed
	if e.Interpreter != nil {
		refs = append(slices.Clip(refs), *e.Interpreter)
	}
	for _, r := range refs {
		if r.Name == "" || r.Digest != "" && !ValidDigest(r.Digest) {
			return fmt.Errorf("it needs %q with digest %q", r.Name, r.Digest)
		}
	}
	for i, d := range e.Data {
		if !ValidDigest(d.Digest) || d.Address > maxSequence || d.Size > maxSequence || i > 0 && d.Address < e.Data[i-1].Address {
			return fmt.Errorf("data at %#x: %d bytes with digest %q", d.Address, d.Size, d.Digest)
		}
	}
	for i, o := range e.Objects {
		os, arch, ok := strings.Cut(o.Platform, "/")
		if !ValidDigest(o.Digest) || !ok || !plainName(os) || !plainName(arch) || e.Unit < 0 || i > 0 && o.Platform <= e.Objects[i-1].Platform {
			return fmt.Errorf("object %q for platform %q", o.Digest, o.Platform)
		}
	}
	return nil
}

// plainName reports whether s is made of lower-case letters and digits.
func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func (e *ExecMapEntry) validatePaths() error {
	if len(e.Paths) == 0 {
		return errors.New("it has no path")
	}
	for i, p := range e.Paths {
		if !strings.HasPrefix(p.Path, "/") || path.Clean(p.Path) != p.Path {
			return fmt.Errorf("path %q is not absolute and clean", p.Path)
		}
		if i > 0 && e.Paths[i-1].Path == p.Path {
			return fmt.Errorf("path %s is there twice", p.Path)
		}
		if p.Mode > 0o7777 || p.UID < 0 || p.GID < 0 {
			return fmt.Errorf("path %s: mode %o, user %d, group %d", p.Path, p.Mode, p.UID, p.GID)
		}
		if _, err := base64.StdEncoding.Strict().DecodeString(p.Capabilities); err != nil {
			return fmt.Errorf("path %s: capabilities: %w", p.Path, err)
		}
	}
	return nil
}

// ValidDigest reports whether d is sha256: and 64 lower-case hexadecimal digits.
func ValidDigest(d string) bool {
	h, ok := strings.CutPrefix(d, "sha256:")
	if !ok || len(h) != 2*sha256.Size || strings.ToLower(h) != h {
		return false
	}
	_, err := hex.DecodeString(h)
	return err == nil
}
