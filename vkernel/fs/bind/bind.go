// Package bind shows a directory of the host to a guest. Every access goes
// through os.Root, so that no symlink, and no race with one, leads out of it.
//
// Inodes are names: what is renamed on the host while it is open keeps working,
// what is only looked up does not. Files can change without notice, so they have
// no content version and are hashed anew at each exec.
package bind

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// FS is one bound directory. It implements vfs.Filesystem.
type FS struct {
	root     *os.Root
	dev      uint64
	readOnly bool
	locks    lockTable
}

// New binds a directory of the host; dev is its st_dev in the guest. Close
// releases it.
func New(hostDir string, dev uint64, readOnly bool) (*FS, error) {
	root, err := os.OpenRoot(hostDir)
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w", hostDir, err)
	}
	return &FS{root: root, dev: dev, readOnly: readOnly}, nil
}

// Close gives up the directory.
func (f *FS) Close() error { return f.root.Close() }

// Root implements vfs.Filesystem.
func (f *FS) Root() vfs.Dir { return dir{inode{f, "."}} }

// Type implements vfs.Filesystem.
func (f *FS) Type() string { return "bind" }

// Statfs implements vfs.Filesystem; the host's space is not told.
func (f *FS) Statfs() linux.Statfs {
	const plenty = 1 << 30 // blocks
	return linux.Statfs{Type: linux.EXT4_SUPER_MAGIC, Bsize: 4096, Frsize: 4096, Blocks: plenty, Bfree: plenty / 2,
		Bavail: plenty / 2, Files: plenty, Ffree: plenty / 2, Namelen: linux.NAME_MAX}
}

// Rename implements vfs.Filesystem.
func (f *FS) Rename(oldDir vfs.Dir, oldName string, newDir vfs.Dir, newName string, flags uint32) error {
	od, ok1 := oldDir.(dir)
	nd, ok2 := newDir.(dir)
	if !ok1 || !ok2 {
		return linux.EXDEV
	}
	if f.readOnly {
		return linux.EROFS
	}
	if flags&linux.RENAME_EXCHANGE != 0 {
		return linux.EINVAL
	}
	to := path.Join(nd.name, newName)
	if flags&linux.RENAME_NOREPLACE != 0 {
		if _, err := f.root.Lstat(to); err == nil {
			return linux.EEXIST
		}
	}
	return errnoOf(f.root.Rename(path.Join(od.name, oldName), to))
}

// inode names a file of the host below the root.
type inode struct {
	fs   *FS
	name string // clean, relative; "." for the root
}

type (
	dir  struct{ inode }
	link struct{ inode }
	file struct{ inode }
)

var (
	_ vfs.Dir      = dir{}
	_ vfs.Symlink  = link{}
	_ vfs.Lockable = file{}
)

// Filesystem implements vfs.Inode.
func (n inode) Filesystem() vfs.Filesystem { return n.fs }

// Stat implements vfs.Inode.
func (n inode) Stat() (linux.Stat, error) {
	fi, err := n.fs.root.Lstat(n.name)
	if err != nil {
		return linux.Stat{}, errnoOf(err)
	}
	return n.fs.statOf(n.name, fi), nil
}

func (f *FS) statOf(name string, fi fs.FileInfo) linux.Stat {
	when := linux.TimespecOf(fi.ModTime().UnixNano())
	st := linux.Stat{Ino: nameIno(name), Nlink: 1, Mode: modeOf(fi.Mode()), Size: fi.Size(), Blksize: 4096,
		Blocks: (fi.Size() + 511) / 512, Atime: when, Mtime: when, Ctime: when}
	hostStat(fi, &st)
	st.Dev = f.dev
	return st
}

// nameIno is the inode number where the host has none: FNV-1a of the name.
func nameIno(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h>>1 | 1
}

// modeOf converts a mode.
func modeOf(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, b := range []struct {
		from fs.FileMode
		to   uint32
	}{{fs.ModeSetuid, linux.S_ISUID}, {fs.ModeSetgid, linux.S_ISGID}, {fs.ModeSticky, linux.S_ISVTX}} {
		if m&b.from != 0 {
			mode |= b.to
		}
	}
	switch {
	case m.IsDir():
		return mode | linux.S_IFDIR
	case m&fs.ModeSymlink != 0:
		return mode | linux.S_IFLNK
	case m&fs.ModeNamedPipe != 0:
		return mode | linux.S_IFIFO
	case m&fs.ModeSocket != 0:
		return mode | linux.S_IFSOCK
	case m&fs.ModeCharDevice != 0:
		return mode | linux.S_IFCHR
	case m&fs.ModeDevice != 0:
		return mode | linux.S_IFBLK
	default:
		return mode | linux.S_IFREG
	}
}

func hostMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	if mode&linux.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if mode&linux.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if mode&linux.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// SetAttr implements vfs.Inode.
func (n inode) SetAttr(a vfs.SetAttr) error {
	if n.fs.readOnly {
		return linux.EROFS
	}
	root := n.fs.root
	if a.Size != nil {
		f, err := root.OpenFile(n.name, os.O_WRONLY, 0)
		if err != nil {
			return errnoOf(err)
		}
		err = errors.Join(f.Truncate(*a.Size), f.Close())
		if err != nil {
			return errnoOf(err)
		}
	}
	if a.UID != nil || a.GID != nil {
		uid, gid := -1, -1
		if a.UID != nil {
			uid = int(*a.UID)
		}
		if a.GID != nil {
			gid = int(*a.GID)
		}
		if err := root.Lchown(n.name, uid, gid); err != nil {
			return errnoOf(err)
		}
	}
	if a.Mode != nil {
		if err := root.Chmod(n.name, hostMode(*a.Mode)); err != nil {
			return errnoOf(err)
		}
	}
	if a.Atime != nil || a.Mtime != nil {
		return errnoOf(root.Chtimes(n.name, timeOf(a.Atime), timeOf(a.Mtime)))
	}
	return nil
}

// timeOf returns the zero time, which os leaves alone, for nil.
func timeOf(t *linux.Timespec) time.Time {
	if t == nil {
		return time.Time{}
	}
	return time.Unix(t.Sec, t.Nsec)
}

// Open implements vfs.Inode.
func (n inode) Open(vfs.OpenRequest) (vfs.File, error) { return nil, linux.ENXIO }

// Readlink implements vfs.Symlink.
func (l link) Readlink(*vfs.Caller) (string, error) {
	s, err := l.fs.root.Readlink(l.name)
	return s, errnoOf(err)
}

// Open implements vfs.Inode.
func (d dir) Open(vfs.OpenRequest) (vfs.File, error) { return &openDir{d: d}, nil }

// Lookup implements vfs.Dir.
func (d dir) Lookup(name string) (vfs.Inode, error) {
	child := inode{d.fs, path.Join(d.name, name)}
	fi, err := d.fs.root.Lstat(child.name)
	if err != nil {
		return nil, errnoOf(err)
	}
	switch {
	case fi.IsDir():
		return dir{child}, nil
	case fi.Mode()&fs.ModeSymlink != 0:
		return link{child}, nil
	default:
		return file{child}, nil
	}
}

// Parent implements vfs.Dir.
func (d dir) Parent() (vfs.Dir, string) {
	if d.name == "." {
		return d, ""
	}
	return dir{inode{d.fs, path.Dir(d.name)}}, path.Base(d.name)
}

