package vkernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/wasm"
	"megabinary.dev/vkernel/fs/layers"
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
	kind    Engine       // of engine
	unmap   func() error // gives up the megabinary's bytes; nil: there are none
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
	if err := v.load(ctx, img, sources); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the image: %w", err), img.Close(ctx))
	}
	return img, nil
}

func (v *VKernel) load(ctx context.Context, img *Image, sources []layers.Source) error {
	raw, release, err := img.read(artifact.PathExecMap, maxExecMap)
	if err != nil {
		return err
	}
	img.execMap, err = v.parseMap(raw)
	if err = errors.Join(err, release()); err != nil {
		return fmt.Errorf("reading %s: %w", artifact.PathExecMap, err)
	}
	var megabinary []byte
	if megabinary, img.unmap, err = img.read(artifact.PathMegabinary, maxMegabinary); err != nil {
		return err
	}
	if err := v.checkMegabinary(img, megabinary, sources); err != nil {
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
	img.engine, err = v.newEngine(ctx, img, megabinary)
	return err
}

// Engine says what runs the image's code.
func (img *Image) Engine() Engine { return img.kind }

// newEngine makes the engine that the configuration asks for.
func (v *VKernel) newEngine(ctx context.Context, img *Image, megabinary []byte) (machine.Engine, error) {
	if v.cfg.Engine == EngineNative || v.cfg.Engine == EngineAuto || v.cfg.Engine == "" {
		n, err := v.nativeObjects(img)
		if err == nil {
			img.kind = EngineNative
			return machine.NewNative(megabinary, machine.NativeOptions{Open: n.open})
		}
		if v.cfg.Engine == EngineNative {
			return nil, err
		}
		v.cfg.Log.Debug("running without native code", "why", err)
	}
	img.kind = EngineCompiler
	if v.cfg.Engine == EngineInterpreter {
		img.kind = EngineInterpreter
	}
	return machine.NewWazero(ctx, megabinary, machine.WazeroOptions{Interpreter: v.cfg.Engine == EngineInterpreter, Profiler: v.cfg.Profiler,
		CacheDir: filepath.Join(v.cfg.CacheDir, "compiled"), Digest: strings.TrimPrefix(img.execMap.Megabinary, "sha256:")})
}

// read returns the bytes of a file that the build put into the image, and what
// gives them up.
func (img *Image) read(path string, limit int64) ([]byte, func() error, error) {
	b, release, err := img.tree.Map(path, limit)
	if linux.ErrnoOf(err) == linux.ENOENT {
		return nil, nil, ErrNotRebuilt
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, release, nil
}

// checkMegabinary holds the megabinary against the exec map. Reading all of a
// large one takes longer than starting a program, so it is done once for each
// unpacked image; whoever could change either afterwards could change the code
// that was compiled, too (see Config.CacheDir).
func (v *VKernel) checkMegabinary(img *Image, megabinary []byte, sources []layers.Source) error {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d", img.execMap.Root, len(megabinary))
	for _, s := range sources {
		fmt.Fprintf(sum, " %s", s.DiffID)
	}
	return v.once(sum.Sum(nil), func() error {
		_, err := img.execMap.CheckMegabinary(megabinary)
		return err
	})
}

// parseMap reads an exec map, and checks its form and root once for each content.
func (v *VKernel) parseMap(raw []byte) (*artifact.ExecMap, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "exec map %d %x", artifact.ExecMapSchemaVersion, sha256.Sum256(raw)))
	var m *artifact.ExecMap
	err := v.once(sum[:], func() (err error) {
		m, err = artifact.ParseExecMap(raw)
		return err
	})
	if err != nil || m != nil {
		return m, err
	}
	return artifact.DecodeExecMap(raw)
}

// once does a check unless the cache says that it has passed before. Key names what
// is checked, and how.
func (v *VKernel) once(key []byte, check func() error) error {
	dir := filepath.Join(v.cfg.CacheDir, "checked")
	mark := filepath.Join(dir, hex.EncodeToString(key))
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil // the next start checks again
	}
	_ = os.WriteFile(mark, nil, 0o600) // likewise
	return nil
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

// ExecMap returns the image's exec map. Nobody may change it.
func (img *Image) ExecMap() *artifact.ExecMap { return img.execMap }

// Close releases the image. No container may use it any more.
func (img *Image) Close(ctx context.Context) error {
	var err error
	if img.engine != nil {
		err = img.engine.Close(ctx)
	}
	if img.unmap != nil {
		err = errors.Join(err, img.unmap())
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
