package egress

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
)

func policy(t *testing.T, rules ...string) (*Policy, *bytes.Buffer) {
	t.Helper()
	var list []Rule
	for _, s := range rules {
		r, err := ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	var trail bytes.Buffer
	return New(list, map[string]netip.Addr{"db.internal": netip.MustParseAddr("10.9.8.7")}, audit.New(&trail, "c", "")), &trail
}

func TestRules(t *testing.T) {
	p, _ := policy(t, "10.0.0.0/8:443", "192.0.2.7:1000-2000/udp", "*.example.com:80", "db.internal:5432")
	p.learn("www.example.com", []netip.Addr{netip.MustParseAddr("198.51.100.1")})
	for to, want := range map[string]bool{
		"tcp 10.1.2.3:443": true, "udp 10.1.2.3:443": true, "tcp 10.1.2.3:80": false, "tcp 11.0.0.1:443": false,
		"udp 192.0.2.7:1500": true, "tcp 192.0.2.7:1500": false, "udp 192.0.2.7:2001": false,
		"tcp 198.51.100.1:80": true, "tcp 198.51.100.1:81": false, "tcp 198.51.100.2:80": false,
		"tcp 10.9.8.7:5432": true, "tcp 10.9.8.7:5433": false, "tcp 172.17.0.1:80": false,
	} {
		proto, addr, _ := strings.Cut(to, " ")
		err := p.Allow(proto, netip.MustParseAddrPort(addr))
		if want && err != nil || !want && err != linux.EPERM {
			t.Errorf("%s: %v, want allowed %v", to, err, want)
		}
	}
}

func TestAnyDoesNotMeanTheHost(t *testing.T) {
	p, _ := policy(t, "any")
	if err := p.Allow("tcp", netip.MustParseAddrPort("203.0.113.1:1")); err != nil {
		t.Error(err)
	}
	if err := p.Allow("tcp", netip.AddrPortFrom(inet.Gateway, 22)); err != linux.EPERM {
		t.Errorf("the host's loopback interface: %v", err)
	}
}

func TestBadRules(t *testing.T) {
	for _, s := range []string{"", ":80", "1.2.3.4:x", "1.2.3.4:90-80", "1.2.3.4:0", "1.2.3.4/40", "a b:80", "1.2.3:80", "x:70000", "::1"} {
		if r, err := ParseRule(s); err == nil {
			t.Errorf("%q was taken for %+v", s, r)
		}
	}
}

func TestDialReachesTheHostByName(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	p, trail := policy(t, HostName+":"+strings.Split(l.Addr().String(), ":")[1])
	c, err := p.Dial(context.Background(), "tcp", netip.AddrPortFrom(inet.Gateway, port))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := p.Dial(context.Background(), "tcp", netip.AddrPortFrom(inet.Gateway, port-1)); err != linux.EPERM {
		t.Errorf("another port: %v", err)
	}
	for _, want := range []string{`"verdict":"allow"`, `"verdict":"deny"`} {
		if !strings.Contains(trail.String(), want) {
			t.Errorf("the trail has no %s:\n%s", want, trail)
		}
	}
}

func ask(t *testing.T, p *Policy, name string, kind dnsmessage.Type) dnsmessage.Message {
	t.Helper()
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(p.Answer(context.Background(), b)); err != nil {
		t.Fatal(err)
	}
	if m.ID != 7 || !m.Response {
		t.Errorf("header %+v", m.Header)
	}
	return m
}

func TestNames(t *testing.T) {
	p, trail := policy(t, "localhost:80")
	if m := ask(t, p, "DB.internal", dnsmessage.TypeA); len(m.Answers) != 1 || m.RCode != 0 {
		t.Errorf("a given name: %+v", m)
	}
	if m := ask(t, p, "db.internal", dnsmessage.TypeAAAA); len(m.Answers) != 0 || m.RCode != 0 {
		t.Errorf("its IPv6 address: %+v", m)
	}
	if m := ask(t, p, "example.org", dnsmessage.TypeA); m.RCode != dnsmessage.RCodeRefused {
		t.Errorf("a name without a rule: %+v", m)
	}
	if m := ask(t, p, "localhost", dnsmessage.TypeA); m.RCode != 0 || len(m.Answers) != 0 {
		t.Errorf("a name that leads to loopback: %+v", m)
	}
	if !strings.Contains(trail.String(), `"path":"example.org","verdict":"deny"`) {
		t.Errorf("the refusal is not in the trail:\n%s", trail)
	}
	for _, junk := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 40)} {
		p.Answer(context.Background(), junk) // must not panic
	}
}
