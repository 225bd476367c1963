package vfs

import (
	"strings"

	"megabinary.dev/vkernel/linux"
)

// changed tells of a change unless it failed, and returns err.
func (l Location) changed(mask uint32, err error) error {
	if err == nil {
		l.notify(mask)
	}
	return err
}

// Chmod implements fchmodat(2) on what was found at p.
func (c *Caller) Chmod(p Location, mode uint32) error {
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	st, err := c.ownedForChange(p.Path)
	if err != nil {
		return err
	}
	if st.Mode&linux.S_IFMT == linux.S_IFLNK {
		return linux.EOPNOTSUPP
	}
	mode &= 0o7777
	if !c.Creds.InGroup(st.GID) && !c.Creds.HasCap(linux.CAP_FSETID) {
		mode &^= linux.S_ISGID
	}
	return p.changed(linux.IN_ATTRIB, p.Inode.SetAttr(SetAttr{Mode: &mode}))
}

func (c *Caller) ownedForChange(p Path) (linux.Stat, error) {
	if p.Mount != nil && p.Mount.ReadOnly {
		return linux.Stat{}, linux.EROFS
	}
	st, err := p.Inode.Stat()
	if err != nil {
		return st, err
	}
	if !c.Creds.isOwner(&st) {
		return st, linux.EPERM
	}
	return st, nil
}

// Chown implements fchownat(2) on what was found at p; -1 leaves an id alone.
func (c *Caller) Chown(p Location, uid, gid uint32) error {
	const keep = ^uint32(0)
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	if p.Mount != nil && p.Mount.ReadOnly {
		return linux.EROFS
	}
	st, err := p.Inode.Stat()
	if err != nil {
		return err
	}
	var a SetAttr
	if !c.Creds.HasCap(linux.CAP_CHOWN) {
		owner := c.Creds.FSUID == st.UID
		if uid != keep && (!owner || uid != st.UID) {
			return linux.EPERM
		}
		if gid != keep && (!owner || gid != st.GID && !c.Creds.InGroup(gid)) {
			return linux.EPERM
		}
	}
	if uid != keep {
		a.UID = &uid
	}
	if gid != keep {
		a.GID = &gid
	}
	if kind := st.Mode & linux.S_IFMT; kind != linux.S_IFDIR && kind != linux.S_IFLNK {
		mode := st.Mode & 0o7777 &^ linux.S_ISUID
		if mode&linux.S_IXGRP != 0 {
			mode &^= linux.S_ISGID
		}
		a.Mode = &mode
	}
	return p.changed(linux.IN_ATTRIB, p.Inode.SetAttr(a))
}

// Utimes implements utimensat(2) on what was found at p. A nil time is left
// alone; now says that both are to be the current time, which needs less.
func (c *Caller) Utimes(p Location, atime, mtime *linux.Timespec, now bool) error {
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	if p.Mount != nil && p.Mount.ReadOnly {
		return linux.EROFS
	}
	st, err := p.Inode.Stat()
	if err != nil {
		return err
	}
	if !c.Creds.isOwner(&st) {
		if !now {
			return linux.EPERM
		}
		if err := c.Creds.CheckAccess(&st, MayWrite); err != nil {
			return err
		}
	}
	if atime == nil && mtime == nil {
		return nil
	}
	mask := uint32(linux.IN_ATTRIB)
	if mtime == nil {
		mask = linux.IN_ACCESS
	} else if atime == nil {
		mask = linux.IN_MODIFY
	}
	return p.changed(mask, p.Inode.SetAttr(SetAttr{Atime: atime, Mtime: mtime}))
}

