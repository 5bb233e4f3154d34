package policy

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
)

// policy reads an entry "- policy: NAME".
func (r *reader) policy(n *yaml.Node) {
	p := &Policy{Enabled: true, Limit: defaultLimit, Position: r.position(n), Rules: Rules{Priority: rule.Debug}}
	before := len(r.problems)
	r.mapping(n, "a policy", keys{
		"policy":  r.textInto(&p.Name, "the policy's name"),
		"desc":    r.textInto(&p.Description, "desc"),
		"enabled": r.boolInto(&p.Enabled, "enabled"),
		"mode": func(v *yaml.Node) {
			if i := r.word(v, "mode", modeNames); i >= 0 {
				p.written = Mode(i)
			}
		},
		"scope":   func(v *yaml.Node) { r.scope(v, "scope", &p.Scope, &p.Except) },
		"rules":   func(v *yaml.Node) { r.rules(v, &p.Rules) },
		"actions": func(v *yaml.Node) { r.actions(v, p) },
		"quiet":   func(v *yaml.Node) { r.quiet(v, p) },
		"limit":   func(v *yaml.Node) { r.limit(v, &p.Limit) },
	})
	if len(p.Actions) == 0 && !has(n, "actions") {
		r.fail(n, "policy %q has no actions", p.Name)
	}
	if other := r.set.Find(p.Name); other != nil {
		r.fail(n, "policy %q is there already, at %s:%d", p.Name, other.Position.File, other.Position.Line)
	}
	if len(r.problems) == before {
		r.checkFast(p)
	}
	if len(r.problems) > before {
		return
	}
	p.mode.Store(uint32(p.written))
	r.set.Policies = append(r.set.Policies, p)
}

// protect reads an entry "- protect: …".
func (r *reader) protect(n *yaml.Node) {
	var p Protect
	before := len(r.problems)
	r.mapping(n, "an entry of the protected list", keys{
		"protect": func(v *yaml.Node) {
			table := r.scopeKeys("protect", &p.Scope)
			table["processes"] = func(v *yaml.Node) {
				r.listInto(&p.Processes, "protect.processes")(v)
				for _, path := range p.Processes {
					if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "*") {
						r.fail(v, "protect.processes has paths of executables, as /usr/sbin/sshd; %q is none", path)
					}
				}
			}
			r.mapping(v, "protect", table)
			if len(p.Processes) > 0 && !p.Scope.empty() {
				r.fail(v, "an entry protects processes of the host or containers; make two of it")
			} else if len(p.Processes) == 0 && p.Scope.empty() {
				r.fail(v, "the entry would protect everything; say what it protects")
			}
		},
		"reason": r.textInto(&p.Reason, "reason"),
	})
	if len(r.problems) == before {
		r.set.Protect = append(r.set.Protect, p)
	}
}

func (r *reader) scope(v *yaml.Node, what string, s, except *Scope) {
	table := r.scopeKeys(what, s)
	table["except"] = func(v *yaml.Node) {
		r.mapping(v, what+".except", r.scopeKeys(what+".except", except))
		if except.empty() {
			r.fail(v, "%s.except is empty, so it leaves out everything; leave the key out", what)
		}
	}
	r.mapping(v, what, table)
}

func (r *reader) scopeKeys(what string, s *Scope) keys {
	return keys{
		"on": func(v *yaml.Node) {
			if i := r.word(v, what+".on", placeNames); i >= 0 {
				s.On = Place(i)
			}
		},
		"hosts":      r.listInto(&s.Hosts, what+".hosts"),
		"containers": r.listInto(&s.Containers, what+".containers"),
		"images":     r.listInto(&s.Images, what+".images"),
		"compose":    r.listInto(&s.Compose, what+".compose"),
		"swarm":      r.listInto(&s.Swarm, what+".swarm"),
		"namespaces": r.listInto(&s.Namespaces, what+".namespaces"),
		"workloads":  r.listInto(&s.Workloads, what+".workloads"),
		"labels":     func(v *yaml.Node) { r.labels(v, what+".labels", s) },
	}
}

