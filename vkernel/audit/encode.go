package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

var errClosed = errors.New("the trail is closed")

// seal is what stands between a line's fields and its hash, and tail what stands
// behind that.
const (
	seal = `,"hash":"`
	tail = "\"}\n"
)

// encoder makes lines with zerolog. One goroutine at a time uses it.
type encoder struct {
	log  zerolog.Logger
	line []byte
}

func newEncoder() *encoder {
	e := new(encoder)
	e.log = zerolog.New(e)
	return e
}

// Write takes a line from zerolog.
func (e *encoder) Write(p []byte) (int, error) {
	e.line = append(e.line[:0], p...)
	return len(p), nil
}

// encode returns r as a line, and its hash: the sha256 of the line as it would be
// without its hash, "}" at its end. The line is valid until the next call.
func (e *encoder) encode(r *Record, now time.Time) (line []byte, sum string, err error) {
	ev := e.log.Log()
	ev.Uint64("seq", r.Seq).Str("time", now.UTC().Format(time.RFC3339Nano)).Str("container", r.Container)
	text(ev, "mapRoot", r.MapRoot)
	text(ev, "policy", r.Policy)
	ev.Str("event", r.Event)
	number(ev, "pid", r.PID)
	number(ev, "tid", r.TID)
	number(ev, "ppid", r.PPID)
	ev.Int("uid", r.UID)
	text(ev, "subject", r.Subject)
	text(ev, "path", r.Path)
	text(ev, "object", r.Object)
	if len(r.Args) > 0 {
		ev.Strs("args", r.Args)
	}
	text(ev, "verdict", r.Verdict)
	text(ev, "rule", r.Rule)
	text(ev, "reason", r.Reason)
	if r.Status != nil {
		ev.Int("status", *r.Status)
	}
	if r.DurationNs != 0 {
		ev.Int64("durationNs", r.DurationNs)
	}
	if r.Suppressed != 0 {
		ev.Uint64("suppressed", r.Suppressed)
	}
	ev.Str("prev", r.Prev).Send()
	n := len(e.line)
	if n < 2 || string(e.line[n-2:]) != "}\n" {
		return nil, "", errors.New("zerolog wrote no object")
	}
	hash := sha256.Sum256(e.line[:n-1])
	sum = hex.EncodeToString(hash[:])
	e.line = append(append(append(e.line[:n-2], seal...), sum...), tail...)
	return e.line, sum, nil
}

func text(ev *zerolog.Event, key, s string) {
	if s != "" {
		ev.Str(key, s)
	}
}

func number(ev *zerolog.Event, key string, n int) {
	if n != 0 {
		ev.Int(key, n)
	}
}

func sortedEvents(m map[string]*bucket) []string { return slices.Sorted(maps.Keys(m)) }
