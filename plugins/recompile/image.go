package recompile

import (
	"fmt"
	"io"
	"sort"

	"megabinary.dev/sdk/artifact/programpb"
)

// image is the code of an ELF file by link-time address.
type image struct {
	segments []segment // by address
}

type segment struct {
	address uint64
	bytes   []byte
}

// newImage reads the executable segments of elf.
func newImage(elf io.ReaderAt, p *programpb.Program) (*image, error) {
	const pfX = 1
	im := &image{}
	for _, s := range p.GetSegments() {
		if s.GetFlags()&pfX == 0 {
			continue
		}
		if s.GetFileSize() > maxCode || s.GetFileOffset() > 1<<62 || s.GetFileOffset()+s.GetFileSize() > p.GetSize() {
			return nil, fmt.Errorf("reading the program: segment at %#x lies outside of the file of %d bytes", s.GetAddress(), p.GetSize())
		}
		b := make([]byte, s.GetFileSize())
		if n, err := elf.ReadAt(b, int64(s.GetFileOffset())); n < len(b) {
			return nil, fmt.Errorf("reading segment at %#x: %w", s.GetAddress(), err)
		}
		im.segments = append(im.segments, segment{s.GetAddress(), b})
	}
	sort.SliceStable(im.segments, func(i, j int) bool { return im.segments[i].address < im.segments[j].address })
	return im, nil
}

// code returns up to n bytes at addr.
func (im *image) code(addr uint64, n int) []byte {
	for _, s := range im.segments {
		if addr >= s.address && addr-s.address < uint64(len(s.bytes)) {
			rest := s.bytes[addr-s.address:]
			return rest[:min(max(n, 0), len(rest))]
		}
	}
	return nil
}
