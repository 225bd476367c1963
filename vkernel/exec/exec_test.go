package exec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/audit"
)

type memFile struct {
	data  []byte
	id    Identity
	fixed bool
	reads int
	onEnd func()
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.reads++
	n, err := bytes.NewReader(f.data).ReadAt(p, off)
	if f.onEnd != nil {
		f.onEnd()
	}
	return n, err
}
func (f *memFile) Size() int64                { return int64(len(f.data)) }
func (f *memFile) Identity() (Identity, bool) { return f.id, f.fixed }

var _ io.ReaderAt = (*memFile)(nil)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var (
	program = []byte("\x7fELF a program")
	jit     = []byte("\x7fELF a runtime that generates code")
	script  = []byte("#!/bin/sh -e\necho hi\n")
)

func controller(t *testing.T, level Level, trail io.Writer) *Controller {
	t.Helper()
	m := &artifact.ExecMap{SchemaVersion: 1, Entries: []artifact.ExecMapEntry{
		{Digest: digestOf(program), Size: int64(len(program)), Verdict: artifact.VerdictRun, Unit: 3,
			Paths: []artifact.ExecMapPath{{Path: "/bin/p", Mode: 0o755}, {Path: "/bin/su", Mode: 0o4755}}},
		{Digest: digestOf(jit), Size: int64(len(jit)), Verdict: artifact.VerdictRefuse, Reason: "it generates code", Unit: -1},
		{Digest: digestOf(script), Size: int64(len(script)), Verdict: artifact.VerdictScript, Unit: -1},
	}}
	c, err := New(m, Options{Level: level}, audit.New(trail, "c", m.Root), NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheck(t *testing.T) {
	changed := append([]byte(nil), program...)
	changed[7] ^= 1
	for _, tc := range []struct {
		name  string
		level Level
		req   Request
		data  []byte
		rule  string
		allow bool
	}{
		{"a known program", LevelKnownScripts, Request{Mode: 0o755}, program, RuleUnit, true},
		{"a known program at another path", LevelKnownScripts, Request{Path: "/tmp/copy", Mode: 0o700, UID: 1000}, program, RuleUnit, true},
		{"one bit changed", LevelKnownScripts, Request{Mode: 0o755}, changed, RuleUnknownHash, false},
		{"a refused program", LevelKnownScripts, Request{Mode: 0o755}, jit, RuleRefused, false},
		{"setuid as in the image", LevelKnownScripts, Request{Mode: 0o4755}, program, RuleUnit, true},
		{"setuid for another owner", LevelKnownScripts, Request{Mode: 0o4755, UID: 1000}, program, RuleBinding, false},
		{"setgid that the image has not", LevelKnownScripts, Request{Mode: 0o2755}, program, RuleBinding, false},
		{"a known script", LevelKnownScripts, Request{Mode: 0o755}, script, RuleScript, true},
		{"an unknown script", LevelKnownScripts, Request{Mode: 0o755}, []byte("#!/bin/sh\nrm -rf /\n"), RuleUnknownHash, false},
		{"an unknown script at elf-only", LevelELFOnly, Request{Mode: 0o755}, []byte("#!/bin/sh\nrm -rf /\n"), RuleScript, true},
		{"an unknown program at elf-only", LevelELFOnly, Request{Mode: 0o755}, changed, RuleUnknownHash, false},
		{"text", LevelKnownScripts, Request{Mode: 0o755}, []byte("hello"), RuleUnknownHash, false},
		{"text at elf-only", LevelELFOnly, Request{Mode: 0o755}, []byte("hello"), RuleNotCode, false},
		{"bytes", LevelKnownScripts, Request{Mode: 0o755}, []byte("he\x00llo"), RuleNotCode, false},
		{"nothing", LevelKnownScripts, Request{Mode: 0o755}, nil, RuleNotCode, false},
		{"mapping a script as code", LevelKnownScripts, Request{Use: UseMap}, script, RuleRefused, false},
		{"mapping unknown bytes as code", LevelELFOnly, Request{Use: UseMap}, changed, RuleUnknownHash, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var trail bytes.Buffer
			c := controller(t, tc.level, &trail)
			if tc.req.Use == "" {
				tc.req.Use = UseExec
			}
			tc.req.File = &memFile{data: tc.data}
			d, err := c.Check(t.Context(), tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if d.Allow != tc.allow || d.Rule != tc.rule {
				t.Fatalf("allow %v by %s (%s), want %v by %s", d.Allow, d.Rule, d.Reason, tc.allow, tc.rule)
			}
			if !d.Allow && d.Reason == "" {
				t.Error("refused without a reason")
			}
			if d.Allow && !bytes.Equal(d.Content, tc.data) {
				t.Error("the content is not what was hashed")
			}
			line := trail.String()
			want := map[bool]string{true: `"verdict":"allow"`, false: `"verdict":"deny"`}[tc.allow]
			if strings.Count(line, "\n") != 1 || !strings.Contains(line, want) || !strings.Contains(line, digestOf(tc.data)) {
				t.Errorf("audit trail: %s", line)
			}
		})
	}
}

func TestUnchangedFileIsReadOnce(t *testing.T) {
	c := controller(t, LevelKnownScripts, io.Discard)
	f := &memFile{data: program, id: Identity{1, 2, 3}, fixed: true}
	for range 3 {
		if d, err := c.Check(t.Context(), Request{File: f, Use: UseExec}); err != nil || !d.Allow {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if f.reads != 1 {
		t.Errorf("read %d times, want once", f.reads)
	}
	f.data, f.id.Version = append([]byte(nil), jit...), 4
	if d, err := c.Check(t.Context(), Request{File: f, Use: UseExec}); err != nil || d.Allow {
		t.Fatalf("a changed file ran: %+v, %v", d, err)
	}
}

func TestChangeWhileHashing(t *testing.T) {
	c := controller(t, LevelKnownScripts, io.Discard)
	f := &memFile{data: program, id: Identity{1, 2, 3}, fixed: true}
	f.onEnd = func() { f.id.Version++ }
	d, err := c.Check(t.Context(), Request{File: f, Use: UseExec})
	if err != nil || d.Allow || d.Rule != RuleChanged {
		t.Fatalf("%+v, %v", d, err)
	}
}

type hugeFile struct{ memFile }

func (*hugeFile) Size() int64 { return 1 << 40 }

func TestHugeFileIsNotRead(t *testing.T) {
	c := controller(t, LevelKnownScripts, io.Discard)
	f := &hugeFile{}
	d, err := c.Check(t.Context(), Request{File: f, Use: UseExec})
	if err != nil || d.Rule != RuleTooLarge || f.reads != 0 {
		t.Fatalf("%+v, %v, %d reads", d, err, f.reads)
	}
}

func TestNothingRunsWithoutATrail(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	c := controller(t, LevelKnownScripts, w)
	if d, err := c.Check(context.Background(), Request{File: &memFile{data: program}, Use: UseExec}); err == nil || d.Allow {
		t.Fatalf("%+v, %v: allowed though the trail could not be written", d, err)
	}
}

func TestParseShebang(t *testing.T) {
	long := strings.Repeat("x", 300)
	for in, want := range map[string][2]string{
		"#!/bin/sh\n":              {"/bin/sh", ""},
		"#! /bin/sh -e -x \nfoo":   {"/bin/sh", "-e -x"},
		"#!\t/usr/bin/env\tawk\n":  {"/usr/bin/env", "awk"},
		"#!/bin/sh":                {"/bin/sh", ""},
		"#!\n":                     {"", ""},
		"#!   ":                    {"", ""},
		"#!/" + long + "\n":        {"", ""},
		"#!/bin/sh " + long + "\n": {"/bin/sh", strings.Repeat("x", 256-len("#!/bin/sh "))},
		"echo":                     {"", ""},
	} {
		if a, b := ParseShebang([]byte(in)); a != want[0] || b != want[1] {
			t.Errorf("ParseShebang(%.20q) = %q, %q; want %q", in, a, b, want)
		}
	}
}

func FuzzParseShebang(f *testing.F) {
	f.Add([]byte("#!/bin/sh -e\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		interp, arg := ParseShebang(b)
		if strings.ContainsAny(interp, " \t\n\x00") || interp == "" && arg != "" || strings.ContainsAny(arg, "\n\x00") {
			t.Fatalf("%q, %q", interp, arg)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := NewCache(3000)
	for i := range uint64(50) {
		c.put(&cached{id: Identity{Inode: i}, content: make([]byte, 1000), whole: i%2 == 0})
	}
	if c.used > 3000 || len(c.byID) != 3 {
		t.Fatalf("%d bytes in %d entries", c.used, len(c.byID))
	}
	if _, ok := c.get(Identity{Inode: 49}, false); !ok {
		t.Fatal("the newest entry is gone")
	}
}
