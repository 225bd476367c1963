package tty

import (
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
	Creds() *vfs.Creds
	ControllingTTY() any
	LeadsSession() bool
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
	start    int    // column where the line being edited begins
	lastLNXT bool   // the next character is literal
	erasing  bool   // ECHOPRT shows what is erased
	stopped  bool   // output is, by a character (IXON) or a request
	held     bool   // by a request (TCOOFF)
	alone    bool   // TIOCEXCL
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

// EndInput makes reads answer end of file behind what has been typed.
func (t *TTY) EndInput() {
	t.mu.Lock()
	t.closed = true
	if len(t.line) > 0 {
		t.endLine()
	}
	t.mu.Unlock()
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
	room := maxInput - len(t.line) - len(t.ready)
	if t.termios.Iflag&linux.PARMRK != 0 {
		room = (room + 2) / 3 // a byte may become three
	}
	if room--; room <= 0 && t.termios.Lflag&linux.ICANON != 0 && len(t.ends) == 0 {
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

// Release implements vfs.File.
func (t *TTY) Release() {}

// Asynchronous implements vfs.Asynchronous.
func (t *TTY) Asynchronous() {}

// Readiness implements waiter.Waitable.
func (t *TTY) Readiness(mask waiter.EventMask) waiter.EventMask {
	t.mu.Lock()
	defer t.mu.Unlock()
	least := 1
	if t.termios.CC[linux.VTIME] == 0 {
		least = max(1, int(t.termios.CC[linux.VMIN]))
	}
	ready := waiter.EventMask(0)
	if t.closed || !t.stopped && (t.pty == nil || t.pty.outputRoom() > 0) {
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
