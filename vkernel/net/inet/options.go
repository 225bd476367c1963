package inet

import (
	"encoding/binary"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
)

// flagOption is a socket option that the stack keeps as a flag.
type flagOption struct {
	get func(*tcpip.SocketOptions) bool
	set func(*tcpip.SocketOptions, bool)
}

type optionKey struct{ level, name int }

// flags are the options that are on or off.
func flags() map[optionKey]flagOption {
	type so = tcpip.SocketOptions
	return map[optionKey]flagOption{
		{linux.SOL_SOCKET, linux.SO_REUSEADDR}:          {(*so).GetReuseAddress, (*so).SetReuseAddress},
		{linux.SOL_SOCKET, linux.SO_REUSEPORT}:          {(*so).GetReusePort, (*so).SetReusePort},
		{linux.SOL_SOCKET, linux.SO_BROADCAST}:          {(*so).GetBroadcast, (*so).SetBroadcast},
		{linux.SOL_SOCKET, linux.SO_KEEPALIVE}:          {(*so).GetKeepAlive, (*so).SetKeepAlive},
		{linux.SOL_SOCKET, linux.SO_NO_CHECK}:           {(*so).GetNoChecksum, (*so).SetNoChecksum},
		{linux.IPPROTO_TCP, linux.TCP_QUICKACK}:         {(*so).GetQuickAck, (*so).SetQuickAck},
		{linux.IPPROTO_IP, linux.IP_MULTICAST_LOOP}:     {(*so).GetMulticastLoop, (*so).SetMulticastLoop},
		{linux.IPPROTO_IP, linux.IP_RECVTOS}:            {(*so).GetReceiveTOS, (*so).SetReceiveTOS},
		{linux.IPPROTO_IP, linux.IP_RECVTTL}:            {(*so).GetReceiveTTL, (*so).SetReceiveTTL},
		{linux.IPPROTO_IP, linux.IP_PKTINFO}:            {(*so).GetReceivePacketInfo, (*so).SetReceivePacketInfo},
		{linux.IPPROTO_IP, linux.IP_RECVERR}:            {(*so).GetIPv4RecvError, (*so).SetIPv4RecvError},
		{linux.IPPROTO_IPV6, linux.IPV6_V6ONLY}:         {(*so).GetV6Only, (*so).SetV6Only},
		{linux.IPPROTO_IPV6, linux.IPV6_MULTICAST_LOOP}: {(*so).GetMulticastLoop, (*so).SetMulticastLoop},
		{linux.IPPROTO_IPV6, linux.IPV6_RECVERR}:        {(*so).GetIPv6RecvError, (*so).SetIPv6RecvError},
		{linux.IPPROTO_IPV6, linux.IPV6_RECVTCLASS}:     {(*so).GetReceiveTClass, (*so).SetReceiveTClass},
		{linux.IPPROTO_IPV6, linux.IPV6_RECVHOPLIMIT}:   {(*so).GetReceiveHopLimit, (*so).SetReceiveHopLimit},
		{linux.IPPROTO_IPV6, linux.IPV6_RECVPKTINFO}:    {(*so).GetIPv6ReceivePacketInfo, (*so).SetIPv6ReceivePacketInfo},
		{linux.IPPROTO_TCP, linux.TCP_NODELAY}: {func(o *so) bool { return !o.GetDelayOption() },
			func(o *so, v bool) { o.SetDelayOption(!v) }},
	}
}

// ints are the options that the stack keeps as a number.
func ints() map[optionKey]tcpip.SockOptInt {
	return map[optionKey]tcpip.SockOptInt{
		{linux.IPPROTO_TCP, linux.TCP_KEEPCNT}:          tcpip.KeepaliveCountOption,
		{linux.IPPROTO_TCP, linux.TCP_MAXSEG}:           tcpip.MaxSegOption,
		{linux.IPPROTO_TCP, linux.TCP_SYNCNT}:           tcpip.TCPSynCountOption,
		{linux.IPPROTO_TCP, linux.TCP_WINDOW_CLAMP}:     tcpip.TCPWindowClampOption,
		{linux.IPPROTO_IP, linux.IP_TOS}:                tcpip.IPv4TOSOption,
		{linux.IPPROTO_IP, linux.IP_TTL}:                tcpip.IPv4TTLOption,
		{linux.IPPROTO_IP, linux.IP_MTU_DISCOVER}:       tcpip.MTUDiscoverOption,
		{linux.IPPROTO_IP, linux.IP_MULTICAST_TTL}:      tcpip.MulticastTTLOption,
		{linux.IPPROTO_IPV6, linux.IPV6_TCLASS}:         tcpip.IPv6TrafficClassOption,
		{linux.IPPROTO_IPV6, linux.IPV6_UNICAST_HOPS}:   tcpip.IPv6HopLimitOption,
		{linux.IPPROTO_IPV6, linux.IPV6_MULTICAST_HOPS}: tcpip.MulticastTTLOption,
		{linux.IPPROTO_IPV6, linux.IPV6_MTU_DISCOVER}:   tcpip.MTUDiscoverOption,
	}
}

