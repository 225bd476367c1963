package e2e

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"megabinary.dev/test/terminal"
)

// onTerminal is `megabin run` on a pseudo-terminal.
type onTerminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept, to look at its modes
	screen *terminal.Screen
	at     int // offset on the screen behind what was waited for
	modes  unix.Termios
}

// startOnTerminal starts `megabin run ARGS...`; stdin replaces the terminal as
// its input unless it is nil.
func startOnTerminal(t *testing.T, stdin *os.File, args ...string) *onTerminal {
	t.Helper()
	master, slave, err := terminal.Open()
	if err != nil {
		t.Fatal(err)
	}
	o := &onTerminal{t: t, master: master, slave: slave}
	t.Cleanup(func() { master.Close(); slave.Close() })
	o.modes = o.termios()
	o.cmd = exec.Command(megabin(t), append([]string{"run"}, args...)...)
	o.cmd.Stdin, o.cmd.Stdout, o.cmd.Stderr = slave, slave, slave
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if stdin != nil {
		o.cmd.Stdin = stdin
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o.screen = terminal.Watch(master)
	return o
}

func (o *onTerminal) termios() unix.Termios {
	o.t.Helper()
	tm, err := unix.IoctlGetTermios(int(o.slave.Fd()), unix.TCGETS)
	if err != nil {
		o.t.Fatal(err)
	}
	return *tm
}

func (o *onTerminal) wait(text string) {
	o.t.Helper()
	at, err := o.screen.Await(text, o.at, time.Minute)
	if err != nil {
		_ = o.cmd.Process.Kill() // it may have ended
		o.t.Fatalf("waiting for %q: %v", text, err)
	}
	o.at = at
}

func (o *onTerminal) keys(text string) {
	o.t.Helper()
	if _, err := o.master.WriteString(text); err != nil {
		o.t.Fatal(err)
	}
}

// ends waits for the end and checks the exit code.
func (o *onTerminal) ends(code int) {
	o.t.Helper()
	timer := time.AfterFunc(timeout, func() { _ = o.cmd.Process.Kill() })
	err := o.cmd.Wait()
	var exit *exec.ExitError
	if !timer.Stop() || err != nil && !errors.As(err, &exit) {
		o.t.Fatalf("waiting for the end: %v; there is %q", err, o.screen.Text())
	}
	if got := o.cmd.ProcessState.ExitCode(); got != code {
		o.t.Errorf("status %d, want %d; there is %q", got, code, o.screen.Text())
	}
}

func TestRunOnATerminal(t *testing.T) {
	ref := image(t)
	t.Run("interactive", func(t *testing.T) {
		o := startOnTerminal(t, nil, "-i", "-t", "-e", "PS1=[guest] ", ref, "sh")
		o.wait("[guest] ")
		if m := o.termios(); m.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || m.Oflag&unix.OPOST != 0 {
			t.Errorf("the terminal is not raw: %+v", m)
		}
		o.keys("stty size; tty\r")
		o.wait("\n24 80\r\n/dev/pts/0\r\n[guest] ")
		if err := unix.IoctlSetWinsize(int(o.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111}); err != nil {
			t.Fatal(err)
		}
		o.keys("until [ \"$(stty size)\" = '33 111' ]; do :; done; echo resized\r")
		o.wait("\nresized\r\n[guest] ")
		// What would be the keys to detach, and signals, are the guest's.
		o.keys("sh -c 'stty -echo raw; echo up; dd bs=1 count=4 2> /dev/null | od -c; stty sane'\r")
		o.wait("up\n")
		o.keys("\x10\x11\x03\x1a")
		o.wait("020 021 003 032")
		o.wait("[guest] ")
		o.keys("sh -c 'trap \"echo caught; exit 9\" INT; echo up; while :; do :; done'\r")
		o.wait("up\r\n")
		o.keys("\x03")
		o.wait("^Ccaught\r\n[guest] ")
		o.keys("kill -KILL $$\r")
		o.ends(137)
		if m := o.termios(); m != o.modes {
			t.Errorf("modes after it: %+v, before: %+v", m, o.modes)
		}
	})
	t.Run("restored if nothing starts", func(t *testing.T) {
		o := startOnTerminal(t, nil, "-i", "-t", ref, "/none")
		o.ends(127)
		if m := o.termios(); m != o.modes {
			t.Errorf("modes after it: %+v, before: %+v", m, o.modes)
		}
	})
	t.Run("-t alone: no keys, and ^C comes as a signal", func(t *testing.T) {
		o := startOnTerminal(t, nil, "-t", ref, "sh", "-c", `test -t 0 && test -t 1 && test -t 2 && stty size
trap "echo caught; exit 9" INT; echo up; while :; do :; done`)
		o.wait("24 80\r\r\nup\r\r\n") // cooked by both terminals
		if m := o.termios(); m != o.modes {
			t.Errorf("the terminal was changed: %+v, before %+v", m, o.modes)
		}
		o.keys("\x03")
		o.wait("caught")
		o.ends(9)
	})
	t.Run("-i alone: the input, but no terminal", func(t *testing.T) {
		o := startOnTerminal(t, nil, "-i", ref, "sh", "-c", "test -t 0 || test -t 1 || echo none; cat; exit 3")
		o.wait("none\r\n")
		o.keys("line\n")
		o.wait("line\r\nline\r\n")
		o.keys("\x04")
		o.ends(3)
	})
	t.Run("neither: no input", func(t *testing.T) {
		o := startOnTerminal(t, nil, ref, "sh", "-c", "cat; test -t 0 || echo done")
		o.wait("done\r\n")
		o.ends(0)
	})
	t.Run("-i -t with input from elsewhere", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString("read x; echo \"<$x>\"\nlast\ntest -t 0 && exit 4\n"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		o := startOnTerminal(t, r, "-i", "-t", ref, "sh")
		r.Close()
		o.wait("<last>\r\r\n")
		o.ends(4)
	})
	t.Run("hangup", func(t *testing.T) {
		o := startOnTerminal(t, nil, "-i", "-t", ref, "sh", "-c", "trap 'exit 5' HUP; echo up; while :; do :; done")
		o.wait("up")
		o.slave.Close()
		o.master.Close()
		o.ends(5)
	})
}
