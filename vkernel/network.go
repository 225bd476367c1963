package vkernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/linux"
	vnet "megabinary.dev/vkernel/net"
	"megabinary.dev/vkernel/net/egress"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/vfs"
)

// Network says how a container is connected. The zero value is docker's
// --network none: a loopback interface.
type Network struct {
	// Connected gives the container an eth0. Without a rule or a port it leads
	// nowhere.
	Connected bool
	Egress    []egress.Rule         // what may leave
	Ports     []Port                // what comes in
	Hosts     map[string]netip.Addr // names to answer for, besides egress.HostName
}

// Port publishes a port of the container on the host.
type Port struct {
	HostIP    netip.Addr
	HostPort  uint16 // 0: any; Container.Ports says which
	GuestPort uint16
	Proto     string // tcp or udp
}

// String is docker's way to write it.
func (p Port) String() string {
	return fmt.Sprintf("%s:%d/%s", netip.AddrPortFrom(p.HostIP, p.HostPort), p.GuestPort, p.Proto)
}

// Ports returns the published ports, with the host's ports that were chosen.
func (c *Container) Ports() []Port { return slices.Clone(c.ports) }

// network makes the container's network and opens the published ports.
func (v *VKernel) network(c *Container, spec Spec, trail *audit.Log) (*vnet.Namespace, error) {
	rules := slices.Clone(spec.Network.Egress)
	cfg := inet.Config{Connected: spec.Network.Connected, Log: v.cfg.Log}
	if cfg.Connected {
		names := map[string]netip.Addr{spec.Hostname: inet.Address.Addr()}
		for n, a := range spec.Network.Hosts {
			names[n] = a
		}
		if spec.Recorder != nil {
			rules = append(rules, egress.Everything()...)
		}
		policy := egress.New(rules, names, trail)
		c.close = append(c.close, policy)
		if spec.Recorder != nil {
			policy.Observe = spec.Recorder.Egress
		}
		cfg.Egress, cfg.Resolver = policy, policy.Answer
	}
	n := vnet.New(cfg)
	for _, p := range spec.Network.Ports {
		published, err := publish(n, p)
		if err != nil {
			n.Close()
			return nil, err
		}
		c.ports = append(c.ports, published)
	}
	return n, nil
}

func publish(n *vnet.Namespace, p Port) (Port, error) {
	s, err := n.Inet()
	if err != nil {
		return p, fmt.Errorf("publishing %s: %w", p, err)
	}
	at := netip.AddrPortFrom(p.HostIP, p.HostPort).String()
	if p.Proto == "udp" {
		pc, err := net.ListenPacket("udp", at)
		if err != nil {
			return p, fmt.Errorf("publishing %s: %w", p, err)
		}
		p.HostPort = portOf(pc.LocalAddr())
		return p, s.PublishUDP(pc, p.GuestPort)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return p, fmt.Errorf("publishing %s: %w", p, err)
	}
	p.HostPort = portOf(l.Addr())
	return p, s.Publish(l, p.GuestPort)
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// networkFiles writes what a container runtime writes to /etc, where there is
// one: always if the container is connected, and else only the hosts file that
// the image lacks.
func networkFiles(c *vfs.Caller, spec Spec) error {
	if _, err := c.WalkDir(vfs.Path{}, "/etc"); err != nil {
		return nil // an image of a program or two
	}
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if !spec.Network.Connected {
		if _, err := c.Walk(vfs.Path{}, "/etc/hosts", true); err == nil {
			return nil
		}
		return writeFile(c, "/etc/hosts", hosts)
	}
	names := make([]string, 0, len(spec.Network.Hosts))
	for n := range spec.Network.Hosts {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		hosts += spec.Network.Hosts[n].String() + "\t" + n + "\n"
	}
	hosts += inet.Address.Addr().String() + "\t" + spec.Hostname + "\n"
	for _, f := range [][2]string{{"/etc/hosts", hosts}, {"/etc/hostname", spec.Hostname + "\n"},
		{"/etc/resolv.conf", "nameserver " + inet.Gateway.String() + "\n"}} {
		if err := writeFile(c, f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file, or a link of that name, in the container's writable
// layer.
func writeFile(c *vfs.Caller, path, text string) error {
	if err := c.Unlink(vfs.Path{}, path); err != nil && err != linux.ENOENT {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	d, err := c.Open(vfs.Path{}, path, linux.O_WRONLY|linux.O_CREAT|linux.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer d.DecRef()
	if _, err := d.Write([]byte(text), 0); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// ParsePorts reads docker's -p: [IP:][HOST[-HOST]:]GUEST[-GUEST][/tcp|/udp].
func ParsePorts(s string) ([]Port, error) {
	bad := func(why string) ([]Port, error) {
		return nil, fmt.Errorf("%q is no port to publish: %s; use [IP:][HOST:]GUEST[/tcp|/udp]", s, why)
	}
	rest, proto, has := strings.Cut(s, "/")
	if !has {
		proto = "tcp"
	} else if proto != "tcp" && proto != "udp" {
		return bad("the protocol is " + strconv.Quote(proto))
	}
	ip, host := netip.IPv4Unspecified(), "0"
	parts := strings.Split(rest, ":")
	guest := parts[len(parts)-1]
	switch len(parts) {
	case 1:
	case 2:
		host = parts[0]
	default:
		host = parts[len(parts)-2]
		a, err := netip.ParseAddr(strings.Trim(strings.Join(parts[:len(parts)-2], ":"), "[]"))
		if err != nil {
			return bad("the address is not one")
		}
		ip = a
	}
	if host == "" {
		host = "0"
	}
	gl, gh, err1 := portRange(guest, 1)
	hl, hh, err2 := portRange(host, 0)
	if err1 != nil || err2 != nil || hl != 0 && hh-hl != gh-gl {
		return bad("the ports are not numbers, or of different count")
	}
	var list []Port
	for i := uint16(0); i <= gh-gl; i++ {
		p := Port{HostIP: ip, HostPort: hl, GuestPort: gl + i, Proto: proto}
		if hl != 0 {
			p.HostPort += i
		}
		list = append(list, p)
	}
	return list, nil
}

func portRange(s string, least uint16) (low, high uint16, err error) {
	l, h, is := strings.Cut(s, "-")
	if !is {
		h = l
	}
	a, err1 := strconv.ParseUint(l, 10, 16)
	b, err2 := strconv.ParseUint(h, 10, 16)
	if err1 != nil || err2 != nil || uint16(a) < least || a > b || b-a > 1000 {
		return 0, 0, linux.EINVAL
	}
	return uint16(a), uint16(b), nil
}
