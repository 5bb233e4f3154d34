package guard

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/outbox"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// LostRule is the name of the alert that alerts were lost in Rollcage, and
// UnkeptRule of the one that some could not be written down.
const (
	LostRule   = "Rollcage internal: alerts lost"
	UnkeptRule = "Rollcage internal: disk takes no records"
	// ClockRule is that of the alert that the wall clock was set.
	ClockRule = "Rollcage internal: the clock was set"
)

// item is an alert on its way, with its scene if a rule raised it.
type item struct {
	alert *alert.Alert
	scene *scene.Scene
}

// intake is the queue between the goroutine of the events and everything that takes time.
type intake struct {
	g     *Guard
	queue chan item
	done  chan struct{} // closed by end
	once  sync.Once

	// pending is the alert that is being raised. The goroutine of the events uses it alone.
	pending item

	late     []item // whose incident could not be written; run's goroutine alone
	kept     atomic.Uint64
	lost     atomic.Uint64 // that found the queue full, or no room on disk or in memory
	unkept   atomic.Uint64 // that are in no incident as there was no room
	waiting  atomic.Int64  // in late
	ahead    time.Duration // how far the wall clock was ahead of that of the events
	told     uint64
	reported time.Time
}

// maxLate is how many alerts wait for a disk that is full to be put into incidents.
const maxLate = 4096

// maxAlert is how many bytes message and values of an alert have at most, so that outbox and incidents take it, escapes and all.
const maxAlert = 256 << 10

// lateEvery is how often that is tried, and about lost alerts told.
const lateEvery = time.Second

func newIntake(g *Guard, size int) *intake {
	return &intake{g: g, queue: make(chan item, size), done: make(chan struct{})}
}

// matched takes down the scene of an alert that is about to be sent.
func (q *intake) matched(_ *rule.Match, he *host.Event, a *alert.Alert) bool {
	q.pending = item{a, scene.New(he, a.Hostname, *q.g.clock.Load())}
	q.pending.scene.Killed = q.g.fast.about(he)
	return true
}

// Send implements agent.Sender. It never waits.
func (q *intake) Send(a *alert.Alert) {
	it := item{alert: a}
	// Alerts of rules come from the goroutine of the events, which alone may look at pending.
	if a.Source != alert.SourceInternal && q.pending.alert == a {
		it = q.pending
	}
	select {
	case <-q.done:
		q.lost.Add(1)
		return
	default:
	}
	select {
	case q.queue <- it:
	default:
		q.lost.Add(1)
	}
}

// end has run take what waits and return.
func (q *intake) end() { q.once.Do(func() { close(q.done) }) }

func (q *intake) run() {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case it := <-q.queue:
			q.take(it)
		case <-tick.C:
			q.catchUp()
			q.tell()
			q.lookAtClock()
		case <-q.done:
			for {
				select {
				case it := <-q.queue:
					q.take(it)
				default:
					q.catchUp()
					return
				}
			}
		}
	}
}

// take keeps an alert, hands it to the outputs, and asks the policies.
//
// It is in an incident before it is in the outbox: what an output has, evidence has.
func (q *intake) take(it item) {
	g := q.g
	it.alert.ID = uuid.NewString()
	if it.alert.Shorten(maxAlert) {
		g.log.Warn("an alert is cut, as it is too long", "rule", it.alert.Rule, "max_bytes", maxAlert)
	}
	incident, err := "", error(nil)
	if it.alert.Source != alert.SourceInternal {
		if len(q.late) == 0 { // else it is not its turn
			incident, err = g.store.Add(it.alert, it.scene)
		} else {
			err = errLate
		}
		if err != nil {
			q.later(it, err)
		}
	}
	switch err := g.mail.put(it.alert); {
	case err == nil:
		q.kept.Add(1)
	case errors.Is(err, outbox.ErrNotKept):
		g.log.Error("an alert is in memory only", "rule", it.alert.Rule, "error", err)
	default:
		q.lost.Add(1)
		g.log.Error("an alert is lost", "rule", it.alert.Rule, "error", err)
	}
	if it.alert.Source == alert.SourceInternal {
		return
	}
	var decisions []policy.Decision
	later := incident != "" && lacksFacts(it.scene) && g.Policies().NeedsFacts()
	if !later {
		decisions = g.Policies().Decide(it.alert, it.scene, time.Now())
		if len(decisions) == 0 {
			return
		}
	}
	if incident == "" {
		g.log.Error("nothing is done about an alert, as it cannot be written down", "rule", it.alert.Rule, "error", err)
		return
	}
	g.lanes.put(decided{incident, it.alert, it.scene, decisions, later})
}

