package sysdig

import (
	"fmt"
	"io"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/inspect/chisel"
	"rollcage/internal/observe/event"
)

// The layout of lists.
const (
	listWidth   = 110
	fieldColumn = 30
	nameColumn  = 20
)

// list prints what was asked for instead of events.
func list(w io.Writer, opts *options) error {
	var b strings.Builder
	switch opts.listing {
	case "fields":
		listFields(&b, opts.long)
	case "markdown":
		listMarkdown(&b)
	case "events":
		for _, i := range event.All() {
			// The entry of a call is no event of its own any more.
			if i.Flags&event.Unused == 0 && i.Current() && !(i.Type.IsEnter() && i.Origin == event.OriginSyscall) {
				b.WriteString(i.Signature() + "\n")
			}
		}
	case "chisels":
		listChisels(&b)
		b.WriteString("\nUse the -i flag to get detailed information about a specific chisel\n")
	case "chisel":
		c := chisel.Lookup(opts.name)
		if c == nil {
			return fmt.Errorf("chisel %s not found - use -cl to list them", opts.name)
		}
		describeChisel(&b, c)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// entry writes a name and a text beside it, on as many lines as it takes.
func entry(b *strings.Builder, name, text string, column int) {
	if column > 0 && len(name) >= column {
		b.WriteString(name + "\n")
		name = ""
	}
	line := fmt.Sprintf("%-*s", column, name)
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > listWidth && len(line) > column {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", column)
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// listedFields returns the fields that people should use.
func listedFields() []*field.Def {
	var out []*field.Def
	for _, d := range field.All() {
		if d.Flags&(field.Hidden|field.Deprecated) == 0 {
			out = append(out, d)
		}
	}
	return out
}

func listFields(b *strings.Builder, long bool) {
	class := ""
	for _, d := range listedFields() {
		if d.Class != class {
			class = d.Class
			fmt.Fprintf(b, "%s\nField Class:                  %s\nEvent Sources:                syscall\n\n", strings.Repeat("-", 31), class)
		}
		text := d.Doc
		if long {
			text = fmt.Sprintf("(Type: %s) %s Example: %s", d.Type, d.Doc, d.Example)
		}
		entry(b, d.Name, text, fieldColumn)
	}
}

func listMarkdown(b *strings.Builder) {
	class := ""
	cell := strings.NewReplacer("|", `\|`)
	for _, d := range listedFields() {
		if d.Class != class {
			class = d.Class
			fmt.Fprintf(b, "\n## Field Class: %s\n\nEvent Sources: syscall\n\nName | Type | Description\n:----|:-----|:-----------\n", class)
		}
		fmt.Fprintf(b, "`%s` | %s | %s\n", d.Name, d.Type, cell.Replace(d.Doc))
	}
}

func listChisels(b *strings.Builder) {
	category := ""
	for _, c := range chisel.All() {
		if c.Category != category {
			category = c.Category
			heading(b, category)
		}
		entry(b, c.Name, c.Short, nameColumn)
	}
}

func heading(b *strings.Builder, category string) {
	title := "Category: " + category
	fmt.Fprintf(b, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
}

func describeChisel(b *strings.Builder, c *chisel.Chisel) {
	heading(b, c.Category)
	entry(b, c.Name, c.Short, nameColumn)
	b.WriteString("\n")
	entry(b, "", c.Doc, 0)
	if len(c.Args) == 0 {
		b.WriteString("Args: none\n")
		return
	}
	b.WriteString("Args:\n")
	for _, a := range c.Args {
		kind := "[" + string(a.Type) + "] " + a.Name
		if a.Optional {
			kind += " (optional)"
		}
		entry(b, "", kind+" - "+a.Doc, 0)
	}
}

// printHelp prints the flags.
func printHelp(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`Usage: sysdig [options] [-p FORMAT] [FILTER]

Shows the events of this host, or of capture files with -r; FILTER is a condition as in rules.

Options:
`)
	for i := range optionTable {
		o := &optionTable[i]
		if o.doc == "" {
			continue
		}
		name := "    "
		if o.short != 0 {
			name = fmt.Sprintf(" -%c", o.short)
			if o.long != "" {
				name += ","
			}
		}
		if o.long != "" {
			name += " --" + o.long
		}
		if o.arg != "" {
			name += " " + o.arg
		}
		entry(&b, name, o.doc, fieldColumn)
	}
	b.WriteString(`
Examples:
  sysdig -r trace.scap                           the events of a capture
  sysdig -p '%proc.name %fd.name' evt.type=openat   of this host
  sysdig -w trace.scap -C 100 -W 5               record the newest 500 MB
  sysdig -c topprocs_net                         run a chisel; -cl lists them
`)
	_, err := io.WriteString(w, b.String())
	return err
}
