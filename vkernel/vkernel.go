// Package vkernel runs rebuilt images: it puts machine, kernel, file systems,
// exec controller and syscall table together. One VKernel serves many
// containers in one host process.
package vkernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/vkernel/audit"
	"megabinary.dev/vkernel/exec"
	"megabinary.dev/vkernel/fs/layers"
	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/fs/tty"
	"megabinary.dev/vkernel/kernel"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/net"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/syscalls"
	"megabinary.dev/vkernel/vfs"
)

// Config configures New. The zero value works: it keeps no cache and prints
// nothing.
type Config struct {
	// CacheDir holds unpacked layers and compiled code. Whoever may write there
	// may run code in this process.
	CacheDir string
	// Engine runs guests; "" is EngineAuto.
	Engine Engine
	// Profiler watches the machines of all images, if it is not nil; see
	// machine.WazeroOptions.
	Profiler *machine.Profiler
	// MaxMemory bounds the bytes of memory of all containers together; 0: three
	// quarters of the host's.
	MaxMemory uint64
	Log       *slog.Logger
	Trace     syscalls.TraceOptions
}

// Engine names what runs the code of guests.
type Engine string

// The engines.
const (
	EngineAuto        Engine = "auto"        // native code if the image has it for this host, else the compiler
	EngineNative      Engine = "native"      // code that was compiled ahead of time, which the image must have
	EngineCompiler    Engine = "compiler"    // wazero's compiler
	EngineInterpreter Engine = "interpreter" // wazero's interpreter: 100 times slower, on every host
)

// Engines lists the engines.
func Engines() []string {
	return []string{string(EngineAuto), string(EngineNative), string(EngineCompiler), string(EngineInterpreter)}
}

// VKernel is one host process's kernel.
type VKernel struct {
	cfg     Config
	kernel  *kernel.Kernel
	layers  *layers.Cache
	content *exec.Cache
}

// contentCache bounds the verified program bytes that are kept, in bytes.
const contentCache = 256 << 20

// New makes a VKernel.
func New(cfg Config) (*VKernel, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir := cfg.CacheDir
	if dir == "" {
		return nil, errors.New("starting the vkernel: it needs a cache directory to unpack layers to")
	}
	k := kernel.New(syscalls.NewDispatcher(cfg.Trace), cfg.Log)
	if cfg.MaxMemory == 0 {
		cfg.MaxMemory = hostMemory() / 4 * 3
	}
	k.SetMaxMemory(cfg.MaxMemory)
	return &VKernel{
		cfg:     cfg,
		kernel:  k,
		layers:  layers.NewCache(dir, layers.Limits{}),
		content: exec.NewCache(contentCache),
	}, nil
}

// Mount is a directory of the host that a container sees.
type Mount struct {
	Host, Guest string
	ReadOnly    bool
}

// Spec says what to run in a container and how.
type Spec struct {
	ID       string // names the container in logs and in the audit trail
	Hostname string
	Args     []string // Args[0] is looked up in PATH, as execvp does
	Env      []string
	Dir      string // working directory; made if it is not there; "" is /
	User     string // "", UID, UID:GID, name or name:group
	Mounts   []Mount
	Memory   uint64               // bytes of memory of all processes together; 0: what the vkernel has
	CPUs     float64              // seconds of CPU in a second; 0: no limit
	Tasks    int                  // processes and threads; 0: kernel.DefaultTasks
	Disk     uint64               // bytes that the container may write to its root file system; 0: 1 GiB
	Output   uint64               // bytes of Stdout and Stderr, after which the container is killed; 0: no limit
	Limits   map[int]linux.Rlimit // of each process, as by setrlimit(2)
	Level    exec.Level           // "": exec.LevelInteractive
	ExecMode exec.Mode            // "": exec.ModeEnforce
	Network  Network
	// Policy is what the container may do; nil: all that its other fields allow.
	Policy *policy.Policy
	// Recorder notes what the container does, which is not refused then.
	Recorder *policy.Recorder

	// Stdin, Stdout and Stderr become descriptors 0 to 2; nil is /dev/null.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY puts a terminal between them and the guest: Stdin is its keyboard,
	// Stdout its screen, Stderr is not used. The host's own terminal, if it is
	// one, should be in raw mode.
	TTY     bool
	Winsize linux.Winsize // of the terminal; zero: 24 rows of 80

	// Audit gets the audit trail, one JSON line in each Write; nil discards.
	Audit io.Writer
	// AuditDrop lets the container go on when a line cannot be written, and counts;
	// otherwise that ends it.
	AuditDrop bool

	// Snippets, KeepSnippet and Explain are exec.Options'.
	Snippets    map[string]bool
	KeepSnippet func(digest string, code []byte) error
	Explain     func(exec.Explanation)

	// Hints gets what runs teach of code that the analysis missed, one
	// artifact.Hint as a line of JSON in each Write; nil discards.
	Hints io.Writer
}

