// Package report writes what is known of an incident as one HTML file that
// stands for itself: no script, no request to anywhere, good to print and to
// send to somebody who has no Rollcage.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/mask"
	"rollcage/internal/respond/scene"
)

// Report is what is known of an incident, as texts that are fit to be shown.
type Report struct {
	Summary   *evidence.Summary
	Opened    evidence.Opened
	Masked    bool
	Made      time.Time
	Rules     []RuleCount
	Line      []Moment
	Tree      []*Node
	Captures  []evidence.Capture
	Truncated int // moments that are left out
}

// RuleCount is how often a rule matched.
type RuleCount struct {
	Rule, Priority string
	Count          int
	First, Last    time.Time
}

// Moment is something at a time.
type Moment struct {
	Time           time.Time
	Kind, Priority string
	Title, Text    string
	Fields         []Field
}

// Field is a named value.
type Field struct{ Name, Value string }

// Node is a process in the tree, with the alerts about it.
type Node struct {
	Process  scene.Process
	Programs []string // command lines, in order
	Alerts   []Pin
	Children []*Node
}

// Pin is the alerts of a rule about a process.
type Pin struct {
	Rule, Priority string
	Count          int
}

// maxMoments bounds the time line; the first ones stay.
const maxMoments = 5000

// Read reads an incident in the folder of a store, with secrets masked unless
// reveal is true.
func Read(dir, id string, reveal bool) (*Report, error) {
	r := &Report{Masked: !reveal, Made: time.Now()}
	b := &builder{Report: r, nodes: map[int64][]*Node{}, rules: map[string]*RuleCount{}, kinds: map[string]string{}}
	s, err := evidence.ReadIncident(dir, id, func(rec *evidence.Record) error {
		if !reveal {
			masked, err := mask.JSON(rec.Data)
			if err != nil {
				return err
			}
			rec.Data = masked
		}
		return b.add(rec)
	})
	if err != nil {
		return nil, fmt.Errorf("report of incident %s: %w; 'rollcage evidence verify' tells more", id, err)
	}
	r.Summary = s
	b.finish()
	return r, nil
}

// builder collects records.
type builder struct {
	*Report
	nodes map[int64][]*Node // by pid, in order
	order []*Node
	rules map[string]*RuleCount
	kinds map[string]string // of actions, by ID
}

func (b *builder) add(r *evidence.Record) error {
	switch r.Kind {
	case evidence.KindOpened:
		return decode(r, func(o *evidence.Opened) { b.Opened = *o })
	case evidence.KindProcess:
		return decode(r, b.process)
	case evidence.KindAlert:
		return decode(r, b.alert)
	case evidence.KindCapture:
		return decode(r, func(c *evidence.Capture) {
			b.Captures = append(b.Captures, *c)
			b.moment(Moment{Time: r.Time, Kind: "capture", Title: "Capture " + c.Name, Text: c.Note})
		})
	case evidence.KindAction:
		return decode(r, func(a *evidence.Action) { b.action(r.Time, a) })
	case evidence.KindOutcome:
		return decode(r, func(o *evidence.Outcome) { b.outcome(r.Time, o) })
	case evidence.KindNote:
		return decode(r, func(n *evidence.Note) {
			b.moment(Moment{Time: r.Time, Kind: "note", Title: "Note" + by(n.Who), Text: n.Text})
		})
	case evidence.KindClosed:
		return decode(r, func(c *evidence.Closed) {
			b.moment(Moment{Time: r.Time, Kind: "closed", Title: "Closed", Text: c.Reason})
		})
	}
	return nil
}

func decode[T any](r *evidence.Record, f func(*T)) error {
	var v T
	if err := json.Unmarshal(r.Data, &v); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	f(&v)
	return nil
}

func by(w *evidence.Who) string {
	if w == nil || w.User == "" {
		return ""
	}
	return " by " + w.User
}

