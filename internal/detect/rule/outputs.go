package rule

import (
	"maps"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// AppendOutput adds to the outputs of the rules that it fits: of that source
// (any if empty), with all those tags, with that name (any if empty).
type AppendOutput struct {
	Source string
	Tags   []string
	Rule   string

	// Output is appended after a blank.
	Output string
	// Fields are shown beside the fields of the output.
	Fields []ExtraField
	// Suggested appends the fields that say most for rules of any kind.
	Suggested bool
}

// ExtraField is shown in an alert's fields and not in its text.
type ExtraField struct {
	Key string
	// Format is an output format whose text is shown; if empty the value of the field named Key is.
	Format string
}

func (a *AppendOutput) fits(d *ruleDef) bool {
	if a.Source != "" && a.Source != d.source || a.Rule != "" && a.Rule != d.name {
		return false
	}
	return !slices.ContainsFunc(a.Tags, func(t string) bool { return !d.tags[t] })
}

// fullOutput returns a rule's output with what is appended to it, and its extra fields.
func (c *compiler) fullOutput(d *ruleDef) (text, []ExtraField) {
	var out builder
	out.add(d.output)
	var extra []ExtraField
	for _, a := range c.opts.AppendOutput {
		if !a.fits(d) {
			continue
		}
		if a.Output != "" {
			out.generated(" " + a.Output)
		}
		if a.Suggested {
			for _, name := range suggestedFields(c.opts.StaticFields) {
				out.generated(" " + strings.ReplaceAll(name, ".", "_") + "=%" + name)
			}
		}
		extra = append(extra, a.Fields...)
	}
	return out.text(), extra
}

// suggestedFields returns the fields that AppendOutput.Suggested appends.
func suggestedFields(static map[string]string) []string {
	var names []string
	for _, d := range field.All() {
		if d.Flags&field.Suggested != 0 {
			names = append(names, d.Name)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(static)) {
		names = append(names, staticPrefix+k)
	}
	return names
}

const staticPrefix = "static."

// withStaticFields adds the fields static.KEY to a schema.
func withStaticFields(s *filter.Schema, static map[string]string) *filter.Schema {
	if len(static) == 0 {
		return s
	}
	out := *s
	out.Field = func(name, arg string, hasArg bool) (*field.Field, error) {
		key, isStatic := strings.CutPrefix(name, staticPrefix)
		if value, ok := static[key]; ok && isStatic && !hasArg {
			return staticField(name, value), nil
		}
		return s.Field(name, arg, hasArg)
	}
	out.Longest = func(text string) (name string, n int) {
		for key := range static {
			if f := staticPrefix + key; len(f) > n && strings.HasPrefix(text, f) {
				name, n = f, len(f)
			}
		}
		if n > 0 {
			return name, n
		}
		return s.Longest(text)
	}
	return &out
}

func staticField(name, value string) *field.Field {
	return &field.Field{
		Def: &field.Def{
			Name: name, Class: "static", Type: event.TypeCharbuf, Flags: field.Suggested,
			Scope: field.ScopeProcess, Doc: "A value from the configuration.",
		},
		Name: name, Type: event.TypeCharbuf,
		Read: func(_ *host.Event, v *field.Value) bool {
			v.Str = value
			return true
		},
	}
}

// containerInfo is a placeholder of old rules; what it stood for is appended
// by the configuration nowadays.
const containerInfo = "%container.info"

// withoutContainerInfo removes the placeholder, with the blank before it.
func (t text) withoutContainerInfo() (text, bool) {
	found := false
	for {
		i := strings.Index(t.s, containerInfo)
		if i < 0 {
			return t.trim(), found
		}
		found = true
		end := i + len(containerInfo)
		if i > 0 && t.s[i-1] == ' ' {
			i--
		}
		var out builder
		out.add(t.slice(0, i))
		out.add(t.slice(end, len(t.s)))
		t = out.text()
	}
}
