package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// Rules are rules that are ready to judge: compiled, with the formats of their
// alerts.
type Rules struct {
	// Files are what the rules were read from and Configs what said which and
	// how, for those who want to know what runs. The caller of NewRules sets them.
	Files, Configs []File

	engine    *rule.Engine
	formatter *alert.Formatter
	matched   []*atomic.Uint64 // by Match.Index, set once an agent has them
}

// File is a file that was loaded, with its SHA-256 in hexadecimal digits.
type File struct{ Name, SHA256 string }

// NewFile returns what is told of a file with that content.
func NewFile(name string, data []byte) File {
	h := sha256.Sum256(data)
	return File{name, hex.EncodeToString(h[:])}
}

// NewRules makes an engine ready to judge. The engine belongs to the rules from now on.
func NewRules(e *rule.Engine, opts alert.FormatterOptions) (*Rules, error) {
	f, err := alert.NewFormatter(e, opts)
	if err != nil {
		return nil, err
	}
	if err := e.SetCanary(canaryCondition()); err != nil {
		return nil, err
	}
	return &Rules{engine: e, formatter: f}, nil
}

// Interest returns the events that a rule can match.
func (r *Rules) Interest() event.Interest { return r.engine.Interest() }

// Len returns the number of rules.
func (r *Rules) Len() int { return len(r.engine.Rules()) }

// Running returns the rules that run.
func (r *Rules) Running() []*rule.Rule {
	var running []*rule.Rule
	for _, m := range r.engine.Rules() {
		running = append(running, m.Rule)
	}
	return running
}

// Ruleset returns the set that the rules are of, with those that do not run.
func (r *Rules) Ruleset() *rule.Ruleset { return r.engine.Ruleset() }
