package mem

import (
	"maps"
	"slices"
	"sync"

	"megabinary.dev/vkernel/fs/pipe"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// inode is what the rest of the kernel holds of a node. There is at most one
// per file system and number.
type inode struct {
	fs    *FS
	ino   uint64
	locks vfs.FileLocks

	n     *node  // newest version; guarded by fs.mu
	pages mapped // guarded by fs.mu
	opens int    // files open on it; guarded by fs.mu
	// dropped says that the memory was given back; guarded by fs.mu.
	dropped bool

	fifoOnce sync.Once
	fifo     *pipe.Pipe
}

// The types of inodes, by what they can do.
type (
	file struct{ *inode }
	link struct{ *inode }
	dir  struct{ *inode }
)

var (
	_ vfs.Xattrs    = file{}
	_ vfs.Versioned = file{}
	_ vfs.Lockable  = file{}
	_ vfs.Symlink   = link{}
	_ vfs.Dir       = dir{}
)

func (h *inode) typed() vfs.Inode {
	switch h.n.mode & linux.S_IFMT {
	case linux.S_IFDIR:
		return dir{h}
	case linux.S_IFLNK:
		return link{h}
	default:
		return file{h}
	}
}

func handleOf(in vfs.Inode) (*inode, bool) {
	switch in := in.(type) {
	case file:
		return in.inode, true
	case link:
		return in.inode, true
	case dir:
		return in.inode, true
	}
	return nil, false
}

// change returns h's node, copied if it is frozen. It needs mu (write).
func (fs *FS) change(h *inode) *node {
	if h.n.owner == fs.own {
		return h.n
	}
	h.n = h.n.thaw(fs.own)
	if h.n.nlink > 0 {
		fs.own.nodes[h.ino] = h.n
	}
	return h.n
}

// dropIfUnused gives back the memory of an inode without names and users. It
// needs mu (write).
func (h *inode) dropIfUnused() {
	if h.n.nlink > 0 || h.opens > 0 || h.dropped {
		return
	}
	h.dropped = true
	h.fs.used -= h.n.data.held
	if b := h.fs.opts.Base; b == nil || h.ino > b.MaxIno() {
		h.fs.used -= perInode // those of the base were never counted
	}
	if h.n.owner == h.fs.own {
		h.n.data = content{}
		h.n.size = 0
	}
}

// InUse says whether files are open on the inode, for vfs.Watches.
func (h *inode) InUse() bool {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	return h.opens > 0
}

// Filesystem implements vfs.Inode.
func (h *inode) Filesystem() vfs.Filesystem { return h.fs }

// Locks implements vfs.Lockable.
func (h *inode) Locks() *vfs.FileLocks { return &h.locks }

// ContentVersion implements vfs.Versioned. Content of the base is the same in
// every file system over it.
func (h *inode) ContentVersion() (space, version uint64) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if s, ok := h.fs.opts.Base.(Spaced); ok && h.n.version == 0 {
		return s.ContentSpace(), 0
	}
	return h.fs.space, h.n.version
}

// Stat implements vfs.Inode.
func (h *inode) Stat() (linux.Stat, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	n := h.n
	st := linux.Stat{Dev: h.fs.opts.Dev, Ino: n.ino, Mode: n.mode, Nlink: uint64(n.nlink), UID: n.uid, GID: n.gid,
		Rdev: n.rdev, Size: n.size, Blksize: 4096, Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime}
	switch n.mode & linux.S_IFMT {
	case linux.S_IFREG:
		st.Blocks = n.data.allocated(n.size) / 512
	case linux.S_IFDIR:
		st.Size, st.Blocks = 4096, 8
	}
	return st, nil
}

