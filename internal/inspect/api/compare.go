package api

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"rollcage/internal/inspect/view"
)

// comparison is a view over two windows, of one capture or two.
type comparison struct {
	View    string        `json:"view"`
	Columns []column      `json:"columns"`
	Sort    int           `json:"sort"` // the column whose values are compared
	Rows    []comparedRow `json:"rows"`
	Total   int           `json:"total"`
	// Joined is true when rows that are alike, as processes of one command line, count as one.
	Joined bool `json:"joined,omitempty"`
}

type comparedRow struct {
	Key  string `json:"key"`
	Kind string `json:"kind"` // new, gone, more, less, same
	// A and B are the texts of the row in the first and second window, null where it is not there.
	A []string `json:"a"`
	B []string `json:"b"`
	// Change is B's value less A's in the compared column.
	Change float64 `json:"change"`
	// CountA and CountB are how many rows of the view it stands for, where rows that are alike were joined.
	CountA int `json:"countA,omitempty"`
	CountB int `json:"countB,omitempty"`
}

// compare answers with what is new, gone, more and less in the window b, of the
// capture other if that is given, against the window of the request. by=name compares
// processes, threads and containers by what they are, not by their number.
func (s *Server) compare(q *request) error {
	a, err := q.view()
	if err != nil {
		return err
	}
	var was, is question
	if was.rec, err = s.capture(q); err != nil {
		return err
	}
	is.rec = was.rec
	if other := q.text("other"); other != "" {
		if is.rec, err = s.captureNamed(other); err != nil {
			return err
		}
	}
	if was.window, err = q.window(); err != nil {
		return err
	}
	if is.window, err = q.windowNamed("from2", "to2"); err != nil {
		return err
	}
	was.cond, is.cond = &condition{}, &condition{}
	return s.answered(q, &was, func(st *stream) ([]byte, error) {
		var results [2]*view.Result
		var counts [2]map[string]int
		for i, x := range []*question{&was, &is} {
			t, err := s.run(q, x, a, func(p float64, _ *view.Table) error {
				return st.tick((p+float64(i))/2, func() any { return nil })
			})
			if err != nil {
				return nil, err
			}
			results[i] = t.Result(seconds(x))
			if alike := results[i].Alike(a.containers); q.text("by") == "name" && len(alike) > 0 {
				counts[i] = results[i].Join(alike)
			}
		}
		if a.sort >= len(results[0].Columns) {
			a.sort = telling(results[0], results[1])
		}
		return st.end(a.compared(results[0], results[1], counts))
	})
}

// compared joins two results by key, the greatest change first. counts are how many
// rows were joined under each key, nil for none.
func (a *asked) compared(was, is *view.Result, counts [2]map[string]int) *comparison {
	limit := a.limit
	a.limit = math.MaxInt
	x, y := a.rows(was), a.rows(is)
	out := &comparison{View: x.View, Columns: x.Columns, Sort: max(x.Sort, 0)}
	before := map[string]*row{}
	for i := range x.Rows {
		before[x.Rows[i].Key] = &x.Rows[i]
	}
	for i := range y.Rows {
		r := &y.Rows[i]
		c := comparedRow{Key: r.Key, Kind: "new", B: r.Text, Change: r.number(out.Sort)}
		if old := before[r.Key]; old != nil {
			delete(before, r.Key)
			c.A, c.Change = old.Text, c.Change-old.number(out.Sort)
			switch {
			case c.Change > 0:
				c.Kind = "more"
			case c.Change < 0:
				c.Kind = "less"
			default:
				c.Kind = "same"
			}
		}
		out.Rows = append(out.Rows, c)
	}
	for _, old := range before {
		out.Rows = append(out.Rows, comparedRow{Key: old.Key, Kind: "gone", A: old.Text, Change: -old.number(out.Sort)})
	}
	slices.SortStableFunc(out.Rows, func(a, b comparedRow) int {
		if d := math.Abs(b.Change) - math.Abs(a.Change); d != 0 {
			return int(math.Copysign(1, d))
		}
		return slices.Compare([]string{a.Key}, []string{b.Key})
	})
	out.count(counts)
	out.Total = len(out.Rows)
	out.Rows = out.Rows[:min(limit, len(out.Rows))]
	return out
}

// telling returns the column to compare by: the usual one of the view, or if
// that is 0 in all rows, as processor time is where nobody recorded it, the first
// one that adds something up and is not.
func telling(was, is *view.Result) int {
	some := func(column int) bool {
		for _, r := range []*view.Result{was, is} {
			for i := range r.Rows {
				if c := &r.Rows[i].Cells[column]; c.Num != 0 || c.Float != 0 || c.Text != "" {
					return true
				}
			}
		}
		return false
	}
	usual := was.DefaultSort()
	if some(usual) {
		return usual
	}
	for i := range was.Columns {
		if agg := was.Columns[i].Agg; (agg == view.Sum || agg == view.TimeAverage) && some(i) {
			return i
		}
	}
	return usual
}

// count notes how many rows were joined. Where the values are equal, more or less
// of them is the difference.
func (c *comparison) count(counts [2]map[string]int) {
	c.Joined = counts[0] != nil
	for i := range c.Rows {
		r := &c.Rows[i]
		r.CountA, r.CountB = counts[0][r.Key], counts[1][r.Key]
		switch {
		case r.Kind == "same" && r.CountB > r.CountA:
			r.Kind = "more"
		case r.Kind == "same" && r.CountB < r.CountA:
			r.Kind = "less"
		}
	}
	slices.SortStableFunc(c.Rows, func(a, b comparedRow) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Change), math.Abs(a.Change)), cmp.Compare(abs(b.CountB-b.CountA), abs(a.CountB-a.CountA)))
	})
}

func abs(n int) int { return max(n, -n) }

// number returns the value of a column, 0 if it is none.
func (r *row) number(i int) float64 {
	if i >= len(r.Values) {
		return 0
	}
	var n float64
	if json.Unmarshal(r.Values[i], &n) == nil {
		return n
	}
	var s string
	if json.Unmarshal(r.Values[i], &s) == nil {
		n, _ = strconv.ParseFloat(s, 64)
	}
	return n
}
