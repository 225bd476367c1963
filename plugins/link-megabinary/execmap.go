package linkmegabinary

import (
	"cmp"
	"fmt"
	"slices"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/artifact/programpb"
	"megabinary.dev/sdk/stage"
)

// anyExec are the permission bits that make a file executable for somebody.
const anyExec = 0o111

// ExecMap makes the exec map of an image: one entry for each file content that
// the kernel might be asked to execute or to map as code, or that an interpreter
// would take for code. Files that hold neither ELF nor #! are in it if somebody may
// execute them or if their name says that they are code. Programs are by the digest
// of their ELF file.
func (l *Linked) ExecMap(root *artifact.RootFS, programs map[string]*programpb.Program) *artifact.ExecMap {
	units := make(map[string]int, len(l.Units))
	for i, u := range l.Units {
		units[u.Digest] = i
	}
	m := &artifact.ExecMap{SchemaVersion: artifact.ExecMapSchemaVersion, Image: root.ManifestDigest}
	at := make(map[string]int)
	names := newNames(root)
	for i := range root.Files {
		f := &root.Files[i]
		data := f.Kind == artifact.KindData || f.Kind == ""
		if f.Type != "file" || f.Digest == "" || data && f.Mode&anyExec == 0 && artifact.SourceLanguage(f.Path) == "" {
			continue
		}
		n, ok := at[f.Digest]
		if !ok {
			n = len(m.Entries)
			at[f.Digest] = n
			e := artifact.ExecMapEntry{Digest: f.Digest, Size: f.Size, Kind: execKind(f.Kind), Unit: -1}
			if u, ok := units[f.Digest]; ok {
				l.admit(&e, u)
			} else {
				refuseOrScript(&e, f, programs[f.Digest] != nil)
			}
			if f.Interpreter != "" {
				e.Interpreter = names.file(f.Interpreter)
			}
			if p := programs[f.Digest]; p != nil {
				describe(&e, p, names)
			}
			m.Entries = append(m.Entries, e)
		}
		e := &m.Entries[n]
		classify(e, f)
		e.Paths = append(e.Paths, artifact.ExecMapPath{Path: f.Path, Mode: f.Mode, UID: f.UID, GID: f.GID,
			Capabilities: f.Xattrs[capabilities]})
	}
	return m
}

// capabilities is the extended attribute that gives a program capabilities.
const capabilities = "security.capability"

func execKind(k artifact.FileKind) artifact.ExecKind {
	switch k {
	case artifact.KindELFProgram:
		return artifact.ExecProgram
	case artifact.KindELFLibrary:
		return artifact.ExecLibrary
	case artifact.KindELFForeign:
		return artifact.ExecForeign
	case artifact.KindScript:
		return artifact.ExecScript
	}
	return artifact.ExecData
}

// describe takes over what the analysis found.
func describe(e *artifact.ExecMapEntry, p *programpb.Program, n *names) {
	e.Entry = p.GetEntry()
	if i := p.GetInterpreter(); i != "" {
		e.Interpreter = n.file(i)
	}
	for _, soname := range p.GetNeeded() {
		e.Needed = append(e.Needed, n.library(soname))
	}
}

// classify says what one more path of a content makes it: an interpreter by the
// name of its program, a script by its first line or by its name.
func classify(e *artifact.ExecMapEntry, f *artifact.FileEntry) {
	switch e.Kind {
	case artifact.ExecProgram, artifact.ExecInterpreter:
		if l := artifact.InterpreterLanguage(f.Path); l != "" {
			e.Kind, e.Language = artifact.ExecInterpreter, l
		}
	case artifact.ExecScript, artifact.ExecData:
		l := artifact.SourceLanguage(f.Path)
		if l == "" && f.Interpreter != "" {
			l = artifact.InterpreterLanguage(f.Interpreter)
		}
		if l != "" && e.Language == "" {
			e.Language = l
		}
		if l != "" && e.Kind == artifact.ExecData {
			e.Kind, e.Verdict, e.Reason = artifact.ExecScript, artifact.VerdictScript, ""
		}
	}
}

// admit says that unit runs in place of the file.
func (l *Linked) admit(e *artifact.ExecMapEntry, unit int) {
	r := &l.Reports[unit]
	e.Verdict, e.Unit, e.Recompiler, e.Data = artifact.VerdictRun, unit, r.Recompiler, r.Data
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
		e.Verdict = artifact.VerdictScript
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

// addObjects names the objects of each unit.
func (l *Linked) addObjects(m *artifact.ExecMap, objects []stage.Descriptor) {
	of := make(map[string][]artifact.ExecMapObject)
	for _, d := range objects {
		unit := d.Annotations[artifact.AnnotationUnit]
		of[unit] = append(of[unit], artifact.ExecMapObject{Digest: d.Digest, Platform: d.Annotations[artifact.AnnotationPlatform]})
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Unit >= 0 {
			e.Objects = of[l.Units[e.Unit].UnitDigest]
			slices.SortFunc(e.Objects, func(a, b artifact.ExecMapObject) int { return cmp.Compare(a.Platform, b.Platform) })
		}
	}
}
