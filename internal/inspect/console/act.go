package console

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"rollcage/internal/inspect/access"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
)

// actBody asks for an action. Without confirm nothing is touched: the answer
// says what would be done, and has the confirmation by which the same person can
// have it done.
type actBody struct {
	Kind    string `json:"kind"`             // pause, unpause, stop, kill, isolate, release, capture, notify
	Target  string `json:"target,omitempty"` // of kill: process, tree, container
	For     string `json:"for,omitempty"`    // a duration after which pause and isolate are undone
	Before  string `json:"before,omitempty"` // of capture
	After   string `json:"after,omitempty"`
	Confirm string `json:"confirm,omitempty"`
}

// actDone says what was done, or would be.
type actDone struct {
	ID      string `json:"id"` // of the action
	DryRun  bool   `json:"dry_run"`
	Text    string `json:"text"` // in words
	OK      bool   `json:"ok"`
	Confirm string `json:"confirm,omitempty"`
	// Until is how long Confirm holds.
	Until time.Time `json:"until,omitzero"`
}

// plan is an action of which somebody was told what it would do.
type plan struct {
	who, incident string
	act           actBody
	until         time.Time
}

// plans remembers the actions that can be confirmed.
type plans struct {
	mu  sync.Mutex
	all map[string]plan
}

const (
	planFor  = 10 * time.Minute
	maxPlans = 1000
)

func (p *plans) put(x plan) (confirm string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for k, old := range p.all {
		if now.After(old.until) {
			delete(p.all, k)
		}
	}
	if p.all == nil || len(p.all) >= maxPlans {
		p.all = map[string]plan{}
	}
	confirm, x.until = access.NewSecret()[:32], now.Add(planFor)
	p.all[confirm] = x
	return confirm, x.until
}

// take uses up a confirmation. It reports whether it is for that.
func (p *plans) take(confirm string, want plan) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, ok := p.all[confirm]
	if !ok || time.Now().After(x.until) || x.who != want.who || x.incident != want.incident || x.act != want.act {
		return false
	}
	delete(p.all, confirm)
	return true
}

// actions are those that people can ask for.
var actions = map[policy.Kind]bool{
	policy.Pause: true, policy.Unpause: true, policy.Stop: true, policy.Kill: true, policy.Isolate: true, policy.Release: true,
	policy.Capture: true, policy.Notify: true,
}

// The spans of a capture that is asked for.
const (
	usualBefore = time.Minute
	usualAfter  = 10 * time.Second
	mostSpan    = time.Hour
)

// action reads what is asked for.
func (b *actBody) action() (a policy.Action, err error) {
	a.Kind, a.Target = policy.Kind(b.Kind), b.Target
	if !actions[a.Kind] {
		return a, fail(http.StatusBadRequest, "%q is no action: pause, unpause, stop, kill, isolate, release, capture, notify", b.Kind)
	}
	isTarget := b.Target == policy.KillProcess || b.Target == policy.KillTree || b.Target == policy.KillContainer
	if (a.Kind == policy.Kill) != isTarget || a.Kind != policy.Kill && b.Target != "" {
		return a, fail(http.StatusBadRequest, "target is process, tree or container for kill, and nothing for other actions")
	}
	if a.Kind == policy.Capture {
		a.Before, a.After = usualBefore, usualAfter
	}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"for", b.For, &a.For}, {"before", b.Before, &a.Before}, {"after", b.After, &a.After}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(d.text); err != nil || *d.to < 0 || d.name != "for" && *d.to > mostSpan {
			return a, fail(http.StatusBadRequest, "%s: %q is no duration that can be used, as 10m", d.name, d.text)
		}
	}
	return a, nil
}

func act(c *call) error {
	var b actBody
	if err := c.body(&b); err != nil {
		return err
	}
	a, err := b.action()
	if err != nil {
		return err
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	confirm := b.Confirm
	b.Confirm = ""
	want := plan{who: c.who.Via + " " + c.who.Name, incident: s.ID, act: b}
	dry := confirm == ""
	if !dry && !c.s.plans.take(confirm, want) {
		return fail(http.StatusConflict, "confirm is not from a dry run of this by you in the last %v; ask without it first", planFor)
	}
	id, err := c.s.opt.Guard.Act(c.r.Context(), c.who.Who(), s.ID, a, dry)
	if id == "" && err != nil {
		return err
	}
	out := actDone{ID: id, DryRun: dry, OK: err == nil}
	if err != nil {
		out.Text = plain(err)
	} else if out.Text, err = c.s.outcome(s.ID, id); err != nil {
		return err
	}
	if dry && out.OK {
		out.Confirm, out.Until = c.s.plans.put(want)
	}
	return c.reply(out, true)
}

// outcome returns in words what an action did.
func (s *Server) outcome(incident, id string) (text string, err error) {
	_, err = evidence.ReadIncident(s.opt.Dir, incident, func(r *evidence.Record) error {
		var o evidence.Outcome
		if r.Kind == evidence.KindOutcome && json.Unmarshal(r.Data, &o) == nil && o.ID == id {
			if text = o.Done; !o.OK {
				text = o.Error
			}
		}
		return nil
	})
	return text, err
}

func inForce(c *call) error { return c.reply(c.s.opt.Guard.InForce(), false) }

type undone struct {
	ID string `json:"id"` // of the action that did it
}

func undo(c *call) error {
	id := c.r.PathValue("action")
	for _, u := range c.s.opt.Guard.InForce() {
		if u.ID == id {
			by, err := c.s.opt.Guard.Undo(c.r.Context(), c.who.Who(), id)
			if err != nil {
				return err
			}
			return c.reply(undone{by}, true)
		}
	}
	return fail(http.StatusNotFound, "no action %q is in force", id)
}
