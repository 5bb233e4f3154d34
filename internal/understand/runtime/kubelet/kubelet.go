// Package kubelet does with a container runtime what Kubernetes' kubelet does,
// for tests: it runs pods over the Container Runtime Interface.
package kubelet

import (
	"context"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// patience is how long the runtime may take for one request.
const patience = 30 * time.Second

// Kubelet runs pods of one container each. What goes wrong fails the test that it belongs to.
type Kubelet struct {
	cri  cri.RuntimeServiceClient
	pods map[string]string // by container
}

// Container is what a pod is to hold.
type Container struct {
	Name, Image string
	Command     []string
	User        int64
	Memory      int64 // bytes, 0 for no limit
	Labels      map[string]string
	Env         []*cri.KeyValue
	Mounts      []*cri.Mount
	Privileged  bool
	HostPID     bool
	Annotations map[string]string // of the pod
}

// Namespace is where all pods are.
const Namespace = "shop"

// PodName and PodUID return what the pod of a container is called.
func PodName(container string) string { return container + "-pod" }

// PodUID returns the unique id of the pod of a container.
func PodUID(container string) string { return "uid-of-" + container }

// New returns a kubelet for the runtime that listens at that path.
func New(t testing.TB, path string) *Kubelet {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &Kubelet{cri.NewRuntimeServiceClient(conn), map[string]string{}}
}

// Sandbox returns the id of the sandbox of a container's pod.
func (k *Kubelet) Sandbox(container string) string { return k.pods[container] }

func sandboxConfig(c *Container) *cri.PodSandboxConfig {
	pid := cri.NamespaceMode_CONTAINER
	if c.HostPID {
		pid = cri.NamespaceMode_NODE
	}
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: PodName(c.Name), Namespace: Namespace, Uid: PodUID(c.Name)},
		Labels: map[string]string{
			"app": "web", "io.kubernetes.pod.name": PodName(c.Name), "io.kubernetes.pod.namespace": Namespace, "io.kubernetes.pod.uid": PodUID(c.Name),
		},
		LogDirectory: os.TempDir(),
		Annotations:  c.Annotations,
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/burstable/pod" + c.Name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				Privileged:       c.Privileged,
				NamespaceOptions: &cri.NamespaceOption{Pid: pid, Network: cri.NamespaceMode_POD},
			},
		},
	}
}

// Create makes a pod with its sandbox, and the container in it, which Start
// starts, and returns the container's id.
func (k *Kubelet) Create(t testing.TB, c Container) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := sandboxConfig(&c)
	pod, err := k.cri.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"io.kubernetes.container.name": c.Name}
	for name, value := range c.Labels {
		labels[name] = value
	}
	res, err := k.cri.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: pod.PodSandboxId, SandboxConfig: config, Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: c.Name},
			Image:    &cri.ImageSpec{Image: c.Image},
			Command:  c.Command,
			LogPath:  c.Name + ".log",
			Labels:   labels,
			Envs:     c.Env,
			Mounts:   c.Mounts,
			Linux: &cri.LinuxContainerConfig{
				Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: c.Memory},
				SecurityContext: &cri.LinuxContainerSecurityContext{
					Privileged: c.Privileged, RunAsUser: &cri.Int64Value{Value: c.User},
					NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions,
				},
			},
		},
	})
	if err != nil {
		k.removePod(t, pod.PodSandboxId)
		t.Fatal(err)
	}
	k.pods[res.ContainerId] = pod.PodSandboxId
	return res.ContainerId
}

// Start starts a container.
func (k *Kubelet) Start(t testing.TB, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := k.cri.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
}

// Remove ends and removes a container with its pod.
func (k *Kubelet) Remove(t testing.TB, id string) {
	t.Helper()
	k.removePod(t, k.pods[id])
}

func (k *Kubelet) removePod(t testing.TB, pod string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := k.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod}); err != nil && status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	if _, err := k.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Error(err)
	}
}
