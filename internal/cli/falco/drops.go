package falco

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/agent/metrics"
	"rollcage/internal/respond/alert"
)

// dropRule is the name of the alert about lost events.
const dropRule = "Falco internal: syscall event drop"

// dropMonitor looks once a second of event time whether events were lost and
// does what the configuration says. It is used by the goroutine that reads the source.
type dropMonitor struct {
	dropsConfig
	replay bool
	send   func(*alert.Alert)
	log    *logger

	next  uint64 // time of the next look
	last  event.Stats
	limit *rate.Limiter // of what is done
	seen  uint64        // losses above the threshold
	acted uint64
}

func newDropMonitor(c *command, send func(*alert.Alert)) *dropMonitor {
	return &dropMonitor{
		dropsConfig: c.drops, replay: c.engine == engineReplay, send: send, log: c.log,
		limit: rate.NewLimiter(rate.Limit(c.drops.rate), int(c.drops.burst)),
	}
}

// check is called with the time of each event.
func (d *dropMonitor) check(at uint64, stats func() event.Stats) error {
	if at <= d.next {
		return nil
	}
	begun := d.next != 0
	d.next = at + uint64(time.Second)
	if !begun {
		return nil
	}
	now := event.Stats{}
	if !d.replay { // what a capture lacks nobody counted
		now = stats()
	}
	since := now.Since(d.last)
	events, lost := since.Events, since.Dropped
	d.last = now
	if d.simulate {
		d.log.logf(logInfo, "Simulating syscall event drop")
		events++
		lost++
	}
	if lost == 0 || float64(lost)/float64(max(events, 1)) <= d.threshold {
		return nil
	}
	d.seen++
	if !d.limit.AllowN(time.Unix(0, int64(at)), 1) {
		d.log.logf(logDebug, "Syscall event drop but token bucket depleted, skipping actions")
		return nil
	}
	d.acted++
	return d.act(at, events, lost, since.Drops)
}

func (d *dropMonitor) act(at, events, lost uint64, byType map[event.Type]uint64) error {
	text := fmt.Sprintf("%s. %d system calls dropped in last second.", dropRule, lost)
	if slices.Contains(d.actions, dropLog) {
		d.log.logf(logError, "%s", text)
	}
	if slices.Contains(d.actions, dropAlert) {
		d.send(alert.Internal(time.Unix(0, int64(at)), dropRule, rule.Debug, text, dropFields(events, lost, byType)))
	}
	if slices.Contains(d.actions, dropExit) {
		d.log.logf(logCritical, "%s", text)
		d.log.logf(logCritical, "Exiting.")
		return errDrops
	}
	return nil
}

func dropFields(events, lost uint64, byType map[event.Type]uint64) map[string]string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	out := map[string]string{
		"n_evts": number(events), "n_drops": number(lost), "n_drops_buffer_total": number(lost),
		"n_drops_scratch_map": "0", "n_drops_page_faults": "0", "n_drops_bug": "0", "ebpf_enabled": "1",
	}
	by := metrics.DropsByKind(byType)
	for _, kind := range metrics.DropKinds {
		out["n_drops_buffer_"+kind+"_exit"] = number(by[kind])
	}
	return out
}

// report sums up at the end of a run.
func (d *dropMonitor) report(w io.Writer) {
	fmt.Fprintf(w, "Syscall event drop monitoring:\n   - event drop detected: %d occurrences\n   - num times actions taken: %d\n", d.seen, d.acted)
}
