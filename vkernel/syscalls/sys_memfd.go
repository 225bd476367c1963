package syscalls

import (
	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/vfs"
)

// hiddenFiles is the mount of the files that no path leads to.
func hiddenFiles(t *kernel.Task) *vfs.Mount {
	return namespace(t).Hidden(func() vfs.Filesystem { return mem.New(mem.Options{Dev: devMemfd, Seals: true}) })
}

// memfdCreate implements memfd_create(2).
func memfdCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(1)
	if flags&^(linux.MFD_CLOEXEC|linux.MFD_ALLOW_SEALING|linux.MFD_EXEC|linux.MFD_NOEXEC_SEAL) != 0 {
		return 0, linux.EINVAL
	}
	name, err := t.CopyInString(a.Addr(0), linux.NAME_MAX-len("memfd:")+1)
	if err == linux.ENAMETOOLONG {
		return 0, linux.EINVAL
	}
	if err != nil {
		return 0, err
	}
	if flags&(linux.MFD_EXEC|linux.MFD_NOEXEC_SEAL) == linux.MFD_EXEC|linux.MFD_NOEXEC_SEAL {
		return 0, linux.EINVAL
	}
	m := hiddenFiles(t)
	mode := uint32(0o777)
	if flags&linux.MFD_NOEXEC_SEAL != 0 {
		mode = 0o666
	}
	inode, err := m.FS.Root().CreateAnonymous(vfs.NewInode{Mode: linux.S_IFREG | mode, UID: t.Creds().FSUID, GID: t.Creds().FSGID})
	if err != nil {
		return 0, err
	}
	seals := uint32(0)
	if flags&linux.MFD_NOEXEC_SEAL != 0 {
		seals |= linux.F_SEAL_EXEC
	} else if flags&linux.MFD_ALLOW_SEALING == 0 {
		seals |= linux.F_SEAL_SEAL
	}
	if err := inode.(vfs.Sealed).Seal(seals); err != nil {
		return 0, err
	}
	file, err := inode.Open(vfs.OpenRequest{Flags: linux.O_RDWR, Mount: m})
	if err != nil {
		return 0, err
	}
	loc := vfs.Location{Path: vfs.Path{Mount: m, Inode: inode}, Label: "/memfd:" + name + " (deleted)"}
	return install(t, vfs.NewFileDescription(file, loc, linux.O_RDWR|linux.O_LARGEFILE), flags&linux.MFD_CLOEXEC != 0)
}

// addSeals implements fcntl(F_ADD_SEALS).
func addSeals(t *kernel.Task, d *vfs.FileDescription, add uint32) error {
	if !d.Writable() {
		return linux.EPERM
	}
	if add&^(linux.F_SEAL_SEAL|linux.F_SEAL_SHRINK|linux.F_SEAL_GROW|linux.F_SEAL_WRITE|linux.F_SEAL_FUTURE_WRITE|linux.F_SEAL_EXEC) != 0 {
		return linux.EINVAL
	}
	s, ok := d.Inode().(vfs.Sealed)
	if !ok {
		return linux.EINVAL
	}
	old, err := s.Seals()
	if err != nil {
		return err
	}
	if old&linux.F_SEAL_SEAL != 0 {
		return linux.EPERM
	}
	if add&^old&linux.F_SEAL_WRITE != 0 {
		st, err := d.Inode().Stat()
		if err != nil {
			return err
		}
		if mapped(t, fileID{d.Inode().Filesystem(), st.Ino}, func(v *mm.VMA) bool { return !v.ReadOnly }) > 0 {
			return linux.EBUSY
		}
	}
	return s.Seal(add)
}

// mapped counts the shared mappings of a file, in all processes, that fn likes.
func mapped(t *kernel.Task, id any, fn func(*mm.VMA) bool) int {
	n := 0
	seen := map[*mm.AddressSpace]bool{}
	for _, tg := range t.Container().ThreadGroups() {
		tg.WithMM(func(as *mm.AddressSpace) {
			if seen[as] {
				return
			}
			seen[as] = true
			for _, v := range as.VMAs() {
				if v.Shared && v.FileIdentity() == id && fn(&v) {
					n++
				}
			}
		})
	}
	return n
}

// sealedMapping applies seals to a shared mapping of an open file.
func sealedMapping(d *vfs.FileDescription, o *mm.MapOpts) error {
	s, ok := d.Inode().(vfs.Sealed)
	if !ok {
		return nil
	}
	seals, err := s.Seals()
	if err != nil || seals&(linux.F_SEAL_WRITE|linux.F_SEAL_FUTURE_WRITE) == 0 {
		return nil // it cannot have any
	}
	if o.Prot&linux.PROT_WRITE != 0 {
		return linux.EPERM
	}
	o.ReadOnly = true
	return nil
}
