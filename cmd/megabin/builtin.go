package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"megabinary.dev"
	"megabinary.dev/engine"
	"megabinary.dev/engine/cache"
	"megabinary.dev/engine/lock"
	"megabinary.dev/engine/store"
	analyzeelf "megabinary.dev/plugins/analyze-elf"
	assembleoci "megabinary.dev/plugins/assemble-oci"
	compilenative "megabinary.dev/plugins/compile-native"
	extractoci "megabinary.dev/plugins/extract-oci"
	linkmegabinary "megabinary.dev/plugins/link-megabinary"
	"megabinary.dev/plugins/recompile"
	"megabinary.dev/sdk/stage"
)

// modules holds the shipped stages that run in the sandbox: see embed/README.md.
//
//go:embed embed
var modules embed.FS

// shippedStages are the stages that this program carries. One line here adds one.
func shippedStages() []stage.Stage {
	return []stage.Stage{
		extractoci.Stage(),
		analyzeelf.Stage(),
		recompile.Stage(),
		compilenative.Stage(),
		linkmegabinary.Stage(),
		assembleoci.Stage(),
	}
}

// builtins returns the shipped stages as plugins: this program, re-executed as
// `megabin plugin serve NAME`, or an embedded module.
func builtins(executable string) (map[string]engine.Builtin, error) {
	digest, err := digestOf(executable)
	if err != nil {
		return nil, fmt.Errorf("hashing this program: %w", err)
	}
	all := make(map[string]engine.Builtin)
	for _, s := range shippedStages() {
		name := s.Describe().Name
		b := engine.Builtin{
			Executable: executable,
			Args:       []string{"plugin", "serve", name},
			Digest:     digest,
			Stages:     []stage.Stage{s},
		}
		if module, err := modules.ReadFile("embed/" + name + ".wasm"); err == nil {
			b.Module = module
		}
		all[name] = b
	}
	return all, nil
}

// self returns this program's path. On Linux /proc/self/exe is the running file
// itself, in a child that executes it too, even if its path was written over
// meanwhile.
func self() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return stage.DigestPrefix + hex.EncodeToString(h.Sum(nil)), nil
}

// workshop is what the commands around pipelines share.
type workshop struct {
	store   *store.Store
	cache   *cache.Cache
	plugins *engine.Plugins
	scratch *store.Scratch
}

func (w *workshop) close() { w.scratch.Close() }

// openWorkshop opens the operator's store with the built-in plugins.
func (a *app) openWorkshop() (*workshop, error) {
	s, err := store.Open(a.settings.GetString(settingStore))
	if err != nil {
		return nil, err
	}
	scratch, err := s.NewScratch()
	if err != nil {
		return nil, err
	}
	executable, err := self()
	if err != nil {
		scratch.Close()
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	own, err := builtins(executable)
	if err != nil {
		scratch.Close()
		return nil, err
	}
	c := cache.New(s)
	return &workshop{
		store: s, cache: c, scratch: scratch,
		plugins: &engine.Plugins{
			Builtins:      own,
			SandboxRunner: []string{executable, "plugin", commandSandbox},
			CacheDir:      a.settings.GetString(settingCacheDir),
			TempDir:       scratch.Dir,
			Cache:         c,
			Warn:          func(message string) { a.log.Warn().Msg(message) },
		},
	}, nil
}

// readPipeline reads the pipeline of -f, or the default one, and its lock.
func readPipeline(file string) (*engine.Pipeline, *lock.Lock, error) {
	if file == "" {
		p, err := engine.Decode("pipeline.yaml (built in)", []byte(megabinary.Pipeline()))
		return p, nil, err
	}
	content, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the pipeline: %w", err)
	}
	p, err := engine.Decode(file, content)
	if err != nil {
		return nil, nil, err
	}
	l, err := lock.Read(lock.PathFor(file))
	return p, l, err
}
