package mm

import (
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/pages"
)

// maxVMAs bounds the list (vm.max_map_count of Linux).
const maxVMAs = 65530

// MapOpts are the arguments of mmap(2), checked for form by the caller.
type MapOpts struct {
	Addr      uint64 // hint, or the place if Fixed
	Length    uint64
	Prot      uint32
	Fixed     bool
	NoReplace bool // with Fixed: EEXIST rather than unmapping
	Shared    bool
	ReadOnly  bool // with Shared: mprotect may not make it writable
	Locked    bool // MAP_LOCKED
	GrowsDown bool
	File      File // nil: anonymous
	Offset    uint64
	Name      string // of an anonymous mapping, for /proc/PID/maps

	NameOffset uint64 // offset that /proc/PID/maps shows with Name
}

// Map implements mmap(2) and returns the guest address.
func (as *AddressSpace) Map(o MapOpts) (uint64, error) {
	if o.Length == 0 || o.Offset&PageMask != 0 {
		return 0, linux.EINVAL
	}
	n := PageUp(o.Length)
	if n == 0 || n > as.high-as.low {
		return 0, linux.ENOMEM
	}
	obj, err := as.objectFor(o, n)
	if err != nil {
		return 0, err
	}
	as.mu.Lock()
	addr, err := as.mapLocked(o, n, obj)
	shown := false
	if p, ok := o.File.(paged); ok && err == nil && obj == nil {
		if c := p.Pages(); c != nil && o.Offset < uint64(len(c.Bytes())) {
			shown = as.show(addr, min(n, PageUp(uint64(len(c.Bytes()))-o.Offset)), c, o.Offset)
		}
	}
	as.mu.Unlock()
	if err != nil {
		if obj != nil {
			obj.unref()
		}
		return 0, err
	}
	if o.File != nil && obj == nil && !shown {
		as.fill(addr, n, o.File, o.Offset)
	}
	return addr, nil
}

// objectFor returns a reference to the object that backs a shared mapping, nil
// for a private one.
func (as *AddressSpace) objectFor(o MapOpts, n uint64) (*object, error) {
	switch {
	case !o.Shared:
		return nil, nil
	case o.File == nil:
		return as.shared.anonymous(n)
	default:
		return as.shared.file(o.File, o.Offset+n)
	}
}

func (as *AddressSpace) mapLocked(o MapOpts, n uint64, obj *object) (uint64, error) {
	addr, err := as.place(o, n)
	if err != nil {
		return 0, err
	}
	if o.Fixed && !o.NoReplace {
		if as.sealed(addr, addr+n) {
			return 0, linux.EPERM
		}
		as.remove(addr, addr+n)
	}
	if !as.fits(n) || len(as.vmas) >= maxVMAs {
		return 0, linux.ENOMEM
	}
	v := VMA{Start: addr, End: addr + n, Prot: o.Prot, Shared: o.Shared, GrowsDown: o.GrowsDown, ReadOnly: o.ReadOnly, Locked: o.Locked || as.lockFuture, Name: o.Name, Offset: o.NameOffset, object: obj}
	if o.File != nil {
		v.Offset, v.Name = o.Offset, o.File.MapName()
	} else if o.Shared && v.Name == "" {
		v.Name = "/dev/zero (deleted)" // as Linux names shared anonymous memory
	}
	return addr, as.insert(v)
}

// place decides where a mapping goes.
func (as *AddressSpace) place(o MapOpts, n uint64) (uint64, error) {
	if o.Fixed {
		switch {
		case o.Addr&PageMask != 0:
			return 0, linux.EINVAL
		case o.Addr < as.low:
			return 0, linux.EPERM // below mmap_min_addr
		case o.Addr > as.high || n > as.high-o.Addr:
			return 0, linux.ENOMEM
		case o.NoReplace && !as.isFree(o.Addr, o.Addr+n):
			return 0, linux.EEXIST
		}
		return o.Addr, nil
	}
	if hint := PageUp(o.Addr); hint >= as.low && hint < as.high && n <= as.high-hint && as.isFree(hint, hint+n) {
		return hint, nil
	}
	addr, err := as.findHole(n)
	if err != nil {
		return 0, linux.ENOMEM
	}
	return addr, nil
}

