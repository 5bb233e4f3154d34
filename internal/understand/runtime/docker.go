package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"rollcage/internal/observe/host"
)

// inspectGrace is how long Lookup waits for the full facts before it makes do
// with those of the container list, which does not say whether a container is
// privileged. The engine holds a container's lock while it starts it, so an
// inspection then answers only a moment after the container's first process
// has run; the list is answered without that lock. It is less than lookupWait.
const inspectGrace = 700 * time.Millisecond

// listGrace is how long List waits for the full facts of one container.
const listGrace = 2 * time.Second

// Docker is a Docker Engine, asked over its API.
type Docker struct {
	client *client.Client
	addr   string
	typ    host.ContainerType
	kind   string // for people
	// more adds what the API does not tell of an inspected container.
	more func(ctx context.Context, c *host.Container)

	mu     sync.Mutex
	images map[string]imageFacts // by image id
}

type imageFacts struct {
	tag    string // a reference with tag, if the image has one
	digest string // of the registry's manifest, if it came from one
}

// NewDocker returns the Docker Engine at addr, for instance
// unix:///run/docker.sock; an empty addr means what the DOCKER_HOST
// environment variable says, or the usual socket. It does not connect yet.
func NewDocker(addr string) (*Docker, error) {
	d := &Docker{typ: host.Docker, kind: "docker", images: map[string]imageFacts{}}
	d.more = d.addPod
	opts := []client.Opt{client.FromEnv}
	if addr != "" {
		opts = append(opts, client.WithHost(addr))
	}
	if err := d.open(opts); err != nil {
		return nil, fmt.Errorf("docker engine %s: %w", addr, err)
	}
	return d, nil
}

func (d *Docker) open(opts []client.Opt) error {
	c, err := client.New(opts...)
	if err != nil {
		return err
	}
	d.addr = c.DaemonHost()
	path := ""
	if rest, ok := strings.CutPrefix(d.addr, "unix://"); ok {
		path = rest
	}
	d.client, err = client.New(append(opts, client.WithUserAgent("rollcage"), client.WithDialContext(limitedDial(path)))...)
	return err
}

// Name implements Engine.
func (d *Docker) Name() string { return d.kind + " at " + strings.TrimPrefix(d.addr, "unix://") }

// Owns implements Engine.
func (d *Docker) Owns(t host.ContainerType) bool { return t == d.typ }

// Close implements Engine.
func (d *Docker) Close() error { return d.client.Close() }

// Lookup implements Engine.
func (d *Docker) Lookup(ctx context.Context, id string) (*host.Container, error) {
	type answer struct {
		c   *host.Container
		err error
	}
	full := make(chan answer, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		c, err := d.inspect(ctx, id)
		full <- answer{c, err}
	}()
	grace := time.NewTimer(inspectGrace)
	defer grace.Stop()
	select {
	case a := <-full:
		return a.c, a.err
	case <-grace.C:
	}
	list, err := d.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("id", id)})
	if err == nil && len(list.Items) == 1 {
		return d.fromSummary(ctx, &list.Items[0]), nil
	}
	select {
	case a := <-full:
		return a.c, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *Docker) inspect(ctx context.Context, id string) (*host.Container, error) {
	res, err := d.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	}
	c := d.fromInspect(ctx, &res.Container)
	d.more(ctx, c)
	return c, nil
}

// List implements Engine.
func (d *Docker) List(ctx context.Context) ([]*host.Container, error) {
	list, err := d.client.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, err
	}
	out := make([]*host.Container, 0, len(list.Items))
	for i := range list.Items {
		one, cancel := context.WithTimeout(ctx, listGrace)
		c, err := d.inspect(one, list.Items[i].ID)
		cancel()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return out, err
		default:
			c = d.fromSummary(ctx, &list.Items[i])
		}
		out = append(out, c)
	}
	return out, nil
}

// watched are the container events after which the facts may be new ones. What
// Docker calls destroy is called remove by Podman.
var watched = []string{"create", "start", "rename", "update", "health_status", "destroy", "remove"}

