package machine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/wasm"
)

func TestCacheDirMustBePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	newWorld(t, WazeroOptions{CacheDir: dir})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWazero(context.Background(), testUnit().megabinary(t), WazeroOptions{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "others may write") {
		t.Errorf("open to all: %v", err)
	}
	if _, err := NewWazero(context.Background(), testUnit().megabinary(t), WazeroOptions{CacheDir: t.TempDir(), Digest: "../x"}); err == nil || !strings.Contains(err.Error(), "no sha256") {
		t.Errorf("a digest that is none: %v", err)
	}
}

// alonePart is the part that a world of testUnit runs.
var alonePart = partKey{0, true}

// cacheOf returns the cache that worlds with o use.
func cacheOf(t *testing.T, o WazeroOptions) *codeCache {
	t.Helper()
	cache, err := newCodeCache(testUnit().megabinary(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// codeFile returns the one file of compiled code that is in the cache.
func codeFile(t *testing.T, c *codeCache) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.shared(), "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the cache holds %v, %v", files, err)
	}
	return files[0]
}

func TestCachedCodeIsLoaded(t *testing.T) {
	o := WazeroOptions{CacheDir: filepath.Join(t.TempDir(), "cache")}
	w := newWorld(t, o)
	cache := cacheOf(t, o)
	if cache.load(alonePart) != nil {
		t.Error("a unit that did not run was compiled")
	}
	w.call(t, "rdtsc", nil)
	file := codeFile(t, cache)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if cache.load(alonePart) == nil {
		t.Fatal("nothing was stored")
	}
	newWorld(t, o).call(t, "rdtsc", nil)
	if after, err := os.Stat(file); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was compiled again: %v", err)
	}
}

func TestCodeIsSharedByMegabinaries(t *testing.T) {
	o := WazeroOptions{CacheDir: filepath.Join(t.TempDir(), "cache")}
	newWorld(t, o).call(t, "rdtsc", nil)
	cache := cacheOf(t, o)
	file := codeFile(t, cache)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Digest = strings.Repeat("ab", 32) // as that of another megabinary
	newWorld(t, o).call(t, "rdtsc", nil)
	if after, err := os.Stat(codeFile(t, cache)); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was compiled again: %v", err)
	}
}

func TestLeftoversAreSwept(t *testing.T) {
	o := WazeroOptions{CacheDir: t.TempDir()}
	left, fresh := filepath.Join(o.CacheDir, newPrefix+"1"), filepath.Join(o.CacheDir, newPrefix+"2")
	for _, dir := range []string{left, fresh} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(left, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	newWorld(t, o).call(t, "rdtsc", nil)
	if _, err := os.Stat(left); err == nil {
		t.Error("an old directory is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a new directory, perhaps in use, is gone")
	}
}

func TestBadCacheEntriesAreReplaced(t *testing.T) {
	ctx := context.Background()
	for name, spoil := range map[string]func(t *testing.T, c *codeCache){
		"truncated": func(t *testing.T, c *codeCache) {
			if err := os.Truncate(codeFile(t, c), 1000); err != nil {
				t.Fatal(err)
			}
		},
		"flipped byte": func(t *testing.T, c *codeCache) {
			file := codeFile(t, c)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"code is gone": func(t *testing.T, c *codeCache) {
			if err := os.Remove(codeFile(t, c)); err != nil {
				t.Fatal(err)
			}
		},
		"skeleton is damaged": func(t *testing.T, c *codeCache) {
			if err := os.WriteFile(c.skeletonFile(alonePart), []byte("\x00asm\x01\x00\x00\x00junk"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"code of the skeleton": func(t *testing.T, c *codeCache) {
			file := codeFile(t, c)
			e, err := newWazeroEngine(ctx, nil, guestabi.CPUv2, WazeroOptions{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close(ctx)
			dir := t.TempDir()
			if err := e.compileTo(ctx, dir, c.load(alonePart)); err != nil {
				t.Fatal(err)
			}
			empty, err := onlyFile(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(empty, file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := WazeroOptions{CacheDir: filepath.Join(t.TempDir(), "cache")}
			newWorld(t, o).call(t, "rdtsc", nil)
			cache := cacheOf(t, o)
			file := codeFile(t, cache)
			good, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spoil(t, cache)
			newWorld(t, o).call(t, "rdtsc", nil) // compiles again
			if again, err := os.ReadFile(file); err != nil || len(again) != len(good) {
				t.Errorf("the code was not replaced: %d bytes instead of %d, %v", len(again), len(good), err)
			}
			if cache.load(alonePart) == nil {
				t.Error("the part is not in the cache")
			}
		})
	}
}

func TestSkeletonsOfDifferentPartsDiffer(t *testing.T) {
	module := testUnit().megabinary(t)
	other := wasm.AppendCustom(module, wasm.Custom{Name: "x"})
	a, b := t.TempDir(), t.TempDir()
	var skeletons [2]string
	for i, code := range [][]byte{module, other} {
		dir := []string{a, b}[i]
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		o := WazeroOptions{CacheDir: dir}
		e, err := NewWazero(context.Background(), code, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(context.Background())
		if _, err := e.(*wazeroEngine).parts.get(context.Background(), alonePart); err != nil {
			t.Fatal(err)
		}
		cache, err := newCodeCache(code, o)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := wasm.FindCustom(cache.load(alonePart), sectionPart)
		if err != nil {
			t.Fatal(err)
		}
		skeletons[i] = string(digest)
	}
	if skeletons[0] == skeletons[1] {
		t.Error("two modules have one name in the cache")
	}
}
