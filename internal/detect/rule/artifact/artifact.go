// Package artifact brings rules files from OCI registries, in the form in
// which falcoctl pushes and follows them, and keeps a folder of rules files at
// what a tag stands for.
//
// An artifact is an OCI manifest whose config and layers have media types of
// their own; each layer is a tar.gz of rules files. With a key, the artifact
// must carry a signature of cosign (simple signing, in the tag
// sha256-DIGEST.sig of the same repository) that the key verifies.
package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rollcage/internal/detect/rule"
)

// The media types of falcoctl's rules files.
const (
	ConfigType types.MediaType = "application/vnd.cncf.falco.rulesfile.config.v1+json"
	LayerType  types.MediaType = "application/vnd.cncf.falco.rulesfile.layer.v1+tar.gz"
)

// What is read of an artifact at most, in bytes.
const (
	maxConfig = 1 << 20
	maxFile   = 16 << 20
	maxTotal  = 64 << 20
)

// Options say how a registry is reached and what is trusted.
type Options struct {
	// Key verifies signatures; without it artifacts need none.
	Key crypto.PublicKey
	// PlainHTTP talks to registries without TLS. Those on loopback always are.
	PlainHTTP bool
}

// Artifact is a set of rules files as a registry has it.
type Artifact struct {
	// Ref is what it was asked for by, Digest what that stood for.
	Ref    string
	Digest string
	// Name and Version are what the artifact calls itself; may be empty.
	Name    string
	Version string
	// Requirements are what it says that it needs, such as engine_version_semver.
	Requirements []Requirement
	Dependencies []Requirement
	// Files are the rules files, by name without folder, in the order of the layers.
	Files []rule.File
}

// Requirement is a name with the least version.
type Requirement struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// reference parses a reference to an artifact.
func (o *Options) reference(ref string) (name.Reference, error) {
	var opts []name.Option
	if o.PlainHTTP {
		opts = append(opts, name.Insecure)
	}
	r, err := name.ParseReference(ref, opts...)
	if err != nil {
		return nil, fmt.Errorf("%q is no reference to an artifact, such as registry.example/team/rules:1: %w", ref, err)
	}
	return r, nil
}

func remoteOptions(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("rollcage")}
}

// Digest returns what a reference stands for now.
func Digest(ctx context.Context, ref string, opts Options) (string, error) {
	r, err := opts.reference(ref)
	if err != nil {
		return "", err
	}
	// Not every registry answers a HEAD for media types of its own.
	d, err := remote.Get(r, remoteOptions(ctx)...)
	if err != nil {
		return "", fmt.Errorf("asking the registry for %s: %w", ref, err)
	}
	return d.Digest.String(), nil
}

