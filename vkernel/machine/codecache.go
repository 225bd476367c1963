package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

// codeCache keeps the compiled code of one megabinary on disk, in a directory
// named after its digest.
//
// wazero has such a cache, but validates every function before it looks there,
// which takes three quarters of the time of loading a megabinary. The code was
// validated when it was compiled, so what is loaded from the cache is the
// megabinary's skeleton, whose functions are empty, with the code that belongs
// to the megabinary: wazero names a file in its cache after the module and the
// processor, and looks into it no further than its checksum. That the code is
// there and not that of the empty functions is tested after loading.
type codeCache struct {
	root  string // WazeroOptions.CacheDir
	entry string // directory of the megabinary
}

// cacheFormat is part of the name of an entry; it changes with what is in it.
const cacheFormat = "1"

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
	return &codeCache{root: o.CacheDir, entry: filepath.Join(o.CacheDir, digest+"-"+cacheFormat)}, nil
}

// load returns an engine with cached code, or nil. A bad entry is removed.
func (c *codeCache) load(ctx context.Context, megabinary []byte, o WazeroOptions) *wazeroEngine {
	if _, err := os.Stat(c.entry); err != nil {
		return nil
	}
	skeleton, err := wasm.Skeleton(megabinary)
	if err != nil {
		return nil // compiling will say what is wrong with it
	}
	e, err := newWazeroEngine(ctx, skeleton, o, c.entry)
	if err == nil && e.holdsCode(ctx) {
		return e
	}
	if e != nil {
		_ = e.Close(ctx) // it was never used
	}
	_ = os.RemoveAll(c.entry) // of another version or processor, or damaged; the next store will tell if it stays
	return nil
}

// holdsCode reports whether the functions of the engine's module are compiled
// code and not those of a skeleton, which trap.
func (e *wazeroEngine) holdsCode(ctx context.Context) bool {
	m, err := e.runtime.InstantiateModule(ctx, e.compiled, e.instance)
	if err != nil {
		return false
	}
	defer m.Close(ctx)
	save := m.ExportedFunction(guestabi.ExportSaveContext)
	if save == nil {
		return false
	}
	_, err = save.Call(ctx, 0)
	return err == nil
}

// store compiles the megabinary and keeps its code. It fails only if compiling
// does.
func (c *codeCache) store(ctx context.Context, megabinary []byte, o WazeroOptions) (*wazeroEngine, error) {
	c.sweep()
	dir, err := os.MkdirTemp(c.root, newPrefix)
	if err != nil {
		return newWazeroEngine(ctx, megabinary, o, "")
	}
	defer os.RemoveAll(dir)
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	e, err := newWazeroEngine(ctx, megabinary, o, full)
	if err != nil {
		// The fault may be that of the cache: a full disk.
		return newWazeroEngine(ctx, megabinary, o, "")
	}
	// A cache that cannot be written makes the next start slow, no more.
	_ = c.install(ctx, megabinary, o, full, empty)
	return e, nil
}

// newPrefix begins the names of directories in which entries are made.
const newPrefix = "new-"

// sweep removes what processes that were killed left behind.
func (c *codeCache) sweep() {
	old, err := filepath.Glob(filepath.Join(c.root, newPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.RemoveAll(dir) // else the next one tries
		}
	}
}

// install makes the cache of the skeleton in empty, puts the code in full into
// it and moves it to its place at once.
func (c *codeCache) install(ctx context.Context, megabinary []byte, o WazeroOptions, full, empty string) error {
	skeleton, err := wasm.Skeleton(megabinary)
	if err != nil {
		return err
	}
	e, err := newWazeroEngine(ctx, skeleton, o, empty)
	if err != nil {
		return err
	}
	if err := e.Close(ctx); err != nil {
		return err
	}
	from, err := onlyFile(full)
	if err != nil {
		return err
	}
	to, err := onlyFile(empty)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("storing compiled code: %w", err)
	}
	if err := os.Rename(empty, c.entry); err != nil && !errors.Is(err, fs.ErrExist) {
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
