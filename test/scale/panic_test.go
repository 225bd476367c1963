package scale

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"megabinary.dev/test/images"
	"megabinary.dev/test/inprocess"
	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/syscalls"
)

// TestPanicEndsOneTask makes a system call handler panic in some containers while
// others work: the process that called ends by SIGKILL, its shell goes on, and
// nobody else notices.
func TestPanicEndsOneTask(t *testing.T) {
	img, err := images.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(scratch, "panic")
	ref, err := inprocess.Build(megabin, dir, img)
	if err != nil {
		t.Fatal(err)
	}
	h, err := inprocess.Open(t.Context(), dir, ref, vkernel.Config{Trace: syscalls.TraceOptions{
		Set:   map[string]bool{"sync": true},
		Print: func(string) { panic("a fault of ours, made by the test") },
	}})
	if err != nil {
		t.Fatal(err)
	}
	before := measure(t)
	const each = 6
	work := "i=0; while [ $i -lt 60 ]; do echo $i | cat | { read n; [ $n = $i ] || echo wrong; }; i=$((i+1)); done; echo worked"
	faults := "i=0; while [ $i -lt 20 ]; do sync; [ $? = 137 ] || echo wrong; i=$((i+1)); done; echo worked; exec sync"
	var wg sync.WaitGroup
	for i := range 2 * each {
		script, code, panics := work, 0, 0
		if i%2 == 0 {
			script, code, panics = faults, 137, 21
		}
		wg.Go(func() {
			var out, trail buffer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			status, err := h.Run(ctx, h.Image, vkernel.Spec{ID: fmt.Sprint(i), Args: []string{"/bin/sh", "-c", script},
				Stdout: &out, Audit: &trail}) // the shell says "Killed" on stderr
			if err != nil || status.ExitCode() != code || out.String() != "worked\n" {
				t.Errorf("container %d: %+v, %v: %q", i, status, err, out.String())
			}
			if n := strings.Count(trail.String(), `"event":"panic"`); n != panics {
				t.Errorf("container %d: the trail has %d panics, not %d", i, n, panics)
			}
			if _, err := audit.Verify(strings.NewReader(trail.String())); err != nil {
				t.Errorf("container %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if after := settled(t, before); after.goroutines > before.goroutines || after.fds > before.fds+2 {
		t.Errorf("something is left: before %+v, after %+v", before, after)
	}
}

// stressed are the programs of test/guest that use the vkernel from many threads.
var stressed = []string{"threads", "signals", "pipes", "unixsock", "processes", "memory", "anonfiles", "inet"}

// TestStress runs programs with threads, in several containers at a time; `make
// race` does so under the race detector.
func TestStress(t *testing.T) {
	dir := filepath.Join(scratch, "stress")
	var sources []string
	for _, p := range stressed {
		sources = append(sources, filepath.Join("../guest", p+".c"))
	}
	files, err := inprocess.Compile(t.TempDir(), []string{"musl-gcc", "-static", "-O1"}, sources...)
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Programs(files)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := inprocess.Build(megabin, dir, img)
	if err != nil {
		t.Fatal(err)
	}
	h, err := inprocess.Open(t.Context(), dir, ref, vkernel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, p := range stressed {
		wg.Go(func() {
			for range 3 {
				var out buffer
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				status, err := h.Run(ctx, h.Image, vkernel.Spec{ID: p, Args: []string{"/bin/" + p}, Dir: "/tmp", Stdout: &out, Stderr: &out})
				// What the checks say depends on time under such load; test/guest/agree
				// holds them.
				if err != nil || status.Signal != 0 || !strings.Contains(out.String(), "ok ") {
					t.Errorf("%s: %+v, %v: %.500s", p, status, err, out.String())
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
