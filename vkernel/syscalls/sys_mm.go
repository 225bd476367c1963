package syscalls

import (
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/pages"
	"megabinary.dev/vkernel/vfs"
)

// mappedFile adapts a file description to mm.File. It keeps no reference to the
// description: what is mapped is the inode.
type mappedFile struct {
	file  vfs.File
	inode vfs.Inode
	name  string
	id    any
	pages *pages.Content // nil: not known to stay as they are
}

// fileID names an inode.
type fileID struct {
	fs  vfs.Filesystem
	ino uint64
}

func (f *mappedFile) ReadAt(p []byte, off int64) (int, error)  { return f.file.ReadAt(p, off) }
func (f *mappedFile) WriteAt(p []byte, off int64) (int, error) { return f.file.WriteAt(p, off) }
func (f *mappedFile) Identity() any                            { return f.id }
func (f *mappedFile) MapName() string                          { return f.name }
func (f *mappedFile) Pages() *pages.Content                    { return f.pages }
func (f *mappedFile) Release()                                 { f.file.Release() }

// pagedMapping is a mappedFile whose reads and writes go to the mapped pages.
type pagedMapping struct {
	*mappedFile
	paged vfs.Paged
}

func (f pagedMapping) Attach(p mm.Pages, from, to uint64) error {
	return f.paged.AttachPages(p, int64(from), int64(to))
}
func (f pagedMapping) Store(p []byte, off uint64) error { return f.paged.StorePages(p, int64(off)) }
func (f pagedMapping) Detach()                          { f.paged.DetachPages() }

// asMapping returns f as mm wants it.
func (f *mappedFile) asMapping() mm.File {
	if p, ok := f.file.(vfs.Paged); ok {
		return pagedMapping{f, p}
	}
	return f
}

const mmapProt = linux.PROT_READ | linux.PROT_WRITE | linux.PROT_EXEC

// mmap implements mmap(2).
func mmap(t *kernel.Task, a kernel.Args) (uint64, error) {
	prot, flags := a.Uint(2), a.Uint(3)
	o := mm.MapOpts{
		Addr: a.Addr(0), Length: a[1], Prot: prot & mmapProt, Offset: a[5],
		Fixed:     flags&(linux.MAP_FIXED|linux.MAP_FIXED_NOREPLACE) != 0,
		NoReplace: flags&linux.MAP_FIXED_NOREPLACE != 0,
		GrowsDown: flags&linux.MAP_GROWSDOWN != 0,
	}
	switch flags & linux.MAP_TYPE {
	case linux.MAP_SHARED, linux.MAP_SHARED_VALIDATE:
		o.Shared = true
	case linux.MAP_PRIVATE:
	default:
		return 0, linux.EINVAL
	}
	if flags&linux.MAP_LOCKED != 0 {
		o.Locked = true
		if lockLimit(t) == 0 {
			return 0, linux.EPERM
		}
		if t.MM().Locked()+o.Length > lockLimit(t) {
			return 0, linux.EAGAIN
		}
	}
	if flags&linux.MAP_ANONYMOUS != 0 {
		o.Offset = 0
		if prot&linux.PROT_EXEC != 0 {
			return 0, t.RefuseMemory("mmap", "anonymous memory with PROT_EXEC")
		}
		return t.MM().Map(o)
	}
	desc, err := t.Files().Get(a.Int(4))
	if err != nil {
		return 0, err
	}
	defer desc.DecRef()
	return mmapFile(t, desc, o)
}

