// Package socket says what a socket is to the system calls, whatever its
// family, and holds what all families share.
package socket

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Socket is an endpoint of communication (socket(7)). None of its methods
// blocks: EAGAIN means not now, and the socket announces when to try again.
// Addresses are the bytes of a struct sockaddr, the family first.
type Socket interface {
	vfs.File
	waiter.Waitable
	Connector
	Messenger
	Configurable
}

// Connector is how a socket comes to its name and its peer.
type Connector interface {
	Bind(c *vfs.Caller, addr []byte) error
	// Connect answers EINPROGRESS if the outcome is not known yet: then
	// WritableEvents announce it, and SO_ERROR says what it was. EAGAIN means
	// to call it again.
	Connect(c *vfs.Caller, addr []byte) error
	Listen(c *vfs.Caller, backlog int) error
	// Accept returns a new connection; st are its attributes.
	Accept(st linux.Stat) (Socket, error)
	Shutdown(how int) error
}

// Messenger moves data.
type Messenger interface {
	// Send sends m, or its first bytes if the socket is a stream, and returns
	// how many. flags are MSG_ flags; the caller sees to MSG_DONTWAIT and
	// MSG_NOSIGNAL.
	Send(c *vfs.Caller, m *Message, flags uint32) (int, error)
	// Recv fills m. What it returns is longer than the room only with
	// MSG_TRUNC in flags.
	Recv(m *Message, flags uint32) (int, error)
}

// Configurable is what is known of a socket.
type Configurable interface {
	Common() *Base
	// Name returns the socket's own address, or the peer's.
	Name(peer bool) ([]byte, error)
	// Option returns at most room bytes of a socket option.
	Option(level, name, room int) ([]byte, error)
	SetOption(c *vfs.Caller, level, name int, value []byte) error
}

// Message is what goes through a socket in one call.
type Message struct {
	Data [][]byte // what to send, or where to put what comes
	Addr []byte   // to whom, or from whom; nil: nobody in particular
	Control
	Flags uint32 // what Recv has to say: MSG_TRUNC, MSG_CTRUNC, MSG_EOR
}

// Control is ancillary data.
type Control struct {
	Files []*vfs.FileDescription // SCM_RIGHTS; each counted
	Creds *Ucred                 // SCM_CREDENTIALS
	Other []ControlMessage
}

// Release gives back the files.
func (c *Control) Release() {
	for _, f := range c.Files {
		f.DecRef()
	}
	c.Files = nil
}

// ControlMessage is ancillary data that only its protocol understands.
type ControlMessage struct {
	Level, Type int
	Data        []byte
}

// Ucred is struct ucred.
type Ucred struct {
	PID      int32
	UID, GID uint32
}

// CredsOf returns the credentials that a caller shows to its peers.
func CredsOf(c *vfs.Caller) Ucred {
	return Ucred{PID: int32(c.PID), UID: c.Creds.EUID, GID: c.Creds.EGID}
}

// Marshal returns the bytes of struct ucred.
func (u Ucred) Marshal() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(u.PID))
	b = binary.LittleEndian.AppendUint32(b, u.UID)
	return binary.LittleEndian.AppendUint32(b, u.GID)
}

// Room is how many bytes fit into the message.
func (m *Message) Room() int {
	n := 0
	for _, p := range m.Data {
		n += len(p)
	}
	return n
}

// Bytes returns the message in one piece.
func (m *Message) Bytes() []byte {
	if len(m.Data) == 1 {
		return m.Data[0]
	}
	b := make([]byte, 0, m.Room())
	for _, p := range m.Data {
		b = append(b, p...)
	}
	return b
}

// Writer puts bytes one after the other where a message has room.
type Writer struct {
	m    *Message
	i, n int // piece, and offset in it
}

// Writer returns a writer to the start of the message's room.
func (m *Message) Writer() *Writer { return &Writer{m: m} }

// Write implements io.Writer; io.ErrShortWrite says that not all of it fits.
func (w *Writer) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) && w.i < len(w.m.Data) {
		k := copy(w.m.Data[w.i][w.n:], p[done:])
		done += k
		if w.n += k; w.n == len(w.m.Data[w.i]) {
			w.i, w.n = w.i+1, 0
		}
	}
	if done < len(p) {
		return done, io.ErrShortWrite
	}
	return done, nil
}

