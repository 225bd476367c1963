package syscalls

import (
	"encoding/binary"
	"time"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// dup implements dup(2).
func dup(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	return install(t, d, false)
}

func dupTo(t *kernel.Task, from, to int32, cloexec bool) (uint64, error) {
	d, err := t.Files().Get(from)
	if err != nil {
		return 0, err
	}
	if to < 0 || uint64(to) >= noFileLimit(t) {
		d.DecRef()
		return 0, linux.EBADF
	}
	t.Files().Set(to, d, cloexec)
	return uint64(to), nil
}

// dup2 implements dup2(2).
func dup2(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) == a.Int(1) {
		d, err := t.Files().Get(a.Int(0))
		if err != nil {
			return 0, err
		}
		d.DecRef()
		return uint64(a.Int(0)), nil
	}
	return dupTo(t, a.Int(0), a.Int(1), false)
}

// dup3 implements dup3(2).
func dup3(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2)&^linux.O_CLOEXEC != 0 || a.Int(0) == a.Int(1) {
		return 0, linux.EINVAL
	}
	return dupTo(t, a.Int(0), a.Int(1), a.Uint(2)&linux.O_CLOEXEC != 0)
}

// resizable is a pipe, for F_GETPIPE_SZ and F_SETPIPE_SZ.
type resizable interface {
	Capacity() int
	SetCapacity(n int) (int, error)
}

// fcntl implements fcntl(2).
func fcntl(t *kernel.Task, a kernel.Args) (uint64, error) {
	fd, cmd := a.Int(0), a.Int(1)
	d, err := t.Files().Get(fd)
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.IsPath() {
		switch cmd {
		case linux.F_DUPFD, linux.F_DUPFD_CLOEXEC, linux.F_GETFD, linux.F_SETFD, linux.F_GETFL:
		default:
			return 0, linux.EBADF
		}
	}
	switch cmd {
	case linux.F_DUPFD, linux.F_DUPFD_CLOEXEC:
		if a.Int(2) < 0 || uint64(a.Int(2)) >= noFileLimit(t) {
			return 0, linux.EINVAL
		}
		d.IncRef()
		n, err := t.Files().Add(d, a.Int(2), cmd == linux.F_DUPFD_CLOEXEC, noFileLimit(t))
		if err != nil {
			d.DecRef()
			return 0, err
		}
		return uint64(n), nil
	case linux.F_GETFD:
		on, err := t.Files().Cloexec(fd)
		if on {
			return linux.FD_CLOEXEC, err
		}
		return 0, err
	case linux.F_SETFD:
		return 0, t.Files().SetCloexec(fd, a.Uint(2)&linux.FD_CLOEXEC != 0)
	case linux.F_GETFL:
		return uint64(d.Flags()), nil
	case linux.F_SETFL:
		d.SetFlags(a.Uint(2))
		setAsync(t, d, fd, a.Uint(2)&linux.O_ASYNC != 0)
		return 0, nil
	case linux.F_GETLK, linux.F_OFD_GETLK:
		return 0, getLock(t, d, a.Addr(2), cmd == linux.F_OFD_GETLK)
	case linux.F_SETLK, linux.F_SETLKW, linux.F_OFD_SETLK, linux.F_OFD_SETLKW:
		return 0, setLock(t, d, a.Addr(2), cmd)
	default:
		return fcntlRare(t, d, cmd, a)
	}
}

