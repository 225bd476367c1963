package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/linux"
)

// limitFlags are the flags of run that bound what a container takes: docker's
// names, where docker has them.
type limitFlags struct {
	memory     string
	cpus       float64
	pids       int
	ulimits    []string
	storageOpt []string
	output     string
}

func (l *limitFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&l.memory, "memory", "m", "", "memory of all processes together, such as 256m: beyond it the largest is killed (default: three quarters of the host's)")
	f.Float64Var(&l.cpus, "cpus", 0, "processors' worth of CPU time, such as 0.5 (default: no limit)")
	f.IntVar(&l.pids, "pids-limit", 0, "processes and threads (default 4096)")
	f.StringArrayVar(&l.ulimits, "ulimit", nil, "a limit of each process, NAME=SOFT[:HARD], such as nofile=1024:4096; -1 is none")
	f.StringArrayVar(&l.storageOpt, "storage-opt", nil, "size=N: bytes that may be written to the root file system (default size=1g)")
	f.StringVar(&l.output, "output-limit", "", "bytes of output, such as 10m, after which the container is killed (default: no limit)")
}

// apply puts the flags into spec.
func (l *limitFlags) apply(spec *vkernel.Spec) error {
	var err error
	if spec.Memory, err = parseSize(l.memory); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	if l.cpus < 0 || l.cpus > 0 && l.cpus < 0.01 || l.cpus > 1e6 {
		return fmt.Errorf("--cpus %g is no number of processors; the least is 0.01", l.cpus)
	}
	spec.CPUs = l.cpus
	const mostTasks = 1 << 22
	if l.pids > mostTasks || l.pids < -1 {
		return fmt.Errorf("--pids-limit %d is not between 1 and %d", l.pids, mostTasks)
	}
	if spec.Tasks = l.pids; l.pids == -1 { // docker: unlimited
		spec.Tasks = mostTasks
	}
	for _, o := range l.storageOpt {
		size, ok := strings.CutPrefix(o, "size=")
		if !ok {
			return fmt.Errorf("--storage-opt %q is not size=N", o)
		}
		if spec.Disk, err = parseSize(size); err != nil {
			return fmt.Errorf("--storage-opt: %w", err)
		}
	}
	if spec.Output, err = parseAmount(l.output); err != nil {
		return fmt.Errorf("--output-limit: %w", err)
	}
	spec.Limits, err = parseUlimits(l.ulimits)
	return err
}

// ulimitNames are docker's names of resource limits, and "as".
var ulimitNames = map[string]int{
	"as": linux.RLIMIT_AS, "core": linux.RLIMIT_CORE, "cpu": linux.RLIMIT_CPU, "data": linux.RLIMIT_DATA, "fsize": linux.RLIMIT_FSIZE,
	"locks": linux.RLIMIT_LOCKS, "memlock": linux.RLIMIT_MEMLOCK, "msgqueue": linux.RLIMIT_MSGQUEUE, "nice": linux.RLIMIT_NICE,
	"nofile": linux.RLIMIT_NOFILE, "nproc": linux.RLIMIT_NPROC, "rss": linux.RLIMIT_RSS, "rtprio": linux.RLIMIT_RTPRIO,
	"rttime": linux.RLIMIT_RTTIME, "sigpending": linux.RLIMIT_SIGPENDING, "stack": linux.RLIMIT_STACK,
}

// parseUlimits reads NAME=SOFT[:HARD].
func parseUlimits(list []string) (map[int]linux.Rlimit, error) {
	limits := map[int]linux.Rlimit{}
	for _, s := range list {
		name, values, _ := strings.Cut(s, "=")
		resource, ok := ulimitNames[name]
		if !ok {
			names := make([]string, 0, len(ulimitNames))
			for n := range ulimitNames {
				names = append(names, n)
			}
			slices.Sort(names)
			return nil, fmt.Errorf("--ulimit %q: there is no limit %q; there are %s", s, name, strings.Join(names, ", "))
		}
		soft, hard, two := strings.Cut(values, ":")
		if !two {
			hard = soft
		}
		l := linux.Rlimit{}
		for _, v := range []struct {
			text string
			to   *uint64
		}{{soft, &l.Cur}, {hard, &l.Max}} {
			n, err := strconv.ParseInt(v.text, 10, 64)
			if err != nil || n < -1 {
				return nil, fmt.Errorf("--ulimit %q is not NAME=SOFT[:HARD] with numbers, -1 for none", s)
			}
			*v.to = uint64(n) // -1 is RLIM_INFINITY
		}
		if l.Cur > l.Max {
			return nil, fmt.Errorf("--ulimit %q: the soft limit is above the hard one", s)
		}
		limits[resource] = l
	}
	return limits, nil
}

// parseSize reads docker's sizes: a number with an optional b, k, m or g, at
// least 1m. "" is 0.
func parseSize(s string) (uint64, error) {
	n, err := parseAmount(s)
	const least = 1 << 20
	if err == nil && s != "" && n < least {
		return 0, fmt.Errorf("%s is too small: the least is 1m", s)
	}
	return n, err
}

// parseAmount is parseSize for any number above 0.
func parseAmount(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	digits := strings.TrimRight(strings.ToLower(s), "bkmgti")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s)[len(digits):], "b"), "i")
	shift, ok := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[unit]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || !ok || n == 0 || n > 1<<50>>shift {
		return 0, fmt.Errorf("%q is no size; use a number with k, m or g", s)
	}
	return n << shift, nil
}
