package inet

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Socket is a TCP, UDP or ping socket.
type Socket struct {
	socket.Base
	n *Stack
	// endpoint is replaced when a connection that has failed is tried again,
	// which the stack's endpoints cannot do.
	endpoint atomic.Pointer[tcpip.Endpoint]
	// failed is set once the program knows that the connection failed.
	failed atomic.Bool

	wq   gwaiter.Queue // the endpoint's
	cork cork

	own   *gwaiter.Queue // wq, or what Accept brought
	entry gwaiter.Entry
	queue waiter.Queue // ours, told by entry
}

var (
	_ socket.Socket = (*Socket)(nil)
	_ vfs.Described = (*Socket)(nil)
	_ vfs.Ioctler   = (*Socket)(nil)
)

// attach connects the endpoint's notifications to ours.
func (s *Socket) attach(ep tcpip.Endpoint) {
	s.endpoint.Store(&ep)
	if s.own == nil {
		s.own = &s.wq
	}
	s.entry = gwaiter.NewFunctionEntry(gwaiter.AllEvents, func(m gwaiter.EventMask) { s.queue.Notify(waiter.EventMask(m)) })
	s.own.EventRegister(&s.entry)
	s.n.mu.Lock()
	s.n.sockets[s] = struct{}{}
	s.n.mu.Unlock()
}

func (s *Socket) ep() tcpip.Endpoint { return *s.endpoint.Load() }

// renew replaces the endpoint of a connection that failed by a fresh one with
// the same options.
func (s *Socket) renew() error {
	old := s.ep()
	network := ipv4.ProtocolNumber
	if s.Family == linux.AF_INET6 {
		network = ipv6.ProtocolNumber
	}
	ep, err := s.n.s.NewEndpoint(tcp.ProtocolNumber, network, s.own)
	if err != nil {
		return errno(err)
	}
	for _, f := range flags() {
		f.set(ep.SocketOptions(), f.get(old.SocketOptions()))
	}
	for _, i := range ints() {
		if v, err := old.GetSockOptInt(i); err == nil && v != 0 {
			_ = ep.SetSockOptInt(i, v) // it was accepted before
		}
	}
	s.endpoint.Store(&ep)
	s.failed.Store(false)
	old.Close()
	return nil
}

// lastError returns and clears the error that is pending.
func (s *Socket) lastError() error {
	err := errno(s.ep().LastError())
	if s.failed.Load() || err == nil {
		return nil
	}
	s.failed.Store(s.stream())
	return err
}

func (s *Socket) stream() bool { return s.Type == linux.SOCK_STREAM }

// Release implements vfs.File.
func (s *Socket) Release() {
	s.n.mu.Lock()
	delete(s.n.sockets, s)
	s.n.mu.Unlock()
	s.finish(func() {
		s.own.EventUnregister(&s.entry)
		s.ep().Close()
	})
}

// Bind implements socket.Connector.
func (s *Socket) Bind(_ *vfs.Caller, addr []byte) error {
	if len(addr) >= 2 && s.Family == linux.AF_INET && binary.LittleEndian.Uint16(addr) == linux.AF_UNSPEC &&
		len(addr) >= linux.SizeofSockaddrIn && bytes.Equal(addr[4:8], make([]byte, 4)) {
		addr = append([]byte{linux.AF_INET, 0}, addr[2:]...) // as Linux does, for old programs
	}
	a, nic, err := parseAddress(s.Family, addr)
	if err != nil {
		return err
	}
	if s.stream() && tcp.EndpointState(s.ep().State()) != tcp.StateInitial {
		return linux.EINVAL
	}
	return errno(s.ep().Bind(full(a, nic)))
}

