// Package terminal gives tests a pseudo-terminal with someone at its keyboard who
// reads what is on the screen before typing on.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Screen gathers what comes out of a terminal.
type Screen struct {
	mu    sync.Mutex
	text  []byte
	ended bool
	more  chan struct{} // gets a value, if there is room, when something changes
}

// Watch starts to gather what comes out of the master of a terminal, until the
// last slave is closed.
func Watch(master io.Reader) *Screen {
	s := &Screen{more: make(chan struct{}, 1)}
	go s.watch(master)
	return s
}

// watch reads from the master of a terminal until the last slave is closed.
func (s *Screen) watch(master io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		s.mu.Lock()
		s.text = append(s.text, buf[:n]...)
		s.ended = err != nil
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Text returns all that has come.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// Await waits until text has come behind the offset from and returns the offset
// of its end; an empty text is the end of all.
func (s *Screen) Await(text string, from int, limit time.Duration) (int, error) {
	timeout := time.After(limit)
	for {
		s.mu.Lock()
		at, ended, rest := bytes.Index(s.text[from:], []byte(text)), s.ended, string(s.text[from:])
		s.mu.Unlock()
		switch {
		case text == "" && ended:
			return from + len(rest), nil
		case text != "" && at >= 0:
			return from + at + len(text), nil
		case ended:
			return from, fmt.Errorf("it ended; there is %q", rest)
		}
		select {
		case <-s.more:
		case <-timeout:
			return from, fmt.Errorf("nothing for %v; there is %q", limit, rest)
		}
	}
}

// Open makes a pseudo-terminal of 24 rows of 80.
func Open() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	n := 0
	if err == nil {
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("making a pseudo-terminal: %w", err)
	}
	return master, slave, nil
}
