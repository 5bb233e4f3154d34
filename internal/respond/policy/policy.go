// Package policy says what is done about alerts: a policy has a scope (where),
// rules (about what), actions, quiet times and a rate limit.
//
// Policies are written in YAML (docs/policies.md) and checked like rules: every
// mistake with its place and what was probably meant. A [Set] decides about an
// alert; several policies may hold. What may never be acted on is in the
// protected list, which no policy overrides.
package policy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
)

// Mode says whether a policy acts.
type Mode uint8

const (
	// Monitor runs only what touches nothing (notify, capture) and says what else would be done.
	Monitor Mode = iota
	// Enforce runs all actions.
	Enforce
)

var modeNames = []string{"monitor", "enforce"}

// String returns the name.
func (m Mode) String() string { return modeNames[m] }

// ParseMode reads the name of a mode.
func ParseMode(s string) (Mode, bool) {
	for i, n := range modeNames {
		if s == n {
			return Mode(i), true
		}
	}
	return 0, false
}

// Policy is one of a set. Only its mode changes once it is loaded.
type Policy struct {
	Name        string
	Description string
	Enabled     bool
	Scope       Scope
	Except      Scope // what is left out of the scope
	Rules       Rules
	Actions     []Action
	Quiet       []Quiet
	Limit       Limit
	Position    rule.Position

	written Mode // in the file
	mode    atomic.Uint32
	limiter limiter
}

// Mode returns the mode that is in force.
func (p *Policy) Mode() Mode { return Mode(p.mode.Load()) }

// Rules says which alerts a policy is about: those of a rule with one of the
// names or tags (any rule if there are none), at least as bad as Priority.
type Rules struct {
	Names    []string // * stands for any characters
	Tags     []string
	Except   []string // names
	Priority rule.Priority
}

// why returns why an alert is not meant, "" if it is.
func (r *Rules) why(a *alert.Alert) string {
	switch {
	case a.Priority > r.Priority:
		return "the alert is less severe than rules.priority"
	case matchAny(r.Except, a.Rule):
		return "the rule is in rules.except"
	case len(r.Names) == 0 && len(r.Tags) == 0:
		return ""
	case matchAny(r.Names, a.Rule):
		return ""
	}
	for _, t := range a.Tags {
		if matchAny(r.Tags, t) {
			return ""
		}
	}
	return "the rule is in neither rules.names nor rules.tags"
}

// Kind names an action.
type Kind string

// The actions.
const (
	Notify  Kind = "notify"
	Capture Kind = "capture"
	Pause   Kind = "pause"
	Unpause Kind = "unpause"
	Stop    Kind = "stop"
	Kill    Kind = "kill"
	Isolate Kind = "isolate"
	Release Kind = "release" // undoes Isolate
	Run     Kind = "run"
)

// Touches reports whether the action changes anything but records.
func (k Kind) Touches() bool { return k != Notify && k != Capture }

// The targets of Kill.
const (
	KillProcess   = "process"
	KillTree      = "tree"
	KillContainer = "container"
)

// Action is what a policy does, in the order in which they are listed.
type Action struct {
	Kind    Kind
	Target  string        // of Kill
	Outputs []string      // of Notify, all if none
	Before  time.Duration // of Capture
	After   time.Duration
	For     time.Duration // Pause and Isolate are undone after it, never if 0
	Command string        // of Run, for /bin/sh -c
	Timeout time.Duration // 30 s if 0; of Stop also how long the container may take to end by itself
	// Fast has the kernel kill the process at the event itself, see Set.FastKills.
	Fast bool

	fastAt   rule.Position // where the file says so
	fastLine string
}

// String returns the action in a few words: "kill process".
func (a Action) String() string {
	s := string(a.Kind)
	switch {
	case a.Target != "":
		s += " " + a.Target
	case a.Command != "":
		s += " " + a.Command
	case len(a.Outputs) > 0:
		s += " " + strings.Join(a.Outputs, ", ")
	}
	if a.Fast {
		s += " in the kernel"
	}
	if a.For > 0 {
		s += fmt.Sprintf(" for %v", a.For)
	}
	return s
}

