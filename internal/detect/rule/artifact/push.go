package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rollcage/internal/detect/rule"
)

// Push writes an artifact to a registry and returns its digest. Of a, Name,
// Version, Requirements, Dependencies and Files are used.
func Push(ctx context.Context, ref string, a *Artifact, opts Options) (string, error) {
	config, err := json.Marshal(map[string]any{
		"name": a.Name, "version": a.Version, "requirements": a.Requirements, "dependencies": a.Dependencies,
	})
	if err != nil {
		return "", err
	}
	layer, err := pack(a.Files)
	if err != nil {
		return "", err
	}
	return push(ctx, ref, opts, blob{ConfigType, config, nil}, blob{LayerType, layer, nil})
}

// blob is a part of an artifact.
type blob struct {
	mediaType   types.MediaType
	data        []byte
	annotations map[string]string
}

// push writes a manifest with a config and a layer.
func push(ctx context.Context, ref string, opts Options, config, layer blob) (string, error) {
	r, err := opts.reference(ref)
	if err != nil {
		return "", err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for i, b := range []blob{config, layer} {
		l := static.NewLayer(b.data, b.mediaType)
		if err := remote.WriteLayer(r.Context(), l, remoteOptions(ctx)...); err != nil {
			return "", fmt.Errorf("writing to %s: %w", r.Context(), err)
		}
		digest, err := l.Digest()
		if err != nil {
			return "", err
		}
		d := v1.Descriptor{MediaType: b.mediaType, Size: int64(len(b.data)), Digest: digest, Annotations: b.annotations}
		if i == 0 {
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if err := remote.Put(r, manifest(raw), remoteOptions(ctx)...); err != nil {
		return "", fmt.Errorf("writing to %s: %w", r, err)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// manifest is one that is written as it is.
type manifest []byte

// RawManifest returns the bytes.
func (m manifest) RawManifest() ([]byte, error) { return m, nil }

// MediaType returns that of an OCI manifest.
func (m manifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// pack writes rules files as a layer. The same files always give the same bytes.
func pack(files []rule.File) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range files {
		if f.Err != nil {
			return nil, f.Err
		}
		h := &tar.Header{Name: filepath.Base(f.Name), Mode: 0o644, Size: int64(len(f.Data)), Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.Data); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
