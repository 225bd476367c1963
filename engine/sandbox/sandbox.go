// Package sandbox runs plugins as Extism modules on wazero. A module has the
// memory, time, paths and hosts that it was granted and nothing else: no clock,
// no randomness, no environment.
package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"google.golang.org/protobuf/proto"

	"megabinary.dev/engine/remote"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
	"megabinary.dev/sdk/stage/stagepb"
)

// Config says what to run and what it may use.
type Config struct {
	Name     string   // for messages
	Module   []byte   // the wasm module
	Digest   string   // sha256:<hex> that it must have; "": any
	CacheDir string   // for compiled modules; "": none
	Memory   int64    // bytes; compulsory
	Paths    []string // host directories that it may read, under the same names
	Hosts    []string // hosts that it may reach by HTTP
}

// describeTimeout limits Describe, compilation apart.
const describeTimeout = time.Minute

const (
	pageSize = 64 << 10 // of wasm, bytes
	maxPages = 1 << 16
)

// The names of a module's functions and of the engine's.
const (
	functionDescribe = "describe"
	functionRun      = "run"
	functionEvent    = "megabinary_event"
)

// Plugin is a module; every run has an instance of its own.
type Plugin struct {
	config Config
	digest string

	mu       sync.Mutex // guards all below
	compiled *extism.CompiledPlugin
	cache    wazero.CompilationCache
}

// New checks the module's digest. It is compiled when it is first run.
func New(config Config) (*Plugin, error) {
	if config.Memory <= 0 {
		return nil, errors.New("a sandboxed plugin needs memory")
	}
	sum := sha256.Sum256(config.Module)
	digest := stage.DigestPrefix + hex.EncodeToString(sum[:])
	if config.Digest != "" && config.Digest != digest {
		return nil, &remote.ChecksumError{Want: config.Digest, Got: digest}
	}
	return &Plugin{config: config, digest: digest}, nil
}

// Digest returns the digest of the module.
func (p *Plugin) Digest() string { return p.digest }

// Close frees the compiled module. No run may be under way.
func (p *Plugin) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx := context.Background()
	var errs []error
	if p.compiled != nil {
		errs = append(errs, p.compiled.Close(ctx))
		p.compiled = nil
	}
	if p.cache != nil {
		errs = append(errs, p.cache.Close(ctx))
		p.cache = nil
	}
	return errors.Join(errs...)
}

// compile returns the compiled module.
func (p *Plugin) compile(ctx context.Context) (*extism.CompiledPlugin, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.compiled != nil {
		return p.compiled, nil
	}
	// CloseOnContextDone is part of the key of compiled code: always on.
	runtime := wazero.NewRuntimeConfig().WithCloseOnContextDone(true)
	if p.config.CacheDir != "" && p.cache == nil {
		cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(p.config.CacheDir, "wazero"))
		if err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules: %w", err)
		}
		p.cache = cache
	}
	if p.cache != nil {
		runtime = runtime.WithCompilationCache(p.cache)
	}
	manifest := extism.Manifest{
		Wasm:         []extism.Wasm{extism.WasmData{Data: p.config.Module, Hash: strings.TrimPrefix(p.digest, stage.DigestPrefix)}},
		Memory:       &extism.ManifestMemory{MaxPages: uint32(min(maxPages, (p.config.Memory+pageSize-1)/pageSize))},
		AllowedHosts: p.config.Hosts,
	}
	// The compiled module outlives this call, so it must not depend on ctx.
	compileCtx := experimental.WithCompilationWorkers(context.WithoutCancel(ctx), goruntime.GOMAXPROCS(0))
	compiled, err := extism.NewCompiledPlugin(compileCtx, manifest,
		extism.PluginConfig{EnableWasi: true, RuntimeConfig: runtime}, []extism.HostFunction{eventFunction()})
	if err != nil {
		return nil, fmt.Errorf("compiling the module of plugin %s: %w", p.config.Name, err)
	}
	p.compiled = compiled
	return compiled, nil
}

// eventKey is the context's key of the function that takes events.
type eventKey struct{}

// eventFunction is what a running stage calls with an encoded event.
func eventFunction() extism.HostFunction {
	return extism.NewHostFunctionWithStack(functionEvent, func(ctx context.Context, current *extism.CurrentPlugin, stack []uint64) {
		on, ok := ctx.Value(eventKey{}).(func(*stagepb.Event))
		if !ok {
			return
		}
		b, err := current.ReadBytes(stack[0])
		if err != nil {
			return // a module that lies about its memory harms its own events only
		}
		e := new(stagepb.Event)
		if proto.Unmarshal(b, e) == nil && e.Of != nil {
			on(e)
		}
	}, []extism.ValueType{extism.ValueTypeI64}, nil)
}

