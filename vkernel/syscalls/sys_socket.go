package syscalls

import (
	"encoding/binary"

	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// socketFlags takes SOCK_NONBLOCK and SOCK_CLOEXEC off a type.
func socketFlags(kind uint32) (plain int, status uint32, cloexec bool, err error) {
	const known = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
	if kind&^(linux.SOCK_TYPE_MASK|known) != 0 {
		return 0, 0, false, linux.EINVAL
	}
	return int(kind &^ known), linux.O_RDWR | kind&linux.SOCK_NONBLOCK, kind&linux.SOCK_CLOEXEC != 0, nil
}

// checkSocket holds what is wrong whatever the family says.
func checkSocket(family uint32, kind int) error {
	switch {
	case family >= linux.AF_MAX:
		return linux.EAFNOSUPPORT
	case kind < 0 || kind > 10: // SOCK_MAX
		return linux.EINVAL
	}
	return nil
}

// newSocket implements socket(2).
func newSocket(t *kernel.Task, a kernel.Args) (uint64, error) {
	kind, status, cloexec, err := socketFlags(a.Uint(1))
	if err == nil {
		err = checkSocket(a.Uint(0), kind)
	}
	if err != nil {
		return 0, err
	}
	s, err := t.Container().Net().Socket(int(a.Int(0)), kind, int(a.Int(2)), anonStat(t, devSock, linux.S_IFSOCK|0o777))
	if err != nil {
		return 0, linux.ErrnoOf(err)
	}
	return install(t, vfs.NewFileDescription(s, vfs.Location{}, status), cloexec)
}

// socketpair implements socketpair(2).
func socketpair(t *kernel.Task, a kernel.Args) (uint64, error) {
	kind, status, cloexec, err := socketFlags(a.Uint(1))
	if err == nil {
		err = checkSocket(a.Uint(0), kind)
	}
	if err != nil {
		return 0, err
	}
	st := anonStat(t, devSock, linux.S_IFSOCK|0o777)
	switch a.Uint(0) {
	case linux.AF_UNIX:
	case linux.AF_INET, linux.AF_INET6, linux.AF_NETLINK:
		s, err := t.Container().Net().Socket(int(a.Int(0)), kind, int(a.Int(2)), st)
		if err != nil {
			return 0, linux.ErrnoOf(err)
		}
		s.Release()
		return 0, linux.EOPNOTSUPP
	default:
		return 0, linux.EAFNOSUPPORT
	}
	if p := a.Uint(2); p != 0 && p != linux.AF_UNIX {
		return 0, linux.EPROTONOSUPPORT
	}
	x, y, err := t.Container().Net().Pair(t.Caller(), kind, st, anonStat(t, devSock, linux.S_IFSOCK|0o777))
	if err != nil {
		return 0, err
	}
	return installPair(t, a.Addr(3), vfs.NewFileDescription(x, vfs.Location{}, status),
		vfs.NewFileDescription(y, vfs.Location{}, status), cloexec)
}

// socketOf returns a descriptor's socket, ENOTSOCK for another file.
func socketOf(t *kernel.Task, fd int32) (socket.Socket, *vfs.FileDescription, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return nil, nil, err
	}
	if d.IsPath() {
		d.DecRef()
		return nil, nil, linux.EBADF
	}
	s, ok := d.File().(socket.Socket)
	if !ok {
		d.DecRef()
		return nil, nil, linux.ENOTSOCK
	}
	return s, d, nil
}

// copyInAddress reads a struct sockaddr.
func copyInAddress(t *kernel.Task, addr uint64, n int32) ([]byte, error) {
	if n < 0 || n > linux.SizeofSockaddr {
		return nil, linux.EINVAL
	}
	b := make([]byte, n)
	return b, t.CopyIn(addr, b)
}

// bind implements bind(2).
func bind(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	addr, err := copyInAddress(t, a.Addr(1), a.Int(2))
	if err != nil {
		return 0, err
	}
	if err := checkPort(t, s, addr); err != nil {
		return 0, err
	}
	return 0, s.Bind(t.Caller(), addr)
}

// checkPort refuses ports below 1024 to those without CAP_NET_BIND_SERVICE.
func checkPort(t *kernel.Task, s socket.Socket, addr []byte) error {
	switch s.Common().Family {
	case linux.AF_INET, linux.AF_INET6:
		if len(addr) >= linux.SizeofSockaddrIn && !t.Creds().HasCap(linux.CAP_NET_BIND_SERVICE) {
			if p := binary.BigEndian.Uint16(addr[2:]); p > 0 && p < 1024 {
				return linux.EACCES
			}
		}
	}
	return nil
}