// level says whether the socket has options of a level; the errno if not.
func (s *Socket) level(level int) error {
	switch level {
	case linux.SOL_SOCKET, linux.IPPROTO_IP:
		return nil
	case linux.IPPROTO_IPV6:
		if s.Family == linux.AF_INET6 {
			return nil
		}
	case linux.IPPROTO_TCP:
		if s.stream() {
			return nil
		}
		return linux.EOPNOTSUPP
	case linux.IPPROTO_UDP:
		if s.Protocol == linux.IPPROTO_UDP {
			return nil
		}
	}
	return linux.ENOPROTOOPT
}

// Option implements socket.Configurable.
func (s *Socket) Option(level, name, room int) ([]byte, error) {
	if err := s.level(level); err != nil {
		return nil, linux.EOPNOTSUPP
	}
	key, so := optionKey{level, name}, s.ep().SocketOptions()
	if f, ok := flags()[key]; ok {
		return socket.Bool(f.get(so)), nil
	}
	if i, ok := ints()[key]; ok {
		v, err := s.ep().GetSockOptInt(i)
		if err != nil {
			return nil, errno(err)
		}
		if i == tcpip.IPv4TTLOption && v == 0 || i == tcpip.IPv6HopLimitOption && v < 0 {
			v = 64
		}
		return socket.Int32(v), nil
	}
	switch level {
	case linux.SOL_SOCKET:
		return s.socketOption(name)
	case linux.IPPROTO_TCP:
		return s.tcpOption(name, room)
	case linux.IPPROTO_IP, linux.IPPROTO_IPV6:
		switch key {
		case optionKey{linux.IPPROTO_IP, linux.IP_MTU}, optionKey{linux.IPPROTO_IPV6, linux.IPV6_MTU}:
			if _, err := s.ep().GetRemoteAddress(); err != nil {
				return nil, linux.ENOTCONN
			}
			return socket.Int32(65535), nil
		case optionKey{linux.IPPROTO_IP, linux.IP_FREEBIND}, optionKey{linux.IPPROTO_IP, linux.IP_BIND_NO_PORT},
			optionKey{linux.IPPROTO_IP, linux.IP_RECVOPTS}, optionKey{linux.IPPROTO_IP, linux.IP_HDRINCL}:
			return socket.Int32(int(s.Kept(keptIP + name))), nil
		case optionKey{linux.IPPROTO_IP, linux.IP_MULTICAST_IF}:
			return make([]byte, 4), nil
		}
	}
	return nil, linux.ENOPROTOOPT
}

// Where options of other levels than SOL_SOCKET that do nothing here are kept.
const (
	keptIP  = 1 << 16
	keptTCP = 2 << 16
)

func (s *Socket) socketOption(name int) ([]byte, error) {
	so := s.ep().SocketOptions()
	switch name {
	case linux.SO_ERROR:
		err := s.lastError()
		if err == nil {
			return socket.Int32(0), nil
		}
		return socket.Int32(int(linux.ErrnoOf(err))), nil
	case linux.SO_ACCEPTCONN:
		return socket.Bool(s.stream() && tcp.EndpointState(s.ep().State()) == tcp.StateListen), nil
	case linux.SO_SNDBUF:
		return socket.Int32(int(so.GetSendBufferSize())), nil
	case linux.SO_RCVBUF:
		return socket.Int32(int(so.GetReceiveBufferSize())), nil
	case linux.SO_LINGER:
		l := so.GetLinger()
		return append(socket.Bool(l.Enabled), socket.Int32(int(l.Timeout/time.Second))...), nil
	case linux.SO_PEERCRED:
		return socket.Ucred{UID: ^uint32(0), GID: ^uint32(0)}.Marshal(), nil
	}
	return s.Base.Option(name)
}

