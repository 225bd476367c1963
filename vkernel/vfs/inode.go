// Package vfs is the file system switch: paths, mounts, permissions, open files
// and descriptor tables. File systems implement Filesystem, Inode, Dir and File,
// and never check permissions: this package does.
//
// Lock order: FDTable.mu and FSContext.mu are leaves of the task's side;
// FileDescription.mu before a file system's own locks; MountNamespace.mu is a
// leaf.
package vfs

import (
	"io"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Filesystem is one tree of inodes.
type Filesystem interface {
	Root() Dir
	Statfs() linux.Statfs
	// Type is the name in /proc/mounts, such as tmpfs.
	Type() string
	// Rename moves oldDir/oldName to newDir/newName, both of this file system,
	// with the flags of renameat2(2). The caller has checked permissions, but
	// neither whether the names exist nor whether they fit.
	Rename(oldDir Dir, oldName string, newDir Dir, newName string, flags uint32) error
}

// Inode is one object of a file system. The same object has the same Stat().Ino
// while it exists, and no other object of that file system has it.
type Inode interface {
	Stat() (linux.Stat, error)
	// SetAttr changes attributes. The caller has checked permissions.
	SetAttr(a SetAttr) error
	// Open makes the file of a new file description. The caller has checked
	// permissions; O_TRUNC and O_CREAT are the caller's business. Directories
	// return a File that implements DirFile.
	Open(r OpenRequest) (File, error)
	Filesystem() Filesystem
}

// OpenRequest is what Inode.Open may need to know.
type OpenRequest struct {
	Caller *Caller
	Flags  uint32 // O_...
	Mount  *Mount
}

// SetAttr says which attributes to change; nil fields stay.
type SetAttr struct {
	Mode                *uint32 // permission bits only
	UID, GID            *uint32
	Size                *int64
	Atime, Mtime, Ctime *linux.Timespec // Ctime nil: now
}

// Dir is an inode that holds names. A read-only file system embeds NoWriteDir.
type Dir interface {
	Inode
	// Lookup returns the inode called name, never "." or "..", or ENOENT.
	Lookup(name string) (Inode, error)
	// Parent returns the directory that holds this one, and this one's name
	// there. The root returns itself; a removed directory nil.
	Parent() (Dir, string)
	DirWriter
}

// DirWriter changes a directory. The caller has checked permissions.
type DirWriter interface {
	// Create makes an inode called name; EEXIST if there is one.
	Create(name string, n NewInode) (Inode, error)
	// Link gives target, an inode of the same file system, another name.
	Link(name string, target Inode) error
	// Unlink removes name: with rmdir, a directory, which must be empty;
	// without, anything else.
	Unlink(name string, rmdir bool) error
	// CreateAnonymous makes a file without a name (O_TMPFILE).
	CreateAnonymous(n NewInode) (Inode, error)
}

// NewInode describes an inode to create.
type NewInode struct {
	Mode     uint32 // type and permission bits
	UID, GID uint32
	Rdev     uint64 // for S_IFCHR and S_IFBLK
	Target   string // for S_IFLNK
}

// Symlink is an inode that stands for a path.
type Symlink interface {
	Readlink(c *Caller) (string, error)
}

// MagicLink is a Symlink that leads to a place without a path walk, as those in
// /proc/PID/fd do.
type MagicLink interface {
	Symlink
	Follow(c *Caller) (Location, error)
}

// Xattrs is an inode with extended attributes. Inodes without answer
// EOPNOTSUPP.
type Xattrs interface {
	GetXattr(name string) ([]byte, error)
	SetXattr(name string, value []byte, flags uint32) error
	ListXattr() ([]string, error)
	RemoveXattr(name string) error
}

// Versioned is an inode whose every change of content shows.
type Versioned interface {
	// ContentVersion differs after every write and truncation. space tells
	// apart what may have the same numbers: the three of space, inode number
	// and version name one content, in all containers of this process.
	ContentVersion() (space, version uint64)
}

// Lockable is an inode that knows its file locks.
type Lockable interface {
	Locks() *FileLocks
}

// File is the behaviour of a file description. It never blocks: what cannot be
// done now is EAGAIN, and the file implements waiter.Waitable then. A file
// without Waitable is always ready.
type File interface {
	// ReadAt reads at off, which a file that is not Seekable ignores. The end
	// of the file is (0, nil).
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes at off, which a file that is not Seekable ignores.
	WriteAt(p []byte, off int64) (int, error)
	// Release is called once, when the last reference is gone.
	Release()
}

// Seekable is a file with offsets.
type Seekable interface {
	// SeekEnd returns the offset that SEEK_END is relative to.
	SeekEnd() (int64, error)
}

// Appender is a file that can write at its end in one step (O_APPEND).
type Appender interface {
	// Append returns the offset behind what it wrote.
	Append(p []byte) (n int, end int64, err error)
}

// DirFile is an open directory.
type DirFile interface {
	// ReadDir calls emit for the entries behind off (0 at first, then
	// Dirent.Off of the last one), "." and ".." included, until it returns
	// false. The order is stable, and an entry that exists throughout is seen
	// once.
	ReadDir(off int64, emit func(linux.Dirent) bool) error
}

// HoleSeeker answers SEEK_DATA and SEEK_HOLE; files without have no holes.
type HoleSeeker interface {
	SeekHole(off int64, hole bool) (int64, error)
}

// Allocator is a file that implements fallocate(2).
type Allocator interface {
	Allocate(mode uint32, off, n int64) error
}

// Pages is memory that mappings of a file share, from the file's start on.
type Pages interface {
	ReadAt(p []byte, off int64) error
	WriteAt(p []byte, off int64) error
}

// Paged is a file whose reads and writes can go to the pages that are mapped, so
// that they and the mappings see one another.
type Paged interface {
	// AttachPages fills bytes [from, to) of pages with the file's. From now on
	// [0, to) is read from there and written to both.
	AttachPages(pages Pages, from, to int64) error
	// StorePages takes over what mappings have changed: p are the pages at off.
	// What lies behind the file's end is left alone. Seals do not forbid it.
	StorePages(p []byte, off int64) error
	// DetachPages ends AttachPages, after everything has been stored.
	DetachPages()
}

// Sealed is an inode that knows memfd_create(2)'s seals (F_SEAL_...). EINVAL
// means that it cannot have any.
type Sealed interface {
	Seals() (uint32, error)
	// Seal adds seals; EPERM if F_SEAL_SEAL is there.
	Seal(add uint32) error
}

// Privileged is a file that may be set-user-ID, set-group-ID or have
// capabilities, which a change of its content takes away.
type Privileged interface {
	// DropPrivileges takes capabilities away, and the bits if all is true.
	DropPrivileges(all bool)
}

// Syncer is a file that has somewhere to sync to.
type Syncer interface {
	Sync() error
}

// OpenWaiter is a file whose open(2) waits: a FIFO for its other end. Its
// Waitable side announces the change.
type OpenWaiter interface {
	waiter.Waitable
	OpenReady() bool
}

// Ioctler is a file with requests of its own. ENOTTY means not known.
type Ioctler interface {
	Ioctl(t IoctlTask, req uint32, arg uint64) (uint64, error)
}

// IoctlTask is what an ioctl needs of its caller.
type IoctlTask interface {
	CopyIn(addr uint64, dst []byte) error
	CopyOut(addr uint64, src []byte) error
}

// StatusSetter is a file that wants to know of changes of O_NONBLOCK and
// O_APPEND.
type StatusSetter interface {
	SetStatusFlags(flags uint32)
}

// Described is a file that names itself in /proc/PID/fd, such as pipe:[7].
type Described interface {
	Describe() string
}

// ContentReader is a regular file whose bytes can be read whatever the mode it
// was opened with; the exec controller reads through it.
type ContentReader interface {
	io.ReaderAt
	Size() int64
}

// NoWriteDir answers EROFS to every change of a directory.
type NoWriteDir struct{}

// Create implements DirWriter.
func (NoWriteDir) Create(string, NewInode) (Inode, error) { return nil, linux.EROFS }

// Link implements DirWriter.
func (NoWriteDir) Link(string, Inode) error { return linux.EROFS }

// Unlink implements DirWriter.
func (NoWriteDir) Unlink(string, bool) error { return linux.EROFS }

// CreateAnonymous implements DirWriter.
func (NoWriteDir) CreateAnonymous(NewInode) (Inode, error) { return nil, linux.EROFS }

// Caller is who asks: what a path walk needs of a task. It is made per call and
// belongs to one goroutine.
type Caller struct {
	Creds *Creds
	Root  Path
	Cwd   Path
	Umask uint32
	PID   int // process id, for /proc/self
	TID   int // thread id, for /proc/thread-self
	// TTY returns the controlling terminal, for /dev/tty; nil: there is none.
	TTY func() (File, error)
	// FileSizeLimit is RLIMIT_FSIZE's soft limit in bytes; 0: none.
	FileSizeLimit uint64
	// Guard is asked about every path that is used, absolute from the root of
	// the mount namespace, before permissions count for anything. want is 0 to
	// find it, MayRead, MayWrite, or MayWrite|MayMove for another name of it.
	// nil allows all.
	Guard func(path string, want uint32) error

	// Resolve are the RESOLVE_ flags of openat2(2) that walks obey.
	Resolve uint64

	links int  // symlinks followed so far
	base  Path // where the walk began, for RESOLVE_BENEATH
}
