package vfs

import (
	"megabinary.dev/vkernel/linux"
)

// makeAt resolves a name to make, with the errors of filename_create.
func (c *Caller) makeAt(at Path, path string, mode uint32, target string) (Inode, error) {
	w, err := c.resolve(at, path, keepLink)
	if err != nil {
		return nil, err
	}
	switch {
	case w.dots != "" || w.exists():
		return nil, linux.EEXIST
	case w.slash && mode&linux.S_IFMT != linux.S_IFDIR:
		return nil, linux.ENOENT
	}
	dir, err := c.mayCreate(w.parent, w.name)
	if err != nil {
		return nil, err
	}
	n, err := c.newInode(dir, mode)
	if err != nil {
		return nil, err
	}
	n.Target = target
	inode, err := dir.Create(w.name, n)
	if err == nil {
		w.parent.Mount.notifyName(dir, linux.IN_CREATE, w.name, mode&linux.S_IFMT == linux.S_IFDIR)
	}
	return inode, err
}

// Mkdir implements mkdirat(2).
func (c *Caller) Mkdir(at Path, path string, mode uint32) error {
	_, err := c.makeAt(at, path, linux.S_IFDIR|mode&0o1777, "")
	return err
}

// Symlink implements symlinkat(2).
func (c *Caller) Symlink(target string, at Path, path string) error {
	if target == "" {
		return linux.ENOENT
	}
	if len(target) >= linux.PATH_MAX {
		return linux.ENAMETOOLONG
	}
	_, err := c.makeAt(at, path, linux.S_IFLNK|0o777, target)
	return err
}

// Mknod implements mknodat(2).
func (c *Caller) Mknod(at Path, path string, mode uint32, rdev uint64) error {
	kind := mode & linux.S_IFMT
	switch kind {
	case 0:
		kind = linux.S_IFREG
	case linux.S_IFREG, linux.S_IFIFO, linux.S_IFSOCK:
	case linux.S_IFCHR, linux.S_IFBLK:
		if !c.Creds.HasCap(linux.CAP_MKNOD) {
			return linux.EPERM
		}
	case linux.S_IFDIR:
		return linux.EPERM
	default:
		return linux.EINVAL
	}
	w, err := c.resolve(at, path, keepLink)
	if err != nil {
		return err
	}
	switch {
	case w.dots != "" || w.exists():
		return linux.EEXIST
	case w.slash:
		return linux.ENOENT
	}
	dir, err := c.mayCreate(w.parent, w.name)
	if err != nil {
		return err
	}
	n, err := c.newInode(dir, kind|mode&0o7777)
	if err != nil {
		return err
	}
	if kind == linux.S_IFCHR || kind == linux.S_IFBLK {
		n.Rdev = rdev
	}
	if _, err = dir.Create(w.name, n); err == nil {
		w.parent.Mount.notifyName(dir, linux.IN_CREATE, w.name, false)
	}
	return err
}

// Link implements linkat(2): it makes path another name of old.
func (c *Caller) Link(old Location, at Path, path string) error {
	w, err := c.resolve(at, path, keepLink)
	if err != nil {
		return err
	}
	switch {
	case w.dots != "" || w.exists():
		return linux.EEXIST
	case w.slash:
		return linux.ENOENT
	case w.parent.Mount != old.Mount:
		return linux.EXDEV
	}
	dir, err := c.mayCreate(w.parent, w.name)
	if err != nil {
		return err
	}
	if _, isDir := old.Inode.(Dir); isDir {
		return linux.EPERM
	}
	if err := c.guard(old, MayWrite|MayMove); err != nil {
		return err
	}
	if err := dir.Link(w.name, old.Inode); err != nil {
		return err
	}
	old.Mount.notifySelf(old.Inode, linux.IN_ATTRIB)
	old.Mount.notifyName(dir, linux.IN_CREATE, w.name, false)
	return nil
}

// mayDelete applies may_delete: the caller may remove victim's name from dir.
func (c *Caller) mayDelete(dir Dir, victim Inode) error {
	dst, err := dir.Stat()
	if err != nil {
		return err
	}
	if err := c.Creds.CheckAccess(&dst, MayWrite|MayExec); err != nil {
		return err
	}
	if dst.Mode&linux.S_ISVTX == 0 {
		return nil
	}
	vst, err := victim.Stat()
	if err != nil {
		return err
	}
	if c.Creds.FSUID != vst.UID && c.Creds.FSUID != dst.UID && !c.Creds.HasCap(linux.CAP_FOWNER) {
		return linux.EPERM
	}
	return nil
}

// mountedOn says whether the entry that w found is a mount point.
func (w *walked) mountedOn() bool { return w.exists() && w.loc.Mount != w.parent.Mount }

// remove takes the entry that w found out of its directory, and tells of it.
func (w *walked) remove(rmdir bool) error {
	m := w.parent.Mount
	victim := m.victim(w.loc.Inode)
	if err := w.loc.Parent.Unlink(w.name, rmdir); err != nil {
		return err
	}
	victim.lost()
	m.notifyName(w.loc.Parent, linux.IN_DELETE, w.name, rmdir)
	return nil
}

