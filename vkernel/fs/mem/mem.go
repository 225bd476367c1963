// Package mem is a file system in memory: tmpfs, and the writable root of a
// container over the files of an image. An image's tree is a [Base]: it is never
// changed, and an inode of it is copied, without its bytes, when it is changed
// first, so that its number stays.
//
// Clone is O(1): both file systems go on from the same frozen nodes and copy
// what they change, down to 64 KiB of a file's content.
package mem

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// Base is an immutable tree. Inode numbers run from 1 (the root) to MaxIno.
type Base interface {
	// Node returns an inode, or nil. The result is shared and never changes.
	Node(ino uint64) *BaseNode
	MaxIno() uint64
}

// Spaced is a Base whose content may be known by its inode numbers: no other
// tree in this process has the same space.
type Spaced interface {
	ContentSpace() uint64
}

// NewSpace returns a number for Spaced, drawn at random.
func NewSpace() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:])
}

// BaseNode is one inode of a Base.
type BaseNode struct {
	Ino      uint64
	Mode     uint32
	UID, GID uint32
	Nlink    uint32
	Rdev     uint64
	Mtime    linux.Timespec
	Size     int64
	Target   string            // of a symlink
	Xattrs   map[string]string // may be nil
	Content  io.ReaderAt       // of a regular file; may be nil if Size is 0
	// Of a directory:
	Parent  uint64
	Name    string
	Entries []BaseEntry // sorted by name
}

// BaseEntry is a name in a directory of a Base.
type BaseEntry struct {
	Name string
	Ino  uint64
	Type uint8 // linux.DT_...
}

// Options of a file system. The zero value is an empty tmpfs.
type Options struct {
	Type     string // name in /proc/mounts; "tmpfs" if empty
	Magic    int64  // f_type of statfs; TMPFS_MAGIC if 0
	Dev      uint64 // st_dev
	Mode     uint32 // of the root of an empty tree; 01777 if 0
	MaxBytes int64  // content, names and inodes; 1 GiB if 0
	Base     Base
	Seals    bool             // files may be sealed (memfd_create(2))
	Fixed    bool             // names change through Keeper only, as in devpts
	Now      func() time.Time // time.Now if nil
}

// perInode is what an inode counts against MaxBytes, besides its content.
const perInode = 512

// FS is one file system. It implements vfs.Filesystem.
type FS struct {
	opts     Options
	versions *atomic.Uint64 // last version of content; shared with clones
	space    uint64         // of vfs.Versioned; shared with clones

	mu      sync.RWMutex
	own     *layer   // what may be changed
	frozen  []*layer // what clones share, newest first
	nextIno uint64
	used    int64 // bytes counted against MaxBytes
	root    *inode

	read, written atomic.Uint64 // bytes, by ReadAt and WriteAt of files

	// handles holds the inode in use for a number, so that there is one at a
	// time. Leaf lock.
	handleMu sync.Mutex
	handles  map[uint64]weak.Pointer[inode]
}

// layer is a set of nodes by inode number.
type layer struct {
	nodes map[uint64]*node
}

// maxFrozen is how many frozen layers a lookup may have to go through before
// Clone merges them.
const maxFrozen = 12

// New makes a file system.
func New(opts Options) *FS {
	if opts.Type == "" {
		opts.Type = "tmpfs"
	}
	if opts.Magic == 0 {
		opts.Magic = linux.TMPFS_MAGIC
	}
	if opts.Mode == 0 {
		opts.Mode = 0o1777
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 1 << 30
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	fs := &FS{opts: opts, versions: new(atomic.Uint64), space: NewSpace(), own: &layer{map[uint64]*node{}}, nextIno: 2,
		handles: map[uint64]weak.Pointer[inode]{}}
	if opts.Base != nil {
		fs.nextIno = opts.Base.MaxIno() + 1
	} else {
		now := fs.now()
		fs.own.nodes[1] = &node{owner: fs.own, ino: 1, mode: linux.S_IFDIR | opts.Mode, nlink: 2, parent: 1,
			names: newNames(), mtime: now, ctime: now, atime: now}
	}
	fs.root = fs.handle(1)
	return fs
}

// Clone returns a file system with the same content, from which changes to
// either do not show in the other. Inodes of fs stay inodes of fs; see
// [FS.Counterpart].
func (fs *FS) Clone() *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.own.nodes) > 0 {
		fs.frozen = append([]*layer{fs.own}, fs.frozen...)
		if len(fs.frozen) > maxFrozen {
			fs.frozen = []*layer{merge(fs.frozen)}
		}
		fs.own = &layer{map[uint64]*node{}}
	}
	c := &FS{opts: fs.opts, versions: fs.versions, space: fs.space, own: &layer{map[uint64]*node{}}, frozen: fs.frozen[:len(fs.frozen):len(fs.frozen)],
		nextIno: fs.nextIno, used: fs.used, handles: map[uint64]weak.Pointer[inode]{}}
	c.root = c.handle(1)
	return c
}

