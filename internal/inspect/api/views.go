package api

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// maxRows is how many rows of a view are given unless asked for otherwise.
const maxRows = 1000

// maxTableRows is how many rows a view tells apart; events of others are counted as left out.
// A row takes up to 1 KiB, and tables of several parts are there at the same time.
const maxTableRows = 100_000

// step is a view on the way to the one at hand and the row that was chosen in it.
type step struct {
	View  string `json:"view"`
	Value string `json:"value"`
}

// column is a column of a view.
type column struct {
	Name  string `json:"name"`
	Field string `json:"field"`
	Doc   string `json:"doc"`
	// Number is true when the values are numbers, which are right-aligned and compared as such.
	Number bool `json:"number"`
}

// rows is a view over a window.
type rows struct {
	View    string   `json:"view"`
	Columns []column `json:"columns"`
	// Rows are in the order of the sort column.
	Rows  []row  `json:"rows"`
	Total int    `json:"total"` // rows there are
	Left  uint64 `json:"left"`  // events left out because there were too many rows
	Sort  int    `json:"sort"`
	Desc  bool   `json:"desc"`
	// Condition is what an event must meet to be in the view; the rows' keys come on top.
	Condition string `json:"condition"`
	KeyField  string `json:"keyField"`
	// Next are the views that a row may be opened with; the first is the usual one.
	Next []string `json:"next"`
}

type row struct {
	Key string `json:"key"`
	// Text is what is shown, Values what is compared and exported.
	Text   []string          `json:"text"`
	Values []json.RawMessage `json:"values"`
}

// asked is a view with what it is asked for.
type asked struct {
	path       view.Path
	containers bool
	sort       int // -1 for the usual
	desc       bool
	limit      int
}

func (q *request) view() (a asked, err error) {
	a.containers = q.text("containers") != "0"
	v, err := view.Find(q.r.PathValue("view"))
	if err != nil {
		return a, notFound("%v", err)
	}
	a.path = view.NewPath(v, q.text("filter"))
	if text := q.text("path"); text != "" {
		if a.path, err = parsePath(text, q.text("filter"), v, a.containers); err != nil {
			return a, err
		}
	}
	limit, err := q.number("limit", maxRows, 100_000)
	if err != nil {
		return a, err
	}
	sort, err := q.number("sort", 1<<20, 1<<20)
	a.limit, a.sort, a.desc = int(limit), int(sort), q.text("desc") != "0"
	return a, err
}

// parsePath reads the way to a view.
func parsePath(text, condition string, last *view.View, containers bool) (view.Path, error) {
	var steps []step
	if err := json.Unmarshal([]byte(text), &steps); err != nil {
		return view.Path{}, badRequest("path: %v", err)
	}
	if len(steps) > 16 {
		return view.Path{}, badRequest("path: more than 16 views")
	}
	var p view.Path
	for i, s := range steps {
		v, err := view.Find(s.View)
		if err != nil {
			return p, badRequest("path: %v", err)
		}
		if i == 0 {
			p = view.NewPath(v, condition)
		} else {
			p = p.Down(v, containers, steps[i-1].Value)
		}
	}
	if len(steps) == 0 {
		return view.NewPath(last, condition), nil
	}
	return p.Down(last, containers, steps[len(steps)-1].Value), nil
}

// view answers with the rows of a view.
func (s *Server) view(q *request) error {
	a, err := q.view()
	if err != nil {
		return err
	}
	x := question{cond: &condition{}}
	if x.rec, err = s.capture(q); err != nil {
		return err
	}
	if x.window, err = q.window(); err != nil {
		return err
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		t, err := s.run(q, &x, a, func(progress float64, t *view.Table) error {
			return st.tick(progress, func() any { return a.rows(t.Result(seconds(&x))) })
		})
		if err != nil {
			return nil, err
		}
		return st.end(a.rows(t.Result(seconds(&x))))
	})
}

// seconds returns the length of the window that is asked for.
func seconds(x *question) float64 {
	from, to := x.span()
	return float64(to-from) / 1e9
}

// table compiles a view.
func (a *asked) table() (*view.Table, error) {
	t, err := view.New(a.path.View(), view.Options{Filter: a.path.Condition(), Depth: a.path.Depth(), Containers: a.containers, MaxRows: maxTableRows})
	var fe *filter.Error
	switch {
	case err == nil:
		return t, nil
	case errors.As(err, &fe):
		return nil, filterProblem(fe)
	}
	return nil, badRequest("%v", err)
}

