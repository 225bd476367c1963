// Package progress shows a build to people (tty, plain) and programs (JSON lines).
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"
)

// Kind is what an event says.
type Kind string

// The kinds of event.
const (
	Started    Kind = "started"
	Working    Kind = "progress"
	Log        Kind = "log"
	Diagnostic Kind = "diagnostic"
	Metric     Kind = "metric"
	Cached     Kind = "cached" // instead of Started and Done
	Done       Kind = "done"
	Failed     Kind = "failed"
)

// Event is one thing that happened to a stage, or to one item of a stage that
// fans out.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     Kind      `json:"kind"`
	Stage    string    `json:"stage"`
	Item     string    `json:"item,omitempty"`     // path in the image, or digest
	Index    int       `json:"index,omitempty"`    // of the item, from 1
	Items    int       `json:"items,omitempty"`    // how many
	Done     int64     `json:"done,omitempty"`     // Working
	Total    int64     `json:"total,omitempty"`    // Working; 0: not known
	Text     string    `json:"text,omitempty"`     // what, message or error
	Severity string    `json:"severity,omitempty"` // Log, Diagnostic
	Name     string    `json:"name,omitempty"`     // Metric
	Value    float64   `json:"value,omitempty"`    // Metric
	Millis   int64     `json:"ms,omitempty"`       // Done, Failed: how long it took
}

// Sink takes events, from many goroutines. Close ends the display.
type Sink interface {
	Event(e Event)
	Close()
}

// Discard shows nothing.
func Discard() Sink { return discard{} }

type discard struct{}

func (discard) Event(Event) {}
func (discard) Close()      {}

// JSON writes one line of JSON for every event.
func JSON(w io.Writer) Sink { return &jsonSink{encoder: json.NewEncoder(w)} }

type jsonSink struct {
	mu      sync.Mutex // guards encoder
	encoder *json.Encoder
}

func (s *jsonSink) Event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.encoder.Encode(e) // a reader that went away is no reason to end the build
}

func (s *jsonSink) Close() {}

// Plain writes one line for every event that matters to a person.
func Plain(w io.Writer) Sink { return &plainSink{w: w} }

type plainSink struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (s *plainSink) Event(e Event) {
	if line := describe(e); line != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintln(s.w, line)
	}
}

func (s *plainSink) Close() {}

// label names the stage and the item of an event.
func label(e Event) string {
	if e.Item == "" {
		return e.Stage
	}
	return fmt.Sprintf("%s [%d/%d] %s", e.Stage, e.Index, e.Items, e.Item)
}

// describe returns the line of an event; "" for those that a person need not see.
func describe(e Event) string {
	switch e.Kind {
	case Started:
		return label(e) + " ..."
	case Cached:
		return label(e) + " cached"
	case Done:
		return fmt.Sprintf("%s done in %s", label(e), round(e.Millis))
	case Failed:
		return fmt.Sprintf("%s FAILED after %s: %s", label(e), round(e.Millis), printable(e.Text))
	case Diagnostic:
		return fmt.Sprintf("%s %s: %s", label(e), e.Severity, printable(e.Text))
	case Log:
		return fmt.Sprintf("%s | %s", label(e), printable(e.Text))
	}
	return ""
}

func round(millis int64) string {
	return fmt.Sprintf("%.2fs", float64(millis)/1000)
}

// printable keeps a plugin's text from driving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// TTY redraws one line for every item under way below the lines of what is
// finished. width returns the terminal's width in columns.
func TTY(w io.Writer, width func() int) Sink {
	s := &ttySink{w: w, width: width, running: make(map[string]Event), stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.redraw()
	return s
}

// redrawEvery is the time between two drawings.
const redrawEvery = 100 * time.Millisecond

// maxRunning is how many lines of what is under way are drawn.
const maxRunning = 8

type ttySink struct {
	w       io.Writer
	width   func() int
	stop    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex       // guards all below
	running map[string]Event // by label; Time is when it started
	drawn   int              // lines below the finished ones
	pending []string         // finished lines not yet drawn
}

func (s *ttySink) Event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := label(e)
	switch e.Kind {
	case Started:
		s.running[key] = e
	case Working:
		if old, ok := s.running[key]; ok {
			e.Time = old.Time
			s.running[key] = e
		}
	case Done, Failed, Cached:
		delete(s.running, key)
		s.pending = append(s.pending, describe(e))
	default:
		if line := describe(e); line != "" {
			s.pending = append(s.pending, line)
		}
	}
}

func (s *ttySink) redraw() {
	defer close(s.stopped)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.draw(false)
		case <-s.stop:
			s.draw(true)
			return
		}
	}
}

func (s *ttySink) draw(last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.drawn) // up to the first of our lines, clear below
	}
	for _, line := range s.pending {
		b.WriteString(line + "\n")
	}
	s.pending, s.drawn = nil, 0
	if !last {
		columns := s.width()
		for _, line := range s.runningLines() {
			b.WriteString(cut(line, columns) + "\n")
			s.drawn++
		}
	}
	io.WriteString(s.w, b.String())
}

func (s *ttySink) runningLines() []string {
	events := make([]Event, 0, len(s.running))
	for _, e := range s.running {
		events = append(events, e)
	}
	sort.Slice(events, func(i, j int) bool { return events[i].Time.Before(events[j].Time) })
	var lines []string
	for i, e := range events {
		if i == maxRunning {
			lines = append(lines, fmt.Sprintf("  ... and %d more", len(events)-i))
			break
		}
		line := fmt.Sprintf("> %s %.1fs", label(e), time.Since(e.Time).Seconds())
		if e.Total > 0 {
			line += fmt.Sprintf("  %d%%", 100*e.Done/e.Total)
		}
		if e.Text != "" {
			line += "  " + printable(e.Text)
		}
		lines = append(lines, line)
	}
	return lines
}

func cut(line string, columns int) string {
	runes := []rune(strings.ReplaceAll(line, "\n", " "))
	if columns > 1 && len(runes) >= columns {
		return string(runes[:columns-1])
	}
	return string(runes)
}

func (s *ttySink) Close() {
	close(s.stop)
	<-s.stopped
}
