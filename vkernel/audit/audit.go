// Package audit writes the trail of what ran and what was refused: JSON lines,
// each of which carries the hash of the one before, so that a line that was
// changed, dropped or put elsewhere breaks the chain.
package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Record is one line of the trail.
type Record struct {
	Seq       uint64 `json:"seq"`  // from 1
	Time      string `json:"time"` // RFC 3339 with nanoseconds, UTC
	Container string `json:"container"`
	MapRoot   string `json:"mapRoot,omitempty"` // Merkle root of the exec map in force

	Event   string   `json:"event"` // start, exec, map, fork, exit, fault, miss, panic, connect, resolve
	PID     int      `json:"pid,omitempty"`
	PPID    int      `json:"ppid,omitempty"`
	UID     int      `json:"uid"`
	Subject string   `json:"subject,omitempty"` // sha256:<hex> of the program that acts
	Path    string   `json:"path,omitempty"`    // of the file acted on, as the guest named it; connect: tcp/IP:PORT; resolve: a name
	Object  string   `json:"object,omitempty"`  // sha256:<hex> of that file's content
	Args    []string `json:"args,omitempty"`

	Verdict string `json:"verdict,omitempty"` // allow or deny
	Rule    string `json:"rule,omitempty"`    // which rule decided, such as exec.unknown-hash
	Reason  string `json:"reason,omitempty"`  // for a person
	Status  *int   `json:"status,omitempty"`  // event exit: wait status

	Prev string `json:"prev"` // Hash of the line before; 64 zeros in the first
	Hash string `json:"hash"` // sha256 over this line with an empty Hash
}

// Genesis is Prev of the first line.
const Genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// maxArgs and maxArg bound what a guest can make the trail carry in one line.
const (
	maxArgs = 64
	maxArg  = 1024
)

// Log is an open trail. Its methods are safe for concurrent use. The nil Log
// discards records.
type Log struct {
	container string
	mapRoot   string
	now       func() time.Time

	mu   sync.Mutex
	w    io.Writer
	seq  uint64
	prev string
	err  error // the first failure; the trail is closed from then on
}

// New starts a trail on w for one container. Every line goes to w in one Write.
func New(w io.Writer, container, mapRoot string) *Log {
	return &Log{container: container, mapRoot: mapRoot, now: time.Now, w: w, prev: Genesis}
}

// Append completes r with number, time and chain and writes it. After a failed
// write every later call fails too: a trail with a hole must not look whole.
func (l *Log) Append(r Record) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	r.Seq = l.seq + 1
	r.Time = l.now().UTC().Format(time.RFC3339Nano)
	r.Container, r.MapRoot, r.Prev = l.container, l.mapRoot, l.prev
	r.Args = clip(r.Args)
	r.Hash = ""
	sum, err := digest(r)
	if err != nil {
		return fmt.Errorf("encoding audit record %d: %w", r.Seq, err)
	}
	r.Hash = sum
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding audit record %d: %w", r.Seq, err)
	}
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		l.err = fmt.Errorf("writing audit record %d: %w", r.Seq, err)
		return l.err
	}
	l.seq, l.prev = r.Seq, r.Hash
	return nil
}

func clip(args []string) []string {
	if len(args) > maxArgs {
		args = append(args[:maxArgs:maxArgs], fmt.Sprintf("... %d more", len(args)-maxArgs))
	}
	for i, a := range args {
		if len(a) > maxArg {
			args = append([]string(nil), args...)
			args[i] = fmt.Sprintf("%s... %d bytes more", a[:maxArg], len(a)-maxArg)
		}
	}
	return args
}

func digest(r Record) (string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// maxLine bounds a line that Verify reads, in bytes.
const maxLine = 1 << 20

// Verify reads a trail and returns how many lines it has. It returns an error
// that names the first line which does not continue the chain.
func Verify(r io.Reader) (lines uint64, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	prev := Genesis
	for s.Scan() {
		n := lines + 1
		var rec Record
		dec := json.NewDecoder(bytes.NewReader(s.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&rec); err != nil {
			return lines, fmt.Errorf("audit line %d: %w", n, err)
		}
		if dec.More() {
			return lines, fmt.Errorf("audit line %d: more than one value", n)
		}
		if rec.Seq != n {
			return lines, fmt.Errorf("audit line %d: has number %d: a line is missing or out of place", n, rec.Seq)
		}
		if rec.Prev != prev {
			return lines, fmt.Errorf("audit line %d: does not continue line %d", n, lines)
		}
		want := rec.Hash
		rec.Hash = ""
		got, err := digest(rec)
		if err != nil {
			return lines, fmt.Errorf("audit line %d: %w", n, err)
		}
		if got != want {
			return lines, fmt.Errorf("audit line %d: was changed: its hash is %s, not %s", n, got, want)
		}
		lines, prev = n, want
	}
	if err := s.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return lines, fmt.Errorf("audit line %d: longer than %d bytes", lines+1, maxLine)
		}
		return lines, fmt.Errorf("reading audit trail: %w", err)
	}
	return lines, nil
}
