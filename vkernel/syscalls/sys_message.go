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

// receive fills m with the flags of recv(2).
func receive(t *kernel.Task, s socket.Socket, d *vfs.FileDescription, m *socket.Message, flags uint32) (int, error) {
	try := func() (int, error) { return s.Recv(m, flags) }
	if flags&(linux.MSG_DONTWAIT|linux.MSG_ERRQUEUE) != 0 || d.NonBlocking() {
		return try()
	}
	b := s.Common()
	n, err := retryUntil(t, d, waiter.ReadableEvents, b.Timeout(false), try)
	if flags&linux.MSG_WAITALL == 0 || b.Type != linux.SOCK_STREAM || flags&linux.MSG_PEEK != 0 {
		return n, err
	}
	for err == nil && n > 0 && n < m.Room() && len(m.Files) == 0 {
		rest := socket.Message{Data: skip(m.Data, n)}
		k, err := retryUntil(t, d, waiter.ReadableEvents, b.Timeout(false), func() (int, error) { return s.Recv(&rest, flags) })
		m.Files = append(m.Files, rest.Files...)
		if n += k; err != nil || k == 0 {
			break
		}
	}
	return n, err
}

// skip returns pieces without their first n bytes.
func skip(list [][]byte, n int) [][]byte {
	for len(list) > 0 && n >= len(list[0]) {
		n -= len(list[0])
		list = list[1:]
	}
	if len(list) == 0 || n == 0 {
		return list
	}
	return append([][]byte{list[0][n:]}, list[1:]...)
}

// send sends m with the flags of send(2); a stream takes it in as many pieces as
// needed.
func send(t *kernel.Task, s socket.Socket, d *vfs.FileDescription, m *socket.Message, flags uint32) (int, error) {
	c, b := t.Caller(), s.Common()
	total := m.Room()
	if len(m.Data) > 1 {
		m.Data = [][]byte{m.Bytes()}
	}
	done := 0
	for {
		try := func() (int, error) { return s.Send(c, m, flags) }
		var n int
		var err error
		if flags&linux.MSG_DONTWAIT != 0 {
			n, err = try()
		} else {
			n, err = retryUntil(t, d, waiter.WritableEvents, b.Timeout(true), try)
		}
		done += n
		switch {
		case err == linux.EPIPE && done == 0:
			if flags&linux.MSG_NOSIGNAL == 0 && (b.Type != linux.SOCK_DGRAM) {
				t.SendSelf(linux.SIGPIPE)
			}
			return 0, err
		case err != nil && done == 0:
			return 0, err
		case err != nil || done >= total || b.Type != linux.SOCK_STREAM || n == 0:
			return done, nil
		case flags&linux.MSG_DONTWAIT != 0 || d.NonBlocking():
			return done, nil
		}
		m.Data, m.Control = skip(m.Data, n), socket.Control{}
	}
}

// sendto implements sendto(2).
func sendto(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	p, err := t.Slice(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), false)
	if err != nil {
		return 0, err
	}
	m := socket.Message{Data: [][]byte{p}}
	if a.Addr(4) != 0 {
		if m.Addr, err = copyInAddress(t, a.Addr(4), a.Int(5)); err != nil {
			return 0, err
		}
	}
	n, err := send(t, s, d, &m, a.Uint(3))
	return uint64(n), err
}

// recvfrom implements recvfrom(2).
func recvfrom(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	if int64(a[2]) < 0 {
		return 0, linux.EINVAL
	}
	p, err := t.MM().SlicePrefix(a.Addr(1), min(a[2], linux.MAX_RW_COUNT), true)
	if err != nil {
		return 0, err
	}
	m := socket.Message{Data: [][]byte{p}}
	n, err := receive(t, s, d, &m, a.Uint(3))
	m.Release() // without a place for them, files are dropped
	if err == nil && a.Addr(4) != 0 {
		err = putCounted(t, a.Addr(4), a.Addr(5), m.Addr)
	}
	return uint64(n), err
}

// msghdr is struct msghdr.
type msghdr struct {
	name       uint64
	nameLen    int32
	iov, iovN  uint64
	control    uint64
	controlLen uint64
}

func copyInMsghdr(t *kernel.Task, addr uint64) (msghdr, error) {
	var b [linux.SizeofMsghdr]byte
	err := t.CopyIn(addr, b[:])
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	h := msghdr{name: u64(0), nameLen: int32(u64(8)), iov: u64(16), iovN: u64(24), control: u64(32), controlLen: u64(40)}
	if err == nil && h.iovN > linux.IOV_MAX {
		err = linux.EMSGSIZE
	}
	return h, err
}

