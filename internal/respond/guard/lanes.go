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
	undecided bool // policies decide when it is known what container it is
}

// The bounds of what waits to be done: for each lane, how many lanes there are at a time, how many
// policies may wait for a program that they run, and how many such programs run at a time.
const (
	laneWaits   = 64
	maxLanes    = 256
	maxPrograms = 256
	programsNow = 16
)

// lanes do what policies decide: in order for each container, and on the host for each
// incident; beside each other for different ones. A capture, which goes on for a while
// after an alert, holds up nothing. A program that a policy runs holds up what
// the same policy wants done after it, and nothing else.
type lanes struct {
	g      *Guard
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting map[string][]decided // by container; there is a goroutine for each
	closed  bool
	running sync.WaitGroup
	waits   atomic.Int64  // policies that wait for a program
	program chan struct{} // filled by programs that run

	dropped atomic.Uint64 // decisions about alerts for which there was no room
}

func newLanes(g *Guard) *lanes {
	l := &lanes{g: g, waiting: map[string][]decided{}, program: make(chan struct{}, programsNow)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// put takes what is to be done. It never waits.
func (l *lanes) put(d decided) {
	key := laneOf(d.incident, d.scene)
	l.mu.Lock()
	defer l.mu.Unlock()
	list, runs := l.waiting[key]
	if l.closed || len(list) >= laneWaits || !runs && len(l.waiting) >= maxLanes {
		l.dropped.Add(1)
		l.g.log.Error("what policies decided is not done, as too much waits", "incident", d.incident, "rule", d.alert.Rule)
		return
	}
	l.waiting[key] = append(list, d)
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

// laneOf returns the lane of an alert. Attacks on the host have one each.
func laneOf(incident string, sc *scene.Scene) string {
	if sc != nil && sc.Container != nil {
		return sc.Container.ID
	}
	return "host " + incident
}

// do runs the actions of each policy in order.
func (l *lanes) do(d decided) {
	if d.undecided {
		d.scene = l.g.facts.complete(l.ctx, d.scene)
		d.decisions = l.g.Policies().Decide(d.alert, d.scene, time.Now())
	}
	for _, dec := range d.decisions {
		for i, act := range dec.Actions {
			if act.Kind == policy.Run {
				l.beside(d, dec, dec.Actions[i:])
				break
			}
			l.one(d, dec, act)
		}
	}
}

// beside runs a program and what a policy wants done after it, while the lane goes on.
func (l *lanes) beside(d decided, dec policy.Decision, actions []policy.Action) {
	if l.waits.Add(1) > maxPrograms {
		l.waits.Add(-1)
		l.dropped.Add(1)
		l.g.log.Error("what a policy decided is not done, as too many programs run", "incident", d.incident, "policy", dec.Policy.Name)
		return
	}
	l.running.Go(func() {
		defer l.waits.Add(-1)
		for _, act := range actions {
			if act.Kind != policy.Run {
				l.one(d, dec, act)
				continue
			}
			l.program <- struct{}{}
			l.one(d, dec, act)
			<-l.program
		}
	})
}

// one runs an action, a capture beside what follows.
func (l *lanes) one(d decided, dec policy.Decision, act policy.Action) {
	dec.Actions = []policy.Action{act}
	if act.Kind == policy.Capture {
		l.running.Go(func() { l.carryOut(d, dec) })
		return
	}
	l.carryOut(d, dec)
}

func (l *lanes) carryOut(d decided, dec policy.Decision) {
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

// close waits for what runs, until ctx ends; what runs then is ended, and closing the runner waits for that.
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
	}
	l.cancel()
}
