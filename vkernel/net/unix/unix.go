// Package unix implements AF_UNIX sockets (unix(7)): streams, datagrams and
// sequenced packets, with names in the file system or without (abstract), and
// with descriptors and credentials that travel along.
package unix

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/socket"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Namespace is what the sockets of one container share.
type Namespace struct {
	// mu guards the state of all sockets. It is held for a few steps and a copy
	// of data; files that travel are released without it, because that may
	// release sockets.
	mu       sync.Mutex
	abstract map[string]*Socket
	paths    map[inode]*Socket
	open     map[*Socket]struct{}
	next     uint32 // of the names that autobind gives
}

// inode names a socket in a file system.
type inode struct{ dev, ino uint64 }

// New makes a namespace without sockets.
func New() *Namespace {
	return &Namespace{abstract: map[string]*Socket{}, paths: map[inode]*Socket{}, open: map[*Socket]struct{}{}}
}

// maxDatagrams is how many datagrams wait at a socket (net.unix.max_dgram_qlen).
const maxDatagrams = 10

type state uint8

// The states of a socket.
const (
	idle state = iota
	listening
	connected
	closed
)

// Socket is one socket. What is below ns is guarded by ns.mu.
type Socket struct {
	socket.Base
	queue waiter.Queue
	ns    *Namespace

	state               state
	peer                *Socket // of a stream; of a datagram socket, whom it sends to
	name                []byte  // sun_path; nil: none
	at                  inode   // of a name in a file system
	onPath              bool
	own, peerCreds      socket.Ucred
	peerKnown           bool
	rx                  []*message
	rxBytes             int
	sendLimit, rcvLimit int // bytes
	backlog             []*Socket
	backlogMax          int
	waiting             []*Socket // want to hear of room in rx or backlog
	shutRead, shutWrite bool
	err                 error // SO_ERROR
}

var (
	_ socket.Socket = (*Socket)(nil)
	_ vfs.Described = (*Socket)(nil)
	_ vfs.Ioctler   = (*Socket)(nil)
)

// message is what one send brought.
type message struct {
	data  []byte
	from  []byte // address of the sender
	creds socket.Ucred
	files []*vfs.FileDescription
}

// Socket makes a socket; kind is SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, or
// SOCK_RAW, which is SOCK_DGRAM.
func (ns *Namespace) Socket(kind int, st linux.Stat) (*Socket, error) {
	switch kind {
	case linux.SOCK_STREAM, linux.SOCK_DGRAM, linux.SOCK_SEQPACKET:
	case linux.SOCK_RAW:
		kind = linux.SOCK_DGRAM
	default:
		return nil, linux.ESOCKTNOSUPPORT
	}
	s := ns.newSocket(kind)
	s.Init(linux.AF_UNIX, kind, 0, st)
	ns.mu.Lock()
	ns.open[s] = struct{}{}
	ns.mu.Unlock()
	return s, nil
}

func (ns *Namespace) newSocket(kind int) *Socket {
	s := &Socket{ns: ns, sendLimit: socket.DefaultBuffer, rcvLimit: socket.DefaultBuffer}
	s.Type = kind
	return s
}

// Pair makes two sockets that are connected (socketpair(2)).
func (ns *Namespace) Pair(c *vfs.Caller, kind int, x, y linux.Stat) (*Socket, *Socket, error) {
	a, err := ns.Socket(kind, x)
	if err != nil {
		return nil, nil, err
	}
	b, err := ns.Socket(kind, y)
	if err != nil {
		return nil, nil, err
	}
	creds := socket.CredsOf(c)
	for _, s := range []*Socket{a, b} {
		s.state, s.own, s.peerCreds, s.peerKnown = connected, creds, creds, true
	}
	a.peer, b.peer = b, a
	return a, b, nil
}

// stream says whether the socket needs a connection.
func (s *Socket) connects() bool { return s.Type != linux.SOCK_DGRAM }

