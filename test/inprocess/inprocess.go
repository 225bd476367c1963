// Package inprocess runs rebuilt images in the process of a test, where many
// containers share one vkernel and the test can look inside.
package inprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"megabinary.dev/engine/store"
	"megabinary.dev/image"
	"megabinary.dev/test/images"
	"megabinary.dev/vkernel"
	"megabinary.dev/vkernel/fs/layers"
)

// Host is a vkernel with one image.
type Host struct {
	*vkernel.VKernel
	Image *vkernel.Image
	// Ref is the image as `megabin run` takes it.
	Ref string
}

// Compile compiles C programs to dir by the command line cc (less source and
// output). It returns their files by their paths in an image: /bin and the names
// of their sources.
func Compile(dir string, cc []string, sources ...string) (map[string]string, error) {
	files := map[string]string{}
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), filepath.Ext(src))
		bin := filepath.Join(dir, name)
		argv := append(append([]string(nil), cc...), "-o", bin, src)
		if msg, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compiling %s: %w: %s", src, err, msg)
		}
		files["/bin/"+name] = bin
	}
	return files, nil
}

// Build writes img to dir, has the program megabin rebuild it, and returns the
// reference of the result.
func Build(megabin, dir string, img v1.Image) (string, error) {
	if _, err := os.Stat(megabin); err != nil {
		return "", fmt.Errorf("%w: run `make build` first", err)
	}
	if err := images.WriteLayout(filepath.Join(dir, "src"), "latest", img); err != nil {
		return "", err
	}
	ref := "oci:" + filepath.Join(dir, "mega") + ":latest"
	out, err := exec.Command(megabin, "build", "--plain", "oci:"+filepath.Join(dir, "src")+":latest", "-o", ref).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the image: %w: %s", err, out[max(0, len(out)-2000):])
	}
	return ref, nil
}

// Open starts a vkernel whose store and cache lie in dir and loads an image.
func Open(ctx context.Context, dir, ref string, c vkernel.Config) (*Host, error) {
	parsed, err := image.ParseRef(ref)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	img, err := image.Pull(ctx, parsed, s)
	if err != nil {
		return nil, err
	}
	raw, err := s.ReadAll(img.Config, 8<<20)
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	if len(config.RootFS.DiffIDs) != len(img.Layers) {
		return nil, errors.New("the image's configuration does not name its layers")
	}
	sources := make([]layers.Source, len(img.Layers))
	for i, l := range img.Layers {
		sources[i] = layers.Source{DiffID: config.RootFS.DiffIDs[i], Open: func() (io.ReadCloser, error) { return s.Open(l.Digest) }}
	}
	if c.CacheDir == "" {
		c.CacheDir = filepath.Join(dir, "cache")
	}
	v, err := vkernel.New(c)
	if err != nil {
		return nil, err
	}
	loaded, err := v.LoadImage(ctx, sources)
	if err != nil {
		return nil, err
	}
	return &Host{VKernel: v, Image: loaded, Ref: ref}, nil
}
