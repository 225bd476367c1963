package syscalls

import (
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// retry calls try until it answers something else than EAGAIN, and waits for
// events in between unless the description is non-blocking.
func retry(t *kernel.Task, d *vfs.FileDescription, events waiter.EventMask, try func() (int, error)) (int, error) {
	n, err := try()
	if err != linux.EAGAIN || d.NonBlocking() || !d.Pollable() {
		return n, err
	}
	limit := time.Duration(0)
	if s, ok := d.File().(socket.Socket); ok {
		limit = s.Common().Timeout(events&waiter.WritableEvents != 0)
	}
	return retryUntil(t, d, events, limit, try)
}

// retryUntil is retry with a limit: then it answers EAGAIN. A wait with a limit
// is not begun anew after a signal. 0 is no limit.
func retryUntil(t *kernel.Task, d *vfs.FileDescription, events waiter.EventMask, limit time.Duration, try func() (int, error)) (int, error) {
	n, err := try()
	if err != linux.EAGAIN || d.NonBlocking() {
		return n, err
	}
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	e, ready := waiter.NewChannelEntry(events)
	d.EventRegister(e)
	defer d.EventUnregister(e)
	for {
		if n, err = try(); err != linux.EAGAIN {
			return n, err
		}
		switch err := t.Block(ready, deadline); {
		case err == linux.ETIMEDOUT:
			return 0, linux.EAGAIN
		case err == linux.ERESTARTSYS && limit > 0:
			return 0, linux.EINTR
		case err != nil:
			return 0, err
		}
	}
}

// terminal is a file of a terminal, whose use job control may forbid.
type terminal interface {
	// CheckRead and CheckWrite answer what a background process gets.
	CheckRead(t vfs.IoctlTask) error
	CheckWrite(t vfs.IoctlTask) error
}

// readInto reads once into p, waiting for the first byte.
func readInto(t *kernel.Task, d *vfs.FileDescription, p []byte) (int, error) {
	n, err := readOnce(t, d, p)
	if err == nil && len(p) > 0 {
		t.HasRead(d, p[:n])
	}
	return n, err
}

func readOnce(t *kernel.Task, d *vfs.FileDescription, p []byte) (int, error) {
	if tty, ok := d.File().(terminal); ok && d.Readable() {
		if err := tty.CheckRead(t); err != nil {
			return 0, err
		}
	}
	if tty, ok := d.File().(limitedReader); ok && !d.NonBlocking() {
		if least, wait := tty.ReadLimits(); least > 1 || wait > 0 {
			return readLimited(t, d, p, least, wait)
		}
	}
	if s, ok := d.File().(*kernel.SignalFD); ok {
		return retry(t, d, waiter.ReadableEvents, func() (int, error) { return s.ReadSignals(t, p) })
	}
	return retry(t, d, waiter.ReadableEvents, func() (int, error) { return d.Read(p) })
}

// limitedReader is a terminal, whose reads end as VMIN and VTIME say.
type limitedReader interface {
	// ReadLimits returns VMIN and VTIME: 1 and 0 in canonical mode.
	ReadLimits() (least int, wait time.Duration)
}

// readLimited reads as termios(3) has it of non-canonical mode: until least
// bytes are there, but no longer than wait, if that is not 0, behind the last
// byte, or behind the start of the call if least is 0.
func readLimited(t *kernel.Task, d *vfs.FileDescription, p []byte, least int, wait time.Duration) (int, error) {
	e, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	d.EventRegister(e)
	defer d.EventUnregister(e)
	least = min(least, len(p))
	var deadline time.Time
	if least == 0 && wait > 0 {
		deadline = time.Now().Add(wait)
	}
	for done := 0; ; {
		n, err := d.Read(p[done:])
		if err != nil && err != linux.EAGAIN {
			return done, err
		}
		done += n
		if done > 0 && done >= least || d.Readiness(waiter.EventHUp) != 0 {
			return done, nil
		}
		if n > 0 && wait > 0 {
			deadline = time.Now().Add(wait)
		}
		switch err := t.Block(ready, deadline); {
		case err == linux.ETIMEDOUT, err != nil && done > 0:
			return done, nil
		case err != nil:
			return 0, err
		}
	}
}

// writeAll writes p, waiting as often as it takes unless the description is
// non-blocking. It raises SIGPIPE and SIGXFSZ.
func writeAll(t *kernel.Task, d *vfs.FileDescription, p []byte) (int, error) {
	if tty, ok := d.File().(terminal); ok && d.Writable() {
		if err := tty.CheckWrite(t); err != nil {
			return 0, err
		}
	}
	limit := uint64(0)
	if _, ok := d.File().(vfs.Seekable); ok { // looked up only where it counts: it takes locks
		limit = t.Caller().FileSizeLimit
	}
	done := 0
	for {
		n, err := retry(t, d, waiter.WritableEvents, func() (int, error) { return d.Write(p[done:], limit) })
		done += n
		if n > 0 {
			dropPrivileges(t, d)
		}
		if err != nil {
			if done > 0 && err != linux.EPIPE {
				return done, nil
			}
			return 0, writeError(t, err)
		}
		if done >= len(p) || n == 0 || d.NonBlocking() || !d.Pollable() {
			return done, nil
		}
	}
}

// dropPrivileges takes from a file that t has changed what made it run with
// another's rights. Nothing is the matter with a file that has none.
func dropPrivileges(t *kernel.Task, d *vfs.FileDescription) {
	if p, ok := d.File().(vfs.Privileged); ok {
		p.DropPrivileges(!t.Creds().HasCap(linux.CAP_FSETID))
	}
}

// writeError raises the signal that comes with a failed write.
func writeError(t *kernel.Task, err error) error {
	switch err {
	case linux.EPIPE:
		t.SendSelf(linux.SIGPIPE)
	case linux.EFBIG:
		t.SendSelf(linux.SIGXFSZ)
	}
	return err
}

// read implements read(2).
func read(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Readable() {
		return 0, linux.EBADF
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), true)
	if err != nil {
		return 0, err
	}
	n, err := readInto(t, d, p)
	return uint64(n), err
}

