// Package scene tells who was at work when an alert was raised: the process,
// its ancestors, the container.
//
// A [Scene] is copied from the state of the host while the event is at hand.
// Policies decide by it, actions find their target by it, and evidence keeps it.
package scene

import (
	"maps"
	"slices"
	"time"

	"rollcage/internal/observe/host"
)

// Scene is who did it. It owns its memory and must not be changed once it is shared.
type Scene struct {
	// Time is when the event happened.
	Time time.Time `json:"time"`
	// Boot is the same in ns since the machine started, by a clock that nobody
	// sets. It is meaningful on the live host only.
	Boot int64  `json:"boot,omitempty"`
	Host string `json:"host"`
	// Container is nil on the host.
	Container *Container `json:"container,omitempty"`
	// Processes are the one at work and its ancestors, upwards. It is empty
	// when the process is not known.
	Processes []Process `json:"processes"`
	// Root is the index of the process at which the tree begins: in a container
	// the topmost ancestor inside it, on the host the topmost one of the session.
	Root int `json:"root"`
	// Killed is what the kernel did at the event itself, nil for nothing.
	Killed *Killed `json:"-"`
}

// Killed is a process that the kernel killed by itself.
type Killed struct {
	// Act is the time of the event, as events have it.
	Act uint64
	// Ended is closed when the process has ended, After so long after the event.
	Ended chan struct{}
	After time.Duration
}

// Process is a process as far as it was known then.
type Process struct {
	PID   int64  `json:"pid"`
	Start uint64 `json:"start"` // ns since the epoch, 0 if not known
	PPID  int64  `json:"ppid"`
	VPID  int64  `json:"vpid,omitempty"` // in its own namespace
	SID   int64  `json:"sid,omitempty"`
	UID   uint32 `json:"uid"`
	// LoginUID is who logged in, 4294967295 if nobody did.
	LoginUID  uint32   `json:"login_uid"`
	Name      string   `json:"name"`
	Exe       string   `json:"exe,omitempty"` // path of the executable
	Args      []string `json:"args,omitempty"`
	Cwd       string   `json:"cwd,omitempty"`
	Container string   `json:"container,omitempty"` // short id
}

// Key tells a process from others, also from one that has its number later.
type Key struct {
	PID   int64
	Start uint64
}

// Key returns what tells the process from others.
func (p *Process) Key() Key { return Key{p.PID, p.Start} }

