package artifact

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"megabinary.dev/sdk/wasm"
)

// ExecMap says, by sha256, which files of an image may run or be mapped as code
// and what runs in their place. Its canonical form is JSON with the entries
// sorted by digest, their paths by name, the fields in the order of these types,
// no escapes that JSON does not demand and no insignificant white space
// (MarshalCanonical).
type ExecMap struct {
	SchemaVersion int    `json:"schemaVersion"` // 1
	Image         string `json:"image"`         // digest of the source image's manifest
	// Megabinary is the digest of the megabinary that the units are in, less
	// its own copy of this map (see CheckMegabinary).
	Megabinary string         `json:"megabinary,omitempty"`
	Root       string         `json:"root"` // Merkle root over all the rest, see ComputeRoot
	Entries    []ExecMapEntry `json:"entries"`
}

// ExecMapEntry is one file content. Several paths may hold it.
type ExecMapEntry struct {
	Digest      string        `json:"digest"` // sha256:<hex> of the original file
	Size        int64         `json:"size"`
	Paths       []ExecMapPath `json:"paths"` // sorted by path
	Kind        FileKind      `json:"kind"`
	Interpreter string        `json:"interpreter,omitempty"` // path from #! or PT_INTERP
	Needed      []string      `json:"needed,omitempty"`
	Verdict     Verdict       `json:"verdict"`
	Reason      string        `json:"reason,omitempty"` // why, if the verdict is VerdictRefuse
	Unit        int           `json:"unit"`             // index into the megabinary's units, -1: none
	Coverage    float64       `json:"coverage,omitempty"`
	Unknown     int           `json:"unknownInstructions,omitempty"`
	Recompiler  string        `json:"recompiler,omitempty"` // name and version of the stage
}

// ExecMapPath binds a path to the mode and owner that the content may run with.
type ExecMapPath struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// Verdict is what the exec controller does with a file.
type Verdict string

// The verdicts.
const (
	VerdictRun    Verdict = "run"    // enter its unit
	VerdictScript Verdict = "script" // run its interpreter, which needs an entry of its own
	VerdictRefuse Verdict = "refuse"
)

// UnitEntry describes one unit inside of a megabinary; section SectionUnits is
// a JSON array of them in the order of their numbers.
type UnitEntry struct {
	Digest              string `json:"digest"` // of the ELF file
	UnitDigest          string `json:"unit"`   // of the unit's module before linking
	PositionIndependent bool   `json:"positionIndependent,omitempty"`
	Low                 uint64 `json:"low"` // link-time guest addresses of translated code: [Low, High)
	High                uint64 `json:"high"`
	Functions           int    `json:"functions"`
	ExportEnter         string `json:"enter"`          // name of the megabinary's export, "unit<N>.enter"
	ExportBase          string `json:"base,omitempty"` // "unit<N>.base"
	ExportAdmitted      string `json:"admitted"`       // "unit<N>.admitted"
	CPU                 string `json:"cpu,omitempty"`  // the processor that it was made for; empty: x86-64-v2
}

// UnitReport says how well one file was recompiled. It stands as custom section
// "megabinary.unit" in the unit, too, so that the linker needs nothing else.
type UnitReport struct {
	ABI                 int            `json:"abi"`     // guestabi.Version
	Subject             string         `json:"subject"` // digest of the ELF file
	PositionIndependent bool           `json:"positionIndependent,omitempty"`
	Low                 uint64         `json:"low"`
	High                uint64         `json:"high"`
	Functions           int            `json:"functions"`
	Instructions        int            `json:"instructions"`
	TextBytes           uint64         `json:"textBytes"`
	TranslatedBytes     uint64         `json:"translatedBytes"`
	Unknown             map[string]int `json:"unknown,omitempty"` // instruction -> occurrences lowered to SIGILL
	Unresolved          int            `json:"unresolvedJumps"`
	Refused             int            `json:"refused,omitempty"` // functions too large to be translated: a miss when entered
	Recompiler          string         `json:"recompiler"`
	CPU                 string         `json:"cpu,omitempty"` // guestabi.CPU; empty: x86-64-v2
}

// SectionUnit is the custom section of a unit that holds its UnitReport.
const SectionUnit = "megabinary.unit"

// ExecMapSchemaVersion is the SchemaVersion of the exec maps that this package
// writes and reads.
const ExecMapSchemaVersion = 1