// lacksFacts reports whether nothing was known of the container yet.
func lacksFacts(sc *scene.Scene) bool {
	return sc != nil && sc.Container != nil && !sc.Container.Known()
}

var errLate = errors.New("others wait for the disk")

// later has an alert put into an incident when the disk takes it.
func (q *intake) later(it item, err error) {
	if errors.Is(err, evidence.ErrTooLong) {
		q.giveUp(it, err)
		return
	}
	if len(q.late) >= maxLate {
		q.unkept.Add(1)
		return
	}
	if len(q.late) == 0 {
		q.g.log.Error("an alert is not in an incident yet", "rule", it.alert.Rule, "error", err)
	}
	q.late = append(q.late, it)
	q.waiting.Store(int64(len(q.late)))
}

// giveUp leaves an alert out of the incidents, as what it is to be kept with is
// too long: it would fail each time, and hold up the others.
func (q *intake) giveUp(it item, err error) {
	q.unkept.Add(1)
	q.g.log.Error("an alert is in no incident", "rule", it.alert.Rule, "alert", it.alert.ID, "error", err)
}

// catchUp puts alerts that wait into incidents.
func (q *intake) catchUp() {
	for len(q.late) > 0 {
		_, err := q.g.store.Add(q.late[0].alert, q.late[0].scene)
		if errors.Is(err, evidence.ErrClosed) {
			return
		}
		if errors.Is(err, evidence.ErrTooLong) {
			q.giveUp(q.late[0], err)
		} else if err != nil {
			break
		}
		q.late[0] = item{}
		q.late = q.late[1:]
	}
	if len(q.late) == 0 {
		q.late = nil
	}
	q.waiting.Store(int64(len(q.late)))
}

// tell raises an alert about lost ones, now and then.
func (q *intake) tell() {
	n := q.lost.Load() + q.unkept.Load() + q.g.lanes.dropped.Load()
	if n == q.told || time.Since(q.reported) < 30*time.Second {
		return
	}
	text := fmt.Sprintf("Of alerts and actions %d were lost, as more came than could be kept", n-q.told)
	q.told, q.reported = n, time.Now()
	q.take(item{alert: alert.Internal(time.Now(), LostRule, rule.Critical, text, map[string]string{
		"alerts_lost": fmt.Sprint(q.lost.Load()), "alerts_in_no_incident": fmt.Sprint(q.unkept.Load()),
		"decisions_lost": fmt.Sprint(q.g.lanes.dropped.Load()),
	})})
}

// clockStep is by how much the clock is to be set to be told.
const clockStep = time.Second

// lookAtClock raises an alert when the wall clock was set: times of day before
// and after it do not compare, and who attacks may have done it.
func (q *intake) lookAtClock() {
	ahead := q.g.clock.Load().Ahead()
	step := ahead - q.ahead
	q.ahead = ahead
	if step.Abs() < clockStep {
		return
	}
	way := "forward"
	if step < 0 {
		way = "back"
	}
	now := time.Now()
	q.take(item{alert: alert.Internal(now, ClockRule, rule.Notice,
		fmt.Sprintf("The clock was set %s by %v, to %s", way, step.Abs().Round(time.Millisecond), now.UTC().Format(time.RFC3339)),
		map[string]string{"step_ns": fmt.Sprint(int64(step))})})
}
