package runtime

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// kinds are the runtimes that can be asked, with where their sockets are by
// default. Only sockets of the host's are among them: that of a rootless
// runtime is a user's, who could say anything about the containers of others
// through it, and is asked when it is named. A socket may appear later.
var kinds = []struct {
	name  string
	open  func(addr string) (Engine, error)
	usual []string
}{
	{"docker", engine(NewDocker), []string{"unix:///run/docker.sock"}},
	{"containerd", openSocket(NewContainerd), []string{
		"/run/containerd/containerd.sock",
		"/run/docker/containerd/containerd.sock", // the one that dockerd starts if there is no other
		"/run/k3s/containerd/containerd.sock",
		"/run/k0s/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock",
	}},
	{"cri", openSocket(NewCRI), []string{"/run/crio/crio.sock"}},
	{"podman", engine(NewPodman), []string{"/run/podman/podman.sock"}},
}

func engine[E Engine](open func(addr string) (E, error)) func(addr string) (Engine, error) {
	return func(addr string) (Engine, error) {
		e, err := open(addr)
		if err != nil {
			return nil, err // not an interface that holds a nil pointer
		}
		return e, nil
	}
}

func openSocket[E Engine](open func(path string) (E, error)) func(addr string) (Engine, error) {
	return func(addr string) (Engine, error) {
		path, err := socketPath(addr)
		if err != nil {
			return nil, err
		}
		return engine(open)(path)
	}
}

// ErrAddress is returned for an address that does not say which runtime is meant, or where.
var ErrAddress = errors.New("want docker:ADDRESS, containerd:SOCKET, cri:SOCKET or podman:SOCKET")

// Open returns the engine at an address: the kind of the runtime, a colon, and
// where it listens, for instance containerd:/run/containerd/containerd.sock
// or docker:tcp://127.0.0.1:2375. It does not connect yet. Errors: ErrAddress.
func Open(addr string) (Engine, error) {
	kind, at, _ := strings.Cut(addr, ":")
	for _, k := range kinds {
		if k.name != kind || at == "" {
			continue
		}
		e, err := k.open(at)
		if err != nil {
			return nil, fmt.Errorf("container runtime %s: %w: %w", addr, ErrAddress, err)
		}
		return e, nil
	}
	return nil, fmt.Errorf("container runtime %q: %w", addr, ErrAddress)
}

// Usual returns the addresses of the host's own runtimes, which need not be
// there. DOCKER_HOST in the environment says where Docker is instead.
func Usual() []string {
	var out []string
	for _, k := range kinds {
		usual := k.usual
		if h := os.Getenv("DOCKER_HOST"); h != "" && k.name == "docker" {
			usual = []string{h}
		}
		for _, at := range usual {
			out = append(out, k.name+":"+at)
		}
	}
	return out
}
