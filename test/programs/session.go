package programs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"megabinary.dev/test/terminal"
)

// Session is a file sessions/NAME.txt: a dialogue with a program on a terminal,
// which is held natively and here and must leave the same transcript. A line is
//
//	run PROGRAM ARG...  what is started; comes first
//	wait "TEXT"         wait until TEXT has come behind what was waited for before
//	type "TEXT"         send TEXT
//	size ROWS COLUMNS   change the window's size
//
// with Go's escapes in TEXT; other lines are empty or start with #.
//
// Whoever writes one waits, before typing, for what shows that the program has
// got there: what is typed ahead is echoed by whoever has the terminal then.
type Session struct {
	Name   string
	Differ []Difference
}

// jobNumbers are what a shell prints of a job that it starts in the background.
var jobNumbers = []Difference{{regexp.MustCompile(`(?m)^(\x1b\[\?2004l\r)?\[\d+\] \d+\r$`), "process ids"}}

// fullScreen is what a program draws between taking the screen and giving it
// back.
var fullScreen = []Difference{{regexp.MustCompile(`(?s)\x1b\[\?1049h.*?\x1b\[\?1049l`), "how much is drawn at once is a matter of time"}}

// step is a line of a session.
type step struct {
	line int
	verb string
	text string // wait, type
	size unix.Winsize
}

// load reads a session's file.
func (s *Session) load() (argv []string, steps []step, err error) {
	file := "sessions/" + s.Name + ".txt"
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a session: %w", err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		st := step{line: i + 1, verb: verb}
		switch verb {
		case "", "#":
			continue
		case "run":
			argv = strings.Fields(rest)
			continue
		case "wait", "type":
			st.text, err = strconv.Unquote(rest)
		case "size":
			_, err = fmt.Sscan(rest, &st.size.Row, &st.size.Col)
		default:
			err = fmt.Errorf("no such verb: %q", verb)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		steps = append(steps, st)
	}
	if len(argv) == 0 || len(steps) == 0 {
		return nil, nil, fmt.Errorf("%s: nothing to run, or nothing to say to it", file)
	}
	return argv, steps, nil
}

// terminalEnv is Env on a terminal.
var terminalEnv = append(append([]string(nil), Env...), "TERM=xterm")

// Native holds the session in a chroot.
func (s *Session) Native(i *Image) (transcript string, code int, err error) {
	argv, steps, err := s.load()
	if err != nil {
		return "", 0, err
	}
	argv, undo, err := i.chroot(terminalEnv, argv)
	if err != nil {
		return "", 0, err
	}
	defer undo()
	// The program takes the terminal itself, by setsid -c.
	return hold(argv, steps, &syscall.SysProcAttr{Setsid: true})
}

// Megabin holds the session in the rebuilt image.
func (s *Session) Megabin(megabin string, i *Image) (transcript string, code int, err error) {
	argv, steps, err := s.load()
	if err != nil {
		return "", 0, err
	}
	run := []string{megabin, "run", "-i", "-t"}
	for _, kv := range terminalEnv {
		run = append(run, "-e", kv)
	}
	return hold(append(append(run, i.Ref), argv...), steps, &syscall.SysProcAttr{Setsid: true, Setctty: true})
}

// stepTimeout bounds the wait for one text: the first run of a program compiles
// it.
const stepTimeout = 2 * time.Minute

// hold runs a command on a terminal of its own and goes through the steps.
func hold(argv []string, steps []step, attr *syscall.SysProcAttr) (transcript string, code int, err error) {
	master, slave, err := terminal.Open()
	if err != nil {
		return "", 0, err
	}
	defer master.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = slave, slave, slave, attr
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return "", 0, err
	}
	screen := terminal.Watch(master)
	err = play(screen, master, append(steps, step{verb: "wait"}))
	if err != nil {
		_ = cmd.Process.Kill() // it may have ended
	}
	var exit *exec.ExitError
	if werr := cmd.Wait(); werr != nil && !errors.As(werr, &exit) && err == nil {
		err = werr
	}
	return screen.Text(), cmd.ProcessState.ExitCode(), err
}

func play(screen *terminal.Screen, master *os.File, steps []step) error {
	at := 0
	for _, st := range steps {
		var err error
		switch st.verb {
		case "wait":
			at, err = screen.Await(st.text, at, stepTimeout)
		case "type":
			_, err = master.WriteString(st.text)
		case "size":
			err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &st.size)
		}
		if err != nil {
			return fmt.Errorf("line %d: %s %q: %w", st.line, st.verb, st.text, err)
		}
	}
	return nil
}
