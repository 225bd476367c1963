package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"megabinary.dev/sdk/wasm"
)

// codeCache keeps compiled parts of megabinaries on disk:
//
//	<root>/code/                wazero's cache, parts of all megabinaries
//	<root>/code/have/<digest>   empty: the code of the part of that digest is there
//	<root>/<megabinary>/<part>.wasm  what the part is loaded with: its skeleton
//
// wazero's cache alone would not do: wazero validates every function before it
// looks there, which takes three quarters of the time of loading code. The code
// was validated when it was compiled, so what is loaded is the part's skeleton,
// whose functions are empty, with the code that belongs to the part: wazero
// names a file in its cache after the module and the processor, and looks into
// it no further than its checksum. The skeleton holds the part's digest, so
// that no two have the same. That the code is there and not that of the empty
// functions is tested when the part is first instantiated.
type codeCache struct {
	root string // WazeroOptions.CacheDir
	dir  string // of the megabinary
}

// cacheFormat is part of the names of directories; it changes with what is in
// them.
const cacheFormat = "3"

// sectionPart is the custom section of a skeleton that holds the digest of what
// it is the skeleton of.
const sectionPart = "megabinary.part"

func newCodeCache(megabinary []byte, o WazeroOptions) (*codeCache, error) {
	if err := checkCacheDir(o.CacheDir); err != nil {
		return nil, err
	}
	digest := o.Digest
	if digest == "" {
		sum := sha256.Sum256(megabinary)
		digest = hex.EncodeToString(sum[:])
	}
	if _, err := hex.DecodeString(digest); err != nil || len(digest) != 2*sha256.Size {
		return nil, fmt.Errorf("opening the cache of compiled code: %q is no sha256 in hexadecimal", digest)
	}
	return &codeCache{root: o.CacheDir, dir: filepath.Join(o.CacheDir, digest+"-"+cacheFormat)}, nil
}

// shared is the directory of wazero's cache.
func (c *codeCache) shared() string { return filepath.Join(c.root, "code-"+cacheFormat) }

func (c *codeCache) skeletonFile(k partKey) string {
	return filepath.Join(c.dir, k.String()+".wasm")
}

func (c *codeCache) marker(digest string) string {
	return filepath.Join(c.shared(), "have", digest)
}

// load returns the skeleton of a part whose code is in the cache, or nil.
func (c *codeCache) load(k partKey) []byte {
	skeleton, err := os.ReadFile(c.skeletonFile(k))
	if err != nil {
		return nil
	}
	digest, err := wasm.FindCustom(skeleton, sectionPart)
	if err != nil || len(digest) != 2*sha256.Size || !exists(c.marker(string(digest))) {
		return nil
	}
	return skeleton
}

// remove forgets a part. What cannot be removed is found out again.
func (c *codeCache) remove(k partKey) {
	if skeleton, err := os.ReadFile(c.skeletonFile(k)); err == nil {
		if digest, err := wasm.FindCustom(skeleton, sectionPart); err == nil && len(digest) == 2*sha256.Size {
			_ = os.Remove(c.marker(string(digest)))
		}
	}
	_ = os.Remove(c.skeletonFile(k))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// store compiles a part, unless some megabinary had the same, keeps its code
// and returns its skeleton.
func (c *codeCache) store(ctx context.Context, e *wazeroEngine, k partKey, module []byte) ([]byte, error) {
	c.sweep()
	sum := sha256.Sum256(module)
	digest := hex.EncodeToString(sum[:])
	skeleton, err := wasm.Skeleton(module)
	if err != nil {
		return nil, err
	}
	skeleton = wasm.AppendCustom(skeleton, wasm.Custom{Name: sectionPart, Bytes: []byte(digest)})
	for _, dir := range []string{c.dir, filepath.Dir(c.marker(digest))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("storing compiled code: %w", err)
		}
	}
	if !exists(c.marker(digest)) {
		if err := c.install(ctx, e, module, skeleton); err != nil {
			return nil, err
		}
		if err := writeFile(c.marker(digest), nil); err != nil {
			return nil, err
		}
	}
	return skeleton, writeFile(c.skeletonFile(k), skeleton)
}

// newPrefix begins the names of directories and files that are being made.
const newPrefix = "new-"

// sweep removes what processes that were killed left behind.
func (c *codeCache) sweep() {
	for _, pattern := range []string{filepath.Join(c.root, newPrefix+"*"), filepath.Join(c.dir, newPrefix+"*")} {
		old, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, dir := range old {
			if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
				_ = os.RemoveAll(dir) // else the next one tries
			}
		}
	}
}

// install puts the code of module where wazero looks for that of skeleton.
func (c *codeCache) install(ctx context.Context, e *wazeroEngine, module, skeleton []byte) error {
	dir, err := os.MkdirTemp(c.root, newPrefix)
	if err != nil {
		return fmt.Errorf("storing compiled code: %w", err)
	}
	defer os.RemoveAll(dir)
	var files [2]string
	for i, code := range [][]byte{module, skeleton} {
		sub := filepath.Join(dir, strconv.Itoa(i))
		if err := e.compileTo(ctx, sub, code); err != nil {
			return err
		}
		if files[i], err = onlyFile(sub); err != nil {
			return err
		}
	}
	rel, err := filepath.Rel(filepath.Join(dir, "1"), files[1])
	if err != nil {
		return fmt.Errorf("storing compiled code: %w", err)
	}
	to := filepath.Join(c.shared(), rel)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("storing compiled code: %w", err)
	}
	if err := os.Rename(files[0], to); err != nil {
		return fmt.Errorf("storing compiled code: %w", err)
	}
	return nil
}

// onlyFile returns the one file under dir.
func onlyFile(dir string) (string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("storing compiled code: %w", err)
	}
	if len(files) != 1 {
		return "", fmt.Errorf("storing compiled code: wazero wrote %d files, not one", len(files))
	}
	return files[0], nil
}

// writeFile writes a file that is there as a whole or not at all.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), newPrefix+"*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // it is gone if all went well
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
