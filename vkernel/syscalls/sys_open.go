package syscalls

import (
	"strings"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
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

// doOpen is what all the open calls share; resolve are openat2(2)'s flags.
func doOpen(t *kernel.Task, fd int32, addr uint64, flags, mode uint32, resolve uint64) (uint64, error) {
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	c := t.Caller()
	c.Resolve = resolve
	d, err := c.Open(at, path, flags, mode)
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
	if flags&(linux.O_PATH|linux.O_ACCMODE) == linux.O_RDONLY {
		opened, err := t.OpenedFile(d, path)
		if err != nil {
			d.DecRef()
			return 0, err
		}
		d = opened
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
	return doOpen(t, linux.AT_FDCWD, a.Addr(0), a.Uint(1), a.Uint(2), 0)
}

// openat implements openat(2).
func openat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doOpen(t, a.Int(0), a.Addr(1), a.Uint(2), a.Uint(3), 0)
}

// creat implements creat(2).
func creat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return doOpen(t, linux.AT_FDCWD, a.Addr(0), linux.O_CREAT|linux.O_WRONLY|linux.O_TRUNC, a.Uint(1), 0)
}

// openat2 implements openat2(2).
func openat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	const howSize, known = 24, linux.RESOLVE_NO_XDEV | linux.RESOLVE_NO_MAGICLINKS | linux.RESOLVE_NO_SYMLINKS |
		linux.RESOLVE_BENEATH | linux.RESOLVE_IN_ROOT | linux.RESOLVE_CACHED
	how, err := copyInStruct(t, a.Addr(2), a[3], howSize, howSize)
	if err != nil {
		return 0, err
	}
	flags, mode, resolve := le.Uint64(how), le.Uint64(how[8:]), le.Uint64(how[16:])
	creates := flags&(linux.O_CREAT|linux.O_TMPFILE&^linux.O_DIRECTORY) != 0
	const both = linux.RESOLVE_BENEATH | linux.RESOLVE_IN_ROOT
	switch {
	case flags&^linux.VALID_OPEN_FLAGS != 0, resolve&^known != 0, resolve&both == both,
		creates && mode&^0o7777 != 0, !creates && mode != 0,
		flags&linux.O_PATH != 0 && flags&^(linux.O_DIRECTORY|linux.O_NOFOLLOW|linux.O_PATH|linux.O_CLOEXEC) != 0:
		return 0, linux.EINVAL
	case resolve&linux.RESOLVE_CACHED != 0 && (creates || flags&linux.O_TRUNC != 0):
		return 0, linux.EAGAIN
	}
	return doOpen(t, a.Int(0), a.Addr(1), uint32(flags), uint32(mode), resolve)
}

// copyInStruct reads a struct that may grow: size bytes, at least least, of
// which the first known are. E2BIG if others are not zero.
func copyInStruct(t *kernel.Task, addr, size, least, known uint64) ([]byte, error) {
	if size < least {
		return nil, linux.EINVAL
	}
	if size > mm.PageSize {
		return nil, linux.E2BIG
	}
	b := make([]byte, max(size, known))
	if err := t.CopyIn(addr, b[:size]); err != nil {
		return nil, err
	}
	for _, v := range b[known:] {
		if v != 0 {
			return nil, linux.E2BIG
		}
	}
	return b[:known], nil
}

// closeFD implements close(2).
func closeFD(t *kernel.Task, a kernel.Args) (uint64, error) {
	cancelNotify(t, a.Int(0))
	return 0, t.Files().Close(a.Int(0))
}

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