func (b *builder) moment(m Moment) {
	if len(b.Line) >= maxMoments {
		b.Truncated++
		return
	}
	b.Line = append(b.Line, m)
}

func (b *builder) process(p *scene.Process) {
	line := strings.Join(p.Args, " ")
	if line == "" {
		line = cmp.Or(p.Exe, p.Name)
	}
	for _, n := range b.nodes[p.PID] {
		if n.Process.Start == p.Start {
			n.Programs = append(n.Programs, line)
			return
		}
	}
	n := &Node{Process: *p, Programs: []string{line}}
	b.nodes[p.PID] = append(b.nodes[p.PID], n)
	b.order = append(b.order, n)
}

func (b *builder) alert(r *evidence.AlertRecord) {
	a, err := alert.ParseRecord(r.Alert)
	if err != nil {
		return // the rest of the incident is still worth a report
	}
	m := Moment{Time: a.Time, Kind: "alert", Priority: a.Priority.String(), Title: a.Rule, Text: a.Message}
	for _, f := range a.Fields {
		m.Fields = append(m.Fields, Field{f.Key, plainValue(f.JSON)})
	}
	b.moment(m)
	c := b.rules[a.Rule]
	if c == nil {
		c = &RuleCount{Rule: a.Rule, Priority: a.Priority.String(), First: a.Time}
		b.rules[a.Rule] = c
	}
	c.Count++
	c.Last = a.Time
	if r.Process == nil {
		return
	}
	for _, n := range b.nodes[r.Process.PID] {
		if n.Process.Start == r.Process.Start {
			n.pin(a)
		}
	}
}

// plainValue returns a JSON value as a text without quotes.
func plainValue(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(b)
}

func (n *Node) pin(a *alert.Alert) {
	for i := range n.Alerts {
		if n.Alerts[i].Rule == a.Rule {
			n.Alerts[i].Count++
			return
		}
	}
	n.Alerts = append(n.Alerts, Pin{a.Rule, a.Priority.String(), 1})
}

func (b *builder) action(at time.Time, a *evidence.Action) {
	b.kinds[a.ID] = a.Kind
	m := Moment{Time: at, Kind: "action", Title: "Action " + a.Kind, Text: a.Target}
	switch {
	case a.Policy != "":
		m.Title += " by policy " + a.Policy
	default:
		m.Title += by(a.Who)
	}
	if a.DryRun {
		m.Kind, m.Title = "dry", m.Title+" (dry run)"
	}
	b.moment(m)
}

func (b *builder) outcome(at time.Time, o *evidence.Outcome) {
	m := Moment{Time: at, Kind: "outcome", Title: "Outcome of " + cmp.Or(b.kinds[o.ID], o.ID) + ": done", Text: o.Done}
	if !o.OK {
		m.Kind, m.Title, m.Text = "failed", "Outcome of "+cmp.Or(b.kinds[o.ID], o.ID)+": failed", o.Error
	}
	b.moment(m)
}

// finish puts what was collected into order.
func (b *builder) finish() {
	slices.SortStableFunc(b.Line, func(x, y Moment) int { return x.Time.Compare(y.Time) })
	for _, c := range b.rules {
		b.Rules = append(b.Rules, *c)
	}
	slices.SortFunc(b.Rules, func(x, y RuleCount) int { return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.Rule, y.Rule)) })
	for _, n := range b.order {
		if p := b.parent(n); p != nil {
			p.Children = append(p.Children, n)
		} else {
			b.Tree = append(b.Tree, n)
		}
	}
}

// parent returns the process with the parent's number that began last before it.
func (b *builder) parent(n *Node) (best *Node) {
	for _, p := range b.nodes[n.Process.PPID] {
		if p != n && p.Process.PID != n.Process.PID && p.Process.Start <= n.Process.Start && (best == nil || p.Process.Start > best.Process.Start) {
			best = p
		}
	}
	return best
}
