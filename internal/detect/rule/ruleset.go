package rule

import (
	"cmp"
	"time"

	"rollcage/internal/detect/filter"
)

// Ruleset is what rules files define, checked and with everything put in. It
// does not change once loaded and may be shared.
type Ruleset struct {
	// Rules are the rules that compile, in the order of their first definition,
	// whether enabled or not.
	Rules  []*Rule
	Macros []*Macro
	Lists  []*List
	// EngineVersion is the highest version that a file requires, nil if none does.
	EngineVersion *Version
	// Plugins are the plugins that the files require.
	Plugins []PluginRequirement

	schema *filter.Schema
}

// Rule is a condition and what to tell when it is true. It does not change.
type Rule struct {
	Name        string
	Description string
	// Condition is the condition as written, with what was appended, without exceptions.
	Condition string
	// Output is the format of the message, with what AppendOutput added.
	Output string
	// ExtraFields are shown beside the fields of the output.
	ExtraFields []ExtraField
	Priority    Priority
	Source      string
	Tags        []string // sorted
	// Enabled is what the files say; a [Selection] may say otherwise.
	Enabled bool
	// Capture asks for a capture file when the rule matches, for as long as
	// CaptureDuration, 0 for the configured time.
	Capture         bool
	CaptureDuration time.Duration
	// Position is where the rule was defined last.
	Position Position
	// Exceptions are the names of the rule's exceptions.
	Exceptions []string
	// History is what made the rule what it is, first to last.
	History []Contribution

	node       filter.Node // everything put in
	written    *expr
	output     string // as written
	exceptions []*exceptionDef
}

// Macro is a named part of conditions.
type Macro struct {
	Name      string
	Condition string // as written, with what was appended
	Used      bool
	Position  Position
	History   []Contribution

	expr *expr
}

// List is a named list of values.
type List struct {
	Name string
	// Items are the items as written; Compiled has lists replaced by their items.
	Items    []string
	Compiled []string
	Used     bool
	Position Position
	History  []Contribution

	lists []string // those among the items
}

// Node returns the rule's condition with lists, macros and exceptions put in.
// It must not be changed.
func (r *Rule) Node() filter.Node { return r.node }

// Compiled returns the condition with everything put in, as text.
func (r *Rule) Compiled() string { return filter.Print(r.node) }

// Lookup returns the rule with that name, or nil.
func (s *Ruleset) Lookup(name string) *Rule {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// ParseFormat compiles an output format over the fields that the ruleset knows.
func (s *Ruleset) ParseFormat(text string) (*filter.Format, error) {
	return s.fields().ParseFormat(text)
}

func (s *Ruleset) fields() *filter.Schema { return cmp.Or(s.schema, filter.Standard) }

// NewProgram returns an empty program over the fields that the ruleset knows.
func (s *Ruleset) NewProgram() *filter.Program { return s.fields().NewProgram() }
