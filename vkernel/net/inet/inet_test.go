package inet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/waiter"
)

// loop lets out what goes to one port of the gateway, to a listener of the host.
type loop struct{ port uint16 }

func (l loop) Allow(_ string, to netip.AddrPort) error {
	if to.Port() == l.port {
		return nil
	}
	return linux.EPERM
}

func (l loop) Dial(ctx context.Context, proto string, to netip.AddrPort) (net.Conn, error) {
	if err := l.Allow(proto, to); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, proto, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port()).String())
}

// await waits for events.
func await(t *testing.T, s socket.Socket, mask waiter.EventMask) {
	t.Helper()
	e, ch := waiter.NewChannelEntry(mask)
	s.EventRegister(e)
	defer s.EventUnregister(e)
	for end := time.After(10 * time.Second); s.Readiness(mask) == 0; {
		select {
		case <-ch:
		case <-end:
			t.Fatalf("no event of %#x", mask)
		}
	}
}

func TestConnectionOutAndIn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(c, c) // the other side judges
			c.Close()
		}
	}()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	n, err := New(Config{Connected: true, Egress: loop{port}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, err := n.Socket(linux.AF_INET, linux.SOCK_STREAM, 0, linux.Stat{Ino: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	to := func(port uint16) []byte {
		return append([]byte{linux.AF_INET, 0, byte(port >> 8), byte(port), 192, 0, 2, 1}, make([]byte, 8)...)
	}
	if err := s.Connect(nil, to(1)); err != linux.EPERM {
		t.Errorf("a port without a rule: %v", err)
	}
	if err := s.Connect(nil, to(port)); err != linux.EINPROGRESS {
		t.Fatalf("connect: %v", err)
	}

	await(t, s, waiter.EventOut)
	if v, err := s.Option(linux.SOL_SOCKET, linux.SO_ERROR, 4); err != nil || v[0] != 0 {
		t.Fatalf("SO_ERROR %v, %v", v, err)
	}
	if k, err := s.WriteAt([]byte("echo"), 0); k != 4 || err != nil {
		t.Fatalf("write %d, %v", k, err)
	}
	await(t, s, waiter.EventIn)
	buf := make([]byte, 10)
	if k, err := s.ReadAt(buf, 0); k != 4 || err != nil {
		t.Errorf("read %d, %v", k, err)
	}

	server, err := n.Socket(linux.AF_INET, linux.SOCK_STREAM, 0, linux.Stat{Ino: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Release()
	if err := errors.Join(server.Bind(nil, append([]byte{linux.AF_INET, 0, 0, 80}, make([]byte, 12)...)), server.Listen(nil, 1)); err != nil {
		t.Fatal(err)
	}
	published, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Publish(published, 80); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", published.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	await(t, server, waiter.EventIn)
	if _, err := server.Accept(linux.Stat{Ino: 3}); err != nil {
		t.Error(err)
	}
}
