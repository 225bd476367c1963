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
	"slices"

	"megabinary.dev/sdk/wasm"
)

// ExecMap says, by sha256, which files of an image may run or be mapped as code
// and what runs in their place. Its canonical form is that of RFC 8785 (JCS) with
// the entries sorted by digest and their paths by name; the fields of these types
// stand in the order of their keys, as there. docs/execmap.schema.json is its
// JSON schema.
type ExecMap struct {
	Entries []ExecMapEntry `json:"entries"`
	Image   string         `json:"image"` // digest of the source image's manifest
	// Megabinary is the digest of the megabinary that the units are in, less
	// its own copy of this map (see CheckMegabinary).
	Megabinary string `json:"megabinary,omitempty"`
	// Name and Sequence order the maps of one application: a host that has
	// accepted one refuses those of the same name with a lower number. A map
	// without a name has number 0 and no order.
	Name          string `json:"name,omitempty"`
	Root          string `json:"root"`          // Merkle root over all the rest, see ComputeRoot
	SchemaVersion int    `json:"schemaVersion"` // ExecMapSchemaVersion
	Sequence      uint64 `json:"sequence"`      // below 2^53
}

// ExecMapEntry is one file content. Several paths may hold it.
type ExecMapEntry struct {
	Coverage    float64          `json:"coverage,omitempty"` // translated bytes of code, 0 to 1
	Data        []ExecMapSegment `json:"data,omitempty"`     // what is loaded from the file beside code, by address
	Digest      string           `json:"digest"`             // sha256:<hex> of the original file
	Entry       uint64           `json:"entry,omitempty"`    // link-time address at which a program starts
	Interpreter *ExecMapRef      `json:"interpreter,omitempty"`
	Kind        ExecKind         `json:"kind"`
	Language    Language         `json:"language,omitempty"`   // that an interpreter runs, that a script is in
	Needed      []ExecMapRef     `json:"needed,omitempty"`     // by DT_NEEDED, in its order
	Objects     []ExecMapObject  `json:"objects,omitempty"`    // of the unit, by platform
	Paths       []ExecMapPath    `json:"paths"`                // sorted by path
	Polyfill    string           `json:"polyfill,omitempty"`   // runs in place of the file
	Reason      string           `json:"reason,omitempty"`     // why, if the verdict is VerdictRefuse
	Recompiler  string           `json:"recompiler,omitempty"` // name and version of the stage
	Size        int64            `json:"size"`
	Unit        int              `json:"unit"` // index into the megabinary's units, -1: none
	Unknown     int              `json:"unknownInstructions,omitempty"`
	Verdict     Verdict          `json:"verdict"`
}

// ExecMapPath binds a path to the mode, owner and capabilities that the content
// may run with.
type ExecMapPath struct {
	Capabilities string `json:"capabilities,omitempty"` // xattr security.capability, base64
	GID          int    `json:"gid"`
	Mode         uint32 `json:"mode"`
	Path         string `json:"path"`
	UID          int    `json:"uid"`
}

// ExecMapObject is a unit compiled for a platform, which lies in the image at
// PathObject.
type ExecMapObject struct {
	Digest   string `json:"digest"`   // sha256:<hex> of the object
	Platform string `json:"platform"` // as linux/amd64
}

// ExecMapRef is another file that one needs, as found in the image.
type ExecMapRef struct {
	Digest string `json:"digest,omitempty"` // empty: the image has no such file
	Name   string `json:"name"`             // path from #! or PT_INTERP, or name from DT_NEEDED
}

// ExecMapSegment is a part of a file that is loaded as data.
type ExecMapSegment struct {
	Address uint64 `json:"address"` // link-time
	Digest  string `json:"digest"`  // sha256:<hex> of its bytes in the file
	Size    uint64 `json:"size"`    // of them
}

// ExecKind says what a file is to the exec controller.
type ExecKind string

// The kinds of entries.
const (
	ExecProgram     ExecKind = "program"
	ExecLibrary     ExecKind = "library"
	ExecInterpreter ExecKind = "interpreter" // a program that runs code of Language
	ExecScript      ExecKind = "script"      // code of Language, with or without a first line of #!
	ExecForeign     ExecKind = "foreign"     // ELF of another architecture, or malformed
	ExecData        ExecKind = "data"        // neither, but marked as executable
)

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
	// Data is what is loaded from the file beside its code, by address.
	Data []ExecMapSegment `json:"data,omitempty"`
}

// SectionUnit is the custom section of a unit that holds its UnitReport.
const SectionUnit = "megabinary.unit"

// MaxExecMap bounds an exec map that ParseExecMap reads, in bytes.
const MaxExecMap = 64 << 20

// ExecMapSchemaVersion is the SchemaVersion of the exec maps that this package
// writes and reads.
const ExecMapSchemaVersion = 2

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

// ParseExecMap reads the canonical form and refuses anything else: unknown or
// repeated fields, another order, another spelling, a root that is not that of the
// entries. So one map has one form, and its digest names it.
func ParseExecMap(data []byte) (*ExecMap, error) {
	m, err := DecodeExecMap(data)
	if err != nil {
		return nil, err
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

// DecodeExecMap reads an exec map whose bytes ParseExecMap has accepted before: it
// checks neither form nor root, which takes as long again.
func DecodeExecMap(data []byte) (*ExecMap, error) {
	if len(data) > MaxExecMap {
		return nil, fmt.Errorf("reading the exec map: %d bytes are more than the %d allowed", len(data), MaxExecMap)
	}
	m := new(ExecMap)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("reading the exec map: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the exec map: there is something after it")
	}
	return m, nil
}

// ComputeRoot returns the root, sha256:<hex>, of the Merkle tree whose first leaf
// is the map without root and entries, and whose other leaves are the entries
// in their order, each in canonical form: the tree of RFC 6962, section 2.1,
// which keeps leaves apart from nodes.
func (m *ExecMap) ComputeRoot() (string, error) {
	leaves := make([][sha256.Size]byte, 0, 1+len(m.Entries))
	head := *m
	head.Root, head.Entries = "", []ExecMapEntry{}
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
