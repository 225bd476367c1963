package syscalls

import (
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
)

// readDirectory serves getdents and getdents64, which differ in layout.
func readDirectory(t *kernel.Task, a kernel.Args, length func(*linux.Dirent) int, put func(*linux.Dirent, []byte) []byte) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	// A buffer larger than this is only filled further by the next call.
	size := min(int(a.Uint(2)), 256<<10)
	var out []byte
	short := false
	err = d.ReadDir(func(e linux.Dirent) bool {
		if len(out)+length(&e) > size {
			short = len(out) == 0
			return false
		}
		out = put(&e, out)
		return true
	})
	if err != nil {
		return 0, err
	}
	if short {
		return 0, linux.EINVAL
	}
	return uint64(len(out)), t.CopyOut(a.Addr(1), out)
}

// getdents implements getdents(2).
func getdents(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readDirectory(t, a, (*linux.Dirent).Len, (*linux.Dirent).Append)
}

// getdents64 implements getdents64(2).
func getdents64(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readDirectory(t, a, (*linux.Dirent).Len64, (*linux.Dirent).Append64)
}

// getcwd implements the system call: it returns the length with the NUL.
func getcwd(t *kernel.Task, a kernel.Args) (uint64, error) {
	root, cwd, _ := t.FS().Get()
	path, err := vfs.PathOfDir(cwd, root)
	if err != nil {
		return 0, err
	}
	if uint64(len(path))+1 > a[1] {
		return 0, linux.ERANGE
	}
	return uint64(len(path)) + 1, t.CopyOut(a.Addr(0), append([]byte(path), 0))
}

// chdir implements chdir(2).
func chdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := pathArg(t, a.Addr(0))
	if err != nil {
		return 0, err
	}
	p, err := t.Caller().WalkDir(vfs.Path{}, path)
	if err == nil {
		t.FS().SetCwd(p)
	}
	return 0, err
}

// fchdir implements fchdir(2).
func fchdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.Inode() == nil {
		return 0, linux.ENOTDIR
	}
	if err := t.Caller().CheckSearch(d.Path()); err != nil {
		return 0, err
	}
	t.FS().SetCwd(d.Path())
	return 0, nil
}

// chroot implements chroot(2).
func chroot(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := pathArg(t, a.Addr(0))
	if err != nil {
		return 0, err
	}
	p, err := t.Caller().WalkDir(vfs.Path{}, path)
	if err != nil {
		return 0, err
	}
	if !t.Creds().HasCap(linux.CAP_SYS_CHROOT) {
		return 0, linux.EPERM
	}
	t.FS().SetRoot(p)
	return 0, nil
}

// umask implements umask(2).
func umask(t *kernel.Task, a kernel.Args) (uint64, error) {
	return uint64(t.FS().SwapUmask(a.Uint(0))), nil
}

func mkdirAt(t *kernel.Task, fd int32, addr uint64, mode uint32) (uint64, error) {
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	return 0, t.Caller().Mkdir(at, path, mode)
}

// mkdir implements mkdir(2).
func mkdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mkdirAt(t, linux.AT_FDCWD, a.Addr(0), a.Uint(1))
}

// mkdirat implements mkdirat(2).
func mkdirat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mkdirAt(t, a.Int(0), a.Addr(1), a.Uint(2))
}

func mknodAt(t *kernel.Task, fd int32, addr uint64, mode, dev uint32) (uint64, error) {
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	return 0, t.Caller().Mknod(at, path, mode, uint64(dev))
}

// mknod implements mknod(2).
func mknod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mknodAt(t, linux.AT_FDCWD, a.Addr(0), a.Uint(1), a.Uint(2))
}

// mknodat implements mknodat(2).
func mknodat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mknodAt(t, a.Int(0), a.Addr(1), a.Uint(2), a.Uint(3))
}

func unlinkAt(t *kernel.Task, fd int32, addr uint64, rmdir bool) (uint64, error) {
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	if rmdir {
		return 0, t.Caller().Rmdir(at, path)
	}
	return 0, t.Caller().Unlink(at, path)
}

// unlink implements unlink(2).
func unlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return unlinkAt(t, linux.AT_FDCWD, a.Addr(0), false)
}

// rmdir implements rmdir(2).
func rmdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	return unlinkAt(t, linux.AT_FDCWD, a.Addr(0), true)
}

// unlinkat implements unlinkat(2).
func unlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2)&^linux.AT_REMOVEDIR != 0 {
		return 0, linux.EINVAL
	}
	return unlinkAt(t, a.Int(0), a.Addr(1), a.Uint(2)&linux.AT_REMOVEDIR != 0)
}

func renameAt(t *kernel.Task, oldFD int32, oldAddr uint64, newFD int32, newAddr uint64, flags uint32) (uint64, error) {
	oldAt, oldPath, err := pathAt(t, oldFD, oldAddr)
	if err != nil {
		return 0, err
	}
	newAt, newPath, err := pathAt(t, newFD, newAddr)
	if err != nil {
		return 0, err
	}
	return 0, t.Caller().Rename(oldAt, oldPath, newAt, newPath, flags)
}

// rename implements rename(2).
func rename(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, linux.AT_FDCWD, a.Addr(0), linux.AT_FDCWD, a.Addr(1), 0)
}

// renameat implements renameat(2).
func renameat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, a.Int(0), a.Addr(1), a.Int(2), a.Addr(3), 0)
}

// renameat2 implements renameat2(2) without RENAME_WHITEOUT.
func renameat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, a.Int(0), a.Addr(1), a.Int(2), a.Addr(3), a.Uint(4))
}

func linkAt(t *kernel.Task, oldFD int32, oldAddr uint64, newFD int32, newAddr uint64, flags uint32) (uint64, error) {
	if flags&^(linux.AT_SYMLINK_FOLLOW|linux.AT_EMPTY_PATH) != 0 {
		return 0, linux.EINVAL
	}
	find := flags & linux.AT_EMPTY_PATH
	if flags&linux.AT_SYMLINK_FOLLOW == 0 {
		find |= linux.AT_SYMLINK_NOFOLLOW
	}
	old, err := walkAt(t, oldFD, oldAddr, find)
	if err != nil {
		return 0, err
	}
	at, path, err := pathAt(t, newFD, newAddr)
	if err != nil {
		return 0, err
	}
	return 0, t.Caller().Link(old, at, path)
}

// link implements link(2).
func link(t *kernel.Task, a kernel.Args) (uint64, error) {
	return linkAt(t, linux.AT_FDCWD, a.Addr(0), linux.AT_FDCWD, a.Addr(1), 0)
}

// linkat implements linkat(2).
func linkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return linkAt(t, a.Int(0), a.Addr(1), a.Int(2), a.Addr(3), a.Uint(4))
}

func symlinkAt(t *kernel.Task, target uint64, fd int32, addr uint64) (uint64, error) {
	to, err := pathArg(t, target)
	if err != nil {
		return 0, err
	}
	at, path, err := pathAt(t, fd, addr)
	if err != nil {
		return 0, err
	}
	return 0, t.Caller().Symlink(to, at, path)
}

// symlink implements symlink(2).
func symlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return symlinkAt(t, a.Addr(0), linux.AT_FDCWD, a.Addr(1))
}

// symlinkat implements symlinkat(2).
func symlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return symlinkAt(t, a.Addr(0), a.Int(1), a.Addr(2))
}

// mountDenied serves mount(2), umount2(2) and pivot_root(2): a container's
// mounts are the host's business.
func mountDenied(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.EPERM }
