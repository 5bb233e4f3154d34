package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// judged is what the rules say about a capture. They are run over it once,
// when somebody asks first, to the end whoever waits for it.
type judged struct {
	mu       sync.Mutex
	run      chan struct{} // closed at the end of the run that goes on, nil if none does
	done     bool
	failed   error // of the last run
	progress float64
	alerts   []judgedAlert
	total    int
	rules    int
}

// maxJudged is how many alerts of a capture are kept; the others are counted.
const maxJudged = 20_000

// judgedAlert is an alert about an event of a capture.
type judgedAlert struct {
	Event    uint64   `json:"event"`
	Time     uint64   `json:"time"` // ns since the epoch
	Rule     string   `json:"rule"`
	Priority string   `json:"priority"`
	Tags     []string `json:"tags,omitempty"`
	Message  string   `json:"message"`
	PID      int64    `json:"pid,omitempty"`
}

// ruleCount is how often a rule matched, over time.
type ruleCount struct {
	Rule     string   `json:"rule"`
	Priority string   `json:"priority"`
	Tags     []string `json:"tags,omitempty"`
	Count    int      `json:"count"`
	Series   []uint32 `json:"series"`
}

// alertList is the alerts of a window.
type alertList struct {
	From   uint64        `json:"from"`
	To     uint64        `json:"to"`
	Ran    int           `json:"ran"` // rules that ran
	Rules  []*ruleCount  `json:"rules"`
	Alerts []judgedAlert `json:"alerts"`
	// LeftOut is how many alerts of the capture were not kept.
	LeftOut int `json:"leftOut,omitempty"`

	all []judgedAlert // also those beyond maxListed
}

// maxListed is how many alerts an answer has, the first ones of the window.
const maxListed = 2000

// alertSamples is how many samples the course of a rule has.
const alertSamples = 200

// alerts answers with what the rules say about the capture.
func (s *Server) alerts(q *request) error {
	r, err := s.capture(q)
	if err != nil {
		return err
	}
	x, err := s.question(q)
	if err != nil {
		return err
	}
	c := s.servedAs(r)
	if c == nil || s.opt.Engine == nil {
		return notFound("no rules are run here")
	}
	return s.answered(q, &x, func(st *stream) ([]byte, error) {
		select {
		case <-r.Done(): // what is judged is judged as a whole
		case <-q.r.Context().Done():
			return nil, q.r.Context().Err()
		}
		if err := s.awaitJudged(q.r.Context(), c, st, &x); err != nil {
			return nil, err
		}
		fits, err := s.fitting(q.r.Context(), c, &x)
		if err != nil {
			return nil, err
		}
		return st.end(c.judged.list(&x, fits))
	})
}

// awaitJudged waits until the rules were run over a capture, and tells what they
// say by then.
func (s *Server) awaitJudged(ctx context.Context, c *served, st *stream, x *question) error {
	j := &c.judged
	end := j.begin(func() error { return s.judge(c) })
	tick := time.NewTicker(partEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return j.err()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			err := st.tick(j.share()*0.999, func() any {
				if x.cond.prog != nil {
					return nil // nobody knows yet which of them fit
				}
				return j.list(x, nil)
			})
			if err != nil {
				return err
			}
		}
	}
}

// begin runs the rules unless that is done or goes on, and returns what is closed at the end.
func (j *judged) begin(judge func() error) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.run != nil {
		return j.run
	}
	end := make(chan struct{})
	if j.done {
		close(end)
		return end
	}
	j.run, j.alerts, j.total, j.progress = end, nil, 0, 0
	go func() {
		err := judge()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.done, j.failed, j.run = err == nil, err, nil
		close(end)
	}()
	return end
}

func (j *judged) err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

func (j *judged) share() float64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.progress
}

// fitting returns the numbers of the events with an alert that the filter fits, nil for all.
func (s *Server) fitting(ctx context.Context, c *served, x *question) (map[uint64]bool, error) {
	if x.cond.prog == nil {
		return nil, nil
	}
	fits := map[uint64]bool{}
	asked := map[uint64]bool{}
	near := *x // the part of the window that has alerts
	near.window = recording.Window{From: math.MaxUint64, To: 1}
	for _, a := range c.judged.list(x, nil).all {
		asked[a.Event] = true
		near.window.From, near.window.To = min(near.window.From, a.Time), max(near.window.To, a.Time)
	}
	if len(asked) == 0 {
		return fits, nil
	}
	err := s.scanParts(ctx, &near, needed(&near, x.cond, false), func(he *host.Event) error {
		if asked[he.Num] {
			fits[he.Num] = true
		}
		return nil
	}, nil)
	return fits, err
}

// servedAs returns the entry of a recording.
func (s *Server) servedAs(r *recording.Recording) *served {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.captures {
		if c != nil && c.Recording == r {
			return c
		}
	}
	return nil
}

// judge runs the rules over a capture, until it is removed.
func (s *Server) judge(c *served) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.opt.Log.Error("a capture could not be judged", "capture", c.Path(), "panic", v)
			err = errors.New("this capture could not be judged; the log tells why")
		}
	}()
	e, err := s.opt.Engine()
	if err != nil {
		return err
	}
	f, err := alert.NewFormatter(e, alert.FormatterOptions{})
	if err != nil {
		return err
	}
	j := &c.judged
	j.mu.Lock()
	j.rules = len(e.Rules())
	j.mu.Unlock()
	all := &question{rec: c.Recording, cond: &condition{}}
	return s.scan(c.ctx, all, recording.Visitor{Event: func(he *host.Event) error {
		for _, m := range e.Process(he) {
			j.add(f.Alert(m, he), he)
		}
		return nil
	}}, func(progress float64) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.progress = progress
		return nil
	})
}

func (j *judged) add(a *alert.Alert, he *host.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.total++; len(j.alerts) >= maxJudged {
		return
	}
	out := judgedAlert{
		Event: he.Num, Time: he.Time(), Rule: a.Rule, Priority: a.Priority.String(), Tags: a.Tags, Message: a.Message,
	}
	if he.Thread != nil {
		out.PID = he.Thread.PID
	}
	j.alerts = append(j.alerts, out)
}

// list returns the alerts of a window, those about events in fits unless it is
// nil, and the rules, the worst first.
func (j *judged) list(x *question, fits map[uint64]bool) *alertList {
	from, to := x.span()
	j.mu.Lock()
	defer j.mu.Unlock()
	out := &alertList{From: from, To: to, Ran: j.rules, Rules: []*ruleCount{}, Alerts: []judgedAlert{}, LeftOut: j.total - len(j.alerts)}
	by := map[string]*ruleCount{}
	for _, a := range j.alerts {
		if a.Time < from || a.Time > to || fits != nil && !fits[a.Event] {
			continue
		}
		out.all = append(out.all, a)
		c := by[a.Rule]
		if c == nil {
			c = &ruleCount{Rule: a.Rule, Priority: a.Priority, Tags: a.Tags, Series: make([]uint32, alertSamples)}
			by[a.Rule] = c
			out.Rules = append(out.Rules, c)
		}
		c.Count++
		c.Series[min(alertSamples-1, int(share(a.Time, from, to)*alertSamples))]++
		if len(out.Alerts) < maxListed {
			out.Alerts = append(out.Alerts, a)
		}
	}
	sortRules(out.Rules)
	return out
}

func sortRules(list []*ruleCount) {
	slices.SortStableFunc(list, func(a, b *ruleCount) int {
		x, _ := rule.ParsePriority(a.Priority)
		y, _ := rule.ParsePriority(b.Priority)
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(b.Count, a.Count))
	})
}
