package audit

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape returns s without what a terminal may take for a command or show other
// than it is: control characters, C1 among them, bytes that are no UTF-8, and
// characters that turn the direction of writing. A backslash stays as it is.
func Escape(s string) string { return escape(s, "") }

// EscapeLines is Escape that leaves line feeds and tabs.
func EscapeLines(s string) string { return escape(s, "\n\t") }

func escape(s, but string) string {
	clean := true
	for _, r := range s {
		if !shown(r) && !strings.ContainsRune(but, r) {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case shown(r) || strings.ContainsRune(but, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// shown says whether a terminal shows r as itself.
func shown(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return false
	case r == 0x200e, r == 0x200f, r == 0x061c, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
		return false
	case r >= 0xe0000 && r <= 0xe007f: // tags, which are invisible
		return false
	}
	return true
}

// EscapeJSON returns a line of JSON whose strings are written with more escapes,
// so that a terminal shows it and nothing else.
func EscapeJSON(line string) string {
	var b strings.Builder
	for _, r := range line {
		switch {
		case shown(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		}
	}
	return b.String()
}

// NewEscaper returns a writer that writes to w what EscapeLines makes of it. A
// character that two writes share is taken for bytes.
func NewEscaper(w io.Writer) io.Writer { return escaper{w} }

// NewJSONEscaper returns a writer that writes to w what EscapeJSON makes of lines
// of JSON, each of which comes in one write.
func NewJSONEscaper(w io.Writer) io.Writer { return jsonEscaper{w} }

type jsonEscaper struct{ w io.Writer }

func (e jsonEscaper) Write(p []byte) (int, error) {
	line, end := strings.CutSuffix(string(p), "\n")
	line = EscapeJSON(line)
	if end {
		line += "\n"
	}
	if _, err := io.WriteString(e.w, line); err != nil {
		return 0, err
	}
	return len(p), nil
}

type escaper struct{ w io.Writer }

func (e escaper) Write(p []byte) (int, error) {
	if _, err := io.WriteString(e.w, EscapeLines(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