func fcntlRare(t *kernel.Task, d *vfs.FileDescription, cmd int32, a kernel.Args) (uint64, error) {
	switch cmd {
	case linux.F_GETPIPE_SZ, linux.F_SETPIPE_SZ:
		p, ok := d.File().(resizable)
		if !ok {
			return 0, linux.EBADF
		}
		if cmd == linux.F_GETPIPE_SZ {
			return uint64(p.Capacity()), nil
		}
		n, err := p.SetCapacity(int(a.Int(2)))
		return uint64(n), err
	case linux.F_GETOWN:
		o := d.Owner()
		if o.Kind == linux.F_OWNER_PGRP {
			o.ID = -o.ID
		}
		return uint64(int64(o.ID)), nil
	case linux.F_SETOWN:
		id := a.Int(2)
		if id < 0 {
			return 0, setOwner(t, d, linux.F_OWNER_PGRP, -id)
		}
		return 0, setOwner(t, d, linux.F_OWNER_PID, id)
	case linux.F_GETOWN_EX:
		o := d.Owner()
		b := binary.LittleEndian.AppendUint32(nil, uint32(o.Kind))
		return 0, t.CopyOut(a.Addr(2), binary.LittleEndian.AppendUint32(b, uint32(o.ID)))
	case linux.F_SETOWN_EX:
		var b [8]byte
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
		kind, id := int32(binary.LittleEndian.Uint32(b[:])), int32(binary.LittleEndian.Uint32(b[4:]))
		if kind < linux.F_OWNER_TID || kind > linux.F_OWNER_PGRP {
			return 0, linux.EINVAL
		}
		return 0, setOwner(t, d, kind, id)
	case linux.F_GETSIG:
		return uint64(d.Sig()), nil
	case linux.F_SETSIG:
		if a.Int(2) < 0 || a.Int(2) > linux.NSIG {
			return 0, linux.EINVAL
		}
		d.SetSig(a.Int(2))
		return 0, nil
	case linux.F_ADD_SEALS:
		return 0, addSeals(t, d, a.Uint(2))
	case linux.F_GET_SEALS:
		s, ok := d.Inode().(vfs.Sealed)
		if !ok {
			return 0, linux.EINVAL
		}
		seals, err := s.Seals()
		return uint64(seals), err
	case linux.F_GETLEASE:
		return linux.F_UNLCK, nil
	default:
		return 0, linux.EINVAL
	}
}

// setOwner makes a process, thread or group the one that is signalled about d.
func setOwner(t *kernel.Task, d *vfs.FileDescription, kind, id int32) error {
	c := t.Container()
	switch {
	case id == -1<<31:
		return linux.EINVAL
	case id == 0:
	case kind == linux.F_OWNER_PGRP:
		found := false
		for _, tg := range c.ThreadGroups() {
			found = found || tg.ProcessGroup() == int(id)
		}
		if !found {
			return linux.ESRCH
		}
	case c.Task(int(id)) == nil:
		return linux.ESRCH
	}
	d.SetOwner(vfs.Owner{Kind: kind, ID: id, UID: t.Creds().UID, EUID: t.Creds().EUID})
	return nil
}

// setAsync sets or clears O_ASYNC of d, known as fd.
func setAsync(t *kernel.Task, d *vfs.FileDescription, fd int32, on bool) {
	if on == (d.Flags()&linux.O_ASYNC != 0) {
		return
	}
	if !on {
		d.SetAsync(nil)
		return
	}
	c := t.Container()
	d.SetAsync(func(events waiter.EventMask) { c.SignalIO(d, fd, events) })
	if tty, ok := d.File().(interface{ ForegroundGroup() int }); ok && d.Owner().ID == 0 {
		if pgid := tty.ForegroundGroup(); pgid > 0 {
			_ = setOwner(t, d, linux.F_OWNER_PGRP, int32(pgid)) // a group that has gone gets nothing
		}
	}
}

