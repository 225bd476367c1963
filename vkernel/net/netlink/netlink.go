// Package netlink implements AF_NETLINK sockets as far as C libraries and Go
// ask for interfaces, addresses and routes (rtnetlink(7)): dumps, and nothing
// that changes anything.
package netlink

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Network is what is asked about.
type Network interface {
	Interfaces() []inet.Interface
}

// Family holds what the sockets of a container share: which port ids are taken.
type Family struct {
	net  Network
	next atomic.Uint32

	mu    sync.Mutex
	ports map[uint32]bool
}

// New makes the netlink of a container.
func New(n Network) *Family {
	f := &Family{net: n, ports: map[uint32]bool{}}
	f.next.Store(1 << 31)
	return f
}

// Socket is a NETLINK_ROUTE socket.
type Socket struct {
	socket.Base
	f     *Family
	queue waiter.Queue

	mu     sync.Mutex
	port   uint32 // 0: not bound
	groups uint32
	rx     [][]byte // one datagram each
}

var (
	_ socket.Socket = (*Socket)(nil)
	_ vfs.Described = (*Socket)(nil)
)

// Socket makes a socket.
func (f *Family) Socket(kind, protocol int, st linux.Stat) (*Socket, error) {
	if kind != linux.SOCK_RAW && kind != linux.SOCK_DGRAM {
		return nil, linux.ESOCKTNOSUPPORT
	}
	if protocol != linux.NETLINK_ROUTE && protocol != linux.NETLINK_KOBJECT_UEVENT {
		return nil, linux.EPROTONOSUPPORT
	}
	s := &Socket{f: f}
	s.Init(linux.AF_NETLINK, kind, protocol, st)
	return s, nil
}

