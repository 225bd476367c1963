package pages

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostFile is a memfd that nobody can change any more.
type hostFile struct{ fd int }

func newHostFile(b []byte) (hostFile, error) {
	fd, err := unix.MemfdCreate("megabinary-program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return hostFile{}, fmt.Errorf("sharing pages: %w", os.NewSyscallError("memfd_create", err))
	}
	f := hostFile{fd}
	if err := f.fill(b); err != nil {
		f.close()
		return hostFile{}, fmt.Errorf("sharing pages: %w", err)
	}
	return f, nil
}

func (f hostFile) fill(b []byte) error {
	page := int64(os.Getpagesize())
	if err := unix.Ftruncate(f.fd, (int64(len(b))+page-1)/page*page); err != nil {
		return os.NewSyscallError("ftruncate", err)
	}
	for off := int64(0); len(b) > 0; {
		n, err := unix.Pwrite(f.fd, b, off)
		if err != nil {
			return os.NewSyscallError("pwrite", err)
		}
		b, off = b[n:], off+int64(n)
	}
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return os.NewSyscallError("fcntl(F_ADD_SEALS)", err)
}

func (f hostFile) mapTo(dst []byte, off int64) error {
	_, err := unix.MmapPtr(f.fd, off, unsafe.Pointer(unsafe.SliceData(dst)), uintptr(len(dst)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return os.NewSyscallError("mmap", err)
}

func (f hostFile) close() { _ = unix.Close(f.fd) } // nothing is buffered
