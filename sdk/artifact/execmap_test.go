package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/wasm"
)

func digest(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

func sampleMap(entries int) *artifact.ExecMap {
	m := &artifact.ExecMap{SchemaVersion: artifact.ExecMapSchemaVersion, Image: digest('f')}
	for i := range entries {
		m.Entries = append(m.Entries, artifact.ExecMapEntry{
			Digest: digest("0123456789abcdef"[entries-1-i]), Size: 10, Kind: artifact.ExecProgram,
			Verdict: artifact.VerdictRun, Unit: i, Coverage: 0.5,
			Paths: []artifact.ExecMapPath{{Path: fmt.Sprintf("/bin/z<%d>", i), Mode: 0o755}, {Path: "/bin/a", Mode: 0o4755}},
		})
	}
	return m
}

func TestCanonicalFormIsSortedAndReadable(t *testing.T) {
	for n := range 9 {
		m := sampleMap(n)
		b, err := m.MarshalCanonical()
		if err != nil {
			t.Fatal(err)
		}
		got, err := artifact.ParseExecMap(b)
		if err != nil {
			t.Fatalf("%d entries: %v", n, err)
		}
		if got.Root != m.Root || len(got.Entries) != n {
			t.Errorf("%d entries: root %s, read %s with %d", n, m.Root, got.Root, len(got.Entries))
		}
		if n > 0 && !bytes.Contains(b, []byte(`{"gid":0,"mode":2541,"path":"/bin/a","uid":0},{"gid":0,"mode":493,"path":"/bin/z<`)) {
			t.Errorf("paths are not sorted or escaped: %s", b)
		}
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	b, err := sampleMap(3).MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := artifact.ParseExecMap(bad); err == nil {
			t.Errorf("byte %d flipped from %q was accepted", i, b[i])
		}
	}
}

func TestParseExecMapIsStrict(t *testing.T) {
	b, err := sampleMap(2).MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for name, c := range map[string]struct{ in, want string }{
		"empty":       {"", "EOF"},
		"trailing":    {s + " {}", "something after it"},
		"white space": {strings.Replace(s, ":", ": ", 1), "not in canonical form"},
		"unknown":     {strings.Replace(s, `"image"`, `"imago"`, 1), "unknown field"},
		"version":     {strings.Replace(s, `"schemaVersion":2`, `"schemaVersion":1`, 1), "schema version 1"},
		"path":        {strings.Replace(s, `"/bin/a"`, `"bin/a"`, 1), "not absolute"},
		"dots":        {strings.Replace(s, `"/bin/a"`, `"/bin/../a"`, 1), "not absolute"},
		"mode":        {strings.Replace(s, `"mode":493`, `"mode":492`, 1), "its root is"},
		"verdict":     {strings.Replace(s, `"run"`, `"refuse"`, 1), `verdict "refuse" with unit`},
		"unit":        {strings.Replace(s, `"unit":0`, `"unit":-1`, 1), `verdict "run" with unit -1`},
	} {
		if _, err := artifact.ParseExecMap([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestRootIsThatOfRFC6962(t *testing.T) {
	hash := func(parts ...[]byte) []byte {
		sum := sha256.Sum256(bytes.Join(parts, nil))
		return sum[:]
	}
	m := sampleMap(2)
	text, err := m.MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	// Cut the leaves out of the text by hand.
	s := string(text)
	at := strings.Index(s, `"entries":[`) + len(`"entries":[`)
	split := strings.Index(s, `},{"coverage"`) + 1
	end := strings.Index(s, `],"image"`)
	entries := [][]byte{[]byte(s[at:split]), []byte(s[split+1 : end])}
	head := []byte(s[:at] + strings.Replace(s[end:], m.Root, "", 1))
	leaf, node := []byte{0}, []byte{1}
	left := hash(node, hash(leaf, head), hash(leaf, entries[0]))
	want := "sha256:" + hex.EncodeToString(hash(node, left, hash(leaf, entries[1])))
	if m.Root != want {
		t.Errorf("root is %s, want %s", m.Root, want)
	}
}

func TestCheckMegabinary(t *testing.T) {
	module := (&wasm.Module{Customs: []wasm.Custom{{Name: artifact.SectionUnits, Bytes: []byte("[]")}}}).Encode()
	sum := sha256.Sum256(module)
	m := sampleMap(1)
	m.Megabinary = "sha256:" + hex.EncodeToString(sum[:])
	text, err := m.MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	whole := wasm.AppendCustom(module, wasm.Custom{Name: artifact.SectionExecMap, Bytes: text})
	for name, b := range map[string][]byte{"whole": whole, "copy stripped": module} {
		if got, err := m.CheckMegabinary(b); err != nil || got != m.Megabinary {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for i := range module {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		if _, err := m.CheckMegabinary(bad); err == nil {
			t.Errorf("byte %d flipped was accepted", i)
		}
	}
	more := wasm.AppendCustom(whole, wasm.Custom{Name: "more"})
	if _, err := m.CheckMegabinary(more); err == nil {
		t.Error("a section more was accepted")
	}
}

// fullMap uses every field.
func fullMap() *artifact.ExecMap {
	m := sampleMap(3)
	m.Name, m.Sequence, m.Megabinary = "app\u2028\\u2028 <&>", 7, digest('e')
	e := &m.Entries[0]
	e.Kind, e.Language, e.Entry, e.Recompiler, e.Unknown = artifact.ExecInterpreter, artifact.Python, 0x401000, "recompile 2", 3
	e.Interpreter = &artifact.ExecMapRef{Name: "/lib64/ld.so", Digest: digest('a')}
	e.Needed = []artifact.ExecMapRef{{Name: "libz.so"}, {Name: "libc.so", Digest: digest('b')}}
	e.Data = []artifact.ExecMapSegment{{Address: 0x400000, Size: 10, Digest: digest('c')}}
	e.Objects = []artifact.ExecMapObject{{Digest: digest('a'), Platform: "linux/amd64"}}
	e.Paths[0].Capabilities = "AQI="
	m.Entries[1].Unit, m.Entries[1].Polyfill = -1, "quickjs"
	m.Entries[2] = artifact.ExecMapEntry{Digest: m.Entries[2].Digest, Kind: artifact.ExecScript, Verdict: artifact.VerdictScript, Unit: -1,
		Language: artifact.Shell, Paths: []artifact.ExecMapPath{{Path: "/x\t\b\x01\"\u2029é"}}}
	return m
}

// schema compiles the published schema.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../docs/execmap.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	s := schema(t)
	valid := func(b []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	b, err := fullMap().MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(b); err != nil {
		t.Error(err)
	}
	if m, err := artifact.ParseExecMap(b); err != nil || m.Name != fullMap().Name {
		t.Errorf("%v", err)
	}
	for _, change := range [][2]string{
		{`"verdict":"script"`, `"verdict":"run"`}, {`"verdict":"run"`, `"verdict":"refuse"`}, {`"kind":"script"`, `"kind":"scrip"`},
		{`"language":"python",`, ``}, {`"schemaVersion":2`, `"schemaVersion":1`}, {`"sequence":7`, `"sequence":-7`},
		{`"image":"sha256:`, `"image":"sha512:`}, {`"path":"/`, `"path":"`}, {`"size":10`, `"size":10.5`}, {`"root"`, `"rood"`},
	} {
		bad := strings.Replace(string(b), change[0], change[1], 1)
		if bad == string(b) || valid([]byte(bad)) == nil {
			t.Errorf("the schema takes %s for %s", change[1], change[0])
		}
	}
}

// TestFormIsRFC8785 holds the canonical form against one made by sorting keys
// and by the escapes of RFC 8785, section 3.2.2.2.
func TestFormIsRFC8785(t *testing.T) {
	b, err := fullMap().MarshalCanonical()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var form func(v any) string
	form = func(v any) string {
		switch v := v.(type) {
		case map[string]any:
			var members []string
			for _, k := range slices.Sorted(maps.Keys(v)) {
				members = append(members, form(k)+":"+form(v[k]))
			}
			return "{" + strings.Join(members, ",") + "}"
		case []any:
			var all []string
			for _, e := range v {
				all = append(all, form(e))
			}
			return "[" + strings.Join(all, ",") + "]"
		case string:
			short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}
			var out strings.Builder
			for _, r := range v {
				if e, ok := short[r]; ok {
					out.WriteString(e)
				} else if r < ' ' {
					fmt.Fprintf(&out, `\u%04x`, r)
				} else {
					out.WriteRune(r)
				}
			}
			return `"` + out.String() + `"`
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64) // none here is outside of [1e-6, 1e21)
		}
		t.Fatalf("%T", v)
		return ""
	}
	if want := form(v); want != string(b) {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func FuzzParseExecMap(f *testing.F) {
	for _, m := range []*artifact.ExecMap{sampleMap(0), sampleMap(3), fullMap()} {
		b, err := m.MarshalCanonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"entries":[[[[[[[[[[`))
	f.Add([]byte(`{"entries":[],"entries":null,"sequence":1e400}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := artifact.ParseExecMap(b)
		if err != nil {
			return
		}
		again, err := m.MarshalCanonical()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, which becomes %q, %v", b, again, err)
		}
		for i := range m.Entries {
			if !artifact.ValidDigest(m.Entries[i].Digest) || len(m.Entries[i].Paths) == 0 {
				t.Fatalf("accepted entry %+v", m.Entries[i])
			}
		}
	})
}

func TestLanguages(t *testing.T) {
	for name, want := range map[string]artifact.Language{
		"/usr/bin/python3.11": artifact.Python, "/bin/bash": artifact.Shell, "/usr/bin/perl5.36.0": artifact.Perl, "busybox": artifact.BusyBox,
		"/usr/bin/lua5.4": artifact.Lua, "/usr/bin/original-awk": artifact.Awk, "/usr/bin/env": "", "/bin/shred": "", "/usr/bin/pythonista": "",
		"/usr/bin/x86_64-linux-gnu-python3-config": "",
	} {
		if got := artifact.InterpreterLanguage(name); got != want {
			t.Errorf("program %s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]artifact.Language{
		"/a/b.py": artifact.Python, "/a/distutils-precedence.pth": artifact.Python, "/etc/profile": artifact.Shell, "/root/.bashrc": artifact.Shell,
		"/a/x.mjs": artifact.JavaScript, "/a/.py": "", "/a/b.txt": "", "/a/b": "", "/etc/profile.d": "",
	} {
		if got := artifact.SourceLanguage(name); got != want {
			t.Errorf("file %s: %q, want %q", name, got, want)
		}
	}
}
