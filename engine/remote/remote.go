// Package remote runs plugins as processes, with go-plugin: gRPC, AutoMTLS and a
// pinned checksum. A process runs one stage at a time, so that a crash or a
// timeout hits nothing else.
package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
	"megabinary.dev/sdk/stage/stagepb"
)

// Config says what to run.
type Config struct {
	Name   string // for messages
	Path   string // the executable
	Args   []string
	Digest string // sha256:<hex> that the executable must have; "": any
	// Own says that Path is the running program itself, whose digest is Digest:
	// it is neither copied nor hashed again.
	Own bool
	// Bound says that the system shall kill the process when the engine dies,
	// because the process may be unable to see it. Linux only.
	Bound   bool
	TempDir string // private copies go here; "": the system's
	// StartTimeout limits the time to the handshake; 0: 30 s.
	StartTimeout time.Duration
	// DescribeTimeout limits Describe, with the start if there is one; 0: as
	// StartTimeout.
	DescribeTimeout time.Duration
}

const defaultStartTimeout = 30 * time.Second

// ChecksumError says that a plugin's file is not the pinned one.
type ChecksumError struct {
	Want, Got string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("checksum mismatch: its file is %s, but %s is pinned", e.Got, e.Want)
}

// CrashError says that the plugin's process ended, or talked nonsense, before it
// gave a result.
type CrashError struct {
	Plugin string
	Stderr string // the last lines
	Err    error
}

func (e *CrashError) Error() string {
	s := fmt.Sprintf("plugin %s ended before it gave a result (%v)", e.Plugin, e.Err)
	if e.Stderr != "" {
		s += "; the last lines of its standard error:\n" + indent(e.Stderr)
	}
	return s
}

func (e *CrashError) Unwrap() error { return e.Err }

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

// TimeoutError says that a plugin was killed because it took too long.
type TimeoutError struct {
	Plugin, Doing string
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("plugin %s hung: it did not finish %s in time and was killed", e.Plugin, e.Doing)
}

func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Plugin is a plugin in processes, which are started when they are needed.
type Plugin struct {
	config Config
	path   string // what is executed
	digest string
	dir    string // of the private copy; "" if there is none

	mu     sync.Mutex // guards idle and closed
	idle   []*process
	closed bool
}

// New checks the executable's digest and makes a private copy of it, which
// nobody can change between this check and its use.
func New(config Config) (*Plugin, error) {
	if config.StartTimeout == 0 {
		config.StartTimeout = defaultStartTimeout
	}
	if config.DescribeTimeout == 0 {
		config.DescribeTimeout = config.StartTimeout
	}
	p := &Plugin{config: config, path: config.Path, digest: config.Digest}
	if config.Own {
		return p, nil
	}
	if err := p.copyVerified(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Plugin) copyVerified() (err error) {
	source, err := os.Open(p.config.Path)
	if err != nil {
		return fmt.Errorf("opening the plugin: %w", err)
	}
	defer source.Close()
	if info, err := source.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("opening the plugin: %s is not a regular file", p.config.Path)
	}
	if p.dir, err = os.MkdirTemp(p.config.TempDir, "plugin-*"); err != nil {
		return fmt.Errorf("copying the plugin: %w", err)
	}
	p.path = filepath.Join(p.dir, filepath.Base(p.config.Path))
	private, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return fmt.Errorf("copying the plugin: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(private, h), source)
	if err := errors.Join(err, private.Close()); err != nil {
		return fmt.Errorf("copying the plugin: %w", err)
	}
	p.digest = stage.DigestPrefix + hex.EncodeToString(h.Sum(nil))
	if p.config.Digest != "" && p.digest != p.config.Digest {
		return &ChecksumError{Want: p.config.Digest, Got: p.digest}
	}
	return nil
}

// Digest returns the digest of the plugin's executable.
func (p *Plugin) Digest() string { return p.digest }

// Close ends all idle processes and removes the private copy.
func (p *Plugin) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, process := range idle {
		process.kill()
	}
	if p.dir != "" {
		return os.RemoveAll(p.dir)
	}
	return nil
}

// Describe asks for the plugin's stages.
func (p *Plugin) Describe(ctx context.Context) ([]stage.Description, error) {
	var all []stage.Description
	err := p.with(ctx, p.config.DescribeTimeout, "describing itself", nil, func(ctx context.Context, client *serve.Client) error {
		reply, err := client.Describe(ctx)
		if err != nil {
			return err
		}
		all, err = stage.DescriptionsFromReply(reply)
		if err != nil {
			return &serve.StageError{Message: err.Error()}
		}
		return nil
	})
	return all, err
}

// Run runs one stage, in a process of its own until it is done. When ctx ends,
// the process is killed.
func (p *Plugin) Run(ctx context.Context, req *stagepb.RunRequest, on func(*stagepb.Event)) (*stagepb.Result, error) {
	var result *stagepb.Result
	err := p.with(ctx, 0, "stage "+req.GetStage(), on, func(ctx context.Context, client *serve.Client) error {
		var err error
		result, err = client.Run(ctx, req, on)
		return err
	})
	return result, err
}

