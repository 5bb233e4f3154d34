package view

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// Result is a table as it is shown: the rows of a sample, grouped.
type Result struct {
	View    *View
	Columns []ResultColumn // those that are shown
	Rows    []Row
	// Seconds is the length of the sample.
	Seconds float64
	// Left is how many events were left out for lack of room.
	Left uint64
}

// ResultColumn is a column of a result.
type ResultColumn struct {
	*Column
	Type  *field.Field // what the values are
	class class
}

// Row is a row of a result.
type Row struct {
	// Key is the value of the key as a condition compares it, for drilling down:
	// a text as it is, with what is not printable. In lists it is the number of the row.
	Key   string
	Cells []Cell // as the result's columns
}

// Result returns the rows so far, in no order for tables. seconds is the length
// of the sample, 0 for the time between its first and last event. The cells
// are the caller's.
func (t *Table) Result(seconds float64) *Result {
	if seconds <= 0 && t.last > t.first {
		seconds = float64(t.last-t.first) / 1e9
	}
	res := &Result{View: t.View, Seconds: seconds, Left: t.left}
	var show []int
	for i, c := range t.columns {
		if c.Key || c.GroupKey {
			continue
		}
		show = append(show, i)
		res.Columns = append(res.Columns, ResultColumn{Column: c.Column, Type: c.field, class: c.class})
	}
	key := t.key
	rows := t.all()
	if t.group >= 0 {
		rows, key = t.grouped(rows), t.group
	}
	cells := make([]Cell, len(rows)*len(show))
	res.Rows = make([]Row, len(rows))
	for i, r := range rows {
		out := cells[:len(show):len(show)]
		cells = cells[len(show):]
		for j, c := range show {
			out[j] = r.cells[c]
		}
		res.Rows[i] = Row{Key: t.keyText(r, key), Cells: out}
	}
	return res
}

func (t *Table) all() []*row {
	if t.View.Kind == KindList {
		return t.list[t.head:]
	}
	rows := make([]*row, 0, len(t.rows))
	for _, r := range t.rows {
		rows = append(rows, r)
	}
	return rows
}

func (t *Table) keyText(r *row, key int) string {
	if key < 0 {
		return strconv.FormatUint(r.number, 10)
	}
	if c := &t.columns[key]; c.class != classText || c.field.Type == event.TypeBytebuf {
		return string(appendValue(nil, c.field, &r.cells[key]))
	}
	return r.cells[key].Text
}

// grouped aggregates the rows of the same group once more. In what order the
// rows come must not matter, so they are sorted by key first.
func (t *Table) grouped(rows []*row) []*row {
	k := t.columns[t.key].class
	slices.SortFunc(rows, func(a, b *row) int { return compareCells(k, &a.cells[t.key], &b.cells[t.key]) })
	groups := map[key]*row{}
	var out []*row
	for _, r := range rows {
		g := key{num: r.cells[t.group].Num, text: r.cells[t.group].Text, addr: r.cells[t.group].Addr}
		into := groups[g]
		if into == nil {
			into = &row{cells: slices.Clone(r.cells)}
			for i := range t.columns {
				into.cells[i].settle(t.columns[i].Agg, t.columns[i].class)
			}
			groups[g], out = into, append(out, into)
			continue
		}
		for i := range t.columns {
			c, cell := &t.columns[i], r.cells[i]
			cell.settle(c.Agg, c.class)
			into.cells[i].merge(c.Group, c.class, &cell)
		}
	}
	return out
}

// Alike names the columns that say what a row is where its key is a number that
// the kernel gave out and another one has at the next start: the command line
// and the container of a process or thread. It is empty for views whose keys last.
func (r *Result) Alike(containers bool) []int {
	var fields []string
	switch r.View.KeyField(containers) {
	case "proc.pid", "thread.tid", "thread.nametid":
		fields = []string{"proc.exeline", "container.name"}
	case "container.id":
		fields = []string{"container.name"}
	}
	var out []int
	for i := range r.Columns {
		if slices.Contains(fields, r.Columns[i].Field) {
			out = append(out, i)
		}
	}
	return out
}

// Join makes one row of all that have the same texts in some columns, and
// returns how many there were of each, by key. The key is made of the texts. What a
// column counts is added up, of what it measures the greatest or smallest stays.
func (r *Result) Join(columns []int) map[string]int {
	counts, at := map[string]int{}, map[string]int{}
	slices.SortFunc(r.Rows, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	kept := r.Rows[:0]
	for _, row := range r.Rows {
		var b []byte
		for _, c := range columns {
			b = append(r.AppendCell(b, c, &row.Cells[c]), 0)
		}
		key := string(b)
		counts[key]++
		i, known := at[key]
		if !known {
			at[key] = len(kept)
			row.Key = key
			kept = append(kept, row)
			continue
		}
		for j := range row.Cells {
			c := &r.Columns[j]
			kept[i].Cells[j].merge(c.Agg, c.class, &row.Cells[j])
		}
	}
	r.Rows = kept
	return counts
}

func compareCells(k class, a, b *Cell) int {
	switch k {
	case classText:
		return strings.Compare(a.Text, b.Text)
	case classAddr:
		return a.Addr.Compare(b.Addr)
	case classFloat:
		return cmp.Compare(a.Float, b.Float)
	case classSigned:
		return cmp.Compare(int64(a.Num), int64(b.Num))
	}
	return cmp.Compare(a.Num, b.Num)
}

// DefaultSort returns the column that the rows are sorted by at first, an
// index into Columns: the marked one, else the first.
func (r *Result) DefaultSort() int {
	for i := range r.Columns {
		if r.Columns[i].Sort {
			return i
		}
	}
	return 0
}

// Descending reports whether a column sorts from the highest value at first:
// numbers and times do, texts do not.
func (r *Result) Descending(column int) bool {
	if column < 0 || column >= len(r.Columns) {
		return false
	}
	k := r.Columns[column].class
	return k != classText && k != classAddr
}

// Sort sorts the rows by a column, those of equal value by their key.
func (r *Result) Sort(column int, descending bool) {
	if column < 0 || column >= len(r.Columns) {
		return
	}
	c := &r.Columns[column]
	slices.SortStableFunc(r.Rows, func(a, b Row) int {
		x, y := a.Cells[column], b.Cells[column]
		x.settle(c.Agg, c.class)
		y.settle(c.Agg, c.class)
		n := compareCells(c.class, &x, &y)
		if descending {
			n = -n
		}
		if n == 0 {
			n = compareKeys(a.Key, b.Key)
		}
		return n
	})
}

// compareKeys compares numbers as numbers.
func compareKeys(a, b string) int {
	if len(a) != len(b) && isNumber(a) && isNumber(b) {
		return cmp.Compare(len(a), len(b))
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