// Watch implements Engine.
func (d *Docker) Watch(ctx context.Context, ready func(), changed func(Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := d.client.Events(ctx, client.EventsListOptions{
		Filters: client.Filters{}.Add("type", "container").Add("event", watched...),
	})
	ready()
	for {
		select {
		case m := <-stream.Messages:
			d.handle(ctx, m, changed)
		case err := <-stream.Err:
			return err
		}
	}
}

func (d *Docker) handle(ctx context.Context, m events.Message, changed func(Change)) {
	if m.Action == events.ActionDestroy || m.Action == events.ActionRemove {
		changed(Change{Container: newContainer(m.Actor.ID, d.typ), Removed: true})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// "create" comes before the start, so this inspection is answered at once
	// and the facts are here before the container's first process is.
	if c, err := d.inspect(ctx, m.Actor.ID); err == nil {
		changed(Change{Container: c})
	}
}

// newContainer returns a container of which no more is known.
func newContainer(id string, t host.ContainerType) *host.Container {
	return &host.Container{ID: id[:min(12, len(id))], FullID: id, Type: t, Size: -1}
}

func (d *Docker) fromSummary(ctx context.Context, s *container.Summary) *host.Container {
	c := newContainer(s.ID, d.typ)
	c.Known, c.Partial = true, true
	if len(s.Names) > 0 {
		c.Name = strings.TrimPrefix(s.Names[0], "/")
	}
	d.setImage(ctx, c, s.Image, s.ImageID)
	c.Created = s.Created
	c.Labels = s.Labels
	c.HostNetwork = s.HostConfig.NetworkMode == "host"
	c.Mounts = mounts(s.Mounts)
	if s.NetworkSettings != nil {
		c.IP = firstIPv4(s.NetworkSettings.Networks)
	}
	if s.Health != nil {
		c.Health = health(s.Health.Status)
	}
	return c
}

func (d *Docker) fromInspect(ctx context.Context, r *container.InspectResponse) *host.Container {
	c := newContainer(r.ID, d.typ)
	c.Known = true
	c.Name = strings.TrimPrefix(r.Name, "/")
	if t, err := time.Parse(time.RFC3339Nano, r.Created); err == nil {
		c.Created = t.Unix()
	}
	c.Mounts = mounts(r.Mounts)
	ref := r.Image
	if cfg := r.Config; cfg != nil {
		ref = cfg.Image
		c.User, c.Labels, c.Env = cfg.User, cfg.Labels, cfg.Env
		if cfg.Healthcheck != nil {
			c.Healthcheck = healthcheck(cfg.Healthcheck.Test, cfg.Shell)
		}
	}
	d.setImage(ctx, c, ref, r.Image)
	if h := r.HostConfig; h != nil {
		c.Privileged = h.Privileged
		c.HostPID, c.HostNetwork, c.HostIPC = h.PidMode.IsHost(), h.NetworkMode.IsHost(), h.IpcMode.IsHost()
		c.MemoryLimit, c.SwapLimit = h.Memory, h.MemorySwap
		c.CPUShares, c.CPUQuota, c.CPUPeriod = h.CPUShares, h.CPUQuota, h.CPUPeriod
		c.CPUSetCount = cpuCount(h.CpusetCpus)
	}
	if n := r.NetworkSettings; n != nil {
		c.IP = firstIPv4(n.Networks)
		c.PortMappings = ports(n.Ports)
	}
	if r.State != nil && r.State.Health != nil {
		c.Health = health(r.State.Health.Status)
	}
	return c
}

// setImage fills what is told of the image. ref is the image as the container's
// creator named it, id its content address.
func (d *Docker) setImage(ctx context.Context, c *host.Container, ref, id string) {
	c.ImageID = strings.TrimPrefix(id, "sha256:")
	facts := d.image(ctx, id)
	if strings.HasPrefix(ref, "sha256:") || strings.HasPrefix(c.ImageID, ref) && len(ref) >= 12 {
		if facts.tag != "" {
			ref = facts.tag // started by id: the tag says more
		}
	}
	setImage(c, ref, facts.digest)
}

// image returns the facts of an image, which never change for an id except by
// new tags; they are asked for once.
func (d *Docker) image(ctx context.Context, id string) imageFacts {
	d.mu.Lock()
	facts, ok := d.images[id]
	d.mu.Unlock()
	if ok {
		return facts
	}
	res, err := d.client.ImageInspect(ctx, id)
	if err != nil {
		return imageFacts{}
	}
	if len(res.RepoTags) > 0 {
		facts.tag = res.RepoTags[0]
	}
	if len(res.RepoDigests) > 0 {
		_, facts.digest, _ = strings.Cut(res.RepoDigests[0], "@")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.images) >= 4096 {
		clear(d.images)
	}
	d.images[id] = facts
	return facts
}

func mounts(in []container.MountPoint) []host.Mount {
	out := make([]host.Mount, 0, len(in))
	for _, m := range in {
		out = append(out, host.Mount{
			Source: m.Source, Destination: m.Destination, Mode: m.Mode, RW: m.RW, Propagation: string(m.Propagation),
		})
	}
	return out
}

// healthcheck turns the image format's test (["CMD", exe, args...] or
// ["CMD-SHELL", command]) into the command that is run; shell is the image's
// own, empty for the usual one.
func healthcheck(test, shell []string) *host.Probe {
	switch {
	case len(test) >= 2 && test[0] == "CMD":
		return &host.Probe{Exe: test[1], Args: test[2:]}
	case len(test) >= 2 && test[0] == "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return &host.Probe{Exe: shell[0], Args: slices.Concat(shell[1:], test[1:])}
	}
	return nil
}

func health(s container.HealthStatus) string {
	if s == container.NoHealthcheck {
		return ""
	}
	return string(s)
}

// firstIPv4 returns the address on the first network by name, as text.
func firstIPv4(nets map[string]*network.EndpointSettings) string {
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		if n := nets[name]; n != nil && n.IPAddress.Is4() {
			return n.IPAddress.String()
		}
	}
	return ""
}

func ports(in network.PortMap) []host.PortMapping {
	var out []host.PortMapping
	for port, bindings := range in {
		for _, b := range bindings {
			n, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil {
				continue
			}
			m := host.PortMapping{HostPort: uint16(n), ContainerPort: port.Num()}
			if b.HostIP.Is4() {
				ip := b.HostIP.As4()
				m.HostIP = binary.BigEndian.Uint32(ip[:])
			}
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b host.PortMapping) int { return int(a.HostPort) - int(b.HostPort) })
	return out
}

// addPod tells a container that cri-dockerd started which pod it is part of.
func (d *Docker) addPod(ctx context.Context, c *host.Container) {
	if c.Labels[labelPodName] == "" {
		return
	}
	p := &pod{
		name: c.Labels[labelPodName], namespace: c.Labels[labelPodNamespace], uid: c.Labels[labelPodUID], ip: c.IP,
		hostNetwork: c.HostNetwork, hostPID: c.HostPID, hostIPC: c.HostIPC,
	}
	if c.Labels[labelDockerType] == dockerSandbox {
		c.IsPodSandbox = true
		p.id, p.labels = c.FullID, podLabels(c.Labels)
	} else if p.id = c.Labels[labelSandboxID]; p.id != "" {
		p.annotations = map[string]string{lastApplied: c.Labels[dockerAnnotation+lastApplied]}
		if res, err := d.client.ContainerInspect(ctx, p.id, client.ContainerInspectOptions{}); err == nil {
			sandbox := d.fromInspect(ctx, &res.Container)
			p.labels, p.ip = podLabels(sandbox.Labels), sandbox.IP
			p.hostNetwork = sandbox.HostNetwork
			if applied := sandbox.Labels[dockerAnnotation+lastApplied]; applied != "" {
				p.annotations[lastApplied] = applied
			}
		}
	}
	p.apply(c)
}
