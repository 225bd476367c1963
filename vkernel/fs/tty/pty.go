package tty

import (
	"strconv"
	"sync"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Sizes of a pseudo-terminal's buffers, bytes.
const (
	maxOutput  = 4096     // what the guest has written and nobody reads
	maxEcho    = 64 << 10 // what echoes may fill beyond that
	maxPending = 64 << 10 // what the master has written and the line discipline does not take
	maxPTYs    = 4096     // /proc/sys/kernel/pty/max
)

// Numbers of pseudo-terminals' devices.
const (
	ptsMajor  = 136
	ptsPerMaj = 1 << 20
)

// Names is where pseudo-terminals have theirs: devpts.
type Names interface {
	Create(name string, n vfs.NewInode) (vfs.Inode, error)
	Unlink(name string) error
}

// PTYs makes the pseudo-terminals of one container, and their names in devpts.
type PTYs struct {
	dir   Names
	first int // lowest number

	mu      sync.Mutex
	signals Signaler
	ptys    map[int]*pty
}

// NewPTYs makes a set whose names are in dir, from the number first on.
func NewPTYs(dir Names, first int) *PTYs {
	return &PTYs{dir: dir, first: first, ptys: map[int]*pty{}}
}

// SetSignaler says who delivers signals.
func (s *PTYs) SetSignaler(to Signaler) {
	s.mu.Lock()
	s.signals = to
	s.mu.Unlock()
}

// pty is one pair. Lock order: feedMu, then the terminal's locks, then mu.
type pty struct {
	set    *PTYs
	number int
	tty    *TTY
	queue  waiter.Queue // of the master

	feedMu sync.Mutex // serializes what goes into the line discipline

	mu      sync.Mutex
	out     []byte // what the master can read
	pending []byte // what the master has written and the terminal has no room for
	locked  bool   // TIOCSPTLCK
	slaves  int    // open files
	left    bool   // the last slave has been closed
	packet  bool   // TIOCPKT
	status  uint8  // TIOCPKT_..., what the master has not been told yet
	closed  bool   // the master has been closed
}

// OpenMaster makes a pair, as opening /dev/ptmx does. The name is the caller's.
func (s *PTYs) OpenMaster(c *vfs.Caller) (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ptys) >= maxPTYs {
		return nil, linux.ENOSPC
	}
	n := s.first
	for s.ptys[n] != nil {
		n++
	}
	p := &pty{set: s, number: n, locked: true}
	p.tty = New(p)
	p.tty.size = linux.Winsize{}
	p.tty.signals, p.tty.pty = s.signals, p
	inode := vfs.NewInode{Mode: linux.S_IFCHR | 0o620, GID: 5, Rdev: p.rdev()}
	if c != nil && c.Creds != nil {
		inode.UID = c.Creds.FSUID
	}
	if _, err := s.dir.Create(p.name(), inode); err != nil {
		return nil, err
	}
	s.ptys[n] = p
	return &master{p}, nil
}

// OpenSlave opens a terminal by its device number; handled is false if the
// number is not one of a pseudo-terminal.
func (s *PTYs) OpenSlave(rdev uint64, c *vfs.Caller) (f vfs.File, handled bool, err error) {
	if linux.DevMajor(rdev) != ptsMajor {
		return nil, false, nil
	}
	s.mu.Lock()
	p := s.ptys[int(linux.DevMinor(rdev))]
	s.mu.Unlock()
	if p == nil {
		return nil, true, linux.EIO
	}
	p.tty.mu.Lock()
	alone := p.tty.alone
	p.tty.mu.Unlock()
	if alone && (c == nil || c.Creds == nil || !c.Creds.HasCap(linux.CAP_SYS_ADMIN)) {
		return nil, true, linux.EBUSY
	}
	f, err = p.open()
	return f, true, err
}

func (p *pty) name() string { return strconv.Itoa(p.number) }

func (p *pty) rdev() uint64 { return linux.MakeDev(ptsMajor, uint32(p.number%ptsPerMaj)) }