func mmapFile(t *kernel.Task, desc *vfs.FileDescription, o mm.MapOpts) (uint64, error) {
	if !desc.Readable() || o.Shared && o.Prot&linux.PROT_WRITE != 0 && !desc.Writable() {
		return 0, linux.EACCES
	}
	inode := desc.Inode()
	if inode == nil {
		return 0, linux.ENODEV
	}
	st, err := inode.Stat()
	if err != nil {
		return 0, err
	}
	if st.Mode&linux.S_IFMT == linux.S_IFCHR && st.Rdev == linux.MakeDev(1, 5) {
		if o.Prot&linux.PROT_EXEC != 0 {
			return 0, t.RefuseMemory("mmap", "/dev/zero with PROT_EXEC")
		}
		o.ReadOnly = o.Shared && !desc.Writable()
		return t.MM().Map(o) // /dev/zero
	}
	if st.Mode&linux.S_IFMT != linux.S_IFREG {
		return 0, linux.ENODEV
	}
	if o.Prot&linux.PROT_EXEC != 0 {
		return mapCode(t, desc, o)
	}
	f := &mappedFile{file: desc.File(), inode: inode, name: desc.Describe(t.FS().Root()), id: fileID{inode.Filesystem(), st.Ino}}
	if o.Shared {
		// The object outlives the description.
		file, err := reopen(t, desc)
		if err != nil {
			return 0, err
		}
		f.file = file
		o.ReadOnly = !desc.Writable()
		if err := sealedMapping(desc, &o); err != nil {
			file.Release()
			return 0, err
		}
	} else {
		f.pages = t.CachedContent(inode)
	}
	o.File = f.asMapping()
	return t.MM().Map(o)
}

// reopen opens what desc refers to once more, for a mapping that outlives it.
func reopen(t *kernel.Task, desc *vfs.FileDescription) (vfs.File, error) {
	flags := uint32(linux.O_RDONLY)
	if desc.Writable() {
		flags = linux.O_RDWR
	}
	return desc.Inode().Open(vfs.OpenRequest{Caller: t.Caller(), Flags: flags, Mount: desc.Path().Mount})
}

// mapCode maps a file with PROT_EXEC: only what the exec controller knows, from
// the bytes that it has hashed.
func mapCode(t *kernel.Task, desc *vfs.FileDescription, o mm.MapOpts) (uint64, error) {
	d, err := t.CheckMap(desc)
	if err != nil {
		if isErrno(err, linux.ENOEXEC) {
			err = linux.EACCES
		}
		return 0, err
	}
	if d.Unit < 0 {
		return 0, linux.EACCES
	}
	if o.Shared {
		return 0, t.RefuseMemory("mmap", "a file shared with PROT_EXEC")
	}
	o.File = contentFile{d.Content, d.Pages, desc.Describe(t.FS().Root())}
	addr, err := t.MM().Map(o)
	if err != nil {
		return 0, err
	}
	vaddr, ok := codeAddress(d.Content, o.Offset)
	if !ok {
		_ = t.MM().Unmap(addr, o.Length) // just mapped
		return 0, linux.EACCES
	}
	t.DismissUnits(addr, addr+o.Length)
	return addr, t.AdmitUnit(d.Unit, addr-vaddr)
}

// contentFile is a file's verified bytes.
type contentFile struct {
	content []byte
	pages   *pages.Content
	name    string
}

func (f contentFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(f.content)) {
		return 0, nil
	}
	return copy(p, f.content[off:]), nil
}
func (f contentFile) WriteAt([]byte, int64) (int, error) { return 0, linux.EBADF }
func (f contentFile) Identity() any                      { return nil }
func (f contentFile) MapName() string                    { return f.name }
func (f contentFile) Pages() *pages.Content              { return f.pages }

// mprotect implements mprotect(2).
func mprotect(t *kernel.Task, a kernel.Args) (uint64, error) {
	prot := a.Uint(2)
	if prot&^(mmapProt|linux.PROT_GROWSDOWN|linux.PROT_GROWSUP) != 0 {
		return 0, linux.EINVAL
	}
	if prot&linux.PROT_EXEC != 0 && !t.MM().Executable(a.Addr(0), a[1]) {
		return 0, t.RefuseMemory("mprotect", "PROT_EXEC on what is no code of the exec map")
	}
	return 0, t.MM().Protect(a.Addr(0), a[1], prot&mmapProt)
}

// pkeyMprotect implements pkey_mprotect(2) without keys: none can be allocated.
func pkeyMprotect(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(3) != -1 {
		return 0, linux.EINVAL
	}
	return mprotect(t, a)
}

// munmap implements munmap(2).
func munmap(t *kernel.Task, a kernel.Args) (uint64, error) {
	if err := t.MM().Unmap(a.Addr(0), a[1]); err != nil {
		return 0, err
	}
	t.DismissUnits(a.Addr(0), a.Addr(0)+a[1])
	return 0, nil
}

