// Package exec is the exec controller: the one place that decides whether a
// file may run. A decision depends on the sha256 of the file's bytes and on the
// exec map of the image, never on a path alone, and the bytes that were hashed
// are the bytes that are loaded.
package exec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/pages"
)

// Use says what the guest wants to do with a file.
type Use string

// The uses.
const (
	UseExec        Use = "exec"        // execve and its like
	UseInterpreter Use = "interpreter" // PT_INTERP, or the program that #! names
	UseMap         Use = "map"         // mmap or mprotect with PROT_EXEC
)

// Level says how far control reaches beyond ELF files.
type Level string

// The levels.
const (
	LevelELFOnly      Level = "elf-only"      // any script may be executed; its interpreter must be known
	LevelKnownScripts Level = "known-scripts" // executed scripts must be in the map, too
)

// Identity names one content of one file: it differs after every change of the
// file's bytes. Decisions are cached under it.
type Identity struct {
	Device, Inode, Version uint64
}

// File is what the controller needs of an open file.
type File interface {
	io.ReaderAt
	Size() int64 // bytes
	// Identity returns false if the content can change without notice (a host
	// directory): it is hashed anew each time then.
	Identity() (Identity, bool)
}

// Request asks for a decision.
type Request struct {
	File     File
	Use      Use
	Path     string // as the guest named it
	Mode     uint32 // permission, setuid, setgid and sticky bits of the inode
	UID, GID int    // owner of the inode
	Args     []string

	// Who asks, for the audit trail.
	PID, PPID, CallerUID int
	Subject              string // digest of the program that asks; empty at the start
}

// Rules name what decided.
const (
	RuleUnit        = "exec.unit"         // allowed: the file has a unit
	RuleScript      = "exec.script"       // allowed: a script, whose interpreter is asked for next
	RuleUnknownHash = "exec.unknown-hash" // not in the map
	RuleRefused     = "exec.refused"      // in the map, with verdict refuse
	RuleBinding     = "exec.binding"      // setuid, setgid or owner differ from the map's
	RuleTooLarge    = "exec.too-large"    // larger than anything in the map
	RuleNotCode     = "exec.not-code"     // neither ELF nor script: ENOEXEC
	RuleChanged     = "exec.changed"      // changed while it was read
)

// Decision is the controller's answer.
type Decision struct {
	Allow  bool
	Rule   string
	Reason string // for a person; set if refused
	Digest string // sha256:<hex> of the content; empty if it was not hashed
	Entry  *artifact.ExecMapEntry
	// Unit is the megabinary's unit to enter, -1 for a script.
	Unit int
	// Content is the verified bytes. Never change them: they are shared.
	Content []byte
	// Pages is Content in a form that memories can share; nil if it is not kept.
	Pages *pages.Content
	// Interpreter and InterpreterArg are those of a script's first line.
	Interpreter, InterpreterArg string
}

// NotCode reports whether execve should answer ENOEXEC instead of EACCES.
func (d *Decision) NotCode() bool { return d.Rule == RuleNotCode }

// Controller decides for one container. It is safe for concurrent use.
type Controller struct {
	level   Level
	byHash  map[string]*artifact.ExecMapEntry
	largest int64
	trail   *audit.Log
	cache   *Cache
}

// New makes a controller over a verified exec map. Cache may be shared between
// the controllers of many containers.
func New(m *artifact.ExecMap, level Level, trail *audit.Log, cache *Cache) (*Controller, error) {
	switch level {
	case LevelELFOnly, LevelKnownScripts:
	default:
		return nil, fmt.Errorf("exec level %q is unknown: use %s or %s", level, LevelELFOnly, LevelKnownScripts)
	}
	c := &Controller{level: level, byHash: make(map[string]*artifact.ExecMapEntry, len(m.Entries)), trail: trail, cache: cache}
	for i := range m.Entries {
		e := &m.Entries[i]
		if _, twice := c.byHash[e.Digest]; twice {
			return nil, fmt.Errorf("exec map has two entries for %s", e.Digest)
		}
		c.byHash[e.Digest] = e
		c.largest = max(c.largest, e.Size)
	}
	return c, nil
}

// maxUnknown is the size up to which a file that cannot be in the map, because
// nothing there is so large, is hashed all the same, so that the trail names
// it. Bytes.
const maxUnknown = 16 << 20

// Check decides and writes one line to the audit trail. Its error is not a
// refusal: the file could not be read, or the trail not be written, and then
// nothing may run either.
func (c *Controller) Check(ctx context.Context, r Request) (Decision, error) {
	d, err := c.decide(ctx, r)
	if err != nil {
		return Decision{}, fmt.Errorf("checking %s: %w", r.Path, err)
	}
	rec := audit.Record{
		Event: string(r.Use), PID: r.PID, PPID: r.PPID, UID: r.CallerUID, Subject: r.Subject,
		Path: r.Path, Object: d.Digest, Args: r.Args, Verdict: "allow", Rule: d.Rule, Reason: d.Reason,
	}
	if !d.Allow {
		rec.Verdict = "deny"
	}
	if err := c.trail.Append(rec); err != nil {
		return Decision{}, fmt.Errorf("checking %s: %w", r.Path, err)
	}
	return d, nil
}

// Lookup returns the exec map's entry for a digest, or nil.
func (c *Controller) Lookup(digest string) *artifact.ExecMapEntry { return c.byHash[digest] }