// Bind implements socket.Connector.
func (s *Socket) Bind(c *vfs.Caller, addr []byte) error {
	if len(addr) < linux.SizeofSockaddrNl || binary.LittleEndian.Uint16(addr) != linux.AF_NETLINK {
		return linux.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = binary.LittleEndian.Uint32(addr[8:])
	return s.bind(c, binary.LittleEndian.Uint32(addr[4:]))
}

// bind takes a port id; 0 chooses one: the process id, if it is free. It needs
// mu.
func (s *Socket) bind(c *vfs.Caller, port uint32) error {
	if s.port != 0 {
		if port != 0 && port != s.port {
			return linux.EINVAL
		}
		return nil
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if port != 0 && s.f.ports[port] {
		return linux.EADDRINUSE
	}
	if port == 0 && c != nil {
		port = uint32(c.PID)
	}
	for port == 0 || s.f.ports[port] {
		port = s.f.next.Add(1)
	}
	s.f.ports[port], s.port = true, port
	return nil
}

// Connect implements socket.Connector: everything goes to the kernel.
func (s *Socket) Connect(c *vfs.Caller, addr []byte) error {
	if len(addr) < linux.SizeofSockaddrNl || binary.LittleEndian.Uint16(addr) != linux.AF_NETLINK {
		return linux.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bind(c, 0)
}

// Listen implements socket.Connector.
func (s *Socket) Listen(*vfs.Caller, int) error { return linux.EOPNOTSUPP }

// Accept implements socket.Connector.
func (s *Socket) Accept(linux.Stat) (socket.Socket, error) { return nil, linux.EOPNOTSUPP }

// Shutdown implements socket.Connector.
func (s *Socket) Shutdown(int) error { return linux.EOPNOTSUPP }

// Send implements socket.Messenger: a request is answered at once.
func (s *Socket) Send(c *vfs.Caller, m *socket.Message, _ uint32) (int, error) {
	if m.Addr != nil {
		if len(m.Addr) < linux.SizeofSockaddrNl || binary.LittleEndian.Uint16(m.Addr) != linux.AF_NETLINK {
			return 0, linux.EINVAL
		}
		if binary.LittleEndian.Uint32(m.Addr[4:]) != 0 {
			return 0, linux.ECONNREFUSED
		}
	}
	data := m.Bytes()
	s.mu.Lock()
	err := s.bind(c, 0)
	if err == nil {
		s.requests(data)
	}
	s.mu.Unlock()
	s.queue.Notify(waiter.ReadableEvents)
	return len(data), err
}

// requests answers the messages of one datagram; it needs mu.
func (s *Socket) requests(data []byte) {
	for len(data) >= linux.SizeofNlmsghdr {
		n := int(binary.LittleEndian.Uint32(data))
		if n < linux.SizeofNlmsghdr || n > len(data) {
			return
		}
		s.request(data[:n])
		data = data[min(len(data), (n+3)&^3):]
	}
}

func (s *Socket) request(req []byte) {
	kind, flags := binary.LittleEndian.Uint16(req[4:]), binary.LittleEndian.Uint16(req[6:])
	seq := binary.LittleEndian.Uint32(req[8:])
	if flags&linux.NLM_F_REQUEST == 0 || kind < linux.RTM_NEWLINK {
		return
	}
	fail := func(e linux.Errno) {
		b := binary.LittleEndian.AppendUint32(nil, uint32(-int32(e)))
		s.reply(s.message(linux.NLMSG_ERROR, 0, seq, append(b, req[:linux.SizeofNlmsghdr]...)))
	}
	var out []byte
	add := func(kind uint16, body []byte) { out = append(out, s.message(kind, linux.NLM_F_MULTI, seq, body)...) }
	family := byte(0)
	if len(req) > linux.SizeofNlmsghdr {
		family = req[linux.SizeofNlmsghdr]
	}
	list := s.f.net.Interfaces()
	switch {
	case kind == linux.RTM_GETLINK && flags&linux.NLM_F_DUMP == linux.NLM_F_DUMP:
		for _, i := range list {
			add(linux.RTM_NEWLINK, link(i))
		}
	case kind == linux.RTM_GETLINK:
		i, ok := pick(list, req[linux.SizeofNlmsghdr:])
		if !ok {
			fail(linux.ENODEV)
			return
		}
		s.reply(s.message(linux.RTM_NEWLINK, 0, seq, link(i)))
		return
	case kind == linux.RTM_GETADDR:
		for _, i := range list {
			for _, a := range i.Addresses {
				if family == 0 || family == linux.AF_INET && a.Addr().Is4() || family == linux.AF_INET6 && a.Addr().Is6() {
					add(linux.RTM_NEWADDR, addressMessage(i, a))
				}
			}
		}
	case kind == linux.RTM_GETROUTE && flags&linux.NLM_F_DUMP == linux.NLM_F_DUMP:
		for _, i := range list {
			if i.Flags&linux.IFF_LOOPBACK == 0 && family != linux.AF_INET6 {
				add(linux.RTM_NEWROUTE, route(i, netip.Prefix{}))
				add(linux.RTM_NEWROUTE, route(i, i.Addresses[0].Masked()))
			}
		}
	case kind%4 == 2: // another RTM_GET
		fail(linux.EOPNOTSUPP)
		return
	default:
		fail(linux.EPERM)
		return
	}
	out = append(out, s.message(linux.NLMSG_DONE, linux.NLM_F_MULTI, seq, make([]byte, 4))...)
	s.reply(out)
}

// pick finds the interface that an ifinfomsg, with attributes, asks for.
func pick(list []inet.Interface, body []byte) (inet.Interface, bool) {
	const sizeofIfinfomsg = 16
	if len(body) < sizeofIfinfomsg {
		return inet.Interface{}, false
	}
	index, name := int(int32(binary.LittleEndian.Uint32(body[4:]))), ""
	for attrs := body[sizeofIfinfomsg:]; len(attrs) >= 4; {
		n := int(binary.LittleEndian.Uint16(attrs))
		if n < 4 || n > len(attrs) {
			break
		}
		if binary.LittleEndian.Uint16(attrs[2:]) == linux.IFLA_IFNAME && n > 5 {
			name = string(attrs[4 : n-1])
		}
		attrs = attrs[min(len(attrs), (n+3)&^3):]
	}
	for _, i := range list {
		if i.Index == index || index == 0 && name != "" && i.Name == name {
			return i, true
		}
	}
	return inet.Interface{}, false
}

// message returns a struct nlmsghdr with a body, aligned.
func (s *Socket) message(kind, flags uint16, seq uint32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(linux.SizeofNlmsghdr+len(body)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = binary.LittleEndian.AppendUint32(b, s.port)
	return align(append(b, body...))
}

// maxQueued bounds answers that nobody reads.
const maxQueued = 256

func (s *Socket) reply(b []byte) {
	if len(s.rx) < maxQueued {
		s.rx = append(s.rx, b)
	}
}

// Deliver queues a datagram that no request has asked for: mq_notify(2)'s.
func (s *Socket) Deliver(b []byte) {
	s.mu.Lock()
	s.reply(b)
	s.mu.Unlock()
	s.queue.Notify(waiter.ReadableEvents)
}

func align(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// attribute appends a struct rtattr.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	return align(append(b, value...))
}

func link(i inet.Interface) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0, 0}, i.Type)
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Index))
	b = binary.LittleEndian.AppendUint32(b, i.Flags)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = attribute(b, linux.IFLA_IFNAME, append([]byte(i.Name), 0))
	b = attribute(b, linux.IFLA_TXQLEN, socket.Int32(i.TxQueue))
	operstate := byte(6) // up
	broadcast := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if i.Flags&linux.IFF_LOOPBACK != 0 {
		operstate, broadcast = 0, [6]byte{}
	}
	b = attribute(b, linux.IFLA_OPERSTATE, []byte{operstate})
	b = attribute(b, linux.IFLA_MTU, socket.Int32(i.MTU))
	b = attribute(b, linux.IFLA_ADDRESS, i.Hardware[:])
	return attribute(b, linux.IFLA_BROADCAST, broadcast[:])
}

