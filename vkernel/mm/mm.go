// Package mm keeps the address space of a guest process: which guest addresses
// are mapped, with what permission, and where the next mapping goes. It is
// bookkeeping over a machine.Memory, of which every byte is always accessible
// to the host: wasm code checks nothing but the end of memory, so permissions
// hold for the kernel's own accesses (EFAULT) and for what the guest is told.
//
// Pages outside of every VMA hold anything; a page is zeroed when it is mapped.
package mm

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"sync"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/pages"
)

// PageSize is the guest's page size in bytes.
const PageSize = 4096

// PageMask selects the offset within a page.
const PageMask = PageSize - 1

// PageUp rounds up to a page boundary; the result wraps to 0 at the very top.
func PageUp(n uint64) uint64 { return (n + PageMask) &^ PageMask }

// PageDown rounds down to a page boundary.
func PageDown(n uint64) uint64 { return n &^ PageMask }

// File is what a file mapping needs of a file description.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Identity is comparable and the same for all descriptions of one file.
	Identity() any
	// MapName is the path that /proc/PID/maps shows.
	MapName() string
}

// paged is a File whose bytes never change and may be shared.
type paged interface {
	Pages() *pages.Content // nil: they may not
}

// VMA is a run of pages with the same properties.
type VMA struct {
	Start, End uint64 // guest addresses, page aligned
	Prot       uint32 // linux.PROT_*
	Shared     bool
	GrowsDown  bool
	DontFork   bool
	WipeOnFork bool
	Locked     bool   // by mlock(2)
	Sealed     bool   // by mseal(2)
	ReadOnly   bool   // shared, and may not become writable
	Name       string // path, "[heap]", "[stack]" or ""
	Offset     uint64 // of Start in the file or object

	object *object // pages shared with other address spaces; nil: private
}

// FileIdentity returns the identity of the file that is mapped shared; nil for
// other memory.
func (v *VMA) FileIdentity() any {
	if v.object == nil || v.object.file == nil {
		return nil
	}
	return v.object.file.Identity()
}

// AddressSpace is the memory of one process.
type AddressSpace struct {
	mem    *machine.Memory
	bytes  []byte
	low    uint64 // lowest guest address that may be mapped
	high   uint64 // first guest address past the end
	shared *Shared

	// mu may be taken while Container.mu is not held, and nothing but
	// Shared.mu is taken under it.
	mu         sync.RWMutex
	vmas       []VMA // sorted, never overlapping, adjacent equals merged
	brkStart   uint64
	brk        uint64
	mmapTop    uint64 // mmap looks downwards from here
	stackStart uint64
	mapped     uint64 // bytes in vmas
	limitAS    uint64 // RLIMIT_AS
	lockFuture bool   // mlockall(MCL_FUTURE)
	loading    bool   // see SetLoading

	refs   int // machines over this memory; guarded by mu
	onFree func(*machine.Memory)
}

// New makes an empty address space over mem. onFree gets the memory back when
// the last user has called Release.
func New(mem *machine.Memory, shared *Shared, onFree func(*machine.Memory)) *AddressSpace {
	b := mem.Bytes()
	high := guestabi.AddrBias + PageDown(uint64(len(b))) - guestabi.TailSize
	return &AddressSpace{
		mem: mem, bytes: b, low: guestabi.MinAddr, high: high, shared: shared,
		mmapTop: high, limitAS: linux.RLIM_INFINITY, refs: 1, onFree: onFree,
	}
}

// Memory returns the linear memory.
func (as *AddressSpace) Memory() *machine.Memory { return as.mem }

// Low returns the lowest guest address that may be mapped.
func (as *AddressSpace) Low() uint64 { return as.low }

// High returns the first guest address past the end of memory.
func (as *AddressSpace) High() uint64 { return as.high }

// Acquire adds a user: a thread, or the child of a vfork.
func (as *AddressSpace) Acquire() {
	as.mu.Lock()
	as.refs++
	as.mu.Unlock()
}

// Release drops a user. The last one writes shared file mappings back and
// gives the memory up.
func (as *AddressSpace) Release() {
	as.mu.Lock()
	as.refs--
	last := as.refs == 0
	if last {
		for i := range as.vmas {
			as.dropObject(&as.vmas[i])
		}
		as.vmas = nil
	}
	as.mu.Unlock()
	if last && as.onFree != nil {
		as.onFree(as.mem)
	}
}

