package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"megabinary.dev/engine/store"
	"megabinary.dev/image"
	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/fs/layers"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/net/egress"
	"megabinary.dev/vkernel/net/inet"
	"megabinary.dev/vkernel/policy"
	"megabinary.dev/vkernel/syscalls"
)

// runFlags are the flags of run.
type runFlags struct {
	interactive, tty bool
	env              []string
	dir, user        string
	volumes          []string
	limits           limitFlags
	name             string
	entrypoint       string
	hostname         string
	strace           string
	straceSize       int
	audit            string
	auditFull        string
	confine          string
	auditRotate      string
	auditKeep        int
	hints            string
	engine           string
	policy           string
	recorder         *policy.Recorder // of policy record
	exec             execFlags
	network          string
	publish          []string
	egress           []string
	addHosts         []string
}

// newRunCmd returns the command that runs a rebuilt image.
func newRunCmd(a *app) *cobra.Command { return runCommand(a, a.run) }

// runCommand returns a command with run's flags that ends in do.
func runCommand(a *app, do func(ctx context.Context, o runFlags, ref string, command []string) error) *cobra.Command {
	var o runFlags
	cmd := &cobra.Command{
		Annotations: map[string]string{ownTerminal: "the guest's"},
		Use:         "run [flags] IMAGE [COMMAND [ARG...]]",
		Short:       "Run a command in a rebuilt image",
		Long: `Run a command in an image that megabin build has made. The exit status is the
command's, 128 + N if signal N killed it, 126 if it cannot be run or was refused,
127 if there is no such command, and 125 if megabin itself failed.

With -i and -t, what is typed goes to the container as it is: its own terminal
makes signals of ^C and ^Z, and there are no keys to detach. With -t alone, ^C is
a signal to megabin, which passes it on.

IMAGE is ` + image.Usage + ".",
		Example: `  megabin run oci:app-mega                          # the image's own command
  megabin run -i -t oci:app-mega sh                 # a shell on this terminal
  megabin run -v $PWD:/src:ro -w /src oci:app-mega ls
  megabin run -p 127.0.0.1:8080:80 oci:web-mega     # the host's port 8080 leads to port 80
  megabin run -m 256m --cpus 0.5 --pids-limit 100 oci:app-mega
  megabin run --egress example.com:443 oci:app-mega # what it may connect to
  megabin run --strace=openat,execve oci:app-mega true`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("run needs an IMAGE\nSee 'megabin run --help'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return do(cmd.Context(), o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows IMAGE is the command's
	f.BoolVarP(&o.interactive, "interactive", "i", false, "give the command standard input")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal, and this one's keys with -i")
	f.StringArrayVarP(&o.env, "env", "e", nil, "set a variable, K=V; K alone takes it from here")
	f.StringVarP(&o.dir, "workdir", "w", "", "working directory")
	f.StringVarP(&o.user, "user", "u", "", "UID[:GID] or name[:group]")
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "mount a directory of the host, HOST:GUEST[:ro]")
	o.limits.add(f)
	f.StringVar(&o.name, "name", "", "name of the container, for stats, ps and the audit trail (default run-PID)")
	f.StringVar(&o.entrypoint, "entrypoint", "", "run this instead of the image's entrypoint")
	f.StringVar(&o.hostname, "hostname", "", "host name in the container")
	f.StringVar(&o.strace, "strace", "", "print syscalls to stderr; =NAME,... prints only those")
	f.Lookup("strace").NoOptDefVal = "all"
	f.IntVar(&o.straceSize, "strace-size", 0, "bytes of a buffer that --strace prints (default 32)")
	f.StringVar(&o.audit, "audit", "", "write the audit trail to this file")
	f.StringVar(&o.auditFull, "audit-full", auditStop, "when the trail cannot be written: stop ends the container, drop-and-count goes on and counts")
	f.StringVar(&o.auditRotate, "audit-rotate", "", "begin a new file when the trail's has this size, such as 100m; the full ones are FILE.000001 and so on")
	f.IntVar(&o.auditKeep, "audit-keep", 0, "how many full files of the trail stay (default all)")
	f.StringVar(&o.confine, "confine", confineAuto, "give up what this process does not need (Landlock, a seccomp filter, new privileges), as far as the host can; require: all of it, or fail; off")
	f.StringVar(&o.hints, "hints", "", "append a line to this file for code that was not translated: megabin build --hints takes it")
	f.StringVar(&o.engine, "engine", string(vkernel.EngineAuto), "what runs the code: "+strings.Join(vkernel.Engines(), ", "))
	o.exec.add(f)
	f.StringVar(&o.policy, "policy", "", "what the container may do, a YAML file (see megabin policy); without one, docker's seccomp profile is in force")
	f.StringVar(&o.network, "network", "", "none: loopback only; bridge: an eth0, too (default none, or bridge with --publish or --egress)")
	f.StringArrayVarP(&o.publish, "publish", "p", nil, "publish a port, [IP:][HOST:]GUEST[/tcp|/udp]")
	f.StringArrayVar(&o.egress, "egress", nil, "let connections leave to TARGET[:PORT[-PORT]][/tcp|/udp]: an address, a network, a name, *.NAME or any; "+
		"the host itself is "+egress.HostName+" (default: none leave)")
	f.StringArrayVar(&o.addHosts, "add-host", nil, "name an address, NAME:IP; IP may be host-gateway")
	f.String(settingStore, "", "where artifacts are kept")
	f.String(settingCacheDir, "", "where unpacked layers and compiled code are kept")
	return cmd
}

func (a *app) run(ctx context.Context, o runFlags, ref string, command []string) error {
	if !slices.Contains(vkernel.Engines(), o.engine) {
		return fmt.Errorf("--engine %q is none of %s", o.engine, strings.Join(vkernel.Engines(), ", "))
	}
	trace, err := a.traceOptions(o)
	if err != nil {
		return err
	}
	pulled, s, err := a.pullForRun(ctx, ref)
	if err != nil {
		return err
	}
	checkMap, err := a.checkSigned(ctx, ref, pulled.Manifest)
	if err != nil {
		return err
	}
	config, err := readImageConfig(s, pulled)
	if err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	spec, err := a.runSpec(o, config, command)
	if err != nil {
		return err
	}
	spec.Recorder = o.recorder
	if o.audit != "" {
		f, err := o.openAudit()
		if err != nil {
			return err
		}
		defer func() {
			if err := f.Close(); err != nil {
				a.log.Error().Err(err).Msg("closing the audit trail")
			}
		}()
		spec.Audit, spec.AuditDrop = f, o.auditFull == auditDrop
	}
	if o.hints != "" {
		f, err := os.OpenFile(o.hints, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("opening the file of hints: %w", err)
		}
		defer f.Close()
		spec.Hints = f
	}
	v, img, err := a.loadImage(ctx, vkernel.Config{Engine: vkernel.Engine(o.engine), Trace: trace}, ref, s, pulled, config)
	if err != nil {
		return err
	}
	if err := checkMap(img.ExecMap().Root); err != nil {
		return err
	}
	socket, err := a.listen(spec.ID)
	if err != nil {
		return err
	}
	if err := a.confine(&o, &spec, img.Engine()); err != nil {
		return err
	}
	return a.runToEnd(ctx, v, img, spec, published{socket, ref})
}

// loadImage starts a vkernel with the settings' cache and log, and loads an image
// of the store into it.
func (a *app) loadImage(ctx context.Context, c vkernel.Config, ref string, s *store.Store, pulled image.Image, config imageConfig) (*vkernel.VKernel, *vkernel.Image, error) {
	c.CacheDir = filepath.Join(a.settings.GetString(settingCacheDir), "run")
	c.Log = slog.New(zerolog.NewSlogHandler(a.log))
	v, err := vkernel.New(c)
	if err != nil {
		return nil, nil, err
	}
	sources, err := layerSources(s, pulled, config)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: %w", ref, err)
	}
	img, err := v.LoadImage(ctx, sources)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: %w", ref, err)
	}
	return v, img, nil
}

