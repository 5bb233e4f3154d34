package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
)

// Test is an alert and what is to be decided about it.
type Test struct {
	Name     string
	Alert    *alert.Alert
	Scene    *scene.Scene
	Time     time.Time
	Expect   []Expectation
	Position rule.Position
}

// Expectation is a policy that is to hold.
type Expectation struct {
	Policy  string
	DryRun  bool
	Actions []string // as Action.String says them
}

// String returns the expectation in one line.
func (e Expectation) String() string {
	s := fmt.Sprintf("%s: %s", e.Policy, strings.Join(e.Actions, ", "))
	if e.DryRun {
		s += " (dry run)"
	}
	return s
}

// Run returns what is decided instead of what is expected, "" if it is that.
func (t *Test) Run(s *Set) string {
	want, got := []string{}, []string{}
	for _, e := range t.Expect {
		want = append(want, e.String())
	}
	for _, d := range s.Decide(t.Alert, t.Scene, t.Time) {
		e := Expectation{Policy: d.Policy.Name, DryRun: d.DryRun}
		for _, a := range d.Actions {
			e.Actions = append(e.Actions, a.String())
		}
		got = append(got, e.String())
	}
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("want %s\n got %s", orNothing(want), orNothing(got))
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "; ")
}

// LoadTests reads a file of tests of policies (docs/policies.md).
func LoadTests(f rule.File) ([]*Test, []*Problem) {
	r := &reader{file: f.Name, lines: strings.Split(string(f.Data), "\n")}
	if f.Err != nil {
		return nil, []*Problem{{Position: rule.Position{File: f.Name}, Message: f.Err.Error()}}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(f.Data, &doc); err != nil {
		r.fail(&yaml.Node{Line: 1, Column: 1}, "not YAML: %v", err)
		return nil, r.problems
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.SequenceNode {
		r.fail(&yaml.Node{Line: 1, Column: 1}, "a file of tests is a list: each entry begins with \"- test: NAME\"")
		return nil, r.problems
	}
	var tests []*Test
	for _, n := range doc.Content[0].Content {
		tests = append(tests, r.test(resolve(n)))
	}
	return tests, r.problems
}

func (r *reader) test(n *yaml.Node) *Test {
	t := &Test{
		Position: r.position(n), Time: time.Now(),
		Alert: &alert.Alert{Source: "syscall", Priority: rule.Warning}, Scene: &scene.Scene{Host: "localhost"},
	}
	r.mapping(n, "a test", keys{
		"test":      r.textInto(&t.Name, "the test's name"),
		"alert":     func(v *yaml.Node) { r.testAlert(v, t.Alert) },
		"container": func(v *yaml.Node) { r.testContainer(v, t.Scene) },
		"host":      r.textInto(&t.Scene.Host, "host"),
		"at": func(v *yaml.Node) {
			at, err := time.Parse(time.RFC3339, v.Value)
			if err != nil {
				r.fail(v, "at is a time like 2026-05-01T12:00:00+02:00")
			}
			t.Time = at
		},
		"expect": func(v *yaml.Node) {
			for _, e := range v.Content {
				t.Expect = append(t.Expect, r.expectation(resolve(e)))
			}
		},
	})
	if !has(n, "alert") || !has(n, "expect") {
		r.fail(n, "a test needs alert and expect ([] for nothing)")
	}
	return t
}

func (r *reader) testAlert(v *yaml.Node, a *alert.Alert) {
	r.mapping(v, "alert", keys{
		"rule": r.textInto(&a.Rule, "alert.rule"),
		"tags": r.listInto(&a.Tags, "alert.tags"),
		"priority": func(v *yaml.Node) {
			p, ok := rule.ParsePriority(v.Value)
			if !ok {
				r.fail(v, "unknown priority %q", v.Value)
			}
			a.Priority = p
		},
	})
}

func (r *reader) testContainer(v *yaml.Node, sc *scene.Scene) {
	c := &scene.Container{ID: "000000000000", Labels: map[string]string{}}
	r.mapping(v, "container", keys{
		"name":  r.textInto(&c.Name, "container.name"),
		"image": r.textInto(&c.Image, "container.image"),
		"labels": func(v *yaml.Node) {
			if err := v.Decode(&c.Labels); err != nil {
				r.fail(v, "container.labels is a mapping of names and values")
			}
		},
	})
	sc.Container = c
}

func (r *reader) expectation(v *yaml.Node) (e Expectation) {
	r.mapping(v, "an expectation", keys{
		"policy":  r.textInto(&e.Policy, "policy"),
		"dry-run": r.boolInto(&e.DryRun, "dry-run"),
		"actions": r.listInto(&e.Actions, "actions"),
	})
	return e
}
