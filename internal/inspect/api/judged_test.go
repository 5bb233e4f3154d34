package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

const someRules = `
- rule: Read
  desc: for tests
  condition: evt.type = read
  output: read %fd.name
  priority: warning
- rule: Opened
  desc: for tests
  condition: evt.type = openat
  output: opened
  priority: notice
`

func someEngine() (*rule.Engine, error) {
	set, _ := rule.Load([]rule.File{{Name: "r.yaml", Data: []byte(someRules)}}, rule.LoadOptions{})
	return rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
}

func TestAlertsAndProcessesFollowTheFilterAndTheWindow(t *testing.T) {
	v := newVisitor(t, write(t, 50))
	v.s.opt.Engine = someEngine
	for _, c := range []struct {
		q     url.Values
		rules string
		n     int
	}{
		{nil, "Read Opened", 100},
		{url.Values{"filter": {"evt.type = read"}}, "Read", 50},
		{url.Values{"filter": {"evt.type in (read, openat)"}}, "Read Opened", 100},
		{url.Values{"filter": {"evt.type = write"}}, "", 0},
		{url.Values{"filter": {"evt.type = openat"}, "to": {uitoa(17e17 + 30_000)}}, "Opened", 10},
	} {
		var got alertList
		v.ask("/alerts", c.q, &got)
		var names []string
		n := 0
		for _, r := range got.Rules {
			names, n = append(names, r.Rule), n+r.Count
		}
		if strings.Join(names, " ") != c.rules || n != c.n || len(got.Alerts) != c.n || got.Ran != 2 {
			t.Errorf("%v: %v, %d alerts, %d listed, %d ran", c.q, names, n, len(got.Alerts), got.Ran)
		}
	}
	for filter, want := range map[string]int{"": 1, "evt.type = read": 1, "proc.name = nobody": 0} {
		var p processList
		v.ask("/processes", url.Values{"filter": {filter}}, &p)
		if len(p.Processes) != want || p.Total != 1 {
			t.Errorf("%q: %+v", filter, p)
		}
	}
}

func TestRulesAreRunOnceAlsoWhenWhoAskedFirstLeaves(t *testing.T) {
	v := newVisitor(t, write(t, 50))
	runs, begun, goOn := 0, make(chan bool), make(chan bool)
	v.s.opt.Engine = func() (*rule.Engine, error) {
		runs++
		begun <- true
		<-goOn
		return someEngine()
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan bool)
	go func() {
		v.get("/api/captures/0/alerts", func(r *http.Request) { *r = *r.WithContext(ctx) })
		close(left)
	}()
	<-begun
	// Who waits beside can leave, and so can the first.
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	v.get("/api/captures/0/alerts", func(r *http.Request) { *r = *r.WithContext(short) })
	leave()
	<-left
	close(goOn)
	var got alertList
	v.ask("/alerts", nil, &got)
	if len(got.Alerts) != 100 || runs != 1 {
		t.Errorf("%d alerts after %d runs", len(got.Alerts), runs)
	}
}

func TestRulesThatCouldNotBeRunAreRunWhenAskedAgain(t *testing.T) {
	v := newVisitor(t, write(t, 5))
	v.s.opt.Engine = func() (*rule.Engine, error) { return nil, errors.New("a mistake in the rules") }
	if b, _ := io.ReadAll(v.get("/api/captures/0/alerts").Body); !strings.Contains(string(b), "a mistake in the rules") {
		t.Errorf("got %s", b)
	}
	v.s.opt.Engine = someEngine
	var got alertList
	v.ask("/alerts", nil, &got)
	if len(got.Alerts) != 10 {
		t.Errorf("%d alerts", len(got.Alerts))
	}
}

func TestNothingIsRememberedOfACaptureThatIsServedNoMore(t *testing.T) {
	v := newVisitor(t, write(t, 50), write(t, 50))
	for _, path := range []string{"0/views/files", "0/events?filter=evt.type%3Dread", "1/views/files", "1/events?filter=evt.type%3Dread", "1/compare/files?other=0"} {
		if _, err := io.ReadAll(v.get("/api/captures/" + path).Body); err != nil {
			t.Fatal(err)
		}
	}
	rec := v.s.captures[0].Recording
	v.s.Remove(0)
	if n := len(v.s.answers.byKey); n != 1 || v.s.answers.order.Len() != 1 {
		t.Errorf("%d answers are kept, want that of the other capture", n)
	}
	if n := len(v.s.lists.byKey); n != 1 || len(v.s.lists.order) != 1 {
		t.Errorf("%d listings are kept, want that of the other capture", n)
	}
	v.s.keep(rec, func() { t.Error("something is remembered after the end") })
}

func TestEveryScanTakesAPlace(t *testing.T) {
	v := newVisitor(t, write(t, 50))
	v.s.opt.Engine = someEngine
	v.get("/api/captures/0/events?offset=1") // the list is counted
	for range cap(v.s.scans) {
		v.s.scans <- struct{}{}
	}
	for _, path := range []string{"/events?offset=1", "/events?near=7", "/events/7", "/conversation", "/conversation?after=7", "/views/files", "/overview?filter=evt.type%3Dread", "/processes?filter=evt.type%3Dread", "/alerts"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		b, _ := io.ReadAll(v.get("/api/captures/0"+path, func(r *http.Request) { *r = *r.WithContext(ctx) }).Body)
		cancel()
		if len(b) > 0 {
			t.Errorf("%s is answered while all places are taken: %.100s", path, b)
		}
	}
	v.s.leave(cap(v.s.scans))
	var one eventDetail
	v.ask("/events/7", nil, &one)
	if one.Num != 7 || len(v.s.scans) > 1 {
		t.Errorf("event %d, %d places taken", one.Num, len(v.s.scans))
	}
}

func TestWaitsAreToldApart(t *testing.T) {
	state := host.New(host.Options{})
	for call, want := range map[string]string{
		"rt_sigtimedwait": "waiting for signals", "epoll_pwait": "waiting for events", "clock_nanosleep": "sleeping",
		"futex": "waiting for locks", "wait4": "waiting for children", "sysinfo": "other",
	} {
		b, err := event.Append(nil, 1, 1, event.GENERIC_X, int(event.SyscallByName(call).Code), 0)
		if err != nil {
			t.Fatal(err)
		}
		var ev event.Event
		var he host.Event
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		state.Apply(&ev, &he)
		ev.Latency = 1000
		he.Latency = 1000
		m := newLatencyMeter(&question{rec: newVisitor(t, write(t, 1)).s.captures[0].Recording}, 1)
		if err := m.add(&he); err != nil {
			t.Fatal(err)
		}
		if m.states[want] == nil {
			t.Errorf("%s: %v, want %s", call, m.states.top(3), want)
		}
	}
}