func addressMessage(i inet.Interface, p netip.Prefix) []byte {
	family, scope := byte(linux.AF_INET), byte(linux.RT_SCOPE_UNIVERSE)
	if p.Addr().Is6() {
		family = linux.AF_INET6
	}
	if p.Addr().IsLoopback() {
		scope = linux.RT_SCOPE_HOST
	}
	b := []byte{family, byte(p.Bits()), linux.IFA_F_PERMANENT, scope}
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Index))
	b = attribute(b, linux.IFA_ADDRESS, p.Addr().AsSlice())
	if family == linux.AF_INET {
		b = attribute(b, linux.IFA_LOCAL, p.Addr().AsSlice())
		if i.Flags&linux.IFF_BROADCAST != 0 {
			b = attribute(b, linux.IFA_BROADCAST, inet.Broadcast(p).AsSlice())
		}
		b = attribute(b, linux.IFA_LABEL, append([]byte(i.Name), 0))
	}
	return attribute(b, linux.IFA_FLAGS, socket.Int32(linux.IFA_F_PERMANENT))
}

// route describes the way to a network; the zero one is the default.
func route(i inet.Interface, to netip.Prefix) []byte {
	protocol, scope, bits := byte(linux.RTPROT_KERNEL), byte(linux.RT_SCOPE_LINK), byte(0)
	if to.IsValid() {
		bits = byte(to.Bits())
	} else {
		protocol, scope = linux.RTPROT_BOOT, linux.RT_SCOPE_UNIVERSE
	}
	b := []byte{linux.AF_INET, bits, 0, 0, linux.RT_TABLE_MAIN, protocol, scope, linux.RTN_UNICAST, 0, 0, 0, 0}
	b = attribute(b, linux.RTA_TABLE, socket.Int32(linux.RT_TABLE_MAIN))
	if to.IsValid() {
		b = attribute(b, linux.RTA_DST, to.Addr().AsSlice())
		b = attribute(b, linux.RTA_PREFSRC, i.Addresses[0].Addr().AsSlice())
	} else {
		b = attribute(b, linux.RTA_GATEWAY, inet.Gateway.AsSlice())
	}
	return attribute(b, linux.RTA_OIF, socket.Int32(i.Index))
}

// Recv implements socket.Messenger.
func (s *Socket) Recv(m *socket.Message, flags uint32) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rx) == 0 {
		return 0, linux.EAGAIN
	}
	b := s.rx[0]
	n, room := len(b), m.Room()
	_, _ = m.Writer().Write(b) // what does not fit is cut, which MSG_TRUNC says
	m.Addr = address(0, 0)
	if n > room {
		m.Flags |= linux.MSG_TRUNC
		if flags&linux.MSG_TRUNC == 0 {
			n = room
		}
	}
	if flags&linux.MSG_PEEK == 0 {
		s.rx = s.rx[1:]
	}
	return n, nil
}

// address returns a struct sockaddr_nl.
func address(port, groups uint32) []byte {
	b := []byte{linux.AF_NETLINK, 0, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, port)
	return binary.LittleEndian.AppendUint32(b, groups)
}

// Name implements socket.Configurable.
func (s *Socket) Name(peer bool) ([]byte, error) {
	if peer {
		return address(0, 0), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return address(s.port, s.groups), nil
}

// Option implements socket.Configurable.
func (s *Socket) Option(level, name, _ int) ([]byte, error) {
	if level != linux.SOL_SOCKET {
		return nil, linux.ENOPROTOOPT
	}
	switch name {
	case linux.SO_ERROR, linux.SO_ACCEPTCONN:
		return socket.Int32(0), nil
	case linux.SO_SNDBUF, linux.SO_RCVBUF:
		return socket.Int32(socket.DefaultBuffer), nil
	}
	return s.Base.Option(name)
}

// SetOption implements socket.Configurable: options of the level SOL_NETLINK
// only add detail to answers.
func (s *Socket) SetOption(c *vfs.Caller, level, name int, value []byte) error {
	const solNetlink = 270
	if level == solNetlink {
		return nil
	}
	if level != linux.SOL_SOCKET {
		return linux.ENOPROTOOPT
	}
	switch name {
	case linux.SO_SNDBUF, linux.SO_RCVBUF, linux.SO_SNDBUFFORCE, linux.SO_RCVBUFFORCE:
		return nil
	}
	return s.Base.SetOption(c, name, value)
}

// ReadAt implements vfs.File.
func (s *Socket) ReadAt(p []byte, _ int64) (int, error) {
	return s.Recv(&socket.Message{Data: [][]byte{p}}, 0)
}

// WriteAt implements vfs.File.
func (s *Socket) WriteAt(p []byte, _ int64) (int, error) {
	return s.Send(nil, &socket.Message{Data: [][]byte{p}}, 0)
}

// Release implements vfs.File.
func (s *Socket) Release() {
	s.mu.Lock()
	port := s.port
	s.rx = nil
	s.mu.Unlock()
	s.f.mu.Lock()
	delete(s.f.ports, port)
	s.f.mu.Unlock()
}

// Readiness implements waiter.Waitable.
func (s *Socket) Readiness(mask waiter.EventMask) waiter.EventMask {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready := waiter.WritableEvents
	if len(s.rx) > 0 {
		ready |= waiter.ReadableEvents
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (s *Socket) EventRegister(e *waiter.Entry) { s.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (s *Socket) EventUnregister(e *waiter.Entry) { s.queue.EventUnregister(e) }
