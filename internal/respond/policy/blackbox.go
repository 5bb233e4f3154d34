package policy

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/scene"
)

// BlackBox is what the black box keeps: where, how much, and how much data of what is read and written.
type BlackBox struct {
	Scope  Scope
	Except Scope // what is left out of the scope
	// Size is the memory of all CPUs together in bytes, 0 for no black box.
	Size int64
	// Reach is how far before an alert captures may begin.
	Reach time.Duration
	// Data, Ports and Files are numbers of bytes, see probe.BoxOptions.
	Data  probe.BoxSnaplens
	Ports map[uint16]int
	Files map[string]int
	// Position is that of the entry, zero if there is none.
	Position rule.Position
}

// DefaultBlackBox returns what holds where a file of policies says nothing.
func DefaultBlackBox() BlackBox {
	return BlackBox{
		Size: 64 << 20, Reach: time.Minute,
		Data: probe.BoxSnaplens{File: 256, Inet: 1024, Unix: 256, Pipe: 1024, Other: 1024},
	}
}

// Box returns the black box that the policies want.
func (s *Set) Box() BlackBox {
	if s.box == nil {
		return DefaultBlackBox()
	}
	return *s.box
}

// OverrideBox has another size (bytes) and reach hold than files say, if they are not nil.
func (s *Set) OverrideBox(size *int64, reach *time.Duration) {
	b := s.Box()
	if size != nil {
		b.Size = *size
	}
	if reach != nil {
		b.Reach = *reach
	}
	s.box = &b
}

// Everywhere reports whether the scope leaves nothing out on a host.
func (b *BlackBox) Everywhere(hostname string) bool {
	s := b.Scope
	s.Hosts = nil
	return s.empty() && b.Except.empty() && fits(b.Scope.Hosts, hostname)
}

// Records returns why a place is not recorded, "" if it is; container is nil for the host itself. A container whose name is not known yet is
// recorded where it could be in the scope once it is.
func (b *BlackBox) Records(c *scene.Container, hostname string) string {
	if c != nil && c.Name == "" {
		on := Scope{On: b.Scope.On, Hosts: b.Scope.Hosts}
		return on.why(&scene.Scene{Host: hostname, Container: c})
	}
	sc := &scene.Scene{Host: hostname, Container: c}
	if why := b.Scope.why(sc); why != "" {
		return why
	}
	if !b.Except.empty() && b.Except.why(sc) == "" {
		return "it is in scope.except"
	}
	return ""
}

// Where says the scope in a few words: "containers web-*; except images bench/*".
func (b *BlackBox) Where() string {
	text := b.Scope.words()
	if text == "" {
		text = "everything"
	}
	if !b.Except.empty() {
		text += "; except " + b.Except.words()
	}
	return text
}

// words says what is given.
func (s *Scope) words() string {
	var parts []string
	switch s.On {
	case Containers:
		parts = append(parts, "in containers")
	case Host:
		parts = append(parts, "on the host itself")
	}
	for _, l := range []struct {
		what     string
		patterns []string
	}{
		{"hosts", s.Hosts}, {"containers", s.Containers}, {"images", s.Images}, {"compose", s.Compose}, {"swarm", s.Swarm},
		{"namespaces", s.Namespaces}, {"workloads", s.Workloads},
	} {
		if len(l.patterns) > 0 {
			parts = append(parts, l.what+" "+strings.Join(l.patterns, " "))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, fmt.Sprintf("label %s=%s", k, s.Labels[k]))
	}
	return strings.Join(parts, ", ")
}

