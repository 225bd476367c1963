package syscalls

import (
	"encoding/binary"

	"megabinary.dev/vkernel/fs/pipe"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// st_dev of files that no path leads to.
var (
	devPipe  = linux.MakeDev(0, 12)
	devSock  = linux.MakeDev(0, 8)
	devAnon  = linux.MakeDev(0, 13)
	devMemfd = linux.MakeDev(0, 1)
)

// namespace returns the mount namespace of a task.
func namespace(t *kernel.Task) *vfs.MountNamespace { return t.FS().Root().Mount.Namespace() }

// anonStat returns the attributes of a new file without a path.
func anonStat(t *kernel.Task, dev uint64, mode uint32) linux.Stat {
	now := *nowTimespec()
	return linux.Stat{Dev: dev, Ino: namespace(t).AnonIno(), Nlink: 1, Mode: mode, UID: t.Creds().FSUID, GID: t.Creds().FSGID,
		Blksize: 4096, Atime: now, Mtime: now, Ctime: now}
}

// installPair installs two files and writes their descriptors to addr.
func installPair(t *kernel.Task, addr uint64, a, b *vfs.FileDescription, cloexec bool) (uint64, error) {
	fdA, err := install(t, a, cloexec)
	if err != nil {
		b.DecRef()
		return 0, err
	}
	fdB, err := install(t, b, cloexec)
	if err != nil {
		_ = t.Files().Close(int32(fdA)) // it was just opened
		return 0, err
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(fdA))
	if err := t.CopyOut(addr, binary.LittleEndian.AppendUint32(out, uint32(fdB))); err != nil {
		_ = t.Files().Close(int32(fdA))
		_ = t.Files().Close(int32(fdB))
		return 0, err
	}
	return 0, nil
}

func makePipe(t *kernel.Task, addr uint64, flags uint32) (uint64, error) {
	if flags&^(linux.O_CLOEXEC|linux.O_NONBLOCK|linux.O_DIRECT) != 0 {
		return 0, linux.EINVAL
	}
	r, w := pipe.NewPair(anonStat(t, devPipe, linux.S_IFIFO|0o600), &t.Container().KernelMemory)
	status := flags & (linux.O_NONBLOCK | linux.O_DIRECT)
	return installPair(t, addr, vfs.NewFileDescription(r, vfs.Location{}, linux.O_RDONLY|status),
		vfs.NewFileDescription(w, vfs.Location{}, linux.O_WRONLY|status), flags&linux.O_CLOEXEC != 0)
}

// pipe1 implements pipe(2).
func pipe1(t *kernel.Task, a kernel.Args) (uint64, error) { return makePipe(t, a.Addr(0), 0) }

// pipe2 implements pipe2(2); O_DIRECT's packets are not kept apart.
func pipe2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return makePipe(t, a.Addr(0), a.Uint(1))
}

// tee implements tee(2).
func tee(t *kernel.Task, a kernel.Args) (uint64, error) {
	in, out, err := twoFiles(t, a.Int(0), a.Int(1))
	if err != nil {
		return 0, err
	}
	defer in.DecRef()
	defer out.DecRef()
	from, ok1 := in.File().(*pipe.End)
	to, ok2 := out.File().(*pipe.End)
	if !ok1 || !ok2 || from.SamePipe(to) {
		return 0, linux.EINVAL
	}
	p := make([]byte, min(a[2], copyBuffer))
	p = p[:from.Peek(p)]
	if len(p) == 0 {
		return 0, nil
	}
	n, err := writeAll(t, out, p)
	return uint64(n), err
}

// vmsplice implements vmsplice(2): bytes are copied, not mapped.
func vmsplice(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = 15 // SPLICE_F_MOVE, NONBLOCK, MORE, GIFT
	if a.Uint(3)&^known != 0 {
		return 0, linux.EINVAL
	}
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if _, ok := d.File().(*pipe.End); !ok {
		return 0, linux.EBADF
	}
	if a[2] > linux.IOV_MAX {
		return 0, linux.EINVAL
	}
	const nonblock = 2 // SPLICE_F_NONBLOCK
	list, err := iovecs(t, a.Addr(1), int32(a[2]), !d.Writable())
	if err != nil {
		return 0, err
	}
	return each(list, func(p []byte, done int) (int, error) {
		move, events := d.Read, waiter.ReadableEvents
		if d.Writable() {
			move, events = func(p []byte) (int, error) { return d.Write(p, 0) }, waiter.WritableEvents
		}
		if done > 0 || a.Uint(3)&nonblock != 0 { // only the first piece waits
			return move(p)
		}
		n, err := retry(t, d, events, func() (int, error) { return move(p) })
		return n, writeError(t, err)
	})
}
