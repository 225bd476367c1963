package syscalls

import (
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// statAt returns the attributes of what an at call names. Unlike walkAt, it
// finds pipes and other files without an inode too.
func statAt(t *kernel.Task, fd int32, addr uint64, flags uint32) (linux.Stat, *vfs.Mount, error) {
	if flags&linux.AT_EMPTY_PATH != 0 && fd != linux.AT_FDCWD {
		if path, err := pathArg(t, addr); err == nil && path == "" {
			d, err := t.Files().Get(fd)
			if err != nil {
				return linux.Stat{}, nil, err
			}
			defer d.DecRef()
			st, err := d.Stat()
			return st, d.Path().Mount, err
		}
	}
	loc, err := walkAt(t, fd, addr, flags)
	if err != nil {
		return linux.Stat{}, nil, err
	}
	st, err := loc.Inode.Stat()
	return st, loc.Mount, err
}

func putStat(t *kernel.Task, addr uint64, st linux.Stat, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	var b [linux.StatSize]byte
	st.Marshal(b[:])
	return 0, t.CopyOut(addr, b[:])
}

// stat implements stat(2).
func stat(t *kernel.Task, a kernel.Args) (uint64, error) {
	st, _, err := statAt(t, linux.AT_FDCWD, a.Addr(0), 0)
	return putStat(t, a.Addr(1), st, err)
}

// lstat implements lstat(2).
func lstat(t *kernel.Task, a kernel.Args) (uint64, error) {
	st, _, err := statAt(t, linux.AT_FDCWD, a.Addr(0), linux.AT_SYMLINK_NOFOLLOW)
	return putStat(t, a.Addr(1), st, err)
}

// fstat implements fstat(2).
func fstat(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	st, err := d.Stat()
	return putStat(t, a.Addr(1), st, err)
}

// newfstatat implements fstatat(2).
func newfstatat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH|linux.AT_NO_AUTOMOUNT) != 0 {
		return 0, linux.EINVAL
	}
	st, _, err := statAt(t, a.Int(0), a.Addr(1), flags)
	return putStat(t, a.Addr(2), st, err)
}

// statx implements statx(2). There are no birth times.
func statx(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags, mask := a.Uint(2), a.Uint(3)
	const known = linux.AT_SYMLINK_NOFOLLOW | linux.AT_EMPTY_PATH | linux.AT_NO_AUTOMOUNT | linux.AT_STATX_SYNC_TYPE
	if flags&^known != 0 || mask&linux.STATX__RESERVED != 0 || flags&linux.AT_STATX_SYNC_TYPE == linux.AT_STATX_SYNC_TYPE {
		return 0, linux.EINVAL
	}
	st, mount, err := statAt(t, a.Int(0), a.Addr(1), flags)
	if err != nil {
		return 0, err
	}
	when := func(ts linux.Timespec) linux.StatxTimestamp {
		return linux.StatxTimestamp{Sec: ts.Sec, Nsec: uint32(ts.Nsec)}
	}
	sx := linux.Statx{
		Mask: linux.STATX_BASIC_STATS, Blksize: uint32(st.Blksize), Nlink: uint32(st.Nlink), UID: st.UID, GID: st.GID,
		Mode: uint16(st.Mode), Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks),
		Atime: when(st.Atime), Mtime: when(st.Mtime), Ctime: when(st.Ctime),
		RdevMajor: linux.DevMajor(st.Rdev), RdevMinor: linux.DevMinor(st.Rdev),
		DevMajor: linux.DevMajor(st.Dev), DevMinor: linux.DevMinor(st.Dev),
	}
	if mount != nil && mask&linux.STATX_MNT_ID != 0 {
		sx.Mask |= linux.STATX_MNT_ID
		sx.MntID = uint64(mount.ID)
	}
	var b [linux.StatxSize]byte
	sx.Marshal(b[:])
	return 0, t.CopyOut(a.Addr(4), b[:])
}

