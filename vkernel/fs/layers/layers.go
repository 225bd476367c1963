// Package layers shows the layers of an OCI image as one read-only tree, a
// mem.Base. Nothing is extracted: a layer is kept as an uncompressed tar, with an
// index beside it, and files are read out of the tar.
//
// The cache directory holds layers/<hex of the diff id>.tar and .idx. Both are
// written under another name first, and the tar is renamed only once its sha256
// has been checked, so what is there is whole.
package layers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Source is one layer of an image.
type Source struct {
	DiffID string // sha256:<hex> of the uncompressed tar
	// Open returns the layer's blob: a tar, plain or compressed with gzip or
	// zstd. It is called only if the cache does not have the layer.
	Open func() (io.ReadCloser, error)
}

// Limits bound what a hostile image can make us do. Zero fields stand for the
// values in comments.
type Limits struct {
	LayerBytes int64 // uncompressed size of one layer; 16 GiB
	Entries    int   // entries of all layers together; 4 million
}

func (l Limits) withDefaults() Limits {
	if l.LayerBytes == 0 {
		l.LayerBytes = 16 << 30
	}
	if l.Entries == 0 {
		l.Entries = 4 << 20
	}
	return l
}

// Cache keeps unpacked layers in a directory. It is safe for concurrent use,
// by several processes too.
type Cache struct {
	dir    string
	limits Limits
}

// NewCache makes a cache in dir/layers, which is created when needed.
func NewCache(dir string, limits Limits) *Cache {
	return &Cache{dir: filepath.Join(dir, "layers"), limits: limits.withDefaults()}
}

// DigestError says that a layer's bytes are not the ones that were promised.
type DigestError struct{ Want, Got string }

func (e *DigestError) Error() string {
	return fmt.Sprintf("layer has digest %s, the image says %s", e.Got, e.Want)
}

// LimitError says that a layer is larger than allowed.
type LimitError struct{ What string }

func (e *LimitError) Error() string { return e.What }

// Open returns the tree of layers, lowest first, unpacking what the cache does
// not have.
func (c *Cache) Open(ctx context.Context, layers []Source) (*Tree, error) {
	b := newBuilder(c.limits)
	for i, s := range layers {
		f, ix, err := c.openLayer(ctx, s)
		if err == nil {
			b.files = append(b.files, f)
			err = b.add(i, ix)
		}
		if err != nil {
			b.close()
			return nil, fmt.Errorf("opening layer %d (%s): %w", i, s.DiffID, err)
		}
	}
	return b.tree(), nil
}

func (c *Cache) openLayer(ctx context.Context, s Source) (*os.File, *index, error) {
	base, err := c.base(s.DiffID)
	if err != nil {
		return nil, nil, err
	}
	if f, ix, err := c.load(base); err == nil {
		return f, ix, nil
	}
	// Whatever was wrong with what the cache has, unpacking mends it.
	if err := c.unpack(ctx, s, base); err != nil {
		return nil, nil, err
	}
	return c.load(base)
}

// base returns the path of a layer's files without their extensions.
func (c *Cache) base(diffID string) (string, error) {
	h, ok := strings.CutPrefix(diffID, "sha256:")
	if raw, err := hex.DecodeString(h); !ok || err != nil || len(raw) != sha256.Size || h != strings.ToLower(h) {
		return "", fmt.Errorf("diff id %q is not sha256:<64 hex digits>", diffID)
	}
	return filepath.Join(c.dir, h), nil
}

func (c *Cache) load(base string) (*os.File, *index, error) {
	raw, err := os.ReadFile(base + ".idx")
	if err != nil {
		return nil, nil, err
	}
	ix, err := decodeIndex(raw, c.limits)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(base + ".tar")
	if err != nil {
		return nil, nil, err
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != ix.tarSize {
		f.Close()
		return nil, nil, fmt.Errorf("%s.tar does not fit its index", base)
	}
	return f, ix, nil
}

// unpack writes the tar and the index of a layer.
func (c *Cache) unpack(ctx context.Context, s Source, base string) (err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("making the layer cache: %w", err)
	}
	blob, err := s.Open()
	if err != nil {
		return fmt.Errorf("opening the blob: %w", err)
	}
	defer blob.Close()
	plain, stop, err := decompress(bufio.NewReaderSize(blob, 1<<16))
	if err != nil {
		return fmt.Errorf("decompressing: %w", err)
	}
	defer stop()
	tmp, err := os.CreateTemp(c.dir, "unpack-*")
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer func() {
		tmp.Close()
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	hash := sha256.New()
	limited := io.LimitReader(&contextReader{ctx, plain}, c.limits.LayerBytes+1)
	size, err := io.CopyBuffer(io.MultiWriter(tmp, hash), limited, make([]byte, 1<<18))
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if size > c.limits.LayerBytes {
		return &LimitError{fmt.Sprintf("layer is larger than %d bytes uncompressed", c.limits.LayerBytes)}
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != s.DiffID {
		return &DigestError{Want: s.DiffID, Got: got}
	}
	ix, err := indexTar(tmp, size, c.limits)
	if err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if err := os.Rename(tmp.Name(), base+".tar"); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return c.writeIndex(base, ix)
}

func (c *Cache) writeIndex(base string, ix *index) error {
	tmp, err := os.CreateTemp(c.dir, "index-*")
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	_, err = tmp.Write(ix.encode())
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), base+".idx")
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("writing the index: %w", err)
	}
	return nil
}

// decompress looks at the first bytes, because media types lie.
func decompress(r *bufio.Reader) (plain io.Reader, stop func(), err error) {
	head, _ := r.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// contextReader ends a copy when its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
