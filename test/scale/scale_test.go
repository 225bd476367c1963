// Package scale holds what many containers in one process must keep: memory of
// each, a clean end of all, one's limits and faults away from the others. It has
// tests only.
package scale

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"megabinary.dev/test/images"
	"megabinary.dev/test/inprocess"
	"megabinary.dev/vkernel"
)

const megabin = "../../bin/megabin"

// scratch is what the tests share; TestMain removes it.
var scratch string

var busybox = sync.OnceValues(func() (*inprocess.Host, error) {
	img, err := images.Busybox()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(scratch, "busybox")
	ref, err := inprocess.Build(megabin, dir, img)
	if err != nil {
		return nil, err
	}
	return inprocess.Open(context.Background(), dir, ref, vkernel.Config{})
})

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "megabin-scale"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// usage is what this process holds.
type usage struct {
	pss        int64 // bytes
	goroutines int
	fds        int
}

func measure(t *testing.T) usage {
	t.Helper()
	for range 2 { // what finalizers free goes the second time
		debug.FreeOSMemory()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	u := usage{goroutines: runtime.NumGoroutine(), fds: len(fds)}
	for line := range strings.Lines(string(rollup)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			u.pss = kb << 10
		}
	}
	return u
}

// startSleepers starts n containers that sleep and waits until all do.
func startSleepers(t *testing.T, h *inprocess.Host, n int) []*vkernel.Container {
	t.Helper()
	list := make([]*vkernel.Container, n)
	for i := range list {
		c, err := h.Start(t.Context(), h.Image, vkernel.Spec{ID: fmt.Sprint("sleeper-", i), Args: []string{"/bin/busybox", "sleep", "1000000"}})
		if err != nil {
			t.Fatal(err)
		}
		list[i] = c
	}
	deadline := time.Now().Add(time.Minute)
	for _, c := range list {
		for {
			if tg := c.Kernel().ThreadGroup(1); tg != nil && tg.State() == 'S' && tg.CPUTime() > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a container does not sleep after a minute")
			}
			time.Sleep(time.Millisecond)
		}
	}
	return list
}

func end(list []*vkernel.Container) {
	for _, c := range list {
		c.Kill()
	}
	for _, c := range list {
		c.Wait()
	}
}

// TestThousandSleepers starts 1,000 containers in one process: each takes little,
// and when all have ended nothing is left.
func TestThousandSleepers(t *testing.T) {
	const count, maxEach, maxLeft = 1000, 300 << 10, 8 << 20
	h, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	end(startSleepers(t, h, 10)) // compiles, fills caches
	before := measure(t)
	start := time.Now()
	list := startSleepers(t, h, count)
	took := time.Since(start)
	full := measure(t)
	each := (full.pss - before.pss) / count
	t.Logf("%d containers in %v (%.0f a second), each %d KiB, %.1f goroutines, %.2f descriptors", count, took.Round(time.Millisecond),
		count/took.Seconds(), each>>10, float64(full.goroutines-before.goroutines)/count, float64(full.fds-before.fds)/count)
	start = time.Now()
	end(list)
	t.Logf("all ended in %v", time.Since(start).Round(time.Millisecond))
	clear(list)
	once := settled(t, before)
	end(startSleepers(t, h, count))
	twice := settled(t, before)
	t.Logf("before %+v, with all %+v, after %+v, after once more %+v", before, full, once, twice)
	if each > maxEach {
		t.Errorf("each container takes %d bytes, more than %d", each, maxEach)
	}
	// The first time leaves room in Go's heap and tables.
	if twice.goroutines > before.goroutines || twice.fds > before.fds || twice.pss > once.pss+maxLeft {
		t.Errorf("something is left: before %+v, after %+v, after once more %+v", before, once, twice)
	}
}

// settled measures when goroutines have ended that end just after what they
// worked for.
func settled(t *testing.T, before usage) usage {
	t.Helper()
	for range 100 {
		if runtime.NumGoroutine() <= before.goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return measure(t)
}
