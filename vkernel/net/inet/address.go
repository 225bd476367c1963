package inet

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"megabinary.dev/vkernel/linux"
)

// parseAddress reads a struct sockaddr_in or sockaddr_in6 for a socket of
// family, and the interface that a link-local address names.
func parseAddress(family int, b []byte) (netip.AddrPort, tcpip.NICID, error) {
	if len(b) < 2 {
		return netip.AddrPort{}, 0, linux.EINVAL
	}
	if got := int(binary.LittleEndian.Uint16(b)); got != family && !(got == linux.AF_INET && family == linux.AF_INET6) {
		return netip.AddrPort{}, 0, linux.EAFNOSUPPORT
	}
	if family == linux.AF_INET {
		if len(b) < linux.SizeofSockaddrIn {
			return netip.AddrPort{}, 0, linux.EINVAL
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])), 0, nil
	}
	if int(binary.LittleEndian.Uint16(b)) != linux.AF_INET6 {
		return netip.AddrPort{}, 0, linux.EAFNOSUPPORT
	}
	if len(b) < linux.SizeofSockaddrIn6-4 {
		return netip.AddrPort{}, 0, linux.EINVAL
	}
	var nic tcpip.NICID
	if len(b) >= linux.SizeofSockaddrIn6 {
		nic = tcpip.NICID(binary.LittleEndian.Uint32(b[24:]))
	}
	a := netip.AddrFrom16([16]byte(b[8:24]))
	if !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast() {
		nic = 0
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[2:])), nic, nil
}

// full returns an address as the stack takes it; the unspecified address is
// empty there.
func full(a netip.AddrPort, nic tcpip.NICID) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: nic, Port: a.Port()}
	if !a.Addr().IsUnspecified() {
		f.Addr = tcpip.AddrFromSlice(a.Addr().AsSlice())
	}
	return f
}

// ipOf returns an address of the stack; ok is false for the empty one.
func ipOf(a tcpip.Address) (netip.Addr, bool) { return netip.AddrFromSlice(a.AsSlice()) }

// sockaddr returns an address as a socket of family shows it.
func sockaddr(family int, f tcpip.FullAddress) []byte {
	ip, ok := ipOf(f.Addr)
	if family == linux.AF_INET {
		b := make([]byte, linux.SizeofSockaddrIn)
		b[0] = linux.AF_INET
		binary.BigEndian.PutUint16(b[2:], f.Port)
		if ok {
			v4 := ip.Unmap().As4()
			copy(b[4:], v4[:])
		}
		return b
	}
	b := make([]byte, linux.SizeofSockaddrIn6)
	b[0] = linux.AF_INET6
	binary.BigEndian.PutUint16(b[2:], f.Port)
	if ok {
		v6 := ip.As16()
		copy(b[8:], v6[:])
		if ip.IsLinkLocalUnicast() {
			binary.LittleEndian.PutUint32(b[24:], uint32(f.NIC))
		}
	}
	return b
}
