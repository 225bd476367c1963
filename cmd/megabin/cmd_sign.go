package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"megabinary.dev/attest"
	"megabinary.dev/image"
	"megabinary.dev/sdk/artifact"
	"megabinary.dev/sdk/guestabi"
	"megabinary.dev/sdk/stage"
)

// newKeygenCmd returns the command that makes a key pair.
func newKeygenCmd(a *app) *cobra.Command {
	algorithm := ""
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a key pair to sign images with: NAME.key and NAME.pub",
		Long: `Make a key pair: the private key in NAME.key (PEM, PKCS #8, not encrypted, mode
0600) and the public one in NAME.pub. Neither may exist. Keys that cosign has made
can be used, too: megabin sign asks for their password (or takes COSIGN_PASSWORD).`,
		Example: "  megabin keygen release\n  megabin sign --key release.key oci:app-mega\n  megabin run --verify release.pub oci:app-mega",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			private, public, err := attest.GenerateKey(algorithm)
			if err != nil {
				return err
			}
			for _, f := range []struct {
				name    string
				content []byte
				mode    os.FileMode
			}{{args[0] + ".key", private, 0o600}, {args[0] + ".pub", public, 0o644}} {
				if err := writeNew(f.name, f.content, f.mode); err != nil {
					return fmt.Errorf("writing a key: %w", err)
				}
				fmt.Fprintln(a.stdout, f.name)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", attest.Algorithms()[0], "one of "+strings.Join(attest.Algorithms(), ", "))
	return cmd
}

// writeNew writes a file that does not exist yet.
func writeNew(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// newSignCmd returns the command that signs an image.
func newSignCmd(a *app) *cobra.Command {
	key := ""
	cmd := &cobra.Command{
		Use:   "sign --key KEY IMAGE",
		Short: "Sign a rebuilt image",
		Long: `Verify a rebuilt image as megabin verify does, and sign it: a sigstore bundle with
an in-toto statement about the manifest and the exec map is attached to it as a
referrer. Nothing but the image's place is needed, and no network unless that is a
registry.

IMAGE is oci:DIR[:TAG], docker://REF or REF: archives hold no referrers.`,
		Example: "  megabin sign --key release.key oci:app-mega",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			if key == "" {
				return errors.New("there is no key: give one with --key (megabin keygen makes one)")
			}
			content, err := os.ReadFile(key)
			if err != nil {
				return fmt.Errorf("--key: %w", err)
			}
			signer, err := attest.NewSigner(content, func() ([]byte, error) { return a.keyPassword(key) })
			if err != nil {
				return fmt.Errorf("--key %s: %w", key, err)
			}
			return a.sign(ctx, signer, args[0])
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "private key: PEM, ECDSA on P-256 or Ed25519")
	addStoreFlag(cmd)
	return cmd
}

// keyPassword returns the password of an encrypted key, from COSIGN_PASSWORD or
// the terminal.
func (a *app) keyPassword(key string) ([]byte, error) {
	if p, ok := os.LookupEnv("COSIGN_PASSWORD"); ok {
		return []byte(p), nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, errors.New("the key is encrypted; its password is neither in COSIGN_PASSWORD nor is there a terminal to ask")
	}
	fmt.Fprintf(a.stderr, "password of %s: ", key)
	defer fmt.Fprintln(a.stderr)
	return term.ReadPassword(int(f.Fd()))
}

func (a *app) sign(ctx context.Context, signer *attest.Signer, name string) error {
	ref, err := image.ParseRef(name)
	if err != nil {
		return err
	}
	w, err := a.openWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	v := &verification{ctx: ctx, ref: ref, dir: w.scratch.Dir}
	if err := v.run(); err != nil {
		return fmt.Errorf("image %s is not signed: %w", ref, err)
	}
	bundle, err := signer.Sign(attest.NewStatement(v.image.Manifest.Digest, predicateOf(v.mega)))
	if err != nil {
		return err
	}
	err = image.Attach(ctx, ref, v.image.Manifest, image.Referrer{ArtifactType: attest.MediaBundle, Content: bundle, Annotations: map[string]string{
		"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": attest.PredicateType,
	}})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "signed %s\n  image     %s\n  exec map  %s\n", ref, v.image.Manifest.Digest, v.mega.ExecMap.Root)
	return nil
}

// predicateOf says what is signed of a rebuilt image.
func predicateOf(m *mega) attest.Predicate {
	return attest.Predicate{ExecMap: m.ExecMapDigest, Root: m.ExecMap.Root, Megabinary: m.ExecMap.Megabinary, Base: m.ExecMap.Image,
		Name: m.ExecMap.Name, Sequence: m.ExecMap.Sequence, ABI: guestabi.Version}
}

// readVerifier reads a public key from a file.
func readVerifier(file string) (*attest.Verifier, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	v, err := attest.NewVerifier(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}

// signedStatement returns the statement about an image that was signed with a
// key. Referrers that others attached do not matter.
func signedStatement(ctx context.Context, v *attest.Verifier, ref image.Ref, manifest stage.Descriptor) (*attest.Statement, error) {
	all, err := image.Referrers(ctx, ref, manifest, attest.MediaBundle, attest.MaxBundle)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("image %s (%s) is not signed: megabin sign does that", ref, manifest.Digest)
	}
	var faults []error
	for _, r := range all {
		s, err := v.Verify(r.Content)
		switch {
		case err != nil:
			faults = append(faults, err)
		case s.Manifest() != manifest.Digest:
			faults = append(faults, fmt.Errorf("the statement is about image %s", s.Manifest()))
		default:
			return s, nil
		}
	}
	return nil, fmt.Errorf("image %s (%s) has no valid signature: %w", ref, manifest.Digest, errors.Join(faults...))
}

// The keys of settings that say which images run.
const (
	settingVerify      = "verify"
	settingVerifyState = "verify-state"
)

// checkSigned refuses an image that was not signed with the key of --verify, or is
// older than one that this host has run; without a key it does nothing. The
// returned function holds what was signed against the exec map that is in force.
func (a *app) checkSigned(ctx context.Context, name string, manifest stage.Descriptor) (func(root string) error, error) {
	file := a.settings.GetString(settingVerify)
	if file == "" {
		return func(string) error { return nil }, nil
	}
	verifier, err := readVerifier(file)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", settingVerify, err)
	}
	ref, err := image.ParseRef(name)
	if err != nil {
		return nil, err
	}
	s, err := signedStatement(ctx, verifier, ref, manifest)
	if err != nil {
		return nil, &exitError{Code: exitNotExecutable, Err: err}
	}
	state := attest.Accepted{Path: a.settings.GetString(settingVerifyState)}
	if state.Path == "" {
		state.Path = defaultDir("XDG_STATE_HOME", ".local/state", "accepted.json")
	}
	return func(root string) error {
		if root != s.Predicate.Root {
			return &exitError{Code: exitNotExecutable, Err: fmt.Errorf("the exec map of image %s has root %s; signed is %s", ref, root, s.Predicate.Root)}
		}
		if err := state.Accept(verifier.KeyID(), s); err != nil {
			return &exitError{Code: exitNotExecutable, Err: fmt.Errorf("image %s: %w", ref, err)}
		}
		return nil
	}, nil
}

