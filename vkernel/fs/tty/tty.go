package tty

import (
	"encoding/binary"
	"io"
	"sync"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/vfs"
	"megabinary.dev/vkernel/waiter"
)

// Signaler sends a terminal's signals to a process group.
type Signaler interface {
	SignalGroup(pgid, sig int)
	// HangUpSession takes a terminal away from the session that it controls and
	// sends the session's leader SIGHUP and SIGCONT. fg, the foreground group,
	// is hung up when the leader ends.
	HangUpSession(session, fg int)
}

// jobTask is what job control needs of a task; *kernel.Task is one.
type jobTask interface {
	vfs.IoctlTask
	ControllingTTY() any
	SetControllingTTY(tty any, steal bool) error
	ForegroundAllowed(pgid int) bool
	CheckBackground(fg, sig int) error
	PGID(pid int) (int, error)
	SID(pid int) (int, error)
}

// maxInput is how much input is kept that nobody reads, bytes (N_TTY_BUF_SIZE).
const maxInput = 4096

// TTY is a terminal: what the host's keyboard sends goes in through Input, what
// the guest writes comes out at out.
type TTY struct {
	out   io.Writer
	queue waiter.Queue

	outMu sync.Mutex // serializes what goes to out; taken before mu

	mu       sync.Mutex
	show     []byte // output that is on its way, in the order of what caused it
	signals  Signaler
	termios  linux.Termios
	size     linux.Winsize
	fg       int    // foreground process group; 0: none
	session  int    // session that it controls; 0: none
	line     []byte // what is being edited (canonical mode)
	ready    []byte // what can be read
	ends     []int  // lengths of the lines at the front of ready; 0 is end of file
	closed   bool   // hung up
	pty      *pty   // nil: the host's terminal
	column   int    // of the cursor, for tabs and erasing
	lastLNXT bool   // the next character is literal
}

var _ vfs.File = (*TTY)(nil)

// New makes a terminal that writes to out. SetSignaler comes before the guest
// starts.
func New(out io.Writer) *TTY {
	return &TTY{out: out, termios: linux.DefaultTermios(), size: linux.Winsize{Row: 24, Col: 80}}
}

// SetSignaler says who delivers signals.
func (t *TTY) SetSignaler(s Signaler) {
	t.mu.Lock()
	t.signals = s
	t.mu.Unlock()
}

// ForegroundGroup returns the foreground process group, 0 if there is none.
func (t *TTY) ForegroundGroup() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fg
}

// Disassociate tells the terminal that its session has ended.
func (t *TTY) Disassociate() {
	t.mu.Lock()
	t.fg, t.session = 0, 0
	t.mu.Unlock()
}

// OpenTTY implements what /dev/tty needs.
func (t *TTY) OpenTTY() (vfs.File, error) {
	if t.pty != nil {
		return t.pty.open()
	}
	return t, nil
}

// Device returns the number of the terminal's device.
func (t *TTY) Device() uint64 {
	if t.pty != nil {
		return t.pty.rdev()
	}
	return linux.MakeDev(ptsMajor, 0)
}

// Own makes the terminal that of a session whose leader's group is in the
// foreground.
func (t *TTY) Own(session, pgid int) {
	t.mu.Lock()
	t.session, t.fg = session, pgid
	t.mu.Unlock()
}

// Resize changes the window's size and tells the foreground group.
func (t *TTY) Resize(w linux.Winsize) {
	t.mu.Lock()
	changed := w != t.size
	t.size = w
	send := t.toForeground(linux.SIGWINCH)
	t.mu.Unlock()
	if changed {
		send()
	}
}

// toForeground returns a function that sends sig; it is called without mu.
func (t *TTY) toForeground(sig int) func() {
	s, fg := t.signals, t.fg
	return func() {
		if s != nil && fg != 0 {
			s.SignalGroup(fg, sig)
		}
	}
}

// HangUp ends the input: reads answer end of file, and the foreground group
// gets SIGHUP.
func (t *TTY) HangUp() {
	t.mu.Lock()
	t.closed = true
	send := t.toForeground(linux.SIGHUP)
	t.mu.Unlock()
	send()
	t.queue.Notify(waiter.ReadableEvents | waiter.EventHUp)
}

