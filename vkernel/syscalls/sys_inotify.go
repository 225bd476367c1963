package syscalls

import (
	"megabinary.dev/vkernel/fs/anon"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// inotifyInit implements inotify_init(2).
func inotifyInit(t *kernel.Task, _ kernel.Args) (uint64, error) {
	return inotifyInit1(t, kernel.Args{})
}

// inotifyInit1 implements inotify_init1(2).
func inotifyInit1(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(0)
	if flags&^(linux.IN_CLOEXEC|linux.IN_NONBLOCK) != 0 {
		return 0, linux.EINVAL
	}
	f := anon.NewInotify(namespace(t).Watches(), anonStat(t, devAnon, 0o600))
	d := vfs.NewFileDescription(f, vfs.Location{}, linux.O_RDONLY|flags&linux.O_NONBLOCK)
	return install(t, d, flags&linux.IN_CLOEXEC != 0)
}

// inotifyOf returns the queue that d is; EINVAL if it is none.
func inotifyOf(d *vfs.FileDescription) (*anon.Inotify, error) {
	i, ok := d.File().(*anon.Inotify)
	if !ok {
		return nil, linux.EINVAL
	}
	return i, nil
}

// inotifyAddWatch implements inotify_add_watch(2).
func inotifyAddWatch(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = linux.IN_ALL_EVENTS | linux.IN_UNMOUNT | linux.IN_Q_OVERFLOW | linux.IN_IGNORED | linux.IN_ONLYDIR |
		linux.IN_DONT_FOLLOW | linux.IN_EXCL_UNLINK | linux.IN_MASK_ADD | linux.IN_MASK_CREATE | linux.IN_ISDIR | linux.IN_ONESHOT
	mask := a.Uint(2)
	if mask&known == 0 {
		return 0, linux.EINVAL
	}
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if mask&linux.IN_MASK_ADD != 0 && mask&linux.IN_MASK_CREATE != 0 {
		return 0, linux.EINVAL
	}
	i, err := inotifyOf(d)
	if err != nil {
		return 0, err
	}
	flags := uint32(0)
	if mask&linux.IN_DONT_FOLLOW != 0 {
		flags = linux.AT_SYMLINK_NOFOLLOW
	}
	loc, err := walkAt(t, linux.AT_FDCWD, a.Addr(1), flags)
	if err != nil {
		return 0, err
	}
	if _, ok := loc.Inode.(vfs.Dir); !ok && mask&linux.IN_ONLYDIR != 0 {
		return 0, linux.ENOTDIR
	}
	if err := t.Caller().Access(loc.Path, vfs.MayRead); err != nil {
		return 0, err
	}
	key, err := vfs.KeyOf(loc.Inode)
	if err != nil {
		return 0, err
	}
	wd, err := i.AddWatch(key, mask)
	return uint64(wd), err
}

// inotifyRmWatch implements inotify_rm_watch(2).
func inotifyRmWatch(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	i, err := inotifyOf(d)
	if err != nil {
		return 0, err
	}
	return 0, i.RemoveWatch(a.Int(1))
}
