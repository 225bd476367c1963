package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// Referrer is an artifact of one blob that says something of an image: OCI's
// subject and artifactType (image-spec 1.1).
type Referrer struct {
	ArtifactType string // also the blob's media type
	Annotations  map[string]string
	Content      []byte
}

// ErrNoReferrers is the answer of places that cannot hold referrers.
var ErrNoReferrers = errors.New("an archive holds an image and nothing beside it; use oci:DIR or a registry")

const mediaEmpty = "application/vnd.oci.empty.v1+json"

// emptyConfig is the configuration of artifacts that have none (image-spec, "Guidance for an Empty Descriptor").
const emptyConfig = "{}"

// referrerManifest is the manifest of a referrer.
type referrerManifest struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     string             `json:"mediaType"`
	ArtifactType  string             `json:"artifactType"`
	Config        stage.Descriptor   `json:"config"`
	Layers        []stage.Descriptor `json:"layers"`
	Subject       *stage.Descriptor  `json:"subject,omitempty"`
	Annotations   map[string]string  `json:"annotations,omitempty"`
}

func describe(mediaType string, content []byte) stage.Descriptor {
	return stage.Descriptor{MediaType: mediaType, Digest: digestOf(content), Size: int64(len(content))}
}

// manifest encodes the manifest of r about an image.
func (r Referrer) manifest(subject stage.Descriptor) ([]byte, error) {
	subject = plain(subject)
	return json.Marshal(referrerManifest{
		SchemaVersion: 2, MediaType: artifact.MediaOCIManifest, ArtifactType: r.ArtifactType,
		Config: describe(mediaEmpty, []byte(emptyConfig)), Layers: []stage.Descriptor{describe(r.ArtifactType, r.Content)},
		Subject: &subject, Annotations: r.Annotations,
	})
}

// Attach puts a referrer beside the image that ref names, whose manifest is
// subject. What is there already stays.
func Attach(ctx context.Context, ref Ref, subject stage.Descriptor, r Referrer) error {
	var err error
	switch ref.Transport {
	case OCI:
		err = r.attachLayout(ref.Path, subject)
	case Registry:
		err = r.attachRegistry(ctx, ref, subject)
	default:
		err = ErrNoReferrers
	}
	if err != nil {
		return fmt.Errorf("attaching to image %s: %w", ref, err)
	}
	return nil
}

// attachLayout writes the blobs and an entry of index.json.
func (r Referrer) attachLayout(dir string, subject stage.Descriptor) error {
	content, err := r.manifest(subject)
	if err != nil {
		return err
	}
	for _, blob := range [][]byte{[]byte(emptyConfig), r.Content, content} {
		h, err := stage.HexOf(digestOf(blob))
		if err != nil {
			return err
		}
		if err := store.WriteFile(filepath.Join(dir, "blobs", "sha256", h), blob, 0o644); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, "index.json")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	ix := map[string]json.RawMessage{}
	var manifests []json.RawMessage
	if err := json.Unmarshal(old, &ix); err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	if err := json.Unmarshal(ix["manifests"], &manifests); err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	entry := indexDescriptor{Descriptor: describe(artifact.MediaOCIManifest, content), ArtifactType: r.ArtifactType}
	for _, raw := range manifests {
		var there stage.Descriptor
		if err := json.Unmarshal(raw, &there); err != nil {
			return fmt.Errorf("index.json: %w", err)
		}
		if there.Digest == entry.Digest {
			return nil
		}
	}
	raw, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	if ix["manifests"], err = json.Marshal(append(manifests, raw)); err != nil {
		return err
	}
	if content, err = json.Marshal(ix); err != nil {
		return err
	}
	return store.WriteFile(path, content, 0o644)
}

// attachRegistry pushes the blobs and the manifest; go-containerregistry keeps the
// index sha256-<hex> of registries without the referrers API.
func (r Referrer) attachRegistry(ctx context.Context, ref Ref, subject stage.Descriptor) error {
	content, err := r.manifest(subject)
	if err != nil {
		return err
	}
	options := remoteOptions(ctx)
	repo := ref.Name.Context()
	for _, layer := range []v1.Layer{static.NewLayer([]byte(emptyConfig), mediaEmpty), static.NewLayer(r.Content, types.MediaType(r.ArtifactType))} {
		if err := remote.WriteLayer(repo, layer, options...); err != nil {
			return explainRegistry(ref, err)
		}
	}
	err = remote.Put(repo.Digest(digestOf(content)), rawManifest{content, types.OCIManifestSchema1}, options...)
	if err != nil {
		return explainRegistry(ref, err)
	}
	return nil
}