// listen implements listen(2).
func listen(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	return 0, s.Listen(t.Caller(), int(a.Int(1)))
}

// connect implements connect(2).
func connect(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	addr, err := copyInAddress(t, a.Addr(1), a.Int(2))
	if err != nil {
		return 0, err
	}
	c := t.Caller()
	started := false
	_, err = retryUntil(t, d, waiter.WritableEvents, s.Common().Timeout(true), func() (int, error) {
		err := s.Connect(c, addr)
		switch {
		case started && err == linux.EISCONN:
			return 0, nil
		case err == linux.EALREADY && !d.NonBlocking():
			started = true
			return 0, linux.EAGAIN
		case err == linux.EINPROGRESS && !d.NonBlocking():
			started = true
			return 0, linux.EAGAIN
		}
		return 0, err
	})
	if err == linux.EAGAIN && started {
		err = linux.EINPROGRESS // SO_SNDTIMEO has passed
	}
	return 0, err
}

// accept implements accept(2).
func accept(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accept4(t, kernel.Args{a[0], a[1], a[2]})
}

// accept4 implements accept4(2).
func accept4(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(linux.SOCK_NONBLOCK|linux.SOCK_CLOEXEC) != 0 {
		return 0, linux.EINVAL
	}
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	var c socket.Socket
	_, err = retryUntil(t, d, waiter.ReadableEvents, s.Common().Timeout(false), func() (int, error) {
		var err error
		c, err = s.Accept(anonStat(t, devSock, linux.S_IFSOCK|0o777))
		return 0, err
	})
	if err != nil {
		return 0, err
	}
	desc := vfs.NewFileDescription(c, vfs.Location{}, linux.O_RDWR|flags&linux.SOCK_NONBLOCK)
	if a.Addr(1) != 0 {
		name, err := c.Name(true)
		if err == linux.ENOTCONN {
			name, err = make([]byte, 2), nil // it has gone already
			binary.LittleEndian.PutUint16(name, uint16(s.Common().Family))
		}
		if err == nil {
			err = putCounted(t, a.Addr(1), a.Addr(2), name)
		}
		if err != nil {
			desc.DecRef()
			return 0, err
		}
	}
	return install(t, desc, flags&linux.SOCK_CLOEXEC != 0)
}

// shutdown implements shutdown(2).
func shutdown(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Uint(1) > linux.SHUT_RDWR {
		return 0, linux.EINVAL
	}
	return 0, s.Shutdown(int(a.Uint(1)))
}

// socketName serves getsockname(2) and getpeername(2).
func socketName(peer bool) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		s, d, err := socketOf(t, a.Int(0))
		if err != nil {
			return 0, err
		}
		defer d.DecRef()
		name, err := s.Name(peer)
		if err != nil {
			return 0, err
		}
		return 0, putCounted(t, a.Addr(1), a.Addr(2), name)
	}
}

// putCounted copies b out, cut to the length at lenAddr, and stores b's length
// there.
func putCounted(t *kernel.Task, addr, lenAddr uint64, b []byte) error {
	room, err := copyInLength(t, lenAddr)
	if err != nil {
		return err
	}
	if err := t.CopyOut(addr, b[:min(len(b), room)]); err != nil {
		return err
	}
	return t.CopyOut(lenAddr, binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
}

// copyInLength reads a socklen_t.
func copyInLength(t *kernel.Task, addr uint64) (int, error) {
	var n [4]byte
	if err := t.CopyIn(addr, n[:]); err != nil {
		return 0, err
	}
	room := int32(binary.LittleEndian.Uint32(n[:]))
	if room < 0 {
		return 0, linux.EINVAL
	}
	return int(room), nil
}

// maxOption bounds a socket option, in bytes.
const maxOption = 4096

// getsockopt implements getsockopt(2).
func getsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	room, err := copyInLength(t, a.Addr(4))
	if err != nil {
		return 0, err
	}
	value, err := s.Option(int(a.Int(1)), int(a.Int(2)), min(room, maxOption))
	if err != nil {
		return 0, err
	}
	value = value[:min(len(value), room)]
	if err := t.CopyOut(a.Addr(3), value); err != nil {
		return 0, err
	}
	return 0, t.CopyOut(a.Addr(4), binary.LittleEndian.AppendUint32(nil, uint32(len(value))))
}

// setsockopt implements setsockopt(2).
func setsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Int(4) < 0 {
		return 0, linux.EINVAL
	}
	value := make([]byte, min(a.Int(4), maxOption))
	if err := t.CopyIn(a.Addr(3), value); err != nil {
		return 0, err
	}
	return 0, s.SetOption(t.Caller(), int(a.Int(1)), int(a.Int(2)), value)
}
