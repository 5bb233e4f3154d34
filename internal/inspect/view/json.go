package view

import (
	"encoding/json"
	"strconv"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// Placeholder stands in the filter templates of JSON results for the key of
// the row that the reader chooses.
const Placeholder = "@#$f1CA^&;"

// Range limits the rows of a JSON result: from the first, number 0, to the last.
type Range struct {
	From, To int // To < 0 is to the end
}

// clip returns the part of n rows that the range holds.
func (r Range) clip(n int) (from, to int) {
	from, to = max(r.From, 0), n
	if r.To >= 0 {
		to = min(n, r.To+1)
	}
	return min(from, to), to
}

// AppendJSON appends the slice of a result as csysdig prints it: rows, how many
// there are, and what a reader needs to show and to open them. filter is the
// condition that the view was run with, without its own.
func (r *Result) AppendJSON(b []byte, filter string, containers bool, rows Range) []byte {
	from, to := rows.clip(len(r.Rows))
	b = append(b, `{"progress": 100, `...)
	if from < to {
		b = append(b, "\"data\": [\n"...)
		for i := from; i < to; i++ {
			if i > from {
				b = append(b, ",\n"...)
			}
			b = r.appendRow(b, &r.Rows[i])
		}
		b = append(b, "],\n"...)
	}
	b = append(b, `"count": `...)
	b = strconv.AppendInt(b, int64(to-from), 10)
	b = append(b, `, "info": `...)
	b = append(b, r.info(filter, containers)...)
	return append(b, '}')
}

// AppendRowsJSON appends the rows as an array of objects with the names of the
// columns as keys, for programs that know nothing of views.
func (r *Result) AppendRowsJSON(b []byte) []byte {
	b = append(b, '[')
	for i := range r.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"key":`...)
		b = field.AppendJSONString(b, r.Rows[i].Key)
		for j := range r.Columns {
			b = field.AppendJSONString(append(b, ','), r.Columns[j].Name)
			b = r.AppendNumber(append(b, ':'), j, &r.Rows[i].Cells[j])
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func (r *Result) appendRow(b []byte, row *Row) []byte {
	b = append(b, `{"d":[`...)
	for i := range row.Cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendJSONCell(b, i, &row.Cells[i])
	}
	b = append(b, `],"k":`...)
	return append(field.AppendJSONString(b, row.Key), '}')
}

// appendJSONCell appends a value as csysdig does: sums of whole numbers not
// divided, times as short text.
func (r *Result) appendJSONCell(b []byte, column int, c *Cell) []byte {
	col := &r.Columns[column]
	switch {
	case col.class == classFloat:
		return appendFloat(b, r.average(col, c, c.Float))
	case col.Type.Type == event.TypeRelTime:
		b = append(b, '"')
		b = appendRight(b, field.AppendDuration(nil, uint64(r.average(col, c, float64(c.Num)))), numberWidth)
		return append(b, '"')
	}
	return appendJSONValue(b, col, c)
}

// numberWidth is how wide csysdig prints numbers and times, in JSON times too.
const numberWidth = 10

func appendRight(b, text []byte, width int) []byte {
	for range width - len(text) {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// AppendNumber appends a value for programs: averages divided, times in ns.
func (r *Result) AppendNumber(b []byte, column int, c *Cell) []byte {
	col := &r.Columns[column]
	switch {
	case col.class == classFloat:
		return appendFloat(b, r.average(col, c, c.Float))
	case divided(col.Agg) && (plainNumber(col.Type) || col.Type.Type == event.TypeRelTime):
		return appendFloat(b, r.average(col, c, float64(c.Num)))
	}
	return appendJSONValue(b, col, c)
}

func appendJSONValue(b []byte, col *ResultColumn, c *Cell) []byte {
	if col.class == classText {
		return field.AppendJSONString(b, c.Text)
	}
	return field.AppendJSON(b, col.Type, &field.Value{Num: c.Num, Float: c.Float, Addr: c.Addr})
}

// appendFloat appends a number that readers can tell from a whole one.
func appendFloat(b []byte, x float64) []byte {
	start := len(b)
	b = strconv.AppendFloat(b, x, 'g', -1, 64)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, ".0"...)
}

// width is the width that legends tell: 0 is the rest of the line, -1 none.
func (c *Column) width() int {
	if c.Width == 0 && c.Field == latencySteps {
		return -1
	}
	return c.Width
}

type legend struct {
	Format string `json:"format"`
	Name   string `json:"name"`
	Size   int    `json:"size"`
	Type   string `json:"type"`
}

func (r *Result) info(filter string, containers bool) []byte {
	info := struct {
		AppliesTo       []string `json:"appliesTo"`
		CanDrillDown    bool     `json:"canDrillDown"`
		KeyField        string   `json:"drillDownKeyField,omitempty"`
		FilterTemplate  string   `json:"filterTemplate,omitempty"`
		FilterTemplateF string   `json:"filterTemplateF,omitempty"`
		Legend          []legend `json:"legend"`
		SortingCol      int      `json:"sortingCol"`
	}{
		AppliesTo: r.View.AppliesTo, CanDrillDown: r.View.Kind != KindList, SortingCol: r.DefaultSort() + 1,
	}
	if info.CanDrillDown {
		info.KeyField = r.View.KeyField(containers)
		info.FilterTemplate = r.View.template(filter, info.KeyField)
		info.FilterTemplateF = info.FilterTemplate
		if to := Lookup(r.View.Drill); to != nil {
			info.FilterTemplateF = and(info.FilterTemplate, to.Filter)
		}
	}
	for _, c := range r.Columns {
		info.Legend = append(info.Legend, legend{formatName(c.Type), c.Name, c.width(), c.Type.Type.String()})
	}
	b, err := json.Marshal(info)
	if err != nil { // strings and numbers always marshal
		return []byte("{}")
	}
	return b
}

// template returns the condition for the rows below the one that Placeholder
// will be replaced by.
func (v *View) template(filter, key string) string {
	own := v.Filter
	if v.NoFilter {
		own = ""
	}
	choice := key + `="` + Placeholder + `"`
	if own != "" {
		choice = "(" + own + ") and " + choice
	}
	return and(filter, choice)
}

// formatName is the word for a print format in legends.
func formatName(f *field.Field) string {
	switch f.Format {
	case event.FormatID:
		return "ID"
	case event.FormatHex:
		return "HEX"
	case event.FormatOct:
		return "OCT"
	case event.FormatPaddedDec:
		return "10_PADDED_DEC"
	}
	if isInteger(f.Type) || f.Type == event.TypeRelTime || f.Type == event.TypeAbsTime || f.Type == event.TypePort {
		return "DEC"
	}
	return "NA"
}

// listed is a view as --list-views prints it.
type listed struct {
	AppliesTo    []string `json:"appliesTo"`
	CanDrillDown bool     `json:"canDrillDown"`
	Description  string   `json:"description"`
	Drill        string   `json:"drilldownTarget"`
	Filter       string   `json:"filter"`
	ID           string   `json:"id"`
	Root         bool     `json:"isRoot"`
	Name         string   `json:"name"`
	Tags         []string `json:"tags"`
	Tips         []string `json:"tips"`
}

// ListJSON returns all views as csysdig lists them.
func ListJSON() ([]byte, error) {
	var out []listed
	for _, v := range catalog {
		tags := v.Tags
		if tags == nil {
			tags = []string{}
		}
		out = append(out, listed{
			v.AppliesTo, v.Kind == KindTable, v.Description, v.Drill, v.Filter, v.ID, v.Root, v.Name, tags, []string{},
		})
	}
	return json.Marshal(out)
}
