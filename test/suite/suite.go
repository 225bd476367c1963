package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// NotRun is the status of what was not run.
const NotRun = -1

// Result is what became of one test.
type Result struct {
	Name         string
	Native, Here int // exit status: 0 is passed
}

// Compare runs tests, jobs at a time, each by run, prints a line for each and
// what it comes to. The error says that something is not as known has it. logs
// is where outputs are.
func Compare(names []string, jobs int, known map[string]string, logs string, run func(name string) Result) error {
	results := make([]Result, len(names))
	var wg sync.WaitGroup
	next := make(chan int)
	for range max(1, jobs) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				results[i] = run(names[i])
			}
		}()
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	return Report(results, known, logs)
}

// Report prints a line for each result and what it comes to; see Compare.
func Report(results []Result, known map[string]string, logs string) error {
	fair, passed, bad := 0, 0, 0
	for _, r := range results {
		verdict, ok := Judge(r, known[r.Name])
		fmt.Printf("%-28s %s\n", r.Name, verdict)
		if r.Native == 0 {
			fair++
			if r.Here == 0 {
				passed++
			}
		}
		if !ok {
			bad++
		}
	}
	fmt.Printf("%d tests pass natively; %d of them pass here: %.1f %%\n", fair, passed, 100*float64(passed)/float64(max(fair, 1)))
	if bad > 0 {
		return fmt.Errorf("%d tests are not as expected; outputs are in %s", bad, logs)
	}
	return nil
}

// Judge says what a test's outcome means and whether it is as expected; reason
// says why it is known to fail, if it is.
func Judge(r Result, reason string) (verdict string, ok bool) {
	switch {
	case r.Native != 0:
		return fmt.Sprintf("left out: status %d natively", r.Native), true
	case r.Here == 0 && reason != "":
		return "FAIL passes, but is known to fail: " + reason, false
	case r.Here == 0:
		return "passes", true
	case reason != "":
		return "fails as known: " + reason, true
	}
	return fmt.Sprintf("FAIL status %d", r.Here), false
}

// Outcome runs a program in dir for at most limit, keeps its output in log and
// returns its exit status, 255 if it was killed.
func Outcome(dir, log string, limit time.Duration, env []string, argv ...string) int {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = dir, &out, &out, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	fmt.Fprintf(&out, "--- %v\n", err)
	if werr := os.WriteFile(log, out.Bytes(), 0o644); werr != nil {
		fmt.Fprintln(os.Stderr, "keeping an output:", werr)
	}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		return 255 // killed
	}
	return cmd.ProcessState.ExitCode()
}

// Command runs a program in dir, its output to a log there, which the error
// shows the end of.
func Command(dir, log string, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if log != "" {
		if werr := os.WriteFile(filepath.Join(dir, log), out, 0o644); werr != nil {
			return fmt.Errorf("keeping the output of %s: %w", argv[0], werr)
		}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("running %s: %w: `make deps` installs it", argv[0], err)
	}
	if err != nil {
		return fmt.Errorf("running %s in %s: %w: %s", strings.Join(argv, " "), dir, err, out[max(0, len(out)-2000):])
	}
	return nil
}
