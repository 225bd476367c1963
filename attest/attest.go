// Package attest signs the exec maps of images and verifies them: in-toto
// statements in DSSE envelopes in sigstore bundles, with key pairs and without a
// network.
package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"megabinary.dev/sdk/artifact"
)

// The types that stand in statements and bundles.
const (
	MediaBundle   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	PredicateType = "https://megabinary.dev/attestation/execmap/v1"

	statementType = "https://in-toto.io/Statement/v1"
	payloadType   = "application/vnd.in-toto+json"
)

// Predicate is what a signature says of an image.
type Predicate struct {
	ExecMap    string `json:"execMap"`    // digest of the exec map's canonical form
	Root       string `json:"root"`       // its Merkle root
	Megabinary string `json:"megabinary"` // digest, less the copy of the map
	Base       string `json:"base"`       // digest of the source image's manifest
	Name       string `json:"name,omitempty"`
	Sequence   uint64 `json:"sequence"`
	ABI        int    `json:"abi"` // guestabi.Version
}

// Statement is an in-toto statement (in-toto attestation framework, v1) about one
// image.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject names the image.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"` // sha256: hexadecimal digits of the manifest's
}

// NewStatement says p of the image with a manifest's digest, sha256:<hex>.
func NewStatement(manifest string, p Predicate) Statement {
	return Statement{Type: statementType, PredicateType: PredicateType, Predicate: p,
		Subject: []Subject{{Digest: map[string]string{"sha256": strings.TrimPrefix(manifest, "sha256:")}}}}
}

// Manifest returns the digest of the image's manifest.
func (s *Statement) Manifest() string { return "sha256:" + s.Subject[0].Digest["sha256"] }

// Algorithms lists the algorithms of keys.
func Algorithms() []string { return []string{"ecdsa-p256", "ed25519"} }

// GenerateKey makes a key pair, PEM of PKCS #8 and of SubjectPublicKeyInfo.
func GenerateKey(algorithm string) (private, public []byte, err error) {
	var key crypto.Signer
	switch algorithm {
	case "ecdsa-p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, nil, fmt.Errorf("algorithm %q is none of %s", algorithm, strings.Join(Algorithms(), ", "))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	if private, err = cryptoutils.MarshalPrivateKeyToPEM(key); err != nil {
		return nil, nil, fmt.Errorf("encoding the private key: %w", err)
	}
	if public, err = cryptoutils.MarshalPublicKeyToPEM(key.Public()); err != nil {
		return nil, nil, fmt.Errorf("encoding the public key: %w", err)
	}
	return private, public, nil
}

// check refuses keys of other algorithms.
func check(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("a key of type %T is none of %s", public, strings.Join(Algorithms(), ", "))
}

// Signer signs statements.
type Signer struct {
	signer signature.SignerVerifier
	hint   string
}

// NewSigner reads a private key: PEM of PKCS #8, of SEC 1, or encrypted by cosign,
// whose password is asked for then.
func NewSigner(private []byte, password func() ([]byte, error)) (*Signer, error) {
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(private, func(bool) ([]byte, error) { return password() })
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("reading the private key: a %T cannot sign", key)
	}
	if err := check(signer.Public()); err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	s := &Signer{}
	if s.signer, err = signature.LoadSignerVerifier(key, crypto.SHA256); err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	s.hint, err = keyHint(signer.Public())
	return s, err
}

// keyHint is how sigstore's clients name a key in a bundle.
func keyHint(public crypto.PublicKey) (string, error) {
	der, err := cryptoutils.MarshalPublicKeyToDER(public)
	if err != nil {
		return "", fmt.Errorf("encoding the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// Sign returns the bundle of a statement, JSON.
func (s *Signer) Sign(st Statement) ([]byte, error) {
	payload, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("encoding the statement: %w", err)
	}
	sig, err := s.signer.SignMessage(bytes.NewReader(dsse.PAE(payloadType, payload)))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	b := &protobundle.Bundle{
		MediaType: MediaBundle,
		VerificationMaterial: &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &protocommon.PublicKeyIdentifier{Hint: s.hint}}},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: payloadType, Signatures: []*protodsse.Signature{{Sig: sig}}}},
	}
	text, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encoding the bundle: %w", err)
	}
	var compact bytes.Buffer // protojson adds spaces at random
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("encoding the bundle: %w", err)
	}
	return compact.Bytes(), nil
}

// Verifier verifies bundles with one public key.
type Verifier struct {
	verifier signature.Verifier
	id       string
}

// NewVerifier reads a public key, PEM of SubjectPublicKeyInfo.
func NewVerifier(public []byte) (*Verifier, error) {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	if err := check(key); err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	v := &Verifier{}
	if v.verifier, err = signature.LoadVerifier(key, crypto.SHA256); err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	der, err := cryptoutils.MarshalPublicKeyToDER(key)
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	v.id = "sha256:" + hex.EncodeToString(sum[:])
	return v, nil
}

// KeyID returns the digest of the public key's DER form.
func (v *Verifier) KeyID() string { return v.id }

// MaxBundle bounds a bundle, in bytes.
const MaxBundle = 1 << 20

// ErrSignature means that a bundle was not signed with the key.
var ErrSignature = errors.New("the signature is not of this key")

// Verify returns the statement of a bundle that was signed with the key.
func (v *Verifier) Verify(bundle []byte) (*Statement, error) {
	if len(bundle) > MaxBundle {
		return nil, fmt.Errorf("reading a bundle: %d bytes are more than the %d allowed", len(bundle), MaxBundle)
	}
	var b protobundle.Bundle
	if err := protojson.Unmarshal(bundle, &b); err != nil {
		return nil, fmt.Errorf("reading a bundle: %w", err)
	}
	envelope := b.GetDsseEnvelope()
	switch {
	case b.GetMediaType() != MediaBundle:
		return nil, fmt.Errorf("reading a bundle: its type %q is not %s", b.GetMediaType(), MediaBundle)
	case envelope == nil || len(envelope.GetSignatures()) != 1:
		return nil, errors.New("reading a bundle: it is no DSSE envelope with one signature")
	case envelope.GetPayloadType() != payloadType:
		return nil, fmt.Errorf("reading a bundle: its payload %q is no %s", envelope.GetPayloadType(), payloadType)
	}
	pae := dsse.PAE(envelope.GetPayloadType(), envelope.GetPayload())
	if err := v.verifier.VerifySignature(bytes.NewReader(envelope.GetSignatures()[0].GetSig()), bytes.NewReader(pae)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return parseStatement(envelope.GetPayload())
}

func parseStatement(payload []byte) (*Statement, error) {
	s := new(Statement)
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("reading a statement: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading a statement: there is something after it")
	}
	switch {
	case s.Type != statementType || s.PredicateType != PredicateType:
		return nil, fmt.Errorf("reading a statement: it is a %q of %q, not of %s", s.Type, s.PredicateType, PredicateType)
	case len(s.Subject) != 1 || !artifact.ValidDigest(s.Manifest()):
		return nil, errors.New("reading a statement: it is not about one image")
	}
	for _, digest := range []string{s.Predicate.ExecMap, s.Predicate.Root, s.Predicate.Megabinary, s.Predicate.Base} {
		if !artifact.ValidDigest(digest) {
			return nil, fmt.Errorf("reading a statement: %q is no digest", digest)
		}
	}
	if err := artifact.CheckMapName(s.Predicate.Name, s.Predicate.Sequence); err != nil {
		return nil, fmt.Errorf("reading a statement: %w", err)
	}
	return s, nil
}