// Connect implements socket.Connector.
func (s *Socket) Connect(_ *vfs.Caller, addr []byte) error {
	if len(addr) < 2 {
		return linux.EINVAL
	}
	if binary.LittleEndian.Uint16(addr) == linux.AF_UNSPEC {
		err := s.ep().Disconnect()
		if _, ok := err.(*tcpip.ErrNotSupported); ok {
			return linux.EAFNOSUPPORT
		}
		return errno(err)
	}
	to, err := s.destination(addr)
	if err != nil {
		return err
	}
	if s.stream() {
		switch tcp.EndpointState(s.ep().State()) {
		case tcp.StateListen:
			return linux.EISCONN
		case tcp.StateError, tcp.StateClose:
			if err := s.lastError(); err != nil {
				return err // that of a connect that did not wait
			}
			if err := s.renew(); err != nil {
				return err
			}
		}
	}
	if terr := s.ep().Connect(to); terr != nil {
		return errno(terr)
	}
	return nil
}

// destination reads where to connect or send to, and asks whether that may be.
// The unspecified address means this container.
func (s *Socket) destination(addr []byte) (tcpip.FullAddress, error) {
	a, nic, err := parseAddress(s.Family, addr)
	if err != nil {
		return tcpip.FullAddress{}, err
	}
	if a.Addr().IsUnspecified() {
		self := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if a.Addr().Is6() {
			self = netip.IPv6Loopback()
			if v4, _ := s.ep().GetLocalAddress(); v4.Addr.Len() == 4 {
				self = netip.AddrFrom16(netip.AddrFrom4([4]byte{127, 0, 0, 1}).As16())
			}
		}
		a = netip.AddrPortFrom(self, a.Port())
	}
	if err := s.n.reach(s.proto(), a); err != nil {
		return tcpip.FullAddress{}, err
	}
	return full(a, nic), nil
}

func (s *Socket) proto() string {
	switch s.Protocol {
	case linux.IPPROTO_TCP:
		return "tcp"
	case linux.IPPROTO_UDP:
		return "udp"
	}
	return "icmp"
}

// Listen implements socket.Connector.
func (s *Socket) Listen(_ *vfs.Caller, backlog int) error {
	if !s.stream() {
		return linux.EOPNOTSUPP
	}
	if backlog < 0 || backlog > linux.SOMAXCONN {
		backlog = linux.SOMAXCONN
	}
	if tcp.EndpointState(s.ep().State()) == tcp.StateInitial { // Linux chooses a port
		if err := s.ep().Bind(tcpip.FullAddress{}); err != nil {
			return errno(err)
		}
	}
	return errno(s.ep().Listen(backlog + 1))
}

// Accept implements socket.Connector.
func (s *Socket) Accept(st linux.Stat) (socket.Socket, error) {
	if !s.stream() {
		return nil, linux.EOPNOTSUPP
	}
	ep, wq, err := s.ep().Accept(nil)
	if err != nil {
		return nil, errno(err)
	}
	c := &Socket{n: s.n, own: wq}
	c.Init(s.Family, s.Type, s.Protocol, st)
	c.Inherit(&s.Base)
	c.attach(ep)
	return c, nil
}

// Shutdown implements socket.Connector.
func (s *Socket) Shutdown(how int) error {
	flags := tcpip.ShutdownRead | tcpip.ShutdownWrite
	switch how {
	case linux.SHUT_RD:
		flags = tcpip.ShutdownRead
	case linux.SHUT_WR:
		flags = tcpip.ShutdownWrite
	}
	shut := func() error {
		err := errno(s.ep().Shutdown(flags))
		s.queue.Notify(waiter.ReadableEvents | waiter.WritableEvents | waiter.EventHUp | waiter.EventRdHUp)
		return err
	}
	if flags&tcpip.ShutdownWrite == 0 || s.push() {
		return shut()
	}
	s.finish(func() { _ = shut() }) // what it answers is known only after the data has left
	return nil
}

// payload is a message on its way into the stack.
type payload struct{ bytes.Reader }

