package api

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

// capture returns the capture that a request is about.
func (s *Server) capture(q *request) (*recording.Recording, error) {
	return s.captureNamed(q.r.PathValue("capture"))
}

func (s *Server) captureNamed(id string) (*recording.Recording, error) {
	n, err := strconv.Atoi(id)
	if err != nil {
		return nil, notFound("there is no capture %q", id)
	}
	c := s.served(n)
	if c == nil {
		return nil, notFound("there is no capture %q", id)
	}
	return c.Recording, nil
}

func (q *request) text(name string) string { return q.r.URL.Query().Get(name) }

// number returns a whole number of the query, what is usual if it is not there.
func (q *request) number(name string, usual, most uint64) (uint64, error) {
	v := q.text(name)
	if v == "" {
		return usual, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, badRequest("%s=%s is no number", name, v)
	}
	return min(n, most), nil
}

// window returns the span of time that is asked for, in ns since the epoch.
func (q *request) window() (recording.Window, error) {
	return q.windowNamed("from", "to")
}

func (q *request) windowNamed(from, to string) (w recording.Window, err error) {
	if w.From, err = q.number(from, 0, ^uint64(0)); err != nil {
		return w, err
	}
	if w.To, err = q.number(to, 0, ^uint64(0)); err != nil {
		return w, err
	}
	if w.To != 0 && w.To < w.From {
		return w, badRequest("the window ends before it begins")
	}
	return w, nil
}

// condition is a compiled filter. It is used by one goroutine.
type condition struct {
	text string
	prog *filter.Program
	id   filter.CondID
}

// newCondition compiles a filter; an empty one fits every event.
func newCondition(text string) (*condition, error) {
	c := &condition{text: strings.TrimSpace(text)}
	if c.text == "" {
		return c, nil
	}
	n, err := filter.Parse(c.text)
	if err == nil {
		c.prog = filter.NewProgram()
		c.id, _, err = c.prog.Add(n)
	}
	if err != nil {
		return nil, filterProblem(err)
	}
	return c, nil
}

func (c *condition) fits(he *host.Event) bool { return c.prog == nil || c.prog.Eval(c.id, he) }

// filterProblem says where in a condition a mistake is.
func filterProblem(err error) error {
	p := &problem{Message: err.Error(), status: 400}
	var fe *filter.Error
	if errors.As(err, &fe) {
		index := fe.Index
		p.Message, p.Index, p.Line, p.Column, p.Hint = fe.Msg, &index, fe.Line, fe.Column, fe.Hint
	}
	return p
}

// condition compiles the filter of a request.
func (q *request) condition() (*condition, error) { return newCondition(q.text("filter")) }

// question is what most requests ask: a capture, a window, a filter.
type question struct {
	rec    *recording.Recording
	window recording.Window
	cond   *condition
}

func (s *Server) question(q *request) (x question, err error) {
	if x.rec, err = s.capture(q); err != nil {
		return x, err
	}
	if x.window, err = q.window(); err != nil {
		return x, err
	}
	x.cond, err = q.condition()
	return x, err
}

// span returns the ends of the window as far as the capture has events there.
func (x *question) span() (from, to uint64) {
	i := x.rec.Info()
	from, to = max(x.window.From, i.Start), i.End
	if x.window.To != 0 {
		to = min(to, x.window.To)
	}
	return from, max(from, to)
}

// scan waits for a place and visits the events of the window, those that the
// filter fits. tick is called now and then with the progress, 0 to 1.
func (s *Server) scan(ctx context.Context, x *question, v recording.Visitor, tick func(float64) error) error {
	select {
	case s.scans <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.scans }()
	return x.rec.Scan(ctx, x.window, x.ticking(v, tick))
}

// scanParts is scan for parts of the capture alone.
func (s *Server) scanParts(ctx context.Context, x *question, parts []span, visit func(*host.Event) error, tick func(float64) error) error {
	places, err := s.places(ctx, 1)
	if err != nil {
		return err
	}
	defer s.leave(places)
	for _, part := range parts {
		v := x.ticking(recording.Visitor{Event: visit}, tick)
		fitting := v.Event
		v.Event = func(he *host.Event) error {
			if he.Num >= part.end {
				return recording.ErrStop
			}
			return fitting(he)
		}
		if err := x.rec.ScanFrom(ctx, part.first, x.window, v); err != nil {
			return err
		}
	}
	return nil
}

// ticking makes a visitor that is shown what the filter fits, and tells the progress.
func (x *question) ticking(v recording.Visitor, tick func(float64) error) recording.Visitor {
	from, to := x.span()
	n, visit := 0, v.Event
	v.Event = func(he *host.Event) error {
		if n++; n%1024 == 0 && tick != nil {
			if err := tick(share(he.Time(), from, to)); err != nil {
				return err
			}
		}
		if !x.cond.fits(he) {
			return nil
		}
		return visit(he)
	}
	return v
}

// share returns how far at is between from and to.
func share(at, from, to uint64) float64 {
	if to <= from || at <= from {
		return 0
	}
	return min(1, float64(at-from)/float64(to-from))
}