func (c *Controller) decide(ctx context.Context, r Request) (Decision, error) {
	size := r.File.Size()
	if size > c.largest && size > maxUnknown {
		return refuse(RuleTooLarge, "", "its %d bytes are more than any file in the exec map has", size), nil
	}
	content, shared, digest, err := c.read(ctx, r.File, size)
	if errors.Is(err, errChanged) {
		return refuse(RuleChanged, "", "it changed while it was being hashed"), nil
	}
	if err != nil {
		return Decision{}, err
	}
	script := bytes.HasPrefix(content, []byte("#!"))
	entry := c.byHash[digest]
	switch {
	case script && r.Use != UseMap:
		return c.decideScript(r, content, digest, entry), nil
	case !bytes.HasPrefix(content, []byte("\x7fELF")) && (entry == nil || r.Use != UseMap):
		return refuse(RuleNotCode, digest, "it is neither an ELF file nor a script"), nil
	case entry == nil:
		return refuse(RuleUnknownHash, digest, "its hash is not in the exec map: it was not in the image when that was built, or was changed since"), nil
	case entry.Verdict == artifact.VerdictRefuse:
		return refuse(RuleRefused, digest, "%s", entry.Reason), nil
	case entry.Verdict != artifact.VerdictRun || entry.Unit < 0:
		return refuse(RuleRefused, digest, "the exec map has no unit for it"), nil
	}
	if why := checkBinding(entry, r); why != "" {
		return refuse(RuleBinding, digest, "%s", why), nil
	}
	return Decision{Allow: true, Rule: RuleUnit, Digest: digest, Entry: entry, Unit: entry.Unit, Content: content, Pages: shared}, nil
}

func (c *Controller) decideScript(r Request, content []byte, digest string, entry *artifact.ExecMapEntry) Decision {
	interp, arg := ParseShebang(content)
	switch {
	case interp == "":
		return refuse(RuleNotCode, digest, "its first line names no interpreter")
	case entry == nil && c.level != LevelELFOnly:
		return refuse(RuleUnknownHash, digest, "it is a script whose hash is not in the exec map: it was not in the image when that was built, or was changed since")
	case entry != nil && entry.Verdict == artifact.VerdictRefuse:
		return refuse(RuleRefused, digest, "%s", entry.Reason)
	}
	// A script's own setuid bits never count, as on Linux, so nothing is bound.
	return Decision{Allow: true, Rule: RuleScript, Digest: digest, Entry: entry, Unit: -1,
		Content: content, Interpreter: interp, InterpreterArg: arg}
}

const privileged = 0o6000 // setuid and setgid

// checkBinding holds the bits that give privilege against those of the image: a
// hash of the bytes alone would let a guest turn any known program into a
// setuid one.
func checkBinding(e *artifact.ExecMapEntry, r Request) string {
	if r.Mode&privileged == 0 {
		return ""
	}
	ok := slices.ContainsFunc(e.Paths, func(p artifact.ExecMapPath) bool {
		return p.Mode&privileged == r.Mode&privileged && p.UID == r.UID && p.GID == r.GID
	})
	if ok {
		return ""
	}
	return fmt.Sprintf("its mode %#o and owner %d:%d are not those that the image gave it", r.Mode, r.UID, r.GID)
}

func refuse(rule, digest, format string, args ...any) Decision {
	return Decision{Rule: rule, Digest: digest, Reason: fmt.Sprintf(format, args...), Unit: -1}
}

var errChanged = errors.New("file changed while it was read")

// Cached returns the content of a file that was read before and has not changed
// since, or nil.
func (c *Controller) Cached(f File) *pages.Content {
	id, ok := f.Identity()
	if !ok {
		return nil
	}
	content, _, _ := c.cache.get(id)
	return content
}

// read returns a file's bytes, also as pages if the cache keeps them, and their
// digest.
func (c *Controller) read(ctx context.Context, f File, size int64) ([]byte, *pages.Content, string, error) {
	id, cacheable := f.Identity()
	if cacheable {
		if content, digest, ok := c.cache.get(id); ok {
			return content.Bytes(), content, digest, nil
		}
	}
	content := make([]byte, size)
	sum := sha256.New()
	const chunk = 1 << 20
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return nil, nil, "", err
		}
		part := content[off:min(off+chunk, size)]
		n, err := f.ReadAt(part, off)
		sum.Write(part[:n])
		off += int64(n)
		if n < len(part) {
			if err == io.EOF {
				return nil, nil, "", errChanged // shorter than Size said
			}
			return nil, nil, "", fmt.Errorf("reading: %w", err)
		}
	}
	if after, _ := f.Identity(); f.Size() != size || cacheable && after != id {
		return nil, nil, "", errChanged
	}
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if !cacheable {
		return content, nil, digest, nil
	}
	shared := pages.Of(content)
	c.cache.put(id, shared, digest)
	return content, shared, digest, nil
}

// maxShebang is BINPRM_BUF_SIZE of Linux: what it reads of a script, in bytes.
const maxShebang = 256

// ParseShebang returns the interpreter and its one optional argument from a
// script's first line, by the rules of Linux's fs/binfmt_script.c. The
// interpreter is empty if the line names none or is cut off.
func ParseShebang(content []byte) (interpreter, arg string) {
	line := content[:min(len(content), maxShebang)]
	line, found := bytes.CutPrefix(line, []byte("#!"))
	if !found {
		return "", ""
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	} else if len(content) > maxShebang && bytes.IndexAny(bytes.TrimLeft(line, " \t"), " \t") < 0 {
		return "", "" // the interpreter's name itself was cut off
	}
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	fields := strings.Trim(string(line), " \t")
	interpreter, arg, _ = strings.Cut(strings.ReplaceAll(fields, "\t", " "), " ")
	if arg != "" {
		arg = strings.Trim(fields[len(interpreter):], " \t")
	}
	return interpreter, arg
}
