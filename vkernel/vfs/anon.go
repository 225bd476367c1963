package vfs

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Reopener is a file without a path that open(2) can open once more, through
// /proc/PID/fd: a pipe.
type Reopener interface {
	Reopen(flags uint32) (File, error)
}

// anonInode stands for an open file without an inode where a path leads to it.
type anonInode struct {
	desc *FileDescription // not counted
}

// ReachableLocation returns a location that can be walked to and opened, even
// for a file without a path. root lends its mount to those.
func (f *FileDescription) ReachableLocation(root Path) Location {
	loc := f.loc
	if loc.Path.IsZero() {
		loc.Path = Path{root.Mount, anonInode{f}}
	}
	return loc
}

// Stat implements Inode.
func (a anonInode) Stat() (linux.Stat, error) { return a.desc.Stat() }

// SetAttr implements Inode: attributes are not kept.
func (a anonInode) SetAttr(SetAttr) error { return nil }

// Filesystem implements Inode.
func (a anonInode) Filesystem() Filesystem { return anonFS{} }

// Open implements Inode.
func (a anonInode) Open(r OpenRequest) (File, error) {
	if o, ok := a.desc.file.(Reopener); ok {
		return o.Reopen(r.Flags)
	}
	st, err := a.desc.Stat()
	if err != nil {
		return nil, err
	}
	if k := st.Mode & linux.S_IFMT; k != linux.S_IFIFO && k != linux.S_IFCHR || !a.desc.tryIncRef() {
		return nil, linux.ENXIO
	}
	shared := sharedFile{a.desc}
	if _, ok := a.desc.file.(waiter.Waitable); ok {
		return waitableShared{shared}, nil
	}
	return shared, nil
}

func (f *FileDescription) tryIncRef() bool {
	for {
		n := f.refs.Load()
		if n <= 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// sharedFile is another description of a host stream or terminal.
type sharedFile struct{ desc *FileDescription }

func (s sharedFile) ReadAt(p []byte, off int64) (int, error)  { return s.desc.file.ReadAt(p, off) }
func (s sharedFile) WriteAt(p []byte, off int64) (int, error) { return s.desc.file.WriteAt(p, off) }
func (s sharedFile) Release()                                 { s.desc.DecRef() }

// Ioctl implements Ioctler.
func (s sharedFile) Ioctl(t IoctlTask, req uint32, arg uint64) (uint64, error) {
	if i, ok := s.desc.file.(Ioctler); ok {
		return i.Ioctl(t, req, arg)
	}
	return 0, linux.ENOTTY
}

// Describe implements Described.
func (s sharedFile) Describe() string { return s.desc.loc.Label }

type waitableShared struct{ sharedFile }

func (s waitableShared) Readiness(m waiter.EventMask) waiter.EventMask { return s.desc.Readiness(m) }
func (s waitableShared) EventRegister(e *waiter.Entry)                 { s.desc.EventRegister(e) }
func (s waitableShared) EventUnregister(e *waiter.Entry)               { s.desc.EventUnregister(e) }

// anonFS is the file system of what has none.
type anonFS struct{}

func (anonFS) Root() Dir                                     { return nil }
func (anonFS) Type() string                                  { return "anon_inodefs" }
func (anonFS) Rename(Dir, string, Dir, string, uint32) error { return linux.EXDEV }
func (anonFS) Statfs() linux.Statfs {
	return linux.Statfs{Type: linux.ANON_INODE_FS_MAGIC, Bsize: 4096, Frsize: 4096, Namelen: linux.NAME_MAX}
}
