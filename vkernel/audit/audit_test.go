package audit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func trail(t *testing.T) []byte {
	t.Helper()
	var buf bytes.Buffer
	l := New(&buf, "c1", "sha256:aa")
	for _, r := range []Record{
		{Event: "exec", PID: 1, Path: "/bin/sh", Verdict: "allow", Rule: "exec.unit"},
		{Event: "exec", PID: 2, Path: "/tmp/<x>", Verdict: "deny", Rule: "exec.unknown-hash", Args: []string{"a", strings.Repeat("b", 5000)}},
		{Event: "exit", PID: 1, Status: new(int)},
	} {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func TestVerifyAcceptsWhatAppendWrote(t *testing.T) {
	n, err := Verify(bytes.NewReader(trail(t)))
	if n != 3 || err != nil {
		t.Fatalf("Verify = %d, %v; want 3 lines", n, err)
	}
}

func TestVerifyFindsEveryChangedByte(t *testing.T) {
	whole := trail(t)
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		if _, err := Verify(bytes.NewReader(changed)); err == nil {
			t.Fatalf("byte %d (%q) changed and not found", i, whole[i])
		}
	}
}

func TestVerifyFindsDroppedAndSwappedLines(t *testing.T) {
	lines := bytes.SplitAfter(trail(t), []byte("\n"))
	for name, in := range map[string][]byte{
		"first dropped":  bytes.Join(lines[1:], nil),
		"second dropped": bytes.Join([][]byte{lines[0], lines[2]}, nil),
		"swapped":        bytes.Join([][]byte{lines[1], lines[0], lines[2]}, nil),
		"doubled":        bytes.Join([][]byte{lines[0], lines[0]}, nil),
	} {
		if _, err := Verify(bytes.NewReader(in)); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestAppendStaysClosedAfterAFailure(t *testing.T) {
	w := &failing{after: 1}
	l := New(w, "c", "")
	if err := l.Append(Record{Event: "start"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Record{Event: "exec"}); err == nil {
		t.Fatal("the failed write was not reported")
	}
	w.after = 10
	if err := l.Append(Record{Event: "exec"}); err == nil {
		t.Fatal("the trail went on after a hole")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := Verify(bytes.NewReader(b)); err == nil && n > 0 && len(b) == 0 {
			t.Fatal("lines out of nothing")
		}
	})
}
