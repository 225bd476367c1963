package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// Limits of what is read from elsewhere.
const (
	maxManifestBytes = 4 << 20
	maxConfigBytes   = 8 << 20
	maxLayers        = 1024
	maxIndexDepth    = 8 // of indexes in indexes
)

// Image is an image whose blobs lie in the store.
type Image struct {
	Manifest stage.Descriptor
	Config   stage.Descriptor
	Layers   []stage.Descriptor // lowest first
}

// Descriptors returns the image's parts, as the source of a pipeline.
func (i Image) Descriptors() []stage.Descriptor {
	return append([]stage.Descriptor{i.Manifest, i.Config}, i.Layers...)
}

// UnknownError says that there is no such image.
type UnknownError struct {
	Ref    string
	Reason string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("there is no image %s: %s", e.Ref, e.Reason)
}

// blobs gives the bytes of blobs by digest.
type blobs interface {
	open(d stage.Descriptor) (io.ReadCloser, error)
}

// Pull reads an image into the store. Every blob is verified against its digest
// before it is stored; blobs that are there already are not read again.
func Pull(ctx context.Context, ref Ref, s *store.Store) (Image, error) {
	var image Image
	var err error
	switch ref.Transport {
	case OCI:
		image, err = pullLayout(ctx, ref, s)
	case OCIArchive:
		image, err = pullArchive(ctx, ref, s)
	case DockerArchive:
		image, err = pullDockerArchive(ctx, ref, s)
	case Registry:
		image, err = pullRegistry(ctx, ref, s)
	default:
		panic("BUG: transport " + string(ref.Transport))
	}
	var unknown *UnknownError
	if err != nil && !errors.As(err, &unknown) {
		err = fmt.Errorf("reading image %s: %w", ref, err)
	}
	return image, err
}

// index is an OCI index or a docker manifest list.
type index struct {
	MediaType string            `json:"mediaType"`
	Manifests []indexDescriptor `json:"manifests"`
}

type indexDescriptor struct {
	stage.Descriptor
	ArtifactType string `json:"artifactType,omitempty"` // of what is no image
	Platform     *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform,omitempty"`
}

// isArtifact reports whether this is something beside images, such as a signature.
// Images may have an artifactType: that of their configuration.
func (d indexDescriptor) isArtifact() bool {
	return d.ArtifactType != "" && artifact.PartOf(d.ArtifactType) != artifact.PartConfig
}

// The platform that images must have.
const (
	wantOS           = "linux"
	wantArchitecture = "amd64"
)