// runToEnd runs the container, passes signals on and turns its end into an exit
// code.
func (a *app) runToEnd(ctx context.Context, v *vkernel.VKernel, img *vkernel.Image, spec vkernel.Spec, p published) error {
	if p.socket != nil {
		defer p.socket.Close()
	}
	if spec.TTY && spec.Stdin != nil {
		restore, err := a.rawTerminal()
		if err != nil {
			return err
		}
		defer restore()
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	c, err := v.Start(ctx, img, spec)
	var start *vkernel.StartError
	if errors.As(err, &start) {
		code := exitNotExecutable
		if start.NotFound() {
			code = exitNotFound
		}
		return &exitError{Code: code, Err: err}
	}
	if err != nil {
		return err
	}
	if p.socket != nil {
		defer a.publish(p, c, spec)()
	}
	if spec.TTY {
		c.Resize(a.windowSize()) // it may have changed before signals were caught
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				a.forward(c, s)
			case <-done:
				return
			}
		}
	}()
	code := c.Wait().ExitCode()
	if n := c.AuditDropped(); n > 0 {
		fmt.Fprintf(a.stderr, "megabin: the audit trail could not take %d records\n", n)
	}
	if code != 0 {
		return &exitError{Code: code}
	}
	return nil
}

// forward passes a signal of the host on.
func (a *app) forward(c *vkernel.Container, s os.Signal) {
	sig, ok := s.(syscall.Signal)
	switch {
	case !ok:
	case sig == syscall.SIGWINCH:
		c.Resize(a.windowSize())
	default:
		_ = c.Signal(int(sig)) // it may have just ended
	}
}