// hintTo returns what writes hints to w, or nil without one.
func (v *VKernel) hintTo(w io.Writer) func(artifact.Hint) {
	if w == nil {
		return nil
	}
	var mu sync.Mutex // one line at a time
	return func(h artifact.Hint) {
		line, err := h.Line()
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			_, err = w.Write(line)
		}
		if err != nil {
			v.cfg.Log.Error("a hint is lost", "digest", h.Digest, "address", h.Address, "err", err)
		}
	}
}

// StartError says why a container's first process did not start.
type StartError struct {
	Path string
	Err  error // ends in a linux.Errno
}

func (e *StartError) Error() string {
	return fmt.Sprintf("starting %s: %s", e.Path, linux.ErrnoOf(e.Err).Error())
}

func (e *StartError) Unwrap() error { return e.Err }

// NotFound reports whether the program does not exist (docker's exit code 127,
// where other errors are 126).
func (e *StartError) NotFound() bool {
	switch linux.ErrnoOf(e.Err) {
	case linux.ENOENT, linux.ENOTDIR:
		return true
	}
	return false
}

// Status is how a container's first process ended.
type Status struct {
	Code   int // exit code, if Signal is 0
	Signal int
}

// ExitCode is the status as a shell reports it: 128 + signal for a signal.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + s.Signal
	}
	return s.Code
}

func statusOf(wait int) Status {
	if sig := wait & 0x7f; sig != 0 {
		return Status{Signal: sig}
	}
	return Status{Code: wait >> 8 & 0xff}
}

// Container is a running container.
type Container struct {
	kernel *kernel.Container
	stdio  *stdio
	ptys   *tty.PTYs
	root   *mem.FS
	net    *net.Namespace
	ports  []Port
	close  []io.Closer
}

// Run runs a container to its end. A context that is cancelled kills it.
func (v *VKernel) Run(ctx context.Context, img *Image, spec Spec) (Status, error) {
	c, err := v.Start(ctx, img, spec)
	if err != nil {
		return Status{}, err
	}
	return c.Wait(), nil
}

