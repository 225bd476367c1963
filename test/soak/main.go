// Command soak runs mixed work (forks, execs, pipes, sockets, files, threads,
// signals, terminals) in many short containers and one long one of a single
// process, for as long as it is told to, and fails if goroutines, descriptors or
// memory grow, a container's audit trail does not verify, or a program's checks
// do not hold.
//
//	go run ./test/soak -for 1h -out out/soak
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"megabinary.dev/test/images"
	"megabinary.dev/test/inprocess"
	"megabinary.dev/vkernel"
)

// programs are those of test/guest that the work is made of.
var programs = []string{"anonfiles", "fileio", "identity", "inet", "inotify", "memory", "mqueue", "names", "pipes",
	"processes", "pty", "sealing", "signalfds", "signals", "threads", "unixsock"}

func main() {
	length := flag.Duration("for", time.Hour, "how long")
	out := flag.String("out", "out/soak", "folder for programs and images")
	megabin := flag.String("megabin", "bin/megabin", "the program that rebuilds the image")
	workers := flag.Int("workers", 2, "containers at a time, besides the long one")
	flag.Parse()
	if err := run(*length, *out, *megabin, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak is one run.
type soak struct {
	host *inprocess.Host
	ctx  context.Context

	gate           sync.RWMutex // held by those that work; by the checkpoint, when nobody may
	rounds, failed atomic.Int64

	mu       sync.Mutex
	failures map[string]int // by program
	first    map[string]string
}

func run(length time.Duration, out, megabin string, workers int) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("resolving the output folder: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, err := prepare(ctx, out, megabin)
	if err != nil {
		return err
	}
	s := &soak{host: host, ctx: ctx, failures: map[string]int{}, first: map[string]string{}}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { s.work(i) })
	}
	var long error
	wg.Go(func() { long = s.long() })
	grown := s.watch(length)
	cancel()
	wg.Wait()
	end := measure()
	fmt.Printf("the end: %v, after %d containers\n", end, s.rounds.Load())
	return errors.Join(grown, long, s.verdict(), leftOver(end))
}

// leftOver checks that nothing is left when nothing runs.
func leftOver(end usage) error {
	if end.goroutines > 5 {
		buf := make([]byte, 1<<16)
		return fmt.Errorf("%d goroutines are left:\n%s", end.goroutines, buf[:runtime.Stack(buf, true)])
	}
	return nil
}

// prepare makes the image: busybox and the programs.
func prepare(ctx context.Context, out, megabin string) (*inprocess.Host, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fmt.Errorf("making the output folder: %w", err)
	}
	var sources []string
	for _, p := range programs {
		sources = append(sources, filepath.Join("test/guest", p+".c"))
	}
	files, err := inprocess.Compile(out, []string{"musl-gcc", "-static", "-O1"}, sources...)
	if err != nil {
		return nil, fmt.Errorf("%w (run from the repository's root)", err)
	}
	files["/bin/sh"], files["/bin/rm"] = "/bin/busybox", "/bin/busybox"
	img, err := images.Programs(files)
	if err != nil {
		return nil, err
	}
	ref, err := inprocess.Build(megabin, out, img)
	if err != nil {
		return nil, err
	}
	return inprocess.Open(ctx, out, ref, vkernel.Config{})
}

// work runs one container after the other.
func (s *soak) work(worker int) {
	for i := worker; s.ctx.Err() == nil; i++ {
		s.gate.RLock()
		name := programs[i%len(programs)]
		output, err := s.one(name)
		s.gate.RUnlock()
		s.rounds.Add(1)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil || failing(output) != "" || !strings.Contains(output, "ok ") {
			s.failed.Add(1)
			s.mu.Lock()
			if s.failures[name]++; s.first[name] == "" {
				fmt.Printf("%s: %v: %s\n", name, err, failing(output))
				s.first[name] = fmt.Sprintf("%v: %s, at last %q", err, failing(output), output[max(0, len(output)-200):])
			}
			s.mu.Unlock()
		}
	}
}

// failing returns the lines of output that say of a check that it failed.
func failing(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "FAIL ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// one runs a program in a container of its own and verifies its audit trail.
func (s *soak) one(name string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	var out strings.Builder
	trail := newTrail()
	status, err := s.host.Run(ctx, s.host.Image, vkernel.Spec{ID: name, Args: []string{"/bin/" + name}, Dir: "/tmp",
		Stdout: &out, Stderr: &out, Audit: trail})
	if terr := trail.verify(); err == nil {
		err = terr
	}
	if err == nil && status.Signal != 0 {
		err = fmt.Errorf("signal %d", status.Signal)
	}
	return out.String(), err
}

// long runs one container until the end, in which a shell starts the programs
// again and again.
func (s *soak) long() error {
	script := "while :; do for p in " + strings.Join(programs, " ") + "; do /bin/$p; done > /tmp/out 2>&1; /bin/rm -rf /tmp/*; done"
	trail := newTrail()
	_, err := s.host.Run(s.ctx, s.host.Image, vkernel.Spec{ID: "long", Args: []string{"/bin/sh", "-c", script}, Dir: "/tmp", Audit: trail})
	if terr := trail.verify(); err == nil {
		err = terr
	}
	if err != nil {
		return fmt.Errorf("the long container: %w", err)
	}
	return nil
}

// settle is how many of the first checkpoints fill caches and pools.
const settle = 3

// watch measures at intervals until length has passed, and compares.
func (s *soak) watch(length time.Duration) error {
	interval := max(length/60, 10*time.Second)
	start := time.Now()
	var list []usage
	for time.Since(start) < length {
		time.Sleep(interval)
		s.gate.Lock() // nothing but the long container runs now
		time.Sleep(100 * time.Millisecond)
		u := measure()
		s.gate.Unlock()
		list = append(list, u)
		fmt.Printf("%8v %v, %d containers, %d failed\n", time.Since(start).Round(time.Second), u, s.rounds.Load(), s.failed.Load())
	}
	if len(list) < 2*settle {
		return fmt.Errorf("%d checkpoints in %v are too few to compare", len(list), length)
	}
	return grown(list)
}

// grown compares the least of the last checkpoints with the most of the first.
func grown(list []usage) error {
	first, last := list[:settle], list[len(list)-settle:]
	var err error
	for _, m := range []struct {
		name  string
		of    func(usage) int64
		slack int64 // what the long container may hold by chance, and noise
	}{
		{"goroutines", func(u usage) int64 { return int64(u.goroutines) }, 20},
		{"descriptors", func(u usage) int64 { return int64(u.fds) }, 10},
		{"memory", func(u usage) int64 { return u.pss }, 24 << 20},
	} {
		var a, b []int64
		for i := range settle {
			a, b = append(a, m.of(first[i])), append(b, m.of(last[i]))
		}
		if was, is := slices.Max(a), slices.Min(b); is > was+m.slack {
			err = errors.Join(err, fmt.Errorf("%s grew from %d to %d", m.name, was, is))
		}
	}
	return err
}

// verdict fails if a program's checks did not hold more often than timing under
// load explains: once in ten.
func (s *soak) verdict() error {
	var err error
	each := int(s.rounds.Load())/len(programs) + 1
	for _, name := range programs {
		if n := s.failures[name]; n > 0 {
			fmt.Printf("%s failed %d times of about %d, first: %s\n", name, n, each, s.first[name])
			if n*10 > each {
				err = errors.Join(err, fmt.Errorf("%s failed %d times of about %d", name, n, each))
			}
		}
	}
	return err
}
