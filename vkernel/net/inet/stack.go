// Package inet implements AF_INET and AF_INET6 sockets over gVisor's network
// stack: one stack for each container, with a loopback interface and, if the
// container is connected to anything, one that leads to a gateway in this
// process. Nothing reaches the host's network but through Egress and Publish.
package inet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sort"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"megabinary.dev/vkernel/linux"
)

// The interfaces of a container, and the addresses of those that have a way
// out: docker's.
const (
	nicLoopback tcpip.NICID = 1
	nicEthernet tcpip.NICID = 2

	ethernetMTU = 65520 // no wire: larger packets cost less
)

// Address and Gateway are a connected container's own address and that of the
// gateway; connections to Gateway lead to the host's loopback interface, if the
// policy allows it.
var (
	Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 17, 0, 2}), 16)
	Gateway = netip.AddrFrom4([4]byte{172, 17, 0, 1})
)

// Config says how a container is connected.
type Config struct {
	// Egress makes connections out of the container; nil: there is no way out.
	Egress Egress
	// Connected gives the container an interface to the gateway, which
	// Publish needs, too.
	Connected bool
	// Resolver answers at port 53 of the gateway; nil: nobody does.
	Resolver Resolver
	Log      *slog.Logger // the host's
}

// Stack is the network of one container.
type Stack struct {
	cfg     Config
	s       *stack.Stack
	gateway *gateway // nil: not connected

	mu      sync.Mutex
	sockets map[*Socket]struct{} // open, for /proc/net
}

// protocols returns what a stack knows. local says that packets to its own
// addresses stay inside; the gateway, for which every address is its own, must
// not think so.
func protocols(local bool) stack.Options {
	return stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        local,
	}
}

// tune sets what Linux sets by default.
func tune(s *stack.Stack) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	recv := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 6 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &recv, &send} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("setting %T: %s", o, err)
		}
	}
	ttl := tcpip.DefaultTTLOption(64)
	for _, p := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if err := s.SetNetworkProtocolOption(p, &ttl); err != nil {
			return fmt.Errorf("setting the time to live: %s", err)
		}
	}
	if err := s.SetPortRange(32768, 60999); err != nil { // net.ipv4.ip_local_port_range
		return fmt.Errorf("setting the range of ports: %s", err)
	}
	return nil
}

// quiet keeps the stack's own messages, which guests cause, off the host's
// standard error.
var quiet = sync.OnceFunc(func() { log.SetTarget(silence{}) })

// silence implements log.Emitter.
type silence struct{}

// Emit implements log.Emitter.
func (silence) Emit(int, log.Level, time.Time, string, ...any) {}

// New makes a container's network.
func New(cfg Config) (*Stack, error) {
	quiet()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Stack{cfg: cfg, s: stack.New(protocols(true)), sockets: map[*Socket]struct{}{}}
	if err := n.configure(); err != nil {
		n.Close()
		return nil, fmt.Errorf("making a container's network: %w", err)
	}
	return n, nil
}

func (n *Stack) configure() error {
	if err := tune(n.s); err != nil {
		return err
	}
	if err := n.s.CreateNICWithOptions(nicLoopback, loopback.New(), stack.NICOptions{Name: "lo"}); err != nil {
		return fmt.Errorf("making lo: %s", err)
	}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
	for _, p := range local {
		if err := addAddress(n.s, nicLoopback, p); err != nil {
			return err
		}
	}
	routes := []tcpip.Route{{Destination: header.IPv4LoopbackSubnet, NIC: nicLoopback},
		{Destination: subnet(local[1]), NIC: nicLoopback}}
	if !n.cfg.Connected && n.cfg.Egress == nil {
		n.s.SetRouteTable(routes)
		return nil
	}
	inside, outside := pipe.New("\x02\x42\xac\x11\x00\x02", "\x02\x42\xac\x11\x00\x01", ethernetMTU)
	if err := n.s.CreateNICWithOptions(nicEthernet, inside, stack.NICOptions{Name: "eth0"}); err != nil {
		return fmt.Errorf("making eth0: %s", err)
	}
	if err := addAddress(n.s, nicEthernet, Address); err != nil {
		return err
	}
	n.s.SetRouteTable(append(routes, tcpip.Route{Destination: subnet(Address), NIC: nicEthernet},
		tcpip.Route{Destination: header.IPv4EmptySubnet, Gateway: address(Gateway), NIC: nicEthernet}))
	var err error
	if n.gateway, err = newGateway(outside, n.cfg.Egress, n.cfg.Log); err != nil || n.cfg.Resolver == nil {
		return err
	}
	return n.gateway.serveDNS(n.cfg.Resolver)
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func subnet(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}

func addAddress(s *stack.Stack, nic tcpip.NICID, p netip.Prefix) error {
	proto := ipv4.ProtocolNumber
	if p.Addr().Is6() {
		proto = ipv6.ProtocolNumber
	}
	a := tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()}}
	if err := s.AddProtocolAddress(nic, a, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("giving interface %d the address %s: %s", nic, p, err)
	}
	return nil
}

