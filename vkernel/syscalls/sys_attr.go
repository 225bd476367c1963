package syscalls

import (
	"encoding/binary"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// onFile calls fn for the place that a descriptor was opened at. O_PATH is
// EBADF.
func onFile(t *kernel.Task, fd int32, fn func(p vfs.Location) error) (uint64, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.IsPath() {
		return 0, linux.EBADF
	}
	if d.Inode() == nil {
		return 0, nil // a pipe's attributes are not kept
	}
	return 0, fn(d.Location())
}

// onPath calls fn for the place that a path leads to.
func onPath(t *kernel.Task, fd int32, addr uint64, flags uint32, fn func(p vfs.Location) error) (uint64, error) {
	loc, err := walkAt(t, fd, addr, flags)
	if err != nil {
		return 0, err
	}
	return 0, fn(loc)
}

// chmod implements chmod(2).
func chmod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onPath(t, linux.AT_FDCWD, a.Addr(0), 0, func(p vfs.Location) error { return t.Caller().Chmod(p, a.Uint(1)) })
}

// fchmod implements fchmod(2).
func fchmod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onFile(t, a.Int(0), func(p vfs.Location) error { return t.Caller().Chmod(p, a.Uint(1)) })
}

// fchmodat implements the system call, which has no flags.
func fchmodat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onPath(t, a.Int(0), a.Addr(1), 0, func(p vfs.Location) error { return t.Caller().Chmod(p, a.Uint(2)) })
}

// fchmodat2 implements fchmodat2(2).
func fchmodat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(3)&^(linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH) != 0 {
		return 0, linux.EINVAL
	}
	return onPath(t, a.Int(0), a.Addr(1), a.Uint(3), func(p vfs.Location) error { return t.Caller().Chmod(p, a.Uint(2)) })
}

// chown implements chown(2).
func chown(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onPath(t, linux.AT_FDCWD, a.Addr(0), 0, func(p vfs.Location) error { return t.Caller().Chown(p, a.Uint(1), a.Uint(2)) })
}

// lchown implements lchown(2).
func lchown(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onPath(t, linux.AT_FDCWD, a.Addr(0), linux.AT_SYMLINK_NOFOLLOW,
		func(p vfs.Location) error { return t.Caller().Chown(p, a.Uint(1), a.Uint(2)) })
}

// fchown implements fchown(2).
func fchown(t *kernel.Task, a kernel.Args) (uint64, error) {
	return onFile(t, a.Int(0), func(p vfs.Location) error { return t.Caller().Chown(p, a.Uint(1), a.Uint(2)) })
}

// fchownat implements fchownat(2).
func fchownat(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(4)&^(linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH) != 0 {
		return 0, linux.EINVAL
	}
	return onPath(t, a.Int(0), a.Addr(1), a.Uint(4),
		func(p vfs.Location) error { return t.Caller().Chown(p, a.Uint(2), a.Uint(3)) })
}

// utimesAt sets both times; nil times stay. now says that both are the current
// time.
func utimesAt(t *kernel.Task, fd int32, addr uint64, flags uint32, atime, mtime *linux.Timespec, now bool) (uint64, error) {
	set := func(p vfs.Location) error { return t.Caller().Utimes(p, atime, mtime, now) }
	if addr == 0 && fd != linux.AT_FDCWD {
		if flags != 0 {
			return 0, linux.EINVAL
		}
		return onFile(t, fd, set)
	}
	return onPath(t, fd, addr, flags, set)
}

func nowTimespec() *linux.Timespec {
	ts := linux.TimespecOf(time.Now().UnixNano())
	return &ts
}

// utimensat implements utimensat(2).
func utimensat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH) != 0 {
		return 0, linux.EINVAL
	}
	current := nowTimespec()
	if a.Addr(2) == 0 {
		return utimesAt(t, a.Int(0), a.Addr(1), flags, current, current, true)
	}
	var b [2 * linux.TimespecSize]byte
	if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
		return 0, err
	}
	var times [2]*linux.Timespec
	nows := 0
	for i := range times {
		var ts linux.Timespec
		ts.Unmarshal(b[i*linux.TimespecSize:])
		switch {
		case ts.Nsec == linux.UTIME_OMIT:
		case ts.Nsec == linux.UTIME_NOW:
			times[i] = current
			nows++
		case ts.Nsec < 0 || ts.Nsec >= 1e9:
			return 0, linux.EINVAL
		default:
			times[i] = &ts
		}
	}
	if times[0] == nil && times[1] == nil {
		return 0, nil // nothing is looked up, as on Linux
	}
	return utimesAt(t, a.Int(0), a.Addr(1), flags, times[0], times[1], nows == 2)
}