// maxControl bounds the ancillary data of one message (net.core.optmem_max).
const maxControl = 20480

// parseControl reads ancillary data to send.
func parseControl(t *kernel.Task, addr, n uint64) (socket.Control, error) {
	var c socket.Control
	if n == 0 {
		return c, nil
	}
	if n > maxControl {
		return c, linux.ENOBUFS
	}
	b := make([]byte, n)
	if err := t.CopyIn(addr, b); err != nil {
		return c, err
	}
	for len(b) >= linux.SizeofCmsghdr {
		size := binary.LittleEndian.Uint64(b)
		if size < linux.SizeofCmsghdr || size > uint64(len(b)) {
			c.Release()
			return c, linux.EINVAL
		}
		level, kind := int32(binary.LittleEndian.Uint32(b[8:])), int32(binary.LittleEndian.Uint32(b[12:]))
		if err := addControl(t, &c, level, kind, b[linux.SizeofCmsghdr:size]); err != nil {
			c.Release()
			return c, err
		}
		b = b[min(uint64(len(b)), (size+7)&^7):]
	}
	return c, nil
}

func addControl(t *kernel.Task, c *socket.Control, level, kind int32, data []byte) error {
	if level != linux.SOL_SOCKET {
		c.Other = append(c.Other, socket.ControlMessage{Level: int(level), Type: int(kind), Data: data})
		return nil
	}
	switch kind {
	case linux.SCM_RIGHTS:
		if len(data)%4 != 0 || len(c.Files)+len(data)/4 > linux.SCM_MAX_FD {
			return linux.EINVAL
		}
		for ; len(data) > 0; data = data[4:] {
			f, err := t.Files().Get(int32(binary.LittleEndian.Uint32(data)))
			if err != nil {
				return err
			}
			c.Files = append(c.Files, f)
		}
	case linux.SCM_CREDENTIALS:
		if len(data) != linux.SizeofUcred {
			return linux.EINVAL
		}
		c.Creds = &socket.Ucred{PID: int32(binary.LittleEndian.Uint32(data)), UID: binary.LittleEndian.Uint32(data[4:]),
			GID: binary.LittleEndian.Uint32(data[8:])}
	default:
		return linux.EINVAL
	}
	return nil
}

// sendMessage sends what a struct msghdr describes.
func sendMessage(t *kernel.Task, s socket.Socket, d *vfs.FileDescription, addr uint64, flags uint32) (int, error) {
	h, err := copyInMsghdr(t, addr)
	if err != nil {
		return 0, err
	}
	var m socket.Message
	if h.name != 0 && h.nameLen != 0 {
		if m.Addr, err = copyInAddress(t, h.name, min(h.nameLen, linux.SizeofSockaddr)); err != nil {
			return 0, err
		}
	}
	if m.Data, err = iovecs(t, h.iov, int32(h.iovN), false); err != nil {
		return 0, err
	}
	if m.Control, err = parseControl(t, h.control, h.controlLen); err != nil {
		return 0, err
	}
	sent := m.Control
	defer sent.Release()
	return send(t, s, d, &m, flags)
}

// sendmsg implements sendmsg(2).
func sendmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	n, err := sendMessage(t, s, d, a.Addr(1), a.Uint(2))
	return uint64(n), err
}

// sendmmsg implements sendmmsg(2).
func sendmmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	done := uint64(0)
	for count := min(a.Uint(2), linux.IOV_MAX); done < uint64(count); done++ {
		at := a.Addr(1) + done*linux.SizeofMmsghdr
		n, err := sendMessage(t, s, d, at, a.Uint(3))
		if err == nil {
			err = t.CopyOut(at+linux.SizeofMsghdr, binary.LittleEndian.AppendUint32(nil, uint32(n)))
		}
		if err != nil {
			if done > 0 {
				break
			}
			return 0, err
		}
	}
	return done, nil
}