// hangUpSession ends the terminal as tty_vhangup does.
func (t *TTY) hangUpSession() {
	t.mu.Lock()
	t.closed = true
	t.line, t.ready, t.ends = nil, nil, nil
	s, session, fg := t.signals, t.session, t.fg
	t.session, t.fg = 0, 0
	t.mu.Unlock()
	if s != nil && session != 0 {
		s.HangUpSession(session, fg)
	}
	t.queue.Notify(waiter.ReadableEvents | waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
}

// inputRoom returns how many bytes Input takes without losing any, or, in
// canonical mode, while nothing can be read, so that a line that is too long
// does not block for ever (n_tty).
func (t *TTY) inputRoom() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := maxInput - 1 - len(t.line) - len(t.ready)
	if room <= 0 && t.termios.Lflag&linux.ICANON != 0 && len(t.ends) == 0 {
		return 1
	}
	return max(0, room)
}

// ReadLimits returns VMIN, in bytes, and VTIME: 1 and 0 in canonical mode.
func (t *TTY) ReadLimits() (least int, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.termios.Lflag&linux.ICANON != 0 || t.closed {
		return 1, 0
	}
	return int(t.termios.CC[linux.VMIN]), time.Duration(t.termios.CC[linux.VTIME]) * 100 * time.Millisecond
}

// ReadAt implements vfs.File.
func (t *TTY) ReadAt(p []byte, _ int64) (int, error) {
	n, err := t.take(p)
	if err == nil && t.pty != nil {
		t.pty.feed()
	}
	return n, err
}

