package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// clock is a time that moves when told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)} }

func readAll(t *testing.T, r *Reader) []Record {
	t.Helper()
	var all []Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

func TestRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trail[1].jsonl")
	for _, keep := range []int{0, 2} {
		f, err := Create(name, FileOptions{MaxSize: 2000, Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		l := NewLog(f, Options{Container: "c"})
		for i := range 50 {
			if err := l.Append(Record{Event: EventFork, PID: i + 1, Path: strings.Repeat("x", 50)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(l.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		files, err := Files(name)
		if err != nil || keep == 0 && len(files) < 5 || keep > 0 && len(files) != keep+1 {
			t.Fatalf("keep %d: %q, %v", keep, files, err)
		}
		for _, n := range files {
			if st, err := os.Stat(n); err != nil || st.Size() > 2000 {
				t.Errorf("%s: %v, %v", n, st.Size(), err)
			}
		}
		in, c, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		all := readAll(t, in)
		c.Close()
		if last := all[len(all)-1]; last.Seq != 51 || last.Event != EventEnd || !in.Ended() {
			t.Errorf("the last record is %+v", last)
		}
		if keep == 0 && len(all) != 51 || keep > 0 && all[0].Seq == 1 {
			t.Errorf("keep %d: %d records from %d", keep, len(all), all[0].Seq)
		}
	}
	old, err := Files(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(old[1]); err != nil { // a part in the middle
		t.Fatal(err)
	}
	in, c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil {
		_, err = in.Next()
	}
	if errors.Is(err, io.EOF) {
		t.Error("nobody missed a part")
	}
}

func TestFollowGoesOnAfterRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trail")
	f, err := Create(name, FileOptions{MaxSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := NewLog(f, Options{})
	in, c, err := Follow(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 20 {
		if err := l.Append(Record{Event: EventFork, PID: i + 1}); err != nil {
			t.Fatal(err)
		}
		if r, err := in.Next(); err != nil || r.PID != i+1 {
			t.Fatalf("record %d: %+v, %v", i, r, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late, c2, err := Follow(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if n := len(readAll(t, late)); n == 0 {
		t.Error("nothing read")
	}
}

func TestRatesCountWhatTheyKeepBack(t *testing.T) {
	var buf bytes.Buffer
	c := newClock()
	l := NewLog(&buf, Options{Now: c.now, Rates: map[string]Rate{EventFile: {PerSecond: 10, Burst: 5}}})
	add := func(n int, event string) {
		for range n {
			if err := l.Append(Record{Event: event}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(20, EventFile) // 5 pass
	add(10, EventExit) // all pass
	c.t = c.t.Add(100 * time.Millisecond)
	add(3, EventFile) // 1 passes and tells of 15
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, NewReader(&buf))
	if len(all) != 5+10+1+1 {
		t.Fatalf("%d records", len(all))
	}
	if n := all[15].Suppressed; n != 15 {
		t.Errorf("%d kept back, want 15", n)
	}
	if end := all[16]; end.Event != EventEnd || end.Suppressed != 2 || len(end.Args) != 1 || end.Args[0] != "file: 2 more" {
		t.Errorf("the end: %+v", end)
	}
	if err := l.Append(Record{Event: EventExit}); err == nil {
		t.Error("a record behind the end")
	}
}

// full is a disk with room for a number of bytes.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errors.New("no space left on device")
	}
	f.room -= len(p)
	return f.Buffer.Write(p)
}

func TestFullDiskDropsAndCounts(t *testing.T) {
	w := &full{room: 1000}
	l := NewLog(w, Options{Drop: true})
	for range 20 {
		if err := l.Append(Record{Event: EventExit}); err != nil {
			t.Fatal(err)
		}
	}
	n := l.Dropped()
	if n == 0 || n == 20 {
		t.Fatalf("%d dropped", n)
	}
	w.room = 1 << 20
	if err := l.Append(Record{Event: EventExit, PID: 7}); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, NewReader(bytes.NewReader(w.Bytes())))
	told, last := all[len(all)-2], all[len(all)-1]
	if told.Event != EventDropped || told.Args[0] != fmt.Sprint(n) || last.PID != 7 || l.Dropped() != 0 {
		t.Errorf("%+v, %+v", told, last)
	}
}

func TestFullDiskStops(t *testing.T) {
	w := &full{room: 300}
	l := NewLog(w, Options{})
	var err error
	for range 20 {
		err = l.Append(Record{Event: EventExit})
	}
	if err == nil {
		t.Fatal("nobody was told")
	}
	w.room = 1 << 20
	if err := l.Append(Record{Event: EventFile}); err == nil {
		t.Error("the trail went on")
	}
}

// TestFileKeepsWholeLines fills a file that may not grow.
func TestFileKeepsWholeLines(t *testing.T) {
	f, err := Create("/dev/full", FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := NewLog(f, Options{Drop: true})
	if err := l.Append(Record{Event: EventExit}); err != nil || l.Dropped() != 1 {
		t.Errorf("%v, %d dropped", err, l.Dropped())
	}
}

// hostile are strings that a guest can give a file or an argument.
func hostile() []string {
	return []string{"\x1b]0;title\x07", "\x1b[2J\x1b[31mred", "a\rb\nc", "\u009b31m", "\u202egnp.exe", "\x80\xff", "\x7f", "\u2066x", "\x00", "\U000e0041", "ok é 漢"}
}

func terminalSafe(s string) bool {
	for _, r := range s {
		if !shown(r) || r == utf8.RuneError {
			return false
		}
	}
	return utf8.ValidString(s)
}

func TestNothingReachesATerminal(t *testing.T) {
	var buf bytes.Buffer
	l := New(&buf, "c\x1b[m", "")
	for _, s := range hostile() {
		if err := l.Append(Record{Event: EventExec, Path: s, Args: []string{s}, Reason: s, Rule: s, Subject: s}); err != nil {
			t.Fatal(err)
		}
	}
	in := NewReader(&buf)
	for range hostile() {
		r, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		json := strings.ReplaceAll(EscapeJSON(string(in.Line())), "\ufffd", "?") // for bytes that are no text
		text := strings.ReplaceAll(Text(&r), "\ufffd", "?")
		if !terminalSafe(text) || !terminalSafe(json) {
			t.Errorf("%q\n%q", text, json)
		}
	}
	for _, s := range hostile() {
		var out bytes.Buffer
		if _, err := NewEscaper(&out).Write([]byte(s)); err != nil || !terminalSafe(strings.NewReplacer("\n", "", "\t", "").Replace(out.String())) {
			t.Errorf("%q: %v", out.String(), err)
		}
	}
	if Escape("a\x1bb\n") != `a\x1bb\n` || EscapeLines("a\tb\n\xff") != "a\tb\n\\xff" || Escape("é 漢") != "é 漢" {
		t.Error("escapes are not what they should be")
	}
}

func TestEscapedJSONIsTheSame(t *testing.T) {
	for _, s := range hostile() {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := errors.Join(json.Unmarshal(b, &want), json.Unmarshal([]byte(EscapeJSON(string(b))), &got)); err != nil || got != want {
			t.Errorf("%q became %q, %v", want, got, err)
		}
	}
}

// everyEvent are records of all kinds.
func everyEvent() []Record {
	status := 256
	d := "sha256:" + strings.Repeat("ab", 32)
	base := func(event, path string, args ...string) Record {
		return Record{Event: event, PID: 7, TID: 8, PPID: 1, UID: 1000, Subject: d, Path: path, Args: args, Verdict: "deny", Rule: "r", Reason: "why", DurationNs: 5}
	}
	exit := base(EventExit, "")
	exit.Status = &status
	return []Record{base(EventStart, "/bin/sh", "sh"), base(EventExec, "/bin/ls", "ls", "-l"), base(EventMap, "/lib/x.so"), base(EventMemory, "mmap"),
		base(EventFork, "", "9"), exit, base(EventSyscall, "mount"), base(EventFile, "/etc/shadow", "write"), base(EventConnect, "tcp/10.0.0.1:443"),
		base(EventResolve, "example.com"), base(EventHTTP, "GET http://example.com/x"), base(EventPrivilege, "", "uid 0 to 1")}
}

// TestOCSF checks what every event of OCSF 1.3.0 must have, and the objects that
// the classes demand (schema.ocsf.io).
func TestOCSF(t *testing.T) {
	need := map[int][]string{1007: {"process", "actor", "device"}, 1005: {"module", "actor", "device"}, 1001: {"file", "actor", "device"},
		4001: {"dst_endpoint"}, 4002: {"http_request"}, 4003: {"query"}}
	var buf bytes.Buffer
	l := NewLog(&buf, Options{Container: "c", MapRoot: "sha256:aa", Policy: "sha256:bb", Now: newClock().now})
	for _, r := range everyEvent() {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range readAll(t, NewReader(&buf)) {
		b, err := json.Marshal(OCSF(&r))
		if err != nil {
			t.Fatal(err)
		}
		var e map[string]any
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		class, _ := e["class_uid"].(float64)
		for _, key := range append([]string{"category_uid", "activity_id", "type_uid", "time", "severity_id", "metadata", "container"}, need[int(class)]...) {
			if e[key] == nil {
				t.Errorf("%s has no %s: %s", r.Event, key, b)
			}
		}
		if need[int(class)] == nil || e["type_uid"] != class*100+e["activity_id"].(float64) || int(class)/1000 != int(e["category_uid"].(float64)) ||
			e["action_id"] != 2.0 || e["time"] != 1767323045000.0 {
			t.Errorf("%s: %s", r.Event, b)
		}
	}
}

// TestOTLP reads what is written with OpenTelemetry's own types.
func TestOTLP(t *testing.T) {
	for _, r := range everyEvent() {
		r.Time, r.Container = "2026-01-02T03:04:05.000000006Z", "c"
		b, err := json.Marshal(OTLP(&r))
		if err != nil {
			t.Fatal(err)
		}
		var req logsv1.ExportLogsServiceRequest
		if err := protojson.Unmarshal(b, &req); err != nil {
			t.Fatalf("%s: %v\n%s", r.Event, err, b)
		}
		rec := req.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
		if rec.TimeUnixNano != 1767323045000000006 || rec.SeverityText != "WARN" || len(rec.Attributes) < 8 || rec.Body.GetStringValue() == "" {
			t.Errorf("%s: %v", r.Event, rec)
		}
	}
}

func FuzzTrail(f *testing.F) {
	f.Add("/bin/sh", "a\x1b[31m\xff", int64(3))
	f.Fuzz(func(t *testing.T, path, arg string, n int64) {
		var buf bytes.Buffer
		l := New(&buf, "c", "")
		for range 3 {
			if err := l.Append(Record{Event: EventExec, Path: path, Args: []string{arg}, DurationNs: n}); err != nil {
				t.Fatal(err)
			}
		}
		in := NewReader(&buf)
		for range 3 {
			r, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			if utf8.ValidString(path) && len(path) < maxText && r.Path != path {
				t.Fatalf("%q became %q", path, r.Path)
			}
			if !terminalSafe(strings.ReplaceAll(Text(&r), "\ufffd", "")) {
				t.Fatalf("%q", Text(&r))
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	args := []string{"ls", "-l", "/usr/share/doc"}
	d := "sha256:" + strings.Repeat("ab", 32)
	f, err := Create(filepath.Join(b.TempDir(), "trail"), FileOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for name, w := range map[string]io.Writer{"memory": io.Discard, "file": f} {
		b.Run(name, func(b *testing.B) {
			l := NewLog(w, Options{Container: "run-1", MapRoot: d, Policy: d, Rates: map[string]Rate{}})
			b.ReportAllocs()
			for range b.N {
				if err := l.Append(Record{Event: EventExec, PID: 7, PPID: 1, Subject: d, Path: "/usr/bin/ls", Object: d, Args: args, Verdict: "allow", Rule: "exec.unit"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("kept back", func(b *testing.B) {
		l := NewLog(io.Discard, Options{Rates: map[string]Rate{EventFile: {}}})
		for range b.N {
			if err := l.Append(Record{Event: EventFile, Path: "/etc/passwd"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
