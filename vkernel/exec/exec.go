// Package exec is the exec controller: the one place that decides whether a
// file may run. A decision depends on the sha256 of the file's bytes and on the
// exec map of the image, never on a path alone, and the bytes that were hashed
// are the bytes that are loaded.
package exec

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	UseSource      Use = "source"      // open, by an interpreter that takes it for code
)

// Level says how far control reaches beyond ELF files.
type Level string

// The levels. At each, what is executed or mapped as machine code must be in the
// map.
const (
	// LevelELFOnly lets any script be executed; its interpreter must be known.
	LevelELFOnly Level = "elf-only"
	// LevelKnownScripts wants scripts in the map, too: those that are executed,
	// and every file that an interpreter reads as code. Code without a file (-c,
	// standard input) is refused, except on the container's own command line.
	LevelKnownScripts Level = "known-scripts"
	// LevelInteractive wants scripts that are executed in the map. Other code that
	// reaches an interpreter runs, and its sha256 is in the audit trail.
	LevelInteractive Level = "interactive"
)

// Levels lists the levels.
func Levels() []Level { return []Level{LevelELFOnly, LevelKnownScripts, LevelInteractive} }

// Mode says what becomes of a refusal.
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce"
	// ModeAudit lets run what can: scripts, code without a file, setuid programs.
	// The trail has the verdict "would-deny". What has no unit cannot run.
	ModeAudit Mode = "audit-only"
	// ModeExplain refuses, and tells Options.Explain why and what to do.
	ModeExplain Mode = "explain"
)

// Modes lists the modes.
func Modes() []Mode { return []Mode{ModeEnforce, ModeAudit, ModeExplain} }

// Options configure a Controller.
type Options struct {
	Level Level // "": LevelInteractive
	Mode  Mode  // "": ModeEnforce
	// Snippets are the digests (sha256:<hex>) of code without a file that may run
	// at LevelKnownScripts.
	Snippets map[string]bool
	// Keep, if it is not nil, gets all code that is no known file. What it cannot
	// keep does not run.
	Keep func(digest string, code []byte) error
	// Explain is told of refusals in ModeExplain.
	Explain func(Explanation)
}

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
	RuleTooSlow     = "exec.too-slow"     // could not be read in time

	RuleSource         = "source.known"     // allowed: a file of code that is in the map
	RuleSourceUnknown  = "source.unknown"   // a file of code that is not: refused, or logged at interactive
	RuleSourceNoFile   = "source.no-file"   // a pipe or terminal as a file of code
	RuleSnippet        = "snippet.inline"   // code on a command line or in the environment
	RuleStdin          = "snippet.stdin"    // code from standard input
	RuleSnippetKnown   = "snippet.known"    // allowed: Options.Snippets has it
	RuleSnippetCommand = "snippet.operator" // allowed: on the container's own command line
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
	took                        time.Duration // 0: not measured
	possible                    bool          // it can run although it may not
}

// NotCode reports whether execve should answer ENOEXEC instead of EACCES.
func (d *Decision) NotCode() bool { return d.Rule == RuleNotCode }

// Controller decides for one container. It is safe for concurrent use.
type Controller struct {
	Options
	byHash  map[string]*artifact.ExecMapEntry
	largest int64
	trail   *audit.Log
	cache   *Cache
	hashing chan struct{} // holds one value for each file that is being hashed
}

