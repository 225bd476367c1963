package syscalls

import (
	"time"

	"megabinary.dev/vkernel/fs/anon"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/mm"
	"megabinary.dev/vkernel/vfs"
)

// ioSetup implements io_setup(2). A context's id is the address of a page: Linux
// keeps its ring of events there, and the C library looks at it.
func ioSetup(t *kernel.Task, a kernel.Args) (uint64, error) {
	var b [8]byte
	if err := t.CopyIn(a.Addr(1), b[:]); err != nil {
		return 0, err
	}
	if le.Uint64(b[:]) != 0 || a.Uint(0) == 0 || a.Int(0) < 0 {
		return 0, linux.EINVAL
	}
	id, err := t.ThreadGroup().AIOSetup(int(a.Uint(0)), func() (uint64, error) {
		return t.MM().Map(mm.MapOpts{Length: mm.PageSize, Prot: linux.PROT_READ, Name: "/[aio] (deleted)"})
	})
	if err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(1), le.AppendUint64(nil, id))
}

// ioDestroy implements io_destroy(2).
func ioDestroy(t *kernel.Task, a kernel.Args) (uint64, error) {
	if err := t.ThreadGroup().AIODestroy(a[0]); err != nil {
		return 0, err
	}
	return 0, t.MM().Unmap(a[0], mm.PageSize)
}

// ioSubmit implements io_submit(2): a request is complete when it returns.
func ioSubmit(t *kernel.Task, a kernel.Args) (uint64, error) {
	if int64(a[1]) < 0 {
		return 0, linux.EINVAL
	}
	c, err := t.ThreadGroup().AIOContext(a[0])
	if err != nil {
		return 0, err
	}
	room := uint64(c.Room())
	if a[1] > 0 && room == 0 {
		return 0, linux.EAGAIN
	}
	for i := range min(a[1], room) {
		err := submit(t, c, a.Addr(2)+8*i)
		if err != nil && i == 0 {
			return 0, err
		}
		if err != nil {
			return i, nil
		}
	}
	return min(a[1], room), nil
}

// submit does the request whose address lies at at.
func submit(t *kernel.Task, c *kernel.AIOContext, at uint64) error {
	const iocbSize, hasResult = 64, 1 // IOCB_FLAG_RESFD
	var p [8]byte
	if err := t.CopyIn(at, p[:]); err != nil {
		return err
	}
	object := le.Uint64(p[:])
	var b [iocbSize]byte
	if err := t.CopyIn(object, b[:]); err != nil {
		return err
	}
	if le.Uint64(b[48:]) != 0 { // aio_reserved2
		return linux.EINVAL
	}
	fd, flags := int32(le.Uint32(b[20:])), le.Uint32(b[56:])
	d, err := t.Files().Get(fd)
	if err != nil {
		return err
	}
	defer d.DecRef()
	var done *anon.EventFD
	if flags&hasResult != 0 {
		r, err := t.Files().Get(int32(le.Uint32(b[60:])))
		if err != nil {
			return err
		}
		defer r.DecRef()
		var ok bool
		if done, ok = r.File().(*anon.EventFD); !ok {
			return linux.EINVAL
		}
	}
	if err := t.CopyOut(object+8, make([]byte, 4)); err != nil { // aio_key
		return err
	}
	n, err := perform(t, d, le.Uint16(b[16:]), kernel.Args{uint64(fd), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:])})
	if err != nil && (err == linux.EBADF || err == linux.EINVAL || err == linux.EFAULT) {
		return err // not begun
	}
	if err != nil {
		n = uint64(-int64(linux.ErrnoOf(err)))
	}
	c.Complete(kernel.AIOEvent{Data: le.Uint64(b[:]), Object: object, Result: n})
	if done != nil {
		_, _ = done.WriteAt(le.AppendUint64(nil, 1), 0) // a full counter counts no further
	}
	return nil
}

// perform does a request of aio_abi.h; a are descriptor, buffer, size, offset.
func perform(t *kernel.Task, d *vfs.FileDescription, opcode uint16, a kernel.Args) (uint64, error) {
	const pread, pwrite, fsync, fdsync, noop, preadVector, pwriteVector = 0, 1, 2, 3, 6, 7, 8
	switch opcode {
	case pread, preadVector:
		if !d.Readable() {
			return 0, linux.EBADF
		}
		if opcode == preadVector {
			return preadv(t, a)
		}
		return pread64(t, a)
	case pwrite, pwriteVector:
		if !d.Writable() {
			return 0, linux.EBADF
		}
		if opcode == pwriteVector {
			return pwritev(t, a)
		}
		return pwrite64(t, a)
	case fsync, fdsync:
		return syncFile(t, a)
	case noop:
		return 0, nil
	}
	return 0, linux.EINVAL
}

// ioGetevents implements io_getevents(2).
func ioGetevents(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := timespecTimeout(t, a.Addr(4))
	if err != nil {
		return 0, err
	}
	if o.poll {
		o.deadline = time.Now()
	}
	c, err := t.ThreadGroup().AIOContext(a[0])
	if err != nil {
		return 0, err
	}
	least, most := int64(a[1]), int64(a[2])
	if least < 0 || most < 0 || least > most {
		return 0, linux.EINVAL
	}
	for {
		events, wait, err := c.Take(int(least), int(most))
		if err != nil {
			return 0, err
		}
		if wait != nil {
			switch err := t.Block(wait, o.deadline); {
			case err == linux.ETIMEDOUT:
				least = 0 // whatever there is
			case err != nil:
				return 0, neverRestarted(err)
			}
			continue
		}
		var b []byte
		for _, e := range events {
			b = e.Marshal(b)
		}
		return uint64(len(events)), t.CopyOut(a.Addr(3), b)
	}
}

// ioPgetevents implements io_pgetevents(2).
func ioPgetevents(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Addr(5) == 0 {
		return ioGetevents(t, a)
	}
	var b [16]byte
	if err := t.CopyIn(a.Addr(5), b[:]); err != nil {
		return 0, err
	}
	return withMask(t, le.Uint64(b[:]), le.Uint64(b[8:]), func() (uint64, error) { return ioGetevents(t, a) })
}

// ioCancel implements io_cancel(2): no request is ever under way.
func ioCancel(t *kernel.Task, a kernel.Args) (uint64, error) {
	var b [4]byte
	if err := t.CopyIn(a.Addr(1)+8, b[:]); err != nil {
		return 0, err
	}
	return 0, linux.EINVAL
}