func (s *Socket) tcpOption(name, room int) ([]byte, error) {
	seconds := func(d time.Duration) []byte { return socket.Int32(int(d / time.Second)) }
	switch name {
	case linux.TCP_KEEPIDLE:
		var v tcpip.KeepaliveIdleOption
		err := s.ep().GetSockOpt(&v)
		return seconds(time.Duration(v)), errno(err)
	case linux.TCP_KEEPINTVL:
		var v tcpip.KeepaliveIntervalOption
		err := s.ep().GetSockOpt(&v)
		return seconds(time.Duration(v)), errno(err)
	case linux.TCP_USER_TIMEOUT:
		var v tcpip.TCPUserTimeoutOption
		err := s.ep().GetSockOpt(&v)
		return socket.Int32(int(time.Duration(v) / time.Millisecond)), errno(err)
	case linux.TCP_LINGER2:
		var v tcpip.TCPLingerTimeoutOption
		err := s.ep().GetSockOpt(&v)
		return seconds(time.Duration(v)), errno(err)
	case linux.TCP_CORK:
		return socket.Bool(s.cork.isOn()), nil
	case linux.TCP_DEFER_ACCEPT, linux.TCP_FASTOPEN, linux.TCP_NOTSENT_LOWAT:
		return socket.Int32(int(s.Kept(keptTCP + name))), nil
	case linux.TCP_CONGESTION:
		name := make([]byte, min(room, 16))
		copy(name, "cubic")
		return name, nil
	case linux.TCP_INFO:
		return s.tcpInfo()[:min(room, sizeofTCPInfo)], nil
	}
	return nil, linux.ENOPROTOOPT
}

// sizeofTCPInfo is the size of struct tcp_info as far as it is filled.
const sizeofTCPInfo = 104

func (s *Socket) tcpInfo() []byte {
	b := make([]byte, sizeofTCPInfo)
	b[0] = tcpState(tcp.EndpointState(s.ep().State()))
	var info tcpip.TCPInfoOption
	if err := s.ep().GetSockOpt(&info); err != nil {
		return b
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(info.RTO/time.Microsecond))
	binary.LittleEndian.PutUint32(b[68:], uint32(info.RTT/time.Microsecond))
	binary.LittleEndian.PutUint32(b[72:], uint32(info.RTTVar/time.Microsecond))
	binary.LittleEndian.PutUint32(b[76:], info.SndSsthresh)
	binary.LittleEndian.PutUint32(b[80:], info.SndCwnd)
	return b
}

// tcpState returns Linux's number of a TCP state.
func tcpState(st tcp.EndpointState) byte {
	switch st {
	case tcp.StateEstablished:
		return 1
	case tcp.StateConnecting, tcp.StateSynSent:
		return 2
	case tcp.StateSynRecv:
		return 3
	case tcp.StateFinWait1:
		return 4
	case tcp.StateFinWait2:
		return 5
	case tcp.StateTimeWait:
		return 6
	case tcp.StateCloseWait:
		return 8
	case tcp.StateLastAck:
		return 9
	case tcp.StateListen:
		return 10
	case tcp.StateClosing:
		return 11
	}
	return 7
}

// SetOption implements socket.Configurable.
func (s *Socket) SetOption(c *vfs.Caller, level, name int, value []byte) error {
	if err := s.level(level); err != nil {
		return err
	}
	key := optionKey{level, name}
	if level == linux.IPPROTO_IP || level == linux.IPPROTO_IPV6 {
		if done, err := s.setMembership(key, value); done {
			return err
		}
		if len(value) > 0 && len(value) < 4 { // a char will do
			value = []byte{value[0], 0, 0, 0}
		}
	}
	if level == linux.IPPROTO_TCP && name == linux.TCP_CONGESTION {
		return nil
	}
	if f, ok := flags()[key]; ok {
		v, err := socket.ParseInt(value)
		if err != nil {
			return err
		}
		if key == (optionKey{linux.IPPROTO_IPV6, linux.IPV6_V6ONLY}) {
			if a, err := s.ep().GetLocalAddress(); err == nil && a.Port != 0 {
				return linux.EINVAL
			}
		}
		f.set(s.ep().SocketOptions(), v != 0)
		if key == (optionKey{linux.IPPROTO_TCP, linux.TCP_NODELAY}) {
			s.pushAll()
		}
		return nil
	}
	if i, ok := ints()[key]; ok {
		v, err := socket.ParseInt(value)
		if err != nil {
			return err
		}
		return s.setInt(i, v)
	}
	switch level {
	case linux.SOL_SOCKET:
		return s.setSocketOption(c, name, value)
	case linux.IPPROTO_TCP:
		return s.setTCPOption(name, value)
	}
	switch key {
	case optionKey{linux.IPPROTO_IP, linux.IP_FREEBIND}, optionKey{linux.IPPROTO_IP, linux.IP_BIND_NO_PORT},
		optionKey{linux.IPPROTO_IP, linux.IP_RECVOPTS}:
		v, err := socket.ParseInt(value)
		s.Keep(keptIP+name, int32(v))
		return err
	}
	return linux.ENOPROTOOPT
}

func (s *Socket) setInt(opt tcpip.SockOptInt, v int) error {
	switch opt {
	case tcpip.IPv4TTLOption:
		if v == -1 {
			v = 0
		} else if v < 1 || v > 255 {
			return linux.EINVAL
		}
	case tcpip.IPv6HopLimitOption:
		if v < -1 || v > 255 {
			return linux.EINVAL
		}
	case tcpip.MulticastTTLOption:
		if v == -1 {
			v = 1
		} else if v < 0 || v > 255 {
			return linux.EINVAL
		}
	}
	return errno(s.ep().SetSockOptInt(opt, v))
}