func merge(layers []*layer) *layer {
	m := &layer{map[uint64]*node{}}
	for i := len(layers) - 1; i >= 0; i-- {
		for ino, n := range layers[i].nodes {
			m.nodes[ino] = n
		}
	}
	return m
}

// Counterpart returns the inode of fs, a clone, that stands for in, an inode of
// the file system that fs was cloned from, even if in has no name any more. It
// must be called before either has changed.
func (fs *FS) Counterpart(in vfs.Inode) (vfs.Inode, error) {
	h, ok := handleOf(in)
	if !ok {
		return nil, linux.EXDEV
	}
	h.fs.mu.RLock()
	n := h.n
	h.fs.mu.RUnlock()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n.nlink > 0 {
		return fs.handle(h.ino).typed(), nil
	}
	fs.handleMu.Lock()
	defer fs.handleMu.Unlock()
	if w, ok := fs.handles[h.ino]; ok {
		if c := w.Value(); c != nil {
			return c.typed(), nil
		}
	}
	return fs.newHandle(n).typed(), nil
}

// Root implements vfs.Filesystem.
func (fs *FS) Root() vfs.Dir { return dir{fs.root} }

// Type implements vfs.Filesystem.
func (fs *FS) Type() string { return fs.opts.Type }

// Statfs implements vfs.Filesystem.
func (fs *FS) Statfs() linux.Statfs {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	const block = 4096
	total := uint64(fs.opts.MaxBytes) / block
	free := uint64(max(0, fs.opts.MaxBytes-fs.used)) / block
	inodes := uint64(fs.opts.MaxBytes) / perInode
	return linux.Statfs{Type: fs.opts.Magic, Bsize: block, Frsize: block, Blocks: total, Bfree: free, Bavail: free,
		Files: inodes, Ffree: uint64(max(0, fs.opts.MaxBytes-fs.used)) / perInode, Namelen: linux.NAME_MAX,
		Fsid: [2]int32{int32(fs.opts.Dev), 0}}
}

// IO returns the bytes that were read from files and written to them.
func (fs *FS) IO() (read, written uint64) { return fs.read.Load(), fs.written.Load() }

// Used returns the bytes that count against Options.MaxBytes. It may be below
// zero by what was removed of the base.
func (fs *FS) Used() int64 {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.used
}

func (fs *FS) now() linux.Timespec { return linux.TimespecOf(fs.opts.Now().UnixNano()) }

// charge counts n more bytes; ENOSPC if they are too many. It needs mu.
func (fs *FS) charge(n int64) error {
	if n > 0 && fs.used+n > fs.opts.MaxBytes {
		return linux.ENOSPC
	}
	fs.used += n
	return nil
}

// lookupNode returns the newest node of ino, or nil. It needs mu (read).
func (fs *FS) lookupNode(ino uint64) *node {
	if n := fs.own.nodes[ino]; n != nil {
		return n
	}
	for _, l := range fs.frozen {
		if n := l.nodes[ino]; n != nil {
			return n
		}
	}
	if fs.opts.Base != nil {
		if b := fs.opts.Base.Node(ino); b != nil {
			return nodeOfBase(b)
		}
	}
	return nil
}

// handle returns the inode of a number that exists. It needs mu (read).
func (fs *FS) handle(ino uint64) *inode {
	fs.handleMu.Lock()
	defer fs.handleMu.Unlock()
	if w, ok := fs.handles[ino]; ok {
		if h := w.Value(); h != nil {
			return h
		}
	}
	n := fs.lookupNode(ino)
	if n == nil {
		panic("BUG: mem: a directory entry leads to no inode")
	}
	return fs.newHandle(n)
}

// newHandle needs handleMu.
func (fs *FS) newHandle(n *node) *inode {
	h := &inode{fs: fs, ino: n.ino, n: n}
	w := weak.Make(h)
	fs.handles[n.ino] = w
	if n.ino == 1 {
		return h // fs holds it: a cleanup that refers to fs would keep both for ever
	}
	runtime.AddCleanup(h, func(ino uint64) {
		fs.handleMu.Lock()
		defer fs.handleMu.Unlock()
		if fs.handles[ino] == w {
			delete(fs.handles, ino)
		}
	}, n.ino)
	return h
}

