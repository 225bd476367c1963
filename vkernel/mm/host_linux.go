package mm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostPages is memory that can be mapped at several places: a memfd.
type hostPages struct{ fd int }

func newHostPages(n uint64) (hostPages, error) {
	fd, err := unix.MemfdCreate("megabinary-shared", unix.MFD_CLOEXEC)
	if err != nil {
		return hostPages{}, fmt.Errorf("creating shared pages: %w", err)
	}
	p := hostPages{fd}
	if err := p.resize(n); err != nil {
		p.close()
		return hostPages{}, err
	}
	return p, nil
}

func (p hostPages) resize(n uint64) error {
	if err := unix.Ftruncate(p.fd, int64(n)); err != nil {
		return fmt.Errorf("sizing shared pages to %d bytes: %w", n, err)
	}
	return nil
}

// WriteAt writes b at off.
func (p hostPages) WriteAt(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(p.fd, b, off)
		if err != nil {
			return fmt.Errorf("filling shared pages: %w", err)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// ReadAt fills b from off on; what lies behind the end reads as zero.
func (p hostPages) ReadAt(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(p.fd, b, off)
		if err != nil {
			return fmt.Errorf("reading shared pages: %w", err)
		}
		if n == 0 {
			clear(b)
			return nil
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// held returns the bytes that the pages take.
func (p hostPages) held() uint64 {
	var st unix.Stat_t
	if unix.Fstat(p.fd, &st) != nil {
		return 0
	}
	return uint64(st.Blocks) * 512
}

func (p hostPages) close() { _ = unix.Close(p.fd) }

// mapObject replaces the host pages under b with o's at off.
func mapObject(b []byte, o *object, off uint64) error {
	_, err := unix.MmapPtr(o.pages.fd, int64(off), unsafe.Pointer(&b[0]), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("mapping shared pages: %w", err)
	}
	return nil
}

// unmapObject makes the pages under b private and zero.
func unmapObject(b []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&b[0]), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("mapping private pages: %w", err)
	}
	return nil
}
