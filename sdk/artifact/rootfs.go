package artifact

// RootFS is what extract-oci found in an image: its configuration, its layers
// and every file of the file system that they make together, sorted by path.
type RootFS struct {
	ManifestDigest string      `json:"manifestDigest"` // of the image's manifest, sha256:<hex>
	ConfigDigest   string      `json:"configDigest"`
	Architecture   string      `json:"architecture"`
	OS             string      `json:"os"`
	Layers         []Layer     `json:"layers"`
	Files          []FileEntry `json:"files"`
}

// Layer is one layer of an image, lowest first.
type Layer struct {
	Digest string `json:"digest"`
	DiffID string `json:"diffID"`
	Size   int64  `json:"size"` // compressed, bytes
}

// FileEntry is one file of the merged file system.
type FileEntry struct {
	Path   string            `json:"path"` // absolute, clean
	Type   string            `json:"type"` // file, dir, symlink, char, block, fifo
	Mode   uint32            `json:"mode"` // permission, setuid, setgid and sticky bits
	UID    int               `json:"uid"`
	GID    int               `json:"gid"`
	Size   int64             `json:"size,omitempty"`
	Digest string            `json:"digest,omitempty"` // type file: sha256:<hex>
	Target string            `json:"target,omitempty"` // type symlink
	Layer  int               `json:"layer"`            // index into Layers of the one that it comes from
	Kind   FileKind          `json:"kind,omitempty"`   // type file
	Xattrs map[string]string `json:"xattrs,omitempty"` // base64

	// Interpreter is the path that the #! line of a script names.
	Interpreter string `json:"interpreter,omitempty"`
}

// FileKind says what a regular file's first bytes make it.
type FileKind string

// The kinds of file.
const (
	KindELFProgram FileKind = "elf-program" // an executable ELF file for amd64 (ET_EXEC, or ET_DYN with an interpreter or without a soname)
	KindELFLibrary FileKind = "elf-library" // a shared library
	KindELFForeign FileKind = "elf-foreign" // ELF of another architecture, or malformed
	KindScript     FileKind = "script"      // begins with #!
	KindData       FileKind = "data"
)
