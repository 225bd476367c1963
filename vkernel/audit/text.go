package audit

import (
	"fmt"
	"strings"
	"time"
)

// Text returns a record as one line for a person, without its line feed and
// without anything that a terminal would take for a command.
func Text(r *Record) string {
	var b strings.Builder
	at := r.Time
	if t, err := time.Parse(time.RFC3339Nano, r.Time); err == nil {
		at = t.Format("2006-01-02 15:04:05.000")
	}
	fmt.Fprintf(&b, "%6d %s ", r.Seq, at)
	if r.Verdict != "" && r.Verdict != "allow" {
		b.WriteString(strings.ToUpper(r.Verdict) + " ")
	}
	b.WriteString(r.Event)
	if r.PID != 0 {
		fmt.Fprintf(&b, " pid %d", r.PID)
	}
	if r.TID != 0 {
		fmt.Fprintf(&b, " tid %d", r.TID)
	}
	if r.UID != 0 {
		fmt.Fprintf(&b, " uid %d", r.UID)
	}
	if r.Path != "" {
		b.WriteString(" " + r.Path)
	}
	if r.Object != "" {
		b.WriteString(" " + short(r.Object))
	}
	if len(r.Args) > 0 {
		fmt.Fprintf(&b, " %q", r.Args)
	}
	if r.Status != nil && r.Reason == "" {
		fmt.Fprintf(&b, " %s", WaitStatus(*r.Status))
	}
	if r.Rule != "" {
		b.WriteString(" by " + r.Rule)
	}
	if r.Reason != "" {
		b.WriteString(": " + r.Reason)
	}
	if r.Suppressed != 0 {
		fmt.Fprintf(&b, " (%d before it kept back)", r.Suppressed)
	}
	return Escape(b.String())
}

// short is the beginning of a digest.
func short(digest string) string {
	h := strings.TrimPrefix(digest, "sha256:")
	return h[:min(len(h), 12)]
}

// WaitStatus says what a wait status means.
func WaitStatus(s int) string {
	if sig := s & 0x7f; sig != 0 {
		return fmt.Sprintf("killed by signal %d", sig)
	}
	return fmt.Sprintf("exit status %d", s>>8&0xff)
}
