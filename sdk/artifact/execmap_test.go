package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/wasm"
)

func digest(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

func sampleMap(entries int) *artifact.ExecMap {
	m := &artifact.ExecMap{SchemaVersion: artifact.ExecMapSchemaVersion, Image: digest('f')}
	for i := range entries {
		m.Entries = append(m.Entries, artifact.ExecMapEntry{
			Digest: digest("0123456789abcdef"[entries-1-i]), Size: 10, Kind: artifact.KindELFProgram,
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
		if n > 0 && !bytes.Contains(b, []byte(`"path":"/bin/a","mode":2541,"uid":0,"gid":0},{"path":"/bin/z<`)) {
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
		"version":     {strings.Replace(s, `"schemaVersion":1`, `"schemaVersion":2`, 1), "schema version 2"},
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
	split := strings.Index(s, `},{"digest"`) + 1
	entries := [][]byte{[]byte(s[at:split]), []byte(s[split+1 : len(s)-2])}
	head := []byte(strings.Replace(s[:at], m.Root, "", 1) + "]}")
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
