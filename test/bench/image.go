package main

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"

	"megabinary.dev/test/images"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// build measures building the image of busybox: with empty caches, then again.
func (b *bench) build() error {
	src, dst, err := b.busybox()
	if err != nil {
		return err
	}
	store := filepath.Join(b.out, "store")
	if err := os.RemoveAll(store); err != nil {
		return fmt.Errorf("clearing %s: %w", store, err)
	}
	argv := []string{b.megabin, "build", "--plain", "--store", store, "oci:" + src + ":latest", "-o", "oci:" + dst + ":latest"}
	for _, name := range []string{"build busybox, nothing cached", "build busybox again"} {
		s, err := run(argv)
		if err != nil {
			return err
		}
		b.add(result{Section: "build", Name: name, Unit: "s",
			Values: map[string]float64{"cpu": s.cpu.Seconds(), "wall": s.wall.Seconds()},
			Note:   fmt.Sprintf("peak RSS %d MB", s.maxRSS>>20)})
	}
	cache, err := os.MkdirTemp(b.out, "cache")
	if err != nil {
		return fmt.Errorf("making a cache folder: %w", err)
	}
	defer os.RemoveAll(cache)
	s, err := run([]string{"env", "XDG_CACHE_HOME=" + cache, b.megabin, "run", "oci:" + dst + ":latest", "/bin/busybox", "true"})
	if err != nil {
		return err
	}
	b.add(result{Section: "build", Name: "first run of busybox true: wazero compiles the megabinary", Unit: "s",
		Values: map[string]float64{"cpu": s.cpu.Seconds(), "wall": s.wall.Seconds()},
		Note:   fmt.Sprintf("peak RSS %d MB", s.maxRSS>>20)})
	return nil
}

// busybox writes the image of busybox and returns its layout and the one to
// build into.
func (b *bench) busybox() (src, dst string, err error) {
	img, err := images.Busybox()
	if err != nil {
		return "", "", err
	}
	src, dst = filepath.Join(b.out, "busybox.src"), filepath.Join(b.out, "busybox.mega")
	if err := images.WriteLayout(src, "latest", img); err != nil {
		return "", "", err
	}
	if err := os.RemoveAll(dst); err != nil {
		return "", "", fmt.Errorf("clearing %s: %w", dst, err)
	}
	return src, dst, nil
}