// Send implements socket.Messenger.
func (s *Socket) Send(_ *vfs.Caller, m *socket.Message, flags uint32) (int, error) {
	if flags&linux.MSG_OOB != 0 {
		return 0, linux.EOPNOTSUPP
	}
	o := tcpip.WriteOptions{More: flags&linux.MSG_MORE != 0, EndOfRecord: flags&linux.MSG_EOR != 0, Atomic: !s.stream()}
	if m.Addr != nil && !s.stream() {
		if len(m.Addr) >= 2 && binary.LittleEndian.Uint16(m.Addr) == linux.AF_UNSPEC && s.Family == linux.AF_INET && len(m.Addr) >= linux.SizeofSockaddrIn {
			m.Addr = append([]byte{linux.AF_INET, 0}, m.Addr[2:]...)
		}
		to, err := s.destination(m.Addr)
		if err != nil {
			return 0, err
		}
		if to.Port == 0 && s.Protocol == linux.IPPROTO_UDP {
			return 0, linux.EINVAL
		}
		o.To = &to
	}
	data := m.Bytes()
	if !s.stream() {
		var held bool
		if data, held = s.cork.datagram(data, &o, flags&linux.MSG_MORE != 0); held {
			if len(data) > maxDatagram {
				return 0, linux.EMSGSIZE
			}
			return m.Room(), nil
		}
	}
	if s.stream() {
		switch tcp.EndpointState(s.ep().State()) {
		case tcp.StateInitial, tcp.StateBound, tcp.StateListen:
			return 0, linux.EPIPE
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
			return 0, linux.EAGAIN
		}
		if len(data) == 0 {
			return 0, nil
		}
		return s.sendStream(data, flags&linux.MSG_MORE != 0)
	}
	n, err := s.write(data, o)
	return min(n, m.Room()), err
}

// write hands data to the stack and returns how much of it was taken.
func (s *Socket) write(data []byte, o tcpip.WriteOptions) (int, error) {
	var p payload
	p.Reset(data)
	n, err := s.ep().Write(&p, o)
	if err != nil && n == 0 {
		return 0, errno(err)
	}
	return int(n), nil
}

// counter counts what a read would give, for MSG_TRUNC on a stream, which
// drops bytes.
type counter struct{ left int }

func (c *counter) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Recv implements socket.Messenger.
func (s *Socket) Recv(m *socket.Message, flags uint32) (int, error) {
	if flags&linux.MSG_OOB != 0 {
		return 0, linux.EINVAL // no urgent data
	}
	if flags&linux.MSG_ERRQUEUE != 0 {
		return 0, linux.EAGAIN
	}
	o := tcpip.ReadOptions{Peek: flags&linux.MSG_PEEK != 0, NeedRemoteAddr: !s.stream()}
	room := m.Room()
	if s.stream() {
		switch tcp.EndpointState(s.ep().State()) {
		case tcp.StateInitial, tcp.StateBound, tcp.StateListen:
			return 0, linux.ENOTCONN
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
			return 0, linux.EAGAIN
		}
		if room == 0 {
			return 0, nil
		}
	}
	var res tcpip.ReadResult
	var err tcpip.Error
	if s.stream() && flags&linux.MSG_TRUNC != 0 {
		res, err = s.ep().Read(&counter{room}, o)
	} else {
		res, err = s.ep().Read(m.Writer(), o)
	}
	if _, bad := err.(*tcpip.ErrBadBuffer); bad && room == 0 {
		err = nil // a datagram that was read into no room is gone
	}
	if err != nil {
		return 0, errno(err)
	}
	if s.stream() {
		if !o.Peek {
			s.ep().ModerateRecvBuf(res.Count)
		}
		return res.Count, nil
	}
	m.Addr = sockaddr(s.Family, res.RemoteAddr)
	m.Other = s.controlMessages(&res.ControlMessages)
	if res.Total > room {
		m.Flags |= linux.MSG_TRUNC
		if flags&linux.MSG_TRUNC != 0 {
			return res.Total, nil
		}
	}
	return min(res.Count, room), nil
}