// lockRange reads a struct flock and returns the range that it means; the end
// is exclusive.
func lockRange(t *kernel.Task, d *vfs.FileDescription, addr uint64) (f linux.Flock, start, end int64, err error) {
	var b [linux.FlockSize]byte
	if err = t.CopyIn(addr, b[:]); err != nil {
		return
	}
	f.Unmarshal(b[:])
	switch f.Whence {
	case linux.SEEK_SET:
		start = f.Start
	case linux.SEEK_CUR:
		cur, _ := d.Seek(0, linux.SEEK_CUR) // what cannot seek is at 0
		start = f.Start + cur
	case linux.SEEK_END:
		st, serr := d.Stat()
		if serr != nil {
			return f, 0, 0, serr
		}
		start = f.Start + st.Size
	default:
		return f, 0, 0, linux.EINVAL
	}
	const endOfFile = 1<<63 - 1
	switch {
	case f.Len == 0:
		end = endOfFile
	case f.Len > 0:
		end = start + f.Len
		if end < start {
			return f, 0, 0, linux.EOVERFLOW
		}
	default:
		start, end = start+f.Len, start
	}
	if start < 0 {
		return f, 0, 0, linux.EINVAL
	}
	return f, start, end, nil
}

// lockOwner returns whose lock it is.
func lockOwner(t *kernel.Task, d *vfs.FileDescription, ofd bool) (owner any, pid int32) {
	if ofd {
		return d, -1
	}
	return t.Files(), int32(t.TGID())
}

func locksOf(d *vfs.FileDescription) (*vfs.FileLocks, error) {
	if l, ok := d.Inode().(vfs.Lockable); ok {
		return l.Locks(), nil
	}
	return nil, linux.EBADF
}

func getLock(t *kernel.Task, d *vfs.FileDescription, addr uint64, ofd bool) error {
	f, start, end, err := lockRange(t, d, addr)
	if err != nil {
		return err
	}
	if f.Type != linux.F_RDLCK && f.Type != linux.F_WRLCK || ofd && f.PID != 0 {
		return linux.EINVAL
	}
	locks, err := locksOf(d)
	if err != nil {
		return err
	}
	owner, _ := lockOwner(t, d, ofd)
	if held, busy := locks.Conflict(owner, start, end, f.Type == linux.F_WRLCK); busy {
		f = held
	} else {
		f.Type = linux.F_UNLCK
	}
	var b [linux.FlockSize]byte
	f.Marshal(b[:])
	return t.CopyOut(addr, b[:])
}

func setLock(t *kernel.Task, d *vfs.FileDescription, addr uint64, cmd int32) error {
	f, start, end, err := lockRange(t, d, addr)
	if err != nil {
		return err
	}
	ofd := cmd == linux.F_OFD_SETLK || cmd == linux.F_OFD_SETLKW
	if ofd && f.PID != 0 {
		return linux.EINVAL
	}
	locks, err := locksOf(d)
	if err != nil {
		return err
	}
	owner, pid := lockOwner(t, d, ofd)
	switch f.Type {
	case linux.F_UNLCK:
		locks.Unlock(owner, start, end)
		return nil
	case linux.F_RDLCK:
		if !d.Readable() {
			return linux.EBADF
		}
	case linux.F_WRLCK:
		if !d.Writable() {
			return linux.EBADF
		}
	default:
		return linux.EINVAL
	}
	wait := cmd == linux.F_SETLKW || cmd == linux.F_OFD_SETLKW
	exclusive := f.Type == linux.F_WRLCK
	waits := namespace(t).LockWaits()
	defer waits.End(owner)
	return takeLock(t, locks, wait, func() error {
		err := locks.Lock(owner, pid, start, end, exclusive)
		if err == linux.EAGAIN && cmd == linux.F_SETLKW {
			if circle := waits.Begin(owner, locks.Blocker(owner, start, end, exclusive)); circle != nil {
				return circle
			}
		}
		return err
	})
}

// takeLock calls take until it answers something else than EAGAIN.
func takeLock(t *kernel.Task, locks *vfs.FileLocks, wait bool, take func() error) error {
	err := take()
	if err != linux.EAGAIN || !wait {
		return err
	}
	e, ch := waiter.NewChannelEntry(waiter.EventIn)
	locks.Wait(e)
	defer locks.StopWait(e)
	for {
		if err := take(); err != linux.EAGAIN {
			return err
		}
		if err := t.Block(ch, time.Time{}); err != nil {
			return err
		}
	}
}

