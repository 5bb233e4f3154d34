package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"rollcage/internal/observe/host"
)

// pollEvery is how often a runtime is asked for its containers: few tell of
// changes by themselves (GetContainerEvents), and not of all. New containers
// are looked up when their cgroup is made, so this is for what changes later.
const pollEvery = 2 * time.Second

// CRI is a runtime that the kubelet can use, asked over the Container Runtime
// Interface: CRI-O, containerd, or another.
type CRI struct {
	socket *grpcSocket
	client cri.RuntimeServiceClient
	typ    atomic.Int32 // host.ContainerType, host.Unknown until the runtime said what it is
}

// NewCRI returns the runtime whose socket has that absolute path. It does not connect yet.
func NewCRI(path string) (*CRI, error) {
	s, err := dialSocket(path)
	if err != nil {
		return nil, err
	}
	d := &CRI{socket: s, client: cri.NewRuntimeServiceClient(s)}
	d.typ.Store(int32(host.Unknown))
	return d, nil
}

// Name implements Engine.
func (d *CRI) Name() string { return "cri at " + d.socket.path }

// Owns implements Engine.
func (d *CRI) Owns(t host.ContainerType) bool {
	return t == host.CRI || t == host.CRIO || t == host.Containerd
}

// Close implements Engine.
func (d *CRI) Close() error { return d.socket.Close() }

// runtime returns which runtime answers.
func (d *CRI) runtime(ctx context.Context) (host.ContainerType, error) {
	if t := host.ContainerType(d.typ.Load()); t != host.Unknown {
		return t, nil
	}
	v, err := d.client.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		return host.Unknown, d.socket.err(err)
	}
	t := host.CRI
	switch v.RuntimeName {
	case "containerd":
		t = host.Containerd
	case "cri-o":
		t = host.CRIO
	}
	d.typ.Store(int32(t))
	return t, nil
}

// Lookup implements Engine.
func (d *CRI) Lookup(ctx context.Context, id string) (*host.Container, error) {
	t, err := d.runtime(ctx)
	if err != nil {
		return nil, err
	}
	res, err := d.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err = d.socket.err(err); err == nil {
		return d.container(ctx, t, res)
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return d.sandbox(ctx, t, id)
}

// List implements Engine.
func (d *CRI) List(ctx context.Context) ([]*host.Container, error) {
	states, err := d.states(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*host.Container, 0, len(states))
	for id := range states {
		c, err := d.lookupOne(ctx, id)
		switch {
		case err == nil:
			out = append(out, c)
		case ctx.Err() != nil:
			return out, err
		}
	}
	return out, nil
}

// lookupOne looks up a container without waiting long for it.
func (d *CRI) lookupOne(ctx context.Context, id string) (*host.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, listGrace)
	defer cancel()
	return d.Lookup(ctx, id)
}

// states returns the state of each container and sandbox.
func (d *CRI) states(ctx context.Context) (map[string]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	containers, err := d.client.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, d.socket.err(err)
	}
	sandboxes, err := d.client.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, d.socket.err(err)
	}
	out := make(map[string]int32, len(containers.Containers)+len(sandboxes.Items))
	for _, c := range containers.Containers {
		out[c.Id] = int32(c.State)
	}
	for _, s := range sandboxes.Items {
		out[s.Id] = int32(s.State)
	}
	return out, nil
}

// Watch implements Engine.
func (d *CRI) Watch(ctx context.Context, ready func(), changed func(Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before, err := d.states(ctx)
	if err != nil {
		return err
	}
	ready()
	wake := make(chan struct{}, 1)
	go d.listen(ctx, wake)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-wake:
		}
		now, err := d.states(ctx)
		if err != nil {
			d.typ.Store(int32(host.Unknown)) // what comes back may be another one
			return err
		}
		d.compare(ctx, before, now, changed)
		before = now
	}
}

// listen wakes the watch when the runtime tells of a change, if it can.
func (d *CRI) listen(ctx context.Context, wake chan<- struct{}) {
	stream, err := d.client.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	for err == nil {
		// The end of the stream is a reason to look too: the runtime may be gone.
		_, err = stream.Recv()
		select {
		case wake <- struct{}{}:
		default: // it is about to look
		}
	}
}

// compare tells what changed between two lists.
func (d *CRI) compare(ctx context.Context, before, now map[string]int32, changed func(Change)) {
	for id, state := range now {
		if was, known := before[id]; known && was == state {
			continue
		}
		if c, err := d.lookupOne(ctx, id); err == nil {
			changed(Change{Container: c})
		}
	}
	for id := range before {
		if _, still := now[id]; !still {
			changed(Change{Container: newContainer(id, host.ContainerType(d.typ.Load())), Removed: true})
		}
	}
}

// containerInfo is what the verbose status of a container says beside the CRI:
// the same keys in containerd and CRI-O, of which some are in one only.
type containerInfo struct {
	SandboxID  string          `json:"sandboxID"`
	Privileged *bool           `json:"privileged"` // CRI-O
	Config     json.RawMessage `json:"config"`     // containerd
	Spec       *specs.Spec     `json:"runtimeSpec"`
}

