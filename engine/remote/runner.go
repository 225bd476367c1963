package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/hashicorp/go-plugin"
)

// group runs a plugin in a process group of its own: ^C at the terminal reaches
// the engine alone, which kills the group, the plugin's children included. It
// implements go-plugin's runner.Runner instead of the library's own, which would
// hand the plugin our standard input and cannot be killed before the handshake.
type group struct {
	path   string
	args   []string
	dir    string               // for temporary files
	secure *plugin.SecureConfig // nil: the running program itself
	bound  bool                 // see Config.Bound
	reaped chan struct{}

	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr io.ReadCloser

	mu     sync.Mutex // guards pid and killed
	pid    int        // 0: not started, or reaped
	killed bool
}

// prepare takes over the environment that go-plugin made.
func (g *group) prepare(env []string) error {
	g.cmd = exec.Command(g.path, g.args...)
	g.reaped = make(chan struct{})
	g.cmd.Env = append([]string{"TMPDIR=" + g.dir}, env...)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.stdout, err = g.cmd.StdoutPipe(); err != nil {
		return err
	}
	g.stderr, err = g.cmd.StderrPipe()
	return err
}

// Start implements runner.Runner.
func (g *group) Start(context.Context) error {
	if g.secure != nil {
		same, err := g.secure.Check(g.path)
		if err != nil {
			return fmt.Errorf("checking its checksum: %w", err)
		}
		if !same {
			return plugin.ErrChecksumsDoNotMatch
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		return errors.New("it was stopped before it started")
	}
	start := g.cmd.Start
	if g.bound {
		start = func() error { return startBound(g.cmd, g.reaped) }
	}
	if err := start(); err != nil {
		return err
	}
	g.pid = g.cmd.Process.Pid
	return nil
}

// Wait implements runner.Runner.
func (g *group) Wait(context.Context) error {
	err := g.cmd.Wait()
	close(g.reaped)
	g.mu.Lock()
	g.pid = 0
	g.mu.Unlock()
	return err
}

// Kill implements runner.Runner.
func (g *group) Kill(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = true
	if g.pid == 0 {
		return nil
	}
	return syscall.Kill(-g.pid, syscall.SIGKILL)
}

// ID implements runner.Runner.
func (g *group) ID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strconv.Itoa(g.pid)
}

// Name, Stdout, Stderr and Diagnose implement runner.Runner.
func (g *group) Name() string                    { return g.path }
func (g *group) Stdout() io.ReadCloser           { return g.stdout }
func (g *group) Stderr() io.ReadCloser           { return g.stderr }
func (g *group) Diagnose(context.Context) string { return "" }

// PluginToHost and HostToPlugin implement runner.Runner: both see one host.
func (g *group) PluginToHost(network, addr string) (string, string, error) { return network, addr, nil }
func (g *group) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }
