package inet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	gwaiter "gvisor.dev/gvisor/pkg/waiter"
)

// gateway is the other end of a container's eth0: a stack that answers for every
// address and hands each connection to Egress, and that connects to the
// container for Publish.
type gateway struct {
	s      *stack.Stack
	egress Egress
	log    *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closers map[io.Closer]struct{}
	closed  bool
	clients map[uint16]bool // the gateway's UDP ports that stand for clients of the host
	leaving sync.WaitGroup  // copies of what the guest has sent
}

// Limits of what a container may have open towards the gateway.
const (
	maxConnecting = 256              // TCP handshakes at once
	maxFlows      = 4096             // connections and UDP flows
	udpIdle       = 60 * time.Second // a UDP flow without traffic ends
)

func newGateway(link stack.LinkEndpoint, e Egress, log *slog.Logger) (*gateway, error) {
	g := &gateway{s: stack.New(protocols(false)), egress: e, log: log, closers: map[io.Closer]struct{}{},
		clients: map[uint16]bool{}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if err := tune(g.s); err != nil {
		return g, err
	}
	if err := g.s.CreateNIC(nicEthernet, link); err != nil {
		return g, fmt.Errorf("making the gateway's interface: %s", err)
	}
	if err := addAddress(g.s, nicEthernet, netip.PrefixFrom(Gateway, Address.Bits())); err != nil {
		return g, err
	}
	g.s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicEthernet}})
	if e == nil {
		return g, nil
	}
	// It answers for, and sends as, whatever address the guest asks for.
	if err := g.s.SetPromiscuousMode(nicEthernet, true); err != nil {
		return g, fmt.Errorf("setting up the gateway: %s", err)
	}
	if err := g.s.SetSpoofing(nicEthernet, true); err != nil {
		return g, fmt.Errorf("setting up the gateway: %s", err)
	}
	g.s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(g.s, 0, maxConnecting, g.forwardTCP).HandlePacket)
	g.s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(g.s, g.forwardUDP).HandlePacket)
	return g, nil
}

// lingering is how long what a container sent before it ended may take to leave.
const lingering = time.Second

// close ends all connections.
func (g *gateway) close() {
	g.cancel()
	left := make(chan struct{})
	go func() {
		g.leaving.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(lingering):
	}
	g.mu.Lock()
	g.closed = true
	closers := g.closers
	g.closers = nil
	g.mu.Unlock()
	for c := range closers {
		_ = c.Close() // nothing is left to lose
	}
	g.s.Destroy()
}

// own makes close close c; false if it is too late or there is too much.
func (g *gateway) own(c io.Closer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.closers) >= maxFlows {
		return false
	}
	g.closers[c] = struct{}{}
	return true
}

func (g *gateway) disown(c io.Closer) {
	g.mu.Lock()
	delete(g.closers, c)
	g.mu.Unlock()
}

func target(id stack.TransportEndpointID) (netip.AddrPort, bool) {
	ip, ok := ipOf(id.LocalAddress)
	return netip.AddrPortFrom(ip, id.LocalPort), ok
}

// forwardTCP runs in a goroutine of its own for each connection that the guest
// makes. The guest's connect(2) succeeds when the host's has.
func (g *gateway) forwardTCP(r *tcp.ForwarderRequest) {
	to, ok := target(r.ID())
	if !ok {
		r.Complete(true)
		return
	}
	out, err := g.egress.Dial(g.ctx, "tcp", to)
	if err != nil {
		g.log.Debug("a connection out of a container failed", "to", to, "err", err)
		r.Complete(true)
		return
	}
	var wq gwaiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	r.Complete(terr != nil)
	if terr != nil {
		_ = out.Close() // the guest has gone
		return
	}
	g.join(gonet.NewTCPConn(&wq, ep), out)
}

// halfCloser is a connection whose ends close one by one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// join copies both ways between the container and the host until both are done.
func (g *gateway) join(container, host net.Conn) {
	a, b := container, host
	defer func() { _, _ = a.Close(), b.Close() }()
	for _, c := range []net.Conn{a, b} {
		if !g.own(c) {
			return
		}
		defer g.disown(c)
	}
	g.leaving.Add(1)
	var wg sync.WaitGroup
	pump := func(dst, src net.Conn) {
		defer wg.Done()
		_, err := io.Copy(dst, src)
		if err != nil { // reset: both ends
			_, _ = a.Close(), b.Close()
			return
		}
		if h, ok := dst.(halfCloser); ok {
			_ = h.CloseWrite() // the other side may be gone already
		}
	}
	wg.Add(2)
	go pump(container, host)
	go func() {
		defer g.leaving.Done()
		pump(host, container)
	}()
	wg.Wait()
}

