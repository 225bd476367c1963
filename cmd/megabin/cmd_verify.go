package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"megabinary.dev/engine/store"
	"megabinary.dev/image"
	extractoci "megabinary.dev/plugins/extract-oci"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
	"megabinary.dev/vkernel"
)

// newVerifyCmd returns the command that recomputes every digest of an image.
func newVerifyCmd(a *app) *cobra.Command {
	var key, rebuild, pipeline, hints string
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Recompute every digest of a rebuilt image from its bytes",
		Long: `Read a rebuilt image anew and recompute every digest in it: manifest,
configuration, layers and their diff_ids, the megabinary, the exec map and its
Merkle root, the files that the exec map names, and the units. What does not
match is named, and the exit code is 125.

With --key, a signature of megabin sign must lead to all of that. With --rebuild,
the image is built again from its SOURCE, nothing taken from the cache, and every
byte must be the same: that takes this same megabin, and the --hints and -f of the
first build, if there were any.

IMAGE is ` + image.Usage + `.`,
		Example: "  megabin verify oci:app-mega\n  megabin verify --key release.pub oci:app-mega\n  megabin verify --rebuild oci:app oci:app-mega",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			ref, err := image.ParseRef(args[0])
			if err != nil {
				return err
			}
			w, err := a.openWorkshop()
			if err != nil {
				return err
			}
			defer w.close()
			v := &verification{ctx: ctx, ref: ref, dir: w.scratch.Dir}
			err = v.run()
			if err == nil && key != "" {
				err = v.checkSignature(key)
			}
			if err == nil && rebuild != "" {
				err = v.rebuild(a, w, rebuild, pipeline, hints)
			}
			for _, line := range v.passed {
				fmt.Fprintln(a.stdout, "ok  ", line)
			}
			if errors.Is(err, vkernel.ErrNotRebuilt) {
				return fmt.Errorf("image %s: %w", ref, err)
			}
			if err != nil {
				return fmt.Errorf("image %s is damaged or was changed: %w", ref, err)
			}
			fmt.Fprintf(a.stdout, "image %s is what it says\n", ref)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "public key with which the image must be signed")
	f.StringVar(&rebuild, "rebuild", "", "build the image again from this source and compare every byte")
	f.StringVar(&hints, "hints", "", "with --rebuild: the hints of the first build")
	addPipelineFlag(cmd, &pipeline)
	addStoreFlag(cmd)
	return cmd
}

// verification is one run of verify. It uses a store of its own: what the
// operator's store holds already would not be read again.
type verification struct {
	ctx    context.Context
	ref    image.Ref
	dir    string
	passed []string

	// What run has found.
	store *store.Store
	image image.Image
	mega  *mega
}

func (v *verification) ok(format string, args ...any) {
	v.passed = append(v.passed, fmt.Sprintf(format, args...))
}

func (v *verification) run() error {
	fresh, err := store.Open(filepath.Join(v.dir, "fresh"))
	if err != nil {
		return err
	}
	img, err := image.Pull(v.ctx, v.ref, fresh)
	if err != nil {
		return err
	}
	v.store, v.image = fresh, img
	v.ok("manifest %s, configuration and %d layers", img.Manifest.Digest, len(img.Layers))
	m, err := openMega(fresh, img)
	if err != nil {
		return err
	}
	v.mega = m
	v.ok("megabinary %s", m.Digest)
	v.ok("exec map %s with root %s", m.ExecMapDigest, m.ExecMap.Root)
	if err := v.checkMap(m); err != nil {
		return err
	}
	rootFS, err := v.extract(fresh, img)
	if err != nil {
		return err
	}
	v.ok("%d diff_ids", len(rootFS.Layers))
	if err := checkFiles(m, rootFS); err != nil {
		return err
	}
	v.ok("%d entries of the exec map against the files of the layers", len(m.ExecMap.Entries))
	return nil
}

// checkSignature holds what was signed with a key against what was verified.
func (v *verification) checkSignature(key string) error {
	verifier, err := readVerifier(key)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	s, err := signedStatement(v.ctx, verifier, v.ref, v.image.Manifest)
	if err != nil {
		return err
	}
	if want := predicateOf(v.mega); s.Predicate != want {
		return fmt.Errorf("signed is %+v, but the image has %+v", s.Predicate, want)
	}
	v.ok("signature of key %s over manifest and exec map", verifier.KeyID())
	return nil
}

