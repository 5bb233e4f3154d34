package ruletest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

func (p *parser) users(s *scene) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.each(n, "users", func(k, v *yaml.Node) {
			u := event.User{Name: k.Value, Home: "/home/" + k.Value, Shell: "/bin/sh"}
			if v.Kind == yaml.ScalarNode {
				number(p, &u.UID)(v)
			} else {
				p.mapping(v, "a user", keys{
					"uid": number(p, &u.UID), "gid": number(p, &u.GID), "home": p.text(&u.Home), "shell": p.text(&u.Shell),
				})
			}
			s.users = append(s.users, u)
		})
	}
}

func (p *parser) groups(s *scene) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.each(n, "groups", func(k, v *yaml.Node) {
			g := event.Group{Name: k.Value}
			number(p, &g.GID)(v)
			s.groups = append(s.groups, g)
		})
	}
}

// runtimes are the container runtimes by name, with how each names cgroups
// around the full id of a container.
var runtimes = map[string]struct {
	typ            host.ContainerType
	before, behind string
}{
	"docker":     {host.Docker, "cpu=/system.slice/docker-", ".scope"},
	"containerd": {host.Containerd, "cpu=/system.slice/nerdctl-", ".scope"},
	"cri-o":      {host.CRIO, "cpu=/machine.slice/crio-", ".scope"},
	"podman":     {host.Podman, "cpu=/machine.slice/libpod-", ".scope"},
}

func (p *parser) containers(s *scene) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.each(n, "containers", func(k, v *yaml.Node) { s.containers[k.Value] = p.container(k.Value, v) })
	}
}

// container reads a container; one that is written as a word is an image.
func (p *parser) container(name string, n *yaml.Node) *host.Container {
	sum := sha256.Sum256([]byte(name))
	full := hex.EncodeToString(sum[:])
	c := &host.Container{ID: full[:12], FullID: full, Name: name, Known: true, Size: -1}
	if n.Kind == yaml.ScalarNode {
		c.Image, _ = p.scalar(n)
		return c
	}
	p.mapping(n, "a container", keys{
		"name": p.text(&c.Name), "image": p.text(&c.Image), "image_id": p.text(&c.ImageID), "user": p.text(&c.User),
		"ip": p.text(&c.IP), "privileged": p.boolean(&c.Privileged), "host_pid": p.boolean(&c.HostPID),
		"host_network": p.boolean(&c.HostNetwork), "host_ipc": p.boolean(&c.HostIPC),
		"labels": p.pairs(&c.Labels), "env": p.texts(&c.Env), "mounts": p.mounts(&c.Mounts),
		"known": p.boolean(&c.Known), "healthcheck": p.check(&c.Healthcheck),
		"liveness_probe": p.check(&c.Liveness), "readiness_probe": p.check(&c.Readiness),
		"id": func(n *yaml.Node) {
			id, _ := p.scalar(n)
			if len(id) != 12 && len(id) != 64 || !isHex(id) {
				p.fail(n, "the id of a container has 12 or 64 hexadecimal digits, %q has not", id)
				return
			}
			c.ID, c.FullID = id[:12], id+full[len(id):]
		},
		"runtime": func(n *yaml.Node) {
			word, _ := p.scalar(n)
			r, ok := runtimes[word]
			if !ok {
				p.fail(n, "there is no runtime %q: docker, containerd, cri-o, podman", word)
			}
			c.Type = r.typ
		},
	})
	return c
}

// check reads the command of a health check or probe, as a list of its words.
func (p *parser) check(to **host.Probe) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var words []string
		if p.texts(&words)(n); len(words) == 0 {
			p.fail(n, "the command of a check is a list of words, the program first")
			return
		}
		*to = &host.Probe{Exe: words[0], Args: words[1:]}
	}
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

func (p *parser) mounts(to *[]host.Mount) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.items(n, "mounts", func(n *yaml.Node) {
			m := host.Mount{Mode: "", Propagation: "rprivate", RW: true}
			p.mapping(n, "a mount", keys{
				"source": p.text(&m.Source), "destination": p.text(&m.Destination), "mode": p.text(&m.Mode),
				"propagation": p.text(&m.Propagation), "rw": p.boolean(&m.RW),
			})
			*to = append(*to, m)
		})
	}
}

// cgroup returns the cgroup of a container's processes.
func cgroup(c *host.Container) string {
	for _, r := range runtimes {
		if r.typ == c.Type {
			return r.before + c.FullID + r.behind
		}
	}
	return ""
}

// snapshot returns the scene as the state of a host. Process 1 is always there.
func (s *scene) snapshot(p *parser) *event.Snapshot {
	snap := &event.Snapshot{
		Machine: event.Machine{CPUs: 1, Memory: 1 << 30, Hostname: "test", BootTime: startTime - 3600e9},
		Users:   append([]event.User{{Name: "root", Home: "/root", Shell: "/bin/bash"}}, s.users...),
		Groups:  append([]event.Group{{Name: "root"}}, s.groups...),
	}
	for _, name := range sortedNames(s.containers) {
		for _, u := range snap.Users {
			if u.Container == "" {
				u.Container = s.containers[name].ID
				snap.Users = append(snap.Users, u)
			}
		}
	}
	init := newProcess(nil)
	init.info.TID, init.info.Comm, init.info.Exe, init.info.ExePath = 1, "systemd", "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd"
	byPID := map[int64]*process{1: init}
	order := []*process{init}
	vpids := map[string]int64{}
	for _, d := range s.processes {
		c := *d
		info := *d.info
		c.info = &info
		switch old := byPID[info.TID]; {
		case old == nil:
			order = append(order, &c)
		default: // a test changes what its file says
			order[slices.Index(order, old)] = &c
		}
		byPID[info.TID] = &c
	}
	for _, d := range order {
		d.complete(p, s, byPID, vpids)
		snap.Threads = append(snap.Threads, d.info)
	}
	for _, name := range sortedNames(s.containers) {
		c := s.containers[name]
		b, err := event.Append(nil, startTime-1, -1, event.CONTAINER_JSON_2_E, string(c.AppendJSON(nil)))
		if err == nil && c.Known {
			snap.Meta = append(snap.Meta, b)
		}
	}
	return snap
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
