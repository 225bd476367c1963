// Package artifact holds the typed payloads that stages exchange: the root file
// system of an image, the program found in an ELF file, the unit that it was
// recompiled into, the exec map, and their media types.
package artifact

// The media types of artifacts.
const (
	MediaRootFS     = "application/vnd.megabinary.rootfs.v1+json"      // RootFS
	MediaELF        = "application/vnd.megabinary.elf.v1"              // the bytes of one ELF file
	MediaProgram    = "application/vnd.megabinary.program.v1+protobuf" // programpb.Program
	MediaUnit       = "application/vnd.megabinary.unit.v1+wasm"        // one unit, see sdk/guestabi
	MediaUnitReport = "application/vnd.megabinary.unit.report.v1+json" // UnitReport
	MediaObject     = "application/vnd.megabinary.object.v1+elf"       // a unit compiled for one platform, see guestabi.NativeVersion
	MediaMegabinary = "application/vnd.megabinary.megabinary.v1+wasm"  // all units, linked
	MediaExecMap    = "application/vnd.megabinary.execmap.v2+json"     // ExecMap
)

// Annotations of artifact descriptors.
const (
	AnnotationPath     = "dev.megabinary.path"     // path in the image of the (first) file
	AnnotationUnit     = "dev.megabinary.unit"     // digest of the unit that an object was made from
	AnnotationPlatform = "dev.megabinary.platform" // of an object, as linux/amd64
	AnnotationSubject  = "dev.megabinary.subject"  // sha256 digest of the ELF file that an artifact was made from
)

// Custom sections of a megabinary.
const (
	SectionUnits   = "megabinary.units"   // JSON: []UnitEntry
	SectionCodeMap = "megabinary.codemap" // guestabi.AppendCodeMap for each function that the module defines; also of a unit
	SectionExecMap = "megabinary.execmap" // a copy of the exec map
)