// blackBox reads an entry "- blackbox: …".
func (r *reader) blackBox(n *yaml.Node) {
	b := DefaultBlackBox()
	b.Position = r.position(n)
	before := len(r.problems)
	r.mapping(n, "an entry of the black box", keys{"blackbox": func(v *yaml.Node) {
		r.mapping(v, "blackbox", keys{
			"scope": func(v *yaml.Node) { r.scope(v, "scope", &b.Scope, &b.Except) },
			"size":  r.sizeInto(&b.Size),
			"reach": func(v *yaml.Node) {
				r.timeInto(&b.Reach, "reach")(v)
				if b.Reach > maxReach {
					r.fail(v, "reach is at most %v, as the state of the host is kept for that long", maxReach)
				}
			},
			"data": func(v *yaml.Node) {
				r.mapping(v, "data", keys{
					"file": r.bytesInto(&b.Data.File, "data.file"), "network": r.bytesInto(&b.Data.Inet, "data.network"),
					"unix": r.bytesInto(&b.Data.Unix, "data.unix"), "pipe": r.bytesInto(&b.Data.Pipe, "data.pipe"),
					"other": r.bytesInto(&b.Data.Other, "data.other"),
				})
			},
			"ports": func(v *yaml.Node) { r.boxPorts(v, &b) },
			"files": func(v *yaml.Node) { r.boxFiles(v, &b) },
		})
	}})
	if first := r.set.box; first != nil {
		r.fail(n, "there is one black box, and %s:%d says already what it keeps", first.Position.File, first.Position.Line)
	}
	if len(r.problems) == before {
		r.set.box = &b
	}
}

const (
	maxReach   = time.Hour
	maxBoxSize = 64 << 30
)

var sizeUnits = map[string]int64{"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}

// sizeInto reads a size like 64MB, or 0.
func (r *reader) sizeInto(to *int64) func(*yaml.Node) {
	return func(v *yaml.Node) {
		text := strings.ToLower(strings.ReplaceAll(v.Value, " ", ""))
		digits := strings.TrimRight(text, "kmgb")
		n, err := strconv.ParseInt(digits, 10, 64)
		unit, known := sizeUnits[text[len(digits):]]
		if text == "0" {
			unit, known = 1, true
		}
		if err != nil || !known || v.Kind != yaml.ScalarNode || n < 0 || n > maxBoxSize/unit {
			r.fail(v, "size is memory like 64MB or 1GB for all CPUs together, or 0 for no black box, not %q", v.Value)
			return
		}
		*to = n * unit
	}
}

// bytesInto reads how many bytes of data are kept.
func (r *reader) bytesInto(to *int, what string) func(*yaml.Node) {
	return func(v *yaml.Node) {
		n, err := strconv.Atoi(v.Value)
		if err != nil || v.Kind != yaml.ScalarNode || n < 0 || n > probe.MaxSnaplen {
			r.fail(v, "%s is a number of bytes from 0 to %d, not %q", what, probe.MaxSnaplen, v.Value)
			return
		}
		*to = n
	}
}

func (r *reader) boxPorts(v *yaml.Node, b *BlackBox) {
	b.Ports = map[uint16]int{}
	r.lengths(v, "ports", "port", probe.MaxBoxPorts, func(k *yaml.Node, bytes int) {
		port, err := strconv.ParseUint(k.Value, 10, 16)
		if err != nil || port == 0 {
			r.fail(k, "%q is no port", k.Value)
			return
		}
		if _, twice := b.Ports[uint16(port)]; twice {
			r.fail(k, "port %d is there twice", port)
		}
		b.Ports[uint16(port)] = bytes
	})
}

func (r *reader) boxFiles(v *yaml.Node, b *BlackBox) {
	b.Files = map[string]int{}
	r.lengths(v, "files", "path", probe.MaxBoxFiles, func(k *yaml.Node, bytes int) {
		if !filepath.IsAbs(k.Value) {
			r.fail(k, "files has absolute paths on the host, as /etc/shadow; %q is none", k.Value)
			return
		}
		if _, twice := b.Files[k.Value]; twice {
			r.fail(k, "the file %s is there twice", k.Value)
		}
		b.Files[k.Value] = bytes
	})
}

// lengths reads a mapping of something to numbers of bytes.
func (r *reader) lengths(v *yaml.Node, what, key string, most int, add func(k *yaml.Node, bytes int)) {
	if v.Kind != yaml.MappingNode || len(v.Content) == 0 {
		r.fail(v, "%s is a mapping of each %s to a number of bytes", what, key)
		return
	}
	if len(v.Content)/2 > most {
		r.fail(v, "%s has at most %d entries", what, most)
		return
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		var n int
		before := len(r.problems)
		r.bytesInto(&n, what+"."+v.Content[i].Value)(resolve(v.Content[i+1]))
		if len(r.problems) == before {
			add(v.Content[i], n)
		}
	}
}
