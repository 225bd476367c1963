package vkernel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"megabinary.dev/sdk/artifact"
)

// maxObject bounds one object, in bytes.
const maxObject = 2 << 30

// objects are those of an image for this host.
type objects struct {
	img    *Image
	dir    string            // where they are unpacked
	digest map[string]string // by digest of the ELF file
}

// nativeObjects finds the objects of an image. It fails if a unit has none: the
// machines of a process are of one kind.
func (v *VKernel) nativeObjects(img *Image) (*objects, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if v.cfg.Profiler != nil {
		return nil, errors.New("native code cannot be profiled")
	}
	o := &objects{img: img, dir: filepath.Join(v.cfg.CacheDir, "native"), digest: make(map[string]string)}
	for i := range img.execMap.Entries {
		e := &img.execMap.Entries[i]
		for _, object := range e.Objects {
			if object.Platform == platform {
				o.digest[e.Digest] = object.Digest
			}
		}
		if e.Verdict == artifact.VerdictRun && o.digest[e.Digest] == "" {
			return nil, fmt.Errorf("the image has no native code for %s of %s: build it with --native", platform, e.Paths[0].Path)
		}
	}
	return o, nil
}

// open returns the object of a unit, unpacked and verified. Whoever may write
// to the cache could change it afterwards: see Config.CacheDir.
func (o *objects) open(unit *artifact.UnitEntry) (*os.File, error) {
	digest := o.digest[unit.Digest]
	hexDigest, ok := strings.CutPrefix(digest, "sha256:")
	if !ok {
		return nil, fmt.Errorf("there is no object for %s", unit.Digest)
	}
	path := filepath.Join(o.dir, hexDigest+".so")
	if f, err := openVerified(path, hexDigest); err == nil {
		return f, nil
	}
	data, release, err := o.img.read(artifact.PathObject(runtime.GOOS+"/"+runtime.GOARCH, digest), maxObject)
	if err != nil {
		return nil, err
	}
	err = unpack(path, data)
	if err = errors.Join(err, release()); err != nil {
		return nil, fmt.Errorf("unpacking an object: %w", err)
	}
	return openVerified(path, hexDigest)
}

// unpack writes a file that is whole or not there.
func unpack(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".object-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o400), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// openVerified opens a file whose bytes have the digest.
func openVerified(path, hexDigest string) (_ *os.File, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hexDigest {
		return nil, fmt.Errorf("%s: its digest is sha256:%s, not sha256:%s", path, got, hexDigest)
	}
	return f, nil
}
