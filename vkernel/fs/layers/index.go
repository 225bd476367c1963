package layers

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"sort"
	"strings"

	"megabinary.dev/vkernel/linux"
)

// index is what a layer's tar says, in its order.
type index struct {
	tarSize int64
	entries []record
}

// record is one entry of a tar.
type record struct {
	path     string // clean, relative; "." for the root
	mode     uint32 // with type; 0 for a hard link
	uid, gid uint32
	mtime    linux.Timespec
	size     int64
	offset   int64  // of the content in the tar
	link     string // target of a symlink, or clean path of a hard link
	rdev     uint64
	xattrs   [][2]string // sorted by name
}

// maxPath bounds a name in a tar, bytes.
const maxPath = 4096

// xattrPrefix is how PAX records carry extended attributes.
const xattrPrefix = "SCHILY.xattr."

// indexTar reads the headers of a tar of size bytes.
func indexTar(r io.ReaderAt, size int64, limits Limits) (*index, error) {
	// The section reader can seek, so contents are skipped; its own offset is
	// where the tar reader stands.
	s := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(s)
	ix := &index{tarSize: size}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return ix, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading tar entry %d: %w", len(ix.entries), err)
		}
		if len(ix.entries) >= limits.Entries {
			return nil, &LimitError{fmt.Sprintf("layer has more than %d entries", limits.Entries)}
		}
		off, err := s.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		rec, err := recordOf(h, off)
		if err != nil {
			return nil, fmt.Errorf("tar entry %d (%q): %w", len(ix.entries), shorten(h.Name), err)
		}
		if rec.mode&linux.S_IFMT == linux.S_IFREG && (rec.size < 0 || rec.offset > size || rec.size > size-rec.offset) {
			return nil, fmt.Errorf("tar entry %d (%q): %w", len(ix.entries), shorten(h.Name), io.ErrUnexpectedEOF)
		}
		ix.entries = append(ix.entries, rec)
	}
}

func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

func recordOf(h *tar.Header, off int64) (record, error) {
	name, err := cleanName(h.Name)
	if err != nil {
		return record{}, err
	}
	if h.ModTime.Unix() < -1<<40 || h.ModTime.Unix() > 1<<40 {
		return record{}, fmt.Errorf("time %v is out of range", h.ModTime)
	}
	rec := record{path: name, uid: uint32(h.Uid), gid: uint32(h.Gid), link: h.Linkname,
		mtime: linux.Timespec{Sec: h.ModTime.Unix(), Nsec: int64(h.ModTime.Nanosecond())}}
	mode := uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont: //nolint:staticcheck // old tars have TypeRegA
		for k := range h.PAXRecords {
			if strings.HasPrefix(k, "GNU.sparse.") {
				return record{}, errSparse
			}
		}
		rec.mode, rec.size, rec.offset = linux.S_IFREG|mode, h.Size, off
	case tar.TypeGNUSparse:
		return record{}, errSparse
	case tar.TypeDir:
		rec.mode = linux.S_IFDIR | mode
	case tar.TypeSymlink:
		rec.mode = linux.S_IFLNK | 0o777
		if h.Linkname == "" || len(h.Linkname) >= maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return record{}, errors.New("target of symlink is empty or too long")
		}
	case tar.TypeLink:
		if rec.link, err = cleanName(h.Linkname); err != nil {
			return record{}, fmt.Errorf("hard link to %q: %w", shorten(h.Linkname), err)
		}
	case tar.TypeChar:
		rec.mode, rec.rdev = linux.S_IFCHR|mode, linux.MakeDev(uint32(h.Devmajor), uint32(h.Devminor))
	case tar.TypeBlock:
		rec.mode, rec.rdev = linux.S_IFBLK|mode, linux.MakeDev(uint32(h.Devmajor), uint32(h.Devminor))
	case tar.TypeFifo:
		rec.mode = linux.S_IFIFO | mode
	default:
		return record{}, fmt.Errorf("type %q is not known", h.Typeflag)
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrPrefix); ok {
			if name == "" || len(name) > linux.XATTR_NAME_MAX || len(v) > linux.XATTR_SIZE_MAX {
				return record{}, fmt.Errorf("extended attribute %q is too long", shorten(name))
			}
			rec.xattrs = append(rec.xattrs, [2]string{name, v})
		}
	}
	sort.Slice(rec.xattrs, func(i, j int) bool { return rec.xattrs[i][0] < rec.xattrs[j][0] })
	return rec, nil
}

