package syscalls

import (
	"time"

	"megabinary.dev/vkernel/ipc"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/netlink"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// queueName copies in the name of a POSIX message queue. The C library has
// taken the leading slash away.
func queueName(t *kernel.Task, addr uint64) (string, error) {
	name, err := pathArg(t, addr)
	if err != nil {
		return "", err
	}
	switch {
	case name == "":
		return "", linux.ENOENT
	case len(name) > linux.NAME_MAX:
		return "", linux.ENAMETOOLONG
	case name == "." || name == "..":
		return "", linux.EACCES
	}
	for i := range len(name) {
		if name[i] == '/' {
			return "", linux.EACCES
		}
	}
	return name, nil
}

// copyInMqAttr reads a struct mq_attr and its flags.
func copyInMqAttr(t *kernel.Task, addr uint64) (attr ipc.PosixAttr, flags uint64, err error) {
	var b [linux.SizeofMqAttr]byte
	err = t.CopyIn(addr, b[:])
	attr = ipc.PosixAttr{MaxMessages: int64(le.Uint64(b[8:])), MessageSize: int64(le.Uint64(b[16:]))}
	return attr, le.Uint64(b[:]), err
}

// mqOpen implements mq_open(2).
func mqOpen(t *kernel.Task, a kernel.Args) (uint64, error) {
	o := ipc.PosixOpen{Flags: a.Uint(1), Mode: a.Uint(2), Limit: t.ThreadGroup().Limit(linux.RLIMIT_MSGQUEUE).Cur, Now: time.Now()}
	if a.Addr(3) != 0 {
		attr, _, err := copyInMqAttr(t, a.Addr(3))
		if err != nil {
			return 0, err
		}
		o.Attr = &attr
	}
	var err error
	if o.Name, err = queueName(t, a.Addr(0)); err != nil {
		return 0, err
	}
	f, err := t.Container().IPC().Posix.Open(t.Caller(), o)
	if err != nil {
		return 0, err
	}
	d := vfs.NewFileDescription(f, vfs.Location{}, o.Flags&(linux.O_ACCMODE|linux.O_NONBLOCK))
	return install(t, d, true)
}

// mqUnlink implements mq_unlink(2).
func mqUnlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	name, err := queueName(t, a.Addr(0))
	if err != nil {
		return 0, err
	}
	return 0, t.Container().IPC().Posix.Unlink(t.Caller(), name)
}

// queueOf returns the queue of a descriptor and its description, whose
// reference is the caller's.
func queueOf(t *kernel.Task, fd int32) (*ipc.PosixFile, *vfs.FileDescription, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return nil, nil, err
	}
	q, ok := d.File().(*ipc.PosixFile)
	if !ok {
		d.DecRef()
		return nil, nil, linux.EBADF
	}
	return q, d, nil
}

// queueDeadline reads the absolute timeout of mq_timedsend(2), on
// CLOCK_REALTIME; zero is none.
func queueDeadline(t *kernel.Task, addr uint64) (time.Time, error) {
	if addr == 0 {
		return time.Time{}, nil
	}
	ts, err := copyInTimespec(t, addr)
	if err != nil {
		return time.Time{}, err
	}
	if !ts.Valid() {
		return time.Time{}, linux.EINVAL
	}
	return deadlineAt(t, linux.CLOCK_REALTIME, ts)
}

// waitQueue calls try until it answers something else than EAGAIN.
func waitQueue(t *kernel.Task, d *vfs.FileDescription, events waiter.EventMask, deadline time.Time, try func() error) error {
	err := try()
	if err != linux.EAGAIN || d.NonBlocking() {
		return err
	}
	e, ready := waiter.NewChannelEntry(events)
	d.EventRegister(e)
	defer d.EventUnregister(e)
	for {
		if err := try(); err != linux.EAGAIN {
			return err
		}
		if err := t.Block(ready, deadline); err != nil {
			return err
		}
	}
}

// mqTimedsend implements mq_timedsend(2).
func mqTimedsend(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline, err := queueDeadline(t, a.Addr(4))
	if err != nil {
		return 0, err
	}
	if a.Uint(3) >= linux.MQ_PRIO_MAX {
		return 0, linux.EINVAL
	}
	q, d, err := queueOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Writable() {
		return 0, linux.EBADF
	}
	if a[2] > uint64(q.Attr().MessageSize) {
		return 0, linux.EMSGSIZE
	}
	m := ipc.PosixMessage{Priority: a.Uint(3), Text: make([]byte, a[2])}
	if err := t.CopyIn(a.Addr(1), m.Text); err != nil {
		return 0, err
	}
	return 0, waitQueue(t, d, waiter.WritableEvents, deadline, func() error { return q.Send(t.Caller(), m) })
}

