package tty

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Input takes what the keyboard sends, through the line discipline: signals,
// flow control, editing, echo (n_tty).
func (t *TTY) Input(p []byte) {
	t.mu.Lock()
	var sends []func()
	was := t.stopped
	for _, c := range p {
		if send := t.input(c); send != nil {
			sends = append(sends, send)
		}
	}
	started := was && !t.stopped
	t.mu.Unlock()
	// An echo that the host does not take is lost, as on a line that is down.
	_ = t.emit()
	for _, send := range sends {
		send()
	}
	t.queue.Notify(waiter.ReadableEvents)
	if started {
		t.queue.Notify(waiter.WritableEvents)
	}
}

// is says whether c is the control character at index cc, which may be off (0).
func (t *TTY) is(c byte, cc int) bool { return c != 0 && t.termios.CC[cc] == c }

// has says whether all of flags are set. It needs mu.
func (t *TTY) has(flags uint32) bool { return t.termios.Lflag&flags == flags }

// input takes one character. It needs mu.
func (t *TTY) input(c byte) func() {
	in := t.termios.Iflag
	if in&linux.ISTRIP != 0 {
		c &= 0x7f
	}
	if in&linux.IUCLC != 0 && t.has(linux.IEXTEN) && c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	if t.lastLNXT {
		t.lastLNXT = false
		t.plain(c)
		return nil
	}
	if in&linux.IXON != 0 {
		switch {
		case t.is(c, linux.VSTART):
			t.setStopped(t.held)
			return nil
		case t.is(c, linux.VSTOP):
			t.setStopped(true)
			return nil
		}
	}
	if sig := t.signalOf(c); sig != 0 {
		return t.interrupt(c, sig)
	}
	if t.stopped && in&(linux.IXON|linux.IXANY) == linux.IXON|linux.IXANY {
		t.setStopped(t.held)
	}
	switch {
	case c == '\r' && in&linux.IGNCR != 0:
		return nil
	case c == '\r' && in&linux.ICRNL != 0:
		if c = '\n'; !t.has(linux.ICANON) {
			if t.has(linux.ECHO) {
				t.output(c)
			}
			t.store(c)
			return nil
		}
	case c == '\n' && in&linux.INLCR != 0:
		c = '\r'
	}
	if !t.has(linux.ICANON) || !t.edit(c) {
		t.plain(c)
	}
	return nil
}

// signalOf returns the signal that a character sends, or 0. It needs mu.
func (t *TTY) signalOf(c byte) int {
	switch {
	case !t.has(linux.ISIG):
	case t.is(c, linux.VINTR):
		return linux.SIGINT
	case t.is(c, linux.VQUIT):
		return linux.SIGQUIT
	case t.is(c, linux.VSUSP):
		return linux.SIGTSTP
	}
	return 0
}

// interrupt takes a character that sends a signal. It needs mu.
func (t *TTY) interrupt(c byte, sig int) (send func()) {
	if !t.has(linux.NOFLSH) {
		t.line, t.ready, t.ends = nil, nil, nil
		if t.pty != nil {
			t.pty.report(linux.TIOCPKT_FLUSHREAD|linux.TIOCPKT_FLUSHWRITE, 0)
		}
	}
	if t.termios.Iflag&linux.IXON != 0 {
		t.setStopped(t.held)
	}
	if t.has(linux.ECHO) {
		t.echo(c)
	}
	return t.toForeground(sig)
}

// edit takes one character in canonical mode and reports whether it was a special
// one. It needs mu.
func (t *TTY) edit(c byte) bool {
	ext := t.has(linux.IEXTEN)
	switch {
	case t.is(c, linux.VERASE):
		t.erase(eraseChar, c)
	case t.is(c, linux.VKILL):
		t.kill(c)
	case ext && t.is(c, linux.VWERASE):
		t.erase(eraseWord, c)
	case ext && t.is(c, linux.VLNEXT):
		t.lastLNXT = true
		t.endErasing()
		if t.has(linux.ECHO | linux.ECHOCTL) {
			t.raw('^', '\b')
		}
	case ext && t.is(c, linux.VREPRINT) && t.has(linux.ECHO):
		t.endErasing()
		t.echo(c)
		t.output('\n')
		for _, c := range t.line {
			t.echo(c)
		}
	case c == '\n':
		if t.termios.Lflag&(linux.ECHO|linux.ECHONL) != 0 {
			t.endErasing()
			t.output(c)
		}
		t.store(c)
		t.endLine()
	case t.is(c, linux.VEOF):
		t.endLine()
	case t.is(c, linux.VEOL) || ext && t.is(c, linux.VEOL2):
		t.plain(c)
		t.endLine()
	default:
		return false
	}
	return true
}

// endLine makes the line readable. It needs mu.
func (t *TTY) endLine() {
	t.ready = append(t.ready, t.line...)
	t.ends = append(t.ends, len(t.line))
	t.line = nil
}

// plain keeps a character that has no special meaning and echoes it. It needs mu.
func (t *TTY) plain(c byte) {
	if t.has(linux.ECHO) {
		t.endErasing()
		if len(t.line) == 0 {
			t.start = t.column
		}
		t.echo(c)
	}
	if c == 0xff && t.termios.Iflag&linux.PARMRK != 0 {
		t.store(c)
	}
	t.store(c)
}

// store keeps a character. Each that a full line has no room for replaces its
// last. It needs mu.
func (t *TTY) store(c byte) {
	switch full := len(t.line)+len(t.ready) >= maxInput; {
	case !t.has(linux.ICANON) && !full:
		t.ready = append(t.ready, c)
	case !t.has(linux.ICANON):
		// Nobody sends without asking inputRoom, but the host's keyboard.
	case full && len(t.line) > 0:
		t.line[len(t.line)-1] = c
	default:
		t.line = append(t.line, c)
	}
}

// echo shows c: control characters as ^X. It needs mu.
func (t *TTY) echo(c byte) {
	if isControl(c) && c != '\t' && t.has(linux.ECHOCTL) {
		t.raw('^', c^0x40)
		t.column += 2
		return
	}
	t.output(c)
}
