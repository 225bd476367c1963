package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"megabinary.dev/engine/cache"
	"megabinary.dev/engine/lock"
	"megabinary.dev/engine/progress"
	"megabinary.dev/engine/remote"
	"megabinary.dev/engine/sandbox"
	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/stage"
)

// fixture is an engine over a new store and the test plugin in both kinds.
type fixture struct {
	t       *testing.T
	store   *store.Store
	plugins *Plugins
	runner  *Runner
	process string
	module  string
}

const typeText = "text/plain"

// buildDir is where the test plugin is built.
var buildDir string

// sandboxArgument makes this test program a runner of sandboxed plugins.
const sandboxArgument = "run-sandboxed-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == sandboxArgument {
		if err := sandbox.Serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "engine-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = filepath.Join(dir, "build")
	// Plugins' temporary files go here, where they are seen when they stay.
	temporary := filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(buildDir, 0o755), os.Mkdir(temporary, 0o755), os.Setenv("TMPDIR", temporary)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// builtPlugin builds the test plugin both ways, once.
var builtPlugin = sync.OnceValue(buildTestPlugin)

func buildTestPlugin() error {
	process := exec.Command("go", "build", "-o", filepath.Join(buildDir, "testplugin"), "./internal/testplugin")
	module := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(buildDir, "testplugin.wasm"), "./internal/testplugin")
	module.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{process, module} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %v\n%s", cmd, err, out)
		}
	}
	return nil
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	if err := builtPlugin(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{
		t: t, store: s,
		plugins: &Plugins{
			SandboxRunner: []string{"/proc/self/exe", sandboxArgument},
			CacheDir:      filepath.Join(buildDir, "cache"), TempDir: t.TempDir(), Cache: cache.New(s),
		},
		runner:  &Runner{Store: s, Cache: cache.New(s), Jobs: 2},
		process: filepath.Join(buildDir, "testplugin"),
		module:  filepath.Join(buildDir, "testplugin.wasm"),
	}
}