// brk implements brk(2).
func brk(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.MM().SetBreak(a.Addr(0), t.ThreadGroup().Limit(linux.RLIMIT_DATA).Cur), nil
}

// mremap implements mremap(2).
func mremap(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.MM().Remap(a.Addr(0), a[1], a[2], a.Uint(3), a.Addr(4))
}

// msync implements msync(2).
func msync(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(2)
	if flags&^(linux.MS_ASYNC|linux.MS_INVALIDATE|linux.MS_SYNC) != 0 ||
		flags&(linux.MS_ASYNC|linux.MS_SYNC) == linux.MS_ASYNC|linux.MS_SYNC {
		return 0, linux.EINVAL
	}
	return 0, t.MM().Sync(a.Addr(0), a[1])
}

// mincore implements mincore(2).
func mincore(t *kernel.Task, a kernel.Args) (uint64, error) {
	vec, err := t.MM().Resident(a.Addr(0), a[1])
	if err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(2), vec)
}

// madvise implements madvise(2).
func madvise(t *kernel.Task, a kernel.Args) (uint64, error) {
	switch advice := int(a.Int(2)); advice {
	case linux.MADV_NORMAL, linux.MADV_RANDOM, linux.MADV_SEQUENTIAL, linux.MADV_WILLNEED, linux.MADV_DONTNEED,
		linux.MADV_FREE, linux.MADV_REMOVE, linux.MADV_DONTFORK, linux.MADV_DOFORK, linux.MADV_MERGEABLE,
		linux.MADV_UNMERGEABLE, linux.MADV_HUGEPAGE, linux.MADV_NOHUGEPAGE, linux.MADV_DONTDUMP, linux.MADV_DODUMP,
		linux.MADV_WIPEONFORK, linux.MADV_KEEPONFORK, linux.MADV_COLD, linux.MADV_PAGEOUT:
		return 0, t.MM().Advise(a.Addr(0), a[1], advice)
	}
	return 0, linux.EINVAL
}

// lockLimit returns how many bytes t may lock; 0: it may not lock any.
func lockLimit(t *kernel.Task) uint64 {
	if t.Creds().HasCap(linux.CAP_IPC_LOCK) {
		return linux.RLIM_INFINITY
	}
	return t.ThreadGroup().Limit(linux.RLIMIT_MEMLOCK).Cur
}

// mlock implements mlock(2).
func mlock(t *kernel.Task, a kernel.Args) (uint64, error) {
	limit := lockLimit(t)
	if limit == 0 {
		return 0, linux.EPERM
	}
	if err := t.MM().Lock(a.Addr(0), a[1], true, limit); err != nil {
		return 0, err
	}
	t.MM().Populate(a.Addr(0), a[1])
	return 0, nil
}

// mlock2 implements mlock2(2).
func mlock2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2)&^linux.MLOCK_ONFAULT != 0 {
		return 0, linux.EINVAL
	}
	if a.Uint(2) == 0 {
		return mlock(t, a)
	}
	limit := lockLimit(t)
	if limit == 0 {
		return 0, linux.EPERM
	}
	return 0, t.MM().Lock(a.Addr(0), a[1], true, limit)
}

// munlock implements munlock(2).
func munlock(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Lock(a.Addr(0), a[1], false, 0)
}

// mlockall implements mlockall(2).
func mlockall(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(0)
	if flags == 0 || flags&^(linux.MCL_CURRENT|linux.MCL_FUTURE|linux.MCL_ONFAULT) != 0 || flags == linux.MCL_ONFAULT {
		return 0, linux.EINVAL
	}
	limit := lockLimit(t)
	if limit == 0 {
		return 0, linux.EPERM
	}
	return 0, t.MM().LockAll(flags&linux.MCL_CURRENT != 0, flags&linux.MCL_FUTURE != 0, limit)
}

// munlockall implements munlockall(2).
func munlockall(t *kernel.Task, _ kernel.Args) (uint64, error) {
	return 0, t.MM().LockAll(false, false, 0)
}

// mseal implements mseal(2).
func mseal(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a[2] != 0 {
		return 0, linux.EINVAL
	}
	return 0, t.MM().Seal(a.Addr(0), a[1])
}

// success implements calls that have nothing to do here.
func success(*kernel.Task, kernel.Args) (uint64, error) { return 0, nil }
