// Package store is the content-addressed store: a directory in OCI image layout
// whose blobs are named by their sha256 digest. A blob appears complete or not
// at all: it is written to a temporary file, synced and renamed.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"megabinary.dev/sdk/stage"
)

// Store is open for any number of processes at once.
type Store struct {
	root string
}

// blobMode keeps blobs from being written by accident, through hard links too.
const blobMode = 0o444

// layoutFile is what the OCI image layout specification asks for.
const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

const emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

// Open opens the store in directory root, and makes it if it is not there. It
// removes what killed runs left behind.
func Open(root string) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s := &Store{root: root}
	for _, dir := range []string{s.blobDir(), s.tmpDir(), filepath.Join(root, "cache")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("opening the store: %w", Explain(err))
		}
	}
	for name, content := range map[string]string{"oci-layout": layoutFile, "index.json": emptyIndex} {
		path := filepath.Join(root, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			err = WriteFile(path, []byte(content), 0o644)
			if err != nil {
				return nil, fmt.Errorf("opening the store: %w", err)
			}
		}
	}
	s.removeStale()
	return s, nil
}

// Root returns the store's directory, absolute.
func (s *Store) Root() string { return s.root }

// CacheDir is where package cache keeps its entries.
func (s *Store) CacheDir() string { return filepath.Join(s.root, "cache") }

func (s *Store) blobDir() string { return filepath.Join(s.root, "blobs", "sha256") }
func (s *Store) tmpDir() string  { return filepath.Join(s.root, "tmp") }

// Path returns the file of a blob, which may not exist.
func (s *Store) Path(digest string) (string, error) {
	h, err := stage.HexOf(digest)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.blobDir(), h), nil
}

// Has says whether the store holds a blob of that digest and size. It does not
// read it.
func (s *Store) Has(d stage.Descriptor) bool {
	path, err := s.Path(d.Digest)
	if err != nil {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// DigestError says that bytes are not what their digest says.
type DigestError struct {
	Want, Got string // digests
	Size      int64  // of what was read
	WantSize  int64
}

func (e *DigestError) Error() string {
	if e.Got == e.Want || e.Got == "" {
		return fmt.Sprintf("%s has %d bytes, not %d", e.Want, e.Size, e.WantSize)
	}
	return fmt.Sprintf("content does not match its digest: it should be %s but is %s (%d bytes)", e.Want, e.Got, e.Size)
}

// Writer takes the bytes of a new blob.
type Writer struct {
	store *Store
	file  *os.File
	hash  hash.Hash
	size  int64
	done  bool
}

// Create starts a blob. End with Commit or Abort; Abort after Commit does nothing.
func (s *Store) Create() (*Writer, error) {
	f, err := os.CreateTemp(s.tmpDir(), "blob-*")
	if err != nil {
		return nil, fmt.Errorf("creating a blob: %w", Explain(err))
	}
	return &Writer{store: s, file: f, hash: sha256.New()}, nil
}

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		err = fmt.Errorf("writing a blob: %w", Explain(err))
	}
	return n, err
}

// Abort forgets the blob.
func (w *Writer) Abort() {
	if !w.done {
		w.done = true
		w.file.Close()
		os.Remove(w.file.Name())
	}
}

// Commit makes the blob part of the store and returns its digest and size.
func (w *Writer) Commit() (digest string, size int64, err error) {
	if w.done {
		panic("BUG: blob committed twice")
	}
	defer w.Abort()
	if err := errors.Join(w.file.Chmod(blobMode), w.file.Sync(), w.file.Close()); err != nil {
		return "", 0, fmt.Errorf("writing a blob: %w", Explain(err))
	}
	h := hex.EncodeToString(w.hash.Sum(nil))
	if err := os.Rename(w.file.Name(), filepath.Join(w.store.blobDir(), h)); err != nil {
		return "", 0, fmt.Errorf("storing blob %s: %w", h, Explain(err))
	}
	w.done = true
	return stage.DigestPrefix + h, w.size, nil
}

// Put stores what r gives.
func (s *Store) Put(mediaType string, r io.Reader) (stage.Descriptor, error) {
	w, err := s.Create()
	if err != nil {
		return stage.Descriptor{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, r); err != nil {
		return stage.Descriptor{}, err
	}
	digest, size, err := w.Commit()
	return stage.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, err
}

// PutVerified stores what r gives if it is what d says, and fails with a
// *DigestError otherwise. It reads at most one byte more than d.Size.
func (s *Store) PutVerified(d stage.Descriptor, r io.Reader) error {
	if _, err := stage.HexOf(d.Digest); err != nil {
		return err
	}
	w, err := s.Create()
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, io.LimitReader(r, d.Size+1)); err != nil {
		return err
	}
	got := stage.DigestPrefix + hex.EncodeToString(w.hash.Sum(nil))
	switch {
	case w.size > d.Size:
		return &DigestError{Want: d.Digest, Size: w.size, WantSize: d.Size}
	case got != d.Digest:
		return &DigestError{Want: d.Digest, Got: got, Size: w.size, WantSize: d.Size}
	case w.size != d.Size:
		return &DigestError{Want: d.Digest, Size: w.size, WantSize: d.Size}
	}
	_, _, err = w.Commit()
	return err
}

