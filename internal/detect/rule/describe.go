package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
)

// Description is what describing a ruleset gives, in the shape of Falco's -L.
type Description struct {
	EngineVersion string              `json:"required_engine_version,omitempty"`
	Plugins       []PluginRequirement `json:"required_plugin_versions,omitempty"`
	Rules         []RuleDescription   `json:"rules"`
	Macros        []MacroDescription  `json:"macros,omitempty"`
	Lists         []ListDescription   `json:"lists,omitempty"`
}

// RuleDescription describes a rule.
type RuleDescription struct {
	Info    RuleInfo    `json:"info"`
	Details RuleDetails `json:"details"`
}

// RuleInfo is what a rule says of itself.
type RuleInfo struct {
	Name            string   `json:"name"`
	Condition       string   `json:"condition"`
	Priority        string   `json:"priority"`
	Output          string   `json:"output"`
	Description     string   `json:"description"`
	Enabled         bool     `json:"enabled"`
	Source          string   `json:"source"`
	Capture         bool     `json:"capture"`
	CaptureDuration int64    `json:"capture_duration"` // ms
	Tags            []string `json:"tags"`
}

// RuleDetails is what follows from a rule. Macros and lists are those that
// the written condition names itself.
type RuleDetails struct {
	Macros             []string          `json:"macros"`
	Lists              []string          `json:"lists"`
	Operators          []string          `json:"condition_operators"`
	Fields             []string          `json:"condition_fields"`
	OutputFields       []string          `json:"output_fields"`
	ExceptionFields    []string          `json:"exception_fields"`
	ExceptionNames     []string          `json:"exception_names"`
	ExceptionOperators []string          `json:"exception_operators"`
	Events             []string          `json:"events"`
	ConditionCompiled  string            `json:"condition_compiled"`
	OutputCompiled     string            `json:"output_compiled"`
	Plugins            []string          `json:"plugins"`
	ExtraFields        map[string]string `json:"extra_output_formatted_fields,omitempty"`
}

// MacroDescription describes a macro.
type MacroDescription struct {
	Info struct {
		Name      string `json:"name"`
		Condition string `json:"condition"`
	} `json:"info"`
	Details struct {
		Used              bool     `json:"used"`
		Macros            []string `json:"macros"`
		Lists             []string `json:"lists"`
		Operators         []string `json:"condition_operators"`
		Fields            []string `json:"condition_fields"`
		Events            []string `json:"events"`
		ConditionCompiled string   `json:"condition_compiled"`
		Plugins           []string `json:"plugins"`
	} `json:"details"`
}

// ListDescription describes a list; Info.Items are those that are no lists themselves.
type ListDescription struct {
	Info struct {
		Name  string   `json:"name"`
		Items []string `json:"items"`
	} `json:"info"`
	Details struct {
		Used     bool     `json:"used"`
		Lists    []string `json:"lists"`
		Compiled []string `json:"items_compiled"`
		Plugins  []string `json:"plugins"`
	} `json:"details"`
}

// Describe describes the whole ruleset.
func (s *Ruleset) Describe() *Description {
	d := &Description{Plugins: s.Plugins, Rules: []RuleDescription{}}
	if s.EngineVersion != nil {
		d.EngineVersion = s.EngineVersion.String()
	}
	for _, r := range s.Rules {
		d.Rules = append(d.Rules, s.describeRule(r))
	}
	for _, m := range s.Macros {
		d.Macros = append(d.Macros, m.describe())
	}
	for _, l := range s.Lists {
		d.Lists = append(d.Lists, l.describe())
	}
	return d
}

// DescribeRule describes one rule. It reports false if there is none of that name.
func (s *Ruleset) DescribeRule(name string) (*Description, bool) {
	r := s.Lookup(name)
	if r == nil {
		return nil, false
	}
	return &Description{Rules: []RuleDescription{s.describeRule(r)}}, true
}

// notNil makes an absent list an empty one, which JSON tells apart.
func notNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (s *Ruleset) describeRule(r *Rule) RuleDescription {
	var d RuleDescription
	d.Info = RuleInfo{
		Name: r.Name, Condition: r.Condition, Priority: r.Priority.String(), Output: r.output, Description: r.Description,
		Enabled: r.Enabled, Source: r.Source, Capture: r.Capture, CaptureDuration: r.CaptureDuration.Milliseconds(),
		Tags: notNil(r.Tags),
	}
	selected := filter.Select(r.node)
	selected.Types.Add(event.ASYNCEVENT_E)
	d.Details = RuleDetails{
		Macros: notNil(r.written.macros), Lists: notNil(r.written.lists),
		Operators: notNil(filter.UsedOperators(r.node)), Fields: notNil(filter.UsedFields(r.node)),
		OutputFields: []string{}, ExceptionNames: notNil(r.Exceptions), Events: notNil(selected.Names()),
		ConditionCompiled: filter.Print(r.node), OutputCompiled: r.Output, Plugins: []string{},
	}
	if f, err := s.schema.ParseFormat(r.Output); err == nil {
		d.Details.OutputFields = notNil(fieldNames(f))
	}
	exFields, exOps := map[string]bool{}, map[string]bool{}
	for _, x := range r.exceptions {
		for i, f := range x.fields {
			exFields[f.node.Value], exOps[x.comps[i].node.Value] = true, true
		}
	}
	d.Details.ExceptionFields = notNil(slices.Sorted(maps.Keys(exFields)))
	d.Details.ExceptionOperators = notNil(slices.Sorted(maps.Keys(exOps)))
	for _, f := range r.ExtraFields {
		if d.Details.ExtraFields == nil {
			d.Details.ExtraFields = map[string]string{}
		}
		d.Details.ExtraFields[f.Key] = f.format()
	}
	return d
}

func (m *Macro) describe() (d MacroDescription) {
	d.Info.Name, d.Info.Condition = m.Name, m.Condition
	selected := filter.Select(m.expr.node)
	selected.Types.Add(event.ASYNCEVENT_E)
	d.Details.Used = m.Used
	d.Details.Macros, d.Details.Lists = notNil(m.expr.macros), notNil(m.expr.lists)
	d.Details.Operators = notNil(filter.UsedOperators(m.expr.node))
	d.Details.Fields = notNil(filter.UsedFields(m.expr.node))
	d.Details.Events = notNil(selected.Names())
	d.Details.ConditionCompiled = filter.Print(m.expr.node)
	d.Details.Plugins = []string{}
	return d
}

func (l *List) describe() (d ListDescription) {
	d.Info.Name = l.Name
	d.Info.Items = []string{}
	for _, i := range l.Items {
		if !slices.Contains(l.lists, i) {
			d.Info.Items = append(d.Info.Items, i)
		}
	}
	d.Details.Used, d.Details.Lists, d.Details.Compiled = l.Used, notNil(l.lists), notNil(l.Compiled)
	d.Details.Plugins = []string{}
	return d
}

// Table returns names and descriptions of the rules in two columns, as
// Falco's -L prints them.
func (d *Description) Table() string {
	const nameWidth, textWidth = 50, 110
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s %s\n", nameWidth, "Rule", "Description")
	fmt.Fprintf(&b, "%-*s %s\n", nameWidth, "----", "-----------")
	for _, r := range d.Rules {
		names, texts := wrap(r.Info.Name, nameWidth), wrap(r.Info.Description, textWidth)
		for i := range max(len(names), len(texts)) {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s %s", nameWidth, at(names, i), at(texts, i)), " ") + "\n")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// wrap breaks a text into lines of at most width characters, between words
// where it can.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
