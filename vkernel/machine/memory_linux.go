package machine

import (
	"encoding/binary"
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"megabinary.dev/sdk/guestabi"
)

// reserve maps n bytes of zeros that take no memory until they are touched.
func reserve(n int) ([]byte, func([]byte) error, error) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	p, err := unix.MmapPtr(-1, 0, nil, reservedSpace, unix.PROT_NONE, flags)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	unmap := func([]byte) error { return os.NewSyscallError("munmap", unix.MunmapPtr(p, reservedSpace)) }
	if _, err := unix.MmapPtr(-1, 0, p, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("mmap", err), unmap(nil))
	}
	return unsafe.Slice((*byte)(p), n), unmap, nil
}

// reservedSpace is how much address space a memory has: all that native code
// can name by a linear address of 32 bits and an offset. What is not memory
// faults.
const reservedSpace = 4<<30 + guestabi.NativeMaxOffset

// discard makes b, whole host pages, zero.
func discard(b []byte) error {
	return os.NewSyscallError("madvise", unix.Madvise(b, unix.MADV_DONTNEED))
}

// anonymous replaces the pages of b by zeros.
func anonymous(b []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return os.NewSyscallError("mmap", err)
}

func hostPage() int { return os.Getpagesize() }

// touchMap tells which pages of this process were ever touched: those in memory
// and those swapped out, but for pages of files that were not written. It asks the kernel by the ioctl PAGEMAP_SCAN (Linux
// 6.7), else by reading /proc/self/pagemap; without either every page counts as
// touched, and pages of zeros are skipped one by one.
//
// Source: Linux, Documentation/admin-guide/mm/pagemap.rst.
type touchMap struct {
	file   *os.File
	shared bool // file is not closed
	files  bool // pages of files count, too
	noScan bool
	buf    []byte // pagemap entries, see counts
}

func newTouchMap() *touchMap {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return &touchMap{}
	}
	return &touchMap{file: f}
}

func (t *touchMap) close() {
	if t.file != nil && !t.shared {
		_ = t.file.Close() // opened for reading
	}
}

// share returns a map of its own that uses t's open file.
func (t *touchMap) share() *touchMap { return &touchMap{file: t.file, shared: true} }

// all returns what was touched of mem. It fails if that cannot be found out in
// a time that does not depend on the size of mem.
func (t *touchMap) all(mem []byte) ([]Range, bool) {
	if t.file == nil {
		return nil, false
	}
	var ranges []Range
	_, ok := t.scan(mem, Range{0, uint64(len(mem))}, func(r Range) { ranges = append(ranges, r) })
	return ranges, ok
}

// pmScanArg is struct pm_scan_arg of linux/fs.h.
type pmScanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages        uint64
	categoryInverted, categoryMask, categoryAnyofMask, returnFlags uint64
}

// pageRegion is struct page_region of linux/fs.h.
type pageRegion struct{ start, end, categories uint64 }

const (
	pagemapScan       = 0xc060_6610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsFile        = 1 << 2
	pageIsPresent     = 1 << 3
	pageIsSwapped     = 1 << 4
	pageIsPFNZero     = 1 << 5
	regionsPerScan    = 256
	entriesPerRead    = 1 << 13
	populateAtLeast   = 8  // pages for which one call costs less than their faults
	madvPopulateWrite = 23 // MADV_POPULATE_WRITE, Linux 5.14
)

// each calls visit with the parts of r that were touched, in order.
func (t *touchMap) each(mem []byte, r Range, visit func(Range)) {
	if t.file != nil && !t.noScan {
		done, ok := t.scan(mem, r, visit)
		if ok {
			return
		}
		t.noScan = true
		r.Size -= done - r.Start
		r.Start = done
	}
	host := uint64(hostPage())
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	for r.Size > 0 {
		chunk := min(r.Size, uint64(entriesPerRead)*host-r.Start%host)
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

// scan walks r by PAGEMAP_SCAN. If it fails it returns how far it came.
func (t *touchMap) scan(mem []byte, r Range, visit func(Range)) (uint64, bool) {
	host := uint64(hostPage())
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	end := r.Start + r.Size
	var regions [regionsPerScan]pageRegion
	for at := r.Start / host * host; at < end; {
		not := uint64(pageIsPFNZero) // the shared page of zeros
		if !t.files {
			not |= pageIsFile
		}
		arg := pmScanArg{
			start: base + at, end: base + (end+host-1)/host*host,
			vec: uint64(uintptr(unsafe.Pointer(&regions))), vecLen: regionsPerScan,
			categoryInverted: not, categoryMask: not,
			categoryAnyofMask: pageIsPresent | pageIsSwapped, returnFlags: pageIsPresent,
		}
		arg.size = uint64(unsafe.Sizeof(arg))
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, t.file.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 || arg.walkEnd <= base+at {
			return max(at, r.Start), false
		}
		for _, g := range regions[:n] {
			from, to := max(g.start-base, r.Start), min(g.end-base, end)
			visit(Range{from, to - from})
		}
		at = arg.walkEnd - base
	}
	return end, true
}

// load reads the entries of n pages.
func (t *touchMap) load(page uint64, n int) bool {
	if t.file == nil {
		return false
	}
	if t.buf == nil {
		t.buf = make([]byte, entriesPerRead*8)
	}
	got, err := t.file.ReadAt(t.buf[:n*8], int64(page*8))
	return err == nil && got == n*8
}

// counts reads an entry of pagemap: bit 63 says that a page is in memory, 62 that
// it is swapped out, 61 that it is a file's.
func (t *touchMap) counts(e uint64) bool { return e>>62 != 0 && (t.files || e>>61&1 == 0) }

// withFiles makes pages of files count.
func (t *touchMap) withFiles() { t.files = true }

// exact reports whether pages that were written are told from others.
func (t *touchMap) exact() bool { return t.file != nil }

func (t *touchMap) visitLoaded(r Range, host uint64, visit func(Range)) {
	var run Range
	for i, at := 0, r.Start; at < r.Start+r.Size; i++ {
		next := min((at/host+1)*host, r.Start+r.Size)
		if t.counts(binary.LittleEndian.Uint64(t.buf[i*8:])) {
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

// populate makes the host pages that b, which is about to be written, touches
// at once instead of by one fault for each. That it fails is no harm.
func populate(b []byte) {
	host := uintptr(hostPage())
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := (host - first%host) % host
	if uintptr(len(b)) < skip+populateAtLeast*host {
		return
	}
	whole := (uintptr(len(b)) - skip) / host * host
	_ = unix.Madvise(b[skip:skip+whole], madvPopulateWrite)
}
