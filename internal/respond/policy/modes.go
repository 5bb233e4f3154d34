package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/disk"
)

// KeepModes makes the modes that are switched at run time last: it applies
// those in the file at path, and SetMode writes them there.
func (s *Set) KeepModes(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modes = path
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("modes of policies: %w", err)
	}
	switched := map[string]string{}
	if err := json.Unmarshal(b, &switched); err != nil {
		return fmt.Errorf("modes of policies: %s: %w", path, err)
	}
	s.switched = switched
	for name, mode := range switched {
		p := s.Find(name)
		if m, ok := ParseMode(mode); ok && p != nil {
			p.mode.Store(uint32(m))
		}
	}
	return nil
}

// SetMode switches a policy's mode, from the next alert on. The mode lasts
// over restarts if KeepModes was called, until it is switched again, also while the policy is missing from a set.
func (s *Set) SetMode(name string, m Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.Find(name)
	if p == nil {
		return fmt.Errorf("no policy %q%s", name, didYouMean(name, s.names()))
	}
	old := p.Mode()
	p.mode.Store(uint32(m))
	if s.modes == "" {
		return nil
	}
	// What is said of policies that this set lacks stays: they may be back with the next reload.
	switched := maps.Clone(s.switched)
	if switched == nil {
		switched = map[string]string{}
	}
	for _, p := range s.Policies {
		delete(switched, p.Name)
		if p.Mode() != p.written {
			switched[p.Name] = p.Mode().String()
		}
	}
	b, err := json.MarshalIndent(switched, "", "  ")
	if err == nil {
		err = disk.Replace(s.modes, append(b, '\n'))
	}
	if err != nil {
		p.mode.Store(uint32(old))
		return fmt.Errorf("modes of policies: %w", err)
	}
	s.switched = switched
	return nil
}

// Disarm switches every policy to Monitor, and has that last as SetMode does.
func (s *Set) Disarm() error {
	for _, p := range s.Policies {
		if p.Mode() != Monitor {
			if err := s.SetMode(p.Name, Monitor); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Set) names() (names []string) {
	for _, p := range s.Policies {
		names = append(names, p.Name)
	}
	return names
}

func didYouMean(word string, known []string) string {
	if best := event.Nearest(word, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// Unused returns warnings about names, tags and exceptions of policies that
// fit none of the rules.
func (s *Set) Unused(rules []*rule.Rule) (warnings []*Problem) {
	var names, tags []string
	for _, r := range rules {
		names, tags = append(names, r.Name), append(tags, r.Tags...)
	}
	for _, p := range s.Policies {
		for _, list := range []struct {
			what            string
			patterns, known []string
		}{{"rule", p.Rules.Names, names}, {"tag", p.Rules.Tags, tags}, {"rule", p.Rules.Except, names}} {
			for _, pattern := range list.patterns {
				if !anyMatches(pattern, list.known) {
					w := &Problem{Position: p.Position, Warning: true, Message: fmt.Sprintf("policy %q: no %s fits %q", p.Name, list.what, pattern)}
					if best := event.Nearest(pattern, list.known); best != "" {
						w.Suggestion = fmt.Sprintf("did you mean %q?", best)
					}
					warnings = append(warnings, w)
				}
			}
		}
	}
	return warnings
}

func anyMatches(pattern string, words []string) bool {
	for _, w := range words {
		if Match(pattern, w) {
			return true
		}
	}
	return false
}
