package policy

import (
	"maps"
	"slices"
	"strings"

	"rollcage/internal/respond/scene"
)

// Scope is where a policy holds: everything that is given must fit, each by
// one of its patterns, in which * stands for any characters.
type Scope struct {
	On         Place
	Hosts      []string
	Containers []string // names
	Images     []string
	Labels     map[string]string
	Compose    []string // projects
	Swarm      []string // services
	Namespaces []string // of Kubernetes
	Workloads  []string // of Kubernetes
}

// Place is containers, the host, or both.
type Place uint8

// The places.
const (
	Anywhere Place = iota
	Containers
	Host
)

var placeNames = []string{"anywhere", "containers", "host"}

func (s *Scope) empty() bool {
	return s.On == Anywhere && len(s.Hosts)+len(s.Containers)+len(s.Images)+len(s.Labels)+len(s.Compose)+len(s.Swarm)+
		len(s.Namespaces)+len(s.Workloads) == 0
}

// why returns why the scene is not in the scope, "" if it is.
func (s *Scope) why(sc *scene.Scene) string {
	c := sc.Container
	switch {
	case s.On == Containers && c == nil:
		return "it is not in a container"
	case s.On == Host && c != nil:
		return "it is not on the host itself"
	case !fits(s.Hosts, sc.Host):
		return "the host is not in scope.hosts"
	}
	if c == nil {
		if len(s.Containers)+len(s.Images)+len(s.Labels)+len(s.Compose)+len(s.Swarm)+len(s.Namespaces)+len(s.Workloads) > 0 {
			return "it is not in a container"
		}
		return ""
	}
	switch {
	case !fits(s.Containers, c.Name):
		return "the container's name is not in scope.containers"
	case !fits(s.Images, c.Image):
		return "the image is not in scope.images"
	case !fits(s.Compose, c.Compose()):
		return "the Compose project is not in scope.compose"
	case !fits(s.Swarm, c.Swarm()):
		return "the Swarm service is not in scope.swarm"
	case !fits(s.Namespaces, c.Namespace()):
		return "the namespace is not in scope.namespaces"
	case !fits(s.Workloads, c.Workload()):
		return "the workload is not in scope.workloads"
	}
	for k, pattern := range s.Labels {
		if v, ok := c.Labels[k]; !ok || !Match(pattern, v) {
			return "the labels are not those of scope.labels"
		}
	}
	return ""
}

// fits reports whether a value fits one of the patterns; no patterns fit all.
func fits(patterns []string, v string) bool {
	return len(patterns) == 0 || v != "" && matchAny(patterns, v)
}

func matchAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, s) })
}

// Match reports whether a text fits a pattern, in which * stands for any characters.
func Match(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		piece, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, piece)
		}
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(piece):], more
	}
}

// Protect is an entry of the protected list.
type Protect struct {
	Scope Scope
	// Processes are paths of executables on the host. What a process in a
	// container is called is up to it, so it protects nothing there.
	Processes []string
	Reason    string
}

// ContainerProtected returns why a container must not be acted on, "" if it may.
func (s *Set) ContainerProtected(c *scene.Container, host string) string {
	sc := &scene.Scene{Host: host, Container: c}
	for i := range s.Protect {
		p := &s.Protect[i]
		if len(p.Processes) == 0 && p.Scope.why(sc) == "" {
			return p.reason()
		}
	}
	return ""
}

// ProcessProtected returns why a process on the host must not be acted on, ""
// if it may. exe is the path of its executable.
func (s *Set) ProcessProtected(exe string) string {
	for i := range s.Protect {
		if matchAny(s.Protect[i].Processes, exe) {
			return s.Protect[i].reason()
		}
	}
	return ""
}

func (p *Protect) reason() string {
	if p.Reason != "" {
		return p.Reason
	}
	return "it is protected"
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
