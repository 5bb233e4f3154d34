package view

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// DefaultMaxRows is how many rows a table holds unless Options say otherwise.
const DefaultMaxRows = 200_000

// Options say how a view is run.
type Options struct {
	// Filter is the condition of the user and of the path that led here,
	// without the view's own; "" for all events.
	Filter string
	// Depth is the level of the drill-down, 0 at the start.
	Depth int
	// Containers shows the form of the view that tells containers apart.
	Containers bool
	// Style says how buffers and ports become text, nil for the default.
	Style *field.Style
	// MaxRows bounds the rows; events of further ones are counted only.
	MaxRows int
	// Newest makes a full list forget its oldest row instead.
	Newest bool
}

// Table runs a view over events. It is used by one goroutine.
type Table struct {
	View *View
	opt  Options

	columns []column
	reads   []read
	key     int  // the column that tells rows apart, -1 for lists
	group   int  // the column that rows are grouped by, -1 for none
	threads bool // rows are threads or processes
	prog    *filter.Program
	cond    filter.CondID
	node    filter.Node // of the condition, nil for all events

	rows    map[key]*row
	list    []*row // of a list, from head on
	head    int
	numbers uint64 // rows of the list so far
	spare   []Cell
	left    uint64 // events left out for lack of room
	// First and Last are the times of the first and last event since Reset, ns
	// since the epoch; those that the filter left out count.
	first, last uint64
}

// key tells rows apart. Which member does depends on the class of its column.
type key struct {
	num  uint64
	text string
	addr netip.Addr
}

type row struct {
	number uint64 // of a list, from 1
	cells  []Cell
}

// ErrCondition is wrapped by the errors of New about the condition.
var ErrCondition = errors.New("the condition")

// New compiles a view. Errors about the user's condition wrap ErrCondition and
// a *filter.Error with positions in opt.Filter.
func New(v *View, opt Options) (*Table, error) {
	if opt.MaxRows <= 0 {
		opt.MaxRows = DefaultMaxRows
	}
	t := &Table{View: v, opt: opt, key: -1, group: -1, prog: filter.NewProgram(), rows: map[key]*row{}}
	for i := range v.Columns {
		if c := &v.Columns[i]; c.shown(opt.Containers) {
			if err := t.addColumn(c); err != nil {
				return nil, fmt.Errorf("view %s: %w", v.ID, err)
			}
		}
	}
	if v.Kind == KindList {
		t.key = -1
	}
	return t, t.compile()
}

func (t *Table) addColumn(c *Column) error {
	f, err := parseField(c.Field, t.opt.Depth)
	if err != nil {
		return err
	}
	f.Style = t.opt.Style
	col := column{Column: c, field: f, class: classOf(f.Type), read: -1}
	for i := range t.reads {
		if t.reads[i].field.Name == f.Name {
			col.read = i
		}
	}
	if col.read < 0 {
		col.read = len(t.reads)
		t.reads = append(t.reads, read{
			field: f, class: col.class, sampled: sampledFields[f.Name],
			sparse:   f.Name == "evt.count.procinfo" || f.Name == "evt.count.threadinfo",
			fallback: !t.View.NoDefaults && hasDefault(f.Type),
		})
	}
	if c.GroupKey {
		t.group = len(t.columns)
	} else if c.Key {
		t.key = len(t.columns)
		t.threads = f.Name == "thread.tid" || f.Name == "proc.pid"
	}
	t.columns = append(t.columns, col)
	return nil
}

// compile compiles the user's condition and the view's own.
func (t *Table) compile() error {
	own := expandDepth(t.View.Filter, t.opt.Depth, 1)
	if strings.TrimSpace(t.opt.Filter) != "" {
		n, err := filter.Parse(t.opt.Filter)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCondition, err)
		}
		if _, _, err := filter.NewProgram().Add(n); err != nil {
			return fmt.Errorf("%w: %w", ErrCondition, err)
		}
	}
	text := and(t.opt.Filter, own)
	if text == "" {
		return nil
	}
	n, err := filter.Parse(text)
	if err == nil {
		t.cond, _, err = t.prog.Add(n)
	}
	if err != nil {
		return fmt.Errorf("view %s: condition %q: %w", t.View.ID, text, err)
	}
	t.node = n
	return nil
}