// mqTimedreceive implements mq_timedreceive(2).
func mqTimedreceive(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline, err := queueDeadline(t, a.Addr(4))
	if err != nil {
		return 0, err
	}
	q, d, err := queueOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if !d.Readable() {
		return 0, linux.EBADF
	}
	if !d.NonBlocking() {
		defer q.Receiver()()
	}
	var m ipc.PosixMessage
	err = waitQueue(t, d, waiter.ReadableEvents, deadline, func() (err error) {
		m, err = q.Receive(a[2])
		return err
	})
	if err != nil {
		return 0, err
	}
	if a.Addr(3) != 0 {
		if err := t.CopyOut(a.Addr(3), le.AppendUint32(nil, m.Priority)); err != nil {
			return 0, err
		}
	}
	return uint64(len(m.Text)), t.CopyOut(a.Addr(1), m.Text)
}

// mqNotify implements mq_notify(2).
func mqNotify(t *kernel.Task, a kernel.Args) (uint64, error) {
	n := ipc.PosixNotify{Owner: t.ThreadGroup(), PID: t.TGID()}
	if a.Addr(1) != 0 {
		var err error
		if n, err = queueNotification(t, a.Addr(1)); err != nil {
			return 0, err
		}
	}
	q, d, err := queueOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Addr(1) == 0 {
		q.CancelNotify(n.Owner)
		return 0, nil
	}
	return 0, q.Notify(n)
}

// cancelNotify takes a process's registration back when it closes a descriptor
// of the queue.
func cancelNotify(t *kernel.Task, fd int32) {
	if q, d, err := queueOf(t, fd); err == nil {
		q.CancelNotify(t.ThreadGroup())
		d.DecRef()
	}
}

// queueNotification reads the struct sigevent of mq_notify(2).
func queueNotification(t *kernel.Task, addr uint64) (ipc.PosixNotify, error) {
	const (
		sigevSize                           = 64
		sigevSignal, sigevNone, sigevThread = 0, 1, 2
		cookieSize, wokenUp                 = 32, 1 // NOTIFY_COOKIE_LEN, NOTIFY_WOKENUP
	)
	var b [sigevSize]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return ipc.PosixNotify{}, err
	}
	value, signo := le.Uint64(b[:]), int(int32(le.Uint32(b[8:])))
	n := ipc.PosixNotify{Owner: t.ThreadGroup(), PID: t.TGID(), Kind: le.Uint32(b[12:]), Signo: signo}
	switch n.Kind {
	case sigevNone:
	case sigevSignal:
		if signo <= 0 || signo > linux.NSIG {
			return n, linux.EINVAL
		}
		tg := t.ThreadGroup()
		n.Fire = func(sender *vfs.Caller) {
			info := linux.Siginfo{Signo: int32(signo), Code: linux.SI_MESGQ}
			info.SetPID(int32(sender.PID))
			info.SetUID(sender.Creds.UID)
			info.SetValue(value)
			tg.Signal(info)
		}
	case sigevThread: // the C library waits for a cookie on a netlink socket
		cookie := make([]byte, cookieSize)
		if err := t.CopyIn(value, cookie); err != nil {
			return n, err
		}
		d, err := t.Files().Get(int32(signo))
		if err != nil {
			return n, err
		}
		defer d.DecRef()
		s, ok := d.File().(*netlink.Socket)
		if !ok {
			return n, linux.EINVAL
		}
		cookie[cookieSize-1] = wokenUp
		n.Fire = func(*vfs.Caller) { s.Deliver(cookie) }
	default:
		return n, linux.EINVAL
	}
	return n, nil
}

// mqGetsetattr implements mq_getsetattr(2).
func mqGetsetattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	var flags uint64
	if a.Addr(1) != 0 {
		var err error
		if _, flags, err = copyInMqAttr(t, a.Addr(1)); err != nil {
			return 0, err
		}
		if flags&^linux.O_NONBLOCK != 0 {
			return 0, linux.EINVAL
		}
	}
	q, d, err := queueOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	old := q.Attr().Marshal(d.Flags() & linux.O_NONBLOCK)
	if a.Addr(1) != 0 {
		d.SetFlags(d.Flags()&^linux.O_NONBLOCK | uint32(flags))
	}
	if a.Addr(2) == 0 {
		return 0, nil
	}
	return 0, t.CopyOut(a.Addr(2), old)
}
