package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"megabinary.dev/engine/store"
	"megabinary.dev/sdk/stage"
)

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return stage.DigestPrefix + hex.EncodeToString(sum[:])
}

// maxArchiveEntries limits the index of an archive.
const maxArchiveEntries = 100_000

// archive is a tar file whose entries can be read in any order.
type archive struct {
	file    *os.File
	entries map[string]section
}

type section struct{ offset, size int64 }

func openArchive(name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, entries: make(map[string]section)}
	if err := a.index(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func (a *archive) index() error {
	r := tar.NewReader(a.file)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(a.entries) >= maxArchiveEntries {
			return fmt.Errorf("reading the archive: more than the %d entries allowed", maxArchiveEntries)
		}
		offset, err := a.file.Seek(0, io.SeekCurrent) // tar.Reader reads headers only, block by block
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		a.entries[path.Clean(h.Name)] = section{offset: offset, size: h.Size}
	}
}

func (f archiveFiles) file(name string) (io.ReadCloser, error) {
	s, ok := f.archive.entries[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(f.archive.file, s.offset, s.size)), nil
}

type archiveFiles struct{ archive *archive }

// pullArchive reads a tar of an OCI layout.
func pullArchive(ctx context.Context, ref Ref, s *store.Store) (Image, error) {
	a, err := openArchive(ref.Path)
	if errors.Is(err, os.ErrNotExist) {
		return Image{}, &UnknownError{Ref: ref.String(), Reason: "the file does not exist"}
	}
	if err != nil {
		return Image{}, err
	}
	defer a.file.Close()
	return fromLayout(ctx, ref, archiveFiles{a}, s)
}

func digestReader(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return stage.DigestPrefix + hex.EncodeToString(h.Sum(nil)), nil
}
