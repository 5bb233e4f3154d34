package rule

import "rollcage/internal/detect/filter"

// Find returns the rules whose name fits a pattern, in which * stands for any
// characters, in the order of the set.
func (s *Ruleset) Find(pattern string) []*Rule {
	var found []*Rule
	for _, r := range s.Rules {
		if matchName(pattern, r.Name) {
			found = append(found, r)
		}
	}
	return found
}

// Events returns the names of the events and system calls that the rule can match, sorted.
func (r *Rule) Events() []string {
	s := filter.Select(r.node)
	return s.Names()
}
