// Package extractoci is the stage extract-oci: it reads an image's layers as
// streams, never writing a tree to disk, and gives the file system that they
// make together and every ELF file in it.
package extractoci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// version is part of the cache key: bump when output changes.
const version = "1"

// Stage returns the stage.
func Stage() stage.Stage { return extractOCI{} }

type extractOCI struct{}

// schema is the JSON schema of Config.
const schema = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "maxBytes":   {"type": "integer", "minimum": 1, "description": "of all layers, uncompressed"},
    "maxEntries": {"type": "integer", "minimum": 1, "description": "tar entries of all layers"},
    "maxRatio":   {"type": "integer", "minimum": 1, "description": "of uncompressed to compressed bytes of a layer"},
    "maxDepth":   {"type": "integer", "minimum": 1, "description": "components of a path"}
  }
}`

// Config limits what an image may make the stage do.
type Config struct {
	MaxBytes   int64 `json:"maxBytes"`
	MaxEntries int   `json:"maxEntries"`
	MaxRatio   int64 `json:"maxRatio"`
	MaxDepth   int   `json:"maxDepth"`
}

// defaults are large enough for any image that people use.
func defaults() Config {
	return Config{MaxBytes: 32 << 30, MaxEntries: 2_000_000, MaxRatio: 250, MaxDepth: 128}
}

// ratioFrom is the number of uncompressed bytes of a layer from which MaxRatio
// holds: small layers of zeros compress well.
const ratioFrom = 64 << 20

func (extractOCI) Describe() stage.Description {
	return stage.Description{
		Name:    "extract-oci",
		Kind:    stage.KindExtract,
		Version: version,
		Takes:   artifact.ImageTypes(),
		Gives:   []string{artifact.MediaRootFS, artifact.MediaELF},
		Schema:  json.RawMessage(schema),
		Doc:     "Reads the file system of an image and every ELF file in it.",
	}
}

// parts are an image's inputs.
type parts struct {
	manifest stage.Descriptor
	config   stage.Descriptor
	layers   []stage.Descriptor // in the manifest's order
	diffIDs  []string
	rootFS   artifact.RootFS // without files
}

func (extractOCI) Run(ctx context.Context, req stage.Request) error {
	config := defaults()
	if err := req.Config(&config); err != nil {
		return err
	}
	p, err := readParts(req)
	if err != nil {
		return err
	}
	x := &extraction{ctx: ctx, req: req, config: config, parts: p, tree: newTree()}
	for i := range p.layers {
		x.total += p.layers[i].Size
	}
	for i := range p.layers {
		if err := x.layer(i, x.apply); err != nil {
			return err
		}
	}
	if err := x.writeRootFS(); err != nil {
		return err
	}
	return x.writeELF()
}

// maxDocument limits manifest and configuration, in bytes.
const maxDocument = 8 << 20

// readDocument reads a manifest or configuration and verifies it.
func readDocument(req stage.Request, d stage.Descriptor, into any) error {
	blob, err := req.Open(d)
	if err != nil {
		return err
	}
	defer blob.Close()
	content, err := io.ReadAll(io.LimitReader(blob, maxDocument+1))
	if err != nil {
		return err
	}
	if len(content) > maxDocument {
		return fmt.Errorf("more than the %d bytes allowed", maxDocument)
	}
	sum := sha256.Sum256(content)
	if got := stage.DigestPrefix + hex.EncodeToString(sum[:]); got != d.Digest {
		return fmt.Errorf("its digest is %s, not %s", got, d.Digest)
	}
	return json.Unmarshal(content, into)
}

// readParts sorts the inputs by what manifest and configuration say of them.
func readParts(req stage.Request) (parts, error) {
	var p parts
	given := make(map[string]stage.Descriptor)
	manifests := 0
	for _, d := range req.Inputs() {
		given[d.Digest] = d
		if artifact.PartOf(d.MediaType) == artifact.PartManifest {
			p.manifest = d
			manifests++
		}
	}
	if manifests != 1 {
		return p, fmt.Errorf("there are %d manifests among the inputs, not one", manifests)
	}
	var manifest struct {
		Config stage.Descriptor   `json:"config"`
		Layers []stage.Descriptor `json:"layers"`
	}
	if err := readDocument(req, p.manifest, &manifest); err != nil {
		return p, fmt.Errorf("reading the manifest: %w", err)
	}
	var ok bool
	if p.config, ok = given[manifest.Config.Digest]; !ok {
		return p, fmt.Errorf("the configuration %s is not among the inputs", manifest.Config.Digest)
	}
	var config struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := readDocument(req, p.config, &config); err != nil {
		return p, fmt.Errorf("reading the configuration: %w", err)
	}
	if config.OS != "linux" || config.Architecture != "amd64" {
		return p, fmt.Errorf("the image is for %s/%s; only linux/amd64 can be rebuilt", config.OS, config.Architecture)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return p, fmt.Errorf("the configuration names %d diff_ids for %d layers", len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	p.diffIDs = config.RootFS.DiffIDs
	p.rootFS = artifact.RootFS{
		ManifestDigest: p.manifest.Digest, ConfigDigest: p.config.Digest,
		Architecture: config.Architecture, OS: config.OS,
		Layers: []artifact.Layer{}, Files: []artifact.FileEntry{},
	}
	for i, l := range manifest.Layers {
		d, ok := given[l.Digest]
		if !ok {
			return p, fmt.Errorf("layer %d, %s, is not among the inputs", i, l.Digest)
		}
		p.layers = append(p.layers, d)
		p.rootFS.Layers = append(p.rootFS.Layers, artifact.Layer{Digest: l.Digest, DiffID: p.diffIDs[i], Size: d.Size})
	}
	return p, nil
}

// writeRootFS writes the merged file system.
func (x *extraction) writeRootFS() error {
	rootFS := x.parts.rootFS
	rootFS.Files = x.tree.entries()
	out, err := x.req.Create(artifact.MediaRootFS, nil)
	if err != nil {
		return err
	}
	err = json.NewEncoder(out).Encode(rootFS)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("writing the file system: %w", err)
	}
	x.req.Metric("files", float64(len(rootFS.Files)))
	x.wanted = make(map[position]elfOutput)
	for _, f := range rootFS.Files { // sorted by path: the first path of a content names it
		if f.Kind != artifact.KindELFProgram && f.Kind != artifact.KindELFLibrary {
			continue
		}
		at := x.contents[f.Digest]
		if _, known := x.wanted[at]; !known {
			x.wanted[at] = elfOutput{path: f.Path, digest: f.Digest, size: f.Size}
		}
	}
	x.req.Metric("elf", float64(len(x.wanted)))
	return nil
}