// write implements write(2).
func write(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Writable() {
		return 0, linux.EBADF
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), false)
	if err != nil {
		return 0, err
	}
	n, err := writeAll(t, d, p)
	return uint64(n), err
}

// iovecs returns the guest memory that an array of struct iovec describes.
func iovecs(t *kernel.Task, addr uint64, count int32, write bool) ([][]byte, error) {
	if count < 0 || count > linux.IOV_MAX {
		return nil, linux.EINVAL
	}
	raw := make([]byte, int(count)*linux.IovecSize)
	if err := t.CopyIn(addr, raw); err != nil {
		return nil, err
	}
	var list [][]byte
	total := uint64(0)
	for i := range int(count) {
		var v linux.Iovec
		v.Unmarshal(raw[i*linux.IovecSize:])
		if int64(v.Len) < 0 {
			return nil, linux.EINVAL
		}
		n := min(v.Len, linux.MAX_RW_COUNT-total)
		if n == 0 {
			continue
		}
		p, err := t.MM().SlicePrefix(v.Base, n, write)
		if err != nil {
			if len(list) > 0 {
				break // what comes before still counts
			}
			return nil, err
		}
		list = append(list, p)
		total += uint64(len(p))
		if uint64(len(p)) < n {
			break
		}
	}
	return list, nil
}

// each calls io for one piece after the other until one comes out short.
func each(list [][]byte, io func(p []byte, done int) (int, error)) (uint64, error) {
	done := 0
	if len(list) == 0 {
		n, err := io(nil, 0)
		return uint64(n), err
	}
	for _, p := range list {
		n, err := io(p, done)
		done += n
		if err != nil {
			if done > 0 {
				return uint64(done), nil
			}
			return 0, err
		}
		if n < len(p) {
			break
		}
	}
	return uint64(done), nil
}

// readv implements readv(2).
func readv(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Readable() {
		return 0, linux.EBADF
	}
	list, err := iovecs(t, a.Addr(1), a.Int(2), true)
	if err != nil {
		return 0, err
	}
	return each(list, func(p []byte, done int) (int, error) {
		if done > 0 { // only the first piece waits
			return d.Read(p)
		}
		return readInto(t, d, p)
	})
}

// gatherSize is how much of a writev is put together, so that it reaches a
// pipe in one piece. Bytes.
const gatherSize = 64 << 10

// gather joins small pieces into one.
func gather(list [][]byte) [][]byte {
	if len(list) < 2 {
		return list
	}
	var out [][]byte
	var buf []byte
	for _, p := range list {
		if len(buf) > 0 && len(buf)+len(p) > gatherSize {
			out = append(out, buf)
			buf = nil
		}
		if len(p) > gatherSize {
			out = append(out, p)
			continue
		}
		buf = append(buf, p...)
	}
	if len(buf) > 0 {
		out = append(out, buf)
	}
	return out
}

// writev implements writev(2).
func writev(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Writable() {
		return 0, linux.EBADF
	}
	list, err := iovecs(t, a.Addr(1), a.Int(2), false)
	if err != nil {
		return 0, err
	}
	return each(gather(list), func(p []byte, _ int) (int, error) { return writeAll(t, d, p) })
}

// pread64 implements pread(2).
func pread64(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Int64(3) < 0 {
		return 0, linux.EINVAL
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), true)
	if err != nil {
		return 0, err
	}
	n, err := d.PRead(p, a.Int64(3))
	return uint64(n), err
}

