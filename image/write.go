package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// Load describes an image whose blobs lie in the store, by its manifest.
func Load(s *store.Store, manifestDescriptor stage.Descriptor) (Image, error) {
	content, err := s.ReadAll(manifestDescriptor, maxManifestBytes)
	if err != nil {
		return Image{}, err
	}
	m, err := parseManifest(content)
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", manifestDescriptor.Digest, err)
	}
	image := Image{Manifest: plain(manifestDescriptor), Config: plain(m.Config)}
	for _, l := range m.Layers {
		image.Layers = append(image.Layers, plain(l))
	}
	return image, nil
}

// Push writes an image from the store to a place. Files appear complete or not
// at all.
func Push(ctx context.Context, s *store.Store, image Image, ref Ref) error {
	var err error
	switch ref.Transport {
	case OCI:
		err = pushLayout(ctx, s, image, ref)
	case OCIArchive:
		err = pushArchive(ctx, s, image, ref)
	case DockerArchive:
		err = pushDockerArchive(s, image, ref)
	case Registry:
		err = pushRegistry(ctx, s, image, ref)
	default:
		panic("BUG: transport " + string(ref.Transport))
	}
	if err != nil {
		return fmt.Errorf("writing image %s: %w", ref, store.Explain(err))
	}
	return nil
}

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// pushLayout adds the image to a layout directory, or makes one. The index is
// written last. Blobs are copied, not linked: the directory is the user's.
func pushLayout(ctx context.Context, s *store.Store, image Image, ref Ref) error {
	dir := filepath.Join(ref.Path, "blobs", "sha256")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range image.Descriptors() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyBlob(s, d, dir); err != nil {
			return err
		}
	}
	if err := store.WriteFile(filepath.Join(ref.Path, "oci-layout"), []byte(layoutVersion), 0o644); err != nil {
		return err
	}
	path := filepath.Join(ref.Path, "index.json")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	content, err := withManifest(old, image.Manifest, ref.Tag)
	if err != nil {
		return err
	}
	return store.WriteFile(path, content, 0o644)
}

func copyBlob(s *store.Store, d stage.Descriptor, dir string) error {
	h, err := stage.HexOf(d.Digest)
	if err != nil {
		return err
	}
	target := filepath.Join(dir, h)
	if info, err := os.Stat(target); err == nil && info.Size() == d.Size && sameContent(target, d.Digest) {
		return nil
	}
	f, err := s.Open(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	temporary, err := os.CreateTemp(dir, ".blob-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = io.Copy(temporary, f)
	if err := errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), target)
}

// sameContent says whether a file that is there already is what it should be.
func sameContent(path, digest string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	got, err := digestReader(f)
	return err == nil && got == digest
}

// withManifest returns an index.json with the image in the place of what had its
// tag. What else the index holds stays as it is.
func withManifest(old []byte, d stage.Descriptor, tag string) ([]byte, error) {
	ix := map[string]json.RawMessage{}
	var manifests []json.RawMessage
	if old != nil {
		if err := json.Unmarshal(old, &ix); err != nil {
			return nil, fmt.Errorf("the index.json that is there: %w", err)
		}
		if list, ok := ix["manifests"]; ok {
			if err := json.Unmarshal(list, &manifests); err != nil {
				return nil, fmt.Errorf("the index.json that is there: %w", err)
			}
		}
	}
	manifests = slices.DeleteFunc(manifests, func(raw json.RawMessage) bool {
		var entry indexDescriptor
		if json.Unmarshal(raw, &entry) != nil {
			return true
		}
		return !entry.isArtifact() && entry.Annotations[artifact.AnnotationImageRefName] == tag
	})
	entry := indexDescriptorOut{Descriptor: d}
	entry.Platform.OS, entry.Platform.Architecture = wantOS, wantArchitecture
	if tag != "" {
		entry.Annotations = map[string]string{artifact.AnnotationImageRefName: tag}
	}
	raw, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(append(manifests, raw))
	if err != nil {
		return nil, err
	}
	ix["manifests"] = list
	ix["schemaVersion"] = json.RawMessage("2")
	ix["mediaType"] = json.RawMessage(`"` + artifact.MediaOCIIndex + `"`)
	return json.Marshal(ix)
}