// parseName returns sun_path of a struct sockaddr_un: without the NUL for a
// path, with the leading one for an abstract name; empty for none.
func parseName(addr []byte) ([]byte, error) {
	if len(addr) < 2 || len(addr) > linux.SizeofSockaddrUn {
		return nil, linux.EINVAL
	}
	if binary.LittleEndian.Uint16(addr) != linux.AF_UNIX {
		return nil, linux.EINVAL
	}
	name := addr[2:]
	if len(name) > 0 && name[0] != 0 {
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
	}
	return slices.Clone(name), nil
}

// address returns a name as a struct sockaddr_un.
func address(name []byte) []byte {
	b := append([]byte{linux.AF_UNIX, 0}, name...)
	if len(name) > 0 && name[0] != 0 {
		b = append(b, 0)
	}
	return b
}

// Bind implements socket.Connector.
func (s *Socket) Bind(c *vfs.Caller, addr []byte) error {
	name, err := parseName(addr)
	if err != nil {
		return err
	}
	if len(name) > 0 && name[0] != 0 {
		return s.bindPath(c, name)
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.name != nil {
		if len(name) == 0 { // autobind of what has a name
			return nil
		}
		return linux.EINVAL
	}
	if len(name) == 0 {
		s.autobind()
		return nil
	}
	if s.ns.abstract[string(name)] != nil {
		return linux.EADDRINUSE
	}
	s.ns.abstract[string(name)], s.name = s, name
	return nil
}

// autobind gives the socket an abstract name of its own; it needs ns.mu.
func (s *Socket) autobind() {
	for s.name == nil {
		s.ns.next++
		name := fmt.Sprintf("\x00%05x", s.ns.next&0xfffff)
		if s.ns.abstract[name] == nil {
			s.ns.abstract[name], s.name = s, []byte(name)
		}
	}
}

func (s *Socket) bindPath(c *vfs.Caller, name []byte) error {
	if err := c.Mknod(vfs.Path{}, string(name), linux.S_IFSOCK|0o777, 0); err != nil {
		if err == linux.EEXIST {
			return linux.EADDRINUSE
		}
		return err
	}
	loc, err := c.Walk(vfs.Path{}, string(name), false)
	if err != nil {
		return err
	}
	st, err := loc.Inode.Stat()
	if err != nil {
		return err
	}
	s.ns.mu.Lock()
	bound := s.name != nil
	if !bound {
		s.name, s.at, s.onPath = name, inode{st.Dev, st.Ino}, true
		s.ns.paths[s.at] = s
	}
	s.ns.mu.Unlock()
	if bound { // Linux, too, makes the name first
		if err := c.Unlink(vfs.Path{}, string(name)); err != nil {
			return err
		}
		return linux.EINVAL
	}
	return nil
}

// target finds the socket that a name leads to. It must be called without mu:
// it walks a path.
func (ns *Namespace) target(c *vfs.Caller, name []byte) (*Socket, error) {
	if len(name) == 0 {
		return nil, linux.EINVAL
	}
	if name[0] == 0 {
		ns.mu.Lock()
		defer ns.mu.Unlock()
		if s := ns.abstract[string(name)]; s != nil {
			return s, nil
		}
		return nil, linux.ECONNREFUSED
	}
	loc, err := c.Walk(vfs.Path{}, string(name), true)
	if err != nil {
		return nil, err
	}
	if err := c.CheckGuard(loc, vfs.MayWrite); err != nil {
		return nil, err
	}
	if err := c.Access(loc.Path, vfs.MayWrite); err != nil {
		return nil, err
	}
	st, err := loc.Inode.Stat()
	if err != nil {
		return nil, err
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if s := ns.paths[inode{st.Dev, st.Ino}]; s != nil && st.Mode&linux.S_IFMT == linux.S_IFSOCK {
		return s, nil
	}
	return nil, linux.ECONNREFUSED
}

// Connect implements socket.Connector.
func (s *Socket) Connect(c *vfs.Caller, addr []byte) error {
	if len(addr) < 2 {
		return linux.EINVAL
	}
	if binary.LittleEndian.Uint16(addr) == linux.AF_UNSPEC && !s.connects() {
		s.ns.mu.Lock()
		defer s.ns.mu.Unlock()
		s.peer, s.state = nil, idle
		return nil
	}
	name, err := parseName(addr)
	if err != nil {
		return err
	}
	other, err := s.ns.target(c, name)
	if err != nil {
		return err
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.Kept(linux.SO_PASSCRED) != 0 {
		s.autobind()
	}
	if other.Type != s.Type {
		return linux.EPROTOTYPE
	}
	if !s.connects() {
		if other.peer != nil && other.peer != s {
			return linux.EPERM
		}
		s.peer, s.state = other, connected
		return nil
	}
	return s.connectTo(other, socket.CredsOf(c))
}

// connectTo makes a connection to a listening socket; it needs ns.mu.
func (s *Socket) connectTo(other *Socket, creds socket.Ucred) error {
	switch {
	case other.state != listening || other.shutRead:
		return linux.ECONNREFUSED
	case s.state == connected:
		return linux.EISCONN
	case s.state != idle:
		return linux.EINVAL
	case len(other.backlog) > other.backlogMax:
		other.waiting = append(other.waiting, s)
		return linux.EAGAIN
	}
	n := s.ns.newSocket(s.Type)
	n.state, n.peer, n.name = connected, s, other.name
	n.own, n.peerCreds, n.peerKnown = other.own, creds, true
	s.state, s.peer = connected, n
	s.own, s.peerCreds, s.peerKnown = creds, other.own, true
	other.backlog = append(other.backlog, n)
	other.queue.Notify(waiter.ReadableEvents)
	s.queue.Notify(waiter.WritableEvents)
	return nil
}

// Listen implements socket.Connector.
func (s *Socket) Listen(c *vfs.Caller, backlog int) error {
	if !s.connects() {
		return linux.EOPNOTSUPP
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.name == nil || s.state != idle && s.state != listening {
		return linux.EINVAL
	}
	if backlog < 0 || backlog > linux.SOMAXCONN {
		backlog = linux.SOMAXCONN
	}
	s.state, s.backlogMax, s.own = listening, backlog, socket.CredsOf(c)
	s.tellWaiting()
	return nil
}

// tellWaiting wakes who waits for room; it needs ns.mu.
func (s *Socket) tellWaiting() {
	for _, w := range s.waiting {
		w.queue.Notify(waiter.WritableEvents)
	}
	s.waiting = nil
}

// Accept implements socket.Connector.
func (s *Socket) Accept(st linux.Stat) (socket.Socket, error) {
	if !s.connects() {
		return nil, linux.EOPNOTSUPP
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if s.state != listening {
		return nil, linux.EINVAL
	}
	if len(s.backlog) == 0 {
		if s.shutRead {
			return nil, linux.EINVAL
		}
		return nil, linux.EAGAIN
	}
	n := s.backlog[0]
	s.backlog = s.backlog[1:]
	n.Init(linux.AF_UNIX, s.Type, 0, st)
	s.ns.open[n] = struct{}{}
	s.tellWaiting()
	return n, nil
}

// Shutdown implements socket.Connector.
func (s *Socket) Shutdown(how int) error {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	read, write := how != linux.SHUT_WR, how != linux.SHUT_RD
	if s.connects() && s.state == idle {
		return linux.ENOTCONN
	}
	s.shutRead, s.shutWrite = s.shutRead || read, s.shutWrite || write
	if p := s.peer; p != nil && s.connects() {
		p.shutRead, p.shutWrite = p.shutRead || write, p.shutWrite || read
		p.queue.Notify(allEvents)
	}
	s.queue.Notify(allEvents)
	return nil
}

const allEvents = waiter.ReadableEvents | waiter.WritableEvents | waiter.AlwaysEvents | waiter.EventRdHUp

// Release implements vfs.File.
func (s *Socket) Release() {
	s.ns.mu.Lock()
	gone := s.close()
	s.ns.mu.Unlock()
	for _, f := range gone {
		f.DecRef()
	}
}

// close ends the socket and returns the files that nobody will get any more. It
// needs ns.mu.
func (s *Socket) close() []*vfs.FileDescription {
	ns := s.ns
	delete(ns.open, s)
	if s.onPath && ns.paths[s.at] == s {
		delete(ns.paths, s.at)
	}
	if ns.abstract[string(s.name)] == s {
		delete(ns.abstract, string(s.name))
	}
	unread := len(s.rx) > 0
	var gone []*vfs.FileDescription
	for _, m := range s.rx {
		gone = append(gone, m.files...)
	}
	for _, n := range s.backlog {
		if n.peer != nil {
			n.peer.err = linux.ECONNRESET
		}
		gone = append(gone, n.close()...)
	}
	s.rx, s.rxBytes, s.backlog, s.state = nil, 0, nil, closed
	s.tellWaiting()
	if p := s.peer; p != nil && s.connects() {
		p.shutRead, p.shutWrite = true, true
		if unread && p.err == nil {
			p.err = linux.ECONNRESET
		}
		p.queue.Notify(allEvents)
	}
	s.peer = nil
	return gone
}

// Name implements socket.Configurable.
func (s *Socket) Name(peer bool) ([]byte, error) {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	of := s
	if peer {
		if of = s.peer; of == nil {
			return nil, linux.ENOTCONN
		}
	}
	return address(of.name), nil
}

// Option implements socket.Configurable.
func (s *Socket) Option(level, name, _ int) ([]byte, error) {
	if level != linux.SOL_SOCKET {
		return nil, linux.EOPNOTSUPP
	}
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	switch name {
	case linux.SO_ERROR:
		err := s.err
		s.err = nil
		if err == nil {
			return socket.Int32(0), nil
		}
		return socket.Int32(int(linux.ErrnoOf(err))), nil
	case linux.SO_ACCEPTCONN:
		return socket.Bool(s.state == listening), nil
	case linux.SO_SNDBUF:
		return socket.Int32(s.sendLimit), nil
	case linux.SO_RCVBUF:
		return socket.Int32(s.rcvLimit), nil
	case linux.SO_PEERCRED:
		if !s.peerKnown {
			return socket.Ucred{UID: ^uint32(0), GID: ^uint32(0)}.Marshal(), nil
		}
		return s.peerCreds.Marshal(), nil
	}
	return s.Base.Option(name)
}

// SetOption implements socket.Configurable.
func (s *Socket) SetOption(c *vfs.Caller, level, name int, value []byte) error {
	if level != linux.SOL_SOCKET {
		return linux.EOPNOTSUPP
	}
	switch name {
	case linux.SO_SNDBUF, linux.SO_RCVBUF, linux.SO_SNDBUFFORCE, linux.SO_RCVBUFFORCE:
		v, err := socket.ParseInt(value)
		if err != nil {
			return err
		}
		if (name == linux.SO_SNDBUFFORCE || name == linux.SO_RCVBUFFORCE) && !c.Creds.HasCap(linux.CAP_NET_ADMIN) {
			return linux.EPERM
		}
		s.ns.mu.Lock()
		defer s.ns.mu.Unlock()
		if name == linux.SO_SNDBUF || name == linux.SO_SNDBUFFORCE {
			s.sendLimit = socket.BufferSize(v, 4608)
		} else {
			s.rcvLimit = socket.BufferSize(v, 2304)
		}
		return nil
	}
	return s.Base.SetOption(c, name, value)
}

// ProcFile returns /proc/net/unix.
func (ns *Namespace) ProcFile() string {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	list := make([]*Socket, 0, len(ns.open))
	for s := range ns.open {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Ino() < list[j].Ino() })
	var b strings.Builder
	b.WriteString("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for _, s := range list {
		flags, st := 0, 1 // SS_UNCONNECTED
		switch s.state {
		case listening:
			flags = 0x10000 // __SO_ACCEPTCON
		case connected:
			st = 3 // SS_CONNECTED
		}
		fmt.Fprintf(&b, "%016x: %08X %08X %08X %04X %02X %5d", 0, 2, 0, flags, s.Type, st, s.Ino())
		if len(s.name) > 0 {
			b.WriteString(" " + strings.ReplaceAll(string(s.name), "\x00", "@"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
