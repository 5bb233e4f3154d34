package view

import (
	"strconv"
	"strings"
)

// Path is where one is: the view at hand and the rows that were chosen in the
// views before it.
type Path struct {
	// Filter is the condition that the user started with.
	Filter string
	Steps  []Step // the last one is the view at hand
}

// Step is a view on a path and the row that was chosen in it.
type Step struct {
	View *View
	// Key is the field that tells the rows of the view apart, Value the key of
	// the chosen row, which may hold what is not printable; both are "" in the last step.
	Key, Value string
}

// NewPath returns a path that starts with a view.
func NewPath(v *View, filter string) Path { return Path{Filter: filter, Steps: []Step{{View: v}}} }

// View returns the view at hand.
func (p Path) View() *View { return p.Steps[len(p.Steps)-1].View }

// Depth returns the level of the drill-down, 0 at the start.
func (p Path) Depth() int { return len(p.Steps) - 1 }

// Key returns the field by whose value the view at hand was opened, "" at the start.
func (p Path) Key() string {
	if len(p.Steps) < 2 {
		return ""
	}
	return p.Steps[len(p.Steps)-2].Key
}

// Down returns the path to view to for one row of the view at hand.
func (p Path) Down(to *View, containers bool, value string) Path {
	steps := append([]Step(nil), p.Steps...)
	last := &steps[len(steps)-1]
	last.Key, last.Value = last.View.KeyField(containers), value
	return Path{p.Filter, append(steps, Step{View: to})}
}

// Up returns the path without its last step; at the start it stays.
func (p Path) Up() Path {
	if len(p.Steps) < 2 {
		return p
	}
	steps := append([]Step(nil), p.Steps[:len(p.Steps)-1]...)
	last := &steps[len(steps)-1]
	last.Key, last.Value = "", ""
	return Path{p.Filter, steps}
}

// Switch returns the path with another view at its end.
func (p Path) Switch(to *View) Path {
	steps := append([]Step(nil), p.Steps...)
	steps[len(steps)-1].View = to
	return Path{p.Filter, steps}
}

// Views returns the views that fit where the path is, by name.
func (p Path) Views() []*View {
	var out []*View
	for _, v := range catalog {
		if v.AppliesFrom(p.Key()) {
			out = append(out, v)
		}
	}
	return out
}

// Condition returns the condition of the events below the chosen rows: all but
// the own one of the view at hand.
func (p Path) Condition() string {
	parts := []string{p.Filter}
	for depth, s := range p.Steps[:len(p.Steps)-1] {
		parts = append(parts, expandDepth(s.condition(), depth, 1))
	}
	return and(parts...)
}

// condition is what the chosen row of a step says about an event.
func (s *Step) condition() string {
	own := s.View.Filter
	if s.View.NoFilter {
		own = ""
	}
	return and(own, s.Key+"="+Quote(s.Value))
}

// Quote writes a text as the value of a condition. A backslash is written with
// a blank behind it, since one before the last quote would not end the text.
func Quote(text string) string {
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\ `, `"`, `\"`).Replace(text) + `"`
}
