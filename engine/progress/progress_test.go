package progress

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// someEvents is a short build.
func someEvents() []Event {
	return []Event{
		{Kind: Started, Stage: "analyze", Item: "/bin/sh", Index: 1, Items: 2},
		{Kind: Working, Stage: "analyze", Item: "/bin/sh", Index: 1, Items: 2, Done: 1, Total: 4, Text: "functions"},
		{Kind: Cached, Stage: "analyze", Item: "/bin/ls", Index: 2, Items: 2},
		{Kind: Diagnostic, Stage: "analyze", Item: "/bin/sh", Index: 1, Items: 2, Severity: "warning", Text: "bad \x1b[31mtext"},
		{Kind: Metric, Stage: "analyze", Name: "functions", Value: 3},
		{Kind: Done, Stage: "analyze", Item: "/bin/sh", Index: 1, Items: 2, Millis: 1500},
		{Kind: Started, Stage: "link"},
		{Kind: Failed, Stage: "link", Millis: 10, Text: "no units"},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	s := Plain(&b)
	for _, e := range someEvents() {
		s.Event(e)
	}
	s.Close()
	want := `analyze [1/2] /bin/sh ...
analyze [2/2] /bin/ls cached
analyze [1/2] /bin/sh warning: bad ?[31mtext
analyze [1/2] /bin/sh done in 1.50s
link ...
link FAILED after 0.01s: no units
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	s := JSON(&b)
	var wg sync.WaitGroup
	for _, e := range someEvents() {
		wg.Go(func() { s.Event(e) })
	}
	wg.Wait()
	s.Close()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(someEvents()) {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Stage == "" || e.Kind == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// safeBuffer is a terminal that several goroutines may write to and read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestTTY(t *testing.T) {
	var b safeBuffer
	s := TTY(&b, func() int { return 30 })
	for _, e := range someEvents()[:3] {
		s.Event(e)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(b.String(), "> analyze"); {
		if time.Now().After(deadline) {
			t.Fatalf("nothing under way was drawn: %q", b.String())
		}
		time.Sleep(redrawEvery)
	}
	for _, e := range someEvents()[3:] {
		s.Event(e)
	}
	s.Close()
	out := b.String()
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "> ") && len(line) > 29 {
			t.Errorf("a line is wider than the terminal: %q", line)
		}
	}
	for _, want := range []string{"\x1b[1A\x1b[J", "analyze [2/2] /bin/ls cached\n", "done in 1.50s\n", "link FAILED"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %q", want, out)
		}
	}
}
