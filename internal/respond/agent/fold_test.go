package agent

import (
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// process returns an event of a process with that root of its tree, in a container.
func process(root int64, container *host.Container) *host.Event {
	r := &host.Thread{ThreadInfo: event.ThreadInfo{TID: root, PID: root}, Container: container}
	shim := &host.Thread{ThreadInfo: event.ThreadInfo{TID: 2, PID: 2}} // of the container, started by init
	if container == nil {
		shim.PID = 1
	}
	r.Leader, r.Parent = r, shim
	p := &host.Thread{ThreadInfo: event.ThreadInfo{TID: 99, PID: 99}, Parent: r, Container: container}
	p.Leader = p
	return &host.Event{Thread: p}
}

func TestAlikeAlertsAreFolded(t *testing.T) {
	web, db := &host.Container{ID: "web"}, &host.Container{ID: "db"}
	base := time.Unix(1e9, 0)
	type act struct {
		at     int // seconds
		rule   string
		fields string // key=value,…
		he     *host.Event
		want   string // messages that are sent, ; between
	}
	for _, tt := range []struct {
		name string
		acts []act
	}{
		{"the first at once, then their number", []act{
			{0, "r", "fd.name=/a", process(5, web), "r"}, {1, "r", "fd.name=/a", process(5, web), ""},
			{29, "r", "fd.name=/a", process(5, web), ""}, {31, "x", "", process(5, web), "2 more like this in the last 30s: r;x"},
		}},
		{"for as long as they come", []act{
			{0, "r", "", process(5, web), "r"}, {1, "r", "", process(5, web), ""}, {30, "r", "", process(5, web), "1 more like this in the last 30s: r"},
			{60, "x", "", process(5, web), "1 more like this in the last 30s: r;x"}, {100, "r", "", process(5, web), "r"},
		}},
		{"numbers of processes and client ports do not tell them apart", []act{
			{0, "r", "proc.pid=7,fd.name=10.0.0.1:41000->10.0.0.2:80", process(5, web), "r"},
			{1, "r", "proc.pid=8,fd.name=10.0.0.1:41001->10.0.0.2:80", process(5, web), ""},
			{2, "r", "proc.pid=8,fd.name=10.0.0.1:41001->10.0.0.3:80", process(5, web), "r"},
		}},
		{"another rule, file, container or tree is told", []act{
			{0, "r", "fd.name=/a", process(5, web), "r"}, {1, "severe", "fd.name=/a", process(5, web), "severe"},
			{1, "r", "fd.name=/b", process(5, web), "r"}, {1, "r", "fd.name=/a", process(5, db), "r"},
			{1, "r", "fd.name=/a", process(6, web), "r"}, {1, "r", "fd.name=/a", process(5, nil), "r"}, {1, "r", "fd.name=/a", process(5, nil), ""},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFolder(30 * time.Second)
			for i, act := range tt.acts {
				a := &alert.Alert{Time: base.Add(time.Duration(act.at) * time.Second), Rule: act.rule, Message: act.rule, Priority: rule.Notice}
				for kv := range strings.SplitSeq(act.fields, ",") {
					if k, v, ok := strings.Cut(kv, "="); ok {
						a.Fields = append(a.Fields, alert.Field{Key: k, JSON: []byte(`"` + v + `"`)})
					}
				}
				var sent []string
				send := func(a *alert.Alert) { sent = append(sent, a.Message) }
				f.due(a.Time, send)
				if !f.hold(act.he, a) {
					send(a)
				}
				if got := strings.Join(sent, ";"); got != act.want {
					t.Errorf("act %d: sent %q, want %q", i, got, act.want)
				}
			}
		})
	}
}

func TestWhatWasHeldBackIsToldAtTheEnd(t *testing.T) {
	r := start(t, compiledText(t, "- {rule: r, desc: d, priority: NOTICE, output: opened, condition: evt.type = openat}"), Options{Fold: 10 * time.Millisecond})
	for range 25 { // 1 ms each
		r.src.step <- struct{}{}
	}
	alerts := r.end(t)
	var got []string
	for _, a := range alerts {
		got = append(got, a.Message+" "+string(a.Value(FoldCount)))
	}
	want := "opened |9 more like this in the last 10ms: opened 9|10 more like this in the last 10ms: opened 10|5 more like this in the last 10ms: opened 5"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %q", s)
	}
	if s := r.Stats(); s.Alerts != 4 || s.Folded != 24 || s.Rules[0].Matches != 25 {
		t.Errorf("counted %+v", s)
	}
	if last := alerts[3]; last.Rule != "r" || last.Priority != rule.Notice || string(last.Value(FoldLast)) != "1000000000025000000" {
		t.Errorf("got %+v", last)
	}
}
