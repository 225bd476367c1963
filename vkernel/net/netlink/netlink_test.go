package netlink

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/net/socket"
)

type network struct{}

func (network) Interfaces() []inet.Interface {
	return []inet.Interface{
		{Index: 1, Name: "lo", Flags: linux.IFF_LOOPBACK, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}},
		{Index: 2, Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("172.17.0.2/16")}},
	}
}

// request is a netlink message with a body.
func request(kind, flags uint16, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(linux.SizeofNlmsghdr+len(body)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, flags|linux.NLM_F_REQUEST)
	return append(append(b, make([]byte, 8)...), body...)
}

func TestLinksAreListed(t *testing.T) {
	s, err := New(network{}).Socket(linux.SOCK_RAW, 0, linux.Stat{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	s.requests(request(linux.RTM_GETLINK, linux.NLM_F_DUMP, make([]byte, 16)...))
	if len(s.rx) != 1 || binary.LittleEndian.Uint16(s.rx[0][4:]) != linux.RTM_NEWLINK {
		t.Fatalf("%d datagrams: %x", len(s.rx), s.rx)
	}
}

// FuzzRequests gives a socket whatever a guest may send: it answers whole
// messages, and not without end.
func FuzzRequests(f *testing.F) {
	f.Add(request(linux.RTM_GETLINK, linux.NLM_F_DUMP))
	f.Add(request(linux.RTM_GETLINK, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, 'e', 't', 'h', '0', 0))
	f.Add(append(request(linux.RTM_GETADDR, 0, linux.AF_INET), request(linux.RTM_GETROUTE, linux.NLM_F_DUMP)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := New(network{}).Socket(linux.SOCK_RAW, 0, linux.Stat{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release()
		if _, err := s.Send(nil, &socket.Message{Data: [][]byte{data}}, 0); err != nil {
			t.Fatal(err)
		}
		for _, answer := range s.rx {
			for b := answer; len(b) > 0; {
				if len(b) < linux.SizeofNlmsghdr {
					t.Fatalf("%d bytes at the end of %x", len(b), answer)
				}
				n := int(binary.LittleEndian.Uint32(b))
				if n < linux.SizeofNlmsghdr || n > len(b) {
					t.Fatalf("a message of %d bytes in %x", n, answer)
				}
				b = b[min(len(b), (n+3)&^3):]
			}
		}
	})
}
