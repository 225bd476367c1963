// Package sandbox runs plugins as Extism modules on wazero. A module has the
// memory, time, paths and hosts that it was granted and nothing else: no clock,
// no randomness, no environment.
//
// Modules run in processes of our own: New gives a plugin whose processes call
// Serve. Wazero can stop a loop only if it makes all loops slow, and cannot stop
// a compilation; a process can be killed at any time. See docs/RATIONALE.md.
package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"megabinary.dev/engine/remote"
	"megabinary.dev/sdk/stage"
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
	// Runner is the command, without its last argument, of a trusted program
	// that gives this argument to Serve.
	Runner  []string
	TempDir string // the module's copy goes here; "": the system's
}

// describeTimeout limits Describe, in which a module is compiled if it was not
// before: seconds for each 10 MiB, many times more under the race detector.
const describeTimeout = 5 * time.Minute

// grant is what the runner is told of the module and of what it may use.
type grant struct {
	Module   string   `json:"module"` // file
	Digest   string   `json:"digest"`
	CacheDir string   `json:"cacheDir,omitempty"`
	Memory   int64    `json:"memory"`
	Paths    []string `json:"paths,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
}

// Plugin is a module in processes; every run has an instance of its own.
type Plugin struct {
	*remote.Plugin
	digest string
	dir    string // of the module's copy
}

// New checks the module's digest. Nothing is started yet.
func New(config Config) (*Plugin, error) {
	if config.Memory <= 0 {
		return nil, errors.New("a sandboxed plugin needs memory")
	}
	if len(config.Runner) == 0 {
		return nil, errors.New("a sandboxed plugin needs a program that runs it")
	}
	digest := digestOf(config.Module)
	if config.Digest != "" && config.Digest != digest {
		return nil, &remote.ChecksumError{Want: config.Digest, Got: digest}
	}
	dir, err := os.MkdirTemp(config.TempDir, "plugin-*")
	if err != nil {
		return nil, fmt.Errorf("copying the module: %w", err)
	}
	p := &Plugin{digest: digest, dir: dir}
	if err := p.prepare(config); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

func (p *Plugin) prepare(config Config) error {
	g := grant{
		Module: filepath.Join(p.dir, "module.wasm"), Digest: p.digest, CacheDir: config.CacheDir,
		Memory: config.Memory, Paths: config.Paths, Hosts: config.Hosts,
	}
	if err := os.WriteFile(g.Module, config.Module, 0o400); err != nil {
		return fmt.Errorf("copying the module: %w", err)
	}
	argument, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("describing the sandbox: %w", err)
	}
	p.Plugin, err = remote.New(remote.Config{
		Name: config.Name, Path: config.Runner[0], Own: true, Bound: true, DescribeTimeout: describeTimeout,
		Args: append(slices.Clone(config.Runner[1:]), string(argument)),
	})
	return err
}

func digestOf(module []byte) string {
	sum := sha256.Sum256(module)
	return stage.DigestPrefix + hex.EncodeToString(sum[:])
}

// Digest returns the digest of the module.
func (p *Plugin) Digest() string { return p.digest }

// Close ends the processes. No run may be under way.
func (p *Plugin) Close() error {
	return errors.Join(p.Plugin.Close(), os.RemoveAll(p.dir))
}
