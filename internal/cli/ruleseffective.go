package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"rollcage/internal/detect/rule"
)

// effectiveDoc is a rule after everything that changed it, in JSON.
type effectiveDoc struct {
	ruleDoc
	Compiled   string              `json:"condition_compiled"`
	Parts      *rule.Outline       `json:"parts"`
	Exceptions []string            `json:"exceptions"`
	History    []rule.Contribution `json:"history"`
	Macros     []partDoc           `json:"macros"`
	Lists      []partDoc           `json:"lists"`
}

// partDoc is a macro or list that a rule uses.
type partDoc struct {
	Name      string              `json:"name"`
	Condition string              `json:"condition,omitempty"`
	Items     []string            `json:"items,omitempty"`
	History   []rule.Contribution `json:"history"`
}

func printEffective(w io.Writer, set *rule.Ruleset, rules []*rule.Rule, output string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i, r := range rules {
		e := set.Effective(r)
		if output == outputJSON {
			if err := enc.Encode(documentEffective(e)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeEffective(w, e); err != nil {
			return err
		}
	}
	return nil
}

func documentEffective(e *rule.Effective) effectiveDoc {
	doc := effectiveDoc{
		ruleDoc: documentRule(e.Rule), Compiled: e.Rule.Compiled(), Parts: e.Condition,
		Exceptions: append([]string{}, e.Rule.Exceptions...), History: e.Rule.History, Macros: []partDoc{}, Lists: []partDoc{},
	}
	for _, m := range e.Macros {
		doc.Macros = append(doc.Macros, partDoc{Name: m.Name, Condition: m.Condition, History: m.History})
	}
	for _, l := range e.Lists {
		doc.Lists = append(doc.Lists, partDoc{Name: l.Name, Items: l.Items, History: l.History})
	}
	return doc
}

// placed is a line of text with the place that it comes from.
type placed struct{ text, place string }

func at(p rule.Position) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

func writeEffective(w io.Writer, e *rule.Effective) error {
	r := e.Rule
	enabled := "enabled"
	if !r.Enabled {
		enabled = "disabled"
	}
	lines := outlineLines(nil, e.Condition, "    ")
	width := 0
	for _, l := range lines {
		width = max(width, min(len(l.text), 100))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %s)\n  %s\n  output: %s\n  tags: %s\n  condition, as it is judged:\n", r.Name, r.Priority, enabled,
		strings.Join(strings.Fields(r.Description), " "), r.Output, strings.Join(r.Tags, " "))
	for _, l := range lines {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %s", width, l.text, l.place), " ") + "\n")
	}
	b.WriteString("  what made it:\n")
	writeHistory(&b, "rule", r.Name, r.History)
	for _, m := range e.Macros {
		writeHistory(&b, "macro", m.Name, m.History)
	}
	for _, l := range e.Lists {
		writeHistory(&b, "list", l.Name, l.History)
		fmt.Fprintf(&b, "      %s\n", clip(strings.Join(l.Compiled, ", "), 200))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeHistory(b *strings.Builder, kind, name string, history []rule.Contribution) {
	for _, c := range history {
		fmt.Fprintf(b, "    %s: %s %s %s\n", at(c.Position), kind, name, c.What)
	}
}

// outlineLines appends the lines of a condition.
func outlineLines(lines []placed, s *rule.Outline, indent string) []placed {
	switch s.Kind {
	case rule.StepCheck:
		return append(lines, placed{indent + clip(s.Text, 200), at(s.Position)})
	case rule.StepNot:
		if k := s.Parts[0]; k.Kind == rule.StepCheck {
			return append(lines, placed{indent + "not " + clip(k.Text, 200), at(k.Position)})
		}
		lines = append(lines, placed{indent + "not", ""})
	case rule.StepMacro:
		lines = append(lines, placed{indent + s.Name + " (macro)", at(s.Position)})
	case rule.StepException:
		lines = append(lines, placed{fmt.Sprintf("%sand not exception %q", indent, s.Name), ""})
	default:
		lines = append(lines, placed{indent + map[string]string{rule.StepAnd: "all of", rule.StepOr: "one of"}[s.Kind], ""})
	}
	for _, k := range s.Parts {
		lines = outlineLines(lines, k, indent+"  ")
	}
	return lines
}