// Container holds a container's facts. Its environment is left out, since it holds secrets.
type Container struct {
	ID          string            `json:"id"` // first 12 characters
	FullID      string            `json:"full_id,omitempty"`
	Runtime     string            `json:"runtime,omitempty"`
	Name        string            `json:"name,omitempty"`
	Image       string            `json:"image,omitempty"`
	ImageID     string            `json:"image_id,omitempty"`
	ImageDigest string            `json:"image_digest,omitempty"`
	IP          string            `json:"ip,omitempty"`
	User        string            `json:"user,omitempty"`
	Created     int64             `json:"created,omitempty"` // seconds since the epoch
	Privileged  bool              `json:"privileged,omitempty"`
	HostPID     bool              `json:"host_pid,omitempty"`
	HostNetwork bool              `json:"host_network,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Mounts      []Mount           `json:"mounts,omitempty"`
}

// Known reports whether a runtime has told about the container. Until then only its id is sure.
func (c *Container) Known() bool { return c.Name != "" }

// Mount is a mount of a container.
type Mount struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Writable    bool   `json:"writable,omitempty"`
}

// maxAncestors bounds a scene; deeper trees are cut at the top.
const maxAncestors = 64

// New copies who is at work in an event, whose time is by that clock.
func New(he *host.Event, hostname string, clock host.Clock) *Scene {
	s := &Scene{Time: time.Unix(0, int64(he.Time())), Boot: clock.SinceBoot(he.Time()), Host: hostname}
	t := he.Thread
	if t == nil {
		return s
	}
	t = t.Leader
	s.Container = ContainerOf(t.Container)
	session := t.SID
	for p := t; p != nil && len(s.Processes) < maxAncestors; p = p.Parent {
		inside := p.ContainerID() == t.ContainerID()
		if s.Container == nil {
			inside = inside && p.SID == session
		}
		if inside && s.Root == len(s.Processes)-1 || p == t {
			s.Root = len(s.Processes)
		}
		s.Processes = append(s.Processes, processOf(p))
	}
	return s
}

func processOf(t *host.Thread) Process {
	p := Process{
		PID: t.PID, Start: t.StartTime, PPID: t.PTID, VPID: t.VPID, SID: t.SID, UID: t.UID, LoginUID: t.LoginUID,
		Name: t.Comm, Exe: t.ExePath, Cwd: t.Cwd,
	}
	p.Args = append(append(p.Args, t.Exe), t.Args...)
	if t.Container != nil {
		p.Container = t.Container.ID
	}
	return p
}

// ContainerOf copies a container's facts, nil of nil.
func ContainerOf(c *host.Container) *Container {
	if c == nil {
		return nil
	}
	out := &Container{
		ID: c.ID, FullID: c.FullID, Runtime: runtimeName(c.Type), Name: c.Name, Image: c.Image, ImageID: c.ImageID,
		ImageDigest: c.ImageDigest, IP: c.IP, User: c.User, Created: c.Created,
		Privileged: c.Privileged, HostPID: c.HostPID, HostNetwork: c.HostNetwork, Labels: maps.Clone(c.Labels),
	}
	if out.Name == "" && (c.Type == host.LXC || c.Type == host.LibvirtLXC) {
		out.Name = c.ID // it is what LXC calls the container, and there is nobody who could tell more
	}
	for _, m := range c.Mounts {
		out.Mounts = append(out.Mounts, Mount{m.Source, m.Destination, m.RW})
	}
	return out
}

// runtimes names the runtimes that containers can be acted on through.
var runtimes = map[host.ContainerType]string{
	host.Docker: "docker", host.Podman: "podman", host.CRIO: "cri-o", host.Containerd: "containerd", host.CRI: "cri", host.LXC: "lxc",
}

func runtimeName(t host.ContainerType) string { return runtimes[t] }

// Process returns the process at work, nil if it is not known.
func (s *Scene) Process() *Process {
	if len(s.Processes) == 0 {
		return nil
	}
	return &s.Processes[0]
}

// Tree returns the processes from the one at work up to the root of the tree.
func (s *Scene) Tree() []Process {
	if len(s.Processes) == 0 {
		return nil
	}
	return s.Processes[:s.Root+1]
}

// ContainerID returns the short id of the container, "" on the host.
func (s *Scene) ContainerID() string {
	if s.Container == nil {
		return ""
	}
	return s.Container.ID
}

// The labels by which orchestrators mark what they run.
const (
	labelCompose   = "com.docker.compose.project"
	labelSwarm     = "com.docker.swarm.service.name"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelPod       = "io.kubernetes.pod.name"
)

// Compose returns the Compose project, "" if there is none.
func (c *Container) Compose() string { return c.Labels[labelCompose] }

// Swarm returns the Swarm service, "" if there is none.
func (c *Container) Swarm() string { return c.Labels[labelSwarm] }

// Namespace returns the Kubernetes namespace, "" if there is none.
func (c *Container) Namespace() string { return c.Labels[labelNamespace] }

// Workload returns the Kubernetes workload, "" if there is none: the pod's name
// without what a Deployment, DaemonSet or StatefulSet appends to its own.
func (c *Container) Workload() string { return workloadOf(c.Labels[labelPod]) }

// workloadOf cuts what controllers append: "-" and an ordinal, or "-" and five
// characters, and before these "-" and up to ten more, all of an alphabet
// without vowels that Kubernetes uses for this alone.
func workloadOf(pod string) string {
	rest, last := cutLastPart(pod)
	if rest == "" {
		return pod
	}
	if isOrdinal(last) {
		return rest
	}
	if len(last) != 5 || !isGenerated(last) {
		return pod
	}
	if before, hash := cutLastPart(rest); before != "" && len(hash) >= 6 && len(hash) <= 10 && isGenerated(hash) {
		return before
	}
	return rest
}

func cutLastPart(s string) (before, last string) {
	for i := len(s) - 1; i > 0; i-- {
		if s[i] == '-' {
			return s[:i], s[i+1:]
		}
	}
	return "", s
}

func isOrdinal(s string) bool {
	return s != "" && len(s) <= 5 && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
}

func isGenerated(s string) bool {
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' {
			continue
		}
		if c < 'a' || c > 'z' || slices.Contains([]byte("aeiou"), c) {
			return false
		}
	}
	return true
}
