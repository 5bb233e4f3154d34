package noise

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
)

// AppendYAML appends a proposal as an item of a rules file, with comments that
// say what is covered and what is not. set is the one that the rule is of.
func (p *Proposal) AppendYAML(b []byte, set *rule.Ruleset) []byte {
	b = fmt.Appendf(b, "# %s: %d of %d alerts are covered (%d %%).\n", oneLine(p.Rule), p.Covered, p.Alerts, 100*p.Covered/max(p.Alerts, 1))
	for _, why := range p.Refused {
		b = fmt.Appendf(b, "# Not covered: %s.\n", oneLine(why))
	}
	if len(p.Exceptions) == 0 {
		return append(b, '\n')
	}
	b = fmt.Appendf(b, "- rule: %s\n  exceptions:\n", quoteYAML(p.Rule))
	for _, x := range p.Exceptions {
		b = fmt.Appendf(b, "  - name: %s\n", x.Name)
		if !x.Known {
			b = fmt.Appendf(b, "    fields: [%s]\n    comps: [%s]\n", joinYAML(x.Fields), joinYAML(x.Comps))
		}
		b = append(b, "    values:\n"...)
		for _, row := range x.Rows {
			b = row.append(b, x.Comps, set)
		}
	}
	return append(b, "  override: {exceptions: append}\n\n"...)
}

func (r *Row) append(b []byte, comps []string, set *rule.Ruleset) []byte {
	hosts := "host"
	if r.Hosts != 1 {
		hosts = "hosts"
	}
	b = fmt.Appendf(b, "    # %d alerts on %d %s, %s to %s", r.Alerts, r.Hosts, hosts, oneLine(r.First), oneLine(r.Last))
	if r.Command != "" {
		b = fmt.Appendf(b, ", for instance: %s", oneLine(r.Command))
	}
	b = append(b, "\n    - ["...)
	for i, values := range r.Values {
		if i > 0 {
			b = append(b, ", "...)
		}
		var quoted []string
		for _, v := range values {
			quoted = append(quoted, quoteCondition(v, set))
		}
		if list := joinYAML(quoted); comps[i] == "in" || comps[i] == "pmatch" {
			b = fmt.Appendf(b, "[%s]", list)
		} else {
			b = append(b, list...)
		}
	}
	return append(b, "]\n"...)
}

// quoteCondition writes a value as a condition takes it, which exceptions put
// into conditions as it is. The name of a list would be replaced by its items.
func quoteCondition(v string, set *rule.Ruleset) string {
	q := filter.QuoteValue(v)
	for _, l := range set.Lists {
		if l.Name == q {
			return `"` + q + `"`
		}
	}
	return q
}

// joinYAML writes strings as the elements of a sequence in one line.
func joinYAML(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, quoteYAML(s))
	}
	return strings.Join(out, ", ")
}

// plain are the strings that are written without quotes, if they are no words
// of YAML.
var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./@ -]*$`)

// quoteYAML writes a string without line breaks as a scalar.
func quoteYAML(s string) string {
	if b, err := yaml.Marshal(s); err == nil && plain.MatchString(s) && string(b) == s+"\n" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// longestLine is how long a text in a comment is at most, in bytes.
const longestLine = 300

// oneLine returns a text that fits into a comment: alerts are data of others.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '�'
		}
		return r
	}, s)
	if len(s) > longestLine {
		return strings.ToValidUTF8(s[:longestLine], "") + "…"
	}
	return s
}