// Describe asks for the plugin's stages.
func (p *Plugin) Describe(ctx context.Context) ([]stage.Description, error) {
	if _, err := p.compile(ctx); err != nil { // takes its time, once
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	reply := new(stagepb.DescribeReply)
	if err := p.call(ctx, functionDescribe, new(stagepb.DescribeRequest), reply, wazero.NewFSConfig()); err != nil {
		return nil, err
	}
	all, err := stage.DescriptionsFromReply(reply)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.config.Name, err)
	}
	return all, nil
}

// Run runs one stage in an instance of its own. When ctx ends, it is stopped.
func (p *Plugin) Run(ctx context.Context, req *stagepb.RunRequest, on func(*stagepb.Event)) (*stagepb.Result, error) {
	// Inputs hold what an attacker wrote; the module sees nothing else of the
	// host. ReadFS keeps /in from being written, noLinks keeps /out from holding links.
	mounts := mount(wazero.NewFSConfig(), &sysfs.ReadFS{FS: sysfs.DirFS(req.GetIn())}, stage.InDir)
	mounts = mount(mounts, noLinks{sysfs.DirFS(req.GetOut())}, stage.OutDir)
	for _, path := range p.config.Paths {
		mounts = mount(mounts, &sysfs.ReadFS{FS: sysfs.DirFS(path)}, path)
	}
	inside := proto.Clone(req).(*stagepb.RunRequest)
	inside.In, inside.Out = stage.InDir, stage.OutDir
	reply := new(stagepb.RunReply)
	ctx = context.WithValue(ctx, eventKey{}, on)
	if err := p.call(ctx, functionRun, inside, reply, mounts); err != nil {
		return nil, err
	}
	if n := len(reply.GetEvents()); n != 1 {
		return nil, p.nonsense(fmt.Errorf("%d last events instead of one", n))
	}
	switch of := reply.GetEvents()[0].Of.(type) {
	case *stagepb.Event_Result:
		return of.Result, nil
	case *stagepb.Event_Failure:
		return nil, &serve.StageError{Message: of.Failure.GetMessage()}
	}
	return nil, p.nonsense(errors.New("neither a result nor a failure"))
}

func (p *Plugin) nonsense(err error) error {
	return fmt.Errorf("plugin %s answered nonsense: %w", p.config.Name, err)
}

func mount(config wazero.FSConfig, fs experimentalsys.FS, guest string) wazero.FSConfig {
	return config.(sysfs.FSConfig).WithSysFSMount(fs, guest)
}

// noLinks keeps a module from making links in /out: wazero follows symbolic
// links on the host, so one that points outside would be a way out.
type noLinks struct{ experimentalsys.FS }

func (noLinks) Symlink(string, string) experimentalsys.Errno { return experimentalsys.EPERM }
func (noLinks) Link(string, string) experimentalsys.Errno    { return experimentalsys.EPERM }

// call calls one function in a new instance.
func (p *Plugin) call(ctx context.Context, function string, in, out proto.Message, mounts wazero.FSConfig) error {
	compiled, err := p.compile(ctx)
	if err != nil {
		return err
	}
	message, err := proto.Marshal(in)
	if err != nil {
		return fmt.Errorf("calling plugin %s: %w", p.config.Name, err)
	}
	var stderr head
	module := wazero.NewModuleConfig().WithFSConfig(mounts).WithStderr(&stderr)
	instance, err := compiled.Instance(ctx, extism.PluginInstanceConfig{ModuleConfig: module})
	if err != nil {
		return p.explain(ctx, function, err, &stderr)
	}
	defer instance.Close(context.WithoutCancel(ctx))
	if !instance.FunctionExists(function) {
		return fmt.Errorf("plugin %s is no plugin: its module does not export %q", p.config.Name, function)
	}
	status, reply, err := instance.CallWithContext(ctx, function, message)
	if err != nil {
		return p.explain(ctx, function, err, &stderr)
	}
	if status != 0 {
		return p.nonsense(fmt.Errorf("%s returned status %d", function, status))
	}
	if err := proto.Unmarshal(reply, out); err != nil {
		return p.nonsense(err)
	}
	return nil
}

func (p *Plugin) explain(ctx context.Context, function string, err error, stderr *head) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &remote.TimeoutError{Plugin: p.config.Name, Doing: "function " + function}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &remote.CrashError{Plugin: p.config.Name, Stderr: stderr.String(), Err: err}
}

// head keeps the first of what a module writes to standard error: Go says first
// why it panics, and a trace of any length follows.
type head struct {
	bytes.Buffer
}

// maxHead is how much standard error is kept, in bytes.
const maxHead = 4 << 10

func (t *head) Write(b []byte) (int, error) {
	if room := maxHead - t.Len(); room > 0 {
		t.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
