// Package proc is procfs. It knows tasks only through Kernel, which package
// taskview implements over the kernel's.
package proc

import (
	"bytes"
	"sort"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// FS is one procfs. It implements vfs.Filesystem.
type FS struct {
	kernel  Kernel
	dev     uint64
	kind    string         // of the file system
	magic   int64          // f_type of statfs
	started linux.Timespec // times of all inodes
	root    *dir
}

// New makes a procfs; dev is its st_dev.
func New(k Kernel, dev uint64) *FS {
	fs := &FS{kernel: k, dev: dev, kind: "proc", magic: linux.PROC_SUPER_MAGIC, started: linux.TimespecOf(time.Now().UnixNano())}
	fs.root = &dir{node: node{fs: fs, ino: 1, mode: linux.S_IFDIR | 0o555}}
	fs.root.list = fs.listRoot
	fs.root.lookup = fs.lookupRoot
	return fs
}

// Root implements vfs.Filesystem.
func (fs *FS) Root() vfs.Dir { return fs.root }

// Type implements vfs.Filesystem.
func (fs *FS) Type() string { return fs.kind }

// Statfs implements vfs.Filesystem.
func (fs *FS) Statfs() linux.Statfs {
	return linux.Statfs{Type: fs.magic, Bsize: 4096, Frsize: 4096, Namelen: linux.NAME_MAX}
}

// Rename implements vfs.Filesystem.
func (fs *FS) Rename(vfs.Dir, string, vfs.Dir, string, uint32) error { return linux.EPERM }

// Inode numbers: what belongs to a process has its pid above pidShift; fds and
// threads have their numbers above idShift.
const (
	idShift  = 8
	pidShift = 40
)

// node is what all inodes share.
type node struct {
	fs       *FS
	ino      uint64
	mode     uint32
	uid, gid uint32
	size     int64
}

// Stat implements vfs.Inode.
func (n *node) Stat() (linux.Stat, error) {
	st := linux.Stat{Dev: n.fs.dev, Ino: n.ino, Mode: n.mode, Nlink: 1, UID: n.uid, GID: n.gid, Size: n.size, Blksize: 1024,
		Atime: n.fs.started, Mtime: n.fs.started, Ctime: n.fs.started}
	if n.mode&linux.S_IFMT == linux.S_IFDIR {
		st.Nlink = 2
	}
	return st, nil
}

// SetAttr implements vfs.Inode: truncation, which opening for writing brings,
// does nothing.
func (n *node) SetAttr(a vfs.SetAttr) error {
	if a.Size != nil {
		return nil
	}
	return linux.EPERM
}

// Filesystem implements vfs.Inode.
func (n *node) Filesystem() vfs.Filesystem { return n.fs }

// dir is a directory.
type dir struct {
	node
	vfs.NoWriteDir
	parent *dir // nil: the root
	name   string
	list   func() []entry
	lookup func(name string) (vfs.Inode, error)
}

// entry is a name in a directory.
type entry struct {
	name string
	ino  uint64
	kind uint8
}

// Lookup implements vfs.Dir.
func (d *dir) Lookup(name string) (vfs.Inode, error) { return d.lookup(name) }

// Parent implements vfs.Dir.
func (d *dir) Parent() (vfs.Dir, string) {
	if d.parent == nil {
		return d, ""
	}
	return d.parent, d.name
}

// Create implements vfs.DirWriter: nothing can be made in procfs.
func (d *dir) Create(string, vfs.NewInode) (vfs.Inode, error) { return nil, linux.ENOENT }

// Link implements vfs.DirWriter.
func (d *dir) Link(string, vfs.Inode) error { return linux.EPERM }

// Unlink implements vfs.DirWriter.
func (d *dir) Unlink(string, bool) error { return linux.EPERM }

// CreateAnonymous implements vfs.DirWriter.
func (d *dir) CreateAnonymous(vfs.NewInode) (vfs.Inode, error) { return nil, linux.EOPNOTSUPP }

// Open implements vfs.Inode.
func (d *dir) Open(vfs.OpenRequest) (vfs.File, error) { return openDir{d}, nil }

type openDir struct{ d *dir }

func (openDir) ReadAt([]byte, int64) (int, error)  { return 0, linux.EISDIR }
func (openDir) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }
func (openDir) Release()                           {}

