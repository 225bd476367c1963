package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"google.golang.org/protobuf/proto"

	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/serve"
	"megabinary.dev/sdk/stage/stagepb"
)

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

// Serve is the main function of a runner: it serves the module that argument
// names until the engine says stop.
func Serve(argument string) error {
	m := &module{stderr: os.Stderr} // serving puts another file into os.Stderr
	if err := json.Unmarshal([]byte(argument), &m.grant); err != nil {
		return fmt.Errorf("decoding what the sandbox grants: %w", err)
	}
	serve.Serve(m)
	return nil
}

// module is a module and what it may use. It implements serve.Handler.
type module struct {
	grant  grant
	stderr *os.File

	mu       sync.Mutex // guards compiled
	compiled *extism.CompiledPlugin
}

// compile returns the compiled module.
func (m *module) compile(ctx context.Context) (*extism.CompiledPlugin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.compiled != nil {
		return m.compiled, nil
	}
	content, err := os.ReadFile(m.grant.Module)
	if err != nil {
		return nil, fmt.Errorf("reading the module: %w", err)
	}
	// CloseOnContextDone stays off: the engine kills this process instead.
	runtime := wazero.NewRuntimeConfig()
	if m.grant.CacheDir != "" {
		dir := filepath.Join(m.grant.CacheDir, "wazero")
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules: %w", err)
		}
		runtime = runtime.WithCompilationCache(cache)
		unlock, err := lockFile(filepath.Join(dir, strings.TrimPrefix(m.grant.Digest, stage.DigestPrefix)+".lock"))
		if err != nil {
			return nil, fmt.Errorf("locking the cache of compiled modules: %w", err)
		}
		defer unlock()
	}
	manifest := extism.Manifest{
		// Extism refuses a file that is not the one that the engine checked.
		Wasm:         []extism.Wasm{extism.WasmData{Data: content, Hash: strings.TrimPrefix(m.grant.Digest, stage.DigestPrefix)}},
		Memory:       &extism.ManifestMemory{MaxPages: uint32(min(maxPages, (m.grant.Memory+pageSize-1)/pageSize))},
		AllowedHosts: m.grant.Hosts,
	}
	// The compiled module outlives this call, so it must not depend on ctx.
	compileCtx := experimental.WithCompilationWorkers(context.WithoutCancel(ctx), goruntime.GOMAXPROCS(0))
	compiled, err := extism.NewCompiledPlugin(compileCtx, manifest,
		extism.PluginConfig{EnableWasi: true, RuntimeConfig: runtime}, []extism.HostFunction{eventFunction()})
	if err != nil {
		return nil, &serve.BrokenError{Message: fmt.Sprintf("compiling the module: %v", err)}
	}
	m.compiled = compiled
	return compiled, nil
}

// lockFile waits until no other process holds the lock, so that processes that
// start together compile a module once: the first does, the rest read the cache.
// The lock goes with the process.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return f.Close, nil
	}
}

// eventKey is the context's key of the function that takes events.
type eventKey struct{}

// eventFunction is what a running stage calls with an encoded event.
func eventFunction() extism.HostFunction {
	return extism.NewHostFunctionWithStack(functionEvent, func(ctx context.Context, current *extism.CurrentPlugin, stack []uint64) {
		emit, ok := ctx.Value(eventKey{}).(func(*stagepb.Event))
		if !ok {
			return
		}
		b, err := current.ReadBytes(stack[0])
		if err != nil {
			return // a module that lies about its memory harms its own events only
		}
		e := new(stagepb.Event)
		if proto.Unmarshal(b, e) != nil {
			return
		}
		switch e.Of.(type) {
		case nil, *stagepb.Event_Result, *stagepb.Event_Failure: // the last one is what run returns
		default:
			emit(e)
		}
	}, []extism.ValueType{extism.ValueTypeI64}, nil)
}

// Describe implements serve.Handler.
func (m *module) Describe(ctx context.Context) (*stagepb.DescribeReply, error) {
	reply := new(stagepb.DescribeReply)
	if err := m.call(ctx, functionDescribe, new(stagepb.DescribeRequest), reply, wazero.NewFSConfig()); err != nil {
		return nil, err
	}
	return reply, nil
}

// Run implements serve.Handler. The stage runs in an instance of its own.
func (m *module) Run(ctx context.Context, req *stagepb.RunRequest, emit func(*stagepb.Event)) error {
	// Inputs hold what an attacker wrote; the module sees nothing else of the
	// host. ReadFS keeps /in from being written, noLinks keeps /out from holding links.
	mounts := mount(wazero.NewFSConfig(), &sysfs.ReadFS{FS: sysfs.DirFS(req.GetIn())}, stage.InDir)
	mounts = mount(mounts, noLinks{sysfs.DirFS(req.GetOut())}, stage.OutDir)
	for _, path := range m.grant.Paths {
		mounts = mount(mounts, &sysfs.ReadFS{FS: sysfs.DirFS(path)}, path)
	}
	inside := proto.Clone(req).(*stagepb.RunRequest)
	inside.In, inside.Out = stage.InDir, stage.OutDir
	reply := new(stagepb.RunReply)
	if err := m.call(context.WithValue(ctx, eventKey{}, emit), functionRun, inside, reply, mounts); err != nil {
		return err
	}
	if n := len(reply.GetEvents()); n != 1 {
		return nonsense(fmt.Errorf("%d last events instead of one", n))
	}
	last := reply.GetEvents()[0]
	switch last.Of.(type) {
	case *stagepb.Event_Result, *stagepb.Event_Failure:
		emit(last)
		return nil
	}
	return nonsense(errors.New("neither a result nor a failure"))
}

func nonsense(err error) error {
	return &serve.BrokenError{Message: fmt.Sprintf("it answered nonsense: %v", err)}
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
func (m *module) call(ctx context.Context, function string, in, out proto.Message, mounts wazero.FSConfig) error {
	compiled, err := m.compile(ctx)
	if err != nil {
		return err
	}
	message, err := proto.Marshal(in)
	if err != nil {
		return fmt.Errorf("calling %s: %w", function, err)
	}
	config := wazero.NewModuleConfig().WithFSConfig(mounts).WithStderr(&head{to: m.stderr})
	instance, err := compiled.Instance(ctx, extism.PluginInstanceConfig{ModuleConfig: config})
	if err != nil {
		return err
	}
	defer instance.Close(context.WithoutCancel(ctx))
	if !instance.FunctionExists(function) {
		return &serve.BrokenError{Message: fmt.Sprintf("it is no plugin: its module does not export %q", function)}
	}
	status, reply, err := instance.CallWithContext(ctx, function, message)
	if err != nil {
		return err
	}
	if status != 0 {
		return nonsense(fmt.Errorf("%s returned status %d", function, status))
	}
	if err := proto.Unmarshal(reply, out); err != nil {
		return nonsense(err)
	}
	return nil
}

// head hands on the first of what a call writes to standard error: Go says first
// why it panics, and a trace of any length follows.
type head struct {
	to *os.File
	n  int // bytes handed on
}

// maxHead is how much standard error is handed on, in bytes.
const maxHead = 4 << 10

func (h *head) Write(b []byte) (int, error) {
	room := b[:min(maxHead-h.n, len(b))]
	h.n += len(room)
	h.to.Write(room) // if the engine is gone, so is this process soon
	return len(b), nil
}
