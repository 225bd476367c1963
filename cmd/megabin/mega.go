package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"megabinary.dev/engine/store"
	"megabinary.dev/image"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/vkernel"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// mega is what a rebuilt image carries in its last layer.
type mega struct {
	Annotations   map[string]string
	ExecMapBytes  []byte
	ExecMap       *artifact.ExecMap
	Megabinary    []byte
	Units         []artifact.UnitEntry
	EmbeddedMap   []byte // the copy of the exec map in the megabinary
	ExecMapDigest string
	Digest        string // of the megabinary
}

// Limits of what is read into memory, in bytes.
const (
	maxManifest   = 4 << 20
	maxExecMap    = 256 << 20
	maxMegabinary = 2 << 30
)

// openMega reads the megabinary and the exec map out of an image and verifies
// them against the manifest's annotations.
func openMega(s *store.Store, img image.Image) (*mega, error) {
	content, err := s.ReadAll(img.Manifest, maxManifest)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	m := &mega{Annotations: manifest.Annotations}
	if len(img.Layers) == 0 {
		return nil, vkernel.ErrNotRebuilt
	}
	last := len(img.Layers) - 1
	err = m.readLayer(s, img.Layers[last])
	if err != nil && m.Annotations[artifact.AnnotationMegabinary] == "" {
		return nil, vkernel.ErrNotRebuilt // whatever its last layer is
	}
	if err != nil {
		return nil, fmt.Errorf("layer %d (%s): %w", last, img.Layers[last].Digest, err)
	}
	for _, check := range []struct{ path, got, annotation string }{
		{artifact.PathMegabinary, m.Digest, artifact.AnnotationMegabinary},
		{artifact.PathExecMap, m.ExecMapDigest, artifact.AnnotationExecMap},
	} {
		if want := m.Annotations[check.annotation]; want != "" && want != check.got { // docker's formats have no annotations
			return m, fmt.Errorf("%s: its digest is %s, the manifest says %s", check.path, check.got, want)
		}
	}
	if m.ExecMap, err = artifact.ParseExecMap(m.ExecMapBytes); err != nil {
		return m, fmt.Errorf("%s: %w", artifact.PathExecMap, err)
	}
	return m, m.readSections()
}

func (m *mega) readLayer(s *store.Store, d stage.Descriptor) error {
	f, err := s.Open(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	var plain io.Reader = f
	if z, err := gzip.NewReader(f); err == nil {
		plain = z
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := tar.NewReader(plain)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch "/" + strings.TrimPrefix(h.Name, "/") {
		case artifact.PathMegabinary:
			m.Megabinary, m.Digest, err = readFile(in, h.Size, maxMegabinary)
		case artifact.PathExecMap:
			m.ExecMapBytes, m.ExecMapDigest, err = readFile(in, h.Size, maxExecMap)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if m.Megabinary == nil || m.ExecMapBytes == nil {
		return vkernel.ErrNotRebuilt
	}
	return nil
}

func readFile(r io.Reader, size, limit int64) ([]byte, string, error) {
	if size > limit {
		return nil, "", fmt.Errorf("%d bytes are more than the %d allowed", size, limit)
	}
	content, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(content)
	return content, stage.DigestPrefix + hex.EncodeToString(sum[:]), nil
}

// readSections finds the list of units and the copy of the exec map in the
// megabinary's custom sections.
func (m *mega) readSections() error {
	units, err := customSection(m.Megabinary, artifact.SectionUnits)
	if err != nil {
		return fmt.Errorf("%s: %w", artifact.PathMegabinary, err)
	}
	if err := json.Unmarshal(units, &m.Units); err != nil {
		return fmt.Errorf("%s: section %s: %w", artifact.PathMegabinary, artifact.SectionUnits, err)
	}
	m.EmbeddedMap, err = customSection(m.Megabinary, artifact.SectionExecMap)
	if err != nil {
		return fmt.Errorf("%s: %w", artifact.PathMegabinary, err)
	}
	return nil
}

// customSection finds a custom section of a wasm module without decoding the rest.
func customSection(module []byte, name string) ([]byte, error) {
	const header = "\x00asm\x01\x00\x00\x00"
	rest, ok := strings.CutPrefix(string(module[:min(len(module), len(header))]), header)
	if !ok || rest != "" {
		return nil, errors.New("it is no wasm module")
	}
	for b := module[len(header):]; len(b) > 0; {
		id := b[0]
		length, n := binary.Uvarint(b[1:])
		if n <= 0 || length > uint64(len(b)-1-n) {
			return nil, errors.New("it is truncated")
		}
		section := b[1+n : 1+n+int(length)]
		b = b[1+n+int(length):]
		if id != 0 {
			continue
		}
		length, n = binary.Uvarint(section)
		if n <= 0 || length > uint64(len(section)-n) {
			return nil, errors.New("a custom section is truncated")
		}
		if string(section[n:n+int(length)]) == name {
			return section[n+int(length):], nil
		}
	}
	return nil, fmt.Errorf("it has no section %s", name)
}