// controlMessages returns what the receiver asked for with IP_PKTINFO and the
// like.
func (s *Socket) controlMessages(c *tcpip.ReceivableControlMessages) []socket.ControlMessage {
	var list []socket.ControlMessage
	add := func(level, kind int, data []byte) {
		list = append(list, socket.ControlMessage{Level: level, Type: kind, Data: data})
	}
	if c.HasTOS {
		add(linux.IPPROTO_IP, linux.IP_TOS, []byte{c.TOS})
	}
	if c.HasTTL {
		add(linux.IPPROTO_IP, linux.IP_TTL, socket.Int32(int(c.TTL)))
	}
	if c.HasIPPacketInfo {
		b := binary.LittleEndian.AppendUint32(nil, uint32(c.PacketInfo.NIC))
		b = append(b, c.PacketInfo.LocalAddr.AsSlice()...)
		add(linux.IPPROTO_IP, linux.IP_PKTINFO, append(b, c.PacketInfo.DestinationAddr.AsSlice()...))
	}
	if c.HasIPv6PacketInfo {
		b := c.IPv6PacketInfo.Addr.As16()
		add(linux.IPPROTO_IPV6, linux.IPV6_PKTINFO, binary.LittleEndian.AppendUint32(b[:], uint32(c.IPv6PacketInfo.NIC)))
	}
	if c.HasHopLimit {
		add(linux.IPPROTO_IPV6, linux.IPV6_HOPLIMIT, socket.Int32(int(c.HopLimit)))
	}
	if c.HasTClass {
		add(linux.IPPROTO_IPV6, linux.IPV6_TCLASS, socket.Int32(int(c.TClass)))
	}
	return list
}

// ReadAt implements vfs.File.
func (s *Socket) ReadAt(p []byte, _ int64) (int, error) {
	return s.Recv(&socket.Message{Data: [][]byte{p}}, 0)
}

// WriteAt implements vfs.File.
func (s *Socket) WriteAt(p []byte, _ int64) (int, error) {
	return s.Send(nil, &socket.Message{Data: [][]byte{p}}, 0)
}

// Name implements socket.Configurable.
func (s *Socket) Name(peer bool) ([]byte, error) {
	if !peer {
		a, err := s.ep().GetLocalAddress()
		return sockaddr(s.Family, a), errno(err)
	}
	a, err := s.ep().GetRemoteAddress()
	return sockaddr(s.Family, a), errno(err)
}

// Readiness implements waiter.Waitable.
func (s *Socket) Readiness(mask waiter.EventMask) waiter.EventMask {
	const asked = gwaiter.ReadableEvents | gwaiter.WritableEvents | gwaiter.EventErr | gwaiter.EventHUp | gwaiter.EventRdHUp
	ready := waiter.EventMask(s.ep().Readiness(asked))
	if s.stream() {
		switch tcp.EndpointState(s.ep().State()) {
		case tcp.StateInitial, tcp.StateBound:
			ready = waiter.WritableEvents | waiter.EventHUp
		case tcp.StateTimeWait, tcp.StateClose:
			ready &^= waiter.EventErr
		case tcp.StateListen:
			ready &= waiter.ReadableEvents
		}
	} else if s.Protocol != int(icmp.ProtocolNumber4) {
		ready &^= waiter.EventHUp
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (s *Socket) EventRegister(e *waiter.Entry) { s.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (s *Socket) EventUnregister(e *waiter.Entry) { s.queue.EventUnregister(e) }

// Ioctl implements vfs.Ioctler.
func (s *Socket) Ioctl(t vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	opt := tcpip.ReceiveQueueSizeOption
	switch req {
	case linux.FIONREAD:
	case linux.SIOCOUTQ:
		opt = tcpip.SendQueueSizeOption
	case linux.SIOCATMARK:
		return 0, t.CopyOut(arg, make([]byte, 4))
	default:
		return 0, linux.ENOTTY
	}
	if s.stream() && tcp.EndpointState(s.ep().State()) == tcp.StateListen {
		return 0, linux.EINVAL
	}
	n, err := s.ep().GetSockOptInt(opt)
	if err != nil {
		return 0, errno(err)
	}
	if req == linux.SIOCOUTQ {
		n += s.cork.held()
	}
	return 0, t.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(n)))
}
