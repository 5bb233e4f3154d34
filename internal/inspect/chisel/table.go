package chisel

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcage/internal/inspect/unit"
)

// Unit says how the values of a table are printed.
type Unit string

// The units, by the names that table_generator takes.
const (
	UnitNone    Unit = "none"
	UnitBytes   Unit = "bytes"
	UnitTime    Unit = "time"    // ns
	UnitTimePct Unit = "timepct" // ns, as a share of the time that passed
)

// Heading is a field and what its column is called.
type Heading struct{ Field, Title string }

// Table prints rows of keys and a value, the highest value first.
type Table struct {
	Keys  []Heading
	Value Heading
	Unit  Unit
	Top   int // rows, 0 for all
	env   *Env
}

// keySeparator stands between the keys of a row, in which it cannot be: they are printable.
const keySeparator = "\x01"

// tableCell is the width of the columns of a table but the last.
const tableCell = 20

// ranked is a row of a table.
type ranked struct {
	keys  string
	value float64
}

// Print prints the rows: the keys, with keySeparator between them, and the value.
func (t *Table) Print(m Moment, rows map[string]float64) error {
	sorted := make([]ranked, 0, len(rows))
	for k, v := range maps.All(rows) {
		sorted = append(sorted, ranked{k, v})
	}
	slices.SortFunc(sorted, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.keys, b.keys))
	})
	if t.Top > 0 {
		sorted = sorted[:min(len(sorted), t.Top)]
	}
	if t.env.JSON {
		return t.printJSON(m, sorted)
	}
	if t.env.Live && t.env.Terminal {
		if _, err := fmt.Fprint(t.env.Out, clearScreen); err != nil {
			return err
		}
	}
	head := unit.Cell(t.Value.Title, tableCell)
	for _, k := range t.Keys {
		head += unit.Cell(k.Title, tableCell)
	}
	if err := t.env.line("", "%s\n%s", head, strings.Repeat("-", 80)); err != nil {
		return err
	}
	for _, r := range sorted {
		keys := strings.Split(r.keys, keySeparator)
		last := len(keys) - 1
		for i := range last {
			keys[i] = unit.Cell(keys[i], tableCell)
		}
		if err := t.env.line("", "%s%s", unit.Cell(t.text(m, r.value), tableCell), strings.Join(keys, "")); err != nil {
			return err
		}
	}
	return nil
}

// clearScreen empties a terminal and goes to its corner.
const clearScreen = "\x1b[2J\x1b[H"

func (t *Table) text(m Moment, value float64) string {
	switch t.Unit {
	case UnitBytes:
		return unit.Bytes(value)
	case UnitTime:
		return unit.Time(time.Duration(value))
	case UnitTimePct:
		if m.Span <= 0 {
			return "0.00%"
		}
		return strconv.FormatFloat(value/float64(m.Span)*100, 'f', 2, 64) + "%"
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// tableJSON is a table as scripts read it.
type tableJSON struct {
	Time string        `json:"ts"` // ns since the epoch, in whole seconds
	Data [][]any       `json:"data"`
	Info []*columnJSON `json:"info"` // of keys and value
}

type columnJSON struct {
	Name string `json:"name"`
	Desc string `json:"desc"`
	Key  bool   `json:"is_key"`
}

func (t *Table) printJSON(m Moment, rows []ranked) error {
	doc := tableJSON{Time: strconv.FormatUint(m.Time/1e9*1e9, 10), Data: [][]any{}}
	for _, r := range rows {
		var row []any
		for k := range strings.SplitSeq(r.keys, keySeparator) {
			row = append(row, k)
		}
		doc.Data = append(doc.Data, append(row, r.value))
	}
	for _, k := range t.Keys {
		doc.Info = append(doc.Info, &columnJSON{k.Field, k.Title, true})
	}
	doc.Info = append(doc.Info, &columnJSON{t.Value.Field, t.Value.Title, false})
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := t.env.Out.Write(b.Bytes())
	return err
}
