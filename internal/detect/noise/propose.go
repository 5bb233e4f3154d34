package noise

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"rollcage/internal/detect/rule"
)

// Options say what is noise.
type Options struct {
	// Least is how many alerts of one kind are noise, 5 if 0.
	Least int
	// Most is how many rows are proposed for a rule, 20 if 0.
	Most int
}

// Proposal is what is proposed for a rule.
type Proposal struct {
	Rule    string `json:"rule"`
	Alerts  int    `json:"alerts"`  // that were recorded
	Covered int    `json:"covered"` // of them, by the exceptions
	// Exceptions are those to append, none if nothing can be proposed.
	Exceptions []*Exception `json:"exceptions,omitempty"`
	// Refused says why some noise is left, for people.
	Refused []string `json:"not_covered,omitempty"`
}

// Exception is one to append to a rule.
type Exception struct {
	Name string `json:"name"`
	// Known is set if the rule has the exception already and only values are added.
	Known  bool     `json:"known"`
	Fields []string `json:"fields"`
	Comps  []string `json:"comps"`
	Rows   []*Row   `json:"rows"`
}

// Row is a combination of values.
type Row struct {
	Values  [][]string `json:"values"` // for each field, one or more
	Alerts  int        `json:"alerts"`
	First   string     `json:"first"` // time of the first and last alert
	Last    string     `json:"last"`
	Hosts   int        `json:"hosts"`
	Command string     `json:"command,omitempty"` // of the last alert, for people
}

// Propose proposes exceptions for the rules of a set from alerts that they raised.
func Propose(alerts []Alert, set *rule.Ruleset, opts Options) []*Proposal {
	opts.Least, opts.Most = cmp.Or(opts.Least, 5), cmp.Or(opts.Most, 20)
	byRule := map[string][]Alert{}
	for _, a := range alerts {
		byRule[a.Rule] = append(byRule[a.Rule], a)
	}
	var out []*Proposal
	for _, name := range slices.Sorted(maps.Keys(byRule)) {
		p := &Proposal{Rule: name, Alerts: len(byRule[name])}
		if r := set.Lookup(name); r == nil {
			p.refuse("the rule is not in these rules files: name the file that has it with --rules")
		} else {
			p.propose(byRule[name], r, opts)
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b *Proposal) int { return cmp.Compare(b.Alerts, a.Alerts) })
	return out
}

func (p *Proposal) refuse(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if !slices.Contains(p.Refused, why) {
		p.Refused = append(p.Refused, why)
	}
}

// group is alerts of one program in one place.
type group struct {
	who    []cell
	alerts []Alert
}

// cell is a field with the values that an exception allows it.
type cell struct {
	field  string
	comp   string
	values []string
}

func (p *Proposal) propose(alerts []Alert, r *rule.Rule, opts Options) {
	groups := map[string]*group{}
	for _, a := range alerts {
		who, why := identity(a)
		if why != "" {
			p.refuse("%s", why)
			continue
		}
		key := fmt.Sprint(who)
		if groups[key] == nil {
			groups[key] = &group{who: who}
		}
		groups[key].alerts = append(groups[key].alerts, a)
	}
	order := slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(b.alerts), len(a.alerts)), cmp.Compare(fmt.Sprint(a.who), fmt.Sprint(b.who)))
	})
	rows := 0
	for _, g := range order {
		switch {
		case len(g.alerts) < opts.Least:
			p.refuse("what raised fewer than %d alerts is left", opts.Least)
			continue
		case rows == opts.Most:
			p.refuse("%d values are the most for one rule; except what is left by hand, or ask whether the rule is for this host", opts.Most)
			continue
		}
		cells, why := g.narrow()
		if why != "" {
			p.refuse("%s", why)
			continue
		}
		rows++
		p.Covered += len(g.alerts)
		p.add(cells, g, r)
	}
}

// add puts a row into the exception that has its fields and operators.
func (p *Proposal) add(cells []cell, g *group, r *rule.Rule) {
	x := &Exception{}
	row := &Row{Alerts: len(g.alerts)}
	for _, c := range cells {
		x.Fields, x.Comps = append(x.Fields, c.field), append(x.Comps, c.comp)
		row.Values = append(row.Values, c.values)
	}
	hosts := map[string]bool{}
	for _, a := range g.alerts {
		hosts[a.Host] = true
		if row.First == "" || a.Time < row.First {
			row.First = a.Time
		}
		row.Last = max(row.Last, a.Time)
		row.Command = a.Fields["proc.cmdline"]
	}
	row.Hosts = len(hosts)
	for _, known := range p.Exceptions {
		if slices.Equal(known.Fields, x.Fields) && slices.Equal(known.Comps, x.Comps) {
			known.Rows = append(known.Rows, row)
			return
		}
	}
	p.name(x, r)
	x.Rows = append(x.Rows, row)
	p.Exceptions = append(p.Exceptions, x)
}

// name gives an exception a name that says what it is about. One that the
// rule has with the same fields is used; another one of the name is not.
func (p *Proposal) name(x *Exception, r *rule.Rule) {
	words := []string{"tuned"}
	for i, f := range x.Fields {
		word := cmp.Or(fieldWords[f], strings.NewReplacer(".", "_", "[", "_", "]", "").Replace(f))
		if x.Comps[i] == "pmatch" {
			word += "_folder"
		}
		words = append(words, word)
	}
	base := strings.Join(words, "_")
	for n := 1; ; n++ {
		x.Name = base
		if n > 1 {
			x.Name = fmt.Sprintf("%s_%d", base, n)
		}
		fields, comps, known := r.Exception(x.Name)
		if x.Known = known && slices.Equal(fields, x.Fields) && slices.Equal(comps, x.Comps); x.Known {
			return
		}
		if !known && !slices.ContainsFunc(p.Exceptions, func(o *Exception) bool { return o.Name == x.Name }) {
			return
		}
	}
}

var fieldWords = map[string]string{
	fieldImage: "image", fieldContainer: "host", fieldProgram: "program", fieldParentPath: "parent", fieldParent: "parent",
	"user.name": "user", "user.uid": "uid", "fd.name": "file", fieldCommand: "command", "fd.sport": "port", "fd.rport": "port",
	"fd.sip": "server", "fd.rip": "server", "fs.path.name": "path", "k8s.ns.name": "namespace",
}

// common returns the longest folder that all paths are below, "" for none
// that says something.
func common(paths []string) string {
	parts := strings.Split(path.Dir(paths[0]), "/")
	for _, p := range paths[1:] {
		other := strings.Split(path.Dir(p), "/")
		n := 0
		for n < len(parts) && n < len(other) && parts[n] == other[n] {
			n++
		}
		parts = parts[:n]
	}
	if len(parts) < 3 { // "", "var", "lib"
		return ""
	}
	return strings.Join(parts, "/")
}
