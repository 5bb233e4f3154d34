package guard

import (
	"testing"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

func TestAKillOfTheKernelIsToldWithOrWithoutARule(t *testing.T) {
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	defer run(t, g)()
	at := func(ns uint64, typ event.Type) (*event.Event, *host.Event) {
		info := typ.Info()
		b, err := event.Append(nil, ns, 77, typ, make([]any, len(info.Params))...)
		if err != nil {
			t.Fatal(err)
		}
		ev, he := new(event.Event), new(host.Event)
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		host.New(host.Options{}).Apply(ev, he)
		return ev, he
	}
	act, seen := at(1000, event.SOCKET_CONNECT_X)
	_, end := at(2000, event.PROCEXIT_1_E)

	// A rule matched: it is in that alert.
	g.Killed(act)
	k := g.fast.about(seen)
	if k == nil {
		t.Fatal("nothing is known of the kill")
	}
	g.fast.seen(end)
	if <-k.Ended; k.After != 1000 {
		t.Errorf("it ended %v after", k.After)
	}
	// None did.
	g.Killed(act)
	g.fast.seen(end)
	if a := all.next(t); a.Rule != SilentKillRule || a.Priority != rule.Critical {
		t.Errorf("%+v", a)
	}
	if g.fast.watching.Load() != 0 {
		t.Error("it still waits for an end")
	}
}
