package mm

import (
	"sync/atomic"
	"unsafe"

	"megabinary.dev/vkernel/linux"
)

// Lock implements the book-keeping of mlock(2) and munlock(2): the host's pages
// are not locked. limit is how many bytes may be locked in all.
func (as *AddressSpace) Lock(addr, length uint64, on bool, limit uint64) error {
	from := PageDown(addr)
	n := PageUp(addr + length - from)
	if addr+length < addr {
		return linux.EINVAL
	}
	if n == 0 {
		return nil
	}
	if from > as.high || n > as.high-from {
		return linux.ENOMEM
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if on && as.locked(0, from)+n+as.locked(from+n, as.high) > limit {
		return linux.ENOMEM
	}
	if !as.covered(from, from+n) || len(as.vmas) >= maxVMAs {
		return linux.ENOMEM
	}
	as.each(from, from+n, func(v *VMA) { v.Locked = on })
	return nil
}

// Populate makes the pages that are mapped in a range resident. As in mlock(2), a
// range that does not fit into an address space is empty.
func (as *AddressSpace) Populate(addr, length uint64) {
	as.mu.RLock()
	defer as.mu.RUnlock()
	from := PageDown(addr)
	end := from + PageUp(addr+length-from)
	for i := as.find(from); i < len(as.vmas) && as.vmas[i].Start < end; i++ {
		for at := max(as.vmas[i].Start, from); at < min(as.vmas[i].End, end); at += PageSize {
			word := (*uint32)(unsafe.Pointer(&as.linear(at, 4)[0]))
			atomic.AddUint32(word, 0) // a write that changes nothing, whatever the guest does meanwhile
		}
	}
}

// LockAll implements mlockall(2) and munlockall(2): current says whether what is
// mapped is locked, future whether what will be is.
func (as *AddressSpace) LockAll(current, future bool, limit uint64) error {
	as.mu.Lock()
	defer as.mu.Unlock()
	if current && as.mapped > limit {
		return linux.ENOMEM
	}
	as.lockFuture = future
	if current || !future {
		for i := range as.vmas {
			as.vmas[i].Locked = current
		}
	}
	return nil
}

// Locked returns how many bytes are locked.
func (as *AddressSpace) Locked() uint64 {
	as.mu.RLock()
	defer as.mu.RUnlock()
	return as.locked(0, as.high)
}

// locked needs mu.
func (as *AddressSpace) locked(start, end uint64) uint64 {
	sum := uint64(0)
	for i := as.find(start); i < len(as.vmas) && as.vmas[i].Start < end; i++ {
		if v := &as.vmas[i]; v.Locked {
			sum += min(v.End, end) - max(v.Start, start)
		}
	}
	return sum
}

// Seal implements mseal(2): what it covers can be neither unmapped nor changed.
func (as *AddressSpace) Seal(addr, length uint64) error {
	if addr&PageMask != 0 {
		return linux.EINVAL
	}
	n := PageUp(length)
	if n < length || addr+n < addr {
		return linux.EINVAL
	}
	if n == 0 {
		return nil
	}
	if addr > as.high || n > as.high-addr {
		return linux.ENOMEM
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if !as.covered(addr, addr+n) {
		return linux.ENOMEM
	}
	as.each(addr, addr+n, func(v *VMA) { v.Sealed = true })
	return nil
}

// sealed reports whether any of [start, end) is sealed. It needs mu.
func (as *AddressSpace) sealed(start, end uint64) bool {
	for i := as.find(start); i < len(as.vmas) && as.vmas[i].Start < end; i++ {
		if as.vmas[i].Sealed {
			return true
		}
	}
	return false
}

// adviceAllowed says whether madvise(2) takes advice for v.
func (v *VMA) adviceAllowed(advice int) error {
	anonymous := v.object == nil && (v.Name == "" || v.Name[0] == '[')
	switch advice {
	case linux.MADV_DONTNEED:
		if v.Locked {
			return linux.EINVAL
		}
	case linux.MADV_FREE:
		if v.Shared || !anonymous {
			return linux.EINVAL
		}
	case linux.MADV_MERGEABLE, linux.MADV_UNMERGEABLE:
		return linux.EINVAL // pages are not merged
	case linux.MADV_WIPEONFORK:
		if v.Shared || !anonymous {
			return linux.EINVAL
		}
	case linux.MADV_REMOVE:
		switch {
		case v.Locked || !v.Shared:
			return linux.EINVAL
		case v.ReadOnly:
			return linux.EACCES
		}
	}
	if v.Sealed && v.Prot&linux.PROT_WRITE == 0 && anonymous {
		switch advice {
		case linux.MADV_DONTNEED, linux.MADV_FREE, linux.MADV_REMOVE, linux.MADV_DONTFORK, linux.MADV_WIPEONFORK:
			return linux.EPERM
		}
	}
	return nil
}
