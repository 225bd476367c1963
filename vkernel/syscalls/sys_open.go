package syscalls

import (
	"encoding/binary"
	"strings"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// pathArg copies a path in.
func pathArg(t *kernel.Task, addr uint64) (string, error) {
	return t.CopyInString(addr, linux.PATH_MAX)
}

// dirArg returns where a relative path starts; zero for the working directory.
func dirArg(t *kernel.Task, fd int32, path string) (vfs.Path, error) {
	if fd == linux.AT_FDCWD || strings.HasPrefix(path, "/") {
		return vfs.Path{}, nil
	}
	d, err := t.Files().Get(fd)
	if err != nil {
		return vfs.Path{}, err
	}
	defer d.DecRef()
	if path != "" && d.Inode() == nil {
		return vfs.Path{}, linux.ENOTDIR
	}
	if path != "" {
		if _, err := d.Path().Dir(); err != nil {
			return vfs.Path{}, err
		}
	}
	return d.Path(), nil
}

// pathAt copies in a path and finds its directory.
func pathAt(t *kernel.Task, fd int32, addr uint64) (vfs.Path, string, error) {
	path, err := pathArg(t, addr)
	if err != nil {
		return vfs.Path{}, "", err
	}
	if path == "" {
		return vfs.Path{}, "", linux.ENOENT
	}
	at, err := dirArg(t, fd, path)
	return at, path, err
}

// walkAt finds what a path names. Of flags, it knows AT_SYMLINK_NOFOLLOW and
// AT_EMPTY_PATH. What the latter finds may have no inode: see descOrPath.
func walkAt(t *kernel.Task, fd int32, addr uint64, flags uint32) (vfs.Location, error) {
	path, err := pathArg(t, addr)
	if err != nil {
		return vfs.Location{}, err
	}
	if path == "" {
		if flags&linux.AT_EMPTY_PATH == 0 {
			return vfs.Location{}, linux.ENOENT
		}
		if fd == linux.AT_FDCWD {
			return vfs.Location{Path: t.FS().Cwd()}, nil
		}
		d, err := t.Files().Get(fd)
		if err != nil {
			return vfs.Location{}, err
		}
		defer d.DecRef()
		if d.Inode() == nil {
			return vfs.Location{}, linux.EINVAL
		}
		return d.Location(), nil
	}
	at, err := dirArg(t, fd, path)
	if err != nil {
		return vfs.Location{}, err
	}
	return t.Caller().Walk(at, path, flags&linux.AT_SYMLINK_NOFOLLOW == 0)
}

// noFileLimit returns RLIMIT_NOFILE's soft limit.
func noFileLimit(t *kernel.Task) uint64 { return t.ThreadGroup().Limit(linux.RLIMIT_NOFILE).Cur }

// install puts d, whose reference it takes, in the lowest free slot.
func install(t *kernel.Task, d *vfs.FileDescription, cloexec bool) (uint64, error) {
	fd, err := t.Files().Add(d, 0, cloexec, noFileLimit(t))
	if err != nil {
		d.DecRef()
		return 0, err
	}
	return uint64(fd), nil
}

// doOpen is what all the open calls share.
func doOpen(t *kernel.Task, fd int32, addr uint64, flags, mode uint32) (uint64, error) {
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	d, err := t.Caller().Open(at, path, flags, mode)
	if err != nil {
		return 0, err
	}
	if err := waitOpen(t, d); err != nil {
		d.DecRef()
		return 0, err
	}
	if tty, ok := d.File().(interface{ Opened(vfs.IoctlTask) }); ok && flags&linux.O_NOCTTY == 0 {
		tty.Opened(t)
	}
	return install(t, d, flags&linux.O_CLOEXEC != 0)
}

// waitOpen waits until the other end of a FIFO is open too.
func waitOpen(t *kernel.Task, d *vfs.FileDescription) error {
	w, ok := d.File().(vfs.OpenWaiter)
	if !ok || d.NonBlocking() || w.OpenReady() {
		return nil
	}
	e, ch := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.WritableEvents)
	w.EventRegister(e)
	defer w.EventUnregister(e)
	for !w.OpenReady() {
		if err := t.Block(ch, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// open implements open(2).
func open(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doOpen(t, linux.AT_FDCWD, a.Addr(0), a.Uint(1), a.Uint(2))
}

// openat implements openat(2).
func openat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doOpen(t, a.Int(0), a.Addr(1), a.Uint(2), a.Uint(3))
}

// creat implements creat(2).
func creat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doOpen(t, linux.AT_FDCWD, a.Addr(0), linux.O_CREAT|linux.O_WRONLY|linux.O_TRUNC, a.Uint(1))
}

// openat2 implements openat2(2) without the RESOLVE_ flags.
func openat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	const howSize = 24
	if a[3] < howSize {
		return 0, linux.EINVAL
	}
	var how [howSize]byte
	if err := t.CopyIn(a.Addr(2), how[:]); err != nil {
		return 0, err
	}
	flags, mode := binary.LittleEndian.Uint64(how[:]), binary.LittleEndian.Uint64(how[8:])
	if flags>>32 != 0 || mode&^0o7777 != 0 || mode != 0 && flags&(linux.O_CREAT|linux.O_TMPFILE&^linux.O_DIRECTORY) == 0 {
		return 0, linux.EINVAL
	}
	if binary.LittleEndian.Uint64(how[16:]) != 0 {
		return 0, linux.EINVAL
	}
	return doOpen(t, a.Int(0), a.Addr(1), uint32(flags), uint32(mode))
}

// closeFD implements close(2).
func closeFD(t *kernel.Task, a kernel.Args) (uint64, error) { return 0, t.Files().Close(a.Int(0)) }

// closeRange implements close_range(2).
func closeRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	first, last, flags := a.Uint(0), a.Uint(1), a.Uint(2)
	if first > last || flags&^(linux.CLOSE_RANGE_CLOEXEC|linux.CLOSE_RANGE_UNSHARE) != 0 {
		return 0, linux.EINVAL
	}
	if flags&linux.CLOSE_RANGE_UNSHARE != 0 && t.Files().Shared() {
		return 0, linux.EINVAL // unsharing is the kernel's; nobody asked for it so far
	}
	if flags&linux.CLOSE_RANGE_CLOEXEC != 0 {
		t.Files().SetCloexecRange(first, last)
	} else {
		t.Files().CloseRange(first, last)
	}
	return 0, nil
}
