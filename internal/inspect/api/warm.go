package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// warmViews are asked for first, and over the whole capture: what takes longest.
var warmViews = []string{"procs", "files", "connections", "containers", "syscalls", "errors", "directories"}

// worthWarming is from which number of events on answers are made in advance.
const worthWarming = 200_000

// Warm makes the answers that are likely to be asked for, in one pass over
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

func (s *Server) warm(ctx context.Context, id int, r *recording.Recording) error {
	var tables []*view.Table
	for _, name := range warmViews {
		v, err := view.Find(name)
		if err != nil {
			return err
		}
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
		a := asked{path: view.NewPath(t.View, ""), containers: true, sort: 1 << 20, desc: true, limit: maxRows}
		b, err := json.Marshal(part{1, a.rows(t.Result(seconds(&x)))})
		if err != nil {
			return err
		}
		s.answers.put(fmt.Sprintf("/api/captures/%d/views/%s?limit=%d", id, t.View.ID, maxRows), append(b, '\n'))
	}
	return nil
}

// giveWay waits while somebody's scan runs.
func (s *Server) giveWay(ctx context.Context) {
	for len(s.scans) > 0 && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
}