// Adopt moves the file at path, which must be on the store's file system, into
// the store. The file must be a regular one.
func (s *Store) Adopt(mediaType, path string) (stage.Descriptor, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return stage.Descriptor{}, fmt.Errorf("reading an output: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return stage.Descriptor{}, fmt.Errorf("reading an output: %w", err)
	}
	if !info.Mode().IsRegular() {
		return stage.Descriptor{}, fmt.Errorf("reading output %s: it is not a regular file", filepath.Base(path))
	}
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return stage.Descriptor{}, fmt.Errorf("reading an output: %w", err)
	}
	if err := errors.Join(f.Chmod(blobMode), f.Sync()); err != nil {
		return stage.Descriptor{}, fmt.Errorf("storing an output: %w", Explain(err))
	}
	name := hex.EncodeToString(h.Sum(nil))
	if err := os.Rename(path, filepath.Join(s.blobDir(), name)); err != nil {
		return stage.Descriptor{}, fmt.Errorf("storing an output: %w", Explain(err))
	}
	return stage.Descriptor{MediaType: mediaType, Digest: stage.DigestPrefix + name, Size: size}, nil
}

// Open opens a blob without checking its bytes: for blobs that this machine made.
func (s *Store) Open(digest string) (*os.File, error) {
	path, err := s.Path(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", digest, err)
	}
	return f, nil
}

// ReadAll returns the bytes of a blob of at most limit bytes and verifies them.
func (s *Store) ReadAll(d stage.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("reading %s %s: %d bytes are more than the %d allowed", d.MediaType, d.Digest, d.Size, limit)
	}
	f, err := s.Open(d.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	sum := sha256.Sum256(b)
	if got := stage.DigestPrefix + hex.EncodeToString(sum[:]); got != d.Digest {
		return nil, &DigestError{Want: d.Digest, Got: got, Size: int64(len(b)), WantSize: d.Size}
	}
	return b, nil
}

// Verify reads a blob and fails with a *DigestError if it is not what d says.
func (s *Store) Verify(d stage.Descriptor) error {
	f, err := s.Open(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	got := stage.DigestPrefix + hex.EncodeToString(h.Sum(nil))
	if got != d.Digest || size != d.Size {
		return &DigestError{Want: d.Digest, Got: got, Size: size, WantSize: d.Size}
	}
	return nil
}

// Link makes a hard link to a blob at dir/<hexadecimal digest>.
func (s *Store) Link(d stage.Descriptor, dir string) error {
	path, err := s.Path(d.Digest)
	if err != nil {
		return err
	}
	err = os.Link(path, filepath.Join(dir, filepath.Base(path)))
	if err != nil && !errors.Is(err, fs.ErrExist) { // one digest may be an input twice
		return fmt.Errorf("linking %s %s: %w", d.MediaType, d.Digest, err)
	}
	return nil
}

// Scratch is a directory of one run on the store's file system. While it is
// open, no other process removes it.
type Scratch struct {
	Dir  string
	lock *os.File
}

const (
	scratchPrefix = "run-"
	lockName      = ".lock"
)

// NewScratch makes a scratch directory.
func (s *Store) NewScratch() (*Scratch, error) {
	var err error
	for range 5 { // another process's removeStale may take it before it is locked
		var c *Scratch
		if c, err = s.tryScratch(); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("making a scratch directory: %w", Explain(err))
}

func (s *Store) tryScratch() (*Scratch, error) {
	dir, err := os.MkdirTemp(s.tmpDir(), scratchPrefix+"*")
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			_, err = os.Stat(filepath.Join(dir, lockName))
		}
		if err != nil {
			lock.Close()
		}
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &Scratch{Dir: dir, lock: lock}, nil
}

// Close removes the directory.
func (c *Scratch) Close() error {
	err := os.RemoveAll(c.Dir)
	c.lock.Close()
	return err
}

// removeStale removes the scratch directories whose process is gone, and blobs
// half-written more than a day ago.
func (s *Store) removeStale() {
	entries, err := os.ReadDir(s.tmpDir())
	if err != nil {
		return // a later write says why
	}
	for _, e := range entries {
		path := filepath.Join(s.tmpDir(), e.Name())
		if !strings.HasPrefix(e.Name(), scratchPrefix) {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
				os.Remove(path)
			}
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err != nil { // being made just now, or killed in the making
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
				os.RemoveAll(path)
			}
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		lock.Close()
	}
}

// WriteFile writes a file that appears complete or not at all.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return Explain(err)
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, Explain(err))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return Explain(err)
	}
	return nil
}

// Explain adds the remedy to an error of the file system that has one.
func Explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk is full (free some space, or use --store on another file system): %w", err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("the file would be larger than allowed (ulimit -f): %w", err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the store cannot be written (use --store DIR for another): %w", err)
	}
	return err
}

// ctxReader ends when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// PutVerifiedContext is PutVerified that ends when ctx does.
func (s *Store) PutVerifiedContext(ctx context.Context, d stage.Descriptor, r io.Reader) error {
	return s.PutVerified(d, &ctxReader{ctx: ctx, r: r})
}
