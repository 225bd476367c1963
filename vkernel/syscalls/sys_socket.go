package syscalls

import (
	"encoding/binary"

	"megabinary.dev/vkernel/fs/anon"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// socket answers EAFNOSUPPORT: there is no network yet.
func socket(*kernel.Task, kernel.Args) (uint64, error) { return 0, linux.EAFNOSUPPORT }

// socketpair implements socketpair(2) for AF_UNIX streams.
func socketpair(t *kernel.Task, a kernel.Args) (uint64, error) {
	kind := a.Uint(1)
	flags := kind & (linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC)
	switch {
	case a.Uint(0) == linux.AF_INET || a.Uint(0) == linux.AF_INET6:
		return 0, linux.EOPNOTSUPP
	case a.Uint(0) != linux.AF_UNIX:
		return 0, linux.EAFNOSUPPORT
	case kind&^flags != linux.SOCK_STREAM:
		return 0, linux.ESOCKTNOSUPPORT
	case a.Uint(2) > linux.AF_UNIX:
		return 0, linux.EPROTONOSUPPORT
	}
	x, y := anon.NewSocketPair(anonStat(t, devSock, linux.S_IFSOCK|0o777), anonStat(t, devSock, linux.S_IFSOCK|0o777))
	status := uint32(linux.O_RDWR) | flags&linux.SOCK_NONBLOCK
	return installPair(t, a.Addr(3), vfs.NewFileDescription(x, vfs.Location{}, status),
		vfs.NewFileDescription(y, vfs.Location{}, status), flags&linux.SOCK_CLOEXEC != 0)
}

// socketOf returns a descriptor's socket, ENOTSOCK for another file.
func socketOf(t *kernel.Task, fd int32) (*anon.Socket, *vfs.FileDescription, error) {
	d, err := t.Files().Get(fd)
	if err != nil {
		return nil, nil, err
	}
	s, ok := d.File().(*anon.Socket)
	if !ok {
		d.DecRef()
		return nil, nil, linux.ENOTSOCK
	}
	return s, d, nil
}

// connected answers for bind, connect, listen and accept: a pair is connected.
func connected(e linux.Errno) Handler {
	return func(t *kernel.Task, a kernel.Args) (uint64, error) {
		_, d, err := socketOf(t, a.Int(0))
		if err != nil {
			return 0, err
		}
		d.DecRef()
		return 0, e
	}
}

// receive reads once into p with the flags of recv(2).
func receive(t *kernel.Task, s *anon.Socket, d *vfs.FileDescription, p []byte, flags uint32) (int, error) {
	try := func() (int, error) {
		if flags&linux.MSG_PEEK != 0 {
			return s.Peek(p)
		}
		return s.ReadAt(p, 0)
	}
	if flags&linux.MSG_DONTWAIT != 0 {
		return try()
	}
	n, err := retry(t, d, waiter.ReadableEvents, try)
	for err == nil && flags&linux.MSG_WAITALL != 0 && n > 0 && n < len(p) && !d.NonBlocking() {
		m, err := retry(t, d, waiter.ReadableEvents, func() (int, error) { return s.ReadAt(p[n:], 0) })
		if n += m; err != nil || m == 0 {
			break
		}
	}
	return n, err
}

// send writes p with the flags of send(2).
func send(t *kernel.Task, s *anon.Socket, d *vfs.FileDescription, p []byte, flags uint32) (int, error) {
	var n int
	var err error
	if flags&linux.MSG_DONTWAIT != 0 {
		n, err = s.WriteAt(p, 0)
	} else {
		for {
			var m int
			m, err = retry(t, d, waiter.WritableEvents, func() (int, error) { return s.WriteAt(p[n:], 0) })
			n += m
			if err != nil || n == len(p) || m == 0 || d.NonBlocking() {
				break
			}
		}
	}
	if n > 0 {
		return n, nil
	}
	if err == linux.EPIPE && flags&linux.MSG_NOSIGNAL == 0 {
		t.SendSelf(linux.SIGPIPE)
	}
	return 0, err
}

// sendto implements sendto(2) on a pair.
func sendto(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Addr(4) != 0 {
		return 0, linux.EISCONN
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), false)
	if err != nil {
		return 0, err
	}
	n, err := send(t, s, d, p, a.Uint(3))
	return uint64(n), err
}

