package mem

import (
	"io"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// openFile is an open regular file.
type openFile struct{ h *inode }

var (
	_ vfs.Seekable   = (*openFile)(nil)
	_ vfs.Appender   = (*openFile)(nil)
	_ vfs.HoleSeeker = (*openFile)(nil)
	_ vfs.Allocator  = (*openFile)(nil)
)

// ReadAt implements vfs.File.
func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	f.h.fs.mu.RLock()
	defer f.h.fs.mu.RUnlock()
	n := f.h.n
	if off >= n.size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), n.size-off)]
	f.h.fs.read.Add(uint64(len(p)))
	in := f.h.pages.within(len(p), off)
	if err := f.h.pages.read(p[:in], off); err != nil {
		return 0, err
	}
	if err := n.data.readAt(p[in:], off+int64(in)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteAt implements vfs.File.
func (f *openFile) WriteAt(p []byte, off int64) (int, error) {
	f.h.fs.mu.Lock()
	defer f.h.fs.mu.Unlock()
	return f.write(p, off)
}

// Append implements vfs.Appender.
func (f *openFile) Append(p []byte) (int, int64, error) {
	f.h.fs.mu.Lock()
	defer f.h.fs.mu.Unlock()
	off := f.h.n.size
	n, err := f.write(p, off)
	return n, off + int64(n), err
}

// write needs mu. A write that does not fit is cut, so that a full file system
// is full to the last byte.
func (f *openFile) write(p []byte, off int64) (int, error) {
	fs := f.h.fs
	if len(p) == 0 {
		return 0, nil
	}
	p, err := f.h.n.checkWrite(p, off)
	if err != nil {
		return 0, err
	}
	n := fs.change(f.h)
	for n.data.growth(off, len(p)) > fs.opts.MaxBytes-fs.used {
		// Give up a chunk at a time.
		end := (off + int64(len(p)) - 1) / chunkSize * chunkSize
		if end <= off {
			return 0, linux.ENOSPC
		}
		p = p[:end-off]
	}
	fs.written.Add(uint64(len(p)))
	held := n.data.held
	err = n.data.writeAt(fs.own, p, off)
	fs.used += n.data.held - held
	if err == nil {
		err = f.h.pages.write(p, off, n.size)
	}
	now := fs.now()
	n.version = fs.versions.Add(1)
	n.mtime, n.ctime = now, now
	if err != nil {
		return 0, err
	}
	n.size = max(n.size, off+int64(len(p)))
	return len(p), nil
}

// DropPrivileges implements vfs.Privileged.
func (f *openFile) DropPrivileges(all bool) {
	const capability = "security.capability"
	fs := f.h.fs
	drops := func() (mode uint32, caps bool) {
		n := f.h.n
		if all {
			mode = n.mode & linux.S_ISUID
			if n.mode&linux.S_IXGRP != 0 {
				mode |= n.mode & linux.S_ISGID
			}
		}
		_, caps = n.xattrs[capability]
		return mode, caps
	}
	fs.mu.RLock()
	mode, caps := drops()
	fs.mu.RUnlock()
	if mode == 0 && !caps { // nearly always: no need to lock others out
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	mode, _ = drops()
	n := fs.change(f.h)
	n.mode &^= mode
	delete(n.xattrs, capability)
}

// SeekEnd implements vfs.Seekable.
func (f *openFile) SeekEnd() (int64, error) {
	f.h.fs.mu.RLock()
	defer f.h.fs.mu.RUnlock()
	return f.h.n.size, nil
}

// SeekHole implements vfs.HoleSeeker.
func (f *openFile) SeekHole(off int64, hole bool) (int64, error) {
	f.h.fs.mu.RLock()
	defer f.h.fs.mu.RUnlock()
	n := f.h.n
	at := n.data.seekHole(off, n.size, hole)
	if !hole && at >= n.size {
		return 0, linux.ENXIO
	}
	return at, nil
}

// Allocate implements vfs.Allocator. Space is not reserved: a later write may
// still fail with ENOSPC.
func (f *openFile) Allocate(mode uint32, off, length int64) error {
	fs := f.h.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	end := off + length
	keep := mode&linux.FALLOC_FL_KEEP_SIZE != 0
	if err := f.h.n.checkAllocate(mode, end); err != nil {
		return err
	}
	n := fs.change(f.h)
	held := n.data.held
	var err error
	switch mode &^ linux.FALLOC_FL_KEEP_SIZE {
	case 0:
		if !keep && end > n.size && end-n.size > fs.opts.MaxBytes-fs.used {
			return linux.ENOSPC
		}
	case linux.FALLOC_FL_PUNCH_HOLE:
		if !keep {
			return linux.EOPNOTSUPP
		}
		err = n.data.zero(fs.own, off, min(end, n.size))
	case linux.FALLOC_FL_ZERO_RANGE:
		err = n.data.zero(fs.own, off, min(end, n.size))
	default:
		return linux.EOPNOTSUPP
	}
	fs.used += n.data.held - held
	if err == nil && mode&^linux.FALLOC_FL_KEEP_SIZE != 0 {
		err = f.h.pages.zero(off, end)
	}
	if err == nil && !keep && end > n.size {
		if err = f.h.pages.zero(n.size, end); err == nil {
			n.size = end
		}
	}
	n.version = fs.versions.Add(1)
	now := fs.now()
	n.mtime, n.ctime = now, now
	return err
}

// Sync implements vfs.Syncer: there is nowhere to sync to.
func (f *openFile) Sync() error { return nil }

// Release implements vfs.File.
func (f *openFile) Release() {
	f.h.fs.mu.Lock()
	defer f.h.fs.mu.Unlock()
	f.h.opens--
	f.h.dropIfUnused()
}

// OpenContent makes a reader of a regular file's bytes, for vfs.ContentOf.
func (f file) OpenContent() (vfs.ContentReader, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if f.n.mode&linux.S_IFMT != linux.S_IFREG {
		return nil, linux.EACCES
	}
	return reader{f.inode}, nil
}

// reader is an io.ReaderAt over a file.
type reader struct{ h *inode }

func (r reader) ReadAt(p []byte, off int64) (int, error) {
	n, err := (&openFile{r.h}).ReadAt(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (r reader) Size() int64 {
	r.h.fs.mu.RLock()
	defer r.h.fs.mu.RUnlock()
	return r.h.n.size
}

// openDir is an open directory.
type openDir struct{ h *inode }

func (openDir) ReadAt([]byte, int64) (int, error)  { return 0, linux.EISDIR }
func (openDir) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }
func (openDir) Release()                           {}
func (openDir) Sync() error                        { return nil }

// readDirBatch is how many entries are copied under the lock at a time.
const readDirBatch = 256

// ReadDir implements vfs.DirFile.
func (d openDir) ReadDir(off int64, emit func(linux.Dirent) bool) error {
	fs := d.h.fs
	fs.mu.RLock()
	n := d.h.n
	gone, parent := n.nlink == 0, n.parent
	fs.mu.RUnlock()
	if gone {
		return linux.ENOENT
	}
	if off < 1 && !emit(linux.Dirent{Ino: d.h.ino, Off: 1, Type: linux.DT_DIR, Name: "."}) {
		return nil
	}
	if off < 2 && !emit(linux.Dirent{Ino: parent, Off: 2, Type: linux.DT_DIR, Name: ".."}) {
		return nil
	}
	for off = max(off, firstCookie-1); ; {
		fs.mu.RLock()
		batch := d.h.n.names.after(off, readDirBatch)
		fs.mu.RUnlock()
		if len(batch) == 0 {
			return nil
		}
		for _, e := range batch {
			if !emit(linux.Dirent{Ino: e.ino, Off: e.cookie, Type: e.kind, Name: e.name}) {
				return nil
			}
			off = e.cookie
		}
	}
}
