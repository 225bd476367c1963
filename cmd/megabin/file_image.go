package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fileImage writes an image that holds one static program of this host, at its
// own path, as an OCI layout in dir, and returns its reference.
func fileImage(path, dir string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the program: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("%s is no program: %w", path, err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s needs shared libraries: put it in an image with them, and name that", path)
		}
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	err = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg})
	if err != nil {
		return "", fmt.Errorf("writing a layer: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return "", fmt.Errorf("writing a layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("writing a layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return "", fmt.Errorf("making a layer: %w", err)
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		&v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return "", fmt.Errorf("making an image: %w", err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return "", fmt.Errorf("making an image: %w", err)
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", fmt.Errorf("writing an image: %w", err)
	}
	if err := l.AppendImage(img); err != nil {
		return "", fmt.Errorf("writing an image: %w", err)
	}
	return "oci:" + dir, nil
}
