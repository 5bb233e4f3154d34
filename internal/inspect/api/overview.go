package api

import (
	"errors"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// overview is what the events of a window add up to.
type overview struct {
	From  uint64 `json:"from"` // ns since the epoch; the samples divide what is between in equal parts
	To    uint64 `json:"to"`
	Tiles []tile `json:"tiles"`
}

// tile is a number of an overview with how it came about over time.
type tile struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Category    string    `json:"category"`
	Total       float64   `json:"total"`
	Max         float64   `json:"max"`  // of the samples
	Unit        string    `json:"unit"` // count, bytes, or level for what does not add up
	Series      []float64 `json:"series"`
	Noteworthy  bool      `json:"noteworthy"`
	// View shows more, under Filter; echo is what was said, dig the events.
	View   string `json:"view,omitempty"`
	Filter string `json:"filter,omitempty"`
	Sort   int    `json:"sort"` // column of the view
}

// newOverview turns what a summary found into what is given.
func newOverview(o *view.Overview) *overview {
	out := &overview{From: o.Start, To: o.End, Tiles: []tile{}}
	names := map[string]string{}
	for _, c := range o.Categories {
		names[c.ID] = c.Name
	}
	for i := range o.Tiles {
		t := &o.Tiles[i]
		if t.Quiet && t.Total == 0 {
			continue
		}
		unit := "count"
		switch {
		case t.Level:
			unit = "level"
		case strings.Contains(t.Name, "Bytes"):
			unit = "bytes"
		}
		out.Tiles = append(out.Tiles, tile{
			ID: strings.ToLower(strings.ReplaceAll(t.Name, " ", "-")), Name: t.Name, Description: t.Description,
			Category: names[t.Category], Total: t.Total, Max: t.Max, Unit: unit, Series: t.Values, Noteworthy: t.Noted,
			View: t.View, Filter: t.Filter, Sort: t.Sort,
		})
	}
	return out
}

// overview answers with the tiles of the window. That of the whole capture is
// a fruit of the survey and there at any time.
func (s *Server) overview(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	samples, err := q.number("samples", 400, 2000)
	if err != nil {
		return err
	}
	if x.cond.text == "" && x.window == recording.All {
		i := x.rec.Info()
		return q.stream().write(part{i.Progress, newOverview(x.rec.Overview())})
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		from, to := x.span()
		sum, err := view.NewSummary(view.SummaryOptions{Filter: x.cond.text, Samples: int(max(1, samples)), Start: from, End: to})
		if err != nil {
			var fe *filter.Error
			if errors.As(err, &fe) {
				return nil, filterProblem(fe)
			}
			return nil, err
		}
		parts := needed(&x, x.cond, false)
		x.cond = &condition{} // the summary has it
		err = s.scanParts(q.r.Context(), &x, parts, func(he *host.Event) error { sum.Add(he); return nil },
			func(p float64) error { return st.tick(p, func() any { return newOverview(sum.Overview()) }) })
		if err != nil {
			return nil, err
		}
		return st.end(newOverview(sum.Overview()))
	})
}
