package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"rollcage/internal/detect/rule"
)

// registries starts each registry that is there and returns its address.
func registries() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"go-containerregistry": func(t *testing.T) string {
			s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			t.Cleanup(s.Close)
			return strings.TrimPrefix(s.URL, "http://")
		},
		"distribution": startDistribution,
	}
}

// startDistribution starts the registry of the Debian package docker-registry.
func startDistribution(t *testing.T) string {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", t.TempDir(), addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			_ = resp.Body.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("the registry does not answer: %v", err)
		}
	}
}

func onEachRegistry(t *testing.T, test func(t *testing.T, addr string)) {
	for name, start := range registries() {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func rules(texts ...string) (files []rule.File) {
	for i := 0; i+1 < len(texts); i += 2 {
		files = append(files, rule.File{Name: texts[i], Data: []byte(texts[i+1])})
	}
	return files
}

func mustPush(t *testing.T, ref string, files ...string) string {
	t.Helper()
	digest, err := Push(context.Background(), ref, &Artifact{Name: "own", Version: "1.2.3", Files: rules(files...)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestWhatIsPushedIsPulled(t *testing.T) {
	onEachRegistry(t, func(t *testing.T, addr string) {
		ref := addr + "/team/rules:1"
		digest := mustPush(t, ref, "a.yaml", "- list: a\n", "b.yml", "- list: b\n", "notes.txt", "no rules")
		for _, r := range []string{ref, addr + "/team/rules@" + digest} {
			a, err := Pull(context.Background(), r, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if a.Digest != digest || a.Name != "own" || a.Version != "1.2.3" || len(a.Files) != 2 || string(a.Files[1].Data) != "- list: b\n" {
				t.Errorf("%s: %+v", r, a)
			}
		}
		if d, err := Digest(context.Background(), ref, Options{}); err != nil || d != digest {
			t.Errorf("%s is %s, %v", ref, d, err)
		}
		if _, err := Pull(context.Background(), addr+"/team/rules:none", Options{}); err == nil {
			t.Error("a tag that is not there is pulled")
		}
	})
}

func TestWhatIsNoArtifactWithRulesIsRefused(t *testing.T) {
	addr := registries()["go-containerregistry"](t)
	packed, err := pack(rules("a.yaml", "[]"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		config, layer blob
		want          string
	}{
		{blob{"application/vnd.cncf.falco.plugin.config.v1+json", []byte("{}"), nil}, blob{LayerType, packed, nil}, "a plugin"},
		{blob{"application/vnd.oci.image.config.v1+json", []byte("{}"), nil}, blob{LayerType, packed, nil}, "a container image"},
		{blob{ConfigType, []byte("{"), nil}, blob{LayerType, packed, nil}, "reading the config"},
		{blob{ConfigType, bytes.Repeat([]byte(" "), maxConfig+1), nil}, blob{LayerType, packed, nil}, "is too large"},
		{blob{ConfigType, []byte("{}"), nil}, blob{"text/plain", packed, nil}, "no rules file in it"},
		{blob{ConfigType, []byte("{}"), nil}, blob{LayerType, []byte("text that is not compressed"), nil}, "gzip: invalid header"},
		{blob{ConfigType, []byte("{}"), nil}, blob{LayerType, packed[:len(packed)/2], nil}, "unexpected EOF"},
		{blob{ConfigType, []byte("{}"), nil}, blob{LayerType, tarball(t, "a.yaml", "x", "b/a.yaml", "y"), nil}, "a.yaml is in it twice"},
		{blob{ConfigType, []byte("{}"), nil}, blob{LayerType, tarball(t, "a.yaml", strings.Repeat(" ", maxFile+1)), nil}, "too many for a rules file"},
	} {
		ref := fmt.Sprintf("%s/other:%d", addr, i)
		if _, err := push(context.Background(), ref, Options{}, c.config, c.layer); err != nil {
			t.Fatal(err)
		}
		if _, err := Pull(context.Background(), ref, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

// tarball packs files under any names.
func tarball(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNamesInALayerLeadNowhereElse(t *testing.T) {
	var a Artifact
	layer := tarball(t, "../../etc/cron.d/a.yaml", "x", "/root/b.yml", "y", "..", "", ".hidden.yaml", "z", "c.yaml/", "")
	if err := a.unpack(bytes.NewReader(layer)); err != nil {
		t.Fatal(err)
	}
	if len(a.Files) != 2 || a.Files[0].Name != "a.yaml" || a.Files[1].Name != "b.yml" {
		t.Errorf("%+v", a.Files)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarball(f, "a.yaml", "- list: a\n  items: []\n", "../b.yml", "x"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, layer []byte) {
		var a Artifact
		if err := a.unpack(bytes.NewReader(layer)); err != nil {
			return
		}
		for _, file := range a.Files {
			if file.Name != filepath.Base(file.Name) || strings.HasPrefix(file.Name, ".") {
				t.Errorf("file %q", file.Name)
			}
		}
	})
}

// sign writes a signature as cosign does.
func sign(t *testing.T, repo, digest, about string, key crypto.Signer) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repo, about)
	text, hash := payload, crypto.Hash(0)
	if _, plain := key.(ed25519.PrivateKey); !plain {
		sum := sha256.Sum256(payload)
		text, hash = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, text, hash)
	if err != nil {
		t.Fatal(err)
	}
	tag := repo + ":" + strings.Replace(digest, ":", "-", 1) + ".sig"
	if _, err := push(context.Background(), tag, Options{}, blob{"application/vnd.oci.image.config.v1+json", []byte("{}"), nil},
		blob{payloadType, payload, map[string]string{signatureKey: base64.StdEncoding.EncodeToString(sig)}}); err != nil {
		t.Fatal(err)
	}
}

// stored writes a public key to a file and reads it again, as a user has it.
func stored(t *testing.T, key crypto.Signer) crypto.PublicKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cosign.pub")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestSignatures(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	onEachRegistry(t, func(t *testing.T, addr string) {
		for i, c := range []struct {
			name   string
			signer crypto.Signer
			key    crypto.Signer
			about  string // instead of the digest
			want   string
		}{
			{"ECDSA", ec, ec, "", ""},
			{"Ed25519", ed, ed, "", ""},
			{"RSA", old, old, "", ""},
			{"another key", other, ec, "", "of another key"},
			{"another kind of key", ed, ec, "", "of another key"},
			{"another artifact", ec, ec, "sha256:" + strings.Repeat("0", 64), "the signature is of sha256:0000"},
			{"none", nil, ec, "", "no signature at"},
		} {
			repo := fmt.Sprintf("%s/signed%d", addr, i)
			digest := mustPush(t, repo+":1", "a.yaml", "[]")
			if c.signer != nil {
				about := digest
				if c.about != "" {
					about = c.about
				}
				sign(t, repo, digest, about, c.signer)
			}
			_, err := Pull(context.Background(), repo+":1", Options{Key: stored(t, c.key)})
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

func TestKeysThatAreNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, text := range []string{"", "text", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func TestAnIndexNamesArtifacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.yaml")
	if err := os.WriteFile(path, []byte("- {name: own-rules, type: rulesfile, registry: registry.example, repository: team/rules}\n- {name: p, type: plugin, registry: r, repository: p}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := ReadIndex(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"own-rules": "registry.example/team/rules:latest", "own-rules:2": "registry.example/team/rules:2",
		"own-rules@sha256:0": "registry.example/team/rules@sha256:0", "other.example/x:1": "other.example/x:1",
		"p": "", "nothing": "",
	} {
		got, err := x.Resolve(ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q, %v", ref, got, err)
		}
	}
	if _, err := Index(nil).Resolve("own-rules"); err == nil || !strings.Contains(err.Error(), "--index") {
		t.Errorf("without an index: %v", err)
	}
}