// open opens the slave.
func (p *pty) open() (vfs.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.locked || p.closed {
		return nil, linux.EIO
	}
	p.slaves++
	p.left = false
	return &slave{TTY: p.tty, p: p}, nil
}

// Write takes what the terminal shows. What is beyond the limit, which only
// echoes can reach, is lost.
func (p *pty) Write(b []byte) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, linux.EIO
	}
	p.out = append(p.out, b[:min(len(b), max(0, maxOutput+maxEcho-len(p.out)))]...)
	p.mu.Unlock()
	p.queue.Notify(waiter.ReadableEvents)
	return len(b), nil
}

// outputRoom returns how many bytes the slave may write now.
func (p *pty) outputRoom() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, maxOutput-len(p.out))
}

// report tells a master in packet mode of events, which take back others.
func (p *pty) report(events, takenBack uint8) {
	p.mu.Lock()
	packet := p.packet
	if packet {
		p.status = p.status&^takenBack | events
	}
	p.mu.Unlock()
	if packet {
		p.queue.Notify(waiter.ReadableEvents | waiter.EventPri)
	}
}

// feed gives the line discipline what is pending, as far as there is room.
func (p *pty) feed() {
	p.feedMu.Lock()
	defer p.feedMu.Unlock()
	moved := false
	for {
		room := p.tty.inputRoom()
		p.mu.Lock()
		n := min(room, len(p.pending))
		b := p.pending[:n:n]
		if p.pending = p.pending[n:]; len(p.pending) == 0 {
			p.pending = nil
		}
		p.mu.Unlock()
		if n == 0 {
			break
		}
		moved = true
		p.tty.Input(b)
	}
	if moved {
		p.queue.Notify(waiter.WritableEvents)
	}
}

// slave is an open file of the terminal.
type slave struct {
	*TTY
	p *pty
}

var (
	_ vfs.File     = (*slave)(nil)
	_ vfs.Reopener = (*slave)(nil)
)

// Reopen implements vfs.Reopener, for what was opened as /dev/tty.
func (s *slave) Reopen(uint32) (vfs.File, error) { return s.p.open() }

// Release implements vfs.File.
func (s *slave) Release() {
	s.p.mu.Lock()
	s.p.slaves--
	s.p.left = s.p.slaves == 0
	left := s.p.left
	s.p.mu.Unlock()
	if left {
		s.p.queue.Notify(waiter.ReadableEvents | waiter.EventHUp)
	}
}

// master is the side that stands for keyboard and screen.
type master struct{ p *pty }

var (
	_ vfs.File    = (*master)(nil)
	_ vfs.Ioctler = (*master)(nil)
)

// ReadAt implements vfs.File. EIO: no slave is open any more. In packet mode the
// first byte is what has happened, without data, or 0 before data.
func (m *master) ReadAt(b []byte, _ int64) (int, error) {
	p := m.p
	p.mu.Lock()
	if p.packet && p.status != 0 && len(b) > 0 {
		b[0], p.status = p.status, 0
		p.mu.Unlock()
		return 1, nil
	}
	head := 0
	if p.packet && len(p.out) > 0 && len(b) > 0 {
		b[0], head = 0, 1
	}
	n := copy(b[head:], p.out)
	if p.out = p.out[n:]; len(p.out) == 0 {
		p.out = nil
	}
	n += head
	left := p.left
	p.mu.Unlock()
	switch {
	case len(b) == 0:
		return 0, nil
	case n > 0:
		p.tty.queue.Notify(waiter.WritableEvents)
		return n, nil
	case left:
		return 0, linux.EIO
	}
	return 0, linux.EAGAIN
}

// WriteAt implements vfs.File.
func (m *master) WriteAt(b []byte, _ int64) (int, error) {
	p := m.p
	p.mu.Lock()
	n := min(len(b), max(0, maxPending-len(p.pending)))
	p.pending = append(p.pending, b[:n]...)
	p.mu.Unlock()
	if n == 0 && len(b) > 0 {
		return 0, linux.EAGAIN
	}
	p.feed()
	return n, nil
}

