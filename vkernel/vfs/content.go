package vfs

import "megabinary.dev/vkernel/linux"

// contentFile is a file whose bytes stay what they were when they were checked.
type contentFile []byte

// NewContentDescription returns a description, with one reference, of the file of
// d that reads content whatever becomes of the file. It cannot be written to.
func NewContentDescription(content []byte, d *FileDescription) *FileDescription {
	return NewFileDescription(contentFile(content), d.loc, d.Flags())
}

func (f contentFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(f)) {
		return 0, nil
	}
	return copy(p, f[off:]), nil
}

// WriteAt implements File.
func (f contentFile) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }

// Release implements File.
func (f contentFile) Release() {}

// SeekEnd implements Seekable.
func (f contentFile) SeekEnd() (int64, error) { return int64(len(f)), nil }
