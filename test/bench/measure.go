package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// sample is what one finished process used.
type sample struct {
	cpu    time.Duration // user and system
	wall   time.Duration
	maxRSS int64 // bytes, of the largest process
	stdout string
}

// runTimeout bounds one measured process.
const runTimeout = 5 * time.Minute

// run runs a command to its end and measures it with its children.
func run(argv []string) (sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("running %q: %w: %s", argv, err, tail(stderr.Bytes()))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return sample{}, errors.New("this system does not report what a process used")
	}
	return sample{
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		wall: wall, maxRSS: usage.Maxrss * 1024, stdout: stdout.String(),
	}, nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// side is one of the systems that are compared.
type side struct {
	name string
	argv func(program string, args ...string) []string
}

// alternate runs the same program on every side in turn, rounds times, and
// returns the samples by side. Taking turns keeps a drift in the machine's
// speed out of the ratios.
func alternate(sides []side, rounds int, program string, args ...string) (map[string][]sample, error) {
	samples := map[string][]sample{}
	for range rounds {
		for _, s := range sides {
			got, err := run(s.argv(program, args...))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			samples[s.name] = append(samples[s.name], got)
		}
	}
	return samples, nil
}

// median returns the middle one of a value of the samples.
func median[T ~int64 | ~float64](samples []sample, of func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func cpuOf(s sample) time.Duration { return s.cpu }
