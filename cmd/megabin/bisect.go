package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// maxCulprits bounds how many functions (or passes) have to come together for
// a fault that bisect looks for.
const maxCulprits = 4

// errNotFound says that no few culprits explain what is bad.
var errNotFound = errors.New("no few of them are to blame: the fault comes and goes, or it needs very many of them")

// findCulprits returns a smallest set, as far as halving finds it, of the
// numbers below n for which bad is true. bad is true for all of them and false
// for none, and is asked about log2(n) times for each number of the set.
func findCulprits(n int, bad func(on func(int) bool) (bool, error)) ([]int, error) {
	var keep []int
	among := func(i int) bool { return slices.Contains(keep, i) }
	for end := n; len(keep) < maxCulprits; {
		// The numbers below end, with keep, are bad; those below good are not.
		good := 0
		for end-good > 1 {
			middle := (good + end) / 2
			is, err := bad(func(i int) bool { return i < middle || among(i) })
			if err != nil {
				return nil, err
			}
			if is {
				end = middle
			} else {
				good = middle
			}
		}
		if end == 0 {
			break
		}
		end-- // the last one that it took
		keep = append(keep, end)
		is, err := bad(among)
		if err != nil {
			return nil, err
		}
		if is {
			slices.Sort(keep)
			return keep, nil
		}
	}
	return nil, errNotFound
}

// halvings is about how often findCulprits asks for one of n.
func halvings(n int) int {
	k := 1
	for ; n > 1; n = (n + 1) / 2 {
		k++
	}
	return k
}

// ending is what a run gave: standard output, and the exit status as a shell
// shows it.
type ending struct {
	stdout    string
	anyOutput bool // of what is expected: standard output does not count
	status    int
	timeout   bool
}

// differs says how o differs from what is expected, or "".
func (o ending) differs(want ending) string {
	switch {
	case o.timeout:
		return "it did not end in time"
	case o.status != want.status:
		return fmt.Sprintf("exit status %d, expected %d", o.status, want.status)
	case o.stdout != want.stdout && !want.anyOutput:
		at := 0
		for at < len(o.stdout) && at < len(want.stdout) && o.stdout[at] == want.stdout[at] {
			at++
		}
		around := func(s string) string { return s[max(0, min(at, len(s))-20):min(len(s), at+20)] }
		return fmt.Sprintf("standard output differs at byte %d: %q, expected %q", at, around(o.stdout), around(want.stdout))
	}
	return ""
}

// shellStatus returns how a process ended as a shell shows it.
func shellStatus(p *os.ProcessState) int {
	if s, ok := p.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return p.ExitCode()
}
