package vkernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/vkernel/fs/layers"
	"megabinary.dev/vkernel/fs/mem"
	"megabinary.dev/vkernel/linux"
	"megabinary.dev/vkernel/machine"
	"megabinary.dev/vkernel/vfs"
)

// Image is a rebuilt image, ready to run: its layers, its exec map and its
// compiled megabinary. Many containers may share it.
type Image struct {
	tree    *layers.Tree
	execMap *artifact.ExecMap
	units   []artifact.UnitEntry
	engine  machine.Engine
}

// ErrNotRebuilt means that an image holds no megabinary.
var ErrNotRebuilt = errors.New("the image holds no megabinary: rebuild it first with `megabin build`")

// Bounds on what is read from an image's last layer, in bytes.
const (
	maxMegabinary = 4 << 30
	maxExecMap    = 256 << 20
)

// LoadImage opens the layers of an image, lowest first, and compiles its
// megabinary, or takes it from the cache.
func (v *VKernel) LoadImage(ctx context.Context, sources []layers.Source) (*Image, error) {
	tree, err := v.layers.Open(ctx, sources)
	if err != nil {
		return nil, fmt.Errorf("loading the image: %w", err)
	}
	img := &Image{tree: tree}
	if err := v.load(ctx, img); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the image: %w", err), img.Close(ctx))
	}
	return img, nil
}

func (v *VKernel) load(ctx context.Context, img *Image) error {
	root := vfs.NewMountNamespace(mem.New(mem.Options{Base: img.tree}), vfs.MountOptions{}, nil).Root()
	raw, err := readFile(root, artifact.PathExecMap, maxExecMap)
	if err != nil {
		return err
	}
	if img.execMap, err = artifact.ParseExecMap(raw); err != nil {
		return fmt.Errorf("reading %s: %w", artifact.PathExecMap, err)
	}
	megabinary, err := readFile(root, artifact.PathMegabinary, maxMegabinary)
	if err != nil {
		return err
	}
	digest, err := img.execMap.CheckMegabinary(megabinary)
	if err != nil {
		return fmt.Errorf("reading %s: %w", artifact.PathMegabinary, err)
	}
	section, err := wasm.FindCustom(megabinary, artifact.SectionUnits)
	if err != nil {
		return fmt.Errorf("reading %s: %w", artifact.PathMegabinary, err)
	}
	if err := json.Unmarshal(section, &img.units); err != nil {
		return fmt.Errorf("reading %s: section %s: %w", artifact.PathMegabinary, artifact.SectionUnits, err)
	}
	if err := img.check(); err != nil {
		return err
	}
	img.engine, err = machine.NewWazero(ctx, megabinary, machine.WazeroOptions{Interpreter: v.cfg.Interpreter, Profiler: v.cfg.Profiler,
		CacheDir: filepath.Join(v.cfg.CacheDir, "compiled"), Digest: strings.TrimPrefix(digest, "sha256:"),
		Source: func() ([]byte, error) { return readFile(root, artifact.PathMegabinary, maxMegabinary) }})
	return err
}

// check holds the exec map against the megabinary's units.
func (img *Image) check() error {
	for i := range img.execMap.Entries {
		e := &img.execMap.Entries[i]
		if e.Verdict != artifact.VerdictRun {
			continue
		}
		if e.Unit < 0 || e.Unit >= len(img.units) {
			return fmt.Errorf("the exec map gives %s unit %d, but the megabinary has %d units", e.Digest, e.Unit, len(img.units))
		}
		if u := img.units[e.Unit]; u.Digest != e.Digest {
			return fmt.Errorf("the exec map gives %s unit %d, which was made from %s", e.Digest, e.Unit, u.Digest)
		}
	}
	return nil
}

// Close releases the image. No container may use it any more.
func (img *Image) Close(ctx context.Context) error {
	var err error
	if img.engine != nil {
		err = img.engine.Close(ctx)
	}
	return errors.Join(err, img.tree.Close())
}

func readFile(root vfs.Path, path string, limit int64) ([]byte, error) {
	c := &vfs.Caller{Creds: vfs.NewCreds(0, 0), Root: root, Cwd: root}
	loc, err := c.Walk(vfs.Path{}, path, false)
	if linux.ErrnoOf(err) == linux.ENOENT {
		return nil, ErrNotRebuilt
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	f, err := vfs.ContentOf(loc.Inode)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	size := f.Size()
	if size > limit {
		return nil, fmt.Errorf("reading %s: its %d bytes are more than the %d allowed", path, size, limit)
	}
	b := make([]byte, size)
	for done := 0; done < len(b); {
		n, err := f.ReadAt(b[done:], int64(done))
		done += n
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if n == 0 && done < len(b) {
			return nil, fmt.Errorf("reading %s: %w", path, io.ErrUnexpectedEOF)
		}
	}
	return b, nil
}

// UnitPath returns the (first) path in the image of the file that a unit was made
// from, or "".
func (img *Image) UnitPath(unit int) string {
	for i := range img.execMap.Entries {
		if e := &img.execMap.Entries[i]; e.Unit == unit && e.Verdict == artifact.VerdictRun && len(e.Paths) > 0 {
			return e.Paths[0].Path
		}
	}
	return ""
}