// Truncate implements truncate(2) on what was found at p.
func (c *Caller) Truncate(p Location, size int64) error {
	if size < 0 {
		return linux.EINVAL
	}
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	st, err := p.Inode.Stat()
	if err != nil {
		return err
	}
	switch st.Mode & linux.S_IFMT {
	case linux.S_IFDIR:
		return linux.EISDIR
	case linux.S_IFREG:
	default:
		return linux.EINVAL
	}
	if p.Mount != nil && p.Mount.ReadOnly {
		return linux.EROFS
	}
	if err := c.Creds.CheckAccess(&st, MayWrite); err != nil {
		return err
	}
	if c.FileSizeLimit != 0 && uint64(size) > c.FileSizeLimit {
		return linux.EFBIG
	}
	a := SetAttr{Size: &size}
	if mode := st.Mode & 0o7777; mode&(linux.S_ISUID|linux.S_ISGID) != 0 && !c.Creds.HasCap(linux.CAP_FSETID) {
		mode &^= linux.S_ISUID
		if mode&linux.S_IXGRP != 0 {
			mode &^= linux.S_ISGID
		}
		a.Mode = &mode
	}
	return p.changed(linux.IN_MODIFY, p.Inode.SetAttr(a))
}

// Readlink implements readlinkat(2) on what was found at p without following.
func (c *Caller) Readlink(p Path) (string, error) {
	l, ok := p.Inode.(Symlink)
	if !ok {
		return "", linux.EINVAL
	}
	return l.Readlink(c)
}

// checkXattr applies xattr_permission.
func (c *Caller) checkXattr(p Path, name string, want uint32) error {
	if name == "" || len(name) > linux.XATTR_NAME_MAX {
		return linux.ERANGE
	}
	if want == MayWrite && p.Mount != nil && p.Mount.ReadOnly {
		return linux.EROFS
	}
	st, err := p.Inode.Stat()
	if err != nil {
		return err
	}
	switch ns, _, _ := strings.Cut(name, "."); ns {
	case "security":
		if want == MayWrite && !c.Creds.HasCap(linux.CAP_SYS_ADMIN) && name != "security.capability" {
			return linux.EPERM
		}
		return nil
	case "trusted":
		if c.Creds.HasCap(linux.CAP_SYS_ADMIN) {
			return nil
		}
		if want == MayWrite {
			return linux.EPERM
		}
		return linux.ENODATA
	case "user":
		if k := st.Mode & linux.S_IFMT; k != linux.S_IFREG && k != linux.S_IFDIR {
			if want == MayWrite {
				return linux.EPERM
			}
			return linux.ENODATA
		}
		return c.Creds.CheckAccess(&st, want)
	default:
		return linux.EOPNOTSUPP
	}
}

func xattrsOf(p Path) (Xattrs, error) {
	if x, ok := p.Inode.(Xattrs); ok {
		return x, nil
	}
	return nil, linux.EOPNOTSUPP
}

// GetXattr implements getxattr(2).
func (c *Caller) GetXattr(p Path, name string) ([]byte, error) {
	if err := c.checkXattr(p, name, MayRead); err != nil {
		return nil, err
	}
	x, err := xattrsOf(p)
	if err != nil {
		return nil, err
	}
	return x.GetXattr(name)
}

// SetXattr implements setxattr(2).
func (c *Caller) SetXattr(p Location, name string, value []byte, flags uint32) error {
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	if err := c.checkXattr(p.Path, name, MayWrite); err != nil {
		return err
	}
	x, err := xattrsOf(p.Path)
	if err != nil {
		return err
	}
	return p.changed(linux.IN_ATTRIB, x.SetXattr(name, value, flags))
}

// RemoveXattr implements removexattr(2).
func (c *Caller) RemoveXattr(p Location, name string) error {
	if err := c.guard(p, MayWrite); err != nil {
		return err
	}
	if err := c.checkXattr(p.Path, name, MayWrite); err != nil {
		return err
	}
	x, err := xattrsOf(p.Path)
	if err != nil {
		return err
	}
	return p.changed(linux.IN_ATTRIB, x.RemoveXattr(name))
}

// ListXattr implements listxattr(2); trusted names show for CAP_SYS_ADMIN only.
func (c *Caller) ListXattr(p Path) ([]string, error) {
	x, ok := p.Inode.(Xattrs)
	if !ok {
		return nil, nil
	}
	names, err := x.ListXattr()
	if err != nil || c.Creds.HasCap(linux.CAP_SYS_ADMIN) {
		return names, err
	}
	shown := names[:0:0]
	for _, n := range names {
		if !strings.HasPrefix(n, "trusted.") {
			shown = append(shown, n)
		}
	}
	return shown, nil
}
