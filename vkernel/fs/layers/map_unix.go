//go:build unix

package layers

import (
	"fmt"
	"os"
	"syscall"
)

// mapFile maps n bytes of a file at an offset for reading.
func mapFile(f *os.File, off int64, n int) ([]byte, func() error, error) {
	head := int(off % int64(os.Getpagesize()))
	b, err := syscall.Mmap(int(f.Fd()), off-int64(head), head+n, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping a layer: %w", err)
	}
	return b[head : head+n : head+n], func() error { return syscall.Munmap(b) }, nil
}
