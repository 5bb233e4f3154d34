package action

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// flaky is a Docker that does not let containers go on for a while.
type flaky struct {
	Docker
	refuse  atomic.Int64
	unpause atomic.Int64
}

func (d *flaky) Pause(context.Context, string) error { return nil }

func (d *flaky) Unpause(context.Context, string) error {
	d.unpause.Add(1)
	if d.refuse.Add(-1) >= 0 {
		return errors.New("the daemon is busy")
	}
	return nil
}

func dockerBox() *scene.Container {
	return &scene.Container{ID: "0123456789ab", FullID: strings.Repeat("0123456789abcdef", 4), Name: "web", Runtime: "docker"}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestWhatCannotBeTakenBackInTimeIsTriedAgainAndTold(t *testing.T) {
	d := &flaky{}
	d.refuse.Store(3)
	var told atomic.Int64
	r, _ := newRunner(t, Options{Docker: d, Overdue: func(u Undo, next time.Duration) {
		if u.Tries != int(told.Add(1)) || u.Error == "" || next <= 0 {
			t.Errorf("told %+v, next in %v", u, next)
		}
	}})
	r.undoRetry = time.Millisecond
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause, For: 10 * time.Millisecond}, &scene.Scene{Container: dockerBox()})); err != nil {
		t.Fatal(err)
	}
	until(t, "undo", func() bool { return len(r.InForce()) == 0 })
	if told.Load() != 3 || d.unpause.Load() != 4 {
		t.Errorf("told %d times, tried %d times", told.Load(), d.unpause.Load())
	}
}

func TestTheSameDoneTwiceIsOneThingInForceThatLastsAsTheLongerOfBoth(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second time.Duration
		want          time.Duration // 0 for ever
	}{
		{"a shorter one", time.Hour, time.Minute, time.Hour},
		{"a longer one", time.Minute, time.Hour, time.Hour},
		{"for ever after a time", time.Minute, 0, 0},
		{"for a time after for ever", 0, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "undo.json")
			first, _ := newRunner(t, Options{Docker: &flaky{}, State: state})
			var ids []string
			for _, d := range []time.Duration{c.first, c.second} {
				id, err := first.Do(t.Context(), act(policy.Action{Kind: policy.Pause, For: d}, &scene.Scene{Container: dockerBox()}))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			in := first.InForce()
			if len(in) != 1 || in[0].ID != ids[0] || in[0].Until.IsZero() != (c.want == 0) {
				t.Fatalf("in force: %+v", in)
			}
			if left := time.Until(in[0].Until); c.want != 0 && (left > c.want || left < c.want-30*time.Second) {
				t.Errorf("%v left", left)
			}
			first.Close()
			r, n := newRunner(t, Options{Docker: &flaky{}, State: state})
			if _, err := r.Undo(t.Context(), ids[1], evidence.Caller("test")); err != nil {
				t.Fatal(err)
			}
			if a, _ := n.last(); a.Undo != ids[0] || len(r.InForce()) != 0 {
				t.Errorf("%+v, in force %+v", a, r.InForce())
			}
		})
	}
}

func TestWhatSomebodyUnpausedIsNotInForceAnyMore(t *testing.T) {
	r, _ := newRunner(t, Options{Docker: &flaky{}})
	for _, k := range []policy.Kind{policy.Pause, policy.Unpause} {
		if _, err := r.Do(t.Context(), act(policy.Action{Kind: k}, &scene.Scene{Container: dockerBox()})); err != nil {
			t.Fatal(err)
		}
	}
	if in := r.InForce(); len(in) != 0 {
		t.Errorf("in force: %+v", in)
	}
	if _, err := r.Undo(t.Context(), "x", nil); !errors.Is(err, ErrNotInForce) {
		t.Error(err)
	}
}

func TestAFileOfWhatIsInForceThatCannotBeReadIsSetAside(t *testing.T) {
	state := filepath.Join(t.TempDir(), "undo.json")
	if err := os.WriteFile(state, []byte(`[{"id": "a"`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := newRunner(t, Options{Docker: &flaky{}, State: state})
	if err := r.Aside(); err == nil || !strings.Contains(err.Error(), ".bad: ") {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(state + ".*.bad"); len(found) != 1 {
		t.Errorf("set aside: %v", found)
	}
	if _, err := r.Do(t.Context(), act(policy.Action{Kind: policy.Pause}, &scene.Scene{Container: dockerBox()})); err != nil {
		t.Fatal(err)
	}
	r.Close()
	r, _ = newRunner(t, Options{State: state})
	if r.Aside() != nil || len(r.InForce()) != 1 {
		t.Errorf("%v %+v", r.Aside(), r.InForce())
	}
}
