package runtime

import (
	"errors"
	"slices"
	"testing"
)

func TestAddressesSayWhichRuntimeIsMeant(t *testing.T) {
	for addr, name := range map[string]string{
		"docker:unix:///run/docker.sock":             "docker at /run/docker.sock",
		"docker:tcp://127.0.0.1:2375":                "docker at tcp://127.0.0.1:2375",
		"containerd:/run/containerd/containerd.sock": "containerd at /run/containerd/containerd.sock",
		"containerd:unix:///run/c.sock":              "containerd at /run/c.sock",
		"cri:/run/crio/crio.sock":                    "cri at /run/crio/crio.sock",
		"podman:unix:///run/user/1000/podman.sock":   "podman at /run/user/1000/podman.sock",
	} {
		e, err := Open(addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if e.Name() != name {
			t.Errorf("%s opens %s, want %s", addr, e.Name(), name)
		}
		_ = e.Close()
	}
	for _, addr := range []string{"", "docker", "docker:", "unix:///run/docker.sock", "lxc:/run/lxc.sock", "cri:crio.sock", "podman:tcp://x:1", "docker:ftp:x"} {
		if e, err := Open(addr); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: got %v, %v", addr, e, err)
		}
	}
}

func TestTheUsualSocketsAreTheHostsOwn(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	usual := Usual()
	for _, want := range []string{
		"docker:unix:///run/docker.sock", "containerd:/run/containerd/containerd.sock", "cri:/run/crio/crio.sock", "podman:/run/podman/podman.sock",
	} {
		if !slices.Contains(usual, want) {
			t.Errorf("%s is not among %q", want, usual)
		}
	}
	for _, addr := range usual {
		e, err := Open(addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		_ = e.Close()
	}
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if !slices.Contains(Usual(), "docker:tcp://127.0.0.1:1") {
		t.Error("DOCKER_HOST is not heeded")
	}
}
