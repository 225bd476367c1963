package artifact

// ExecMap says, by sha256, which files of an image may run or be mapped as code
// and what runs in their place. Its canonical form is JSON with the entries
// sorted by digest and no insignificant white space (MarshalCanonical).
type ExecMap struct {
	SchemaVersion int            `json:"schemaVersion"` // 1
	Image         string         `json:"image"`         // digest of the source image's manifest
	Root          string         `json:"root"`          // Merkle root over the entries, sha256:<hex>
	Entries       []ExecMapEntry `json:"entries"`
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
	Recompiler          string         `json:"recompiler"`
}

// SectionUnit is the custom section of a unit that holds its UnitReport.
const SectionUnit = "megabinary.unit"
