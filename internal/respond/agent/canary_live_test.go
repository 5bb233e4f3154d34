package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
)

// deaf is a live source whose events can be held back.
type deaf struct {
	*probe.Probe
	hold chan chan struct{}
}

func (d *deaf) Next(ev *event.Event) error {
	select {
	case until := <-d.hold:
		<-until
	default:
	}
	return d.Probe.Next(ev)
}

func (r *running) waitForHealth(t *testing.T, ok bool) Health {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		h := r.Health()
		if h.OK == ok {
			return h
		}
		if time.Now().After(deadline) {
			t.Fatalf("healthy %v after 30 s: %+v", h.OK, h)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *running) waitForAlert(t *testing.T, rule string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if slices.ContainsFunc(r.out.all(), func(a *alert.Alert) bool { return a.Rule == rule }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no alert %q after 30 s", rule)
		}
	}
}

// TestHealthIsWhetherAnActIsReallyDetected watches this host with a rule that
// the canary would match too.
func TestHealthIsWhetherAnActIsReallyDetected(t *testing.T) {
	if err := probe.Supported(); err != nil {
		t.Skipf("the live host cannot be watched here: %v", err)
	}
	rules := compiledText(t, "- {rule: failed, desc: d, priority: NOTICE, condition: evt.type = execve and evt.failed = true, output: exe=%evt.arg.exe}")
	p, err := probe.Open(probe.Options{Interest: rules.Interest()})
	if err != nil {
		t.Fatal(err)
	}
	src := &deaf{p, make(chan chan struct{})}
	r := startOn(t, src, rules, Options{Live: true, CanaryEvery: 50 * time.Millisecond})
	h := r.waitForHealth(t, true)
	if h.Detected.IsZero() || h.Lag <= 0 {
		t.Errorf("got %+v", h)
	}
	until := make(chan struct{})
	src.hold <- until
	h = r.waitForHealth(t, false)
	if h.Since.IsZero() || h.Since != h.Detected || h.Why != "canary acts are not detected any more" {
		t.Errorf("got %+v", h)
	}
	r.waitForAlert(t, BlindRule)
	close(until)
	r.waitForAlert(t, SeeingRule)
	if err := r.Swap(t.Context(), compiled(t, "none", "evt.type = unlink")); err != nil {
		t.Fatal(err)
	}
	before := r.Health().Detected
	for r.Health().Detected == before {
		time.Sleep(10 * time.Millisecond)
	}
	var told []string
	for _, a := range r.end(t) {
		if a.Source == "internal" {
			told = append(told, a.Rule)
		} else if strings.Contains(a.Message, "canary") {
			t.Errorf("the canary is shown: %s", a.Message)
		}
	}
	if len(told) < 2 || told[0] != BlindRule || told[1] != SeeingRule {
		t.Errorf("alerts about Rollcage itself: %q", told)
	}
	if h := r.Health(); h.OK || h.Why != "the agent has ended" {
		t.Errorf("after the end: %+v", h)
	}
}
