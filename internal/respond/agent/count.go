package agent

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Stats are the counters of an agent since it was made.
type Stats struct {
	Source event.Stats
	State  host.Stats // as of a moment ago
	Alerts uint64     // raised by rules and sent
	Folded uint64     // held back and counted in summaries
	// Started is when the agent was made, Reloaded when rules were reloaded last, zero if never.
	Started, Reloaded      time.Time
	Reloads, ReloadsFailed uint64
	RulesLoaded            int    // rules at work
	Files, Configs         []File // what these were read from
	// Captures were begun, CapturesFailed of them could not be written whole, and
	// CaptureLost events are missing in them as the disk was too slow.
	Captures, CapturesFailed, CaptureLost uint64
	// Rules are all rules that run or ran since the start, in the order in which they came.
	Rules []RuleMatches
}

// RuleMatches says how often a rule matched.
type RuleMatches struct {
	*rule.Rule // as it is or was last
	Matches    uint64
}

// Stats returns the counters.
func (a *Agent) Stats() Stats {
	working := a.working.Load()
	s := Stats{
		Files: working.Files, Configs: working.Configs,
		Source: a.src.Stats(), State: *a.state.Load(), Alerts: a.alerts.Load(), Rules: a.counts.list(), Started: a.started,
		Reloads: a.reloads.Load(), ReloadsFailed: a.reloadsFailed.Load(), RulesLoaded: working.Len(),
		Captures: a.recorder.begun.Load(), CapturesFailed: a.recorder.failed.Load(), CaptureLost: a.recorder.lost.Load(),
	}
	if at := a.reloaded.Load(); at != 0 {
		s.Reloaded = time.Unix(0, at)
	}
	if a.folder != nil {
		s.Folded = a.folder.folded.Load()
	}
	return s
}

// counts are the numbers of matches by the names of the rules; they go on when
// the rules are swapped.
type counts struct {
	mu     sync.Mutex
	byName map[string]*count
	order  []*count
}

type count struct {
	rule *rule.Rule
	n    atomic.Uint64
}

// adopt gives each rule its counter.
func (c *counts) adopt(r *Rules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]*count{}
	}
	r.matched = make([]*atomic.Uint64, 0, r.Len())
	for _, m := range r.engine.Rules() {
		n := c.byName[m.Name]
		if n == nil {
			n = &count{}
			c.byName[m.Name] = n
			c.order = append(c.order, n)
		}
		n.rule = m.Rule
		r.matched = append(r.matched, &n.n)
	}
}

func (c *counts) list() []RuleMatches {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]RuleMatches, 0, len(c.order))
	for _, n := range c.order {
		out = append(out, RuleMatches{n.rule, n.n.Load()})
	}
	return slices.Clip(out)
}