// Unlink implements unlinkat(2) without AT_REMOVEDIR.
func (c *Caller) Unlink(at Path, path string) error {
	w, err := c.resolve(at, path, keepLink)
	if err != nil {
		return err
	}
	if w.dots != "" {
		return linux.EISDIR
	}
	if w.parent.Mount.ReadOnly {
		return linux.EROFS
	}
	if !w.exists() {
		return linux.ENOENT
	}
	_, isDir := w.loc.Inode.(Dir)
	switch {
	case isDir && w.slash:
		return linux.EISDIR
	case w.slash:
		return linux.ENOTDIR
	}
	if err := c.guard(w.loc, MayWrite); err != nil {
		return err
	}
	if err := c.mayDelete(w.loc.Parent, w.loc.Inode); err != nil {
		return err
	}
	if isDir {
		return linux.EISDIR
	}
	return w.remove(false)
}

// Rmdir implements rmdir(2).
func (c *Caller) Rmdir(at Path, path string) error {
	w, err := c.resolve(at, path, keepLink)
	if err != nil {
		return err
	}
	switch w.dots {
	case "..":
		return linux.ENOTEMPTY
	case ".":
		return linux.EINVAL
	case "/":
		return linux.EBUSY
	}
	if w.parent.Mount.ReadOnly {
		return linux.EROFS
	}
	if !w.exists() {
		return linux.ENOENT
	}
	if err := c.guard(w.loc, MayWrite); err != nil {
		return err
	}
	if err := c.mayDelete(w.loc.Parent, w.loc.Inode); err != nil {
		return err
	}
	if _, ok := w.loc.Inode.(Dir); !ok {
		return linux.ENOTDIR
	}
	if w.mountedOn() {
		return linux.EBUSY
	}
	return w.remove(true)
}

// Rename implements renameat2(2).
func (c *Caller) Rename(oldAt Path, oldPath string, newAt Path, newPath string, flags uint32) error {
	if flags&^(linux.RENAME_NOREPLACE|linux.RENAME_EXCHANGE) != 0 ||
		flags == linux.RENAME_NOREPLACE|linux.RENAME_EXCHANGE {
		return linux.EINVAL
	}
	from, err := c.resolve(oldAt, oldPath, keepLink)
	if err != nil {
		return err
	}
	to, err := c.resolve(newAt, newPath, keepLink)
	if err != nil {
		return err
	}
	switch {
	case from.dots != "":
		return linux.EBUSY
	case to.dots != "" && flags&linux.RENAME_NOREPLACE != 0:
		return linux.EEXIST
	case to.dots != "":
		return linux.EBUSY
	case from.parent.Mount != to.parent.Mount:
		return linux.EXDEV
	case from.parent.Mount.ReadOnly:
		return linux.EROFS
	case !from.exists():
		return linux.ENOENT
	case to.exists() && flags&linux.RENAME_NOREPLACE != 0:
		return linux.EEXIST
	case !to.exists() && flags&linux.RENAME_EXCHANGE != 0:
		return linux.ENOENT
	}
	err = c.guard(from.loc, MayWrite|MayMove)
	if err == nil {
		err = c.guardName(to.parent, to.name, MayWrite|MayMove)
	}
	if err != nil {
		return err
	}
	return c.rename(from, to, flags)
}

func (c *Caller) rename(from, to walked, flags uint32) error {
	_, fromDir := from.loc.Inode.(Dir)
	if !fromDir && (from.slash || to.slash && flags&linux.RENAME_EXCHANGE == 0) {
		return linux.ENOTDIR
	}
	oldDir, err := from.parent.Dir()
	if err != nil {
		return err
	}
	newDir, err := to.parent.Dir()
	if err != nil {
		return err
	}
	if to.exists() && sameInode(from.loc.Path, to.loc.Path) {
		return nil
	}
	if err := c.mayDelete(oldDir, from.loc.Inode); err != nil {
		return err
	}
	if !to.exists() {
		err = c.checkDir(newDir, MayWrite|MayExec)
	} else {
		err = c.mayDelete(newDir, to.loc.Inode)
		_, toDir := to.loc.Inode.(Dir)
		switch {
		case err != nil || flags&linux.RENAME_EXCHANGE != 0:
		case fromDir && !toDir:
			err = linux.ENOTDIR
		case !fromDir && toDir:
			err = linux.EISDIR
		}
	}
	if err != nil {
		return err
	}
	if fromDir && !sameInode(from.parent, to.parent) {
		if err := c.Access(from.loc.Path, MayWrite); err != nil {
			return err
		}
	}
	if from.mountedOn() || to.mountedOn() {
		return linux.EBUSY
	}
	m := from.parent.Mount
	var replaced watchedVictim
	if flags&linux.RENAME_EXCHANGE == 0 {
		replaced = m.victim(to.loc.Inode)
	}
	if err := m.FS.Rename(oldDir, from.name, newDir, to.name, flags); err != nil {
		return err
	}
	m.moved(from.loc.Inode, oldDir, from.name, newDir, to.name, replaced)
	if flags&linux.RENAME_EXCHANGE != 0 {
		m.moved(to.loc.Inode, newDir, to.name, oldDir, from.name, watchedVictim{})
	}
	return nil
}
