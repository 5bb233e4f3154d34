package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"rollcage/internal/cli/stream"
	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

const (
	lossCheck  = time.Second      // how often it is looked whether events were lost
	lossReport = 30 * time.Second // least time between two alerts about it
	lossRule   = "Rollcage internal: events lost"
)

// watchLoss raises an alert when a live source loses events, so that nobody
// takes a gap for silence, until ctx ends.
func watchLoss(ctx context.Context, src event.Source, send func(*alert.Alert)) {
	tick := time.NewTicker(lossCheck)
	defer tick.Stop()
	var told event.Stats
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := src.Stats()
			if s.Dropped > told.Dropped && now.Sub(last) >= lossReport {
				send(lossAlert(now, s, told))
				told, last = s, now
			}
		}
	}
}

// lossAlert tells what was lost between two looks.
func lossAlert(at time.Time, now, before event.Stats) *alert.Alert {
	lost := map[event.Type]uint64{}
	for t, n := range now.Drops {
		if n > before.Drops[t] {
			lost[t] = n - before.Drops[t]
		}
	}
	n := now.Dropped - before.Dropped
	return alert.Internal(at, lossRule, rule.Critical,
		fmt.Sprintf("%d events were lost, as they came faster than they could be read; what they would have told is not known", n),
		map[string]string{
			"n_drops": strconv.FormatUint(n, 10), "n_evts": strconv.FormatUint(now.Events-before.Events, 10),
			"types": stream.DescribeLoss(lost),
		})
}
