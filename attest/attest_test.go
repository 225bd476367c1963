package attest

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func sample() Statement {
	return NewStatement(digest("a"), Predicate{ExecMap: digest("b"), Root: digest("c"), Megabinary: digest("d"), Base: digest("e"), Name: "app", Sequence: 3, ABI: 1})
}

func noPassword() ([]byte, error) { return nil, errors.New("there is no password") }

func keyPair(t testing.TB, algorithm string) (*Signer, *Verifier, []byte) {
	t.Helper()
	private, public, err := GenerateKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(private, noPassword)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, public
}

func TestSignAndVerify(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			s, v, public := keyPair(t, algorithm)
			b, err := s.Sign(sample())
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(b)
			if err != nil || got.Predicate != sample().Predicate || got.Manifest() != digest("a") {
				t.Fatalf("%+v, %v", got, err)
			}
			_, other, _ := keyPair(t, algorithm)
			if _, err := other.Verify(b); !errors.Is(err, ErrSignature) {
				t.Errorf("another key: %v", err)
			}
			sigstoreVerifies(t, public, b)
			for i := range b {
				bad := bytes.Clone(b)
				bad[i] ^= 4
				if st, err := v.Verify(bad); err == nil && st.Predicate != sample().Predicate {
					t.Fatalf("byte %d: a changed statement was accepted", i)
				}
			}
		})
	}
}

// sigstoreVerifies shows that sigstore's own verifier takes the bundle.
func sigstoreVerifies(t *testing.T, public, text []byte) {
	t.Helper()
	key, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		v, err := signature.LoadVerifier(key, crypto.SHA256)
		return root.NewExpiringKey(v, time.Time{}, time.Time{}), err
	})
	v, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
	if err != nil {
		t.Fatal(err)
	}
	image, err := hex.DecodeString(strings.TrimPrefix(digest("a"), "sha256:"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", image), verify.WithKey())); err != nil {
		t.Errorf("sigstore-go refuses our bundle: %v", err)
	}
	image[0] ^= 1
	if _, err := v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", image), verify.WithKey())); err == nil {
		t.Error("sigstore-go takes our bundle for another image")
	}
}

// TestVerifiesSigstoresBundles shows that a bundle of sigstore's own signer is
// taken.
func TestVerifiesSigstoresBundles(t *testing.T) {
	for _, algorithm := range []protocommon.PublicKeyDetails{
		protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, protocommon.PublicKeyDetails_PKIX_ED25519,
	} {
		pair, err := sign.NewEphemeralKeypair(&sign.EphemeralKeypairOptions{Algorithm: algorithm})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(sample())
		if err != nil {
			t.Fatal(err)
		}
		b, err := sign.Bundle(&sign.DSSEData{Data: payload, PayloadType: payloadType}, pair, sign.BundleOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.GetPublicKeyPem()
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewVerifier([]byte(public))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(text); err != nil || got.Predicate != sample().Predicate {
			t.Errorf("%v: %+v, %v", algorithm, got, err)
		}
	}
}

func TestStatementsAreRefused(t *testing.T) {
	s, v, _ := keyPair(t, "ed25519")
	for name, change := range map[string]func(*Statement){
		"two subjects": func(s *Statement) { s.Subject = append(s.Subject, s.Subject[0]) },
		"no digest":    func(s *Statement) { s.Subject[0].Digest = nil },
		"another type": func(s *Statement) { s.PredicateType = "https://slsa.dev/provenance/v1" },
		"no map":       func(s *Statement) { s.Predicate.ExecMap = "" },
		"no name":      func(s *Statement) { s.Predicate.Name = "" },
	} {
		st := sample()
		change(&st)
		b, err := s.Sign(st)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(b); err == nil || !strings.Contains(err.Error(), "reading a statement") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOfOtherKindsAreRefused(t *testing.T) {
	if _, _, err := GenerateKey("rsa"); err == nil {
		t.Error("an RSA key was made")
	}
	_, rsa, err := cryptoutils.GeneratePEMEncodedRSAKeyPair(2048, cryptoutils.SkipPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{rsa, nil, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")} {
		if _, err := NewVerifier(text); err == nil {
			t.Errorf("%.40q was taken for a key", text)
		}
	}
}

func TestAccepted(t *testing.T) {
	a := Accepted{filepath.Join(t.TempDir(), "state", "accepted.json")}
	for i, c := range []struct {
		key, name, root string
		sequence        uint64
		want            string
	}{
		{"k", "app", "c", 3, ""}, {"k", "app", "c", 3, ""}, {"k", "app", "d", 2, "number 2, and this host has accepted 3"},
		{"k", "app", "d", 3, "under which this host has accepted another"}, {"k", "app", "d", 4, ""}, {"k", "app", "c", 3, "older image"},
		{"k", "other", "c", 1, ""}, {"k2", "app", "c", 3, ""}, {"k", "", "c", 0, ""}, {"k", "", "d", 0, ""}, {"k", "app", "e", 5, ""},
	} {
		s := sample()
		s.Predicate.Name, s.Predicate.Sequence, s.Predicate.Root = c.name, c.sequence, digest(c.root)
		err := a.Accept(c.key, &s)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: %v, want %q", i, err, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s, v, _ := keyPair(f, "ed25519")
	b, err := s.Sign(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := v.Verify(b); err == nil && st.Predicate != sample().Predicate {
			t.Fatalf("accepted %q", b)
		}
	})
}
