package machine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func TestCachedCodeIsLoaded(t *testing.T) {
	o := WazeroOptions{CacheDir: filepath.Join(t.TempDir(), "cache")}
	newWorld(t, o)
	entries, err := os.ReadDir(o.CacheDir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the cache holds %v, %v", entries, err)
	}
	megabinary := testUnit().megabinary(t)
	cache, err := newCodeCache(megabinary, o)
	if err != nil {
		t.Fatal(err)
	}
	e := cache.load(context.Background(), megabinary, o)
	if e == nil {
		t.Fatal("nothing was loaded")
	}
	_ = e.Close(context.Background())
	w := newWorld(t, o)
	w.call(t, "rdtsc", nil)
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
	newWorld(t, o)
	if _, err := os.Stat(left); err == nil {
		t.Error("an old directory is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a new directory, perhaps in use, is gone")
	}
}

func TestBadCacheEntriesAreReplaced(t *testing.T) {
	ctx := context.Background()
	megabinary := testUnit().megabinary(t)
	for name, spoil := range map[string]func(t *testing.T, c *codeCache){
		"truncated": func(t *testing.T, c *codeCache) {
			file, err := onlyFile(c.entry)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, 1000); err != nil {
				t.Fatal(err)
			}
		},
		"flipped byte": func(t *testing.T, c *codeCache) {
			file, err := onlyFile(c.entry)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, c *codeCache) {
			if err := os.RemoveAll(c.entry); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(c.entry, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"code of the skeleton": func(t *testing.T, c *codeCache) {
			if err := os.RemoveAll(c.entry); err != nil {
				t.Fatal(err)
			}
			skeleton, err := wasm.Skeleton(megabinary)
			if err != nil {
				t.Fatal(err)
			}
			e, err := newWazeroEngine(ctx, skeleton, WazeroOptions{}, c.entry)
			if err != nil {
				t.Fatal(err)
			}
			_ = e.Close(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := WazeroOptions{CacheDir: filepath.Join(t.TempDir(), "cache")}
			newWorld(t, o)
			cache, err := newCodeCache(megabinary, o)
			if err != nil {
				t.Fatal(err)
			}
			spoil(t, cache)
			if e := cache.load(ctx, megabinary, o); e != nil {
				t.Error("it was loaded")
			}
			w := newWorld(t, o) // compiles again
			w.call(t, "rdtsc", nil)
			e := cache.load(ctx, megabinary, o)
			if e == nil {
				t.Fatal("it was not replaced")
			}
			_ = e.Close(ctx)
		})
	}
}