// create makes a node and its inode. It needs mu (write).
func (fs *FS) create(n vfs.NewInode, nlink uint32) (*inode, error) {
	if err := fs.charge(perInode); err != nil {
		return nil, err
	}
	now := fs.now()
	nn := &node{owner: fs.own, ino: fs.nextIno, mode: n.Mode, uid: n.UID, gid: n.GID, rdev: n.Rdev, nlink: nlink,
		atime: now, mtime: now, ctime: now, target: n.Target, version: fs.versions.Add(1)}
	if n.Mode&linux.S_IFMT == linux.S_IFLNK {
		nn.size = int64(len(n.Target))
	}
	fs.nextIno++
	if nlink > 0 {
		fs.own.nodes[nn.ino] = nn
	}
	fs.handleMu.Lock()
	defer fs.handleMu.Unlock()
	return fs.newHandle(nn), nil
}

// Rename implements vfs.Filesystem.
func (fs *FS) Rename(oldDir vfs.Dir, oldName string, newDir vfs.Dir, newName string, flags uint32) error {
	od, ok1 := oldDir.(dir)
	nd, ok2 := newDir.(dir)
	if !ok1 || !ok2 {
		return linux.EXDEV
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	e, ok := od.n.find(oldName)
	if !ok {
		return linux.ENOENT
	}
	if nd.n.nlink == 0 {
		return linux.ENOENT
	}
	if fs.opts.Fixed {
		return linux.EPERM
	}
	src := fs.handle(e.ino)
	if src.n.isDir() && fs.isBelow(nd.inode, src.ino) {
		return linux.EINVAL
	}
	old, replaces := nd.n.find(newName)
	switch {
	case replaces && flags&linux.RENAME_NOREPLACE != 0:
		return linux.EEXIST
	case flags&linux.RENAME_EXCHANGE != 0:
		if !replaces {
			return linux.ENOENT
		}
		return fs.exchange(od.inode, oldName, src, nd.inode, newName, fs.handle(old.ino))
	case replaces && old.ino == e.ino:
		return nil
	case replaces:
		if err := fs.replaceable(src, fs.handle(old.ino)); err != nil {
			return err
		}
		fs.removeName(nd.inode, newName, fs.handle(old.ino))
	}
	fs.unlinkName(od.inode, oldName, src.n.isDir())
	fs.linkName(nd.inode, newName, src)
	sn := fs.change(src)
	sn.ctime = fs.now()
	return nil
}

// isBelow says whether d is the directory ino or below it.
func (fs *FS) isBelow(d *inode, ino uint64) bool {
	for {
		if d.ino == ino {
			return true
		}
		if d.n.parent == d.ino || d.n.nlink == 0 {
			return false
		}
		d = fs.handle(d.n.parent)
	}
}

func (fs *FS) replaceable(src, victim *inode) error {
	switch {
	case victim.n.isDir() && !src.n.isDir():
		return linux.EISDIR
	case !victim.n.isDir() && src.n.isDir():
		return linux.ENOTDIR
	case victim.n.isDir() && victim.n.names.len() != 0:
		return linux.ENOTEMPTY
	}
	return nil
}

func (fs *FS) exchange(od *inode, oldName string, a *inode, nd *inode, newName string, b *inode) error {
	if b.n.isDir() && fs.isBelow(od, b.ino) {
		return linux.EINVAL
	}
	fs.unlinkName(od, oldName, a.n.isDir())
	fs.unlinkName(nd, newName, b.n.isDir())
	fs.linkName(nd, newName, a)
	fs.linkName(od, oldName, b)
	for _, h := range []*inode{a, b} {
		n := fs.change(h)
		n.ctime = fs.now()
	}
	return nil
}

// linkName enters h as name in d and updates both. It needs mu.
func (fs *FS) linkName(d *inode, name string, h *inode) {
	dn := fs.change(d)
	dn.names.add(name, h.ino, linux.DirentType(h.n.mode))
	fs.used += int64(len(name))
	now := fs.now()
	dn.mtime, dn.ctime = now, now
	if h.n.isDir() {
		dn.nlink++
		n := fs.change(h)
		n.parent, n.name = d.ino, name
	}
}

// unlinkName takes name out of d. It needs mu.
func (fs *FS) unlinkName(d *inode, name string, isDir bool) {
	dn := fs.change(d)
	dn.names.remove(name)
	fs.used -= int64(len(name))
	now := fs.now()
	dn.mtime, dn.ctime = now, now
	if isDir {
		dn.nlink--
	}
}

// removeName takes name, which leads to victim, out of d for good.
func (fs *FS) removeName(d *inode, name string, victim *inode) {
	isDir := victim.n.isDir()
	fs.unlinkName(d, name, isDir)
	n := fs.change(victim)
	n.ctime = fs.now()
	if isDir {
		n.nlink = 0
	} else {
		n.nlink--
	}
	if n.nlink == 0 {
		delete(fs.own.nodes, victim.ino)
		victim.dropIfUnused()
	}
}
