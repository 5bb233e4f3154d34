package artifact

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What cosign calls the parts of a signature, see SIGNATURE_SPEC.md of sigstore/cosign.
const (
	payloadType   types.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureKey  string          = "dev.cosignproject.cosign/signature"
	signatureKind string          = "cosign container image signature"
)

// ErrSignature is wrapped by errors about a signature that is missing or wrong.
var ErrSignature = errors.New("not signed by the key")

// maxPayload is how large the text that is signed may be, in bytes.
const maxPayload = 1 << 20

// ReadKey reads a public key in PEM, as cosign generate-key-pair writes it to
// cosign.pub: ECDSA, Ed25519 or RSA.
func ReadKey(path string) (crypto.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s holds no public key in PEM (BEGIN PUBLIC KEY)", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey:
		return key, nil
	}
	return nil, fmt.Errorf("%s: keys of type %T are not supported", path, key)
}

// verify checks that one of the signatures of the manifest with that digest is the key's.
func verify(ctx context.Context, repo name.Repository, digest v1.Hash, key crypto.PublicKey) error {
	tag := repo.Tag(digest.Algorithm + "-" + digest.Hex + ".sig")
	img, err := remote.Image(tag, remoteOptions(ctx)...)
	if err != nil {
		return fmt.Errorf("%w: no signature at %s: %w", ErrSignature, tag, err)
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	why := errors.New("there is no signature in the form of simple signing")
	for _, l := range m.Layers {
		if l.MediaType != payloadType {
			continue
		}
		if l.Size > maxPayload {
			return fmt.Errorf("%w: a payload of %d bytes is too large", ErrSignature, l.Size)
		}
		payload, err := readLayer(img, l.Digest)
		if err == nil {
			err = verifyPayload(payload, l.Annotations[signatureKey], digest, key)
		}
		if err == nil {
			return nil
		}
		why = err
	}
	return fmt.Errorf("%w: %w", ErrSignature, why)
}

func readLayer(img v1.Image, digest v1.Hash) ([]byte, error) {
	l, err := img.LayerByDigest(digest)
	if err != nil {
		return nil, err
	}
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxPayload))
}

// verifyPayload checks the signature of a payload, and that it is about the digest.
func verifyPayload(payload []byte, signature string, digest v1.Hash, key crypto.PublicKey) error {
	sig, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(sig) == 0 {
		return errors.New("the signature is not base64")
	}
	if !signed(payload, sig, key) {
		return errors.New("the signature is of another key, or of something else")
	}
	var doc struct {
		Critical struct {
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(payload, &doc); err != nil {
		return fmt.Errorf("reading what is signed: %w", err)
	}
	switch c := doc.Critical; {
	case c.Type != signatureKind:
		return fmt.Errorf("what is signed is a %q", c.Type)
	case c.Image.Digest != digest.String():
		return fmt.Errorf("the signature is of %s", c.Image.Digest)
	}
	return nil
}

// signed reports whether sig is a signature of the text by the key.
func signed(text, sig []byte, key crypto.PublicKey) bool {
	sum := sha256.Sum256(text)
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, sum[:], sig)
	case ed25519.PublicKey:
		return ed25519.Verify(k, text, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
	}
	return false
}