// Release implements vfs.File: it hangs up.
func (m *master) Release() {
	p := m.p
	p.mu.Lock()
	p.closed = true
	p.out, p.pending = nil, nil
	p.mu.Unlock()
	p.set.mu.Lock()
	_ = p.set.dir.Unlink(p.name()) // nobody else can have removed it
	delete(p.set.ptys, p.number)
	p.set.mu.Unlock()
	p.tty.hangUpSession()
}

// Asynchronous implements vfs.Asynchronous.
func (m *master) Asynchronous() {}

// Readiness implements waiter.Waitable.
func (m *master) Readiness(mask waiter.EventMask) waiter.EventMask {
	p := m.p
	p.mu.Lock()
	defer p.mu.Unlock()
	var ready waiter.EventMask
	if len(p.pending) < maxPending {
		ready |= waiter.WritableEvents
	}
	if len(p.out) > 0 {
		ready |= waiter.ReadableEvents
	}
	if p.packet && p.status != 0 {
		ready |= waiter.ReadableEvents | waiter.EventPri
	}
	if p.left {
		ready |= waiter.EventHUp
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (m *master) EventRegister(e *waiter.Entry) { m.p.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (m *master) EventUnregister(e *waiter.Entry) { m.p.queue.EventUnregister(e) }

// PeerName returns the slave's name in devpts, for TIOCGPTPEER.
func (m *master) PeerName() string { return m.p.name() }

// Ioctl implements vfs.Ioctler. What is not the master's own is the terminal's.
func (m *master) Ioctl(task vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	p := m.p
	put := func(v int) (uint64, error) { return 0, putInt(task, arg, v) }
	switch req {
	case linux.TIOCGPTN:
		return put(p.number)
	case linux.TIOCSPTLCK, linux.TIOCPKT:
		var b [4]byte
		if err := task.CopyIn(arg, b[:]); err != nil {
			return 0, err
		}
		p.mu.Lock()
		if on := b != [4]byte{}; req == linux.TIOCSPTLCK {
			p.locked = on
		} else if p.packet != on {
			p.packet, p.status = on, 0
		}
		p.mu.Unlock()
		return 0, nil
	case linux.TIOCGPTLCK, linux.TIOCGPKT:
		p.mu.Lock()
		on := p.locked
		if req == linux.TIOCGPKT {
			on = p.packet
		}
		p.mu.Unlock()
		if on {
			return put(1)
		}
		return put(0)
	case linux.TIOCSIG:
		switch arg {
		case linux.SIGINT, linux.SIGQUIT, linux.SIGTSTP:
			p.tty.mu.Lock()
			send := p.tty.toForeground(int(arg))
			p.tty.mu.Unlock()
			send()
			return 0, nil
		}
		return 0, linux.EINVAL
	case linux.FIONREAD:
		p.mu.Lock()
		n := len(p.out)
		p.mu.Unlock()
		return put(n)
	case linux.TCFLSH:
		return 0, m.flush(arg)
	case linux.TIOCGPGRP:
		return put(p.tty.ForegroundGroup())
	case linux.TIOCGSID:
		p.tty.mu.Lock()
		session := p.tty.session
		p.tty.mu.Unlock()
		if session == 0 {
			return 0, linux.ENOTTY
		}
		return put(session)
	}
	return p.tty.Ioctl(task, req, arg)
}

// flush implements TCFLSH of the master's queues.
func (m *master) flush(which uint64) error {
	if which > 2 {
		return linux.EINVAL
	}
	m.p.mu.Lock()
	if which != 1 { // TCOFLUSH
		m.p.out = nil
	}
	if which != 0 { // TCIFLUSH
		m.p.pending = nil
	}
	m.p.mu.Unlock()
	m.p.tty.queue.Notify(waiter.WritableEvents)
	m.p.queue.Notify(waiter.WritableEvents)
	return nil
}
