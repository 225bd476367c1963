// Package net is the network of a container: sockets of all families. By
// default it is loopback and nothing else.
package net

import (
	"fmt"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/net/netlink"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/net/unix"
	"megabinary.dev/vkernel/vfs"
)

// Namespace is one container's network. Its stack is made when it is first
// needed: most containers of a host that runs many never ask.
type Namespace struct {
	cfg  inet.Config
	unix *unix.Namespace

	mu      sync.Mutex
	inet    *inet.Stack // nil: not made yet
	netlink *netlink.Family
	closed  bool
}

// New makes a network.
func New(cfg inet.Config) *Namespace { return &Namespace{cfg: cfg, unix: unix.New()} }

// Inet returns the stack of the internet protocols.
func (n *Namespace) Inet() (*inet.Stack, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, linux.ENETDOWN
	}
	if n.inet == nil {
		s, err := inet.New(n.cfg)
		if err != nil {
			return nil, err
		}
		n.inet, n.netlink = s, netlink.New(s)
	}
	return n.inet, nil
}

// Traffic returns the bytes that came to the container from outside and that it
// sent there.
func (n *Namespace) Traffic() (received, sent uint64) {
	n.mu.Lock()
	s := n.inet
	n.mu.Unlock()
	if s == nil {
		return 0, 0
	}
	received, _, sent, _ = s.Traffic(inet.Ethernet)
	return received, sent
}

// Close ends all connections of the container.
func (n *Namespace) Close() {
	n.mu.Lock()
	s := n.inet
	n.inet, n.closed = nil, true
	n.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Socket makes a socket with the attributes st. Its errors are those of
// socket(2).
func (n *Namespace) Socket(family, kind, protocol int, st linux.Stat) (socket.Socket, error) {
	switch family {
	case linux.AF_UNIX:
		if protocol != 0 && protocol != linux.AF_UNIX {
			return nil, linux.EPROTONOSUPPORT
		}
		return n.unix.Socket(kind, st)
	case linux.AF_INET, linux.AF_INET6:
		s, err := n.Inet()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", linux.ENETDOWN, err)
		}
		return s.Socket(family, kind, protocol, st)
	case linux.AF_NETLINK:
		if _, err := n.Inet(); err != nil {
			return nil, fmt.Errorf("%w: %w", linux.ENETDOWN, err)
		}
		return n.netlink.Socket(kind, protocol, st)
	case linux.AF_PACKET:
		return nil, linux.EPERM // nobody here may listen to others' packets
	}
	return nil, linux.EAFNOSUPPORT
}

// Pair makes two connected sockets.
func (n *Namespace) Pair(c *vfs.Caller, kind int, x, y linux.Stat) (socket.Socket, socket.Socket, error) {
	return n.unix.Pair(c, kind, x, y)
}

// Interfaces returns the network interfaces.
func (n *Namespace) Interfaces() []inet.Interface {
	s, err := n.Inet()
	if err != nil {
		return nil
	}
	return s.Interfaces()
}

// ProcFiles returns the files of /proc/net by name.
func (n *Namespace) ProcFiles() map[string]func() string {
	files := map[string]func() string{}
	if s, err := n.Inet(); err == nil {
		files = s.ProcFiles()
	}
	files["unix"] = n.unix.ProcFile
	files["netlink"] = func() string {
		return "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
	}
	return files
}
