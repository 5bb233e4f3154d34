package runtime

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"rollcage/internal/understand/runtime/kubelet"
)

// command runs a program and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var stderr string
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr)
	}
	return strings.TrimSpace(string(out))
}

func splitTag(image string) (repo, tag string) {
	i := strings.LastIndexByte(image, ':')
	return image[:i], image[i+1:]
}

// cliRuntime is a runtime whose command line is Docker's.
type cliRuntime struct {
	addr, img string
	client    []string
	newEngine func(addr string) (*Docker, error)
}

func dockerRuntime(t *testing.T) testRuntime {
	addr, image := dockerHost(t)
	return &cliRuntime{addr, image, []string{"docker", "-H", addr}, NewDocker}
}

func podmanRuntime(t *testing.T) testRuntime {
	addr, image := os.Getenv("ROLLCAGE_TEST_PODMAN_HOST"), os.Getenv("ROLLCAGE_TEST_PODMAN_IMAGE")
	if addr == "" || image == "" {
		t.Skip("needs a Podman service in ROLLCAGE_TEST_PODMAN_HOST and an image in ROLLCAGE_TEST_PODMAN_IMAGE (make test starts one)")
	}
	return &cliRuntime{addr, image, []string{"podman", "--url", addr}, NewPodman}
}

func (r *cliRuntime) open(t *testing.T, socket string) Engine {
	e, err := r.newEngine("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (r *cliRuntime) user() string              { return wantedUser }
func (r *cliRuntime) socket() string            { return strings.TrimPrefix(r.addr, "unix://") }
func (r *cliRuntime) image() (repo, tag string) { return splitTag(r.img) }

func (r *cliRuntime) do(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, r.client[0], append(r.client[1:len(r.client):len(r.client)], args...)...)
}

func (r *cliRuntime) create(t *testing.T, c wanted) string {
	t.Helper()
	args := []string{
		"create", "--name", c.name, "-l", wantedLabel + "=shop", "-v", wantedSource + ":" + wantedMount + ":ro",
		"-u", wantedUser + ":" + wantedUser, "-e", wantedEnv, "-m", fmt.Sprint(wantedMemory),
	}
	if c.privileged {
		args = append(args, "--privileged")
	}
	if c.hostPID {
		args = append(args, "--pid", "host")
	}
	return r.do(t, append(args, r.img, "sleep", "600")...)
}

func (r *cliRuntime) start(t *testing.T, id string) { t.Helper(); r.do(t, "start", id) }

func (r *cliRuntime) remove(t *testing.T, id string) {
	t.Helper()
	_ = exec.Command(r.client[0], append(r.client[1:len(r.client):len(r.client)], "kill", id)...).Run() // it may not run
	r.do(t, "rm", "-f", id)
}

// ctrRuntime is containerd by itself.
type ctrRuntime struct{ path, img string }

func criSocket(t *testing.T) (path, image string) {
	t.Helper()
	path, image = os.Getenv("ROLLCAGE_TEST_CRI"), os.Getenv("ROLLCAGE_TEST_CRI_IMAGE")
	if path == "" || image == "" {
		t.Skip("needs a containerd in ROLLCAGE_TEST_CRI and an image in ROLLCAGE_TEST_CRI_IMAGE (make test starts one)")
	}
	return path, image
}

func containerdRuntime(t *testing.T) testRuntime {
	path, image := criSocket(t)
	return &ctrRuntime{path, image}
}

func openContainerd(t *testing.T, socket string) Engine {
	e, err := NewContainerd(socket)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (r *ctrRuntime) open(t *testing.T, socket string) Engine { return openContainerd(t, socket) }
func (r *ctrRuntime) user() string                            { return "0" } // ctr of Debian 12 cannot set it
func (r *ctrRuntime) socket() string                          { return r.path }
func (r *ctrRuntime) image() (repo, tag string)               { return splitTag(r.img) }

func (r *ctrRuntime) do(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, "ctr", append([]string{"--address", r.path}, args...)...)
}

func (r *ctrRuntime) create(t *testing.T, c wanted) string {
	t.Helper()
	id := randomID()
	args := []string{
		"containers", "create", "--label", "nerdctl/name=" + c.name, "--label", wantedLabel + "=shop", "--env", wantedEnv,
		"--mount", "type=bind,src=" + wantedSource + ",dst=" + wantedMount + ",options=rbind:ro",
		"--memory-limit", fmt.Sprint(wantedMemory),
	}
	if c.privileged {
		args = append(args, "--privileged")
	}
	if c.hostPID {
		args = append(args, "--with-ns", "pid:/proc/1/ns/pid")
	}
	r.do(t, append(args, r.img, id, "sleep", "600")...)
	return id
}

func (r *ctrRuntime) start(t *testing.T, id string) {
	t.Helper()
	r.do(t, "tasks", "start", "--detach", id)
}

func (r *ctrRuntime) remove(t *testing.T, id string) {
	t.Helper()
	_ = exec.Command("ctr", "--address", r.path, "tasks", "delete", "--force", id).Run() // it may not run
	r.do(t, "containers", "delete", id)
}

// podRuntime is a runtime that is told what to do over the CRI. Each container
// has a pod of its own.
type podRuntime struct {
	path, img string
	kubelet   *kubelet.Kubelet
	engine    func(t *testing.T, socket string) Engine
}

func newPodRuntime(t *testing.T, path, image string, engine func(*testing.T, string) Engine) *podRuntime {
	return &podRuntime{path, image, kubelet.New(t, path), engine}
}

func containerdPodRuntime(t *testing.T) testRuntime {
	path, image := criSocket(t)
	return newPodRuntime(t, path, image, openContainerd)
}

func openCRI(t *testing.T, socket string) Engine {
	e, err := NewCRI(socket)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func criRuntime(t *testing.T) testRuntime {
	path, image := criSocket(t)
	return newPodRuntime(t, path, image, openCRI)
}

func (r *podRuntime) open(t *testing.T, socket string) Engine { return r.engine(t, socket) }
func (r *podRuntime) user() string                            { return wantedUser }
func (r *podRuntime) socket() string                          { return r.path }
func (r *podRuntime) image() (repo, tag string)               { return splitTag(r.img) }
func (r *podRuntime) start(t *testing.T, id string)           { t.Helper(); r.kubelet.Start(t, id) }
func (r *podRuntime) remove(t *testing.T, id string)          { t.Helper(); r.kubelet.Remove(t, id) }

func (r *podRuntime) create(t *testing.T, c wanted) string {
	t.Helper()
	return r.kubelet.Create(t, kubelet.Container{
		Name: c.name, Image: r.img, Command: []string{"sleep", "600"}, User: 1000, Memory: wantedMemory, Privileged: c.privileged, HostPID: c.hostPID,
		Labels: map[string]string{wantedLabel: "shop"},
		Env:    []*cri.KeyValue{{Key: "COLOR", Value: []byte("red")}},
		Mounts: []*cri.Mount{{HostPath: wantedSource, ContainerPath: wantedMount, Readonly: true}},
		Annotations: map[string]string{lastApplied: `{"spec":{"containers":[{"name":"other"},{"name":"` + c.name + `",` +
			`"livenessProbe":{"exec":{"command":["cat","/tmp/alive"]}},"readinessProbe":{"httpGet":{"port":80}}}]}}`},
	})
}
