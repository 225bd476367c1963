package inet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"megabinary.dev/vkernel/linux"
)

// Interface describes a network interface.
type Interface struct {
	Index     int
	Name      string
	Flags     uint32 // IFF_
	Type      uint16 // ARPHRD_
	MTU       int
	TxQueue   int
	Hardware  [6]byte
	Addresses []netip.Prefix
}

// Interfaces returns the interfaces in the order of their indices.
func (n *Stack) Interfaces() []Interface {
	list := []Interface{{Index: int(nicLoopback), Name: "lo", Type: linux.ARPHRD_LOOPBACK, MTU: 65536, TxQueue: 1000,
		Flags:     linux.IFF_UP | linux.IFF_LOOPBACK | linux.IFF_RUNNING | linux.IFF_LOWER_UP,
		Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}}}
	if n.gateway != nil {
		list = append(list, Interface{Index: int(nicEthernet), Name: "eth0", Type: linux.ARPHRD_ETHER, MTU: ethernetMTU, TxQueue: 0,
			Flags:    linux.IFF_UP | linux.IFF_BROADCAST | linux.IFF_RUNNING | linux.IFF_MULTICAST | linux.IFF_LOWER_UP,
			Hardware: [6]byte{2, 0x42, 0xac, 0x11, 0, 2}, Addresses: []netip.Prefix{Address}})
	}
	return list
}

// Broadcast returns the broadcast address of an IPv4 network.
func Broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(a[:]) | 1<<(32-p.Bits()) - 1
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v)))
}

// ProcFiles returns the files of /proc/net by name.
func (n *Stack) ProcFiles() map[string]func() string {
	const udpHead = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	const udp6Head = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	return map[string]func() string{
		"dev": n.devices,
		"tcp": func() string {
			return n.table(linux.AF_INET, linux.IPPROTO_TCP, fmt.Sprintf("%-149s\n", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"))
		},
		"tcp6": func() string {
			return n.table(linux.AF_INET6, linux.IPPROTO_TCP, "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
		},
		"udp":  func() string { return n.table(linux.AF_INET, linux.IPPROTO_UDP, fmt.Sprintf("%-127s", udpHead)) },
		"udp6": func() string { return n.table(linux.AF_INET6, linux.IPPROTO_UDP, udp6Head) },
		"raw": func() string {
			return "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
		},
		"route":    n.routes,
		"if_inet6": n.inet6,
		"arp": func() string {
			return "IP address       HW type     Flags       HW address            Mask     Device\n"
		},
		"sockstat": n.sockstat,
	}
}

func (n *Stack) devices() string {
	var b strings.Builder
	b.WriteString("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	for _, i := range n.Interfaces() {
		info, ok := n.s.SingleNICInfo(tcpip.NICID(i.Index))
		if !ok {
			continue
		}
		rx, tx := info.Stats.Rx, info.Stats.Tx
		fmt.Fprintf(&b, "%6s: %7d %7d    0    0    0     0          0         0 %8d %7d    0    0    0     0       0          0\n",
			i.Name, rx.Bytes.Value(), rx.Packets.Value(), tx.Bytes.Value(), tx.Packets.Value())
	}
	return b.String()
}

// hexAddress prints an address as /proc/net/tcp does: 32-bit words in the host's
// order.
func hexAddress(family int, a tcpip.FullAddress) string {
	raw := make([]byte, 4)
	if family == linux.AF_INET6 {
		raw = make([]byte, 16)
	}
	if ip, ok := ipOf(a.Addr); ok {
		if family == linux.AF_INET6 {
			v6 := ip.As16()
			copy(raw, v6[:])
		} else {
			copy(raw, ip.Unmap().AsSlice())
		}
	}
	var b strings.Builder
	for i := 0; i < len(raw); i += 4 {
		fmt.Fprintf(&b, "%08X", binary.LittleEndian.Uint32(raw[i:]))
	}
	fmt.Fprintf(&b, ":%04X", a.Port)
	return b.String()
}

func (n *Stack) table(family, protocol int, head string) string {
	var b strings.Builder
	b.WriteString(head)
	line := 0
	for _, s := range n.list() {
		if s.Family != family || s.Protocol != protocol {
			continue
		}
		local, _ := s.ep().GetLocalAddress()   // none: zeros
		remote, _ := s.ep().GetRemoteAddress() // none: zeros
		state := byte(7)
		if protocol == linux.IPPROTO_TCP {
			st := tcp.EndpointState(s.ep().State())
			if st == tcp.StateInitial || st == tcp.StateBound {
				continue
			}
			state = tcpState(st)
		} else if remote.Port != 0 {
			state = 1
		}
		tx, _ := s.ep().GetSockOptInt(tcpip.SendQueueSizeOption)    // not for every state
		rx, _ := s.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption) // not for every state
		text := fmt.Sprintf("%4d: %s %s %02X %08X:%08X 00:00000000 00000000 %5d        0 %d 1 0000000000000000", line,
			hexAddress(family, local), hexAddress(family, remote), state, tx, rx, s.UID(), s.Ino())
		if protocol == linux.IPPROTO_TCP {
			text += " 100 0 0 10 0"
		} else {
			text += " 0"
		}
		b.WriteString(text + "\n")
		line++
	}
	return b.String()
}

func (n *Stack) routes() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-127s\n", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
	if n.gateway == nil {
		return b.String()
	}
	word := func(a netip.Addr) uint32 { v := a.As4(); return binary.LittleEndian.Uint32(v[:]) }
	net := Address.Masked()
	mask := [4]byte(binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-net.Bits())))
	for _, r := range []struct {
		dst, gw, mask uint32
		flags         int
	}{{0, word(Gateway), 0, 3}, {word(net.Addr()), 0, binary.LittleEndian.Uint32(mask[:]), 1}} {
		fmt.Fprintf(&b, "%-127s\n", fmt.Sprintf("eth0\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0", r.dst, r.gw, r.flags, r.mask))
	}
	return b.String()
}

func (n *Stack) inet6() string { return "00000000000000000000000000000001 01 80 10 80       lo\n" }

func (n *Stack) sockstat() string {
	var tcps, udps int
	all := n.list()
	for _, s := range all {
		switch s.Protocol {
		case linux.IPPROTO_TCP:
			tcps++
		case linux.IPPROTO_UDP:
			udps++
		}
	}
	return fmt.Sprintf("sockets: used %d\nTCP: inuse %d orphan 0 tw 0 alloc %d mem 0\nUDP: inuse %d mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
		len(all), tcps, tcps, udps)
}
