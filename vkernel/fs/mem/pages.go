package mem

import (
	"bytes"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// mapped is the pages of a file that is mapped shared: they, not its chunks,
// have the bytes that count. The zero value has none.
type mapped struct {
	pages vfs.Pages // nil: the file is not mapped
	size  int64     // bytes of the file that pages hold
}

// within returns how many of n bytes at off pages hold.
func (m *mapped) within(n int, off int64) int {
	if m.pages == nil || off >= m.size {
		return 0
	}
	return int(min(int64(n), m.size-off))
}

// read fills p, which must be within the pages.
func (m *mapped) read(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if err := m.pages.ReadAt(p, off); err != nil {
		return linux.EIO
	}
	return nil
}

// write writes p at off as far as pages hold it; old is the file's size before.
func (m *mapped) write(p []byte, off, old int64) error {
	if off > old {
		if err := m.zero(old, off); err != nil {
			return err
		}
	}
	if in := m.within(len(p), off); in > 0 {
		if err := m.pages.WriteAt(p[:in], off); err != nil {
			return linux.EIO
		}
	}
	return nil
}

// zero makes bytes [from, to) zero as far as pages hold them.
func (m *mapped) zero(from, to int64) error {
	if m.pages == nil {
		return nil
	}
	var none [4096]byte
	for to = min(to, m.size); from < to; {
		n := min(int64(len(none)), to-from)
		if err := m.pages.WriteAt(none[:n], from); err != nil {
			return linux.EIO
		}
		from += n
	}
	return nil
}

// AttachPages implements vfs.Paged.
func (f *openFile) AttachPages(pages vfs.Pages, from, to int64) error {
	f.h.fs.mu.Lock()
	defer f.h.fs.mu.Unlock()
	n := f.h.n
	buf := make([]byte, chunkSize)
	for off := from; off < min(to, n.size); {
		p := buf[:min(chunkSize, n.size-off, to-off)]
		if err := n.data.readAt(p, off); err != nil {
			return err
		}
		if err := pages.WriteAt(p, off); err != nil {
			return linux.EIO
		}
		off += int64(len(p))
	}
	f.h.pages = mapped{pages, to}
	return nil
}

// DetachPages implements vfs.Paged.
func (f *openFile) DetachPages() {
	f.h.fs.mu.Lock()
	f.h.pages = mapped{}
	f.h.fs.mu.Unlock()
}

// StorePages implements vfs.Paged.
func (f *openFile) StorePages(p []byte, off int64) error {
	fs := f.h.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if off >= f.h.n.size {
		return nil
	}
	p = p[:min(int64(len(p)), f.h.n.size-off)]
	buf := make([]byte, chunkSize)
	for len(p) > 0 {
		k := int(min(int64(len(p)), chunkSize-off%chunkSize))
		if err := f.h.n.data.readAt(buf[:k], off); err != nil {
			return err
		}
		if !bytes.Equal(buf[:k], p[:k]) {
			n := fs.change(f.h)
			if n.data.growth(off, k) > fs.opts.MaxBytes-fs.used {
				return linux.ENOSPC
			}
			held := n.data.held
			err := n.data.writeAt(fs.own, p[:k], off)
			fs.used += n.data.held - held
			n.version = fs.versions.Add(1)
			n.mtime = fs.now()
			n.ctime = n.mtime
			if err != nil {
				return err
			}
		}
		p, off = p[k:], off+int64(k)
	}
	return nil
}

const writeSeals = linux.F_SEAL_WRITE | linux.F_SEAL_FUTURE_WRITE

// Seals implements vfs.Sealed.
func (h *inode) Seals() (uint32, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if !h.fs.opts.Seals || h.n.mode&linux.S_IFMT != linux.S_IFREG {
		return 0, linux.EINVAL
	}
	return h.n.seals, nil
}

// Seal implements vfs.Sealed.
func (h *inode) Seal(add uint32) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case !h.fs.opts.Seals || h.n.mode&linux.S_IFMT != linux.S_IFREG:
		return linux.EINVAL
	case h.n.seals&linux.F_SEAL_SEAL != 0:
		return linux.EPERM
	}
	if add&linux.F_SEAL_EXEC != 0 && h.n.mode&0o111 != 0 {
		add |= linux.F_SEAL_SHRINK | linux.F_SEAL_GROW | linux.F_SEAL_WRITE | linux.F_SEAL_FUTURE_WRITE
	}
	h.fs.change(h).seals |= add
	return nil
}

// checkWrite cuts a write at off to what seals allow: growing is allowed or not
// page by page.
func (n *node) checkWrite(p []byte, off int64) ([]byte, error) {
	const page = 4096
	if n.seals == 0 {
		return p, nil
	}
	if n.seals&writeSeals != 0 {
		return nil, linux.EPERM
	}
	if n.seals&linux.F_SEAL_GROW == 0 || off+int64(len(p)) <= n.size {
		return p, nil
	}
	if whole := n.size&^(page-1) - off; whole > 0 {
		return p[:whole], nil
	}
	return nil, linux.EPERM
}

// checkSize says whether seals allow a new size.
func (n *node) checkSize(size int64) error {
	if size < n.size && n.seals&linux.F_SEAL_SHRINK != 0 || size > n.size && n.seals&linux.F_SEAL_GROW != 0 {
		return linux.EPERM
	}
	return nil
}

// checkAllocate says whether seals allow fallocate(2) up to end.
func (n *node) checkAllocate(mode uint32, end int64) error {
	if mode&linux.FALLOC_FL_PUNCH_HOLE != 0 {
		if n.seals&writeSeals != 0 {
			return linux.EPERM
		}
		return nil
	}
	if end > n.size && mode&linux.FALLOC_FL_KEEP_SIZE == 0 && n.seals&linux.F_SEAL_GROW != 0 {
		return linux.EPERM
	}
	return nil
}
