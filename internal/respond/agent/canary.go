package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// CanaryEvery is how often a daemon should act, see [Options].
const CanaryEvery = 10 * time.Second

// The names of the alerts that detection stopped and goes on.
const (
	BlindRule  = "Rollcage internal: nothing is detected"
	SeeingRule = "Rollcage internal: detection works again"
)

// canaryMissed is after how many intervals without a detected act something is wrong.
const canaryMissed = 3

// canaryName is what the act passes as the name of a program. Nobody else
// knows it beforehand; who sees it can hide failed attempts to run a program
// from the rules by it, and nothing else.
var canaryName = sync.OnceValue(func() string { return "rollcage-canary-" + rand.Text() })

func canaryCondition() string {
	return "evt.type = execve and evt.failed = true and evt.arg.exe = " + canaryName()
}

// canaryAct tries to run a program that cannot be there. What this process
// does itself is left out by the probe, so the act is that of a child: one
// that shares our memory, fails to become another program and is gone, within
// a tenth of a millisecond.
func canaryAct(n int) error {
	_, err := syscall.ForkExec("/dev/null/canary", []string{canaryName(), strconv.Itoa(n)}, &syscall.ProcAttr{Env: []string{}})
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return nil
	case err == nil:
		return errors.New("/dev/null/canary could be run")
	}
	return err
}

// canary is what is known of the acts.
type canary struct {
	mu     sync.Mutex
	since  time.Time     // when the first act was due
	acts   [64]time.Time // when the last ones were done, by number modulo
	next   int           // number of the next one
	actErr error         // why the last one failed
	seen   time.Time     // when the last one was done that was detected
	lag    time.Duration // from then until it was judged
	blind  time.Time     // since when nothing is detected, zero if it is
}

// Health says whether what happens is detected.
type Health struct {
	OK bool
	// Detected is when the last canary act was done that was detected, zero if none was; Lag
	// is how long after it that was.
	Detected time.Time
	Lag      time.Duration
	// Since is since when nothing is detected, zero if OK; Why says in words what is known of the cause.
	Since time.Time
	Why   string
}

// Health reports whether an act of our own was detected lately: seen by the
// kernel, read, applied to the state and matched by a condition among the
// rules, up to where alerts are handed to the outputs. Without
// [Options.CanaryEvery] it reports only whether the agent runs.
func (a *Agent) Health() Health {
	select {
	case <-a.ended:
		return Health{Since: a.canary.lastSeen(), Detected: a.canary.lastSeen(), Why: "the agent has ended"}
	default:
	}
	return a.canary.health(time.Now(), a.opts.CanaryEvery)
}

func (c *canary) lastSeen() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *canary) health(now time.Time, every time.Duration) Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := Health{Detected: c.seen, Lag: c.lag}
	if every <= 0 {
		h.OK = true
		return h
	}
	switch patience := canaryMissed * every; {
	case c.since.IsZero():
		h.Since, h.Why = now, "not started"
	case !c.seen.IsZero() && now.Sub(c.seen) <= patience:
		h.OK = true
	case c.seen.IsZero():
		h.Since, h.Why = c.since, "no canary act was detected yet"
	default:
		h.Since, h.Why = c.seen, "canary acts are not detected any more"
	}
	if !h.OK && c.actErr != nil {
		h.Why = "the canary cannot act: " + c.actErr.Error()
	}
	return h
}

// detected notes that an act was judged. Times are those of our own clock, as
// that of events goes its own way when the system's is set.
func (c *canary) detected(now time.Time, he *host.Event) {
	n, err := strconv.Atoi(event.CString(he.Param(he.Info().ParamIndex("args"))))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || n < 0 || n >= c.next || n+len(c.acts) < c.next {
		return
	}
	c.seen = c.acts[n%len(c.acts)]
	c.lag = now.Sub(c.seen)
}

// act acts once.
func (c *canary) act() {
	c.mu.Lock()
	n := c.next
	c.next++
	c.acts[n%len(c.acts)] = time.Now()
	c.mu.Unlock()
	err := canaryAct(n)
	c.mu.Lock()
	c.actErr = err
	c.mu.Unlock()
}

// runCanary acts from time to time, and raises an alert when that is not
// detected. It is a goroutine of its own, as the one that detects may be what hangs.
func (a *Agent) runCanary(ctx context.Context) {
	tick := time.NewTicker(a.opts.CanaryEvery)
	defer tick.Stop()
	a.canary.mu.Lock()
	a.canary.since = time.Now()
	a.canary.mu.Unlock()
	for {
		a.canary.act()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.tellHealth(time.Now())
	}
}

// tellHealth raises an alert when detection stops or goes on.
func (a *Agent) tellHealth(now time.Time) {
	c := &a.canary
	h := c.health(now, a.opts.CanaryEvery)
	blind := !h.OK && now.Sub(h.Since) > canaryMissed*a.opts.CanaryEvery
	c.mu.Lock()
	was := c.blind
	switch {
	case blind && was.IsZero():
		c.blind = h.Since
	case h.OK:
		c.blind = time.Time{}
	}
	c.mu.Unlock()
	switch {
	case blind && was.IsZero():
		a.opts.Log.Error("what happens is not detected", "since", h.Since, "why", h.Why)
		a.Send(alert.Internal(now, BlindRule, rule.Critical,
			fmt.Sprintf("Nothing that happened since %s is known to be detected: %s", h.Since.UTC().Format(time.RFC3339), h.Why),
			map[string]string{"since": h.Since.UTC().Format(time.RFC3339Nano), "why": h.Why}))
	case h.OK && !was.IsZero():
		a.opts.Log.Info("what happens is detected again", "not_since", was)
		a.Send(alert.Internal(now, SeeingRule, rule.Notice,
			fmt.Sprintf("Detection works again; since %s it may have missed what happened", was.UTC().Format(time.RFC3339)),
			map[string]string{"since": was.UTC().Format(time.RFC3339Nano)}))
	}
}
