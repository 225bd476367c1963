package vfs

import (
	"strings"

	"megabinary.dev/vkernel/linux"
)

// knownFlags are the flags that open(2) looks at; others are ignored.
const (
	pathFlags = linux.O_DIRECTORY | linux.O_NOFOLLOW | linux.O_PATH | linux.O_CLOEXEC
	tmpfile   = linux.O_TMPFILE &^ linux.O_DIRECTORY
)

// Open implements openat(2): it returns a description with one reference. The
// caller takes care of O_CLOEXEC, and of OpenWaiter.
func (c *Caller) Open(at Path, path string, flags, mode uint32) (*FileDescription, error) {
	if flags&linux.O_PATH != 0 {
		return c.openPath(at, path, flags&pathFlags)
	}
	if flags&linux.O_SYNC == linux.O_SYNC&^linux.O_DSYNC {
		flags |= linux.O_DSYNC
	}
	if flags&tmpfile != 0 {
		return c.openTmpfile(at, path, flags, mode)
	}
	if flags&linux.O_CREAT != 0 && flags&linux.O_DIRECTORY != 0 {
		return nil, linux.EINVAL
	}
	excl := flags&(linux.O_CREAT|linux.O_EXCL) == linux.O_CREAT|linux.O_EXCL
	if flags&linux.O_CREAT != 0 && strings.HasSuffix(path, "/") {
		if _, err := c.resolve(at, path, keepLink); err != nil {
			return nil, err
		}
		return nil, linux.EISDIR
	}
	w, err := c.resolve(at, path, followIf(flags&linux.O_NOFOLLOW == 0 && !excl))
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if flags&linux.O_CREAT != 0 {
			if w.slash || w.dots != "" && w.dots != "magic" {
				return nil, linux.EISDIR
			}
			if !w.exists() {
				d, err := c.createAndOpen(w, flags, mode)
				if err != linux.EEXIST || excl || try == 8 {
					return d, err
				}
				// Someone else made it since: look again.
				if w, err = c.resolve(at, path, followIf(flags&linux.O_NOFOLLOW == 0)); err != nil {
					return nil, err
				}
				continue
			}
			if excl {
				return nil, linux.EEXIST
			}
		}
		if !w.exists() {
			return nil, linux.ENOENT
		}
		return c.OpenLocation(w.loc, flags)
	}
}

// OpenLocation opens what exists at loc: the second half of open(2). O_CREAT
// only makes a directory EISDIR.
func (c *Caller) OpenLocation(loc Location, flags uint32) (*FileDescription, error) {
	st, err := loc.Inode.Stat()
	if err != nil {
		return nil, err
	}
	kind := st.Mode & linux.S_IFMT
	acc := accessMode(flags)
	switch {
	case kind == linux.S_IFLNK && flags&linux.O_DIRECTORY != 0:
		return nil, linux.ENOTDIR
	case kind == linux.S_IFLNK:
		return nil, linux.ELOOP
	case kind == linux.S_IFDIR && (acc&MayWrite != 0 || flags&linux.O_CREAT != 0):
		return nil, linux.EISDIR
	case kind != linux.S_IFDIR && flags&linux.O_DIRECTORY != 0:
		return nil, linux.ENOTDIR
	}
	if acc&MayWrite != 0 {
		err = c.guard(loc, MayWrite)
	} else {
		err = c.guard(loc, MayRead)
	}
	if err == nil {
		err = c.Creds.CheckAccess(&st, acc)
	}
	if err != nil {
		return nil, err
	}
	if flags&linux.O_NOATIME != 0 && !c.Creds.isOwner(&st) {
		return nil, linux.EPERM
	}
	if acc&MayWrite != 0 && kind == linux.S_IFREG && loc.Mount != nil && loc.Mount.ReadOnly {
		return nil, linux.EROFS
	}
	if flags&linux.O_TRUNC != 0 && kind == linux.S_IFREG {
		var zero int64
		if err := loc.Inode.SetAttr(SetAttr{Size: &zero}); err != nil {
			return nil, err
		}
		d, err := c.openInode(loc, &st, flags)
		return d, loc.changed(linux.IN_MODIFY, err)
	}
	return c.openInode(loc, &st, flags)
}

// accessMode returns what an open with flags needs to be allowed.
func accessMode(flags uint32) uint32 {
	acc := [...]uint32{MayRead, MayWrite, MayRead | MayWrite, MayRead | MayWrite}[flags&linux.O_ACCMODE]
	if flags&linux.O_TRUNC != 0 {
		acc |= MayWrite
	}
	return acc
}