// flock implements flock(2).
func flock(t *kernel.Task, a kernel.Args) (uint64, error) {
	d, err := t.Files().Get(a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	op := a.Uint(1)
	if d.IsPath() {
		return 0, linux.EBADF
	}
	locks, lerr := locksOf(d)
	switch op &^ linux.LOCK_NB {
	case linux.LOCK_SH, linux.LOCK_EX:
	case linux.LOCK_UN:
		if lerr == nil {
			locks.Unflock(d)
		}
		return 0, nil
	default:
		return 0, linux.EINVAL
	}
	if lerr != nil {
		return 0, lerr
	}
	return 0, takeLock(t, locks, op&linux.LOCK_NB == 0, func() error {
		return locks.Flock(d, op&^linux.LOCK_NB == linux.LOCK_EX)
	})
}

// ioctl implements ioctl(2).
func ioctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	fd, req := a.Int(0), a.Uint(1)
	d, err := t.Files().Get(fd)
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if d.IsPath() {
		return 0, linux.EBADF
	}
	switch req {
	case linux.FIOCLEX:
		return 0, t.Files().SetCloexec(fd, true)
	case linux.FIONCLEX:
		return 0, t.Files().SetCloexec(fd, false)
	case linux.FIONBIO:
		var b [4]byte
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(b[:]) != 0 {
			d.SetFlags(d.Flags() | linux.O_NONBLOCK)
		} else {
			d.SetFlags(d.Flags() &^ linux.O_NONBLOCK)
		}
		return 0, nil
	case linux.FIOASYNC:
		var b [4]byte
		if err := t.CopyIn(a.Addr(2), b[:]); err != nil {
			return 0, err
		}
		if _, ok := d.File().(vfs.Asynchronous); !ok {
			return 0, linux.ENOTTY
		}
		setAsync(t, d, fd, binary.LittleEndian.Uint32(b[:]) != 0)
		return 0, nil
	}
	if m, ok := d.File().(ptyMaster); ok && req == linux.TIOCGPTPEER {
		return openPeer(t, d, m, uint32(a.Addr(2)))
	}
	n, err := d.Ioctl(t, req, a.Addr(2))
	if _, ok := d.File().(socket.Socket); ok && err == linux.ENOTTY {
		return t.Container().Net().Ioctl(t, req, a.Addr(2))
	}
	if err != linux.ENOTTY || req != linux.FIONREAD {
		return n, err
	}
	st, serr := d.Stat()
	if serr != nil || st.Mode&linux.S_IFMT != linux.S_IFREG {
		return 0, linux.ENOTTY
	}
	cur, _ := d.Seek(0, linux.SEEK_CUR)
	left := max(0, min(st.Size-cur, 1<<31-1))
	return 0, t.CopyOut(a.Addr(2), binary.LittleEndian.AppendUint32(nil, uint32(left)))
}

// ptyMaster is the master's file of a pseudo-terminal.
type ptyMaster interface {
	// PeerName returns the slave's name beside the master's.
	PeerName() string
}

// openPeer implements ioctl(TIOCGPTPEER): it opens the slave of the master d.
func openPeer(t *kernel.Task, d *vfs.FileDescription, m ptyMaster, flags uint32) (uint64, error) {
	root := d.Path().Mount.Root()
	dir, err := root.Dir()
	if err != nil {
		return 0, err
	}
	inode, err := dir.Lookup(m.PeerName())
	if err != nil {
		return 0, err
	}
	loc := vfs.Location{Path: vfs.Path{Mount: root.Mount, Inode: inode}, Parent: dir, Name: m.PeerName()}
	peer, err := t.Caller().OpenLocation(loc, flags)
	if err != nil {
		return 0, err
	}
	if tty, ok := peer.File().(interface{ Opened(vfs.IoctlTask) }); ok && flags&linux.O_NOCTTY == 0 {
		tty.Opened(t)
	}
	return install(t, peer, flags&linux.O_CLOEXEC != 0)
}
