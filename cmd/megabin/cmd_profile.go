package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/machine"
)

// profileFlags are the flags of profile.
type profileFlags struct {
	run    runFlags
	rate   int
	top    int
	asJSON bool
	pprof  string
	report string
}

// newProfileCmd returns the command that says where a program's time goes.
func newProfileCmd(a *app) *cobra.Command {
	o := profileFlags{run: runFlags{}}
	cmd := &cobra.Command{
		Use:   "profile [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a rebuilt image and say which guest functions took the time",
		Long: `Run a command in an image that megabin build has made, look at what each of its
tasks does many times a second, and list the guest functions by time.

Which function a task is in is exact at each look: its code is compiled with marks
at the start of each function and after each call, anew each time. The times are
statistical, and by the clock: time between two looks counts for the function that
the second one finds, also if the machine was busy with something else. SELF is guest code that runs; HOST is the time in which the
function waited for the host: system calls, sleep, and compiling code when it is
first needed. Guest code between two functions is [calls]. Functions without a
symbol are f_ADDRESS. There are no call stacks.

The report goes to standard error, or to the file of --report. The exit status is
the command's.`,
		Example: `  megabin profile oci:app-mega app --work
  megabin profile -o app.pb.gz oci:app-mega app --work && go tool pprof -top app.pb.gz
  megabin profile --json --report app.json oci:app-mega app --work`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("profile needs an IMAGE\nSee 'megabin profile --help'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.rate < 1 || o.rate > 10_000 {
				return fmt.Errorf("--rate %d is not between 1 and 10000", o.rate)
			}
			return a.profile(cmd.Context(), o, args[0], args[1:])
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows IMAGE is the command's
	f.IntVar(&o.rate, "rate", 500, "looks a second")
	f.IntVar(&o.top, "top", 30, "functions that the report lists")
	f.BoolVar(&o.asJSON, "json", false, "report all functions as JSON")
	f.StringVarP(&o.pprof, "output", "o", "", "write a profile for go tool pprof to this file")
	f.StringVar(&o.report, "report", "", "write the report to this file")
	f.BoolVarP(&o.run.interactive, "interactive", "i", false, "give the command standard input")
	f.StringArrayVarP(&o.run.env, "env", "e", nil, "set a variable, K=V; K alone takes it from here")
	f.StringVarP(&o.run.dir, "workdir", "w", "", "working directory")
	f.StringVarP(&o.run.user, "user", "u", "", "UID[:GID] or name[:group]")
	f.StringArrayVarP(&o.run.volumes, "volume", "v", nil, "mount a directory of the host, HOST:GUEST[:ro]")
	o.run.limits.add(f)
	f.String(settingStore, "", "where artifacts are kept")
	f.String(settingCacheDir, "", "where unpacked layers are kept")
	return cmd
}

func (a *app) profile(ctx context.Context, o profileFlags, ref string, command []string) error {
	pulled, s, err := a.pullForRun(ctx, ref)
	if err != nil {
		return err
	}
	config, err := readImageConfig(s, pulled)
	if err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	spec, err := a.runSpec(o.run, config, command)
	if err != nil {
		return err
	}
	machines := new(machine.Profiler)
	v, img, err := a.loadImage(ctx, vkernel.Config{Profiler: machines}, ref, s, pulled, config)
	if err != nil {
		return err
	}
	// Guest code keeps its processor: without one more the sampler would starve.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	p := &profile{Program: spec.Args, Rate: o.rate, index: map[funcKey]*profiledFunc{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		p.watch(machines, img.UnitPath, stop)
	}()
	ended := a.runToEnd(ctx, v, img, spec, published{})
	close(stop)
	<-stopped
	if err := a.writeProfile(p, o); err != nil {
		return err
	}
	return ended
}

// watch takes samples until stop is closed.
func (p *profile) watch(machines *machine.Profiler, unitPath func(int) string, stop <-chan struct{}) {
	paths := map[int]string{}
	pathOf := func(unit int) string {
		path, ok := paths[unit]
		if !ok {
			path = unitPath(unit)
			paths[unit] = path
		}
		return path
	}
	tick := time.NewTicker(time.Second / time.Duration(p.Rate))
	defer tick.Stop()
	start := time.Now()
	for last := start; ; {
		select {
		case <-stop:
			p.Duration = time.Since(start)
			p.sort()
			return
		case <-tick.C:
		}
		now := time.Now()
		p.sample(machines, pathOf, now.Sub(last))
		last = now
	}
}

func (a *app) writeProfile(p *profile, o profileFlags) (err error) {
	if o.pprof != "" {
		f, err := os.Create(o.pprof)
		if err != nil {
			return fmt.Errorf("writing the profile: %w", err)
		}
		if err := errors.Join(p.writePprof(f), f.Close()); err != nil {
			return err
		}
	}
	out := a.stderr
	if o.report != "" {
		f, err := os.Create(o.report)
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	if o.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(p)
	}
	return p.print(out, o.top)
}