func (c *Caller) openInode(loc Location, st *linux.Stat, flags uint32) (*FileDescription, error) {
	r := OpenRequest{Caller: c, Flags: flags, Mount: loc.Mount}
	var file File
	var err error
	_, anon := loc.Inode.(anonInode)
	switch kind := st.Mode & linux.S_IFMT; {
	case anon:
		file, err = loc.Inode.Open(r)
	case kind == linux.S_IFSOCK:
		return nil, linux.ENXIO
	case kind == linux.S_IFCHR || kind == linux.S_IFBLK:
		if loc.Mount == nil || loc.Mount.ns.devices == nil {
			return nil, linux.ENXIO
		}
		file, err = loc.Mount.ns.devices.OpenDevice(st.Rdev, kind == linux.S_IFBLK, r)
	default:
		file, err = loc.Inode.Open(r)
	}
	if err != nil {
		return nil, err
	}
	loc.notify(linux.IN_OPEN)
	return NewFileDescription(file, loc, flags), nil
}

func (c *Caller) createAndOpen(w walked, flags, mode uint32) (*FileDescription, error) {
	dir, err := c.mayCreate(w.parent, w.name)
	if err != nil {
		return nil, err
	}
	n, err := c.newInode(dir, linux.S_IFREG|mode&0o7777)
	if err != nil {
		return nil, err
	}
	inode, err := dir.Create(w.name, n)
	if err != nil {
		return nil, err
	}
	st, err := inode.Stat()
	if err != nil {
		return nil, err
	}
	w.parent.Mount.notifyName(dir, linux.IN_CREATE, w.name, false)
	loc := Location{Path: Path{w.parent.Mount, inode}, Parent: dir, Name: w.name}
	return c.openInode(loc, &st, flags)
}

// newInode fills in owner and group as inode_init_owner does.
func (c *Caller) newInode(dir Dir, mode uint32) (NewInode, error) {
	st, err := dir.Stat()
	if err != nil {
		return NewInode{}, err
	}
	n := NewInode{Mode: mode &^ c.Umask, UID: c.Creds.FSUID, GID: c.Creds.FSGID}
	if mode&linux.S_IFMT == linux.S_IFLNK {
		n.Mode = linux.S_IFLNK | 0o777
	}
	if st.Mode&linux.S_ISGID != 0 {
		n.GID = st.GID
		if mode&linux.S_IFMT == linux.S_IFDIR {
			n.Mode |= linux.S_ISGID
		} else if n.Mode&(linux.S_ISGID|linux.S_IXGRP) == linux.S_ISGID|linux.S_IXGRP &&
			!c.Creds.InGroup(st.GID) && !c.Creds.HasCap(linux.CAP_FSETID) {
			n.Mode &^= linux.S_ISGID
		}
	}
	return n, nil
}

// mayCreate returns the directory if the caller may make a name in it.
func (c *Caller) mayCreate(parent Path, name string) (Dir, error) {
	dir, err := parent.Dir()
	if err != nil {
		return nil, err
	}
	if err := c.guardName(parent, name, MayWrite); err != nil {
		return nil, err
	}
	if parent.Mount.ReadOnly {
		return nil, linux.EROFS
	}
	return dir, c.checkDir(dir, MayWrite|MayExec)
}

func (c *Caller) openTmpfile(at Path, path string, flags, mode uint32) (*FileDescription, error) {
	if flags&linux.O_DIRECTORY == 0 || flags&linux.O_ACCMODE == linux.O_RDONLY || flags&linux.O_CREAT != 0 {
		return nil, linux.EINVAL
	}
	loc, err := c.Walk(at, path, flags&linux.O_NOFOLLOW == 0)
	if err != nil {
		return nil, err
	}
	dir, err := c.mayCreate(loc.Path, ".tmpfile")
	if err != nil {
		return nil, err
	}
	n, err := c.newInode(dir, linux.S_IFREG|mode&0o7777)
	if err != nil {
		return nil, err
	}
	inode, err := dir.CreateAnonymous(n)
	if err != nil {
		return nil, err
	}
	st, err := inode.Stat()
	if err != nil {
		return nil, err
	}
	return c.openInode(Location{Path: Path{loc.Mount, inode}, Name: "#" + utoa(st.Ino)}, &st, flags&^linux.O_DIRECTORY)
}

func (c *Caller) openPath(at Path, path string, flags uint32) (*FileDescription, error) {
	loc, err := c.Walk(at, path, flags&linux.O_NOFOLLOW == 0)
	if err != nil {
		return nil, err
	}
	if _, ok := loc.Inode.(Dir); !ok && flags&linux.O_DIRECTORY != 0 {
		return nil, linux.ENOTDIR
	}
	return NewFileDescription(pathFile{}, loc, flags), nil
}

// pathFile is the file of O_PATH, which has no behaviour.
type pathFile struct{}

func (pathFile) ReadAt([]byte, int64) (int, error)  { return 0, linux.EBADF }
func (pathFile) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }
func (pathFile) Release()                           {}

func utoa(v uint64) string {
	if v < 10 {
		return string(rune('0' + v))
	}
	return utoa(v/10) + string(rune('0'+v%10))
}