// linear returns the host's view of guest memory [addr, addr+n).
func (as *AddressSpace) linear(addr, n uint64) []byte {
	off := addr - guestabi.AddrBias
	return as.bytes[off : off+n : off+n]
}

// zero makes guest memory read as zero and gives its pages back to the host.
func (as *AddressSpace) zero(addr, n uint64) error {
	return as.mem.Zero(machine.Range{Start: addr - guestabi.AddrBias, Size: n})
}

// perObject is how many mappings of the host it takes to have shared pages in
// the middle of one.
const perObject = 2

// mapObject replaces guest memory by o's pages at off.
func (as *AddressSpace) mapObject(addr, n uint64, o *object, off uint64) error {
	if err := as.mem.Cut(perObject); err != nil {
		return err
	}
	as.mem.Remapped(machine.Range{Start: addr - guestabi.AddrBias, Size: n})
	if err := mapObject(as.linear(addr, n), o, off); err != nil {
		as.mem.CutAlways(-perObject)
		return err
	}
	return nil
}

// find returns the index of the first VMA that ends above addr.
func (as *AddressSpace) find(addr uint64) int {
	return sort.Search(len(as.vmas), func(i int) bool { return as.vmas[i].End > addr })
}

// allowed reports how many bytes from addr on, at most n, may be accessed with
// all permissions in prot.
func (as *AddressSpace) allowed(addr, n uint64, prot uint32) uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	at := addr
	for i := as.find(addr); i < len(as.vmas) && at-addr < n; i++ {
		v := &as.vmas[i]
		if v.Start > at || v.Prot&prot != prot {
			break
		}
		at = v.End
	}
	return min(at-addr, n)
}

// Slice returns guest memory itself. It fails with EFAULT unless all of it is
// mapped with the permission asked for.
func (as *AddressSpace) Slice(addr, n uint64, write bool) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	prot := uint32(linux.PROT_READ)
	if write {
		prot = linux.PROT_WRITE
	}
	if as.allowed(addr, n, prot) != n {
		return nil, linux.EFAULT
	}
	return as.linear(addr, n), nil
}

// SlicePrefix is Slice for the longest prefix that is accessible; it fails only
// if that is empty and n is not.
func (as *AddressSpace) SlicePrefix(addr, n uint64, write bool) ([]byte, error) {
	prot := uint32(linux.PROT_READ)
	if write {
		prot = linux.PROT_WRITE
	}
	m := as.allowed(addr, n, prot)
	if m == 0 && n != 0 {
		return nil, linux.EFAULT
	}
	if m == 0 {
		return nil, nil
	}
	return as.linear(addr, m), nil
}

// CopyIn copies from guest memory.
func (as *AddressSpace) CopyIn(addr uint64, dst []byte) error {
	b, err := as.Slice(addr, uint64(len(dst)), false)
	if err != nil {
		return err
	}
	copy(dst, b)
	return nil
}

// CopyOut copies to guest memory.
func (as *AddressSpace) CopyOut(addr uint64, src []byte) error {
	b, err := as.Slice(addr, uint64(len(src)), true)
	if err != nil {
		return err
	}
	copy(b, src)
	return nil
}

// Force copies to mapped guest memory whatever its permission, as ptrace and
// the loader do.
func (as *AddressSpace) Force(addr uint64, src []byte) error {
	if as.allowed(addr, uint64(len(src)), 0) != uint64(len(src)) {
		return linux.EFAULT
	}
	if err := as.mem.Write(addr-guestabi.AddrBias, src); err != nil {
		return linux.EFAULT
	}
	return nil
}

// CopyInString returns the string at addr without its NUL: EFAULT, or
// ENAMETOOLONG if the first max bytes hold no NUL.
func (as *AddressSpace) CopyInString(addr uint64, max int) (string, error) {
	n := as.allowed(addr, uint64(max), linux.PROT_READ)
	if n == 0 {
		return "", linux.EFAULT
	}
	b := as.linear(addr, n)
	if end := bytes.IndexByte(b, 0); end >= 0 {
		return string(b[:end]), nil
	}
	if n == uint64(max) {
		return "", linux.ENAMETOOLONG
	}
	return "", linux.EFAULT
}