// fill reads a private file mapping's contents. Pages past the end of the file
// stay zero (on Linux they raise SIGBUS).
func (as *AddressSpace) fill(addr, n uint64, f File, off uint64) {
	b := as.linear(addr, n)
	for len(b) > 0 {
		m, err := f.ReadAt(b, int64(off))
		b, off = b[m:], off+uint64(m)
		if err != nil || m == 0 {
			return
		}
	}
}

// show makes new memory show a content's pages from off on, if that can be had.
func (as *AddressSpace) show(addr, n uint64, c *pages.Content, off uint64) bool {
	return as.mem.Show(machine.Range{Start: addr - guestabi.AddrBias, Size: n}, c, int64(off)) == nil
}

// Load puts bytes [off, off+n) of a content at addr, mapped whatever its
// permission. Whole pages are shared until they are written, if that can be had.
func (as *AddressSpace) Load(addr uint64, c *pages.Content, off, n uint64) error {
	whole := PageDown(n)
	if end := uint64(len(c.Bytes())); off+n == end {
		whole = PageUp(n) // what is behind it in the last page is zero there, too
	}
	if (addr|off)&PageMask != 0 || whole == 0 || as.allowed(addr, whole, 0) != whole {
		whole = 0
	}
	if whole > 0 {
		as.mu.Lock()
		shown := as.show(addr, whole, c, off)
		as.mu.Unlock()
		if !shown {
			whole = 0
		}
	}
	if whole >= n {
		return nil
	}
	return as.Force(addr+whole, c.Bytes()[off+whole:off+n])
}