// Base is what sockets of all families have.
type Base struct {
	Family, Type, Protocol int

	stat linux.Stat
	// Timeouts of SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds; 0: none.
	recvTimeout, sendTimeout atomic.Int64

	mu   sync.Mutex
	ints map[int]int32 // options of SOL_SOCKET that are kept and do nothing here
}

// Init sets what never changes. st are the attributes that fstat(2) shows.
func (b *Base) Init(family, kind, protocol int, st linux.Stat) {
	b.Family, b.Type, b.Protocol, b.stat = family, kind, protocol, st
}

// Common implements Configurable.
func (b *Base) Common() *Base { return b }

// Stat answers fstat(2).
func (b *Base) Stat() (linux.Stat, error) { return b.stat, nil }

// Ino identifies the socket, as in /proc/net/unix.
func (b *Base) Ino() uint64 { return b.stat.Ino }

// UID owns the socket.
func (b *Base) UID() uint32 { return b.stat.UID }

// Describe implements vfs.Described.
func (b *Base) Describe() string { return fmt.Sprintf("socket:[%d]", b.stat.Ino) }

// Asynchronous implements vfs.Asynchronous.
func (b *Base) Asynchronous() {}

// Timeout returns how long a call may wait to receive, or to send; 0: for ever.
func (b *Base) Timeout(send bool) time.Duration {
	if send {
		return time.Duration(b.sendTimeout.Load())
	}
	return time.Duration(b.recvTimeout.Load())
}

// Inherit takes the options of the listening socket.
func (b *Base) Inherit(from *Base) {
	b.recvTimeout.Store(from.recvTimeout.Load())
	b.sendTimeout.Store(from.sendTimeout.Load())
	from.mu.Lock()
	defer from.mu.Unlock()
	for k, v := range from.ints {
		b.Keep(k, v)
	}
}

// Keep stores an option.
func (b *Base) Keep(name int, v int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ints == nil {
		b.ints = map[int]int32{}
	}
	b.ints[name] = v
}

// Kept returns a stored option, or 0.
func (b *Base) Kept(name int) int32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ints[name]
}

// Int32 returns the bytes of an option that is an int.
func Int32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

// Bool returns the bytes of an option that is a flag.
func Bool(v bool) []byte {
	if v {
		return Int32(1)
	}
	return Int32(0)
}

// ParseInt reads an option that is an int.
func ParseInt(value []byte) (int, error) {
	if len(value) < 4 {
		return 0, linux.EINVAL
	}
	return int(int32(binary.LittleEndian.Uint32(value))), nil
}

// Option answers for the options of SOL_SOCKET that need no family; EOPNOTSUPP
// for others.
func (b *Base) Option(name int) ([]byte, error) {
	switch name {
	case linux.SO_TYPE:
		return Int32(b.Type), nil
	case linux.SO_DOMAIN:
		return Int32(b.Family), nil
	case linux.SO_PROTOCOL:
		return Int32(b.Protocol), nil
	case linux.SO_RCVTIMEO, linux.SO_RCVTIMEO_NEW:
		return timeval(b.Timeout(false)), nil
	case linux.SO_SNDTIMEO, linux.SO_SNDTIMEO_NEW:
		return timeval(b.Timeout(true)), nil
	case linux.SO_SNDLOWAT:
		return Int32(1), nil
	case linux.SO_RCVLOWAT:
		return Int32(max(1, int(b.Kept(name)))), nil
	case linux.SO_COOKIE:
		return binary.LittleEndian.AppendUint64(nil, b.stat.Ino), nil
	case linux.SO_DEBUG, linux.SO_DONTROUTE, linux.SO_PRIORITY, linux.SO_NO_CHECK, linux.SO_TIMESTAMP, linux.SO_MARK,
		linux.SO_PASSSEC, linux.SO_BUSY_POLL, linux.SO_OOBINLINE, linux.SO_INCOMING_CPU, linux.SO_ZEROCOPY,
		linux.SO_REUSEADDR, linux.SO_REUSEPORT, linux.SO_KEEPALIVE, linux.SO_BROADCAST, linux.SO_PASSCRED, linux.SO_PEEK_OFF:
		return Int32(int(b.Kept(name))), nil
	case linux.SO_BINDTODEVICE:
		return []byte{}, nil
	case linux.SO_LINGER:
		return append(Int32(int(b.Kept(linux.SO_LINGER))), Int32(int(b.Kept(lingerTime)))...), nil
	}
	return nil, linux.ENOPROTOOPT
}

