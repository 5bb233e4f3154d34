package action

import (
	"path/filepath"
	"testing"
	"time"

	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

func TestActionIsTakenBackInTimeThoughTheClockWasSet(t *testing.T) {
	for _, tt := range []struct {
		name        string
		set         time.Duration // the wall clock, since the action
		reboot      bool
		most, least time.Duration // that is left of 10 min
	}{
		{"not at all", 0, false, 10 * time.Minute, 9 * time.Minute},
		{"back by an hour", -time.Hour, false, 10 * time.Minute, 9 * time.Minute},
		{"forward by an hour", time.Hour, false, 10 * time.Minute, 9 * time.Minute},
		{"not at all, and a reboot", 0, true, 10 * time.Minute, 9 * time.Minute},
		{"back by an hour, and a reboot", -time.Hour, true, 10 * time.Minute, 9 * time.Minute},
		{"forward by an hour, and a reboot", time.Hour, true, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "undo.json")
			p, err := openPending(path)
			if err != nil {
				t.Fatal(err)
			}
			u := Undo{ID: "1", Kind: policy.Pause, Container: &scene.Container{ID: "a"}}
			u.expire(10 * time.Minute)
			u.Until = u.Until.Add(-tt.set) // as if it was set since
			if tt.reboot {
				u.due.Boot = "another"
			}
			if _, err := p.add(u); err != nil {
				t.Fatal(err)
			}
			if p, err = openPending(path); err != nil {
				t.Fatal(err)
			}
			again := p.byID["1"]
			if left := again.left(); left > tt.most || left < tt.least {
				t.Errorf("%v are left", left)
			}
		})
	}
}
