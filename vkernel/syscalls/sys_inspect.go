package syscalls

import (
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/vfs"
)

// mayInspect applies the check of ptrace(2) that calls make which look into
// another process.
func mayInspect(t, other *kernel.Task) error {
	if t.ThreadGroup() == other.ThreadGroup() || t.Creds().HasCap(linux.CAP_SYS_PTRACE) {
		return nil
	}
	c, o := t.Creds(), other.Creds()
	if c.FSUID != o.UID || c.FSUID != o.EUID || c.FSUID != o.SUID || c.FSGID != o.GID || c.FSGID != o.EGID || c.FSGID != o.SGID {
		return linux.EPERM
	}
	return nil
}

// inspected returns the thread that argument i names, if t may look into it.
func inspected(t *kernel.Task, a kernel.Args, i int) (*kernel.Task, error) {
	other := t.Container().Task(int(a.Int(i)))
	if other == nil {
		return nil, linux.ESRCH
	}
	return other, mayInspect(t, other)
}

// kcmp implements kcmp(2). What differs has no order.
func kcmp(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		file, vm, files, fs, sighand, io, sysvsem = 0, 1, 2, 3, 4, 5, 6
		unordered                                 = 3
	)
	x, err := inspected(t, a, 0)
	if err != nil {
		return 0, err
	}
	y, err := inspected(t, a, 1)
	if err != nil {
		return 0, err
	}
	same := false
	switch a.Uint(2) {
	case file:
		d, err := x.Files().Get(a.Int(3))
		if err != nil {
			return 0, err
		}
		defer d.DecRef()
		e, err := y.Files().Get(a.Int(4))
		if err != nil {
			return 0, err
		}
		defer e.DecRef()
		same = d == e
	case vm:
		same = x.MM() == y.MM()
	case files:
		same = x.Files() == y.Files()
	case fs:
		same = x.FS() == y.FS()
	case sighand, io, sysvsem:
		same = x.ThreadGroup() == y.ThreadGroup()
	default:
		return 0, linux.EINVAL
	}
	if same {
		return 0, nil
	}
	return unordered, nil
}

// processVMReadv implements process_vm_readv(2).
func processVMReadv(t *kernel.Task, a kernel.Args) (uint64, error) { return processVM(t, a, false) }

// processVMWritev implements process_vm_writev(2).
func processVMWritev(t *kernel.Task, a kernel.Args) (uint64, error) { return processVM(t, a, true) }

func processVM(t *kernel.Task, a kernel.Args, write bool) (uint64, error) {
	if a[5] != 0 {
		return 0, linux.EINVAL
	}
	local, err := iovecs(t, a.Addr(1), int32(min(a[2], 1<<20)), !write)
	if err != nil {
		return 0, err
	}
	remote, err := remoteVectors(t, a.Addr(3), a[4])
	if err != nil {
		return 0, err
	}
	other, err := inspected(t, a, 0)
	if err != nil {
		return 0, err
	}
	done := uint64(0)
	err = linux.ESRCH // the process has no memory any more
	other.ThreadGroup().WithMM(func(as *mm.AddressSpace) {
		err = nil
		for _, v := range remote {
			for v.Len > 0 && len(local) > 0 {
				if len(local[0]) == 0 {
					local = local[1:]
					continue
				}
				p, perr := as.SlicePrefix(v.Base, min(v.Len, uint64(len(local[0]))), write)
				if perr != nil {
					err = perr
					return
				}
				n := 0
				if write {
					n = copy(p, local[0])
				} else {
					n = copy(local[0], p)
				}
				local[0] = local[0][n:]
				v.Base, v.Len, done = v.Base+uint64(n), v.Len-uint64(n), done+uint64(n)
			}
		}
	})
	if done > 0 {
		return done, nil
	}
	return 0, err
}

// remoteVectors reads an array of struct iovec whose addresses are another
// process's.
func remoteVectors(t *kernel.Task, addr, count uint64) ([]linux.Iovec, error) {
	if count > linux.IOV_MAX {
		return nil, linux.EINVAL
	}
	raw := make([]byte, count*linux.IovecSize)
	if err := t.CopyIn(addr, raw); err != nil {
		return nil, err
	}
	list := make([]linux.Iovec, count)
	for i := range list {
		list[i].Unmarshal(raw[i*linux.IovecSize:])
		if int64(list[i].Len) < 0 {
			return nil, linux.EINVAL
		}
	}
	return list, nil
}

