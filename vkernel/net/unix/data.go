package unix

import (
	"encoding/binary"
	"slices"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// checkCreds says whether a caller may send these credentials.
func checkCreds(c *vfs.Caller, u *socket.Ucred) error {
	k := c.Creds
	switch {
	case int(u.PID) != c.PID && !k.HasCap(linux.CAP_SYS_ADMIN),
		u.UID != k.UID && u.UID != k.EUID && u.UID != k.SUID && !k.HasCap(linux.CAP_SETUID),
		u.GID != k.GID && u.GID != k.EGID && u.GID != k.SGID && !k.HasCap(linux.CAP_SETGID):
		return linux.EPERM
	}
	return nil
}

// Send implements socket.Messenger. c is nil for write(2).
func (s *Socket) Send(c *vfs.Caller, m *socket.Message, flags uint32) (int, error) {
	if flags&linux.MSG_OOB != 0 {
		return 0, linux.EOPNOTSUPP
	}
	msg := &message{}
	if m.Creds != nil {
		if err := checkCreds(c, m.Creds); err != nil {
			return 0, err
		}
		msg.creds = *m.Creds
	} else if c != nil {
		msg.creds = socket.CredsOf(c)
	}
	var to *Socket
	if m.Addr != nil && s.Type == linux.SOCK_DGRAM {
		name, err := parseName(m.Addr)
		if err != nil {
			return 0, err
		}
		if to, err = s.ns.target(c, name); err != nil {
			return 0, err
		}
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if c == nil {
		msg.creds = s.own
	}
	if s.Kept(linux.SO_PASSCRED) != 0 && s.Type == linux.SOCK_DGRAM {
		s.autobind()
	}
	var err error
	data := m.Bytes()
	if s.Type == linux.SOCK_DGRAM {
		to, err = s.mayDatagram(to, len(data))
	} else {
		to, err = s.mayStream(m.Addr != nil, len(data))
	}
	if err != nil {
		return 0, err
	}
	if s.Type == linux.SOCK_STREAM {
		if len(data) == 0 {
			return 0, nil
		}
		free := s.sendLimit - to.rxBytes
		if free <= 0 {
			to.waiting = append(to.waiting, s)
			return 0, linux.EAGAIN
		}
		data = data[:min(len(data), free)]
	}
	for _, f := range m.Files {
		f.IncRef()
	}
	msg.data, msg.files = slices.Clone(data), m.Files
	if s.name != nil {
		msg.from = address(s.name)
	}
	to.put(msg)
	return len(data), nil
}

// put appends to the receive queue; it needs ns.mu. Small pieces of a stream are
// joined.
func (s *Socket) put(m *message) {
	const join = 4 << 10
	s.rxBytes += len(m.data)
	if n := len(s.rx); s.Type == linux.SOCK_STREAM && n > 0 {
		if last := s.rx[n-1]; len(last.files) == 0 && len(m.files) == 0 && last.creds == m.creds && len(last.data)+len(m.data) <= join {
			last.data = append(last.data, m.data...)
			s.queue.Notify(waiter.ReadableEvents)
			return
		}
	}
	s.rx = append(s.rx, m)
	s.queue.Notify(waiter.ReadableEvents)
}

// mayStream returns the socket at the other end, if it takes data.
func (s *Socket) mayStream(addressed bool, n int) (*Socket, error) {
	switch {
	case addressed && s.Type == linux.SOCK_STREAM && s.state == connected:
		return nil, linux.EISCONN
	case addressed && s.Type == linux.SOCK_STREAM:
		return nil, linux.EOPNOTSUPP
	case s.err != nil && s.Type == linux.SOCK_SEQPACKET:
		err := s.err
		s.err = nil
		return nil, err
	case s.state != connected:
		return nil, linux.ENOTCONN
	case s.shutWrite || s.peer == nil || s.peer.state == closed || s.peer.shutRead:
		return nil, linux.EPIPE
	}
	if s.Type == linux.SOCK_SEQPACKET {
		if n > s.sendLimit-32 {
			return nil, linux.EMSGSIZE
		}
		if s.peer.rxBytes > 0 && s.peer.rxBytes+n > s.sendLimit {
			s.peer.waiting = append(s.peer.waiting, s)
			return nil, linux.EAGAIN
		}
	}
	return s.peer, nil
}

// mayDatagram returns the socket that a datagram goes to; to is where its
// address leads, nil for the peer.
func (s *Socket) mayDatagram(to *Socket, n int) (*Socket, error) {
	explicit := to != nil
	if !explicit {
		to = s.peer
	}
	switch {
	case s.shutWrite:
		return nil, linux.EPIPE
	case n > s.sendLimit-32:
		return nil, linux.EMSGSIZE
	case to == nil:
		return nil, linux.ENOTCONN
	case to.Type != linux.SOCK_DGRAM:
		return nil, linux.EPROTOTYPE
	case to.state == closed:
		if !explicit {
			s.peer, s.state = nil, idle
		}
		return nil, linux.ECONNREFUSED
	case to.peer != nil && to.peer != s:
		return nil, linux.EPERM
	case to.shutRead:
		return nil, linux.EPIPE
	case len(to.rx) > maxDatagrams || to.rxBytes > 0 && to.rxBytes+n > s.sendLimit:
		to.waiting = append(to.waiting, s)
		return nil, linux.EAGAIN
	}
	return to, nil
}

// Recv implements socket.Messenger.
func (s *Socket) Recv(m *socket.Message, flags uint32) (int, error) {
	if flags&linux.MSG_OOB != 0 {
		return 0, linux.EOPNOTSUPP
	}
	if flags&linux.MSG_ERRQUEUE != 0 {
		return 0, linux.EAGAIN
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.connects() && s.state != connected && len(s.rx) == 0 {
		if s.Type == linux.SOCK_STREAM {
			return 0, linux.EINVAL
		}
		return 0, linux.ENOTCONN
	}
	if len(s.rx) == 0 {
		if err := s.err; err != nil {
			s.err = nil
			return 0, err
		}
		if s.shutRead {
			return 0, nil
		}
		if s.Type == linux.SOCK_STREAM && m.Room() == 0 {
			return 0, nil
		}
		return 0, linux.EAGAIN
	}
	peek := flags&linux.MSG_PEEK != 0
	var n int
	if s.Type == linux.SOCK_STREAM {
		n = s.readStream(m, peek)
	} else {
		n = s.readPacket(m, peek)
		if flags&linux.MSG_TRUNC == 0 {
			n = min(n, m.Room())
		}
	}
	if !peek {
		s.tellWaiting()
		if s.connects() && s.peer != nil {
			s.peer.queue.Notify(waiter.WritableEvents)
		}
	}
	return n, nil
}

// takeControl moves what came with msg into m.
func (s *Socket) takeControl(m *socket.Message, msg *message, peek bool) {
	if s.Kept(linux.SO_PASSCRED) != 0 {
		creds := msg.creds
		m.Creds = &creds
	}
	m.Files = append(m.Files, msg.files...)
	if peek {
		for _, f := range msg.files {
			f.IncRef()
		}
	} else {
		msg.files = nil
	}
}

func (s *Socket) readPacket(m *socket.Message, peek bool) int {
	msg := s.rx[0]
	n := len(msg.data)
	w := m.Writer()
	_, _ = w.Write(msg.data) // what does not fit is cut, which MSG_TRUNC says
	if room := m.Room(); n > room {
		m.Flags |= linux.MSG_TRUNC
	}
	m.Addr = msg.from
	s.takeControl(m, msg, peek)
	if !peek {
		s.rx[0] = nil
		s.rx = s.rx[1:]
		s.rxBytes -= n
	}
	return n
}

func (s *Socket) readStream(m *socket.Message, peek bool) int {
	room, done := m.Room(), 0
	w := m.Writer()
	passCred := s.Kept(linux.SO_PASSCRED) != 0
	for i := 0; i < len(s.rx) && done < room; {
		msg := s.rx[i]
		if done > 0 && passCred && m.Creds != nil && *m.Creds != msg.creds {
			break
		}
		withFiles := len(msg.files) > 0
		k := min(room-done, len(msg.data))
		_, _ = w.Write(msg.data[:k]) // it fits
		done += k
		if m.Addr == nil {
			m.Addr = msg.from
		}
		s.takeControl(m, msg, peek)
		switch {
		case peek:
			i++
		case k == len(msg.data):
			s.rx[0] = nil
			s.rx = s.rx[1:]
			s.rxBytes -= k
		default:
			msg.data = msg.data[k:]
			s.rxBytes -= k
		}
		if withFiles {
			break
		}
	}
	return done
}

// ReadAt implements vfs.File.
func (s *Socket) ReadAt(p []byte, _ int64) (int, error) {
	m := socket.Message{Data: [][]byte{p}}
	n, err := s.Recv(&m, 0)
	m.Release() // read(2) drops files that come along
	return n, err
}

// WriteAt implements vfs.File.
func (s *Socket) WriteAt(p []byte, _ int64) (int, error) {
	return s.Send(nil, &socket.Message{Data: [][]byte{p}}, 0)
}

// Readiness implements waiter.Waitable.
func (s *Socket) Readiness(mask waiter.EventMask) waiter.EventMask {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	var ready waiter.EventMask
	if s.err != nil {
		ready |= waiter.EventErr
	}
	if s.shutRead && s.shutWrite || s.connects() && s.state == idle {
		ready |= waiter.EventHUp
	}
	if s.shutRead {
		ready |= waiter.EventRdHUp | waiter.ReadableEvents
	}
	if len(s.rx) > 0 || len(s.backlog) > 0 {
		ready |= waiter.ReadableEvents
	}
	if s.writable() {
		ready |= waiter.WritableEvents
	}
	return ready & mask
}

// writable needs ns.mu.
func (s *Socket) writable() bool {
	p := s.peer
	switch {
	case s.state == listening:
		return false
	case p == nil || p.state == closed:
		return true
	case s.connects():
		return p.rxBytes*4 <= s.sendLimit
	}
	if len(p.rx) <= maxDatagrams {
		return true
	}
	if !slices.Contains(p.waiting, s) {
		p.waiting = append(p.waiting, s)
	}
	return false
}

// EventRegister implements waiter.Waitable.
func (s *Socket) EventRegister(e *waiter.Entry) { s.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (s *Socket) EventUnregister(e *waiter.Entry) { s.queue.EventUnregister(e) }

// Ioctl implements vfs.Ioctler.
func (s *Socket) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	s.ns.mu.Lock()
	n, listens := 0, s.state == listening
	switch {
	case req == linux.FIONREAD && s.Type == linux.SOCK_DGRAM && len(s.rx) > 0:
		n = len(s.rx[0].data)
	case req == linux.FIONREAD:
		n = s.rxBytes
	case req == linux.SIOCOUTQ && s.connects() && s.peer != nil:
		n = s.peer.rxBytes
	}
	s.ns.mu.Unlock()
	switch {
	case req != linux.FIONREAD && req != linux.SIOCOUTQ:
		return 0, linux.ENOTTY
	case listens:
		return 0, linux.EINVAL
	}
	return 0, t.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(n)))
}