func (r *reader) labels(v *yaml.Node, what string, s *Scope) {
	if v.Kind != yaml.MappingNode || len(v.Content) == 0 {
		r.fail(v, "%s is a mapping of names and patterns", what)
		return
	}
	s.Labels = map[string]string{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		if pattern, ok := r.text(resolve(v.Content[i+1]), "the pattern of a label"); ok {
			s.Labels[v.Content[i].Value] = pattern
		}
	}
}

func (r *reader) rules(v *yaml.Node, rules *Rules) {
	r.mapping(v, "rules", keys{
		"names":  r.listInto(&rules.Names, "rules.names"),
		"tags":   r.listInto(&rules.Tags, "rules.tags"),
		"except": r.listInto(&rules.Except, "rules.except"),
		"priority": func(v *yaml.Node) {
			s, ok := r.text(v, "rules.priority")
			if !ok {
				return
			}
			if rules.Priority, ok = rule.ParsePriority(s); !ok {
				var words []string
				for p := rule.Emergency; p <= rule.Debug; p++ {
					words = append(words, strings.ToLower(p.String()))
				}
				r.unknown(v, "priority", words)
			}
		},
	})
}

// actions reads the list of actions: each a name, or a mapping of the name and what belongs to it.
func (r *reader) actions(v *yaml.Node, p *Policy) {
	if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
		r.fail(v, "actions is a list of at least one action")
		return
	}
	for _, n := range v.Content {
		n = resolve(n)
		name, value := n, (*yaml.Node)(nil)
		if n.Kind == yaml.MappingNode {
			if len(n.Content) != 2 {
				r.fail(n, "an action has one name; begin another with \"- \"")
				continue
			}
			name, value = n.Content[0], resolve(n.Content[1])
		}
		if _, ok := r.text(name, "an action"); !ok {
			continue
		}
		read, ok := actionReaders[Kind(name.Value)]
		if !ok {
			r.unknown(name, "action", actionNames)
			continue
		}
		a := Action{Kind: Kind(name.Value)}
		read(r, name, value, &a)
		p.Actions = append(p.Actions, a)
	}
}

var actionReaders map[Kind]func(r *reader, name, v *yaml.Node, a *Action)

var actionNames []string

var killTargets = []string{KillProcess, KillTree, KillContainer}

func init() {
	actionReaders = map[Kind]func(*reader, *yaml.Node, *yaml.Node, *Action){
		Notify: func(r *reader, _, v *yaml.Node, a *Action) {
			if v != nil {
				r.listInto(&a.Outputs, "notify")(v)
			}
		},
		Capture: func(r *reader, _, v *yaml.Node, a *Action) {
			a.Before, a.After = 30*time.Second, 30*time.Second
			r.optional(v, "capture", keys{"before": r.timeInto(&a.Before, "before"), "after": r.timeInto(&a.After, "after")})
		},
		Pause: func(r *reader, _, v *yaml.Node, a *Action) { r.optional(v, "pause", r.forKeys(a)) },
		Stop: func(r *reader, _, v *yaml.Node, a *Action) {
			r.optional(v, "stop", keys{"timeout": r.timeInto(&a.Timeout, "timeout")})
		},
		Kill: func(r *reader, name, v *yaml.Node, a *Action) {
			target := func(v *yaml.Node) {
				if i := r.word(v, "target of kill", killTargets); i >= 0 {
					a.Target = killTargets[i]
				}
			}
			switch {
			case v != nil && v.Kind == yaml.MappingNode:
				r.mapping(v, "kill", keys{"target": target, "fast": func(v *yaml.Node) {
					r.boolInto(&a.Fast, "kill.fast")(v)
					a.fastAt, a.fastLine = r.position(v), r.line(v.Line)
				}})
				if !has(v, "target") {
					r.fail(v, "kill needs its target: %s", strings.Join(killTargets, ", "))
				}
			case v == nil:
				r.fail(name, "kill needs what to kill: %s", strings.Join(killTargets, ", "))
			default:
				target(v)
			}
		},
		Isolate: func(r *reader, _, v *yaml.Node, a *Action) { r.optional(v, "isolate", r.forKeys(a)) },
		Run: func(r *reader, name, v *yaml.Node, a *Action) {
			switch {
			case v == nil:
				r.fail(name, "run needs a command")
			case v.Kind == yaml.ScalarNode:
				a.Command, _ = r.text(v, "run")
			default:
				r.mapping(v, "run", keys{"command": r.textInto(&a.Command, "run.command"), "timeout": r.timeInto(&a.Timeout, "timeout")})
				if a.Command == "" {
					r.fail(v, "run needs a command")
				}
			}
		},
	}
	for _, k := range sortedKeys(actionReaders) {
		actionNames = append(actionNames, string(k))
	}
}

