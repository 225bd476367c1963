package extractoci

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
)

// elfOptions describe a small ELF file.
type elfOptions struct {
	kind, machine uint16
	interp        bool
	soname        bool
	pad           int  // bytes before the dynamic section
	far           bool // program headers at the end
	truncated     bool
}

// elfFile makes an ELF file that is just good enough to be classified.
func elfFile(o elfOptions) string {
	if o.machine == 0 {
		o.machine = machineAMD64
	}
	type ph struct {
		kind         uint32
		offset, size uint64
	}
	dynamic := make([]byte, 32)
	if o.soname {
		binary.LittleEndian.PutUint64(dynamic, tagSoname)
	}
	count := 2
	if o.interp {
		count++
	}
	phoff := headerSize
	dynamicAt := headerSize + count*programSize + o.pad
	size := dynamicAt + len(dynamic)
	if o.far {
		phoff = size
		size += count * programSize
	}
	phs := []ph{{segmentLoad, 0, uint64(size)}, {segmentDynamic, uint64(dynamicAt), uint64(len(dynamic))}}
	if o.interp {
		phs = append(phs, ph{segmentInterp, 0, 4})
	}
	b := make([]byte, size)
	copy(b, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(b[16:], o.kind)
	binary.LittleEndian.PutUint16(b[18:], o.machine)
	binary.LittleEndian.PutUint64(b[32:], uint64(phoff))
	binary.LittleEndian.PutUint16(b[54:], programSize)
	binary.LittleEndian.PutUint16(b[56:], uint16(count))
	for i, p := range phs {
		at := b[phoff+i*programSize:]
		binary.LittleEndian.PutUint32(at, p.kind)
		binary.LittleEndian.PutUint64(at[8:], p.offset)
		binary.LittleEndian.PutUint64(at[32:], p.size)
	}
	copy(b[dynamicAt:], dynamic)
	if o.truncated {
		b = b[:size-8]
	}
	return string(b)
}

func TestClassify(t *testing.T) {
	const pad = 3 * prefixSize
	for _, c := range []struct {
		name, content string
		want          artifact.FileKind
	}{
		{"nothing", "", artifact.KindData},
		{"text", "hello", artifact.KindData},
		{"a script", "#!/bin/sh\n", artifact.KindScript},
		{"a static program", elfFile(elfOptions{kind: typeExec}), artifact.KindELFProgram},
		{"a dynamic program", elfFile(elfOptions{kind: typeDyn, interp: true}), artifact.KindELFProgram},
		{"a static PIE", elfFile(elfOptions{kind: typeDyn}), artifact.KindELFProgram},
		{"a large static PIE", elfFile(elfOptions{kind: typeDyn, pad: pad}), artifact.KindELFProgram},
		{"a library", elfFile(elfOptions{kind: typeDyn, soname: true}), artifact.KindELFLibrary},
		{"a large library", elfFile(elfOptions{kind: typeDyn, soname: true, pad: pad}), artifact.KindELFLibrary},
		{"a library that can be run", elfFile(elfOptions{kind: typeDyn, soname: true, interp: true}), artifact.KindELFProgram},
		{"program headers at the end", elfFile(elfOptions{kind: typeDyn, soname: true, pad: pad, far: true}), artifact.KindELFLibrary},
		{"an object file", elfFile(elfOptions{kind: 1}), artifact.KindData},
		{"another architecture", elfFile(elfOptions{kind: typeExec, machine: 183}), artifact.KindELFForeign},
		{"a truncated file", elfFile(elfOptions{kind: typeExec, truncated: true}), artifact.KindELFForeign},
		{"a truncated header", elfFile(elfOptions{kind: typeExec})[:40], artifact.KindELFForeign},
		{"only the magic", "\x7fELF", artifact.KindELFForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, read, err := classify(strings.NewReader(c.content), int64(len(c.content)))
			if kind != c.want || read != int64(len(c.content)) || err != nil {
				t.Errorf("%s, %d bytes, %v; want %s and %d bytes", kind, read, err, c.want, len(c.content))
			}
		})
	}
}

// TestELFOutputs checks that each ELF content that is still there comes once,
// under its first path, out of whichever layer holds it.
func TestELFOutputs(t *testing.T) {
	program, library := elfFile(elfOptions{kind: typeExec}), elfFile(elfOptions{kind: typeDyn, soname: true, pad: 3 * prefixSize})
	gone := elfFile(elfOptions{kind: typeExec, interp: true})
	r := runLayers(t,
		[]entry{file("usr/bin/sh", program), file("bin/gone", gone), file("lib/a.so", library)},
		[]entry{file(".wh.nothing", ""), file("bin/.wh.gone", ""), file("bin/ash", program), hardlink("lib/b.so", "lib/a.so"), file("s", "#!/bin/sh")})
	if r.failure != "" || len(r.elf) != 2 || r.elf["/bin/ash"] != program || r.elf["/lib/a.so"] != library {
		t.Errorf("failure %q, %d outputs", r.failure, len(r.elf))
	}
	kinds := map[string]artifact.FileKind{}
	for _, f := range r.rootFS.Files {
		kinds[f.Path] = f.Kind
	}
	if kinds["/s"] != artifact.KindScript || kinds["/lib/b.so"] != artifact.KindELFLibrary || kinds["/usr/bin/sh"] != artifact.KindELFProgram {
		t.Errorf("kinds %v", kinds)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte(elfFile(elfOptions{kind: typeDyn, soname: true})))
	f.Add([]byte("#!/bin/sh"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, read, err := classify(bytes.NewReader(b), int64(len(b)))
		if err != nil || kind == "" || read != int64(len(b)) {
			t.Errorf("%q, %d of %d bytes, %v", kind, read, len(b), err)
		}
	})
}

func TestInterpreter(t *testing.T) {
	long := "#!/" + strings.Repeat("x", 300)
	for script, want := range map[string]string{
		"#!/bin/sh\necho": "/bin/sh", "#! \t/usr/bin/env python3\n": "/usr/bin/env", "#!/bin/sh": "/bin/sh",
		"#!/bin/sh\r\n": "/bin/sh", "#!\n/bin/sh": "", "#!": "", long: long[2:maxFirstLine],
	} {
		var f firstLine
		for i := range script { // in pieces
			if n, err := f.Write([]byte(script[i : i+1])); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := f.interpreter(); got != want {
			t.Errorf("%.20q: %q, want %q", script, got, want)
		}
	}
}
