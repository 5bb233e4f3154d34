package api

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// judged is what the rules say about a capture. They are run over it once,
// when somebody asks first.
type judged struct {
	mu     sync.Mutex // held while the rules run
	done   bool
	alerts []judgedAlert
	total  int
	rules  int
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
	x := &question{rec: r, cond: &condition{}}
	if x.window, err = q.window(); err != nil {
		return err
	}
	c := s.servedAs(r)
	if c == nil || s.opt.Engine == nil {
		return notFound("no rules are run here")
	}
	st := q.stream()
	select {
	case <-r.Done(): // what is judged is judged as a whole
	case <-q.r.Context().Done():
		return q.r.Context().Err()
	}
	if err := s.judge(q.r.Context(), c, st, x); err != nil {
		return err
	}
	_, err = st.end(c.judged.list(x))
	return err
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

// judge runs the rules over the capture, unless that was done. Who asks
// meanwhile waits for it.
func (s *Server) judge(ctx context.Context, c *served, st *stream, x *question) error {
	j := &c.judged
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.done {
		return nil
	}
	e, err := s.opt.Engine()
	if err != nil {
		return err
	}
	f, err := alert.NewFormatter(e, alert.FormatterOptions{})
	if err != nil {
		return err
	}
	j.alerts, j.total, j.rules = nil, 0, len(e.Rules())
	all := &question{rec: c.Recording, cond: &condition{}}
	err = s.scan(ctx, all, recording.Visitor{Event: func(he *host.Event) error {
		for _, m := range e.Process(he) {
			j.add(f.Alert(m, he), he)
		}
		return nil
	}}, func(progress float64) error {
		return st.tick(progress*0.999, func() any { return j.list(x) })
	})
	j.done = err == nil
	return err
}

func (j *judged) add(a *alert.Alert, he *host.Event) {
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

// list returns the alerts of a window, and the rules, the worst first.
func (j *judged) list(x *question) *alertList {
	from, to := x.span()
	out := &alertList{From: from, To: to, Ran: j.rules, Rules: []*ruleCount{}, Alerts: []judgedAlert{}, LeftOut: j.total - len(j.alerts)}
	by := map[string]*ruleCount{}
	for _, a := range j.alerts {
		if a.Time < from || a.Time > to {
			continue
		}
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