// pickPlatform chooses the image for linux/amd64 out of an index.
func pickPlatform(ix index) (stage.Descriptor, error) {
	var have []string
	ix.Manifests = slices.DeleteFunc(slices.Clone(ix.Manifests), indexDescriptor.isArtifact)
	for _, m := range ix.Manifests {
		if m.Platform == nil {
			if len(ix.Manifests) == 1 {
				return m.Descriptor, nil
			}
			have = append(have, "unknown")
			continue
		}
		if m.Platform.OS == wantOS && m.Platform.Architecture == wantArchitecture {
			return m.Descriptor, nil
		}
		have = append(have, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	return stage.Descriptor{}, fmt.Errorf("the image is not there for %s/%s, only for %s", wantOS, wantArchitecture, strings.Join(have, ", "))
}

func isIndex(mediaType string) bool {
	return mediaType == artifact.MediaOCIIndex || mediaType == artifact.MediaDockerIndex
}

// fromDescriptor follows indexes to a manifest and stores the image.
func fromDescriptor(ctx context.Context, from blobs, d stage.Descriptor, s *store.Store) (Image, error) {
	for range maxIndexDepth {
		if !isIndex(d.MediaType) {
			return fromManifest(ctx, from, d, s)
		}
		content, err := readBlob(from, d, maxManifestBytes)
		if err != nil {
			return Image{}, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		var ix index
		if err := json.Unmarshal(content, &ix); err != nil {
			return Image{}, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		if d, err = pickPlatform(ix); err != nil {
			return Image{}, fmt.Errorf("index %w", err)
		}
	}
	return Image{}, fmt.Errorf("indexes are nested deeper than %d: a loop?", maxIndexDepth)
}

// manifest is an OCI or docker v2 manifest, as far as it is needed here.
type manifest struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     string             `json:"mediaType"`
	Config        stage.Descriptor   `json:"config"`
	Layers        []stage.Descriptor `json:"layers"`
	Annotations   map[string]string  `json:"annotations"`
}

func parseManifest(content []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return m, err
	}
	if artifact.PartOf(m.Config.MediaType) != artifact.PartConfig {
		return m, fmt.Errorf("its configuration is of type %q, so it is no container image", m.Config.MediaType)
	}
	if len(m.Layers) > maxLayers {
		return m, fmt.Errorf("%d layers are more than the %d allowed", len(m.Layers), maxLayers)
	}
	for i, l := range m.Layers {
		if artifact.PartOf(l.MediaType) != artifact.PartLayer {
			return m, fmt.Errorf("layer %d is of type %q, which is not known", i, l.MediaType)
		}
	}
	return m, nil
}

func fromManifest(ctx context.Context, from blobs, d stage.Descriptor, s *store.Store) (Image, error) {
	content, err := readBlob(from, d, maxManifestBytes)
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m, err := parseManifest(content)
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if d.MediaType == "" {
		d.MediaType = m.MediaType
	}
	if d.MediaType == "" {
		d.MediaType = artifact.MediaOCIManifest
	}
	image := Image{
		Manifest: stage.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: int64(len(content))},
		Config:   plain(m.Config),
	}
	if artifact.PartOf(d.MediaType) != artifact.PartManifest {
		return Image{}, fmt.Errorf("manifest %s is of type %q, which is not known", d.Digest, d.MediaType)
	}
	if m.Config.Size > maxConfigBytes {
		return Image{}, fmt.Errorf("configuration %s: %d bytes are more than the %d allowed", m.Config.Digest, m.Config.Size, maxConfigBytes)
	}
	for _, l := range m.Layers {
		image.Layers = append(image.Layers, plain(l))
	}
	if !s.Has(image.Manifest) {
		if err := s.PutVerified(image.Manifest, strings.NewReader(string(content))); err != nil {
			return Image{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
	}
	for i, part := range append([]stage.Descriptor{image.Config}, image.Layers...) {
		if err := take(ctx, from, part, s); err != nil {
			if i == 0 {
				return Image{}, fmt.Errorf("configuration %s: %w", part.Digest, err)
			}
			return Image{}, fmt.Errorf("layer %d, %s: %w", i-1, part.Digest, err)
		}
	}
	return image, nil
}

// plain drops annotations and whatever else a manifest says of a blob.
func plain(d stage.Descriptor) stage.Descriptor {
	return stage.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// take stores one blob.
func take(ctx context.Context, from blobs, d stage.Descriptor, s *store.Store) error {
	if _, err := stage.HexOf(d.Digest); err != nil {
		return err
	}
	if s.Has(d) {
		return nil
	}
	r, err := from.open(d)
	if err != nil {
		return err
	}
	defer r.Close()
	return s.PutVerifiedContext(ctx, d, r)
}

// readBlob returns a small blob's verified bytes.
func readBlob(from blobs, d stage.Descriptor, limit int64) ([]byte, error) {
	r, err := from.open(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("more than the %d bytes allowed", limit)
	}
	if got := digestOf(content); got != d.Digest {
		return nil, &store.DigestError{Want: d.Digest, Got: got, Size: int64(len(content)), WantSize: d.Size}
	}
	return content, nil
}

// pullLayout reads an OCI layout directory.
func pullLayout(ctx context.Context, ref Ref, s *store.Store) (Image, error) {
	root, err := os.OpenRoot(ref.Path) // links in it may not lead out
	if errors.Is(err, os.ErrNotExist) {
		return Image{}, &UnknownError{Ref: ref.String(), Reason: "the directory does not exist"}
	}
	if err != nil {
		return Image{}, err
	}
	defer root.Close()
	return fromLayout(ctx, ref, rootFiles{root}, s)
}

// files are the files of a layout.
type files interface {
	file(name string) (io.ReadCloser, error)
}

type rootFiles struct{ root *os.Root }

func (r rootFiles) file(name string) (io.ReadCloser, error) {
	f, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return f, nil
}

// layoutBlobs finds blobs in a layout.
type layoutBlobs struct{ files files }

func (l layoutBlobs) open(d stage.Descriptor) (io.ReadCloser, error) {
	h, err := stage.HexOf(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := l.files.file("blobs/sha256/" + h)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the blob is missing")
	}
	return f, err
}

func fromLayout(ctx context.Context, ref Ref, in files, s *store.Store) (Image, error) {
	ix, err := readIndex(in)
	if errors.Is(err, os.ErrNotExist) {
		return Image{}, &UnknownError{Ref: ref.String(), Reason: "it is no OCI layout (index.json is missing)"}
	}
	if err != nil {
		return Image{}, fmt.Errorf("index.json: %w", err)
	}
	d, err := pickTag(ix, ref)
	if err != nil {
		return Image{}, err
	}
	return fromDescriptor(ctx, layoutBlobs{in}, d, s)
}

func readIndex(in files) (index, error) {
	f, err := in.file("index.json")
	if err != nil {
		return index{}, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxManifestBytes+1))
	if err != nil {
		return index{}, err
	}
	if len(content) > maxManifestBytes {
		return index{}, fmt.Errorf("more than the %d bytes allowed", maxManifestBytes)
	}
	var ix index
	return ix, json.Unmarshal(content, &ix)
}

// pickTag chooses an image out of a layout's index.json: the one with the tag; or
// without a tag the only one, the only one without a name, or the only one for
// linux/amd64.
func pickTag(ix index, ref Ref) (stage.Descriptor, error) {
	var tags []string
	var unnamed, fitting []stage.Descriptor
	ix.Manifests = slices.DeleteFunc(slices.Clone(ix.Manifests), indexDescriptor.isArtifact)
	for _, m := range ix.Manifests {
		tag := m.Annotations[artifact.AnnotationImageRefName]
		if ref.Tag != "" && tag == ref.Tag {
			return m.Descriptor, nil
		}
		if tag != "" {
			tags = append(tags, tag)
		} else {
			unnamed = append(unnamed, m.Descriptor)
		}
		if m.Platform != nil && m.Platform.OS == wantOS && m.Platform.Architecture == wantArchitecture {
			fitting = append(fitting, m.Descriptor)
		}
	}
	slices.Sort(tags)
	known := "it holds no named images"
	if len(tags) > 0 {
		known = "it holds " + strings.Join(tags, ", ")
	}
	switch {
	case ref.Tag != "":
		return stage.Descriptor{}, &UnknownError{Ref: ref.String(), Reason: "no image has that tag; " + known}
	case len(ix.Manifests) == 0:
		return stage.Descriptor{}, &UnknownError{Ref: ref.String(), Reason: "the layout is empty"}
	case len(ix.Manifests) == 1:
		return ix.Manifests[0].Descriptor, nil
	case len(unnamed) == 1:
		return unnamed[0], nil
	case len(fitting) == 1:
		return fitting[0], nil
	}
	return stage.Descriptor{}, fmt.Errorf("it holds %d images; name one with %s:TAG (%s)", len(ix.Manifests), ref, known)
}

// imageBlobs gives the blobs of an image that go-containerregistry reads.
type imageBlobs struct{ image v1.Image }

func (i imageBlobs) open(d stage.Descriptor) (io.ReadCloser, error) {
	h, err := v1.NewHash(d.Digest)
	if err != nil {
		return nil, err
	}
	layer, err := i.image.LayerByDigest(h)
	if err != nil {
		return nil, err
	}
	return layer.Compressed()
}

func fromImage(ctx context.Context, image v1.Image, s *store.Store) (Image, error) {
	raw, err := image.RawManifest()
	if err != nil {
		return Image{}, err
	}
	mediaType, err := image.MediaType()
	if err != nil {
		return Image{}, err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return Image{}, err
	}
	d := stage.Descriptor{MediaType: string(mediaType), Digest: digestOf(raw), Size: int64(len(raw))}
	known := map[string][]byte{d.Digest: raw, digestOf(config): config}
	return fromManifest(ctx, memoryFirst{known, imageBlobs{image}}, d, s)
}

// memoryFirst gives the blobs that are in memory and leaves the others to next.
type memoryFirst struct {
	known map[string][]byte
	next  blobs
}

func (m memoryFirst) open(d stage.Descriptor) (io.ReadCloser, error) {
	if content, ok := m.known[d.Digest]; ok {
		return io.NopCloser(strings.NewReader(string(content))), nil
	}
	return m.next.open(d)
}

func pullDockerArchive(ctx context.Context, ref Ref, s *store.Store) (Image, error) {
	if _, err := os.Stat(ref.Path); errors.Is(err, os.ErrNotExist) {
		return Image{}, &UnknownError{Ref: ref.String(), Reason: "the file does not exist"}
	}
	var tag *name.Tag
	if ref.Tag != "" {
		t, err := name.NewTag(ref.Tag)
		if err != nil {
			return Image{}, fmt.Errorf("tag %q: %w", ref.Tag, err)
		}
		tag = &t
	}
	image, err := tarball.ImageFromPath(ref.Path, tag)
	if err != nil {
		return Image{}, fmt.Errorf("reading the archive: %w", err)
	}
	return fromImage(ctx, image, s)
}

// remoteOptions are how registries are reached: with docker's credentials.
func remoteOptions(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: wantOS, Architecture: wantArchitecture}),
		remote.WithUserAgent("megabin"),
	}
}

func pullRegistry(ctx context.Context, ref Ref, s *store.Store) (Image, error) {
	image, err := remote.Image(ref.Name, remoteOptions(ctx)...)
	if err != nil {
		return Image{}, explainRegistry(ref, err)
	}
	return fromImage(ctx, image, s)
}

// explainRegistry turns a registry's answer into what it means for the user.
func explainRegistry(ref Ref, err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusNotFound:
			return &UnknownError{Ref: ref.String(), Reason: "the registry does not know it"}
		case http.StatusUnauthorized, http.StatusForbidden:
			return &UnknownError{Ref: ref.String(), Reason: "it does not exist, or reading it needs `docker login`"}
		}
	}
	var network net.Error
	if errors.As(err, &network) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the registry %s cannot be reached; for an image on this machine write oci:DIR, oci-archive:FILE or docker-archive:FILE: %w",
			ref.Name.Context().RegistryStr(), err)
	}
	return err
}
