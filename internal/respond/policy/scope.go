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
	return s.On == Anywhere && len(s.Hosts) == 0 && !s.needsFacts()
}

// fit says whether a scene is in a scope.
type fit uint8

const (
	fitsNot   fit = iota
	fitsMaybe     // what decides it is not known of the container yet
	fitsYes
)

// why returns why the scene is not in the scope, "" if it is.
func (s *Scope) why(sc *scene.Scene) string {
	_, why := s.judge(sc)
	return why
}

// judge says whether a scene is in the scope, and if it is not for sure, why.
func (s *Scope) judge(sc *scene.Scene) (fit, string) {
	c := sc.Container
	switch {
	case s.On == Containers && c == nil:
		return fitsNot, "it is not in a container"
	case s.On == Host && c != nil:
		return fitsNot, "it is not on the host itself"
	case !fits(s.Hosts, sc.Host):
		return fitsNot, "the host is not in scope.hosts"
	}
	if c == nil {
		if s.needsFacts() {
			return fitsNot, "it is not in a container"
		}
		return fitsYes, ""
	}
	return s.judgeContainer(c)
}

// needsFacts reports whether the scope is about what a runtime tells of containers.
func (s *Scope) needsFacts() bool {
	return len(s.Containers)+len(s.Images)+len(s.Labels)+len(s.Compose)+len(s.Swarm)+len(s.Namespaces)+len(s.Workloads) > 0
}

// judgeContainer goes by the container's facts. One that is not known leaves it open, unless another decides.
func (s *Scope) judgeContainer(c *scene.Container) (fit, string) {
	open := ""
	for _, f := range []struct {
		what, key, value string
		patterns         []string
	}{
		{"the container's name", "containers", c.Name, s.Containers},
		{"the image", "images", c.Image, s.Images},
		{"the Compose project", "compose", c.Compose(), s.Compose},
		{"the Swarm service", "swarm", c.Swarm(), s.Swarm},
		{"the namespace", "namespaces", c.Namespace(), s.Namespaces},
		{"the workload", "workloads", c.Workload(), s.Workloads},
	} {
		switch {
		case fits(f.patterns, f.value):
		case f.value == "" && !c.Known():
			open = f.what + " is not known yet"
		default:
			return fitsNot, f.what + " is not in scope." + f.key
		}
	}
	for k, pattern := range s.Labels {
		switch v, ok := c.Labels[k]; {
		case ok && Match(pattern, v):
		case !ok && !c.Known():
			open = "the labels are not known yet"
		default:
			return fitsNot, "the labels are not those of scope.labels"
		}
	}
	if open != "" {
		return fitsMaybe, open
	}
	return fitsYes, ""
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

// ContainerProtected returns why a container must not be acted on, "" if it
// may. One that may be protected by what is not known of it yet must not be.
func (s *Set) ContainerProtected(c *scene.Container, host string) string {
	sc := &scene.Scene{Host: host, Container: c}
	maybe := ""
	for i := range s.Protect {
		p := &s.Protect[i]
		if len(p.Processes) > 0 {
			continue
		}
		switch f, why := p.Scope.judge(sc); f {
		case fitsYes:
			return p.reason()
		case fitsMaybe:
			maybe = why + ", so it may be one that is protected: " + p.reason()
		}
	}
	return maybe
}

// NeedsFacts reports whether anything depends on what a runtime tells of containers.
func (s *Set) NeedsFacts() bool {
	for i := range s.Protect {
		if s.Protect[i].Scope.needsFacts() {
			return true
		}
	}
	for _, p := range s.Policies {
		if p.Enabled && (p.Scope.needsFacts() || p.Except.needsFacts()) {
			return true
		}
	}
	return false
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
