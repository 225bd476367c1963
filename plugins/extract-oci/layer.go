package extractoci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/stage"
)

// extraction is one run of the stage.
type extraction struct {
	ctx    context.Context
	req    stage.Request
	config Config
	parts  parts
	tree   *tree

	total   int64 // compressed bytes of all layers
	done    int64 // of these, read
	bytes   int64 // uncompressed
	entries int

	contents map[string]position    // of ELF contents by digest: where one first was
	wanted   map[position]elfOutput // what writeELF has yet to write
}

// position is one tar entry: the layer's index and the entry's.
type position struct{ layer, entry int }

// elfOutput is one ELF content that has to be written.
type elfOutput struct {
	path, digest string
	size         int64
}

// EntryError says which entry of which layer is wrong.
type EntryError struct {
	Layer  int
	Digest string // of the layer
	Entry  string // "": the layer itself
	Err    error
}

func (e *EntryError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("layer %d (%s): %v", e.Layer, e.Digest, e.Err)
	}
	return fmt.Sprintf("layer %d (%s), entry %q: %v", e.Layer, e.Digest, e.Entry, e.Err)
}

func (e *EntryError) Unwrap() error { return e.Err }

// meter hashes and counts what is read through it, and stops at limits.
type meter struct {
	r     io.Reader
	hash  hash.Hash
	size  int64
	check func(size int64) error
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.hash.Write(b[:n])
	m.size += int64(n)
	if m.check != nil {
		if err := m.check(m.size); err != nil {
			return n, err
		}
	}
	return n, err
}

func (m *meter) digest() string { return stage.DigestPrefix + hex.EncodeToString(m.hash.Sum(nil)) }

// layer reads layer i and calls each for its entries. It fails if the layer's
// bytes do not match its digest, or its content its diff_id.
func (x *extraction) layer(i int, each func(at position, h *tar.Header, r io.Reader) error) error {
	d := x.parts.layers[i]
	fail := func(entry string, err error) error {
		return &EntryError{Layer: i, Digest: d.Digest, Entry: entry, Err: err}
	}
	blob, err := x.req.Open(d)
	if err != nil {
		return fail("", err)
	}
	defer blob.Close()
	compressed := &meter{r: blob, hash: sha256.New()}
	plain, closePlain, err := decompress(compressed)
	if err != nil {
		return fail("", err)
	}
	defer closePlain()
	content := &meter{r: plain, hash: sha256.New(), check: func(size int64) error { return x.checkBomb(size, compressed.size) }}
	in := tar.NewReader(content)
	for entry := 0; ; entry++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail("", fmt.Errorf("reading the tar stream: %w", err))
		}
		if x.entries++; x.entries > x.config.MaxEntries {
			return fail(h.Name, fmt.Errorf("more than the %d entries allowed", x.config.MaxEntries))
		}
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if err := each(position{i, entry}, h, in); err != nil {
			return fail(h.Name, err)
		}
		x.req.Progress(x.done+compressed.size, x.total, "")
	}
	// What follows the tar's end belongs to the layer's digests all the same.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return fail("", fmt.Errorf("reading the tar stream: %w", err))
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil {
		return fail("", err)
	}
	x.done += compressed.size
	x.bytes += content.size
	if got := compressed.digest(); got != d.Digest {
		return fail("", fmt.Errorf("digest mismatch: its bytes are %s", got))
	}
	if got := content.digest(); got != x.parts.diffIDs[i] {
		return fail("", fmt.Errorf("diff_id mismatch: the configuration says %s, the content is %s", x.parts.diffIDs[i], got))
	}
	return nil
}

// checkBomb stops a layer that grows beyond all measure.
func (x *extraction) checkBomb(size, compressed int64) error {
	if x.bytes+size > x.config.MaxBytes {
		return fmt.Errorf("a decompression bomb: the image grows beyond the %d bytes allowed (maxBytes)", x.config.MaxBytes)
	}
	if size > ratioFrom && size/max(compressed, 1) > x.config.MaxRatio {
		return fmt.Errorf("a decompression bomb: %d bytes out of %d, more than %d times (maxRatio)", size, compressed, x.config.MaxRatio)
	}
	return nil
}

// maxWindow limits zstd's memory, in bytes.
const maxWindow = 128 << 20

// decompress tells by the first bytes how a layer is compressed: media types of
// docker's lie.
func decompress(r io.Reader) (io.Reader, func(), error) {
	in := bufio.NewReader(r)
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, fmt.Errorf("decompressing: %w", err)
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("decompressing: %w", err)
		}
		return z, z.Close, nil
	}
	return in, func() {}, nil
}

// apply adds one entry to the tree.
func (x *extraction) apply(at position, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	parts, err := splitName(h.Name, x.config.MaxDepth)
	if err != nil {
		return err
	}
	if done, err := x.tree.whiteout(parts, at.layer); done || err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		target, err := splitName(h.Linkname, x.config.MaxDepth)
		if err != nil {
			return fmt.Errorf("hard link to %q: %w", h.Linkname, err)
		}
		return x.tree.link(parts, target, at.layer)
	}
	entry, err := entryOf(h)
	if err != nil {
		return err
	}
	entry.Layer = at.layer
	if entry.Type == typeFile {
		if err := x.content(at, &entry, r); err != nil {
			return err
		}
	}
	return x.tree.put(parts, entry, at.layer)
}

// content hashes and classifies a file.
func (x *extraction) content(at position, entry *artifact.FileEntry, r io.Reader) error {
	h := sha256.New()
	var first firstLine
	kind, size, err := classify(io.TeeReader(r, io.MultiWriter(h, &first)), entry.Size)
	if err != nil {
		return err
	}
	if size != entry.Size {
		return fmt.Errorf("it has %d bytes, its header says %d", size, entry.Size)
	}
	entry.Kind = kind
	if kind == artifact.KindScript {
		entry.Interpreter = first.interpreter()
	}
	entry.Digest = stage.DigestPrefix + hex.EncodeToString(h.Sum(nil))
	if kind == artifact.KindELFProgram || kind == artifact.KindELFLibrary {
		if x.contents == nil {
			x.contents = make(map[string]position)
		}
		if _, known := x.contents[entry.Digest]; !known {
			x.contents[entry.Digest] = at
		}
	}
	return nil
}

// writeELF reads the layers that hold wanted ELF files once more and writes these.
func (x *extraction) writeELF() error {
	needed := make([]bool, len(x.parts.layers))
	for at := range x.wanted {
		needed[at.layer] = true
	}
	x.entries, x.bytes, x.done = 0, 0, 0
	for i := range x.parts.layers {
		if !needed[i] {
			continue
		}
		err := x.layer(i, func(at position, _ *tar.Header, r io.Reader) error {
			want, ok := x.wanted[at]
			if !ok {
				return nil
			}
			out, err := x.req.Create(artifact.MediaELF, map[string]string{artifact.AnnotationPath: want.path})
			if err != nil {
				return err
			}
			_, err = io.Copy(out, r)
			return errors.Join(err, out.Close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
