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
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLine bounds a line that is read, in bytes: more than all that clip lets
// through, escaped.
const maxLine = 1 << 20

// Reader reads a trail and checks its chain on the way.
type Reader struct {
	s    *bufio.Scanner
	raw  []byte
	seq  uint64
	prev string
	any  bool // seq and prev are those of whatever line comes first
	last string
}

// NewReader reads a trail from its first line.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &Reader{s: s, prev: Genesis}
}

// FromAnywhere lets the trail begin with any line: those before it are gone.
func (r *Reader) FromAnywhere() *Reader {
	r.any = true
	return r
}

// Next returns the next record. At the end it returns io.EOF; any other error
// names the line which does not continue the chain.
func (r *Reader) Next() (Record, error) {
	if !r.s.Scan() {
		err := r.s.Err()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			err = fmt.Errorf("audit line %d: longer than %d bytes", r.seq+1, maxLine)
		case err != nil:
			err = fmt.Errorf("reading audit trail: %w", err)
		default:
			err = io.EOF
		}
		return Record{}, err
	}
	n := r.seq + 1
	r.raw = r.s.Bytes()
	rec, err := parseLine(r.raw)
	switch {
	case err != nil:
		return rec, fmt.Errorf("audit line %d: %w", n, err)
	case r.any && rec.Seq > 0:
		r.any, r.seq, r.prev = false, rec.Seq-1, rec.Prev
	case rec.Seq != n:
		return rec, fmt.Errorf("audit line %d: has number %d: a line is missing or out of place", n, rec.Seq)
	case rec.Prev != r.prev:
		return rec, fmt.Errorf("audit line %d: does not continue line %d", n, r.seq)
	}
	r.seq, r.prev, r.last = rec.Seq, rec.Hash, rec.Event
	return rec, nil
}

// Line returns the line of the last record as it stands in the trail, without
// its line feed. It is valid until the next call of Next.
func (r *Reader) Line() []byte { return r.raw }

// Ended says whether the last line read is the last that a container writes.
func (r *Reader) Ended() bool { return r.last == EventEnd }

// parseLine reads a line and checks its own hash.
func parseLine(line []byte) (Record, error) {
	var rec Record
	cut := len(line) - len(tail) + 1 - hex.EncodedLen(sha256.Size) - len(seal)
	if cut <= 0 || string(line[cut:cut+len(seal)]) != seal || !bytes.HasSuffix(line, []byte(tail[:2])) {
		return rec, errors.New("it does not end in its hash")
	}
	claimed := string(line[cut+len(seal) : len(line)-2])
	sum := sha256.New()
	sum.Write(line[:cut])
	sum.Write([]byte("}"))
	if got := hex.EncodeToString(sum.Sum(nil)); got != claimed {
		return rec, fmt.Errorf("was changed: its hash is %s, not %s", got, claimed)
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		return rec, err
	}
	if dec.More() {
		return rec, errors.New("more than one value")
	}
	return rec, nil
}

// Verify reads a trail and returns how many lines it has. It returns an error
// that names the first line which does not continue the chain.
func Verify(r io.Reader) (lines uint64, err error) {
	in := NewReader(r)
	for {
		if _, err := in.Next(); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return lines, err
		}
		lines++
	}
}

// Files returns the files of a trail that was rotated, oldest first, name last.
func Files(name string) ([]string, error) {
	old, err := filepath.Glob(escapeGlob(name) + ".[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("looking for the parts of %s: %w", name, err)
	}
	old = slices.DeleteFunc(old, func(f string) bool {
		return len(f) != len(name)+1+partDigits || strings.Trim(f[len(name)+1:], "0123456789") != ""
	})
	slices.Sort(old)
	return append(old, name), nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(s)
}

// Open opens a trail with all the parts that rotation has left of it. first says
// whether its first line is there.
func Open(name string) (r *Reader, closer io.Closer, err error) {
	names, err := Files(name)
	if err != nil {
		return nil, nil, err
	}
	var files closers
	var readers []io.Reader
	for _, n := range names {
		f, err := os.Open(n)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("opening the audit trail: %w", err), files.Close())
		}
		files = append(files, f)
		readers = append(readers, f)
	}
	r = NewReader(io.MultiReader(readers...))
	if len(names) > 1 && !strings.HasSuffix(names[0], "."+partName(1)) {
		r.FromAnywhere()
	}
	return r, files, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, f := range c {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