// Unmap implements munmap(2).
func (as *AddressSpace) Unmap(addr, length uint64) error {
	n, err := as.checkRange(addr, length)
	if err != nil {
		return linux.EINVAL
	}
	if n == 0 {
		return linux.EINVAL
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.sealed(addr, addr+n) {
		return linux.EPERM
	}
	as.remove(addr, addr+n)
	return nil
}

// checkRange returns length rounded up, EINVAL if addr is not aligned and ENOMEM
// if the range leaves memory.
func (as *AddressSpace) checkRange(addr, length uint64) (uint64, error) {
	if addr&PageMask != 0 {
		return 0, linux.EINVAL
	}
	n := PageUp(length)
	if n < length || addr > as.high || n > as.high-addr {
		return 0, linux.ENOMEM
	}
	return n, nil
}

// covered reports whether [start, end) has no hole.
func (as *AddressSpace) covered(start, end uint64) bool {
	for i := as.find(start); i < len(as.vmas) && as.vmas[i].Start <= start; i++ {
		start = as.vmas[i].End
		if start >= end {
			return true
		}
	}
	return start >= end
}

// Protect implements mprotect(2). The exec controller has been asked before.
func (as *AddressSpace) Protect(addr, length uint64, prot uint32) error {
	n, err := as.checkRange(addr, length)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	// Linux changes what comes before the hole, too; a program cannot rely on
	// either.
	if !as.covered(addr, addr+n) || len(as.vmas) >= maxVMAs {
		return linux.ENOMEM
	}
	if as.sealed(addr, addr+n) {
		return linux.EPERM
	}
	if prot&linux.PROT_WRITE != 0 {
		for i := as.find(addr); i < len(as.vmas) && as.vmas[i].Start < addr+n; i++ {
			if as.vmas[i].ReadOnly {
				return linux.EACCES
			}
		}
	}
	as.each(addr, addr+n, func(v *VMA) { v.Prot = prot })
	return nil
}

// each splits at both ends, calls fn for the VMAs of [start, end) and merges.
func (as *AddressSpace) each(start, end uint64, fn func(*VMA)) {
	as.split(start)
	as.split(end)
	i := as.find(start)
	first := i
	for ; i < len(as.vmas) && as.vmas[i].Start < end; i++ {
		fn(&as.vmas[i])
	}
	for ; i >= first; i-- {
		if i < len(as.vmas) {
			as.merge(i)
		}
	}
}

// Advise implements the advice of madvise(2) that a program can observe.
func (as *AddressSpace) Advise(addr, length uint64, advice int) error {
	n, err := as.checkRange(addr, length)
	if err != nil || n == 0 {
		return err
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if !as.covered(addr, addr+n) {
		return linux.ENOMEM
	}
	for i := as.find(addr); i < len(as.vmas) && as.vmas[i].Start < addr+n; i++ {
		if err := as.vmas[i].adviceAllowed(advice); err != nil {
			return err
		}
	}
	switch advice {
	case linux.MADV_DONTNEED, linux.MADV_FREE:
		as.each(addr, addr+n, func(v *VMA) {
			if v.object == nil { // shared pages keep their contents
				from, to := max(v.Start, addr), min(v.End, addr+n)
				_ = as.mem.Reset(machine.Range{Start: from - guestabi.AddrBias, Size: to - from})
			}
		})
	case linux.MADV_REMOVE:
		as.each(addr, addr+n, func(v *VMA) { clear(as.linear(v.Start, v.End-v.Start)) })
	case linux.MADV_DONTFORK, linux.MADV_DOFORK:
		as.each(addr, addr+n, func(v *VMA) { v.DontFork = advice == linux.MADV_DONTFORK })
	case linux.MADV_WIPEONFORK, linux.MADV_KEEPONFORK:
		as.each(addr, addr+n, func(v *VMA) { v.WipeOnFork = advice == linux.MADV_WIPEONFORK })
	}
	return nil
}

// Sync implements msync(2).
func (as *AddressSpace) Sync(addr, length uint64) error {
	n, err := as.checkRange(addr, length)
	if err != nil || n == 0 {
		return err
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	for i := as.find(addr); i < len(as.vmas) && as.vmas[i].Start < addr+n; i++ {
		v := &as.vmas[i]
		if v.object != nil {
			from, to := max(v.Start, addr), min(v.End, addr+n)
			v.object.writeBack(as.linear(from, to-from), v.Offset+from-v.Start)
		}
	}
	if !as.covered(addr, addr+n) {
		return linux.ENOMEM
	}
	return nil
}

// Resident implements mincore(2): one byte a page, EINVAL, ENOMEM.
func (as *AddressSpace) Resident(addr, length uint64) ([]byte, error) {
	n, err := as.checkRange(addr, length)
	if err != nil {
		return nil, err
	}
	as.mu.RLock()
	defer as.mu.RUnlock()
	if !as.covered(addr, addr+n) {
		return nil, linux.ENOMEM
	}
	vec := make([]byte, n/PageSize)
	first := addr - guestabi.AddrBias
	err = as.mem.Resident(machine.Range{Start: first, Size: n}, func(r machine.Range) {
		for at := r.Start; at < r.Start+r.Size; at += PageSize {
			vec[(at-first)/PageSize] = 1
		}
	})
	if err != nil {
		return nil, linux.ENOMEM
	}
	return vec, nil
}

// Touched returns how many bytes of the host's memory the address space holds
// alone: pages that were written, no shared ones.
func (as *AddressSpace) Touched() uint64 {
	sum := uint64(0)
	all := machine.Range{Size: uint64(len(as.bytes))}
	// It fails only for a range outside of memory.
	_ = as.mem.Touched(all, func(r machine.Range) { sum += r.Size })
	return sum
}

// Remap implements mremap(2).
func (as *AddressSpace) Remap(addr, oldLen, newLen uint64, flags uint32, newAddr uint64) (uint64, error) {
	if flags&^(linux.MREMAP_MAYMOVE|linux.MREMAP_FIXED) != 0 || addr&PageMask != 0 ||
		flags&linux.MREMAP_FIXED != 0 && flags&linux.MREMAP_MAYMOVE == 0 {
		return 0, linux.EINVAL
	}
	oldN, newN := PageUp(oldLen), PageUp(newLen)
	if newN == 0 {
		return 0, linux.EINVAL
	}
	if addr > as.high || oldN > as.high-addr || newN > as.high-as.low {
		return 0, linux.EFAULT
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.sealed(addr, addr+max(oldN, 1)) || flags&linux.MREMAP_FIXED != 0 && as.sealed(newAddr, newAddr+newN) {
		return 0, linux.EPERM
	}
	i := as.find(addr)
	if i == len(as.vmas) || as.vmas[i].Start > addr || as.vmas[i].End < addr+oldN {
		return 0, linux.EFAULT
	}
	if oldN == 0 && !as.vmas[i].Shared {
		return 0, linux.EINVAL
	}
	if flags&linux.MREMAP_FIXED != 0 {
		if newAddr&PageMask != 0 || newAddr < addr+oldN && addr < newAddr+newN {
			return 0, linux.EINVAL
		}
		if newAddr < as.low || newAddr > as.high || newN > as.high-newAddr {
			return 0, linux.ENOMEM
		}
		as.remove(newAddr, newAddr+newN)
		return as.move(addr, oldN, newAddr, newN)
	}
	if newN <= oldN {
		as.remove(addr+newN, addr+oldN)
		return addr, nil
	}
	if !as.fits(newN - oldN) {
		return 0, linux.ENOMEM
	}
	if end := addr + oldN; as.vmas[i].End == end && newN-oldN <= as.high-end && oldN != 0 && as.isFree(end, addr+newN) {
		return addr, as.growUp(as.vmas[i], addr+newN)
	}
	if flags&linux.MREMAP_MAYMOVE == 0 {
		return 0, linux.ENOMEM
	}
	to, err := as.findHole(newN)
	if err != nil {
		return 0, linux.ENOMEM
	}
	return as.move(addr, oldN, to, newN)
}

// growUp extends v, a copy of a VMA of the list, to end.
func (as *AddressSpace) growUp(v VMA, end uint64) error {
	ext := v
	ext.Start, ext.End, ext.Offset = v.End, end, v.Offset+(v.End-v.Start)
	if ext.object != nil {
		if err := ext.object.grow(ext.Offset + end - ext.Start); err != nil {
			return linux.ENOMEM
		}
		ext.object.ref()
	}
	return as.insert(ext)
}

// move takes the pages of [addr, addr+oldN) to the free range at to.
func (as *AddressSpace) move(addr, oldN, to, newN uint64) (uint64, error) {
	as.split(addr)
	as.split(addr + oldN)
	v := as.vmas[as.find(addr)]
	dst := v
	dst.Start, dst.End = to, to+newN
	if dst.object != nil {
		if err := dst.object.grow(dst.Offset + newN); err != nil {
			return 0, linux.ENOMEM
		}
		dst.object.ref()
	}
	if err := as.insert(dst); err != nil {
		return 0, err
	}
	if dst.object == nil {
		if err := as.mem.Move(to-guestabi.AddrBias, addr-guestabi.AddrBias, min(oldN, newN)); err != nil {
			return 0, linux.ENOMEM
		}
	}
	if oldN != 0 {
		as.remove(addr, addr+oldN)
	}
	return to, nil
}

// Fork makes an address space like as: private pages that were touched are
// copied, shared ones are mapped. It returns, too, how many bytes were copied.
func (as *AddressSpace) Fork() (child *AddressSpace, copied uint64, err error) {
	as.mu.Lock() // also keeps threads from mapping while pages are copied
	defer as.mu.Unlock()
	var private []machine.Range // adjacent VMAs make one
	for _, v := range as.vmas {
		if v.DontFork || v.WipeOnFork || v.object != nil {
			continue
		}
		n := v.End - v.Start
		start := v.Start - guestabi.AddrBias
		if last := len(private) - 1; last >= 0 && private[last].Start+private[last].Size == start {
			private[last].Size += n
		} else {
			private = append(private, machine.Range{Start: start, Size: n})
		}
	}
	mem, copied, err := as.mem.Fork(private)
	if err != nil {
		return nil, 0, linux.ENOMEM
	}
	child = New(mem, as.shared, as.onFree)
	child.brkStart, child.brk, child.mmapTop = as.brkStart, as.brk, as.mmapTop
	child.stackStart, child.limitAS = as.stackStart, as.limitAS
	child.vmas = make([]VMA, 0, len(as.vmas)+2)
	for _, v := range as.vmas {
		if v.DontFork {
			continue
		}
		v.Locked = false // locks are not inherited
		if v.object != nil {
			if err := child.mapObject(v.Start, v.End-v.Start, v.object, v.Offset); err != nil {
				child.Release()
				return nil, 0, linux.ENOMEM
			}
			v.object.ref()
		}
		child.vmas = append(child.vmas, v)
		child.mapped += v.End - v.Start
	}
	return child, copied, nil
}

// Executable reports whether all of a range is mapped with PROT_EXEC already.
func (as *AddressSpace) Executable(addr, length uint64) bool {
	n, err := as.checkRange(addr, length)
	return err == nil && as.allowed(addr, n, linux.PROT_EXEC) == n
}
