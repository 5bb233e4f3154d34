package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

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
			"types": describeLoss(lost),
		})
}

// describeLoss lists the numbers of lost events by type, the largest first.
func describeLoss(lost map[event.Type]uint64) string {
	types := slices.SortedFunc(maps.Keys(lost), func(a, b event.Type) int {
		if lost[a] != lost[b] {
			return int(min(lost[b], 1<<40)) - int(min(lost[a], 1<<40))
		}
		return int(a) - int(b)
	})
	words := make([]string, len(types))
	for i, t := range types {
		name := t.String()
		if info := t.Info(); info != nil {
			name = info.Name
		}
		words[i] = fmt.Sprintf("%s %d", name, lost[t])
	}
	return strings.Join(words, ", ")
}

// reportLoss tells on w what was lost in all.
func reportLoss(w io.Writer, s event.Stats) {
	if s.Dropped == 0 {
		return
	}
	fmt.Fprintf(w, "%d of %d events were lost, as they came faster than they could be read", s.Dropped, s.Dropped+s.Events)
	if len(s.Drops) > 0 {
		fmt.Fprintf(w, ": %s", describeLoss(s.Drops))
	}
	fmt.Fprintln(w)
}
