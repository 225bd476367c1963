package tty

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// WriteAt implements vfs.File. EAGAIN: the terminal is stopped, or full.
func (t *TTY) WriteAt(p []byte, _ int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	room := len(p)
	if t.pty != nil {
		room = min(room, t.pty.outputRoom())
	}
	t.mu.Lock()
	switch {
	case t.closed && t.pty != nil:
		t.mu.Unlock()
		return 0, linux.EIO
	case room == 0 || t.stopped:
		t.mu.Unlock()
		return 0, linux.EAGAIN
	}
	for _, c := range p[:room] {
		t.output(c)
	}
	t.mu.Unlock()
	if err := t.emit(); err != nil {
		return 0, err
	}
	return room, nil
}

// emit sends out what is to be shown, unless the terminal is stopped. What a
// reader of the terminal writes comes out behind the echo of what it has read,
// though that may be sent later.
func (t *TTY) emit() error {
	t.outMu.Lock()
	defer t.outMu.Unlock()
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		return nil
	}
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

// raw shows bytes as they are. What a stopped terminal cannot keep is lost, as
// are echoes in Linux. It needs mu.
func (t *TTY) raw(p ...byte) {
	if !t.stopped || len(t.show)+len(p) <= maxEcho {
		t.show = append(t.show, p...)
	}
}

// output shows c as output processing, if it is on, changes it (n_tty's
// do_output_char). It needs mu.
func (t *TTY) output(c byte) {
	flags := t.termios.Oflag
	if flags&linux.OPOST == 0 {
		t.raw(c)
		return
	}
	switch {
	case c == '\n':
		if flags&(linux.ONLRET|linux.ONLCR) != 0 {
			t.column = 0
		}
		if flags&linux.ONLCR != 0 {
			t.raw('\r')
		}
		t.start = t.column
	case c == '\r' && flags&linux.ONOCR != 0 && t.column == 0:
		return
	case c == '\r' && flags&linux.OCRNL != 0:
		c = '\n'
		if flags&linux.ONLRET != 0 {
			t.column, t.start = 0, 0
		}
	case c == '\r':
		t.column, t.start = 0, 0
	case c == '\t':
		n := 8 - t.column&7
		t.column += n
		if flags&linux.TABDLY == linux.XTABS {
			t.raw([]byte("        ")[:n]...)
			return
		}
	case c == '\b':
		t.column = max(0, t.column-1)
	case !isControl(c):
		if flags&linux.OLCUC != 0 && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if !t.continues(c) {
			t.column++
		}
	}
	t.raw(c)
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

// continues reports whether c is not the first byte of a character. It needs mu.
func (t *TTY) continues(c byte) bool { return t.termios.Iflag&linux.IUTF8 != 0 && c&0xc0 == 0x80 }

// setStopped stops the output or lets it go on, and says so to a master in
// packet mode. It needs mu; emit follows, without it.
func (t *TTY) setStopped(stopped bool) {
	if t.stopped == stopped {
		return
	}
	t.stopped = stopped
	if t.pty == nil {
		return
	}
	if stopped {
		t.pty.report(linux.TIOCPKT_STOP, linux.TIOCPKT_START)
	} else {
		t.pty.report(linux.TIOCPKT_START, linux.TIOCPKT_STOP)
	}
}

// goOn shows what a stop held back.
func (t *TTY) goOn() {
	// What the host does not take is lost, as on a line that is down.
	_ = t.emit()
	t.queue.Notify(waiter.WritableEvents)
}

// flow implements TCXONC.
func (t *TTY) flow(action uint64) error {
	switch action {
	case linux.TCOOFF, linux.TCOON:
		t.mu.Lock()
		if action == linux.TCOOFF || t.held {
			t.held = action == linux.TCOOFF
			t.setStopped(t.held)
		}
		t.mu.Unlock()
		t.goOn()
	case linux.TCIOFF, linux.TCION:
		t.mu.Lock()
		c := t.termios.CC[linux.VSTOP]
		if action == linux.TCION {
			c = t.termios.CC[linux.VSTART]
		}
		t.mu.Unlock()
		if c == 0 {
			return nil
		}
		t.outMu.Lock()
		defer t.outMu.Unlock()
		if _, err := t.out.Write([]byte{c}); err != nil {
			return hostErrno(err)
		}
	default:
		return linux.EINVAL
	}
	return nil
}
