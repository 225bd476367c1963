package inet

import (
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// cork holds back what MSG_MORE and TCP_CORK say is not complete. The stack has
// no MSG_MORE, and its own TCP_CORK holds back the end of what was sent for ever
// if the socket is closed while it is set.
type cork struct {
	mu   sync.Mutex
	data []byte // held back; of a stream less than a segment

	on    bool        // TCP_CORK
	timer *time.Timer // sends data in the end; nil: none runs

	partial bool // data is the start of a datagram, possibly empty
	to      *tcpip.FullAddress
}

// corkTime is how long Linux holds back data of a stream.
const corkTime = 200 * time.Millisecond

// maxDatagram is the longest UDP datagram, in bytes.
const maxDatagram = 65507

// datagram joins what is sent with MSG_MORE into one datagram, which goes where the
// first piece was sent. held says that more is to come.
func (c *cork) datagram(data []byte, o *tcpip.WriteOptions, more bool) (all []byte, held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !more && !c.partial {
		return data, false
	}
	if !c.partial {
		c.to = o.To
	}
	o.To = c.to
	data = append(c.data, data...)
	c.data, c.partial = nil, more && len(data) <= maxDatagram
	if c.partial {
		c.data = data
	}
	o.More = false
	return data, more
}

// sendStream sends data, or holds back what does not fill a segment if more is
// to come. It returns how much it took.
func (s *Socket) sendStream(data []byte, more bool) (int, error) {
	c := &s.cork
	c.mu.Lock()
	defer c.mu.Unlock()
	hold := more || c.on
	if len(c.data) == 0 && !hold {
		return s.write(data, tcpip.WriteOptions{})
	}
	all, held := append(c.data, data...), len(c.data)
	ready := len(all)
	if hold {
		ready -= ready % s.segment()
	}
	n := 0
	if ready > 0 {
		var err error
		if n, err = s.write(all[:ready], tcpip.WriteOptions{}); n == 0 {
			c.data = all[:held]
			return 0, err
		}
	}
	switch {
	case n < min(held, ready): // nothing of data yet
		c.data = append([]byte(nil), all[n:held]...)
		return 0, linux.EAGAIN
	case n < ready:
		c.data = nil
		return n - held, nil
	}
	c.data = append([]byte(nil), all[n:]...)
	if len(c.data) > 0 && c.timer == nil {
		c.timer = time.AfterFunc(corkTime, s.pushAll)
	}
	return len(data), nil
}

// segment returns how many bytes fill a segment of the connection: as on Linux,
// with time stamps, over the loopback interface and over an Ethernet.
func (s *Socket) segment() int {
	const loopback, ethernet = 65483, 1448
	if a, err := s.ep().GetRemoteAddress(); err == nil {
		if ip, ok := netip.AddrFromSlice(a.Addr.AsSlice()); ok && ip.Unmap().IsLoopback() {
			return loopback
		}
	}
	return ethernet
}

// held returns how many bytes of a stream wait here.
func (c *cork) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partial {
		return 0
	}
	return len(c.data)
}

// isOn returns TCP_CORK.
func (c *cork) isOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on
}

// setCork sets TCP_CORK.
func (s *Socket) setCork(on bool) {
	s.cork.mu.Lock()
	s.cork.on = on
	s.cork.mu.Unlock()
	if !on {
		s.pushAll()
	}
}

// push sends what is held back and reports whether nothing is left, or nothing
// more can be done.
func (s *Socket) push() bool {
	c := &s.cork
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if len(c.data) == 0 || !s.stream() {
		return true
	}
	n, err := s.write(c.data, tcpip.WriteOptions{})
	c.data = c.data[n:]
	return len(c.data) == 0 || err != nil && err != linux.EAGAIN
}

// pushAll sends what is held back, some of it later if there is no room now.
func (s *Socket) pushAll() { s.finish(func() {}) }

// finish calls then once nothing is held back any more: at once, unless the
// stack has no room now.
func (s *Socket) finish(then func()) {
	if s.push() {
		then()
		return
	}
	e, ch := waiter.NewChannelEntry(waiter.WritableEvents)
	s.queue.EventRegister(e)
	go func() {
		defer then()
		defer s.queue.EventUnregister(e)
		for !s.push() {
			<-ch
		}
	}()
}
