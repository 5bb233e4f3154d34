package rule

import (
	"slices"
	"strings"
)

// Selection enables or disables the rules that fit Rule, Tag or both, in that order.
type Selection struct {
	Enable bool
	// Rule is a name, or a pattern in which * stands for any characters.
	Rule string
	Tag  string
}

// matchName reports whether a rule's name fits a pattern, in which * stands for
// any characters. As in Falco, the pieces between the stars are each looked
// for once, from the left: *ab does not fit abcab, whose first ab is not at the end.
func matchName(pattern, name string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, pieces[0]) {
		return false
	}
	name = name[len(pieces[0]):]
	for _, p := range pieces[1 : len(pieces)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	last := pieces[len(pieces)-1]
	i := strings.Index(name, last)
	return last == "" || i >= 0 && i+len(last) == len(name)
}

// selected returns the rules that run: not less severe than threshold,
// enabled by the files or a selection.
func (s *Ruleset) selected(threshold Priority, selections []Selection) []*Rule {
	enabled := map[*Rule]bool{}
	for _, r := range s.Rules {
		enabled[r] = r.Enabled
	}
	for _, sel := range selections {
		for _, r := range s.Rules {
			if sel.Rule != "" && matchName(sel.Rule, r.Name) || sel.Tag != "" && slices.Contains(r.Tags, sel.Tag) {
				enabled[r] = sel.Enable
			}
		}
	}
	var out []*Rule
	for _, r := range s.Rules {
		if enabled[r] && r.Priority <= threshold {
			out = append(out, r)
		}
	}
	return out
}
