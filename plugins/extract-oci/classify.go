package extractoci

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"

	"megabinary.dev/sdk/artifact"
)

// prefixSize is how much of a file is read to tell its kind, in bytes. The
// program headers of all but strange ELF files lie in it.
const prefixSize = 64 << 10

// maxWhole limits the ELF files whose dynamic section is looked at; a larger
// shared object counts as a library.
const maxWhole = 512 << 20

// classify tells what the bytes of r make a file, and reads r to its end.
func classify(r io.Reader, size int64) (kind artifact.FileKind, read int64, err error) {
	prefix := make([]byte, min(prefixSize, max(size, 0)))
	n, err := io.ReadFull(r, prefix)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return "", 0, err
	}
	prefix = prefix[:n]
	content := prefix
	if isELF(prefix) && int64(n) < size && size <= maxWhole && needsWhole(prefix) {
		whole := bytes.NewBuffer(append(make([]byte, 0, size), prefix...))
		if _, err := whole.ReadFrom(io.LimitReader(r, size-int64(n))); err != nil {
			return "", 0, err
		}
		content = whole.Bytes()
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return "", 0, err
	}
	return kindOf(content, size), int64(len(content)) + rest, nil
}

// maxFirstLine is how much of a script Linux looks at (BINPRM_BUF_SIZE), in bytes.
const maxFirstLine = 256

// firstLine keeps the beginning of what is written to it.
type firstLine []byte

func (f *firstLine) Write(b []byte) (int, error) {
	*f = append(*f, b[:min(len(b), maxFirstLine-len(*f))]...)
	return len(b), nil
}

// interpreter returns the path that a script's #! line names, "" if it names
// none.
func (f firstLine) interpreter() string {
	line, _, _ := bytes.Cut(bytes.TrimPrefix(f, []byte("#!")), []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t\r\x00"); end >= 0 {
		line = line[:end]
	}
	return strings.ToValidUTF8(string(line), "\ufffd")
}

func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte("\x7fELF")) }

// Of ELF's gABI and its amd64 supplement.
const (
	headerSize     = 64
	programSize    = 56
	classELF64     = 2
	dataLSB        = 1
	machineAMD64   = 62
	typeExec       = 2
	typeDyn        = 3
	segmentLoad    = 1
	segmentDynamic = 2
	segmentInterp  = 3
	tagNull        = 0
	tagSoname      = 14
)

// segment is one program header.
type segment struct {
	kind         uint32
	offset, size uint64 // in the file
}

// segments reads the program headers out of a file's beginning; ok is false if
// they are not there.
func segments(b []byte) (all []segment, ok bool) {
	if len(b) < headerSize {
		return nil, false
	}
	offset := binary.LittleEndian.Uint64(b[32:])
	entrySize := binary.LittleEndian.Uint16(b[54:])
	count := binary.LittleEndian.Uint16(b[56:])
	if count == 0 || entrySize != programSize {
		return nil, false
	}
	length := uint64(count) * programSize
	if offset > uint64(len(b)) || uint64(len(b))-offset < length {
		return nil, false
	}
	for i := range int(count) {
		p := b[offset+uint64(i)*programSize:]
		all = append(all, segment{
			kind:   binary.LittleEndian.Uint32(p),
			offset: binary.LittleEndian.Uint64(p[8:]),
			size:   binary.LittleEndian.Uint64(p[32:]),
		})
	}
	return all, true
}

func find(all []segment, kind uint32) (segment, bool) {
	for _, s := range all {
		if s.kind == kind {
			return s, true
		}
	}
	return segment{}, false
}

// needsWhole says whether an ELF file's prefix is not enough to tell its kind.
func needsWhole(prefix []byte) bool {
	if len(prefix) < headerSize || !supported(prefix) {
		return false
	}
	all, ok := segments(prefix)
	if !ok {
		return true // the program headers lie further behind
	}
	_, interp := find(all, segmentInterp)
	return binary.LittleEndian.Uint16(prefix[16:]) == typeDyn && !interp
}

// supported says whether an ELF header is one of amd64.
func supported(b []byte) bool {
	return b[4] == classELF64 && b[5] == dataLSB && binary.LittleEndian.Uint16(b[18:]) == machineAMD64
}

// kindOf tells a file's kind by its bytes, or by as many as classify read.
func kindOf(b []byte, size int64) artifact.FileKind {
	if bytes.HasPrefix(b, []byte("#!")) {
		return artifact.KindScript
	}
	if !isELF(b) {
		return artifact.KindData
	}
	if len(b) < headerSize || !supported(b) {
		return artifact.KindELFForeign
	}
	elfType := binary.LittleEndian.Uint16(b[16:])
	if elfType != typeExec && elfType != typeDyn {
		return artifact.KindData // an object file or a core: nothing runs it
	}
	all, ok := segments(b)
	if _, load := find(all, segmentLoad); !ok || !load {
		return artifact.KindELFForeign
	}
	for _, s := range all {
		if s.kind == segmentLoad && (s.offset > uint64(size) || s.size > uint64(size)-s.offset) {
			return artifact.KindELFForeign // truncated
		}
	}
	if _, interp := find(all, segmentInterp); elfType == typeExec || interp {
		return artifact.KindELFProgram
	}
	if int64(len(b)) < size || hasSoname(b, all) {
		return artifact.KindELFLibrary
	}
	return artifact.KindELFProgram // a static PIE
}

// hasSoname says whether the dynamic section names the library.
func hasSoname(b []byte, all []segment) bool {
	dynamic, ok := find(all, segmentDynamic)
	if !ok || dynamic.offset > uint64(len(b)) || dynamic.size > uint64(len(b))-dynamic.offset {
		return false
	}
	for d := b[dynamic.offset : dynamic.offset+dynamic.size]; len(d) >= 16; d = d[16:] {
		switch binary.LittleEndian.Uint64(d) {
		case tagSoname:
			return true
		case tagNull:
			return false
		}
	}
	return false
}
