package falco

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// The forms of lists.
const (
	formatText     = "text"
	formatMarkdown = "markdown"
	formatJSON     = "json"
)

// syscallSource is the one event source.
const syscallSource = "syscall"

// fieldClasses say what the classes of fields are about.
var fieldClasses = map[string]string{
	"evt":       "What every event has: time, number, CPU, type, arguments, result.",
	"process":   "The process, its thread, parent and ancestors.",
	"user":      "The user under which the process runs, and who logged in.",
	"group":     "The group under which the process runs.",
	"fd":        "The descriptor, file or connection that the event uses.",
	"fs.path":   "The paths that a file operation is about.",
	"fdlist":    "The descriptors that a poll waits for.",
	"util":      "Helpers.",
	"container": "The container and the pod that the process runs in.",
}

type fieldClass struct {
	Desc    string     `json:"desc"`
	Sources []string   `json:"event_sources"`
	Fields  []fieldDoc `json:"fields"`
	Name    string     `json:"name"`
}

type fieldDoc struct {
	Type       string `json:"data_type"`
	Desc       string `json:"desc"`
	Deprecated bool   `json:"is_deprecated"`
	Name       string `json:"name"`
}

// listedClasses returns the fields of a source by class.
func listedClasses() []*fieldClass {
	var out []*fieldClass
	for _, d := range field.All() {
		if d.Flags&field.Hidden != 0 {
			continue
		}
		i := slices.IndexFunc(out, func(c *fieldClass) bool { return c.Name == d.Class })
		if i < 0 {
			i = len(out)
			out = append(out, &fieldClass{Name: d.Class, Desc: fieldClasses[d.Class], Sources: []string{syscallSource}})
		}
		out[i].Fields = append(out[i].Fields, fieldDoc{d.Type.String(), d.Doc, d.Flags&field.Deprecated != 0, d.Name})
	}
	return out
}

// listFields lists the fields of all sources, or of one.
func listFields(w io.Writer, opts *options) error {
	if opts.listSource != "" && opts.listSource != syscallSource {
		return worded("Unknown event source '%s': there is %s", opts.listSource, syscallSource)
	}
	classes := listedClasses()
	switch {
	case opts.namesOnly:
		for _, c := range classes {
			for _, f := range c.Fields {
				fmt.Fprintln(w, f.Name)
			}
		}
	case opts.format == formatJSON:
		return writeJSON(w, map[string]any{"fieldclasses": classes})
	case opts.format == formatMarkdown:
		for _, c := range classes {
			fmt.Fprintf(w, "## Field Class: %s\n\n%s\n\nEvent Sources: %s\n\nName | Type | Description\n:----|:-----|:-----------\n",
				c.Name, c.Desc, strings.Join(c.Sources, ", "))
			for _, f := range c.Fields {
				fmt.Fprintf(w, "`%s` | %s | %s\n", f.Name, f.Type, strings.ReplaceAll(f.Desc, "|", `\|`))
			}
			fmt.Fprintln(w)
		}
	default:
		for _, c := range classes {
			fmt.Fprintf(w, "-------------------------------\nField Class:                  %s\nDescription:                  %s\nEvent Sources:                %s\n\n",
				c.Name, c.Desc, strings.Join(c.Sources, ", "))
			for _, f := range c.Fields {
				fmt.Fprintf(w, "%-29s (Type: %s) %s\n", f.Name, f.Type, f.Desc)
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}

// eventGroups are the origins of events in the order and with the titles of the lists.
var eventGroups = []struct {
	origin event.Origin
	title  string
}{
	{event.OriginSyscall, "Syscall events"},
	{event.OriginTracepoint, "Tracepoint events"},
	{event.OriginPlugin, "Plugin events"},
	{event.OriginMeta, "Metaevents"},
}

type eventDoc struct {
	Args    []eventArg `json:"args"`
	Default bool       `json:"default"`
	Dir     string     `json:"dir"`
	Name    string     `json:"name"`
}

type eventArg struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Flags []string `json:"flags,omitempty"`
}

// listedEvents returns the current event types of an origin.
func listedEvents(origin event.Origin) []eventDoc {
	out := []eventDoc{}
	ignored := ignoredSyscalls()
	for _, i := range event.All() {
		if i.Origin != origin || !i.Current() || origin == event.OriginSyscall && i.Type.IsEnter() {
			continue
		}
		d := eventDoc{Args: []eventArg{}, Default: !slices.Contains(ignored, i.Name), Dir: "<", Name: i.Name}
		if i.Type.IsEnter() {
			d.Dir = ">"
		}
		for _, p := range i.Params {
			a := eventArg{Name: p.Name, Type: p.Type.String()}
			if p.Table != nil {
				for _, l := range p.Table.Labels {
					a.Flags = append(a.Flags, l.Name)
				}
			}
			d.Args = append(d.Args, a)
		}
		out = append(out, d)
	}
	return out
}

func (d *eventDoc) args(flag string) string {
	words := make([]string, len(d.Args))
	for i, a := range d.Args {
		words[i] = a.Type + " **" + a.Name + "**"
		for n, f := range a.Flags {
			words[i] += []string{": ", ", "}[min(n, 1)] + fmt.Sprintf(flag, f)
		}
	}
	return strings.Join(words, ", ")
}

// listEvents lists the event types.
func listEvents(w io.Writer, format string) error {
	if format == formatJSON {
		all := map[string][]eventDoc{}
		for _, g := range eventGroups {
			all[g.title] = listedEvents(g.origin)
		}
		return writeJSON(w, all)
	}
	for _, g := range eventGroups {
		events := listedEvents(g.origin)
		if format == formatMarkdown {
			fmt.Fprintf(w, "## %s\n\nDefault | Dir | Name | Params\n:-------|:----|:-----|:-----\n", g.title)
		} else {
			fmt.Fprintf(w, "%s\n\n", g.title)
		}
		for _, d := range events {
			if format == formatMarkdown {
				fmt.Fprintf(w, "%s | `%s` | `%s` | %s\n", map[bool]string{true: "Yes", false: "No"}[d.Default], d.Dir, d.Name, d.args("*%s*"))
			} else {
				fmt.Fprintf(w, "%s %s(%s)\n", d.Dir, d.Name, d.args("%s"))
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}
