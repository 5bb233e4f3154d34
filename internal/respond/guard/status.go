package guard

import (
	goruntime "runtime"
	"strings"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/outbox"
	"rollcage/internal/respond/policy"
	"rollcage/internal/understand/runtime"
)

// Status tells how guard is.
type Status struct {
	Version  string        `json:"version"`
	Watching string        `json:"watching"`
	PID      int           `json:"pid"`
	Started  time.Time     `json:"started"`
	Uptime   time.Duration `json:"uptime"` // ns
	Healthy  bool          `json:"healthy"`
	// Canary is when an act of our own was detected last, and Lag how long after it that was.
	Canary    time.Time     `json:"canary,omitzero"`
	CanaryLag time.Duration `json:"canary_lag"` // ns
	Unhealthy string        `json:"unhealthy,omitempty"`

	// State is the folder of what outlasts a restart, and Runtimes how each container runtime is.
	State    string                `json:"state"`
	Runtimes []runtime.EngineState `json:"runtimes"`
	// Containers is how many are known, and Threads how many run, on the host and in them.
	Containers int `json:"containers"`
	Threads    int `json:"threads"`

	Rules      int                 `json:"rules"`
	Events     uint64              `json:"events"`
	Dropped    uint64              `json:"dropped"`
	Drops      map[string]uint64   `json:"drops,omitempty"` // by type
	Alerts     uint64              `json:"alerts"`
	Kept       uint64              `json:"alerts_kept"` // acknowledged: on disk for the outputs
	Lost       uint64              `json:"alerts_lost"`
	Waiting    int                 `json:"alerts_waiting"`      // to be kept
	Unkept     uint64              `json:"alerts_unkept"`       // in no incident, as the disk took nothing
	Late       int64               `json:"alerts_late"`         // that wait for the disk to be in an incident
	Deciding   int                 `json:"decisions_waiting"`   // that wait to be done
	Undone     uint64              `json:"decisions_lost"`      // for which there was no room
	Captures   uint64              `json:"captures"`            // in incidents, since the start
	Failed     uint64              `json:"captures_failed"`     //
	BlackBox   bool                `json:"black_box"`           // whether there is one and it records
	Box        BoxStatus           `json:"box"`                 // what it keeps
	Shed       string              `json:"shed,omitempty"`      // what is not looked at, "" for nothing
	ShedFrom   time.Time           `json:"shed_since,omitzero"` //
	Usage      Usage               `json:"usage"`               //
	Budget     Budget              `json:"budget"`              //
	Audit      AuditStatus         `json:"audit"`               //
	Outbox     OutboxStatus        `json:"outbox"`              //
	Outputs    []OutputStatus      `json:"outputs"`             //
	Policies   []PolicyStatus      `json:"policies"`            //
	InForce    []action.Undo       `json:"in_force"`            // what can be undone
	Last       []*evidence.Summary `json:"incidents"`           // the newest
	Reloaded   time.Time           `json:"reloaded,omitzero"`   //
	Reloads    uint64              `json:"reloads"`             //
	Unloaded   uint64              `json:"reloads_failed"`      //
	Goroutines int                 `json:"goroutines"`
}

// AuditStatus tells how far the audit log of the evidence is.
type AuditStatus struct {
	Records uint64 `json:"records"`
	Head    string `json:"head"` // hash of the last one
}

// OutboxStatus tells how the outbox is.
type OutboxStatus struct {
	Bytes   int64  `json:"bytes"`
	Memory  uint64 `json:"in_memory"` // alerts that the disk did not take at first
	Lost    uint64 `json:"lost"`
	Damaged uint64 `json:"damaged"`
	Dropped uint64 `json:"segments_dropped"`
}

// PolicyStatus tells of a policy.
type PolicyStatus struct {
	Name        string   `json:"name"`
	Description string   `json:"desc,omitempty"`
	Enabled     bool     `json:"enabled"`
	Mode        string   `json:"mode"`
	Actions     []string `json:"actions"`
}

// lastIncidents is how many are in a status.
const lastIncidents = 5

// Status returns how guard is now.
func (g *Guard) Status() Status {
	a, h := g.agent.Stats(), g.agent.Health()
	s := Status{
		State: g.opts.State, Version: g.opts.Version, Watching: g.opts.Watching, PID: pid(), Started: g.started, Uptime: time.Since(g.started),
		Healthy: h.OK, Canary: h.Detected, CanaryLag: h.Lag, Unhealthy: h.Why,
		Containers: a.State.Containers, Threads: a.State.Threads, Rules: a.RulesLoaded, Events: a.Source.Events, Dropped: a.Source.Dropped, Drops: dropsByName(a.Source.Drops),
		Alerts: a.Alerts, Kept: g.intake.kept.Load(), Lost: g.intake.lost.Load(), Waiting: len(g.intake.queue),
		Unkept: g.intake.unkept.Load(), Late: g.intake.waiting.Load(), Deciding: g.lanes.depth(), Undone: g.lanes.dropped.Load(),
		Captures: g.captures.taken.Load(), Failed: g.captures.failed.Load(), BlackBox: g.box.recording(), Box: g.box.now(),
		Usage: *g.pressure.usage.Load(), Budget: g.opts.Budget, Outputs: g.mail.status(), Outbox: outboxStatus(g.mail.box.Stats()),
		Policies: policyStatus(g.Policies()), InForce: g.runner.InForce(),
		Reloaded: a.Reloaded, Reloads: a.Reloads, Unloaded: a.ReloadsFailed, Goroutines: goruntime.NumGoroutine(),
	}
	if s.Healthy {
		s.Unhealthy = ""
	}
	if level := g.pressure.level.Load(); level > shedNothing {
		s.Shed, s.ShedFrom = shedText[level], time.Unix(0, g.pressure.since.Load())
	}
	if g.opts.Runtimes != nil {
		s.Runtimes = g.opts.Runtimes()
	}
	s.Audit.Records, s.Audit.Head = g.store.Audit().Head()
	s.Last, _ = g.store.List(evidence.Filter{Limit: lastIncidents})
	return s
}

func outboxStatus(s outbox.Stats) OutboxStatus {
	return OutboxStatus{Bytes: s.Bytes, Memory: s.Memory, Lost: s.Lost, Damaged: s.Damaged, Dropped: s.Dropped}
}

func dropsByName(drops map[event.Type]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for t, n := range drops {
		out[strings.TrimSpace(t.Info().Name)] += n
	}
	return out
}

func policyStatus(set *policy.Set) (list []PolicyStatus) {
	for _, p := range set.Policies {
		s := PolicyStatus{Name: p.Name, Description: p.Description, Enabled: p.Enabled, Mode: p.Mode().String()}
		for _, a := range p.Actions {
			s.Actions = append(s.Actions, a.String())
		}
		list = append(list, s)
	}
	return list
}