// ReadDir implements vfs.DirFile. Offsets are places in the list: a process
// that ends meanwhile may hide another one, as it may on Linux.
func (o openDir) ReadDir(off int64, emit func(linux.Dirent) bool) error {
	up := o.d
	if o.d.parent != nil {
		up = o.d.parent
	}
	list := append([]entry{{".", o.d.ino, linux.DT_DIR}, {"..", up.ino, linux.DT_DIR}}, o.d.list()...)
	for i := int(off); i >= 0 && i < len(list); i++ {
		e := list[i]
		if !emit(linux.Dirent{Ino: e.ino, Off: int64(i + 1), Type: e.kind, Name: e.name}) {
			return nil
		}
	}
	return nil
}

// file is a regular file whose content is made when it is read from its start.
type file struct {
	node
	read  func(c *vfs.Caller) ([]byte, error)
	write func(p []byte) error // nil: cannot be written
}

// Open implements vfs.Inode.
func (f *file) Open(r vfs.OpenRequest) (vfs.File, error) {
	return &openFile{f: f, caller: r.Caller}, nil
}

type openFile struct {
	f      *file
	caller *vfs.Caller

	mu      sync.Mutex
	content []byte
	made    bool
}

// SeekEnd implements vfs.Seekable.
func (o *openFile) SeekEnd() (int64, error) { return 0, nil }

// ReadAt implements vfs.File.
func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if off == 0 || !o.made {
		b, err := o.f.read(o.caller)
		if err != nil {
			return 0, err
		}
		o.content, o.made = b, true
	}
	if off >= int64(len(o.content)) {
		return 0, nil
	}
	return copy(p, o.content[off:]), nil
}

// WriteAt implements vfs.File.
func (o *openFile) WriteAt(p []byte, _ int64) (int, error) {
	if o.f.write == nil {
		return 0, linux.EACCES
	}
	if len(p) > 4096 {
		return 0, linux.EINVAL
	}
	return len(p), o.f.write(bytes.Clone(p))
}

// Release implements vfs.File.
func (o *openFile) Release() {}

// link is a symlink, magic if follow is set.
type link struct {
	node
	read func(c *vfs.Caller) (string, error)
}

// Open implements vfs.Inode; the walk follows or refuses links before.
func (l *link) Open(vfs.OpenRequest) (vfs.File, error) { return nil, linux.ELOOP }

// Readlink implements vfs.Symlink.
func (l *link) Readlink(c *vfs.Caller) (string, error) { return l.read(c) }

// magic is a link that leads to a place itself.
type magic struct {
	link
	follow func(c *vfs.Caller) (vfs.Location, error)
}

// Follow implements vfs.MagicLink.
func (m *magic) Follow(c *vfs.Caller) (vfs.Location, error) { return m.follow(c) }

// table is a fixed set of inodes.
type table map[string]func(ino uint64) vfs.Inode

// names returns the table's names in order; an inode's number is base plus its
// place in that order plus one.
func (t table) names() []string {
	names := make([]string, 0, len(t))
	for n := range t {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func (t table) find(base uint64, name string) (vfs.Inode, bool) {
	mk, ok := t[name]
	if !ok {
		return nil, false
	}
	return mk(base + uint64(sort.SearchStrings(t.names(), name)) + 1), true
}

func (t table) entries(base uint64) []entry {
	var list []entry
	for i, n := range t.names() {
		ino := base + uint64(i) + 1
		kind := uint8(linux.DT_REG)
		if st, err := t[n](ino).Stat(); err == nil {
			kind = linux.DirentType(st.Mode)
		}
		list = append(list, entry{n, ino, kind})
	}
	return list
}