// Around returns the mapping that holds addr.
func (as *AddressSpace) Around(addr uint64) (v VMA, ok bool) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	i := as.find(addr)
	if i == len(as.vmas) || as.vmas[i].Start > addr {
		return VMA{}, false
	}
	return as.vmas[i], true
}

// VMAs returns a copy of the list, sorted by address.
func (as *AddressSpace) VMAs() []VMA {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return slices.Clone(as.vmas)
}

// Mapped returns how many bytes are mapped.
func (as *AddressSpace) Mapped() uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.mapped
}

// SetLimit sets RLIMIT_AS in bytes.
func (as *AddressSpace) SetLimit(n uint64) {
	as.mu.Lock()
	as.limitAS = n
	as.mu.Unlock()
}

// Layout tells the address space where the program break begins, where mmap
// looks downwards from, and where the initial stack pointer is.
func (as *AddressSpace) Layout(brkStart, mmapTop, stackStart uint64) {
	as.mu.Lock()
	as.brkStart, as.brk = brkStart, brkStart
	as.mmapTop, as.stackStart = mmapTop, stackStart
	as.mu.Unlock()
}

// Break returns the start of the heap and the program break.
func (as *AddressSpace) Break() (start, end uint64) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.brkStart, as.brk
}

// StackStart returns the stack pointer that the program began with.
func (as *AddressSpace) StackStart() uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.stackStart
}

// SetBreak implements brk(2): it returns the new break, or the old one if addr
// cannot be had. dataLimit is RLIMIT_DATA.
func (as *AddressSpace) SetBreak(addr, dataLimit uint64) uint64 {
	as.mu.Lock()
	defer as.mu.Unlock()
	if addr < as.brkStart || addr > as.high || addr-as.brkStart > dataLimit {
		return as.brk
	}
	from, to := PageUp(as.brk), PageUp(addr)
	switch {
	case to > from:
		if !as.isFree(from, to) || !as.fits(to-from) {
			return as.brk
		}
		if err := as.insert(VMA{Start: from, End: to, Prot: linux.PROT_READ | linux.PROT_WRITE, Name: "[heap]"}); err != nil {
			return as.brk
		}
	case to < from:
		as.remove(to, from)
	}
	as.brk = addr
	return addr
}

// SetLoading says that a program is, or no longer is, loaded into new memory:
// as long as no guest code has run, what is not mapped is zero and need not be
// made so.
func (as *AddressSpace) SetLoading(on bool) {
	as.mu.Lock()
	as.loading = on
	as.mu.Unlock()
}

// isFree reports whether no VMA overlaps [start, end).
func (as *AddressSpace) isFree(start, end uint64) bool {
	i := as.find(start)
	return i == len(as.vmas) || as.vmas[i].Start >= end
}

func (as *AddressSpace) fits(n uint64) bool {
	return as.limitAS == linux.RLIM_INFINITY || as.mapped+n <= as.limitAS
}

// insert maps v, whose range must be free, and zeroes it or maps its object.
func (as *AddressSpace) insert(v VMA) error {
	if v.object != nil {
		if err := as.mapObject(v.Start, v.End-v.Start, v.object, v.Offset); err != nil {
			return linux.ENOMEM
		}
	} else if !as.loading {
		if err := as.zero(v.Start, v.End-v.Start); err != nil {
			return linux.ENOMEM
		}
	}
	i := as.find(v.Start)
	as.vmas = slices.Insert(as.vmas, i, v)
	as.mapped += v.End - v.Start
	as.merge(i)
	return nil
}

// merge joins the VMA at i with its neighbours where nothing tells them apart.
func (as *AddressSpace) merge(i int) {
	for _, j := range [2]int{i + 1, i} {
		if j <= 0 || j >= len(as.vmas) {
			continue
		}
		a, b := &as.vmas[j-1], &as.vmas[j]
		if !mergeable(a, b) {
			continue
		}
		if a.object != nil {
			as.mem.CutAlways(-perObject)
			a.object.unref() // b's reference; a's own remains
		}
		a.End = b.End
		as.vmas = slices.Delete(as.vmas, j, j+1)
	}
}