type indexDescriptorOut struct {
	stage.Descriptor
	Platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

// pushArchive writes a tar of a layout, the same bytes for the same image.
func pushArchive(ctx context.Context, s *store.Store, image Image, ref Ref) error {
	return toFile(ref.Path, func(w io.Writer) error {
		out := tar.NewWriter(w)
		ix, err := withManifest(nil, image.Manifest, ref.Tag)
		if err != nil {
			return err
		}
		for _, small := range []struct {
			name    string
			content []byte
		}{{"oci-layout", []byte(layoutVersion)}, {"index.json", ix}} {
			if err := tarFile(out, small.name, int64(len(small.content)), bytes.NewReader(small.content)); err != nil {
				return err
			}
		}
		parts := image.Descriptors()
		slices.SortFunc(parts, func(a, b stage.Descriptor) int { return strings.Compare(a.Digest, b.Digest) })
		parts = slices.CompactFunc(parts, func(a, b stage.Descriptor) bool { return a.Digest == b.Digest })
		for _, d := range parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := tarBlob(out, s, d); err != nil {
				return err
			}
		}
		return out.Close()
	})
}

func tarBlob(out *tar.Writer, s *store.Store, d stage.Descriptor) error {
	f, err := s.Open(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	return tarFile(out, "blobs/sha256/"+strings.TrimPrefix(d.Digest, stage.DigestPrefix), d.Size, f)
}

func tarFile(out *tar.Writer, name string, size int64, r io.Reader) error {
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(out, r)
	return err
}

// toFile writes a file that appears complete or not at all.
func toFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// defaultName is what a docker archive calls an image without a name.
const defaultName = "megabinary:latest"

func pushDockerArchive(s *store.Store, image Image, ref Ref) error {
	tag := ref.Tag
	if tag == "" {
		tag = defaultName
	}
	reference, err := name.ParseReference(tag)
	if err != nil {
		return err
	}
	stored, err := storedImage(s, image)
	if err != nil {
		return err
	}
	return toFile(ref.Path, func(w io.Writer) error { return tarball.Write(reference, stored, w) })
}

func pushRegistry(ctx context.Context, s *store.Store, image Image, ref Ref) error {
	stored, err := storedImage(s, image)
	if err != nil {
		return err
	}
	return remote.Write(ref.Name, stored, remoteOptions(ctx)...)
}

// imageCore is an image in the store, as go-containerregistry wants it.
type imageCore struct {
	store    *store.Store
	image    Image
	manifest []byte
	config   []byte
}

func storedImage(s *store.Store, image Image) (v1.Image, error) {
	core := &imageCore{store: s, image: image}
	var err error
	if core.manifest, err = s.ReadAll(image.Manifest, maxManifestBytes); err != nil {
		return nil, err
	}
	if core.config, err = s.ReadAll(image.Config, maxConfigBytes); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(core)
}

func (c *imageCore) RawConfigFile() ([]byte, error) { return c.config, nil }
func (c *imageCore) RawManifest() ([]byte, error)   { return c.manifest, nil }
func (c *imageCore) MediaType() (types.MediaType, error) {
	return types.MediaType(c.image.Manifest.MediaType), nil
}

func (c *imageCore) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]stage.Descriptor{c.image.Config}, c.image.Layers...) {
		if d.Digest == h.String() {
			return &layerCore{store: c.store, descriptor: d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no blob %s", h)
}

type layerCore struct {
	store      *store.Store
	descriptor stage.Descriptor
}

func (l *layerCore) Digest() (v1.Hash, error)           { return v1.NewHash(l.descriptor.Digest) }
func (l *layerCore) Compressed() (io.ReadCloser, error) { return l.store.Open(l.descriptor.Digest) }
func (l *layerCore) Size() (int64, error)               { return l.descriptor.Size, nil }
func (l *layerCore) MediaType() (types.MediaType, error) {
	return types.MediaType(l.descriptor.MediaType), nil
}
