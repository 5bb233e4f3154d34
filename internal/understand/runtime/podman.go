package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/client"

	"rollcage/internal/observe/host"
)

// NewPodman returns the Podman service at addr, for instance
// unix:///run/podman/podman.sock. It is asked over the part of its API that is
// Docker's, and over its own for pods. It does not connect yet.
func NewPodman(addr string) (*Docker, error) {
	path, err := socketPath(addr)
	if err != nil {
		return nil, fmt.Errorf("podman: %w", err)
	}
	d := &Docker{typ: host.Podman, kind: "podman", images: map[string]imageFacts{}}
	l := &libpod{&http.Client{Transport: &http.Transport{DialContext: limitedDial(path), MaxIdleConns: 2}}}
	d.more = l.addPod
	if err := d.open([]client.Opt{client.WithHost("unix://" + path)}); err != nil {
		return nil, fmt.Errorf("podman at %s: %w", path, err)
	}
	return d, nil
}

// libpod is Podman's own API, of version 4: docs.podman.io/en/latest/_static/api.html.
type libpod struct {
	client *http.Client
}

// get reads the answer to a question into v.
func (l *libpod) get(ctx context.Context, what, id string, v any) error {
	// The host name is not used: the connection goes to the socket.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://podman/v4.0.0/libpod/"+what+"/"+url.PathEscape(id)+"/json", nil)
	if err != nil {
		return err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("podman says of %s %s: %s", what, id, res.Status)
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(v)
}

// addPod tells a container of its pod and the digest of its image. If Podman
// does not answer, the container is none of a pod's.
func (l *libpod) addPod(ctx context.Context, c *host.Container) {
	var in struct {
		ImageDigest string
		Pod         string
		IsInfra     bool
	}
	if l.get(ctx, "containers", c.FullID, &in) != nil {
		return
	}
	if c.ImageDigest == "" {
		c.ImageDigest = in.ImageDigest
	}
	if in.Pod == "" {
		return
	}
	var of struct {
		Name             string
		Labels           map[string]string
		InfraContainerID string
		InfraConfig      struct{ HostNetwork bool }
	}
	if l.get(ctx, "pods", in.Pod, &of) != nil {
		return
	}
	c.IsPodSandbox = in.IsInfra
	p := &pod{
		id: of.InfraContainerID, name: of.Name, uid: in.Pod, labels: of.Labels, ip: c.IP,
		hostNetwork: c.HostNetwork || of.InfraConfig.HostNetwork, hostPID: c.HostPID, hostIPC: c.HostIPC,
	}
	p.apply(c)
}
