package artifact_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
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
		got, err := artifact.ParseExecMap(bad)
		// The image's digest is outside of the tree; the manifest binds it.
		if err == nil && got.Image == digest('f') {
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
	// The empty tree hashes to sha256 of nothing.
	m := sampleMap(0)
	root, err := m.ComputeRoot()
	if want := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; err != nil || root != want {
		t.Errorf("root of nothing is %s, %v", root, err)
	}
	// Another order gives another root, and so does one entry less.
	m = sampleMap(3)
	before, _ := m.ComputeRoot()
	m.Entries[0], m.Entries[1] = m.Entries[1], m.Entries[0]
	after, _ := m.ComputeRoot()
	m.Entries = m.Entries[:2]
	fewer, _ := m.ComputeRoot()
	if before == after || after == fewer {
		t.Errorf("roots %s, %s, %s", before, after, fewer)
	}
}
