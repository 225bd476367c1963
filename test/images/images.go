// Package images makes real OCI images out of Debian packages that are
// installed on this machine, for the demonstration and for tests.
package images

import (
	"archive/tar"
	"bytes"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

//go:embed demo
var demo embed.FS

// File is one entry of a layer. Links are symbolic.
type File struct {
	Path string // absolute
	Mode int64  // permission bits; a directory if it has tar's directory type
	Data []byte
	Link string
	Dir  bool
}

// busyboxPath is where Debian's package busybox-static puts its one program.
const busyboxPath = "/bin/busybox"

// Busybox returns an image of two layers: busybox with a link for each applet,
// and the demonstration's scripts.
func Busybox() (v1.Image, error) {
	program, err := os.ReadFile(busyboxPath)
	if err != nil {
		return nil, fmt.Errorf("reading busybox: %w (install Debian's package busybox-static)", err)
	}
	if bytes.Contains(program, []byte("ld-linux-x86-64.so.2\x00")) && !bytes.Contains(program, []byte("GLIBC_TUNABLES")) {
		return nil, fmt.Errorf("%s is dynamically linked: install Debian's package busybox-static", busyboxPath)
	}
	list, err := exec.Command(busyboxPath, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the applets of busybox: %w", err)
	}
	base := []File{
		{Path: "/bin", Mode: 0o755, Dir: true},
		{Path: "/bin/busybox", Mode: 0o755, Data: program},
	}
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			base = append(base, File{Path: "/bin/" + applet, Link: "busybox"})
		}
	}
	for _, dir := range []string{"/dev", "/etc", "/home", "/proc", "/root", "/sys", "/usr", "/var"} {
		base = append(base, File{Path: dir, Mode: 0o755, Dir: true})
	}
	base = append(base,
		File{Path: "/tmp", Mode: 0o1777, Dir: true},
		File{Path: "/usr/bin", Link: "../bin"},
		File{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")},
		File{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nuser:x:1000:\n")},
		File{Path: "/etc/hostname", Mode: 0o644, Data: []byte("megabinary\n")},
	)
	scripts := []File{{Path: "/demo", Mode: 0o755, Dir: true}}
	names, err := demo.ReadDir("demo")
	if err != nil {
		return nil, fmt.Errorf("listing the demonstration: %w", err)
	}
	for _, n := range names {
		data, err := demo.ReadFile("demo/" + n.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the demonstration: %w", err)
		}
		scripts = append(scripts, File{Path: "/demo/" + n.Name(), Mode: 0o755, Data: data})
	}
	return Image(v1.Config{
		Env: []string{"PATH=/bin", "HOME=/root"},
		Cmd: []string{"/bin/sh"},
	}, base, scripts)
}

// Programs returns an image of one layer that holds the host's files under the
// given guest paths, executable.
func Programs(hostByGuest map[string]string) (v1.Image, error) {
	var files []File
	for guest, host := range hostByGuest {
		data, err := os.ReadFile(host)
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		files = append(files, File{Path: guest, Mode: 0o755, Data: data})
	}
	return Image(v1.Config{Env: []string{"PATH=/bin"}}, files)
}

// Image makes an image for linux/amd64 with one layer per list of files. Equal
// files give equal bytes.
func Image(config v1.Config, layers ...[]File) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the image's configuration: %w", err)
	}
	for _, files := range layers {
		data, err := Tar(files)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("making a layer: %w", err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("appending a layer: %w", err)
		}
	}
	return img, nil
}

// Tar makes a tar of files, sorted by path.
func Tar(files []File) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{
			Name: strings.TrimPrefix(path.Clean(f.Path), "/"), Mode: f.Mode, Size: int64(len(f.Data)),
			Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Uname: "root", Gname: "root",
		}
		switch {
		case f.Dir:
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		case f.Link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("writing %s to a layer: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("writing %s to a layer: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("closing a layer: %w", err)
	}
	return buf.Bytes(), nil
}

// WriteLayout writes img to an OCI layout in dir (made anew) under tag.
func WriteLayout(dir, tag string, img v1.Image) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("making the layout %s: %w", dir, err)
	}
	err = l.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
	if err != nil {
		return fmt.Errorf("writing the image to %s: %w", dir, err)
	}
	return nil
}