// Start starts a container. A context that is cancelled kills it.
func (v *VKernel) Start(ctx context.Context, img *Image, spec Spec) (*Container, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("starting a container: no command is given")
	}
	if spec.Hostname == "" {
		spec.Hostname = "megabinary"
	}
	var trail *audit.Log
	if spec.Audit != nil {
		o := audit.Options{Container: spec.ID, MapRoot: img.execMap.Root, Drop: spec.AuditDrop}
		if spec.Policy != nil {
			o.Policy = spec.Policy.Digest
		}
		trail = audit.NewLog(spec.Audit, o)
	}
	spec.usePolicy()
	controller, err := exec.New(img.execMap, exec.Options{Level: spec.Level, Mode: spec.ExecMode, Snippets: spec.Snippets,
		Keep: spec.KeepSnippet, Explain: spec.Explain}, trail, v.content)
	if err != nil {
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	c := &Container{}
	network, err := v.network(c, spec, trail)
	if err != nil {
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	c.kernel = v.kernel.NewContainer(ctx, kernel.ContainerConfig{ID: spec.ID, Hostname: spec.Hostname,
		Engine: img.engine, Units: img.units, Controller: controller, Audit: trail, Missed: v.hintTo(spec.Hints),
		Policy: spec.Policy, Recorder: spec.Recorder, Memory: addressSpace(spec.Memory), Rlimits: spec.Limits,
		Net: network, Limits: kernel.Limits{Memory: spec.Memory, CPUs: spec.CPUs, Tasks: spec.Tasks}})
	c.net = network
	spec.Stdout, spec.Stderr = v.limitOutput(c.kernel, spec)
	tree, err := v.newTree(img, c, spec)
	if err != nil {
		network.Close()
		c.release()
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	if err := v.startInit(c, tree, trail, spec); err != nil {
		network.Close()
		c.release()
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.kernel.Kill)
	go func() {
		<-c.kernel.Done()
		stop()
	}()
	return c, nil
}

// usePolicy applies what the policy says of the rest of the spec.
func (s *Spec) usePolicy() {
	p := s.Policy
	if p == nil {
		return
	}
	s.Env = p.Env.Apply(s.Env)
	if p.Limits.Memory != 0 && (s.Memory == 0 || p.Limits.Memory < s.Memory) {
		s.Memory = p.Limits.Memory
	}
	if len(p.Limits.Rlimits) > 0 {
		all := maps.Clone(p.Limits.Rlimits)
		for r, l := range s.Limits {
			if have, ok := all[r]; !ok || l.Max < have.Max {
				all[r] = l
			}
		}
		s.Limits = all
	}
	if s.Level == "" {
		s.Level = exec.Level(p.ExecLevel)
	}
	s.Network.Egress = append(slices.Clone(p.Egress), s.Network.Egress...)
	s.Network.Connected = s.Network.Connected || len(p.Egress) > 0
}

func (v *VKernel) startInit(c *Container, tree *vfs.MountNamespace, trail *audit.Log, spec Spec) error {
	root := tree.Root()
	admin := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: root, Cwd: root}
	creds, home, err := lookupUser(admin, spec.User)
	if err != nil {
		return fmt.Errorf("starting a container: %w", err)
	}
	cwd := root
	if spec.Dir != "" {
		if cwd, err = makeDir(admin, spec.Dir); err != nil {
			return fmt.Errorf("starting a container: working directory %s: %w", spec.Dir, err)
		}
	}
	env := withDefaults(spec.Env, home, spec.Hostname, spec.TTY)
	caller := &vfs.Caller{Creds: creds, Root: root, Cwd: cwd}
	path, err := lookPath(caller, spec.Args[0], env)
	if err != nil {
		return &StartError{Path: spec.Args[0], Err: err}
	}
	files, err := c.stdio.table(admin)
	if err != nil {
		return fmt.Errorf("starting a container: %w", err)
	}
	if err := trail.Append(audit.Record{Event: "start", UID: int(creds.UID), Path: path, Args: spec.Args}); err != nil {
		files.DecRef()
		return fmt.Errorf("starting a container: %w", err)
	}
	init := kernel.InitConfig{Path: path, Args: spec.Args, Env: env, Creds: creds, Files: files, FS: vfs.NewFSContext(root, cwd)}
	c.ptys.SetSignaler(c.kernel)
	if t := c.stdio.terminal; t != nil {
		t.SetSignaler(c.kernel)
		t.Own(1, 1) // the first process leads session and group 1
		init.TTY = t
	}
	if _, err = c.kernel.Start(init); err != nil {
		return &StartError{Path: spec.Args[0], Err: err}
	}
	c.stdio.pump()
	return nil
}

// Wait waits for the container's end and releases what it held.
func (c *Container) Wait() Status {
	wait := c.kernel.Wait()
	c.release()
	return statusOf(wait)
}

// Signal sends a signal (linux.SIG...) to the container's first process.
func (c *Container) Signal(sig int) error { return c.kernel.Signal(sig) }

// Resize tells the container's terminal, if it has one, of a new window size.
func (c *Container) Resize(w linux.Winsize) {
	if t := c.stdio.terminal; t != nil {
		t.Resize(w)
	}
}

// AuditDropped returns how many lines the audit trail could not take, and does
// not count itself.
func (c *Container) AuditDropped() uint64 { return c.kernel.Audit().Dropped() }

// Kill ends all processes of the container.
func (c *Container) Kill() { c.kernel.Kill() }

// Stats is what a container uses, now.
type Stats struct {
	kernel.ContainerUsage
	MaxMemory         uint64 // bytes; 0: no limit of its own
	MaxTasks          int
	NetRead, NetSent  uint64 // bytes, from and to other than loopback
	DiskRead, Written uint64 // bytes of files of the root file system
	DiskUsed          uint64 // bytes that the container has written there, as far as they take memory
}

// Stats returns what the container uses.
func (c *Container) Stats() Stats {
	l := c.kernel.Limits()
	s := Stats{ContainerUsage: c.kernel.Usage(), MaxMemory: l.Memory, MaxTasks: l.Tasks, DiskUsed: uint64(max(0, c.root.Used()))}
	s.NetRead, s.NetSent = c.net.Traffic()
	s.DiskRead, s.Written = c.root.IO()
	return s
}

// Kernel returns the container's kernel side.
func (c *Container) Kernel() *kernel.Container { return c.kernel }

func (c *Container) release() {
	for _, cl := range c.close {
		_ = cl.Close() // nothing is buffered: an error here loses nothing
	}
	c.close = nil
}

// defaultPath is docker's.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// withDefaults adds the variables that docker adds.
func withDefaults(env []string, home, hostname string, tty bool) []string {
	have := map[string]bool{}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		have[name] = true
	}
	out := env[:len(env):len(env)]
	add := func(name, value string) {
		if !have[name] {
			out = append(out, name+"="+value)
		}
	}
	add("PATH", defaultPath)
	add("HOSTNAME", hostname)
	if tty {
		term := os.Getenv("TERM")
		if term == "" {
			term = "xterm"
		}
		add("TERM", term)
	}
	add("HOME", home)
	return out
}

// lookPath finds a command as execvp does.
func lookPath(c *vfs.Caller, name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	dirs := defaultPath
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			dirs = v
		}
	}
	result := error(linux.ENOENT)
	for _, dir := range strings.Split(dirs, ":") {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		loc, err := c.Walk(vfs.Path{}, path, true)
		if err != nil {
			continue
		}
		st, err := loc.Inode.Stat()
		if err != nil || st.Mode&linux.S_IFMT != linux.S_IFREG {
			continue
		}
		if err := c.Access(loc.Path, vfs.MayExec); err != nil {
			result = err
			continue
		}
		return path, nil
	}
	return "", result
}
