package tty

import "megabinary.dev/vkernel/linux"

// What erase takes off the line.
const (
	eraseChar = iota
	eraseWord
	eraseLine
)

// kill takes the whole line off (n_tty's eraser). key is what was typed. It needs
// mu.
func (t *TTY) kill(key byte) {
	switch {
	case len(t.line) == 0:
	case !t.has(linux.ECHO):
		t.line = nil
	case !t.has(linux.ECHOK | linux.ECHOKE | linux.ECHOE):
		t.line = nil
		t.endErasing()
		t.echo(key)
		if t.has(linux.ECHOK) {
			t.output('\n')
		}
	default:
		t.erase(eraseLine, key)
	}
}

// erase takes characters off the line. It needs mu.
func (t *TTY) erase(what int, key byte) {
	inWord := false
	for len(t.line) > 0 {
		i := len(t.line) - 1
		for i > 0 && t.continues(t.line[i]) {
			i--
		}
		c := t.line[i]
		if t.continues(c) {
			break // no first byte: it stays
		}
		if what == eraseWord {
			if isWord(c) {
				inWord = true
			} else if inWord {
				break
			}
		}
		erased := t.line[i:]
		t.line = t.line[:i]
		if t.has(linux.ECHO) {
			t.showErased(what, key, erased)
		}
		if what == eraseChar {
			break
		}
	}
	if len(t.line) == 0 && t.has(linux.ECHO) {
		t.endErasing()
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// showErased shows that a character, of one or more bytes, is gone. It needs mu.
func (t *TTY) showErased(what int, key byte, char []byte) {
	switch c := char[0]; {
	case t.has(linux.ECHOPRT):
		if !t.erasing {
			t.erasing = true
			t.output('\\')
		}
		t.echo(c)
		for _, c := range char[1:] {
			t.output(c)
		}
	case what == eraseChar && !t.has(linux.ECHOE):
		t.echo(key)
	case c == '\t':
		t.eraseTab()
	default:
		n := 1
		if isControl(c) {
			n = 0
			if t.has(linux.ECHOCTL) {
				n = 2
			}
		}
		for range n {
			t.raw('\b', ' ', '\b')
			t.column = max(0, t.column-1)
		}
	}
}

// eraseTab moves the cursor to where it was before a tab. It needs mu.
func (t *TTY) eraseTab() {
	column := t.start
	for i := len(t.line) - 1; i >= 0; i-- {
		c := t.line[i]
		if c == '\t' {
			column -= t.start // counted from the tab
			break
		}
		switch {
		case isControl(c) && t.has(linux.ECHOCTL):
			column += 2
		case !isControl(c) && !t.continues(c):
			column++
		}
	}
	for range 8 - column&7 {
		t.raw('\b')
		t.column = max(0, t.column-1)
	}
}

// endErasing closes what ECHOPRT shows. It needs mu.
func (t *TTY) endErasing() {
	if t.erasing {
		t.erasing = false
		t.output('/')
	}
}
