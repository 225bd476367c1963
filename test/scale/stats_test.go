package scale

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestStats looks at a container of another process of megabin.
func TestStats(t *testing.T) {
	h, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir(), "MEGABIN_CACHE_DIR="+t.TempDir())
	megabinRun := func(args ...string) *exec.Cmd {
		cmd := exec.Command(megabin, args...)
		cmd.Env = env
		return cmd
	}
	run := megabinRun("run", "--name", "busy", "-m", "64m", h.Ref, "/bin/sh", "-c",
		"dd if=/dev/zero of=/file bs=1k count=100 2>/dev/null; sleep 1000 & while :; do :; done")
	var runErr bytes.Buffer
	run.Stderr = &runErr
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer run.Wait()
	defer run.Process.Kill()
	var row struct {
		Container, CPUPerc, MemUsage, BlockIO, NetIO string
		PIDs                                         int
	}
	for range 60 {
		out, err := megabinRun("stats", "--no-stream", "--format", "json").Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if len(out) > 0 {
			if err := json.Unmarshal(out, &row); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if row.PIDs == 2 {
				break
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("%+v", row)
	if row.Container != "busy" || row.PIDs != 2 || !strings.HasSuffix(row.MemUsage, "/ 64MiB") || !strings.Contains(row.BlockIO, "/ 102.") || row.CPUPerc == "0.00%" {
		t.Errorf("%+v: %s", row, runErr.String())
	}
	if out, err := megabinRun("ps").Output(); err != nil || !strings.Contains(string(out), "busy") || !strings.Contains(string(out), h.Ref) {
		t.Errorf("ps: %v: %s", err, out)
	}
	if out, err := megabinRun("run", "--name", "busy", h.Ref, "/bin/true").CombinedOutput(); err == nil || !strings.Contains(string(out), "runs already") {
		t.Errorf("a second container of the name: %v: %s", err, out)
	}
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // it was killed
	if out, err := megabinRun("ps").Output(); err != nil || strings.Contains(string(out), "busy") {
		t.Errorf("ps after its end: %v: %s", err, out)
	}
	if out, err := megabinRun("stats", "busy").CombinedOutput(); err == nil {
		t.Errorf("stats of one that has ended: %s", out)
	}
}