// utimesOf reads two struct timeval; nil stands for now.
func utimesOf(t *kernel.Task, fd int32, path, times uint64) (uint64, error) {
	if times == 0 {
		current := nowTimespec()
		return utimesAt(t, fd, path, 0, current, current, true)
	}
	var b [2 * linux.TimevalSize]byte
	if err := t.CopyIn(times, b[:]); err != nil {
		return 0, err
	}
	var ts [2]linux.Timespec
	for i := range ts {
		var tv linux.Timeval
		tv.Unmarshal(b[i*linux.TimevalSize:])
		if tv.Usec < 0 || tv.Usec >= 1e6 {
			return 0, linux.EINVAL
		}
		ts[i] = linux.Timespec{Sec: tv.Sec, Nsec: tv.Usec * 1000}
	}
	return utimesAt(t, fd, path, 0, &ts[0], &ts[1], false)
}

// utimes implements utimes(2).
func utimes(t *kernel.Task, a kernel.Args) (uint64, error) {
	return utimesOf(t, linux.AT_FDCWD, a.Addr(0), a.Addr(1))
}

// futimesat implements futimesat(2).
func futimesat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return utimesOf(t, a.Int(0), a.Addr(1), a.Addr(2))
}

// utime implements utime(2).
func utime(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(1) == 0 {
		return utimesOf(t, linux.AT_FDCWD, a.Addr(0), 0)
	}
	var b [16]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	at := linux.Timespec{Sec: int64(binary.LittleEndian.Uint64(b[:]))}
	mt := linux.Timespec{Sec: int64(binary.LittleEndian.Uint64(b[8:]))}
	return utimesAt(t, linux.AT_FDCWD, a.Addr(0), 0, &at, &mt, false)
}

// xattrTarget finds the file of a plain (0), l (1) or f (2) call.
func xattrTarget(t *kernel.Task, kind int, a kernel.Args, fn func(p vfs.Location) error) (uint64, error) {
	switch kind {
	case 0:
		return onPath(t, linux.AT_FDCWD, a.Addr(0), 0, fn)
	case 1:
		return onPath(t, linux.AT_FDCWD, a.Addr(0), linux.AT_SYMLINK_NOFOLLOW, fn)
	default:
		return onFile(t, a.Int(0), fn)
	}
}

func xattrName(t *kernel.Task, addr uint64) (string, error) {
	name, err := t.CopyInString(addr, linux.XATTR_NAME_MAX+1)
	if err == linux.ENAMETOOLONG || err == nil && name == "" {
		return "", linux.ERANGE
	}
	return name, err
}

// setxattr implements setxattr(2), lsetxattr(2) and fsetxattr(2), by kind.
func setxattr(kind int) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		if a.Uint(4)&^(linux.XATTR_CREATE|linux.XATTR_REPLACE) != 0 {
			return 0, linux.EINVAL
		}
		name, err := xattrName(t, a.Addr(1))
		if err != nil {
			return 0, err
		}
		if a[3] > linux.XATTR_SIZE_MAX {
			return 0, linux.E2BIG
		}
		value := make([]byte, a[3])
		if err := t.CopyIn(a.Addr(2), value); err != nil {
			return 0, err
		}
		return xattrTarget(t, kind, a, func(p vfs.Location) error { return t.Caller().SetXattr(p, name, value, a.Uint(4)) })
	}
}

// putSized copies b out if size is not 0, and returns its length.
func putSized(t *kernel.Task, addr, size uint64, b []byte) (uint64, error) {
	if size == 0 {
		return uint64(len(b)), nil
	}
	if uint64(len(b)) > size {
		return 0, linux.ERANGE
	}
	return uint64(len(b)), t.CopyOut(addr, b)
}

// getxattr implements getxattr(2), lgetxattr(2) and fgetxattr(2), by kind.
func getxattr(kind int) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		name, err := xattrName(t, a.Addr(1))
		if err != nil {
			return 0, err
		}
		var value []byte
		_, err = xattrTarget(t, kind, a, func(p vfs.Location) error {
			value, err = t.Caller().GetXattr(p.Path, name)
			return err
		})
		if err != nil {
			return 0, err
		}
		return putSized(t, a.Addr(2), a[3], value)
	}
}

// listxattr implements listxattr(2), llistxattr(2) and flistxattr(2), by kind.
func listxattr(kind int) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		var list []byte
		_, err := xattrTarget(t, kind, a, func(p vfs.Location) error {
			names, err := t.Caller().ListXattr(p.Path)
			for _, n := range names {
				list = append(append(list, n...), 0)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		return putSized(t, a.Addr(1), a[2], list)
	}
}

// removexattr implements removexattr(2), lremovexattr(2) and fremovexattr(2),
// by kind.
func removexattr(kind int) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		name, err := xattrName(t, a.Addr(1))
		if err != nil {
			return 0, err
		}
		return xattrTarget(t, kind, a, func(p vfs.Location) error { return t.Caller().RemoveXattr(p, name) })
	}
}
