package guard

import (
	"strings"
	"testing"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/scene"
)

// What is too long for an incident, now and at each further try, must hold up nothing else.
func TestWhatIsTooLongHoldsUpNothing(t *testing.T) {
	all := newCollected("all")
	g := newTestGuard(t, newFakeHost(), Options{Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	long := strings.Repeat("<", 5<<20) // the more so as JSON
	alerts := []item{
		{alert: &alert.Alert{Time: time.Now(), Rule: "long", Priority: rule.Warning, Message: long, Fields: []alert.Field{{Key: "k", JSON: []byte(`"` + long + `"`)}}}},
		{alert: &alert.Alert{Time: time.Now(), Rule: "of a long process", Priority: rule.Warning, Message: "m"},
			scene: &scene.Scene{Processes: []scene.Process{{PID: 7, Args: []string{long}}}}},
		{alert: &alert.Alert{Time: time.Now(), Rule: "short", Priority: rule.Warning, Message: "m"}},
	}
	for _, it := range alerts {
		g.intake.take(it)
		if got := all.next(t); got.Rule != it.alert.Rule || len(got.Message) > maxAlert {
			t.Errorf("the output got %q, %d bytes long", got.Rule, len(got.Message))
		}
	}
	// One that waited for the disk before it turned out to be too long.
	g.intake.late = append(g.intake.late,
		item{alert: &alert.Alert{ID: "a", Time: time.Now(), Rule: "late and long", Priority: rule.Warning}, scene: alerts[1].scene},
		item{alert: &alert.Alert{ID: "b", Time: time.Now(), Rule: "late and short", Priority: rule.Warning}})
	g.intake.catchUp()
	if len(g.intake.late) > 0 {
		t.Errorf("%d alerts are held up", len(g.intake.late))
	}
	kept := map[string]bool{}
	list, err := g.Evidence().List(evidence.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range list {
		for _, r := range in.Rules {
			kept[r] = true
		}
	}
	if !kept["long"] || !kept["short"] || !kept["late and short"] || len(kept) != 3 {
		t.Errorf("in incidents are %v", kept)
	}
	if n := g.intake.unkept.Load(); n != 2 {
		t.Errorf("%d alerts are counted as in no incident", n)
	}
	g.intake.tell()
	if got := all.next(t); got.Rule != LostRule || string(got.Value("alerts_in_no_incident")) != `"2"` {
		t.Errorf("told is %+v", got)
	}
}