// pidfdGetfd implements pidfd_getfd(2).
func pidfdGetfd(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2) != 0 {
		return 0, linux.EINVAL
	}
	f, err := pidfdOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	other := t.Container().Task(f.PID())
	if other == nil || other.ThreadGroup() != t.Container().ThreadGroup(f.PID()) {
		return 0, linux.ESRCH
	}
	if err := mayInspect(t, other); err != nil {
		return 0, err
	}
	d, err := other.Files().Get(a.Int(1))
	if err != nil {
		return 0, err
	}
	return install(t, d, true)
}

// nameToHandleAt implements name_to_handle_at(2): a handle is an inode's number.
func nameToHandleAt(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		follow, fid, uniqueMount, connectable = 0x400, 0x200, 1, 2 // AT_SYMLINK_FOLLOW, AT_HANDLE_...
		size, most, kind                      = 8, 128, 1
	)
	flags := a.Uint(4)
	if flags&^(follow|fid|uniqueMount|connectable|linux.AT_EMPTY_PATH) != 0 || flags&(fid|connectable) == fid|connectable {
		return 0, linux.EINVAL
	}
	walk := flags & linux.AT_EMPTY_PATH
	if flags&follow == 0 {
		walk |= linux.AT_SYMLINK_NOFOLLOW
	}
	loc, err := walkAt(t, a.Int(0), a.Addr(1), walk)
	if err != nil {
		return 0, err
	}
	var head [8]byte
	if err := t.CopyIn(a.Addr(2), head[:]); err != nil {
		return 0, err
	}
	room := le.Uint32(head[:])
	if room > most {
		return 0, linux.EINVAL
	}
	st, err := loc.Inode.Stat()
	if err != nil {
		return 0, err
	}
	id := 0
	if loc.Mount != nil {
		id = loc.Mount.ID
	}
	if err := t.CopyOut(a.Addr(3), le.AppendUint32(nil, uint32(id))); err != nil {
		return 0, err
	}
	b := le.AppendUint32(nil, size)
	if room < size {
		if err := t.CopyOut(a.Addr(2), b); err != nil {
			return 0, err
		}
		return 0, linux.EOVERFLOW
	}
	b = le.AppendUint32(b, kind)
	return 0, t.CopyOut(a.Addr(2), le.AppendUint64(b, st.Ino))
}

// fileAttr checks the arguments of file_getattr(2) and file_setattr(2), whose
// attributes no file system here has.
func fileAttr(t *kernel.Task, a kernel.Args) (uint64, error) {
	const least = 24 // FILE_ATTR_SIZE_VER0
	flags := a.Uint(4)
	switch {
	case flags&^(linux.AT_SYMLINK_NOFOLLOW|linux.AT_EMPTY_PATH) != 0:
		return 0, linux.EINVAL
	case a[3] > mm.PageSize:
		return 0, linux.E2BIG
	case a[3] < least:
		return 0, linux.EINVAL
	}
	if _, err := t.Slice(a.Addr(2), a[3], false); err != nil {
		return 0, err
	}
	if _, err := walkAt(t, a.Int(0), a.Addr(1), flags); err != nil {
		return 0, err
	}
	return 0, linux.EOPNOTSUPP
}

// cachestat implements cachestat(2): all of a file is in memory.
func cachestat(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	var b [16]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	if a.Uint(3) != 0 {
		return 0, linux.EINVAL
	}
	st, err := d.Stat()
	if err != nil {
		return 0, err
	}
	first, length := le.Uint64(b[:])/mm.PageSize, le.Uint64(b[8:])
	end := mm.PageUp(uint64(st.Size)) / mm.PageSize
	if last := le.Uint64(b[:]) + length; length != 0 && last >= length {
		end = min(end, mm.PageUp(last)/mm.PageSize)
	}
	out := le.AppendUint64(nil, max(end, first)-first)
	return 0, t.CopyOut(a.Addr(2), append(out, make([]byte, 32)...))
}

// syncFileRange implements sync_file_range(2).
func syncFileRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	off, n := a.Int64(1), a.Int64(2)
	switch {
	case d.IsPath():
		return 0, linux.EBADF
	case a.Uint(3)&^7 != 0 || off < 0 || n < 0 || off+n < 0:
		return 0, linux.EINVAL
	}
	st, err := d.Stat()
	if err != nil {
		return 0, err
	}
	switch st.Mode & linux.S_IFMT {
	case linux.S_IFREG, linux.S_IFBLK, linux.S_IFDIR, linux.S_IFLNK:
		return 0, nil
	}
	return 0, linux.ESPIPE
}

