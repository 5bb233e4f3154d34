package ruletest

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// File is a file of tests.
type File struct {
	Name  string
	Rules []string
	Tests []*Test
}

// Test is what happens and which alerts must come of it.
type Test struct {
	Name string
	Line int
	// Rules are the names or patterns of the rules that are judged; all
	// enabled ones if empty.
	Rules []string
	// Capture is the path of a capture to read instead of Events.
	Capture string
	// Others allows alerts that Alerts does not name.
	Others bool
	Alerts []*Expected

	host   scene
	events []*step
	node   *yaml.Node
}

// Expected is an alert that must come.
type Expected struct {
	Rule     string
	Priority string
	// Output are texts that the message must contain.
	Output []string
	// Fields are the texts that fields must have.
	Fields map[string]string
	// Count is how often it must come; Any for at least once.
	Count int

	node *yaml.Node
}

// Any is the Count of an alert that must come at least once.
const Any = -1

// scene is the host on which the events happen.
type scene struct {
	users      []event.User
	groups     []event.Group
	containers map[string]*host.Container // by their names in the file
	processes  []*process
}

// process is a process as a test describes it.
type process struct {
	info      *event.ThreadInfo
	container string
	vpid      int64
	caps      bool // given, not by default
	node      *yaml.Node
}

// step is something that happens.
type step struct {
	name   string
	params map[string]*yaml.Node
	pid    int64
	tid    int64
	parent int64
	after  time.Duration
	node   *yaml.Node
}

// Parse reads a file of tests. What is right is returned even when there are errors.
func Parse(name string, data []byte) (*File, []*Error) {
	p := &parser{file: name}
	f := &File{Name: name}
	root := p.document(data)
	if root == nil || isNull(root) {
		return f, p.errs
	}
	base := scene{containers: map[string]*host.Container{}}
	p.mapping(root, "a test file", keys{
		"rules": p.texts(&f.Rules), "users": p.users(&base), "groups": p.groups(&base),
		"containers": p.containers(&base), "processes": p.processes(&base),
		"tests": func(n *yaml.Node) {}, // below, when the rest is known
	})
	if tests := child(root, "tests"); tests != nil {
		p.items(tests, "tests", func(n *yaml.Node) { f.Tests = append(f.Tests, p.test(n, f, &base)) })
	} else {
		p.fail(root, "a test file needs the key tests")
	}
	return f, p.errs
}

// child returns the value under a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	n = follow(n)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return follow(n.Content[i+1])
		}
	}
	return nil
}

// test reads one test, which adds to the scene that the file sets.
func (p *parser) test(n *yaml.Node, f *File, base *scene) *Test {
	t := &Test{Line: n.Line, Rules: f.Rules, node: n}
	t.host = base.clone()
	alerts := false
	p.mapping(n, "a test", keys{
		"name": p.text(&t.Name), "rules": p.texts(&t.Rules), "capture": p.text(&t.Capture),
		"users": p.users(&t.host), "groups": p.groups(&t.host),
		"containers": p.containers(&t.host), "processes": p.processes(&t.host),
		"events": func(n *yaml.Node) {
			p.items(n, "events", func(n *yaml.Node) { t.events = append(t.events, p.step(n)) })
		},
		"others": func(n *yaml.Node) {
			switch s, _ := p.scalar(n); s {
			case "allow":
				t.Others = true
			case "fail":
			default:
				p.fail(n, "others is either allow or fail, not %q", s)
			}
		},
		"alerts": func(n *yaml.Node) {
			alerts = true
			p.items(n, "alerts", func(n *yaml.Node) { t.Alerts = append(t.Alerts, p.expected(n)) })
		},
	})
	switch {
	case t.Name == "":
		p.fail(n, "a test needs a name: what should happen, in a sentence")
	case !alerts:
		p.fail(n, "a test needs the key alerts; write alerts: [] if none must come")
	case t.Capture == "" && len(t.events) == 0:
		p.fail(n, "a test needs events or a capture")
	case t.Capture != "" && len(t.events) > 0:
		p.fail(n, "a test has either events or a capture")
	}
	return t
}

// clone copies what adding to the scene would change.
func (s *scene) clone() scene {
	out := scene{containers: map[string]*host.Container{}}
	out.users = append(out.users, s.users...)
	out.groups = append(out.groups, s.groups...)
	out.processes = append(out.processes, s.processes...)
	for k, c := range s.containers {
		out.containers[k] = c
	}
	return out
}

// expected reads an alert that must come: a mapping, or the rule's name alone.
func (p *parser) expected(n *yaml.Node) *Expected {
	x := &Expected{Count: 1, node: n}
	if n.Kind == yaml.ScalarNode {
		x.Rule, _ = p.scalar(n)
		return x
	}
	p.mapping(n, "an alert", keys{
		"rule": p.text(&x.Rule), "output": p.texts(&x.Output), "fields": p.pairs(&x.Fields),
		"priority": func(n *yaml.Node) {
			s, _ := p.scalar(n)
			level, ok := rule.ParsePriority(s)
			if !ok {
				p.fail(n, "%q is not a priority", s)
			}
			x.Priority = level.String()
		},
		"count": func(n *yaml.Node) {
			if n.Value == "any" {
				x.Count = Any
				return
			}
			if number(p, &x.Count)(n); x.Count < 1 {
				p.fail(n, "count is a number from 1, or any")
			}
		},
	})
	if x.Rule == "" {
		p.fail(n, "an alert needs the name of its rule")
	}
	return x
}

// step reads an event: the name of its type, and its parameters below.
func (p *parser) step(n *yaml.Node) *step {
	s := &step{node: n, params: map[string]*yaml.Node{}}
	count := 0
	p.each(n, "an event", func(k, v *yaml.Node) {
		if count++; count > 1 {
			p.fail(k, "an event has one key, the name of its type")
			return
		}
		s.name = k.Value
		if info, _ := typeOf(k.Value); info == nil {
			p.fail(k, "there is no event type %q%s", k.Value, hint(k.Value, typeNames()))
			return
		}
		if isNull(v) {
			return
		}
		p.params(s, v)
	})
	if count == 0 && n.Kind == yaml.MappingNode {
		p.fail(n, "an event needs a key, the name of its type")
	}
	return s
}

// params reads what is below the name of an event's type.
func (p *parser) params(s *step, n *yaml.Node) {
	info, _ := typeOf(s.name)
	known := map[string]bool{"pid": true, "tid": true, "parent": true, "after": true}
	for i := range info.Params {
		known[info.Params[i].Name] = true
	}
	p.each(n, s.name, func(k, v *yaml.Node) {
		switch k.Value {
		case "pid":
			number(p, &s.pid)(v)
		case "tid":
			number(p, &s.tid)(v)
		case "parent":
			number(p, &s.parent)(v)
		case "after":
			p.duration(&s.after)(v)
		default:
			name := strings.TrimPrefix(k.Value, argPrefix)
			if info.ParamIndex(name) < 0 {
				p.fail(k, "%s has no parameter %q%s", s.name, name, hint(name, known))
				return
			}
			s.params[name] = v
		}
	})
}

// argPrefix marks a parameter whose name is that of a key of all events.
const argPrefix = "arg."

// String names the step by its number and type, for messages.
func (s *step) String() string { return fmt.Sprintf("%s (line %d)", s.name, s.node.Line) }