// and joins conditions; empty ones do not count.
func and(parts ...string) string {
	var out []string
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			out = append(out, p)
		}
	}
	if len(out) < 2 {
		return strings.Join(out, "")
	}
	return "(" + strings.Join(out, ") and (") + ")"
}

// Add counts an event.
func (t *Table) Add(e *host.Event) {
	now := e.Time()
	if t.first == 0 {
		t.first = now
	}
	t.last = max(t.last, now)
	if !t.wants(e) {
		return
	}
	for i := range t.reads {
		if !t.reads[i].take(e) {
			return
		}
	}
	t.add()
}

// wants reports whether an event passes the condition and belongs to a thread
// if rows are about threads.
func (t *Table) wants(e *host.Event) bool {
	if e.Thread == nil && t.threads {
		return false
	}
	return t.node == nil || t.prog.Eval(t.cond, e)
}

// add adds the values at hand.
func (t *Table) add() {
	if t.View.Kind == KindList {
		t.append()
		return
	}
	if t.View.Kind == KindSpectrogram && t.reads[t.columns[t.key].read].v.Num == 0 {
		return // nobody knows how long it took
	}
	k := t.keyOf()
	r := t.rows[k]
	if r == nil {
		t.insert(k)
		return
	}
	for i := range t.columns {
		c := &t.columns[i]
		r.cells[i].add(c.Agg, &t.reads[c.read])
	}
}

// keyOf returns the key of the values at hand; its text is the event's.
func (t *Table) keyOf() key {
	r := &t.reads[t.columns[t.key].read]
	switch r.class {
	case classText:
		return key{text: r.v.Str}
	case classAddr:
		return key{addr: r.v.Addr}
	}
	return key{num: r.v.Num}
}

// insert adds a row with the values at hand.
func (t *Table) insert(k key) {
	if len(t.rows) >= t.opt.MaxRows {
		t.left++
		return
	}
	r := t.newRow()
	if k.text != "" {
		k.text = r.cells[t.key].Text
	}
	t.rows[k] = r
}

func (t *Table) newRow() *row {
	n := len(t.columns)
	if len(t.spare) < n {
		t.spare = make([]Cell, 64*n)
	}
	r := &row{cells: t.spare[:n:n]}
	t.spare = t.spare[n:]
	for i := range t.columns {
		r.cells[i].set(&t.reads[t.columns[i].read])
	}
	return r
}

// append adds a row to a list.
func (t *Table) append() {
	t.numbers++
	if len(t.list)-t.head >= t.opt.MaxRows {
		t.left++
		if !t.opt.Newest {
			return
		}
		t.list[t.head] = nil
		if t.head++; t.head > t.opt.MaxRows {
			t.list = append(t.list[:0], t.list[t.head:]...)
			t.head = 0
		}
	}
	r := t.newRow()
	r.number = t.numbers
	t.list = append(t.list, r)
}

// Merge adds what another table of the same view and options found in events
// that came after those of t, so that parts of a stream can be run at the same
// time. The other one must not be used any more. Lists cannot be merged.
func (t *Table) Merge(o *Table) {
	for k, r := range o.rows {
		mine := t.rows[k]
		switch {
		case mine != nil:
			for i := range t.columns {
				mine.cells[i].follow(t.columns[i].Agg, t.columns[i].class, &r.cells[i])
			}
		case len(t.rows) >= t.opt.MaxRows:
			t.left++
		default:
			t.rows[k] = r
		}
	}
	t.left += o.left
	if t.first == 0 || o.first != 0 && o.first < t.first {
		t.first = o.first
	}
	t.last = max(t.last, o.last)
}

// Condition returns the whole condition of the view, nil if it takes all events.
func (t *Table) Condition() filter.Node { return t.node }

// Reset forgets the rows for the next sample. A list keeps its rows.
func (t *Table) Reset() {
	clear(t.rows)
	t.first, t.last, t.left = 0, 0, 0
}
