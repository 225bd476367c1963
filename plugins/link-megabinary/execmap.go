package linkmegabinary

import (
	"fmt"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
)

// anyExec are the permission bits that make a file executable for somebody.
const anyExec = 0o111

// ExecMap makes the exec map of an image: one entry for each file content that
// the kernel might be asked to execute or to map as code. Files that hold
// neither ELF nor #! are in it if somebody may execute them. Programs are by
// the digest of their ELF file.
func (l *Linked) ExecMap(root *artifact.RootFS, programs map[string]*programpb.Program) *artifact.ExecMap {
	units := make(map[string]int, len(l.Units))
	for i, u := range l.Units {
		units[u.Digest] = i
	}
	m := &artifact.ExecMap{SchemaVersion: artifact.ExecMapSchemaVersion, Image: root.ManifestDigest}
	at := make(map[string]int)
	for i := range root.Files {
		f := &root.Files[i]
		if f.Type != "file" || f.Digest == "" || (f.Kind == artifact.KindData || f.Kind == "") && f.Mode&anyExec == 0 {
			continue
		}
		n, ok := at[f.Digest]
		if !ok {
			n = len(m.Entries)
			at[f.Digest] = n
			e := artifact.ExecMapEntry{Digest: f.Digest, Size: f.Size, Kind: f.Kind, Unit: -1}
			if e.Kind == "" {
				e.Kind = artifact.KindData
			}
			if u, ok := units[f.Digest]; ok {
				l.admit(&e, u)
			} else {
				refuseOrScript(&e, f, programs[f.Digest] != nil)
			}
			if p := programs[f.Digest]; p != nil {
				e.Interpreter, e.Needed = p.GetInterpreter(), p.GetNeeded()
			}
			m.Entries = append(m.Entries, e)
		}
		e := &m.Entries[n]
		e.Paths = append(e.Paths, artifact.ExecMapPath{Path: f.Path, Mode: f.Mode, UID: f.UID, GID: f.GID})
	}
	return m
}

// admit says that unit runs in place of the file.
func (l *Linked) admit(e *artifact.ExecMapEntry, unit int) {
	r := &l.Reports[unit]
	e.Verdict, e.Unit, e.Recompiler = artifact.VerdictRun, unit, r.Recompiler
	if r.TextBytes > 0 {
		e.Coverage = min(float64(r.TranslatedBytes)/float64(r.TextBytes), 1)
	}
	for _, n := range r.Unknown {
		e.Unknown += n
	}
}

// refuseOrScript decides on a file without a unit.
func refuseOrScript(e *artifact.ExecMapEntry, f *artifact.FileEntry, analyzed bool) {
	e.Verdict = artifact.VerdictRefuse
	switch f.Kind {
	case artifact.KindScript:
		e.Verdict, e.Interpreter = artifact.VerdictScript, f.Interpreter
	case artifact.KindELFForeign:
		e.Reason = "ELF file of another architecture, or malformed"
	case artifact.KindELFProgram, artifact.KindELFLibrary:
		e.Reason = "ELF file was not analyzed"
		if analyzed {
			e.Reason = "ELF file was analyzed but not recompiled"
		}
	case artifact.KindData, "":
		e.Reason = "neither an ELF file nor a script"
	default:
		e.Reason = fmt.Sprintf("unknown kind of file %q", f.Kind)
	}
}
