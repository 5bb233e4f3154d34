package policy

import (
	"fmt"
	"path"
	"strings"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
)

// fast returns the action that the kernel is to do by itself, nil if there is none.
func (p *Policy) fast() *Action {
	for i := range p.Actions {
		if p.Actions[i].Fast {
			return &p.Actions[i]
		}
	}
	return nil
}

// checkFast refuses what a policy cannot have together with a fast kill.
func (r *reader) checkFast(p *Policy) {
	a := p.fast()
	if a == nil {
		return
	}
	refuse := func(format string, args ...any) {
		r.failAt(a.fastAt, "fast: "+format, args...)
	}
	s := &p.Scope
	inside := s.On == Containers || len(s.Containers)+len(s.Images)+len(s.Labels)+len(s.Compose)+len(s.Swarm)+len(s.Namespaces)+len(s.Workloads) > 0
	switch {
	case a.Target != KillProcess:
		refuse("the kernel can kill the process at work alone; target: process")
	case !inside || s.On == Host:
		refuse("the kernel kills in containers alone, as it does not know what is protected on the host; give the policy scope.on: containers")
	case len(p.Quiet) > 0:
		refuse("the kernel knows no quiet times; make a policy without them")
	}
}

// FastProblems returns errors about fast kills whose rules do not reduce to what the kernel can match, or name protected programs.
func (s *Set) FastProblems(rules []*rule.Rule) (problems []*Problem) {
	for _, p := range s.Policies {
		a := p.fast()
		if a == nil {
			continue
		}
		for _, r := range p.selected(rules) {
			if _, err := s.reduce(r); err != nil {
				problems = append(problems, &Problem{
					Position: a.fastAt, Line: a.fastLine,
					Message:    fmt.Sprintf("fast: rule %q (%s:%d) is not one for the kernel: %v", r.Name, r.Position.File, r.Position.Line, err),
					Suggestion: "choose the policy's rules so that all reduce, or leave out fast; docs/policies.md has what reduces",
				})
			}
		}
	}
	return problems
}

// selected returns those of the rules whose alerts the policy is about.
func (p *Policy) selected(rules []*rule.Rule) (some []*rule.Rule) {
	for _, r := range rules {
		if p.Rules.why(&alert.Alert{Rule: r.Name, Priority: r.Priority, Tags: r.Tags}) == "" {
			some = append(some, r)
		}
	}
	return some
}

func (s *Set) reduce(r *rule.Rule) (Acts, error) {
	x, err := Reduce(r.Node())
	if err != nil {
		return x, err
	}
	for _, exe := range x.Exes {
		if why := s.ProcessProtected(exe); why != "" {
			return x, fmt.Errorf("%s is protected: %s", exe, why)
		}
	}
	for _, name := range x.Names {
		if why := s.nameProtected(name); why != "" {
			return x, fmt.Errorf("a protected program is called %s: %s", name, why)
		}
	}
	return x, nil
}

// nameProtected returns why a program with that name in the kernel may be protected, "" if none is.
func (s *Set) nameProtected(name string) string {
	for i := range s.Protect {
		for _, pattern := range s.Protect[i].Processes {
			base := path.Base(pattern)
			cut := base
			if len(cut) > maxName && !strings.Contains(cut[:maxName], "*") {
				cut = cut[:maxName]
			}
			if Match(base, name) || Match(cut, name) {
				return s.Protect[i].reason()
			}
		}
	}
	return ""
}

// FastKill is what the kernel is to do by itself in the containers of a policy.
type FastKill struct {
	Policy *Policy
	Acts
}

// FastKills returns what policies in force want the kernel to do. What does not reduce, as rules have changed, is left out and told as errors.
func (s *Set) FastKills(rules []*rule.Rule) (kills []FastKill, errs []error) {
	for _, p := range s.Policies {
		if !p.Enabled || p.Mode() != Enforce || p.fast() == nil {
			continue
		}
		for _, r := range p.selected(rules) {
			x, err := s.reduce(r)
			if err != nil {
				errs = append(errs, fmt.Errorf("policy %q: rule %q: %w", p.Name, r.Name, err))
				continue
			}
			kills = append(kills, FastKill{p, x})
		}
	}
	return kills, errs
}

// Covers reports whether a container is in the scope of the policy.
func (p *Policy) Covers(c *scene.Container, hostname string) bool {
	sc := &scene.Scene{Host: hostname, Container: c}
	return p.Scope.why(sc) == "" && p.excepts(sc) == fitsNot
}