func (f *fixture) put(text string) stage.Descriptor {
	f.t.Helper()
	d, err := f.store.Put(typeText, strings.NewReader(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func (f *fixture) read(d stage.Descriptor) string {
	f.t.Helper()
	b, err := f.store.ReadAll(d, 1<<20)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) spec(kind PluginKind) *PluginSpec {
	spec := &PluginSpec{Name: "t", Kind: kind, Source: f.process, Permissions: Grant{Timeout: time.Minute}}
	if kind == Sandbox {
		spec.Source, spec.Permissions.Memory = f.module, 64<<20
	}
	return spec
}

// one runs one stage over one text.
func (f *fixture) one(spec *PluginSpec, name, config string) (*StageOutcome, error) {
	return f.plugins.RunStage(context.Background(), f.runner, spec, name, json.RawMessage(config), []stage.Descriptor{f.put("some text")})
}

// checkClean fails if a run left anything half-written.
func (f *fixture) checkClean() {
	f.t.Helper()
	for _, pattern := range []string{f.store.Root() + "/tmp/*", f.plugins.TempDir + "/*", os.TempDir() + "/megabin-*", os.TempDir() + "/plugin*"} {
		entries, err := filepath.Glob(pattern)
		if err != nil || len(entries) != 0 {
			f.t.Errorf("%s was left behind (%v)", entries, err)
		}
	}
}

func TestSameBytesAsProcessAndModule(t *testing.T) {
	f := newFixture(t)
	var outcomes []*StageOutcome
	for _, kind := range []PluginKind{Process, Sandbox} {
		out, err := f.one(f.spec(kind), "upper", `{"suffix":"!"}`)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		outcomes = append(outcomes, out)
	}
	if got := f.read(outcomes[0].Outputs[0]); got != "SOME TEXT!" {
		t.Errorf("the stage gave %q", got)
	}
	process, module := outcomes[0], outcomes[1]
	process.Elapsed, module.Elapsed = 0, 0
	a, b := mustJSON(t, process), mustJSON(t, module)
	if a != b {
		t.Errorf("process and module differ:\n%s\n%s", a, b)
	}
	if !strings.Contains(a, "all upper") || !strings.Contains(a, `"texts":1`) {
		t.Errorf("diagnostic or metric is missing: %s", a)
	}
	f.checkClean()
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadPlugins(t *testing.T) {
	for _, c := range []struct {
		name, config, want string
		kind               PluginKind
	}{
		{"a process that crashes", `{"how":"crash"}`, "the last words of a plugin", Process},
		{"a process that panics", `{"how":"panic"}`, "panic: a bug in the stage", Process},
		{"a process that fails", `{"how":"fail"}`, "the stage does not like its input", Process},
		{"a process that hangs", `{"how":"hang"}`, "hung: it did not finish stage bad in time and was killed", Process},
		{"a wrong media type", `{"how":"wrong type"}`, `nonsense: an output of type "text/html"`, Process},
		{"an output not closed", `{"how":"not closed"}`, "was not closed", Process},
		{"a file that no output names", `{"how":"unnamed file"}`, `left file "extra"`, Process},
		{"a process that changes its input", `{"how":"change input"}`, "changed its input", Process},
		{"a module that crashes", `{"how":"crash"}`, "the last words of a plugin", Sandbox},
		{"a module that panics", `{"how":"panic"}`, "panic: a bug in the stage", Sandbox},
		{"a module that hangs", `{"how":"hang"}`, "in time and was killed", Sandbox},
		{"a module that wants too much memory", `{"how":"memory"}`, "out of memory", Sandbox},
		{"a module that reads the host", `{"how":"read","path":"/etc/passwd"}`, "errno", Sandbox},
		{"a module that climbs out", `{"how":"read","path":"/in/../../../../../../etc/passwd"}`, "errno", Sandbox},
		{"a module that lists the host", `{"how":"list","path":"/etc"}`, "errno", Sandbox},
		{"a module that links out", `{"how":"symlink","path":"/etc/passwd"}`, "Operation not permitted", Sandbox},
		{"a module that writes its input", `{"how":"write input"}`, "errno", Sandbox},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			spec := f.spec(c.kind)
			if strings.Contains(c.config, "hang") {
				spec.Permissions.Timeout = 2 * time.Second
			}
			_, err := f.one(spec, "bad", c.config)
			want := c.want
			if want == "errno" { // Go's texts for what a sandbox lacks differ by call
				want = ""
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error %v, want %q", err, want)
			}
			var run *RunError
			if !errors.As(err, &run) || run.Stage != "bad" || run.Plugin != "t" {
				t.Errorf("the error does not name stage and plugin: %v", err)
			}
			f.checkClean()
			if _, err := f.one(f.spec(c.kind), "upper", `{}`); err != nil {
				t.Errorf("the store is not usable afterwards: %v", err)
			}
		})
	}
}

func TestWrongChecksum(t *testing.T) {
	f := newFixture(t)
	for _, kind := range []PluginKind{Process, Sandbox} {
		spec := f.spec(kind)
		spec.SHA256 = strings.Repeat("0", 64)
		_, err := f.one(spec, "upper", "{}")
		var mismatch *ChecksumError
		if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "checksum mismatch") {
			t.Errorf("%s: error %v", kind, err)
		}
	}
	f.checkClean()
}

func TestNoPlugin(t *testing.T) {
	script := func(body string) func(*fixture) string {
		return func(f *fixture) string {
			path := filepath.Join(f.t.TempDir(), "plugin")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
				f.t.Fatal(err)
			}
			return path
		}
	}
	for _, c := range []struct {
		name   string
		source func(*fixture) string
		kind   PluginKind
		want   string
	}{
		{"a program that exits", script("echo oh dear >&2; exit 1"), Process, "oh dear"},
		{"a program that talks", script("echo hello"), Process, "does not speak protocol version 1"},
		{"another protocol version", script("echo '1|99|unix|/tmp/none|grpc'; sleep 5"), Process, "does not speak protocol version 1"},
		{"a missing file", func(*fixture) string { return "/nonexistent" }, Process, "opening the plugin"},
		{"a module that is none", script(""), Sandbox, "compiling the module"},
		{"a module without functions", func(f *fixture) string {
			path := filepath.Join(f.t.TempDir(), "empty.wasm")
			if err := os.WriteFile(path, []byte("\x00asm\x01\x00\x00\x00"), 0o644); err != nil {
				f.t.Fatal(err)
			}
			return path
		}, Sandbox, `does not export "describe"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			spec := f.spec(c.kind)
			spec.Source = c.source(f)
			_, err := f.one(spec, "upper", "{}")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			f.checkClean()
		})
	}
}

// aPipeline splits a text, makes each line upper-case and joins the lines.
const aPipeline = `version: 1
plugins:
  p: {kind: process, source: %s, sha256: %s}
  s: {kind: sandbox, source: %s, sha256: %s, permissions: {memory: 64MiB, timeout: 1m}}
stages:
  lines:
    uses: p/split
    needs: [text]
  loud:
    uses: s/upper
    needs: [lines]
    forEach: text/x-line
    with: {suffix: "!"}
  one:
    uses: p/join
    needs: [loud]
`

// pipeline decodes aPipeline, whose first stage takes the source's text: the
// test's source is no image, so the need is set behind the decoder's back.
func (f *fixture) pipeline() *Pipeline {
	f.t.Helper()
	content := strings.Replace(aPipeline, "[text]", "[source]", 1)
	p, err := Decode("pipeline.yaml", fmt.Appendf(nil, content, f.process, f.hex(f.process), f.module, f.hex(f.module)))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) hex(path string) string {
	f.t.Helper()
	content, err := os.Open(path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer content.Close()
	d, err := f.store.Put("", content)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimPrefix(d.Digest, stage.DigestPrefix)
}

// plan plans a pipeline whose source is text.
func (f *fixture) plan(p *Pipeline) *Plan {
	f.t.Helper()
	plan, err := f.plugins.planFrom(context.Background(), p, nil, []string{typeText})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(plan.Close)
	return plan
}

func TestFanOutIsCachedByItem(t *testing.T) {
	f := newFixture(t)
	plan := f.plan(f.pipeline())
	run := func(text string) *Outcome {
		t.Helper()
		out, err := f.runner.Run(context.Background(), plan, []stage.Descriptor{f.put(text)})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := run("a\nb\nc")
	if got := f.read(first.Of(stage.KindAssemble).Outputs[0]); got != "A!\nB!\nC!" {
		t.Errorf("the pipeline gave %q", got)
	}
	if loud := first.Stages[1]; loud.Items != 3 || loud.Cached != 0 {
		t.Errorf("the first run has %d items, %d cached", loud.Items, loud.Cached)
	}
	if again := run("a\nb\nc"); again.Stages[0].Cached != 1 || again.Stages[1].Cached != 3 || again.Stages[2].Cached != 1 {
		t.Errorf("the second run is not all cached: %s", mustJSON(t, again))
	}
	third := run("x\nb\na")
	if loud := third.Stages[1]; loud.Cached != 2 {
		t.Errorf("lines known from elsewhere are not cached: %d of %d", loud.Cached, loud.Items)
	}
	if got := f.read(third.Of(stage.KindAssemble).Outputs[0]); got != "X!\nB!\nA!" {
		t.Errorf("the third run gave %q", got)
	}
}

// TestConfigByInput gives each item its own part of a configuration: what is said
// of one input leaves the others in the cache.
func TestConfigByInput(t *testing.T) {
	f := newFixture(t)
	run := func(marks map[string]string) (*StageOutcome, string) {
		t.Helper()
		p := f.pipeline()
		p.Stages[1].With = json.RawMessage(mustJSON(t, map[string]any{"suffix": "!", "marks": marks}))
		out, err := f.runner.Run(context.Background(), f.plan(p), []stage.Descriptor{f.put("a\nb")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Stages[1], f.read(out.Of(stage.KindAssemble).Outputs[0])
	}
	digest := func(text string) string { return f.put(text).Digest }
	for _, c := range []struct {
		marks  map[string]string
		cached int
		want   string
	}{
		{map[string]string{}, 0, "A!\nB!"},
		{map[string]string{digest("b"): "?"}, 1, "A!\nB!?"},
		{map[string]string{digest("b"): "?", digest("c"): "of nothing"}, 2, "A!\nB!?"},
		{map[string]string{digest("a"): "+", digest("b"): "?"}, 1, "A!+\nB!?"},
		{map[string]string{}, 2, "A!\nB!"},
	} {
		if s, got := run(c.marks); got != c.want || s.Cached != c.cached || s.Items != 2 {
			t.Errorf("%v: %q with %d of %d cached, want %q with %d", c.marks, got, s.Cached, s.Items, c.want, c.cached)
		}
	}
}

// TestBadItem ends the build or, with onError: continue, leaves the item out.
func TestBadItem(t *testing.T) {
	f := newFixture(t)
	source := []stage.Descriptor{f.put("a\npoison\nc")}
	p := f.pipeline()
	_, err := f.runner.Run(context.Background(), f.plan(p), source)
	if err == nil || !strings.Contains(err.Error(), "stage loud on /line2 (sha256:") || !strings.Contains(err.Error(), "poison cannot be made louder") {
		t.Errorf("error %v", err)
	}
	p.Stages[1].Continue = true
	out, err := f.runner.Run(context.Background(), f.plan(p), source)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.read(out.Of(stage.KindAssemble).Outputs[0]); got != "A!\nC!" {
		t.Errorf("the pipeline gave %q", got)
	}
	d := out.Stages[1].Diagnostics
	if i := slices.IndexFunc(d, func(d stage.Diagnostic) bool { return d.Severity == stage.SeverityError }); i < 0 || d[i].Subject != "/line2" {
		t.Errorf("diagnostics %+v", d)
	}
}

func TestGrantedPath(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("granted"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := f.spec(Sandbox)
	config := `{"how":"read","path":"` + dir + `/data"}`
	if _, err := f.one(spec, "bad", config); err == nil {
		t.Error("a path that is not granted can be read")
	}
	spec.Permissions.Paths = []string{dir}
	out, err := f.one(spec, "bad", config)
	if err != nil || f.read(out.Outputs[0]) != "granted" {
		t.Errorf("a path that is granted cannot be read: %v", err)
	}
}

func TestDamagedCacheIsMadeAgain(t *testing.T) {
	f := newFixture(t)
	plan := f.plan(f.pipeline())
	source := []stage.Descriptor{f.put("a")}
	first, err := f.runner.Run(context.Background(), plan, source)
	if err != nil {
		t.Fatal(err)
	}
	path, err := f.store.Path(first.Stages[2].Outputs[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(f.store.CacheDir(), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(path, "plugins") {
			b, readErr := os.ReadFile(path)
			if readErr != nil {
				return readErr
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o644)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.runner.Run(context.Background(), plan, source)
	if err != nil {
		t.Fatal(err)
	}
	if second.Stages[1].Cached != 0 || f.read(second.Stages[2].Outputs[0]) != "A!" {
		t.Errorf("a damaged entry was used: %s", mustJSON(t, second))
	}
}

func TestCancelKillsAndLeavesNothing(t *testing.T) {
	for _, kind := range []PluginKind{Process, Sandbox} {
		t.Run(string(kind), func(t *testing.T) {
			f := newFixture(t)
			ctx, cancel := context.WithCancel(context.Background())
			started := make(chan struct{}, 1)
			f.runner.Progress = sinkFunc(func(e progress.Event) {
				if e.Kind == progress.Started {
					started <- struct{}{}
				}
			})
			go func() {
				<-started
				time.Sleep(300 * time.Millisecond)
				cancel()
			}()
			sign := filepath.Join(t.TempDir(), "sign")
			start := time.Now()
			_, err := f.plugins.RunStage(ctx, f.runner, f.spec(kind), "bad",
				json.RawMessage(`{"how":"hang","path":"`+sign+`"}`), []stage.Descriptor{f.put("x")})
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped") {
				t.Errorf("error %v", err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("stopping took %s", took)
			}
			f.checkClean()
			if kind == Process { // the hanging process makes the sign again if it lives
				os.Remove(sign)
				time.Sleep(100 * time.Millisecond)
				if _, err := os.Stat(sign); err == nil {
					t.Error("the plugin's process is still alive")
				}
			}
			if _, err := f.one(f.spec(kind), "upper", "{}"); err != nil {
				t.Errorf("running again: %v", err)
			}
		})
	}
}

// TestCancelWhileCompiling stops the first use of a module, whose compilation
// cannot be cancelled but killed.
func TestCancelWhileCompiling(t *testing.T) {
	f := newFixture(t)
	f.plugins.CacheDir = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan time.Time, 1)
	go func() {
		for ctx.Err() == nil { // the runner locks the cache, then compiles
			if locks, _ := filepath.Glob(f.plugins.CacheDir + "/wazero/*.lock"); len(locks) > 0 {
				stopped <- time.Now()
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := f.plugins.RunStage(ctx, f.runner, f.spec(Sandbox), "upper", json.RawMessage("{}"), []stage.Descriptor{f.put("x")})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(<-stopped); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	f.checkClean()
	if _, err := f.one(f.spec(Sandbox), "upper", "{}"); err != nil {
		t.Errorf("running again: %v", err)
	}
}

func TestSandboxRunnerThatDies(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		want   string
		runner []string
	}{
		{"needs a program that runs it", nil},
		{"oh dear", []string{"/bin/sh", "-c", "echo oh dear >&2; exit 1"}},
	} {
		f.plugins.SandboxRunner = c.runner
		if _, err := f.one(f.spec(Sandbox), "upper", "{}"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		f.checkClean()
	}
}

type sinkFunc func(progress.Event)

func (f sinkFunc) Event(e progress.Event) { f(e) }
func (f sinkFunc) Close()                 {}

func TestStaleScratchIsRemoved(t *testing.T) {
	f := newFixture(t)
	stale := filepath.Join(f.store.Root(), "tmp", "run-killed")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, ".lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := f.store.NewScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, err := store.Open(f.store.Root()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the directory of a killed run is still there")
	}
	if _, err := os.Stat(live.Dir); err != nil {
		t.Errorf("the directory of a live run is gone: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: a limit on file sizes stands for the full disk in package store's test")
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Logf("mounting a tmpfs: %v: package store's test stands for this one", err)
		return
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	f := newFixture(t)
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	f.store, f.runner.Store, f.runner.Cache = s, s, nil
	big := f.put(strings.Repeat("x", 150<<10))
	for _, kind := range []PluginKind{Process, Sandbox} {
		_, err := f.plugins.RunStage(context.Background(), f.runner, f.spec(kind), "upper", json.RawMessage("{}"), []stage.Descriptor{big})
		if err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("%s: error %v", kind, err)
		}
		f.checkClean()
	}
	small := f.put("small")
	if _, err := f.plugins.RunStage(context.Background(), f.runner, f.spec(Process), "upper", json.RawMessage("{}"), []stage.Descriptor{small}); err != nil {
		t.Errorf("running a small one afterwards: %v", err)
	}
}

func TestLock(t *testing.T) {
	f := newFixture(t)
	p := f.pipeline()
	path := filepath.Join(t.TempDir(), "pipeline.lock")
	digests, err := f.plugins.Digests(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Write(path, digests); err != nil {
		t.Fatal(err)
	}
	l, err := lock.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := f.plugins.planFrom(context.Background(), p, l, []string{typeText})
	if err != nil {
		t.Fatalf("the plugins that were locked: %v", err)
	}
	plan.Close()
	digests["s"] = lock.Plugin{Digest: "sha256:" + strings.Repeat("1", 64)}
	delete(digests, "p")
	if err := lock.Write(path, digests); err != nil {
		t.Fatal(err)
	}
	if l, err = lock.Read(path); err != nil {
		t.Fatal(err)
	}
	_, err = f.plugins.planFrom(context.Background(), p, l, []string{typeText})
	var mismatch *lock.MismatchError
	if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), "plugin s is refused") || !strings.Contains(err.Error(), "plugin p is not in") {
		t.Errorf("error %v", err)
	}
	if none, err := lock.Read(path + ".none"); none != nil || err != nil {
		t.Errorf("no lock: %v, %v", none, err)
	}
}

func TestUnpinnedPluginIsRefused(t *testing.T) {
	f := newFixture(t)
	p := f.pipeline()
	p.Plugins[0].SHA256 = ""
	if _, err := f.plugins.Load(p, nil); err == nil || !strings.Contains(err.Error(), "not pinned") {
		t.Errorf("error %v", err)
	}
}

// TestCancelBeforeTheHandshake stops a plugin that never speaks.
func TestCancelBeforeTheHandshake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := remote.New(remote.Config{Name: "sleepy", Path: path, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	if _, err := p.Describe(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > 10*time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
}

func TestRemoteTimeoutAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := remote.New(remote.Config{Name: "sleepy", Path: path, TempDir: t.TempDir(), StartTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var timeout *remote.TimeoutError
	if _, err := p.Describe(context.Background()); !errors.As(err, &timeout) {
		t.Errorf("error %v", err)
	}
}