// SetAttr implements vfs.Inode.
func (h *inode) SetAttr(a vfs.SetAttr) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	n := h.fs.change(h)
	now := h.fs.now()
	if a.Size != nil {
		if n.mode&linux.S_IFMT != linux.S_IFREG {
			return linux.EINVAL
		}
		if err := n.checkSize(*a.Size); err != nil {
			return err
		}
		if err := h.resize(n, *a.Size); err != nil {
			return err
		}
		n.mtime = now
	}
	if a.Mode != nil {
		if n.seals&linux.F_SEAL_EXEC != 0 && (n.mode^*a.Mode)&0o111 != 0 {
			return linux.EPERM
		}
		n.mode = n.mode&linux.S_IFMT | *a.Mode&0o7777
	}
	if a.UID != nil {
		n.uid = *a.UID
	}
	if a.GID != nil {
		n.gid = *a.GID
	}
	if a.Atime != nil {
		n.atime = *a.Atime
	}
	if a.Mtime != nil {
		n.mtime = *a.Mtime
	}
	n.ctime = now
	if a.Ctime != nil {
		n.ctime = *a.Ctime
	}
	return nil
}

// resize sets the size of a file whose node n may be changed.
func (h *inode) resize(n *node, size int64) error {
	held := n.data.held
	if size < n.size {
		n.data.truncate(h.fs.own, size)
	}
	// The bytes behind the end of the last page are anything.
	if err := h.pages.zero(min(size, n.size), max(size, n.size)); err != nil {
		return err
	}
	n.size = size
	n.version = h.fs.versions.Add(1)
	h.fs.used += n.data.held - held
	return nil
}

// GetXattr implements vfs.Xattrs.
func (h *inode) GetXattr(name string) ([]byte, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	v, ok := h.n.xattrs[name]
	if !ok {
		return nil, linux.ENODATA
	}
	return []byte(v), nil
}

// SetXattr implements vfs.Xattrs.
func (h *inode) SetXattr(name string, value []byte, flags uint32) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	old, ok := h.n.xattrs[name]
	switch {
	case ok && flags&linux.XATTR_CREATE != 0:
		return linux.EEXIST
	case !ok && flags&linux.XATTR_REPLACE != 0:
		return linux.ENODATA
	}
	grow := int64(len(value) - len(old))
	if !ok {
		grow += int64(len(name))
	}
	if err := h.fs.charge(grow); err != nil {
		return err
	}
	n := h.fs.change(h)
	if n.xattrs == nil {
		n.xattrs = map[string]string{}
	}
	n.xattrs[name] = string(value)
	n.ctime = h.fs.now()
	return nil
}

// ListXattr implements vfs.Xattrs.
func (h *inode) ListXattr() ([]string, error) {
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	return slices.Sorted(maps.Keys(h.n.xattrs)), nil
}

// RemoveXattr implements vfs.Xattrs.
func (h *inode) RemoveXattr(name string) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	v, ok := h.n.xattrs[name]
	if !ok {
		return linux.ENODATA
	}
	n := h.fs.change(h)
	delete(n.xattrs, name)
	h.fs.used -= int64(len(name) + len(v))
	n.ctime = h.fs.now()
	return nil
}

// Readlink implements vfs.Symlink.
func (l link) Readlink(*vfs.Caller) (string, error) {
	l.fs.mu.RLock()
	defer l.fs.mu.RUnlock()
	return l.n.target, nil
}

// Open implements vfs.Inode.
func (h *inode) Open(r vfs.OpenRequest) (vfs.File, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch h.n.mode & linux.S_IFMT {
	case linux.S_IFREG:
		h.opens++
		return &openFile{h}, nil
	case linux.S_IFDIR:
		return openDir{h}, nil
	case linux.S_IFIFO:
		h.fifoOnce.Do(func() { h.fifo = pipe.New() })
		e, err := h.fifo.Open(r.Flags)
		if err != nil {
			return nil, err
		}
		return openFIFO{e, h}, nil
	default:
		return nil, linux.ENXIO
	}
}

// openFIFO keeps the inode, and with it the pipe, alive.
type openFIFO struct {
	*pipe.End
	inode *inode
}

// Lookup implements vfs.Dir.
func (d dir) Lookup(name string) (vfs.Inode, error) {
	d.fs.mu.RLock()
	defer d.fs.mu.RUnlock()
	e, ok := d.n.find(name)
	if !ok {
		return nil, linux.ENOENT
	}
	return d.fs.handle(e.ino).typed(), nil
}

