package artifact

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Index names artifacts, as falcoctl's index files do.
type Index []IndexEntry

// IndexEntry says where an artifact is.
type IndexEntry struct {
	Name       string `yaml:"name"`
	Type       string `yaml:"type"`
	Registry   string `yaml:"registry"`
	Repository string `yaml:"repository"`
}

// ReadIndex reads an index file from a path or an http or https URL.
func ReadIndex(ctx context.Context, from string) (Index, error) {
	data, err := readIndex(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("reading the index of artifacts: %w", err)
	}
	var index Index
	if err := yaml.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("reading the index of artifacts %s: %w", from, err)
	}
	return index, nil
}

func readIndex(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "http://") && !strings.HasPrefix(from, "https://") {
		return os.ReadFile(from)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", from, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxFile))
}

// Resolve returns the reference that a name of the index with an optional
// :TAG or @DIGEST stands for; latest without. What has a folder or a registry
// in it is a reference already.
func (x Index) Resolve(ref string) (string, error) {
	if strings.Contains(ref, "/") {
		return ref, nil
	}
	name, rest := ref, ":latest"
	if i := strings.IndexAny(ref, ":@"); i >= 0 {
		name, rest = ref[:i], ref[i:]
	}
	for _, e := range x {
		if e.Name != name {
			continue
		}
		if e.Type != "rulesfile" {
			return "", fmt.Errorf("%s is a %s in the index, not a rulesfile", name, e.Type)
		}
		return e.Registry + "/" + e.Repository + rest, nil
	}
	if x == nil {
		return "", fmt.Errorf("%q is no reference to an artifact, such as registry.example/team/rules:1; short names need --index", ref)
	}
	return "", fmt.Errorf("the index of artifacts has no %q", name)
}
