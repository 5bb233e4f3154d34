package runtime

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcage/internal/observe/host"
)

// dockerHost returns the address of a Docker Engine for tests, and the image to use.
func dockerHost(t *testing.T) (addr, image string) {
	t.Helper()
	addr, image = os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), os.Getenv("ROLLCAGE_TEST_IMAGE")
	if addr == "" || image == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST and an image in ROLLCAGE_TEST_IMAGE (make test starts one)")
	}
	return addr, image
}

func docker(t *testing.T, addr string, args ...string) string {
	t.Helper()
	return command(t, "docker", append([]string{"-H", addr}, args...)...)
}

func TestDockerTellsAllItKnowsOfAContainer(t *testing.T) {
	addr, image := dockerHost(t)
	id := docker(t, addr, "run", "-d", "--name", "rollcage-facts", "-l", "com.docker.compose.project=shop",
		"-l", "com.docker.compose.service=web", "-v", "/tmp:/data:ro", "-u", "1000:1000", "-e", "COLOR=red", "--health-cmd", "true",
		"-m", "64m", image, "sleep", "60")
	defer docker(t, addr, "rm", "-f", id)
	d, err := NewDocker(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := d.Lookup(t.Context(), id[:12])
	if err != nil {
		t.Fatal(err)
	}
	repo, tag, _ := strings.Cut(image, ":")
	for _, f := range []struct{ name, got, want string }{
		{"id", c.ID, id[:12]}, {"full id", c.FullID, id}, {"name", c.Name, "rollcage-facts"},
		{"image", c.Image, image}, {"repository", c.ImageRepo, repo}, {"tag", c.ImageTag, tag},
		{"user", c.User, "1000:1000"}, {"project", c.Labels["com.docker.compose.project"], "shop"},
		{"service", c.Labels["com.docker.compose.service"], "web"},
	} {
		if f.got != f.want {
			t.Errorf("%s is %q, want %q", f.name, f.got, f.want)
		}
	}
	if len(c.Mounts) != 1 || c.Mounts[0].Source != "/tmp" || c.Mounts[0].Destination != "/data" || c.Mounts[0].RW {
		t.Errorf("mounts are %+v", c.Mounts)
	}
	if !c.Known || c.Privileged || c.HostPID || c.MemoryLimit != 64<<20 || c.Healthcheck == nil || c.Health == "" || c.ImageID == "" {
		t.Errorf("got %+v", c)
	}
	if _, err := d.Lookup(t.Context(), "0123456789ab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a container that is not there: %v", err)
	}
	list, err := d.List(t.Context())
	if err != nil || !containsID(list, id) {
		t.Errorf("list: %v, %v", list, err)
	}
}

func containsID(list []*host.Container, id string) bool {
	for _, c := range list {
		if c.FullID == id {
			return true
		}
	}
	return false
}

// relay forwards connections to a Docker Engine and can be cut off like a
// daemon that is killed.
type relay struct {
	path, to string
	mu       sync.Mutex
	l        net.Listener
	conns    []net.Conn
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.l = l
	r.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", r.to)
			if err != nil {
				c.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, c, up)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(up, c); up.Close() }()
			go func() { _, _ = io.Copy(c, up); c.Close() }()
		}
	}()
}

func (r *relay) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.l.Close()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func TestImageReferencesAreTakenApart(t *testing.T) {
	for _, c := range []struct{ ref, repo, tag, digest string }{
		{"nginx", "nginx", "latest", ""},
		{"nginx:1.25", "nginx", "1.25", ""},
		{"registry.example:5000/team/app", "registry.example:5000/team/app", "latest", ""},
		{"registry.example:5000/team/app:2", "registry.example:5000/team/app", "2", ""},
		{"app@sha256:aa", "app", "", "sha256:aa"},
		{"app:3@sha256:aa", "app", "3", "sha256:aa"},
		{"sha256:aabb", "", "", ""},
	} {
		repo, tag, digest := splitImage(c.ref)
		if repo != c.repo || tag != c.tag || digest != c.digest {
			t.Errorf("%s: got %q %q %q", c.ref, repo, tag, digest)
		}
	}
}

func TestProcessorListsAreCounted(t *testing.T) {
	for list, want := range map[string]int32{"": 0, "0": 1, "0-3": 4, "0-2,7": 4, "x,1": 1, "3-1": 0} {
		if got := cpuCount(list); got != want {
			t.Errorf("%q: %d, want %d", list, got, want)
		}
	}
}

func TestHealthChecksAreTheCommandsThatDockerRuns(t *testing.T) {
	for _, c := range []struct {
		test, shell []string
		want        string
	}{
		{[]string{"CMD", "curl", "-f", "localhost"}, nil, "curl -f localhost"},
		{[]string{"CMD-SHELL", "curl localhost || exit 1"}, nil, "/bin/sh -c curl localhost || exit 1"},
		{[]string{"CMD-SHELL", "exit 0"}, []string{"/bin/bash", "-o", "pipefail", "-c"}, "/bin/bash -o pipefail -c exit 0"},
		{[]string{"NONE"}, nil, ""},
		{nil, nil, ""},
	} {
		got := ""
		if p := healthcheck(c.test, c.shell); p != nil {
			got = strings.Join(append([]string{p.Exe}, p.Args...), " ")
		}
		if got != c.want {
			t.Errorf("%q with the shell %q runs %q, want %q", c.test, c.shell, got, c.want)
		}
	}
}

// engineOf starts an HTTP server that stands in for a Docker Engine.
func engineOf(t *testing.T, h http.HandlerFunc) *Docker {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	d, err := NewDocker("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestAnAnswerWithoutEndIsGivenUp(t *testing.T) {
	d := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.47")
			return
		}
		_, _ = io.WriteString(w, `{"Id":"`)
		for chunk := strings.Repeat("x", 1<<20); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	if _, err := d.inspect(t.Context(), idA); !errors.Is(err, errAnswerSize) {
		t.Errorf("got %v, want %v", err, errAnswerSize)
	}
}

func TestAContainerThatCannotBeInspectedDoesNotHoldUpTheList(t *testing.T) {
	d := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.47")
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `[{"Id":"`+idA+`","Names":["/stuck"],"Image":"nginx:1"}]`)
		default:
			<-r.Context().Done()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*listGrace)
	defer cancel()
	list, err := d.List(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "stuck" {
		t.Errorf("got %+v, %v", list, err)
	}
}