// MarshalCanonical sorts m, sets its Root and returns its canonical form.
func (m *ExecMap) MarshalCanonical() ([]byte, error) {
	if m.Entries == nil {
		m.Entries = []ExecMapEntry{}
	}
	slices.SortFunc(m.Entries, func(a, b ExecMapEntry) int { return cmp.Compare(a.Digest, b.Digest) })
	for i := range m.Entries {
		slices.SortFunc(m.Entries[i].Paths, func(a, b ExecMapPath) int { return cmp.Compare(a.Path, b.Path) })
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encoding the exec map: %w", err)
	}
	root, err := m.ComputeRoot()
	if err != nil {
		return nil, fmt.Errorf("encoding the exec map: %w", err)
	}
	m.Root = root
	b, err := compactJSON(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the exec map: %w", err)
	}
	return b, nil
}

// ParseExecMap reads the canonical form and refuses anything else: unknown
// fields, another order, a root that is not that of the entries.
func ParseExecMap(data []byte) (*ExecMap, error) {
	m := new(ExecMap)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("reading the exec map: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the exec map: there is something after it")
	}
	claimed := m.Root
	again, err := m.MarshalCanonical()
	if err != nil {
		return nil, fmt.Errorf("reading the exec map: %w", err)
	}
	if m.Root != claimed {
		return nil, fmt.Errorf("reading the exec map: its root is %s, not %s", m.Root, claimed)
	}
	if !bytes.Equal(data, again) {
		return nil, errors.New("reading the exec map: it is not in canonical form")
	}
	return m, nil
}

// ComputeRoot returns the root, sha256:<hex>, of the Merkle tree whose first leaf
// is the map without root and entries, and whose other leaves are the entries
// in their order, each in canonical form: the tree of RFC 6962, section 2.1,
// which keeps leaves apart from nodes.
func (m *ExecMap) ComputeRoot() (string, error) {
	leaves := make([][sha256.Size]byte, 0, 1+len(m.Entries))
	head := ExecMap{SchemaVersion: m.SchemaVersion, Image: m.Image, Megabinary: m.Megabinary, Entries: []ExecMapEntry{}}
	b, err := compactJSON(&head)
	if err != nil {
		return "", fmt.Errorf("hashing the exec map: %w", err)
	}
	leaves = append(leaves, sha256.Sum256(append([]byte{0}, b...)))
	for i := range m.Entries {
		if b, err = compactJSON(&m.Entries[i]); err != nil {
			return "", fmt.Errorf("hashing the entry of %s: %w", m.Entries[i].Digest, err)
		}
		leaves = append(leaves, sha256.Sum256(append([]byte{0}, b...)))
	}
	root := merkle(leaves)
	return "sha256:" + hex.EncodeToString(root[:]), nil
}

// CheckMegabinary refuses a megabinary that is not the one whose units the map
// speaks of, and returns the digest that tells them apart: that of all its
// bytes before the copy of the exec map, which is its last section.
func (m *ExecMap) CheckMegabinary(megabinary []byte) (digest string, err error) {
	body, err := wasm.CutLastCustom(megabinary, SectionExecMap)
	if err != nil {
		return "", fmt.Errorf("checking the megabinary: %w", err)
	}
	sum := sha256.Sum256(body)
	if digest = "sha256:" + hex.EncodeToString(sum[:]); digest != m.Megabinary {
		return "", fmt.Errorf("checking the megabinary: its digest is %s, but the exec map is for %s", digest, m.Megabinary)
	}
	return digest, nil
}

func merkle(leaves [][sha256.Size]byte) [sha256.Size]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	left, right := merkle(leaves[:split]), merkle(leaves[split:])
	node := append([]byte{1}, left[:]...)
	return sha256.Sum256(append(node, right[:]...))
}

func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// validate checks a sorted exec map.
func (m *ExecMap) validate() error {
	if m.SchemaVersion != ExecMapSchemaVersion {
		return fmt.Errorf("schema version %d is not %d", m.SchemaVersion, ExecMapSchemaVersion)
	}
	if !ValidDigest(m.Image) {
		return fmt.Errorf("image %q is no digest", m.Image)
	}
	if m.Megabinary != "" && !ValidDigest(m.Megabinary) {
		return fmt.Errorf("megabinary %q is no digest", m.Megabinary)
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

func (e *ExecMapEntry) validate() error {
	switch e.Kind {
	case KindELFProgram, KindELFLibrary, KindELFForeign, KindScript, KindData:
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	switch {
	case e.Verdict == VerdictRun && e.Unit >= 0:
	case e.Verdict == VerdictScript && e.Unit == -1:
	case e.Verdict == VerdictRefuse && e.Unit == -1 && e.Reason != "":
	default:
		return fmt.Errorf("verdict %q with unit %d and reason %q", e.Verdict, e.Unit, e.Reason)
	}
	if e.Size < 0 || e.Unknown < 0 || !(e.Coverage >= 0 && e.Coverage <= 1) {
		return fmt.Errorf("size %d, %d unknown instructions, coverage %v", e.Size, e.Unknown, e.Coverage)
	}
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
