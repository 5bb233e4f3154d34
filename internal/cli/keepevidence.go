package cli

import (
	"fmt"
	"log/slog"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/scene"
)

// keepEvidence has the agent's alerts kept as incidents, if that is asked for,
// until stop is called. Evidence that cannot be kept stops no alert.
func (o *detectOptions) keepEvidence(opts *agent.Options) (stop func(), err error) {
	if o.evidence == "" {
		return func() {}, nil
	}
	store, err := evidence.Open(o.evidence, evidence.Options{})
	if err != nil {
		return nil, fmt.Errorf("--evidence: %w", err)
	}
	var reported time.Time
	var clock host.Clock
	before, loaded := opts.Matched, opts.Loaded
	opts.Loaded = func(st *host.State) {
		if clock = st.Clock(); loaded != nil {
			loaded(st)
		}
	}
	opts.Matched = func(m *rule.Match, he *host.Event, a *alert.Alert) bool {
		if before != nil && !before(m, he, a) {
			return false
		}
		if _, err := store.Add(a, scene.New(he, a.Hostname, clock)); err != nil && time.Since(reported) > 10*time.Second {
			reported = time.Now()
			slog.Error("an alert is not kept as evidence", "error", err)
		}
		return true
	}
	done := make(chan struct{})
	go tendEvidence(store, done)
	return func() {
		close(done)
		if err := store.Close(); err != nil {
			slog.Error("evidence may not be complete", "error", err)
		}
	}, nil
}

// tendEvidence closes and removes incidents in time.
func tendEvidence(store *evidence.Store, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Minute):
		}
		if err := store.Tend(); err != nil {
			slog.Error("evidence", "error", err)
		}
	}
}
