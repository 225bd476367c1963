package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"megabinary.dev/test/images"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// start measures `true` from an image of busybox, everything warm, on each
// system that can run it.
func (b *bench) start() error {
	src, dst, err := b.busybox()
	if err != nil {
		return err
	}
	image := "oci:" + dst + ":latest"
	if _, err := run([]string{b.megabin, "build", "--plain", "oci:" + src + ":latest", "-o", image}); err != nil {
		return err
	}
	bundle, err := b.bundle()
	if err != nil {
		return err
	}
	sides := []side{
		{"native", func(string, ...string) []string { return []string{"/bin/busybox", "true"} }},
		{"qemu-user", func(string, ...string) []string { return []string{"qemu-x86_64-static", "/bin/busybox", "true"} }},
		{"runc", func(string, ...string) []string { return []string{"runc", "run", "--bundle", bundle, "megabin-bench"} }},
		{"megabin", func(string, ...string) []string { return []string{b.megabin, "run", image, "/bin/busybox", "true"} }},
	}
	if _, err := alternate(sides, 1, "true"); err != nil { // fills the caches
		return err
	}
	samples, err := alternate(sides, max(b.rounds, 5), "true")
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		of   func(sample) float64
	}{
		{"run busybox true, wall", func(s sample) float64 { return ms(s.wall) }},
		{"run busybox true, CPU", func(s sample) float64 { return ms(s.cpu) }},
	} {
		r := result{Section: "start", Name: m.name, Unit: "ms", Values: map[string]float64{}}
		for _, s := range sides {
			r.Values[s.name] = median(samples[s.name], m.of)
		}
		ratios(&r)
		b.add(r)
	}
	return nil
}

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

// bundle makes a runc bundle of busybox that runs true without a terminal.
func (b *bench) bundle() (string, error) {
	img, err := images.Busybox()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.out, "bundle")
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", rootfs, err)
	}
	tar := exec.Command("tar", "-x", "-C", rootfs)
	flat := mutate.Extract(img)
	defer flat.Close()
	tar.Stdin = io.Reader(flat)
	if msg, err := tar.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking the image: %w: %s", err, msg)
	}
	if msg, err := exec.Command("runc", "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("making a runc bundle: %w: %s", err, msg)
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("%s has no process", path)
	}
	process["terminal"], process["args"] = false, []string{"/bin/busybox", "true"}
	if data, err = json.Marshal(spec); err != nil {
		return "", fmt.Errorf("writing the bundle's configuration: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", fmt.Errorf("writing the bundle's configuration: %w", err)
	}
	return dir, nil
}