func mergeable(a, b *VMA) bool {
	backed := a.object != nil || len(a.Name) > 0 && a.Name[0] == '/'
	return a.End == b.Start && a.Prot == b.Prot && a.Shared == b.Shared && a.GrowsDown == b.GrowsDown &&
		a.DontFork == b.DontFork && a.WipeOnFork == b.WipeOnFork && a.ReadOnly == b.ReadOnly && a.Locked == b.Locked && a.Sealed == b.Sealed &&
		a.Name == b.Name && a.object == b.object &&
		(!backed || a.Offset+(a.End-a.Start) == b.Offset)
}

// split makes addr a boundary between VMAs, if any VMA covers it.
func (as *AddressSpace) split(addr uint64) {
	i := as.find(addr)
	if i == len(as.vmas) || as.vmas[i].Start >= addr {
		return
	}
	left, right := as.vmas[i], as.vmas[i]
	left.End, right.Start = addr, addr
	right.Offset += addr - left.Start
	if right.object != nil {
		as.mem.CutAlways(perObject)
		right.object.ref()
	}
	as.vmas[i] = left
	as.vmas = slices.Insert(as.vmas, i+1, right)
}

// remove unmaps [start, end).
func (as *AddressSpace) remove(start, end uint64) {
	i := as.find(start)
	if i == len(as.vmas) || as.vmas[i].Start >= end {
		return
	}
	as.split(start)
	as.split(end)
	i = as.find(start)
	j := i
	for ; j < len(as.vmas) && as.vmas[j].Start < end; j++ {
		v := &as.vmas[j]
		if v.object != nil {
			as.dropObject(v)
		} else {
			_ = as.zero(v.Start, v.End-v.Start) // gives the pages back; insert zeroes again
		}
		as.mapped -= v.End - v.Start
	}
	as.vmas = slices.Delete(as.vmas, i, j)
}

// dropObject writes v's pages back, if they are a file's, and makes its range
// private again.
func (as *AddressSpace) dropObject(v *VMA) {
	if v.object == nil {
		return
	}
	b := as.linear(v.Start, v.End-v.Start)
	if v.Prot&linux.PROT_WRITE != 0 {
		v.object.writeBack(b, v.Offset)
	}
	_ = unmapObject(b)
	as.mem.CutAlways(-perObject)
	v.object.unref()
	v.object = nil
}

// errNoRange means that there is no hole of the size asked for.
var errNoRange = errors.New("no free address range")

// findHole returns the highest free range of n bytes below mmapTop.
func (as *AddressSpace) findHole(n uint64) (uint64, error) {
	top := as.mmapTop
	for i := len(as.vmas) - 1; i >= -1; i-- {
		bottom := as.low
		if i >= 0 {
			bottom = as.vmas[i].End
		}
		// Nothing goes below the break: the heap grows there.
		bottom = max(bottom, PageUp(as.brk))
		if top > bottom && top-bottom >= n {
			return top - n, nil
		}
		if i >= 0 {
			top = min(top, as.vmas[i].Start)
		}
	}
	// As a last resort the range below the program is used, too.
	top = as.mmapTop
	for i := len(as.vmas) - 1; i >= -1; i-- {
		bottom := as.low
		if i >= 0 {
			bottom = as.vmas[i].End
		}
		if top > bottom && top-bottom >= n {
			return top - n, nil
		}
		if i >= 0 {
			top = min(top, as.vmas[i].Start)
		}
	}
	return 0, errNoRange
}

// TryAcquire adds a user unless the last one has gone.
func (as *AddressSpace) TryAcquire() bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.refs == 0 {
		return false
	}
	as.refs++
	return true
}

// Users returns how many tasks share the address space.
func (as *AddressSpace) Users() int {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.refs
}

// SharedObject returns the object, and the offset in it, that backs addr if that
// is shared memory. Objects are comparable.
func (as *AddressSpace) SharedObject(addr uint64) (obj any, off uint64, ok bool) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	i := as.find(addr)
	if i == len(as.vmas) || as.vmas[i].Start > addr || as.vmas[i].object == nil {
		return nil, 0, false
	}
	return as.vmas[i].object, as.vmas[i].Offset + addr - as.vmas[i].Start, true
}