// Pull reads an artifact. Its content is what the digest says, and signed by
// the key if there is one.
func Pull(ctx context.Context, ref string, opts Options) (*Artifact, error) {
	r, err := opts.reference(ref)
	if err != nil {
		return nil, err
	}
	d, err := remote.Get(r, remoteOptions(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for %s: %w", ref, err)
	}
	if opts.Key != nil {
		if err := verify(ctx, r.Context(), d.Digest, opts.Key); err != nil {
			return nil, fmt.Errorf("%s (%s): %w", ref, d.Digest, err)
		}
	}
	a := &Artifact{Ref: ref, Digest: d.Digest.String()}
	img, manifest, err := rulesManifest(d)
	if err == nil {
		err = a.config(img, manifest)
	}
	if err == nil {
		err = a.layers(img, manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", ref, d.Digest, err)
	}
	return a, nil
}

// rulesManifest returns the manifest with rules files: the one that was asked
// for, or the first of an index.
func rulesManifest(d *remote.Descriptor) (v1.Image, *v1.Manifest, error) {
	if !d.MediaType.IsIndex() {
		img, err := d.Image()
		if err != nil {
			return nil, nil, err
		}
		m, err := img.Manifest()
		if err != nil {
			return nil, nil, err
		}
		if m.Config.MediaType != ConfigType {
			return nil, nil, fmt.Errorf("this is no artifact with rules files but %s", describe(m.Config.MediaType))
		}
		return img, m, nil
	}
	index, err := d.ImageIndex()
	if err != nil {
		return nil, nil, err
	}
	im, err := index.IndexManifest()
	if err != nil {
		return nil, nil, err
	}
	for _, child := range im.Manifests {
		img, err := index.Image(child.Digest)
		if err != nil {
			continue
		}
		if m, err := img.Manifest(); err == nil && m.Config.MediaType == ConfigType {
			return img, m, nil
		}
	}
	return nil, nil, errors.New("no manifest of the index has rules files")
}

// describe names what an artifact is by the media type of its config.
func describe(t types.MediaType) string {
	switch s := string(t); {
	case strings.Contains(s, "falco.plugin"):
		return "a plugin (Rollcage needs none)"
	case strings.Contains(s, "falco.asset"):
		return "an asset of Falco"
	case strings.Contains(s, "image.config") || strings.Contains(s, "container.image"):
		return "a container image"
	default:
		return s
	}
}

func (a *Artifact) config(img v1.Image, m *v1.Manifest) error {
	if m.Config.Size > maxConfig { // no more than that is read of it
		return fmt.Errorf("a config of %d bytes is too large", m.Config.Size)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("reading the config: %w", err)
	}
	var doc struct {
		Name         string        `json:"name"`
		Version      string        `json:"version"`
		Requirements []Requirement `json:"requirements"`
		Dependencies []Requirement `json:"dependencies"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("reading the config: %w", err)
	}
	a.Name, a.Version, a.Requirements, a.Dependencies = doc.Name, doc.Version, doc.Requirements, doc.Dependencies
	return nil
}

func (a *Artifact) layers(img v1.Image, m *v1.Manifest) error {
	total := int64(0)
	for _, l := range m.Layers {
		if l.MediaType != LayerType {
			continue
		}
		if total += l.Size; total > maxTotal {
			return fmt.Errorf("more than %d bytes are too many for rules files", maxTotal)
		}
		layer, err := img.LayerByDigest(l.Digest)
		if err != nil {
			return err
		}
		body, err := layer.Compressed()
		if err != nil {
			return fmt.Errorf("reading layer %s: %w", l.Digest, err)
		}
		err = a.unpack(body)
		if closeErr := body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("reading layer %s: %w", l.Digest, err)
		}
	}
	if len(a.Files) == 0 {
		return errors.New("there is no rules file in it: none that ends in .yaml or .yml in a layer of the type " + string(LayerType))
	}
	return nil
}

// unpack reads the rules files of a layer. The names of folders are left out,
// and with them every way out of the folder that the files are for.
func (a *Artifact) unpack(body io.Reader) error {
	z, err := gzip.NewReader(body)
	if err != nil {
		return err
	}
	all := &io.LimitedReader{R: z, N: maxTotal + 1}
	for t := tar.NewReader(all); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			// The digest is checked at the end of the layer.
			_, err := io.Copy(io.Discard, body)
			return err
		case all.N <= 0:
			return fmt.Errorf("more than %d bytes are too many for rules files", maxTotal)
		case err != nil:
			return err
		}
		if err := a.file(h, t); err != nil {
			return err
		}
	}
}

// file keeps one entry of a layer if it is a rules file.
func (a *Artifact) file(h *tar.Header, body io.Reader) error {
	base := path.Base(path.Clean("/" + h.Name))
	ext := path.Ext(base)
	if h.Typeflag != tar.TypeReg || ext != ".yaml" && ext != ".yml" || base[0] == '.' {
		return nil
	}
	if h.Size > maxFile {
		return fmt.Errorf("%s: %d bytes are too many for a rules file", base, h.Size)
	}
	for _, f := range a.Files {
		if f.Name == base {
			return fmt.Errorf("%s is in it twice", base)
		}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	a.Files = append(a.Files, rule.File{Name: base, Data: data})
	return nil
}
