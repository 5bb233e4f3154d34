package agent

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// LossRule is the name of the alert about lost events.
const LossRule = "Rollcage internal: events lost"

// ErrLoss is returned by Run when events were lost and [Loss] says to end then.
var ErrLoss = errors.New("events were lost")

// Loss says what is done when a live source loses events, which is looked at
// once a second.
type Loss struct {
	// Threshold is the share of lost events, of those handed out in a second,
	// over which something is done. 0 is at any loss.
	Threshold float64
	// What is done.
	Log, Alert, Exit bool
	// Every is the least time between two times in the long run, and Burst how often it may be done at once, 1 if 0.
	Every time.Duration
	Burst int
	// Make makes the alert, the usual one if nil.
	Make func(l Lost) *alert.Alert
}

// Lost tells of events that were lost.
type Lost struct {
	At time.Time
	// Events were handed out and Dropped lost in the last second, ByType by type.
	Events, Dropped uint64
	ByType          map[event.Type]uint64
	// Untold were lost since the last time that something was done, UntoldByType by type.
	Untold       uint64
	UntoldByType map[event.Type]uint64
}

const lossCheck = time.Second

// lossWatch looks for losses. It is used by Run's goroutine.
type lossWatch struct {
	Loss
	next       time.Time
	last, told event.Stats
	limit      *rate.Limiter // of what is done, nil before the first time
	quiet      bool
}

// check looks whether events were lost if that is due, and does something about it.
func (w *lossWatch) check(a *Agent, now time.Time) error {
	if now.Before(w.next) || !w.Log && !w.Alert && !w.Exit {
		return nil
	}
	w.next = now.Add(lossCheck)
	s := a.src.Stats()
	lost, ok := w.look(now, s)
	if !ok {
		return nil
	}
	if w.Log {
		a.opts.Log.Error("events were lost", "lost", lost.Dropped, "seen", lost.Events, "types", event.DescribeTypes(lost.ByType))
	}
	if w.Alert {
		a.Send(w.Make(lost))
	}
	if w.Exit {
		return fmt.Errorf("%w: %d of %d in a second", ErrLoss, lost.Dropped, lost.Dropped+lost.Events)
	}
	return nil
}

// look reports what was lost, if something is to be done about it.
func (w *lossWatch) look(now time.Time, s event.Stats) (Lost, bool) {
	fresh, untold := s.Since(w.last), s.Since(w.told)
	lost := Lost{
		At: now, Events: fresh.Events, Dropped: fresh.Dropped, ByType: fresh.Drops, Untold: untold.Dropped, UntoldByType: untold.Drops,
	}
	w.last = s
	// What was too soon to be told is told later, when nothing more is lost too.
	over := lost.Dropped > 0 && float64(lost.Dropped) > w.Threshold*float64(max(lost.Events, 1))
	if !over && !w.quiet {
		return lost, false
	}
	if w.quiet = !w.claim(now); w.quiet {
		return lost, false
	}
	w.told = s
	return lost, true
}

// claim takes a token from the bucket, which fills by one in each Every.
func (w *lossWatch) claim(now time.Time) bool {
	if w.Every <= 0 {
		return true
	}
	if w.limit == nil {
		w.limit = rate.NewLimiter(rate.Every(w.Every), max(w.Burst, 1))
	}
	return w.limit.AllowN(now, 1)
}

func lossAlert(l Lost) *alert.Alert {
	return alert.Internal(l.At, LossRule, rule.Critical,
		fmt.Sprintf("%d events were lost, as they came faster than they could be read; what they would have told is not known", l.Untold),
		map[string]string{
			"n_drops": strconv.FormatUint(l.Untold, 10), "n_evts": strconv.FormatUint(l.Events, 10), "types": event.DescribeTypes(l.UntoldByType),
		})
}
