package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	events "github.com/containerd/containerd/api/services/events/v1"
	images "github.com/containerd/containerd/api/services/images/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"rollcage/internal/observe/host"
)

const (
	// namespaceHeader names containerd's namespace in a request.
	namespaceHeader = "containerd-namespace"
	// mobyNamespace is where Docker has its containers. Docker tells more of
	// them, so they are only looked up here, and never listed.
	mobyNamespace = "moby"
	// eventWait is how long the facts of one event may take.
	eventWait = 5 * time.Second
)

// Containerd is a containerd, asked over its own API: it knows the containers
// of Kubernetes before the CRI plugin shows them, and those of nerdctl, ctr and
// Docker as well.
type Containerd struct {
	socket     *grpcSocket
	containers containers.ContainersClient
	namespaces namespaces.NamespacesClient
	images     images.ImagesClient
	events     events.EventsClient
}

// NewContainerd returns the containerd whose socket has that absolute path. It does not connect yet.
func NewContainerd(path string) (*Containerd, error) {
	s, err := dialSocket(path)
	if err != nil {
		return nil, err
	}
	return &Containerd{
		s, containers.NewContainersClient(s), namespaces.NewNamespacesClient(s), images.NewImagesClient(s), events.NewEventsClient(s),
	}, nil
}

// Name implements Engine.
func (d *Containerd) Name() string { return "containerd at " + d.socket.path }

// Owns implements Engine. A bare id counts as Docker's and may be in any namespace.
func (d *Containerd) Owns(t host.ContainerType) bool {
	return t == host.Containerd || t == host.CRI || t == host.Docker
}

// Close implements Engine.
func (d *Containerd) Close() error { return d.socket.Close() }

// Lookup implements Engine.
func (d *Containerd) Lookup(ctx context.Context, id string) (*host.Container, error) {
	spaces, err := d.spaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, space := range spaces {
		var found *containers.Container
		err := d.each(ctx, space, []string{`id~="^` + id + `"`}, func(c *containers.Container) { found = c })
		if err != nil {
			return nil, err
		}
		if found != nil {
			return d.facts(ctx, space, found, nil), nil
		}
	}
	return nil, ErrNotFound
}

// List implements Engine.
func (d *Containerd) List(ctx context.Context) ([]*host.Container, error) {
	spaces, err := d.spaces(ctx)
	if err != nil {
		return nil, err
	}
	var out []*host.Container
	for _, space := range spaces {
		if space == mobyNamespace {
			continue
		}
		var all []*containers.Container
		pods := map[string]*pod{}
		err := d.each(ctx, space, nil, func(c *containers.Container) {
			all = append(all, c)
			if p := sandboxPod(c); p != nil {
				pods[c.ID] = p
			}
		})
		if err != nil {
			return out, err
		}
		for _, c := range all {
			out = append(out, d.facts(ctx, space, c, pods))
		}
	}
	return out, nil
}

// spaces returns the namespaces, Docker's last.
func (d *Containerd) spaces(ctx context.Context) ([]string, error) {
	res, err := d.namespaces.List(ctx, &namespaces.ListNamespacesRequest{})
	if err != nil {
		return nil, d.socket.err(err)
	}
	var out []string
	for _, n := range res.Namespaces {
		out = append(out, n.Name)
	}
	slices.SortFunc(out, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == mobyNamespace || b != mobyNamespace && a > b:
			return 1
		}
		return -1
	})
	return out, nil
}

func inNamespace(ctx context.Context, space string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, namespaceHeader, space)
}

