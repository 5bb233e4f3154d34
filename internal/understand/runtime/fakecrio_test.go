package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeCRIO stands in for CRI-O, which Debian does not have: it answers over a
// real socket in CRI-O's forms (what the verbose status holds, annotations of
// the sandbox, ids of images) and runs nothing.
type fakeCRIO struct {
	cri.UnimplementedRuntimeServiceServer
	mu         sync.Mutex
	sandboxes  map[string]*cri.PodSandboxConfig
	containers map[string]*fakeContainer
}

type fakeContainer struct {
	sandbox string
	state   cri.ContainerState
	created time.Time
	config  *cri.ContainerConfig
}

const (
	crioImage   = "quay.io/rollcage/test:1.0"
	crioImageID = "5a3b2c1d5a3b2c1d5a3b2c1d5a3b2c1d5a3b2c1d5a3b2c1d5a3b2c1d5a3b2c1d"
	crioDigest  = "sha256:0011223344556677001122334455667700112233445566770011223344556677"
	crioCNI     = `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}]}`
)

func fakeCRIORuntime(t *testing.T) testRuntime {
	path := filepath.Join(t.TempDir(), "crio.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, &fakeCRIO{sandboxes: map[string]*cri.PodSandboxConfig{}, containers: map[string]*fakeContainer{}})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return newPodRuntime(t, path, crioImage, openCRI)
}

func randomID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (f *fakeCRIO) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{RuntimeName: "cri-o", RuntimeVersion: "1.30.0", RuntimeApiVersion: "v1"}, nil
}

func (f *fakeCRIO) RunPodSandbox(_ context.Context, r *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := randomID()
	f.sandboxes[id] = r.Config
	return &cri.RunPodSandboxResponse{PodSandboxId: id}, nil
}

func (f *fakeCRIO) CreateContainer(_ context.Context, r *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := randomID()
	f.containers[id] = &fakeContainer{r.PodSandboxId, cri.ContainerState_CONTAINER_CREATED, time.Now(), r.Config}
	return &cri.CreateContainerResponse{ContainerId: id}, nil
}

func (f *fakeCRIO) StartContainer(_ context.Context, r *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers[r.ContainerId].state = cri.ContainerState_CONTAINER_RUNNING
	return &cri.StartContainerResponse{}, nil
}

func (f *fakeCRIO) StopPodSandbox(context.Context, *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	return &cri.StopPodSandboxResponse{}, nil
}

func (f *fakeCRIO) RemovePodSandbox(_ context.Context, r *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sandboxes, r.PodSandboxId)
	maps.DeleteFunc(f.containers, func(_ string, c *fakeContainer) bool { return c.sandbox == r.PodSandboxId })
	return &cri.RemovePodSandboxResponse{}, nil
}

func (f *fakeCRIO) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &cri.ListContainersResponse{}
	for id, c := range f.containers {
		res.Containers = append(res.Containers, &cri.Container{Id: id, PodSandboxId: c.sandbox, State: c.state})
	}
	return res, nil
}

func (f *fakeCRIO) ListPodSandbox(context.Context, *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &cri.ListPodSandboxResponse{}
	for id := range f.sandboxes {
		res.Items = append(res.Items, &cri.PodSandbox{Id: id})
	}
	return res, nil
}

func (f *fakeCRIO) ContainerStatus(_ context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, c := range f.containers {
		if !strings.HasPrefix(id, r.ContainerId) {
			continue
		}
		k := c.config
		info, err := json.Marshal(map[string]any{
			"sandboxID": c.sandbox, "pid": 1, "privileged": k.Linux.SecurityContext.Privileged,
			"runtimeSpec": map[string]any{
				"process":     map[string]any{"user": map[string]any{"uid": 1000}, "env": []string{wantedEnv}},
				"annotations": map[string]string{"io.kubernetes.cri-o.ImageName": crioImage, "io.kubernetes.cri-o.ContainerType": "container"},
			},
		})
		return &cri.ContainerStatusResponse{
			Status: &cri.ContainerStatus{
				Id: id, Metadata: k.Metadata, State: c.state, CreatedAt: c.created.UnixNano(), Labels: k.Labels, Mounts: k.Mounts,
				// What the kubelet asks for is the id; the reference is by digest.
				Image: &cri.ImageSpec{Image: crioImageID}, ImageRef: "quay.io/rollcage/test@" + crioDigest, ImageId: crioImageID,
				Resources: &cri.ContainerResources{Linux: k.Linux.Resources},
			},
			Info: map[string]string{"info": string(info)},
		}, err
	}
	return nil, status.Errorf(codes.NotFound, "could not find container %q", r.ContainerId)
}

func (f *fakeCRIO) PodSandboxStatus(_ context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, k := range f.sandboxes {
		if !strings.HasPrefix(id, r.PodSandboxId) {
			continue
		}
		info, err := json.Marshal(map[string]any{
			"image": "registry.k8s.io/pause:3.10", "runtimeSpec": map[string]any{"annotations": map[string]string{"io.kubernetes.cri-o.CNIResult": crioCNI}},
		})
		return &cri.PodSandboxStatusResponse{
			Status: &cri.PodSandboxStatus{
				Id: id, Metadata: k.Metadata, Labels: k.Labels, Annotations: k.Annotations, Network: &cri.PodSandboxNetworkStatus{Ip: "10.85.0.7"},
				Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{Options: k.Linux.SecurityContext.NamespaceOptions}},
			},
			Info: map[string]string{"info": string(info)},
		}, err
	}
	return nil, status.Errorf(codes.NotFound, "could not find pod sandbox %q", r.PodSandboxId)
}

// noRuntime is a CRI client that is connected to nothing.
type noRuntime struct{ cri.RuntimeServiceClient }

func (noRuntime) ListContainers(context.Context, *cri.ListContainersRequest, ...grpc.CallOption) (*cri.ListContainersResponse, error) {
	return nil, status.Error(codes.Unavailable, "connected to nothing")
}

func (noRuntime) PodSandboxStatus(context.Context, *cri.PodSandboxStatusRequest, ...grpc.CallOption) (*cri.PodSandboxStatusResponse, error) {
	return nil, status.Error(codes.Unavailable, "connected to nothing")
}