// rebuild builds the image anew from its source and compares every byte.
func (v *verification) rebuild(a *app, w *workshop, source, pipelineFile, hints string) error {
	ref, err := image.ParseRef(source)
	if err != nil {
		return fmt.Errorf("--rebuild: %w", err)
	}
	pipeline, l, err := readPipeline(pipelineFile)
	if err != nil {
		return err
	}
	epoch, err := v.epoch()
	if err != nil {
		return err
	}
	cpu := ""
	if len(v.mega.Units) > 0 {
		cpu = v.mega.Units[0].CPU
	}
	for _, set := range []func() error{
		func() error { return setEpoch(pipeline, epoch) },
		func() error { return setCPU(pipeline, cpu) },
		func() error { return setHints(pipeline, hints) },
		func() error {
			if !slices.ContainsFunc(v.mega.ExecMap.Entries, func(e artifact.ExecMapEntry) bool { return len(e.Objects) > 0 }) {
				return nil
			}
			return addNative(v.ctx, pipeline)
		},
		func() error { return setMapName(pipeline, v.mega.ExecMap.Name, v.mega.ExecMap.Sequence) },
	} {
		if err := set(); err != nil {
			return err
		}
	}
	plan, err := w.plugins.Plan(v.ctx, pipeline, l)
	if err != nil {
		return err
	}
	defer plan.Close()
	to := image.Ref{Transport: image.OCI, Path: filepath.Join(v.dir, "rebuilt")}
	sink := a.newProgress(false, false)
	_, built, err := a.runBuild(v.ctx, w, plan, ref, to, sink, buildOptions{noRead: true})
	sink.Close()
	if err != nil {
		return fmt.Errorf("building %s again: %w", ref, err)
	}
	return v.compare(w, built)
}
