package tty

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Input takes what the keyboard sends, through the line discipline: signals,
// editing, echo (n_tty).
func (t *TTY) Input(p []byte) {
	t.mu.Lock()
	var sends []func()
	for _, c := range p {
		if send := t.input(c); send != nil {
			sends = append(sends, send)
		}
	}
	t.mu.Unlock()
	// An echo that the host does not take is lost, as on a line that is down.
	_ = t.emit()
	for _, send := range sends {
		send()
	}
	t.queue.Notify(waiter.ReadableEvents)
}

// is says whether c is the control character at index cc, which may be off (0).
func (t *TTY) is(c byte, cc int) bool { return c != 0 && t.termios.CC[cc] == c }

// input takes one character. It needs mu.
func (t *TTY) input(c byte) func() {
	tm := &t.termios
	if tm.Iflag&linux.ISTRIP != 0 {
		c &= 0x7f
	}
	switch {
	case t.lastLNXT:
		t.lastLNXT = false
		t.store(c)
		return nil
	case c == '\r' && tm.Iflag&linux.IGNCR != 0:
		return nil
	case c == '\r' && tm.Iflag&linux.ICRNL != 0:
		c = '\n'
	case c == '\n' && tm.Iflag&linux.INLCR != 0:
		c = '\r'
	}
	if tm.Lflag&linux.ISIG != 0 {
		sig := 0
		switch {
		case t.is(c, linux.VINTR):
			sig = linux.SIGINT
		case t.is(c, linux.VQUIT):
			sig = linux.SIGQUIT
		case t.is(c, linux.VSUSP):
			sig = linux.SIGTSTP
		}
		if sig != 0 {
			if tm.Lflag&linux.NOFLSH == 0 {
				t.line, t.ready, t.ends = nil, nil, nil
			}
			t.echo(c)
			return t.toForeground(sig)
		}
	}
	if tm.Lflag&linux.ICANON == 0 {
		t.store(c)
	} else {
		t.edit(c)
	}
	return nil
}

// edit takes one character in canonical mode. It needs mu.
func (t *TTY) edit(c byte) {
	tm := &t.termios
	ext := tm.Lflag&linux.IEXTEN != 0
	switch {
	case t.is(c, linux.VERASE):
		t.erase()
	case ext && t.is(c, linux.VWERASE):
		for len(t.line) > 0 && t.line[len(t.line)-1] == ' ' {
			t.erase()
		}
		for len(t.line) > 0 && t.line[len(t.line)-1] != ' ' {
			t.erase()
		}
	case t.is(c, linux.VKILL):
		for len(t.line) > 0 {
			t.erase()
		}
	case ext && t.is(c, linux.VLNEXT):
		t.lastLNXT = true
	case ext && t.is(c, linux.VREPRINT):
		t.echo(c)
		t.show = append(append(t.show, '\r', '\n'), t.line...)
	case t.is(c, linux.VEOF):
		t.endLine()
	case c == '\n' || t.is(c, linux.VEOL) || ext && t.is(c, linux.VEOL2):
		if tm.Lflag&(linux.ECHO|linux.ECHONL) != 0 {
			t.cookIf(c)
		}
		t.line = append(t.line, c)
		t.endLine()
	default:
		t.store(c)
	}
}

// cookIf shows c, through output processing if that is on. It needs mu.
func (t *TTY) cookIf(c byte) {
	if t.termios.Oflag&linux.OPOST != 0 {
		t.cook(c)
	} else {
		t.show = append(t.show, c)
	}
}

// endLine makes the line readable. It needs mu.
func (t *TTY) endLine() {
	t.ready = append(t.ready, t.line...)
	t.ends = append(t.ends, len(t.line))
	t.line = nil
}

// store keeps a character and echoes it. It needs mu.
func (t *TTY) store(c byte) {
	if len(t.line)+len(t.ready) >= maxInput-1 {
		t.show = append(t.show, '\a')
		return
	}
	if t.termios.Lflag&linux.ICANON != 0 {
		t.line = append(t.line, c)
	} else {
		t.ready = append(t.ready, c)
	}
	t.echo(c)
}

// echo shows c if it is to be shown: control characters as ^X. It needs mu.
func (t *TTY) echo(c byte) {
	switch {
	case t.termios.Lflag&linux.ECHO == 0:
	case c == '\n' || c == '\t' || c >= ' ' && c != 0x7f || t.termios.Lflag&linux.ECHOCTL == 0:
		t.cookIf(c)
	default:
		t.cookIf('^')
		t.cookIf(c ^ 0x40)
	}
}

// erase takes the last character off the line. It needs mu.
func (t *TTY) erase() {
	if len(t.line) == 0 {
		return
	}
	i := len(t.line) - 1
	if t.termios.Iflag&linux.IUTF8 != 0 {
		for i > 0 && t.line[i]&0xc0 == 0x80 {
			i--
		}
	}
	width := 1
	if c := t.line[i]; c < ' ' && c != '\t' || c == 0x7f {
		width = 2
	}
	t.line = t.line[:i]
	if t.termios.Lflag&(linux.ECHO|linux.ECHOE) != linux.ECHO|linux.ECHOE {
		return
	}
	for range width {
		t.show = append(t.show, '\b', ' ', '\b')
		t.column = max(0, t.column-1)
	}
}