// checkMap compares what the image says in several places.
func (v *verification) checkMap(m *mega) error {
	var errs []error
	root, err := m.ExecMap.ComputeRoot()
	if err != nil {
		return fmt.Errorf("%s: %w", artifact.PathExecMap, err)
	}
	said := func(annotation, otherwise string) string { // docker's formats have no annotations
		if s, ok := m.Annotations[annotation]; ok {
			return s
		}
		return otherwise
	}
	if want := said(artifact.AnnotationExecMapRoot, root); root != m.ExecMap.Root || root != want {
		errs = append(errs, fmt.Errorf("%s: its root is %s, it says %s, the manifest %s", artifact.PathExecMap, root, m.ExecMap.Root, want))
	}
	if base := said(artifact.AnnotationBaseDigest, m.ExecMap.Image); m.ExecMap.Image != base {
		errs = append(errs, fmt.Errorf("%s: it is for image %s, the manifest says %s", artifact.PathExecMap, m.ExecMap.Image, base))
	}
	if abi := said(artifact.AnnotationABI, strconv.Itoa(guestabi.Version)); abi != strconv.Itoa(guestabi.Version) {
		errs = append(errs, fmt.Errorf("guest ABI %s is not this program's, %d: build the image again", abi, guestabi.Version))
	}
	if !bytes.Equal(m.EmbeddedMap, m.ExecMapBytes) {
		errs = append(errs, fmt.Errorf("%s: its copy of the exec map differs from %s", artifact.PathMegabinary, artifact.PathExecMap))
	}
	errs = append(errs, checkUnits(m)...)
	if len(errs) == 0 {
		v.ok("%d units", len(m.Units))
	}
	return errors.Join(errs...)
}

// checkUnits compares the exec map's entries with the megabinary's list of units.
func checkUnits(m *mega) []error {
	var errs []error
	used := make(map[int]bool)
	for _, e := range m.ExecMap.Entries {
		if e.Unit < 0 {
			continue
		}
		used[e.Unit] = true
		if e.Unit >= len(m.Units) {
			errs = append(errs, fmt.Errorf("%s: unit %d of %s does not exist", artifact.PathExecMap, e.Unit, e.Paths[0].Path))
		} else if u := m.Units[e.Unit]; u.Digest != e.Digest {
			errs = append(errs, fmt.Errorf("%s: unit %d was made from %s, not from %s (%s)", artifact.PathMegabinary, e.Unit, u.Digest, e.Digest, e.Paths[0].Path))
		}
	}
	for i, u := range m.Units {
		if !artifact.ValidDigest(u.UnitDigest) {
			errs = append(errs, fmt.Errorf("%s: the digest of unit %d, %q, is none", artifact.PathMegabinary, i, u.UnitDigest))
		}
		if !used[i] {
			errs = append(errs, fmt.Errorf("%s: unit %d (%s) stands for no file", artifact.PathMegabinary, i, u.Digest))
		}
	}
	return errs
}

// extract runs the stage that reads layers: it checks digests and diff_ids and
// hashes every file. The store's blobs are named as a stage's inputs are.
func (v *verification) extract(fresh *store.Store, img image.Image) (*artifact.RootFS, error) {
	out := filepath.Join(v.dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return nil, store.Explain(err)
	}
	in, err := fresh.Path(img.Manifest.Digest)
	if err != nil {
		return nil, err
	}
	s := extractoci.Stage()
	req := &stagepb.RunRequest{Stage: s.Describe().Name, In: filepath.Dir(in), Out: out}
	for _, d := range img.Descriptors() {
		req.Inputs = append(req.Inputs, stage.DescriptorToWire(d))
	}
	var result *stagepb.Result
	var failure error
	stage.Execute(v.ctx, []stage.Stage{s}, req, func(e *stagepb.Event) {
		switch of := e.Of.(type) {
		case *stagepb.Event_Result:
			result = of.Result
		case *stagepb.Event_Failure:
			failure = errors.New(of.Failure.GetMessage())
		}
	})
	if failure != nil {
		return nil, failure
	}
	for _, o := range result.GetOutputs() {
		if o.GetMediaType() != artifact.MediaRootFS {
			continue
		}
		content, err := os.ReadFile(filepath.Join(out, o.GetFile()))
		if err != nil {
			return nil, err
		}
		rootFS := new(artifact.RootFS)
		return rootFS, json.Unmarshal(content, rootFS)
	}
	panic("BUG: extract-oci gave no root file system")
}

// checkFiles compares the exec map with the files that the layers really hold.
func checkFiles(m *mega, rootFS *artifact.RootFS) error {
	files := make(map[string]artifact.FileEntry)
	for _, f := range rootFS.Files {
		files[f.Path] = f
	}
	var errs []error
	for _, e := range m.ExecMap.Entries {
		for _, o := range e.Objects {
			if f := files[artifact.PathObject(o.Platform, o.Digest)]; f.Digest != o.Digest {
				errs = append(errs, fmt.Errorf("%s: native code for %s of %s is %q in the layers, not %s", artifact.PathExecMap, o.Platform, e.Paths[0].Path, f.Digest, o.Digest))
			}
		}
		for _, p := range e.Paths {
			f, ok := files[p.Path]
			switch {
			case !ok:
				errs = append(errs, fmt.Errorf("%s: %s is in no layer", artifact.PathExecMap, p.Path))
			case f.Digest != e.Digest:
				errs = append(errs, fmt.Errorf("%s: %s is %s in the layers, not %s", artifact.PathExecMap, p.Path, f.Digest, e.Digest))
			case f.Mode != p.Mode || f.UID != p.UID || f.GID != p.GID || f.Xattrs["security.capability"] != p.Capabilities:
				errs = append(errs, fmt.Errorf("%s: mode, owner or capabilities of %s differ from the layers'", artifact.PathExecMap, p.Path))
			}
		}
	}
	return errors.Join(errs...)
}