// readahead implements readahead(2): there is nothing to read ahead.
func readahead(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Readable() {
		return 0, linux.EBADF
	}
	st, err := d.Stat()
	if err != nil {
		return 0, err
	}
	_, anonymous := d.File().(interface{ Describe() string })
	switch kind := st.Mode & linux.S_IFMT; {
	case kind == linux.S_IFREG && !(anonymous && d.Inode() == nil), kind == linux.S_IFBLK:
		return 0, nil
	}
	return 0, linux.EINVAL
}

// sysfsCall implements sysfs(2): the kinds of file systems by number.
func sysfsCall(t *kernel.Task, a kernel.Args) (uint64, error) {
	types := []string{"proc", "tmpfs", "overlay", "devpts"}
	switch a.Int(0) {
	case 1:
		name, err := t.CopyInString(a.Addr(1), mm.PageSize)
		if err != nil {
			return 0, err
		}
		for i, have := range types {
			if have == name {
				return uint64(i), nil
			}
		}
		return 0, linux.EINVAL
	case 2:
		if a.Uint(1) >= uint32(len(types)) {
			return 0, linux.EINVAL
		}
		return 0, t.CopyOut(a.Addr(2), append([]byte(types[a.Uint(1)]), 0))
	case 3:
		return uint64(len(types)), nil
	}
	return 0, linux.EINVAL
}

// ustat implements ustat(2) for the file systems that are mounted.
func ustat(t *kernel.Task, a kernel.Args) (uint64, error) {
	const size = 32
	for _, m := range namespace(t).Mounts() {
		st, err := m.FS.Root().Stat()
		if err != nil || st.Dev != uint64(a.Uint(0)) {
			continue
		}
		s := m.FS.Statfs()
		b := make([]byte, size)
		le.PutUint32(b, uint32(s.Bfree))
		le.PutUint64(b[8:], uint64(s.Ffree))
		return 0, t.CopyOut(a.Addr(1), b)
	}
	return 0, linux.EINVAL
}

// vhangup implements vhangup(2) for whoever may not.
func vhangup(t *kernel.Task, _ kernel.Args) (uint64, error) {
	if !t.Creds().HasCap(linux.CAP_SYS_TTY_CONFIG) {
		return 0, linux.EPERM
	}
	if tty, ok := t.ControllingTTY().(interface{ Hangup() }); ok {
		tty.Hangup()
	}
	return 0, nil
}

// lsmListModules implements lsm_list_modules(2): capabilities are all there is.
func lsmListModules(t *kernel.Task, a kernel.Args) (uint64, error) {
	const capability = 100 // LSM_ID_CAPABILITY
	if a.Uint(2) != 0 {
		return 0, linux.EINVAL
	}
	var b [4]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	if err := t.CopyOut(a.Addr(1), le.AppendUint32(nil, 8)); err != nil {
		return 0, err
	}
	if le.Uint32(b[:]) < 8 {
		return 0, linux.E2BIG
	}
	return 1, t.CopyOut(a.Addr(0), le.AppendUint64(nil, capability))
}

// listmount implements listmount(2) for all mounts below the root.
func listmount(t *kernel.Task, a kernel.Args) (uint64, error) {
	const reverse, least, known, root, firstID = 1, 24, 32, ^uint64(0), 1 << 31
	if a.Uint(3)&^reverse != 0 {
		return 0, linux.EINVAL
	}
	if a[2] > 1e6 {
		return 0, linux.EOVERFLOW
	}
	if _, err := t.Slice(a.Addr(1), 8*a[2], true); err != nil {
		return 0, err
	}
	var size [4]byte
	if err := t.CopyIn(a.Addr(0), size[:]); err != nil {
		return 0, err
	}
	req, err := copyInStruct(t, a.Addr(0), uint64(le.Uint32(size[:])), least, known)
	if err != nil {
		return 0, err
	}
	mount, after := le.Uint64(req[8:]), le.Uint64(req[16:])
	switch {
	case le.Uint32(req[4:]) != 0, after != 0 && after <= firstID:
		return 0, linux.EINVAL
	case le.Uint64(req[24:]) != 0: // a namespace
		return 0, linux.ENOENT
	}
	var ids []uint64
	found := mount == root
	for _, m := range namespace(t).Mounts() {
		id := uint64(firstID + m.ID)
		found = found || id == mount
		if id > after && mount == root && !isRootMount(t, m) {
			ids = append(ids, id)
		}
	}
	if !found {
		return 0, linux.ENOENT
	}
	var b []byte
	for i := range min(uint64(len(ids)), a[2]) {
		b = le.AppendUint64(b, ids[i])
	}
	return uint64(len(b) / 8), t.CopyOut(a.Addr(1), b)
}

func isRootMount(t *kernel.Task, m *vfs.Mount) bool { return namespace(t).Root().Mount == m }
