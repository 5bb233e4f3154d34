package cli

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// losingSource loses events when it is told to.
type losingSource struct {
	event.Source
	lost atomic.Uint64
}

func (l *losingSource) Stats() event.Stats {
	n := l.lost.Load()
	return event.Stats{Events: 100, Dropped: n, Drops: map[event.Type]uint64{event.SYSCALL_OPENAT_2_X: n}}
}

func TestALossOfEventsRaisesAnAlert(t *testing.T) {
	src := &losingSource{}
	alerts := make(chan *alert.Alert, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { watchLoss(ctx, src, func(a *alert.Alert) { alerts <- a }); close(done) }()
	select {
	case a := <-alerts:
		t.Fatalf("an alert without loss: %s", a.Message)
	case <-time.After(1500 * time.Millisecond):
	}
	src.lost.Store(7)
	a := <-alerts
	if a.Rule != lossRule || !strings.HasPrefix(a.Message, "7 events were lost") || string(a.Value("types")) != `"openat 7"` {
		t.Errorf("got %+v", a)
	}
	src.lost.Store(9) // soon after: told later, with what comes until then
	select {
	case a := <-alerts:
		t.Errorf("a second alert at once: %s", a.Message)
	case <-time.After(1500 * time.Millisecond):
	}
	cancel()
	<-done
}