// windowSize returns the size of the terminal on stdout, zero without one.
func (a *app) windowSize() linux.Winsize {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return linux.Winsize{}
	}
	cols, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return linux.Winsize{}
	}
	return linux.Winsize{Row: uint16(rows), Col: uint16(cols)}
}

// rawTerminal puts the terminal on stdin in raw mode, so that the guest's
// terminal sees every key, and returns what undoes it.
func (a *app) rawTerminal() (restore func(), err error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("putting the terminal in raw mode: %w", err)
	}
	return func() { _ = term.Restore(int(f.Fd()), state) }, nil // the terminal may be gone
}

func (a *app) traceOptions(o runFlags) (syscalls.TraceOptions, error) {
	t := syscalls.TraceOptions{Size: o.straceSize}
	if o.strace == "" {
		return t, nil
	}
	set, err := syscalls.ParseTraceSet(o.strace)
	if err != nil {
		return t, fmt.Errorf("--strace: %w", err)
	}
	var mu sync.Mutex
	t.Set = set
	t.Print = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(a.stderr, line)
	}
	return t, nil
}

// pullForRun brings the image into the store.
func (a *app) pullForRun(ctx context.Context, ref string) (image.Image, *store.Store, error) {
	parsed, err := image.ParseRef(ref)
	if err != nil {
		return image.Image{}, nil, err
	}
	s, err := store.Open(a.settings.GetString(settingStore))
	if err != nil {
		return image.Image{}, nil, fmt.Errorf("opening the store: %w", err)
	}
	pulled, err := image.Pull(ctx, parsed, s)
	return pulled, s, err
}