// lingerTime keeps l_linger beside SO_LINGER's l_onoff.
const lingerTime = -linux.SO_LINGER

func timeval(d time.Duration) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(d/time.Second))
	return binary.LittleEndian.AppendUint64(b, uint64(d%time.Second/time.Microsecond))
}

// SetOption sets options of SOL_SOCKET that need no family; ENOPROTOOPT for
// others.
func (b *Base) SetOption(c *vfs.Caller, name int, value []byte) error {
	switch name {
	case linux.SO_TYPE, linux.SO_DOMAIN, linux.SO_PROTOCOL, linux.SO_ERROR, linux.SO_ACCEPTCONN, linux.SO_PEERCRED,
		linux.SO_SNDLOWAT, linux.SO_COOKIE, linux.SO_PEERGROUPS, linux.SO_PEERSEC:
		return linux.ENOPROTOOPT
	}
	v, err := ParseInt(value)
	if err != nil {
		return err
	}
	switch name {
	case linux.SO_RCVTIMEO, linux.SO_RCVTIMEO_NEW:
		return setTimeout(&b.recvTimeout, value)
	case linux.SO_SNDTIMEO, linux.SO_SNDTIMEO_NEW:
		return setTimeout(&b.sendTimeout, value)
	case linux.SO_LINGER:
		if len(value) < 8 {
			return linux.EINVAL
		}
		b.Keep(linux.SO_LINGER, flag(v))
		b.Keep(lingerTime, int32(binary.LittleEndian.Uint32(value[4:])))
	case linux.SO_DEBUG, linux.SO_MARK:
		if !c.Creds.HasCap(linux.CAP_NET_ADMIN) {
			if name == linux.SO_MARK {
				return linux.EPERM
			}
			return linux.EACCES
		}
		b.Keep(name, int32(v))
	case linux.SO_PRIORITY, linux.SO_RCVLOWAT, linux.SO_BUSY_POLL, linux.SO_INCOMING_CPU, linux.SO_PEEK_OFF:
		b.Keep(name, int32(v))
	case linux.SO_DONTROUTE, linux.SO_NO_CHECK, linux.SO_TIMESTAMP, linux.SO_PASSSEC, linux.SO_OOBINLINE, linux.SO_ZEROCOPY,
		linux.SO_REUSEADDR, linux.SO_REUSEPORT, linux.SO_KEEPALIVE, linux.SO_BROADCAST, linux.SO_PASSCRED:
		b.Keep(name, flag(v))
	case linux.SO_BINDTODEVICE:
	default:
		return linux.ENOPROTOOPT
	}
	return nil
}

func flag(v int) int32 {
	if v != 0 {
		return 1
	}
	return 0
}

func setTimeout(t *atomic.Int64, value []byte) error {
	if len(value) < 16 {
		return linux.EINVAL
	}
	sec, usec := int64(binary.LittleEndian.Uint64(value)), int64(binary.LittleEndian.Uint64(value[8:]))
	if usec < 0 || usec >= 1e6 {
		return linux.EDOM
	}
	if sec < 0 {
		sec, usec = 0, 1 // it never waits
	}
	t.Store(int64(min(sec, 1<<32))*int64(time.Second) + usec*int64(time.Microsecond))
	return nil
}

// BufferSize bounds what SO_SNDBUF and SO_RCVBUF ask for, and doubles it as
// Linux does for its own book-keeping. Bytes.
func BufferSize(asked, least int) int {
	const most = 212992 // net.core.wmem_max
	return max(least, 2*max(0, min(asked, most)))
}

// DefaultBuffer is the size of a socket's buffers, in bytes.
const DefaultBuffer = 212992