// New makes a controller over a verified exec map. Cache may be shared between
// the controllers of many containers.
func New(m *artifact.ExecMap, o Options, trail *audit.Log, cache *Cache) (*Controller, error) {
	o.Level, o.Mode = cmp.Or(o.Level, LevelInteractive), cmp.Or(o.Mode, ModeEnforce)
	if !slices.Contains(Levels(), o.Level) {
		return nil, fmt.Errorf("exec level %q is unknown: use one of %q", o.Level, Levels())
	}
	if !slices.Contains(Modes(), o.Mode) {
		return nil, fmt.Errorf("exec mode %q is unknown: use one of %q", o.Mode, Modes())
	}
	c := &Controller{Options: o, byHash: make(map[string]*artifact.ExecMapEntry, len(m.Entries)), trail: trail, cache: cache,
		hashing: make(chan struct{}, maxHashing)}
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

// maxHashing is how many files of one container are hashed at a time, and maxRead
// how long reading one may take: a guest cannot make the host hash without end.
const (
	maxHashing = 4
	maxRead    = 20 * time.Second
)

// Check decides and writes one line to the audit trail. Its error is not a
// refusal: the file could not be read, or the trail not be written, and then
// nothing may run either.
func (c *Controller) Check(ctx context.Context, r Request) (Decision, error) {
	began := time.Now()
	d, err := c.decide(ctx, r)
	if err != nil {
		return Decision{}, fmt.Errorf("checking %s: %w", r.Path, err)
	}
	d.took = time.Since(began)
	if err := c.settle(&d, r); err != nil {
		return Decision{}, fmt.Errorf("checking %s: %w", r.Path, err)
	}
	return d, nil
}

// settle writes the decision to the trail, after the mode has had its say.
func (c *Controller) settle(d *Decision, r Request) error {
	rec := audit.Record{
		Event: string(r.Use), PID: r.PID, PPID: r.PPID, UID: r.CallerUID, Subject: r.Subject,
		Path: r.Path, Object: d.Digest, Args: r.Args, Verdict: "allow", Rule: d.Rule, Reason: d.Reason,
		DurationNs: int64(d.took),
	}
	switch {
	case d.Allow:
	case c.Mode == ModeAudit && d.possible:
		rec.Verdict, d.Allow = "would-deny", true
	default:
		rec.Verdict = "deny"
	}
	if err := c.trail.Append(rec); err != nil {
		*d = Decision{}
		return err
	}
	if !d.Allow && c.Mode == ModeExplain && c.Explain != nil {
		c.Explain(Explanation{PID: r.PID, Use: r.Use, Path: r.Path, Digest: d.Digest, Rule: d.Rule, Reason: d.Reason, Remedy: Remedy(d.Rule)})
	}
	return nil
}

// Lookup returns the exec map's entry for a digest, or nil.
func (c *Controller) Lookup(digest string) *artifact.ExecMapEntry { return c.byHash[digest] }

func (c *Controller) decide(ctx context.Context, r Request) (Decision, error) {
	size := r.File.Size()
	if size > c.largest && size > maxUnknown {
		return refuse(RuleTooLarge, "", "its %d bytes are more than any file in the exec map has", size), nil
	}
	file, err := c.read(ctx, r, size)
	if errors.Is(err, errTooSlow) {
		return refuse(RuleTooSlow, "", "reading its %d bytes took longer than %v", size, maxRead), nil
	}
	if errors.Is(err, errChanged) {
		return refuse(RuleChanged, "", "it changed while it was being hashed"), nil
	}
	if err != nil {
		return Decision{}, err
	}
	content, digest := file.content, file.digest
	script := bytes.HasPrefix(content, []byte("#!"))
	entry := c.byHash[digest]
	elf := bytes.HasPrefix(content, []byte("\x7fELF"))
	switch {
	case r.Use == UseSource:
		return c.decideSource(content, digest, entry), nil
	case script && r.Use != UseMap:
		return c.decideScript(content, digest, entry), nil
	case !elf && r.Use != UseMap:
		return c.decideText(content, digest, entry), nil
	case entry == nil && !elf:
		return refuse(RuleNotCode, digest, "it is neither an ELF file nor a script"), nil
	case entry == nil:
		return refuse(RuleUnknownHash, digest, "its hash is not in the exec map: it was not in the image when that was built, or was changed since"), nil
	case entry.Verdict == artifact.VerdictRefuse:
		return refuse(RuleRefused, digest, "%s", entry.Reason), nil
	case entry.Verdict != artifact.VerdictRun || entry.Unit < 0:
		return refuse(RuleRefused, digest, "the exec map has no unit for it"), nil
	}
	d := Decision{Allow: true, Rule: RuleUnit, Digest: digest, Entry: entry, Unit: entry.Unit, Content: content, Pages: file.pages}
	if why := checkBinding(entry, r); why != "" {
		d.Allow, d.Rule, d.Reason, d.possible = false, RuleBinding, why, true
	}
	return d, nil
}

const unknownScript = "it is a script whose hash is not in the exec map: it was not in the image when that was built, or was changed since"

func (c *Controller) decideScript(content []byte, digest string, entry *artifact.ExecMapEntry) Decision {
	interp, arg := ParseShebang(content)
	// A script's own setuid bits never count, as on Linux, so nothing is bound.
	d := Decision{Allow: true, Rule: RuleScript, Digest: digest, Entry: entry, Unit: -1,
		Content: content, Interpreter: interp, InterpreterArg: arg}
	switch {
	case interp == "":
		return refuse(RuleNotCode, digest, "its first line names no interpreter")
	case entry != nil && entry.Verdict == artifact.VerdictRefuse:
		return refuse(RuleRefused, digest, "%s", entry.Reason)
	case entry == nil && c.Level != LevelELFOnly:
		d.Allow, d.Rule, d.Reason, d.possible = false, RuleUnknownHash, unknownScript, true
	}
	return d
}

// decideText decides on execve of what is neither ELF nor #!. Linux answers
// ENOEXEC, upon which a shell takes the file for a script: where scripts must be
// known, one that is not is refused at once.
func (c *Controller) decideText(content []byte, digest string, entry *artifact.ExecMapEntry) Decision {
	line, _, _ := bytes.Cut(content[:min(len(content), maxShebang)], []byte("\n"))
	binary := len(content) == 0 || bytes.IndexByte(line, 0) >= 0
	if entry == nil && c.Level != LevelELFOnly && c.Mode != ModeAudit && !binary {
		return refuse(RuleUnknownHash, digest, "%s", unknownScript)
	}
	return refuse(RuleNotCode, digest, "it is neither an ELF file nor a script")
}

// decideSource decides on a file that an interpreter opens as code.
func (c *Controller) decideSource(content []byte, digest string, entry *artifact.ExecMapEntry) Decision {
	d := Decision{Allow: true, Rule: RuleSource, Digest: digest, Entry: entry, Unit: -1, Content: content}
	if entry == nil {
		d.Rule, d.possible = RuleSourceUnknown, true
		if d.Allow = c.Level == LevelInteractive; !d.Allow {
			d.Reason = "an interpreter would run it, and its hash is not in the exec map"
		}
	}
	return d
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
// since, if it may run as code, or nil.
func (c *Controller) Cached(f File) *pages.Content {
	id, ok := f.Identity()
	if !ok {
		return nil
	}
	if hit, ok := c.cache.get(id, true); ok {
		return hit.pages
	}
	return nil
}

var errTooSlow = errors.New("reading took too long")

// read returns a file's bytes and their digest, and pages of what may run as code;
// of a file that is not in the map, perhaps only the first bytes.
func (c *Controller) read(ctx context.Context, r Request, size int64) (*cached, error) {
	f := r.File
	id, cacheable := f.Identity()
	if cacheable {
		if hit, ok := c.cache.get(id, r.Use == UseSource); ok {
			return hit, nil
		}
	}
	select {
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	content := make([]byte, size)
	sum := sha256.New()
	const chunk = 1 << 20
	start := time.Now()
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if time.Since(start) > maxRead {
			return nil, errTooSlow
		}
		part := content[off:min(off+chunk, size)]
		n, err := f.ReadAt(part, off)
		sum.Write(part[:n])
		off += int64(n)
		if n < len(part) {
			if err == io.EOF {
				return nil, errChanged // shorter than Size said
			}
			return nil, fmt.Errorf("reading: %w", err)
		}
	}
	if after, _ := f.Identity(); f.Size() != size || cacheable && after != id {
		return nil, errChanged
	}
	read := &cached{id: id, content: content, digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))}
	entry := c.byHash[read.digest]
	if cacheable && entry != nil && entry.Verdict == artifact.VerdictRun {
		read.pages = pages.Of(content)
		read.content = read.pages.Bytes()
	}
	if cacheable {
		kept := *read
		kept.whole = entry != nil || r.Use == UseSource
		c.cache.put(&kept)
	}
	return read, nil
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