// imageConfig is an OCI image configuration, as far as running needs it.
type imageConfig struct {
	Config struct {
		User       string   `json:"User"`
		Env        []string `json:"Env"`
		Entrypoint []string `json:"Entrypoint"`
		Cmd        []string `json:"Cmd"`
		WorkingDir string   `json:"WorkingDir"`
	} `json:"config"`
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// maxImageConfig bounds an image configuration, in bytes.
const maxImageConfig = 8 << 20

func readImageConfig(s *store.Store, img image.Image) (imageConfig, error) {
	var c imageConfig
	raw, err := s.ReadAll(img.Config, maxImageConfig)
	if err != nil {
		return c, fmt.Errorf("reading its configuration: %w", err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("reading its configuration: %w", err)
	}
	return c, nil
}

func layerSources(s *store.Store, img image.Image, c imageConfig) ([]layers.Source, error) {
	if len(c.RootFS.DiffIDs) != len(img.Layers) {
		return nil, fmt.Errorf("it has %d layers, but its configuration names %d", len(img.Layers), len(c.RootFS.DiffIDs))
	}
	sources := make([]layers.Source, len(img.Layers))
	for i, l := range img.Layers {
		sources[i] = layers.Source{DiffID: c.RootFS.DiffIDs[i], Open: func() (io.ReadCloser, error) { return s.Open(l.Digest) }}
	}
	return sources, nil
}

// runSpec joins flags and the image's configuration by docker's rules.
func (a *app) runSpec(o runFlags, c imageConfig, command []string) (vkernel.Spec, error) {
	name := o.name
	switch {
	case name == "":
		name = fmt.Sprintf("run-%d", os.Getpid())
	case !containerName.MatchString(name):
		return vkernel.Spec{}, fmt.Errorf("--name %q: use at most 64 letters, digits, _, . and -", name)
	}
	spec := vkernel.Spec{ID: name, Hostname: o.hostname, Dir: o.dir, User: o.user, TTY: o.tty,
		Stdout: a.stdout, Stderr: a.stderr}
	if err := o.exec.apply(a, &spec); err != nil {
		return spec, err
	}
	entrypoint, cmd := c.Config.Entrypoint, c.Config.Cmd
	if o.entrypoint != "" {
		entrypoint, cmd = []string{o.entrypoint}, nil
	}
	if len(command) > 0 {
		cmd = command
	}
	spec.Args = append(append([]string(nil), entrypoint...), cmd...)
	if len(spec.Args) == 0 {
		return spec, errors.New("no command: the image names none, so give one after IMAGE")
	}
	if spec.Dir == "" {
		spec.Dir = c.Config.WorkingDir
	}
	if spec.User == "" {
		spec.User = c.Config.User
	}
	if o.interactive {
		spec.Stdin = a.stdin
	}
	if o.tty {
		spec.Winsize = a.windowSize()
	}
	spec.Env = mergeEnv(c.Config.Env, o.env)
	var err error
	if err = o.limits.apply(&spec); err != nil {
		return spec, err
	}
	for _, v := range o.volumes {
		m, err := parseVolume(v)
		if err != nil {
			return spec, err
		}
		spec.Mounts = append(spec.Mounts, m)
	}
	if spec.Policy, err = loadPolicy(o.policy); err != nil {
		return spec, err
	}
	spec.Network, err = parseNetwork(o)
	return spec, err
}

// parseNetwork joins the flags of the network.
func parseNetwork(o runFlags) (vkernel.Network, error) {
	n := vkernel.Network{Connected: len(o.publish)+len(o.egress) > 0}
	switch o.network {
	case "":
	case "none":
		if n.Connected {
			return n, errors.New("--network none has no way for --publish and --egress")
		}
	case "bridge":
		n.Connected = true
	default:
		return n, fmt.Errorf("--network %q is neither none nor bridge", o.network)
	}
	for _, s := range o.publish {
		ports, err := vkernel.ParsePorts(s)
		if err != nil {
			return n, fmt.Errorf("--publish: %w", err)
		}
		n.Ports = append(n.Ports, ports...)
	}
	for _, s := range o.egress {
		r, err := egress.ParseRule(s)
		if err != nil {
			return n, fmt.Errorf("--egress: %w", err)
		}
		n.Egress = append(n.Egress, r)
	}
	for _, s := range o.addHosts {
		name, ip, ok := strings.Cut(s, ":")
		a, err := netip.ParseAddr(ip)
		if ip == "host-gateway" {
			a, err = inet.Gateway, nil
		}
		if !ok || name == "" || err != nil {
			return n, fmt.Errorf("--add-host %q is not NAME:IP", s)
		}
		if n.Hosts == nil {
			n.Hosts = map[string]netip.Addr{}
		}
		n.Hosts[name] = a
	}
	return n, nil
}

// mergeEnv adds flags to an image's environment; a flag wins over an earlier
// variable of its name, in its place.
func mergeEnv(env, flags []string) []string {
	out := append([]string(nil), env...)
	for _, kv := range flags {
		name, _, has := strings.Cut(kv, "=")
		if !has {
			v, ok := os.LookupEnv(name)
			if !ok {
				continue
			}
			kv = name + "=" + v
		}
		replaced := false
		for i := range out {
			if strings.HasPrefix(out[i], name+"=") {
				out[i], replaced = kv, true
			}
		}
		if !replaced {
			out = append(out, kv)
		}
	}
	return out
}

// parseVolume reads HOST:GUEST[:ro].
func parseVolume(v string) (vkernel.Mount, error) {
	parts := strings.Split(v, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !strings.HasPrefix(parts[1], "/") {
		return vkernel.Mount{}, fmt.Errorf("--volume %q is not HOST:GUEST[:ro] with an absolute GUEST", v)
	}
	m := vkernel.Mount{Host: parts[0], Guest: parts[1]}
	if len(parts) == 3 {
		switch parts[2] {
		case "ro":
			m.ReadOnly = true
		case "rw":
		default:
			return m, fmt.Errorf("--volume %q: the mode is ro or rw, not %q", v, parts[2])
		}
	}
	abs, err := filepath.Abs(m.Host)
	if err != nil {
		return m, fmt.Errorf("--volume %q: %w", v, err)
	}
	m.Host = abs
	return m, nil
}

// forwarded are the host's signals that the container gets.
var forwarded = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.Signal(linux.SIGUSR1), syscall.Signal(linux.SIGUSR2), syscall.Signal(linux.SIGWINCH)}
