package scale

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"megabinary.dev/test/inprocess"
	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/linux"
)

// buffer is a writer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runLimited runs a shell script; it must end within a minute.
func runLimited(t *testing.T, h *inprocess.Host, spec vkernel.Spec, script string) (vkernel.Status, string, vkernel.Stats) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out buffer
	spec.ID, spec.Args, spec.Stdout, spec.Stderr = t.Name(), []string{"/bin/sh", "-c", script}, &out, &out
	c, err := h.Start(ctx, h.Image, spec)
	if err != nil {
		t.Fatal(err)
	}
	status := c.Wait()
	if ctx.Err() != nil {
		t.Fatalf("it did not end: %s", out.String())
	}
	return status, out.String(), c.Stats()
}

// TestLimits lets programs take all that they can of each resource: each gets the
// answer that Linux would give, or is killed, while a container beside them goes
// on.
func TestLimits(t *testing.T) {
	h, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	before := measure(t)
	neighbour := startSleepers(t, h, 1)
	for _, tc := range []struct {
		name   string
		spec   vkernel.Spec
		script string
		code   int
		output string // is part of the output
		kills  bool   // a process is killed because memory ran out
	}{
		{"memory: the hog is killed", vkernel.Spec{Memory: 64 << 20}, "exec tail /dev/zero", 137, "", true},
		{"memory: its shell goes on", vkernel.Spec{Memory: 64 << 20}, "tail /dev/zero; echo status $?", 0, "status 137", true},
		{"memory: many small ones", vkernel.Spec{Memory: 48 << 20}, "for i in 1 2 3 4; do (dd if=/dev/zero bs=16M count=1 of=/dev/null; sleep 1; echo done) 2>/dev/null & done; wait", 0, "", false},
		{"memory: shown to the guest", vkernel.Spec{Memory: 64 << 20},
			"cat /sys/fs/cgroup/memory.max; grep MemTotal /proc/meminfo; cat /proc/self/cgroup", 0, "67108864\nMemTotal:          65536 kB\n0::/\n", false},
		{"tasks: EAGAIN", vkernel.Spec{Tasks: 3}, "sleep 9 & sleep 9 & sleep 9 & echo no", 2, "can't fork", false},
		{"disk: ENOSPC", vkernel.Spec{Disk: 4 << 20}, "dd if=/dev/zero of=/file bs=64k; ls -l /file | wc -l; rm /file; echo x > /file && echo ok", 0, "No space left on device", false},
		{"files", vkernel.Spec{Limits: map[int]linux.Rlimit{linux.RLIMIT_NOFILE: {Cur: 5, Max: 5}}}, "ulimit -n; exec 3</ 4</ 5</", 1, "5\n", false},
		{"file size", vkernel.Spec{Limits: map[int]linux.Rlimit{linux.RLIMIT_FSIZE: {Cur: 1000, Max: 1000}}}, "exec dd if=/dev/zero of=/file bs=1k count=5", 128 + linux.SIGXFSZ, "", false},
		{"CPU time of a process", vkernel.Spec{Limits: map[int]linux.Rlimit{linux.RLIMIT_CPU: {Cur: 1, Max: 9}}}, "while :; do :; done", 128 + linux.SIGXCPU, "", false},
		{"output", vkernel.Spec{Output: 100_000}, "exec yes", 137, "y\ny\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, out, stats := runLimited(t, h, tc.spec, tc.script)
			if got := status.ExitCode(); got != tc.code {
				t.Errorf("exit code %d, want %d: %.300s", got, tc.code, out)
			}
			if !strings.Contains(out, tc.output) {
				t.Errorf("output %.300q lacks %q", out, tc.output)
			}
			if (stats.OOM > 0) != tc.kills {
				t.Errorf("%d processes were killed for memory", stats.OOM)
			}
			if tc.spec.Output > 0 && len(out) != int(tc.spec.Output) {
				t.Errorf("%d bytes of output came through, not %d", len(out), tc.spec.Output)
			}
		})
	}
	if tg := neighbour[0].Kernel().ThreadGroup(1); tg == nil || tg.State() != 'S' {
		t.Error("the container beside them does not sleep any more")
	}
	end(neighbour)
	after := settled(t, before)
	t.Logf("before %+v, after %+v", before, after)
	if after.goroutines > before.goroutines || after.fds > before.fds+2 { // what the kernel keeps once
		t.Errorf("something is left: before %+v, after %+v", before, after)
	}
}

// TestForkBomb lets a fork bomb go off: it comes to its limit, no further, and
// ends at once when it is told to.
func TestForkBomb(t *testing.T) {
	h, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	const limit = 100
	before := measure(t)
	var out buffer
	c, err := h.Start(t.Context(), h.Image, vkernel.Spec{ID: t.Name(), Tasks: limit, Stderr: &out,
		Args: []string{"/bin/sh", "-c", "bomb() { bomb | bomb & bomb | bomb & while :; do :; done; }; bomb"}})
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for range 100 {
		most = max(most, c.Stats().Tasks)
		if strings.Contains(out.String(), "can't fork") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if most = max(most, c.Stats().Tasks); most > limit || !strings.Contains(out.String(), "can't fork: Resource temporarily unavailable") {
		t.Errorf("%d tasks of %d, %.200q", most, limit, out.String())
	}
	start := time.Now()
	c.Kill()
	if code := c.Wait().ExitCode(); code != 137 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%d tasks ended in %v", most, time.Since(start).Round(time.Millisecond))
	if after := settled(t, before); after.goroutines > before.goroutines || after.fds > before.fds+2 {
		t.Errorf("something is left: before %+v, after %+v", before, after)
	}
}

// TestCPUShare holds a busy loop to a quarter of a processor.
func TestCPUShare(t *testing.T) {
	h, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Start(t.Context(), h.Image, vkernel.Spec{ID: t.Name(), CPUs: 0.25, Args: []string{"/bin/sh", "-c", "while :; do :; done"}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it starts with what 100 ms give
	first, start := c.Stats().CPU, time.Now()
	time.Sleep(3 * time.Second)
	used := (c.Stats().CPU - first).Seconds() / time.Since(start).Seconds()
	t.Logf("it used %.2f of a processor", used)
	if used < 0.05 || used > 0.40 {
		t.Errorf("it used %.2f of a processor, not 0.25", used)
	}
	c.Kill()
	if status := c.Wait(); status.ExitCode() != 137 {
		t.Errorf("killed, it ended with %+v", status)
	}
}
