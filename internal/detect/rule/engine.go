package rule

import (
	"context"
	"fmt"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Matching says how many rules an event may match.
type Matching uint8

const (
	// MatchFirst ends the search at the first rule that matches.
	MatchFirst Matching = iota
	// MatchAll finds every rule that matches.
	MatchAll
)

// EngineOptions say which rules of a set an engine runs.
type EngineOptions struct {
	// Threshold is the least severe priority that runs.
	Threshold Priority
	// Selections enable and disable rules, in order, after what the files say.
	Selections []Selection
	Matching   Matching
}

// Match is a rule that runs. An engine hands out the same Match each time the
// rule matches; it does not change.
type Match struct {
	*Rule
	// Index is the rule's number among those that run, from 0.
	Index int

	cond filter.CondID
}

// Engine judges events by the rules of a set. Which rules it runs is settled
// when it is made: to change the rules, make another engine and put it in the
// place of this one. It is used by one goroutine.
type Engine struct {
	set      *Ruleset
	program  *filter.Program
	rules    []*Match
	byType   [][]*Match // rules whose condition can be true for the type
	first    bool
	found    []*Match
	interest event.Interest
	canary   *canary // nil if there is none
}

// canary tells acts of this program itself apart from what is to be judged.
type canary struct {
	types event.TypeSet
	cond  filter.CondID
	found []*Match // what Process returns for it
}

// NewEngine compiles the rules of a set that the options select into one
// program, and starts to look up the host names in them.
func NewEngine(set *Ruleset, opts EngineOptions) (*Engine, error) {
	e := &Engine{
		set: set, program: set.NewProgram(), byType: make([][]*Match, event.Count()), first: opts.Matching == MatchFirst,
	}
	for _, r := range set.selected(opts.Threshold, opts.Selections) {
		if r.Source != defaultSource {
			continue
		}
		cond, _, err := e.program.Add(r.node)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		m := &Match{Rule: r, Index: len(e.rules), cond: cond}
		e.rules = append(e.rules, m)
		e.index(m, filter.Select(r.node))
		if filter.UsesLatency(r.node) || strings.Contains(r.Output, "%evt.latency") {
			e.interest.Latency = true
		}
	}
	e.found = make([]*Match, 0, len(e.rules))
	e.program.LookUpHosts()
	return e, nil
}

// AwaitHosts waits until the host names in the conditions were looked up, or
// ctx ends. It may be called by another goroutine than the one that judges.
func (e *Engine) AwaitHosts(ctx context.Context) { e.program.AwaitHosts(ctx) }

// index notes for which events the rule is to be asked. Asynchronous events
// go to every rule.
func (e *Engine) index(m *Match, s filter.Selection) {
	s.Types.Add(event.ASYNCEVENT_E)
	for t := range e.byType {
		if s.Types.Has(event.Type(t)) {
			e.byType[t] = append(e.byType[t], m)
		}
	}
	e.interest.Types.Union(&s.Types)
	e.interest.Syscalls.Union(&s.Codes)
}

// Process returns the rules that match the event, in the order of the set.
// The slice is valid until the next call.
func (e *Engine) Process(he *host.Event) []*Match {
	if c := e.canary; c != nil && c.types.Has(he.Type()) && e.program.Eval(c.cond, he) {
		return c.found
	}
	found := e.found[:0]
	for _, m := range e.byType[he.Type()] {
		if !e.program.Eval(m.cond, he) {
			continue
		}
		found = append(found, m)
		if e.first {
			break
		}
	}
	return found
}

// SetCanary names the events that this program causes to see whether they
// are detected. For one that the condition is true for, Process returns a
// single Match with Index -1, which is no rule, and judges no further. It is
// called before the first event.
func (e *Engine) SetCanary(condition string) error {
	node, err := filter.Parse(condition)
	if err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	cond, _, err := e.program.Add(node)
	if err != nil {
		return fmt.Errorf("canary: %w", err)
	}
	s := filter.Select(node)
	e.interest.Types.Union(&s.Types)
	e.interest.Syscalls.Union(&s.Codes)
	e.canary = &canary{types: s.Types, cond: cond, found: []*Match{{Rule: &Rule{Name: "canary"}, Index: -1}}}
	return nil
}

// Ruleset returns the set that the engine was made for.
func (e *Engine) Ruleset() *Ruleset { return e.set }

// Rules returns the rules that run, by their Index. The slice is shared.
func (e *Engine) Rules() []*Match { return e.rules }

// Interest returns the events that a rule can match.
func (e *Engine) Interest() event.Interest { return e.interest }

// Types returns the event types that a rule can match.
func (e *Engine) Types() event.TypeSet { return e.interest.Types }

// Size returns the number of distinct parts that the conditions consist of.
func (e *Engine) Size() int { return e.program.Size() }