var errSparse = errors.New("sparse files in layers are not supported: write the layer without tar --sparse")

// cleanName returns a tar's name as a clean path relative to the root. Names
// that point above it are refused, not bent.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("name is empty")
	case len(name) >= maxPath:
		return "", errors.New("name is too long")
	case strings.IndexByte(name, 0) >= 0:
		return "", errors.New("name holds a NUL byte")
	}
	depth := 0
	for _, part := range strings.Split(name, "/") {
		switch {
		case part == "..":
			return "", errors.New("name leads out of the layer with ..")
		case len(part) > linux.NAME_MAX:
			return "", errors.New("a part of the name is longer than 255 bytes")
		}
		if depth++; depth > 512 {
			return "", errors.New("name is nested too deeply")
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		clean = "."
	}
	return clean, nil
}

// indexMagic begins an index file; its last byte is the version.
const indexMagic = "mblayer\x01"

// encode writes the index: magic, CRC-32C of the rest, size of the tar, number
// of records, records. Numbers are varints, strings have their length before
// them.
func (ix *index) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(ix.tarSize))
	b = binary.AppendUvarint(b, uint64(len(ix.entries)))
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for i := range ix.entries {
		r := &ix.entries[i]
		str(r.path)
		for _, v := range []uint64{uint64(r.mode), uint64(r.uid), uint64(r.gid), uint64(r.size), uint64(r.offset), r.rdev, uint64(r.mtime.Nsec)} {
			b = binary.AppendUvarint(b, v)
		}
		b = binary.AppendVarint(b, r.mtime.Sec)
		str(r.link)
		b = binary.AppendUvarint(b, uint64(len(r.xattrs)))
		for _, x := range r.xattrs {
			str(x[0])
			str(x[1])
		}
	}
	head := binary.LittleEndian.AppendUint32([]byte(indexMagic), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return append(head, b...)
}

// decoder reads what encode wrote; after an error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

var errIndex = errors.New("layer index is damaged")

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.err, d.b = errIndex, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.err, d.b = errIndex, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.err, d.b = errIndex, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// decodeIndex checks all that the builder relies on, so that a damaged file is
// an error here.
func decodeIndex(raw []byte, limits Limits) (*index, error) {
	if len(raw) < len(indexMagic)+4 || string(raw[:len(indexMagic)]) != indexMagic {
		return nil, errIndex
	}
	sum := binary.LittleEndian.Uint32(raw[len(indexMagic):])
	d := &decoder{b: raw[len(indexMagic)+4:]}
	if crc32.Checksum(d.b, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, errIndex
	}
	ix := &index{tarSize: int64(d.uint())}
	n := d.uint()
	if n > uint64(limits.Entries) || n > uint64(len(d.b)) {
		return nil, errIndex
	}
	ix.entries = make([]record, 0, n)
	for range n {
		r := record{path: d.str()}
		r.mode, r.uid, r.gid = uint32(d.uint()), uint32(d.uint()), uint32(d.uint())
		r.size, r.offset, r.rdev = int64(d.uint()), int64(d.uint()), d.uint()
		r.mtime.Nsec = int64(d.uint())
		r.mtime.Sec = d.int()
		r.link = d.str()
		xattrs := d.uint()
		if xattrs > uint64(len(d.b)) {
			return nil, errIndex
		}
		for range xattrs {
			r.xattrs = append(r.xattrs, [2]string{d.str(), d.str()})
		}
		if d.err != nil {
			return nil, d.err
		}
		if clean, err := cleanName(r.path); err != nil || clean != r.path ||
			r.size < 0 || r.offset < 0 || r.offset > ix.tarSize || r.size > ix.tarSize-r.offset {
			return nil, errIndex
		}
		ix.entries = append(ix.entries, r)
	}
	if len(d.b) != 0 {
		return nil, errIndex
	}
	return ix, nil
}
