package sysdig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// The formats of a line by preset.
var presets = map[string]string{
	"":  "*%evt.num %evt.outputtime %evt.cpu %proc.name (%thread.tid) %evt.dir %evt.type %evt.info",
	"c": "*%evt.num %evt.outputtime %evt.cpu %container.name (%container.id) %proc.name (%thread.tid:%thread.vtid) %evt.dir %evt.type %evt.info",
	"k": "*%evt.num %evt.outputtime %evt.cpu %k8s.pod.name (%container.id) %proc.name (%thread.tid:%thread.vtid) %evt.dir %evt.type %evt.info",
}

// fieldColors are the colours of fields of a preset on a terminal.
var fieldColors = strings.NewReplacer(
	"%evt.num", "\x1b[2m%evt.num\x1b[0m", "%evt.outputtime", "\x1b[36m%evt.outputtime\x1b[0m",
	"%container.name", "\x1b[34m%container.name\x1b[0m", "%k8s.pod.name", "\x1b[34m%k8s.pod.name\x1b[0m",
	"%proc.name", "\x1b[32m%proc.name\x1b[0m", "%evt.type", "\x1b[1m%evt.type\x1b[0m",
)

// escapes turns the escapes of a format into the characters.
var escapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\e`, "\x1b", `\\`, `\`)

// lineFormat returns the format of a line without colours.
func (o *options) lineFormat() string {
	if o.format != "" {
		return o.format
	}
	return presets[o.preset]
}

// style returns how values become text.
func (o *options) style() *field.Style {
	s := &field.Style{Buffer: o.buffer, Time: o.time, Services: o.services}
	if !o.verbose && !o.json && len(o.chisels) == 0 {
		s.Limit = 80
	}
	return s
}

// printer prints events.
type printer struct {
	format *filter.Format
	json   []*filter.FormatField // by name; nil for text
	drop   bool                  // an event that lacks a field of the JSON is left out
	line   []byte
}

func newPrinter(o *options, colors bool) (*printer, error) {
	text := o.lineFormat()
	if colors && o.format == "" && !o.json {
		text = fieldColors.Replace(text)
	}
	text = escapes.Replace(text)
	f, err := filter.ParseFormat(text)
	if err != nil {
		return nil, fmt.Errorf("invalid format: %s", filter.Explain(text, err))
	}
	f.SetStyle(o.style())
	p := &printer{format: f}
	if o.json {
		p.json = slices.Clone(f.Fields())
		slices.SortFunc(p.json, func(a, b *filter.FormatField) int { return strings.Compare(a.Name, b.Name) })
		p.drop = !strings.HasPrefix(text, "*")
	}
	return p, nil
}

// text returns the line of an event with its end, nil if there is none. It is
// valid until the next call.
func (p *printer) text(he *host.Event) []byte {
	p.line = p.line[:0]
	if p.json != nil {
		return p.object(he)
	}
	var ok bool
	if p.line, ok = p.format.AppendText(p.line, he); !ok {
		return nil
	}
	p.line = append(p.line, '\n')
	return p.line
}

// object returns the fields of the format as a JSON object, in order of their names.
func (p *printer) object(he *host.Event) []byte {
	b := append(p.line, '{')
	for i, f := range p.json {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, f.Name), ':')
		start := len(b)
		if b = f.AppendJSON(b, he); p.drop && string(b[start:]) == "null" {
			return nil
		}
	}
	p.line = append(b, "}\n"...)
	return p.line
}
