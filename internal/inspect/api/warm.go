package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// warmViews are asked for first, and over the whole capture: what takes longest.
var warmViews = []string{"procs", "files", "connections", "containers", "syscalls", "errors", "directories"}

// worthWarming is from which number of events on answers are made in advance.
const worthWarming = 200_000

// Warm makes the answers that are likely to be asked for, in a few passes over
// each capture once it is surveyed, and remembers them. It gives way to whoever
// asks for something and returns when it is done or ctx ends.
func (s *Server) Warm(ctx context.Context) {
	s.mu.RLock()
	all := slices.Clone(s.captures)
	s.mu.RUnlock()
	for id, r := range all {
		if r == nil {
			continue
		}
		select {
		case <-r.Done():
		case <-ctx.Done():
			return
		}
		if r.Info().Events < worthWarming {
			continue
		}
		if err := s.warm(ctx, id, r.Recording); err != nil && ctx.Err() == nil {
			s.opt.Log.Debug("answers could not be made in advance", "capture", r.Path(), "error", err)
		}
	}
}

// warmTogether is how many views are made in one pass: each takes memory for its rows.
const warmTogether = 8

func (s *Server) warm(ctx context.Context, id int, r *recording.Recording) error {
	views := make([]*view.View, 0, len(view.All()))
	for _, name := range warmViews {
		v, err := view.Find(name)
		if err != nil {
			return err
		}
		views = append(views, v)
	}
	for _, v := range view.All() {
		if v.Kind == view.KindTable && !slices.Contains(views, v) {
			views = append(views, v)
		}
	}
	for some := range slices.Chunk(views, warmTogether) {
		if err := s.warmSome(ctx, id, r, some); err != nil {
			return err
		}
	}
	return nil
}

// warmSome makes views over the whole capture in one pass.
func (s *Server) warmSome(ctx context.Context, id int, r *recording.Recording, views []*view.View) error {
	var tables []*view.Table
	for _, v := range views {
		t, err := view.New(v, view.Options{Containers: true, MaxRows: maxTableRows})
		if err != nil {
			return err
		}
		tables = append(tables, t)
	}
	n := 0
	x := question{rec: r, cond: &condition{}}
	_, end := x.span()
	err := r.Scan(ctx, recording.All, recording.Visitor{
		Event: func(he *host.Event) error {
			if n++; n%1024 == 0 {
				s.giveWay(ctx)
			}
			for _, t := range tables {
				t.Add(he)
			}
			return nil
		},
		End: func(state *host.State) error {
			for _, t := range tables {
				t.AddThreads(state, end, nil)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := s.keepTable(id, t, seconds(&x)); err != nil {
			return err
		}
	}
	return nil
}

// keepTable remembers what is asked for of a table: as it is at first and, of those that are looked at most, in the order of each column
// that is chosen.
func (s *Server) keepTable(id int, t *view.Table, seconds float64) error {
	res := t.Result(seconds)
	path := fmt.Sprintf("/api/captures/%d/views/%s", id, t.View.ID)
	keep := func(sort int, desc bool, query url.Values) error {
		a := asked{path: view.NewPath(t.View, ""), containers: true, sort: sort, desc: desc, limit: maxRows}
		b, err := json.Marshal(part{1, a.rows(res)})
		if err != nil {
			return err
		}
		query.Set("limit", strconv.Itoa(maxRows))
		s.answers.put(path+"?"+query.Encode(), append(b, '\n'))
		return nil
	}
	for i := range res.Columns {
		if !slices.Contains(warmViews, t.View.ID) {
			break
		}
		desc := "0"
		if res.Descending(i) {
			desc = "1"
		}
		if err := keep(i, desc == "1", url.Values{"sort": {strconv.Itoa(i)}, "desc": {desc}}); err != nil {
			return err
		}
	}
	return keep(1<<20, true, url.Values{})
}

// giveWay waits while somebody's scan runs.
func (s *Server) giveWay(ctx context.Context) {
	for len(s.scans) > 0 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
}