func putStatfs(t *kernel.Task, addr uint64, p vfs.Path) (uint64, error) {
	sf := linux.Statfs{Type: linux.PIPEFS_MAGIC, Bsize: 4096, Frsize: 4096, Namelen: linux.NAME_MAX}
	if p.Inode != nil {
		sf = p.Inode.Filesystem().Statfs()
	}
	if p.Mount != nil && p.Mount.ReadOnly {
		sf.Flags |= linux.ST_RDONLY
	}
	sf.Flags |= 0x20 // ST_VALID
	var b [linux.StatfsSize]byte
	sf.Marshal(b[:])
	return 0, t.CopyOut(addr, b[:])
}

// statfs implements statfs(2).
func statfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	loc, err := walkAt(t, linux.AT_FDCWD, a.Addr(0), 0)
	if err != nil {
		return 0, err
	}
	return putStatfs(t, a.Addr(1), loc.Path)
}

// fstatfs implements fstatfs(2).
func fstatfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	return putStatfs(t, a.Addr(1), d.Path())
}

// accessAt serves the access calls.
func accessAt(t *kernel.Task, fd int32, addr uint64, mode, flags uint32) (uint64, error) {
	if mode&^(linux.R_OK|linux.W_OK|linux.X_OK) != 0 {
		return 0, linux.EINVAL
	}
	c := t.Caller()
	if flags&linux.AT_EACCESS == 0 {
		// Real ids count, with the capabilities that they would bring.
		cr := c.Creds.Clone()
		cr.FSUID, cr.FSGID = cr.UID, cr.GID
		if cr.UID == 0 {
			cr.Effective = cr.Permitted
		} else {
			cr.Effective = 0
		}
		c.Creds = cr
	}
	path, err := pathArg(t, addr)
	if err != nil {
		return 0, err
	}
	var loc vfs.Location
	if path == "" {
		loc, err = walkAt(t, fd, addr, flags)
	} else {
		var at vfs.Path
		if at, err = dirArg(t, fd, path); err == nil {
			loc, err = c.Walk(at, path, flags&linux.AT_SYMLINK_NOFOLLOW == 0)
		}
	}
	if err != nil || mode == linux.F_OK {
		return 0, err
	}
	return 0, c.Access(loc.Path, mode)
}

// access implements access(2).
func access(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accessAt(t, linux.AT_FDCWD, a.Addr(0), a.Uint(1), 0)
}

// faccessat implements the system call, which has no flags.
func faccessat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accessAt(t, a.Int(0), a.Addr(1), a.Uint(2), 0)
}

// faccessat2 implements faccessat2(2).
func faccessat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(3)&^(linux.AT_EACCESS|linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH) != 0 {
		return 0, linux.EINVAL
	}
	return accessAt(t, a.Int(0), a.Addr(1), a.Uint(2), a.Uint(3))
}

// readlinkAt serves readlink and readlinkat.
func readlinkAt(t *kernel.Task, fd int32, pathAddr, buf uint64, size int32) (uint64, error) {
	if size <= 0 {
		return 0, linux.EINVAL
	}
	loc, err := walkAt(t, fd, pathAddr, linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH)
	if err != nil {
		return 0, err
	}
	target, err := t.Caller().Readlink(loc.Path)
	if err != nil {
		if path, perr := pathArg(t, pathAddr); perr == nil && path == "" && err == linux.EINVAL {
			return 0, linux.ENOENT
		}
		return 0, err
	}
	n := min(len(target), int(size))
	return uint64(n), t.CopyOut(buf, []byte(target[:n]))
}

// readlink implements readlink(2).
func readlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readlinkAt(t, linux.AT_FDCWD, a.Addr(0), a.Addr(1), a.Int(2))
}

// readlinkat implements readlinkat(2).
func readlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readlinkAt(t, a.Int(0), a.Addr(1), a.Addr(2), a.Int(3))
}