func (t *TTY) take(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if t.termios.Lflag&linux.ICANON == 0 {
		if len(t.ready) == 0 {
			if t.closed || t.termios.CC[linux.VMIN] == 0 {
				return 0, nil
			}
			return 0, linux.EAGAIN
		}
		n := copy(p, t.ready)
		t.ready = t.ready[n:]
		return n, nil
	}
	if len(t.ends) == 0 {
		if t.closed {
			return 0, nil
		}
		return 0, linux.EAGAIN
	}
	n := copy(p, t.ready[:t.ends[0]])
	t.ready = t.ready[n:]
	if t.ends[0] -= n; t.ends[0] == 0 {
		t.ends = t.ends[1:]
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (t *TTY) WriteAt(p []byte, _ int64) (int, error) {
	if t.pty != nil && len(p) > 0 {
		t.mu.Lock()
		closed := t.closed
		t.mu.Unlock()
		room := t.pty.outputRoom()
		switch {
		case closed:
			return 0, linux.EIO
		case room == 0:
			return 0, linux.EAGAIN
		}
		p = p[:min(len(p), room)]
	}
	t.mu.Lock()
	if t.termios.Oflag&linux.OPOST == 0 {
		t.show = append(t.show, p...)
	} else {
		for _, c := range p {
			t.cook(c)
		}
	}
	t.mu.Unlock()
	if err := t.emit(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// emit sends out what is to be shown. What a reader of the terminal writes comes
// out behind the echo of what it has read, though that may be sent later.
func (t *TTY) emit() error {
	t.outMu.Lock()
	defer t.outMu.Unlock()
	t.mu.Lock()
	p := t.show
	t.show = nil
	t.mu.Unlock()
	if len(p) == 0 {
		return nil
	}
	if _, err := t.out.Write(p); err != nil {
		return hostErrno(err)
	}
	return nil
}

// cook shows c as output processing changes it. It needs mu.
func (t *TTY) cook(c byte) {
	flags := t.termios.Oflag
	switch {
	case c == '\n' && flags&linux.ONLCR != 0:
		t.column = 0
		t.show = append(t.show, '\r')
	case c == '\r' && flags&linux.OCRNL != 0:
		c = '\n'
	case c == '\r':
		t.column = 0
	case c == '\b':
		t.column = max(0, t.column-1)
	case c == '\t':
		t.column = t.column&^7 + 8
	case c >= ' ':
		t.column++
	}
	t.show = append(t.show, c)
}

// Release implements vfs.File.
func (t *TTY) Release() {}

// Readiness implements waiter.Waitable.
func (t *TTY) Readiness(mask waiter.EventMask) waiter.EventMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	least := 1
	if t.termios.CC[linux.VTIME] == 0 {
		least = max(1, int(t.termios.CC[linux.VMIN]))
	}
	ready := waiter.EventMask(0)
	if t.pty == nil || t.closed || t.pty.outputRoom() > 0 {
		ready |= waiter.WritableEvents
	}
	if t.termios.Lflag&linux.ICANON == 0 && len(t.ready) >= least || len(t.ends) > 0 || t.closed {
		ready |= waiter.ReadableEvents
	}
	if t.closed {
		ready |= waiter.EventHUp | waiter.EventErr
	}
	return ready & mask
}

// EventRegister implements waiter.Waitable.
func (t *TTY) EventRegister(e *waiter.Entry) { t.queue.EventRegister(e) }

// EventUnregister implements waiter.Waitable.
func (t *TTY) EventUnregister(e *waiter.Entry) { t.queue.EventUnregister(e) }

// CheckRead answers what a background process gets that reads.
func (t *TTY) CheckRead(task vfs.IoctlTask) error { return t.checkBackground(task, linux.SIGTTIN) }

// CheckWrite answers what a background process gets that writes, under TOSTOP.
func (t *TTY) CheckWrite(task vfs.IoctlTask) error {
	t.mu.Lock()
	stop := t.termios.Lflag&linux.TOSTOP != 0
	t.mu.Unlock()
	if !stop {
		return nil
	}
	return t.checkBackground(task, linux.SIGTTOU)
}

func (t *TTY) checkBackground(task vfs.IoctlTask, sig int) error {
	j, ok := task.(jobTask)
	if !ok || j.ControllingTTY() != any(t) {
		return nil
	}
	fg := t.ForegroundGroup()
	if fg == 0 {
		return nil
	}
	return j.CheckBackground(fg, sig)
}

// Opened makes the terminal the controlling one of a session leader that has
// none, as open(2) without O_NOCTTY does.
func (t *TTY) Opened(task vfs.IoctlTask) {
	if j, ok := task.(jobTask); ok && j.ControllingTTY() == nil {
		_ = t.control(j, false) // who cannot have it goes without
	}
}

func (t *TTY) control(j jobTask, steal bool) error {
	if err := j.SetControllingTTY(t, steal); err != nil {
		return err
	}
	sid, err := j.SID(0)
	if err != nil {
		return err
	}
	pgid, err := j.PGID(0)
	if err != nil {
		return err
	}
	t.Own(sid, pgid)
	return nil
}

// Ioctl implements vfs.Ioctler.
func (t *TTY) Ioctl(task vfs.IoctlTask, req uint32, arg uint64) (uint64, error) {
	t.mu.Lock()
	hungUp := t.closed && t.pty != nil
	t.mu.Unlock()
	if hungUp {
		return 0, linux.EIO
	}
	switch req {
	case linux.TCGETS:
		var b [linux.TermiosSize]byte
		t.mu.Lock()
		t.termios.Marshal(b[:])
		t.mu.Unlock()
		return 0, task.CopyOut(arg, b[:])
	case linux.TCSETS, linux.TCSETSW, linux.TCSETSF:
		return 0, t.setTermios(task, req, arg)
	case linux.TIOCGWINSZ:
		var b [linux.WinsizeSize]byte
		t.mu.Lock()
		t.size.Marshal(b[:])
		t.mu.Unlock()
		return 0, task.CopyOut(arg, b[:])
	case linux.TIOCSWINSZ:
		var b [linux.WinsizeSize]byte
		if err := task.CopyIn(arg, b[:]); err != nil {
			return 0, err
		}
		var w linux.Winsize
		w.Unmarshal(b[:])
		t.Resize(w)
		return 0, nil
	case linux.FIONREAD:
		t.mu.Lock()
		n := len(t.ready)
		if t.termios.Lflag&linux.ICANON != 0 && len(t.ends) == 0 {
			n = 0
		}
		t.mu.Unlock()
		return 0, task.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(n)))
	case linux.TIOCOUTQ:
		return 0, task.CopyOut(arg, make([]byte, 4))
	case linux.TCSBRK, linux.TCSBRKP, linux.TCXONC, linux.TIOCEXCL, linux.TIOCNXCL:
		return 0, nil
	case linux.TCFLSH:
		if arg > 2 {
			return 0, linux.EINVAL
		}
		if arg != 1 { // TCOFLUSH
			t.flush()
		}
		return 0, nil
	}
	if j, ok := task.(jobTask); ok {
		return t.jobIoctl(j, req, arg)
	}
	return 0, linux.ENOTTY
}

func (t *TTY) flush() {
	t.mu.Lock()
	t.line, t.ready, t.ends = nil, nil, nil
	t.mu.Unlock()
	if t.pty != nil {
		t.pty.feed()
	}
}

func (t *TTY) setTermios(task vfs.IoctlTask, req uint32, arg uint64) error {
	var b [linux.TermiosSize]byte
	if err := task.CopyIn(arg, b[:]); err != nil {
		return err
	}
	if err := t.checkBackground(task, linux.SIGTTOU); err != nil {
		return err
	}
	if req == linux.TCSETSF {
		t.flush()
	}
	t.mu.Lock()
	was := t.termios.Lflag & linux.ICANON
	t.termios.Unmarshal(b[:])
	if now := t.termios.Lflag & linux.ICANON; now == 0 && was != 0 {
		t.ready, t.line, t.ends = append(t.ready, t.line...), nil, nil
	} else if now != 0 && was == 0 && len(t.ready) > 0 {
		t.ends = []int{len(t.ready)}
	}
	t.mu.Unlock()
	if t.pty != nil {
		t.pty.feed()
	}
	t.queue.Notify(waiter.ReadableEvents)
	return nil
}

// giveUp implements TIOCNOTTY: the leader takes the terminal away from its
// whole session.
func (t *TTY) giveUp(j jobTask) error {
	if err := j.SetControllingTTY(nil, false); err != nil {
		return err
	}
	if j.ControllingTTY() != nil { // not the leader
		return nil
	}
	t.mu.Lock()
	hangUp, goOn := t.toForeground(linux.SIGHUP), t.toForeground(linux.SIGCONT)
	t.fg, t.session = 0, 0
	t.mu.Unlock()
	hangUp()
	goOn()
	return nil
}

func (t *TTY) jobIoctl(j jobTask, req uint32, arg uint64) (uint64, error) {
	switch req {
	case linux.TIOCSCTTY:
		return 0, t.control(j, arg == 1)
	case linux.TIOCNOTTY:
		if j.ControllingTTY() != any(t) {
			return 0, linux.ENOTTY
		}
		return 0, t.giveUp(j)
	case linux.TIOCGPGRP, linux.TIOCGSID, linux.TIOCSPGRP:
		if j.ControllingTTY() != any(t) {
			return 0, linux.ENOTTY
		}
	default:
		return 0, linux.ENOTTY
	}
	t.mu.Lock()
	fg, session := t.fg, t.session
	t.mu.Unlock()
	switch req {
	case linux.TIOCGPGRP:
		return 0, j.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(fg)))
	case linux.TIOCGSID:
		return 0, j.CopyOut(arg, binary.LittleEndian.AppendUint32(nil, uint32(session)))
	}
	if err := t.checkBackground(j, linux.SIGTTOU); err != nil {
		return 0, err
	}
	var b [4]byte
	if err := j.CopyIn(arg, b[:]); err != nil {
		return 0, err
	}
	pgid := int(int32(binary.LittleEndian.Uint32(b[:])))
	if pgid < 0 {
		return 0, linux.EINVAL
	}
	if !j.ForegroundAllowed(pgid) {
		return 0, linux.EPERM
	}
	t.mu.Lock()
	t.fg = pgid
	t.mu.Unlock()
	return 0, nil
}
