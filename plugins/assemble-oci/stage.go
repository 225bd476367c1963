// Package assembleoci is the stage assemble-oci: it appends one reproducible
// layer with the megabinary and the exec map to an image, and before that one for
// each platform that there is native code for, whose own layers stay
// byte-identical.
package assembleoci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
)

// version is part of the cache key: bump when output changes.
const version = "1"

// Stage returns the stage.
func Stage() stage.Stage { return assembleOCI{} }

type assembleOCI struct{}

const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "sourceDateEpoch": {"type": "integer", "minimum": 0, "description": "time of all that is new in the image, in seconds since 1970"}
  }
}`

// Config is the stage's configuration.
type Config struct {
	SourceDateEpoch int64 `json:"sourceDateEpoch"` // seconds since 1970
}

func (assembleOCI) Describe() stage.Description {
	return stage.Description{
		Name:    "assemble-oci",
		Kind:    stage.KindAssemble,
		Version: version,
		Takes:   append(artifact.ImageTypes(), artifact.MediaMegabinary, artifact.MediaExecMap, artifact.MediaObject+"?"),
		Gives:   []string{artifact.MediaOCIManifest, artifact.MediaOCIConfig, artifact.MediaOCILayerGzip},
		Schema:  json.RawMessage(schema),
		Doc:     "Appends the megabinary and the exec map to an image as one layer.",
	}
}

// maxDocument limits manifest, configuration and exec map, in bytes.
const maxDocument = 256 << 20

// input returns the one input that fits.
func input(req stage.Request, what string, fits func(d stage.Descriptor) bool) (stage.Descriptor, error) {
	var found []stage.Descriptor
	for _, d := range req.Inputs() {
		if fits(d) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		return stage.Descriptor{}, fmt.Errorf("there are %d inputs that are a %s, not one", len(found), what)
	}
	return found[0], nil
}

func ofType(mediaType string) func(stage.Descriptor) bool {
	return func(d stage.Descriptor) bool { return d.MediaType == mediaType }
}

func ofPart(part artifact.Part) func(stage.Descriptor) bool {
	return func(d stage.Descriptor) bool { return artifact.PartOf(d.MediaType) == part }
}

// document reads an input as JSON, field by field, so that what is not known
// here stays.
func document(req stage.Request, d stage.Descriptor, into any) error {
	blob, err := req.Open(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	if blob.Size() > maxDocument {
		return fmt.Errorf("%d bytes are more than the %d allowed", blob.Size(), maxDocument)
	}
	return json.NewDecoder(blob).Decode(into)
}

type fields = map[string]json.RawMessage

func (assembleOCI) Run(ctx context.Context, req stage.Request) error {
	var config Config
	if err := req.Config(&config); err != nil {
		return err
	}
	a := &assembly{req: req, when: time.Unix(config.SourceDateEpoch, 0).UTC()}
	if err := a.read(); err != nil {
		return err
	}
	if err := a.writeLayers(ctx); err != nil {
		return fmt.Errorf("writing the layers: %w", err)
	}
	newConfig, err := a.writeConfig()
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if err := a.writeManifest(newConfig); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

// assembly is one run of the stage.
type assembly struct {
	req  stage.Request
	when time.Time

	base        stage.Descriptor // manifest
	megabinary  stage.Descriptor
	execMap     stage.Descriptor
	mapRoot     string
	mapName     string
	mapSequence uint64
	manifest    fields
	config      fields

	layers []newLayer
}

// newLayer is a layer that the stage has written.
type newLayer struct {
	stage.Descriptor
	diffID, comment string
}

func (a *assembly) read() error {
	var config stage.Descriptor
	for _, want := range []struct {
		into *stage.Descriptor
		what string
		fits func(stage.Descriptor) bool
	}{
		{&a.base, "manifest", ofPart(artifact.PartManifest)},
		{&config, "configuration", ofPart(artifact.PartConfig)},
		{&a.megabinary, "megabinary", ofType(artifact.MediaMegabinary)},
		{&a.execMap, "exec map", ofType(artifact.MediaExecMap)},
	} {
		d, err := input(a.req, want.what, want.fits)
		if err != nil {
			return err
		}
		*want.into = d
	}
	if err := document(a.req, a.base, &a.manifest); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if err := document(a.req, config, &a.config); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	var execMap struct {
		Image    string `json:"image"`
		Name     string `json:"name"`
		Root     string `json:"root"`
		Sequence uint64 `json:"sequence"`
	}
	if err := document(a.req, a.execMap, &execMap); err != nil {
		return fmt.Errorf("reading the exec map: %w", err)
	}
	if execMap.Image != a.base.Digest {
		return fmt.Errorf("the exec map is for image %s, not for %s", execMap.Image, a.base.Digest)
	}
	a.mapRoot, a.mapName, a.mapSequence = execMap.Root, execMap.Name, execMap.Sequence
	return nil
}

// file is one file of the new layer.
type file struct {
	name string
	blob stage.Descriptor
}

// countingHash counts what it hashes.
type countingHash struct {
	w    io.Writer
	size int64
}

func (c *countingHash) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.size += int64(n)
	return n, err
}

// writeLayers writes a layer with the objects of each platform, if there are
// any, and last the one with megabinary and exec map.
func (a *assembly) writeLayers(ctx context.Context) error {
	byPlatform := make(map[string][]file)
	for _, d := range stage.ByMediaType(a.req, artifact.MediaObject) {
		platform := d.Annotations[artifact.AnnotationPlatform]
		byPlatform[platform] = append(byPlatform[platform], file{artifact.PathObject(platform, d.Digest), d})
	}
	for _, platform := range slices.Sorted(maps.Keys(byPlatform)) {
		if err := a.writeLayer(ctx, byPlatform[platform], "native code for "+platform); err != nil {
			return err
		}
	}
	files := []file{{artifact.PathMegabinary, a.megabinary}, {artifact.PathExecMap, a.execMap}}
	return a.writeLayer(ctx, files, "all machine code, recompiled: "+artifact.PathMegabinary)
}

// writeLayer writes a layer: names sorted, one time, one owner, no names of
// users, so that the same inputs give the same bytes.
func (a *assembly) writeLayer(ctx context.Context, files []file, comment string) error {
	out, err := a.req.Create(artifact.MediaOCILayerGzip, nil)
	if err != nil {
		return err
	}
	defer out.Close()
	compressedHash, plainHash := sha256.New(), sha256.New()
	compressed := &countingHash{w: io.MultiWriter(out, compressedHash)}
	z := gzip.NewWriter(compressed)
	w := tar.NewWriter(io.MultiWriter(z, plainHash))
	slices.SortFunc(files, func(x, y file) int { return strings.Compare(x.name, y.name) })
	last := "/"
	for i, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 && files[i-1].name == f.name {
			continue // two units have equal objects
		}
		if err := a.makeFolders(w, &last, path.Dir(f.name)); err != nil {
			return err
		}
		if err := a.copyFile(w, f); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), z.Close(), out.Close()); err != nil {
		return err
	}
	a.layers = append(a.layers, newLayer{stage.Descriptor{
		MediaType: artifact.MediaOCILayerGzip, Digest: stage.DigestPrefix + hex.EncodeToString(compressedHash.Sum(nil)), Size: compressed.size,
	}, stage.DigestPrefix + hex.EncodeToString(plainHash.Sum(nil)), comment})
	a.req.Metric("layerBytes", float64(compressed.size))
	return nil
}

// makeFolders writes the folders down to dir that have no entry yet; last is the
// one before.
func (a *assembly) makeFolders(w *tar.Writer, last *string, dir string) error {
	if dir == *last || dir == "/" {
		return nil
	}
	if !strings.HasPrefix(*last, dir+"/") {
		if err := a.makeFolders(w, last, path.Dir(dir)); err != nil {
			return err
		}
		if err := w.WriteHeader(a.header(dir+"/", tar.TypeDir, 0o755, 0)); err != nil {
			return err
		}
	}
	*last = dir
	return nil
}

func (a *assembly) header(name string, kind byte, mode, size int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: strings.TrimPrefix(name, "/"), Mode: mode, Size: size, ModTime: a.when, Format: tar.FormatPAX}
}

func (a *assembly) copyFile(w *tar.Writer, f file) error {
	blob, err := a.req.Open(f.blob)
	if err != nil {
		return err
	}
	defer blob.Close()
	if err := w.WriteHeader(a.header(f.name, tar.TypeReg, 0o644, blob.Size())); err != nil {
		return err
	}
	_, err = io.Copy(w, blob)
	return err
}

// writeConfig appends diff_id and history; all else stays.
func (a *assembly) writeConfig() (stage.Descriptor, error) {
	var rootFS fields
	if err := json.Unmarshal(a.config["rootfs"], &rootFS); err != nil {
		return stage.Descriptor{}, fmt.Errorf("rootfs: %w", err)
	}
	var err error
	for _, l := range a.layers {
		if rootFS["diff_ids"], err = appendJSON(rootFS["diff_ids"], l.diffID); err != nil {
			return stage.Descriptor{}, fmt.Errorf("diff_ids: %w", err)
		}
		history := map[string]string{"created": a.when.Format(time.RFC3339), "created_by": "megabin build", "comment": l.comment}
		if a.config["history"], err = appendJSON(a.config["history"], history); err != nil {
			return stage.Descriptor{}, fmt.Errorf("history: %w", err)
		}
	}
	if a.config["rootfs"], err = json.Marshal(rootFS); err != nil {
		return stage.Descriptor{}, err
	}
	return a.writeJSON(artifact.MediaOCIConfig, a.config)
}

// appendJSON appends a value to a list, which may be missing.
func appendJSON(list json.RawMessage, value any) (json.RawMessage, error) {
	var all []json.RawMessage
	if len(list) > 0 {
		if err := json.Unmarshal(list, &all); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(append(all, b))
}

// asOCI returns the OCI media type for a docker one.
func asOCI(mediaType string) string {
	switch mediaType {
	case artifact.MediaDockerLayer:
		return artifact.MediaOCILayer
	case artifact.MediaDockerLayerGzip:
		return artifact.MediaOCILayerGzip
	case artifact.MediaDockerLayerZstd:
		return artifact.MediaOCILayerZstd
	}
	return mediaType
}

// writeManifest writes an OCI manifest: a docker one has no annotations.
func (a *assembly) writeManifest(config stage.Descriptor) error {
	var layers []fields
	if err := json.Unmarshal(a.manifest["layers"], &layers); err != nil {
		return fmt.Errorf("layers: %w", err)
	}
	for _, l := range layers {
		var mediaType string
		if err := json.Unmarshal(l["mediaType"], &mediaType); err != nil {
			return fmt.Errorf("layers: %w", err)
		}
		b, err := json.Marshal(asOCI(mediaType))
		if err != nil {
			return err
		}
		l["mediaType"] = b
	}
	annotations := map[string]string{}
	if raw, ok := a.manifest["annotations"]; ok {
		if err := json.Unmarshal(raw, &annotations); err != nil {
			return fmt.Errorf("annotations: %w", err)
		}
	}
	if have := annotations[artifact.AnnotationMegabinary]; have != "" {
		return fmt.Errorf("the image has a megabinary already (%s); build from its base, %s", have, annotations[artifact.AnnotationBaseDigest])
	}
	annotations[artifact.AnnotationBaseDigest] = a.base.Digest
	annotations[artifact.AnnotationMegabinary] = a.megabinary.Digest
	annotations[artifact.AnnotationExecMap] = a.execMap.Digest
	annotations[artifact.AnnotationExecMapRoot] = a.mapRoot
	if a.mapName != "" {
		annotations[artifact.AnnotationExecMapName] = a.mapName
		annotations[artifact.AnnotationExecMapSequence] = strconv.FormatUint(a.mapSequence, 10)
	}
	annotations[artifact.AnnotationABI] = strconv.Itoa(guestabi.Version)
	all := make([]any, 0, len(layers)+len(a.layers))
	for _, l := range layers {
		all = append(all, l)
	}
	for _, l := range a.layers {
		all = append(all, l.Descriptor)
	}
	_, err := a.writeJSON(artifact.MediaOCIManifest, map[string]any{
		"schemaVersion": 2,
		"mediaType":     artifact.MediaOCIManifest,
		"config":        config,
		"layers":        all,
		"annotations":   annotations,
	})
	return err
}

func (a *assembly) writeJSON(mediaType string, v any) (stage.Descriptor, error) {
	b, err := json.Marshal(v) // sorts the keys of maps
	if err != nil {
		return stage.Descriptor{}, err
	}
	out, err := a.req.Create(mediaType, nil)
	if err != nil {
		return stage.Descriptor{}, err
	}
	_, err = out.Write(b)
	if err := errors.Join(err, out.Close()); err != nil {
		return stage.Descriptor{}, err
	}
	sum := sha256.Sum256(b)
	return stage.Descriptor{MediaType: mediaType, Digest: stage.DigestPrefix + hex.EncodeToString(sum[:]), Size: int64(len(b))}, nil
}