// Close ends all connections and the goroutines of the stack.
func (n *Stack) Close() {
	if n.gateway != nil {
		n.gateway.close()
	}
	n.s.Destroy()
}

// reach says whether the container may send to an address, and how: inside, or
// through the gateway. proto is tcp or udp.
func (n *Stack) reach(proto string, to netip.AddrPort) error {
	ip := to.Addr().Unmap()
	if ip.IsLoopback() || ip.IsUnspecified() || ip == Address.Addr() {
		return nil
	}
	if n.gateway != nil && n.gateway.isClient(proto, netip.AddrPortFrom(ip, to.Port())) {
		return nil
	}
	if n.cfg.Egress == nil {
		return linux.ENETUNREACH
	}
	return n.cfg.Egress.Allow(proto, netip.AddrPortFrom(ip, to.Port()))
}

// Socket makes a socket. Its errors are those of socket(2).
func (n *Stack) Socket(family, kind, protocol int, st linux.Stat) (*Socket, error) {
	transport, err := transportOf(family, kind, protocol)
	if err != nil {
		return nil, err
	}
	network := ipv4.ProtocolNumber
	if family == linux.AF_INET6 {
		network = ipv6.ProtocolNumber
	}
	s := &Socket{n: n}
	ep, terr := n.s.NewEndpoint(transport, network, &s.wq)
	if terr != nil {
		return nil, errno(terr)
	}
	s.Init(family, kind, int(transport), st)
	s.attach(ep)
	if transport == tcp.ProtocolNumber {
		ep.SocketOptions().SetDelayOption(true) // Nagle's algorithm, as on Linux
	}
	return s, nil
}

// transportOf chooses the transport protocol of a socket.
func transportOf(family, kind, protocol int) (tcpip.TransportProtocolNumber, error) {
	if protocol < 0 || protocol >= linux.IPPROTO_MAX {
		return 0, linux.EINVAL
	}
	switch {
	case kind == linux.SOCK_STREAM && (protocol == 0 || protocol == linux.IPPROTO_TCP):
		return tcp.ProtocolNumber, nil
	case kind == linux.SOCK_DGRAM && (protocol == 0 || protocol == linux.IPPROTO_UDP):
		return udp.ProtocolNumber, nil
	case kind == linux.SOCK_DGRAM && protocol == linux.IPPROTO_ICMP && family == linux.AF_INET:
		return icmp.ProtocolNumber4, nil
	case kind == linux.SOCK_DGRAM && protocol == linux.IPPROTO_ICMPV6 && family == linux.AF_INET6:
		return icmp.ProtocolNumber6, nil
	case kind == linux.SOCK_RAW && protocol == 0:
		return 0, linux.EPROTONOSUPPORT
	case kind == linux.SOCK_RAW:
		return 0, linux.EPERM // nobody here may forge packets
	case kind == linux.SOCK_STREAM || kind == linux.SOCK_DGRAM:
		return 0, linux.EPROTONOSUPPORT
	}
	return 0, linux.ESOCKTNOSUPPORT
}

// list returns the open sockets in the order of their inode numbers.
func (n *Stack) list() []*Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*Socket, 0, len(n.sockets))
	for s := range n.sockets {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Ino() < list[j].Ino() })
	return list
}

// Connected reports whether there is an interface besides loopback.
func (n *Stack) Connected() bool { return n.gateway != nil }

// Ethernet is the number of the interface that leads out of the container.
const Ethernet = int(nicEthernet)

// Traffic returns bytes and packets received and sent by an interface (1 is
// lo, 2 is eth0).
func (n *Stack) Traffic(nic int) (rxBytes, rxPackets, txBytes, txPackets uint64) {
	info, ok := n.s.SingleNICInfo(tcpip.NICID(nic))
	if !ok {
		return
	}
	return info.Stats.Rx.Bytes.Value(), info.Stats.Rx.Packets.Value(), info.Stats.Tx.Bytes.Value(), info.Stats.Tx.Packets.Value()
}

// Egress makes connections that leave the container. It is where a policy
// stands.
type Egress interface {
	// Allow says whether the container may talk to an address: nil, or the
	// errno that it gets. proto is tcp or udp.
	Allow(proto string, to netip.AddrPort) error
	// Dial connects, which includes asking Allow.
	Dial(ctx context.Context, proto string, to netip.AddrPort) (net.Conn, error)
}
