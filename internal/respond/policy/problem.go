package policy

import (
	"fmt"
	"strings"

	"rollcage/internal/detect/rule"
)

// Problem is an error or a warning about a file of policies.
type Problem struct {
	Position   rule.Position
	Message    string
	Suggestion string // what was probably meant, or ""
	Warning    bool
	Line       string // the text of the line
}

// Error returns position and message in one line.
func (p *Problem) Error() string {
	if p.Position.Line == 0 {
		return p.Position.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.Position.File, p.Position.Line, p.Position.Column, p.Message)
}

// Format returns the problem for a person: place, kind and message, the line
// with a caret below the place, and the suggestion.
func (p *Problem) Format() string {
	var b strings.Builder
	kind := "error"
	if p.Warning {
		kind = "warning"
	}
	head := p.Error()
	fmt.Fprintf(&b, "%s%s: %s\n", head[:len(head)-len(p.Message)], kind, p.Message)
	if strings.TrimSpace(p.Line) != "" && len(p.Line) < 200 {
		fmt.Fprintf(&b, "    %s\n    %s^\n", p.Line, strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, p.Line[:min(max(p.Position.Column-1, 0), len(p.Line))]))
	}
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "    %s\n", p.Suggestion)
	}
	return b.String()
}