// Set is the policies and the protected list. Its methods may be called by many goroutines.
type Set struct {
	Policies []*Policy
	Protect  []Protect

	box   *BlackBox // nil if no file says anything about it
	mu    sync.Mutex
	modes string // the file that keeps switched modes, "" for none
	// switched are the modes in that file, also of policies that are not in the set.
	switched map[string]string
}

// Decision is what a policy wants done about an alert.
type Decision struct {
	Policy *Policy
	// DryRun says that what touches something is only to be told, and Reason why.
	DryRun bool
	Reason string
	// Actions are shared; do not change them.
	Actions []Action
}

// Decide returns what the policies that hold want done, in the order of the
// set. now counts for quiet times and rate limits. sc may be nil.
func (s *Set) Decide(a *alert.Alert, sc *scene.Scene, now time.Time) []Decision {
	var out []Decision
	for _, p := range s.Policies {
		if p.why(a, sc) != "" {
			continue
		}
		d := Decision{Policy: p, Actions: p.Actions}
		switch {
		case !p.limiter.take(&p.Limit, sc, now):
			d.DryRun, d.Reason = true, fmt.Sprintf("rate limit: %d in %v are used up", p.Limit.Count, p.Limit.Per)
			d.Actions = touching(p.Actions)
		case p.Mode() == Monitor:
			d.DryRun, d.Reason = true, "monitor mode"
		case p.quiet(now):
			d.DryRun, d.Reason = true, "quiet time"
		case p.excepts(sc) == fitsMaybe:
			d.DryRun, d.Reason = true, unknownExcept
		}
		out = append(out, d)
	}
	return out
}

// touching leaves out what a dry run would do all the same.
func touching(all []Action) (some []Action) {
	for _, a := range all {
		if a.Kind.Touches() {
			some = append(some, a)
		}
	}
	return some
}

func (p *Policy) quiet(now time.Time) bool {
	for i := range p.Quiet {
		if p.Quiet[i].holds(now) {
			return true
		}
	}
	return false
}

// why returns why the policy does not hold, "" if it does.
func (p *Policy) why(a *alert.Alert, sc *scene.Scene) string {
	if !p.Enabled {
		return "it is disabled"
	}
	if a.Source == alert.SourceInternal {
		return "the alert is about Rollcage itself"
	}
	if why := p.Rules.why(a); why != "" {
		return why
	}
	if sc == nil {
		sc = &scene.Scene{Host: a.Hostname}
		if !p.Scope.empty() {
			return "it is not known what the alert is about"
		}
	}
	if why := p.Scope.why(sc); why != "" {
		return why
	}
	if p.excepts(sc) == fitsYes {
		return "it is in scope.except"
	}
	return ""
}

// excepts says whether a scene is left out of the policy's scope.
func (p *Policy) excepts(sc *scene.Scene) fit {
	if p.Except.empty() || sc == nil {
		return fitsNot
	}
	f, _ := p.Except.judge(sc)
	return f
}

const unknownExcept = "what scope.except is about is not known of the container yet"

// Explanation says whether a policy holds.
type Explanation struct {
	Policy *Policy
	Holds  bool
	Why    string // if it does not hold, or only as a dry run
}

// Explain says of each policy whether it holds for an alert, and why not. It
// uses up no rate limit.
func (s *Set) Explain(a *alert.Alert, sc *scene.Scene, now time.Time) []Explanation {
	var out []Explanation
	for _, p := range s.Policies {
		e := Explanation{Policy: p, Why: p.why(a, sc)}
		e.Holds = e.Why == ""
		switch {
		case !e.Holds:
		case p.Mode() == Monitor:
			e.Why = "dry run: monitor mode"
		case p.quiet(now):
			e.Why = "dry run: quiet time"
		case p.excepts(sc) == fitsMaybe:
			e.Why = "dry run: " + unknownExcept
		}
		out = append(out, e)
	}
	return out
}

// Find returns the policy with that name, nil if there is none.
func (s *Set) Find(name string) *Policy {
	for _, p := range s.Policies {
		if p.Name == name {
			return p
		}
	}
	return nil
}