// recvfrom implements recvfrom(2) on a pair, whose peer has no name.
func recvfrom(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), true)
	if err != nil {
		return 0, err
	}
	n, err := receive(t, s, d, p, a.Uint(3))
	if err == nil && a.Addr(4) != 0 && a.Addr(5) != 0 {
		err = t.CopyOut(a.Addr(5), make([]byte, 4))
	}
	return uint64(n), err
}

// msghdr reads struct msghdr: its buffers and where its flags are. Control data
// is not carried.
func msghdr(t *kernel.Task, addr uint64, write bool) (list [][]byte, control uint64, err error) {
	var b [56]byte
	if err := t.CopyIn(addr, b[:]); err != nil {
		return nil, 0, err
	}
	n := binary.LittleEndian.Uint64(b[24:])
	if n > linux.IOV_MAX {
		return nil, 0, linux.EMSGSIZE
	}
	list, err = iovecs(t, binary.LittleEndian.Uint64(b[16:]), int32(n), write)
	return list, binary.LittleEndian.Uint64(b[40:]), err
}

// sendmsg implements sendmsg(2) on a pair, without control data.
func sendmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	list, control, err := msghdr(t, a.Addr(1), false)
	if err != nil {
		return 0, err
	}
	if control != 0 {
		return 0, linux.EOPNOTSUPP
	}
	return each(gather(list), func(p []byte, _ int) (int, error) { return send(t, s, d, p, a.Uint(2)) })
}

// recvmsg implements recvmsg(2) on a pair, without control data.
func recvmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	list, _, err := msghdr(t, a.Addr(1), true)
	if err != nil {
		return 0, err
	}
	n, err := each(list, func(p []byte, done int) (int, error) {
		if done > 0 {
			return receive(t, s, d, p, a.Uint(2)|linux.MSG_DONTWAIT)
		}
		return receive(t, s, d, p, a.Uint(2))
	})
	if err != nil {
		return 0, err
	}
	if err := t.CopyOut(a.Addr(1)+8, make([]byte, 4)); err != nil { // msg_namelen
		return 0, err
	}
	return n, t.CopyOut(a.Addr(1)+40, make([]byte, 16)) // msg_controllen, msg_flags
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
	how := a.Uint(1)
	s.Shutdown(how != linux.SHUT_WR, how != linux.SHUT_RD)
	return 0, nil
}

// socketName serves getsockname(2) and getpeername(2): the family alone.
func socketName(t *kernel.Task, a kernel.Args) (uint64, error) {
	_, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	return 0, putCounted(t, a.Addr(1), a.Addr(2), []byte{linux.AF_UNIX, 0})
}

// putCounted copies b out, cut to the length at lenAddr, and stores b's length
// there.
func putCounted(t *kernel.Task, addr, lenAddr uint64, b []byte) error {
	var n [4]byte
	if err := t.CopyIn(lenAddr, n[:]); err != nil {
		return err
	}
	room := int32(binary.LittleEndian.Uint32(n[:]))
	if room < 0 {
		return linux.EINVAL
	}
	if err := t.CopyOut(addr, b[:min(len(b), int(room))]); err != nil {
		return err
	}
	return t.CopyOut(lenAddr, binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
}

// getsockopt implements getsockopt(2) for what a pair has.
func getsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	_, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Uint(1) != linux.SOL_SOCKET {
		return 0, linux.EOPNOTSUPP
	}
	var v uint32
	switch a.Uint(2) {
	case linux.SO_TYPE:
		v = linux.SOCK_STREAM
	case linux.SO_DOMAIN:
		v = linux.AF_UNIX
	case linux.SO_ERROR, linux.SO_PROTOCOL, linux.SO_ACCEPTCONN, linux.SO_KEEPALIVE, linux.SO_REUSEADDR, linux.SO_PASSCRED:
	case linux.SO_SNDBUF, linux.SO_RCVBUF:
		v = 212992
	case linux.SO_PEERCRED:
		c := t.Creds()
		b := binary.LittleEndian.AppendUint32(nil, uint32(t.TGID()))
		b = binary.LittleEndian.AppendUint32(b, c.EUID)
		return 0, putCounted(t, a.Addr(3), a.Addr(4), binary.LittleEndian.AppendUint32(b, c.EGID))
	default:
		return 0, linux.ENOPROTOOPT
	}
	return 0, putCounted(t, a.Addr(3), a.Addr(4), binary.LittleEndian.AppendUint32(nil, v))
}

// setsockopt accepts what changes nothing here.
func setsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	_, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if a.Uint(1) != linux.SOL_SOCKET {
		return 0, linux.EOPNOTSUPP
	}
	return 0, nil
}