// optional reads a mapping that may be left out.
func (r *reader) optional(v *yaml.Node, what string, table keys) {
	if v != nil && !isNull(v) {
		r.mapping(v, what, table)
	}
}

func (r *reader) forKeys(a *Action) keys { return keys{"for": r.timeInto(&a.For, "for")} }

// maxTime bounds the times of actions.
const maxTime = 7 * 24 * time.Hour

func (r *reader) timeInto(to *time.Duration, what string) func(*yaml.Node) {
	return func(v *yaml.Node) {
		s, ok := r.text(v, what)
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > maxTime {
			r.fail(v, "%s is a time like 30s, 5m or 2h, at most 168h, not %q", what, s)
			return
		}
		*to = d
	}
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (r *reader) quiet(v *yaml.Node, p *Policy) {
	list := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		list = v.Content
	}
	for _, n := range list {
		q := Quiet{Zone: time.Local}
		r.mapping(n, "quiet", keys{
			"days": func(v *yaml.Node) {
				days := v.Content
				if v.Kind != yaml.SequenceNode {
					days = []*yaml.Node{v}
				}
				for _, d := range days {
					if i := r.word(resolve(d), "day", dayNames); i >= 0 {
						q.Days[i] = true
					}
				}
			},
			"from": r.clockInto(&q.From, "from"),
			"to":   r.clockInto(&q.To, "to"),
			"zone": func(v *yaml.Node) {
				if s, ok := r.text(v, "zone"); ok {
					zone, err := time.LoadLocation(s)
					if err != nil {
						r.fail(v, "unknown time zone %q; it is a name like Europe/Berlin or UTC", s)
						return
					}
					q.Zone = zone
				}
			},
		})
		p.Quiet = append(p.Quiet, q)
	}
}

func (r *reader) clockInto(to *int, what string) func(*yaml.Node) {
	return func(v *yaml.Node) {
		t, err := time.Parse("15:04", v.Value)
		// 22:00 without quotes is a number to YAML 1.1, but its text is what was written.
		if err != nil || v.Kind != yaml.ScalarNode {
			r.fail(v, "%s is a time of day like \"22:30\"", what)
			return
		}
		*to = t.Hour()*60 + t.Minute()
	}
}

func (r *reader) limit(v *yaml.Node, l *Limit) {
	r.mapping(v, "limit", keys{
		"count": func(v *yaml.Node) {
			n, err := strconv.Atoi(v.Value)
			if err != nil || v.Kind != yaml.ScalarNode || n < 1 || n > 10000 {
				r.fail(v, "limit.count is a number from 1 to 10000")
				return
			}
			l.Count = n
		},
		"per": func(v *yaml.Node) {
			r.timeInto(&l.Per, "limit.per")(v)
			if l.Per == 0 {
				r.fail(v, "limit.per is more than 0")
			}
		},
		"by": func(v *yaml.Node) {
			if i := r.word(v, "limit.by", []string{"container", "policy"}); i >= 0 {
				l.Each = i == 0
			}
		},
	})
}
