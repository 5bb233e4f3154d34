package agent

import (
	"sync/atomic"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// Rules are rules that are ready to judge: compiled, with the formats of their
// alerts.
type Rules struct {
	engine    *rule.Engine
	formatter *alert.Formatter
	matched   []*atomic.Uint64 // by Match.Index, set once an agent has them
}

// NewRules makes an engine ready to judge. The engine belongs to the rules from now on.
func NewRules(e *rule.Engine, opts alert.FormatterOptions) (*Rules, error) {
	f, err := alert.NewFormatter(e, opts)
	if err != nil {
		return nil, err
	}
	return &Rules{engine: e, formatter: f}, nil
}

// Interest returns the events that a rule can match.
func (r *Rules) Interest() event.Interest { return r.engine.Interest() }

// Len returns the number of rules.
func (r *Rules) Len() int { return len(r.engine.Rules()) }

// Ruleset returns the set that the rules are of, with those that do not run.
func (r *Rules) Ruleset() *rule.Ruleset { return r.engine.Ruleset() }
