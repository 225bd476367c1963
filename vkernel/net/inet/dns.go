package inet

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// Resolver answers DNS queries; nil means no answer.
type Resolver func(ctx context.Context, query []byte) []byte

// maxDNS bounds a query, in bytes.
const maxDNS = 4096

// serveDNS answers at port 53 of the gateway, until it is closed.
func (g *gateway) serveDNS(answer Resolver) error {
	at := tcpip.FullAddress{NIC: nicEthernet, Addr: address(Gateway), Port: 53}
	pc, err := gonet.DialUDP(g.s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("listening for DNS: %w", err)
	}
	l, err := gonet.ListenTCP(g.s, at, ipv4.ProtocolNumber)
	if err != nil {
		_ = pc.Close() // the first error counts
		return fmt.Errorf("listening for DNS: %w", err)
	}
	g.own(pc)
	g.own(l)
	go g.dnsDatagrams(pc, answer)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go g.dnsStream(c, answer)
		}
	}()
	return nil
}

// dnsAtOnce bounds the questions under way.
const dnsAtOnce = 64

func (g *gateway) dnsDatagrams(pc net.PacketConn, answer Resolver) {
	slots := make(chan struct{}, dnsAtOnce)
	for {
		buf := make([]byte, maxDNS)
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			if a := answer(g.ctx, buf[:n]); a != nil {
				_, _ = pc.WriteTo(a, from) // datagrams may be lost
			}
		}()
	}
}

// dnsStream answers the queries of one connection, each behind its length.
func (g *gateway) dnsStream(c net.Conn, answer Resolver) {
	defer c.Close()
	if !g.own(c) {
		return
	}
	defer g.disown(c)
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil || len(query) > maxDNS {
			return
		}
		a := answer(g.ctx, query)
		if a == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}