// pwrite64 implements pwrite(2).
func pwrite64(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Int64(3) < 0 {
		return 0, linux.EINVAL
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), false)
	if err != nil {
		return 0, err
	}
	n, err := d.PWrite(p, a.Int64(3), t.Caller().FileSizeLimit)
	dropPrivileges(t, d)
	return uint64(n), writeError(t, err)
}

// preadv implements preadv(2).
func preadv(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	list, err := iovecs(t, a.Addr(1), a.Int(2), true)
	if err != nil {
		return 0, err
	}
	return each(list, func(p []byte, done int) (int, error) { return d.PRead(p, a.Int64(3)+int64(done)) })
}

// pwritev implements pwritev(2).
func pwritev(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	list, err := iovecs(t, a.Addr(1), a.Int(2), false)
	if err != nil {
		return 0, err
	}
	limit := t.Caller().FileSizeLimit
	n, err := each(list, func(p []byte, done int) (int, error) { return d.PWrite(p, a.Int64(3)+int64(done), limit) })
	dropPrivileges(t, d)
	return n, writeError(t, err)
}

// preadv2 implements preadv2(2); an offset of -1 reads at the file's own.
func preadv2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(5) != 0 {
		return 0, linux.EOPNOTSUPP
	}
	if a.Int64(3) == -1 {
		return readv(t, a)
	}
	return preadv(t, a)
}

// pwritev2 implements pwritev2(2); an offset of -1 writes at the file's own.
func pwritev2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(5) != 0 {
		return 0, linux.EOPNOTSUPP
	}
	if a.Int64(3) == -1 {
		return writev(t, a)
	}
	return pwritev(t, a)
}

// lseek implements lseek(2).
func lseek(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	off, err := d.Seek(a.Int64(1), int(a.Uint(2)))
	return uint64(off), err
}

// truncate implements truncate(2).
func truncate(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int64(1) < 0 {
		return 0, linux.EINVAL
	}
	loc, err := walkAt(t, linux.AT_FDCWD, a.Addr(0), 0)
	if err != nil {
		return 0, err
	}
	return 0, writeError(t, t.Caller().Truncate(loc, a.Int64(1)))
}

// ftruncate implements ftruncate(2).
func ftruncate(t *kernel.Task, a kernel.Args) (uint64, error) {
	size := a.Int64(1)
	if size < 0 {
		return 0, linux.EINVAL
	}
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if limit := t.Caller().FileSizeLimit; limit != 0 && uint64(size) > limit {
		return 0, writeError(t, linux.EFBIG)
	}
	dropPrivileges(t, d)
	return 0, d.Truncate(size)
}

// fallocate implements fallocate(2).
func fallocate(t *kernel.Task, a kernel.Args) (uint64, error) {
	mode, off, n := a.Uint(1), a.Int64(2), a.Int64(3)
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if off < 0 || n <= 0 {
		return 0, linux.EINVAL
	}
	if !d.Writable() {
		return 0, linux.EBADF
	}
	if off+n < 0 {
		return 0, linux.EFBIG
	}
	if _, ok := d.File().(vfs.Allocator); ok {
		if limit := t.Caller().FileSizeLimit; limit != 0 && uint64(off+n) > limit && mode&linux.FALLOC_FL_KEEP_SIZE == 0 {
			return 0, writeError(t, linux.EFBIG)
		}
		dropPrivileges(t, d)
		return 0, d.Allocate(mode, off, n)
	}
	if _, ok := d.File().(vfs.Seekable); !ok {
		return 0, linux.ESPIPE
	}
	return 0, linux.ENODEV
}

// syncFile serves fsync(2), fdatasync(2), syncfs(2) and sync_file_range(2).
func syncFile(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.IsPath() {
		return 0, linux.EBADF
	}
	if s, ok := d.File().(vfs.Syncer); ok {
		return 0, s.Sync()
	}
	return 0, linux.EINVAL
}

// syncfs implements syncfs(2).
func syncfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	return 0, nil
}

// sync implements sync(2).
func syncAll(*kernel.Task, kernel.Args) (uint64, error) { return 0, nil }

// fadvise64 implements posix_fadvise(2), whose advice is not needed.
func fadvise64(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if _, ok := d.File().(vfs.Seekable); !ok && !d.IsPath() {
		if _, dir := d.File().(vfs.DirFile); !dir {
			return 0, linux.ESPIPE
		}
	}
	if d.IsPath() {
		return 0, linux.EBADF
	}
	if a.Int64(2) < 0 || a.Uint(3) > linux.POSIX_FADV_NOREUSE {
		return 0, linux.EINVAL
	}
	return 0, nil
}
