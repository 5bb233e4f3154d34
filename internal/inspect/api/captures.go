package api

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/proctree"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/host"
)

// capture is what the interface shows of a capture.
type captureInfo struct {
	ID int `json:"id"`
	recording.Info
}

// served is a capture that is served, with its alerts.
type served struct {
	*recording.Recording
	judged judged
	ctx    context.Context // ends when it is removed
	stop   context.CancelFunc
}

// Add serves another capture, which stays the caller's, and returns its ID.
// IDs are given out once.
func (s *Server) Add(r *recording.Recording) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	s.captures = append(s.captures, &served{Recording: r, ctx: ctx, stop: stop})
	return len(s.captures) - 1
}

// Remove serves a capture no more, and forgets what is remembered of it.
// Answers that are on their way go on.
func (s *Server) Remove(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id < 0 || id >= len(s.captures) || s.captures[id] == nil {
		return
	}
	c := s.captures[id]
	s.captures[id] = nil
	c.stop()
	s.answers.forget(id)
	s.lists.forget(c.Recording)
}

// keep calls remember while a capture is served, and not if it is no more.
func (s *Server) keep(r *recording.Recording, remember func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.captures {
		if c != nil && c.Recording == r {
			remember()
			return
		}
	}
}

// served returns the capture with that ID, nil if there is none.
func (s *Server) served(id int) *served {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if id < 0 || id >= len(s.captures) {
		return nil
	}
	return s.captures[id]
}

func (s *Server) listCaptures(q *request) error {
	s.mu.RLock()
	all := slices.Clone(s.captures)
	s.mu.RUnlock()
	out := []captureInfo{}
	for i, c := range all {
		if c != nil {
			out = append(out, captureInfo{i, c.Info()})
		}
	}
	return q.reply(out)
}

func (s *Server) showCapture(q *request) error {
	r, err := s.capture(q)
	if err != nil {
		return err
	}
	id, _ := strconv.Atoi(q.r.PathValue("capture"))
	return q.reply(captureInfo{id, r.Info()})
}

// fieldInfo is a field as the completion of conditions needs it.
type fieldInfo struct {
	Name    string `json:"name"`
	Class   string `json:"class"`
	Type    string `json:"type"`
	Doc     string `json:"doc"`
	Example string `json:"example"`
	Arg     bool   `json:"arg,omitempty"` // it needs an argument
	// Ops are the operators that it can be compared with.
	Ops []string `json:"ops,omitempty"`
}

func listFields(q *request) error {
	var out []fieldInfo
	for _, d := range field.All() {
		if d.Flags&field.Hidden == 0 {
			out = append(out, fieldInfo{d.Name, d.Class, d.Type.String(), d.Doc, d.Example, d.Args&field.ArgRequired != 0, filter.OperatorsFor(d)})
		}
	}
	return q.reply(out)
}

// viewInfo is a view as the interface lists it.
type viewInfo struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Kind        string   `json:"kind"`
	Drill       string   `json:"drill,omitempty"`
	AppliesTo   []string `json:"appliesTo"`
	Filter      string   `json:"filter,omitempty"`
	Key         string   `json:"key,omitempty"` // field that tells the rows apart
}

func listViews(q *request) error {
	var out []viewInfo
	for _, v := range view.All() {
		out = append(out, viewInfo{v.ID, v.Name, v.Description, string(v.Kind), v.Drill, v.AppliesTo, v.Filter, v.KeyField(true)})
	}
	return q.reply(out)
}

// checkFilter tells whether a condition is one.
func checkFilter(q *request) error {
	if _, err := q.condition(); err != nil {
		return err
	}
	return q.reply(map[string]bool{"ok": true})
}

// maxProcesses is how many processes are shown at once.
const maxProcesses = 20_000

// processList is the part of the process tree that a window shows.
type processList struct {
	Processes []*proctree.Process `json:"processes"`
	Total     int                 `json:"total"`
	LeftOut   uint64              `json:"leftOut"`
}

// processes answers with the processes that lived in the window, with a filter
// those with an event there that fits; and with their ancestors.
func (s *Server) processes(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	if x.cond.prog == nil {
		return q.stream().lines(x.rec, func(p *proctree.Process) bool {
			return (p.End == 0 || p.End >= x.window.From) && (x.window.To == 0 || p.Start <= x.window.To)
		})
	}
	st := q.stream()
	fits, err := s.doers(q.r.Context(), &x, st)
	if err != nil {
		return err
	}
	return st.lines(x.rec, func(p *proctree.Process) bool { return fits[p.ID] })
}

// doers returns the IDs of the processes with an event that the question is about.
func (s *Server) doers(ctx context.Context, x *question, st *stream) (map[int]bool, error) {
	type life struct {
		id    int
		first uint64
	}
	lives := map[int64][]life{} // by PID, in order of time
	x.rec.Read(func(t *proctree.Tree) {
		for _, p := range t.Processes {
			if p.First != 0 {
				lives[p.PID] = append(lives[p.PID], life{p.ID, p.First})
			}
		}
	})
	fits := map[int]bool{}
	visit := func(he *host.Event) error {
		lead := he.Process()
		if lead == nil {
			return nil
		}
		at, own := he.Time(), lives[lead.PID]
		for i := len(own) - 1; i >= 0; i-- {
			if own[i].first <= at {
				fits[own[i].id] = true
				break
			}
		}
		return nil
	}
	err := s.scanParts(ctx, x, needed(x, x.cond, false), visit, func(p float64) error {
		return st.tick(p*0.999, func() any { return nil })
	})
	return fits, err
}

// lines answers with the processes that are wanted, and their ancestors.
func (st *stream) lines(r *recording.Recording, wants func(*proctree.Process) bool) (err error) {
	var b []byte
	r.Read(func(t *proctree.Tree) {
		out := processList{Total: len(t.Processes), LeftOut: t.LeftOut}
		wanted := make([]bool, len(t.Processes))
		for i := len(t.Processes) - 1; i >= 0; i-- {
			p := t.Processes[i]
			if wanted[i] = wanted[i] || wants(p); wanted[i] && p.Parent >= 0 {
				wanted[p.Parent] = true
			}
		}
		for i, p := range t.Processes {
			if wanted[i] && len(out.Processes) < maxProcesses {
				out.Processes = append(out.Processes, p)
			}
		}
		b, err = json.Marshal(part{1, out})
	})
	if err != nil {
		return err
	}
	return st.raw(append(b, '\n'))
}
