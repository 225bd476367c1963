// Package audit writes the trail of what ran, what was refused and what reached
// out: JSON lines, each of which carries the hash of the one before, so that a
// line that was changed, dropped or put elsewhere breaks the chain.
package audit

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Record is one line of the trail. Of its times and sizes the units stand in the
// names.
type Record struct {
	Seq       uint64 `json:"seq"`  // from 1
	Time      string `json:"time"` // RFC 3339 with nanoseconds, UTC
	Container string `json:"container"`
	MapRoot   string `json:"mapRoot,omitempty"` // Merkle root of the exec map in force
	Policy    string `json:"policy,omitempty"`  // digest of the policy in force

	Event   string   `json:"event"` // see Events
	PID     int      `json:"pid,omitempty"`
	TID     int      `json:"tid,omitempty"` // if it is not the pid
	PPID    int      `json:"ppid,omitempty"`
	UID     int      `json:"uid"`
	Subject string   `json:"subject,omitempty"` // sha256:<hex> of the program that acts
	Path    string   `json:"path,omitempty"`    // of the file acted on, as the guest named it; else what is acted on: see Events
	Object  string   `json:"object,omitempty"`  // sha256:<hex> of that file's content
	Args    []string `json:"args,omitempty"`

	Verdict    string `json:"verdict,omitempty"`    // allow, deny, or would-deny of a controller that only watches
	Rule       string `json:"rule,omitempty"`       // which rule decided, such as exec.unknown-hash
	Reason     string `json:"reason,omitempty"`     // for a person
	Status     *int   `json:"status,omitempty"`     // event exit: wait status
	DurationNs int64  `json:"durationNs,omitempty"` // of the decision; event exit: of the process's life
	Suppressed uint64 `json:"suppressed,omitempty"` // records of this event that the rate limit kept back before this one

	Prev string `json:"prev"` // Hash of the line before; 64 zeros in the first
	Hash string `json:"hash"` // see Seal
}

// The events.
const (
	EventStart     = "start" // the container; Path: its first program
	EventExec      = "exec"  // execve, allowed or refused
	EventInterp    = "interpreter"
	EventMap       = "map"       // a file mapped as code, or refused
	EventMemory    = "memory"    // executable memory that is no file, refused; Path: the system call
	EventFork      = "fork"      // Args[0]: the child's pid
	EventExit      = "exit"      // of a process
	EventFault     = "fault"     // a fault that ended a process
	EventMiss      = "miss"      // code without a translation
	EventPanic     = "panic"     // a fault of the vkernel's own
	EventSyscall   = "syscall"   // refused or logged by the policy; Path: its name
	EventFile      = "file"      // refused by the policy; Args[0]: see, read or write
	EventConnect   = "connect"   // Path: tcp/IP:PORT
	EventResolve   = "resolve"   // Path: a name
	EventHTTP      = "http"      // Path: METHOD http://HOST/PATH
	EventPrivilege = "privilege" // ids or capabilities changed; Args: what
	EventEnd       = "end"       // of the container: nothing is missing behind it
	EventDropped   = "dropped"   // Args[0]: how many records the log could not take
)

// Genesis is Prev of the first line.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// maxArgs, maxArg and maxText bound what a guest can make the trail carry in one
// line, in bytes and arguments.
const (
	maxArgs = 64
	maxArg  = 1024
	maxText = 8192
)

// Rate bounds the records of one event.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// DefaultRates bound what a guest can cause cheaply and without end. Other events
// have no limit: each costs the guest a process or a program.
func DefaultRates() map[string]Rate {
	cheap := Rate{PerSecond: 200, Burst: 1000}
	return map[string]Rate{EventSyscall: cheap, EventFile: cheap, EventConnect: cheap, EventResolve: cheap, EventHTTP: cheap,
		EventMap: cheap, EventMemory: cheap, EventPrivilege: cheap, EventExec: {PerSecond: 1000, Burst: 5000}}
}

// Options configure a Log.
type Options struct {
	Container string
	MapRoot   string
	Policy    string
	// Drop counts records that cannot be written and goes on; without it, nothing
	// may happen any more once one could not be written.
	Drop bool
	// Rates bound records by event; nil: DefaultRates.
	Rates map[string]Rate
	Now   func() time.Time // nil: time.Now
}

// bucket is what is left of an event's rate.
type bucket struct {
	rate       Rate
	left       float64
	at         time.Time
	suppressed uint64
}