// each calls f with the containers of a namespace that pass the filters. They
// come one by one, so that many are no large answer.
func (d *Containerd) each(ctx context.Context, space string, filters []string, f func(*containers.Container)) error {
	ctx, cancel := context.WithCancel(inNamespace(ctx, space))
	defer cancel()
	stream, err := d.containers.ListStream(ctx, &containers.ListContainersRequest{Filters: filters})
	for err == nil {
		var m *containers.ListContainerMessage
		if m, err = stream.Recv(); err == nil && m.Container != nil {
			f(m.Container)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return d.socket.err(err)
}

// Watch implements Engine.
func (d *Containerd) Watch(ctx context.Context, ready func(), changed func(Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.events.Subscribe(ctx, &events.SubscribeRequest{Filters: []string{`topic~="^/containers/"`, `topic=="/tasks/start"`}})
	if err != nil {
		return d.socket.err(err)
	}
	// The subscription is made when the request arrives, which the answer to a later one tells.
	if _, err := d.spaces(ctx); err != nil {
		return err
	}
	ready()
	for {
		e, err := stream.Recv()
		if err != nil {
			return d.socket.err(err)
		}
		if e.Namespace != mobyNamespace {
			d.handle(ctx, e.Namespace, e.Topic, e.Event, changed)
		}
	}
}

func (d *Containerd) handle(ctx context.Context, space, topic string, body *anypb.Any, changed func(Change)) {
	id := eventContainer(topic, body)
	if id == "" {
		return
	}
	if topic == "/containers/delete" {
		changed(Change{Container: newContainer(id, host.Containerd), Removed: true})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, eventWait)
	defer cancel()
	res, err := d.containers.Get(inNamespace(ctx, space), &containers.GetContainerRequest{ID: id})
	if err == nil && res.Container != nil {
		changed(Change{Container: d.facts(ctx, space, res.Container, nil)})
	}
}

// eventContainer returns the id of the container that an event is about, "" if it is about none.
func eventContainer(topic string, body *anypb.Any) string {
	read := func(m proto.Message) bool { return proto.Unmarshal(body.GetValue(), m) == nil }
	switch topic {
	case "/containers/create":
		if e := new(apievents.ContainerCreate); read(e) {
			return e.ID
		}
	case "/containers/update":
		if e := new(apievents.ContainerUpdate); read(e) {
			return e.ID
		}
	case "/containers/delete":
		if e := new(apievents.ContainerDelete); read(e) {
			return e.ID
		}
	case "/tasks/start":
		if e := new(apievents.TaskStart); read(e) {
			return e.ContainerID
		}
	}
	return ""
}

// facts returns what containerd knows of a container. Pods that are at hand are
// not asked for.
func (d *Containerd) facts(ctx context.Context, space string, in *containers.Container, pods map[string]*pod) *host.Container {
	c := newContainer(in.ID, host.Containerd)
	c.Known = true
	c.Labels = in.Labels
	c.Created = in.CreatedAt.AsTime().Unix()
	c.Name = c.ID
	if name := in.Labels["nerdctl/name"]; name != "" {
		c.Name = name
	}
	image := in.Image
	if s := parseSpec(in.Spec.GetValue()); s != nil {
		setSpec(c, s)
		if name := s.Annotations["io.kubernetes.cri.image-name"]; name != "" && !strings.HasPrefix(name, "sha256:") {
			image = name
		}
	}
	if space == mobyNamespace {
		// Neither name nor image is told here: Docker keeps them.
		c.Type, c.Name = host.Docker, ""
		return c
	}
	setImage(c, image, d.digest(ctx, space, in.Image))
	if p := sandboxPod(in); p != nil {
		c.Name, c.IsPodSandbox = p.name, true
		p.apply(c)
	} else if m := criContainer(in); m != nil {
		m.apply(c)
		if p := d.pod(ctx, space, m.SandboxID, pods); p != nil {
			p.apply(c)
		}
	}
	return c
}

// digest returns the digest of an image's manifest, "" if it is not known.
func (d *Containerd) digest(ctx context.Context, space, name string) string {
	if name == "" {
		return ""
	}
	res, err := d.images.Get(inNamespace(ctx, space), &images.GetImageRequest{Name: name})
	if err != nil {
		return ""
	}
	return res.Image.GetTarget().GetDigest()
}

// pod returns a pod by the id of its sandbox, nil if it is not known.
func (d *Containerd) pod(ctx context.Context, space, id string, pods map[string]*pod) *pod {
	if p := pods[id]; p != nil || id == "" {
		return p
	}
	res, err := d.containers.Get(inNamespace(ctx, space), &containers.GetContainerRequest{ID: id})
	if err != nil {
		return nil
	}
	return sandboxPod(res.Container)
}

// What the CRI plugin keeps of its containers and sandboxes with them, as JSON.
const (
	criContainerExtension = "io.cri-containerd.container.metadata"
	criSandboxExtension   = "io.cri-containerd.sandbox.metadata"
	criExtensionVersion   = "v1"
)

// readExtension reads what the CRI plugin keeps with a container into metadata
// and reports whether there was something.
func readExtension(in *containers.Container, name string, metadata any) bool {
	ext := in.GetExtensions()[name]
	if ext == nil {
		return false
	}
	versioned := struct {
		Version  string
		Metadata any
	}{Metadata: metadata}
	return json.Unmarshal(ext.GetValue(), &versioned) == nil && versioned.Version == criExtensionVersion
}

// sandboxPod returns the pod whose sandbox the container is, nil if it is none.
func sandboxPod(in *containers.Container) *pod {
	var m struct {
		ID, IP    string
		Config    sandboxConfig
		CNIResult json.RawMessage
	}
	if !readExtension(in, criSandboxExtension, &m) {
		return nil
	}
	p := m.Config.pod(in.GetID())
	p.ip = m.IP
	if cni := string(m.CNIResult); cni != "null" {
		p.cni = cni
	}
	return p
}

// criContainer returns what the CRI plugin keeps of a container, nil if it is not Kubernetes'.
func criContainer(in *containers.Container) *criMetadata {
	m := new(criMetadata)
	if !readExtension(in, criContainerExtension, m) {
		return nil
	}
	return m
}

type criMetadata struct {
	SandboxID string
	ImageRef  string
	Config    containerConfig
}

func (m *criMetadata) apply(c *host.Container) {
	m.Config.apply(c)
	c.ImageID = strings.TrimPrefix(m.ImageRef, "sha256:")
}

var errSocketPath = errors.New("want the absolute path of a Unix socket")

// socketPath returns the path of a socket's address, which may begin with unix://.
func socketPath(addr string) (string, error) {
	path := strings.TrimPrefix(addr, "unix://")
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("%q: %w", addr, errSocketPath)
	}
	return path, nil
}