// with calls f with a process. The process goes back to the idle ones if f gives
// no error, or one of the stage itself, and is killed otherwise.
func (p *Plugin) with(ctx context.Context, timeout time.Duration, doing string, on func(*stagepb.Event), f func(context.Context, *serve.Client) error) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	process, err := p.take(ctx)
	if err != nil {
		return err
	}
	process.stderr.listen(on)
	err = f(ctx, process.client)
	process.stderr.listen(nil)
	var own *serve.StageError
	if err == nil || errors.As(err, &own) {
		p.give(process)
		return err
	}
	process.kill()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &TimeoutError{Plugin: p.config.Name, Doing: doing}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	var broken *serve.BrokenError
	if errors.As(err, &broken) {
		return fmt.Errorf("plugin %s: %w", p.config.Name, err)
	}
	return &CrashError{Plugin: p.config.Name, Stderr: process.stderr.tail(), Err: err}
}

func (p *Plugin) take(ctx context.Context) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fmt.Errorf("plugin %s is closed", p.config.Name)
	}
	if n := len(p.idle); n > 0 {
		process := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return process, nil
	}
	p.mu.Unlock()
	return p.start(ctx)
}

func (p *Plugin) give(process *process) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, process)
	}
	p.mu.Unlock()
	if closed {
		process.kill()
	}
}

// process is one running plugin process.
type process struct {
	plugin *plugin.Client
	group  *group
	client *serve.Client
	stderr *stderr
	dir    string // its temporary files and its socket
}

func (p *Plugin) start(ctx context.Context) (*process, error) {
	// Not under TempDir: a socket's path may have 108 bytes only.
	dir, err := os.MkdirTemp("", "megabin-")
	if err != nil {
		return nil, fmt.Errorf("starting plugin %s: %w", p.config.Name, err)
	}
	pr := &process{stderr: new(stderr), dir: dir, group: &group{path: p.path, args: p.config.Args, dir: dir, bound: p.config.Bound}}
	if !p.config.Own {
		sum, err := hex.DecodeString(strings.TrimPrefix(p.digest, stage.DigestPrefix))
		if err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("starting plugin %s: %w", p.config.Name, err)
		}
		pr.group.secure = &plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}
	}
	pr.plugin = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  serve.Handshake(),
		Plugins:          plugin.PluginSet{serve.PluginName: &serve.GRPC{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     p.config.StartTimeout,
		Stderr:           pr.stderr, // of the process: a panic of Go's
		SyncStdout:       pr.stderr, // what the stage prints
		SyncStderr:       pr.stderr,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			return pr.group, pr.group.prepare(cmd.Env)
		},
	})
	stop := context.AfterFunc(ctx, pr.kill) // a plugin that hangs before the handshake
	defer stop()
	if err := pr.connect(); err != nil {
		pr.kill()
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, &TimeoutError{Plugin: p.config.Name, Doing: "starting"}
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		return nil, p.explainStart(err, pr.stderr.tail())
	}
	return pr, nil
}

func (pr *process) connect() error {
	conn, err := pr.plugin.Client()
	if err != nil {
		return err
	}
	raw, err := conn.Dispense(serve.PluginName)
	if err != nil {
		return err
	}
	pr.client = raw.(*serve.Client)
	return nil
}

// explainStart tells apart why a plugin did not start. go-plugin has no types
// for most of these.
func (p *Plugin) explainStart(err error, stderr string) error {
	message := err.Error()
	switch {
	case strings.Contains(message, "ncompatible"), strings.Contains(message, "nsupported plugin protocol"),
		strings.Contains(message, "Unrecognized remote plugin message"):
		err = fmt.Errorf("starting plugin %s: it does not speak protocol version %d of megabin's plugins (built against another SDK, or no plugin at all): %w",
			p.config.Name, serve.ProtocolVersion, err)
	case strings.Contains(message, "timeout while waiting"):
		return &TimeoutError{Plugin: p.config.Name, Doing: "starting"}
	default:
		err = fmt.Errorf("starting plugin %s: %w", p.config.Name, err)
	}
	if stderr != "" {
		err = fmt.Errorf("%w; the last lines of its standard error:\n%s", err, indent(stderr))
	}
	return err
}

// kill ends the process and all that it started, at once.
func (pr *process) kill() {
	pr.group.Kill(context.Background()) // fails if it is gone already
	pr.plugin.Kill()                    // waits until it is reaped
	os.RemoveAll(pr.dir)
}

// stderr keeps the end of a plugin's standard error and hands its lines on.
type stderr struct {
	mu   sync.Mutex // guards all below
	last []byte
	on   func(*stagepb.Event)
	line []byte // not yet ended
}

// maxTail is how much of the standard error is kept, in bytes.
const maxTail = 4 << 10

func (s *stderr) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, b...)
	if over := len(s.last) - maxTail; over > 0 {
		s.last = append(s.last[:0], s.last[over:]...)
	}
	s.line = append(s.line, b...)
	for {
		line, rest, ok := strings.Cut(string(s.line), "\n")
		if !ok {
			break
		}
		s.line = []byte(rest)
		if s.on != nil && line != "" {
			s.on(&stagepb.Event{Of: &stagepb.Event_Log{Log: &stagepb.Log{Level: "info", Message: line}}})
		}
	}
	if len(s.line) > maxTail {
		s.line = s.line[:0]
	}
	return len(b), nil
}

func (s *stderr) listen(on func(*stagepb.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

func (s *stderr) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.last)
}
