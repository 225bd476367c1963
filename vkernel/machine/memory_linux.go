package machine

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve maps n bytes of zeros that take no memory until they are touched.
func reserve(n int) ([]byte, func([]byte) error, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return b, unix.Munmap, nil
}

// discard makes b, whole host pages, zero.
func discard(b []byte) error {
	return os.NewSyscallError("madvise", unix.Madvise(b, unix.MADV_DONTNEED))
}

func hostPage() int { return os.Getpagesize() }

// touchMap tells which pages of this process were ever touched, by
// /proc/self/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst): bit 63
// of an entry is set if the page is in memory, bit 62 if it is swapped out.
// Without that file every page counts as touched, and pages of zeros are
// skipped one by one.
type touchMap struct {
	file *os.File
	buf  []byte
}

func newTouchMap() *touchMap {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return &touchMap{}
	}
	return &touchMap{file: f, buf: make([]byte, 1<<16)}
}

func (t *touchMap) close() {
	if t.file != nil {
		_ = t.file.Close() // opened for reading
	}
}

// each calls visit with the parts of r that were touched, in order.
func (t *touchMap) each(mem []byte, r Range, visit func(Range)) {
	host := uint64(hostPage())
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	for r.Size > 0 {
		chunk := min(r.Size, uint64(1<<13)*host-r.Start%host)
		pages := (r.Start%host + chunk + host - 1) / host
		if !t.load((base+r.Start)/host, int(pages)) {
			visitNonzero(mem, Range{r.Start, chunk}, host, visit)
		} else {
			t.visitLoaded(Range{r.Start, chunk}, host, visit)
		}
		r.Start += chunk
		r.Size -= chunk
	}
}

// load reads the entries of n pages.
func (t *touchMap) load(page uint64, n int) bool {
	if t.file == nil {
		return false
	}
	got, err := t.file.ReadAt(t.buf[:n*8], int64(page*8))
	return err == nil && got == n*8
}

func (t *touchMap) visitLoaded(r Range, host uint64, visit func(Range)) {
	var run Range
	for i, at := 0, r.Start; at < r.Start+r.Size; i++ {
		next := min((at/host+1)*host, r.Start+r.Size)
		if binary.LittleEndian.Uint64(t.buf[i*8:])>>62 != 0 {
			if run.Size == 0 {
				run.Start = at
			}
			run.Size += next - at
		} else if run.Size > 0 {
			visit(run)
			run.Size = 0
		}
		at = next
	}
	if run.Size > 0 {
		visit(run)
	}
}