// Parent implements vfs.Dir.
func (d dir) Parent() (vfs.Dir, string) {
	d.fs.mu.RLock()
	defer d.fs.mu.RUnlock()
	switch {
	case d.n.nlink == 0:
		return nil, ""
	case d.n.parent == d.ino:
		return d, ""
	}
	return dir{d.fs.handle(d.n.parent)}, d.n.name
}

// Create implements vfs.DirWriter.
func (d dir) Create(name string, n vfs.NewInode) (vfs.Inode, error) {
	switch {
	case !d.fs.opts.Fixed:
		return d.create(name, n)
	case n.Mode&linux.S_IFMT == linux.S_IFREG:
		return nil, linux.EACCES
	}
	return nil, linux.EPERM
}

func (d dir) create(name string, n vfs.NewInode) (vfs.Inode, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.mayAdd(name); err != nil {
		return nil, err
	}
	isDir := n.Mode&linux.S_IFMT == linux.S_IFDIR
	nlink := uint32(1)
	if isDir {
		nlink = 2
	}
	h, err := d.fs.create(n, nlink)
	if err != nil {
		return nil, err
	}
	if isDir {
		h.n.names = newNames()
		h.n.size = 4096
	}
	d.fs.linkName(d.inode, name, h)
	return h.typed(), nil
}

// mayAdd needs mu.
func (d dir) mayAdd(name string) error {
	if d.n.nlink == 0 {
		return linux.ENOENT
	}
	if _, ok := d.n.find(name); ok {
		return linux.EEXIST
	}
	return nil
}

// CreateAnonymous implements vfs.DirWriter.
func (d dir) CreateAnonymous(n vfs.NewInode) (vfs.Inode, error) {
	if d.fs.opts.Fixed {
		return nil, linux.EOPNOTSUPP
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	h, err := d.fs.create(n, 0)
	if err != nil {
		return nil, err
	}
	h.n.anonymous = true
	return h.typed(), nil
}

// Link implements vfs.DirWriter.
func (d dir) Link(name string, target vfs.Inode) error {
	h, ok := handleOf(target)
	if !ok || h.fs != d.fs {
		return linux.EXDEV
	}
	if d.fs.opts.Fixed {
		return linux.EPERM
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if h.n.nlink == 0 && !h.n.anonymous {
		return linux.ENOENT
	}
	if err := d.mayAdd(name); err != nil {
		return err
	}
	if d.fs.used+int64(len(name)) > d.fs.opts.MaxBytes {
		return linux.ENOSPC
	}
	n := d.fs.change(h)
	n.nlink++
	n.anonymous = false
	n.ctime = d.fs.now()
	d.fs.own.nodes[h.ino] = n
	d.fs.linkName(d.inode, name, h)
	return nil
}

// Unlink implements vfs.DirWriter.
func (d dir) Unlink(name string, rmdir bool) error { return d.unlink(name, rmdir, !d.fs.opts.Fixed) }

func (d dir) unlink(name string, rmdir, allowed bool) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	e, ok := d.n.find(name)
	if !ok {
		return linux.ENOENT
	}
	victim := d.fs.handle(e.ino)
	switch {
	case rmdir && !victim.n.isDir():
		return linux.ENOTDIR
	case !rmdir && victim.n.isDir():
		return linux.EISDIR
	case rmdir && victim.n.names.len() != 0:
		return linux.ENOTEMPTY
	case !allowed:
		return linux.EPERM
	}
	d.fs.removeName(d.inode, name, victim)
	return nil
}

// Keeper changes the names in the root of a file system with Options.Fixed.
type Keeper struct{ root dir }

// Keeper returns the one who may change names.
func (fs *FS) Keeper() Keeper { return Keeper{dir{fs.root}} }

// Create makes an inode called name; EEXIST if there is one.
func (k Keeper) Create(name string, n vfs.NewInode) (vfs.Inode, error) { return k.root.create(name, n) }

// Unlink removes name, which is no directory.
func (k Keeper) Unlink(name string) error { return k.root.unlink(name, false, true) }
