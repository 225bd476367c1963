package syscalls

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestRowsAreComplete(t *testing.T) {
	names := map[string]int{}
	for nr, r := range Table() {
		if r.Handler == nil {
			continue
		}
		if r.Number != nr || r.Name == "" {
			t.Errorf("row %d has number %d, name %q", nr, r.Number, r.Name)
		}
		if other, twice := names[r.Name]; twice {
			t.Errorf("%s stands at %d and %d", r.Name, other, nr)
		}
		names[r.Name] = nr
		if (r.Level == Full) != (r.Note == "") {
			t.Errorf("%s: level %s with note %q", r.Name, r.Level, r.Note)
		}
		if len(r.Args) > 6 {
			t.Errorf("%s has %d arguments", r.Name, len(r.Args))
		}
	}
}

// numbers are some of Linux's own (arch/x86/entry/syscalls/syscall_64.tbl).
var numbers = map[string]int{"read": 0, "write": 1, "mmap": 9, "rt_sigreturn": 15, "clone": 56, "execve": 59, "exit": 60,
	"wait4": 61, "getdents64": 217, "futex": 202, "exit_group": 231, "openat": 257, "prlimit64": 302, "getrandom": 318,
	"statx": 332, "clone3": 435}

func TestNumbers(t *testing.T) {
	for name, nr := range numbers {
		if got := Table()[nr].Name; got != name {
			t.Errorf("number %d is %q, on Linux %q", nr, got, name)
		}
	}
}

var rowLine = regexp.MustCompile(`^\t\t(\d+):\s`)

func TestRowsAreSorted(t *testing.T) {
	src, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, line := range strings.Split(string(src), "\n") {
		if m := rowLine.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil || n <= last {
				t.Errorf("row %s stands behind row %d", m[1], last)
			}
			last = n
		}
	}
	if last < 300 {
		t.Errorf("found rows up to %d only", last)
	}
}

func TestParseTraceSet(t *testing.T) {
	set, err := ParseTraceSet("getpid,execve")
	if err != nil || len(set) != 2 || !set["execve"] {
		t.Errorf("%v, %v", set, err)
	}
	if set, err := ParseTraceSet("all"); set != nil || err != nil {
		t.Errorf("all: %v, %v", set, err)
	}
	if _, err := ParseTraceSet("getpid,frobnicate"); err == nil || !strings.Contains(err.Error(), "frobnicate") {
		t.Errorf("an unknown name: %v", err)
	}
}
