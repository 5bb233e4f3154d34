package host

import (
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
)

func TestClockGoesOnWhenTheWallClockIsSet(t *testing.T) {
	for _, set := range []time.Duration{0, time.Hour, -time.Hour, 13 * 365 * 24 * time.Hour} {
		s := New(Options{})
		s.Load(&event.Snapshot{Machine: event.Machine{BootTime: procfs.BootTime() - uint64(set)}}) // as if it was set since
		c := s.Clock()
		if off := (c.Ahead() - set).Abs(); off > noStep {
			t.Errorf("set by %v: it is said to be ahead by %v", set, c.Ahead())
		}
		now := c.Now()
		if off := time.Duration(now - uint64(time.Now().Add(-set).UnixNano())).Abs(); off > time.Minute {
			t.Errorf("set by %v: now is off by %v", set, off)
		}
		boot := c.SinceBoot(now)
		if later := sinceBoot(); boot <= 0 || boot > later {
			t.Errorf("set by %v: %d ns after the start, now %d", set, boot, later)
		}
		if c.At(boot) != now {
			t.Errorf("set by %v: %d is %d again", set, now, c.At(boot))
		}
	}
}
