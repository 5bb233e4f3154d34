package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// second is what a source says after another second.
type second struct {
	events, dropped uint64
	want            uint64 // told as untold, 0 for nothing
}

func TestLossesAreToldNowAndThen(t *testing.T) {
	for _, tt := range []struct {
		name    string
		loss    Loss
		seconds []second
	}{
		{"each one", Loss{}, []second{{100, 0, 0}, {100, 7, 7}, {100, 0, 0}, {100, 1, 1}}},
		{"not below the threshold", Loss{Threshold: 0.1}, []second{{100, 10, 0}, {100, 11, 21}, {0, 1, 1}}},
		{"not too often, but all in the end", Loss{Every: 3 * time.Second}, []second{{9, 5, 5}, {9, 1, 0}, {9, 2, 0}, {9, 0, 3}, {9, 0, 0}}},
		{"several at once", Loss{Every: time.Hour, Burst: 2}, []second{{9, 1, 1}, {9, 2, 2}, {9, 3, 0}, {9, 4, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := lossWatch{Loss: tt.loss}
			now := time.Unix(1e9, 0)
			var s event.Stats
			for i, sec := range tt.seconds {
				s.Events += sec.events
				s.Dropped += sec.dropped
				s.Drops = map[event.Type]uint64{event.SYSCALL_READ_X: s.Dropped}
				now = now.Add(time.Second)
				lost, ok := w.look(now, s)
				if ok != (sec.want > 0) || ok && (lost.Untold != sec.want || lost.UntoldByType[event.SYSCALL_READ_X] != sec.want) {
					t.Errorf("second %d: %v %+v, want %d", i, ok, lost, sec.want)
				}
				if lost.Dropped != sec.dropped || lost.Events != sec.events {
					t.Errorf("second %d: %+v", i, lost)
				}
			}
		})
	}
}

// leaking is a source that has lost events.
type leaking struct{ *openings }

func (leaking) Stats() event.Stats {
	return event.Stats{Events: 100, Dropped: 7, Drops: map[event.Type]uint64{event.SYSCALL_OPENAT_2_X: 7}}
}

func TestALossRaisesAnAlertAndCanEndTheRun(t *testing.T) {
	src := leaking{newOpenings()}
	r := startOn(t, src, compiled(t, "r", "evt.type = connect"), Options{Live: true, Loss: Loss{Log: true, Alert: true, Exit: true}})
	if err := <-r.ran; !errors.Is(err, ErrLoss) {
		t.Errorf("Run: %v", err)
	}
	if err := r.delivery.(*alert.Delivery).Close(t.Context()); err != nil {
		t.Error(err)
	}
	a := r.out.all()
	if len(a) != 1 || a[0].Rule != LossRule || !strings.HasPrefix(a[0].Message, "7 events were lost") || string(a[0].Value("types")) != `"openat 7"` {
		t.Errorf("got %+v", a)
	}
}