func (b *bucket) take(now time.Time) bool {
	b.left = min(b.rate.Burst, b.left+now.Sub(b.at).Seconds()*b.rate.PerSecond)
	b.at = now
	if b.left < 1 {
		b.suppressed++
		return false
	}
	b.left--
	return true
}

// Log is an open trail. Its methods are safe for concurrent use. The nil Log
// discards records.
type Log struct {
	o Options

	mu      sync.Mutex
	w       io.Writer
	enc     *encoder
	seq     uint64
	prev    string
	buckets map[string]*bucket
	dropped uint64 // records that could not be written since the last that could
	err     error  // the first failure; without Drop, the trail is closed from then on
	closed  bool
}

// New starts a trail on w for one container, which a failed write ends.
func New(w io.Writer, container, mapRoot string) *Log {
	return NewLog(w, Options{Container: container, MapRoot: mapRoot})
}

// NewLog starts a trail on w. Every line goes to w in one Write, which takes all
// of it or nothing.
func NewLog(w io.Writer, o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rates == nil {
		o.Rates = DefaultRates()
	}
	return &Log{o: o, w: w, enc: newEncoder(), prev: Genesis, buckets: map[string]*bucket{}}
}

// Append completes r with number, time and chain and writes it, unless its event
// has used up its rate. An error means that what the record is about must not
// happen: after a failed write every later call fails too, because a trail with a
// hole must not look whole. With Options.Drop it counts instead, and the count is
// the next line that can be written.
func (l *Log) Append(r Record) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.o.Now()
	if !l.admit(&r, now) {
		return l.err
	}
	return l.append(r, now)
}

// admit applies the rate of r's event. l.mu is held.
func (l *Log) admit(r *Record, now time.Time) bool {
	b := l.buckets[r.Event]
	if b == nil {
		rate, limited := l.o.Rates[r.Event]
		if !limited {
			return true
		}
		b = &bucket{rate: rate, left: rate.Burst, at: now}
		l.buckets[r.Event] = b
	}
	if !b.take(now) {
		return false
	}
	r.Suppressed, b.suppressed = b.suppressed, 0
	return true
}

// append writes a record. l.mu is held.
func (l *Log) append(r Record, now time.Time) error {
	if l.err != nil {
		return l.err
	}
	if l.dropped > 0 {
		if err := l.write(Record{Event: EventDropped, Args: []string{fmt.Sprint(l.dropped)}, Reason: "the log could not take them"}, now); err != nil {
			l.dropped++
			return nil
		}
		l.dropped = 0
	}
	err := l.write(r, now)
	switch {
	case err == nil:
		return nil
	case l.o.Drop:
		l.dropped++
		return nil
	}
	l.err = fmt.Errorf("writing audit record %d: %w", l.seq+1, err)
	return l.err
}

func (l *Log) write(r Record, now time.Time) error {
	r.Seq, r.Prev = l.seq+1, l.prev
	r.Container, r.MapRoot, r.Policy = l.o.Container, l.o.MapRoot, l.o.Policy
	if r.TID == r.PID {
		r.TID = 0
	}
	r.Args, r.Path, r.Reason = clip(r.Args), cut(r.Path, maxText), cut(r.Reason, maxText)
	line, sum, err := l.enc.encode(&r, now)
	if err != nil {
		return err
	}
	if _, err := l.w.Write(line); err != nil {
		return err
	}
	l.seq, l.prev = r.Seq, sum
	return nil
}

// Dropped returns how many records could not be written and are not counted in
// the trail yet.
func (l *Log) Dropped() uint64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Close writes what the rates have kept back, and the last line. It does not
// close the writer. Later records are errors.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	now := l.o.Now()
	end := Record{Event: EventEnd}
	for _, event := range sortedEvents(l.buckets) {
		if n := l.buckets[event].suppressed; n > 0 {
			end.Args = append(end.Args, fmt.Sprintf("%s: %d more", event, n))
			end.Suppressed += n
		}
	}
	err := l.append(end, now)
	if l.err == nil {
		l.err = errClosed
	}
	return err
}

func clip(args []string) []string {
	if len(args) > maxArgs {
		args = append(args[:maxArgs:maxArgs], fmt.Sprintf("... %d more", len(args)-maxArgs))
	}
	for i, a := range args {
		if len(a) > maxArg {
			args = append([]string(nil), args...)
			args[i] = cut(a, maxArg)
		}
	}
	return args
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... %d bytes more", s[:most], len(s)-most)
}