// Create implements vfs.DirWriter. The owner is whoever runs this process,
// unless that is root.
func (d dir) Create(name string, n vfs.NewInode) (vfs.Inode, error) {
	if d.fs.readOnly {
		return nil, linux.EROFS
	}
	child := inode{d.fs, path.Join(d.name, name)}
	root := d.fs.root
	var err error
	switch n.Mode & linux.S_IFMT {
	case linux.S_IFREG:
		var f *os.File
		if f, err = root.OpenFile(child.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			err = f.Close()
		}
	case linux.S_IFDIR:
		err = root.Mkdir(child.name, 0o700)
	case linux.S_IFLNK:
		err = root.Symlink(n.Target, child.name)
	default:
		return nil, linux.EPERM
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	if os.Geteuid() == 0 {
		err = root.Lchown(child.name, int(n.UID), int(n.GID))
	}
	if n.Mode&linux.S_IFMT != linux.S_IFLNK {
		err = errors.Join(err, root.Chmod(child.name, hostMode(n.Mode)))
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	return d.Lookup(name)
}

// CreateAnonymous implements vfs.DirWriter.
func (d dir) CreateAnonymous(vfs.NewInode) (vfs.Inode, error) { return nil, linux.EOPNOTSUPP }

// Link implements vfs.DirWriter.
func (d dir) Link(name string, target vfs.Inode) error {
	if d.fs.readOnly {
		return linux.EROFS
	}
	var from inode
	switch t := target.(type) {
	case file:
		from = t.inode
	case link:
		from = t.inode
	default:
		return linux.EXDEV
	}
	if from.fs != d.fs {
		return linux.EXDEV
	}
	return errnoOf(d.fs.root.Link(from.name, path.Join(d.name, name)))
}

// Unlink implements vfs.DirWriter.
func (d dir) Unlink(name string, rmdir bool) error {
	if d.fs.readOnly {
		return linux.EROFS
	}
	full := path.Join(d.name, name)
	fi, err := d.fs.root.Lstat(full)
	switch {
	case err != nil:
		return errnoOf(err)
	case rmdir && !fi.IsDir():
		return linux.ENOTDIR
	case !rmdir && fi.IsDir():
		return linux.EISDIR
	}
	return errnoOf(d.fs.root.Remove(full))
}

// Locks implements vfs.Lockable.
func (f file) Locks() *vfs.FileLocks {
	st, err := f.Stat()
	if err != nil {
		return f.fs.locks.of(nameIno(f.name))
	}
	return f.fs.locks.of(st.Ino)
}

// lockTable holds the locks of files by inode number.
type lockTable struct {
	mu    sync.Mutex
	byIno map[uint64]*vfs.FileLocks
}

func (t *lockTable) of(ino uint64) *vfs.FileLocks {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byIno == nil {
		t.byIno = map[uint64]*vfs.FileLocks{}
	}
	l := t.byIno[ino]
	if l == nil {
		l = &vfs.FileLocks{}
		t.byIno[ino] = l
	}
	return l
}

// openRegular opens a regular file of the host and nothing else, without
// waiting for a FIFO's other end.
func (f file) openRegular(flag int) (*os.File, error) {
	h, err := f.fs.root.OpenFile(f.name, flag|nonblock, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	if fi, err := h.Stat(); err != nil || !fi.Mode().IsRegular() {
		h.Close()
		return nil, linux.ENXIO
	}
	return h, nil
}

// Open implements vfs.Inode.
func (f file) Open(r vfs.OpenRequest) (vfs.File, error) {
	flag := [...]int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR}[r.Flags&linux.O_ACCMODE]
	if flag != os.O_RDONLY && f.fs.readOnly {
		return nil, linux.EROFS
	}
	h, err := f.openRegular(flag)
	if err != nil {
		return nil, err
	}
	return &openFile{f: h}, nil
}

// OpenContent makes a reader of the file's bytes, for vfs.ContentOf.
func (f file) OpenContent() (vfs.ContentReader, error) {
	h, err := f.openRegular(os.O_RDONLY)
	if err != nil {
		return nil, linux.EACCES
	}
	return content{h}, nil // closed by its finalizer
}

type content struct{ *os.File }

// Size implements vfs.ContentReader.
func (c content) Size() int64 {
	fi, err := c.Stat()
	if err != nil {
		return 0
	}
	return fi.Size()
}

// openFile is an open regular file of the host.
type openFile struct {
	mu sync.Mutex // held while appending
	f  *os.File
}

// ReadAt implements vfs.File.
func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.f.ReadAt(p, off)
	if err == io.EOF || n > 0 {
		return n, nil
	}
	return n, errnoOf(err)
}

// WriteAt implements vfs.File.
func (o *openFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(p, off)
	if n > 0 {
		return n, nil
	}
	return 0, errnoOf(err)
}

// Append implements vfs.Appender. Two descriptions may still write over one
// another.
func (o *openFile) Append(p []byte) (int, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	end, err := o.SeekEnd()
	if err != nil {
		return 0, 0, err
	}
	n, err := o.WriteAt(p, end)
	return n, end + int64(n), err
}

// SeekEnd implements vfs.Seekable.
func (o *openFile) SeekEnd() (int64, error) {
	fi, err := o.f.Stat()
	if err != nil {
		return 0, errnoOf(err)
	}
	return fi.Size(), nil
}

// Truncate works on the open file, whatever its name is by now.
func (o *openFile) Truncate(size int64) error { return errnoOf(o.f.Truncate(size)) }

// Sync implements vfs.Syncer.
func (o *openFile) Sync() error { return errnoOf(o.f.Sync()) }

// Release implements vfs.File.
func (o *openFile) Release() { _ = o.f.Close() } // the guest has no way to hear of it

// openDir is an open directory; its list is taken when it is read from the
// start.
type openDir struct {
	d    dir
	list []linux.Dirent
}

func (*openDir) ReadAt([]byte, int64) (int, error)  { return 0, linux.EISDIR }
func (*openDir) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }
func (*openDir) Release()                           {}
func (*openDir) Sync() error                        { return nil }

// ReadDir implements vfs.DirFile. The description's lock guards list.
func (o *openDir) ReadDir(off int64, emit func(linux.Dirent) bool) error {
	if off == 0 || o.list == nil {
		if err := o.read(); err != nil {
			return err
		}
	}
	for i := off; i >= 0 && i < int64(len(o.list)); i++ {
		if !emit(o.list[i]) {
			return nil
		}
	}
	return nil
}

func (o *openDir) read() error {
	h, err := o.d.fs.root.Open(o.d.name)
	if err != nil {
		return errnoOf(err)
	}
	defer h.Close()
	entries, err := h.ReadDir(-1)
	if err != nil {
		return errnoOf(err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	st, err := o.d.Stat()
	if err != nil {
		return err
	}
	o.list = []linux.Dirent{{Ino: st.Ino, Off: 1, Type: linux.DT_DIR, Name: "."}, {Ino: st.Ino, Off: 2, Type: linux.DT_DIR, Name: ".."}}
	for _, e := range entries {
		full := path.Join(o.d.name, e.Name())
		ino := nameIno(full)
		if fi, err := e.Info(); err == nil {
			ino = o.d.fs.statOf(full, fi).Ino
		}
		o.list = append(o.list, linux.Dirent{Ino: ino, Off: int64(len(o.list) + 1), Type: linux.DirentType(modeOf(e.Type())), Name: e.Name()})
	}
	return nil
}
