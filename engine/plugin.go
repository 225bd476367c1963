package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"megabinary.dev/engine/cache"
	"megabinary.dev/engine/lock"
	"megabinary.dev/engine/remote"
	"megabinary.dev/engine/sandbox"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

// Plugin is a plugin that can be run. Its methods may be called concurrently.
type Plugin interface {
	// Digest returns sha256:<hex> of the plugin's file.
	Digest() string
	Describe(ctx context.Context) ([]stage.Description, error)
	// Run runs one stage; on is called with every event but the last, never
	// twice at once.
	Run(ctx context.Context, req *stagepb.RunRequest, on func(*stagepb.Event)) (*stagepb.Result, error)
	Close() error
}

// Builtin is a plugin that the program carries.
type Builtin struct {
	Executable string   // process: what to run; its digest is Digest
	Args       []string // process
	Digest     string   // process: sha256:<hex> of Executable
	Module     []byte   // sandbox: the Extism module; nil if the program carries none
	Stages     []stage.Stage
}

// defaultTimeout limits a process stage to which the pipeline grants no timeout.
const defaultTimeout = time.Hour

// Plugins loads the plugins of pipelines. The zero value knows no built-in ones.
type Plugins struct {
	Builtins map[string]Builtin
	// SandboxRunner is the command of a trusted program, such as this one, that
	// gives its last argument, which the engine adds, to sandbox.Serve. Without
	// it, sandboxed plugins are refused.
	SandboxRunner []string
	CacheDir      string       // for compiled modules
	TempDir       string       // for private copies of plugins
	Cache         *cache.Cache // of descriptions; nil: none
	Warn          func(string) // may be nil
}

// loaded is a plugin with what the pipeline says of it.
type loaded struct {
	Plugin
	spec    *PluginSpec
	trusted bool // served by this very program

	once   sync.Once // guards stages and err
	stages []stage.Description
	err    error
}

// Load loads every plugin of a pipeline and checks it against the lock, which
// may be nil. Nothing is started yet.
func (p *Plugins) Load(pipeline *Pipeline, l *lock.Lock) (map[string]*loaded, error) {
	all := make(map[string]*loaded)
	digests := make(map[string]string)
	var errs []error
	for _, spec := range pipeline.Plugins {
		plugin, err := p.load(spec, filepath.Dir(pipeline.File), l != nil)
		if err != nil {
			errs = append(errs, errorAt(spec.Pos, "plugin %s: %w", spec.Name, err))
			continue
		}
		all[spec.Name] = plugin
		digests[spec.Name] = plugin.Digest()
	}
	errs = append(errs, l.Check(digests))
	if err := errors.Join(errs...); err != nil {
		closeAll(all)
		return nil, err
	}
	return all, nil
}

func closeAll(all map[string]*loaded) {
	for _, plugin := range all {
		plugin.Close()
	}
}

func (p *Plugins) load(spec *PluginSpec, dir string, locked bool) (*loaded, error) {
	if name, ok := strings.CutPrefix(spec.Source, "builtin:"); ok {
		return p.loadBuiltin(spec, name)
	}
	path := spec.Source
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if spec.SHA256 == "" && !locked {
		return nil, errors.New("its checksum is not pinned: give sha256, or write pipeline.lock with `megabin lock`")
	}
	want := ""
	if spec.SHA256 != "" {
		want = stage.DigestPrefix + spec.SHA256
	}
	if spec.Kind == Sandbox {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the module: %w", err)
		}
		module, err := p.sandboxed(spec, content, want)
		return module, err
	}
	process, err := remote.New(remote.Config{Name: spec.Name, Path: path, Digest: want, TempDir: p.TempDir})
	if err != nil {
		return nil, err
	}
	return &loaded{Plugin: process, spec: spec}, nil
}

func (p *Plugins) loadBuiltin(spec *PluginSpec, name string) (*loaded, error) {
	b, ok := p.Builtins[name]
	if !ok {
		return nil, fmt.Errorf("there is no built-in plugin %q; there are %s", name, strings.Join(sortedKeys(p.Builtins), ", "))
	}
	want := ""
	if spec.SHA256 != "" {
		want = stage.DigestPrefix + spec.SHA256
	}
	if spec.Kind == Sandbox {
		if b.Module != nil {
			return p.sandboxed(spec, b.Module, want)
		}
		if p.Warn != nil {
			p.Warn(fmt.Sprintf("plugin %s runs as a process, NOT sandboxed: this megabin was built without its module (run `make build`)", spec.Name))
		}
	}
	if want != "" && want != b.Digest {
		return nil, &ChecksumError{Want: want, Got: b.Digest}
	}
	process, err := remote.New(remote.Config{Name: spec.Name, Path: b.Executable, Args: b.Args, Digest: b.Digest, Own: true})
	if err != nil {
		return nil, err
	}
	l := &loaded{Plugin: process, spec: spec, trusted: true}
	l.once.Do(func() { // the process would say the same
		for _, s := range b.Stages {
			l.stages = append(l.stages, s.Describe())
		}
	})
	return l, nil
}

// ChecksumError says that a plugin's file is not the pinned one.
type ChecksumError = remote.ChecksumError

func (p *Plugins) sandboxed(spec *PluginSpec, content []byte, want string) (*loaded, error) {
	module, err := sandbox.New(sandbox.Config{
		Name:     spec.Name,
		Module:   content,
		Digest:   want,
		CacheDir: p.CacheDir,
		Memory:   spec.Permissions.Memory,
		Paths:    spec.Permissions.Paths,
		Hosts:    spec.Permissions.Hosts,
		Runner:   p.SandboxRunner,
		TempDir:  p.TempDir,
	})
	if err != nil {
		return nil, err
	}
	return &loaded{Plugin: module, spec: spec}, nil
}

// describe returns what the plugin says of its stages, from the cache if it was
// asked before.
func (l *loaded) describe(ctx context.Context, c *cache.Cache) ([]stage.Description, error) {
	l.once.Do(func() {
		if c != nil {
			if all, ok := c.Descriptions(l.Digest() + " " + l.spec.Source); ok {
				l.stages = all
				return
			}
		}
		if l.stages, l.err = l.Describe(ctx); l.err == nil && c != nil {
			l.err = c.PutDescriptions(l.Digest()+" "+l.spec.Source, l.stages)
		}
	})
	return l.stages, l.err
}

// timeout returns how long one run of one stage may take.
func (l *loaded) timeout() time.Duration {
	if l.spec.Permissions.Timeout > 0 {
		return l.spec.Permissions.Timeout
	}
	return defaultTimeout
}

// Digests returns the digest of every plugin of a pipeline, for its lock.
func (p *Plugins) Digests(pipeline *Pipeline) (map[string]lock.Plugin, error) {
	all := make(map[string]lock.Plugin)
	var errs []error
	for _, spec := range pipeline.Plugins {
		plugin, err := p.load(spec, filepath.Dir(pipeline.File), true)
		if err != nil {
			errs = append(errs, errorAt(spec.Pos, "plugin %s: %w", spec.Name, err))
			continue
		}
		all[spec.Name] = lock.Plugin{Source: spec.Source, Digest: plugin.Digest()}
		plugin.Close()
	}
	return all, errors.Join(errs...)
}