// run runs a view over the window, large ones in parts at the same time as far
// as nobody else needs the places. tick is given the table of the first part.
func (s *Server) run(q *request, x *question, a asked, tick func(float64, *view.Table) error) (*view.Table, error) {
	t, err := a.table()
	if err != nil {
		return nil, err
	}
	ctx := q.r.Context()
	parts, places, err := s.parts(ctx, x, a)
	if err != nil {
		return nil, err
	}
	defer s.leave(places)
	tables := make([]*view.Table, len(parts))
	tables[0] = t
	for i := range tables[1:] {
		if tables[i+1], err = a.table(); err != nil {
			return nil, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, t := range tables {
		p := partOf{x, parts[i], i == len(parts)-1}
		group.Go(func() error {
			return p.run(ctx, t, func(progress float64) error {
				if i > 0 {
					return nil
				}
				return tick(progress, t)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, more := range tables[1:] {
		t.Merge(more)
	}
	return t, nil
}

// worthParts is from how many events on a window is run in parts.
var worthParts uint64 = 300_000

// parts divides what must be read of a window into parts of about as many
// events each, as many as there are free places for scans, which it takes.
func (s *Server) parts(ctx context.Context, x *question, a asked) (parts [][]span, places int, err error) {
	c, err := newCondition(a.path.Condition())
	if err != nil {
		c = &condition{} // the table tells what is wrong
	}
	kind := a.path.View().Kind
	list := needed(x, c, kind == view.KindTable)
	most := 1
	if from, to := x.shown(); kind == view.KindTable && to-from > worthParts {
		most = cap(s.scans)
	}
	if places, err = s.places(ctx, most); err != nil {
		return nil, 0, err
	}
	if len(list) == 0 {
		return [][]span{{}}, places, nil
	}
	return divide(list, x.inside(), places), places, nil
}

// inside returns the stretches that begin in the window.
func (x *question) inside() (out []recording.Stretch) {
	for _, st := range x.rec.Stretches()[1:] {
		if x.window.Has(st.Time) {
			out = append(out, st)
		}
	}
	return out
}

// shown returns about how many events are before the window and before its end.
func (x *question) shown() (from, to uint64) {
	in := x.inside()
	if len(in) < 3 {
		return 0, 0
	}
	return in[0].Shown, in[len(in)-1].Shown
}

// partOf is parts of the events of a question.
type partOf struct {
	*question
	spans []span
	last  bool // the window ends in it
}

func (p partOf) run(ctx context.Context, t *view.Table, tick func(float64) error) error {
	for i, sp := range p.spans {
		if err := p.one(ctx, sp, p.last && i == len(p.spans)-1, t, tick); err != nil {
			return err
		}
	}
	return nil
}

func (p partOf) one(ctx context.Context, sp span, last bool, t *view.Table, tick func(float64) error) error {
	from, to := p.span()
	n := 0
	v := recording.Visitor{
		Event: func(he *host.Event) error {
			switch n++; {
			case he.Num >= sp.end:
				return recording.ErrStop
			case n%1024 == 0:
				if err := tick(share(he.Time(), from, to)); err != nil {
					return err
				}
			}
			t.Add(he)
			return nil
		},
	}
	if last {
		v.End = func(state *host.State) error { t.AddThreads(state, to, nil); return nil }
	}
	return p.rec.ScanFrom(ctx, sp.first, p.window, v)
}

// rows turns a result into what is given.
func (a *asked) rows(res *view.Result) *rows {
	sort, desc := res.DefaultSort(), false
	if a.sort < len(res.Columns) {
		sort, desc = a.sort, a.desc
	} else if sort >= 0 {
		desc = res.Descending(sort)
	}
	if sort >= 0 {
		res.Sort(sort, desc)
	}
	out := &rows{
		View: res.View.ID, Total: len(res.Rows), Left: res.Left, Sort: sort, Desc: desc,
		Condition: a.path.Condition(), KeyField: res.View.KeyField(a.containers), Rows: []row{},
	}
	for i := range res.Columns {
		c := &res.Columns[i]
		doc := ""
		if c.Type != nil && c.Type.Def != nil {
			doc = c.Type.Def.Doc
		}
		out.Columns = append(out.Columns, column{Name: c.Name, Field: c.Field, Doc: doc, Number: res.Descending(i)})
	}
	for i := range res.Rows[:min(a.limit, len(res.Rows))] {
		r := &res.Rows[i]
		line := row{Key: r.Key}
		for j := range r.Cells {
			line.Text = append(line.Text, string(res.AppendCell(nil, j, &r.Cells[j])))
			line.Values = append(line.Values, res.AppendNumber(nil, j, &r.Cells[j]))
		}
		out.Rows = append(out.Rows, line)
	}
	out.Next = nextViews(res.View, a.containers)
	return out
}

// nextViews returns the views that a row of v may be opened with.
func nextViews(v *view.View, containers bool) []string {
	var out []string
	if v.Kind != view.KindTable {
		return out
	}
	if v.Drill != "" {
		out = append(out, v.Drill)
	}
	key := v.KeyField(containers)
	for _, o := range view.All() {
		if key != "" && o.ID != v.Drill && o.AppliesFrom(key) {
			out = append(out, o.ID)
		}
	}
	return out
}