func (d *CRI) container(ctx context.Context, t host.ContainerType, res *cri.ContainerStatusResponse) (*host.Container, error) {
	s := res.GetStatus()
	if s.GetId() == "" {
		return nil, ErrNotFound
	}
	var info containerInfo
	_ = json.Unmarshal([]byte(res.GetInfo()["info"]), &info) // not all runtimes have it
	c := newContainer(s.GetId(), t)
	c.Known = true
	c.Name, c.Labels, c.Created = s.GetMetadata().GetName(), s.GetLabels(), s.GetCreatedAt()/int64(time.Second)
	if info.Spec != nil {
		setSpec(c, info.Spec)
	}
	c.Mounts = []host.Mount{}
	for _, m := range s.GetMounts() {
		c.Mounts = append(c.Mounts, host.Mount{
			Source: m.HostPath, Destination: m.ContainerPath, RW: !m.Readonly, Propagation: propagation(m.Propagation),
		})
	}
	setStatusImage(c, s, info.Spec)
	setResources(c, s.GetResources().GetLinux())
	if u := s.GetUser().GetLinux(); u != nil {
		c.User = strconv.FormatInt(u.Uid, 10)
	}
	var config containerConfig
	if len(info.Config) > 0 && json.Unmarshal(info.Config, &config) == nil {
		c.Privileged = config.Linux.SecurityContext.Privileged
	}
	if info.Privileged != nil {
		c.Privileged = *info.Privileged
	}
	if info.SandboxID == "" {
		info.SandboxID = d.sandboxOf(ctx, c.FullID)
	}
	if p, _, err := d.pod(ctx, info.SandboxID); err == nil {
		p.apply(c)
	}
	return c, nil
}

// setStatusImage fills what the status of a container tells of its image. The
// reference is a digest in the registry, or the id of the image; the name may
// be the id as well, and then the annotations of the runtime say more.
func setStatusImage(c *host.Container, s *cri.ContainerStatus, spec *specs.Spec) {
	name, ref := s.GetImage().GetImage(), s.GetImageRef()
	if user := s.GetImage().GetUserSpecifiedImage(); user != "" {
		name = user
	}
	if spec != nil {
		for _, key := range []string{"io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"} {
			if isImageID(name) {
				name = spec.Annotations[key]
			}
		}
	}
	repo, digest, _ := strings.Cut(ref, "@")
	if isImageID(name) && digest != "" {
		name = repo + "@" + digest
	}
	setImage(c, name, digest)
	for _, id := range []string{s.GetImageId(), s.GetImage().GetImage(), ref} {
		if isImageID(id) && id != "" && !strings.Contains(id, "@") {
			c.ImageID = strings.TrimPrefix(id, "sha256:")
			return
		}
	}
}

// isImageID reports whether a name of an image is an id, or none at all.
func isImageID(name string) bool {
	name = strings.TrimPrefix(name, "sha256:")
	return name == "" || len(name) == 64 && !strings.ContainsAny(name, "/:.-")
}

func setResources(c *host.Container, r *cri.LinuxContainerResources) {
	if r == nil {
		return
	}
	c.MemoryLimit, c.SwapLimit = r.MemoryLimitInBytes, r.MemorySwapLimitInBytes
	c.CPUShares, c.CPUQuota, c.CPUPeriod, c.CPUSetCount = r.CpuShares, r.CpuQuota, r.CpuPeriod, cpuCount(r.CpusetCpus)
}

// sandboxOf returns the id of a container's sandbox, "" if it is not known.
func (d *CRI) sandboxOf(ctx context.Context, id string) string {
	res, err := d.client.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{Id: id}})
	if err != nil || len(res.Containers) != 1 {
		return ""
	}
	return res.Containers[0].PodSandboxId
}

// sandboxInfo is what the verbose status of a sandbox says beside the CRI.
type sandboxInfo struct {
	Image string          `json:"image"`
	CNI   json.RawMessage `json:"cniResult"` // containerd
	Spec  *specs.Spec     `json:"runtimeSpec"`
}

// pod returns what is known of a pod by the id of its sandbox.
func (d *CRI) pod(ctx context.Context, id string) (*pod, *sandboxInfo, error) {
	res, err := d.client.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		return nil, nil, d.socket.err(err)
	}
	s := res.GetStatus()
	if s.GetId() == "" {
		return nil, nil, ErrNotFound
	}
	info := new(sandboxInfo)
	_ = json.Unmarshal([]byte(res.GetInfo()["info"]), info)
	ns := s.GetLinux().GetNamespaces().GetOptions()
	p := &pod{
		id: s.GetId(), name: s.GetMetadata().GetName(), namespace: s.GetMetadata().GetNamespace(), uid: s.GetMetadata().GetUid(),
		labels: s.GetLabels(), annotations: s.GetAnnotations(), ip: s.GetNetwork().GetIp(), cni: string(info.CNI),
		hostNetwork: ns != nil && ns.Network == cri.NamespaceMode_NODE,
		hostPID:     ns != nil && ns.Pid == cri.NamespaceMode_NODE,
		hostIPC:     ns != nil && ns.Ipc == cri.NamespaceMode_NODE,
	}
	if p.cni == "null" || p.cni == "" {
		p.cni = ""
		if info.Spec != nil {
			p.cni = info.Spec.Annotations["io.kubernetes.cri-o.CNIResult"]
		}
	}
	return p, info, nil
}

// sandbox returns the container that holds a pod together.
func (d *CRI) sandbox(ctx context.Context, t host.ContainerType, id string) (*host.Container, error) {
	p, info, err := d.pod(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("pod sandbox %s: %w", id, err)
	}
	c := newContainer(p.id, t)
	c.Known, c.IsPodSandbox, c.Name = true, true, p.name
	if info.Spec != nil {
		setSpec(c, info.Spec)
	}
	if !isImageID(info.Image) {
		setImage(c, info.Image, "")
	}
	p.apply(c)
	return c, nil
}
