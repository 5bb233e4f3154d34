package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// decided is what is to be done about an alert.
type decided struct {
	incident  string
	alert     *alert.Alert
	scene     *scene.Scene
	decisions []policy.Decision
}

// The bounds of what waits to be done: for each container, and how many containers at a time.
const (
	laneWaits = 64
	maxLanes  = 256
)

// lanes do what policies decide: in order for each container, and for the host;
// beside each other for different ones. A capture, which goes on for a while
// after an alert, holds up nothing.
type lanes struct {
	g      *Guard
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting map[string][]decided // by container; there is a goroutine for each
	closed  bool
	running sync.WaitGroup

	dropped atomic.Uint64 // decisions about alerts for which there was no room
}

func newLanes(g *Guard) *lanes {
	l := &lanes{g: g, waiting: map[string][]decided{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// decided takes what is to be done. It never waits.
func (l *lanes) decided(incident string, a *alert.Alert, sc *scene.Scene, decisions []policy.Decision) {
	key := ""
	if sc != nil {
		key = sc.ContainerID()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list, runs := l.waiting[key]
	if l.closed || len(list) >= laneWaits || !runs && len(l.waiting) >= maxLanes {
		l.dropped.Add(1)
		l.g.log.Error("what policies decided is not done, as too much waits", "incident", incident, "rule", a.Rule)
		return
	}
	l.waiting[key] = append(list, decided{incident, a, sc, decisions})
	if !runs {
		l.running.Go(func() { l.run(key) })
	}
}

func (l *lanes) run(key string) {
	for {
		l.mu.Lock()
		list := l.waiting[key]
		if len(list) == 0 {
			delete(l.waiting, key)
			l.mu.Unlock()
			return
		}
		d := list[0]
		l.waiting[key] = list[1:]
		l.mu.Unlock()
		l.do(d)
	}
}

// do runs the actions of a decision in order.
func (l *lanes) do(d decided) {
	for _, dec := range d.decisions {
		for _, act := range dec.Actions {
			one := dec
			one.Actions = []policy.Action{act}
			if act.Kind == policy.Capture {
				l.running.Go(func() { l.one(d, one) })
			} else {
				l.one(d, one)
			}
		}
	}
}

func (l *lanes) one(d decided, dec policy.Decision) {
	if err := l.g.runner.Decided(l.ctx, d.incident, d.alert, d.scene, []policy.Decision{dec}); err != nil {
		l.g.log.Warn("an action failed", "incident", d.incident, "policy", dec.Policy.Name, "error", err)
	}
}

// depth returns how many decisions wait.
func (l *lanes) depth() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range l.waiting {
		n += len(list)
	}
	return n
}

// close waits for what runs, until ctx ends.
func (l *lanes) close(ctx context.Context) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.g.captures.hurry()
	ended := make(chan struct{})
	go func() { l.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		l.cancel()
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
	l.cancel()
}
