// Package cache remembers what a stage made of its inputs. The key holds all
// that decides the result: the plugin's digest, the stage's name and version,
// the configuration and the inputs.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/stage"
)

// formatVersion is part of the key: bump when Key or Entry changes its meaning.
const formatVersion = "megabinary.cache.v1"

// Key is all that decides the result of a stage.
type Key struct {
	Plugin  string             `json:"plugin"` // digest of the plugin's file
	Stage   string             `json:"stage"`
	Version string             `json:"version"`
	Config  json.RawMessage    `json:"config"` // canonical: Go's JSON with sorted keys
	Inputs  []stage.Descriptor `json:"inputs"` // in order
}

// ID returns the key's digest in hexadecimal.
func (k Key) ID() string {
	b, err := json.Marshal(struct {
		Format string `json:"format"`
		Key
	}{formatVersion, k})
	if err != nil {
		panic("BUG: cache key does not marshal: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Entry is what a stage gave.
type Entry struct {
	Outputs     []stage.Descriptor `json:"outputs"`
	Diagnostics []stage.Diagnostic `json:"diagnostics,omitempty"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`
}

// stored is an entry's file: the sum shows a damaged entry.
type stored struct {
	Key   string          `json:"key"`
	Sum   string          `json:"sum"` // sha256 of Entry, hexadecimal
	Entry json.RawMessage `json:"entry"`
}

// Cache keeps its entries as files beside the blobs of a store.
type Cache struct {
	store *store.Store
}

// New returns the cache of a store.
func New(s *store.Store) *Cache {
	return &Cache{store: s}
}

func (c *Cache) path(id string) string {
	return filepath.Join(c.store.CacheDir(), id[:2], id+".json")
}

// Get returns the entry of a key. A damaged entry, or one whose blobs are gone
// or not of their size, counts as missing and is removed.
func (c *Cache) Get(k Key) (Entry, bool) {
	id := k.ID()
	b, err := os.ReadFile(c.path(id))
	if err != nil {
		return Entry{}, false
	}
	entry, err := c.decode(id, b)
	if err != nil {
		os.Remove(c.path(id))
		return Entry{}, false
	}
	return entry, true
}

func (c *Cache) decode(id string, b []byte) (Entry, error) {
	var file stored
	if err := json.Unmarshal(b, &file); err != nil {
		return Entry{}, err
	}
	sum := sha256.Sum256(file.Entry)
	if file.Key != id || file.Sum != hex.EncodeToString(sum[:]) {
		return Entry{}, errors.New("the entry is damaged")
	}
	var entry Entry
	if err := json.Unmarshal(file.Entry, &entry); err != nil {
		return Entry{}, err
	}
	for _, d := range entry.Outputs {
		if !c.store.Has(d) {
			return Entry{}, fmt.Errorf("blob %s is gone", d.Digest)
		}
	}
	return entry, nil
}

// Put stores an entry.
func (c *Cache) Put(k Key, entry Entry) error {
	id := k.ID()
	body, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("storing a cache entry: %w", err)
	}
	sum := sha256.Sum256(body)
	b, err := json.Marshal(stored{Key: id, Sum: hex.EncodeToString(sum[:]), Entry: body})
	if err != nil {
		return fmt.Errorf("storing a cache entry: %w", err)
	}
	if err := writeUnder(c.path(id), b); err != nil {
		return fmt.Errorf("storing a cache entry: %w", err)
	}
	return nil
}

// Descriptions returns the stages that a plugin described before, so that a warm
// build need not start it.
func (c *Cache) Descriptions(pluginDigest string) ([]stage.Description, bool) {
	b, err := os.ReadFile(c.descriptionsPath(pluginDigest))
	if err != nil {
		return nil, false
	}
	var all []stage.Description
	if json.Unmarshal(b, &all) != nil || len(all) == 0 {
		return nil, false
	}
	for _, d := range all {
		if d.Validate() != nil {
			return nil, false
		}
	}
	return all, true
}

// PutDescriptions stores what a plugin said of its stages.
func (c *Cache) PutDescriptions(pluginDigest string, all []stage.Description) error {
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("storing descriptions: %w", err)
	}
	if err := writeUnder(c.descriptionsPath(pluginDigest), b); err != nil {
		return fmt.Errorf("storing descriptions: %w", err)
	}
	return nil
}

func (c *Cache) descriptionsPath(pluginDigest string) string {
	sum := sha256.Sum256([]byte(formatVersion + " describe " + pluginDigest))
	return filepath.Join(c.store.CacheDir(), "plugins", hex.EncodeToString(sum[:])+".json")
}

func writeUnder(path string, b []byte) error {
	err := store.WriteFile(path, b, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return store.Explain(err)
		}
		err = store.WriteFile(path, b, 0o644)
	}
	return err
}