// forwardUDP is called for the first datagram to an address and port.
func (g *gateway) forwardUDP(r *udp.ForwarderRequest) bool {
	to, ok := target(r.ID())
	if !ok {
		return false
	}
	var wq gwaiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	if terr != nil {
		return false
	}
	in := gonet.NewUDPConn(&wq, ep)
	go func() {
		out, err := g.egress.Dial(g.ctx, "udp", to)
		if err != nil {
			g.log.Debug("a datagram out of a container failed", "to", to, "err", err)
			_ = in.Close() // nobody uses it
			return
		}
		g.joinUDP(in, out)
	}()
	return true
}

// joinUDP copies datagrams both ways until nothing came for udpIdle.
func (g *gateway) joinUDP(a, b net.Conn) {
	defer func() { _, _ = a.Close(), b.Close() }()
	for _, c := range []net.Conn{a, b} {
		if !g.own(c) {
			return
		}
		defer g.disown(c)
	}
	var wg sync.WaitGroup
	pump := func(dst, src net.Conn) {
		defer wg.Done()
		defer func() { _, _ = a.Close(), b.Close() }()
		buf := make([]byte, 64<<10)
		for {
			if err := src.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
				return
			}
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	wg.Add(2)
	go pump(a, b)
	go pump(b, a)
	wg.Wait()
}

// Publish serves connections to a listener of the host from a port of the
// container, until either is closed.
func (n *Stack) Publish(l net.Listener, port uint16) error {
	g := n.gateway
	if g == nil || !g.own(l) {
		_ = l.Close()
		return errors.New("publishing a port: the container is not connected")
	}
	go func() {
		defer g.disown(l)
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					g.log.Warn("a published port is gone", "address", l.Addr(), "err", err)
				}
				return
			}
			go g.connectIn(c, port)
		}
	}()
	return nil
}

// connectIn passes a connection of the host to the container.
func (g *gateway) connectIn(c net.Conn, port uint16) {
	ctx, cancel := context.WithTimeout(g.ctx, 10*time.Second)
	defer cancel()
	to := tcpip.FullAddress{NIC: nicEthernet, Addr: address(Address.Addr()), Port: port}
	in, err := gonet.DialContextTCP(ctx, g.s, to, ipv4.ProtocolNumber)
	if err != nil { // nobody listens: the host's client sees a reset
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
		return
	}
	g.join(in, c)
}

// PublishUDP passes datagrams that reach a socket of the host on to a port of
// the container, and answers back.
func (n *Stack) PublishUDP(pc net.PacketConn, port uint16) error {
	g := n.gateway
	if g == nil || !g.own(pc) {
		_ = pc.Close()
		return errors.New("publishing a port: the container is not connected")
	}
	go g.serveUDP(pc, port)
	return nil
}

// isClient says whether a UDP address is that of a client of a published port.
func (g *gateway) isClient(proto string, to netip.AddrPort) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return proto == "udp" && to.Addr() == Gateway && g.clients[to.Port()]
}

func (g *gateway) setClient(c net.Conn, is bool) {
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if is {
		g.clients[uint16(a.Port)] = true
	} else {
		delete(g.clients, uint16(a.Port))
	}
}

func (g *gateway) serveUDP(pc net.PacketConn, port uint16) {
	defer g.disown(pc)
	var mu sync.Mutex
	flows := map[string]net.Conn{}
	buf := make([]byte, 64<<10)
	to := tcpip.FullAddress{NIC: nicEthernet, Addr: address(Address.Addr()), Port: port}
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		mu.Lock()
		c := flows[from.String()]
		mu.Unlock()
		if c == nil {
			in, err := gonet.DialUDP(g.s, nil, &to, ipv4.ProtocolNumber)
			if err != nil || !g.own(in) {
				continue
			}
			c = in
			g.setClient(c, true)
			mu.Lock()
			flows[from.String()] = c
			mu.Unlock()
			go func() {
				g.answerUDP(pc, from, c)
				g.setClient(c, false)
				mu.Lock()
				delete(flows, from.String())
				mu.Unlock()
			}()
		}
		_, _ = c.Write(buf[:n]) // datagrams may be lost
	}
}

// answerUDP passes a container's answers to a client of the host.
func (g *gateway) answerUDP(pc net.PacketConn, to net.Addr, c net.Conn) {
	defer g.disown(c)
	defer c.Close()
	buf := make([]byte, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
			return
		}
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := pc.WriteTo(buf[:n], to); err != nil {
			return
		}
	}
}