// rawManifest is a manifest as it is.
type rawManifest struct {
	content   []byte
	mediaType types.MediaType
}

func (m rawManifest) RawManifest() ([]byte, error)        { return m.content, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }
func (m rawManifest) Digest() (v1.Hash, error)            { return v1.NewHash(digestOf(m.content)) }
func (m rawManifest) Size() (int64, error)                { return int64(len(m.content)), nil }

// maxReferrers bounds how many are read of one image.
const maxReferrers = 256

// Referrers returns the referrers of a type of the image that ref names, whose
// manifest is subject, each of one blob of at most limit bytes. Their blobs are
// verified against their digests, and nothing else is.
func Referrers(ctx context.Context, ref Ref, subject stage.Descriptor, artifactType string, limit int64) ([]Referrer, error) {
	var all []Referrer
	var err error
	switch ref.Transport {
	case OCI:
		all, err = layoutReferrers(ref.Path, subject, artifactType, limit)
	case Registry:
		all, err = registryReferrers(ctx, ref, subject, artifactType, limit)
	default:
		err = ErrNoReferrers
	}
	if err != nil {
		return nil, fmt.Errorf("reading what refers to image %s: %w", ref, err)
	}
	return all, nil
}

func layoutReferrers(dir string, subject stage.Descriptor, artifactType string, limit int64) ([]Referrer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	in := rootFiles{root}
	ix, err := readIndex(in)
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var all []Referrer
	for _, m := range ix.Manifests {
		if m.ArtifactType != artifactType || m.MediaType != artifact.MediaOCIManifest {
			continue
		}
		if len(all) == maxReferrers {
			return nil, fmt.Errorf("there are more than %d", maxReferrers)
		}
		r, ok, err := readReferrer(layoutBlobs{in}, m.Descriptor, subject, artifactType, limit)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, r)
		}
	}
	return all, nil
}

func registryReferrers(ctx context.Context, ref Ref, subject stage.Descriptor, artifactType string, limit int64) ([]Referrer, error) {
	repo := ref.Name.Context()
	options := remoteOptions(ctx)
	index, err := remote.Referrers(repo.Digest(subject.Digest), options...)
	if err != nil {
		return nil, explainRegistry(ref, err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []Referrer
	for _, m := range list.Manifests {
		if m.ArtifactType != artifactType && m.ArtifactType != "" && m.ArtifactType != mediaEmpty {
			continue // some registries give the type of the configuration
		}
		if len(all) == maxReferrers {
			return nil, fmt.Errorf("there are more than %d", maxReferrers)
		}
		got, err := remote.Get(repo.Digest(m.Digest.String()), options...)
		if err != nil {
			return nil, explainRegistry(ref, err)
		}
		blobs := memoryFirst{map[string][]byte{m.Digest.String(): got.Manifest}, registryBlobs{func(digest string) (io.ReadCloser, error) {
			layer, err := remote.Layer(repo.Digest(digest), options...)
			if err != nil {
				return nil, explainRegistry(ref, err)
			}
			return layer.Compressed()
		}}}
		d := stage.Descriptor{MediaType: string(m.MediaType), Digest: m.Digest.String(), Size: m.Size}
		r, ok, err := readReferrer(blobs, d, subject, artifactType, limit)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, r)
		}
	}
	return all, nil
}

type registryBlobs struct {
	get func(digest string) (io.ReadCloser, error)
}

func (b registryBlobs) open(d stage.Descriptor) (io.ReadCloser, error) { return b.get(d.Digest) }

// readReferrer reads a manifest and its blob; false if it is about another image.
func readReferrer(from blobs, d, subject stage.Descriptor, artifactType string, limit int64) (Referrer, bool, error) {
	content, err := readBlob(from, d, maxManifestBytes)
	if err != nil {
		return Referrer{}, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	var m referrerManifest
	if err := json.NewDecoder(bytes.NewReader(content)).Decode(&m); err != nil {
		return Referrer{}, false, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if m.Subject == nil || m.Subject.Digest != subject.Digest || m.ArtifactType != artifactType || len(m.Layers) != 1 || m.Layers[0].MediaType != artifactType {
		return Referrer{}, false, nil
	}
	blob, err := readBlob(from, m.Layers[0], limit)
	if err != nil {
		return Referrer{}, false, fmt.Errorf("%s: %w", m.Layers[0].Digest, err)
	}
	return Referrer{ArtifactType: artifactType, Annotations: m.Annotations, Content: blob}, true, nil
}
