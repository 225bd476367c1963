package wasm

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// errTruncated is the fault of input that ends too early.
var errTruncated = errors.New("unexpected end")

// reader reads the binary format. The first fault sticks: later reads return
// zero, so that callers check it where they need to.
type reader struct {
	data []byte
	pos  int
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: %w", r.pos, err)
		r.pos = len(r.data)
	}
}

func (r *reader) failf(format string, args ...any) { r.fail(fmt.Errorf(format, args...)) }

func (r *reader) done() bool { return r.pos >= len(r.data) }

func (r *reader) left() int { return len(r.data) - r.pos }

func (r *reader) byte() byte {
	if r.done() {
		r.fail(errTruncated)
		return 0
	}
	r.pos++
	return r.data[r.pos-1]
}

// bytes returns the next n bytes, which share memory with the input.
func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail(errTruncated)
		return nil
	}
	b := r.data[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// u32 reads an unsigned LEB of at most 5 bytes.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			if v>>32 != 0 {
				r.failf("number exceeds 32 bits")
				return 0
			}
			return uint32(v)
		}
	}
	r.failf("number takes more than 5 bytes")
	return 0
}

// signed reads a signed LEB of at most that many bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c&0x80 == 0 {
			if end := shift + 7; end < 64 {
				v = v << (64 - end) >> (64 - end)
			}
			if bits < 64 && (v >= 1<<(bits-1) || v < -1<<(bits-1)) {
				r.failf("number exceeds %d bits", bits)
				return 0
			}
			return v
		}
	}
	r.failf("number takes too many bytes for %d bits", bits)
	return 0
}

// count reads the length of a vector whose elements take at least size bytes,
// so that what is allocated is bounded by the input.
func (r *reader) count(size int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.failf("vector of %d elements in %d bytes", n, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if !utf8.Valid(b) {
		r.failf("name is not UTF-8")
		return ""
	}
	return string(b)
}

// section is one section: its number and a reader of its contents.
type section struct {
	id   byte
	body reader
}

// sections calls visit with each section of a module.
func sections(module []byte, visit func(s section) error) error {
	if len(module) < len(header) || string(module[:len(header)]) != header {
		return errors.New("not a WebAssembly module of version 1")
	}
	r := reader{data: module, pos: len(header)}
	for !r.done() {
		id := r.byte()
		size := r.u32()
		end := uint64(r.pos) + uint64(size)
		if r.err == nil && end > uint64(len(module)) {
			r.failf("section %d of %d bytes: %w", id, size, errTruncated)
		}
		if r.err != nil {
			return r.err
		}
		// The body keeps its place in the module, for messages.
		if err := visit(section{id, reader{data: module[:end:end], pos: r.pos}}); err != nil {
			return err
		}
		r.pos = int(end)
	}
	return r.err
}

// FindCustom returns the contents of the first custom section called name,
// reading nothing else of the module.
func FindCustom(module []byte, name string) ([]byte, error) {
	var found []byte
	err := sections(module, func(s section) error {
		if s.id != secCustom {
			return nil
		}
		if s.body.name() == name && s.body.err == nil {
			found = s.body.data[s.body.pos:]
			return io.EOF
		}
		return s.body.err
	})
	if errors.Is(err, io.EOF) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("there is no custom section %q", name)
}

// AppendCustom returns module with a custom section added at its end.
func AppendCustom(module []byte, c Custom) []byte {
	return appendCustom(append(make([]byte, 0, len(module)+len(c.Bytes)+64), module...), c)
}

// CutLastCustom returns module without its last section if that is the custom
// section called name, else all of module.
func CutLastCustom(module []byte, name string) ([]byte, error) {
	cut, at := len(module), len(header)
	err := sections(module, func(s section) error {
		cut = len(module)
		if s.id == secCustom && s.body.name() == name && len(s.body.data) == len(module) {
			cut = at
		}
		at = len(s.body.data)
		return s.body.err
	})
	if err != nil {
		return nil, err
	}
	return module[:cut], nil
}
