package images

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Suite is the Debian release that images are made of.
const Suite = "bookworm"

// debianEpoch is the time stamp (SOURCE_DATE_EPOCH) of what mmdebstrap makes.
const debianEpoch = "1700000000"

// RootFS returns the tar of a minimal Debian root file system (mmdebstrap's
// variant minbase) with more packages, made from the sources that apt on this
// machine is configured with. It is kept in dir, under a name made of the
// packages'. mmdebstrap in mode root needs to be root.
func RootFS(dir string, packages ...string) (string, error) {
	sum := sha256.Sum256([]byte(strings.Join(packages, " ")))
	file := filepath.Join(dir, "minbase-"+hex.EncodeToString(sum[:6])+".tar")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making a root file system: %w", err)
	}
	sources, err := debianSources()
	if err != nil {
		return "", err
	}
	part := strings.TrimSuffix(file, ".tar") + ".part.tar"
	args := []string{"--variant=minbase", "--quiet"}
	if len(packages) > 0 {
		args = append(args, "--include="+strings.Join(packages, ","))
	}
	cmd := exec.Command("mmdebstrap", append(args, Suite, part, "-")...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+debianEpoch)
	cmd.Stdin = strings.NewReader(sources)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("running mmdebstrap: %w: %s", err, lastLines(out, 10))
	}
	if err := os.Rename(part, file); err != nil {
		return "", fmt.Errorf("making a root file system: %w", err)
	}
	return file, nil
}

// debianSources returns those of apt's sources that are Debian's own, as lines
// of a sources.list.
func debianSources() (string, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)",
		"Created-By: Packages", "Origin: Debian").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for its sources: %w", err)
	}
	var lines strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if strings.Contains(line, " "+Suite) {
			fmt.Fprintf(&lines, "deb %s\n", line)
		}
	}
	if lines.Len() == 0 {
		return "", fmt.Errorf("apt has no sources of Debian %s: run apt-get update", Suite)
	}
	return lines.String(), nil
}

func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}

// FromTar returns an image whose layers are the tar file, as it is, and one
// more for each list of files.
func FromTar(config v1.Config, file string, more ...[]File) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("setting the image's configuration: %w", err)
	}
	openers := []tarball.Opener{func() (io.ReadCloser, error) { return os.Open(file) }}
	for _, files := range more {
		data, err := Tar(files)
		if err != nil {
			return nil, err
		}
		openers = append(openers, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	}
	for _, open := range openers {
		layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("making a layer: %w", err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, fmt.Errorf("appending a layer: %w", err)
		}
	}
	return img, nil
}