// putControl writes ancillary data and returns its length; MSG_CTRUNC in flags
// if it does not fit. Files get descriptors.
func putControl(t *kernel.Task, m *socket.Message, addr, room uint64, flags uint32) (uint64, error) {
	var out []byte
	put := func(level, kind int, data []byte) {
		left := int(room) - len(out)
		if left < linux.SizeofCmsghdr {
			m.Flags |= linux.MSG_CTRUNC
			return
		}
		if linux.SizeofCmsghdr+len(data) > left {
			m.Flags |= linux.MSG_CTRUNC
			data = data[:left-linux.SizeofCmsghdr]
		}
		out = binary.LittleEndian.AppendUint64(out, uint64(linux.SizeofCmsghdr+len(data)))
		out = binary.LittleEndian.AppendUint32(out, uint32(level))
		out = binary.LittleEndian.AppendUint32(out, uint32(kind))
		out = append(out, data...)
		for len(out)%8 != 0 && len(out) < int(room) {
			out = append(out, 0)
		}
	}
	for _, c := range m.Other {
		put(c.Level, c.Type, c.Data)
	}
	if m.Creds != nil {
		put(linux.SOL_SOCKET, linux.SCM_CREDENTIALS, m.Creds.Marshal())
	}
	if len(m.Files) > 0 {
		fit := max(0, (int(room)-len(out)-linux.SizeofCmsghdr)/4)
		if fit < len(m.Files) {
			m.Flags |= linux.MSG_CTRUNC
		}
		var fds []byte
		for len(m.Files) > 0 && len(fds)/4 < fit {
			fd, err := install(t, m.Files[0], flags&linux.MSG_CMSG_CLOEXEC != 0)
			m.Files = m.Files[1:] // install took the reference
			if err != nil {
				m.Flags |= linux.MSG_CTRUNC
				break
			}
			fds = binary.LittleEndian.AppendUint32(fds, uint32(fd))
		}
		if len(fds) > 0 {
			put(linux.SOL_SOCKET, linux.SCM_RIGHTS, fds)
		}
	}
	return uint64(len(out)), t.CopyOut(addr, out)
}

// recvMessage fills what a struct msghdr describes.
func recvMessage(t *kernel.Task, s socket.Socket, d *vfs.FileDescription, addr uint64, flags uint32) (int, error) {
	h, err := copyInMsghdr(t, addr)
	if err != nil {
		return 0, err
	}
	if h.nameLen < 0 {
		return 0, linux.EINVAL
	}
	var m socket.Message
	if m.Data, err = iovecs(t, h.iov, int32(h.iovN), true); err != nil {
		return 0, err
	}
	n, err := receive(t, s, d, &m, flags)
	defer m.Release()
	if err != nil {
		return 0, err
	}
	if h.name != 0 {
		if err := t.CopyOut(h.name, m.Addr[:min(len(m.Addr), int(h.nameLen))]); err != nil {
			return 0, err
		}
		if err := t.CopyOut(addr+8, binary.LittleEndian.AppendUint32(nil, uint32(len(m.Addr)))); err != nil {
			return 0, err
		}
	}
	room := min(h.controlLen, maxControl)
	if h.control == 0 {
		room = 0
	}
	used, err := putControl(t, &m, h.control, room, flags)
	if err != nil {
		return 0, err
	}
	tail := binary.LittleEndian.AppendUint64(nil, used)
	tail = binary.LittleEndian.AppendUint32(tail, m.Flags|flags&linux.MSG_CMSG_CLOEXEC)
	return n, t.CopyOut(addr+40, tail)
}

// recvmsg implements recvmsg(2).
func recvmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	n, err := recvMessage(t, s, d, a.Addr(1), a.Uint(2))
	return uint64(n), err
}

// recvmmsg implements recvmmsg(2); as on Linux, its timeout is looked at after
// each message only.
func recvmmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	var o timeout
	if a.Addr(4) != 0 {
		var err error
		if o, err = timespecTimeout(t, a.Addr(4)); err != nil {
			return 0, err
		}
	}
	s, d, err := socketOf(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer d.DecRef()
	flags, done := a.Uint(3), uint64(0)
	for count := min(a.Uint(2), linux.IOV_MAX); done < uint64(count); {
		at := a.Addr(1) + done*linux.SizeofMmsghdr
		n, err := recvMessage(t, s, d, at, flags&^linux.MSG_WAITFORONE)
		if err == nil {
			err = t.CopyOut(at+linux.SizeofMsghdr, binary.LittleEndian.AppendUint32(nil, uint32(n)))
		}
		if err != nil {
			if done > 0 {
				break
			}
			return 0, err
		}
		done++
		if flags&linux.MSG_WAITFORONE != 0 {
			flags |= linux.MSG_DONTWAIT
		}
		if o.poll || !o.deadline.IsZero() && time.Now().After(o.deadline) {
			break
		}
	}
	putLeft(t, a.Addr(4), o)
	return done, nil
}