func (s *Socket) setSocketOption(c *vfs.Caller, name int, value []byte) error {
	so := s.ep().SocketOptions()
	switch name {
	case linux.SO_SNDBUF, linux.SO_RCVBUF, linux.SO_SNDBUFFORCE, linux.SO_RCVBUFFORCE:
		v, err := socket.ParseInt(value)
		if err != nil {
			return err
		}
		if (name == linux.SO_SNDBUFFORCE || name == linux.SO_RCVBUFFORCE) && !c.Creds.HasCap(linux.CAP_NET_ADMIN) {
			return linux.EPERM
		}
		if name == linux.SO_SNDBUF || name == linux.SO_SNDBUFFORCE {
			so.SetSendBufferSize(int64(socket.BufferSize(v, 4608)), true)
		} else {
			so.SetReceiveBufferSize(int64(socket.BufferSize(v, 2304)), true)
		}
		return nil
	case linux.SO_LINGER:
		if len(value) < 8 {
			return linux.EINVAL
		}
		so.SetLinger(tcpip.LingerOption{Enabled: binary.LittleEndian.Uint32(value) != 0,
			Timeout: time.Duration(int32(binary.LittleEndian.Uint32(value[4:]))) * time.Second})
		return nil
	}
	return s.Base.SetOption(c, name, value)
}

func (s *Socket) setTCPOption(name int, value []byte) error {
	v, err := socket.ParseInt(value)
	if err != nil {
		return err
	}
	seconds := time.Duration(v) * time.Second
	switch name {
	case linux.TCP_KEEPIDLE:
		if v < 1 || v > 32767 {
			return linux.EINVAL
		}
		o := tcpip.KeepaliveIdleOption(seconds)
		return errno(s.ep().SetSockOpt(&o))
	case linux.TCP_KEEPINTVL:
		if v < 1 || v > 32767 {
			return linux.EINVAL
		}
		o := tcpip.KeepaliveIntervalOption(seconds)
		return errno(s.ep().SetSockOpt(&o))
	case linux.TCP_USER_TIMEOUT:
		if v < 0 {
			return linux.EINVAL
		}
		o := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
		return errno(s.ep().SetSockOpt(&o))
	case linux.TCP_CORK:
		s.setCork(v != 0)
		return nil
	case linux.TCP_LINGER2:
		o := tcpip.TCPLingerTimeoutOption(seconds)
		return errno(s.ep().SetSockOpt(&o))
	case linux.TCP_DEFER_ACCEPT, linux.TCP_FASTOPEN, linux.TCP_NOTSENT_LOWAT:
		s.Keep(keptTCP+name, int32(v))
		return nil
	}
	return linux.ENOPROTOOPT
}

// setMembership joins and leaves multicast groups.
func (s *Socket) setMembership(key optionKey, value []byte) (done bool, err error) {
	var m tcpip.MembershipOption
	join := key.name == linux.IP_ADD_MEMBERSHIP && key.level == linux.IPPROTO_IP ||
		key.name == linux.IPV6_JOIN_GROUP && key.level == linux.IPPROTO_IPV6
	switch key {
	case optionKey{linux.IPPROTO_IP, linux.IP_ADD_MEMBERSHIP}, optionKey{linux.IPPROTO_IP, linux.IP_DROP_MEMBERSHIP}:
		if len(value) < 8 {
			return true, linux.EINVAL
		}
		m.MulticastAddr, m.InterfaceAddr = tcpip.AddrFromSlice(value[:4]), tcpip.AddrFromSlice(value[4:8])
		if len(value) >= 12 {
			m.NIC = tcpip.NICID(binary.LittleEndian.Uint32(value[8:]))
		}
	case optionKey{linux.IPPROTO_IPV6, linux.IPV6_JOIN_GROUP}, optionKey{linux.IPPROTO_IPV6, linux.IPV6_LEAVE_GROUP}:
		if len(value) < 20 {
			return true, linux.EINVAL
		}
		m.MulticastAddr, m.NIC = tcpip.AddrFromSlice(value[:16]), tcpip.NICID(binary.LittleEndian.Uint32(value[16:]))
	case optionKey{linux.IPPROTO_IP, linux.IP_MULTICAST_IF}, optionKey{linux.IPPROTO_IPV6, linux.IPV6_MULTICAST_IF}:
		return true, nil
	default:
		return false, nil
	}
	if join {
		o := tcpip.AddMembershipOption(m)
		return true, errno(s.ep().SetSockOpt(&o))
	}
	o := tcpip.RemoveMembershipOption(m)
	return true, errno(s.ep().SetSockOpt(&o))
}
