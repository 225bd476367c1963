package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStateDirIsOnesOwn(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	dir, err := stateDir()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := stateDir(); err == nil {
		t.Error("a directory that others may enter was taken")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(base, "elsewhere")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := stateDir(); err == nil {
		t.Error("a link was followed")
	}
}

func TestStatsRows(t *testing.T) {
	before := []snapshot{{ID: "a", CPU: time.Second}}
	now := []snapshot{{ID: "a", CPU: 1500 * time.Millisecond, Memory: 3 << 20, MaxMemory: 12 << 20, Tasks: 7, NetRead: 1500, NetSent: 999, Written: 2_000_000},
		{ID: "b", Memory: 100}}
	var out strings.Builder
	if err := printStats(&out, statsRows(before, now, 2*time.Second), false); err != nil {
		t.Fatal(err)
	}
	want := `CONTAINER   CPU %    MEM USAGE / LIMIT   MEM %    NET I/O        BLOCK I/O   PIDS
a           25.00%   3MiB / 12MiB        25.00%   1.5kB / 999B   0B / 2MB    7
b           0.00%    100B / none         -        0B / 0B        0B / 0B     0
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if err := printStats(&out, statsRows(before, now[:1], 2*time.Second), true); err != nil {
		t.Fatal(err)
	}
	if want := `{"Container":"a","Name":"a","CPUPerc":"25.00%","MemUsage":"3MiB / 12MiB","MemPerc":"25.00%","NetIO":"1.5kB / 999B","BlockIO":"0B / 2MB","PIDs":7}` + "\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
}

func TestContainerNames(t *testing.T) {
	for name, ok := range map[string]bool{"web": true, "a.b-c_1": true, "": false, "../x": false, ".x": false, "a/b": false, strings.Repeat("a", 65): false} {
		if containerName.MatchString(name) != ok {
			t.Errorf("%q: %v", name, !ok)
		}
	}
}
