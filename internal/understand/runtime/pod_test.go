package runtime

import (
	"os"
	"strings"
	"testing"

	"rollcage/internal/observe/host"
	"rollcage/internal/understand/runtime/kubelet"
)

func TestContainersOfKubernetesKnowTheirPod(t *testing.T) {
	for _, r := range []struct {
		name, ip, cni string
		typ           host.ContainerType
		make          func(t *testing.T) testRuntime
	}{
		{"containerd", "172.", "eth0", host.Containerd, containerdPodRuntime},
		{"cri of containerd", "172.", "eth0", host.Containerd, criRuntime},
		{"cri of a fake cri-o", "10.85.0.7", "eth0", host.CRIO, fakeCRIORuntime},
	} {
		t.Run(r.name, func(t *testing.T) {
			rt := r.make(t).(*podRuntime)
			name := unique("web")
			id := run(t, rt, wanted{name: name})
			e := openEngine(t, rt, rt.socket())
			c, sandbox := lookup(t, e, id), lookup(t, e, rt.kubelet.Sandbox(id))
			for _, c := range []*host.Container{c, sandbox} {
				for _, f := range []struct{ name, got, want string }{
					{"pod name", c.Labels[labelPodName], kubelet.PodName(name)}, {"namespace", c.Labels[labelPodNamespace], kubelet.Namespace},
					{"uid", c.Labels[labelPodUID], kubelet.PodUID(name)}, {"sandbox", c.PodSandboxID, rt.kubelet.Sandbox(id)},
					{"label of the pod", c.PodSandboxLabels["app"], "web"},
				} {
					if f.got != f.want {
						t.Errorf("%s of %s is %q, want %q", f.name, c.Name, f.got, f.want)
					}
				}
				if !strings.HasPrefix(c.IP, r.ip) || !strings.Contains(c.CNI, r.cni) || c.Type != r.typ {
					t.Errorf("address %q, network %q, type %d", c.IP, c.CNI, c.Type)
				}
			}
			if !sandbox.IsPodSandbox || sandbox.Name != kubelet.PodName(name) || !strings.HasSuffix(sandbox.ImageRepo, "/pause") {
				t.Errorf("sandbox is %+v", sandbox)
			}
			if p := c.Liveness; p == nil || p.Exe != "cat" || len(p.Args) != 1 || p.Args[0] != "/tmp/alive" || c.Readiness != nil || sandbox.Liveness != nil {
				t.Errorf("probes are %+v and %+v", c.Liveness, c.Readiness)
			}
			if c.ImageID == "" || c.ImageDigest != "" && !strings.HasPrefix(c.ImageDigest, "sha256:") {
				t.Errorf("image id %q, digest %q", c.ImageID, c.ImageDigest)
			}
		})
	}
}

func TestContainersOfPodmanKnowTheirPod(t *testing.T) {
	rt := podmanRuntime(t).(*cliRuntime)
	name := unique("shop")
	rt.do(t, "pod", "create", "--name", name, "-l", "app=web", "--infra-image", strings.Replace(rt.img, "/test:", "/pause:", 1))
	defer rt.do(t, "pod", "rm", "-f", "-t", "0", name)
	id := rt.do(t, "run", "-d", "--pod", name, rt.img, "sleep", "600")
	c := lookup(t, openEngine(t, rt, rt.socket()), id)
	if c.Labels[labelPodName] != name || c.PodSandboxLabels["app"] != "web" || len(c.PodSandboxID) != 64 || c.IsPodSandbox {
		t.Errorf("got %+v", c)
	}
	infra := lookup(t, openEngine(t, rt, rt.socket()), c.PodSandboxID)
	if !infra.IsPodSandbox || infra.PodSandboxID != infra.FullID {
		t.Errorf("infra container is %+v", infra)
	}
}

func TestContainersOfCRIDockerdKnowTheirPod(t *testing.T) {
	addr, image := dockerHost(t)
	// The labels that cri-dockerd gives, as there is none here.
	pod := []string{"-l", labelPodName + "=web-1", "-l", labelPodNamespace + "=shop", "-l", labelPodUID + "=u-1"}
	sandbox := docker(t, addr, append(append([]string{"run", "-d", "-l", "app=web", "-l", labelDockerType + "=" + dockerSandbox,
		"-l", dockerAnnotation + lastApplied + `={"spec":{"containers":[{"name":"nginx","readinessProbe":{"exec":{"command":["true"]}}}]}}`}, pod...),
		image, "sleep", "600")...)
	defer docker(t, addr, "rm", "-f", sandbox)
	id := docker(t, addr, append(append([]string{"run", "-d", "-l", labelContainerName + "=nginx", "-l", labelSandboxID + "=" + sandbox}, pod...),
		image, "sleep", "600")...)
	defer docker(t, addr, "rm", "-f", id)
	d, err := NewDocker(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := lookup(t, d, id)
	if c.PodSandboxID != sandbox || c.PodSandboxLabels["app"] != "web" || c.IsPodSandbox || c.Readiness == nil || c.Readiness.Exe != "true" {
		t.Errorf("got %+v", c)
	}
	if s := lookup(t, d, sandbox); !s.IsPodSandbox || s.PodSandboxLabels["app"] != "web" || s.PodSandboxLabels[dockerAnnotation+lastApplied] != "" {
		t.Errorf("sandbox is %+v", s)
	}
}

// TestContainerdTellsWhatADockerContainerMayDo asks the containerd below a Docker Engine.
func TestContainerdTellsWhatADockerContainerMayDo(t *testing.T) {
	addr, image := dockerHost(t)
	path := os.Getenv("ROLLCAGE_TEST_CONTAINERD")
	if path == "" {
		t.Skip("needs the containerd of the Docker Engine in ROLLCAGE_TEST_CONTAINERD (make test starts one)")
	}
	e := openContainerd(t, path)
	defer e.Close()
	for _, privileged := range []bool{false, true} {
		args := []string{"run", "-d", "-v", "/var/tmp:/data:ro"}
		if privileged {
			args = append(args, "--privileged", "--pid", "host")
		}
		id := docker(t, addr, append(args, image, "sleep", "600")...)
		defer docker(t, addr, "rm", "-f", id)
		c, err := e.Lookup(t.Context(), id[:12])
		if err != nil {
			t.Fatal(err)
		}
		if c.FullID != id || c.Type != host.Docker || c.Name != "" || c.Privileged != privileged || c.HostPID != privileged {
			t.Errorf("privileged %v: got %+v", privileged, c)
		}
		if list, err := e.List(t.Context()); err != nil || containsID(list, id) {
			t.Errorf("Docker's containers are listed: %v, %v", list, err)
		}
	}
}
