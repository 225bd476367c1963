// Package lock reads and writes pipeline.lock, which pins the digest of every
// plugin of a pipeline.
package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"megabinary.dev/engine/store"
)

// Lock is a pipeline.lock.
type Lock struct {
	Version int               `yaml:"version"` // 1
	Plugins map[string]Plugin `yaml:"plugins"` // by the plugin's name in the pipeline

	path string
}

// Plugin is one pinned plugin.
type Plugin struct {
	Source string `yaml:"source"`
	Digest string `yaml:"digest"` // sha256:<hex> of its file
}

const version = 1

const header = "# Written by `megabin lock`: the digest of every plugin of the pipeline.\n"

// PathFor returns where the lock of a pipeline file lies: pipeline.yaml has
// pipeline.lock beside it.
func PathFor(pipeline string) string {
	return strings.TrimSuffix(pipeline, filepath.Ext(pipeline)) + ".lock"
}

// Read reads a lock. It returns nil and no error if there is none.
func Read(path string) (*Lock, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	decoder.KnownFields(true)
	l := &Lock{path: path}
	if err := decoder.Decode(l); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if l.Version != version {
		return nil, fmt.Errorf("reading %s: version %d is not known, only %d", path, l.Version, version)
	}
	return l, nil
}

// Write writes a lock.
func Write(path string, plugins map[string]Plugin) error {
	var b bytes.Buffer
	b.WriteString(header)
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(Lock{Version: version, Plugins: plugins}); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	if err := store.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	return nil
}

// MismatchError says that a plugin is not the one that was locked.
type MismatchError struct {
	Name, Path, Want, Got string
}

func (e *MismatchError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("plugin %s is not in %s (if it was added on purpose, run `megabin lock`)", e.Name, e.Path)
	}
	return fmt.Sprintf("plugin %s is refused: its digest is %s but %s pins %s (if it was changed on purpose, run `megabin lock`)",
		e.Name, e.Got, e.Path, e.Want)
}

// Check compares plugins, by name, with the lock. A nil lock allows all.
func (l *Lock) Check(digests map[string]string) error {
	if l == nil {
		return nil
	}
	names := make([]string, 0, len(digests))
	for name := range digests {
		names = append(names, name)
	}
	sort.Strings(names)
	var errs []error
	for _, name := range names {
		if want := l.Plugins[name].Digest; want != digests[name] {
			errs = append(errs, &MismatchError{Name: name, Path: l.path, Want: want, Got: digests[name]})
		}
	}
	return errors.Join(errs...)
}
