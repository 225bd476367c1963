package tty

import (
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

// Input takes what the keyboard sends, through the line discipline: signals,
// editing, echo (n_tty).
func (t *TTY) Input(p []byte) {
	t.mu.Lock()
	var echo []byte
	var sends []func()
	for _, c := range p {
		var send func()
		if echo, send = t.input(echo, c); send != nil {
			sends = append(sends, send)
		}
	}
	t.mu.Unlock()
	// An echo that the host does not take is lost, as on a line that is down.
	_ = t.emit(echo)
	for _, send := range sends {
		send()
	}
	t.queue.Notify(waiter.ReadableEvents)
}

// is says whether c is the control character at index cc, which may be off (0).
func (t *TTY) is(c byte, cc int) bool { return c != 0 && t.termios.CC[cc] == c }

// input takes one character. It needs mu.
func (t *TTY) input(echo []byte, c byte) ([]byte, func()) {
	tm := &t.termios
	if tm.Iflag&linux.ISTRIP != 0 {
		c &= 0x7f
	}
	switch {
	case t.lastLNXT:
		t.lastLNXT = false
		return t.store(echo, c), nil
	case c == '\r' && tm.Iflag&linux.IGNCR != 0:
		return echo, nil
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
			return t.echoChar(echo, c), t.toForeground(sig)
		}
	}
	if tm.Lflag&linux.ICANON == 0 {
		return t.store(echo, c), nil
	}
	return t.edit(echo, c), nil
}

// edit takes one character in canonical mode. It needs mu.
func (t *TTY) edit(echo []byte, c byte) []byte {
	tm := &t.termios
	ext := tm.Lflag&linux.IEXTEN != 0
	switch {
	case t.is(c, linux.VERASE):
		return t.erase(echo)
	case ext && t.is(c, linux.VWERASE):
		for len(t.line) > 0 && t.line[len(t.line)-1] == ' ' {
			echo = t.erase(echo)
		}
		for len(t.line) > 0 && t.line[len(t.line)-1] != ' ' {
			echo = t.erase(echo)
		}
		return echo
	case t.is(c, linux.VKILL):
		for len(t.line) > 0 {
			echo = t.erase(echo)
		}
		return echo
	case ext && t.is(c, linux.VLNEXT):
		t.lastLNXT = true
		return echo
	case ext && t.is(c, linux.VREPRINT):
		echo = append(t.echoChar(echo, c), '\r', '\n')
		return append(echo, t.line...)
	case t.is(c, linux.VEOF):
		t.endLine()
		return echo
	case c == '\n' || t.is(c, linux.VEOL) || ext && t.is(c, linux.VEOL2):
		t.line = append(t.line, c)
		t.endLine()
		if tm.Lflag&(linux.ECHO|linux.ECHONL) != 0 {
			echo = t.cookIf(echo, c)
		}
		return echo
	}
	return t.store(echo, c)
}

func (t *TTY) cookIf(buf []byte, c byte) []byte {
	if t.termios.Oflag&linux.OPOST != 0 {
		return t.cook(buf, c)
	}
	return append(buf, c)
}

// endLine makes the line readable. It needs mu.
func (t *TTY) endLine() {
	t.ready = append(t.ready, t.line...)
	t.ends = append(t.ends, len(t.line))
	t.line = nil
}

// store keeps a character and echoes it. It needs mu.
func (t *TTY) store(echo []byte, c byte) []byte {
	if len(t.line)+len(t.ready) >= maxInput-1 {
		return append(echo, '\a')
	}
	if t.termios.Lflag&linux.ICANON != 0 {
		t.line = append(t.line, c)
	} else {
		t.ready = append(t.ready, c)
	}
	return t.echoChar(echo, c)
}

// echoChar shows c if it is to be shown: control characters as ^X. It needs mu.
func (t *TTY) echoChar(echo []byte, c byte) []byte {
	switch {
	case t.termios.Lflag&linux.ECHO == 0:
		return echo
	case c == '\n' || c == '\t' || c >= ' ' && c != 0x7f || t.termios.Lflag&linux.ECHOCTL == 0:
		return t.cookIf(echo, c)
	}
	return t.cookIf(t.cookIf(echo, '^'), c^0x40)
}

// erase takes the last character off the line. It needs mu.
func (t *TTY) erase(echo []byte) []byte {
	if len(t.line) == 0 {
		return echo
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
		return echo
	}
	for range width {
		echo = append(echo, '\b', ' ', '\b')
		t.column = max(0, t.column-1)
	}
	return echo
}
