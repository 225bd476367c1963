package tty

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/waiter"
)

type signalLog []int

func (s *signalLog) SignalGroup(pgid, sig int)     { *s = append(*s, pgid, sig) }
func (s *signalLog) HangUpSession(session, fg int) { *s = append(*s, session, fg, linux.SIGHUP) }

func TestLineEditing(t *testing.T) {
	for _, tc := range []struct{ name, in, read, out string }{
		{"line", "hi\r", "hi\n", "hi\r\n"},
		{"erase", "hx\x7fi\r", "hi\n", "hx\b \bi\r\n"},
		{"kill", "abc\x15d\r", "d\n", "abc\b \b\b \b\b \bd\r\n"},
		{"word", "ab cd\x17e\r", "ab e\n", "ab cd\b \b\b \be\r\n"},
		{"literal", "\x16\x03\r", "\x03\n", "^\b^C\r\n"},
		{"end of file keeps the line", "ab\x04", "ab", "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			tty := New(&out)
			tty.Input([]byte(tc.in))
			p := make([]byte, 100)
			n, err := tty.ReadAt(p, 0)
			if err != nil || string(p[:n]) != tc.read {
				t.Errorf("read %q, %v; want %q", p[:n], err, tc.read)
			}
			if out.String() != tc.out {
				t.Errorf("echo %q, want %q", out.String(), tc.out)
			}
			if _, err := tty.ReadAt(p, 0); err != linux.EAGAIN {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

func TestReadsStopAtLineEnds(t *testing.T) {
	tty := New(io.Discard)
	tty.Input([]byte("one\ntwo\n\x04"))
	p := make([]byte, 100)
	for _, want := range []string{"one\n", "two\n", ""} {
		if n, err := tty.ReadAt(p, 0); err != nil || string(p[:n]) != want {
			t.Errorf("read %q, %v; want %q", p[:n], err, want)
		}
	}
}

func TestSignals(t *testing.T) {
	var log signalLog
	var out bytes.Buffer
	tty := New(&out)
	tty.SetSignaler(&log)
	tty.Own(1, 7)
	tty.Input([]byte("abc\x03"))
	if len(log) != 2 || log[0] != 7 || log[1] != linux.SIGINT {
		t.Errorf("signals %v", log)
	}
	if _, err := tty.ReadAt(make([]byte, 10), 0); err != linux.EAGAIN {
		t.Errorf("the line was not flushed: %v", err)
	}
	tty.Resize(linux.Winsize{Row: 1, Col: 2})
	if len(log) != 4 || log[3] != linux.SIGWINCH {
		t.Errorf("signals %v", log)
	}
}

func TestRawMode(t *testing.T) {
	var out bytes.Buffer
	tty := New(&out)
	tty.termios.Lflag = 0
	tty.Input([]byte("a\x03"))
	p := make([]byte, 10)
	if n, _ := tty.ReadAt(p, 0); string(p[:n]) != "a\x03" || out.Len() != 0 {
		t.Errorf("read %q, echo %q", p[:n], out.String())
	}
}

func TestOutputIsCooked(t *testing.T) {
	var out bytes.Buffer
	New(&out).WriteAt([]byte("a\nb"), 0)
	if out.String() != "a\r\nb" {
		t.Errorf("wrote %q", out.String())
	}
}

func TestStreamReadsOnDemand(t *testing.T) {
	s := NewStream(strings.NewReader("hello"), nil, 9, 1)
	e, ch := waiter.NewChannelEntry(waiter.ReadableEvents)
	s.EventRegister(e)
	p := make([]byte, 3)
	if _, err := s.ReadAt(p, 0); err != linux.EAGAIN {
		t.Fatalf("first read: %v", err)
	}
	select {
	case <-ch:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
	}
	if n, err := s.ReadAt(p, 0); string(p[:n]) != "hel" || err != nil {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if s.Readiness(waiter.EventIn) == 0 {
		t.Error("not readable with bytes left")
	}
	s.ReadAt(p, 0)
	for {
		n, err := s.ReadAt(p, 0)
		if err == linux.EAGAIN {
			<-ch
			continue
		}
		if n != 0 || err != nil {
			t.Errorf("end: %d, %v", n, err)
		}
		break
	}
	if s.Describe() != "pipe:[9]" {
		t.Errorf("described as %s", s.Describe())
	}
}

// What a reader writes comes out behind the echo of what it has read.
func TestEchoComesBeforeTheAnswer(t *testing.T) {
	const rounds = 50000
	var out strings.Builder
	term := New(&out)
	answered := make(chan bool)
	go func() {
		buf := make([]byte, 16)
		for n := 0; n < rounds; {
			if got, _ := term.ReadAt(buf, 0); got > 0 {
				_, _ = term.WriteAt([]byte("a"), 0) // a strings.Builder takes everything
				n++
				answered <- true
			} else {
				runtime.Gosched()
			}
		}
	}()
	for range rounds {
		term.Input([]byte("q\n"))
		<-answered
	}
	open := 0
	for i, c := range out.String() {
		switch c {
		case 'q':
			open++
		case 'a':
			if open--; open < 0 {
				t.Fatalf("at %d, an answer comes before its question", i)
			}
		}
	}
}
